//! What stays of a detection until all images are ranked: 16 bytes, since there may be millions.

use std::collections::HashMap;

use super::matching::{Fate, bit};
use super::params::{AREAS, THRESHOLDS};

/// One detection of a category.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scored {
    pub(super) score: f64,
    pub(super) image: u32,
    pub(super) verdict: Verdict,
}

/// What became of a detection, packed: the first limit on detections that it keeps to in the upper two bits, below them
/// whether it is plainly wrong, and then in which area ranges, or which of the category's [`Fates`] is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict(u32);

/// A [`Verdict`] unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VerdictKind {
    /// Found nothing; one bit an area range: counts as wrong there at every threshold.
    Wrong(u8),
    /// Found something at some threshold: place in the list of [`Fates`].
    Mixed(usize),
}

const LIMIT_SHIFT: u32 = 30;
const WRONG: u32 = 1 << 29;

/// The different fates of a category's detections. They are few: a detection that finds an object mostly does so up to some
/// threshold, in all ranges that hold its area.
#[derive(Debug, Clone, Default)]
pub(super) struct Fates {
    pub(super) list: Vec<Fate>,
    places: HashMap<Fate, u32>,
}

impl Fates {
    /// These, at their places.
    pub(super) fn of_list(list: impl IntoIterator<Item = Fate>) -> Self {
        let list: Vec<Fate> = list.into_iter().collect();
        let places = (0..).zip(&list).map(|(place, fate)| (*fate, place)).collect();
        Self { list, places }
    }

    /// The fate of a detection that is not plainly wrong.
    pub(super) fn of(&self, verdict: Verdict) -> Option<Fate> {
        match verdict.kind() {
            VerdictKind::Wrong(_) => None,
            VerdictKind::Mixed(index) => self.list.get(index).copied(),
        }
    }

    fn place(&mut self, fate: Fate) -> u32 {
        *self.places.entry(fate).or_insert_with(|| {
            self.list.push(fate);
            self.list.len() as u32 - 1
        })
    }
}

impl Verdict {
    pub(super) fn new(limit: u8, fate: Fate, fates: &mut Fates) -> Self {
        const RANGE: u64 = (1 << THRESHOLDS) - 1;
        let ignored = |area: usize| fate.ignored >> bit(area, 0) & RANGE;
        let mixed = fate.matched != 0 || (0..AREAS).any(|area| ![0, RANGE].contains(&ignored(area)));
        let rest = if mixed {
            let place = fates.place(fate);
            assert!(place < WRONG, "half a billion different fates would have filled the memory before");
            place
        } else {
            WRONG | (0..AREAS).fold(0, |bits, area| bits | u32::from(ignored(area) == 0) << area)
        };
        Self(u32::from(limit) << LIMIT_SHIFT | rest)
    }

    /// As it is written to a file.
    pub(super) fn to_bits(self) -> u32 {
        self.0
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The first of the limits on detections that it keeps to.
    pub(super) fn limit(self) -> u8 {
        (self.0 >> LIMIT_SHIFT) as u8
    }

    pub(super) fn kind(self) -> VerdictKind {
        if self.0 & WRONG == 0 {
            VerdictKind::Mixed((self.0 & (WRONG - 1)) as usize)
        } else {
            VerdictKind::Wrong((self.0 & 0xf) as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_gives_back_what_went_in() {
        assert_eq!(size_of::<Scored>(), 16);
        let mut fates = Fates::default();
        // Right up to the third threshold in the ranges "all" and "small", ignored in the others.
        let small = Fate { matched: 0b111 | 0b111 << bit(1, 0), ignored: 0xf_ffff << bit(2, 0) };
        let elsewhere = Fate { matched: 0, ignored: 0x3ff << bit(3, 0) };
        for (limit, fate, kind) in [
            (0, small, VerdictKind::Mixed(0)),
            (2, elsewhere, VerdictKind::Wrong(0b0111)),
            (1, Fate { matched: 1, ignored: 0 }, VerdictKind::Mixed(1)),
            (2, small, VerdictKind::Mixed(0)),
        ] {
            let verdict = Verdict::new(limit, fate, &mut fates);
            assert_eq!((verdict.limit(), verdict.kind()), (limit, kind));
            assert_eq!(fates.of(verdict), matches!(kind, VerdictKind::Mixed(_)).then_some(fate));
        }
        assert_eq!(fates.list.len(), 2);
    }
}
