//! Matching and the criterion of Mask2Former on cases small enough to compute by hand.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use smalti_heads::mask::Ranks;
use smalti_heads::mask::criterion::{LayerLogits, MaskCriterion, MaskLossConfig, MaskLosses};
use smalti_heads::mask::error::{CostTerm, MaskError};
use smalti_heads::mask::points::{Draw, PointSource, labelled_at, sample, sample_masks, sample_shared};
use smalti_heads::mask::targets::{MaskTarget, count_masks};
use smalti_ops::OpError;
use tch::{Device, Kind, Tensor};

const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

fn near(got: &Tensor, expected: f64) {
    let got = got.double_value(&[]);
    assert!((got - expected).abs() < 1e-5, "got {got}, expected {expected}");
}

/// The same points for every draw, over and over.
struct Fixed(Vec<[f32; 2]>);

impl PointSource for Fixed {
    fn draw(&mut self, _: Draw, sets: i64, points: i64, options: (Kind, Device)) -> Tensor {
        let one: Vec<f32> = self.0.iter().cycle().take(points as usize).flatten().copied().collect();
        Tensor::from_slice(&one).reshape([1, points, 2]).repeat([sets, 1, 1]).to_kind(options.0)
    }
}

/// The centres of a 2x2 map's pixels, row by row.
fn centres() -> Fixed {
    Fixed(vec![[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])
}

/// Four points, all of them uniform: none is chosen for its logit.
fn config() -> MaskLossConfig {
    MaskLossConfig { num_points: 4, importance_sample_ratio: 0.0, ..MaskLossConfig::default() }
}

fn target(classes: &[i64], masks: &[[u8; 4]]) -> MaskTarget {
    MaskTarget {
        classes: Tensor::from_slice(classes),
        masks: Tensor::from_slice(&masks.concat()).reshape([masks.len() as i64, 2, 2]),
        labelled: None,
    }
}

fn losses_of(
    config: &MaskLossConfig,
    classes: &Tensor,
    masks: &Tensor,
    targets: &[MaskTarget],
) -> Result<MaskLosses, MaskError> {
    let criterion = MaskCriterion::new(config, classes.size()[2] - 1).expect("a valid config");
    criterion.forward_at(
        &mut centres(),
        &[LayerLogits { classes, masks }],
        targets,
        count_masks(targets) as f64,
    )
}

/// Two queries, one class: the first says the object's mask with certainty, the second the opposite.
fn two_queries() -> (Tensor, Tensor) {
    let masks = [[40.0_f32, 40.0, -40.0, -40.0], [-40.0, -40.0, 40.0, 40.0]].concat();
    (Tensor::zeros([1, 2, 2], F32), Tensor::from_slice(&masks).reshape([1, 2, 2, 2]))
}

#[test]
fn a_point_is_the_same_place_at_every_resolution() {
    let small = Tensor::from_slice(&[0.0_f32, 1.0, 2.0, 3.0]).reshape([1, 2, 2]);
    let points = |xy: &[f32]| Tensor::from_slice(xy).reshape([1, -1, 2]);
    let values = |x: Tensor| Vec::<f64>::try_from(x.reshape([-1])).unwrap();
    // The middle of the map is the mean of its pixels; a corner is a quarter of its pixel, the rest lies outside.
    let places = points(&[0.25, 0.25, 0.75, 0.25, 0.5, 0.5, 1.0, 1.0]);
    assert_eq!(values(sample(&small, &places)), [0.0, 1.0, 1.5, 0.75]);
    assert_eq!(values(sample_shared(&small, &places)), [0.0, 1.0, 1.5, 0.75]);
    // Binary masks, also of another size than the logits: between column 1 (set) and 2 (not set) of 4.
    let masks = Tensor::from_slice(&[0_u8, 0, 0, 0, 1, 1, 0, 0]).reshape([2, 1, 4]);
    let which = Tensor::from_slice(&[1_i64, 0]);
    let places = points(&[0.5, 0.5, 0.125, 0.5, 0.0, 0.5]);
    assert_eq!(values(sample_masks(&masks, &which, &places)), [0.5, 1.0, 0.5, 0.0, 0.0, 0.0]);
    assert_eq!(values(sample_masks(&masks.ne(0_i64), &which, &places)), [0.5, 1.0, 0.5, 0.0, 0.0, 0.0]);
    // The pixel that a point lies in, whole.
    let ends = points(&[0.49, 0.5, 0.51, 0.5, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!(values(labelled_at(&masks, &Tensor::from_slice(&[1_i64]), &ends)), [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn samples_of_masks_are_those_of_their_float_copies() {
    tch::manual_seed(5);
    let masks = Tensor::rand([5, 13, 9], F32).gt(0.5);
    for kind in [Kind::Float, Kind::Double] {
        let points = Tensor::rand([3, 200, 2], (kind, Device::Cpu));
        let which = Tensor::from_slice(&[4_i64, 0, 4]);
        let expected = sample(&masks.to_kind(kind).index_select(0, &which), &points);
        let error = (sample_masks(&masks, &which, &points) - expected).abs().max().double_value(&[]);
        assert!(error < if kind == Kind::Float { 1e-5 } else { 1e-13 }, "{kind:?}: {error}");
    }
}

#[test]
fn a_perfect_mask_costs_nothing_and_its_opposite_40_a_point() {
    let (classes, masks) = two_queries();
    let losses = losses_of(&config(), &classes, &masks, &[target(&[0], &[[1, 1, 0, 0]])]).unwrap();
    assert_eq!(losses.matches[0][0].queries, [0]);
    let layer = &losses.layers[0];
    near(&layer.mask, 0.0);
    near(&layer.dice, 0.0); // 1 - (2 * 2 + 1) / (2 + 2 + 1)
    // Both queries at ln 2: one with weight 1, "no object" with 0.1, divided by 1.1.
    near(&layer.class, 2.0_f64.ln());
    near(&losses.total, 2.0 * 2.0_f64.ln());

    // Both objects, so the second query has to take the other one: at every point it is as wrong as can be.
    let both = [target(&[0, 0], &[[1, 1, 0, 0], [1, 1, 0, 0]])];
    let losses = losses_of(&config(), &classes, &masks, &both).unwrap();
    near(&losses.layers[0].mask, 40.0 / 2.0);
    near(&losses.layers[0].dice, (1.0 - 1.0 / 5.0) / 2.0);
}

#[test]
fn num_masks_divides_the_mask_losses_and_counts_as_one_at_least() {
    let (classes, masks) = two_queries();
    let targets = [target(&[0, 0], &[[1, 1, 0, 0], [1, 1, 0, 0]])];
    let criterion = MaskCriterion::new(&config(), 1).unwrap();
    let mask_loss = |num_masks: f64| {
        let layers = [LayerLogits { classes: &classes, masks: &masks }];
        let losses = criterion.forward_at(&mut centres(), &layers, &targets, num_masks).unwrap();
        losses.layers[0].mask.double_value(&[])
    };
    assert_eq!((mask_loss(0.0), mask_loss(1.0), mask_loss(4.0)), (40.0, 40.0, 10.0));
}

/// Two threads that stand for two ranks; each asks once.
#[derive(Debug)]
struct TwoThreads {
    sum: Mutex<f64>,
    both: Barrier,
}

impl Ranks for TwoThreads {
    fn mean(&self, value: f64) -> Result<f64, OpError> {
        *self.sum.lock().expect("no rank panics") += value;
        self.both.wait();
        Ok(*self.sum.lock().expect("no rank panics") / 2.0)
    }
}

/// The reference divides by the objects of all ranks over their number, at least 1, and averages losses and gradients over ranks: what
/// one batch of both ranks' images has with twice that number.
#[test]
fn two_ranks_have_the_mask_losses_of_one_batch() {
    const OBJECTS: [[u8; 4]; 3] = [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]];
    // The class loss is an average of its own on every rank, as in the reference.
    let criterion = MaskCriterion::new(&MaskLossConfig { class_weight: 0.0, ..config() }, 1).unwrap();
    tch::manual_seed(7);
    let (classes, logits) = (Tensor::zeros([2, 4, 2], F32), Tensor::randn([2, 4, 2, 2], F32));
    for objects in [[1, 3], [3, 0], [1, 0], [0, 0]] {
        let targets = |rank: usize| target(&vec![0; objects[rank]], &OBJECTS[..objects[rank]]);
        let masks = logits.copy().set_requires_grad(true);
        let layers = [LayerLogits { classes: &classes, masks: &masks }];
        let both = [targets(0), targets(1)];
        let shared = (count_masks(&both) as f64 / 2.0).max(1.0);
        let whole = criterion.forward_at(&mut centres(), &layers, &both, 2.0 * shared).unwrap();
        whole.total.backward();

        let ranks: Arc<dyn Ranks> = Arc::new(TwoThreads { sum: Mutex::new(0.0), both: Barrier::new(2) });
        let threads = [0, 1].map(|rank| {
            let criterion = criterion.clone().over_ranks(Arc::clone(&ranks));
            let own = |x: &Tensor| x.narrow(0, rank as i64, 1).copy();
            let (classes, masks) = (own(&classes), own(&logits).set_requires_grad(true));
            let targets = [targets(rank)];
            thread::spawn(move || {
                let num_masks = criterion.num_masks(&targets).expect("the other rank answers");
                let layers = [LayerLogits { classes: &classes, masks: &masks }];
                let losses = criterion.forward_at(&mut centres(), &layers, &targets, num_masks);
                let total = losses.expect("losses").total;
                total.backward();
                (total.detach(), masks.grad())
            })
        });
        let [first, second] = threads.map(|thread| thread.join().expect("a rank that ends"));
        near(&((first.0 + second.0) / 2.0), whole.total.double_value(&[]));
        let mean = Tensor::cat(&[first.1, second.1], 0) / 2.0;
        near(&(mean - masks.grad()).abs().max(), 0.0);
        assert_eq!(masks.grad().abs().max().double_value(&[]) > 0.0, objects != [0, 0], "{objects:?}");
    }
}

#[test]
fn images_without_objects_teach_that_nothing_is_there() {
    let (classes, masks) = two_queries();
    let (classes, masks) = (classes.set_requires_grad(true), masks.set_requires_grad(true));
    let losses = losses_of(&config(), &classes, &masks, &[target(&[], &[])]).unwrap();
    near(&losses.layers[0].class, 2.0_f64.ln());
    near(&losses.layers[0].mask, 0.0);
    near(&losses.layers[0].dice, 0.0);
    losses.total.backward();
    assert!(masks.grad().equal(&masks.zeros_like()), "in the graph, but without effect");
    assert!(classes.grad().abs().min().double_value(&[]) > 0.0);
}

#[test]
fn every_layer_is_matched_on_its_own() {
    let (classes, masks) = two_queries();
    let swapped = masks.flip([1]);
    let criterion = MaskCriterion::new(&config(), 1).unwrap();
    let layers = [&masks, &swapped].map(|masks| LayerLogits { classes: &classes, masks });
    let targets = [target(&[0], &[[1, 1, 0, 0]])];
    let losses = criterion.forward_at(&mut centres(), &layers, &targets, 1.0).unwrap();
    let queries: Vec<i64> = losses.matches.iter().map(|images| images[0].queries[0]).collect();
    assert_eq!(queries, [0, 1]);
    near(&losses.total, 2.0 * 2.0 * 2.0_f64.ln());
}

#[test]
fn the_most_uncertain_candidates_are_taken() {
    // Logits 8, 4, 2, 1 at the candidates; with a share of 1 the two points are those of 2 and 1.
    let masks = Tensor::from_slice(&[8.0_f32, 4.0, 2.0, 1.0]).reshape([1, 1, 2, 2]);
    let config = MaskLossConfig {
        num_points: 2,
        oversample_ratio: 2.0,
        importance_sample_ratio: 1.0,
        ..MaskLossConfig::default()
    };
    let losses =
        losses_of(&config, &Tensor::zeros([1, 1, 2], F32), &masks, &[target(&[0], &[[0, 0, 0, 0]])]).unwrap();
    // The cross-entropy of "not set" is ln(1 + e^x).
    near(&losses.layers[0].mask, f64::midpoint(2.0_f64.exp().ln_1p(), 1.0_f64.exp().ln_1p()));
}

#[test]
fn pixels_that_nobody_labelled_count_only_if_asked() {
    let (classes, _) = two_queries();
    // Query 0 is right but for the last pixel, query 1 on the first and the last.
    let masks =
        Tensor::from_slice(&[40.0_f32, 40.0, -40.0, 40.0, 40.0, -40.0, 40.0, -40.0]).reshape([1, 2, 2, 2]);
    let mut object = target(&[0], &[[1, 1, 0, 0]]);
    object.labelled = Some(Tensor::from_slice(&[1_u8, 1, 1, 0]).reshape([2, 2]));
    let targets = [object];
    let all = losses_of(&config(), &classes, &masks, &targets).unwrap();
    near(&all.layers[0].mask, 40.0 / 4.0);
    near(&all.layers[0].dice, 1.0 - 5.0 / 6.0);
    let asked = MaskLossConfig { ignore_unlabelled: true, ..config() };
    let labelled = losses_of(&asked, &classes, &masks, &targets).unwrap();
    assert_eq!(labelled.matches[0][0].queries, [0]);
    near(&labelled.layers[0].mask, 0.0);
    near(&labelled.layers[0].dice, 0.0);

    // Uncertain candidates off the labelled pixels are the last to be taken.
    let masks = Tensor::from_slice(&[8.0_f32, 4.0, 2.0, 1.0]).reshape([1, 1, 2, 2]);
    let uncertain = MaskLossConfig {
        num_points: 2,
        oversample_ratio: 2.0,
        importance_sample_ratio: 1.0,
        ignore_unlabelled: true,
        ..MaskLossConfig::default()
    };
    let mut object = target(&[0], &[[0, 0, 0, 0]]);
    object.labelled = Some(Tensor::from_slice(&[true, true, true, false]).reshape([2, 2]));
    let losses = losses_of(&uncertain, &Tensor::zeros([1, 1, 2], F32), &masks, &[object]).unwrap();
    near(&losses.layers[0].mask, f64::midpoint(2.0_f64.exp().ln_1p(), 4.0_f64.exp().ln_1p()));
}

#[test]
fn half_precision_logits_have_f32_losses() {
    let (classes, masks) = two_queries();
    let (classes, masks) = (classes.to_kind(Kind::BFloat16), masks.to_kind(Kind::BFloat16));
    let losses = losses_of(&config(), &classes, &masks, &[target(&[0], &[[1, 1, 0, 0]])]).unwrap();
    assert_eq!(losses.total.kind(), Kind::Float);
    near(&losses.total, 2.0 * 2.0_f64.ln());
}

#[test]
fn a_cost_that_is_no_number_is_named() {
    let (classes, masks) = two_queries();
    let broken = masks.copy();
    let _ = broken.get(0).get(1).fill_(f64::NAN);
    let criterion = MaskCriterion::new(&config(), 1).unwrap();
    let targets = [target(&[0], &[[1, 1, 0, 0]])];
    let layers = [&masks, &broken].map(|masks| LayerLogits { classes: &classes, masks });
    let error = criterion.forward_at(&mut centres(), &layers, &targets, 1.0).unwrap_err();
    let MaskError::NonFiniteCost { term: CostTerm::Mask, layer: 1, image: 0, query: 1, target: 0, value } =
        error
    else {
        panic!("{error}")
    };
    assert!(value.is_nan());

    let broken = classes.copy();
    let _ = broken.get(0).get(0).fill_(f64::INFINITY);
    let error = losses_of(&config(), &broken, &masks, &targets).unwrap_err();
    assert!(matches!(error, MaskError::NonFiniteCost { term: CostTerm::Class, query: 0, .. }), "{error}");
}

/// A query without a number for a mask is matched last: the other one, which fits as badly as can be, answers for the object.
#[test]
fn a_clamped_cost_is_chosen_last() {
    let (classes, masks) = two_queries();
    let targets = [target(&[0], &[[0, 0, 1, 1]])]; // the second query's mask
    let clamping = MaskLossConfig { clamp_costs: true, ..config() };
    let plain = losses_of(&clamping, &classes, &masks, &targets).unwrap();
    assert_eq!(plain.matches[0][0].queries, [1]);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let broken = masks.copy();
        let _ = broken.get(0).get(1).fill_(bad);
        let losses = losses_of(&clamping, &classes, &broken, &targets).unwrap();
        assert_eq!(losses.matches[0][0].queries, [0], "{bad}");
        assert!(losses.total.double_value(&[]).is_finite(), "{bad}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let (classes, masks) = two_queries();
    let fails = |targets: &[MaskTarget], part: &str| {
        let message = losses_of(&config(), &classes, &masks, targets).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    fails(&[], "targets: expected one for each of 1 images, got 0");
    fails(&[target(&[1], &[[1, 1, 0, 0]])], "classes of image 0: expected 0 to 0, got 1");
    fails(&[target(&[0, 0], &[[1, 1, 0, 0]])], "classes of image 0: expected Int64 [1]");
    let mut float = target(&[0], &[[1, 1, 0, 0]]);
    float.masks = float.masks.to_kind(Kind::Float);
    fails(&[float], "masks of image 0: expected u8 or bool, got Float");
    let criterion = MaskCriterion::new(&config(), 3).unwrap();
    let layers = [LayerLogits { classes: &classes, masks: &masks }];
    let error = criterion.forward(&layers, &[target(&[], &[])], 1.0).unwrap_err().to_string();
    assert!(error.contains("class logits of layer 0: expected [1, 2, 4], got [1, 2, 2]"), "{error}");
    assert!(criterion.forward(&[], &[], 1.0).is_err());
}

#[test]
fn settings_out_of_range_are_named() {
    type Change = fn(&mut MaskLossConfig);
    let wrong: [(Change, &str); 6] = [
        (|c| c.mask_weight = -1.0, "loss.mask_weight"),
        (|c| c.no_object_weight = f64::NAN, "loss.no_object_weight"),
        (|c| c.num_points = 0, "loss.num_points"),
        (|c| c.oversample_ratio = 0.5, "loss.oversample_ratio"),
        (|c| c.importance_sample_ratio = 1.5, "loss.importance_sample_ratio"),
        (|c| (c.class_weight, c.mask_weight, c.dice_weight) = (0.0, 0.0, 0.0), "loss.class_weight"),
    ];
    for (change, field) in wrong {
        let mut config = MaskLossConfig::default();
        change(&mut config);
        let message = MaskCriterion::new(&config, 3).unwrap_err().to_string();
        assert!(message.starts_with(field), "{message}");
    }
}
