//! One golden case of any family against our network: outputs, gradients of the input and of every parameter.
//!
//! A golden's metadata has `config`, the backbone as a recipe writes it, and, for a classifier, `num_classes`. A dense case
//! holds `level/I`, a classifier's `logits`; one made in training mode says `train` and holds `after/KEY`, the buffers after.
//! `zero_gradients` names biases whose gradient is 0 but for rounding; it is not stored.

use std::path::Path;

use smalti_backbones::{Backbone, BackboneConfig, Classifier, Purpose, weights};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::golden::{Deviation, Golden, PRECISIONS, assert_close, leaf, probe_loss};

pub fn golden(name: &str) -> Golden {
    Golden::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), name)
}

/// A backbone or a classifier: tensors in, tensors out.
pub enum Network {
    Dense(Box<dyn Backbone>),
    Classifier(Classifier),
}

impl Network {
    /// The golden's network with the golden's weights.
    pub fn of(golden: &Golden, kind: Kind) -> (VarStore, Self) {
        let config: BackboneConfig =
            serde_json::from_str(golden.metadata("config").expect("the case's config")).expect("a backbone");
        let mut store = VarStore::new(Device::Cpu);
        let network = match golden.metadata("num_classes") {
            None => Self::Dense(config.build(&store.root(), Purpose::Dense).expect("a valid config")),
            Some(count) => {
                let count = count.parse().expect("a number of classes");
                Self::Classifier(Classifier::new(&store.root(), &config, count).expect("a valid config"))
            }
        };
        store.set_kind(kind);
        weights::assign(&store, &golden.below("weight/")).unwrap_or_else(|mismatch| panic!("{mismatch}"));
        (store, network)
    }

    /// Levels, finest first, or logits alone.
    pub fn outputs(&self, images: &Tensor, train: bool) -> Vec<Tensor> {
        match self {
            Self::Dense(backbone) => backbone.forward_t(images, train),
            Self::Classifier(classifier) => vec![classifier.forward_t(images, train)],
        }
    }
}

/// Largest deviations of outputs and of gradients.
pub fn compare(golden: &Golden, label: &str, kind: Kind, rtol: f64, train: bool) -> [Deviation; 2] {
    let (store, network) = Network::of(golden, kind);
    let image = leaf(golden.get("input"), kind);
    let outputs = network.outputs(&image, train);
    let expected = match network {
        Network::Dense(_) => golden.list(&format!("{label}/level/")),
        Network::Classifier(_) => vec![golden.get(&format!("{label}/logits")).shallow_clone()],
    };
    assert_eq!(outputs.len(), expected.len());
    let [mut worst_output, mut worst_gradient] = [Deviation::default(); 2];
    for (i, (output, expected)) in outputs.iter().zip(&expected).enumerate() {
        worst_output.merge(assert_close(&format!("{label} output {i}"), output, expected, rtol));
    }

    if !train {
        // Without gradients libtorch takes other kernels, for attention among them.
        let plain = no_grad(|| network.outputs(&image, train));
        for (i, (output, expected)) in plain.iter().zip(&expected).enumerate() {
            let what = format!("{label} output {i} without gradients");
            worst_output.merge(assert_close(&what, output, expected, rtol));
        }
    }

    probe_loss(&outputs, &golden.list("probe/")).backward();
    let mut check = |what: &str, got: &Tensor, expected: &Tensor| {
        worst_gradient.merge(assert_close(&format!("{label} {what}"), got, expected, rtol));
    };
    check("gradient of the input", &image.grad(), golden.get(&format!("{label}/grad_input")));
    let whole = golden.below(&format!("{label}/grad/"));
    let norms = golden.below(&format!("{label}/grad_norm/"));
    let parameters = store.variables();
    let trained = parameters.values().filter(|parameter| parameter.requires_grad()).count();
    let zeros: Vec<String> = golden
        .metadata("zero_gradients")
        .map_or_else(Vec::new, |names| serde_json::from_str(names).expect("a list of names"));
    assert_eq!(whole.len() + norms.len() + zeros.len(), trained, "a gradient for every parameter");
    for name in &zeros {
        let norm = |name: &str| parameters[name].grad().norm().double_value(&[]);
        let (bias, weight) = (norm(name), norm(&name.replace(".bias", ".weight")));
        assert!(
            bias <= rtol * weight,
            "{label} gradient of {name}: {bias:e}, expected 0, its weight's {weight:e}"
        );
    }
    for (name, expected) in &whole {
        check(&format!("gradient of {name}"), &parameters[name].grad(), expected);
    }
    for (name, expected) in &norms {
        check(&format!("norm of {name}'s gradient"), &parameters[name].grad().norm(), expected);
    }
    for (name, expected) in golden.below(&format!("{label}/after/")) {
        worst_output.merge(assert_close(
            &format!("{label} {name} after"),
            &parameters[&name],
            &expected,
            rtol,
        ));
    }
    [worst_output, worst_gradient]
}

/// Compares a case in both precisions; `--no-capture` shows the errors that docs/parity.md quotes.
pub fn check(name: &str) {
    let golden = golden(name);
    let train = golden.metadata("train") == Some("true");
    for (label, kind, rtol) in PRECISIONS {
        let [outputs, gradients] = compare(&golden, label, kind, rtol, train);
        report(&format!("{name} {label}: outputs {outputs}; gradients {gradients}"));
    }
}

#[expect(clippy::print_stdout, reason = "the measured errors are this test's second product")]
fn report(line: &str) {
    println!("{line}");
}
