//! What the definition of COCO's average precision fixes: thresholds, area ranges, the recall grid, the limits.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::EvalError;

/// Number of IoU thresholds.
pub(super) const THRESHOLDS: usize = 10;

/// Number of area ranges: all, small, medium, large.
pub(super) const AREAS: usize = 4;

/// Number of recalls at which precision is averaged.
pub(super) const RECALLS: usize = 101;

/// Ranges of area in pixels, both ends included: an area of 1024 is small and medium.
const AREA_RANGES: [(f64, f64); AREAS] = [(0.0, 1e10), (0.0, 1024.0), (1024.0, 9216.0), (9216.0, 1e10)];

/// IoU threshold, `0.5` to `0.95` in steps of `0.05`, as numpy's `linspace` computes it: the ninth is 0.8999999999999999.
pub(super) fn threshold(index: usize) -> f64 {
    const STEP: f64 = (0.95 - 0.5) / 9.0;
    if index + 1 == THRESHOLDS { 0.95 } else { index as f64 * STEP + 0.5 }
}

/// Recall of the grid, 0 to 1.
pub(super) fn recall(index: usize) -> f64 {
    if index + 1 == RECALLS { 1.0 } else { index as f64 * 0.01 }
}

/// One bit for each area range: whether the area lies outside. An area that is not a number lies outside of none.
pub(super) fn outside(area: f64) -> u8 {
    let outside = |(low, high): (f64, f64)| area < low || area > high;
    (0..AREAS).fold(0, |bits, a| bits | u8::from(outside(AREA_RANGES[a])) << a)
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IouType {
    /// Masks.
    Segm,
    /// Boxes.
    Bbox,
    /// Masks and their boundaries; the smaller of the two IoUs counts.
    Boundary,
}

impl IouType {
    /// Whether masks are needed.
    pub fn uses_masks(self) -> bool {
        self != Self::Bbox
    }
}

/// How many detections of an image and category count, the best first: three limits, each larger than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxDets([u32; 3]);

impl Default for MaxDets {
    fn default() -> Self {
        Self([1, 10, 100])
    }
}

impl MaxDets {
    /// Three limits.
    ///
    /// # Errors
    /// [`EvalError::MaxDets`] unless they are positive and ascending.
    pub fn new(limits: [u32; 3]) -> Result<Self, EvalError> {
        let ascending = limits[0] > 0 && limits[0] < limits[1] && limits[1] < limits[2];
        if ascending { Ok(Self(limits)) } else { Err(EvalError::MaxDets { got: limits }) }
    }

    /// The limits.
    pub fn limits(self) -> [u32; 3] {
        self.0
    }

    /// Which limit holds for the metric `AP`: the one of 100, as the reference has it built in, else the largest.
    pub(super) fn for_ap(self) -> usize {
        self.0.iter().position(|&limit| limit == 100).unwrap_or(2)
    }

    /// The first limit that a detection of this rank, counted from 0, keeps to; `None` if none.
    pub(super) fn first_for(self, rank: usize) -> Option<u8> {
        self.0.iter().position(|&limit| rank < limit as usize).map(|m| m as u8)
    }
}

/// The id of an image: a number, or text as in ADE20K and Cityscapes. Ordered as the reference orders them, which is
/// also how detections of equal score rank.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number or a text as id of an image")]
pub enum ImageId {
    /// A number.
    Number(i64),
    /// Text; `"1"` is not the same as `1`.
    Text(String),
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => id.fmt(f),
            Self::Text(id) => id.fmt(f),
        }
    }
}

impl From<i64> for ImageId {
    fn from(id: i64) -> Self {
        Self::Number(id)
    }
}

impl From<&str> for ImageId {
    fn from(id: &str) -> Self {
        Self::Text(id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_those_of_numpy() {
        let thresholds: Vec<f64> = (0..THRESHOLDS).map(threshold).collect();
        assert_eq!(thresholds, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.899_999_999_999_999_9, 0.95]);
        // linspace(0, 1, 101) is i * 0.01, which differs from i / 100 in places.
        assert_eq!((recall(0), recall(35), recall(100)), (0.0, 0.350_000_000_000_000_03, 1.0));
    }

    #[test]
    fn both_ends_of_a_range_belong_to_it() {
        assert_eq!(outside(1024.0), 0b1000);
        assert_eq!(outside(9216.0), 0b0010);
        assert_eq!(outside(-1.0), 0b1111);
        assert_eq!(outside(2e10), 0b1111);
        assert_eq!(outside(f64::NAN), 0);
    }

    #[test]
    fn limits_ascend() {
        assert!(MaxDets::new([1, 10, 10]).is_err() && MaxDets::new([0, 1, 2]).is_err());
        let limits = MaxDets::new([1, 100, 300]).unwrap();
        assert_eq!((limits.for_ap(), MaxDets::new([1, 10, 300]).unwrap().for_ap()), (1, 2));
        assert_eq!(
            [0, 1, 99, 100, 300].map(|rank| limits.first_for(rank)),
            [Some(0), Some(1), Some(1), Some(2), None]
        );
    }
}
