//! The one error type of this crate. Messages name the file, what was expected and what was found.

use std::path::PathBuf;

use smalti_datasets::DataError;

/// What can go wrong while scoring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Prediction and ground truth of one image differ in their number of pixels.
    #[error("prediction has {pred} pixels, its ground truth {gt}")]
    PixelCount {
        /// Pixels of the prediction.
        pred: usize,
        /// Pixels of the ground truth.
        gt: usize,
    },
    /// Two counts of different things cannot be added.
    #[error("cannot merge the counts: {field} is {got} in one and {expected} in the other")]
    Merge {
        /// What differs: "the number of classes" or "the ignore label".
        field: &'static str,
        /// The value in the matrix that was to be extended.
        expected: u64,
        /// The value in the matrix that was to be added.
        got: u64,
    },
    /// Counts handed over as a list that is not a `(K + 1) x (K + 1)` matrix, or class names that are not K.
    #[error("expected {expected} {what} for {num_classes} classes, got {got}")]
    Length {
        /// What the list holds: "counts" or "names".
        what: &'static str,
        /// Length asked for.
        expected: usize,
        /// Length found.
        got: usize,
        /// Number of classes K.
        num_classes: usize,
    },
    /// A class id outside `0..K`.
    #[error("expected a class of 0 to {}, got {got}", num_classes.saturating_sub(1))]
    Class {
        /// The id.
        got: usize,
        /// Number of classes K.
        num_classes: usize,
    },
    /// The number of classes is not one a label map of 8 bits can hold.
    #[error("expected 1 to 255 classes, got {got}")]
    NumClasses {
        /// The number asked for.
        got: usize,
    },
    /// A folder that is missing, or a path that is something else.
    #[error("{}: expected a folder of {holds}, got {got}", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
        /// What should lie in it.
        holds: &'static str,
        /// What is there instead.
        got: &'static str,
    },
    /// A folder without a single label map.
    #[error("{}: expected PNG label maps in it or below, got none{}", path.display(), other_files(*files))]
    NoLabelMaps {
        /// The folder.
        path: PathBuf,
        /// Files of other kinds in it.
        files: usize,
    },
    /// A folder that cannot be listed.
    #[error("{}: listing the folder failed", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A folder that is found a second time below itself or beside itself, through a link: its files would count twice.
    #[error("{}: the same folder as {}, reached through a link; remove the link", path.display(), first.display())]
    LinkedTwice {
        /// Where it was found again.
        path: PathBuf,
        /// Where it was found first.
        first: PathBuf,
    },
    /// Two files of one folder have the same name apart from their ending or case of it, so pairing is a guess.
    #[error("{} and {}: both would pair with the same image; keep one", first.display(), second.display())]
    Ambiguous {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Ground truths without a prediction.
    #[error("{}: {missing} of {total} predictions are missing: {}", pred_dir.display(), some_of(names, *missing))]
    MissingPredictions {
        /// The folder of predictions.
        pred_dir: PathBuf,
        /// How many ground truths have no prediction.
        missing: usize,
        /// How many ground truths there are.
        total: usize,
        /// The first of them, relative to the folder.
        names: Vec<String>,
    },
    /// A prediction of another size than its ground truth.
    #[error(
        "{}: expected {}x{} (HxW) as in {}, got {}x{}",
        pred.display(), expected.0, expected.1, gt.display(), got.0, got.1
    )]
    SizeMismatch {
        /// The prediction.
        pred: PathBuf,
        /// Its ground truth.
        gt: PathBuf,
        /// Height and width of the ground truth.
        expected: (usize, usize),
        /// Height and width of the prediction.
        got: (usize, usize),
    },
    /// A folder or file that is not laid out as its format wants it.
    #[error("{}: {reason}", path.display())]
    Layout {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong, with expected and got.
        reason: String,
    },
    /// One image's input to a scorer is wrong; the caller knows which file it came from.
    #[error("image {image}: {reason}")]
    Image {
        /// The image's id or name.
        image: String,
        /// What is wrong, with expected and got.
        reason: String,
    },
    /// Counts of other classes or made with other options cannot be added.
    #[error("cannot merge counts whose {field} differ")]
    UnlikeCounts {
        /// What differs: "classes" or "options".
        field: &'static str,
    },
    /// Two classes with one id.
    #[error("category {id} is listed twice")]
    RepeatedClass {
        /// The id.
        id: i64,
    },
    /// Limits on the number of detections that are not three ascending numbers.
    #[error("expected three ascending limits on the detections of an image and category, got {got:?}")]
    MaxDets {
        /// The limits.
        got: [u32; 3],
    },
    /// IoU thresholds that do not make sense together.
    #[error(
        "expected 0 < background <= threshold <= 1, got background {background} and threshold {threshold}"
    )]
    TideThresholds {
        /// Least IoU of a match.
        threshold: f64,
        /// Greatest IoU of what lies on background.
        background: f64,
    },
    /// Two counts of the same metric that were not made alike cannot be added.
    #[error("cannot merge counts that were made with another {what}")]
    Unlike {
        /// The setting that differs.
        what: &'static str,
    },
    /// What was kept of a count refers to what it does not have.
    #[error("a damaged part of a count: {what}")]
    DamagedPart {
        /// What is wrong.
        what: &'static str,
    },
    /// Nothing to draw resamples from.
    #[error("expected at least one image to resample, got none")]
    NoImages,
    /// Two results that were not scored on the same images cannot be compared image by image.
    #[error("results of {first} images and of {second} images cannot be compared: {}", odd_one(odd.as_deref()))]
    Unpaired {
        /// Images of the first result.
        first: usize,
        /// Images of the second.
        second: usize,
        /// The first image that differs, where the lists are not simply of different length.
        odd: Option<String>,
    },
    /// A file that cannot be read, or a record in it that is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
}

fn other_files(files: usize) -> String {
    if files == 0 { String::new() } else { format!(" ({files} files of other kinds)") }
}

fn some_of(names: &[String], total: usize) -> String {
    let more = total.saturating_sub(names.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", names.join(", "))
}

fn odd_one(odd: Option<&str>) -> String {
    odd.map_or_else(
        || "score both on the same ground truth".into(),
        |name| format!("the lists part at {name}"),
    )
}

impl EvalError {
    /// What is wrong with one image, see [`EvalError::Image`].
    #[expect(clippy::needless_pass_by_value, reason = "callers pass ids and names as they have them")]
    pub fn image(image: impl ToString, reason: impl Into<String>) -> Self {
        Self::Image { image: image.to_string(), reason: reason.into() }
    }

    /// The reader's error, if that is what this is.
    pub fn as_data(&self) -> Option<&DataError> {
        match self {
            Self::Data(err) => Some(err),
            _ => None,
        }
    }
}
