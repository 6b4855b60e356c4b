//! `smalti weights convert` from outside, on the tiny checkpoints of the heads' tests: what it writes, prints and refuses.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use smalti_checkpoints::Checkpoint;

fn layouts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../heads/tests/layouts").canonicalize().unwrap()
}

fn smalti(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smalti"));
    command
        .current_dir(folder)
        .args(words)
        .env("HF_HUB_CACHE", folder.join("cache"))
        .env("OMP_NUM_THREADS", "1");
    command.output().unwrap()
}

/// Converts `source`, which must succeed; returns stdout.
fn convert(folder: &Path, source: &Path, rest: &[&str]) -> String {
    let words = [&["weights", "convert", source.to_str().unwrap()], rest].concat();
    let out = smalti(folder, &words);
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{words:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// What must be refused: exit code 2, every part of `expected` in the message, nothing left behind.
fn refused(folder: &Path, source: &Path, rest: &[&str], expected: &[&str]) {
    let words = [&["weights", "convert", source.to_str().unwrap(), "refused"], rest].concat();
    let out = smalti(folder, &words);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{words:?}\n{stderr}");
    for part in expected {
        assert!(stderr.contains(part), "{words:?}: no `{part}` in\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(!folder.join("refused").exists());
    let hidden = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".smalti-");
    assert!(!folder.read_dir().unwrap().any(|entry| hidden(&entry.unwrap())), "a hidden folder was left");
}

/// Every tensor of a file: sizes and bytes.
fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let checkpoint = Checkpoint::open(path).unwrap();
    let weights = checkpoint.state_dict(None).unwrap();
    let entry = |(name, tensor): (String, &smalti_checkpoints::LazyTensor)| {
        (name, (tensor.shape().to_vec(), tensor.to_bytes().into_owned()))
    };
    weights.tensors.into_iter().map(entry).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn an_upernet_is_ready_to_predict() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let printed =
        convert(at, &layouts().join("mmseg_upernet_swin"), &["made/here", "--all", "--json", "report.json"]);
    for part in [
        "Swin, names of mmseg: UperNet, 5 classes; told by the sizes of the tensors",
        "pixels of blocks reordered",
        "dropped: backbone.stages.0.blocks.0.attn.w_msa.relative_position_index and 4 more: computed from the window",
        "num_batches_tracked and 12 more: a counter that nothing reads",
        "nothing is missing",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let report = json(&at.join("made/here/report.json"));
    assert_eq!(report, json(&at.join("report.json")));
    assert_eq!(report["unused"], Value::Array(vec![]));
    let classes = json(&at.join("made/here/classes.json"));
    assert_eq!(classes["classes"][4]["name"], "door ");
    assert_eq!(classes["classes"][1]["color"], serde_json::json!([6, 230, 230]));

    let mut encoder = png::Encoder::new(std::fs::File::create(at.join("photo.png")).unwrap(), 40, 36);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = (0..40 * 36 * 3).map(|i| (i * 7 % 251) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    let out =
        smalti(at, &["predict", "--weights", "made/here/model.safetensors", "--out", "seen", "photo.png"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(at.join("seen/photo_labels.png").is_file());
    // The recipe is a whole one, but for the files of a data set.
    let out = smalti(at, &["config", "check", "made/here/config.toml"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn there_and_back_is_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for (case, to) in
        [("hf_upernet_convnext", "hf"), ("hf_dinat", "hf"), ("timm_swin", "timm"), ("hf_resnet", "hf")]
    {
        let source = layouts().join(case);
        let (ours, theirs) = (at.join(format!("{case}_ours")), at.join(format!("{case}_theirs")));
        convert(at, &source, &[ours.to_str().unwrap()]);
        // The second time the model is told by the recipe that the first time stored with the weights.
        let printed = convert(at, &ours.join("model.safetensors"), &[theirs.to_str().unwrap(), "--to", to]);
        assert!(printed.contains("told by the recipe stored with the weights"), "{printed}");
        let mut expected = tensors(&source);
        expected.retain(|name, _| !name.ends_with("num_batches_tracked"));
        assert_eq!(tensors(&theirs), expected, "{case}");
        assert_eq!(theirs.join("config.json").is_file(), to == "hf", "{case}");
        assert!(!theirs.join("config.toml").exists());
    }
    let settings = json(&at.join("hf_upernet_convnext_theirs/config.json"));
    let expected = json(&layouts().join("hf_upernet_convnext/config.json"));
    for key in ["model_type", "architectures", "hidden_size", "pool_scales", "auxiliary_channels", "id2label"]
    {
        assert_eq!(settings[key], expected[key], "{key}");
    }
    for key in ["model_type", "depths", "hidden_sizes"] {
        assert_eq!(settings["backbone_config"][key], expected["backbone_config"][key], "{key}");
    }
}

#[test]
fn one_code_base_s_weights_become_another_s() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    convert(at, &layouts().join("detectron2_resnet"), &["hub", "--to", "hf"]);
    let names: Vec<String> = tensors(&at.join("hub")).into_keys().collect();
    let expected: Vec<String> = tensors(&layouts().join("hf_resnet"))
        .into_keys()
        .filter(|name| !name.ends_with("num_batches_tracked"))
        .collect();
    assert_eq!(names, expected);
    let report = json(&at.join("hub/report.json"));
    assert_eq!(report["written_as"], "ResNet, names of hf");
    assert!(report["notes"][0].as_str().unwrap().contains("RGB"), "{report}");
    assert_eq!(report["used"][0]["written"].as_array().unwrap().len(), 1);
}

#[test]
fn what_weights_do_not_tell_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let source = layouts().join("shi_dinat");
    refused(
        at,
        &source,
        &[],
        &["dinat.pth", "do not tell their dilations", "`model.backbone.dilations`", "--set"],
    );
    convert(at, &source, &["told", "--set", "model.backbone.dilations=[[1], [2, 1], [1], [1]]"]);
    let recipe = std::fs::read_to_string(at.join("told/config.toml")).unwrap();
    assert!(recipe.contains("family = \"nat\"") && recipe.contains("dilations"), "{recipe}");
    // Another window: the tables are interpolated, and the report says so.
    let printed =
        convert(at, &source, &["wider", "--config", "told/config.toml", "--set", "model.backbone.window=5"]);
    assert!(
        printed.contains("interpolated: levels.0.blocks.0.attn.rpb from [1, 5, 5] to [1, 9, 9]"),
        "{printed}"
    );
    assert_eq!(tensors(&at.join("wider"))["levels.0.blocks.0.attn.rpb"].0, [1, 9, 9]);
    // Names alone need no dilations; Hugging Face's settings do.
    convert(at, &source, &["names", "--to", "mmseg"]);
    refused(at, &source, &["--to", "hf"], &["dilations"]);
}

#[test]
fn repositories_of_the_hub_s_cache_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let snapshot = at.join("cache/models--smalti--tiny/snapshots/0123abc");
    std::fs::create_dir_all(&snapshot).unwrap();
    for file in ["model.safetensors", "config.json"] {
        std::fs::copy(layouts().join("hf_swin").join(file), snapshot.join(file)).unwrap();
    }
    let printed = convert(at, Path::new("smalti/tiny"), &["out"]);
    assert!(printed.contains("snapshots/0123abc/model.safetensors: safetensors"), "{printed}");
    assert!(printed.contains("told by config.json"), "{printed}");
    refused(
        at,
        Path::new("smalti/other"),
        &[],
        &["cache/models--smalti--other/snapshots/main", "config.json"],
    );
}

#[test]
fn what_can_not_be_converted_ends_with_2_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let swin = layouts().join("hf_swin");
    refused(at, &swin, &["--from", "timm"], &["those of timm, got Swin, names of hf; leave out --from"]);
    refused(
        at,
        &swin,
        &["--to", "detectron2", "--set", "model.backbone.depths=[1, 2, 1, 2]"],
        &["missing (", "(there "],
    );
    refused(
        at,
        &layouts().join("hf_florence2"),
        &["--to", "facebook"],
        &["expected a code base with DaViT, one of hf, timm"],
    );
    refused(at, &swin, &["--set", "model.backbone.windo=3"], &["windo", "window"]);
    refused(at, &swin, &["--set", "model.backbone.family=resnet"], &["model.backbone"]);
    refused(at, Path::new("no/thing/here"), &[], &["no/thing/here"]);

    // A folder with files in it is not touched.
    std::fs::create_dir(at.join("full")).unwrap();
    std::fs::write(at.join("full/notes.txt"), "mine").unwrap();
    let out = smalti(at, &["weights", "convert", swin.to_str().unwrap(), "full"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("full: expected a folder to make"));
    assert_eq!(std::fs::read_dir(at.join("full")).unwrap().count(), 1);

    // A type of model that is not read, and a tensor that the model has no place for.
    let copy = at.join("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in ["model.safetensors", "config.json"] {
        std::fs::copy(layouts().join("hf_swin").join(file), copy.join(file)).unwrap();
    }
    let settings = std::fs::read_to_string(copy.join("config.json")).unwrap();
    std::fs::write(copy.join("config.json"), settings.replace("\"swin\"", "\"vit\"")).unwrap();
    refused(at, &copy, &[], &["config.json", "`model_type`", "dinat, nat, swin", "got \"vit\""]);
    std::fs::write(copy.join("config.json"), "{").unwrap();
    refused(at, &copy, &[], &["config.json: expected a JSON object"]);
}
