//! Masks at points: costs and losses look at some thousand points of a mask, not at all of its pixels.
//!
//! Paper: Kirillov et al., PointRend: Image Segmentation as Rendering, CVPR 2020, section 3, <https://arxiv.org/abs/1912.08193>;
//! its use for masks of queries: Mask2Former, section 3.3. Reference code: detectron2 `point_features.py`, licence Apache-2.0.
//! Differs from the reference: the random quarter of the points is drawn anew, as when Mask2Former was trained, where later
//! detectron2 takes it from the candidates; points off the labelled pixels can be left out.
//! Points are (x, y) in `[0, 1]`, 0 and 1 the outer edges of the map, so one point means the same place at every resolution.
//! Checked by: `tests/parity_mask_loss.rs`, `tests/contract/mask_loss.rs`.

use tch::{Device, Kind, Tensor};

/// What random points are for: with it, a source that replays points finds the right ones in any order of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Draw {
    /// One set, at which all masks of an image are compared.
    Matching {
        /// Layer of the decoder.
        layer: usize,
        /// Position of the image in the batch.
        image: usize,
    },
    /// A set a matched mask, of which the most uncertain ones are kept.
    Candidates {
        /// Layer of the decoder.
        layer: usize,
    },
    /// A set a matched mask, kept as it is.
    Uniform {
        /// Layer of the decoder.
        layer: usize,
    },
}

/// Where points come from.
pub trait PointSource {
    /// `sets` times `points` points, uniform in `[0, 1]^2`: `[sets, points, 2]` of this dtype and device.
    fn draw(&mut self, draw: Draw, sets: i64, points: i64, options: (Kind, Device)) -> Tensor;
}

/// Points from libtorch's generator, whose state is in the checkpoints.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomPoints;

impl PointSource for RandomPoints {
    fn draw(&mut self, _: Draw, sets: i64, points: i64, options: (Kind, Device)) -> Tensor {
        Tensor::rand([sets, points, 2], options)
    }
}

/// Bilinear samples of float maps, 0 outside them: maps `[M, h, w]` at points `[M, P, 2]` -> `[M, P]`.
pub fn sample(maps: &Tensor, points: &Tensor) -> Tensor {
    let size = points.size();
    let grid = (points * 2.0 - 1.0).unsqueeze(1); // [M, 1, P, 2]
    grid_sample(&maps.unsqueeze(1), &grid).reshape([size[0], size[1]])
}

/// The same points for all maps: maps `[M, h, w]` at points `[1, P, 2]` -> `[M, P]`.
pub fn sample_shared(maps: &Tensor, points: &Tensor) -> Tensor {
    let grid = (points * 2.0 - 1.0).unsqueeze(1); // [1, 1, P, 2]
    // As channels of one map, so that where a point lies is worked out once.
    grid_sample(&maps.unsqueeze(0), &grid).reshape([maps.size()[0], points.size()[1]])
}

// [B, C, h, w] at [B, 1, P, 2] in [-1, 1] -> [B, C, 1, P]
fn grid_sample(maps: &Tensor, grid: &Tensor) -> Tensor {
    let (bilinear, zeros, align_corners) = (0, 0, false);
    maps.grid_sampler(grid, bilinear, zeros, align_corners)
}

/// [`smalti_ops::sample_masks`] of checked targets: masks `[N, H, W]` at points `[M, P, 2]`, or `[1, P, 2]` for all -> `[M, P]`.
pub fn sample_masks(masks: &Tensor, which: &Tensor, points: &Tensor) -> Tensor {
    smalti_ops::sample_masks(masks, which, points)
        .expect("masks, indices and points of one batch fit together")
}

/// Whether the pixel that a point lies in is labelled, as 1 or 0.
///
/// # Shapes
/// `labelled` `[B, H, W]` (u8 or bool), `which` `[M]` (i64, the image of each set), `points` `[M, P, 2]` -> `[M, P]`.
pub fn labelled_at(labelled: &Tensor, which: &Tensor, points: &Tensor) -> Tensor {
    let (height, width) = (labelled.size()[1], labelled.size()[2]);
    let row = pixel_index(&(points.select(2, 1) * height as f64).floor(), height);
    let column = pixel_index(&(points.select(2, 0) * width as f64).floor(), width);
    let first_pixel = which.reshape([-1, 1]) * (height * width); // [M, 1]
    labelled.take(&(row * width + column + first_pixel)).ne(0_i64).to_kind(points.kind())
}

fn pixel_index(index: &Tensor, extent: i64) -> Tensor {
    index.clamp(0.0, (extent - 1) as f64).to_kind(Kind::Int64)
}

/// How the points of a mask's loss are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampling {
    /// Points a mask.
    pub(super) points: i64,
    /// Candidates a point.
    pub(super) oversample: f64,
    /// Share of the points that are the most uncertain candidates.
    pub(super) importance: f64,
}

/// The points of each mask's loss: the most uncertain of many, those with logits nearest 0, and some anywhere.
///
/// `logits` `[M, h, w]` -> `[M, P, 2]`. `weigh` says of points `[M, P, 2]` which count (1) and which do not (0); the latter
/// are taken only if there are not enough others.
pub(super) fn uncertain_points(
    logits: &Tensor,
    sampling: Sampling,
    layer: usize,
    source: &mut dyn PointSource,
    weigh: Option<&dyn Fn(&Tensor) -> Tensor>,
) -> Tensor {
    let (masks, options) = (logits.size()[0], (logits.kind(), logits.device()));
    let candidates = (sampling.points as f64 * sampling.oversample) as i64;
    let uncertain = (sampling.points as f64 * sampling.importance) as i64;
    let points = source.draw(Draw::Candidates { layer }, masks, candidates, options);
    let mut certainty = sample(logits, &points).abs(); // [M, candidates]
    if let Some(weigh) = weigh {
        certainty = certainty.masked_fill(&weigh(&points).eq(0.0), f64::INFINITY);
    }
    let (_, nearest) = certainty.topk(uncertain, 1, false, false);
    let index = nearest.unsqueeze(2).expand([-1, -1, 2], false);
    let chosen = points.gather(1, &index, false); // [M, uncertain, 2]
    let rest = sampling.points - uncertain;
    if rest == 0 {
        return chosen;
    }
    Tensor::cat(&[chosen, source.draw(Draw::Uniform { layer }, masks, rest, options)], 1)
}
