//! Which sample comes when, and with which random numbers. Both are functions of (seed, epoch, index) alone: the stream
//! can be entered anywhere, and neither threads nor batch size change what a sample looks like.

mod repeat;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use repeat::Repeats;
pub use repeat::repeat_factors;

/// The endless stream of sample positions over a set of `len` samples: epoch after epoch, each in its own order.
#[derive(Debug)]
pub struct Sampler {
    seed: u64,
    len: usize,
    /// Set where samples come more than once an epoch.
    repeats: Option<Repeats>,
    /// Orders of the two epochs seen last; a batch may straddle them.
    cache: [Option<(u64, Vec<u32>)>; 2],
}

/// A place in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Passes over the set before this one.
    pub epoch: u64,
    /// Index into the set.
    pub index: usize,
    /// How often the sample came before in this epoch; 0 unless samples repeat.
    pub copy: u32,
}

impl Position {
    /// The random numbers of the sample here.
    pub fn rng(&self, seed: u64) -> Pcg64Mcg {
        // Orders hold 32-bit indices, so that the copy has bits of its own.
        rng(seed, self.epoch, self.index as u64 | u64::from(self.copy) << 32)
    }
}

impl Sampler {
    /// A stream over `len >= 1` samples.
    pub fn new(len: usize, seed: u64) -> Self {
        assert!(len > 0, "a sampler needs at least one sample");
        Self { seed, len, repeats: None, cache: [None, None] }
    }

    /// A stream in which each of the samples comes `factors[index] >= 1` times an epoch in the mean, see
    /// [`repeat_factors`]; at least one sample.
    pub fn repeating(factors: &[f64], seed: u64) -> Self {
        Self { repeats: Some(Repeats::new(factors, seed)), ..Self::new(factors.len(), seed) }
    }

    /// The sample at place `p` of the stream, counted from 0. O(1) within an epoch, O(len) on entering one; where samples
    /// repeat, O(log len) and, the first time, O(epochs) besides.
    pub fn at(&mut self, p: u64) -> Position {
        let len = self.len as u64;
        let (epoch, offset, len) = match &mut self.repeats {
            None => (p / len, p % len, len),
            Some(repeats) => {
                let (epoch, offset) = repeats.epoch_of(p);
                (epoch, offset, repeats.len_of(epoch))
            }
        };
        let slot = &mut self.cache[(epoch % 2) as usize];
        if slot.as_ref().is_none_or(|(cached, _)| *cached != epoch) {
            *slot = Some((epoch, permutation(len as usize, self.seed, epoch)));
        }
        let place = slot.as_ref().map_or(0, |(_, order)| order[offset as usize]);
        let (index, copy) = match &self.repeats {
            None => (place as usize, 0),
            Some(repeats) => repeats.sample_of(epoch, u64::from(place)),
        };
        Position { epoch, index, copy }
    }
}

/// The order of one epoch: a permutation of `0..len` (Fisher-Yates).
pub fn permutation(len: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut rng = rng(seed, epoch, u64::MAX);
    let mut order: Vec<u32> = (0..len as u32).collect();
    for last in (1..len).rev() {
        order.swap(last, rng.random_range(0..=last as u32) as usize);
    }
    order
}

