//! Image classifiers: what `train`, `eval` and `predict` do for recipes with `task = "classification"`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::Serialize;
use smalti::cli::{EvalArgs, PredictArgs, TrainArgs};
use smalti::draw;
use smalti::output::{self, InputError, Progress, Rows, percent};
use smalti::report::{self, ClassColumn, ClassRow, ClassTable, Picture, ReportInputs};
use smalti_configs::ClassificationRun;
use smalti_datasets::image_folder::{ClassFolders, ClassifiedImage, ImageBatch, ImageClass};
use smalti_datasets::transform::ImagePipeline;
use smalti_datasets::{Image, ImageFolder, ImageSource, Shard, Split, decode};
use smalti_evaluation::classification::{ClassificationCounts, ClassificationScores};
use smalti_training::trainer::Summary;
use smalti_training::{ClassificationTask, Evaluation, classification};

use crate::eval::parts::{self, Evaluated};
use crate::run_report;
use crate::session::TaskSession;
use crate::train::{Sizes, drive};

type Session = TaskSession<ClassificationRun>;

/// Classes that `predict` names.
const SHOWN: usize = 5;

/// Trains, prints the last scores and writes the report.
pub fn train(args: &TrainArgs, out: &Path, config: ClassificationRun) -> Result<()> {
    let [images, validation] = ImageFolder::open_both(&config.data, args.data_root.as_deref())?;
    let session = Session::new(config, images.classes().clone())?;
    let task = task(&session, validation);
    let source = ImageSource::new(Arc::new(images), &session.config.data);
    let sizes = Sizes { classes: session.classes.len(), validation: task.validation.len(), mix: vec![] };
    let trained = drive(args, out, &session, &task, source, &session.config.data.loader, &sizes)?;

    let value = |name: &str| trained.summary.last.record.get(name)?.as_f64();
    headline(["top1", "top5", "mAcc"].map(|name| (name, value(name))));
    trained.say_best();
    let report = write_report(&session, &task, &trained.summary, trained.run.path(), &trained.best)?;
    trained.say_where(&report);
    Ok(())
}

/// Scores weights on the validation images.
pub fn eval(args: &EvalArgs) -> Result<()> {
    if args.save_predictions.is_some() {
        bail!(InputError::new(
            "--save-predictions writes label maps, which a classifier has none of; `smalti predict` writes classes"
        ));
    }
    if args.pictures.is_some() {
        bail!(InputError::new(
            "--pictures paints classes over pixels, which a classifier has none of; the report of a training has pictures"
        ));
    }
    let data_root = args.data_root.as_deref();
    let session = Session::with_weights(&args.weights, args.config.as_deref(), &args.set, data_root)?;
    let validation = ImageFolder::open(&session.config.data, Split::Val, data_root)?;
    validation.expect_classes(&session.classes, &args.weights.display().to_string())?;
    let task = task(&session, validation);
    let set = &task.validation;
    let evaluated = || {
        let names = (0..set.len()).map(|i| set.name(i));
        let classes = set.classes().iter().map(|class| class.folder.clone());
        Evaluated::new(&args.weights, &session.config.to_toml(), names, classes)
    };
    let counted = parts::counted(args, evaluated, || Ok(task.counter()), |share| count(&task, share.shard))?;
    let Some(counted) = counted else { return Ok(()) };
    let scores = task.scores(&counted.counts)?;
    print_scores(&scores, &session.classes);
    if let Some(path) = &args.json {
        output::write_json(path, &scores)?;
    }
    Ok(())
}

/// Counts a shard.
fn count(task: &ClassificationTask<'_>, shard: Shard) -> Result<ClassificationCounts> {
    let images = shard.images(task.validation.len(), task.data.loader.batch_size.max(1));
    let bar = Progress::new("evaluate", images as u64);
    let counted = task.count(shard, &mut |done, _| {
        bar.set_position(done as u64);
        true
    })?;
    let Some(counted) = counted else { bail!("the evaluation was stopped") };
    bar.finish();
    Ok(counted)
}

fn task(session: &Session, validation: ImageFolder) -> ClassificationTask<'_> {
    ClassificationTask {
        model: &session.model,
        loss: session.config.loss,
        precision: session.config.train.precision,
        device: session.device,
        validation: Arc::new(validation),
        data: session.config.data.clone(),
    }
}

/// Classes that a table lists; the JSON has all.
const LISTED: usize = 40;

fn print_scores(scores: &ClassificationScores, classes: &ClassFolders) {
    let mut rows = Rows::new(["class", "images", "top1 %", "top5 %"]);
    for (class, scores) in classes.iter().zip(&scores.classes).take(LISTED) {
        let (top1, top5) = (percent(scores.top1), percent(scores.top5));
        rows.push([class.name.clone(), scores.images.to_string(), top1, top5]);
    }
    rows.print();
    if classes.len() > LISTED {
        output::line(&format!("and {} more classes; --json FILE has all", classes.len() - LISTED));
    }
    headline(scores.metrics.named());
}

fn headline(metrics: [(&str, Option<f64>); 3]) {
    output::line(&metrics.map(|(name, value)| format!("{name} {} %", percent(value))).join("   "));
}

