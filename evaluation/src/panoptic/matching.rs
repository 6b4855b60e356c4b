//! One image: which predicted segments match which of the ground truth.

use super::input::{GtSegment, ImageId, PredSegment, SegmentMap};
use super::outline::Outline;
use super::pairs::{Pair, PairCounter, pixels_of};
use super::quirks::Quirks;
use super::segments::{Listed, find, list};
use crate::boundary::distance;

/// The first id that three bytes cannot hold.
const IDS: u32 = 1 << 24;

/// What an image adds to the counts of a class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// A match with this IoU.
    Match(f64),
    FalsePositive,
    FalseNegative,
}

/// What is wrong with an image, and on which side.
#[derive(Debug)]
pub struct Wrong {
    pub in_gt: bool,
    pub reason: String,
}

impl Wrong {
    fn gt(reason: String) -> Self {
        Self { in_gt: true, reason }
    }

    fn pred(reason: String) -> Self {
        Self { in_gt: false, reason }
    }
}

/// Buffers, kept from image to image.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    pairs: PairCounter,
    boundary_pairs: PairCounter,
    gt_outline: Outline,
    pred_outline: Outline,
    gts: Vec<Listed>,
    preds: Vec<Listed>,
    /// Category and id of the crowds that excuse predictions, one a category, sorted.
    crowds: Vec<(i64, i64)>,
    findings: Vec<(usize, Finding)>,
}

impl Matcher {
    /// Findings with the position of their class. `class_of` gives the position of a category id; with `boundary`, the
    /// smaller of the masks' IoU and their boundaries' IoU counts.
    pub fn image(
        &mut self,
        image: &ImageId,
        gt: SegmentMap<'_, GtSegment>,
        pred: SegmentMap<'_, PredSegment>,
        class_of: impl Fn(i64) -> Option<usize>,
        boundary: bool,
        quirks: &mut Quirks,
    ) -> Result<&[(usize, Finding)], Wrong> {
        check_sizes(&gt, &pred)?;
        list(gt.segments, &class_of, &mut self.gts, |id| quirks.listed_twice.see(image, id));
        list(pred.segments, &class_of, &mut self.preds, |id| quirks.listed_twice.see(image, id));
        let pairs = self.pairs.count(gt.map.pixels, pred.map.pixels);
        count_areas(pairs, &mut self.gts, &mut self.preds, |id| quirks.not_listed.see(image, id))?;
        check_predictions(&self.preds)?;
        note_stated(image, &self.gts, &self.preds, quirks);
        let boundary_pairs = if boundary {
            let distance = distance(gt.map.height, gt.map.width);
            let void = find(&self.gts, 0).is_none().then_some(0); // void has no boundary: all of it is void
            let gt_map = self.gt_outline.of(gt.map.pixels, gt.map.width, distance, void);
            let pred_map = self.pred_outline.of(pred.map.pixels, pred.map.width, distance, None);
            let boundary_pairs = self.boundary_pairs.count(gt_map, pred_map);
            count_boundaries(boundary_pairs, &mut self.gts, &mut self.preds);
            Some(boundary_pairs)
        } else {
            None
        };

        self.findings.clear();
        for pair in pairs {
            let (Some(g), Some(p)) = (find(&self.gts, pair.gt), find(&self.preds, pair.pred)) else {
                continue;
            };
            let (gt, pred) = (&mut self.gts[g], &mut self.preds[p]);
            if gt.is_crowd || gt.category_id != pred.category_id {
                continue;
            }
            let iou = iou(pair, gt, pred, boundary_pairs)?;
            let Some(class) = pred.class.filter(|_| iou > 0.5) else { continue };
            self.findings.push((class, Finding::Match(iou)));
            if iou > 1.0 {
                quirks.iou_over_one.see(image, gt.id);
            }
            for segment in [gt, pred] {
                segment.matches += 1;
                if segment.matches == 2 {
                    quirks.matched_twice.see(image, segment.id);
                }
            }
        }
        find_missed(&self.gts, &mut self.findings);
        list_crowds(&self.gts, &mut self.crowds, |id| quirks.crowd_hidden.see(image, id));
        find_false(pairs, &self.preds, &self.crowds, &mut self.findings);
        Ok(&self.findings)
    }
}

fn check_sizes(gt: &SegmentMap<'_, GtSegment>, pred: &SegmentMap<'_, PredSegment>) -> Result<(), Wrong> {
    let (height, width) = (gt.map.height, gt.map.width);
    if (height, width) != (pred.map.height, pred.map.width) {
        return Err(Wrong::pred(format!(
            "expected {height}x{width} (HxW) as the ground truth has, got {}x{}",
            pred.map.height, pred.map.width
        )));
    }
    let wrong_len = |len: usize| format!("expected {height}x{width} pixels, got {len}");
    let pixels = height.checked_mul(width);
    if pixels != Some(gt.map.pixels.len()) {
        return Err(Wrong::gt(wrong_len(gt.map.pixels.len())));
    }
    if pixels != Some(pred.map.pixels.len()) {
        return Err(Wrong::pred(wrong_len(pred.map.pixels.len())));
    }
    Ok(())
}

