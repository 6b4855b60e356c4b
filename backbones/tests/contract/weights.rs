//! Loading is strict and all or nothing.

use std::collections::BTreeMap;
use std::path::Path;

use smalti_backbones::{ModelError, NatVariant, safetensors_io, weights};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::{build, shrunken};

type Named = Vec<(String, Tensor)>;

fn model() -> VarStore {
    build(&shrunken(NatVariant::Nano)).0
}

fn copies(store: &VarStore) -> Named {
    weights::named_tensors(store).into_iter().map(|(name, t)| (name, t.detach().copy())).collect()
}

fn write(path: &Path, tensors: &Named) {
    let mut bytes = Vec::new();
    safetensors_io::write(path, &mut bytes, tensors, &BTreeMap::new()).expect("tensors that fit the format");
    std::fs::write(path, bytes).expect("a temporary file");
}

fn equal(store: &VarStore, tensors: &Named) -> bool {
    let own = weights::named_tensors(store);
    own.len() == tensors.len() && own.iter().zip(tensors).all(|(a, b)| a.0 == b.0 && a.1.equal(&b.1))
}

#[test]
fn a_file_of_another_model_of_the_size_becomes_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let (from, to) = (model(), model());
    write(&path, &copies(&from));
    assert!(!equal(&to, &copies(&from)));
    weights::load(&to, &path).unwrap();
    assert!(equal(&to, &copies(&from)));
}

#[test]
fn dtypes_become_the_models() {
    let (from, to) = (model(), model());
    let half =
        copies(&from).into_iter().map(|(name, t)| (name, t.to_kind(Kind::BFloat16))).collect::<Named>();
    weights::assign(&to, &half).unwrap();
    for ((name, own), (_, given)) in weights::named_tensors(&to).iter().zip(&half) {
        assert_eq!(own.kind(), Kind::Float, "{name}");
        assert!(own.equal(&given.to_kind(Kind::Float)), "{name}");
        assert!(own.requires_grad(), "{name}");
    }
}

#[test]
fn what_does_not_fit_is_listed_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let (store, other) = (model(), model());
    let before = copies(&store);
    let mut wrong = copies(&other);
    wrong.retain(|(name, _)| name != "norm0.bias" && name != "levels.2.blocks.0.attn.rpb");
    wrong.push(("head.weight".into(), Tensor::zeros([10, 8], (Kind::Float, Device::Cpu))));
    let reduction =
        wrong.iter_mut().find(|(name, _)| name == "levels.0.downsample.reduction.weight").unwrap();
    reduction.1 = Tensor::zeros([8, 4, 2, 2], (Kind::Float, Device::Cpu));
    write(&path, &wrong);

    let error = weights::load(&store, &path).unwrap_err();
    let expected = format!(
        "{}: the weights do not fit this model\n  missing (2): levels.2.blocks.0.attn.rpb, norm0.bias\n  surplus (1): \
         head.weight\n  other shape (1): levels.0.downsample.reduction.weight expected [8, 4, 3, 3], got [8, 4, 2, 2]",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
    let ModelError::Weights { mismatch, .. } = error else { panic!("{error:?}") };
    assert_eq!(mismatch.surplus, ["head.weight"]);
    assert!(equal(&store, &before), "a failed load leaves the model as it was");
}

#[test]
fn long_lists_are_cut() {
    let store = model();
    let mismatch = weights::assign(&store, &[]).unwrap_err();
    let count = weights::named_tensors(&store).len();
    assert_eq!(mismatch.missing.len(), count);
    let text = mismatch.to_string();
    assert!(text.starts_with(&format!("  missing ({count}): levels.0.blocks.0.attn.proj.bias, ")), "{text}");
    assert!(text.ends_with(&format!(", and {} more", count - 8)), "{text}");
}

#[test]
fn files_that_can_not_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = model();
    let before = copies(&store);
    for (name, bytes) in [("absent.safetensors", None), ("cut.safetensors", Some(b"abc"))] {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let error = weights::load(&store, &path).unwrap_err();
        assert!(matches!(error, ModelError::File(_)), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(equal(&store, &before));
}
