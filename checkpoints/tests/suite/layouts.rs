//! Every layout there and back: our names and bytes return; bicubic interpolation against torch's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;
use smalti_checkpoints::layouts::{self, Content, Family, Kind, Layout, Origin};
use smalti_checkpoints::{Checkpoint, write};

use crate::support::folder;

/// Key lists of our networks, which the backbones' tests pin.
const LISTS: [(&str, Family, Kind); 16] = [
    ("nat_nano", Family::Nat, Kind::Dense),
    ("nat_small_depth_1", Family::Nat, Kind::Dense),
    ("dinat_s_tiny_classifier", Family::DinatS, Kind::Classifier),
    ("dinat_s_tiny_dense", Family::DinatS, Kind::Dense),
    ("dat_tiny_classifier", Family::Dat, Kind::Classifier),
    ("dat_tiny_dense", Family::Dat, Kind::Dense),
    ("dat_tiny_log_cpb_scaled_classifier", Family::Dat, Kind::Classifier),
    ("dat_tiny_log_cpb_scaled_dense", Family::Dat, Kind::Dense),
    ("swin_tiny_classifier", Family::Swin, Kind::Classifier),
    ("swin_tiny_dense", Family::Swin, Kind::Dense),
    ("convnext_tiny_classifier", Family::ConvNext, Kind::Classifier),
    ("convnext_tiny_dense", Family::ConvNext, Kind::Dense),
    ("resnet_50_classifier", Family::ResNet, Kind::Classifier),
    ("resnet_50_dense", Family::ResNet, Kind::Dense),
    ("davit_tiny_classifier", Family::Davit, Kind::Classifier),
    ("davit_tiny_dense", Family::Davit, Kind::Dense),
];

/// Names and sizes of a list; sizes are cut to 12, which divides by 3 and 4 as all widths do.
fn keys(list: &str) -> Vec<(String, Vec<usize>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../backbones/tests/keys/{list}.txt"));
    let text = std::fs::read_to_string(path).unwrap();
    let key = |line: &str| {
        let (name, shape) = line.split_once(' ').unwrap();
        let shape: Vec<usize> = serde_json::from_str(shape).unwrap();
        (name.to_owned(), shape.into_iter().map(|size| size.min(12)).collect())
    };
    text.lines().filter(|line| !line.is_empty()).map(key).collect()
}

/// A checkpoint of u8 tensors with these bytes, taken in turn.
fn checkpoint(keys: &[(String, Vec<usize>)], bytes: &[u8]) -> Checkpoint {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let mut endless = bytes.iter().copied().cycle();
    for (name, shape) in keys {
        let count: usize = shape.iter().product();
        let offsets = [data.len(), data.len() + count];
        header.insert(name.clone(), json!({"dtype": "U8", "shape": shape, "data_offsets": offsets}));
        data.extend(endless.by_ref().take(count));
    }
    let header = serde_json::to_vec(&header).unwrap();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    Checkpoint::from_bytes(Path::new("memory"), file).unwrap()
}

fn contents(tensors: impl IntoIterator<Item = (String, Content)>) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let entry = |(name, content): (String, Content)| {
        (name, (content.shape().to_vec(), content.to_bytes().into_owned()))
    };
    tensors.into_iter().map(entry).collect()
}

fn ours(checkpoint: &Checkpoint) -> Vec<(String, Content)> {
    let weights = checkpoint.state_dict(None).unwrap();
    weights.tensors.into_iter().map(|(name, tensor)| (name, Content::from(tensor))).collect()
}

