//! The stages of a sample's way into a batch, as names of `tracing` spans. `smalti bench loader` listens to them and adds
//! their times up; where nobody listens a span costs the look at one flag.

/// Target of the spans.
pub const TARGET: &str = "smalti_datasets::stage";

/// Image files to pixels.
pub const DECODE: &str = "decode";
/// Label files and records of annotations to class ids, maps and outlines.
pub const ANNOTATIONS: &str = "annotations";
/// Resizing of images.
pub const RESIZE: &str = "resize";
/// Resizing of label maps, drawing of masks.
pub const MASKS: &str = "masks";
/// Changes of colours.
pub const COLOURS: &str = "colours";
/// Normalisation and stacking.
pub const BATCH: &str = "batch";

/// All of them, in the order in which a sample meets them.
pub const ALL: [&str; 6] = [DECODE, ANNOTATIONS, RESIZE, MASKS, COLOURS, BATCH];

/// Enters a stage; it ends where the guard is dropped.
macro_rules! enter {
    ($stage:ident) => {
        let _stage =
            tracing::trace_span!(target: $crate::stage::TARGET, $crate::stage::$stage).entered();
    };
}
pub(crate) use enter;
