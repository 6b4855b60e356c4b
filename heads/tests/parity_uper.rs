//! UperNet and FCN heads and the semantic loss against transformers' UperNet, whose heads are mmsegmentation's
//! (docs/parity.md): logits, gradients, running statistics, losses.

#[expect(dead_code, reason = "the backbones' test uses more of it")]
#[path = "../../backbones/tests/support/golden.rs"]
mod golden;

use std::path::Path;

use golden::{Deviation, Golden, PRECISIONS, assert_close, close, leaf, probe_loss};
use smalti_backbones::{Level, weights};
use smalti_heads::{FcnConfig, FcnHead, SemanticLoss, SemanticOutput, UperConfig, UperHead};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 5;
const CHANNELS: [i64; 4] = [6, 8, 10, 12];

struct Heads {
    store: VarStore,
    decode: UperHead,
    auxiliary: FcnHead,
}

impl Heads {
    fn new(golden: &Golden, kind: Kind) -> Self {
        let levels = CHANNELS.map(|channels| Level { channels, stride: 4 });
        let mut store = VarStore::new(Device::Cpu);
        let root = store.root();
        let uper = UperConfig { channels: 8, dropout: 0.0, ..UperConfig::default() };
        let fcn = FcnConfig { channels: 6, dropout: 0.0, ..FcnConfig::default() };
        let decode =
            UperHead::new(&(&root / "decode_head"), &uper, &levels, CLASSES).expect("a valid config");
        let auxiliary =
            FcnHead::new(&(&root / "auxiliary_head"), &fcn, &levels, CLASSES).expect("a valid config");
        store.set_kind(kind);
        weights::assign(&store, &golden.below("weight/")).unwrap_or_else(|mismatch| panic!("{mismatch}"));
        Self { store, decode, auxiliary }
    }

    fn forward_t(&self, levels: &[Tensor], train: bool) -> [Tensor; 2] {
        [self.decode.forward_t(levels, train), self.auxiliary.forward_t(levels, train)]
    }

    fn compare_gradients(&self, label: &str, expected: &[(String, Tensor)], rtol: f64) -> Deviation {
        let variables = self.store.variables();
        let mut deviation = Deviation::default();
        for (name, expected) in expected {
            let what = format!("{label} gradient of {name}");
            deviation.merge(assert_close(&what, &variables[name].grad(), expected, rtol));
        }
        deviation
    }
}

fn golden(name: &str) -> Golden {
    Golden::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), name)
}

/// Shown with `--no-capture`; docs/parity.md quotes it.
#[expect(clippy::print_stdout, reason = "the measured errors are this test's second product")]
fn report(line: &str) {
    println!("{line}");
}

fn check_heads(name: &str, train: bool) {
    let golden = golden(name);
    for (label, kind, rtol) in PRECISIONS {
        let heads = Heads::new(&golden, kind);
        let inputs: Vec<Tensor> = golden.list("input/").iter().map(|x| leaf(x, kind)).collect();
        let outputs = heads.forward_t(&inputs, train);
        let mut logits = Deviation::default();
        for (output, which) in outputs.iter().zip(["logits", "auxiliary"]) {
            let expected = golden.get(&format!("{label}/{which}"));
            logits.merge(assert_close(&format!("{label} {which}"), output, expected, rtol));
        }

        probe_loss(&outputs, &golden.list("probe/")).backward();
        let expected = golden.below(&format!("{label}/grad/"));
        assert_eq!(expected.len(), heads.store.trainable_variables().len(), "a gradient for every parameter");
        let mut gradients = heads.compare_gradients(label, &expected, rtol);
        for (i, (input, expected)) in
            inputs.iter().zip(golden.list(&format!("{label}/grad_input/"))).enumerate()
        {
            let what = format!("{label} gradient of level {i}");
            gradients.merge(assert_close(&what, &input.grad(), &expected, rtol));
        }

        let mut statistics = Deviation::default();
        for (name, expected) in golden.below(&format!("{label}/after/")) {
            statistics.merge(assert_close(&name, &heads.store.variables()[&name], &expected, rtol));
        }
        report(&format!("{name} {label}: logits {logits}; gradients {gradients}; statistics {statistics}"));
    }
}

#[test]
fn heads_in_training() {
    check_heads("uper_train", true);
}

#[test]
fn heads_in_evaluation() {
    check_heads("uper_eval", false);
}

/// The loss is always taken in f32, so that is what is compared.
#[test]
fn loss_and_its_gradients() {
    let golden = golden("loss");
    let class_weights = Vec::<f64>::try_from(golden.get("class_weights").to_kind(Kind::Double)).unwrap();
    for (case, weights) in [("plain", None), ("weighted", Some(class_weights.as_slice()))] {
        let heads = Heads::new(&golden, Kind::Float);
        let [logits, auxiliary] = heads.forward_t(&golden.list("input/"), false);
        let output = SemanticOutput { logits, auxiliary: Some(auxiliary) };
        let losses = SemanticLoss::new(0.4, weights, Device::Cpu).forward(&output, golden.get("labels"));
        let mut values = Deviation::default();
        for (which, value) in [
            ("total", &losses.total),
            ("decode", &losses.decode),
            ("auxiliary", losses.auxiliary.as_ref().unwrap()),
        ] {
            let expected = golden.get(&format!("{case}/{which}"));
            values.merge(assert_close(&format!("{case} {which}"), value, expected, 1e-5));
        }
        losses.total.backward();
        let expected = golden.below(&format!("{case}/grad/"));
        assert_eq!(expected.len(), 5);
        let gradients = heads.compare_gradients(case, &expected, 1e-4);
        report(&format!("loss {case} f32: values {values}; gradients {gradients}"));
    }
}

/// The comparison itself can fail: any parameter, off by a hundredth, moves the logits too far.
#[test]
fn a_slightly_wrong_weight_is_noticed() {
    let golden = golden("uper_eval");
    let inputs = golden.list("input/");
    for (name, _) in golden.below("weight/") {
        let heads = Heads::new(&golden, Kind::Double);
        tch::no_grad(|| {
            let _ = heads.store.variables().get_mut(&name).unwrap().g_add_scalar_(1e-2);
        });
        let inputs: Vec<Tensor> = inputs.iter().map(|x| x.to_kind(Kind::Double)).collect();
        let outputs = heads.forward_t(&inputs, false);
        let same = outputs
            .iter()
            .zip(["logits", "auxiliary"])
            .all(|(output, which)| close(which, output, golden.get(&format!("f64/{which}")), 1e-9).is_ok());
        assert!(!same, "{name}");
    }
}
