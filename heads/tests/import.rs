//! Checkpoints of every code base against the networks that wrote them (`scripts/goldens/make_layouts.py`): converted, loaded
//! and run, our network gives what theirs gave; written back, every tensor has its name and its bytes again.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop where they cannot go on")]

#[expect(dead_code, reason = "the backbones' tests use more of it")]
#[path = "../../backbones/tests/support/golden.rs"]
mod golden;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use golden::{Deviation, assert_close};
use serde_json::{Map, Value};
use smalti_backbones::checkpoint_tensors::kind;
use smalti_backbones::davit::ChannelAttentionVersion;
use smalti_backbones::{BackboneConfig, Classifier, Dilations, Purpose, safetensors_io, weights};
use smalti_checkpoints::layouts::{self, Content, Family, Kind, Layout, Origin, Reading};
use smalti_checkpoints::{Checkpoint, Fault};
use smalti_heads::import::{self, Fitted, ImportError, Network};
use smalti_heads::{FcnHead, MaskModel, SemanticModel, UperHead};
use tch::nn::VarStore;
use tch::{Device, Kind as TchKind, Tensor, no_grad};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layouts")
}

/// What a network gave, by name, and what the test has to know of it.
struct Expected {
    outputs: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

impl Expected {
    fn read(name: &str) -> Self {
        let file = safetensors_io::read(&folder().join(format!("{name}.safetensors"))).unwrap();
        Self { outputs: file.tensors.into_iter().collect(), metadata: file.metadata }
    }

