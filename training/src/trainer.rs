//! The training loop: batches in order, one optimiser step each, logs, evaluations and checkpoints by step count.
//!
//! Everything that decides the next step is a function of the step number or part of a checkpoint, so a resumed run
//! continues to the same bits (on the CPU, with the same number of threads).

mod progress;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use smalti_backbones::weights;
use smalti_datasets::loader::Loader;
use smalti_datasets::{LoaderConfig, Source};
use smalti_ops::runtime;
use tch::nn::VarStore;
use tch::{Device, Tensor};

pub use progress::{Observer, StepReport};

use crate::TrainError;
use crate::batch::TrainBatch;
use crate::checkpoint::{CheckpointStore, Snapshot};
use crate::events::EventWriter;
use crate::feed::Feed;
use crate::init::InitConfig;
use crate::metrics_log::{EvalRecord, MetricsLog, TrainRecord};
use crate::optim::{Optimizer, OptimizerConfig};
use crate::precision::Precision;
use crate::run_dir::RunDir;
use crate::safetensors_io;
use crate::schedule::{Decay, LrSchedule};
use crate::signals::StopFlag;
use crate::task::{Evaluation, Losses, Task};

/// The `[train]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimiser steps in all. Default 160000.
    pub steps: u64,
    /// Seed of initial weights, batch order, augmentation and dropout. Default 0.
    pub seed: u64,
    /// Arithmetic of the network: `f32` (default) or `bf16`.
    pub precision: Precision,
    /// Steps between log records. Default 50.
    pub log_every: u64,
    /// Steps between evaluations; the last step is always evaluated. Default 16000.
    pub eval_every: u64,
    /// Steps between checkpoints; the last step is always saved. Default 2000.
    pub checkpoint_every: u64,
    /// Newest checkpoints kept. Default 2.
    pub keep_checkpoints: usize,
    /// `stop` (default) or `skip_batch`: what happens at a loss or gradient that is infinite or NaN.
    pub on_non_finite: OnNonFinite,
    /// AdamW.
    pub optimizer: OptimizerConfig,
    /// Learning-rate schedule over `steps`.
    pub schedule: LrSchedule,
    /// Weights to start from; absent = random ones by `seed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<InitConfig>,
}

/// What a training does about a loss or gradient that is infinite or NaN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNonFinite {
    /// Saves the batch and stops.
    #[default]
    Stop,
    /// Makes no step of this batch and says so; stops at the fifth such batch in a row, as the network itself is broken then.
    SkipBatch,
}

/// So many batches in a row without a finite loss are more than [`OnNonFinite::SkipBatch`] bears.
const MOST_SKIPPED: u64 = 5;

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 160_000,
            seed: 0,
            precision: Precision::F32,
            log_every: 50,
            eval_every: 16_000,
            checkpoint_every: 2_000,
            keep_checkpoints: 2,
            on_non_finite: OnNonFinite::Stop,
            optimizer: OptimizerConfig::default(),
            schedule: LrSchedule::default(),
            init: None,
        }
    }
}

impl TrainConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), TrainError> {
        let counts = [
            ("steps", self.steps),
            ("log_every", self.log_every),
            ("eval_every", self.eval_every),
            ("checkpoint_every", self.checkpoint_every),
            ("keep_checkpoints", self.keep_checkpoints as u64),
        ];
        for (field, value) in counts {
            if value == 0 {
                return Err(TrainError::config(format!("train.{field}"), "1 or more", 0));
            }
        }
        // TOML integers are signed.
        if i64::try_from(self.seed).is_err() {
            return Err(TrainError::config("train.seed", "at most 2^63 - 1", self.seed));
        }
        self.optimizer.validate()?;
        self.schedule.validate("train.schedule")?;
        self.init.as_ref().map_or(Ok(()), InitConfig::validate)?;
        if let Decay::Cosine(decay) = &self.schedule.decay
            && decay.cooldown_steps >= self.steps
        {
            let expected = format!("less than the {} steps of the training", self.steps);
            let got = decay.cooldown_steps;
            return Err(TrainError::config("train.schedule.decay.cooldown_steps", expected, got));
        }
        Ok(())
    }
}

/// What `state.json` of a checkpoint holds besides tensors.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    /// Best evaluation so far: step and score.
    best: Option<(u64, f64)>,
    /// Seconds trained, over all starts.
    wall_s: f64,
    /// The evaluation due at this step was not finished.
    evaluation_due: bool,
    /// Batches that were skipped since the last step.
    #[serde(default)]
    skipped: u64,
    /// Sums since the last log record.
    window: Window,
}

