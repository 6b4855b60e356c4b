//! Matches detections while their file is read: a verdict of 16 bytes stays of each, which the ranking over all images needs.
//!
//! Detections can be matched once all of their image are there. Files mostly go image by image: an image that begins and
//! ends within a block is *closed*, that is matched at once, while the first and the last of a block stay *open*, as they
//! may go on in its neighbours. Should a closed image come up again, the file is not of that kind, and is read a second time
//! with all of its images open until its end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use smalti_datasets::DataError;
use smalti_datasets::json_blocks::{Block, JsonBlocks};

use super::curve::{Evidence, descending};
use super::matching::{Candidate, Contender, Matcher, TruthFlags};
use super::oddities::Oddities;
use super::params::MaxDets;
use super::results::{self, AreaFrom, Found, Part, Reader};
use super::truth::GroundTruth;
use crate::EvalError;

/// What a results file says.
pub(super) struct Gathered {
    /// Of each category of the ground truth.
    pub(super) classes: Vec<Evidence>,
    pub(super) oddities: Oddities,
    /// Detections of listed categories.
    pub(super) detections: usize,
}

/// Reads and matches the detections of a results file. `progress(done, total)` counts its blocks.
///
/// # Errors
/// [`EvalError::Data`] with the file, the result and its place.
pub(super) fn gather(
    truth: &GroundTruth,
    path: &Path,
    max_dets: MaxDets,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Gathered, EvalError> {
    let by_image = Pass::new(truth, path, max_dets, Files::ByImage);
    if let Some(gathered) = by_image.run(progress)? {
        return Ok(gathered);
    }
    let in_any_order = Pass::new(truth, path, max_dets, Files::InAnyOrder).run(progress)?;
    Ok(in_any_order.expect("no image is closed before the end of the file, so none comes back"))
}

/// How detections lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    ByImage,
    InAnyOrder,
}

/// One reading of the file.
struct Pass<'a> {
    truth: &'a GroundTruth,
    path: &'a Path,
    max_dets: MaxDets,
    files: Files,
    /// Of each category: the detections of closed images.
    classes: Vec<Mutex<Evidence>>,
    /// For each image: was matched.
    closed: Vec<AtomicBool>,
    /// A closed image came up again.
    came_back: AtomicBool,
}

impl<'a> Pass<'a> {
    fn new(truth: &'a GroundTruth, path: &'a Path, max_dets: MaxDets, files: Files) -> Self {
        let closed = (0..truth.images.len()).map(|_| AtomicBool::new(false)).collect();
        let classes = truth.categories.iter().map(|_| Mutex::default()).collect();
        Self { truth, path, max_dets, files, classes, closed, came_back: AtomicBool::new(false) }
    }

    /// `None` if the file turned out to be in another order.
    fn run(self, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Option<Gathered>, EvalError> {
        let mut blocks = JsonBlocks::open(self.path)?;
        let total = blocks.estimate();
        let first = blocks.next().transpose()?;
        let Some(area) = results::area_from(self.path, first.as_ref(), &mut blocks)? else {
            let oddities = Oddities { no_detections: true, ..Oddities::default() };
            return Ok(Some(self.finish(Vec::new(), oddities, 0)));
        };
        let done = AtomicUsize::new(0);
        let in_order = || !self.came_back.load(Ordering::Relaxed); // what is left will be read again
        let all = first.into_iter().map(Ok).chain(blocks).take_while(|_| in_order()).par_bridge();
        let worker = all
            .fold(
                || Worker::new(&self, area),
                |mut worker, block| {
                    worker.take(block);
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    progress(done.min(total), total);
                    worker
                },
            )
            .reduce(|| Worker::new(&self, area), Worker::merge);
        if worker.open.iter().any(|part| part.detections.iter().any(|det| self.is_closed(det.image))) {
            return Ok(None);
        }
        if self.came_back.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Worker { open, oddities, detections, failed, .. } = worker;
        match failed {
            Some((_, err)) => Err(err.into()),
            None => Ok(Some(self.finish(open, oddities, detections))),
        }
    }

    /// Matches what is open at the end of the file.
    fn finish(mut self, mut open: Vec<Part>, oddities: Oddities, detections: usize) -> Gathered {
        open.sort_by_key(|part| part.offset);
        let runs = runs(&open, self.classes.len());
        let counts = self.truth.counts();
        let classes = std::mem::take(&mut self.classes);
        let classes = classes.into_par_iter().zip(runs).zip(counts).map(|((evidence, runs), counts)| {
            let mut evidence = evidence.into_inner().unwrap_or_else(PoisonError::into_inner);
            let ranked = ranked(&open, &runs);
            evidence.reserve(ranked.len());
            self.matched(&ranked, &mut evidence);
            evidence.truths = counts;
            evidence
        });
        Gathered { classes: classes.collect(), oddities, detections }
    }

    fn is_closed(&self, image: u32) -> bool {
        self.closed[image as usize].load(Ordering::Relaxed)
    }

    fn close(&self, image: u32) {
        if self.closed[image as usize].swap(true, Ordering::Relaxed) {
            self.came_back.store(true, Ordering::Relaxed);
        }
    }
}

/// Goes through some of the blocks.
struct Worker<'a, 'p> {
    pass: &'p Pass<'a>,
    reader: Reader<'a>,
    /// Detections of open images.
    open: Vec<Part>,
    oddities: Oddities,
    detections: usize,
    /// The error that stands first in the file, and where its block begins.
    failed: Option<(u64, DataError)>,
}

impl<'a, 'p> Worker<'a, 'p> {
    fn new(pass: &'p Pass<'a>, area: AreaFrom) -> Self {
        Self {
            pass,
            reader: Reader::new(pass.truth, pass.path, area),
            open: Vec::new(),
            oddities: Oddities::default(),
            detections: 0,
            failed: None,
        }
    }

