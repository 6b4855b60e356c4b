//! Instance and panoptic sets.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use smalti_datasets::segment_set::check::{CategoryCount, SegmentCheck, SegmentReport, Severity, has_split};
use smalti_datasets::{SegmentDataConfig, SegmentSet, SegmentTask, Split};

use super::{Checked, Seen, conclude, mixture, of_mixed, present, rate, setting, shared};
use crate::cli::CheckArgs;
use crate::output::{self, Progress, thousands};
use crate::report::{Part, Section};
use crate::verbs::{noun, sizes_text, text_bar};

/// Reads every image with its masks.
pub fn run(args: &CheckArgs, config: &SegmentDataConfig, task: SegmentTask) -> Result<()> {
    let data_root = args.data.data_root.as_deref();
    let (mut splits, mut sections, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let mut categories = Vec::new();
    let (there, absent) = if args.data.annotations.is_some() {
        (vec![Split::Train], vec![])
    } else {
        present(args.split, |split| has_split(config, task, split, data_root))?
    };
    let mut mixed = BTreeMap::new();
    let mut mixable = true;
    for split in there {
        let start = Instant::now();
        let check = match (&args.data.images, &args.data.annotations) {
            (Some(images), Some(annotations)) => {
                SegmentCheck::open_files(images, annotations, args.data.labels.as_deref(), task)?
            }
            _ => SegmentCheck::open(config, task, split, data_root)?,
        };
        categories.push(check.category_names());
        let (report, mut of_split) = read(check, &split.to_string(), start);
        sections.push(section(&report));
        splits.push(report);
        if split == Split::Train && !config.mix.sets.is_empty() {
            for (key, config) in config.mixed() {
                let start = Instant::now();
                let check = SegmentCheck::open(&config, task, split, data_root)?;
                let (report, more) = read(check, &key, start);
                sections.push(of_mixed(&key, section(&report)));
                mixed.insert(key, report);
                of_split.extend(more);
            }
            // What single sets lack is told above.
            if splits.iter().chain(mixed.values()).all(SegmentReport::trainable) {
                let images = SegmentSet::open(config, task, split, data_root);
                let (section, fits) = mixture(images.and_then(|set| set.mix(config, data_root)));
                sections.push(section);
                mixable = fits;
            }
        }
        seen.push(of_split);
    }
    let same_categories = categories.windows(2).all(|pair| pair[0] == pair[1]);
    if !same_categories {
        let text =
            "a network is trained on one list of classes and scored on it: ids and names must be the same";
        let title = "train and val have different categories".into();
        sections.push(Section { title, parts: vec![Part::Text(text.into())] });
    }
    let good = splits.iter().chain(mixed.values()).all(SegmentReport::trainable);
    let trainable = same_categories && mixable && good;
    conclude(args, sections, &Checked { trainable, absent, splits, mixed, shared: shared(&seen) })
}

/// Reads every image of one set, whose lists have been read since `start`; `name` is what the progress bar calls it.
fn read(check: SegmentCheck, name: &str, start: Instant) -> (SegmentReport, Seen) {
    let paths = (0..check.len()).map(|i| check.image_path(i)).collect();
    let bar = Progress::new(&format!("check {name}"), check.len() as u64);
    let (report, prints) = check.run(&|| bar.inc(1));
    bar.finish();
    output::note(&rate(report.images, start));
    (report, Seen { paths, prints })
}

fn section(report: &SegmentReport) -> Section {
    let title = format!("{}: {} of {} images are good", report.name, report.good, report.images);
    let noun = noun(report.task);
    let void = match report.task {
        SegmentTask::Instance => String::new(),
        SegmentTask::Panoptic => {
            let share = 100.0 * report.void_pixels as f64 / report.pixels.max(1) as f64;
            format!(", {share:.2} % of the pixels void")
        }
    };
    let counts = format!(
        "{} {noun}, {} images without one{void}",
        thousands(report.objects),
        thousands(report.empty_images)
    );
    let mut parts = vec![Part::Text(counts), Part::Text(sizes_text(&report.sizes))];
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        parts.push(Part::List {
            title: format!("{severity}: {}", finding.kind.title()),
            count: finding.count,
            items: finding.examples.clone(),
        });
    }
    parts.extend(report.hints.iter().map(setting));
    parts.push(table(report, noun));
    Section { title, parts }
}

/// The categories that occur, and how many do not.
fn table(report: &SegmentReport, noun: &str) -> Part {
    let most = report.categories.iter().map(|category| category.objects).max().unwrap_or(0);
    let row = |category: &CategoryCount| {
        vec![
            category.id.to_string(),
            category.name.clone(),
            thousands(category.objects),
            text_bar(category.objects as f64 / most.max(1) as f64),
            thousands(category.images),
            thousands(category.pixels),
        ]
    };
    let header = ["id", "category", noun, "", "images", "pixels"].map(ToOwned::to_owned).to_vec();
    Part::Table { header, rows: report.categories.iter().map(row).collect(), text_columns: vec![1, 3] }
}
