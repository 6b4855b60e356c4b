//! `smalti data check`.

mod classification;
mod segments;
mod semantic;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;
use smalti_datasets::check::Hint;
use smalti_datasets::likeness::{self, Fingerprint};
use smalti_datasets::{DataError, Mixture, Split};

use super::{DataTable, data_table, mix_section};
use crate::cli::{CheckArgs, SplitArg};
use crate::output::{self, InputError};
use crate::report::{Document, Part, Section};

/// Runs the verb.
pub fn run(args: &CheckArgs) -> Result<()> {
    match data_table(&args.data)? {
        DataTable::Semantic(config) => semantic::run(args, &config),
        DataTable::Classification(config) => classification::run(args, &config),
        DataTable::Segments(config, task) => segments::run(args, &config, task),
    }
}

/// What was found in all splits.
#[derive(Serialize)]
struct Checked<T> {
    trainable: bool,
    /// Splits that are not there.
    absent: Vec<Split>,
    splits: Vec<T>,
    /// Further training sets by their dotted names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    mixed: BTreeMap<String, T>,
    /// Images that two splits share.
    shared: Vec<SharedImage>,
}

/// An image that is in two splits.
#[derive(Debug, Serialize)]
struct SharedImage {
    train: PathBuf,
    val: PathBuf,
    /// Byte for byte, as opposed to much alike.
    identical: bool,
}

/// The images of a split with what they are compared by.
struct Seen {
    paths: Vec<PathBuf>,
    prints: Vec<Option<Fingerprint>>,
}

/// The splits that are asked for and there, and those that are not there. One that is named must be there, and so must one of
/// several; what is missing is then for the reader to tell.
pub(super) fn present(
    asked: SplitArg,
    has: impl Fn(Split) -> Result<bool, DataError>,
) -> Result<(Vec<Split>, Vec<Split>)> {
    let all = asked.splits().to_vec();
    if asked != SplitArg::All {
        return Ok((all, vec![]));
    }
    let (mut there, mut absent) = (vec![], vec![]);
    for split in all.iter().copied() {
        if has(split)? { there.push(split) } else { absent.push(split) }
    }
    Ok(if there.is_empty() { (all, vec![]) } else { (there, absent) })
}

/// Images that training and validation share; nothing unless both were read.
fn shared(seen: &[Seen]) -> Vec<SharedImage> {
    let [train, val] = seen else { return vec![] };
    let of = |alike: likeness::Alike| SharedImage {
        train: train.paths[alike.second].clone(),
        val: val.paths[alike.first].clone(),
        identical: alike.identical,
    };
    likeness::between(&val.prints, &train.prints).into_iter().map(of).collect()
}

impl Seen {
    fn extend(&mut self, more: Self) {
        self.paths.extend(more.paths);
        self.prints.extend(more.prints);
    }
}

/// What is told of shared images.
fn shared_section(shared: &[SharedImage]) -> Option<Section> {
    let list = |identical: bool, title: &str| {
        let of: Vec<&SharedImage> = shared.iter().filter(|image| image.identical == identical).collect();
        let pair = |image: &&SharedImage| format!("{} and {}", image.val.display(), image.train.display());
        (!of.is_empty()).then(|| Part::List {
            title: title.to_owned(),
            count: of.len() as u64,
            items: of.iter().map(pair).collect(),
        })
    };
    let parts: Vec<Part> =
        [list(true, "the same file in both"), list(false, "much alike")].into_iter().flatten().collect();
    (!parts.is_empty())
        .then(|| Section { title: "train and val share images: scores on val will flatter".into(), parts })
}

/// Prints and writes everything, and ends with an error if there is one in the set.
fn conclude<T: Serialize>(args: &CheckArgs, mut sections: Vec<Section>, checked: &Checked<T>) -> Result<()> {
    sections.extend(shared_section(&checked.shared));
    let document = Document { kind: "Smalti data check", title: args.data.name(), sections };
    document.print();
    if let Some(path) = &args.json {
        output::write_json(path, checked)?;
    }
    if let Some(path) = &args.html {
        document.write_html(path)?;
    }
    for split in &checked.absent {
        output::line(&format!("{split}: not there"));
    }
    if !checked.trainable {
        bail!(InputError::new(format!("{}: this set can't be trained on as it is", args.data.name())));
    }
    output::line(if checked.absent.contains(&Split::Train) {
        "what is there can be evaluated on; training needs the training images"
    } else {
        "this set can be trained on"
    });
    Ok(())
}

/// What is told of training sets that are mixed, and whether they can be.
fn mixture<S>(images: Result<Mixture<S>, DataError>) -> (Section, bool) {
    match images {
        Ok(images) => (mix_section(&images), true),
        Err(error) => {
            let parts = vec![Part::Text(error.full_message())];
            (Section { title: "the training sets can't be mixed".into(), parts }, false)
        }
    }
}

/// The section of a further training set: settings to try stand in its own table of the recipe.
fn of_mixed(key: &str, mut section: Section) -> Section {
    section.title = format!("{key}, {}", section.title);
    for part in &mut section.parts {
        if let Part::Setting { setting, .. } = part {
            let rest = setting.strip_prefix("data.").unwrap_or(setting);
            *setting = format!("{key}.{}", rest.strip_prefix("train.").unwrap_or(rest));
        }
    }
    section
}

/// How fast images were read.
fn rate(images: usize, since: Instant) -> String {
    let seconds = since.elapsed().as_secs_f64();
    format!(
        "{images} images in {}, {:.0} a second",
        output::duration(seconds),
        images as f64 / seconds.max(1e-9)
    )
}

fn setting(hint: &Hint) -> Part {
    Part::Setting { setting: hint.setting.clone(), reason: hint.reason.clone() }
}