/// The random numbers of one sample in one epoch. Index `u64::MAX` is the epoch's own.
pub fn rng(seed: u64, epoch: u64, index: u64) -> Pcg64Mcg {
    let low = mix(mix(mix(seed) ^ epoch) ^ index);
    let high = mix(low ^ seed);
    let mut state = [0; 16];
    state[..8].copy_from_slice(&low.to_le_bytes());
    state[8..].copy_from_slice(&high.to_le_bytes());
    Pcg64Mcg::from_seed(state)
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_epoch_visits_every_sample_once_in_its_own_order() {
        let mut sampler = Sampler::new(7, 3);
        let stream: Vec<Position> = (0..21).map(|p| sampler.at(p)).collect();
        for (epoch, part) in stream.chunks(7).enumerate() {
            assert!(part.iter().all(|pos| pos.epoch == epoch as u64));
            assert_eq!(part.iter().map(|pos| pos.index).collect::<HashSet<_>>().len(), 7);
        }
        let order = |epoch: usize| stream[epoch * 7..][..7].iter().map(|pos| pos.index).collect::<Vec<_>>();
        assert_ne!(order(0), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn the_stream_can_be_entered_anywhere() {
        let mut whole = Sampler::new(5, 11);
        let stream: Vec<Position> = (0..40).map(|p| whole.at(p)).collect();
        for p in [39, 0, 17, 23, 4] {
            assert_eq!(Sampler::new(5, 11).at(p), stream[p as usize]);
            assert_eq!(whole.at(p), stream[p as usize], "going back after {p}");
        }
    }

    #[test]
    fn one_sample_is_enough() {
        assert_eq!(Sampler::new(1, 0).at(9), Position { epoch: 9, index: 0, copy: 0 });
    }

    #[test]
    fn factors_of_one_change_nothing() {
        let (mut plain, mut repeating) = (Sampler::new(6, 9), Sampler::repeating(&[1.0; 6], 9));
        assert!((0..40).all(|p| plain.at(p) == repeating.at(p)));
    }

    #[test]
    fn copies_are_shuffled_and_draw_their_own_numbers() {
        let mut sampler = Sampler::repeating(&[1.0, 3.0, 1.0, 2.0], 4);
        let stream: Vec<Position> = (0..70).map(|p| sampler.at(p)).collect();
        for (epoch, part) in stream.chunks(7).enumerate() {
            let count = |index| part.iter().filter(|pos| pos.index == index).count();
            assert_eq!([0, 1, 2, 3].map(count), [1, 3, 1, 2]);
            assert!(part.iter().all(|pos| pos.epoch == epoch as u64));
        }
        assert!(stream.iter().any(|pos| pos.copy > 0 && pos.index != 1), "copies of samples 1 and 3");
        let order = |epoch: usize| stream[epoch * 7..][..7].iter().map(|pos| pos.index).collect::<Vec<_>>();
        assert_ne!(order(0), order(1));
        let drawn: HashSet<u64> = stream.iter().map(|pos| pos.rng(4).random()).collect();
        assert_eq!(drawn.len(), stream.len(), "every copy draws its own numbers");
        let first = Position { epoch: 3, index: 2, copy: 0 };
        assert_eq!(first.rng(4), rng(4, 3, 2), "as without factors");
        for p in [69, 3, 33] {
            assert_eq!(Sampler::repeating(&[1.0, 3.0, 1.0, 2.0], 4).at(p), stream[p as usize]);
        }
    }

    #[test]
    fn neighbouring_seeds_epochs_and_indices_draw_differently() {
        let first = |s, e, i| rng(s, e, i).random::<u64>();
        let mut seen = HashSet::new();
        for s in 0..4 {
            for e in 0..16 {
                for i in 0..64 {
                    assert!(seen.insert(first(s, e, i)), "({s}, {e}, {i}) repeats a draw");
                }
            }
        }
        // Shares of a fair coin over neighbouring indices: 4 sigma of 10,000 draws is 0.02.
        let heads = (0..10_000).filter(|&i| rng(0, 0, i).random_bool(0.5)).count();
        assert!((4_800..=5_200).contains(&heads), "{heads}");
    }

    #[test]
    fn the_order_is_pinned() {
        // A change here changes every run that is resumed.
        assert_eq!(permutation(8, 42, 0), PINNED_0);
        assert_eq!(permutation(8, 42, 1), PINNED_1);
    }

    const PINNED_0: [u32; 8] = [0, 6, 5, 2, 4, 3, 7, 1];
    const PINNED_1: [u32; 8] = [0, 6, 3, 2, 7, 1, 4, 5];
}