/// Writes the tensors in a layout and reads the file back.
fn there_and_back(checkpoint: &Checkpoint, layout: &'static Layout, origin: Origin, kind: Kind) {
    let ours = ours(checkpoint);
    let theirs = layouts::write(&ours, layout, origin, kind).unwrap();
    let theirs: Vec<_> = theirs.into_iter().flat_map(|moved| moved.to).collect();
    let mut file = Vec::new();
    write::safetensors(&mut file, &theirs, &BTreeMap::new()).unwrap();
    let file = Checkpoint::from_bytes(Path::new("theirs"), file).unwrap();
    let weights = file.state_dict(None).unwrap();
    let reading = layouts::read(&weights.tensors, Some(origin)).unwrap();
    let what = layout.describe();
    assert_eq!((reading.layout.describe(), reading.kind), (what.clone(), kind));
    assert!(reading.unknown.is_empty() && reading.discarded.is_empty(), "{what}: {:?}", reading.unknown);
    let back = reading.moved.iter().flat_map(|moved| moved.to.clone());
    assert_eq!(contents(back), contents(ours.clone()), "{what}");
    for (name, _) in &ours {
        let names = reading.their_names(name);
        assert!(names.iter().all(|name| theirs.iter().any(|(other, _)| other == name)), "{what}: {names:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn every_layout_gives_back_what_it_got(bytes in prop::collection::vec(any::<u8>(), 97)) {
        for (list, family, kind) in LISTS {
            let keys = keys(list);
            let source = checkpoint(&keys, &bytes);
            for origin in Layout::origins(family) {
                let fits = match (family, origin) {
                    // Florence-2's towers have neither a classifier nor norms of levels.
                    (Family::Davit, Origin::Hf) => false,
                    // Without layer scales DAT++'s dense code has the classifier's names.
                    (Family::Dat, Origin::Mmseg) => list.contains("scaled"),
                    _ => true,
                };
                if fits {
                    there_and_back(&source, Layout::of(family, origin).unwrap(), origin, kind);
                }
            }
        }
        let tower = |(name, _): &(String, Vec<usize>)| !name.starts_with("head.");
        let keys: Vec<_> = keys("davit_base_fl_classifier").into_iter().filter(tower).collect();
        let source = checkpoint(&keys, &bytes);
        there_and_back(&source, Layout::of(Family::Davit, Origin::Hf).unwrap(), Origin::Hf, Kind::Trunk);
        there_and_back(&source, Layout::of_timm_florence2(), Origin::Timm, Kind::Trunk);
    }
}

/// A whole UperNet, with our names of the heads' test.
#[test]
fn heads_go_there_and_back() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../heads/tests/keys/semantic.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let heads = text.lines().map(|line| (line.split_once(' ').unwrap().0.to_owned(), vec![2]));
    let backbone =
        keys("swin_tiny_dense").into_iter().map(|(name, shape)| (format!("backbone.{name}"), shape));
    let source = checkpoint(&backbone.chain(heads).collect::<Vec<_>>(), &[1, 2, 3, 5, 7, 11, 13]);
    for origin in [Origin::Hf, Origin::Mmseg, Origin::Microsoft] {
        there_and_back(&source, Layout::of(Family::Swin, origin).unwrap(), origin, Kind::Semantic);
    }
}

/// A whole Mask2Former with our names: of the heads' test, and of a backbone.
fn mask2former(backbone: &str) -> Vec<(String, Vec<usize>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../heads/tests/keys/mask.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let head = |line: &str| {
        let (name, shape) = line.split_once(' ').unwrap();
        (name.to_owned(), serde_json::from_str(shape).unwrap())
    };
    let backbone = keys(backbone).into_iter().map(|(name, shape)| (format!("backbone.{name}"), shape));
    backbone.chain(text.lines().filter(|line| line.starts_with("sem_seg_head.")).map(head)).collect()
}

#[test]
fn mask2former_goes_there_and_back() {
    for (backbone, family, origins) in [
        ("swin_tiny_dense", Family::Swin, [Origin::Hf, Origin::Detectron2]),
        ("resnet_50_dense", Family::ResNet, [Origin::Hf, Origin::Detectron2]),
        ("nat_small_depth_1", Family::Nat, [Origin::Hf, Origin::Shi]),
        ("convnext_tiny_dense", Family::ConvNext, [Origin::Hf, Origin::Detectron2]),
    ] {
        let source = checkpoint(&mask2former(backbone), &[1, 2, 3, 5, 7, 11, 13]);
        for origin in origins {
            there_and_back(&source, Layout::of(family, origin).unwrap(), origin, Kind::Mask);
        }
    }
    let source = checkpoint(&mask2former("swin_tiny_dense"), &[1]);
    let layout = Layout::of(Family::Swin, Origin::Mmseg).unwrap();
    let fault = layouts::write(&ours(&source), layout, Origin::Mmseg, Kind::Mask).unwrap_err();
    assert!(fault.to_string().contains("expected a code base with Mask2Former, got mmseg"), "{fault}");
}

/// Each name of ours has one of theirs there, and no two the same: nothing is kept under a name that Hugging Face has not.
#[test]
fn hugging_face_has_its_own_name_for_every_tensor_of_mask2former() {
    let source = checkpoint(&mask2former("swin_tiny_dense"), &[1, 2, 3]);
    let layout = Layout::of(Family::Swin, Origin::Hf).unwrap();
    let moved = layouts::write(&ours(&source), layout, Origin::Hf, Kind::Mask).unwrap();
    for (name, _) in moved.iter().flat_map(|moved| &moved.to) {
        let known = ["model.pixel_level_module.", "model.transformer_module.", "class_predictor."];
        assert!(known.iter().any(|known| name.starts_with(known)), "{name}");
    }
}

