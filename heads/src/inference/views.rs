//! One image seen several times, at several sizes and mirrored: the scores of its views are averaged.
//!
//! Reference code: open-mmlab/mmsegmentation 0.30, `MultiScaleFlipAug` and `EncoderDecoder.aug_test`, and 1.2, `SegTTAModel`,
//! Apache-2.0; for mask classifiers facebookresearch/Mask2Former 9b0651c, `test_time_augmentation.py`, MIT.
//! Differs from the reference: [`average`] resizes images as tensors; scales below 1 stop at the smallest edge that networks take.
//! Shapes: image `[1, 3, H, W]`, views `[1, 3, h, w]`, scores `[1, K, H, W]`.
//! Checked by: the tests below (averages by hand) and `heads/tests/contract/inference.rs` (a whole network).

use smalti_backbones::ModelError;
use tch::{Device, Kind, Tensor};

use crate::{map_size, resize};

/// More scales than anyone averages over are a mistake.
const MAX_SCALES: usize = 16;

/// Checks `inference.scales`.
///
/// # Errors
/// [`ModelError::Config`] naming the first that is out of range.
pub(crate) fn validate_scales(scales: &[f64]) -> Result<(), ModelError> {
    if !(1..=MAX_SCALES).contains(&scales.len()) {
        let expected = format!("1 to {MAX_SCALES} numbers");
        return Err(ModelError::config("inference.scales", expected, scales.len()));
    }
    for (i, scale) in scales.iter().enumerate() {
        if !(0.1..=4.0).contains(scale) {
            return Err(ModelError::config(format!("inference.scales.{i}"), "0.1 to 4", scale));
        }
    }
    Ok(())
}

/// Scale and mirroring of each view: at every scale plain and, with `flip`, mirrored behind it.
pub(crate) fn each_view(scales: &[f64], flip: bool) -> impl Iterator<Item = (f64, bool)> {
    let flips: &[bool] = if flip { &[false, true] } else { &[false] };
    scales.iter().flat_map(move |&scale| flips.iter().map(move |&flipped| (scale, flipped)))
}

/// One way to look at an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Height and width at which the image enters the network.
    pub size: (i64, i64),
    /// Whether it enters mirrored left and right.
    pub flipped: bool,
}

/// The scores of an image's views, added up at its size: `[K, H, W]` in f32.
#[derive(Debug)]
pub struct ViewSum {
    scores: Tensor,
    views: i64,
}

impl ViewSum {
    /// Of no view yet; `size` is the image's height and width.
    pub fn new(num_classes: i64, (height, width): (i64, i64), device: Device) -> Self {
        Self { scores: Tensor::zeros([num_classes, height, width], (Kind::Float, device)), views: 0 }
    }

    /// Adds a view. Its scores come in strips, `[K, rows, W]` with the first of these rows; those of a mirrored view are mirrored
    /// back here.
    pub fn add(&mut self, strips: impl IntoIterator<Item = (i64, Tensor)>, flipped: bool) {
        for (first, strip) in strips {
            let strip = if flipped { strip.flip([2]) } else { strip };
            let _ = self.scores.narrow(1, first, strip.size()[1]).g_add_(&strip);
        }
        self.views += 1;
    }

    /// The mean of all views, of which there is one at least.
    pub fn mean(mut self) -> Tensor {
        self.scores.g_div_scalar_(self.views)
    }
}

/// The mean of the views' scores, `[1, K, H, W]` of an image `[1, 3, H, W]`. `scores_of` takes a view as it enters the network,
/// `[1, 3, h, w]`, to its scores at the size of the image, `[1, K, H, W]`; those of mirrored views are mirrored back here.
/// Beside the sum, the scores of one view are held at a time.
pub fn average(
    image: &Tensor,
    views: &[View],
    num_classes: i64,
    scores_of: impl Fn(&Tensor) -> Tensor,
) -> Tensor {
    let mut sum = ViewSum::new(num_classes, map_size(image), image.device());
    for view in views {
        let resized = resize(image, view.size); // [1, 3, h, w]
        let input = if view.flipped { resized.flip([3]) } else { resized };
        sum.add([(0, scores_of(&input).squeeze_dim(0))], view.flipped);
    }
    sum.mean().unsqueeze(0)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn values(x: &Tensor) -> Vec<f32> {
        Vec::try_from(x.reshape([-1])).unwrap()
    }

    #[test]
    fn scores_of_a_mirrored_view_are_mirrored_back_before_they_are_averaged() {
        let image = Tensor::from_slice(&[1f32, 2.0, 3.0, 5.0, 7.0, 11.0]).reshape([1, 1, 2, 3]);
        let views = [false, true].map(|flipped| View { size: (2, 3), flipped });
        // Scores that know left from right: the value times the number of the column, 0 to 2.
        let columns = Tensor::from_slice(&[0f32, 1.0, 2.0]);
        let mean = average(&image, &views, 1, |view| view * &columns);
        // Unmirrored 1*0, 2*1, 3*2; mirrored 3*0, 2*1, 1*2, turned back 2, 2, 0; the second row likewise.
        assert_eq!(values(&mean), [1.0, 2.0, 3.0, 5.0, 7.0, 11.0]);
        // The image itself has not been written into.
        assert_eq!(values(&image), [1.0, 2.0, 3.0, 5.0, 7.0, 11.0]);
    }

    #[test]
    fn every_view_counts_alike_whatever_its_size() {
        let image = Tensor::from_slice(&[0f32, 6.0, 0.0, 6.0]).reshape([1, 1, 2, 2]);
        let seen = RefCell::new(Vec::new());
        let views = [(2, 2), (2, 4), (1, 1)].map(|size| View { size, flipped: false });
        let mean = average(&image, &views, 2, |view| {
            seen.borrow_mut().push(values(view));
            let [first, last] = [0, -1].map(|column| view.select(3, column).max());
            // Class 0 has the first column's value everywhere, class 1 the last one's.
            Tensor::stack(&[first, last], 0).reshape([1, 2, 1, 1]).expand([1, 2, 2, 2], false)
        });
        // Corners are not aligned: two columns of 0 and 6 become 0, 1.5, 4.5, 6, and one is their mean.
        assert_eq!(
            *seen.borrow(),
            [vec![0.0, 6.0, 0.0, 6.0], vec![0.0, 1.5, 4.5, 6.0, 0.0, 1.5, 4.5, 6.0], vec![3.0]]
        );
        // Class 0: (0 + 0 + 3) / 3; class 1: (6 + 6 + 3) / 3.
        assert_eq!(values(&mean), [1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0]);
    }
}
