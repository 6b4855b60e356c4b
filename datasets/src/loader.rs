//! Batches for training, and single full-size samples for evaluation, read ahead by threads.
//!
//! A training batch is a function of (seed, number of the batch): how many threads there are, how fast they run and where
//! the stream was entered change nothing.

mod corrupt;
mod spare;

use std::sync::{Arc, Mutex, PoisonError};

use rand_pcg::Pcg64Mcg;

use crate::config::{DataConfig, LoaderConfig};
use crate::pool::OrderedPool;
use crate::sample::{Batch, EvalSample, NormalizedSample};
use crate::sampler::{Sampler, rng};
use crate::transform::Pipeline;
use crate::transform::normalize::{Normalizer, collate_into};
use crate::{DataError, Mixture, SemanticSet, Shard};
use corrupt::Guard;
pub(crate) use spare::Spare;

/// What a training loader draws from: a set with its transforms.
pub trait Source: Send + Sync + 'static {
    /// One transformed sample.
    type Sample: Send + 'static;
    /// Samples put together.
    type Batch;

    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often each sample is to come an epoch in the mean, at least once; none if all come once.
    fn repeat_factors(&self) -> Option<&[f64]> {
        None
    }

    /// Samples of an epoch, in the mean.
    fn epoch_len(&self) -> f64 {
        self.repeat_factors().map_or(self.len() as f64, |factors| factors.iter().sum())
    }

    /// Sample `index`, a function of it and the state of `rng`.
    ///
    /// # Errors
    /// Files that can not be read or do not fit together.
    fn sample(&self, index: usize, rng: &mut Pcg64Mcg) -> Result<Self::Sample, DataError>;

    /// A batch of samples, a function of them and the state of `rng`, which is the batch's own.
    fn batch(&self, samples: Vec<Self::Sample>, rng: &mut Pcg64Mcg) -> Self::Batch;

    /// Takes back a batch that is no longer needed; its memory may serve a later one.
    fn recycle(&self, _: Self::Batch) {}
}

/// A semantic set, or several mixed, with the training transforms of the recipe.
#[derive(Debug)]
pub struct SemanticSource {
    images: Mixture<SemanticSet>,
    pipeline: Pipeline,
    normalizer: Normalizer,
    min_size: [usize; 2],
    spare: Spare,
}

impl SemanticSource {
    /// Takes a validated table, see [`DataConfig::validate`].
    pub fn new(set: Arc<SemanticSet>, cfg: &DataConfig) -> Self {
        let images = set.len();
        Self::mixed(Mixture::one(set, images), cfg)
    }

    /// The same over the sets of a recipe, see [`SemanticSet::mix`].
    pub fn mixed(images: Mixture<SemanticSet>, cfg: &DataConfig) -> Self {
        Self {
            images,
            pipeline: Pipeline::new(&cfg.augment),
            normalizer: Normalizer::new(&cfg.normalize),
            min_size: cfg.crop_size().unwrap_or([1, 1]),
            spare: Spare::default(),
        }
    }
}

impl Source for SemanticSource {
    type Sample = NormalizedSample;
    type Batch = Batch;

    fn len(&self) -> usize {
        self.images.len()
    }

    fn repeat_factors(&self) -> Option<&[f64]> {
        self.images.repeat_factors()
    }

    fn sample(&self, index: usize, rng: &mut Pcg64Mcg) -> Result<NormalizedSample, DataError> {
        let (set, index) = self.images.at(index);
        let sample = self.pipeline.apply(set.load(index)?, rng);
        Ok(self.normalizer.sample(sample, self.min_size))
    }

    fn batch(&self, samples: Vec<NormalizedSample>, _: &mut Pcg64Mcg) -> Batch {
        collate_into(&self.spare, samples)
    }

    fn recycle(&self, batch: Batch) {
        self.spare.keep(batch.images);
    }
}

/// Index of the random numbers of a batch, whose "epoch" is its number: none of a sample or an epoch's order.
const OF_BATCH: u64 = u64::MAX - 1;

/// The endless stream of training batches.
pub struct Loader<S: Source = SemanticSource> {
    source: Arc<S>,
    pool: OrderedPool<S::Sample>,
    guard: Arc<Guard>,
    seed: u64,
    batch_size: usize,
    next_batch: u64,
}

impl Loader {
    /// The stream over a semantic set, see [`Loader::over`].
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
        Self::over(Arc::new(SemanticSource::new(set, cfg)), &cfg.loader, seed, start_batch)
    }
}

