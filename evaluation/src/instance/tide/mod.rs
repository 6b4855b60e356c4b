//! What average precision is lost to: TIDE's breakdown into kinds of errors.
//!
//! Source: Bolya et al., TIDE: A General Toolbox for Identifying Object Detection Errors (ECCV 2020). Reference code:
//! tidecv 1.0.1, `quantify.py`, `ap.py`, `errors/` and `datasets.py` (the repository dbolya/tide at 49a5d2a).
//!
//! Each wrong detection has one kind of error, by its IoUs with all ground truth of its image. With t the threshold of a
//! match (0.5) and b that of background (0.1), the first that holds:
//!
//! | kind | |
//! | --- | --- |
//! | Loc | the best IoU with its own class is from b to t, both included |
//! | Cls | the best IoU with another class is at least t |
//! | Dupe | an IoU with its own class is over t, so what it found was taken by a better detection |
//! | Bkg | no IoU is over b |
//! | Both | none of these: wrong class and badly placed |
//!
//! Ground truth that no detection matches and no Loc or Cls error points to is a Miss. A kind's share is the AP that is
//! gained (never less than 0) if all its errors are mended and nothing else: Loc and Cls errors become right, with the
//! class of their ground truth, if they are the best detection to point to it and it is free, otherwise they are taken
//! out; the other wrong detections are taken out; missed objects are no longer asked for. Two more are not kinds but
//! sums: FalsePos, all wrong detections ranked last; FalseNeg, no unmatched object asked for.
//!
//! The AP is not quite COCO's: one threshold, at most 100 detections an *image*, a match has to be at least t, of equal IoUs
//! the first object wins, no epsilon in the precision, and a class without ground truth but with detections counts with 0.
//! Crowds take no part but excuse detections of their class that lie in them by more than t; these are then no error in
//! the AP, but can still be mended to a right detection.
//!
//! Detections of equal score rank by image, and in an image as they were given. As in the reference, once something is
//! mended (also for FalsePos and FalseNeg) the wrong ones of equal score rank first.

mod counter;
mod files;
mod judge;
mod mend;
mod precision;
mod scores;
mod sight;

pub use counter::Tide;
pub use files::{TideResult, score_files};
pub use scores::{ErrorKind, TideError, TideOptions, TideScores};

#[cfg(test)]
mod tests;
