//! A whole Mask2Former against its authors' own code, run with stand-ins for detectron2 (scripts/goldens/make_mask_checkpoints.py):
//! levels, memory, mask features, predictions of all layers and gradients, from a checkpoint in the authors' names.

#[expect(dead_code, reason = "the backbones' test uses more of it")]
#[path = "../../backbones/tests/support/golden.rs"]
mod golden;

use std::path::Path;

use golden::{Deviation, Golden, assert_close, leaf, probe_loss};
use smalti_backbones::checkpoint_tensors::kind;
use smalti_backbones::weights;
use smalti_checkpoints::Checkpoint;
use smalti_checkpoints::layouts;
use smalti_heads::MaskModel;
use smalti_heads::import;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Of f32 the outputs alone are compared: near kinks of sampling and ReLU its rounding may move a gradient. The authors compute
/// positions in f32 whatever the network's precision, which is what f64 can differ by.
const PRECISIONS: [(&str, Kind, f64); 2] = [("f32", Kind::Float, 1e-4), ("f64", Kind::Double, 1e-5)];

/// The network of the checkpoint, with its weights.
fn network(kind_of_weights: Kind) -> (VarStore, MaskModel) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layouts/detectron2_mask2former");
    let checkpoint = Checkpoint::open(&path).expect("a pickle");
    let source = checkpoint.state_dict(None).expect("tensors by name");
    let reading = layouts::read(&source.tensors, None).expect("the authors' names");
    let network = import::recognize(&reading).expect("Mask2Former").network;
    let fitted = import::fit(&reading, &network, false).expect("every tensor in its place");
    let tensors: Vec<(String, Tensor)> = fitted
        .tensors
        .iter()
        .map(|(name, content)| {
            let shape: Vec<i64> = content.shape().iter().map(|&size| size as i64).collect();
            (name.clone(), Tensor::from_data_size(&content.to_bytes(), &shape, kind(content.dtype())))
        })
        .collect();
    let mut store = VarStore::new(Device::Cpu);
    let model = MaskModel::new(&store.root(), &network.mask_model(), network.num_classes).expect("a network");
    store.set_kind(kind_of_weights);
    weights::assign(&store, &tensors).unwrap_or_else(|mismatch| panic!("{mismatch}"));
    (store, model)
}

/// Everything by the golden's names.
fn trace(model: &MaskModel, image: &Tensor) -> Vec<(String, Tensor)> {
    let trace = model.trace(image).expect("a forward pass");
    let mut named = vec![("mask_features".to_owned(), trace.features.mask_features.shallow_clone())];
    for (name, maps) in [("backbone", &trace.levels), ("memory", &trace.features.memory)] {
        named.extend(maps.iter().enumerate().map(|(i, map)| (format!("{name}/{i}"), map.shallow_clone())));
    }
    for (i, layer) in trace.output.layers().into_iter().enumerate() {
        named.push((format!("class_logits/{i}"), layer.classes.shallow_clone()));
        named.push((format!("mask_logits/{i}"), layer.masks.shallow_clone()));
    }
    named
}

/// With a channel a group, the norm behind a convolution takes its bias away: the gradient is 0 but for rounding.
fn taken_away(name: &str) -> bool {
    name.contains(".input_proj.") && name.ends_with(".0.bias")
}

/// Shown with `--no-capture`; docs/parity.md quotes it.
#[expect(clippy::print_stdout, reason = "the measured errors are this test's second product")]
fn report(line: &str) {
    println!("{line}");
}

#[test]
fn outputs_and_gradients_are_the_authors() {
    let golden = Golden::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), "mask2former_authors");
    for (label, kind, rtol) in PRECISIONS {
        let (store, model) = network(kind);
        let image = leaf(golden.get("input"), kind);
        let outputs = trace(&model, &image);
        assert_eq!(outputs.len(), golden.below("probe/").len(), "outputs");
        let mut deviation = Deviation::default();
        for (key, output) in &outputs {
            let expected = golden.get(&format!("f64/{key}")).to_kind(kind);
            deviation.merge(assert_close(&format!("{label} {key}"), output, &expected, rtol));
        }
        report(&format!("mask2former_authors {label}: outputs {deviation}"));
        if kind == Kind::Float {
            continue;
        }

        let probe = |key: &String| golden.get(&format!("probe/{key}")).shallow_clone();
        let probes: Vec<Tensor> = outputs.iter().map(|(key, _)| probe(key)).collect();
        let outputs: Vec<Tensor> = outputs.into_iter().map(|(_, output)| output).collect();
        probe_loss(&outputs, &probes).backward();
        let variables = store.variables();
        let (whole, norms) = (golden.below("f64/grad/"), golden.below("f64/grad_norm/"));
        assert_eq!(whole.len() + norms.len(), variables.len(), "a gradient for every parameter");
        let mut deviation = assert_close("grad_input", &image.grad(), golden.get("f64/grad_input"), rtol);
        for (name, expected) in &whole {
            deviation.merge(assert_close(name, &variables[name].grad(), expected, rtol));
        }
        for (name, expected) in &norms {
            let got = variables[name].grad().norm();
            if !taken_away(name) {
                deviation.merge(assert_close(name, &got, expected, rtol));
                continue;
            }
            let weight = variables[&name.replace(".bias", ".weight")].grad().norm().double_value(&[]);
            assert!(got.double_value(&[]) <= 1e-10 * weight, "{name}: gradient {got:?} beside {weight}");
        }
        report(&format!("mask2former_authors {label}: gradients {deviation}"));
    }
}
