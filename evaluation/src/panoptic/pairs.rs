//! How many pixels have which ground truth id and which predicted id.
//!
//! Neighbouring pixels mostly agree, so runs of one pair are counted, not pixels; the table is only asked once a run.

/// Pixels that have this pair of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub gt: u32,
    pub pred: u32,
    pub pixels: u64,
}

/// Counts pairs, keeping its buffers from image to image.
#[derive(Debug, Clone, Default)]
pub struct PairCounter {
    /// Open addressing with linear steps; a slot without pixels is free. The length is a power of two.
    slots: Vec<Pair>,
    filled: usize,
    pairs: Vec<Pair>,
}

const FREE: Pair = Pair { gt: 0, pred: 0, pixels: 0 };
/// Enough for most images without growing, and little to clear.
const SLOTS: usize = 512;
/// Pixels that are compared together.
const BLOCK: usize = 16;

impl PairCounter {
    /// The pairs of two maps of the same length, sorted by ground truth id, then predicted id.
    pub fn count(&mut self, gt: &[u32], pred: &[u32]) -> &[Pair] {
        self.slots.clear();
        self.slots.resize(SLOTS, FREE);
        self.filled = 0;
        let (mut gt, mut pred) = (gt, pred);
        while let (Some(&g), Some(&p)) = (gt.first(), pred.first()) {
            let len = run(gt, pred, g, p);
            self.add(Pair { gt: g, pred: p, pixels: len as u64 });
            (gt, pred) = (&gt[len..], &pred[len..]);
        }
        self.pairs.clear();
        self.pairs.extend(self.slots.iter().filter(|slot| slot.pixels > 0));
        self.pairs.sort_unstable_by_key(|pair| (pair.gt, pair.pred));
        &self.pairs
    }

    fn add(&mut self, pair: Pair) {
        let mask = self.slots.len() - 1;
        let mut at = hash(pair) & mask;
        loop {
            let slot = &mut self.slots[at];
            if slot.pixels == 0 {
                *slot = pair;
                break;
            }
            if (slot.gt, slot.pred) == (pair.gt, pair.pred) {
                slot.pixels += pair.pixels;
                return;
            }
            at = (at + 1) & mask;
        }
        self.filled += 1;
        if self.filled * 2 > self.slots.len() {
            let twice = vec![FREE; self.slots.len() * 2];
            let old = std::mem::replace(&mut self.slots, twice);
            self.filled = 0;
            old.into_iter().filter(|slot| slot.pixels > 0).for_each(|pair| self.add(pair));
        }
    }
}

/// Folds the two halves of a 128-bit product, so that every bit of both ids reaches every bit of the slot.
fn hash(pair: Pair) -> usize {
    let key = u64::from(pair.gt) << 32 | u64::from(pair.pred);
    let product = u128::from(key ^ 0x243F_6A88_85A3_08D3) * 0x9E37_79B9_7F4A_7C15;
    (product as u64 ^ (product >> 64) as u64) as usize
}

/// Pixels at the start of both maps that have the ids `g` and `p`; at least 1, as the first pixel does.
fn run(gt: &[u32], pred: &[u32], g: u32, p: u32) -> usize {
    let blocks = gt.as_chunks::<BLOCK>().0.iter().zip(pred.as_chunks::<BLOCK>().0);
    let mut len = 0;
    for (gt, pred) in blocks {
        // One bit for every pixel that differs, so that the first is known without a second look.
        let mut differ = 0u32;
        for (i, (a, b)) in gt.iter().zip(pred).enumerate() {
            differ |= u32::from((a ^ g) | (b ^ p) != 0) << i;
        }
        if differ != 0 {
            return len + differ.trailing_zeros() as usize;
        }
        len += BLOCK;
    }
    len + gt[len..].iter().zip(&pred[len..]).take_while(|&(&a, &b)| (a, b) == (g, p)).count()
}

/// Pixels with a pair, from the sorted list.
pub fn pixels_of(pairs: &[Pair], gt: u32, pred: u32) -> u64 {
    let found = pairs.binary_search_by_key(&(gt, pred), |pair| (pair.gt, pair.pred));
    found.map_or(0, |at| pairs[at].pixels)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The same one pixel at a time.
    fn plain(gt: &[u32], pred: &[u32]) -> Vec<Pair> {
        let mut counts = BTreeMap::new();
        gt.iter().zip(pred).for_each(|pair| *counts.entry(pair).or_default() += 1);
        counts.into_iter().map(|((&gt, &pred), pixels)| Pair { gt, pred, pixels }).collect()
    }

    proptest! {
        #[test]
        fn equals_the_plain_count(
            maps in prop::collection::vec((prop::collection::vec((0u32..5, 0u32..5, 1usize..40), 0..60), 1u32..4_000_000), 1..3)
        ) {
            let mut counter = PairCounter::default();
            for (runs, factor) in maps {
                let spread = |pick: fn(&(u32, u32, usize)) -> u32| -> Vec<u32> {
                    runs.iter().flat_map(|run| vec![pick(run) * factor; run.2]).collect()
                };
                let (gt, pred) = (spread(|run| run.0), spread(|run| run.1));
                prop_assert_eq!(counter.count(&gt, &pred), plain(&gt, &pred));
            }
        }
    }

    #[test]
    fn the_table_grows_and_shrinks() {
        let gt: Vec<u32> = (0..50_000).map(|i| i * 7919 % 40_009).collect();
        let pred: Vec<u32> = (0..50_000).map(|i| i / 3).collect();
        let mut counter = PairCounter::default();
        assert_eq!(counter.count(&gt, &pred), plain(&gt, &pred));
        assert_eq!(counter.count(&[1, 1, 2], &[0, 0, 0]).len(), 2);
        assert_eq!(counter.slots.len(), SLOTS);
        assert_eq!(pixels_of(counter.count(&[1, 1, 2], &[0, 0, 0]), 1, 0), 2);
        assert_eq!(pixels_of(&[], 1, 0), 0);
    }
}
