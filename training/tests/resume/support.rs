//! What the runs of every task share: configuration, a watcher that stops them, the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use smalti_backbones::{BackboneConfig, NatConfig, weights};
use smalti_datasets::{LoaderConfig, Source};
use smalti_ops::copies::{Upload, Uploader};
use smalti_training::run_dir::RunDir;
use smalti_training::signals::{Signal, StopFlag};
use smalti_training::task::Losses;
use smalti_training::trainer::{StepReport, Summary};
use smalti_training::{Feed, Observer, OnNonFinite, OptimizerConfig, Task, TrainConfig, TrainError, Trainer};
use tch::{Device, nn};

/// Dropout draws from the process-wide generator: under `cargo test` these tests take turns.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A NAT of 8 channels.
pub fn backbone() -> BackboneConfig {
    BackboneConfig::Nat(NatConfig {
        embed_dim: Some(8),
        depths: Some(vec![1, 1, 1, 1]),
        heads: Some(vec![1, 1, 2, 2]),
        mlp_ratio: Some(2.0),
        window: Some(3),
        drop_path_rate: 0.3,
        ..NatConfig::default()
    })
}

pub fn train_config() -> TrainConfig {
    TrainConfig {
        steps: 8,
        seed: 5,
        log_every: 3,
        eval_every: 4,
        checkpoint_every: 2,
        optimizer: OptimizerConfig { lr: 1e-2, clip_norm: 1.0, ..OptimizerConfig::default() },
        ..TrainConfig::default()
    }
}

/// Asks for a stop after a step, or while the evaluation at a step is under way; says what is done about losses that are not
/// finite, and whether batches are read ahead as beside a GPU.
#[derive(Default)]
pub struct StopAt {
    pub after_step: Option<u64>,
    pub in_evaluation: Option<usize>,
    pub stop: StopFlag,
    pub on_non_finite: OnNonFinite,
    pub ahead: bool,
    pub notes: Vec<String>,
}

impl Observer for StopAt {
    fn step(&mut self, report: &StepReport) {
        if self.after_step == Some(report.step) {
            self.stop.request(Signal::Usr1);
        }
    }

    fn evaluating(&mut self, done: usize, _: usize) {
        if self.in_evaluation == Some(done) {
            self.stop.request(Signal::Term);
        }
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_string());
    }
}

pub fn train<T: Task>(
    task: &T,
    store: &nn::VarStore,
    source: T::Source,
    loader: &LoaderConfig,
    out: &Path,
    resume: bool,
    watch: &mut StopAt,
) -> Result<Summary, TrainError> {
    let config = TrainConfig { on_non_finite: watch.on_non_finite, ..train_config() };
    let run = RunDir::open(out, resume)?;
    run.write_config("# for the test\n")?;
    let trainer = Trainer {
        config: &config,
        task,
        store,
        run: &run,
        source: Arc::new(source),
        loader,
        feed: if watch.ahead { Feed::ahead(store.device()) } else { Feed::to(store.device()) },
        about: BTreeMap::new(),
        stop: watch.stop.clone(),
    };
    trainer.train(watch)
}

/// Losses of a batch that goes to the CPU by itself.
pub fn losses<T: Task>(task: &T, batch: &<T::Source as Source>::Batch) -> Losses {
    let tensors = Uploader::new(Device::Cpu).upload(&T::arrays(batch)).and_then(Upload::wait).unwrap();
    task.losses(batch, tensors).unwrap()
}

/// The log without what depends on the clock.
pub fn log(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        for key in ["images_per_s", "wall_s"] {
            line.remove(key);
        }
    }
    lines
}

pub fn assert_same(a: &nn::VarStore, b: &nn::VarStore) {
    for ((name, a), (_, b)) in weights::named_tensors(a).iter().zip(&weights::named_tensors(b)) {
        assert!(a.equal(b), "{name} differs");
    }
}

/// What one process's worth of training leaves.
pub type Trained = (Result<Summary, TrainError>, nn::VarStore);

/// Runs that are stopped and resumed must end as one that never stopped: its weights, its best score, its log. They are
/// stopped in the middle of a log window, at a checkpoint, one step before the end, and in the first evaluation when
/// `evaluated` images are done, reading batches ahead before or after the stop; the one that never stopped does not. `start`
/// trains: the run's folder, whether it resumes, who watches. Returns summary and log of
/// the run that never stopped.
pub fn assert_resumes(
    folder: &Path,
    evaluated: usize,
    start: impl Fn(&Path, bool, &mut StopAt) -> Trained,
) -> (Summary, Vec<Value>) {
    let whole_run = folder.join("whole");
    let (summary, whole) = start(&whole_run, false, &mut StopAt::default());
    let (summary, lines) = (summary.unwrap(), log(&whole_run));
    assert_eq!(lines.len(), 3 + 2, "records at 3, 6, 8 and evaluations at 4, 8");

    let after =
        |step, ahead| (StopAt { after_step: Some(step), ahead, ..StopAt::default() }, Signal::Usr1, step);
    let within =
        (StopAt { in_evaluation: Some(evaluated), ahead: true, ..StopAt::default() }, Signal::Term, 4);
    for (mut watch, signal, step) in [after(1, true), after(4, false), after(7, true), within] {
        let case = format!("{signal:?} at {step}");
        let out = folder.join(&case);
        let error = start(&out, false, &mut watch).0.unwrap_err();
        let TrainError::Interrupted { signal: by, step: at } = error else { panic!("{case}: {error}") };
        assert_eq!((by, at), (signal, step));
        let ahead = step == 4;
        let (resumed, store) = start(&out, true, &mut StopAt { ahead, ..StopAt::default() });
        assert_eq!(resumed.unwrap().best, summary.best, "{case}");
        assert_same(&store, &whole);
        assert_eq!(log(&out), lines, "{case}");
    }
    (summary, lines)
}
