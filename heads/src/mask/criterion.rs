//! The loss of Mask2Former: every decoder layer's queries are matched to the objects and held to their classes and masks.
//!
//! Paper: Mask2Former, section 3.3. Reference code: facebookresearch/Mask2Former 9b0651c, `criterion.py`, licence MIT.
//! Differs from the reference: points off the labelled pixels can be left out; targets are read at the points, so that no
//! float copy of a mask and no tensor of all queries and objects at full size exists.
//! Shapes: class logits `[B, Q, K + 1]`, mask logits `[B, Q, h, w]` a layer; see [`MaskTarget`]. Losses are f32, or f64 of f64 logits.
//! Call it outside autocast, as the reference does for costs and losses.
//! Checked by: `tests/parity_mask_loss.rs` (losses of every layer and all gradients), `tests/contract/mask_loss.rs`.

use std::sync::Arc;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use smalti_backbones::ModelError;
use tch::{Kind, Reduction, Tensor, no_grad};

use super::error::MaskError;
use super::matcher::{LayerCosts, MatchCosts, Matched, TermWeights};
use super::points::{
    Draw, PointSource, RandomPoints, Sampling, labelled_at, sample, sample_masks, uncertain_points,
};
use super::ranks::{Ranks, SingleRank};
use super::targets::{MaskTarget, Targets, count_masks};

/// The `[loss]` table of a Mask2Former recipe; the defaults are the published values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskLossConfig {
    /// Weight of the class term in costs and loss. Default 2.
    pub class_weight: f64,
    /// Weight of the masks' cross-entropy in costs and loss. Default 5.
    pub mask_weight: f64,
    /// Weight of the masks' dice in costs and loss. Default 5.
    pub dice_weight: f64,
    /// Weight of "no object" beside 1 of every class in the class loss. Default 0.1.
    pub no_object_weight: f64,
    /// Points that a mask is looked at. Default 12544 (112 x 112).
    pub num_points: i64,
    /// Points at which queries and objects are compared for the matching. Default: `num_points`, as the reference. These are
    /// cheap, one set an image and layer, and spread over the whole image: objects that only a few of them hit are matched by
    /// chance, so images of many small objects want more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_points: Option<i64>,
    /// Candidates for each point of a mask's loss. Default 3.
    pub oversample_ratio: f64,
    /// Share of the points that are the candidates with logits nearest 0; the others are random. Default 0.75.
    pub importance_sample_ratio: f64,
    /// Leave out points on pixels that nobody labelled, in costs and loss. Default false, as the reference: such pixels are
    /// background of every mask.
    pub ignore_unlabelled: bool,
    /// Matching costs that are infinite, NaN or beyond 1e10 count as 1e10 (or -1e10), so that such a pair is chosen last; whether the
    /// losses are finite is seen then. Default false: they are an error naming term, layer, image and pair, about which
    /// `train.on_non_finite` decides. transformers clamps always, the reference fails inside scipy.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clamp_costs: bool,
}

impl Default for MaskLossConfig {
    fn default() -> Self {
        Self {
            class_weight: 2.0,
            mask_weight: 5.0,
            dice_weight: 5.0,
            no_object_weight: 0.1,
            num_points: 12544,
            match_points: None,
            oversample_ratio: 3.0,
            importance_sample_ratio: 0.75,
            ignore_unlabelled: false,
            clamp_costs: false,
        }
    }
}

/// Most candidates a mask, 64 times the published number: beyond, a number in a recipe is a slip.
const MAX_CANDIDATES: f64 = 64.0 * 3.0 * 12544.0;

impl MaskLossConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field.
    pub fn validate(&self) -> Result<(), ModelError> {
        let weights = [
            ("class_weight", self.class_weight),
            ("mask_weight", self.mask_weight),
            ("dice_weight", self.dice_weight),
            ("no_object_weight", self.no_object_weight),
        ];
        for (name, weight) in weights {
            if !(0.0..1e6).contains(&weight) {
                return Err(ModelError::config(format!("loss.{name}"), "0 <= weight < 1e6", weight));
            }
        }
        if self.class_weight + self.mask_weight + self.dice_weight == 0.0 {
            let expected = "one of class_weight, mask_weight, dice_weight above 0";
            return Err(ModelError::config("loss.class_weight", expected, 0));
        }
        for (name, points) in [("num_points", self.num_points), ("match_points", self.matching_points())] {
            if !(1..=12544 * 64).contains(&points) {
                return Err(ModelError::config(format!("loss.{name}"), "1 to 802816", points));
            }
        }
        let candidates = self.oversample_ratio * self.num_points as f64;
        if self.oversample_ratio.is_nan() || self.oversample_ratio < 1.0 || candidates > MAX_CANDIDATES {
            let expected = format!("1 or more, times num_points at most {MAX_CANDIDATES}");
            return Err(ModelError::config("loss.oversample_ratio", expected, self.oversample_ratio));
        }
        if !(0.0..=1.0).contains(&self.importance_sample_ratio) {
            let got = self.importance_sample_ratio;
            return Err(ModelError::config("loss.importance_sample_ratio", "0 to 1", got));
        }
        Ok(())
    }

    fn weights(&self) -> TermWeights {
        TermWeights { class: self.class_weight, mask: self.mask_weight, dice: self.dice_weight }
    }

    fn matching_points(&self) -> i64 {
        self.match_points.unwrap_or(self.num_points)
    }

    fn sampling(&self) -> Sampling {
        Sampling {
            points: self.num_points,
            oversample: self.oversample_ratio,
            importance: self.importance_sample_ratio,
        }
    }
}

