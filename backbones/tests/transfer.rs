//! A network starts from the weights of another: what is loaded to the bit, what keeps its values, what is refused.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use smalti_backbones::transfer::Request;
use smalti_backbones::{
    Anatomy, BackboneConfig, Classifier, ConvNextConfig, DatConfig, DavitConfig, NatConfig, Part, Purpose,
    ResNetConfig, SwinConfig, Transfer, TransferError, safetensors_io, transfer, weights,
};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, nn};

/// A NAT whose stages have `depths` blocks.
fn nat(depths: [i64; 4], window: i64) -> BackboneConfig {
    BackboneConfig::Nat(NatConfig {
        embed_dim: Some(8),
        depths: Some(depths.to_vec()),
        heads: Some(vec![1, 1, 2, 2]),
        mlp_ratio: Some(2.0),
        window: Some(window),
        ..NatConfig::default()
    })
}

/// One small network a kind of names.
fn families() -> Vec<BackboneConfig> {
    let (embed_dim, depths, heads) = (Some(8), Some(vec![1, 1, 1, 1]), Some(vec![1, 2, 4, 4]));
    vec![
        nat([1, 1, 1, 1], 3),
        BackboneConfig::Swin(SwinConfig {
            embed_dim,
            depths: depths.clone(),
            heads: heads.clone(),
            window: Some(4),
            ..SwinConfig::default()
        }),
        BackboneConfig::ConvNext(ConvNextConfig {
            embed_dim,
            depths: depths.clone(),
            ..ConvNextConfig::default()
        }),
        BackboneConfig::ResNet(ResNetConfig {
            depths: depths.clone(),
            width: Some(4),
            ..ResNetConfig::default()
        }),
        BackboneConfig::Davit(DavitConfig {
            embed_dim,
            depths: depths.clone(),
            heads: heads.clone(),
            ..DavitConfig::default()
        }),
        BackboneConfig::Dat(DatConfig {
            embed_dim,
            depths,
            heads,
            groups: Some(vec![1, 1, 2, 2]),
            image_size: Some(64),
            ..DatConfig::default()
        }),
    ]
}

/// A network, and what of it is not its backbone.
struct Net {
    store: VarStore,
    anatomy: Anatomy,
}

fn classifier(config: &BackboneConfig, classes: i64) -> Net {
    let store = VarStore::new(Device::Cpu);
    let anatomy = Classifier::new(&store.root(), config, classes).unwrap().anatomy();
    Net { store, anatomy }
}

/// A dense backbone with something below it that is named as UperNet's parts are.
fn with_heads(config: &BackboneConfig, classes: i64) -> Net {
    let store = VarStore::new(Device::Cpu);
    let root = store.root();
    let backbone = config.build(&(&root / "backbone"), Purpose::Dense).unwrap();
    nn::linear(&root / "decode_head" / "bottleneck", 6, 4, nn::LinearConfig::default());
    for head in ["decode_head", "auxiliary_head"] {
        nn::linear(&root / head / "conv_seg", 4, classes, nn::LinearConfig::default());
    }
    let class_layers = vec!["decode_head.conv_seg", "auxiliary_head.conv_seg"];
    let anatomy = Anatomy::new(backbone.classifier_end(), class_layers);
    Net { store, anatomy }
}

type Named = BTreeMap<String, Tensor>;

fn copies(store: &VarStore) -> Named {
    weights::named_tensors(store).into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
}

/// Other values everywhere, so that nothing agrees by chance: norms and statistics start alike in every network.
fn trained(net: &Net) -> Named {
    let mut tensors = copies(&net.store);
    for tensor in tensors.values_mut() {
        *tensor = tensor.rand_like() + 2.0;
    }
    tensors
}

fn write(path: &Path, tensors: &Named) {
    let tensors: Vec<(&String, &Tensor)> = tensors.iter().collect();
    let mut bytes = Vec::new();
    safetensors_io::write(path, &mut bytes, &tensors, &BTreeMap::new()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Where the tests of a function write their weights.
struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn of(tensors: &Named) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        write(&path, tensors);
        Self { _folder: folder, path }
    }
}

/// Loads and checks that the network is as the record says: loaded tensors equal the file's to the bit, the others are as
/// before, and both sides are listed as a whole.
fn load(net: &Net, file: &Named, part: Option<Part>) -> Transfer {
    load_as(net, file, Request { part, partial: false })
}

