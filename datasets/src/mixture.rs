//! Several sets trained on as one, each with its share of the samples.
//!
//! An epoch is as long as it takes for every image of every set to come once; sets that are small for their share repeat
//! their images, as [`Sampler::repeating`](crate::sampler::Sampler::repeating) does. In every epoch a set has its share to one
//! sample, and the stream can be entered anywhere.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::{ClassTable, DataError};

/// Samples of an epoch at most: its order is held in memory, 4 bytes a sample.
const MAX_EPOCH: f64 = 33_554_432.0;

/// Sets that are one to their loader: the images of the first, then those of the second, and so on.
#[derive(Debug)]
pub struct Mixture<S> {
    parts: Vec<Part<S>>,
    /// Index of the first image of each set.
    starts: Vec<usize>,
    repeat_factors: Option<Vec<f64>>,
}

/// A set of a mixture.
#[derive(Debug)]
pub struct Part<S> {
    /// What messages call it; empty where it is alone.
    pub name: String,
    /// The set.
    pub set: Arc<S>,
    /// Number of its images, at least one.
    pub images: usize,
    /// Its share of the samples is this over the sum of all weights.
    pub weight: f64,
}

/// What a set is to its mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// What messages call the set.
    pub name: String,
    /// Number of its images.
    pub images: usize,
    /// Its share of the samples, 0 to 1.
    pub share: f64,
    /// How often each of its images comes an epoch in the mean.
    pub times: f64,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, images, share, times } = self;
        let percent = share * 100.0;
        write!(f, "{name}: {percent:.1} % of the samples, {images} images, each {times:.2} times an epoch")
    }
}

impl<S> Mixture<S> {
    /// One set, whose images all come once an epoch.
    pub fn one(set: Arc<S>, images: usize) -> Self {
        let part = Part { name: String::new(), set, images, weight: 1.0 };
        Self { parts: vec![part], starts: vec![0], repeat_factors: None }
    }

    /// Sets with their shares.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if the shares are so far from the sizes that an epoch would have more than 2^25 samples.
    pub(crate) fn new(parts: Vec<Part<S>>) -> Result<Self, DataError> {
        let starts = parts.iter().scan(0, |next, part| {
            let start = *next;
            *next += part.images;
            Some(start)
        });
        let mixture = Self { starts: starts.collect(), parts, repeat_factors: None };
        mixture.drawing(None)
    }

    /// The same sets, in which every image comes `factors[index] >= 1` times as often as its set's share says by itself. The
    /// shares of the sets stay what they are.
    ///
    /// # Errors
    /// As of shares that are far from the sizes.
    pub(crate) fn repeating(self, factors: &[f64]) -> Result<Self, DataError> {
        self.drawing(Some(factors))
    }

    fn drawing(mut self, factors: Option<&[f64]>) -> Result<Self, DataError> {
        if self.parts.len() == 1 {
            self.repeat_factors = factors.map(<[f64]>::to_vec);
            return Ok(self);
        }
        let ones = vec![1.0; self.len()];
        let factors = factors.unwrap_or(&ones);
        let shares = self.shares_drawing(factors);
        let scaled: Vec<f64> = (self.parts.iter().zip(&self.starts).zip(&shares))
            .flat_map(|((part, &start), share)| {
                factors[start..][..part.images].iter().map(|factor| factor * share.times)
            })
            .collect();
        let epoch: f64 = scaled.iter().sum();
        if epoch > MAX_EPOCH {
            let rarest = shares.iter().map(|share| share.times).fold(0.0, f64::max);
            let expected = "shares nearer to the sizes of the sets, with at most 2^25 samples an epoch";
            let got = format!("{epoch:.0}, in which one set's images come {rarest:.0} times");
            return Err(DataError::invalid("data.weight, data.mix", expected, got));
        }
        self.repeat_factors = Some(scaled);
        Ok(self)
    }