/// What the network says after one layer of the decoder.
#[derive(Debug, Clone, Copy)]
pub struct LayerLogits<'a> {
    /// `[B, Q, K + 1]`, "no object" last.
    pub classes: &'a Tensor,
    /// `[B, Q, h, w]`
    pub masks: &'a Tensor,
}

/// Losses of one layer, scalars in the graph, before their weights.
#[derive(Debug)]
pub struct LayerLosses {
    /// Cross-entropy of the classes of all queries.
    pub class: Tensor,
    /// Cross-entropy at the points of matched masks.
    pub mask: Tensor,
    /// Dice loss at the points of matched masks.
    pub dice: Tensor,
}

/// Losses of one batch.
#[derive(Debug)]
pub struct MaskLosses {
    /// What is minimised: the weighted sum over terms and layers.
    pub total: Tensor,
    /// Layer by layer, in the order of the predictions.
    pub layers: Vec<LayerLosses>,
    /// Which query answers for which object: layer by layer, image by image.
    pub matches: Vec<Vec<Matched>>,
}

/// The criterion.
#[derive(Debug, Clone)]
pub struct MaskCriterion {
    config: MaskLossConfig,
    num_classes: i64,
    ranks: Arc<dyn Ranks>,
}

impl MaskCriterion {
    /// A criterion for K classes, "no object" not counted, of a single process.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field.
    pub fn new(config: &MaskLossConfig, num_classes: i64) -> Result<Self, ModelError> {
        config.validate()?;
        Ok(Self { config: config.clone(), num_classes, ranks: Arc::new(SingleRank) })
    }

    /// The same criterion on one of several ranks.
    #[must_use]
    pub fn over_ranks(self, ranks: Arc<dyn Ranks>) -> Self {
        Self { ranks, ..self }
    }

    /// Weights and points.
    pub fn config(&self) -> &MaskLossConfig {
        &self.config
    }

    /// What divides the mask losses of a step: the objects of a batch, averaged over ranks. Asks the other ranks, so each calls it
    /// once a step.
    ///
    /// # Errors
    /// [`MaskError::Op`] if the other ranks can not be asked.
    pub fn num_masks(&self, targets: &[MaskTarget]) -> Result<f64, MaskError> {
        Ok(self.ranks.mean(count_masks(targets) as f64)?)
    }

