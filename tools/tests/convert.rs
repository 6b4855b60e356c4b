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

/// f32 values of a tensor.
fn floats(path: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let (shape, bytes) = tensors(path).remove(name).unwrap();
    (shape, bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect())
}

/// The image that scripts/goldens/make_layouts.py shows its networks, as `forward` reads it.
fn write_image(path: &Path, [height, width]: [usize; 2]) {
    let count = 3 * height * width;
    let values = (0..count as i64).flat_map(|i| (((i * 7919 % 257) - 128) as f32 / 64.0).to_le_bytes());
    let entry =
        serde_json::json!({"dtype": "F32", "shape": [1, 3, height, width], "data_offsets": [0, 4 * count]});
    let header = serde_json::json!({"images": entry});
    let header = serde_json::to_vec(&header).unwrap();
    let bytes: Vec<u8> =
        (header.len() as u64).to_le_bytes().into_iter().chain(header).chain(values).collect();
    std::fs::write(path, bytes).unwrap();
}

/// A classifier of every way that its network is told by becomes a recipe, with which `forward` gives its logits.
#[test]
fn a_classifier_is_ready_to_use() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let cases: [(&str, [usize; 2], &[&str]); 3] = [
        ("hf_swin", [64, 64], &[]),
        ("torchvision_resnet", [66, 71], &[]),
        ("dat", [66, 71], &["--set", "model.backbone.strides=[8, 4, 2, 1]"]),
    ];
    for (case, size, more) in cases {
        let printed = convert(at, &layouts().join(case), &[&[case][..], more].concat());
        assert!(printed.contains("classifier, 5 classes"), "{printed}");
        let path = |file: &str| format!("{case}/{file}");
        write_image(&at.join("x.safetensors"), size);
        let (config, weights) = (path("config.toml"), path("model.safetensors"));
        let words = ["forward", "--config", &config, "--weights", &weights, "--input", "x.safetensors"];
        let out = smalti(at, &[&words[..], &["--output", "y.safetensors", "--device", "cpu"]].concat());
        assert!(out.status.success(), "{case}: {}", String::from_utf8_lossy(&out.stderr));
        let (shape, logits) = floats(&at.join("y.safetensors"), "logits");
        let (expected_shape, expected) = floats(&layouts().join(format!("{case}.safetensors")), "logits");
        assert_eq!(shape, expected_shape, "{case}");
        let rms = (expected.iter().map(|value| value * value).sum::<f32>() / expected.len() as f32).sqrt();
        for (got, expected) in logits.iter().zip(&expected) {
            assert!((got - expected).abs() <= 1e-4 * (expected.abs() + rms), "{case}: {got}, {expected}");
        }
        // What it is a recipe of: images of the source's size, with the model's classes.
        let recipe = std::fs::read_to_string(at.join(&config)).unwrap();
        assert!(recipe.starts_with("task = \"classification\""), "{recipe}");
        let side = if case == "torchvision_resnet" { 224 } else { 64 };
        assert!(recipe.contains(&format!("[data.eval]\nsize = {side}\n")), "{recipe}");
        let out = smalti(at, &["config", "check", &config]);
        assert!(out.status.success(), "{case}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

/// Classes, statistics and view of a Hugging Face folder reach `predict`, `eval`, and the way back.
#[test]
fn a_classifier_keeps_its_classes_and_its_view_of_images() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let copy = at.join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(layouts().join("hf_swin/model.safetensors"), copy.join("model.safetensors")).unwrap();
    let settings = std::fs::read_to_string(layouts().join("hf_swin/config.json")).unwrap();
    std::fs::write(copy.join("config.json"), settings.replace("LABEL_3", "red kite")).unwrap();
    let preprocessor = serde_json::json!({
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.5, 1.0], "rescale_factor": 1.0 / 255.0, "resample": 2,
        "size": {"height": 64, "width": 64},
    });
    std::fs::write(copy.join("preprocessor_config.json"), preprocessor.to_string()).unwrap();
    let printed = convert(at, &copy, &["kite", "--set", "data.eval.crop_ratio=1.0"]);
    assert!(
        printed.contains("note: preprocessor_config.json squeezes images to a square; data.eval has"),
        "{printed}"
    );
    let recipe: toml::Table = std::fs::read_to_string(at.join("kite/config.toml")).unwrap().parse().unwrap();
    let data = &recipe["data"];
    let numbers = |key: &str| -> Vec<f64> {
        data["normalize"][key].as_array().unwrap().iter().map(|value| value.as_float().unwrap()).collect()
    };
    assert_eq!((numbers("mean"), numbers("std")), (vec![127.5; 3], vec![63.75, 127.5, 255.0]));
    assert_eq!((&data["eval"]["filter"], &data["eval"]["crop_ratio"]), (&"bilinear".into(), &1.0.into()));
    assert_eq!(data["augment"][0]["size"], 64_i64.into());

    for class in ["a", "b", "c", "d", "e"] {
        let folder = at.join("set/val").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        image::RgbImage::from_pixel(70, 64, image::Rgb([90, 160, class.as_bytes()[0]]))
            .save(folder.join("1.png"))
            .unwrap();
    }
    let ran = |words: &[&str]| {
        let out = smalti(at, words);
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let weights = ["--weights", "kite/model.safetensors"];
    ran(&[&["predict"], &weights[..], &["--out", "seen", "set/val/a/1.png"]].concat());
    let seen = json(&at.join("seen/predictions.json"));
    let classes = seen[0]["classes"].as_array().unwrap();
    let kite = classes.iter().find(|class| class["name"] == "red kite").unwrap();
    assert_eq!((classes.len(), &kite["class"]), (5, &"3".into()));
    // The folders are the classes in their order, whatever they are called.
    let scored = ran(&[&["eval"], &weights[..], &["--data-root", "set", "--json", "scores.json"]].concat());
    assert!(scored.contains("red kite") && scored.contains("top1"), "{scored}");
    assert_eq!(json(&at.join("scores.json"))["images"], 5);

    convert(at, &at.join("kite/model.safetensors"), &["back", "--to", "hf"]);
    assert_eq!(json(&at.join("back/config.json"))["id2label"]["3"], "red kite");
}

/// What `forward` makes of the golden's image, against what the golden's network made of it.
fn assert_forward_is(at: &Path, weights: &str, case: &str) {
    write_image(&at.join("x.safetensors"), [70, 65]);
    let words = ["forward", "--weights", weights, "--input", "x.safetensors", "--output", "y.safetensors"];
    let out = smalti(at, &[&words[..], &["--device", "cpu"]].concat());
    assert!(out.status.success(), "{case}: {}", String::from_utf8_lossy(&out.stderr));
    let ours = |name: &str| {
        let (what, number) = name.split_once('/').unwrap_or((name, ""));
        match (what, number) {
            ("backbone", i) => format!("backbone.{i}"),
            ("memory", i) => format!("pixel_decoder.memory.{i}"),
            ("mask_features", _) => "pixel_decoder.mask_features".to_owned(),
            // Three layers after the learned queries, whose prediction comes first.
            (logits, "3") => logits.to_owned(),
            (logits, i) => format!("aux.{i}.{logits}"),
        }
    };
    let golden = layouts().join(format!("{case}.safetensors"));
    let expected: Vec<String> = tensors(&golden).into_keys().collect();
    assert_eq!(expected.len(), tensors(&at.join("y.safetensors")).len(), "{case}");
    for name in expected {
        let (shape, got) = floats(&at.join("y.safetensors"), &ours(&name));
        let (expected_shape, expected) = floats(&golden, &name);
        assert_eq!(shape, expected_shape, "{case} {name}");
        let rms = (expected.iter().map(|value| value * value).sum::<f32>() / expected.len() as f32).sqrt();
        for (got, expected) in got.iter().zip(&expected) {
            assert!(
                (got - expected).abs() <= 1e-4 * (expected.abs() + rms),
                "{case} {name}: {got}, {expected}"
            );
        }
    }
}

#[test]
fn a_mask2former_of_either_code_base_gives_what_its_own_network_gives() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let printed = convert(at, &layouts().join("hf_mask2former"), &["hf"]);
    for part in [
        "Swin, names of hf: Mask2Former, 3 classes; told by config.json",
        "nothing tells things from stuff: all classes are things",
        "preprocessor_config.json resizes to multiples of 32; data.eval has padding to them",
        "nothing is missing",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let recipe: toml::Table = std::fs::read_to_string(at.join("hf/config.toml")).unwrap().parse().unwrap();
    assert_eq!(recipe["task"], "panoptic".into());
    assert_eq!(recipe["data"]["eval"]["short_edge"], 96_i64.into());
    assert_eq!(recipe["data"]["eval"]["max_long_edge"], 160_i64.into());
    let head = &recipe["model"]["head"];
    for (key, value) in [("channels", 32_i64), ("heads", 2), ("queries", 5), ("decoder_layers", 3)] {
        assert_eq!(head[key], value.into(), "{key}");
    }
    assert_eq!(
        (&recipe["loss"]["no_object_weight"], &recipe["loss"]["num_points"]),
        (&0.1.into(), &12544_i64.into())
    );
    let out = smalti(at, &["config", "check", "hf/config.toml"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_forward_is(at, "hf/model.safetensors", "hf_mask2former");

    // It predicts as it is; of random weights the thresholds let nothing through.
    let picture = image::RgbImage::from_fn(60, 50, |x, y| image::Rgb([x as u8 * 4, y as u8 * 5, 90]));
    picture.save(at.join("photo.png")).unwrap();
    for task in ["panoptic", "instance", "semantic"] {
        let out = format!("seen_{task}");
        let words =
            ["predict", "--weights", "hf/model.safetensors", "--task", task, "--out", &out, "photo.png"];
        let ran = smalti(at, &words);
        assert!(ran.status.success(), "{task}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    let instances = json(&at.join("seen_instance/predictions.json"));
    let first = &instances[0]["instances"][0];
    assert!(["person", "sky", "road"].contains(&first["name"].as_str().unwrap()), "{first}");

    // The authors' names, of which no settings tell the heads of attention but their sizes, and a size that is given.
    let told = ["authors", "--set", "data.eval.short_edge=64"];
    let printed = convert(at, &layouts().join("detectron2_mask2former"), &told);
    for part in [
        "Swin, names of microsoft: Mask2Former, 3 classes; told by the sizes of the tensors",
        "dropped: criterion.empty_weight: weights of the loss, which a recipe's `loss` has",
        "computed from the window",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let recipe = std::fs::read_to_string(at.join("authors/config.toml")).unwrap();
    assert!(recipe.contains("short_edge = 64"), "{recipe}");
    assert_forward_is(at, "authors/model.safetensors", "detectron2_mask2former");
    assert_eq!(tensors(&at.join("hf")), tensors(&at.join("authors")));
}

/// A model for semantic segmentation has the tensors of a panoptic one: its name tells it, or the user.
#[test]
fn a_mask2former_for_semantic_segmentation_is_one_here_and_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let source = at.join("mask2former-swin-tiny-semantic");
    std::fs::create_dir(&source).unwrap();
    for file in ["model.safetensors", "config.json", "preprocessor_config.json"] {
        std::fs::copy(layouts().join("hf_mask2former").join(file), source.join(file)).unwrap();
    }
    let printed = convert(at, &source, &["named"]);
    assert!(printed.contains("the recipe is one of semantic segmentation; --set task=panoptic"), "{printed}");
    convert(at, &layouts().join("detectron2_mask2former"), &["told", "--set", "task=semantic"]);
    for (folder, short_edge, case) in
        [("named", Some(96), "hf_mask2former"), ("told", None, "detectron2_mask2former")]
    {
        let recipe: toml::Table =
            std::fs::read_to_string(at.join(folder).join("config.toml")).unwrap().parse().unwrap();
        assert_eq!(
            (&recipe["task"], &recipe["data"]["classes"]),
            (&"semantic".into(), &"classes.json".into())
        );
        let edge = recipe["data"]["eval"].get("short_edge").and_then(toml::Value::as_integer);
        assert_eq!((edge, &recipe["model"]["head"]["queries"]), (short_edge, &5_i64.into()));
        assert_eq!(json(&at.join(folder).join("classes.json"))["classes"].as_array().unwrap().len(), 3);
        let out = smalti(at, &["config", "check", &format!("{folder}/config.toml")]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_forward_is(at, &format!("{folder}/model.safetensors"), case);
    }
    let picture = image::RgbImage::from_fn(60, 50, |x, y| image::Rgb([x as u8 * 4, y as u8 * 5, 90]));
    picture.save(at.join("photo.png")).unwrap();
    let out = smalti(at, &["predict", "--weights", "named/model.safetensors", "--out", "seen", "photo.png"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let map = image::open(at.join("seen/photo_labels.png")).unwrap();
    assert_eq!((map.width(), map.height()), (60, 50));

    convert(at, &at.join("named/model.safetensors"), &["back", "--to", "hf"]);
    convert(at, &layouts().join("hf_mask2former"), &["panoptic"]);
    convert(at, &at.join("panoptic/model.safetensors"), &["panoptic_back", "--to", "hf"]);
    assert_eq!(tensors(&at.join("back")), tensors(&at.join("panoptic_back")));
    assert_eq!(json(&at.join("back/config.json")), json(&at.join("panoptic_back/config.json")));
    assert!(!at.join("panoptic/classes.json").exists());
}

#[test]
fn a_mask2former_goes_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for (case, to) in [("hf_mask2former", "hf"), ("detectron2_mask2former", "detectron2")] {
        let source = layouts().join(case);
        let (ours, theirs) = (at.join(format!("{case}_ours")), at.join(format!("{case}_theirs")));
        convert(at, &source, &[ours.to_str().unwrap()]);
        let printed = convert(at, &ours.join("model.safetensors"), &[theirs.to_str().unwrap(), "--to", to]);
        assert!(printed.contains("told by the recipe stored with the weights"), "{printed}");
        let mut expected = tensors(&source);
        expected.retain(|name, _| {
            let dropped = ["relative_position_index", "criterion.empty_weight"];
            !dropped.iter().any(|end| name.ends_with(end)) && !name.contains("encoder.swin.layernorm")
        });
        assert_eq!(tensors(&theirs), expected, "{case}");
    }
    // From one code base's names to the other's, and settings with which transformers builds the same network.
    convert(at, &layouts().join("detectron2_mask2former"), &["hub", "--to", "hf"]);
    assert_eq!(tensors(&at.join("hub")), tensors(&at.join("hf_mask2former_theirs")));
    let expected = json(&layouts().join("hf_mask2former/config.json"));
    for folder in ["hub", "hf_mask2former_theirs"] {
        let settings = json(&at.join(folder).join("config.json"));
        for (key, value) in settings.as_object().unwrap() {
            match key.as_str() {
                "backbone_config" => {
                    for key in ["model_type", "depths", "embed_dim", "num_heads", "window_size"] {
                        assert_eq!(value[key], expected["backbone_config"][key], "{folder} {key}");
                    }
                }
                // The authors' file has no names of classes.
                "id2label" | "label2id" if folder == "hub" => assert_eq!(value.as_object().unwrap().len(), 3),
                key => assert_eq!(*value, expected[key], "{folder} {key}"),
            }
        }
    }
    refused(at, &at.join("hub"), &["--to", "mmseg"], &["expected a code base with Mask2Former, got mmseg"]);
    let other = ["--to", "hf", "--set", "model.head.norm_groups=16"];
    refused(at, &at.join("hub"), &other, &["`model.head.norm_groups`: expected 32", "got 16"]);
}

#[test]
fn there_and_back_is_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let strides: &[&str] = &["--set", "model.backbone.strides=[8, 4, 2, 1]"];
    for (case, to, told) in [
        ("hf_upernet_convnext", "hf", &[][..]),
        ("hf_dinat", "hf", &[]),
        ("timm_swin", "timm", &[]),
        ("hf_resnet", "hf", &[]),
        ("dat", "dat", strides),
        ("dat_upernet", "mmseg", strides),
    ] {
        let source = layouts().join(case);
        let (ours, theirs) = (at.join(format!("{case}_ours")), at.join(format!("{case}_theirs")));
        convert(at, &source, &[&[ours.to_str().unwrap()], told].concat());
        // The second time the model is told by the recipe that the first time stored with the weights.
        let printed = convert(at, &ours.join("model.safetensors"), &[theirs.to_str().unwrap(), "--to", to]);
        assert!(printed.contains("told by the recipe stored with the weights"), "{printed}");
        // A name a line, so that it fits a screen.
        assert!(printed.lines().all(|line| line.chars().count() < 150), "{printed}");
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
fn floats_are_stored_at_half_the_size_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let source = layouts().join("hf_swin");
    convert(folder.path(), &source, &["whole"]);
    convert(folder.path(), &source, &["half", "--half"]);
    let read = |name: &str| tensors(&folder.path().join(name).join("model.safetensors"));
    let (whole, half) = (read("whole"), read("half"));
    assert_eq!(whole.keys().collect::<Vec<_>>(), half.keys().collect::<Vec<_>>());
    for (name, (shape, bytes)) in &half {
        assert_eq!((shape, 2 * bytes.len()), (&whole[name].0, whole[name].1.len()), "{name}");
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

    // DAT++ of no published size: how far apart its keys are.
    let source = layouts().join("dat");
    refused(at, &source, &[], &["dat.pth", "how far apart keys are", "`model.backbone.strides`", "--set"]);
    let strides = ["--set", "model.backbone.strides=[8, 4, 2, 1]"];
    let larger = ["larger", "--set", "model.backbone.image_size=96"];
    let printed = convert(at, &source, &[&larger[..], &strides].concat());
    assert!(
        printed.contains("interpolated: stages.0.attns.1.rpe_table from [1, 31, 31] to [1, 47, 47]"),
        "{printed}"
    );
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