/// The same, whether strictly or not.
fn load_as(net: &Net, file: &Named, request: Request) -> Transfer {
    let written = File::of(file);
    let before = copies(&net.store);
    let planned = transfer::plan(&net.store, &net.anatomy, &written.path, request).unwrap();
    assert!(copies(&net.store).iter().all(|(name, tensor)| tensor.equal(&before[name])), "planning loads");
    let done = transfer::load(&net.store, &net.anatomy, &written.path, request).unwrap();
    assert_eq!(done, planned);

    let sources: BTreeMap<_, _> = done.loaded.iter().cloned().collect();
    for (name, tensor) in copies(&net.store) {
        let expected = sources.get(&name).map_or(&before[&name], |source| &file[source]);
        assert!(tensor.equal(expected), "{name}");
    }
    let listed = |skipped: &[transfer::Skipped]| -> Vec<String> {
        skipped.iter().flat_map(|skipped| skipped.names.clone()).collect()
    };
    let own: BTreeSet<String> = sources.keys().cloned().chain(listed(&done.initial)).collect();
    assert!(own.iter().eq(before.keys()), "{done:?}");
    let theirs: BTreeSet<String> = sources.values().cloned().chain(listed(&done.left_out)).collect();
    assert!(theirs.iter().eq(file.keys()), "{done:?}");
    done
}

fn refused(net: &Net, path: &Path, part: Option<Part>) -> String {
    refused_as(net, path, Request { part, partial: false })
}

/// The same, whether strictly or not.
fn refused_as(net: &Net, path: &Path, request: Request) -> String {
    let before = copies(&net.store);
    let planned = transfer::plan(&net.store, &net.anatomy, path, request).unwrap_err();
    let error = transfer::load(&net.store, &net.anatomy, path, request).unwrap_err();
    assert_eq!(error.to_string(), planned.to_string());
    assert!(copies(&net.store).iter().all(|(name, tensor)| tensor.equal(&before[name])));
    error.to_string()
}

fn reasons(skipped: &[transfer::Skipped]) -> Vec<&'static str> {
    skipped.iter().map(|skipped| skipped.why).collect()
}

const HEADS: &str = "no part of the backbone";
const LEVEL_NORMS: &str = "only dense backbones have norms of levels";
const LAST_NORM: &str = "only classifiers have a norm before the last layer";

#[test]
fn a_dense_network_starts_from_a_classifier_s_backbone_and_back() {
    for config in families() {
        let resnet = matches!(config, BackboneConfig::ResNet(_));
        let (small, dense) = (classifier(&config, 5), with_heads(&config, 3));
        let done = load(&dense, &trained(&small), None);
        assert_eq!((done.part, done.holds.as_str()), (Part::Backbone, "a classifier"));
        let (heads, norms) = ([HEADS].as_slice(), [HEADS, LEVEL_NORMS].as_slice());
        assert_eq!(reasons(&done.initial), if resnet { heads } else { norms }, "{config:?}");
        assert_eq!(reasons(&done.left_out), if resnet { vec![HEADS] } else { vec![HEADS, LAST_NORM] });
        assert!(
            done.loaded.iter().all(|(name, source)| name.strip_prefix("backbone.") == Some(source.as_str()))
        );

        let done = load(&small, &trained(&dense), None);
        assert_eq!((done.part, done.holds.as_str()), (Part::Backbone, "a network with decode_head"));
        assert_eq!(reasons(&done.initial), if resnet { vec![HEADS] } else { vec![HEADS, LAST_NORM] });
        assert_eq!(reasons(&done.left_out), if resnet { heads } else { norms });
    }
}

#[test]
fn a_backbone_alone_is_one_too() {
    let config = nat([1, 1, 1, 1], 3);
    let dense = with_heads(&config, 3);
    for (purpose, expected) in [(Purpose::Dense, vec![HEADS]), (Purpose::Classify, vec![HEADS, LEVEL_NORMS])]
    {
        let store = VarStore::new(Device::Cpu);
        config.build(&store.root(), purpose).unwrap();
        let alone = Net { store, anatomy: dense.anatomy.clone() };
        let done = load(&dense, &trained(&alone), None);
        assert_eq!((done.part, done.holds.as_str()), (Part::Backbone, "a backbone alone"));
        assert_eq!(reasons(&done.initial), expected);
        assert_eq!(done.left_out, []);
    }
}

#[test]
fn a_network_of_the_same_kind_is_taken_whole() {
    let config = nat([1, 1, 1, 1], 3);
    for (net, file) in
        [(classifier(&config, 5), classifier(&config, 5)), (with_heads(&config, 5), with_heads(&config, 5))]
    {
        let done = load(&net, &trained(&file), None);
        assert_eq!((done.part, done.initial, done.left_out), (Part::All, vec![], vec![]));
        // The backbone alone, with the classifier's norm, though more would fit.
        let done = load(&net, &trained(&file), Some(Part::Backbone));
        assert_eq!((reasons(&done.initial), reasons(&done.left_out)), (vec![HEADS], vec![HEADS]));
    }
    let half =
        trained(&with_heads(&config, 5)).into_iter().map(|(name, t)| (name, t.to_kind(Kind::BFloat16)));
    let (net, half) = (with_heads(&config, 5), File::of(&half.collect()));
    transfer::load(&net.store, &net.anatomy, &half.path, Request::default()).unwrap();
    assert!(copies(&net.store).values().all(|tensor| tensor.kind() == Kind::Float));
}

