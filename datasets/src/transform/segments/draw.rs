//! Masks become pixels: those of the last window, of the segments that training looks at.
//!
//! Outlines are moved and drawn in the window, run lengths and maps are looked up at the nearest source pixel, column by
//! column and row by row.
//!
//! Differs from the reference (facebookresearch/detectron2 and fvcore, Apache-2.0): outlines are drawn beyond the
//! window and cut off at its edge, where the reference cuts them first with a geometry library, which also takes parts of
//! self-crossing outlines away. A panoptic segment that has left the window is dropped; the reference keeps an empty mask.
//! Checked by: `segments/parity.rs`.

use std::ops::Range;

use ndarray::{Array2, Array3};

use super::frame::Frame;
use crate::DataError;
use crate::coco::Segmentation;
use crate::polygon;
use crate::rle::{Span, Spans, rle_error};
use crate::sample::{NO_SEGMENT, Segment, SegmentMasks};
use crate::stage;

/// The segments that are left, and their pixels.
#[derive(Debug)]
pub(super) struct Drawn {
    /// Their numbers in the sample; rising.
    pub kept: Vec<usize>,
    /// `[N, H, W]` zeros and ones.
    pub masks: Array3<u8>,
}

/// Why a segment can not be drawn.
#[derive(Debug)]
pub(super) struct Undrawable {
    /// Number of the segment in the sample.
    pub segment: usize,
    /// What is wrong with its mask.
    pub reason: DataError,
}

/// Draws all segments but crowds in the frame, on masks of `size` (height, width), which is the frame's or larger.
/// Segments without a pixel are dropped.
pub(super) fn draw(
    segments: &[Segment],
    masks: &SegmentMasks,
    image_size: [usize; 2],
    frame: &Frame,
    size: [usize; 2],
) -> Result<Drawn, Undrawable> {
    stage::enter!(MASKS);
    match masks {
        SegmentMasks::Each(each) => draw_each(segments, each, image_size, frame, size),
        SegmentMasks::Map(map) => Ok(draw_map(segments, map, frame, size)),
    }
}

/// Pixels of each segment in the window given by source rows and columns; those without a segment are the last count.
pub(super) fn areas(map: &Array2<u16>, segments: usize, rows: &[u32], columns: &[u32]) -> Vec<u64> {
    let mut areas = vec![0; segments + 1];
    for &row in rows {
        let row = map.row(row as usize);
        for &column in columns {
            areas[usize::from(row[column as usize]).min(segments)] += 1;
        }
    }
    areas
}

fn draw_map(segments: &[Segment], map: &Array2<u16>, frame: &Frame, size: [usize; 2]) -> Drawn {
    let areas = areas(map, segments.len(), frame.rows(), frame.columns());
    let kept: Vec<usize> = (0..segments.len()).filter(|&i| !segments[i].crowd && areas[i] > 0).collect();
    let mut place = vec![None; segments.len() + 1];
    kept.iter().enumerate().for_each(|(n, &i)| place[i] = Some(n));
    let mut masks = vec![0; kept.len() * size[0] * size[1]];
    let columns = frame.columns();
    for (y, &row) in frame.rows().iter().enumerate() {
        let row = map.row(row as usize);
        let segment_at = |x: usize| usize::from(row[columns[x] as usize]).min(segments.len());
        let mut start = 0;
        while start < columns.len() {
            let segment = segment_at(start);
            let mut end = start + 1;
            while end < columns.len() && segment_at(end) == segment {
                end += 1;
            }
            if let Some(n) = place[segment] {
                let line = (n * size[0] + y) * size[1];
                masks[line + start..line + end].fill(1);
            }
            start = end;
        }
    }
    Drawn { masks: stack(masks, kept.len(), size), kept }
}

fn draw_each(
    segments: &[Segment],
    masks: &[Segmentation],
    image_size: [usize; 2],
    frame: &Frame,
    size: [usize; 2],
) -> Result<Drawn, Undrawable> {
    let mut reader = Reader::new(image_size, frame);
    let mut kept = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (segment, mask) in masks.iter().enumerate().filter(|(i, _)| !segments[*i].crowd) {
        let start = spans.len();
        reader.read(mask, &mut spans).map_err(|reason| Undrawable { segment, reason })?;
        if spans.len() > start {
            kept.push(segment);
            parts.push(start..spans.len());
        }
    }
    let plane = size[0] * size[1];
    let mut masks = vec![0; kept.len() * plane];
    for (mask, part) in masks.chunks_exact_mut(plane.max(1)).zip(parts) {
        fill(&spans[part], frame.size()[0], size[1], mask);
    }
    Ok(Drawn { masks: stack(masks, kept.len(), size), kept })
}

