//! Runs of equal values instead of pixels: objects and masks are a few runs a row.

use std::ops::Range;

/// Pixels that are looked at in one step; plain loops over so many become vector instructions.
const BLOCK: usize = 64;

/// A map of 16-bit ids as its runs of equal values in row order, which go on over row ends.
#[derive(Debug, Clone, Default)]
pub(super) struct IdRuns {
    /// Pixel behind each run, ascending; the last is the number of pixels.
    ends: Vec<usize>,
    /// For each run, which of `values` it has.
    slots: Vec<u16>,
    /// The values that occur, ascending.
    values: Vec<u16>,
    /// For each value, how many pixels have it.
    areas: Vec<u64>,
}

impl IdRuns {
    pub(super) fn of(ids: &[u16]) -> Self {
        let mut ends = Vec::new();
        let mut run_values = Vec::new();
        let mut start = 0;
        while let Some(&value) = ids.get(start) {
            let end = start + equal_prefix(&ids[start..], value);
            ends.push(end);
            run_values.push(value);
            start = end;
        }
        let mut values = run_values.clone();
        values.sort_unstable();
        values.dedup();
        let slots: Vec<u16> =
            run_values.iter().map(|v| values.partition_point(|known| known < v) as u16).collect();
        let mut areas = vec![0; values.len()];
        let mut start = 0;
        for (&end, &slot) in ends.iter().zip(&slots) {
            areas[usize::from(slot)] += (end - start) as u64;
            start = end;
        }
        Self { ends, slots, values, areas }
    }

    /// Number of pixels.
    pub(super) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// The values that occur, ascending; a position in this list is a slot.
    pub(super) fn values(&self) -> &[u16] {
        &self.values
    }

    /// For each slot, how many pixels have its value.
    pub(super) fn areas(&self) -> &[u64] {
        &self.areas
    }

    /// All runs as (slot, pixels), in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).zip(&self.slots).map(|((start, &end), &slot)| (usize::from(slot), start..end))
    }

    /// Adds to `counts` (one a slot) how many of these pixels have which value.
    pub(super) fn count(&self, pixels: Range<usize>, counts: &mut [u64]) {
        let mut start = pixels.start;
        let first = self.ends.partition_point(|&end| end <= start);
        for (&end, &slot) in self.ends[first..].iter().zip(&self.slots[first..]) {
            let end = end.min(pixels.end);
            counts[usize::from(slot)] += (end - start) as u64;
            start = end;
            if start == pixels.end {
                break;
            }
        }
    }
}

/// How many of the first pixels have this value.
fn equal_prefix(ids: &[u16], value: u16) -> usize {
    let differs = |block: &[u16; BLOCK]| block.iter().fold(0, |acc, id| acc | (id ^ value)) != 0;
    let (blocks, _) = ids.as_chunks::<BLOCK>();
    let skipped = blocks.iter().position(differs).unwrap_or(blocks.len()) * BLOCK;
    let rest = &ids[skipped..];
    skipped + rest.iter().position(|&id| id != value).unwrap_or(rest.len())
}

/// Calls `visit` for every stretch of values that are not 0, in order.
pub(super) fn for_each_span(mask: &[u8], mut visit: impl FnMut(Range<usize>)) {
    let empty = |block: &[u8; BLOCK]| block.iter().fold(0, |acc, v| acc | v) == 0;
    let full = |block: &[u8; BLOCK]| block.iter().fold(u8::MAX, |acc, &v| acc.min(v)) != 0;
    let mut at = 0;
    loop {
        let rest = mask.get(at..).unwrap_or_default();
        let (blocks, _) = rest.as_chunks::<BLOCK>();
        at += blocks.iter().take_while(|block| empty(block)).count() * BLOCK;
        let Some(lead) = mask[at..].iter().position(|&v| v != 0) else { return };
        let start = at + lead;
        let (blocks, _) = mask[start..].as_chunks::<BLOCK>();
        at = start + blocks.iter().take_while(|block| full(block)).count() * BLOCK;
        at += mask[at..].iter().position(|&v| v == 0).unwrap_or(mask.len() - at);
        visit(start..at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Maps of long runs, so that whole blocks are alike.
    fn runs_of<T: Clone + std::fmt::Debug + 'static>(
        value: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = Vec<T>> {
        let run = (value, prop_oneof![1usize..5, 1usize..300]);
        proptest::collection::vec(run, 0..12)
            .prop_map(|runs| runs.into_iter().flat_map(|(value, len)| vec![value; len]).collect())
    }

    proptest! {
        #[test]
        fn spans_are_the_pixels_that_are_not_zero(mask in runs_of(prop_oneof![Just(0u8), Just(1), Just(255)])) {
            let mut got = vec![false; mask.len()];
            let mut last = None;
            for_each_span(&mask, |span| {
                assert!(!span.is_empty() && last.is_none_or(|end| span.start > end), "spans touch");
                last = Some(span.end);
                got[span].fill(true);
            });
            prop_assert_eq!(got, mask.iter().map(|&v| v != 0).collect::<Vec<_>>());
        }

        #[test]
        fn counts_equal_a_loop_over_pixels(
            ids in runs_of(0u16..6), ends in (0usize..3600, 0usize..3600),
        ) {
            let runs = IdRuns::of(&ids);
            prop_assert_eq!(runs.len(), ids.len());
            let pixels = ends.0.min(ends.1).min(ids.len())..ends.0.max(ends.1).min(ids.len());
            let mut counts = vec![0; runs.values().len()];
            runs.count(pixels.clone(), &mut counts);
            for ((&value, &got), &area) in runs.values().iter().zip(&counts).zip(runs.areas()) {
                let among = |ids: &[u16]| ids.iter().filter(|&&id| id == value).count() as u64;
                prop_assert_eq!(got, among(&ids[pixels.clone()]));
                prop_assert_eq!(area, among(&ids));
            }
            let mut rebuilt = vec![0; ids.len()];
            for (slot, pixels) in runs.iter() {
                rebuilt[pixels].fill(runs.values()[slot]);
            }
            prop_assert_eq!(rebuilt, ids);
        }
    }
}
