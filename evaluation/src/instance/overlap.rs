//! IoU of a detection and a ground truth object.

use smalti_datasets::rle::{Rle, Span, Spans, overlap};

use super::params::IouType;
use crate::boundary::{Boundary, distance};

/// Where an object is.
#[derive(Debug, Clone, PartialEq)]
pub enum Region {
    /// Box `[x, y, width, height]` in pixels.
    Box([f64; 4]),
    /// Mask.
    Mask(Rle),
}

/// What is needed of a ground truth object to compare it with many detections.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Box([f64; 4]),
    Mask(Mask),
}

/// A mask, and for [`IouType::Boundary`] its boundary.
#[derive(Debug, Clone, Default)]
pub(super) struct Mask {
    pub(super) size: [u32; 2],
    pub(super) area: u32,
    pub(super) bbox: [u32; 4],
    pub(super) spans: Vec<Span>,
    /// See [`Spans::empty_runs`].
    pub(super) empty_runs: Vec<u32>,
    /// Spans and area; empty where boundaries do not count.
    pub(super) boundary: (Vec<Span>, u32),
}

impl Mask {
    pub(super) fn area(&self) -> u32 {
        self.area
    }
}

/// IoU of two boxes, or for a crowd the share of the detection that it covers. Not above 0 without a common pixel.
pub(super) fn box_iou(det: [f64; 4], truth: [f64; 4], crowd: bool) -> f64 {
    let [x, y, width, height] = det;
    let [truth_x, truth_y, truth_width, truth_height] = truth;
    let w = (width + x).min(truth_width + truth_x) - x.max(truth_x);
    if w <= 0.0 {
        return 0.0;
    }
    let h = (height + y).min(truth_height + truth_y) - y.max(truth_y);
    if h <= 0.0 {
        return 0.0;
    }
    let both = w * h;
    let union = if crowd { width * height } else { width * height + truth_width * truth_height - both };
    both / union
}

/// Compares masks; keeps its buffers.
#[derive(Debug)]
pub(super) struct Comparer {
    kind: IouType,
    boundary: Boundary,
    pixels: Vec<u8>,
    /// Boundary of the detection: spans, area. Only valid until the next detection.
    det: (Vec<Span>, u32),
    det_ready: bool,
    /// Whether the last detection met a mask of another size.
    pub(super) size_differs: bool,
    /// Whether the comparison of the last detection with a mask ended early, see [`first_common`].
    pub(super) cut_short: bool,
}

impl Comparer {
    pub(super) fn new(kind: IouType) -> Self {
        Self {
            kind,
            boundary: Boundary::new(),
            pixels: Vec::new(),
            det: (Vec::new(), 0),
            det_ready: false,
            size_differs: false,
            cut_short: false,
        }
    }

    /// Prepares a ground truth mask.
    pub(super) fn truth(&mut self, spans: &Spans) -> Mask {
        let mut boundary = (Vec::new(), 0);
        if self.kind == IouType::Boundary {
            self.outline(spans, &mut boundary);
        }
        Mask {
            size: spans.size(),
            area: spans.area(),
            bbox: spans.bbox(),
            spans: spans.spans().into(),
            empty_runs: spans.empty_runs().into(),
            boundary,
        }
    }

    /// Starts a new detection.
    pub(super) fn begin(&mut self) {
        self.det_ready = false;
        self.size_differs = false;
        self.cut_short = false;
    }

    /// IoU of the current detection with a ground truth mask. For a crowd: the share of the detection that it covers.
    /// -1 where the sizes differ.
    ///
    /// For boundaries a mask IoU below `enough` is returned as it is: the boundary could only lower it.
    pub(super) fn iou(&mut self, det: &Spans, truth: &Mask, crowd: bool, enough: f64) -> f64 {
        if !boxes_meet(det.bbox(), truth.bbox) {
            return 0.0;
        }
        if det.size() != truth.size {
            self.size_differs = true;
            return -1.0;
        }
        let iou = if let Some(end) = first_common(det.empty_runs(), &truth.empty_runs) {
            self.cut_short = true;
            let (a, b) = (before(det.spans(), end), before(&truth.spans, end));
            let area = |spans: &[Span]| spans.iter().map(|[start, end]| end - start).sum();
            ratio(overlap(&a, &b), if crowd { det.area() } else { area(&a) }, area(&b), crowd)
        } else {
            ratio(overlap(det.spans(), &truth.spans), det.area(), truth.area, crowd)
        };
        if self.kind != IouType::Boundary || crowd || iou < enough {
            return iou;
        }
        if !self.det_ready {
            let mut outline = std::mem::take(&mut self.det);
            self.outline(det, &mut outline);
            self.det = outline;
            self.det_ready = true;
        }
        let both = overlap(&self.det.0, &truth.boundary.0);
        iou.min(ratio(both, self.det.1, truth.boundary.1, false))
    }

    /// The boundary of a mask as spans, and its area. Only the mask's box is decoded.
    fn outline(&mut self, mask: &Spans, (out, area): &mut (Vec<Span>, u32)) {
        out.clear();
        *area = 0;
        let [left, top, width, height] = mask.bbox();
        let full = mask.size()[0];
        let distance = distance(full as usize, mask.size()[1] as usize);
        // Columns of the mask are the rows here: it is turned on its side, which changes no boundary.
        self.pixels.clear();
        self.pixels.resize(width as usize * height as usize, 0);
        let place = |x: u32, y: u32| (x - left) as usize * height as usize + (y - top) as usize;
        for &[start, end] in mask.spans() {
            let (mut x, mut y) = (start / full, start % full);
            let mut rest = end - start;
            while rest > 0 {
                let here = rest.min(full - y);
                let from = place(x, y);
                self.pixels[from..from + here as usize].fill(1);
                rest -= here;
                (x, y) = (x + 1, 0);
            }
        }
        let Ok(pixels) = self.boundary.of(&self.pixels, width as usize, height as usize, distance) else {
            return; // only if the number of pixels were another
        };
        for (x, column) in (left..).zip(pixels.chunks_exact((height as usize).max(1))) {
            let base = x * full + top;
            let mut y = 0;
            for run in column.chunk_by(|a, b| a == b) {
                let len = run.len() as u32;
                if run[0] != 0 {
                    out.push([base + y, base + y + len]);
                    *area += len;
                }
                y += len;
            }
        }
    }
}