/// Counts the pixels of every segment, and those of predictions on void; calls `not_listed` for ids of the ground truth
/// that no segment has.
fn count_areas(
    pairs: &[Pair],
    gts: &mut [Listed],
    preds: &mut [Listed],
    mut not_listed: impl FnMut(i64),
) -> Result<(), Wrong> {
    let mut last = 0; // void need not be listed
    for pair in pairs {
        if pair.gt.max(pair.pred) >= IDS {
            let wrong = if pair.gt >= IDS { Wrong::gt } else { Wrong::pred };
            return Err(wrong(format!("expected ids below 2^24 in the map, got {}", pair.gt.max(pair.pred))));
        }
        if let Some(g) = find(gts, pair.gt) {
            gts[g].pixels += pair.pixels;
        } else if pair.gt != last {
            not_listed(pair.gt.into());
            last = pair.gt;
        }
        if let Some(p) = find(preds, pair.pred) {
            preds[p].pixels += pair.pixels;
            if pair.gt == 0 {
                preds[p].void += pair.pixels;
            }
        } else if pair.pred != 0 {
            return Err(Wrong::pred(format!(
                "segment {} is in the PNG but not in the JSON's segments_info",
                pair.pred
            )));
        }
    }
    Ok(())
}

/// What the reference code refuses in predictions.
fn check_predictions(preds: &[Listed]) -> Result<(), Wrong> {
    for segment in preds {
        let Listed { id, category_id, .. } = segment;
        if segment.pixels == 0 {
            return Err(Wrong::pred(format!(
                "segment {id} is in the JSON's segments_info but not in the PNG"
            )));
        }
        if segment.class.is_none() {
            let reason =
                format!("segment {id} has category_id {category_id}, which the ground truth does not list");
            return Err(Wrong::pred(reason));
        }
    }
    Ok(())
}

fn note_stated(image: &ImageId, gts: &[Listed], preds: &[Listed], quirks: &mut Quirks) {
    for gt in gts {
        if gt.class.is_none() {
            quirks.unknown_class.see(image, gt.id);
        } else if !gt.is_crowd && gt.stated_area != Some(gt.pixels) {
            quirks.area_differs.see(image, gt.id);
        }
    }
    for list in [gts, preds] {
        if find(list, 0).is_some() {
            quirks.id_zero.see(image, 0);
        }
    }
}

fn count_boundaries(pairs: &[Pair], gts: &mut [Listed], preds: &mut [Listed]) {
    for pair in pairs {
        if let Some(g) = find(gts, pair.gt) {
            gts[g].boundary += pair.pixels;
        }
        if let Some(p) = find(preds, pair.pred) {
            preds[p].boundary += pair.pixels;
            if pair.gt == 0 {
                preds[p].boundary_void += pair.pixels;
            }
        }
    }
}

/// IoU of a pair with a common pixel. Void is taken from the union, areas may be stated wrongly: so it may exceed 1.
fn iou(pair: &Pair, gt: &Listed, pred: &Listed, boundary: Option<&[Pair]>) -> Result<f64, Wrong> {
    let union = pred.area() + gt.area() - pair.pixels as i64 - pred.void as i64;
    if union == 0 {
        return Err(Wrong::gt(format!(
            "segment {} has an area of {} in the JSON and {} pixels in the PNG, so its union with segment {} of the \
             prediction is 0: the IoU is not defined",
            gt.id,
            gt.area(),
            gt.pixels,
            pred.id
        )));
    }
    let iou = pair.pixels as f64 / union as f64;
    let Some(pairs) = boundary else { return Ok(iou) };
    let common = pixels_of(pairs, pair.gt, pair.pred);
    let union = (pred.boundary + gt.boundary) as i64 - common as i64 - pred.boundary_void as i64;
    // Not positive only where void is listed as a segment: the mask decides then.
    Ok(if union > 0 { iou.min(common as f64 / union as f64) } else { iou })
}

fn find_missed(gts: &[Listed], findings: &mut Vec<(usize, Finding)>) {
    let missed = gts.iter().filter(|gt| gt.matches == 0 && !gt.is_crowd).filter_map(|gt| gt.class);
    findings.extend(missed.map(|class| (class, Finding::FalseNegative)));
}

/// The last crowd of every category; calls `hidden` for the others.
fn list_crowds(gts: &[Listed], crowds: &mut Vec<(i64, i64)>, mut hidden: impl FnMut(i64)) {
    crowds.clear();
    if gts.iter().all(|gt| !gt.is_crowd) {
        return;
    }
    let mut all: Vec<&Listed> = gts.iter().filter(|gt| gt.is_crowd).collect();
    all.sort_unstable_by_key(|gt| (gt.category_id, gt.place));
    for gt in all {
        match crowds.last_mut() {
            Some((category, id)) if *category == gt.category_id => {
                hidden(*id);
                *id = gt.id;
            }
            _ => crowds.push((gt.category_id, gt.id)),
        }
    }
}

fn find_false(pairs: &[Pair], preds: &[Listed], crowds: &[(i64, i64)], findings: &mut Vec<(usize, Finding)>) {
    for pred in preds.iter().filter(|pred| pred.matches == 0) {
        let crowd = crowds.binary_search_by_key(&pred.category_id, |crowd| crowd.0).map(|at| crowds[at].1);
        let on_crowd = match (crowd.map(u32::try_from), u32::try_from(pred.id)) {
            (Ok(Ok(gt)), Ok(pred)) => pixels_of(pairs, gt, pred),
            _ => 0,
        };
        let excused = 2 * (pred.void + on_crowd) > pred.pixels;
        if let Some(class) = pred.class.filter(|_| !excused) {
            findings.push((class, Finding::FalsePositive));
        }
    }
}
