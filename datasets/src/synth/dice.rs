//! Random numbers that depend on nothing but (seed, split, image): not on threads, and not on another crate's ranges.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// The random stream of one image.
#[derive(Debug, Clone)]
pub(super) struct Dice(Pcg64Mcg);

impl Dice {
    /// The stream of image `index` of split `split`; streams of different arguments are unrelated.
    pub(super) fn new(seed: u64, split: u64, index: u64) -> Self {
        let low = scramble(scramble(scramble(seed) ^ split) ^ index);
        let high = scramble(low);
        Self(Pcg64Mcg::new(u128::from(high) << 64 | u128::from(low)))
    }

    /// 32 random bits.
    pub(super) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[0, 1)`.
    pub(super) fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in `[low, high)`.
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..count`; `count` must not be 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.bits()) * count as u64) >> 32) as usize
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// One of a non-empty list.
    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Puts a list into random order.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }

    /// A unit vector of random direction.
    pub(super) fn direction(&mut self) -> [f32; 2] {
        let (sin, cos) = self.range(0.0, std::f32::consts::TAU).sin_cos();
        [cos, sin]
    }
}

/// The finaliser of splitmix64: every bit of the argument reaches every bit of the result.
fn scramble(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_every_argument() {
        let first = |seed, split, index| Dice::new(seed, split, index).0.next_u64();
        let mut seen = vec![
            first(0, 0, 0),
            first(1, 0, 0),
            first(0, 1, 0),
            first(0, 0, 1),
            first(1, 1, 0),
            first(1, 0, 1),
        ];
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 6);
        assert_eq!(first(5, 1, 9), first(5, 1, 9));
    }

    #[test]
    fn draws_stay_in_range_and_reach_all_values() {
        let mut dice = Dice::new(3, 0, 0);
        let mut hits = [0; 7];
        for _ in 0..7000 {
            hits[dice.below(7)] += 1;
            assert!((0.0..1.0).contains(&dice.unit()));
        }
        assert!(hits.iter().all(|&n| (800..1200).contains(&n)), "{hits:?}");
    }
}
