//! `smalti data prepare`.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Result, bail};
use smalti_datasets::DataError;
use smalti_datasets::prepare::{
    Ade20kOptions, Categories, CityscapesPanoptic, CityscapesTrainIds, DetectionToPanoptic,
    PanopticToDetection, PanopticToSemantic, Prepared, SemanticIds, SemanticOutput, Tick, ade20k_instances,
    ade20k_panoptic, ade20k_semantic, cityscapes_panoptic, cityscapes_train_ids, coco_detection_to_panoptic,
    coco_panoptic_to_detection, coco_panoptic_to_semantic,
};

use crate::cli::prepare::{
    Ade20kArgs, CityscapesPanopticArgs, CityscapesTrainIdsArgs, DetectionToPanopticArgs, IdsArg,
    PanopticToDetectionArgs, PanopticToSemanticArgs, PrepareVerb,
};
use crate::output::{self, InputError, Progress, thousands};

/// Runs the verb.
pub fn run(verb: &PrepareVerb) -> Result<()> {
    match verb {
        PrepareVerb::CocoPanopticToDetection(args) => panoptic_to_detection(args),
        PrepareVerb::CocoDetectionToPanoptic(args) => detection_to_panoptic(args),
        PrepareVerb::CocoPanopticToSemantic(args) => panoptic_to_semantic(args),
        PrepareVerb::CityscapesTrainIds(args) => train_ids(args),
        PrepareVerb::CityscapesPanoptic(args) => cityscapes(args),
        PrepareVerb::Ade20kSemantic(args) => ade20k(&args.set, "label maps", ade20k_semantic),
        PrepareVerb::Ade20kPanoptic(args) => ade20k(&args.set, "segments", ade20k_panoptic),
        PrepareVerb::Ade20kInstances(args) => ade20k(&args.set, "instances", ade20k_instances),
    }
}

fn panoptic_to_detection(args: &PanopticToDetectionArgs) -> Result<()> {
    let options = PanopticToDetection {
        json: args.json.clone(),
        png_dir: args.png_dir.clone(),
        out: args.out.clone(),
        things_only: args.things_only,
        first_id: args.first_id,
    };
    convert("annotations", |tick| coco_panoptic_to_detection(&options, tick))
}

fn detection_to_panoptic(args: &DetectionToPanopticArgs) -> Result<()> {
    let (categories, categories_from) = match &args.categories {
        Some(path) => (Categories::read(path)?, path.clone()),
        None => (Categories::coco(), PathBuf::from("COCO's categories")),
    };
    let options = DetectionToPanoptic {
        json: args.json.clone(),
        out: args.out.clone(),
        png_dir: args.out_dir.clone(),
        categories,
        categories_from,
    };
    convert("segments", |tick| coco_detection_to_panoptic(&options, tick))
}

fn panoptic_to_semantic(args: &PanopticToSemanticArgs) -> Result<()> {
    let ids = match args.ids {
        IdsArg::Contiguous => SemanticIds::Contiguous,
        IdsArg::Category => SemanticIds::Category,
        IdsArg::Stuff => SemanticIds::Stuff,
    };
    let (output, noun) = match (&args.out_dir, &args.out_json) {
        (Some(folder), _) => (SemanticOutput::Pngs { folder: folder.clone(), ids }, "label maps"),
        (None, Some(file)) => (SemanticOutput::Json(file.clone()), "annotations"),
        (None, None) => bail!(InputError::new("expected --out-dir or --out-json, got neither")),
    };
    let (json, png_dir) = (args.json.clone(), args.png_dir.clone());
    let options = PanopticToSemantic { json, png_dir, output, things_other: args.things_other };
    convert(noun, |tick| coco_panoptic_to_semantic(&options, tick))
}

fn train_ids(args: &CityscapesTrainIdsArgs) -> Result<()> {
    let options = CityscapesTrainIds { gt_dir: args.gt_dir.clone(), out: args.out.clone() };
    convert("label maps", |tick| cityscapes_train_ids(&options, tick))
}

fn cityscapes(args: &CityscapesPanopticArgs) -> Result<()> {
    let mut splits = args.split.clone();
    if splits.is_empty() {
        let there = |split: &&str| args.gt_dir.join(split).is_dir();
        splits = ["val", "train", "test"].iter().copied().filter(there).map(str::to_owned).collect();
    }
    if splits.is_empty() {
        let folder = args.gt_dir.display();
        bail!(InputError::new(format!("{folder}: expected folders val, train or test, found none")));
    }
    for split in splits {
        let (gt_dir, out) = (args.gt_dir.clone(), args.out.clone());
        let options = CityscapesPanoptic { gt_dir, split, out, train_ids: args.train_ids };
        convert("segments", |tick| cityscapes_panoptic(&options, tick))?;
    }
    Ok(())
}

fn ade20k(
    args: &Ade20kArgs,
    noun: &str,
    run: fn(&Ade20kOptions, Tick<'_>) -> Result<Prepared, DataError>,
) -> Result<()> {
    for &split in args.split.splits() {
        let options = Ade20kOptions { root: args.root.clone(), split, out: args.out.clone() };
        convert(noun, |tick| run(&options, tick))?;
    }
    Ok(())
}

/// Runs a conversion with a progress bar and sums it up in a line; `noun` is what is counted besides images.
fn convert(noun: &str, run: impl FnOnce(Tick<'_>) -> Result<Prepared, DataError>) -> Result<()> {
    let start = Instant::now();
    let bar: OnceLock<Progress> = OnceLock::new();
    let done = run(&|total| bar.get_or_init(|| Progress::new("convert", total)).inc(1));
    if let Some(bar) = bar.get() {
        bar.finish();
    }
    let done = done?;
    done.warnings.iter().for_each(|text| output::warning(text));
    let count = match done.annotations {
        0 if noun == "label maps" => format!("{} label maps", thousands(done.images)),
        count => format!("{} images, {} {noun}", thousands(done.images), thousands(count)),
    };
    output::line(&format!(
        "{}: {count}, in {}",
        done.out.display(),
        output::duration(start.elapsed().as_secs_f64())
    ));
    Ok(())
}