/// One image of `predictions.json`.
#[derive(Serialize)]
struct Prediction {
    image: PathBuf,
    /// The likeliest classes, best first.
    classes: Vec<Likely>,
}

#[derive(Serialize)]
struct Likely {
    class: String,
    name: String,
    probability: f64,
}

/// Prints the likeliest classes of images and writes them to `predictions.json`; returns what could not be read.
pub fn predict(args: &PredictArgs, inputs: &[PathBuf]) -> Result<Vec<smalti_datasets::DataError>> {
    let session = Session::with_weights(&args.weights, args.config.as_deref(), &args.set, None)?;
    output::create_dir(&args.out)?;
    let pipeline = ImagePipeline::new(&session.config.data);
    let bar = Progress::new("predict", inputs.len() as u64);
    let (mut predictions, mut failures) = (Vec::new(), Vec::new());
    for path in inputs {
        match decode::image(path) {
            Ok(image) => {
                let classes = likely(&session, &pipeline, &image)?;
                let texts: Vec<String> = classes
                    .iter()
                    .map(|likely| format!("{} {:.1} %", likely.name, likely.probability * 100.0))
                    .collect();
                output::line(&format!("{}: {}", path.display(), texts.join(", ")));
                predictions.push(Prediction { image: path.clone(), classes });
            }
            Err(error) => failures.push(error),
        }
        bar.inc(1);
    }
    bar.finish();
    let file = args.out.join("predictions.json");
    output::write_json(&file, &predictions)?;
    output::line(&format!("{} images: {}", predictions.len(), file.display()));
    Ok(failures)
}

/// The likeliest classes of an image with their softmax probabilities, best first.
fn likely(session: &Session, pipeline: &ImagePipeline, image: &Image) -> Result<Vec<Likely>> {
    let view = ClassifiedImage { name: String::new(), image: pipeline.eval(image), class: 0 };
    let batch = ImageBatch::stack(vec![view]);
    let precision = session.config.train.precision;
    let logits = classification::logits(&session.model, precision, &batch, session.device)?;
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|logit| f64::from(logit - highest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut ranked: Vec<(usize, (&ImageClass, f64))> =
        session.classes.iter().zip(weights.iter().map(|weight| weight / total)).enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.1.total_cmp(&a.1)); // stable: of equals the lower id first
    let likely = |(id, (class, probability)): (usize, (&ImageClass, f64))| Likely {
        // Weights from elsewhere know no folders.
        class: if class.folder.is_empty() { id.to_string() } else { class.folder.clone() },
        name: class.name.clone(),
        probability,
    };
    Ok(ranked.into_iter().take(SHOWN).map(likely).collect())
}

fn write_report(
    session: &Session,
    task: &ClassificationTask<'_>,
    summary: &Summary,
    run: &Path,
    best: &Path,
) -> Result<PathBuf> {
    let path = run.join("report.html");
    let config = &session.config;
    let batch_size = config.data.loader.batch_size;
    let inputs = ReportInputs {
        title: run_report::title(run),
        subtitle: format!("image classification, {}", config.data.root.display()),
        facts: run_report::facts(session, batch_size, task.validation.len(), summary, best),
        metrics: ["top1", "top5", "mAcc"]
            .iter()
            .map(|name| run_report::metric(&summary.last, name))
            .collect(),
        classes: class_table(session, &summary.last),
        pictures: pictures(session, &task.validation)?,
        config_toml: config.to_toml(),
        next: run_report::next_commands(best),
    };
    report::write(&path, Some(&run.join("metrics.jsonl")), &inputs)?;
    Ok(path)
}

fn class_table(session: &Session, evaluation: &Evaluation) -> ClassTable {
    let columns = vec![
        ClassColumn {
            name: "top1",
            hint: "share of its images for which it is the likeliest",
            is_score: true,
        },
        ClassColumn { name: "top5", hint: "share with it among the five likeliest", is_score: true },
        ClassColumn { name: "Images", hint: "share of all images", is_score: false },
    ];
    let row = |class: &ImageClass| ClassRow {
        name: class.name.clone(),
        color: None,
        values: ["top1", "top5", "share"]
            .map(|key| run_report::of_class(evaluation, &class.folder, key))
            .to_vec(),
    };
    ClassTable { columns, rows: session.classes.iter().map(row).collect() }
}

/// Views of images spread over the validation set, with the likeliest classes.
fn pictures(session: &Session, set: &ImageFolder) -> Result<Vec<Picture>> {
    let pipeline = ImagePipeline::new(&session.config.data);
    let count = set.len().min(run_report::PICTURES);
    (0..count)
        .map(|i| {
            let index = i * set.len() / count;
            let image = set.load(index)?;
            let truth = set.classes().get(set.class_of(index) as usize);
            let texts: Vec<String> = likely(session, &pipeline, &image)?
                .iter()
                .take(3)
                .map(|likely| format!("{} {:.0} %", likely.name, likely.probability * 100.0))
                .collect();
            let truth = truth.map_or("?", |class| class.name.as_str());
            Ok(Picture {
                title: set.name(index),
                caption: format!("{truth}; predicted {}", texts.join(", ")),
                png: draw::png_bytes(&pipeline.eval_view(&image))?,
            })
        })
        .collect()
}
