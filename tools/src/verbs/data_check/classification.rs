//! Class folders.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use smalti_datasets::{DataError, ImageDataConfig, ImageFolder, Split};

use super::{Checked, conclude};
use crate::cli::{CheckArgs, SplitArg};
use crate::output::Progress;
use crate::report::{Part, Section};

/// What is said of one split.
#[derive(Serialize)]
struct CheckedImages {
    split: Split,
    images: usize,
    classes: usize,
    unreadable: Vec<String>,
}

/// Reads every image; folders that do not fit are errors of their own.
pub fn run(args: &CheckArgs, config: &ImageDataConfig) -> Result<()> {
    let data_root = args.data.data_root.as_deref();
    let sets = match args.split {
        SplitArg::All => Vec::from(ImageFolder::open_both(config, data_root)?),
        SplitArg::Train => vec![ImageFolder::open(config, Split::Train, data_root)?],
        SplitArg::Val => vec![ImageFolder::open(config, Split::Val, data_root)?],
    };
    let (mut splits, mut sections) = (Vec::new(), Vec::new());
    for set in &sets {
        let bar = Progress::new(&format!("check {}", set.split()), set.len() as u64);
        let unreadable: Vec<String> =
            set.unreadable(&|| bar.inc(1)).iter().map(DataError::full_message).collect();
        bar.finish();
        let (images, classes) = (set.len(), set.classes().len());
        let good = images - unreadable.len();
        let title = format!("{}: {good} of {images} images are good, {classes} classes", set.split());
        let list = Part::List {
            title: "unreadable images".into(),
            count: unreadable.len() as u64,
            items: unreadable.clone(),
        };
        let parts = if unreadable.is_empty() { vec![] } else { vec![list] };
        sections.push(Section { title, parts });
        splits.push(CheckedImages { split: set.split(), images, classes, unreadable });
    }
    let trainable = splits.iter().all(|split| split.unreadable.is_empty());
    let checked = Checked { trainable, absent: vec![], splits, mixed: BTreeMap::new(), shared: vec![] };
    conclude(args, sections, &checked)
}
