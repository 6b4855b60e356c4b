//! Mask2Former's head against transformers' Mask2Former, which keeps the authors' arithmetic (docs/parity.md): memory, mask features,
//! predictions of all layers, gradients.

#[expect(dead_code, reason = "the backbones' test uses more of it")]
#[path = "../../backbones/tests/support/golden.rs"]
mod golden;

use std::collections::BTreeMap;
use std::path::Path;

use golden::{Deviation, Golden, assert_close, close, leaf, probe_loss};
use smalti_backbones::{Level, weights};
use smalti_heads::MaskHeadConfig;
use smalti_heads::mask::MaskHead;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

/// Both are compared with the reference's f64.
const PRECISIONS: [(&str, Kind, f64); 2] = [("f32", Kind::Float, 1e-4), ("f64", Kind::Double, 1e-10)];

/// A head with the golden's weights.
struct Network {
    store: VarStore,
    head: MaskHead,
}

impl Network {
    fn new(golden: &Golden, kind: Kind) -> Self {
        let text = golden.metadata("config").expect("the reference's settings");
        let settings: BTreeMap<String, i64> = serde_json::from_str(text).expect("numbers by name");
        let setting = |name: &str| settings[name];
        let config = MaskHeadConfig {
            channels: setting("feature_size"),
            mask_channels: setting("mask_feature_size"),
            heads: setting("num_attention_heads"),
            norm_groups: setting("groups"),
            encoder_layers: setting("encoder_layers"),
            encoder_hidden: setting("encoder_feedforward_dim"),
            points: 4,
            queries: setting("num_queries"),
            decoder_layers: setting("decoder_layers") - 1, // which counts the prediction before the first
            decoder_hidden: setting("dim_feedforward"),
            place_octaves: 0,
        };
        let levels: Vec<Level> =
            golden.list("input/").iter().map(|x| Level { channels: x.size()[1], stride: 4 }).collect();
        let mut store = VarStore::new(Device::Cpu);
        let path = store.root() / "sem_seg_head";
        let head = MaskHead::new(&path, &config, &levels, setting("classes")).expect("a valid config");
        store.set_kind(kind);
        weights::assign(&store, &golden.below("weight/")).unwrap_or_else(|mismatch| panic!("{mismatch}"));
        Self { store, head }
    }

    /// Everything by the golden's names.
    fn forward(&self, levels: &[Tensor]) -> Vec<(String, Tensor)> {
        let (features, output) = self.head.forward(levels, true).expect("a forward pass");
        let mut named: Vec<(String, Tensor)> = Vec::new();
        let memory = features.memory.into_iter().enumerate();
        named.extend(memory.map(|(i, memory)| (format!("memory/{i}"), memory)));
        named.push(("mask_features".into(), features.mask_features));
        let aux = output.aux.into_iter().map(|layer| (layer.class_logits, layer.mask_logits));
        for (i, (classes, masks)) in aux.chain([(output.class_logits, output.mask_logits)]).enumerate() {
            named.push((format!("class_logits/{i}"), classes));
            named.push((format!("mask_logits/{i}"), masks));
        }
        named
    }
}

fn golden(name: &str) -> Golden {
    Golden::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), name)
}

fn inputs(golden: &Golden, kind: Kind) -> Vec<Tensor> {
    golden.list("input/").iter().map(|x| leaf(x, kind)).collect()
}

/// Shown with `--no-capture`; docs/parity.md quotes it.
#[expect(clippy::print_stdout, reason = "the measured errors are this test's second product")]
fn report(line: &str) {
    println!("{line}");
}

fn check_outputs(name: &str) {
    let golden = golden(name);
    for (label, kind, rtol) in PRECISIONS {
        let network = Network::new(&golden, kind);
        let levels = inputs(&golden, kind);
        let outputs = network.forward(&levels);
        let expected = |key: &str| golden.get(&format!("f64/{key}")).to_kind(kind);
        let stored = ["memory/", "mask_features", "class_logits/", "mask_logits/"];
        let count: usize = stored.iter().map(|what| golden.below(&format!("f64/{what}")).len()).sum();
        assert_eq!(outputs.len(), count, "outputs");
        let mut deviation = Deviation::default();
        for (key, output) in &outputs {
            deviation.merge(assert_close(&format!("{name} {label} {key}"), output, &expected(key), rtol));
        }
        report(&format!("{name} {label}: outputs {deviation}"));

        // Without a graph libtorch attends by other kernels, and only the last layer predicts.
        let last = no_grad(|| network.head.forward(&levels, false)).expect("a forward pass").1;
        assert!(last.aux.is_empty());
        let [.., (classes_key, _), (masks_key, _)] = outputs.as_slice() else { panic!("outputs") };
        for (key, output) in [(classes_key, &last.class_logits), (masks_key, &last.mask_logits)] {
            assert_close(&format!("{name} {label} {key} alone"), output, &expected(key), rtol);
        }
    }
}

#[test]
fn odd_levels_of_two_images() {
    check_outputs("mask2former_odd");
}

#[test]
fn a_larger_map() {
    check_outputs("mask2former_large_map");
}

#[test]
fn gradients_of_everything() {
    let golden = golden("mask2former_odd");
    for (label, kind, rtol) in PRECISIONS {
        let network = Network::new(&golden, kind);
        let levels = inputs(&golden, kind);
        let (outputs, probes): (Vec<Tensor>, Vec<Tensor>) = network
            .forward(&levels)
            .into_iter()
            .map(|(key, output)| {
                let probe = golden.get(&format!("probe/{key}")).shallow_clone();
                (output, probe)
            })
            .unzip();
        probe_loss(&outputs, &probes).backward();

        let variables = network.store.variables();
        let (whole, norms) = (golden.below("f64/grad/"), golden.below("f64/grad_norm/"));
        assert_eq!(whole.len() + norms.len(), variables.len(), "a gradient for every parameter");
        let mut deviation = Deviation::default();
        let mut compare = |what: &str, got: &Tensor, expected: &Tensor| {
            let what = format!("{label} gradient of {what}");
            deviation.merge(assert_close(&what, got, &expected.to_kind(kind), rtol));
        };
        for (name, expected) in &whole {
            compare(name, &variables[name].grad(), expected);
        }
        for (name, expected) in &norms {
            compare(name, &variables[name].grad().norm(), expected);
        }
        for (i, (level, expected)) in levels.iter().zip(golden.list("f64/grad_input/")).enumerate() {
            compare(&format!("level {i}"), &level.grad(), &expected);
        }
        report(&format!("mask2former_odd {label}: gradients {deviation}"));
    }
}

/// The comparison itself can fail: any parameter, off by a hundredth, moves an output too far.
#[test]
fn a_slightly_wrong_weight_is_noticed() {
    let golden = golden("mask2former_odd");
    let levels: Vec<Tensor> = inputs(&golden, Kind::Double);
    let network = Network::new(&golden, Kind::Double);
    for (name, right) in golden.below("weight/") {
        let replace = |value: &Tensor| {
            no_grad(|| network.store.variables().get_mut(&name).expect("a parameter").copy_(value));
        };
        replace(&(&right * 1.01));
        let outputs = no_grad(|| network.forward(&levels));
        let same = outputs
            .iter()
            .all(|(key, output)| close(key, output, golden.get(&format!("f64/{key}")), 1e-9).is_ok());
        assert!(!same, "{name}");
        replace(&right);
    }
}