    /// Losses of the predictions of all `layers`, first to last, each matched on its own, at points from libtorch's generator.
    ///
    /// `num_masks` ([`MaskCriterion::num_masks`]) divides the mask losses. Below 1 it counts as 1. Images without objects, and batches of nothing else, are legal: their mask losses are 0, in the graph.
    ///
    /// # Errors
    /// [`MaskError::Argument`] naming what does not fit; [`MaskError::NonFiniteCost`] if the network has diverged.
    pub fn forward(
        &self,
        layers: &[LayerLogits<'_>],
        targets: &[MaskTarget],
        num_masks: f64,
    ) -> Result<MaskLosses, MaskError> {
        self.forward_at(&mut RandomPoints, layers, targets, num_masks)
    }

    /// [`MaskCriterion::forward`] at points from elsewhere.
    ///
    /// # Errors
    /// See [`MaskCriterion::forward`].
    pub fn forward_at(
        &self,
        source: &mut dyn PointSource,
        layers: &[LayerLogits<'_>],
        targets: &[MaskTarget],
        num_masks: f64,
    ) -> Result<MaskLosses, MaskError> {
        let sizes = self.check(layers)?;
        let targets = Targets::check(targets, sizes.batch, self.num_classes, self.config.ignore_unlabelled)?;
        let batch = Batch { config: &self.config, sizes, targets, num_masks: num_masks.max(1.0) };
        let layers: Vec<Layer> = layers.iter().map(Layer::new).collect();

        let (mut losses, mut matches) = (Vec::new(), Vec::new());
        let mut ahead = layers.first().map(|layer| batch.costs(source, 0, layer));
        for (number, layer) in layers.iter().enumerate() {
            let Some(costs) = ahead.take() else { break };
            let on_host: Vec<Array2<f64>> = costs.fetch(self.config.clamp_costs)?;
            // Queued before the assignment: a GPU computes the next costs while the CPU assigns.
            ahead = layers.get(number + 1).map(|next| batch.costs(source, number + 1, next));
            let matched = costs.assign(&on_host)?;
            losses.push(batch.losses(source, number, layer, &matched));
            matches.push(matched);
        }
        let weights = self.config.weights();
        let weighted = losses.iter().map(|layer: &LayerLosses| {
            &layer.class * weights.class + &layer.mask * weights.mask + &layer.dice * weights.dice
        });
        let total = weighted.reduce(|a, b| a + b);
        let total = total.ok_or_else(|| MaskError::argument("layers", "one or more", 0))?;
        Ok(MaskLosses { total, layers: losses, matches })
    }

    fn check(&self, layers: &[LayerLogits<'_>]) -> Result<Sizes, MaskError> {
        let mut common: Option<Sizes> = None;
        for (number, layer) in layers.iter().enumerate() {
            let wrong = |what: &str, expected: String, got: &Tensor| {
                let got = format!("{:?}", got.size());
                Err(MaskError::argument(format!("{what} logits of layer {number}"), expected, got))
            };
            let [batch, queries, outputs] = layer.classes.size()[..] else {
                return wrong("class", "[B, Q, K + 1]".into(), layer.classes);
            };
            let sizes = *common.get_or_insert(Sizes { batch, queries });
            if (sizes, outputs) != (Sizes { batch, queries }, self.num_classes + 1) {
                let Sizes { batch, queries } = sizes;
                return wrong(
                    "class",
                    format!("[{batch}, {queries}, {}]", self.num_classes + 1),
                    layer.classes,
                );
            }
            if layer.masks.dim() != 4 || layer.masks.size()[..2] != [batch, queries] {
                return wrong("mask", format!("[{batch}, {queries}, h, w]"), layer.masks);
            }
        }
        common.ok_or_else(|| MaskError::argument("layers", "one or more", 0))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    batch: i64,
    queries: i64,
}

/// A layer's logits in at least f32.
struct Layer {
    classes: Tensor, // [B, Q, K + 1]
    masks: Tensor,   // [B, Q, h, w]
}

impl Layer {
    fn new(logits: &LayerLogits<'_>) -> Self {
        Self { classes: at_least_f32(logits.classes), masks: at_least_f32(logits.masks) }
    }
}

/// Half precision as f32; others as they are.
pub(super) fn at_least_f32(x: &Tensor) -> Tensor {
    match x.kind() {
        Kind::Half | Kind::BFloat16 => x.to_kind(Kind::Float),
        _ => x.shallow_clone(),
    }
}

/// What is the same for all layers.
struct Batch<'a> {
    config: &'a MaskLossConfig,
    sizes: Sizes,
    targets: Targets<'a>,
    num_masks: f64,
}

impl Batch<'_> {
    /// Costs of every query and object, image by image.
    fn costs(&self, source: &mut dyn PointSource, number: usize, layer: &Layer) -> LayerCosts {
        let options = (layer.masks.kind(), layer.masks.device());
        let of_image = |(image, target): (usize, &MaskTarget)| {
            if target.is_empty() {
                return None;
            }
            let draw = Draw::Matching { layer: number, image };
            let points = source.draw(draw, 1, self.config.matching_points(), options); // [1, P, 2]
            let counts = self.targets.labelled.as_ref().map(|labelled| {
                let which = Tensor::from_slice(&[image as i64]).to_device(options.1);
                labelled_at(labelled, &which, &points) // [1, P]
            });
            let (classes, masks) =
                (layer.classes.select(0, image as i64), layer.masks.select(0, image as i64));
            Some(MatchCosts::new(&classes, &masks, target, &points, counts.as_ref(), self.config.weights()))
        };
        let images = no_grad(|| self.targets.images.iter().enumerate().map(of_image).collect());
        LayerCosts { layer: number, queries: self.sizes.queries, images }
    }

    fn losses(
        &self,
        source: &mut dyn PointSource,
        number: usize,
        layer: &Layer,
        matched: &[Matched],
    ) -> LayerLosses {
        let [mask, dice] = self.mask_losses(source, number, layer, matched);
        LayerLosses { class: self.class_loss(layer, matched), mask, dice }
    }

    /// Cross-entropy over all queries, divided by the sum of their weights.
    fn class_loss(&self, layer: &Layer, matched: &[Matched]) -> Tensor {
        let Sizes { batch, queries } = self.sizes;
        let no_object = layer.classes.size()[2] - 1;
        let mut labels = vec![no_object; (batch * queries) as usize];
        for (image, (pairs, classes)) in matched.iter().zip(&self.targets.classes).enumerate() {
            for (&query, &target) in pairs.queries.iter().zip(&pairs.targets) {
                labels[image * queries as usize + query as usize] = classes[target as usize];
            }
        }
        let device = layer.classes.device();
        let labels = Tensor::from_slice(&labels).to_device(device).reshape([batch, queries]);
        let mut weights = vec![1.0; no_object as usize + 1];
        weights[no_object as usize] = self.config.no_object_weight;
        let weights = Tensor::from_slice(&weights).to_kind(layer.classes.kind()).to_device(device);
        let logits = layer.classes.transpose(1, 2); // [B, K + 1, Q]
        let no_index_is_ignored = -100;
        logits.cross_entropy_loss(&labels, Some(&weights), Reduction::Mean, no_index_is_ignored, 0.0)
    }

    /// Cross-entropy and dice of the matched masks at their points.
    fn mask_losses(
        &self,
        source: &mut dyn PointSource,
        number: usize,
        layer: &Layer,
        matched: &[Matched],
    ) -> [Tensor; 2] {
        let kind = layer.masks.kind();
        let logits = self.matched_masks(layer, matched); // [M, h, w]
        if logits.size()[0] == 0 {
            let zero = logits.sum(kind); // of nothing, yet in the graph
            return [zero.shallow_clone(), zero];
        }
        let (points, labels, counts) = no_grad(|| self.points(source, number, &logits, matched));
        let at_points = sample(&logits, &points); // [M, P]
        let sum = |x: Tensor| x.sum_dim_intlist(1, false, None::<Kind>); // [M, P] -> [M]

        let bce = at_points.binary_cross_entropy_with_logits(
            &labels,
            None::<Tensor>,
            None::<Tensor>,
            Reduction::None,
        );
        let probabilities = at_points.sigmoid();
        let (mask, probabilities, labels) = match counts {
            Some(counts) => {
                let valid = sum(counts.shallow_clone()).clamp_min(1.0);
                (sum(bce * &counts) / valid, probabilities * &counts, labels * counts)
            }
            None => (bce.mean_dim(1, false, None::<Kind>), probabilities, labels),
        };
        let overlap = sum(&probabilities * &labels) * 2.0 + 1.0;
        let dice = 1.0_f64 - overlap / (sum(probabilities) + sum(labels) + 1.0);
        [mask.sum(kind) / self.num_masks, dice.sum(kind) / self.num_masks]
    }

    /// Mask logits of the matched queries, image by image: `[M, h, w]`.
    fn matched_masks(&self, layer: &Layer, matched: &[Matched]) -> Tensor {
        let Sizes { batch, queries } = self.sizes;
        let rows: Vec<i64> = matched
            .iter()
            .enumerate()
            .flat_map(|(image, pairs)| pairs.queries.iter().map(move |query| image as i64 * queries + query))
            .collect();
        let size = layer.masks.size();
        let masks = layer.masks.reshape([batch * queries, size[2], size[3]]);
        masks.index_select(0, &Tensor::from_slice(&rows).to_device(masks.device()))
    }

    /// Points `[M, P, 2]` of the matched masks, their objects there `[M, P]`, and which points count `[M, P]`.
    fn points(
        &self,
        source: &mut dyn PointSource,
        number: usize,
        logits: &Tensor,
        matched: &[Matched],
    ) -> (Tensor, Tensor, Option<Tensor>) {
        let device = logits.device();
        let images: Vec<i64> = matched
            .iter()
            .enumerate()
            .flat_map(|(image, pairs)| pairs.queries.iter().map(move |_| image as i64))
            .collect();
        let images = Tensor::from_slice(&images).to_device(device); // [M]
        let labelled = self.targets.labelled.as_ref();
        let weigh = labelled.map(|labelled| |points: &Tensor| labelled_at(labelled, &images, points));
        let weigh = weigh.as_ref().map(|weigh| weigh as &dyn Fn(&Tensor) -> Tensor);
        let points = uncertain_points(logits, self.config.sampling(), number, source, weigh);

        let mut first = 0;
        let labels: Vec<Tensor> = matched
            .iter()
            .zip(self.targets.images)
            .filter(|(pairs, _)| !pairs.queries.is_empty())
            .map(|(pairs, target)| {
                let count = pairs.queries.len() as i64;
                let own = points.narrow(0, first, count);
                first += count;
                sample_masks(&target.masks, &Tensor::from_slice(&pairs.targets).to_device(device), &own)
            })
            .collect();
        let counts = weigh.map(|weigh| weigh(&points));
        (points, Tensor::cat(&labels, 0), counts)
    }
}
