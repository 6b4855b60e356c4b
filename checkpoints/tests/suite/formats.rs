//! Every format: tensors to the bit as torch and numpy wrote them, wrappers and settings as they are.

use std::fmt::Write;
use std::path::Path;

use crate::support::{Readable, folder, table};
use smalti_checkpoints::{Checkpoint, FaultKind, Value, parts_of_index};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

#[test]
fn every_format_gives_the_bits_that_were_written() {
    let cases = table::<Readable>("read");
    assert!(cases.len() >= 26, "{} fixtures", cases.len());
    for (name, expected) in cases {
        let checkpoint = Checkpoint::open(&folder("read").join(&name)).unwrap();
        assert_eq!(checkpoint.format().name(), expected.format, "{name}");
        let weights = checkpoint.state_dict(None).unwrap();
        assert_eq!((&weights.wrapper, &weights.prefix), (&expected.wrapper, &expected.prefix), "{name}");
        assert_eq!(checkpoint.tensors().len(), expected.all.unwrap_or(expected.tensors.len()), "{name}");
        assert_eq!(weights.tensors.len(), expected.tensors.len(), "{name}");
        for (key, tensor) in weights.tensors {
            let (dtype, shape, bytes) = &expected.tensors[&key];
            assert_eq!((tensor.dtype().name(), tensor.shape()), (dtype.as_str(), &shape[..]), "{name} {key}");
            assert_eq!(&hex(&tensor.to_bytes()), bytes, "{name} {key}");
            assert_eq!(tensor.byte_len() * 2, bytes.len(), "{name} {key}");
        }
    }
}

fn wrapped() -> Checkpoint {
    Checkpoint::open(&folder("read/wrapped.pth")).unwrap()
}

#[test]
fn other_sets_of_weights_are_offered_by_name() {
    let checkpoint = wrapped();
    let names: Vec<_> = checkpoint.wrappers().into_iter().map(|w| (w.name, w.tensors)).collect();
    let expected = [("state_dict", 3), ("state_dict_ema", 3), ("optimizer.state.0", 2), ("", 1)];
    assert_eq!(names, expected.map(|(name, tensors)| (name.to_owned(), tensors)));
    let averaged = checkpoint.state_dict(Some("state_dict_ema")).unwrap();
    assert_eq!(averaged.tensors.len(), 3);
    let root = checkpoint.state_dict(Some("")).unwrap();
    assert_eq!(root.tensors[0].0, "best_acc");
    assert!(root.others.contains(&("epoch".to_owned(), "an integer".to_owned())), "{:?}", root.others);
    let error = checkpoint.state_dict(Some("model")).unwrap_err();
    assert_eq!(error.fault().unwrap().kind, FaultKind::Choice);
    let text = error.to_string();
    assert!(text.contains("tensors under `model`, got tensors under state_dict, state_dict_ema"), "{text}");
}

#[test]
fn settings_are_a_tree_of_plain_values() {
    let checkpoint = wrapped();
    let root = checkpoint.tree().as_dict().unwrap();
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(root.get("epoch"), Some(&Value::Int(299)));
    assert_eq!(root.get("lr"), Some(&Value::Float(1e-3)));
    assert_eq!(root.get("huge"), Some(&Value::LongInt { bytes: 11 }));
    assert_eq!(root.get("note"), Some(&text("glass \u{e9}\u{20ac}")));
    assert_eq!(root.get("size"), Some(&Value::Tuple(vec![Value::Int(2), Value::Int(3)])));
    assert_eq!(root.get("numpy"), Some(&Value::Float(0.5)));
    let flags = Value::Tuple(vec![
        Value::Bool(true),
        Value::None,
        Value::Bytes { len: 2 },
        Value::Set(vec![Value::Int(1), Value::Int(2)]),
        Value::Set(vec![Value::Int(3)]),
        Value::Bytes { len: 2 },
    ]);
    assert_eq!(root.get("flags"), Some(&flags));
    let Some(Value::Object(args)) = root.get("args") else { panic!("{:?}", root.get("args")) };
    assert_eq!(&*args.name, "argparse.Namespace");
    assert_eq!(args.state.as_dict().unwrap().get("model"), Some(&text("nat_tiny")));
    let Some(Value::Object(device)) = root.get("device") else { panic!("{:?}", root.get("device")) };
    assert_eq!((&*device.name, &device.args), ("torch.device", &Value::Tuple(vec![text("cpu")])));
    let Some(Value::Object(dtype)) = root.get("dtype") else { panic!("{:?}", root.get("dtype")) };
    assert_eq!((&*dtype.name, &dtype.args), ("torch f16", &Value::None));
    assert_eq!(root.get("counts").and_then(Value::as_dict).unwrap().get("a"), Some(&Value::Int(1)));
}