    /// What each set is to the whole where its images come as often as `factors` say relative to each other.
    fn shares_drawing(&self, factors: &[f64]) -> Vec<Share> {
        let total: f64 = self.parts.iter().map(|part| part.weight).sum();
        let drawn = |(part, &start): (&Part<S>, &usize)| -> (f64, f64) {
            (part.weight / total, factors[start..][..part.images].iter().sum())
        };
        let drawn: Vec<(f64, f64)> = self.parts.iter().zip(&self.starts).map(drawn).collect();
        // The set that is largest for its share comes once, all others that or more often.
        let epoch = drawn.iter().map(|(share, samples)| samples / share).fold(0.0, f64::max);
        let of = |(part, (share, samples)): (&Part<S>, &(f64, f64))| Share {
            name: part.name.clone(),
            images: part.images,
            share: *share,
            times: (share * epoch / samples).max(1.0),
        };
        self.parts.iter().zip(&drawn).map(of).collect()
    }

    /// The sets and their shares, in order.
    pub fn shares(&self) -> Vec<Share> {
        self.shares_drawing(&vec![1.0; self.len()])
    }

    /// The sets, in order.
    pub fn parts(&self) -> &[Part<S>] {
        &self.parts
    }

    /// Number of images of all sets.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.images).sum()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The set of image `index < len()` of all, and the image's index there.
    pub fn at(&self, index: usize) -> (&S, usize) {
        let part = self.starts.partition_point(|&start| start <= index) - 1;
        (&self.parts[part].set, index - self.starts[part])
    }

    /// How often each image comes an epoch in the mean; none if all come once.
    pub fn repeat_factors(&self) -> Option<&[f64]> {
        self.repeat_factors.as_deref()
    }
}

