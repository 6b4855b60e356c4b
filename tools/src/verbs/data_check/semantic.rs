//! Images with label maps.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use smalti_datasets::check::{CheckReport, ValueCount, check_with_prints};
use smalti_datasets::{DataConfig, IGNORE, SemanticSet, Split};

use super::{Checked, Seen, conclude, mixture, of_mixed, present, rate, setting, shared};
use crate::cli::CheckArgs;
use crate::output::{self, Progress, thousands};
use crate::report::{Part, Section};

/// Reads every pair.
pub fn run(args: &CheckArgs, config: &DataConfig) -> Result<()> {
    let data_root = args.data.data_root.as_deref();
    let (there, absent) = present(args.split, |split| SemanticSet::has_split(config, split, data_root))?;
    let (mut splits, mut sections, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let mut mixed = BTreeMap::new();
    let mut mixable = true;
    for split in there {
        let (report, section, mut of_split) = read(config, &split.to_string(), split, data_root)?;
        sections.push(section);
        splits.push(report);
        if split == Split::Train && !config.mix.sets.is_empty() {
            for (key, config) in config.mixed() {
                let (report, section, more) = read(&config, &key, split, data_root)?;
                sections.push(of_mixed(&key, section));
                mixed.insert(key, report);
                of_split.extend(more);
            }
            // What single sets lack is told above.
            if splits.iter().chain(mixed.values()).all(CheckReport::trainable) {
                let images =
                    SemanticSet::open(config, split, data_root).and_then(|set| set.mix(config, data_root));
                let (section, fits) = mixture(images);
                sections.push(section);
                mixable = fits;
            }
        }
        seen.push(of_split);
    }
    let trainable = mixable && splits.iter().chain(mixed.values()).all(CheckReport::trainable);
    conclude(args, sections, &Checked { trainable, absent, splits, mixed, shared: shared(&seen) })
}

/// Reads every pair of one set; `name` is what the progress bar calls it.
fn read(
    config: &DataConfig,
    name: &str,
    split: Split,
    data_root: Option<&Path>,
) -> Result<(CheckReport, Section, Seen)> {
    let start = Instant::now();
    let set = SemanticSet::scan(config, split, data_root)?;
    let bar = Progress::new(&format!("check {name}"), set.len() as u64);
    let (report, prints) = check_with_prints(&set, &|| bar.inc(1));
    bar.finish();
    output::note(&rate(set.len(), start));
    let section = section(&report, &set);
    let seen = Seen { paths: (0..set.len()).map(|i| set.paths(i).0.to_owned()).collect(), prints };
    Ok((report, section, seen))
}

fn section(report: &CheckReport, set: &SemanticSet) -> Section {
    let mut parts = Vec::new();
    let mut list = |title: &str, items: Vec<String>| {
        if !items.is_empty() {
            parts.push(Part::List { title: title.to_owned(), count: items.len() as u64, items });
        }
    };
    list("files that do not pair", report.listing.iter().map(ToString::to_string).collect());
    list("unreadable files", report.unreadable.iter().map(|bad| bad.error.clone()).collect());
    let sizes = report.size_mismatch.iter().map(|bad| {
        let ((lh, lw), (h, w)) = (bad.labels_size, bad.image_size);
        format!("{}: expected the image's {h}x{w}, got {lh}x{lw}", bad.labels.display())
    });
    list("labels of another size", sizes.collect());
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
    list("label values that are no class", outside.collect());
    let ignored = report.all_ignored.iter().map(|path| path.display().to_string());
    list("label maps without any labelled pixel", ignored.collect());
    list("images that are there more than once", report.copies.iter().map(ToString::to_string).collect());
    parts.extend(report.hints.iter().map(setting));
    parts.push(values(report, set));
    let title = format!("{}: {} of {} pairs are good", report.split, report.good, report.images);
    Section { title, parts }
}

/// The raw values that occur and what they mean.
fn values(report: &CheckReport, set: &SemanticSet) -> Part {
    let total: u64 = report.raw_values.iter().map(|value| value.pixels).sum();
    let row = |value: &ValueCount| {
        let class = match set.mapping().class_of(value.value) {
            Some(IGNORE) => "ignored".to_string(),
            Some(id) => {
                set.classes().get(usize::from(id)).map_or_else(String::new, |class| class.name.clone())
            }
            None => "no class".to_string(),
        };
        vec![
            value.value.to_string(),
            class,
            thousands(value.pixels),
            format!("{:.2}", 100.0 * value.pixels as f64 / total.max(1) as f64),
            value.images.to_string(),
        ]
    };
    let header = ["raw value", "class", "pixels", "share %", "label maps"].map(ToOwned::to_owned).to_vec();
    Part::Table { header, rows: report.raw_values.iter().map(row).collect(), text_columns: vec![1] }
}
