//! The class of every pixel: class probabilities of all queries, weighed by their masks.
//!
//! Peak memory: strips of all queries' masks and of all classes' scores, each at most [`CHUNK_VALUES`] values however large the
//! image, and the `[H, W]` result. The reference holds `[Q, H, W]` three times and `[K, H, W]`.

use std::ops::Range;

use ndarray::Array2;
use tch::{Device, Kind, Tensor, no_grad};

use super::rows::{Axis, resize_columns};
use super::{CHUNK_VALUES, Frame, ImageLogits, SemanticOrder};
use crate::mask::criterion::at_least_f32;
use crate::mask::error::MaskError;

/// Contiguous class ids `[H, W]`, `0..K`: of each pixel the class with the largest sum over queries of class probability times
/// mask probability; of equal ones the first.
///
/// # Errors
/// [`MaskError::Argument`] naming what does not fit, K above 65536 included.
pub fn semantic(logits: ImageLogits<'_>, order: SemanticOrder) -> Result<Array2<u16>, MaskError> {
    SemanticScores::of_logits(logits, order)?.labels()
}

/// The scores of all classes at the size of the output, made a strip of rows at a time.
#[derive(Debug)]
pub struct SemanticScores {
    source: Source,
    frame: Frame,
    num_classes: i64,
    /// Output rows a strip.
    rows: i64,
}

#[derive(Debug)]
enum Source {
    /// Masks `[Q, h, w]` and class probabilities `[K, Q]`.
    Queries { masks: Tensor, classes: Tensor, order: SemanticOrder },
    /// Scores at the size of the image, `[K, h, w]`.
    Map(Tensor),
}

impl SemanticScores {
    /// Those of one forward pass.
    ///
    /// # Errors
    /// [`MaskError::Argument`] naming what does not fit.
    pub fn of_logits(logits: ImageLogits<'_>, order: SemanticOrder) -> Result<Self, MaskError> {
        let num_classes = logits.check()?;
        let queries = logits.masks.size()[0];
        let masks = at_least_f32(logits.masks);
        let classes = logits.probabilities().narrow(1, 0, num_classes).tr();
        let rows = rows_a_strip(logits.frame, queries.max(num_classes));
        Ok(Self { source: Source::Queries { masks, classes, order }, frame: logits.frame, num_classes, rows })
    }

    /// Scores `[K, h, w]` that are there already, for an image of the size (height, width) `output`.
    ///
    /// # Errors
    /// [`MaskError::Argument`] for another number of dimensions or an empty map.
    pub fn of_map(map: &Tensor, output: (i64, i64)) -> Result<Self, MaskError> {
        let size = map.size();
        let [num_classes, height, width] = size[..] else {
            return Err(MaskError::argument("scores", "[K, h, w]", format!("{size:?}")));
        };
        if size.contains(&0) || output.0 < 1 || output.1 < 1 {
            let got = format!("{size:?} for an output of {}x{}", output.0, output.1);
            return Err(MaskError::argument("scores", "one value at least", got));
        }
        let frame = Frame { padded: (height, width), image: (height, width), output };
        let (source, rows) = (Source::Map(map.shallow_clone()), rows_a_strip(frame, num_classes));
        Ok(Self { source, frame, num_classes, rows })
    }

    /// The class of every pixel, as [`semantic`].
    ///
    /// # Errors
    /// [`MaskError::Argument`] for more than 65536 classes.
    pub fn labels(&self) -> Result<Array2<u16>, MaskError> {
        if self.num_classes > i64::from(u16::MAX) + 1 {
            return Err(MaskError::argument("class logits", "at most 65536 classes", self.num_classes));
        }
        let (height, width) = self.frame.output;
        let mut map: Vec<i32> = Vec::with_capacity((height * width) as usize);
        for (_, scores) in self.strips() {
            let winners = scores.argmax(0, false).to_kind(Kind::Int); // [rows, W]
            map.extend(Vec::<i32>::try_from(winners.to_device(Device::Cpu).reshape([-1]))?);
        }
        let shape = (height as usize, width as usize);
        Ok(Array2::from_shape_fn(shape, |(y, x)| map[y * shape.1 + x] as u16)) // below K
    }

    /// From top to bottom the first row of each strip and its scores, `[K, rows, W]`.
    pub fn strips(&self) -> impl Iterator<Item = (i64, Tensor)> {
        let height = self.frame.output.0;
        let starts = (0..height).step_by(self.rows as usize);
        starts.map(move |start| {
            let end = (start + self.rows).min(height);
            (start, no_grad(|| self.strip(&(start..end))))
        })
    }

    /// Scores of all classes in some rows of the output: `[K, rows, W]`.
    fn strip(&self, output: &Range<i64>) -> Tensor {
        let Frame { image, output: size, .. } = self.frame;
        let fit = Axis { input: image.0, output: size.0 };
        let resize = |strip: &Tensor, first: i64| {
            resize_columns(&fit.resize_rows(strip, first, output), size.1) // [_, rows, W]
        };
        match &self.source {
            Source::Map(map) => {
                let needed = fit.needed(output, map.kind());
                resize(&map.narrow(1, needed.start, needed.end - needed.start), needed.start)
            }
            Source::Queries { masks, classes, order } => {
                let needed = fit.needed(output, masks.kind());
                let strip = self.masks_of_image(masks, &needed); // [Q, rows of the image, W of the image]
                match order {
                    SemanticOrder::ResizeMasks => sum_queries(classes, &resize(&strip, needed.start)),
                    SemanticOrder::ResizeScores => resize(&sum_queries(classes, &strip), needed.start),
                }
            }
        }
    }

    /// Some rows of mask logits `[Q, h, w]` at the size of the image.
    fn masks_of_image(&self, masks: &Tensor, rows: &Range<i64>) -> Tensor {
        let Frame { padded, image, .. } = self.frame;
        let enlarge = Axis { input: masks.size()[1], output: padded.0 };
        let needed = enlarge.needed(rows, masks.kind());
        let strip = masks.narrow(1, needed.start, needed.end - needed.start);
        let strip = enlarge.resize_rows(&strip, needed.start, rows);
        resize_columns(&strip, padded.1).narrow(2, 0, image.1)
    }
}

/// Output rows that are made at a time of so many maps.
fn rows_a_strip(Frame { padded, output, .. }: Frame, maps: i64) -> i64 {
    // Rows of the padded input that an output row stands for, at least one.
    let stretch = (padded.0 + output.0 - 1) / output.0;
    let row = maps * padded.1.max(output.1) * stretch;
    (CHUNK_VALUES / row.max(1)).max(1)
}

/// Class probabilities `[K, Q]` weighed by masks: `[Q, R, W]` -> `[K, R, W]`.
fn sum_queries(classes: &Tensor, masks: &Tensor) -> Tensor {
    let [queries, rows, width] = masks.size()[..] else { unreachable!("strips have three dimensions") };
    let flat = masks.sigmoid().reshape([queries, rows * width]);
    classes.matmul(&flat).reshape([-1, rows, width])
}
