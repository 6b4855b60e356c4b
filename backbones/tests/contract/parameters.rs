//! Names, shapes and numbers of parameters.

use std::path::Path;

use smalti_backbones::{BackboneConfig, Classifier, NatConfig, NatVariant, weights};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use crate::build;

/// Parameters of the ImageNet classifiers, counted in the authors' own classes (scripts/goldens/make_nat.py and
/// make_dinat_s.py print them).
const CLASSIFIERS: [(NatVariant, i64); 10] = [
    (NatVariant::Mini, 19_984_174),
    (NatVariant::Tiny, 27_901_582),
    (NatVariant::Small, 50_743_297),
    (NatVariant::Base, 89_769_652),
    (NatVariant::DinatMini, 19_984_174),
    (NatVariant::DinatTiny, 27_901_582),
    (NatVariant::DinatSmall, 50_719_681),
    (NatVariant::DinatBase, 89_769_652),
    (NatVariant::DinatLarge, 200_943_514),
    (NatVariant::DinatLargeK11, 201_144_250),
];

fn published(variant: NatVariant) -> NatConfig {
    NatConfig { variant: Some(variant), ..NatConfig::default() }
}

/// The paper's layout as a polynomial in the channels c = embed * 2^l, for heads of 32 channels.
fn trunk(embed: i64, depths: [i64; 4], mlp_ratio: i64, layer_scale: bool, window: i64) -> i64 {
    let stage = |l: usize| {
        let c = embed << l;
        // Squares: qkv 3, projection 1, MLP 2r. Linear: norms 4, qkv bias 3, projection 1, MLP r + 1, two layer scales.
        let block = (4 + 2 * mlp_ratio) * c * c + (9 + mlp_ratio + if layer_scale { 2 } else { 0 }) * c;
        let bias_tables = c / 32 * (2 * window - 1).pow(2);
        let downsample = if l < 3 { 18 * c * c + 4 * c } else { 0 };
        depths[l] * (block + bias_tables) + downsample
    };
    // 3x3 from 3 channels to e/2, 3x3 from there to e, one norm.
    let stem = 27 * embed / 2 + embed / 2 + 9 * embed * embed / 2 + embed + 2 * embed;
    stem + (0..4).map(stage).sum::<i64>()
}

#[test]
fn classifiers_have_the_published_sizes() {
    let sizes = [
        (64, [3, 4, 6, 5], 3, false, 7),
        (64, [3, 4, 18, 5], 3, false, 7),
        (96, [3, 4, 18, 5], 2, true, 7),
        (128, [3, 4, 18, 5], 2, true, 7),
        (64, [3, 4, 6, 5], 3, false, 7),
        (64, [3, 4, 18, 5], 3, false, 7),
        (96, [3, 4, 18, 5], 2, false, 7),
        (128, [3, 4, 18, 5], 2, true, 7),
        (192, [3, 4, 18, 5], 2, false, 7),
        (192, [3, 4, 18, 5], 2, false, 11),
    ];
    for ((variant, count), (embed, depths, mlp_ratio, layer_scale, window)) in
        CLASSIFIERS.into_iter().zip(sizes)
    {
        let channels = 8 * embed;
        let formula =
            trunk(embed, depths, mlp_ratio, layer_scale, window) + 2 * channels + (channels * 1000 + 1000);
        assert_eq!(formula, count, "{variant:?}");
        assert_eq!(published(variant).arch().unwrap().classifier_parameters(1000), count, "{variant:?}");
    }
    assert_eq!(CLASSIFIERS.map(|(variant, _)| variant), NatVariant::ALL[1..]);
}

/// As published, but with few blocks where the whole network takes gigabytes; further blocks repeat.
fn buildable(variant: NatVariant) -> NatConfig {
    let row = published(variant);
    let large = matches!(variant, NatVariant::DinatLarge | NatVariant::DinatLargeK11);
    NatConfig { depths: large.then(|| vec![1, 2, 1, 1]), ..row }
}

