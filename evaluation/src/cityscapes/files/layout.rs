//! Which files belong together.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use smalti_datasets::cityscapes::frame_of;

use crate::EvalError;

const LABEL_IDS: &str = "_gtFine_labelIds.png";
const INSTANCE_IDS: &str = "_gtFine_instanceIds.png";

/// What is scored, and so which files are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Instances,
    Pixels,
}

impl Kind {
    /// How names of ground truth end.
    fn gt_suffix(self) -> &'static str {
        match self {
            Self::Instances => INSTANCE_IDS,
            Self::Pixels => LABEL_IDS,
        }
    }

    /// How names of predictions end.
    fn pred_ending(self) -> &'static str {
        match self {
            Self::Instances => ".txt",
            Self::Pixels => ".png",
        }
    }
}

/// One image's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// `<city>_<sequence>_<frame>`.
    pub(super) name: String,
    pub(super) gt: PathBuf,
    /// Beside `gt`; not looked for.
    pub(super) instance_ids: PathBuf,
    pub(super) pred: PathBuf,
}

/// What two folders hold.
#[derive(Debug)]
pub(super) struct Layout {
    /// Sorted by name.
    pub(super) frames: Vec<Frame>,
    pub(super) extra: Vec<String>,
}

impl Layout {
    pub(super) fn find(gt_dir: &Path, pred_dir: &Path, kind: Kind) -> Result<Self, EvalError> {
        let gts = ground_truth(gt_dir, kind)?;
        let holds = match kind {
            Kind::Instances => "Cityscapes instance predictions",
            Kind::Pixels => "Cityscapes label id predictions",
        };
        // The official scripts do not follow links to folders below the predictions.
        let preds = files_below(pred_dir, holds, Links::Skipped, kind.pred_ending())?;
        let mut used = vec![false; preds.len()];
        let mut frames = Vec::with_capacity(gts.len());
        let mut missing = Vec::new();
        for (name, gt) in gts {
            let first = preds.partition_point(|pred| pred.name.as_str() < name.as_str());
            let matching = preds[first..].iter().take_while(|pred| pred.name.starts_with(&name)).count();
            match &preds[first..first + matching] {
                [pred] => {
                    used[first] = true;
                    let instance_ids = gt.with_file_name(format!("{name}{INSTANCE_IDS}"));
                    frames.push(Frame { name, gt, instance_ids, pred: pred.path.clone() });
                }
                [] => missing.push(format!("{name}*{}", kind.pred_ending())),
                [first, second, ..] => {
                    return Err(EvalError::Ambiguous {
                        first: first.path.clone(),
                        second: second.path.clone(),
                    });
                }
            }
        }
        if !missing.is_empty() {
            let (total, count) = (frames.len() + missing.len(), missing.len());
            missing.truncate(5);
            let pred_dir = pred_dir.to_owned();
            return Err(EvalError::MissingPredictions { pred_dir, missing: count, total, names: missing });
        }
        let left = preds.iter().zip(used).filter(|(_, used)| !used);
        let mut extra: Vec<_> = left
            .map(|(pred, _)| pred.path.strip_prefix(pred_dir).unwrap_or(&pred.path).display().to_string())
            .collect();
        extra.sort_unstable();
        Ok(Self { frames, extra })
    }
}

/// Frame names with their ground truth, sorted.
fn ground_truth(dir: &Path, kind: Kind) -> Result<Vec<(String, PathBuf)>, EvalError> {
    let suffix = kind.gt_suffix();
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for file in files_below(dir, "Cityscapes ground truth", Links::Followed, suffix)? {
        let Some(frame) = frame_of(&file.name, suffix) else {
            let reason = format!("expected a name like <city>_<sequence>_<frame>{suffix}");
            return Err(EvalError::Layout { path: file.path, reason });
        };
        let frame = frame.to_owned();
        match found.last() {
            Some((last, path)) if *last == frame => {
                return Err(EvalError::Ambiguous { first: path.clone(), second: file.path });
            }
            _ => found.push((frame, file.path)),
        }
    }
    if found.is_empty() {
        let reason =
            format!("expected files named <city>_<sequence>_<frame>{suffix} in it or below, got none");
        return Err(EvalError::Layout { path: dir.to_owned(), reason });
    }
    Ok(found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    Followed,
    Skipped,
}

struct File {
    name: String,
    path: PathBuf,
}

/// Files in and below a folder whose names end like this, sorted by name and path. A folder is entered once, even if
/// links lead to it again.
fn files_below(dir: &Path, holds: &'static str, links: Links, ending: &str) -> Result<Vec<File>, EvalError> {
    if !dir.is_dir() {
        let got = if dir.exists() { "a file" } else { "nothing" };
        return Err(EvalError::NotAFolder { path: dir.to_owned(), holds, got });
    }
    let mut files = Vec::new();
    let mut entered = HashSet::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| EvalError::List { path: folder.clone(), source };
        if !entered.insert(folder.canonicalize().map_err(failed)?) {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (kind, path) = (entry.file_type().map_err(failed)?, entry.path());
            if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
                if kind.is_dir() || links == Links::Followed {
                    folders.push(path);
                }
            } else if kind.is_file() || kind.is_symlink() {
                let name = path.file_name().and_then(OsStr::to_str).filter(|name| name.ends_with(ending));
                if let Some(name) = name.map(ToOwned::to_owned) {
                    files.push(File { name, path });
                }
            }
        }
    }
    files.sort_unstable_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(files)
}
