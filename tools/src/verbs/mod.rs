//! The verbs that need no tensor.

mod bench_loader;
mod data_check;
mod data_prepare;
mod data_show;
mod data_stats;
mod data_synth;
mod score;
mod weights_inspect;
#[cfg(feature = "torch")]
mod weights_pull;
mod weights_source;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use smalti_datasets::segment_set::check::task_of;
use smalti_datasets::segment_set::{AnnotatedFiles, AnnotatedSplit, SegmentFiles};
use smalti_datasets::stats::SizeCount;
use smalti_datasets::transform::segments::SegmentEvalConfig;
use smalti_datasets::{
    DataConfig, ImageDataConfig, LoaderConfig, Mix, Mixture, NormalizeConfig, Recipe, SegmentDataConfig,
    SegmentTask,
};

use crate::cli::{DataVerb, SetArgs};
use crate::output::InputError;
use crate::report::{Part, Section};

pub use bench_loader::run as bench_loader;
pub use score::score;
pub use weights_inspect::run as weights_inspect;
#[cfg(feature = "torch")]
pub use weights_pull::run as weights_pull;
pub use weights_source::resolve as weights_source;

/// Runs `smalti data ...`.
pub fn data(command: &DataVerb) -> Result<()> {
    match command {
        DataVerb::Synth(args) => data_synth::run(args),
        DataVerb::Check(args) => data_check::run(args),
        DataVerb::Show(args) => data_show::run(args),
        DataVerb::Stats(args) => data_stats::run(args),
        DataVerb::Prepare(verb) => data_prepare::run(verb),
    }
}

/// The `[data]` table of a recipe, by the recipe's task; checked.
enum DataTable {
    Semantic(DataConfig),
    Classification(ImageDataConfig),
    Segments(Box<SegmentDataConfig>, SegmentTask),
}

/// Values of a recipe's `task`.
const TASKS: [&str; 4] = ["semantic", "classification", "panoptic", "instance"];

fn data_table(args: &SetArgs) -> Result<DataTable> {
    args.config.as_ref().map_or_else(|| bare_files(args), |path| recipe_table(path, &args.set))
}

/// The `[data]` table of a recipe with `path=value` overrides.
fn recipe_table(path: &Path, overrides: &[String]) -> Result<DataTable> {
    let recipe = Recipe::load(path, overrides)?;
    let segments = |task| -> Result<DataTable> {
        let config: SegmentDataConfig = recipe.table("data")?;
        config.validate(task)?;
        Ok(DataTable::Segments(Box::new(config), task))
    };
    match recipe.value().get("task").map(|task| task.as_str().unwrap_or_default()) {
        None | Some("semantic") => {
            let config: DataConfig = recipe.table("data")?;
            config.validate()?;
            Ok(DataTable::Semantic(config))
        }
        Some("classification") => {
            let config: ImageDataConfig = recipe.table("data")?;
            config.validate()?;
            Ok(DataTable::Classification(config))
        }
        Some("panoptic") => segments(SegmentTask::Panoptic),
        Some("instance") => segments(SegmentTask::Instance),
        Some(other) => {
            let expected = TASKS.map(|task| format!("{task:?}")).join(", ");
            bail!(InputError::new(format!(
                "{}: `task`: expected one of {expected}, got {other:?}",
                path.display()
            )))
        }
    }
}

/// The table of `--images`, `--annotations` and `--labels`, as that of training files.
fn bare_files(args: &SetArgs) -> Result<DataTable> {
    let (Some(images), Some(annotations)) = (&args.images, &args.annotations) else {
        bail!(InputError::new("expected --config, or --images and --annotations"));
    };
    let task = match (&args.labels, task_of(annotations)?) {
        (Some(_), _) => SegmentTask::Panoptic,
        (None, found) => found.unwrap_or(SegmentTask::Instance),
    };
    let absolute = |path: &Path| -> Result<PathBuf> {
        std::path::absolute(path).with_context(|| format!("{}: no path", path.display()))
    };
    let annotations = absolute(annotations)?;
    let root = annotations.parent().unwrap_or(Path::new("/")).to_owned();
    let labels = args.labels.as_deref().map(absolute).transpose()?;
    let train = AnnotatedSplit {
        images: Some(absolute(images)?),
        annotations: Some(annotations),
        labels,
        first: None,
    };
    let files = AnnotatedFiles { root, train, val: AnnotatedSplit::default() };
    let config = SegmentDataConfig {
        files: SegmentFiles::Own(files),
        mix: Mix::default(),
        loader: LoaderConfig::default(),
        normalize: NormalizeConfig::default(),
        augment: vec![],
        eval: SegmentEvalConfig::default(),
    };
    config.validate(task)?;
    Ok(DataTable::Segments(Box::new(config), task))
}

/// What a verb about pixels says of class folders.
fn no_label_maps(args: &SetArgs, verb: &str) -> InputError {
    InputError::new(format!(
        "{}: `{verb}` looks at label maps and masks, and the recipe's task is classification; `data check` reads its images",
        args.name()
    ))
}

/// The shares of training sets that are mixed.
fn mix_section<S>(images: &Mixture<S>) -> Section {
    let parts = images.shares().iter().map(|share| Part::Text(share.to_string())).collect();
    Section { title: format!("training mixes {} sets", images.parts().len()), parts }
}

/// What the objects of a task are called.
fn noun(task: SegmentTask) -> &'static str {
    match task {
        SegmentTask::Instance => "instances",
        SegmentTask::Panoptic => "segments",
    }
}

/// Sizes listed; the JSON has all.
const SIZES: usize = 8;

/// The most frequent sizes in a line.
fn sizes_text(sizes: &[SizeCount]) -> String {
    let of = |size: &SizeCount| format!("{}x{} ({})", size.height, size.width, size.images);
    let most: Vec<String> = sizes.iter().take(SIZES).map(of).collect();
    let more = sizes.len().saturating_sub(SIZES);
    let more = if more > 0 { format!(", and {more} more sizes") } else { String::new() };
    format!("sizes (images): {}{more}", most.join(", "))
}

/// A bar of up to 20 signs for a number from 0 to 1; what is above 0 has one.
fn text_bar(share: f64) -> String {
    let length = (20.0 * share.clamp(0.0, 1.0)).round() as usize;
    "\u{2588}".repeat(if share > 0.0 { length.max(1) } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_tell_rare_from_absent() {
        assert_eq!(
            [0.0, 0.001, 0.5, 1.0, 7.0].map(|share| text_bar(share).chars().count()),
            [0, 1, 10, 20, 20]
        );
    }

    #[test]
    fn many_sizes_are_cut() {
        let sizes: Vec<SizeCount> = (1..=10).map(|n| SizeCount { height: n, width: 2, images: 3 }).collect();
        assert_eq!(sizes_text(&sizes[..1]), "sizes (images): 1x2 (3)");
        assert!(sizes_text(&sizes).ends_with("8x2 (3), and 2 more sizes"));
    }
}
