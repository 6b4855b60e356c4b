//! The verdicts on the detections of a results file, 16 bytes each, until all images are ranked: in memory as long as they
//! are few, else in sorted runs in a temporary file.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use smalti_datasets::DataError;

use super::curve::{Curve, falling};
use super::matching::Fate;
use super::merge::{Source, merge};
use super::params::{AREAS, MaxDets};
use super::ranked::{Evidence, Ranked, RankedClass, rank};
use super::scores::{InstanceMetrics, InstanceScores};
use super::scratch::{Reader, Scratch};
use super::truth::GroundTruth;
use super::verdict::{Scored, Verdict};
use crate::EvalError;

/// Takes the verdicts of several threads.
#[derive(Debug)]
pub(super) struct Verdicts {
    /// Bytes that may be held.
    room: usize,
    held: AtomicUsize,
    /// Of each category.
    classes: Vec<Mutex<Evidence>>,
    spilled: Mutex<Spilled>,
}

/// What is on disk.
#[derive(Debug)]
struct Spilled {
    /// Nothing as long as nothing was written.
    scratch: Option<Scratch>,
    /// Of each category: detections, those of a run best first.
    runs: Vec<Vec<Range<u64>>>,
}

impl Verdicts {
    pub(super) fn new(categories: usize, room: usize) -> Self {
        let classes = (0..categories).map(|_| Mutex::default()).collect();
        let spilled = Mutex::new(Spilled { scratch: None, runs: vec![Vec::new(); categories] });
        Self { room, held: AtomicUsize::new(0), classes, spilled }
    }

    /// Lets `add` add all detections of some images to a category.
    pub(super) fn add(&self, category: u32, add: impl FnOnce(&mut Evidence)) {
        let mut evidence = lock(&self.classes[category as usize]);
        let before = evidence.detections.capacity();
        add(&mut evidence);
        let more = evidence.detections.capacity() - before;
        self.held.fetch_add(more * size_of::<Scored>(), Ordering::Relaxed);
    }

    /// Makes room if it is needed.
    ///
    /// # Errors
    /// [`DataError::Io`] if there is none for temporary files.
    pub(super) fn relieve(&self) -> Result<(), DataError> {
        let full = || self.held.load(Ordering::Relaxed) > self.room;
        if !full() {
            return Ok(());
        }
        let mut spilled = lock(&self.spilled);
        if full() { self.spill(&mut spilled) } else { Ok(()) } // another thread was faster
    }