/// `[N, H, W]` of as many values.
fn stack(values: Vec<u8>, n: usize, [height, width]: [usize; 2]) -> Array3<u8> {
    Array3::from_shape_vec((n, height, width), values).unwrap_or_else(|_| Array3::zeros((n, height, width)))
}

/// Sets the pixels of spans that run down columns of `height` pixels, in rows that are `stride` apart.
fn fill(spans: &[Span], height: usize, stride: usize, mask: &mut [u8]) {
    for &[start, end] in spans {
        let (mut position, end) = (start as usize, end as usize);
        while position < end {
            let (x, y) = (position / height, position % height);
            let count = (end - position).min(height - y);
            mask[y * stride + x..].iter_mut().step_by(stride).take(count).for_each(|pixel| *pixel = 1);
            position += count;
        }
    }
}

/// Turns masks into spans down the columns of the window; keeps its buffers from mask to mask.
struct Reader<'a> {
    frame: &'a Frame,
    image_size: [u32; 2],
    /// For each boundary above a source row, and the one below the last, the boundary in the window.
    boundaries: Vec<u32>,
    spans: Spans,
}

impl<'a> Reader<'a> {
    fn new(image_size: [usize; 2], frame: &'a Frame) -> Self {
        let rows = frame.rows();
        let upside_down = rows.first() > rows.last();
        let boundary = |row: u32| rows.partition_point(|&source| (source < row) != upside_down) as u32;
        let boundaries = (0..=image_size[0] as u32).map(boundary).collect();
        Self { frame, image_size: image_size.map(|edge| edge as u32), boundaries, spans: Spans::new() }
    }

    /// Adds the spans of a mask; none if it has no pixel in the window.
    fn read(&mut self, mask: &Segmentation, out: &mut Vec<Span>) -> Result<(), DataError> {
        match mask {
            Segmentation::Polygons(parts) => {
                polygon::check(parts.first().map(Vec::len))?;
                let size = self.frame.size().map(|edge| edge as u32);
                let parts: Vec<Vec<f64>> = parts.iter().map(|part| self.frame.outline(part)).collect();
                self.spans.read_polygons(size, parts.iter().map(Vec::as_slice))?;
                out.extend_from_slice(self.spans.spans());
                return Ok(());
            }
            Segmentation::Compressed { size, counts } => self.spans.read_compressed(*size, counts)?,
            Segmentation::Uncompressed { size, counts } => self.spans.read_counts(*size, counts)?,
        }
        if self.spans.size() != self.image_size {
            let ([h, w], [height, width]) = (self.spans.size(), self.image_size);
            return Err(rle_error(format!("{h}x{w} (HxW), expected {height}x{width} as its image")));
        }
        self.look_up(out);
        Ok(())
    }

    /// Adds the spans of the window's columns, each looked up in its source column.
    fn look_up(&self, out: &mut Vec<Span>) {
        let source_height = self.image_size[0];
        let height = self.frame.size()[0] as u32;
        let [left, _, width, _] = self.spans.bbox();
        let spans = self.spans.spans();
        for (x, &column) in (0u32..).zip(self.frame.columns()) {
            if !(left..left + width).contains(&column) {
                continue;
            }
            let (head, foot) = (column * source_height, (column + 1) * source_height);
            let first = spans.partition_point(|&[_, end]| end <= head);
            for &[start, end] in spans[first..].iter().take_while(|[start, _]| *start < foot) {
                let row = |position: u32| self.boundaries[(position.clamp(head, foot) - head) as usize];
                let [from, to] = [row(start).min(row(end)), row(start).max(row(end))]; // upside down the end comes first
                if from < to {
                    out.push([x * height + from, x * height + to]);
                }
            }
        }
    }
}