    fn take(&mut self, block: Result<Block, DataError>) {
        if self.pass.came_back.load(Ordering::Relaxed) {
            return; // all of it will be read again
        }
        match block {
            Err(err) => self.fail(u64::MAX, err),
            Ok(block) => match self.reader.block(&block) {
                Err(err) => self.fail(block.offset, err),
                Ok(part) => self.settle(&part),
            },
        }
    }

    /// Blocks are finished in any order, but all before a wrong one are.
    fn fail(&mut self, place: u64, err: DataError) {
        if self.failed.as_ref().is_none_or(|(first, _)| place < *first) {
            self.failed = Some((place, err));
        }
    }

    /// Closes the images in the middle of a block.
    fn settle(&mut self, part: &Part) {
        self.oddities.add(&part.oddities);
        self.detections += part.detections.len();
        let all = part.detections.len();
        let (mut first_end, mut last_start) = (all, all);
        if self.pass.files == Files::ByImage {
            let mut ends = part.detections.chunk_by(|a, b| a.image == b.image).map(<[Found]>::len);
            first_end = ends.next().unwrap_or(0);
            last_start = all - ends.next_back().unwrap_or(all - first_end);
        }
        for edge in [0..first_end, last_start..all] {
            if !edge.is_empty() {
                self.open.push(part.by_category(edge));
            }
        }
        let mut closed: Vec<Detection<'_>> =
            (first_end..last_start).map(|index| part.detection(index)).collect();
        for image in closed.chunk_by(|a, b| a.image == b.image) {
            self.pass.close(image[0].image);
        }
        // Stable: equal scores of an image keep the order of the file.
        closed.sort_by(|a, b| {
            (a.category, a.image).cmp(&(b.category, b.image)).then_with(|| descending(a.score, b.score))
        });
        for class in closed.chunk_by(|a, b| a.category == b.category) {
            let evidence = self.pass.classes[class[0].category as usize].lock();
            self.pass.matched(class, &mut evidence.unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.open.extend(other.open);
        self.oddities.add(&other.oddities);
        self.detections += other.detections;
        if let Some((place, err)) = other.failed {
            self.fail(place, err);
        }
        self
    }
}

impl Pass<'_> {
    /// Matches detections of one category, image by image, those of one best first.
    fn matched(&self, detections: &[Detection<'_>], evidence: &mut Evidence) {
        let limit = self.max_dets.limits()[2] as usize;
        let mut matcher = Matcher::default();
        let (mut flags, mut contenders, mut fates) = (Vec::<TruthFlags>::new(), Vec::new(), Vec::new());
        for group in detections.chunk_by(|a, b| a.image == b.image) {
            let group = &group[..group.len().min(limit)];
            let Some(&Detection { image, category, .. }) = group.first() else { continue };
            flags.clear();
            flags.extend(self.truth.group(image, category).iter().map(|object| object.flags));
            contenders.clear();
            contenders.extend(
                group.iter().map(|det| Contender { outside: det.outside, candidates: det.candidates }),
            );
            fates.clear();
            matcher.run(&flags, &contenders, &mut fates);
            for ((rank, det), &fate) in group.iter().enumerate().zip(&fates) {
                evidence.add(det.score, image, self.max_dets.first_for(rank), fate);
            }
        }
    }
}

/// A detection, and the ground truth that it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detection<'a> {
    pub(super) score: f64,
    pub(super) image: u32,
    pub(super) category: u32,
    pub(super) outside: u8,
    pub(super) candidates: &'a [Candidate],
}

/// Neighbours of one category in a part.
struct Run {
    part: u32,
    start: u32,
    end: u32,
}

/// Where the detections of each category are, in the order of the file.
fn runs(parts: &[Part], categories: usize) -> Vec<Vec<Run>> {
    let mut runs: Vec<Vec<Run>> = (0..categories).map(|_| Vec::new()).collect();
    for (part, found) in (0..).zip(parts) {
        let mut start = 0;
        for run in found.detections.chunk_by(|a, b| a.category == b.category) {
            let end = start + run.len() as u32;
            runs[run[0].category as usize].push(Run { part, start, end });
            start = end;
        }
    }
    runs
}

/// The detections of a category, image by image, those of one best first.
fn ranked<'a>(parts: &'a [Part], runs: &[Run]) -> Vec<Detection<'a>> {
    let count = runs.iter().map(|run| (run.end - run.start) as usize).sum();
    let mut detections = Vec::with_capacity(count);
    for run in runs {
        let part = &parts[run.part as usize];
        detections.extend((run.start..run.end).map(|index| part.detection(index as usize)));
    }
    // Stable: equal scores of an image keep the order of the file.
    detections.sort_by(|a, b| a.image.cmp(&b.image).then_with(|| descending(a.score, b.score)));
    detections
}