    fn spill(&self, spilled: &mut Spilled) -> Result<(), DataError> {
        let scratch = match &mut spilled.scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch::new()?),
        };
        for (class, runs) in self.classes.iter().zip(&mut spilled.runs) {
            let mut detections = std::mem::take(&mut lock(class).detections);
            if detections.is_empty() {
                continue;
            }
            rank(&mut detections);
            let mut writer = scratch.writer();
            for Scored { score, image, verdict } in &detections {
                writer.put(&score.to_le_bytes())?;
                writer.put(&image.to_le_bytes())?;
                writer.put(&verdict.to_bits().to_le_bytes())?;
            }
            runs.push(writer.finish()?);
            self.held.fetch_sub(detections.capacity() * size_of::<Scored>(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ranks the detections of every category. `truths` are the objects of each that count in each area range.
    ///
    /// # Errors
    /// As of [`Verdicts::relieve`].
    pub(super) fn finish(self, max_dets: MaxDets, truths: &[[u64; AREAS]]) -> Result<Matched, DataError> {
        {
            let mut spilled = lock(&self.spilled);
            if spilled.scratch.is_some() {
                self.spill(&mut spilled)?; // of each category all detections are on one side
            }
        }
        let Spilled { scratch, runs } = self.spilled.into_inner().unwrap_or_else(PoisonError::into_inner);
        let classes = self.classes.into_par_iter().zip(runs).enumerate().map(|(category, (class, runs))| {
            let Evidence { mut detections, fates, .. } =
                class.into_inner().unwrap_or_else(PoisonError::into_inner);
            rank(&mut detections);
            let truths = truths.get(category).copied().unwrap_or_default();
            MatchedClass { detections, runs, fates: fates.list, truths }
        });
        Ok(Matched { max_dets, classes: classes.collect(), scratch })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that was matched, ranked; in a temporary file if there is much of it.
#[derive(Debug)]
pub struct Matched {
    max_dets: MaxDets,
    /// In the order of the ground truth's categories.
    classes: Vec<MatchedClass>,
    scratch: Option<Scratch>,
}

/// Detections are in memory or in runs.
#[derive(Debug)]
struct MatchedClass {
    /// Best first.
    detections: Vec<Scored>,
    runs: Vec<Range<u64>>,
    fates: Vec<Fate>,
    truths: [u64; AREAS],
}

impl Matched {
    /// The scores of all images; categories are called by their ids.
    pub(super) fn scores(&self, truth: &GroundTruth) -> Result<InstanceScores, DataError> {
        let scores = |(class, (id, _)): (&MatchedClass, &(i64, String))| {
            let Some(mut curve) = Curve::new(self.max_dets, class.truths) else {
                return Ok((*id, InstanceMetrics::default()));
            };
            self.each(class, |det| curve.add(det.verdict, 1, &class.fates))?;
            Ok((*id, curve.metrics()))
        };
        let classes = self.classes.par_iter().zip(&truth.categories).map(scores);
        Ok(InstanceScores::new(self.max_dets, classes.collect::<Result<_, DataError>>()?))
    }

    /// Every image's share in the scores, for [`crate::resample`]. `truth` is the ground truth that was matched. All
    /// detections are brought into memory, 16 bytes each.
    ///
    /// # Errors
    /// [`EvalError::Data`] if a temporary file cannot be read.
    pub fn into_ranked(mut self, truth: &GroundTruth) -> Result<Ranked, EvalError> {
        let mut classes = Vec::with_capacity(self.classes.len());
        let all = std::mem::take(&mut self.classes);
        for ((mut class, (id, _)), truths) in all.into_iter().zip(&truth.categories).zip(truth.counts()?) {
            let mut detections = std::mem::take(&mut class.detections);
            if !class.runs.is_empty() {
                self.each(&class, |det| detections.push(det))?;
            }
            classes.push(RankedClass { category: *id, detections, fates: class.fates, truths });
        }
        Ok(Ranked::new(truth.images.clone(), self.max_dets, classes))
    }

    #[cfg(test)]
    pub(super) fn is_in_memory(&self) -> bool {
        self.scratch.is_none()
    }

    /// Visits the detections of a category, best first.
    fn each(&self, class: &MatchedClass, mut visit: impl FnMut(Scored)) -> Result<(), DataError> {
        class.detections.iter().for_each(|det| visit(*det));
        let Some(scratch) = &self.scratch else { return Ok(()) };
        let runs = class.runs.iter().map(|run| Run::new(scratch, run.clone()));
        merge(runs.collect::<Result<_, _>>()?, |run: &Run<'_>| {
            run.at.into_iter().for_each(&mut visit);
            Ok(())
        })
    }
}

/// A run as it is read.
struct Run<'a> {
    reader: Reader<'a>,
    at: Option<Scored>,
}

impl<'a> Run<'a> {
    fn new(scratch: &'a Scratch, range: Range<u64>) -> Result<Self, DataError> {
        let mut run = Self { reader: Reader::new(scratch, range), at: None };
        run.advance()?;
        Ok(run)
    }
}

impl Source for Run<'_> {
    type Key = (u64, u32);

    /// Detections of one image and category are all in one run, so keys of two runs are never equal.
    fn key(&self) -> Option<(u64, u32)> {
        self.at.map(|det| (falling(det.score), det.image))
    }

    fn advance(&mut self) -> Result<(), DataError> {
        let bytes = self.reader.take(size_of::<Scored>())?.and_then(<[u8]>::first_chunk::<16>);
        self.at = bytes.map(|bytes| {
            let [score @ .., a, b, c, d, e, f, g, h] = *bytes;
            Scored {
                score: f64::from_le_bytes(score),
                image: u32::from_le_bytes([a, b, c, d]),
                verdict: Verdict::from_bits(u32::from_le_bytes([e, f, g, h])),
            }
        });
        Ok(())
    }
}