#[test]
fn another_number_of_classes_is_an_error_with_a_remedy() {
    let config = nat([1, 1, 1, 1], 3);
    let cases = [
        (classifier(&config, 3), classifier(&config, 5), "head", 2),
        (with_heads(&config, 3), with_heads(&config, 5), "decode_head.conv_seg", 4),
    ];
    for (net, file, layer, kept) in cases {
        let tensors = trained(&file);
        let written = File::of(&tensors);
        for part in [None, Some(Part::All)] {
            let expected = format!(
                "{}: `{layer}`: expected 3 classes, got 5; `train.init.part = \"all_but_classes\"` takes all other layers, \
                 `\"backbone\"` the backbone alone",
                written.path.display()
            );
            assert_eq!(refused(&net, &written.path, part), expected);
        }
        let done = load(&net, &tensors, Some(Part::AllButClasses));
        assert_eq!(reasons(&done.initial), ["their rows are classes"]);
        assert_eq!((done.initial[0].names.len(), &done.initial), (kept, &done.left_out));
        load(&net, &tensors, Some(Part::Backbone));
    }
    let (net, file) = (classifier(&config, 3), classifier(&config, 5));
    let done = load(&net, &trained(&file), Some(Part::Backbone));
    assert_eq!(done.initial[0].names, ["head.bias", "head.weight"], "the norm before it is loaded");
}

#[test]
fn what_does_not_fit_is_listed_and_nothing_changes() {
    let net = with_heads(&nat([1, 1, 2, 1], 3), 3);
    let refuse = |file: Net, part| {
        let written = File::of(&copies(&file.store));
        let text = refused(&net, &written.path, part);
        text.replace(&written.path.display().to_string(), "FILE")
    };
    let deeper = refuse(classifier(&nat([1, 1, 3, 1], 3), 5), None);
    assert!(deeper.starts_with("FILE: the weights do not fit this model\n  surplus ("), "{deeper}");
    assert!(deeper.contains("levels.2.blocks.2."), "{deeper}");
    let shallower = refuse(classifier(&nat([1, 1, 1, 1], 3), 5), None);
    assert!(
        shallower.contains("missing (") && shallower.contains("backbone.levels.2.blocks.1."),
        "{shallower}"
    );
    assert!(shallower.contains("`smalti weights convert FILE OUT` gives it smalti's names"), "{shallower}");
    let window = refuse(classifier(&nat([1, 1, 2, 1], 5), 5), Some(Part::Backbone));
    assert!(
        window.contains("backbone.levels.0.blocks.0.attn.rpb expected [1, 5, 5], got [1, 9, 9]"),
        "{window}"
    );
    assert!(window.contains("`smalti weights convert FILE OUT --set model.backbone.window=N`"), "{window}");
    assert!(!window.contains("missing") && !window.contains("another code base"), "{window}");
    for part in [Part::All, Part::AllButClasses] {
        assert_eq!(
            refuse(classifier(&nat([1, 1, 2, 1], 3), 3), Some(part)),
            format!(
                "FILE: `train.init.part = \"{}\"`: expected a network with decode_head, got a classifier; \
                 `part = \"backbone\"` takes the backbone alone",
                part.name()
            )
        );
    }
    // Some norms of levels and not all of them are a damaged file, not a classifier's.
    let mut tensors = trained(&with_heads(&nat([1, 1, 2, 1], 3), 3));
    tensors.retain(|name, _| name != "backbone.norm2.bias");
    let cut = File::of(&tensors);
    let text = refused(&net, &cut.path, Some(Part::Backbone));
    assert!(text.contains("missing (1): backbone.norm2.bias"), "{text}");
}

/// A network with something that is named as Mask2Former's decoder is: `queries` queries, `classes` classes and "no object".
fn with_queries(classes: i64, queries: i64) -> Net {
    let store = VarStore::new(Device::Cpu);
    let predictor = store.root() / "sem_seg_head" / "predictor";
    let backbone = nat([1, 1, 1, 1], 3).build(&(store.root() / "backbone"), Purpose::Dense).unwrap();
    nn::linear(&predictor / "class_embed", 6, classes + 1, nn::LinearConfig::default());
    nn::linear(&predictor / "mask_embed", 6, 4, nn::LinearConfig::default());
    for name in ["query_feat", "query_embed"] {
        nn::embedding(&predictor / name, queries, 6, nn::EmbeddingConfig::default());
    }
    let anatomy = Anatomy {
        other_rows: 1,
        query_layers: vec!["sem_seg_head.predictor.query_feat", "sem_seg_head.predictor.query_embed"],
        ..Anatomy::new(backbone.classifier_end(), vec!["sem_seg_head.predictor.class_embed"])
    };
    Net { store, anatomy }
}

