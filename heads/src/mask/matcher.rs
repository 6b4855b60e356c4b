//! Matching: which query answers for which object of an image, by class and by masks compared at random points.
//!
//! Paper: Mask2Former, section 3.3, after DETR's bipartite matching. Reference code: facebookresearch/Mask2Former 9b0651c,
//! `matcher.py`, licence MIT, itself after facebookresearch/detr, licence Apache-2.0.
//! Differs from the reference: costs that are not finite are an error that names them or, if asked for, are clamped (transformers
//! always clamps, the reference fails inside scipy); points off the labelled pixels can be left out; masks are read at the points, never copied to floats.
//! Shapes: class logits `[Q, K + 1]`, mask logits `[Q, h, w]`, N objects -> costs `[Q, N]`; all terms in f32, or f64 of f64 logits.
//! Checked by: `tests/parity_mask_loss.rs` (costs and pairs of the reference), `tests/contract/mask_loss.rs`.

use ndarray::Array2;
use tch::{Device, Kind, Tensor};

use super::assignment::{AssignmentError, assign};
use super::error::{CostTerm, MaskError};
use super::points::{sample_masks, sample_shared};
use super::targets::MaskTarget;

/// Weights of the three terms, of the matching cost and of the loss alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TermWeights {
    /// Of the class term.
    pub class: f64,
    /// Of the masks' cross-entropy.
    pub mask: f64,
    /// Of the masks' dice.
    pub dice: f64,
}

/// What pairing each query with each object of one image costs, all `[Q, N]`.
#[derive(Debug)]
pub struct MatchCosts {
    /// Minus the probability of the object's class.
    pub class: Tensor,
    /// Mean cross-entropy over the points.
    pub mask: Tensor,
    /// 1 minus the dice coefficient over the points.
    pub dice: Tensor,
    /// The weighted sum.
    pub sum: Tensor,
}

impl MatchCosts {
    /// Costs of one image's objects at `points` `[1, P, 2]`, the same ones for all queries and objects.
    ///
    /// `class_logits` `[Q, K + 1]`, `mask_logits` `[Q, h, w]`, both f32 or f64; `counts` `[1, P]` is 1 at points that count and 0 at
    /// others, `None` = all count.
    pub fn new(
        class_logits: &Tensor,
        mask_logits: &Tensor,
        target: &MaskTarget,
        points: &Tensor,
        counts: Option<&Tensor>,
        weights: TermWeights,
    ) -> Self {
        let kind = mask_logits.kind();
        let every = Tensor::arange(target.len(), (Kind::Int64, points.device()));
        let objects = sample_masks(&target.masks, &every, points); // [N, P]
        let logits = sample_shared(mask_logits, points); // [Q, P]
        // An object's pixels, as far as they count: [N, P].
        let inside = match counts {
            Some(counts) => objects * counts,
            None => objects,
        };
        let divisor = counts.map_or_else(
            || Tensor::from(points.size()[1] as f64).to_kind(kind).to_device(points.device()),
            |counts| counts.sum(kind).clamp_min(1.0),
        );

        let class = class_logits.softmax(-1, None::<Kind>).index_select(1, &target.classes).neg();
        let sum_of = |x: &Tensor| x.sum_dim_intlist(1, false, None::<Kind>);
        // Cross-entropy is linear in the target: that of background everywhere less the logits inside, so one matrix product
        // gives all pairs.
        let background = logits.neg().log_sigmoid().neg(); // [Q, P]
        let (background, probabilities) = match counts {
            Some(counts) => (background * counts, logits.sigmoid() * counts),
            None => (background, logits.sigmoid()),
        };
        let mask = (sum_of(&background).unsqueeze(1) - logits.matmul(&inside.tr())) / divisor;
        let overlap = probabilities.matmul(&inside.tr()) * 2.0 + 1.0;
        let areas = sum_of(&probabilities).unsqueeze(1) + sum_of(&inside).unsqueeze(0) + 1.0;
        let dice = 1.0_f64 - overlap / areas;

        let sum = &mask * weights.mask + &class * weights.class + &dice * weights.dice;
        Self { class, mask, dice, sum }
    }
}

