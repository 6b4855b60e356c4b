//! `smalti train`: from a recipe to a run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use smalti::cli::TrainArgs;
use smalti::output::{self, InputError};
use smalti_configs::{AnyRun, RunConfig, SemanticMaskRun};
use smalti_datasets::{
    ClassTable, DataConfig, LoaderConfig, Mixture, SemanticSet, SemanticSource, Source, Split, stats,
};
use smalti_heads::mask::MaskCriterion;
use smalti_heads::semantic_loss::{SemanticLoss, balanced_weights};
use smalti_ops::runtime::runtime_facts;
use smalti_training::env::{EnvInfo, Start};
use smalti_training::run_dir::RunDir;
use smalti_training::signals::StopFlag;
use smalti_training::trainer::Summary;
use smalti_training::{Feed, PixelTask, SemanticMaskTask, SemanticTask, Task, Trainer, atomic};

use crate::session::{CLASSES_KEY, CONFIG_KEY, Run, Session, TaskSession};
use crate::watch::TrainWatch;
use crate::{classification, mask, results, run_report};

/// Runs the verb.
pub fn run(args: &TrainArgs) -> Result<()> {
    let out = out_folder(args)?;
    match load_config(args, &out)? {
        AnyRun::Semantic(config) => semantic(args, &out, *config),
        AnyRun::SemanticMask(config) => semantic_mask(args, &out, *config),
        AnyRun::Classification(config) => classification::train(args, &out, *config),
        AnyRun::Mask(config) => mask::train(args, &out, *config),
    }
}

fn semantic(args: &TrainArgs, out: &Path, config: RunConfig) -> Result<()> {
    let (images, validation) = label_maps(args, &config.data)?;
    let session = Session::new(config, validation.classes().clone())?;
    let task = SemanticTask {
        model: &session.model,
        loss: criterion(&session, &images)?,
        inference: session.config.inference.clone(),
        precision: session.config.train.precision,
        device: session.device,
        validation,
        data: session.config.data.clone(),
    };
    train_pixels(args, out, &session, &task, images)
}

fn semantic_mask(args: &TrainArgs, out: &Path, config: SemanticMaskRun) -> Result<()> {
    let (images, validation) = label_maps(args, &config.data)?;
    let session = TaskSession::new(config, validation.classes().clone())?;
    let config = &session.config;
    let task = SemanticMaskTask {
        model: &session.model,
        criterion: MaskCriterion::new(&config.loss, session.classes.len() as i64)?,
        inference: config.inference.clone(),
        precision: config.train.precision,
        device: session.device,
        validation,
        data: config.data.clone(),
    };
    train_pixels(args, out, &session, &task, images)
}

/// Images to train and to score on.
fn label_maps(args: &TrainArgs, data: &DataConfig) -> Result<(Mixture<SemanticSet>, Arc<SemanticSet>)> {
    let data_root = args.data_root.as_deref();
    let images = SemanticSet::open(data, Split::Train, data_root)?.mix(data, data_root)?;
    Ok((images, Arc::new(SemanticSet::open(data, Split::Val, data_root)?)))
}

/// Trains a network that gives every pixel a class, prints the last scores and writes the report.
fn train_pixels<R: Run<Classes = ClassTable>, T: PixelTask<Source = SemanticSource>>(
    args: &TrainArgs,
    out: &Path,
    session: &TaskSession<R>,
    task: &T,
    images: Mixture<SemanticSet>,
) -> Result<()> {
    let data = task.data();
    let (classes, mix) = (session.classes.len(), mix_lines(&images));
    let sizes = Sizes { classes, validation: task.validation().len(), mix };
    let source = SemanticSource::mixed(images, data);
    let trained = drive(args, out, session, task, source, &data.loader, &sizes)?;

    results::print_evaluation(&trained.summary.last, &session.classes);
    trained.say_best();
    let report =
        run_report::after_training(session, task, &trained.summary, trained.run.path(), &trained.best)?;
    trained.say_where(&report);
    Ok(())
}

/// What is said of a run besides its recipe.
pub struct Sizes {
    pub classes: usize,
    pub validation: usize,
    /// A line for each of the training sets, where there are several.
    pub mix: Vec<String>,
}

/// What is said of sets that are mixed.
pub fn mix_lines<S>(images: &Mixture<S>) -> Vec<String> {
    if images.parts().len() == 1 {
        return vec![];
    }
    images.shares().iter().map(ToString::to_string).collect()
}

/// A finished training.
pub struct Trained {
    /// The run's folder, still this process's own.
    pub run: RunDir,
    pub summary: Summary,
    /// The best weights.
    pub best: PathBuf,
}

impl Trained {
    pub fn say_best(&self) {
        output::line(&format!(
            "best {} {:.2} % at step {}; trained {} in all",
            self.summary.last.metric,
            self.summary.best.1 * 100.0,
            self.summary.best.0,
            output::duration(self.summary.wall_s)
        ));
    }

    pub fn say_where(&self, report: &Path) {
        output::line(&format!("weights  {}", self.best.display()));
        output::line(&format!("report   {}", report.display()));
    }
}

