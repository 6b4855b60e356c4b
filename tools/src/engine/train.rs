//! `smalti train`: from a recipe to a run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use smalti::cli::TrainArgs;
use smalti::output::{self, InputError};
use smalti_configs::RunConfig;
use smalti_datasets::{SemanticSet, Split, stats};
use smalti_heads::semantic_loss::{SemanticLoss, balanced_weights};
use smalti_ops::runtime::runtime_facts;
use smalti_training::env::{EnvInfo, Start};
use smalti_training::run_dir::RunDir;
use smalti_training::signals::StopFlag;
use smalti_training::{SemanticTask, Trainer, atomic};

use crate::session::{CLASSES_KEY, CONFIG_KEY, Session, data_set_classes};
use crate::watch::TrainWatch;
use crate::{results, run_report};

/// Runs the verb.
pub fn run(args: &TrainArgs) -> Result<()> {
    let out = out_folder(args)?;
    let config = load_config(args, &out)?;
    let data_root = args.data_root.as_deref();
    let classes = data_set_classes(&config, data_root)?;
    let images = Arc::new(SemanticSet::open(&config.data, Split::Train, data_root)?);
    let validation = Arc::new(SemanticSet::open(&config.data, Split::Val, data_root)?);

    // Everything that can refuse the input comes before the first file of the run.
    let session = Session::new(config, classes)?;
    let loss = criterion(&session, &images)?;

    let stop = StopFlag::install()?;
    let run = RunDir::open(&out, args.resume)?;
    refuse_another_recipe(&run, &session.config)?;
    write_facts(&run, &session)?;
    let task = SemanticTask {
        model: &session.model,
        loss,
        inference: session.config.inference.clone(),
        precision: session.config.train.precision,
        device: session.device,
        validation: Arc::clone(&validation),
        data: session.config.data.clone(),
    };
    describe(&session, &images, &validation, &out);
    let trainer = Trainer {
        config: &session.config.train,
        task: &task,
        store: &session.store,
        run: &run,
        images,
        data: &session.config.data,
        about: BTreeMap::from([
            (CONFIG_KEY.to_string(), session.config.to_toml()),
            (CLASSES_KEY.to_string(), serde_json::to_string(&session.classes)?),
        ]),
        stop: stop.clone(),
    };
    let mut watch = TrainWatch::new(session.config.data.loader.batch_size);
    let summary = trainer.train(&mut watch)?;
    watch.finish();

    results::print_evaluation(&summary.last, &session.classes);
    let best = run.checkpoints().join("best.safetensors");
    output::line(&format!(
        "best mIoU {:.2} % at step {}; trained {} in all",
        summary.best.1 * 100.0,
        summary.best.0,
        output::duration(summary.wall_s)
    ));
    let report = run_report::after_training(&session, &task, &summary, run.path(), &best)?;
    output::line(&format!("weights  {}", best.display()));
    output::line(&format!("report   {}", report.display()));
    Ok(())
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
fn load_config(args: &TrainArgs, out: &Path) -> Result<RunConfig> {
    match &args.config {
        Some(path) => Ok(RunConfig::load(path, &args.set)?),
        None if args.resume => Ok(RunConfig::load(&out.join("config.toml"), &args.set)?),
        None => bail!(InputError::new("pass --config FILE")),
    }
}

/// A resumed run must continue with the recipe it began with.
fn refuse_another_recipe(run: &RunDir, config: &RunConfig) -> Result<()> {
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

fn write_facts(run: &RunDir, session: &Session) -> Result<()> {
    run.write_config(&session.config.to_toml())?;
    let facts = runtime_facts()?;
    let device = format!("{:?}", session.device).to_lowercase();
    let start =
        Start { seed: session.config.train.seed, device: &device, libtorch: &facts.version, resumed_from: 0 };
    run.write_env(&EnvInfo::collect(&start))?;
    let classes = serde_json::to_vec_pretty(&session.classes)?;
    atomic::write_file(&run.path().join("class-table.json"), &classes)?;
    Ok(())
}

fn criterion(session: &Session, images: &Arc<SemanticSet>) -> Result<SemanticLoss> {
    let config = &session.config.loss;
    let weights = if config.balance_power > 0.0 {
        let progress = output::Progress::new("count classes", images.len() as u64);
        let stats = stats::stats(images, &|| progress.inc(1))?;
        progress.finish();
        let pixels: Vec<u64> = stats.classes.iter().map(|class| class.pixels).collect();
        Some(balanced_weights(&pixels, config.balance_power))
    } else {
        config.class_weights.clone()
    };
    Ok(SemanticLoss::new(config.auxiliary_weight, weights.as_deref(), session.device))
}

fn describe(session: &Session, images: &SemanticSet, validation: &SemanticSet, out: &Path) {
    let config = &session.config;
    output::line(&format!(
        "{:.2} M parameters on {}, {} classes; {} training and {} validation images",
        session.parameters() as f64 / 1e6,
        format!("{:?}", session.device).to_lowercase(),
        session.classes.len(),
        images.len(),
        validation.len()
    ));
    output::line(&format!(
        "{} steps of batch {} = {:.1} epochs, into {}",
        config.train.steps,
        config.data.loader.batch_size,
        config.train.steps as f64 * config.data.loader.batch_size as f64 / images.len() as f64,
        out.display()
    ));
}
