//! The class of every pixel: class probabilities of all queries, weighed by their masks.
//!
//! Peak memory: strips of all queries' masks and of all classes' scores, each at most [`CHUNK_VALUES`] values however large the
//! image, and the `[H, W]` result. The reference holds `[Q, H, W]` three times and `[K, H, W]`.

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
    let classes = logits.check()?;
    if classes > i64::from(u16::MAX) + 1 {
        return Err(MaskError::argument("class logits", "at most 65536 classes", classes));
    }
    let (height, width) = logits.frame.output;
    let mut map: Vec<i32> = Vec::with_capacity((height * width) as usize);
    no_grad(|| -> Result<(), MaskError> {
        let strips = Strips::new(logits, order, classes);
        let mut start = 0;
        while start < height {
            let end = (start + strips.rows).min(height);
            let winners = strips.scores(start..end).argmax(0, false).to_kind(Kind::Int); // [rows, W]
            map.extend(Vec::<i32>::try_from(winners.to_device(Device::Cpu).reshape([-1]))?);
            start = end;
        }
        Ok(())
    })?;
    let shape = (height as usize, width as usize);
    Ok(Array2::from_shape_fn(shape, |(y, x)| map[y * shape.1 + x] as u16)) // below K
}

/// The image in horizontal strips.
struct Strips {
    masks: Tensor,   // [Q, h, w]
    classes: Tensor, // [K, Q]
    frame: Frame,
    order: SemanticOrder,
    /// Output rows a strip.
    rows: i64,
}

impl Strips {
    fn new(logits: ImageLogits<'_>, order: SemanticOrder, classes: i64) -> Self {
        let Frame { padded, output, .. } = logits.frame;
        let queries = logits.masks.size()[0];
        // Rows of the padded input that an output row stands for, at least one.
        let stretch = (padded.0 + output.0 - 1) / output.0;
        let row = queries.max(classes) * padded.1.max(output.1) * stretch;
        Self {
            masks: at_least_f32(logits.masks),
            classes: logits.probabilities().narrow(1, 0, classes).tr(),
            frame: logits.frame,
            order,
            rows: (CHUNK_VALUES / row.max(1)).max(1),
        }
    }

    /// Scores of all classes in some rows of the output: `[K, rows, W]`.
    fn scores(&self, output: std::ops::Range<i64>) -> Tensor {
        let kind = self.masks.kind();
        let Frame { padded, image, output: size } = self.frame;
        let enlarge = Axis { input: self.masks.size()[1], output: padded.0 };
        let fit = Axis { input: image.0, output: size.0 };
        let in_image = fit.needed(&output, kind);
        let in_logits = enlarge.needed(&in_image, kind);

        let strip = self.masks.narrow(1, in_logits.start, in_logits.end - in_logits.start);
        let strip = enlarge.resize_rows(&strip, in_logits.start, &in_image);
        let strip = resize_columns(&strip, padded.1).narrow(2, 0, image.1); // [Q, rows of the image, W of the image]
        let strip = match self.order {
            SemanticOrder::ResizeMasks => strip,
            SemanticOrder::ResizeScores => self.sum_queries(&strip),
        };
        let strip = resize_columns(&fit.resize_rows(&strip, in_image.start, &output), size.1);
        match self.order {
            SemanticOrder::ResizeMasks => self.sum_queries(&strip),
            SemanticOrder::ResizeScores => strip,
        }
    }

    // [Q, R, W] -> [K, R, W]
    fn sum_queries(&self, masks: &Tensor) -> Tensor {
        let [queries, rows, width] = masks.size()[..] else { unreachable!("strips have three dimensions") };
        let flat = masks.sigmoid().reshape([queries, rows * width]);
        self.classes.matmul(&flat).reshape([-1, rows, width])
    }
}