#[test]
fn numpy_scalars_of_all_protocols_are_numbers() {
    for protocol in 0..6 {
        let checkpoint =
            Checkpoint::open(&folder("read").join(format!("arrays_protocol{protocol}.pkl"))).unwrap();
        let root = checkpoint.tree().as_dict().unwrap();
        let Some(Value::List(scalars)) = root.get("scalars") else { panic!("{protocol}") };
        let expected = [Value::Float(0.25), Value::Float(0.5), Value::Int(-7), Value::Bool(true)];
        assert_eq!(scalars[..4], expected, "{protocol}");
        assert_eq!(scalars[5], Value::Int(9));
        assert!(matches!(&scalars[4], Value::Object(object) if &*object.name == "numpy f2"));
        let Some(Value::Tuple(random)) = root.get("random") else { panic!("{protocol}") };
        assert_eq!(random[1], Value::Foreign { dtype: "numpy u4".into(), shape: vec![3] });
    }
}

#[test]
fn versions_of_modules_stay_with_the_state_dict() {
    let checkpoint = Checkpoint::open(&folder("read/module.pth")).unwrap();
    let weights = checkpoint.state_dict(None).unwrap();
    let attributes = weights.attributes.and_then(Value::as_dict).unwrap();
    let modules = attributes.get("_metadata").and_then(Value::as_dict).unwrap();
    let norm = modules.get("1").and_then(Value::as_dict).unwrap();
    assert_eq!(norm.get("version"), Some(&Value::Int(2)));
}

#[test]
fn strings_of_a_safetensors_file_are_its_attributes() {
    let checkpoint = Checkpoint::open(&folder("read/plain.safetensors")).unwrap();
    let weights = checkpoint.state_dict(None).unwrap();
    let strings = weights.attributes.and_then(Value::as_dict).unwrap();
    assert_eq!(strings.get("step"), Some(&Value::Text("3".into())));
}

#[test]
fn a_folder_is_its_weights() {
    let dir = tempfile::tempdir().unwrap();
    let text = |path: &Path| Checkpoint::open(path).unwrap_err().to_string();
    assert!(text(dir.path()).contains("or one file of weights, got none"));
    for name in ["a.pth", "b.pth"] {
        std::fs::copy(folder("read/zip.pth"), dir.path().join(name)).unwrap();
    }
    assert!(text(dir.path()).contains("got 2 of them, a.pth first; give the path of the file"));
    std::fs::copy(folder("read/plain.safetensors"), dir.path().join("x.safetensors")).unwrap();
    assert_eq!(Checkpoint::open(dir.path()).unwrap().path(), dir.path().join("x.safetensors"));
    std::fs::copy(folder("read/zip.pth"), dir.path().join("model.safetensors")).unwrap();
    let found = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(found.format().name(), "torch (zip)", "the content tells, not the name");
    assert!(text(&dir.path().join("none.pth")).contains("opening failed"));
}

#[test]
fn parts_hold_what_the_index_says() {
    let dir = tempfile::tempdir().unwrap();
    for entry in folder("read/sharded").read_dir().unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let index = dir.path().join("model.safetensors.index.json");
    let whole = std::fs::read_to_string(&index).unwrap();
    let refuse = |index_text: &str| {
        std::fs::write(&index, index_text).unwrap();
        Checkpoint::open(dir.path()).unwrap_err().to_string()
    };
    let text = refuse(&whole.replace("\"base\"", "\"bass\""));
    assert!(text.contains("base: expected the tensors that the index names"), "{text}");
    let text = refuse(
        &whole.replace("{\n  \"base\"", "{\n  \"more\": \"model-00001-of-00002.safetensors\", \"base\""),
    );
    assert!(text.contains("expected a tensor `more`, as the index says"), "{text}");
    let text = refuse(&whole.replace("model-00001", "../model-00001"));
    assert!(text.contains("names of files beside the index"), "{text}");
    let text = parts_of_index(&index).unwrap_err().to_string();
    assert!(text.contains("names of files beside the index"), "{text}");
    std::fs::write(&index, &whole).unwrap();
    let parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    assert_eq!(parts_of_index(&index).unwrap(), parts);
    let text = parts_of_index(&dir.path().join(parts[0])).unwrap_err().to_string();
    assert!(text.contains("expected the index of a file in parts"), "{text}");
    std::fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    let text = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("model-00002-of-00002.safetensors: opening a part failed"), "{text}");
}