impl<S: Source> Loader<S> {
    /// Starts the threads; the first batch will be number `start_batch`. Entering the stream anywhere costs the same.
    ///
    /// At most `prefetch * batch_size` samples are held beside the batch that is handed out.
    ///
    /// # Errors
    /// An empty source; no threads to be had.
    pub fn over(source: Arc<S>, cfg: &LoaderConfig, seed: u64, start_batch: u64) -> Result<Self, DataError> {
        if source.is_empty() {
            return Err(DataError::invalid("data.train", "at least one image", "none"));
        }
        let batch_size = cfg.batch_size.max(1);
        let sampler = match source.repeat_factors() {
            None => Sampler::new(source.len(), seed),
            Some(factors) => Sampler::repeating(factors, seed),
        };
        let sampler = Mutex::new(sampler);
        let guard = Arc::new(Guard::new(cfg.on_corrupt));
        let (samples, guarded) = (Arc::clone(&source), Arc::clone(&guard));
        let job = move |p: u64| {
            let position = sampler.lock().unwrap_or_else(PoisonError::into_inner).at(p);
            guarded.sample(samples.as_ref(), position.index, || position.rng(seed))
        };
        let start = start_batch.saturating_mul(batch_size as u64);
        let window = cfg.prefetch.max(1) * batch_size;
        let pool = OrderedPool::new(start..u64::MAX, window, cfg.threads(), job)?;
        Ok(Self { source, pool, guard, seed, batch_size, next_batch: start_batch })
    }

    /// The next batch; waits for it.
    ///
    /// # Errors
    /// The first error among the batch's samples. The stream goes on behind that batch.
    #[expect(clippy::should_implement_trait, reason = "the stream has no end, so no `Option`")]
    pub fn next(&mut self) -> Result<S::Batch, DataError> {
        let number = self.next_batch;
        self.next_batch += 1;
        // All of the batch is taken even if one sample fails, or the next batch would start in the middle.
        let samples: Vec<_> = (0..self.batch_size).filter_map(|_| self.pool.next()).collect();
        let samples = samples.into_iter().collect::<Result<_, _>>()?;
        Ok(self.source.batch(samples, &mut rng(self.seed, number, OF_BATCH)))
    }

    /// Takes back a batch that is no longer needed: a later one is written where it was.
    pub fn recycle(&self, batch: S::Batch) {
        self.source.recycle(batch);
    }

    /// Number of the batch that [`Loader::next`] gives next; start there to go on in another process.
    pub fn position(&self) -> u64 {
        self.next_batch
    }

    /// Number of corrupt samples met so far, those read ahead included; always 0 unless `data.loader.on_corrupt = "skip"`.
    pub fn skipped(&self) -> usize {
        self.guard.skipped()
    }
}

/// All samples of a shard of a set once, in order, neither transformed at random nor put together.
pub struct EvalLoader<T = EvalSample> {
    pool: OrderedPool<T>,
    remaining: usize,
}

impl EvalLoader {
    /// The samples of a semantic set, and their images as they enter the network ([`DataConfig::eval_view`]).
    ///
    /// # Errors
    /// No threads to be had.
    pub fn new(set: Arc<SemanticSet>, cfg: &DataConfig, shard: Shard) -> Result<Self, DataError> {
        let normalizer = Normalizer::new(&cfg.normalize);
        let data = cfg.clone();
        Self::over(set.len(), (shard, 1), &cfg.loader, move |i| {
            let sample = set.load(i)?;
            let view = data.eval_view(&sample.image, &normalizer);
            Ok(EvalSample { sample, view })
        })
    }
}

impl<T: Send + 'static> EvalLoader<T> {
    /// Starts threads on those of the samples `0..total` that are a shard's, in blocks of so many. At most `prefetch` samples a
    /// thread are held ahead.
    pub(crate) fn over(
        total: usize,
        (shard, block): (Shard, usize),
        cfg: &LoaderConfig,
        sample: impl Fn(usize) -> Result<T, DataError> + Send + Sync + 'static,
    ) -> Result<Self, DataError> {
        let threads = cfg.threads();
        let window = threads * cfg.prefetch.max(1);
        let remaining = shard.images(total, block);
        let job = move |position: u64| sample(shard.at(position as usize, block));
        let pool = OrderedPool::new(0..remaining as u64, window, threads, job)?;
        Ok(Self { pool, remaining })
    }
}

impl<T: Send + 'static> Iterator for EvalLoader<T> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.pool.next()?;
        self.remaining -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl<T: Send + 'static> ExactSizeIterator for EvalLoader<T> {}