    /// Sizes of the image that the outputs are of.
    fn image(&self) -> Tensor {
        let [height, width]: [i64; 2] = serde_json::from_str(&self.metadata["size"]).unwrap();
        let indices = Tensor::arange(3 * height * width, (TchKind::Int64, Device::Cpu));
        let values = (indices * 7919_i64).remainder(257_i64) - 128_i64;
        (values.to_kind(TchKind::Float) / 64.0).reshape([1, 3, height, width])
    }
}

/// The network of a case, its undecided fields from the golden's metadata.
fn network(path: &Path, reading: &Reading, expected: &Expected) -> Network {
    let settings = path.join("config.json");
    if settings.is_file() {
        let settings: Map<String, Value> = serde_json::from_slice(&std::fs::read(settings).unwrap()).unwrap();
        return import::from_config_json(reading, &settings).unwrap();
    }
    let proposal = import::recognize(reading).unwrap();
    let mut network = proposal.network;
    match (&mut network.model.backbone, proposal.question) {
        (BackboneConfig::Nat(config), Some(question)) => {
            assert!(question.text.contains("dilations"), "{}", question.text);
            config.dilations =
                Some(Dilations::Lists(serde_json::from_str(&expected.metadata["dilations"]).unwrap()));
        }
        // The cases have the published strides and offsets.
        (BackboneConfig::Dat(_), Some(question)) => {
            assert!(question.text.contains("model.backbone.strides"), "{}", question.text);
        }
        (BackboneConfig::Davit(config), Some(question)) => {
            assert!(question.text.contains("model.backbone.heads"), "{}", question.text);
            let told: Map<String, Value> = serde_json::from_str(&expected.metadata["davit"]).unwrap();
            config.heads = Some(serde_json::from_value(told["heads"].clone()).unwrap());
            config.window = told["window"].as_i64();
            config.channel_attention = told.get("channel_attention").map(|_| ChannelAttentionVersion::V2);
        }
        (_, question) => assert_eq!(question, None),
    }
    network
}

fn tensor(content: &Content) -> Tensor {
    let shape: Vec<i64> = content.shape().iter().map(|&size| size as i64).collect();
    Tensor::from_data_size(&content.to_bytes(), &shape, kind(content.dtype()))
}

/// Outputs of our network with the converted weights.
fn outputs(network: &Network, fitted: &Fitted, image: &Tensor) -> BTreeMap<String, Tensor> {
    let tensors: Vec<_> =
        fitted.tensors.iter().map(|(name, content)| (name.clone(), tensor(content))).collect();
    let store = VarStore::new(Device::Cpu);
    let root = store.root();
    let load = || weights::assign(&store, &tensors).unwrap_or_else(|mismatch| panic!("{mismatch}"));
    let named = |name: &str, output| BTreeMap::from([(name.to_owned(), output)]);
    let backbone = &network.model.backbone;
    match network.kind {
        Kind::Classifier => {
            let classifier = Classifier::new(&root, backbone, network.num_classes).unwrap();
            load();
            named("logits", classifier.forward_t(image, false))
        }
        Kind::Dense => {
            let backbone = backbone.build(&root, Purpose::Dense).unwrap();
            load();
            let levels = backbone.forward_t(image, false).into_iter().enumerate();
            levels.map(|(l, level)| (format!("level/{l}"), level)).collect()
        }
        Kind::Trunk => {
            let backbone = backbone.build(&root, Purpose::Classify).unwrap();
            load();
            named("last", backbone.last_map(image, false))
        }
        Kind::Mask => {
            let model = MaskModel::new(&root, &network.mask_model(), network.num_classes).unwrap();
            load();
            mask_outputs(&model, image)
        }
        Kind::Semantic => {
            let model = SemanticModel::new(&root, &network.model, network.num_classes).unwrap();
            load();
            let mut outputs = named("logits", model.forward_t(image, false).logits);
            // The auxiliary head speaks in training alone.
            let twin = VarStore::new(Device::Cpu);
            let backbone = backbone.build(&(twin.root() / "backbone"), Purpose::Dense).unwrap();
            let config = network.model.auxiliary.as_ref().unwrap();
            let place = twin.root() / "auxiliary_head";
            let auxiliary = FcnHead::new(&place, config, backbone.levels(), network.num_classes).unwrap();
            let place = twin.root() / "decode_head";
            UperHead::new(&place, &network.model.decode, backbone.levels(), network.num_classes).unwrap();
            weights::assign(&twin, &tensors).unwrap_or_else(|mismatch| panic!("{mismatch}"));
            outputs.insert("auxiliary".into(), auxiliary.forward_t(&backbone.forward_t(image, false), false));
            outputs
        }
    }
}

/// All that a Mask2Former computes on its way, by the golden's names.
fn mask_outputs(model: &MaskModel, image: &Tensor) -> BTreeMap<String, Tensor> {
    let trace = model.trace(image).unwrap();
    let mut named =
        BTreeMap::from([("mask_features".to_owned(), trace.features.mask_features.shallow_clone())]);
    let maps = [("backbone", &trace.levels), ("memory", &trace.features.memory)];
    for (name, maps) in maps {
        named.extend(maps.iter().enumerate().map(|(i, map)| (format!("{name}/{i}"), map.shallow_clone())));
    }
    for (i, layer) in trace.output.layers().into_iter().enumerate() {
        named.insert(format!("class_logits/{i}"), layer.classes.shallow_clone());
        named.insert(format!("mask_logits/{i}"), layer.masks.shallow_clone());
    }
    named
}

/// Converts a case, compares outputs, and writes it back.
fn check(name: &str, layout: &str, kind: Kind) {
    let (path, expected) = (folder().join(name), Expected::read(name));
    let checkpoint = Checkpoint::open(&path).unwrap();
    let source = checkpoint.state_dict(None).unwrap();
    let reading = layouts::read(&source.tensors, None).unwrap();
    assert_eq!((reading.layout.describe().as_str(), reading.kind), (layout, kind), "{name}");
    let network = network(&path, &reading, &expected);
    let fitted = import::fit(&reading, &network, false).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(fitted.resized.is_empty() && fitted.unused.is_empty(), "{name}");

    let got = no_grad(|| outputs(&network, &fitted, &expected.image()));
    assert_eq!(got.keys().collect::<Vec<_>>(), expected.outputs.keys().collect::<Vec<_>>(), "{name}");
    let mut worst = Deviation::default();
    for (what, output) in &got {
        worst.merge(assert_close(&format!("{name} {what}"), output, &expected.outputs[what], 1e-4));
    }
    report(&format!("{name}: {worst}"));
    round_trip(name, &source.tensors, &reading, &fitted, &network);
}

/// Everything that was not dropped comes back under its name, to the bit.
fn round_trip(
    name: &str,
    source: &[(String, &smalti_checkpoints::LazyTensor)],
    reading: &Reading,
    fitted: &Fitted,
    network: &Network,
) {
    // The authors' Mask2Former is built on detectron2, whose names of Swin are Microsoft's.
    let built_on_detectron2 = network.kind == Kind::Mask && reading.layout.origin() != Origin::Hf;
    let origin = if built_on_detectron2 { Origin::Detectron2 } else { reading.layout.origin() };
    let layout = reading.layout;
    let back = layouts::write(&fitted.tensors, layout, origin, network.kind).unwrap();
    let mut back: BTreeMap<String, Content> = back.into_iter().flat_map(|moved| moved.to).collect();
    for (key, tensor) in source {
        if reading.discarded.iter().any(|dropped| dropped.name == *key) {
            continue;
        }
        // What stands before all names of a backbone alone, such as `vision_tower.`, is not written.
        let local =
            if network.kind.has_heads() { key } else { key.strip_prefix(reading.prefix).unwrap_or(key) };
        let written = back.remove(local).unwrap_or_else(|| panic!("{name}: {key} does not come back"));
        assert_eq!((written.dtype(), written.shape()), (tensor.dtype(), tensor.shape()), "{name} {key}");
        assert_eq!(written.to_bytes(), tensor.to_bytes(), "{name} {key}");
    }
    assert!(back.is_empty(), "{name}: {:?} were not in the source", back.keys());
}

/// Shown with `--no-capture`; docs/parity.md quotes it.
#[expect(clippy::print_stdout, reason = "the measured errors are this test's second product")]
fn report(line: &str) {
    println!("{line}");
}

#[test]
fn swin() {
    check("hf_swin", "Swin, names of hf", Kind::Classifier);
    check("hf_swin_v5", "Swin, names of hf (transformers 5 in memory)", Kind::Classifier);
    check("hf_swin_dense", "Swin, names of hf", Kind::Dense);
    check("timm_swin", "Swin, names of timm", Kind::Classifier);
}

#[test]
fn upernet() {
    check("hf_upernet_swin", "Swin, names of hf", Kind::Semantic);
    check("mmseg_upernet_swin", "Swin, names of mmseg", Kind::Semantic);
    check("hf_upernet_convnext", "ConvNeXt, names of hf", Kind::Semantic);
    check("mmseg_upernet_convnext", "ConvNeXt, names of mmseg", Kind::Semantic);
}

#[test]
fn convnext() {
    check("hf_convnext", "ConvNeXt, names of hf", Kind::Classifier);
    check("timm_convnext", "ConvNeXt, names of timm", Kind::Classifier);
}

#[test]
fn resnet() {
    check("hf_resnet", "ResNet, names of hf", Kind::Classifier);
    check("torchvision_resnet", "ResNet, names of torchvision", Kind::Classifier);
    check("detectron2_resnet", "ResNet, names of detectron2", Kind::Classifier);
}

#[test]
fn dinat() {
    check("shi_dinat", "NAT or DiNAT, names of shi", Kind::Classifier);
    check("hf_dinat", "NAT or DiNAT, names of hf", Kind::Classifier);
}

#[test]
fn dat() {
    check("dat", "DAT++, names of dat", Kind::Classifier);
    check("dat_upernet", "DAT++, names of mmseg", Kind::Semantic);
}

#[test]
fn davit() {
    check("timm_davit", "DaViT, names of timm", Kind::Classifier);
    check("davit", "DaViT, names of davit", Kind::Classifier);
    check("timm_davit_fl", "DaViT, names of timm (timm's named blocks)", Kind::Classifier);
    check("hf_florence2", "DaViT, names of hf (transformers' Florence-2)", Kind::Trunk);
    check("florence2", "DaViT, names of hf (Florence-2's own code)", Kind::Trunk);
}

/// The same weights in both code bases' names and forms.
#[test]
fn mask2former() {
    check("hf_mask2former", "Swin, names of hf", Kind::Mask);
    check("detectron2_mask2former", "Swin, names of microsoft", Kind::Mask);
    let read = |name: &str| {
        let (checkpoint, path) = tensors(name);
        let weights = checkpoint.state_dict(None).unwrap();
        let reading = layouts::read(&weights.tensors, None).unwrap();
        let network = network(&path, &reading, &Expected::read(name));
        let fitted = import::fit(&reading, &network, false).unwrap();
        let bytes = |(name, content): &(String, Content)| (name.clone(), content.to_bytes().into_owned());
        (network, fitted.tensors.iter().map(bytes).collect::<BTreeMap<_, _>>())
    };
    let (hf, authors) = (read("hf_mask2former"), read("detectron2_mask2former"));
    assert_eq!(hf.1, authors.1);
    assert_eq!((hf.0.mask, hf.0.num_classes), (authors.0.mask, 3));
}

/// Settings with which transformers computes something else, and sizes that contradict each other.
#[test]
fn a_mask2former_of_other_settings_is_refused() {
    let (checkpoint, path) = tensors("hf_mask2former");
    let weights = checkpoint.state_dict(None).unwrap();
    let reading = layouts::read(&weights.tensors, None).unwrap();
    let settings: Map<String, Value> =
        serde_json::from_slice(&std::fs::read(path.join("config.json")).unwrap()).unwrap();
    for (key, value, message) in [
        ("pre_norm", Value::from(true), "`pre_norm`: expected false, got true"),
        ("hidden_dim", Value::from(64), "`hidden_dim`: expected 32, got 64"),
        ("num_attention_heads", Value::from("two"), "`num_attention_heads`: expected a whole number"),
        ("backbone_config", Value::Null, "`backbone_config`: expected a backbone's settings"),
    ] {
        let mut settings = settings.clone();
        settings.insert(key.into(), value);
        let error = import::from_config_json(&reading, &settings).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let mut odd = layouts::read(&weights.tensors, None).unwrap();
    odd.moved.retain(|moved| moved.to[0].0 != "sem_seg_head.predictor.class_embed.weight");
    let error = import::recognize(&odd).unwrap_err().to_string();
    assert!(error.contains("class_embed.weight`: expected a tensor of this name"), "{error}");
}

/// The tensors of a case, each as it is, to spoil.
fn tensors(name: &str) -> (Checkpoint, PathBuf) {
    let path = folder().join(name);
    (Checkpoint::open(&path).unwrap(), path)
}

fn refusal(spoil: impl FnOnce(&mut Vec<(String, &smalti_checkpoints::LazyTensor)>)) -> Fault {
    let (checkpoint, _) = tensors("hf_swin");
    let mut weights = checkpoint.state_dict(None).unwrap();
    spoil(&mut weights.tensors);
    layouts::read(&weights.tensors, None).unwrap_err()
}

#[test]
fn what_is_no_layout_is_refused() {
    let unknown = refusal(|tensors| tensors.iter_mut().for_each(|(name, _)| name.insert(0, 'x')));
    assert!(unknown.to_string().contains("docs/weights.md, got `x"), "{unknown}");
    let key = "swin.encoder.layers.1.blocks.1.attention.self.key.bias";
    let cut = refusal(|tensors| tensors.retain(|(name, _)| name != key));
    assert!(
        cut.to_string().contains("encoder.layers.1.blocks.1.attention.self.key.bias`: expected it beside"),
        "{cut}"
    );
    let two = refusal(|tensors| {
        let copies =
            ["layers.0.downsample.reduction.weight", "layers.0.blocks.0.attn.relative_position_bias_table"];
        let tensor = tensors[0].1;
        tensors.extend(copies.map(|name| (name.to_owned(), tensor)));
    });
    let text = two.to_string();
    assert!(
        text.contains("Swin, names of microsoft; Swin, names of hf; say whose they are with --from"),
        "{text}"
    );
    let odd = refusal(|tensors| {
        let other = tensors.iter().find(|(name, _)| name.ends_with("layernorm.bias")).unwrap().1;
        let at = tensors.iter().position(|(name, _)| name == key).unwrap();
        tensors[at].1 = other;
    });
    assert!(odd.to_string().contains("expected tensors alike"), "{odd}");
}

#[test]
fn what_does_not_fit_the_network_is_listed() {
    let (checkpoint, path) = tensors("hf_swin");
    let expected = Expected::read("hf_swin");
    let mut weights = checkpoint.state_dict(None).unwrap();
    weights.tensors.retain(|(name, _)| name != "swin.encoder.layers.0.blocks.0.layernorm_before.weight");
    let surplus = weights.tensors[0].1;
    weights.tensors.push(("swin.encoder.extra.weight".into(), surplus));
    let reading = layouts::read(&weights.tensors, Some(Origin::Hf)).unwrap();
    let mut network = network(&path, &reading, &expected);
    if let BackboneConfig::Swin(config) = &mut network.model.backbone {
        config.mlp_ratio = Some(3.0);
    }
    let Err(ImportError::Misfit(misfit)) = import::fit(&reading, &network, false) else {
        panic!("it fitted")
    };
    assert_eq!(misfit.missing[0].0, "layers.0.blocks.0.norm1.weight");
    assert_eq!(misfit.missing[0].1, ["swin.encoder.layers.0.blocks.0.layernorm_before.weight"]);
    assert_eq!(misfit.unused, ["swin.encoder.extra.weight"]);
    let text = misfit.to_string();
    assert!(text.contains("layers.0.blocks.0.mlp.fc1.bias expected [12], got [8]"), "{text}");
    assert!(text.contains("(there swin.encoder.layers.0.blocks.0.layernorm_before.weight)"), "{text}");
}

#[test]
fn tables_of_other_windows_are_interpolated() {
    for (name, window, from, to) in
        [("hf_swin", 4, vec![9, 1], vec![49, 1]), ("hf_dinat", 5, vec![1, 5, 5], vec![1, 9, 9])]
    {
        let (checkpoint, path) = tensors(name);
        let weights = checkpoint.state_dict(None).unwrap();
        let reading = layouts::read(&weights.tensors, None).unwrap();
        let mut network = network(&path, &reading, &Expected::read(name));
        match &mut network.model.backbone {
            BackboneConfig::Swin(config) => config.window = Some(window),
            BackboneConfig::Nat(config) => config.window = Some(window),
            _ => panic!("another family"),
        }
        let fitted = import::fit(&reading, &network, false).unwrap();
        assert_eq!(fitted.resized.len(), 5, "one a block");
        assert_eq!((&fitted.resized[0].from, &fitted.resized[0].to), (&from, &to));
    }
}

/// DAT++ for images of 96 instead of 64: every deformable block's table, no neighborhood's.
#[test]
fn tables_of_other_image_sizes_are_interpolated() {
    let (checkpoint, path) = tensors("dat");
    let weights = checkpoint.state_dict(None).unwrap();
    let reading = layouts::read(&weights.tensors, None).unwrap();
    let mut network = network(&path, &reading, &Expected::read("dat"));
    let BackboneConfig::Dat(config) = &mut network.model.backbone else { panic!("another family") };
    assert_eq!(config.image_size, Some(64));
    config.image_size = Some(96);
    let resized = import::fit(&reading, &network, false).unwrap().resized;
    let found: Vec<_> =
        resized.iter().map(|table| (table.name.as_str(), &table.from[..], &table.to[..])).collect();
    let expected: [(&str, &[usize], &[usize]); 4] = [
        ("stages.0.attns.1.rpe_table", &[1, 31, 31], &[1, 47, 47]),
        ("stages.1.attns.0.rpe_table", &[2, 15, 15], &[2, 23, 23]),
        ("stages.2.attns.1.rpe_table", &[2, 7, 7], &[2, 11, 11]),
        ("stages.3.attns.0.rpe_table", &[4, 3, 3], &[4, 5, 5]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_code_base_without_the_family_or_the_head_has_no_names() {
    assert!(Layout::of(Family::DinatS, Origin::Timm).is_none());
    let names: Vec<_> = Layout::origins(Family::Swin).map(Origin::name).collect();
    assert_eq!(names, ["hf", "timm", "mmseg", "detectron2", "microsoft"]);
    let (checkpoint, path) = tensors("hf_upernet_swin");
    let weights = checkpoint.state_dict(None).unwrap();
    let reading = layouts::read(&weights.tensors, None).unwrap();
    let network = network(&path, &reading, &Expected::read("hf_upernet_swin"));
    let fitted = import::fit(&reading, &network, false).unwrap();
    let timm = Layout::of(Family::Swin, Origin::Timm).unwrap();
    let fault = layouts::write(&fitted.tensors, timm, Origin::Timm, Kind::Semantic).unwrap_err();
    assert!(fault.to_string().contains("expected a code base with UperNet, got timm"), "{fault}");
}

/// A model type or a setting that our networks do not have.
#[test]
fn settings_that_no_network_of_ours_has_are_refused() {
    let (checkpoint, path) = tensors("hf_swin");
    let weights = checkpoint.state_dict(None).unwrap();
    let reading = layouts::read(&weights.tensors, None).unwrap();
    let settings: Map<String, Value> =
        serde_json::from_slice(&std::fs::read(path.join("config.json")).unwrap()).unwrap();
    for (key, value, message) in [
        ("model_type", Value::from("vit"), "`model_type`: expected dinat, nat, swin"),
        ("patch_size", Value::from(2), "`patch_size`: expected 4, got 2"),
        ("use_absolute_embeddings", Value::from(true), "`use_absolute_embeddings`: expected false, got true"),
        ("depths", Value::from("deep"), "`depths`: expected a list of whole numbers"),
    ] {
        let mut settings = settings.clone();
        settings.insert(key.into(), value);
        let error = import::from_config_json(&reading, &settings).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// What is written for transformers is read back as the same network.
#[test]
fn hugging_face_settings_go_both_ways() {
    for name in ["hf_swin", "hf_dinat", "hf_convnext", "hf_resnet"] {
        let (checkpoint, path) = tensors(name);
        let weights = checkpoint.state_dict(None).unwrap();
        let reading = layouts::read(&weights.tensors, None).unwrap();
        let network = network(&path, &reading, &Expected::read(name));
        let written = smalti_backbones::recognize::to_config_json(&network.model.backbone).unwrap().unwrap();
        assert_eq!(import::from_config_json(&reading, &written).unwrap(), network, "{name}");
    }
}
