//! Class folders.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use smalti_datasets::likeness::Copies;
use smalti_datasets::{DataError, ImageDataConfig, ImageFolder, Split};

use super::{Checked, Seen, conclude, present, rate, shared};
use crate::cli::CheckArgs;
use crate::output::{self, Progress};
use crate::report::{Part, Section};

/// What is said of one split.
#[derive(Serialize)]
struct CheckedImages {
    split: Split,
    images: usize,
    classes: usize,
    unreadable: Vec<String>,
    /// Images that a class has more than once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    copies: Vec<Copies>,
    /// Images that several classes have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contradictions: Vec<Copies>,
}

/// Reads every image; folders that do not fit are errors of their own.
pub fn run(args: &CheckArgs, config: &ImageDataConfig) -> Result<()> {
    let data_root = args.data.data_root.as_deref();
    let (there, absent) = present(args.split, |split| ImageFolder::has_split(config, split, data_root))?;
    let sets = if there.len() == 2 {
        Vec::from(ImageFolder::open_both(config, data_root)?)
    } else {
        let open = |split| ImageFolder::open(config, split, data_root);
        there.into_iter().map(open).collect::<Result<Vec<_>, _>>()?
    };
    let (mut splits, mut sections, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for set in &sets {
        let (found, of_split) = read(set);
        sections.push(section(&found));
        splits.push(found);
        seen.push(of_split);
    }
    let trainable = splits.iter().all(|split| split.unreadable.is_empty());
    let checked = Checked { trainable, absent, splits, mixed: BTreeMap::new(), shared: shared(&seen) };
    conclude(args, sections, &checked)
}

/// Reads every image of one split.
fn read(set: &ImageFolder) -> (CheckedImages, Seen) {
    let start = Instant::now();
    let bar = Progress::new(&format!("check {}", set.split()), set.len() as u64);
    let found = set.check(&|| bar.inc(1));
    bar.finish();
    output::note(&rate(set.len(), start));
    let checked = CheckedImages {
        split: set.split(),
        images: set.len(),
        classes: set.classes().len(),
        unreadable: found.unreadable.iter().map(DataError::full_message).collect(),
        copies: found.copies,
        contradictions: found.contradictions,
    };
    let paths = (0..set.len()).map(|i| set.path(i)).collect();
    (checked, Seen { paths, prints: found.prints })
}

fn section(found: &CheckedImages) -> Section {
    let good = found.images - found.unreadable.len();
    let title =
        format!("{}: {good} of {} images are good, {} classes", found.split, found.images, found.classes);
    let lines = |copies: &[Copies]| copies.iter().map(ToString::to_string).collect();
    let lists = [
        ("unreadable images", found.unreadable.clone()),
        ("images that several classes have, of which one can be right", lines(&found.contradictions)),
        ("images that are there more than once", lines(&found.copies)),
    ];
    let filled = lists.into_iter().filter(|(_, items)| !items.is_empty());
    let part = |(title, items): (&str, Vec<String>)| Part::List {
        title: title.to_owned(),
        count: items.len() as u64,
        items,
    };
    Section { title, parts: filled.map(part).collect() }
}
