//! What a mask classifier is trained on: an image, and a class and a mask for each of its segments.

use ndarray::{Array3, Array4, s};

use crate::loader::Spare;
use crate::sample::Image;
use crate::stage;
use crate::transform::normalize::Normalizer;

/// The segments of a training image that are left after its transforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentTargets {
    /// `[N]` contiguous class ids `0..K`.
    pub classes: Vec<u16>,
    /// `[N, H, W]`: 1 where the segment is, else 0; none is empty, instances may overlap.
    pub masks: Array3<u8>,
}

/// A transformed sample. It stays in bytes until its batch is made: a quarter of the memory, and one copy less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentView {
    /// Name of the image, see [`crate::sample::SegmentedSample`].
    pub name: String,
    /// `[h, w, 3]`, not padded.
    pub image: Image,
    /// Classes and masks; the masks are padded: H >= h, W >= w.
    pub targets: SegmentTargets,
}

/// Samples with segments, stacked.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentBatch {
    /// Names of the samples, in batch order.
    pub names: Vec<String>,
    /// `[B, 3, H, W]`, RGB, `(value - mean) / std`; padding is exactly 0.
    pub images: Array4<f32>,
    /// Of each image, height and width of the part at the upper left that is no padding.
    pub valid: Vec<[usize; 2]>,
    /// Classes and masks of each image; all masks have H and W of `images`.
    pub targets: Vec<SegmentTargets>,
}

impl SegmentBatch {
    /// Normalises and stacks samples; all are padded to the largest height and width among their masks.
    pub fn collate(samples: Vec<SegmentView>, normalizer: &Normalizer) -> Self {
        Self::collate_into(&Spare::default(), samples, normalizer)
    }

    /// [`SegmentBatch::collate`] into the memory of an earlier batch.
    pub(crate) fn collate_into(spare: &Spare, samples: Vec<SegmentView>, normalizer: &Normalizer) -> Self {
        stage::enter!(BATCH);
        let height = samples.iter().map(|sample| sample.targets.masks.dim().1).max().unwrap_or(0);
        let width = samples.iter().map(|sample| sample.targets.masks.dim().2).max().unwrap_or(0);
        let mut images = spare.images((samples.len(), 3, height, width));
        let (mut names, mut valid, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, out) in samples.into_iter().zip(images.outer_iter_mut()) {
            normalizer.write(&sample.image, out);
            let (h, w, _) = sample.image.dim();
            valid.push([h, w]);
            names.push(sample.name);
            targets.push(sample.targets.pad([height, width]));
        }
        Self { names, images, valid, targets }
    }
}

impl SegmentTargets {
    /// The same with zeros added at the bottom and on the right.
    fn pad(self, [height, width]: [usize; 2]) -> Self {
        let (n, h, w) = self.masks.dim();
        if (h, w) == (height, width) {
            return self;
        }
        let mut masks = Array3::zeros((n, height, width));
        masks.slice_mut(s![.., ..h, ..w]).assign(&self.masks);
        Self { classes: self.classes, masks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NormalizeConfig;

    fn view(name: &str, size: [usize; 2], padded: [usize; 2], classes: Vec<u16>) -> SegmentView {
        let mut masks = Array3::zeros((classes.len(), padded[0], padded[1]));
        masks.slice_mut(s![.., ..size[0], ..size[1]]).fill(1);
        let image = Image::from_elem((size[0], size[1], 3), 200);
        SegmentView { name: name.into(), image, targets: SegmentTargets { classes, masks } }
    }

    #[test]
    fn batches_pad_to_the_largest_with_zeros_and_nothing() {
        let normalizer = Normalizer::new(&NormalizeConfig::default());
        let views = [view("a", [3, 5], [4, 6], vec![7, 2]), view("b", [5, 4], [5, 4], vec![])];
        let batch = SegmentBatch::collate(views.to_vec(), &normalizer);
        assert_eq!(batch.images.dim(), (2, 3, 5, 6));
        assert_eq!(batch.valid, [[3, 5], [5, 4]]);
        assert_eq!(batch.names, ["a", "b"]);
        assert_eq!(batch.targets[0].masks.dim(), (2, 5, 6));
        assert_eq!(batch.targets[1].masks.dim(), (0, 5, 6));
        assert_eq!(batch.targets[0].classes, [7, 2]);
        let expected = normalizer.image(&views[0].image, [5, 6]);
        assert_eq!(batch.images.slice(s![0, .., .., ..]), expected);
        for (i, [h, w]) in batch.valid.iter().copied().enumerate() {
            for ((_, y, x), value) in batch.images.slice(s![i, .., .., ..]).indexed_iter() {
                assert_eq!(*value != 0.0, y < h && x < w);
            }
        }
        let inside =
            batch.targets[0].masks.indexed_iter().all(|((_, y, x), v)| (*v == 1) == (y < 3 && x < 5));
        assert!(inside, "masks follow the image");
    }
}