/// Sums of losses since the last log record.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Window {
    steps: u64,
    total: f64,
    parts: BTreeMap<String, f64>,
    seconds: f64,
}

impl Window {
    fn add(&mut self, total: f64, parts: &[(&'static str, Tensor)], seconds: f64) {
        self.steps += 1;
        self.total += total;
        for (name, value) in parts {
            *self.parts.entry((*name).to_string()).or_default() += value.double_value(&[]);
        }
        self.seconds += seconds;
    }
}

/// How a finished training went.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The last evaluation.
    pub last: Evaluation,
    /// Step and score of the best evaluation; its weights are `checkpoints/best.safetensors`.
    pub best: (u64, f64),
    /// Seconds trained, over all starts.
    pub wall_s: f64,
}

/// A task's batches.
type BatchOf<T> = <<T as Task>::Source as Source>::Batch;

/// One training run.
pub struct Trainer<'a, T: Task> {
    /// `[train]`.
    pub config: &'a TrainConfig,
    /// Model, criterion, validation set.
    pub task: &'a T,
    /// The model's parameters and buffers.
    pub store: &'a VarStore,
    /// Where everything is written.
    pub run: &'a RunDir,
    /// Images to train on, with their augmentation.
    pub source: Arc<T::Source>,
    /// Batches and threads.
    pub loader: &'a LoaderConfig,
    /// How batches get to the network's device.
    pub feed: Feed,
    /// What `best.safetensors` says of itself besides step and score, such as the recipe and the classes.
    pub about: BTreeMap<String, String>,
    /// Asked after every step.
    pub stop: StopFlag,
}

/// The moving parts of a run.
struct Session {
    optimizer: Optimizer,
    checkpoints: CheckpointStore,
    log: MetricsLog,
    events: EventWriter,
    state: State,
    step: u64,
}

/// What is reported of a batch whose gradients are with the parameters.
struct Gradients {
    loss: f64,
    /// Parts of the loss by name.
    parts: Vec<(&'static str, Tensor)>,
    /// L2 norm before clipping.
    norm: f64,
}

impl<T: Task> Trainer<'_, T> {
    /// Trains to the last step: from the newest good checkpoint of the run's folder if it has one, else from the start, which
    /// `[train.init]` may give weights.
    ///
    /// # Errors
    /// [`TrainError::Interrupted`] after a signal, with everything saved; [`TrainError::NonFinite`] with the batch
    /// saved; and whatever reading data or writing files meets.
    pub fn train(&self, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
        let mut session = self.open(observer)?;
        let mut last = None;
        if session.state.evaluation_due {
            last = self.evaluate(&mut session, observer)?;
        }
        let mut loader = Loader::over(Arc::clone(&self.source), self.loader, self.config.seed, session.step)?;
        let batches = (session.step..self.config.steps).map(move |_| Ok(loader.next()?));
        self.feed.run(batches, T::arrays, |batches| {
            for batch in batches {
                let (batch, tensors) = batch?;
                self.step(&mut session, &batch, tensors, observer)?;
                self.source.recycle(batch);
                last = self.after_step(&mut session, observer)?.or(last.take());
            }
            Ok::<_, TrainError>(())
        })??;
        let last = match last {
            Some(last) => last,
            // Resumed at the very end: the score is recomputed, nothing is trained.
            None => self.evaluation(observer)?.ok_or_else(|| self.interrupted(session.step))?,
        };
        let best = session.state.best.unwrap_or((session.step, last.score));
        Ok(Summary { last, best, wall_s: session.state.wall_s })
    }

    /// What is due when a step is done: an evaluation, which is returned, a checkpoint, the end after a signal.
    fn after_step(
        &self,
        session: &mut Session,
        observer: &mut dyn Observer,
    ) -> Result<Option<Evaluation>, TrainError> {
        let done = session.step == self.config.steps;
        let due = |every: u64| done || session.step.is_multiple_of(every);
        let (evaluate, save) = (due(self.config.eval_every), due(self.config.checkpoint_every));
        session.state.evaluation_due = evaluate;
        let mut evaluation = None;
        if evaluate && self.stop.requested().is_none() {
            evaluation = self.evaluate(session, observer)?;
        }
        if save || self.stop.requested().is_some() {
            self.save(session, observer)?;
        }
        match self.stop.requested().filter(|_| !done || session.state.evaluation_due) {
            Some(signal) => Err(TrainError::Interrupted { signal, step: session.step }),
            None => Ok(evaluation),
        }
    }

    fn interrupted(&self, step: u64) -> TrainError {
        let signal = self.stop.requested().unwrap_or(crate::signals::Signal::Int);
        TrainError::Interrupted { signal, step }
    }

