//! Costs, pairs, losses and gradients of Mask2Former against transformers' at the same points, and the assignment against
//! scipy's (docs/parity.md).

#[expect(dead_code, reason = "the backbones' test uses more of it")]
#[path = "../../backbones/tests/support/golden.rs"]
mod golden;

use std::path::Path;

use golden::{Deviation, Golden, assert_close, close, leaf};
use ndarray::Array2;
use smalti_heads::mask::assignment::assign;
use smalti_heads::mask::criterion::{LayerLogits, MaskCriterion, MaskLossConfig, MaskLosses};
use smalti_heads::mask::matcher::{MatchCosts, TermWeights};
use smalti_heads::mask::points::{Draw, PointSource};
use smalti_heads::mask::targets::{MaskTarget, count_masks};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 4;
const LAYERS: usize = 3;
const CASES: [&str; 4] = ["plain", "one_empty", "all_empty", "crowded"];
const PRECISIONS: [(&str, Kind, f64); 2] = [("f32", Kind::Float, 1e-4), ("f64", Kind::Double, 1e-10)];

fn golden(name: &str) -> Golden {
    Golden::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), name)
}

fn config() -> MaskLossConfig {
    MaskLossConfig { num_points: 40, ..MaskLossConfig::default() }
}

/// Points that the reference drew.
struct Replay<'a> {
    golden: &'a Golden,
    case: &'a str,
}

impl PointSource for Replay<'_> {
    fn draw(&mut self, draw: Draw, sets: i64, points: i64, (kind, _): (Kind, Device)) -> Tensor {
        let name = match draw {
            Draw::Matching { layer, image } => format!("matching/{layer}/{image}"),
            Draw::Candidates { layer } => format!("candidates/{layer}"),
            Draw::Uniform { layer } => format!("uniform/{layer}"),
        };
        let drawn = self.golden.get(&format!("{}/{name}", self.case)).to_kind(kind);
        assert_eq!(drawn.size(), [sets, points, 2], "{name}");
        drawn
    }
}

struct Case<'a> {
    golden: &'a Golden,
    name: &'a str,
    kind: Kind,
    class_logits: Vec<Tensor>,
    mask_logits: Vec<Tensor>,
    targets: Vec<MaskTarget>,
}

impl<'a> Case<'a> {
    fn new(golden: &'a Golden, name: &'a str, kind: Kind) -> Self {
        let list = |what: &str| golden.list(&format!("{name}/{what}/"));
        let leaves = |what: &str| -> Vec<Tensor> { list(what).iter().map(|x| leaf(x, kind)).collect() };
        let targets: Vec<MaskTarget> = list("classes")
            .into_iter()
            .zip(list("masks"))
            .map(|(classes, masks)| MaskTarget { classes, masks, labelled: None })
            .collect();
        let case = Self {
            golden,
            name,
            kind,
            class_logits: leaves("class_logits"),
            mask_logits: leaves("mask_logits"),
            targets,
        };
        assert_eq!((case.class_logits.len(), case.mask_logits.len()), (LAYERS, LAYERS));
        assert!(!case.targets.is_empty());
        case
    }

    fn get(&self, what: &str) -> &Tensor {
        self.golden.get(&format!("{}/{what}", self.name))
    }