/// What a cost counts at most where costs are clamped, as in transformers; there NaN counts as 0, which would be chosen early.
const MOST_COST: f64 = 1e10;

/// The pairs of one image, in order of the queries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matched {
    /// Queries that answer for an object.
    pub queries: Vec<i64>,
    /// The object of each.
    pub targets: Vec<i64>,
}

/// The costs of all images of a batch for one layer's predictions.
///
/// On a GPU they are only under way when this is made. [`LayerCosts::fetch`] waits for them; the next layer's can be queued
/// before [`LayerCosts::assign`], which then runs on the CPU while the GPU works.
#[derive(Debug)]
pub(super) struct LayerCosts {
    pub(super) layer: usize,
    pub(super) queries: i64,
    /// `None` of an image without objects.
    pub(super) images: Vec<Option<MatchCosts>>,
}

impl LayerCosts {
    /// One copy to the host for all images: matrices `[Q, N]`, if asked for with nothing beyond [`MOST_COST`] in them.
    pub(super) fn fetch(&self, clamp: bool) -> Result<Vec<Array2<f64>>, MaskError> {
        let flat: Vec<Tensor> = self.images.iter().flatten().map(|costs| costs.sum.reshape([-1])).collect();
        let mut values = Vec::new();
        if !flat.is_empty() {
            let all = Tensor::f_cat(&flat, 0)?.f_to_device(Device::Cpu)?;
            values = Vec::<f64>::try_from(all)?;
        }
        if clamp {
            for cost in &mut values {
                *cost = if cost.is_nan() { MOST_COST } else { cost.clamp(-MOST_COST, MOST_COST) };
            }
        }
        let queries = self.queries as usize;
        let mut rest = values.as_slice();
        let matrices = self.images.iter().map(|costs| {
            let targets = costs.as_ref().map_or(0, |costs| costs.sum.size()[1] as usize);
            let (own, others) = rest.split_at(queries * targets);
            rest = others;
            Array2::from_shape_fn((queries, targets), |(query, target)| own[query * targets + target])
        });
        Ok(matrices.collect())
    }

    /// The pairs of every image, from what [`LayerCosts::fetch`] gave.
    ///
    /// # Errors
    /// [`MaskError::NonFiniteCost`] naming term, layer, image and pair.
    pub(super) fn assign(&self, matrices: &[Array2<f64>]) -> Result<Vec<Matched>, MaskError> {
        let images = matrices.iter().enumerate().map(|(image, costs)| {
            let pairs = assign(costs).map_err(|error| self.explain(image, error))?;
            let (queries, targets) =
                pairs.into_iter().map(|(query, target)| (query as i64, target as i64)).unzip();
            Ok(Matched { queries, targets })
        });
        images.collect()
    }

    /// Looks for the term that made a cost not finite. Nothing is searched before something is wrong.
    fn explain(&self, image: usize, error: AssignmentError) -> MaskError {
        let terms = self.images[image].iter().flat_map(|costs| {
            [
                (CostTerm::Class, &costs.class),
                (CostTerm::Mask, &costs.mask),
                (CostTerm::Dice, &costs.dice),
                (CostTerm::Sum, &costs.sum),
            ]
        });
        for (term, costs) in terms {
            let bad = costs.isfinite().logical_not().nonzero(); // [bad entries, 2]
            if bad.size()[0] > 0 {
                let (query, target) = (bad.int64_value(&[0, 0]), bad.int64_value(&[0, 1]));
                return MaskError::NonFiniteCost {
                    term,
                    layer: self.layer,
                    image,
                    query: query as usize,
                    target: target as usize,
                    value: costs.double_value(&[query, target]),
                };
            }
        }
        error.into()
    }
}
