//! `smalti data stats`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use smalti_datasets::stats::{ClassStats, SetStats, stats};
use smalti_datasets::{ClassInfo, ClassTable, Image, SemanticSet, Split};

use super::data_config;
use crate::cli::{SplitArg, StatsArgs};
use crate::draw::{self, Bar};
use crate::output::table::Rows;
use crate::output::{self, InputError, Progress, thousands};

/// Sizes listed; the JSON has all.
const SIZES: usize = 8;

/// Runs the verb.
pub fn run(args: &StatsArgs) -> Result<()> {
    if args.chart.is_some() && args.split == SplitArg::All {
        bail!(InputError::new("--chart: expected one split, got both: add --split train or --split val"));
    }
    let config = data_config(&args.data, "data stats")?;
    let mut all = BTreeMap::new();
    for &split in args.split.splits() {
        let set = SemanticSet::open(&config, split, args.data.data_root.as_deref())?;
        let bar = Progress::new(&format!("read {split}"), set.len() as u64);
        let stats = stats(&set, &|| bar.inc(1))?;
        bar.finish();
        print(split, &stats);
        if let Some(path) = &args.chart {
            draw::write_png(path, &chart(&stats, set.classes()))?;
        }
        all.insert(split.to_string(), stats);
    }
    if let Some(path) = &args.json {
        output::write_json(path, &all)?;
    }
    Ok(())
}

/// The histogram of the classes as a picture.
fn chart(stats: &SetStats, classes: &ClassTable) -> Image {
    let bar = |(class, info): (&ClassStats, &ClassInfo)| Bar {
        name: class.name.clone(),
        color: info.color,
        share: class.share,
    };
    draw::class_histogram(&stats.classes.iter().zip(classes).map(bar).collect::<Vec<_>>())
}

fn print(split: Split, stats: &SetStats) {
    let mut rows = Rows::new(["class", "pixels", "share %", "images", "in % of images"]);
    for class in &stats.classes {
        rows.push([
            class.name.clone(),
            thousands(class.pixels),
            format!("{:.2}", class.share * 100.0),
            class.images.to_string(),
            format!("{:.1}", 100.0 * class.images as f64 / stats.images.max(1) as f64),
        ]);
    }
    rows.print();
    let ignored = 100.0 * stats.ignored_pixels as f64 / stats.pixels.max(1) as f64;
    output::line(&format!(
        "{split}: {} images, {} pixels, {ignored:.2} % of them ignored",
        stats.images,
        thousands(stats.pixels)
    ));
    let sizes = stats
        .sizes
        .iter()
        .take(SIZES)
        .map(|size| format!("{}x{} ({})", size.height, size.width, size.images));
    let more = stats.sizes.len().saturating_sub(SIZES);
    let more = if more > 0 { format!(", and {more} more sizes") } else { String::new() };
    output::line(&format!("sizes (images): {}{more}", sizes.collect::<Vec<_>>().join(", ")));
    let list = |values: [f64; 3]| values.map(|value| format!("{value:.2}")).join(", ");
    output::line(&format!(
        "[data.normalize] for this set: mean = [{}], std = [{}]",
        list(stats.mean),
        list(stats.std)
    ));
}
