//! `smalti data stats`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Serialize;
use smalti_datasets::segment_set::check::has_split;
use smalti_datasets::segment_set::stats::{SegmentClassStats, SegmentStats, Spread, stats as segment_stats};
use smalti_datasets::stats::{ClassStats, SetStats, stats as stats_of};
use smalti_datasets::{
    ClassTable, DataConfig, Image, SegmentDataConfig, SegmentSet, SegmentTask, SemanticSet, Split,
};

use super::data_check::present;
use super::{DataTable, data_table, mix_section, no_label_maps, noun, sizes_text, text_bar};
use crate::cli::{SplitArg, StatsArgs};
use crate::draw::{self, Bar};
use crate::output::{self, InputError, Progress, thousands};
use crate::report::{Document, Part, Section};

/// Runs the verb.
pub fn run(args: &StatsArgs) -> Result<()> {
    if args.chart.is_some() && args.data.annotations.is_none() && args.split == SplitArg::All {
        bail!(InputError::new("--chart: expected one split, got both: add --split train or --split val"));
    }
    match data_table(&args.data)? {
        DataTable::Semantic(config) => semantic(args, &config),
        DataTable::Segments(config, task) => segments(args, &config, task),
        DataTable::Classification(_) => bail!(no_label_maps(&args.data, "data stats")),
    }
}

fn semantic(args: &StatsArgs, config: &DataConfig) -> Result<()> {
    let data_root = args.data.data_root.as_deref();
    let (there, absent) = present(args.split, |split| SemanticSet::has_split(config, split, data_root))?;
    let (mut all, mut sections) = (BTreeMap::new(), Vec::new());
    for split in there {
        let set = SemanticSet::open(config, split, data_root)?;
        let bar = Progress::new(&format!("read {split}"), set.len() as u64);
        let stats = stats_of(&set, &|| bar.inc(1))?;
        bar.finish();
        if let Some(path) = &args.chart {
            let shares = stats.classes.iter().map(|class| class.share);
            draw::write_png(path, &chart(set.classes(), shares))?;
        }
        sections.push(semantic_section(&split.to_string(), &stats));
        all.insert(split.to_string(), stats);
        if split == Split::Val || config.mix.sets.is_empty() {
            continue;
        }
        sections.push(mix_section(&set.mix(config, data_root)?));
        for (key, config) in config.mixed() {
            let set = SemanticSet::open(&config, split, data_root)?;
            let bar = Progress::new(&format!("read {key}"), set.len() as u64);
            let stats = stats_of(&set, &|| bar.inc(1))?;
            bar.finish();
            sections.push(semantic_section(&format!("{key}, {}", config.files), &stats));
            all.insert(key, stats);
        }
    }
    conclude(args, sections, &all, &absent)
}

fn segments(args: &StatsArgs, config: &SegmentDataConfig, task: SegmentTask) -> Result<()> {
    let data_root = args.data.data_root.as_deref();
    let (there, absent) = if args.data.annotations.is_some() {
        (vec![Split::Train], vec![])
    } else {
        present(args.split, |split| has_split(config, task, split, data_root))?
    };
    let (mut all, mut sections) = (BTreeMap::new(), Vec::new());
    for split in there {
        let set = SegmentSet::open(config, task, split, data_root)?;
        let bar = Progress::new(&format!("read {split}"), set.len() as u64);
        let stats = segment_stats(&set, &|| bar.inc(1))?;
        bar.finish();
        if let Some(path) = &args.chart {
            let shares = stats.classes.iter().map(|class| class.share);
            draw::write_png(path, &chart(set.classes(), shares))?;
        }
        sections.push(segment_section(&split.to_string(), &stats));
        all.insert(split.to_string(), stats);
        if split == Split::Val || config.mix.sets.is_empty() {
            continue;
        }
        sections.push(mix_section(&set.mix(config, data_root)?));
        for (key, config) in config.mixed() {
            let set = SegmentSet::open(&config, task, split, data_root)?;
            let bar = Progress::new(&format!("read {key}"), set.len() as u64);
            let stats = segment_stats(&set, &|| bar.inc(1))?;
            bar.finish();
            sections.push(segment_section(&format!("{key}, {}", config.files), &stats));
            all.insert(key, stats);
        }
    }
    conclude(args, sections, &all, &absent)
}