/// The learned queries' first name, and the weights of the loss beside the network.
#[test]
fn the_first_checkpoints_of_mask2former_are_read() {
    let mut keys = mask2former("resnet_50_dense");
    let query = keys.iter_mut().find(|(name, _)| name == "sem_seg_head.predictor.query_feat.weight").unwrap();
    "sem_seg_head.predictor.static_query.weight".clone_into(&mut query.0);
    keys.push(("criterion.empty_weight".into(), vec![4]));
    let source = checkpoint(&keys, &[1, 2, 3]);
    let weights = source.state_dict(None).unwrap();
    // torchvision's names, as ours are; the heads are the same in both.
    let reading = layouts::read(&weights.tensors, None).unwrap();
    assert_eq!((reading.kind, reading.unknown.len()), (Kind::Mask, 0));
    let query = reading.moved.iter().find(|moved| moved.from[0].contains("static_query")).unwrap();
    assert_eq!(query.to[0].0, "sem_seg_head.predictor.query_feat.weight");
    let dropped: Vec<_> = reading.discarded.iter().map(|dropped| dropped.name.as_str()).collect();
    assert_eq!(dropped, ["criterion.empty_weight"]);
    assert!(reading.discarded[0].reason.contains("the loss"), "{}", reading.discarded[0].reason);
}

/// A backbone inside OneFormer: the heads are dropped and named, the backbone is read.
#[test]
fn heads_that_are_not_read_are_dropped_with_the_reason() {
    let backbone =
        keys("swin_tiny_dense").into_iter().map(|(name, shape)| (format!("backbone.{name}"), shape));
    let heads = ["sem_seg_head.predictor.query_embed.weight", "criterion.empty_weight"];
    let buffer = "backbone.layers.0.blocks.0.attn.relative_position_index";
    let rest = heads.into_iter().chain([buffer]).map(|name| (name.to_owned(), vec![3]));
    let source = checkpoint(&backbone.chain(rest).collect::<Vec<_>>(), &[1, 2, 3]);
    let weights = source.state_dict(None).unwrap();
    let reading = layouts::read(&weights.tensors, Some(Origin::Detectron2)).unwrap();
    assert_eq!((reading.kind, reading.prefix, reading.unknown.len()), (Kind::Dense, "backbone.", 0));
    let reasons: BTreeMap<_, _> =
        reading.discarded.iter().map(|dropped| (dropped.name.as_str(), dropped.reason)).collect();
    assert_eq!(reasons.len(), 3);
    assert!(heads.iter().all(|name| reasons[name].contains("OneFormer")), "{reasons:?}");
    assert_eq!(reasons[buffer], "computed from the window");
}

/// What mmdetection's detectors and mmsegmentation's Semantic FPN hold beside their backbone.
#[test]
fn detectors_and_semantic_fpn_give_their_backbone() {
    let detector =
        ["neck.fpn_convs.0.conv.weight", "roi_head.bbox_head.fc_cls.bias", "rpn_head.rpn_cls.bias"];
    let retina = ["neck.fpn_convs.0.conv.weight", "bbox_head.retina_cls.weight"];
    let segmenter = [
        "neck.fpn_convs.0.conv.weight",
        "decode_head.scale_heads.0.0.conv.weight",
        "decode_head.conv_seg.bias",
    ];
    for heads in [&detector[..], &retina, &segmenter] {
        let backbone =
            keys("dat_tiny_dense").into_iter().map(|(name, shape)| (format!("backbone.{name}"), shape));
        let beside = heads.iter().map(|&name| (name.to_owned(), vec![3]));
        let source = checkpoint(&backbone.chain(beside).collect::<Vec<_>>(), &[1, 2, 3]);
        let weights = source.state_dict(None).unwrap();
        for from in [None, Some(Origin::Dat), Some(Origin::Mmseg)] {
            let reading = layouts::read(&weights.tensors, from).unwrap();
            assert_eq!(reading.layout.describe(), "DAT++, names of dat");
            assert_eq!((reading.kind, reading.prefix, reading.unknown.len()), (Kind::Dense, "backbone.", 0));
            let dropped: BTreeSet<_> =
                reading.discarded.iter().map(|dropped| dropped.name.as_str()).collect();
            assert_eq!(dropped, heads.iter().copied().collect());
            assert!(reading.discarded.iter().all(|dropped| dropped.reason.ends_with("only the backbone")));
        }
    }
}

