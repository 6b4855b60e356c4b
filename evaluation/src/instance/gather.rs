//! Matches detections while their file is read: a verdict of 16 bytes stays of each, which the ranking over all images needs.
//!
//! Detections can be matched once all of their image are there. Files mostly go image by image: an image that begins and
//! ends within a block is *closed*, that is matched at once, and the first and the last of a block are as soon as the
//! blocks beside it are there. Should a closed image come up again, the file is not of that kind, and is read a second
//! time: detections are then sorted by image, on disk if they are many, and matched in the end.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use smalti_datasets::DataError;
use smalti_datasets::json_blocks::{Block, JsonBlocks};

use super::curve::descending;
use super::matching::{Contender, Fate, Matcher};
use super::oddities::Oddities;
use super::params::MaxDets;
use super::ranked::Evidence;
use super::results::{self, AreaFrom, Found, Part, Reader};
use super::seams::{Edges, Seams};
use super::sorter::{Batch, Sorter};
use super::truth::GroundTruth;
use super::unsorted;
use super::verdicts::{Matched, Verdicts};
use crate::EvalError;

/// Bytes that may stay in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Of verdicts: 500,000 detections of 80 categories need 8 to 16 MiB.
    pub(super) verdicts: usize,
    /// Of detections that wait for others of their image, in a file that does not go image by image.
    pub(super) unsorted: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { verdicts: 12 << 20, unsorted: 16 << 20 }
    }
}

/// What a results file says.
pub(super) struct Gathered {
    pub(super) matched: Matched,
    pub(super) oddities: Oddities,
    /// Detections of listed categories.
    pub(super) detections: usize,
}