/// Built: the real tensors, their names, and the counts that need none.
#[test]
fn every_variant_has_the_parameters_it_counts() {
    for variant in NatVariant::ALL {
        let config = buildable(variant);
        let arch = config.arch().unwrap();
        let (store, _nat) = build(&config);
        let variables = store.variables();
        assert_eq!(variables.len(), store.trainable_variables().len(), "{variant:?}: all are trained");
        let built: i64 = variables.values().map(|tensor| tensor.numel() as i64).sum();
        assert_eq!(built, arch.backbone_parameters(), "{variant:?}");
        let level_norms: i64 = (0..4).map(|l| 2 * (arch.embed_dim << l)).sum();
        assert_eq!(
            arch.classifier_parameters(0) - 2 * 8 * arch.embed_dim,
            built - level_norms,
            "{variant:?}: both counts share the trunk"
        );
        let mut names: Vec<_> = variables.into_keys().collect();
        names.sort();
        assert_eq!(names, expected_names(arch.depths, arch.layer_scale.is_some()), "{variant:?}");
        if variant == NatVariant::Nano {
            assert!((1_000_000..3_000_000).contains(&built), "nano is small: {built}");
        }
    }
}

/// Built with 1000 classes: the counts that papers report, and the end's names instead of the levels'.
#[test]
fn classifiers_share_the_trunk() {
    for (variant, _) in CLASSIFIERS {
        let config = buildable(variant);
        let arch = config.arch().unwrap();
        let count = arch.classifier_parameters(1000);
        let store = VarStore::new(Device::Cpu);
        let _classifier = Classifier::new(&store.root(), &BackboneConfig::Nat(config), 1000).unwrap();
        let built: i64 = store.trainable_variables().iter().map(|tensor| tensor.numel() as i64).sum();
        assert_eq!(built, count, "{variant:?}");
        let mut expected = expected_names(arch.depths, arch.layer_scale.is_some());
        expected.retain(|name| !(0..4).any(|l| name.starts_with(&format!("norm{l}."))));
        expected.extend(["head.bias", "head.weight", "norm.bias", "norm.weight"].map(String::from));
        expected.sort();
        let names: Vec<_> = weights::named_tensors(&store).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected, "{variant:?}");
    }
}

/// The reference's key layout; also catches `name__1`, which tch makes of a name used twice.
fn expected_names(depths: [i64; 4], layer_scale: bool) -> Vec<String> {
    let pair = |name: String| [format!("{name}.weight"), format!("{name}.bias")];
    let mut names = vec![];
    for part in ["proj.0", "proj.1", "norm"] {
        names.extend(pair(format!("patch_embed.{part}")));
    }
    for (l, depth) in depths.into_iter().enumerate() {
        for j in 0..depth {
            let block = format!("levels.{l}.blocks.{j}");
            for part in ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"] {
                names.extend(pair(format!("{block}.{part}")));
            }
            names.push(format!("{block}.attn.rpb"));
            if layer_scale {
                names.extend([1, 2].map(|i| format!("{block}.gamma{i}")));
            }
        }
        if l < 3 {
            names.push(format!("levels.{l}.downsample.reduction.weight"));
            names.extend(pair(format!("levels.{l}.downsample.norm")));
        }
        names.extend(pair(format!("norm{l}")));
    }
    names.sort();
    names
}

/// Committed lists of names and shapes: weights written today must load tomorrow. `UPDATE_KEYS=1` rewrites them.
#[test]
fn names_and_shapes_equal_the_snapshot() {
    let depths = Some(vec![1, 1, 1, 1]); // shapes of further blocks repeat, and their names are checked above
    let snapshots = [
        ("nat_nano", published(NatVariant::Nano)),
        ("nat_small_depth_1", NatConfig { depths, ..published(NatVariant::Small) }),
    ];
    for (name, config) in snapshots {
        let (store, _nat) = build(&config);
        let line = |(name, tensor): &(String, Tensor)| format!("{name} {:?}", tensor.size());
        let lines: Vec<_> = weights::named_tensors(&store).iter().map(line).collect();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_KEYS").is_some() {
            std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        }
        let snapshot = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (number, (ours, committed)) in lines.iter().zip(snapshot.lines()).enumerate() {
            assert_eq!(ours, committed, "{name}, line {}", number + 1);
        }
        assert_eq!(lines.len(), snapshot.lines().count(), "{name}");
    }
}
