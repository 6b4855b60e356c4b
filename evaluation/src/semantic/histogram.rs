//! Pair histogram of two 8-bit label maps: how often does ground truth `g` meet prediction `p`?
//!
//! One increment a pixel is bound by the time a store takes until it can be loaded again, because neighbours mostly hit
//! the same counter. So eight pixels that are all alike (most of a label map) count in one step, and the others take
//! turns on four counters of the pair, which lie side by side in one cache line.
//! Checked by: the property tests of `confusion.rs` against one plain loop.

const LANES: usize = 4;
const PAIRS: usize = 1 << 16;

/// Counters of all 65,536 pairs; 1 MiB.
#[derive(Debug, Clone)]
pub(super) struct PairHistogram {
    /// `[PAIRS * LANES]`, pair = ground truth * 256 + prediction.
    counts: Vec<u32>,
    /// Pixels counted since the last [`PairHistogram::clear`]; below 2^32, so that no counter can overflow.
    pixels: u64,
}

impl PairHistogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; PAIRS * LANES], pixels: 0 }
    }

    /// Whether `more` pixels can be counted before the counters have to be drained.
    pub(super) fn has_room(&self, more: usize) -> bool {
        u32::try_from(self.pixels + more as u64).is_ok()
    }

    /// Counts two maps of the same length, for which there must be room.
    pub(super) fn add(&mut self, pred: &[u8], gt: &[u8]) {
        debug_assert!(pred.len() == gt.len() && self.has_room(gt.len()));
        self.pixels += gt.len() as u64;
        let (pred_blocks, pred_rest) = pred.as_chunks::<8>();
        let (gt_blocks, gt_rest) = gt.as_chunks::<8>();
        // The fixed length spares the bounds check at each counter: an index of 16 bits and a lane cannot leave it.
        let Some((counts, _)) = self.counts.split_first_chunk_mut::<{ PAIRS * LANES }>() else { return };
        for (p, g) in pred_blocks.iter().zip(gt_blocks) {
            let (p_word, g_word) = (u64::from_ne_bytes(*p), u64::from_ne_bytes(*g));
            // A word of eight equal bytes is the only one that is the same after turning it by a byte.
            if (p_word ^ p_word.rotate_left(8)) | (g_word ^ g_word.rotate_left(8)) == 0 {
                counts[index(p[0], g[0], 0)] += 8;
            } else {
                for i in 0..8 {
                    counts[index(p[i], g[i], i % LANES)] += 1;
                }
            }
        }
        for (&p, &g) in pred_rest.iter().zip(gt_rest) {
            counts[index(p, g, 0)] += 1;
        }
    }

    /// Calls `visit(prediction, ground truth, count)` for every pair that was seen.
    pub(super) fn for_each(&self, mut visit: impl FnMut(u8, u8, u64)) {
        if self.pixels == 0 {
            return;
        }
        for (pair, lanes) in self.counts.as_chunks::<LANES>().0.iter().enumerate() {
            let count = lanes.iter().map(|&c| u64::from(c)).sum();
            if count > 0 {
                visit(pair as u8, (pair >> 8) as u8, count);
            }
        }
    }

    /// Starts again at zero.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        self.pixels = 0;
    }
}

fn index(pred: u8, gt: u8, lane: usize) -> usize {
    (usize::from(gt) << 8 | usize::from(pred)) * LANES + lane
}
