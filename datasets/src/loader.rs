//! Batches for training, and single full-size samples for evaluation, read ahead by threads.
//!
//! A training batch is a function of (seed, number of the batch): how many threads there are, how fast they run and where
//! the stream was entered change nothing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::DataConfig;
use crate::pool::OrderedPool;
use crate::sample::{Batch, NormalizedSample};
use crate::sampler::{Position, Sampler, rng};
use crate::transform::Pipeline;
use crate::transform::normalize::{Normalizer, collate};
use crate::{DataError, SemanticSet};

/// The endless stream of training batches.
pub struct Loader {
    pool: OrderedPool<NormalizedSample>,
    batch_size: usize,
    next_batch: u64,
}

impl Loader {
    /// Starts the threads; the first batch will be number `start_batch`. Entering the stream anywhere costs the same.
    ///
    /// At most `prefetch * batch_size` samples are held beside the batch that is handed out.
    ///
    /// # Errors
    /// An empty set; no threads to be had.
    pub fn new(
        set: Arc<SemanticSet>,
        cfg: &DataConfig,
        seed: u64,
        start_batch: u64,
    ) -> Result<Self, DataError> {
        if set.is_empty() {
            return Err(DataError::invalid(set.split().key(), "at least one image", "none"));
        }
        let batch_size = cfg.loader.batch_size.max(1);
        let pipeline = Pipeline::new(&cfg.augment);
        let normalizer = Normalizer::new(&cfg.normalize);
        let min_size = cfg.crop_size().unwrap_or([1, 1]);
        let sampler = Mutex::new(Sampler::new(set.len(), seed));
        let job = move |p: u64| {
            let Position { epoch, index } = sampler.lock().unwrap_or_else(PoisonError::into_inner).at(p);
            let sample = set.load(index)?;
            let sample = pipeline.apply(sample, &mut rng(seed, epoch, index as u64));
            Ok(normalizer.sample(sample, min_size))
        };
        let start = start_batch.saturating_mul(batch_size as u64);
        let window = cfg.loader.prefetch.max(1) * batch_size;
        let pool = OrderedPool::new(start..u64::MAX, window, cfg.loader.threads(), job)?;
        Ok(Self { pool, batch_size, next_batch: start_batch })
    }

    /// The next batch; waits for it.
    ///
    /// # Errors
    /// The first error among the batch's samples. The stream goes on behind that batch.
    #[expect(clippy::should_implement_trait, reason = "the stream has no end, so no `Option`")]
    pub fn next(&mut self) -> Result<Batch, DataError> {
        self.next_batch += 1;
        // All of the batch is taken even if one sample fails, or the next batch would start in the middle.
        let samples: Vec<_> = (0..self.batch_size).filter_map(|_| self.pool.next()).collect();
        Ok(collate(samples.into_iter().collect::<Result<_, _>>()?))
    }

    /// Number of the batch that [`Loader::next`] gives next; start there to go on in another process.
    pub fn position(&self) -> u64 {
        self.next_batch
    }
}

/// All samples of a set once, in order, at full size, normalised and neither transformed nor padded.
pub struct EvalLoader {
    pool: OrderedPool<NormalizedSample>,
    remaining: usize,
}

impl EvalLoader {
    /// Starts the threads. At most `prefetch` samples a thread are held ahead.
    ///
    /// # Errors
    /// No threads to be had.
    pub fn new(set: Arc<SemanticSet>, cfg: &DataConfig) -> Result<Self, DataError> {
        let normalizer = Normalizer::new(&cfg.normalize);
        let remaining = set.len();
        let threads = cfg.loader.threads();
        let window = threads * cfg.loader.prefetch.max(1);
        let job = move |i: u64| Ok(normalizer.sample(set.load(i as usize)?, [1, 1]));
        let pool = OrderedPool::new(0..remaining as u64, window, threads, job)?;
        Ok(Self { pool, remaining })
    }
}

impl Iterator for EvalLoader {
    type Item = Result<NormalizedSample, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.pool.next()?;
        self.remaining -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for EvalLoader {}