#[test]
fn other_numbers_of_queries_and_classes_are_named_and_the_rest_is_loaded_if_asked() {
    let net = with_queries(3, 20);
    let message = |file: &Net| {
        let written = File::of(&trained(file));
        refused(&net, &written.path, None).replace(&written.path.display().to_string(), "FILE")
    };
    let (classes, queries) = (
        "`sem_seg_head.predictor.class_embed`: expected 3 classes, got 5",
        "`sem_seg_head.predictor.query_feat`: expected 20 queries, got 8",
    );
    let remedy = "`train.init.partial = true` (--partial) takes all other layers";
    assert!(message(&with_queries(5, 20)).starts_with(&format!("FILE: {classes}; `train.init.part")));
    assert!(message(&with_queries(3, 8)).starts_with(&format!("FILE: {queries}; {remedy}")));
    assert!(message(&with_queries(5, 8)).starts_with(&format!("FILE: {classes}, {queries}; {remedy}")));

    let request = Request { part: None, partial: true };
    let done = load_as(&net, &trained(&with_queries(5, 8)), request);
    assert_eq!((done.part, reasons(&done.initial)), (Part::All, vec!["of another size in the file"]));
    let names: Vec<&str> =
        done.initial[0].names.iter().map(|name| name.trim_start_matches("sem_seg_head.predictor.")).collect();
    assert_eq!(names, ["class_embed.bias", "class_embed.weight", "query_embed.weight", "query_feat.weight"]);
    assert_eq!(reasons(&done.left_out), ["of another size in the network"]);

    // A tensor that either side alone has, and a network of which nothing fits.
    let mut other = trained(&with_queries(3, 20));
    other.remove("backbone.norm2.bias");
    other.insert("sem_seg_head.predictor.more.weight".into(), Tensor::zeros([2], (Kind::Float, Device::Cpu)));
    let done = load_as(&net, &other, request);
    assert_eq!(
        (reasons(&done.initial), reasons(&done.left_out)),
        (vec!["not in the file"], vec!["not in the network"])
    );
    assert_eq!(done.initial[0].names, ["backbone.norm2.bias"]);
    let nothing = Named::from([("backbone.x".to_owned(), Tensor::zeros([2], (Kind::Float, Device::Cpu)))]);
    let text = refused_as(&net, &File::of(&nothing).path, request);
    assert!(text.contains("do not fit this model") && text.contains("surplus (1): backbone.x"), "{text}");
}

#[test]
fn checkpoints_of_others_are_to_be_converted() {
    let net = classifier(&nat([1, 1, 1, 1], 3), 5);
    let folder = tempfile::tempdir().unwrap();
    let pickle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/fixtures/read/zip.pth");
    for (path, got) in [(folder.path(), "a folder"), (pickle.as_path(), "torch (zip)")] {
        let shown = path.display();
        let expected = format!(
            "{shown}: expected a safetensors file with smalti's names, got {got}; `smalti weights convert {shown} OUT` makes \
             one, OUT/model.safetensors"
        );
        assert_eq!(refused(&net, path, None), expected);
    }
    // What is no checkpoint at all is no reason to convert it.
    let absent = folder.path().join("absent.safetensors");
    let error = transfer::plan(&net.store, &net.anatomy, &absent, Request::default()).unwrap_err();
    assert!(matches!(error, TransferError::File(_)), "{error}");
    let garbage = folder.path().join("garbage.safetensors");
    std::fs::write(&garbage, b"not a header").unwrap();
    assert!(refused(&net, &garbage, None).contains("garbage.safetensors: not a whole safetensors file"));
}

#[test]
fn the_log_says_what_was_loaded_and_what_was_not() {
    let config = nat([1, 1, 1, 1], 3);
    let done = load(&with_heads(&config, 3), &trained(&classifier(&config, 5)), None);
    let text = done.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("weights.safetensors, a classifier: "), "{text}");
    assert!(lines[0].ends_with(&format!("{} tensors, part = \"backbone\"", done.loaded.len())), "{text}");
    assert_eq!(
        lines[1..],
        [
            "  6 keep their initial values (no part of the backbone): auxiliary_head.conv_seg.bias, \
             auxiliary_head.conv_seg.weight, decode_head.bottleneck.bias, decode_head.bottleneck.weight and 2 more",
            "  8 keep their initial values (only dense backbones have norms of levels): backbone.norm0.bias, \
             backbone.norm0.weight, backbone.norm1.bias, backbone.norm1.weight and 4 more",
            "  2 of the file are left out (no part of the backbone): head.bias, head.weight",
            "  2 of the file are left out (only classifiers have a norm before the last layer): norm.bias, norm.weight",
        ]
    );
}