/// Reads and matches the detections of a results file. `progress(done, total)` counts its blocks.
///
/// # Errors
/// [`EvalError::Data`] with the file, the result and its place, or of a temporary file.
pub(super) fn gather(
    truth: &GroundTruth,
    path: &Path,
    max_dets: MaxDets,
    room: Room,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Gathered, EvalError> {
    let by_image = Pass::new(truth, path, max_dets, room, Files::ByImage);
    if let Some(gathered) = by_image.run(progress)? {
        return Ok(gathered);
    }
    let in_any_order = Pass::new(truth, path, max_dets, room, Files::InAnyOrder).run(progress)?;
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
    verdicts: Verdicts,
    /// For each image: was matched.
    closed: Vec<AtomicBool>,
    /// A closed image came up again.
    came_back: AtomicBool,
    /// By image: the edges of blocks.
    seams: Mutex<Seams>,
    /// In any order: all detections.
    unsorted: Mutex<Sorter>,
}

impl<'a> Pass<'a> {
    fn new(truth: &'a GroundTruth, path: &'a Path, max_dets: MaxDets, room: Room, files: Files) -> Self {
        Self {
            truth,
            path,
            max_dets,
            files,
            verdicts: Verdicts::new(truth.categories.len(), room.verdicts),
            closed: (0..truth.images.len()).map(|_| AtomicBool::new(false)).collect(),
            came_back: AtomicBool::new(false),
            seams: Mutex::default(),
            unsorted: Mutex::new(Sorter::new(room.unsorted)),
        }
    }

    /// `None` if the file turned out to be in another order.
    fn run(mut self, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Option<Gathered>, EvalError> {
        let mut blocks = JsonBlocks::open(self.path)?;
        let total = blocks.estimate();
        let first = blocks.next().transpose()?;
        let Some(area) = results::area_from(self.path, first.as_ref(), &mut blocks)? else {
            let oddities = Oddities { no_detections: true, ..Oddities::default() };
            return self.finish(oddities, 0).map(Some);
        };
        let done = AtomicUsize::new(0);
        let in_order = || !self.came_back.load(Ordering::Relaxed); // what is left will be read again
        let all = first.into_iter().map(Ok).chain(blocks).take_while(|_| in_order());
        let worker = all
            .enumerate()
            .par_bridge()
            .fold(
                || Worker::new(&self, area),
                |mut worker, (number, block)| {
                    worker.take(number, block);
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    progress(done.min(total), total);
                    worker
                },
            )
            .reduce(|| Worker::new(&self, area), Worker::merge);
        let Worker { oddities, detections, failed, .. } = worker;
        let last = std::mem::take(&mut self.seams).into_inner().unwrap_or_else(PoisonError::into_inner);
        self.close(&Part::default(), 0..0, &[last.finish()], &mut Matching::default())?;
        if self.came_back.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match failed {
            Some((_, err)) => Err(err.into()),
            None => self.finish(oddities, detections).map(Some),
        }
    }

    /// Matches what waited for the end of the file, and ranks all.
    fn finish(self, oddities: Oddities, detections: usize) -> Result<Gathered, EvalError> {
        let unsorted = self.unsorted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut matching = Matching::default();
        unsorted::by_group(&unsorted.finish()?, |part| {
            let group: Vec<Detection<'_>> = part.all().collect();
            let category = group[0].category;
            self.verdicts.add(category, |evidence| matching.run(&group, self.max_dets, evidence));
            self.verdicts.relieve()
        })?;
        let matched = self.verdicts.finish(self.max_dets, &self.truth.tally.counting)?;
        Ok(Gathered { matched, oddities, detections })
    }

    /// Matches images of which all detections are there: those in `range` of a part, and `whole` ones in parts of their own.
    fn close(
        &self,
        part: &Part,
        range: Range<usize>,
        whole: &[Vec<Part>],
        matching: &mut Matching,
    ) -> Result<(), DataError> {
        let mut closed: Vec<Detection<'_>> = range.map(|index| part.detection(index)).collect();
        for parts in whole {
            closed.extend(parts.iter().flat_map(Part::all));
        }
        for image in closed.chunk_by(|a, b| a.image == b.image) {
            if self.closed[image[0].image as usize].swap(true, Ordering::Relaxed) {
                self.came_back.store(true, Ordering::Relaxed);
            }
        }
        // Stable: equal scores of an image keep the order of the file.
        closed.sort_by(|a, b| {
            (a.category, a.image).cmp(&(b.category, b.image)).then_with(|| descending(a.score, b.score))
        });
        for class in closed.chunk_by(|a, b| a.category == b.category) {
            self.verdicts.add(class[0].category, |evidence| {
                for group in class.chunk_by(|a, b| a.image == b.image) {
                    matching.run(group, self.max_dets, evidence);
                }
            });
        }
        self.verdicts.relieve()
    }
}

/// Goes through some of the blocks.
struct Worker<'a, 'p> {
    pass: &'p Pass<'a>,
    reader: Reader<'a>,
    matching: Matching,
    batch: Batch,
    oddities: Oddities,
    detections: usize,
    /// The error that stands first in the file, and the number of its block.
    failed: Option<(usize, DataError)>,
}

impl<'a, 'p> Worker<'a, 'p> {
    fn new(pass: &'p Pass<'a>, area: AreaFrom) -> Self {
        Self {
            pass,
            reader: Reader::new(pass.truth, pass.path, area),
            matching: Matching::default(),
            batch: Batch::default(),
            oddities: Oddities::default(),
            detections: 0,
            failed: None,
        }
    }

    fn take(&mut self, number: usize, block: Result<Block, DataError>) {
        if self.pass.came_back.load(Ordering::Relaxed) {
            return; // all of it will be read again
        }
        let part = block.and_then(|block| self.reader.block(&block));
        if let Err(err) = part.and_then(|part| self.settle(number, &part)) {
            self.fail(number, err);
        }
    }

    /// Blocks are finished in any order, but all before a wrong one are.
    fn fail(&mut self, number: usize, err: DataError) {
        if self.failed.as_ref().is_none_or(|(first, _)| number < *first) {
            self.failed = Some((number, err));
        }
    }

    /// Closes the images in the middle of a block, and those that it completes.
    fn settle(&mut self, number: usize, part: &Part) -> Result<(), DataError> {
        self.oddities.add(&part.oddities);
        self.detections += part.detections.len();
        let pass = self.pass;
        if pass.files == Files::InAnyOrder {
            unsorted::write(number, part, &mut self.batch);
            return pass.unsorted.lock().unwrap_or_else(PoisonError::into_inner).add(&mut self.batch);
        }
        let all = part.detections.len();
        let mut images = part.detections.chunk_by(|a, b| a.image == b.image).map(<[Found]>::len);
        let first_end = images.next().unwrap_or(0);
        let last_start = images.next_back().map_or(all, |last| all - last);
        let edges = (all > 0).then(|| Edges {
            first: part.some(0..first_end),
            last: (last_start < all).then(|| part.some(last_start..all)),
        });
        let whole = pass.seams.lock().unwrap_or_else(PoisonError::into_inner).add(number, edges);
        pass.close(part, first_end..last_start, &whole, &mut self.matching)
    }

    fn merge(mut self, other: Self) -> Self {
        self.oddities.add(&other.oddities);
        self.detections += other.detections;
        if let Some((number, err)) = other.failed {
            self.fail(number, err);
        }
        self
    }
}

/// Matches one image and category after the other; keeps its buffers.
#[derive(Debug, Default)]
struct Matching {
    matcher: Matcher,
    fates: Vec<Fate>,
}

impl Matching {
    /// Matches detections of one image and category, best first.
    fn run(&mut self, group: &[Detection<'_>], max_dets: MaxDets, evidence: &mut Evidence) {
        let group = &group[..group.len().min(max_dets.limits()[2] as usize)];
        self.fates.clear();
        self.matcher.run(&group.iter().map(|det| det.contender), &mut self.fates);
        for ((rank, det), &fate) in group.iter().enumerate().zip(&self.fates) {
            evidence.add(det.score, det.image, max_dets.first_for(rank), fate);
        }
    }
}

/// A detection, and the ground truth that it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detection<'a> {
    pub(super) score: f64,
    pub(super) image: u32,
    pub(super) category: u32,
    pub(super) contender: Contender<'a>,
}
