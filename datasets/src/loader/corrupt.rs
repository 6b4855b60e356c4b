//! What a loader does about files that can not be used.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use rand_pcg::Pcg64Mcg;

use super::Source;
use crate::DataError;
use crate::config::OnCorrupt;

/// Samples that are tried one after another in place of one that is corrupt. A set of which so many in a row can not be
/// used is no set with a corrupt file, but the wrong set.
const TRIES: usize = 16;

/// Draws samples by the rule of the recipe, and remembers which were corrupt.
#[derive(Debug)]
pub(super) struct Guard {
    rule: OnCorrupt,
    found: Mutex<BTreeSet<usize>>,
}

impl Guard {
    pub fn new(rule: OnCorrupt) -> Self {
        Self { rule, found: Mutex::new(BTreeSet::new()) }
    }

    /// Number of corrupt samples met so far; one that is met every epoch counts once.
    pub fn skipped(&self) -> usize {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Sample `index`, or where it is corrupt and the rule says so, the next one of the set that is not. `rng` starts anew
    /// for each, so that what comes in its place does not depend on how far the corrupt one got.
    pub fn sample<S: Source>(
        &self,
        source: &S,
        index: usize,
        rng: impl Fn() -> Pcg64Mcg,
    ) -> Result<S::Sample, DataError> {
        let mut next = index;
        let mut tries = 1;
        loop {
            match source.sample(next, &mut rng()) {
                Err(err) if self.rule == OnCorrupt::Skip && tries < TRIES && err.is_about_a_sample() => {
                    self.note(next, &err);
                    next = (next + 1) % source.len();
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    fn note(&self, index: usize, err: &DataError) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.insert(index) {
            tracing::warn!(
                "left out, the next image is taken instead ({} so far): {}",
                found.len(),
                err.full_message()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::LoaderConfig;
    use crate::loader::Loader;

    /// Numbers, some of which are corrupt.
    struct Numbers {
        len: usize,
        corrupt: fn(usize) -> bool,
    }

    impl Source for Numbers {
        type Sample = usize;
        type Batch = Vec<usize>;

        fn len(&self) -> usize {
            self.len
        }

        fn sample(&self, index: usize, _: &mut Pcg64Mcg) -> Result<usize, DataError> {
            if (self.corrupt)(index) {
                return Err(DataError::image(Path::new(&format!("{index}.jpg")), "truncated"));
            }
            Ok(index)
        }

        fn batch(&self, samples: Vec<usize>, _: &mut Pcg64Mcg) -> Vec<usize> {
            samples
        }
    }

    fn loader(
        len: usize,
        corrupt: fn(usize) -> bool,
        on_corrupt: OnCorrupt,
        workers: usize,
    ) -> Loader<Numbers> {
        let cfg = LoaderConfig { workers, on_corrupt, ..LoaderConfig::default() };
        Loader::over(Arc::new(Numbers { len, corrupt }), &cfg, 3, 0).unwrap()
    }

    #[test]
    fn the_next_sample_stands_in_and_the_corrupt_are_counted() {
        let stream = |workers| {
            let mut loader = loader(10, |i| i == 4 || i == 5 || i == 9, OnCorrupt::Skip, workers);
            let batches: Vec<_> = (0..20).map(|_| loader.next().unwrap()).collect();
            assert_eq!(loader.skipped(), 3);
            batches
        };
        let batches = stream(1);
        assert!(batches.iter().all(|batch| batch.len() == 4), "batches keep their size");
        let count = |i: usize| batches.iter().flatten().filter(|&&drawn| drawn == i).count();
        assert_eq!([0, 6, 3, 4, 9].map(count), [16, 24, 8, 0, 0], "80 places are 8 epochs of 10");
        assert_eq!(stream(3), batches);
    }

    #[test]
    fn by_default_the_first_corrupt_file_stops_with_its_name() {
        let mut loader = loader(3, |i| i == 1, OnCorrupt::default(), 1);
        let message = (0..3).find_map(|_| loader.next().err()).unwrap().to_string();
        assert_eq!(message, "1.jpg: truncated");
        assert_eq!(loader.skipped(), 0);
    }

    #[test]
    fn a_set_without_one_good_sample_stops() {
        for len in [1, 40] {
            assert!(loader(len, |_| true, OnCorrupt::Skip, 2).next().is_err());
        }
    }
}