/// Trains whatever the task. Everything that can refuse the input has come before: this writes the first file of the run.
pub fn drive<R: Run, T: Task>(
    args: &TrainArgs,
    out: &Path,
    session: &TaskSession<R>,
    task: &T,
    source: T::Source,
    loader: &LoaderConfig,
    sizes: &Sizes,
) -> Result<Trained> {
    if let Some(init) = &session.config.train().init
        && !RunDir::has_checkpoint(out)?
    {
        init.plan(&session.store, &task.anatomy())?;
    }
    let stop = StopFlag::install()?;
    let run = RunDir::open(out, args.resume)?;
    refuse_another_recipe(&run, &session.config)?;
    write_facts(&run, session)?;
    describe(session, &source, loader, sizes, out);
    let trainer = Trainer {
        config: session.config.train(),
        task,
        store: &session.store,
        run: &run,
        source: Arc::new(source),
        loader,
        feed: Feed::to(session.device),
        about: BTreeMap::from([
            (CONFIG_KEY.to_string(), session.config.to_toml()),
            (CLASSES_KEY.to_string(), serde_json::to_string(&session.classes)?),
        ]),
        stop: stop.clone(),
    };
    let mut watch = TrainWatch::new(loader.batch_size);
    let summary = trainer.train(&mut watch)?;
    watch.finish();
    let best = run.checkpoints().join("best.safetensors");
    Ok(Trained { run, summary, best })
}

/// `--out`, or `runs/<recipe's folder>-<recipe's name>`.
fn out_folder(args: &TrainArgs) -> Result<PathBuf> {
    if let Some(out) = &args.out {
        return Ok(out.clone());
    }
    let Some(config) = &args.config else {
        bail!(InputError::new("pass --config FILE, or --resume with --out RUN"))
    };
    let name =
        |path: Option<&Path>| path.and_then(Path::file_stem).map(|name| name.to_string_lossy().into_owned());
    let words: Vec<String> = [name(config.parent()), name(Some(config))].into_iter().flatten().collect();
    Ok(Path::new("runs").join(words.join("-")))
}

/// The recipe of `--config`; when resuming without one, the run's own.
fn load_config(args: &TrainArgs, out: &Path) -> Result<AnyRun> {
    let changes = changes(args)?;
    match &args.config {
        Some(path) => Ok(AnyRun::load(path, &changes)?),
        None if args.resume => Ok(AnyRun::load(&out.join("config.toml"), &changes)?),
        None => bail!(InputError::new("pass --config FILE")),
    }
}

/// What the arguments change in the recipe: `--weights`, `--partial`, then `--set`.
fn changes(args: &TrainArgs) -> Result<Vec<String>> {
    let mut changes = Vec::new();
    if let Some(weights) = &args.weights {
        let Some(text) = weights.to_str() else {
            let shown = weights.display();
            bail!(InputError::new(format!("--weights {shown}: expected a path in UTF-8, as recipes hold")));
        };
        changes.push(format!("train.init.weights={}", toml::Value::from(text)));
    }
    if args.partial {
        changes.push("train.init.partial=true".to_owned());
    }
    changes.extend_from_slice(&args.set);
    Ok(changes)
}

/// A resumed run must continue with the recipe it began with.
fn refuse_another_recipe(run: &RunDir, config: &impl Run) -> Result<()> {
    let Some(before) = run.read_config()? else { return Ok(()) };
    let now = config.to_toml();
    if before == now {
        return Ok(());
    }
    let changed = before.lines().zip(now.lines()).find(|(a, b)| a != b);
    let (expected, got) = changed.unwrap_or(("as many lines as now", "another number of lines"));
    bail!(InputError::new(format!(
        "{}: this run was started with another recipe: expected `{expected}`, got `{got}`; start a new run with another --out",
        run.path().join("config.toml").display()
    )))
}

fn write_facts<R: Run>(run: &RunDir, session: &TaskSession<R>) -> Result<()> {
    run.write_config(&session.config.to_toml())?;
    let facts = runtime_facts()?;
    let device = format!("{:?}", session.device).to_lowercase();
    let start = Start {
        seed: session.config.train().seed,
        device: &device,
        libtorch: &facts.version,
        resumed_from: 0,
    };
    run.write_env(&EnvInfo::collect(&start))?;
    let classes = serde_json::to_vec_pretty(&session.classes)?;
    atomic::write_file(&run.path().join("class-table.json"), &classes)?;
    Ok(())
}

fn criterion(session: &Session, images: &Mixture<SemanticSet>) -> Result<SemanticLoss> {
    let config = &session.config.loss;
    let weights = if config.balance_power > 0.0 {
        let progress = output::Progress::new("count classes", images.len() as u64);
        let mut pixels = vec![0; session.classes.len()];
        for (part, share) in images.parts().iter().zip(images.shares()) {
            let stats = stats::stats(&part.set, &|| progress.inc(1))?;
            for (sum, class) in pixels.iter_mut().zip(&stats.classes) {
                *sum += (class.pixels as f64 * share.times) as u64; // as often as training sees them
            }
        }
        progress.finish();
        Some(balanced_weights(&pixels, config.balance_power))
    } else {
        config.class_weights.clone()
    };
    Ok(SemanticLoss::new(config.auxiliary_weight, weights.as_deref(), session.device))
}

fn describe<R: Run>(
    session: &TaskSession<R>,
    source: &impl Source,
    loader: &LoaderConfig,
    sizes: &Sizes,
    out: &Path,
) {
    let steps = session.config.train().steps;
    output::line(&format!(
        "{:.2} M parameters on {}, {} classes; {} training and {} validation images",
        session.parameters() as f64 / 1e6,
        format!("{:?}", session.device).to_lowercase(),
        sizes.classes,
        source.len(),
        sizes.validation
    ));
    for line in &sizes.mix {
        output::line(line);
    }
    output::line(&format!(
        "{steps} steps of batch {} = {:.1} epochs, into {}",
        loader.batch_size,
        steps as f64 * loader.batch_size as f64 / source.epoch_len(),
        out.display()
    ));
}
