//! `smalti data check`.

use anyhow::{Result, bail};
use serde::Serialize;
use smalti_datasets::check::{CheckReport, check};
use smalti_datasets::{DataConfig, DataError, ImageDataConfig, ImageFolder, SemanticSet, Split};

use super::{DataTable, data_table};
use crate::cli::{CheckArgs, SplitArg};
use crate::output::table::Rows;
use crate::output::{self, InputError, Progress, thousands};

/// How many files of each kind are listed; the JSON has all.
const SHOWN: usize = 10;

#[derive(Serialize)]
struct Checked {
    trainable: bool,
    splits: Vec<CheckReport>,
}

/// Runs the verb.
pub fn run(args: &CheckArgs) -> Result<()> {
    match data_table(&args.data)? {
        DataTable::Semantic(config) => semantic(args, &config),
        DataTable::Classification(config) => classification(args, &config),
    }
}

fn semantic(args: &CheckArgs, config: &DataConfig) -> Result<()> {
    let mut splits = Vec::new();
    for &split in args.split.splits() {
        let set = SemanticSet::scan(config, split, args.data.data_root.as_deref())?;
        let bar = Progress::new(&format!("check {split}"), set.len() as u64);
        let report = check(&set, &|| bar.inc(1));
        bar.finish();
        print(&report, &set);
        splits.push(report);
    }
    let checked = Checked { trainable: splits.iter().all(CheckReport::trainable), splits };
    if let Some(path) = &args.json {
        output::write_json(path, &checked)?;
    }
    conclude(args, checked.trainable)
}

fn conclude(args: &CheckArgs, trainable: bool) -> Result<()> {
    if !trainable {
        bail!(InputError::new(format!(
            "{}: this set can't be trained on as it is",
            args.data.config.display()
        )));
    }
    output::line("this set can be trained on");
    Ok(())
}

/// What `data check` says of one split of a classification set.
#[derive(Serialize)]
struct CheckedImages {
    split: Split,
    images: usize,
    classes: usize,
    unreadable: Vec<String>,
}

#[derive(Serialize)]
struct CheckedFolders {
    trainable: bool,
    splits: Vec<CheckedImages>,
}

/// Reads every image; folders that do not fit are errors of their own.
fn classification(args: &CheckArgs, config: &ImageDataConfig) -> Result<()> {
    let data_root = args.data.data_root.as_deref();
    let sets = match args.split {
        SplitArg::All => Vec::from(ImageFolder::open_both(config, data_root)?),
        SplitArg::Train => vec![ImageFolder::open(config, Split::Train, data_root)?],
        SplitArg::Val => vec![ImageFolder::open(config, Split::Val, data_root)?],
    };
    let mut splits = Vec::new();
    for set in &sets {
        let bar = Progress::new(&format!("check {}", set.split()), set.len() as u64);
        let unreadable: Vec<String> =
            set.unreadable(&|| bar.inc(1)).iter().map(DataError::full_message).collect();
        bar.finish();
        let (images, classes) = (set.len(), set.classes().len());
        output::line(&format!(
            "{}: {} of {images} images are good, {classes} classes",
            set.split(),
            images - unreadable.len()
        ));
        unreadable.iter().take(SHOWN).for_each(|text| output::line(&format!("    {text}")));
        if unreadable.len() > SHOWN {
            output::line(&format!("    and {} more", unreadable.len() - SHOWN));
        }
        splits.push(CheckedImages { split: set.split(), images, classes, unreadable });
    }
    let trainable = splits.iter().all(|split| split.unreadable.is_empty());
    if let Some(path) = &args.json {
        output::write_json(path, &CheckedFolders { trainable, splits })?;
    }
    conclude(args, trainable)
}

fn print(report: &CheckReport, set: &SemanticSet) {
    output::line(&format!("{}: {} of {} pairs are good", report.split, report.good, report.images));
    let list = |title: &str, items: &mut dyn Iterator<Item = String>, count: usize| {
        if count == 0 {
            return;
        }
        output::line(&format!("  {title}: {count}"));
        items.take(SHOWN).for_each(|item| output::line(&format!("    {item}")));
        if count > SHOWN {
            output::line(&format!("    and {} more", count - SHOWN));
        }
    };
    list("files that do not pair", &mut report.listing.iter().map(ToString::to_string), report.listing.len());
    list(
        "unreadable files",
        &mut report.unreadable.iter().map(|bad| bad.error.clone()),
        report.unreadable.len(),
    );
    let sizes = report.size_mismatch.iter().map(|bad| {
        let ((lh, lw), (h, w)) = (bad.labels_size, bad.image_size);
        format!("{}: expected the image's {h}x{w}, got {lh}x{lw}", bad.labels.display())
    });
    list("labels of another size", &mut { sizes }, report.size_mismatch.len());
    let outside = report.outside.iter().map(|value| {
        format!(
            "value {}: {} pixels in {} label maps, first {}; expected {}",
            value.value,
            thousands(value.pixels),
            value.images,
            value.first.display(),
            set.mapping().expected()
        )
    });
    list("label values that are no class", &mut { outside }, report.outside.len());
    let ignored = report.all_ignored.iter().map(|path| path.display().to_string());
    list("label maps without any labelled pixel", &mut { ignored }, report.all_ignored.len());
    for hint in &report.hints {
        output::line(&format!("  try {}: {}", hint.setting, hint.reason));
    }
    let total: u64 = report.raw_values.iter().map(|value| value.pixels).sum();
    let mut rows = Rows::new(["raw value", "class", "pixels", "share %", "label maps"]).text_column(1);
    for value in &report.raw_values {
        let class = match set.mapping().class_of(value.value) {
            Some(smalti_datasets::IGNORE) => "ignored".to_string(),
            Some(id) => {
                set.classes().get(usize::from(id)).map_or_else(String::new, |class| class.name.clone())
            }
            None => "no class".to_string(),
        };
        rows.push([
            value.value.to_string(),
            class,
            thousands(value.pixels),
            format!("{:.2}", 100.0 * value.pixels as f64 / total.max(1) as f64),
            value.images.to_string(),
        ]);
    }
    rows.print();
}
