//! From a sample of bytes to the floats of a network, padded, and stacked into batches.

use ndarray::{Array2, Array3, ArrayViewMut3, s};

use crate::config::NormalizeConfig;
use crate::loader::Spare;
use crate::sample::{Batch, IGNORE, Image, NormalizedSample, Sample};
use crate::stage;

/// `(value - mean) / std` of every byte and channel.
#[derive(Debug, Clone)]
pub struct Normalizer {
    /// `[3][256]`: channel, byte.
    table: [[f32; 256]; 3],
}

impl Normalizer {
    /// Tabulates the 768 results.
    pub fn new(cfg: &NormalizeConfig) -> Self {
        let table = std::array::from_fn(|c| std::array::from_fn(|v| (v as f32 - cfg.mean[c]) / cfg.std[c]));
        Self { table }
    }

    /// `[H, W, 3]` bytes -> `[3, H', W']` floats, where H' and W' are at least `min_size`; what is added at the bottom
    /// and on the right is 0.
    pub fn image(&self, image: &Image, min_size: [usize; 2]) -> Array3<f32> {
        stage::enter!(BATCH);
        let (height, width, _) = image.dim();
        let (out_height, out_width) = (height.max(min_size[0]), width.max(min_size[1]));
        let mut out = Array3::zeros((3, out_height, out_width));
        self.write(image, out.view_mut());
        out
    }

    /// `[H, W, 3]` bytes as floats into the upper left of `out` `[3, H', W']` in standard layout, which is as large at least;
    /// the rest becomes 0.
    pub fn write(&self, image: &Image, mut out: ArrayViewMut3<'_, f32>) {
        let width = image.dim().1;
        let [red, green, blue] = &self.table;
        let (mut r, rest) = out.view_mut().split_at(ndarray::Axis(0), 1);
        let (mut g, mut b) = rest.split_at(ndarray::Axis(0), 1);
        for (y, row) in image.outer_iter().enumerate() {
            let row = row.as_standard_layout();
            let planes = (
                r.slice_mut(s![0, y, ..width]),
                g.slice_mut(s![0, y, ..width]),
                b.slice_mut(s![0, y, ..width]),
            );
            let (mut r, mut g, mut b) = planes;
            let rows = (row.as_slice(), r.as_slice_mut(), g.as_slice_mut(), b.as_slice_mut());
            let (Some(row), Some(r), Some(g), Some(b)) = rows else {
                unreachable!("rows of arrays in standard layout are contiguous")
            };
            for (((pixel, r), g), b) in row.as_chunks::<3>().0.iter().zip(r).zip(g).zip(b) {
                *r = red[usize::from(pixel[0])];
                *g = green[usize::from(pixel[1])];
                *b = blue[usize::from(pixel[2])];
            }
        }
        let height = image.dim().0;
        out.slice_mut(s![.., ..height, width..]).fill(0.0);
        out.slice_mut(s![.., height.., ..]).fill(0.0);
    }

    /// A whole sample, padded to at least `min_size` (height, width): image 0, labels [`IGNORE`].
    pub fn sample(&self, sample: Sample, min_size: [usize; 2]) -> NormalizedSample {
        let image = self.image(&sample.image, min_size);
        let (height, width) = sample.labels.dim();
        let (out_height, out_width) = (height.max(min_size[0]), width.max(min_size[1]));
        let labels = if (out_height, out_width) == (height, width) {
            sample.labels
        } else {
            let mut padded = Array2::from_elem((out_height, out_width), IGNORE);
            padded.slice_mut(s![..height, ..width]).assign(&sample.labels);
            padded
        };
        NormalizedSample { name: sample.name, image, labels }
    }
}

/// Stacks samples; all are padded to the largest height and width among them.
pub fn collate(samples: Vec<NormalizedSample>) -> Batch {
    collate_into(&Spare::default(), samples)
}

/// [`collate`] into the memory of an earlier batch.
pub(crate) fn collate_into(spare: &Spare, samples: Vec<NormalizedSample>) -> Batch {
    stage::enter!(BATCH);
    let height = samples.iter().map(|s| s.labels.dim().0).max().unwrap_or(0);
    let width = samples.iter().map(|s| s.labels.dim().1).max().unwrap_or(0);
    let mut images = spare.images((samples.len(), 3, height, width));
    let mut labels = Array3::from_elem((samples.len(), height, width), IGNORE);
    let mut names = Vec::with_capacity(samples.len());
    for (i, sample) in samples.into_iter().enumerate() {
        let (h, w) = sample.labels.dim();
        images.slice_mut(s![i, .., ..h, ..w]).assign(&sample.image);
        images.slice_mut(s![i, .., ..h, w..]).fill(0.0);
        images.slice_mut(s![i, .., h.., ..]).fill(0.0);
        labels.slice_mut(s![i, ..h, ..w]).assign(&sample.labels);
        names.push(sample.name);
    }
    Batch { names, images, labels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::testing::cells;

    #[test]
    fn values_planes_and_padding() {
        let cfg = NormalizeConfig { mean: [10.0, 20.0, 30.0], std: [2.0, 4.0, 8.0] };
        let mut sample = cells(2, 3, 1);
        sample.image[[1, 2, 0]] = 12;
        sample.image[[1, 2, 1]] = 12;
        sample.image[[1, 2, 2]] = 255;
        let out = Normalizer::new(&cfg).sample(sample.clone(), [4, 2]);
        assert_eq!(out.image.dim(), (3, 4, 3));
        assert_eq!(out.image.slice(s![.., 1, 2]).to_vec(), [1.0, -2.0, 28.125]);
        assert!(out.image.slice(s![.., 2.., ..]).iter().all(|v| *v == 0.0));
        assert_eq!(out.labels.slice(s![..2, ..]), sample.labels);
        assert!(out.labels.slice(s![2.., ..]).iter().all(|v| *v == IGNORE));
    }

    #[test]
    fn batches_pad_to_the_largest() {
        let normalizer = Normalizer::new(&NormalizeConfig::default());
        let samples = [cells(4, 6, 2), cells(7, 3, 2)].map(|s| normalizer.sample(s, [1, 1]));
        let batch = collate(samples.to_vec());
        assert_eq!(batch.images.dim(), (2, 3, 7, 6));
        assert_eq!(batch.images.slice(s![0, .., ..4, ..6]), samples[0].image);
        assert_eq!(batch.labels.slice(s![1, .., ..3]), samples[1].labels);
        assert!(batch.images.slice(s![1, .., .., 3..]).iter().all(|v| *v == 0.0));
        assert!(batch.labels.slice(s![0, 4.., ..]).iter().all(|v| *v == IGNORE));
    }
}