/// Ids that the classes of a further set have in the first one's table, matched by name. Classes that the further set does
/// not have are warned of. Tables come with what messages call their sets; `key` is the further set's dotted name.
///
/// # Errors
/// [`DataError::Invalid`] for a class that the first set lacks; with `kinds`, for one that is a thing in one set and stuff in
/// the other.
pub(crate) fn class_ids(
    key: &str,
    (first, first_name): (&ClassTable, &Path),
    (other, other_name): (&ClassTable, &Path),
    kinds: bool,
) -> Result<Vec<u16>, DataError> {
    let (first_name, other_name) = (first_name.display(), other_name.display());
    let kind = |thing: bool| if thing { "a thing" } else { "stuff" };
    let id_of = |class: &crate::ClassInfo| {
        let found = first.iter().position(|known| known.name == class.name);
        let Some(id) = found else {
            let expected = format!("classes that the first set, {first_name}, has too");
            return Err(DataError::invalid(key, expected, format!("{:?} of {other_name}", class.name)));
        };
        let thing = first.get(id).is_some_and(|known| known.is_thing);
        if kinds && thing != class.is_thing {
            let expected = format!("{:?} to be {} as in {first_name}", class.name, kind(thing));
            return Err(DataError::invalid(
                key,
                expected,
                format!("{} of {other_name}", kind(class.is_thing)),
            ));
        }
        Ok(id as u16) // of at most 255 classes
    };
    let ids = other.iter().map(id_of).collect::<Result<Vec<u16>, _>>()?;
    let lacking: Vec<&str> = first
        .names()
        .enumerate()
        .filter(|(id, _)| !ids.contains(&(*id as u16)))
        .map(|(_, name)| name)
        .collect();
    if !lacking.is_empty() {
        tracing::warn!(
            "{key}: {other_name} lacks {} classes of {first_name}, which will be learned not to be there: {}",
            lacking.len(),
            lacking.join(", ")
        );
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::Sampler;

    fn mixture(sets: &[(usize, f64)]) -> Result<Mixture<usize>, DataError> {
        let part = |(i, &(images, weight)): (usize, &(usize, f64))| Part {
            name: i.to_string(),
            set: Arc::new(i),
            images,
            weight,
        };
        Mixture::new(sets.iter().enumerate().map(part).collect())
    }

    /// The sets of the samples of some epochs, and how often each image came.
    fn epochs(mixture: &Mixture<usize>, count: u64) -> Vec<(Vec<usize>, Vec<u32>)> {
        let mut sampler = Sampler::repeating(mixture.repeat_factors().unwrap(), 7);
        let mut drawn = vec![(vec![0; mixture.parts().len()], vec![0; mixture.len()]); count as usize];
        for p in 0.. {
            let position = sampler.at(p);
            if position.epoch == count {
                break;
            }
            let (sets, images) = &mut drawn[position.epoch as usize];
            sets[*mixture.at(position.index).0] += 1;
            images[position.index] += 1;
        }
        drawn
    }

    #[test]
    fn every_epoch_has_the_shares_to_one_sample_and_every_image() {
        // Of 100 images with weight 1 and 7 with weight 3, an epoch has 100 and 300, of 40 with weight 0.7 it has 70.
        let mixture = mixture(&[(100, 1.0), (7, 3.0), (40, 0.7)]).unwrap();
        for (sets, images) in epochs(&mixture, 50) {
            for (got, expected) in sets.iter().zip([100usize, 300, 70]) {
                assert!(got.abs_diff(expected) <= 1, "{sets:?}");
            }
            assert!(images[..100].iter().all(|n| *n == 1));
            assert!(images[100..107].iter().all(|n| (42..=43).contains(n)), "300 / 7 = 42.86");
            assert!(images[107..].iter().all(|n| (1..=2).contains(n)), "70 / 40 = 1.75");
        }
        let shares: Vec<String> = mixture.shares().iter().map(ToString::to_string).collect();
        assert_eq!(
            shares,
            [
                "0: 21.3 % of the samples, 100 images, each 1.00 times an epoch",
                "1: 63.8 % of the samples, 7 images, each 42.86 times an epoch",
                "2: 14.9 % of the samples, 40 images, each 1.75 times an epoch"
            ]
        );
    }

    #[test]
    fn numbers_of_images_as_weights_make_one_set_of_all() {
        let mixture = mixture(&[(3, 3.0), (5, 5.0)]).unwrap();
        assert!(mixture.repeat_factors().unwrap().iter().all(|factor| (factor - 1.0).abs() < 1e-12));
        let found: Vec<(usize, usize)> =
            (0..8).map(|index| (*mixture.at(index).0, mixture.at(index).1)).collect();
        assert_eq!(found, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
    }

    #[test]
    fn images_repeat_within_their_set_and_shares_stay() {
        let mixture =
            mixture(&[(4, 1.0), (2, 1.0)]).unwrap().repeating(&[1.0, 1.0, 1.0, 3.0, 1.0, 2.0]).unwrap();
        // The first set draws 6 samples an epoch, so does the second: 2 of its first image, 4 of its second.
        for (sets, images) in epochs(&mixture, 20) {
            assert!(sets.iter().all(|samples: &usize| samples.abs_diff(6) <= 1), "{sets:?}");
            for (got, expected) in images.iter().zip([1u32, 1, 1, 3, 2, 4]) {
                assert!(got.abs_diff(expected) <= 1, "{images:?}");
            }
        }
    }

    #[test]
    fn one_set_is_drawn_as_ever() {
        let alone = Mixture::one(Arc::new(0usize), 5);
        assert_eq!((alone.repeat_factors(), alone.len(), alone.at(4)), (None, 5, (&0, 4)));
        let repeating = alone.repeating(&[1.0, 2.0, 1.0, 1.0, 1.5]).unwrap();
        assert_eq!(repeating.repeat_factors(), Some(&[1.0, 2.0, 1.0, 1.0, 1.5][..]));
    }

    #[test]
    fn shares_far_from_the_sizes_are_refused() {
        let error = mixture(&[(100_000, 1.0), (10, 1e6)]).unwrap_err().to_string();
        assert!(
            error.contains("data.weight")
                && error.contains("at most 2^25 samples")
                && error.contains("times"),
            "{error}"
        );
    }

    #[test]
    fn classes_are_matched_by_name() {
        let table = |names: &[&str]| ClassTable::from_names(names.iter().copied()).unwrap();
        let first = table(&["road", "car", "sky"]);
        let ids = |names: &[&str]| {
            let other = table(names);
            class_ids("data.mix.0", (&first, Path::new("a")), (&other, Path::new("b")), false)
                .map_err(|error| error.to_string())
        };
        assert_eq!(ids(&["road", "car", "sky"]), Ok(vec![0, 1, 2]));
        assert_eq!(ids(&["sky", "road"]), Ok(vec![2, 0]));
        assert_eq!(
            ids(&["road", "moose"]).unwrap_err(),
            "`data.mix.0`: expected classes that the first set, a, has too, got \"moose\" of b"
        );
    }
}