/// The dense code's layer scales are called `gamma`, the classifier's `weight`.
#[test]
fn layer_scales_of_dat_have_two_names() {
    let source = checkpoint(&keys("dat_tiny_log_cpb_scaled_dense"), &[1, 2, 3, 5, 7]);
    let names = |origin| {
        let layout = Layout::of(Family::Dat, origin).unwrap();
        let moved = layouts::write(&ours(&source), layout, origin, Kind::Dense).unwrap();
        moved.into_iter().flat_map(|moved| moved.to).map(|(name, _)| name).collect::<Vec<_>>()
    };
    let (plain, dense) = (names(Origin::Dat), names(Origin::Mmseg));
    assert!(plain.contains(&"stages.0.layer_scales.1.weight".to_owned()));
    assert!(dense.contains(&"stages.0.layer_scales.1.gamma".to_owned()));
    let renamed = plain.iter().zip(&dense).filter(|(plain, dense)| plain != dense);
    assert!(renamed.clone().all(|(plain, dense)| plain.replace("weight", "gamma") == *dense));
    assert_eq!(renamed.count(), plain.iter().filter(|name| name.contains("layer_scales")).count());
}

#[test]
fn the_dat_of_2022_is_named_and_refused() {
    let names =
        ["patch_proj.0.weight", "patch_proj.1.norm.weight", "stages.0.attns.0.relative_position_bias_table"];
    let source = checkpoint(&names.map(|name| (name.to_owned(), vec![2])), &[0]);
    let weights = source.state_dict(None).unwrap();
    let fault = layouts::read(&weights.tensors, None).unwrap_err().to_string();
    assert!(fault.contains("expected a DAT++") && fault.contains("got a DAT of 2022"), "{fault}");
}

#[test]
fn caffe_s_resnets_are_named_and_refused() {
    let keys =
        ["conv1_w", "res2_0_branch2a_w", "res2_0_branch2a_bn_s"].map(|name| (name.to_owned(), vec![2]));
    let source = checkpoint(&keys, &[0]);
    let weights = source.state_dict(None).unwrap();
    let fault = layouts::read(&weights.tensors, None).unwrap_err().to_string();
    assert!(
        fault.contains("MSRA's from Caffe, with the stride in the 1x1") && fault.contains("torchvision"),
        "{fault}"
    );
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let mut keys = keys("resnet_50_classifier");
    keys.push(("module.fc.weight".into(), vec![1]));
    let source = checkpoint(&keys, &[0]);
    let mut weights = source.state_dict(None).unwrap();
    let last = weights.tensors.iter_mut().find(|(name, _)| name == "module.fc.weight").unwrap();
    last.0 = "fc.weight".into();
    let fault = layouts::read(&weights.tensors, None).unwrap_err().to_string();
    assert!(fault.contains("`fc.weight`: expected one source"), "{fault}");
}

#[test]
fn tables_are_interpolated_as_torch_does() {
    let checkpoint = Checkpoint::open(&folder("bicubic.safetensors")).unwrap();
    let weights = checkpoint.state_dict(None).unwrap();
    let tensor = |name: &str| weights.tensors.iter().find(|(other, _)| other == name).unwrap().1;
    let sources: Vec<_> = weights.tensors.iter().filter_map(|(name, _)| name.split_once("/from/")).collect();
    assert_eq!(sources.len(), 24);
    for (case, form) in sources {
        let expected = tensor(&format!("{case}/to/{form}"));
        let table = Content::from(tensor(&format!("{case}/from/{form}"))).resized(expected.shape()).unwrap();
        assert_eq!((table.shape(), table.dtype()), (expected.shape(), expected.dtype()), "{case} {form}");
        let floats = |bytes: &[u8]| -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
        };
        // torch's sums, too, are of doubles: only their order differs, and the rounding to f32.
        for (got, expected) in floats(&table.to_bytes()).iter().zip(floats(&expected.to_bytes())) {
            assert!(
                (got - expected).abs() <= 2e-7 * (1.0 + expected.abs()),
                "{case} {form}: {got} {expected}"
            );
        }
    }
    let rows = Content::from(tensor("k7_to_5_float32/from/rpb"));
    assert!(rows.resized(&[3, 9, 9]).is_none(), "another number of heads");
    assert!(rows.resized(&[81, 2]).is_none(), "another order");
}

/// DAT++'s tables for images of another size, against what its authors' `load_pretrained` makes of them in f64.
#[test]
fn dat_s_tables_are_interpolated_as_its_authors_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../backbones/tests/goldens/dat_resized_tables.safetensors");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let weights = checkpoint.state_dict(None).unwrap();
    let tensors: BTreeMap<&str, _> =
        weights.tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    let expected: Vec<_> =
        tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("f64/")?, tensor))).collect();
    assert_eq!(expected.len(), 8, "four stages, larger and smaller");
    for (name, expected) in expected {
        let table = Content::from(tensors[name]).resized(expected.shape()).unwrap();
        let (bytes, expected) = (table.to_bytes(), expected.to_bytes());
        let got = bytes.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes)));
        let expected = expected.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
        for (got, expected) in got.zip(expected) {
            assert!((got - expected).abs() <= 2e-7 * (1.0 + expected.abs()), "{name}: {got} {expected}");
        }
    }
}