    fn open(&self, observer: &mut dyn Observer) -> Result<Session, TrainError> {
        let mut optimizer = Optimizer::new(self.store, &self.config.optimizer)?;
        let checkpoints = CheckpointStore::new(self.run.checkpoints(), self.config.keep_checkpoints);
        let (mut step, mut state) = (0, State::default());
        if let Some((loaded, skipped)) = checkpoints.latest()? {
            for skipped in &skipped {
                let used = loaded.path.file_name().unwrap_or_default().display();
                observer.note(&format!("{skipped}, using {used}"));
            }
            let unfit = |got: String| TrainError::checkpoint(&loaded.path, "a checkpoint of this model", got);
            weights::assign(self.store, &loaded.snapshot.model)
                .map_err(|mismatch| unfit(format!("\n{mismatch}")))?;
            optimizer.load_state(&loaded.snapshot.optimizer).map_err(unfit)?;
            self.set_rng(&loaded.snapshot.rng).map_err(|error| unfit(error.to_string()))?;
            state =
                serde_json::from_value(loaded.snapshot.state).map_err(|error| unfit(error.to_string()))?;
            step = loaded.step;
        } else if let Some(init) = &self.config.init {
            let started = init.load(self.store, &self.task.anatomy())?;
            self.run.write_init(&started)?;
            observer.initialised(&started.transfer);
        }
        observer.started(step, self.config.steps);
        Ok(Session {
            optimizer,
            checkpoints,
            log: MetricsLog::open(&self.run.metrics(), step)?,
            events: EventWriter::create(self.run.path(), self.run.holds_run().then_some(step + 1))?,
            state,
            step,
        })
    }

    fn step(
        &self,
        session: &mut Session,
        batch: &BatchOf<T>,
        tensors: Vec<Tensor>,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let start = Instant::now();
        let factor = self.config.schedule.factor(session.step, self.config.steps);
        let Gradients { loss, parts, norm: grad_norm } = match self.gradients(session, batch, tensors) {
            Err(TrainError::Diverged { what }) => return self.diverged(session, &what, batch, observer),
            gradients => gradients?,
        };
        session.optimizer.step(factor)?;
        session.step += 1;
        session.state.skipped = 0;

        let seconds = start.elapsed().as_secs_f64();
        session.state.wall_s += seconds;
        session.state.window.add(loss, &parts, seconds);
        let lr = self.config.optimizer.lr * factor;
        observer.step(&StepReport {
            step: session.step,
            loss,
            lr,
            grad_norm,
            images: batch.names().len(),
            seconds,
        });
        if session.step.is_multiple_of(self.config.log_every) || session.step == self.config.steps {
            self.record(session, lr, grad_norm)?;
        }
        Ok(())
    }

    /// Leaves a batch's clipped gradients with the parameters.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] if one of them is not finite.
    fn gradients(
        &self,
        session: &mut Session,
        batch: &BatchOf<T>,
        tensors: Vec<Tensor>,
    ) -> Result<Gradients, TrainError> {
        let diverged = |what: &str| TrainError::Diverged { what: what.to_owned() };
        let Losses { total, parts } = self.task.losses(batch, tensors)?;
        let loss = total.double_value(&[]);
        if !loss.is_finite() {
            let what = parts.iter().find(|(_, part)| !part.double_value(&[]).is_finite());
            return Err(diverged(what.map_or("the loss", |(name, _)| name)));
        }
        session.optimizer.zero_grad();
        total.backward();
        let grad_norm = session.optimizer.clip();
        if !grad_norm.is_finite() {
            return Err(diverged("the gradient"));
        }
        Ok(Gradients { loss, parts, norm: grad_norm })
    }

    /// What the recipe wants done about a batch that there are no finite gradients of.
    fn diverged(
        &self,
        session: &mut Session,
        what: &str,
        batch: &BatchOf<T>,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let step = session.step + 1;
        session.state.skipped += 1;
        if self.config.on_non_finite == OnNonFinite::Stop || session.state.skipped >= MOST_SKIPPED {
            return Err(self.non_finite(step, what, batch));
        }
        session.step = step;
        let names = batch.names().join(", ");
        observer.note(&format!("step {step}: {what} is not finite, the batch is skipped; images: {names}"));
        Ok(())
    }