/// The first value of a map that names no segment.
pub(super) fn stray_value(map: &Array2<u16>, segments: usize) -> Option<u16> {
    map.iter().copied().find(|&value| value != NO_SEGMENT && usize::from(value) >= segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FlipDirection;
    use crate::rle::Rle;
    use crate::transform::resize::Region;
    use crate::transform::resize_filter::ResizeFilter;
    use proptest::prelude::*;

    fn segment(crowd: bool) -> Segment {
        Segment { class: 0, thing: true, crowd }
    }

    /// What looking every pixel up gives.
    fn looked_up(mask: &Array2<u8>, frame: &Frame) -> Array2<u8> {
        let [height, width] = frame.size();
        let at = |(y, x): (usize, usize)| mask[[frame.rows()[y] as usize, frame.columns()[x] as usize]];
        Array2::from_shape_fn((height, width), at)
    }

    prop_compose! {
        fn masks()(height in 1usize..14, width in 1usize..14)(
            values in proptest::collection::vec(0u8..2, height * width), height in Just(height), width in Just(width)
        ) -> Array2<u8> {
            Array2::from_shape_vec((height, width), values).unwrap()
        }
    }

    proptest! {
        #[test]
        fn run_lengths_and_maps_equal_looking_up(
            mask in masks(), target in [1usize..30, 1usize..30], share in [0.0..1.0, 0.0..1.0], mirrored in any::<[bool; 4]>()
        ) {
            let (height, width) = mask.dim();
            let mut frame = Frame::new([height, width]);
            let flip = |frame: &mut Frame, horizontal, vertical| {
                if horizontal {
                    frame.mirror(FlipDirection::Horizontal);
                }
                if vertical {
                    frame.mirror(FlipDirection::Vertical);
                }
            };
            flip(&mut frame, mirrored[0], mirrored[1]);
            frame.resize(target, ResizeFilter::Pil);
            let place = |axis: usize| (target[axis] as f64 * share[axis]) as usize;
            let (top, left) = (place(0), place(1));
            frame.crop(Region { top, left, size: [target[0] - top, target[1] - left] });
            flip(&mut frame, mirrored[2], mirrored[3]);
            let expected = looked_up(&mask, &frame);
            let [h, w] = frame.size();
            let size = [h + 2, w + 3];
            let rle = Rle::encode(&mask).unwrap();
            let each = SegmentMasks::Each(vec![Segmentation::compressed(&rle)]);
            let map = SegmentMasks::Map(mask.mapv(|v| if v == 1 { 0 } else { NO_SEGMENT }));
            for masks in [each, map] {
                let drawn = draw(&[segment(false)], &masks, [height, width], &frame, size).unwrap();
                if expected.iter().all(|&v| v == 0) {
                    prop_assert_eq!(drawn.masks.dim(), (0, size[0], size[1]));
                } else {
                    prop_assert_eq!(drawn.masks.slice(ndarray::s![0, ..h, ..w]), &expected);
                    let set = |values: usize| drawn.masks.iter().filter(|&&v| v == 1).count() == values;
                    prop_assert!(set(expected.iter().filter(|&&v| v == 1).count()), "padding is set");
                }
            }
        }
    }

    #[test]
    fn outlines_move_with_the_frame() {
        let mut frame = Frame::new([10, 20]);
        frame.resize([20, 40], ResizeFilter::Pil);
        frame.crop(Region { top: 4, left: 8, size: [10, 12] });
        // Columns 3..6 and rows 1..4 become 6..12 and 2..8, in the window -2..4 and -2..4.
        let outline = vec![3.0, 1.0, 6.0, 1.0, 6.0, 4.0, 3.0, 4.0];
        let masks = SegmentMasks::Each(vec![Segmentation::Polygons(vec![outline])]);
        let drawn = draw(&[segment(false)], &masks, [10, 20], &frame, [10, 12]).unwrap();
        let expected = Array3::from_shape_fn((1, 10, 12), |(_, y, x)| u8::from(y < 4 && x < 4));
        assert_eq!(drawn.masks, expected);
    }

    #[test]
    fn crowds_and_vanished_segments_are_dropped() {
        let mut frame = Frame::new([4, 8]);
        frame.crop(Region { top: 0, left: 0, size: [4, 4] });
        let columns = |range: Range<usize>| {
            let mask = Array2::from_shape_fn((4, 8), |(_, x)| u8::from(range.contains(&x)));
            Segmentation::compressed(&Rle::encode(&mask).unwrap())
        };
        let masks = SegmentMasks::Each(vec![columns(0..8), columns(5..8), columns(3..6)]);
        let segments = [segment(true), segment(false), segment(false)];
        let drawn = draw(&segments, &masks, [4, 8], &frame, [4, 4]).unwrap();
        assert_eq!(drawn.kept, [2]);
        assert_eq!(drawn.masks.iter().filter(|&&v| v == 1).count(), 4);
    }

    #[test]
    fn masks_of_another_size_are_refused() {
        let rle = Rle::new([3, 3], vec![9]).unwrap();
        let masks = SegmentMasks::Each(vec![Segmentation::compressed(&rle)]);
        let frame = Frame::new([4, 4]);
        let refused = draw(&[segment(false)], &masks, [4, 4], &frame, [4, 4]).unwrap_err();
        assert_eq!(refused.segment, 0);
        let message = refused.reason.to_string();
        assert_eq!(message, "run-length encoded mask: 3x3 (HxW), expected 4x4 as its image");
    }
}