/// Where the reference stops to compare two masks: it takes two empty runs at the same place, one in each, for the end.
fn first_common(a: &[u32], b: &[u32]) -> Option<u32> {
    a.iter().copied().find(|place| b.contains(place))
}

/// The spans of a mask up to a place.
fn before(spans: &[Span], end: u32) -> Vec<Span> {
    spans.iter().take_while(|span| span[0] < end).map(|&[start, stop]| [start, stop.min(end)]).collect()
}

/// Whether two tight boxes have a pixel in common.
pub(super) fn boxes_meet([ax, ay, aw, ah]: [u32; 4], [bx, by, bw, bh]: [u32; 4]) -> bool {
    ax < bx + bw && bx < ax + aw && ay < by + bh && by < ay + ah && aw > 0 && bw > 0
}

fn ratio(both: u32, det: u32, truth: u32, crowd: bool) -> f64 {
    if both == 0 {
        return 0.0;
    }
    let union = if crowd { det } else { det - both + truth };
    f64::from(both) / f64::from(union)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn boxes_by_hand() {
        assert_eq!(box_iou([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], false), 1.0 / 7.0);
        assert_eq!(box_iou([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], true), 1.0 / 4.0);
        assert_eq!(box_iou([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 2.0, 2.0], false), 0.0);
    }

    #[test]
    fn sizes_that_differ_give_minus_one_where_boxes_meet() {
        let spans = |size, counts: &[u32]| {
            let mut spans = Spans::new();
            spans.read_counts(size, counts).unwrap();
            spans
        };
        let mut comparer = Comparer::new(IouType::Segm);
        let truth = comparer.truth(&spans([2, 2], &[0, 4]));
        comparer.begin();
        assert_eq!(comparer.iou(&spans([2, 3], &[0, 4, 2]), &truth, false, 0.5), -1.0);
        assert!(comparer.size_differs);
        comparer.begin();
        assert_eq!(comparer.iou(&spans([2, 3], &[4, 2]), &truth, false, 0.5), 0.0);
        assert!(!comparer.size_differs);
    }

    /// pycocotools 2.0.11 gives 3/4 and 0 for these: it stops behind pixel 4, or before the first.
    #[test]
    fn empty_runs_at_the_same_place_end_the_comparison() {
        let iou = |a: &[u32], b: &[u32]| {
            let (mut det, mut truth) = (Spans::new(), Spans::new());
            det.read_counts([4, 4], a).unwrap();
            truth.read_counts([4, 4], b).unwrap();
            let mut comparer = Comparer::new(IouType::Segm);
            let truth = comparer.truth(&truth);
            comparer.begin();
            (comparer.iou(&det, &truth, false, 0.5), comparer.cut_short)
        };
        assert_eq!(iou(&[1, 3, 0, 4, 8], &[0, 4, 0, 1, 11]), (0.75, true));
        assert_eq!(iou(&[0, 0, 2, 4, 10], &[0, 0, 2, 4, 10]), (0.0, true));
        assert_eq!(iou(&[1, 3, 0, 4, 8], &[0, 8, 8]), (7.0 / 8.0, false));
    }

    proptest! {
        #[test]
        fn equals_counting_pixels(
            (h, w, a, b) in (1usize..70, 1usize..70).prop_flat_map(|(h, w)| {
                let blob = (0..h, 0..w, 0..h, 0..w, 0usize..9);
                (Just(h), Just(w), blob.clone(), blob)
            }),
            crowd: bool,
        ) {
            let mask = |(y0, x0, y1, x1, hole): (usize, usize, usize, usize, usize)| {
                Array2::from_shape_fn((h, w), |(y, x)| {
                    let inside = y >= y0.min(y1) && y <= y0.max(y1) && x >= x0.min(x1) && x <= x0.max(x1);
                    u8::from(inside && (y * w + x) % 11 != hole)
                })
            };
            let (a, b) = (mask(a), mask(b));
            let spans = |mask: &Array2<u8>| {
                let mut spans = Spans::new();
                spans.read_rle(&Rle::encode(mask).unwrap());
                spans
            };
            let count = |a: &[u8], b: &[u8]| -> f64 {
                let both: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a & b)).sum();
                let any: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a | b)).sum();
                let det: u32 = a.iter().map(|&a| u32::from(a)).sum();
                if both == 0 { 0.0 } else { f64::from(both) / f64::from(if crowd { det } else { any }) }
            };
            let mask_iou = count(a.as_slice().unwrap(), b.as_slice().unwrap());
            let mut edges = Boundary::new();
            let mut edge = |m: &Array2<u8>| edges.of(m.as_slice().unwrap(), h, w, distance(h, w)).unwrap().to_vec();
            let edge_iou = count(&edge(&a), &edge(&b));
            let expected = if crowd { mask_iou } else { mask_iou.min(edge_iou) };
            for (kind, expected) in [(IouType::Segm, mask_iou), (IouType::Boundary, expected)] {
                let mut comparer = Comparer::new(kind);
                let truth = comparer.truth(&spans(&b));
                comparer.begin();
                prop_assert_eq!(comparer.iou(&spans(&a), &truth, crowd, 0.0), expected);
            }
        }
    }
}