    /// Writes the averages since the last record.
    fn record(&self, session: &mut Session, lr: f64, grad_norm: f64) -> Result<(), TrainError> {
        let window = std::mem::take(&mut session.state.window);
        let steps = window.steps as f64;
        let batch_size = self.loader.batch_size as f64;
        let record = TrainRecord {
            step: session.step,
            epoch: session.step as f64 * batch_size / self.source.len() as f64,
            loss: window.total / steps,
            losses: window.parts.into_iter().map(|(name, sum)| (name, sum / steps)).collect(),
            lr,
            grad_norm,
            images_per_s: steps * batch_size / window.seconds,
            wall_s: session.state.wall_s,
        };
        let mut scalars = vec![("train/loss", record.loss), ("train/lr", lr), ("train/grad_norm", grad_norm)];
        let named: Vec<_> =
            record.losses.iter().map(|(name, value)| (format!("train/{name}"), *value)).collect();
        scalars.extend(named.iter().map(|(name, value)| (name.as_str(), *value)));
        session.events.scalars(session.step, &scalars)?;
        session.log.append(&record)
    }

    fn evaluation(&self, observer: &mut dyn Observer) -> Result<Option<Evaluation>, TrainError> {
        self.task.evaluate(&mut |done, total| {
            observer.evaluating(done, total);
            self.stop.requested().is_none()
        })
    }

    /// Evaluates, logs, and keeps the weights if they are the best; `None` if a signal cut it short.
    fn evaluate(
        &self,
        session: &mut Session,
        observer: &mut dyn Observer,
    ) -> Result<Option<Evaluation>, TrainError> {
        let start = Instant::now();
        let Some(evaluation) = self.evaluation(observer)? else { return Ok(None) };
        session.state.wall_s += start.elapsed().as_secs_f64();
        session.state.evaluation_due = false;
        let mut metrics = evaluation.record.clone();
        let classes =
            metrics.remove("classes").and_then(|value| value.as_object().cloned()).unwrap_or_default();
        let scalars: Vec<_> = metrics
            .iter()
            .filter_map(|(name, value)| value.as_f64().map(|value| (format!("eval/{name}"), value)))
            .collect();
        let scalars: Vec<_> = scalars.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        session.events.scalars(session.step, &scalars)?;
        session.log.append(&EvalRecord {
            step: session.step,
            wall_s: session.state.wall_s,
            metrics,
            classes,
        })?;
        let is_best = session.state.best.is_none_or(|(_, score)| evaluation.score > score);
        if is_best {
            session.state.best = Some((session.step, evaluation.score));
            let mut about = self.about.clone();
            about.insert("step".into(), session.step.to_string());
            about.insert(evaluation.metric.into(), evaluation.score.to_string());
            session.checkpoints.save_best(&weights::named_tensors(self.store), &about)?;
        }
        observer.evaluated(session.step, &evaluation, is_best);
        Ok(Some(evaluation))
    }

    fn save(&self, session: &Session, observer: &mut dyn Observer) -> Result<(), TrainError> {
        session.log.sync()?;
        let snapshot = Snapshot {
            model: weights::named_tensors(self.store),
            optimizer: session.optimizer.state(),
            rng: self.rng()?,
            state: serde_json::to_value(&session.state).expect("plain numbers and strings"),
        };
        let path = session.checkpoints.save(session.step, &snapshot)?;
        observer.saved(session.step, &path);
        Ok(())
    }

    fn rng(&self) -> Result<Vec<(String, Tensor)>, TrainError> {
        let mut states = vec![("cpu".to_string(), runtime::generator_state(Device::Cpu)?)];
        if self.store.device().is_cuda() {
            states.push(("cuda".to_string(), runtime::generator_state(self.store.device())?));
        }
        Ok(states)
    }

    fn set_rng(&self, states: &[(String, Tensor)]) -> Result<(), TrainError> {
        for (name, state) in states {
            let device = if name == "cpu" { Device::Cpu } else { self.store.device() };
            runtime::set_generator_state(state, device)?;
        }
        Ok(())
    }

    /// Saves the batch beside the run for a look at it, and makes the error that names it.
    fn non_finite(&self, step: u64, what: &str, batch: &BatchOf<T>) -> TrainError {
        let dump = self.run.path().join(format!("non-finite-step-{step}.safetensors"));
        let (what, names) = (what.to_string(), batch.names().to_vec());
        match dump_batch(&dump, batch) {
            Ok(()) => TrainError::NonFinite { step, what, names, dump },
            Err(error) => error,
        }
    }
}

/// Writes the arrays of a batch and the names (as metadata).
fn dump_batch(path: &Path, batch: &impl TrainBatch) -> Result<(), TrainError> {
    let names = BTreeMap::from([("names".to_string(), batch.names().join("\n"))]);
    safetensors_io::write_file(path, &batch.tensors()?, &names)
}