    fn losses(&self, config: &MaskLossConfig) -> MaskLosses {
        let criterion = MaskCriterion::new(config, CLASSES).expect("a valid config");
        let layers: Vec<LayerLogits<'_>> = self
            .class_logits
            .iter()
            .zip(&self.mask_logits)
            .map(|(classes, masks)| LayerLogits { classes, masks })
            .collect();
        let mut points = Replay { golden: self.golden, case: self.name };
        let num_masks = count_masks(&self.targets) as f64;
        criterion
            .forward_at(&mut points, &layers, &self.targets, num_masks)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Shown with `--no-capture`; docs/parity.md quotes it.
#[expect(clippy::print_stdout, reason = "the measured errors are this test's second product")]
fn report(line: &str) {
    println!("{line}");
}

#[test]
fn losses_pairs_and_gradients() {
    let golden = golden("mask_loss");
    for (label, kind, rtol) in PRECISIONS {
        let (mut values, mut gradients) = (Deviation::default(), Deviation::default());
        for name in CASES {
            let case = Case::new(&golden, name, kind);
            let losses = case.losses(&config());
            let expected = |what: String| case.get(&format!("{label}/{what}"));
            for (layer, got) in losses.layers.iter().enumerate() {
                for (term, got) in [("class", &got.class), ("mask", &got.mask), ("dice", &got.dice)] {
                    let what = format!("{term}/{layer}");
                    values.merge(assert_close(
                        &format!("{name} {label} {what}"),
                        got,
                        expected(what.clone()),
                        rtol,
                    ));
                }
                for (image, matched) in losses.matches[layer].iter().enumerate() {
                    let pairs =
                        Vec::<Vec<i64>>::try_from(case.get(&format!("pairs/{layer}/{image}"))).unwrap();
                    assert_eq!(
                        [&matched.queries, &matched.targets],
                        [&pairs[0], &pairs[1]],
                        "{name} {layer}"
                    );
                }
            }
            values.merge(assert_close(
                &format!("{name} {label} total"),
                &losses.total,
                expected("total".into()),
                rtol,
            ));

            losses.total.backward();
            for layer in 0..LAYERS {
                for (which, logits) in [("class", &case.class_logits), ("mask", &case.mask_logits)] {
                    let what = format!("grad_{which}/{layer}");
                    let got = logits[layer].grad();
                    assert!(got.defined(), "{name} {what}");
                    gradients.merge(assert_close(
                        &format!("{name} {label} {what}"),
                        &got,
                        expected(what.clone()),
                        rtol,
                    ));
                }
            }
        }
        report(&format!("mask loss {label}: values {values}; gradients {gradients}"));
    }
}

#[test]
fn matching_costs() {
    let golden = golden("mask_loss");
    let weights = TermWeights { class: 2.0, mask: 5.0, dice: 5.0 };
    for (label, kind, rtol) in PRECISIONS {
        let mut deviation = Deviation::default();
        for name in CASES {
            let case = Case::new(&golden, name, kind);
            for layer in 0..LAYERS {
                for (image, target) in
                    case.targets.iter().enumerate().filter(|(_, target)| !target.is_empty())
                {
                    let of_image = |logits: &Vec<Tensor>| logits[layer].select(0, image as i64).detach();
                    let points = case.get(&format!("matching/{layer}/{image}")).to_kind(case.kind);
                    let costs = MatchCosts::new(
                        &of_image(&case.class_logits),
                        &of_image(&case.mask_logits),
                        target,
                        &points,
                        None,
                        weights,
                    );
                    let what = format!("{label}/costs/{layer}/{image}");
                    deviation.merge(assert_close(
                        &format!("{name} {what}"),
                        &costs.sum,
                        case.get(&what),
                        rtol,
                    ));
                }
            }
        }
        report(&format!("matching costs {label}: {deviation}"));
    }
}

/// Of several optima the one that scipy takes.
#[test]
fn pairs_of_scipy() {
    let golden = golden("assignment");
    let (costs, pairs) = (golden.list("costs/"), golden.list("pairs/"));
    assert_eq!((costs.len(), pairs.len()), (8, 8));
    for (costs, pairs) in costs.iter().zip(&pairs) {
        let rows = Vec::<Vec<f64>>::try_from(costs).unwrap();
        let matrix = Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column]);
        let expected = Vec::<Vec<i64>>::try_from(pairs).unwrap();
        let expected: Vec<(usize, usize)> = expected[0]
            .iter()
            .zip(&expected[1])
            .map(|(&row, &column)| (row as usize, column as usize))
            .collect();
        assert_eq!(assign(&matrix).unwrap(), expected, "{:?}", matrix.dim());
    }
}

/// The comparison itself can fail: every setting of the loss, a little off, moves the total too far.
#[test]
fn a_slightly_wrong_setting_is_noticed() {
    let golden = golden("mask_loss");
    let changes: [fn(&mut MaskLossConfig); 4] = [
        |config| config.class_weight = 2.001,
        |config| config.mask_weight = 5.001,
        |config| config.dice_weight = 5.001,
        |config| config.no_object_weight = 0.101,
    ];
    for change in changes {
        let case = Case::new(&golden, "plain", Kind::Double);
        let mut changed = config();
        change(&mut changed);
        let total = case.losses(&changed).total;
        assert!(close("total", &total, case.get("f64/total"), 1e-5).is_err(), "{changed:?}");
    }
}