fn conclude<T: Serialize>(
    args: &StatsArgs,
    sections: Vec<Section>,
    all: &BTreeMap<String, T>,
    absent: &[Split],
) -> Result<()> {
    let document = Document { kind: "Smalti data statistics", title: args.data.name(), sections };
    document.print();
    for split in absent {
        output::line(&format!("{split}: not there"));
    }
    if let Some(path) = &args.json {
        output::write_json(path, all)?;
    }
    if let Some(path) = &args.html {
        document.write_html(path)?;
    }
    Ok(())
}

/// The histogram of the classes as a picture.
fn chart(classes: &ClassTable, shares: impl Iterator<Item = f64>) -> Image {
    let bars = classes.iter().zip(shares);
    let bars = bars.map(|(info, share)| Bar { name: info.name.clone(), color: info.color, share });
    draw::class_histogram(&bars.collect::<Vec<_>>())
}

fn table<const N: usize>(header: [&str; N], rows: Vec<Vec<String>>, bars: usize) -> Part {
    Part::Table { header: header.map(ToOwned::to_owned).to_vec(), rows, text_columns: vec![bars] }
}

fn normalization(mean: [f64; 3], std: [f64; 3]) -> Part {
    let list = |values: [f64; 3]| values.map(|value| format!("{value:.2}")).join(", ");
    Part::Text(format!("[data.normalize] for this set: mean = [{}], std = [{}]", list(mean), list(std)))
}

fn percent_of(part: u64, all: u64) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
}

fn semantic_section(name: &str, stats: &SetStats) -> Section {
    let most = stats.classes.iter().map(|class| class.share).fold(f64::MIN_POSITIVE, f64::max);
    let row = |class: &ClassStats| {
        vec![
            class.name.clone(),
            thousands(class.pixels),
            format!("{:.2}", class.share * 100.0),
            text_bar(class.share / most),
            class.images.to_string(),
            format!("{:.1}", percent_of(class.images, stats.images)),
        ]
    };
    let title = format!(
        "{name}: {} images, {} pixels, {:.2} % of them ignored",
        stats.images,
        thousands(stats.pixels),
        percent_of(stats.ignored_pixels, stats.pixels)
    );
    let header = ["class", "pixels", "share %", "", "images", "in % of images"];
    let rows = stats.classes.iter().map(row).collect();
    let parts = vec![
        table(header, rows, 3),
        Part::Text(sizes_text(&stats.sizes)),
        normalization(stats.mean, stats.std),
    ];
    Section { title, parts }
}

fn segment_section(name: &str, stats: &SegmentStats) -> Section {
    let noun = noun(stats.task);
    let most = stats.classes.iter().map(|class| class.share).fold(f64::MIN_POSITIVE, f64::max);
    let row = |class: &SegmentClassStats| {
        vec![
            class.name.clone(),
            if class.is_thing { "thing" } else { "stuff" }.to_owned(),
            thousands(class.objects),
            class.images.to_string(),
            thousands(class.pixels),
            format!("{:.2}", class.share * 100.0),
            text_bar(class.share / most),
        ]
    };
    let title = format!(
        "{name}: {} images, {} {noun}, {} of them crowds",
        stats.images,
        thousands(stats.objects),
        stats.crowds
    );
    let spread = |name: &str, of: &Spread| {
        Part::Text(format!(
            "{name}: {} to {}, median {}, half of them {} to {}, mean {:.1}",
            thousands(of.min),
            thousands(of.max),
            thousands(of.median),
            thousands(of.quarter),
            thousands(of.three_quarters),
            of.mean
        ))
    };
    let [small, medium, large] = stats.by_size.map(|count| percent_of(count, stats.objects));
    let header = ["class", "kind", noun, "images", "pixels", "share %", ""];
    let mut parts = vec![Part::Table {
        header: header.map(ToOwned::to_owned).to_vec(),
        rows: stats.classes.iter().map(row).collect(),
        text_columns: vec![1, 6],
    }];
    parts.push(spread(&format!("{noun} an image"), &stats.objects_per_image));
    parts.push(spread("pixels of one", &stats.areas));
    parts.push(Part::Text(format!(
        "small (below 32x32): {small:.1} %, medium (below 96x96): {medium:.1} %, large: {large:.1} %"
    )));
    let void = percent_of(stats.void_pixels, stats.pixels);
    let empty = format!("images without one: {}", stats.empty_images);
    parts.push(Part::Text(match stats.task {
        SegmentTask::Instance => empty,
        SegmentTask::Panoptic => format!("{empty}; pixels without a segment: {void:.2} %"),
    }));
    parts.extend([Part::Text(sizes_text(&stats.sizes)), normalization(stats.mean, stats.std)]);
    Section { title, parts }
}
