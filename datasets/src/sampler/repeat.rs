//! Samples with rare classes come more often (LVIS' repeat-factor sampling).
//!
//! Paper: LVIS: A Dataset for Large Vocabulary Instance Segmentation, CVPR 2019 (<https://arxiv.org/abs/1908.03195>),
//! appendix B.2. Reference code: facebookresearch/detectron2, `RepeatFactorTrainingSampler`, Apache-2.0.
//! Differs from the reference: fractions are rounded together by one random number an epoch, not each by its own. A sample
//! still comes as often as its factor says in the mean, and one more or less at most in every epoch; but epochs differ by
//! one sample at most, and the length of each is known without going through it, so the stream can be entered anywhere.

use std::collections::BTreeMap;

use rand::RngExt;

use super::rng;

/// Index of the random number of an epoch's rounding: none of a sample, an epoch's order or a batch.
const OF_ROUNDING: u64 = u64::MAX - 2;

/// How often each sample is to come an epoch, at least 1: the largest `sqrt(threshold / f)` of its classes, where `f` is
/// the share of samples with that class. `classes` holds the classes of each sample, in any order; a class may repeat.
///
/// ```
/// use smalti_datasets::sampler::repeat_factors;
/// // Class 1 is in a quarter of the images, class 0 in all.
/// let factors = repeat_factors(&[vec![0], vec![0, 1], vec![0], vec![0]], 0.64);
/// assert_eq!(factors, [1.0, 1.6, 1.0, 1.0]);
/// ```
pub fn repeat_factors<C: AsRef<[u16]>>(classes: &[C], threshold: f64) -> Vec<f64> {
    let mut images = BTreeMap::new();
    for of_image in classes {
        let mut of_image = of_image.as_ref().to_vec();
        of_image.sort_unstable();
        of_image.dedup();
        for class in of_image {
            *images.entry(class).or_insert(0u64) += 1;
        }
    }
    let factor = |class: &u16| {
        let share = images.get(class).map_or(1.0, |&n| n as f64 / classes.len() as f64);
        (threshold / share).sqrt()
    };
    classes.iter().map(|of_image| of_image.as_ref().iter().map(factor).fold(1.0, f64::max)).collect()
}

/// The occurrences of every sample in every epoch.
#[derive(Debug)]
pub(super) struct Repeats {
    seed: u64,
    /// Factors added up: of the samples before each, and of all at the end.
    sums: Vec<f64>,
    /// First place of each epoch in the stream, as far as it is known.
    starts: Vec<u64>,
}

impl Repeats {
    /// Takes factors of 1 and more.
    pub fn new(factors: &[f64], seed: u64) -> Self {
        let mut sum = 0.0;
        let sums = factors.iter().map(|factor| {
            sum += factor;
            sum
        });
        Self { seed, sums: std::iter::once(0.0).chain(sums).collect(), starts: vec![0] }
    }

    /// Epoch of place `p` of the stream, and the place in that epoch.
    pub fn epoch_of(&mut self, p: u64) -> (u64, u64) {
        while let Some(&last) = self.starts.last()
            && last <= p
        {
            let epoch = self.starts.len() as u64 - 1;
            self.starts.push(last + self.len_of(epoch));
        }
        let epoch = self.starts.partition_point(|&start| start <= p) - 1;
        (epoch as u64, p - self.starts[epoch])
    }

    /// Number of occurrences in an epoch.
    pub fn len_of(&self, epoch: u64) -> u64 {
        self.end(self.sums.len() - 1, self.rounding(epoch))
    }

    /// Sample of an occurrence, and which of the sample's it is; `occurrence` counts all in order of the samples.
    pub fn sample_of(&self, epoch: u64, occurrence: u64) -> (usize, u32) {
        let rounding = self.rounding(epoch);
        // Occurrences of sample i are those from end(i) to end(i + 1); the first sample that ends behind it has it.
        let (mut low, mut high) = (0, self.sums.len() - 2);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.end(middle + 1, rounding) > occurrence { high = middle } else { low = middle + 1 }
        }
        (low, (occurrence - self.end(low, rounding)) as u32)
    }

    /// Occurrences of the first `samples` samples.
    fn end(&self, samples: usize, rounding: f64) -> u64 {
        (self.sums[samples] + rounding) as u64
    }

    fn rounding(&self, epoch: u64) -> f64 {
        rng(self.seed, epoch, OF_ROUNDING).random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_follow_the_rarest_class() {
        let classes = [vec![3, 3], vec![3, 9], vec![], vec![3], vec![3], vec![3], vec![3], vec![3]];
        // Class 3 in 7/8, class 9 in 1/8: sqrt(0.5 * 8) = 2.
        assert_eq!(repeat_factors(&classes, 0.5), [1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(repeat_factors(&classes, 0.001), [1.0; 8]);
    }

    #[test]
    fn samples_come_as_often_as_their_factors_say() {
        const EPOCHS: u64 = 4000;
        let factors = [1.0, 2.5, 1.0, 1.3, 3.75, 1.1];
        let mut repeats = Repeats::new(&factors, 5);
        let mut counts = [0u32; 6];
        for epoch in 0..EPOCHS {
            let len = repeats.len_of(epoch);
            assert!(len == 10 || len == 11, "the factors add up to 10.65");
            let mut of_epoch = [0u32; 6];
            for occurrence in 0..len {
                let (sample, copy) = repeats.sample_of(epoch, occurrence);
                assert_eq!(copy, of_epoch[sample], "copies are counted");
                of_epoch[sample] += 1;
            }
            for (count, factor) in of_epoch.iter().zip(factors) {
                assert!((f64::from(*count) - factor).abs() < 1.0);
            }
            counts.iter_mut().zip(of_epoch).for_each(|(sum, n)| *sum += n);
        }
        for (count, factor) in counts.iter().zip(factors) {
            let mean = f64::from(*count) / EPOCHS as f64;
            assert!((mean - factor).abs() < 0.03, "{mean}, expected {factor}"); // 4 sigma at most
        }
        assert_eq!(repeats.epoch_of(0), (0, 0));
    }

    #[test]
    fn epochs_follow_each_other_without_a_gap() {
        let mut repeats = Repeats::new(&[1.4, 1.0, 1.9], 1);
        let mut expected = (0..30).flat_map(|epoch| {
            let len = Repeats::new(&[1.4, 1.0, 1.9], 1).len_of(epoch);
            (0..len).map(move |offset| (epoch, offset))
        });
        for p in 0..120 {
            assert_eq!(Some(repeats.epoch_of(p)), expected.next());
        }
        assert_eq!(Repeats::new(&[1.4, 1.0, 1.9], 1).epoch_of(77), repeats.epoch_of(77));
    }
}
