//! DAT++: fields, names and numbers of parameters, and the sizes at which its reference divides by zero.

use smalti_backbones::dat::{BlockKind, PositionBias, resize_position_table};
use smalti_backbones::recognize::{self, Recognized};
use smalti_backbones::{BackboneConfig, Classifier, DatConfig, DatVariant, Purpose, weights};
use smalti_ops::without_data::WithoutData;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::config::{NEITHER, refused};
use crate::parameters::{assert_builds_what_it_counts, assert_key_snapshots};
use crate::{Case, build, image};

/// Parameters of the ImageNet classifiers, counted in the authors' own class (scripts/goldens/make_dat.py prints them).
const CLASSIFIERS: [(DatVariant, i64); 3] =
    [(DatVariant::Tiny, 23_962_876), (DatVariant::Small, 53_127_366), (DatVariant::Base, 93_690_640)];

fn dat(variant: DatVariant) -> DatConfig {
    DatConfig { variant: Some(variant), ..DatConfig::default() }
}

/// A small network with the bias, and with `LogCpb` all other options too.
fn shrunken(position_bias: PositionBias) -> DatConfig {
    let log = position_bias == PositionBias::LogCpb;
    DatConfig {
        embed_dim: Some(8),
        depths: Some(vec![2, 2, 1, 1]),
        heads: Some(vec![1, 2, 4, 4]),
        groups: Some(vec![1, 1, 2, 4]),
        layer_scale: log.then_some(0.5),
        offset_range_factor: log.then(|| vec![1.0, 2.0, 3.0, 4.0]),
        position_bias: Some(position_bias),
        image_size: Some(64),
        ..DatConfig::default()
    }
}

/// What `families.rs` asks of every family, of each position bias.
pub fn cases() -> Vec<Case> {
    let case = |name, position_bias| Case {
        name,
        config: BackboneConfig::Dat(shrunken(position_bias)),
        dropping: Some(BackboneConfig::Dat(DatConfig { drop_path_rate: 0.9, ..shrunken(position_bias) })),
        rounds_up: true,
    };
    vec![
        case("dat", PositionBias::Table),
        case("dat with log_cpb, layer scale and tanh", PositionBias::LogCpb),
        case("dat without position bias", PositionBias::None),
    ]
}

#[test]
fn classifiers_have_the_published_sizes() {
    for (variant, count) in CLASSIFIERS {
        assert_eq!(dat(variant).arch().unwrap().classifier_parameters(1000), count, "{variant:?}");
    }
    assert_eq!(CLASSIFIERS.map(|(variant, _)| variant), DatVariant::ALL);
}

/// Tables for images of 384 have 191, 95, 47 and 23 rows instead of 111, 55, 27 and 13.
#[test]
fn larger_images_have_larger_tables() {
    let count = |image_size| {
        DatConfig { image_size, ..dat(DatVariant::Base) }.arch().unwrap().classifier_parameters(1000)
    };
    let square = |side: i64| side * side;
    // (side at 384, side at 224, heads, deformable blocks) of each stage
    let more = [(191, 111, 4, 1), (95, 55, 8, 2), (47, 27, 16, 9), (23, 13, 32, 2)]
        .map(|(large, small, heads, blocks)| (square(large) - square(small)) * heads * blocks);
    assert_eq!(count(Some(384)) - count(None), more.iter().sum::<i64>());
}

#[test]
fn networks_have_the_parameters_they_count() {
    for (depths, position_bias, layer_scale) in [
        ([1, 2, 1, 1], PositionBias::Table, None),
        ([2, 1, 2, 1], PositionBias::LogCpb, Some(1e-5)),
        ([1, 1, 2, 2], PositionBias::None, None),
    ] {
        let depths = Some(depths.to_vec());
        let position_bias = Some(position_bias);
        let config =
            DatConfig { depths, position_bias, layer_scale, window: Some(5), ..dat(DatVariant::Tiny) };
        let arch = config.arch().unwrap();
        let counts = [arch.backbone_parameters(), arch.classifier_parameters(1000)];
        assert_builds_what_it_counts(&BackboneConfig::Dat(config), counts);
    }
}

#[test]
fn names_and_shapes_equal_the_snapshots() {
    let config = DatConfig { depths: Some(vec![2, 2, 2, 1]), ..dat(DatVariant::Tiny) };
    assert_key_snapshots("dat_tiny", &BackboneConfig::Dat(config));
    let config = DatConfig {
        blocks: Some(["D", "N", "N", "N"].map(Into::into).to_vec()),
        layer_scale: Some(1e-5),
        position_bias: Some(PositionBias::LogCpb),
        ..dat(DatVariant::Tiny)
    };
    assert_key_snapshots("dat_tiny_log_cpb_scaled", &BackboneConfig::Dat(config));
}

/// What the sizes of a classifier's parameters tell of its config.
fn told_by_sizes(config: &DatConfig) -> Recognized {
    let _mode = WithoutData::enter().unwrap();
    let store = VarStore::new(Device::Cpu);
    Classifier::new(&store.root(), &BackboneConfig::Dat(config.clone()), 10).unwrap();
    let sizes: Vec<(String, Vec<usize>)> = weights::named_tensors(&store)
        .into_iter()
        .map(|(name, tensor)| (name, tensor.size().iter().map(|&size| size as usize).collect()))
        .collect();
    recognize::dat(&sizes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect()).unwrap()
}

#[test]
fn sizes_tell_the_published_variants() {
    for variant in DatVariant::ALL {
        let scaled =
            DatConfig { layer_scale: Some(1e-5), position_bias: Some(PositionBias::LogCpb), ..dat(variant) };
        for config in [dat(variant), DatConfig { image_size: Some(384), ..dat(variant) }, scaled] {
            let told = told_by_sizes(&config);
            assert_eq!((told.config, told.question), (BackboneConfig::Dat(config), None));
        }
    }
}

/// Any other network is asked for what its sizes do not tell, and for its heads where not even those are.
#[test]
fn other_networks_are_asked_for() {
    for (position_bias, asked) in
        [(PositionBias::Table, "strides"), (PositionBias::LogCpb, "strides"), (PositionBias::None, "heads")]
    {
        let given = DatConfig { offset_range_factor: None, ..shrunken(position_bias) };
        let told = told_by_sizes(&given);
        let question = told.question.unwrap();
        assert_eq!(question.fields, [asked, "variant"]);
        assert!(question.text.contains("`offset_range_factor` if it is not -1"), "{}", question.text);
        let BackboneConfig::Dat(mut config) = told.config else { panic!("another family") };
        config.layer_scale = given.layer_scale; // its initial value
        if position_bias == PositionBias::None {
            config.heads.clone_from(&given.heads);
        }
        // Without tables no image size is told, nor needed; nor groups without deformable attention, as in stage 2.
        let groups = Some(vec![1, 1, 1, 4]);
        let expected = DatConfig { image_size: config.image_size, groups, ..given.clone() };
        assert_eq!(config.arch().unwrap(), expected.arch().unwrap());
        assert_eq!(config.image_size, (position_bias == PositionBias::Table).then_some(64));
    }
}

#[test]
fn blocks_follow_the_letters() {
    use BlockKind::{Deformable, Neighborhood};
    let published = dat(DatVariant::Tiny).arch().unwrap();
    assert_eq!(published.depths(), [2, 4, 18, 2]);
    assert_eq!(published.blocks[0], [Neighborhood, Deformable]);
    assert_eq!(published.blocks[2], [Neighborhood, Deformable].repeat(9));
    assert_eq!(published.blocks[3], [Deformable, Deformable]);
    let blocks = Some(["ND", "DDN", "N", "DN"].map(Into::into).to_vec());
    let own = DatConfig { blocks, ..dat(DatVariant::Tiny) }.arch().unwrap();
    assert_eq!(own.depths(), [2, 3, 1, 2]);
    assert_eq!(own.blocks[1], [Deformable, Deformable, Neighborhood]);
}

#[test]
fn fields() {
    let refused = |config: DatConfig| refused(&BackboneConfig::Dat(config));
    let tiny = || dat(DatVariant::Tiny);
    let blocks = |letters: &[&str]| Some(letters.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(refused(DatConfig::default()), format!("embed_dim: {NEITHER}"));
    assert_eq!(
        refused(DatConfig { embed_dim: Some(63), ..tiny() }),
        "embed_dim: expected an even number from 2 to 4096, got 63"
    );
    assert_eq!(
        refused(DatConfig { depths: Some(vec![2, 4, -1, 2]), ..tiny() }),
        "depths: expected 1 to 1000 blocks a stage, got [2, 4, -1, 2]"
    );
    for letters in [&["ND", "ND", "NL", "D"][..], &["ND", "ND", "ND"]] {
        assert_eq!(
            refused(DatConfig { blocks: blocks(letters), ..tiny() }),
            format!("blocks: expected 4 strings of the letters N and D, got {letters:?}")
        );
    }
    assert_eq!(
        refused(DatConfig { blocks: blocks(&["ND", "", "ND", "D"]), ..tiny() }),
        "depths: expected 1 to 1000 blocks a stage, got [2, 0, 2, 1]"
    );
    assert_eq!(
        refused(DatConfig {
            blocks: blocks(&["ND", "N", "ND", "D"]),
            depths: Some(vec![2, 2, 2, 1]),
            ..tiny()
        }),
        "blocks: expected as many letters a stage as `depths`, [2, 2, 2, 1], got [\"ND\", \"N\", \"ND\", \"D\"]"
    );
    for groups in [3, 0] {
        assert_eq!(
            refused(DatConfig { groups: Some(vec![1, 2, groups, 8]), ..tiny() }),
            format!("groups: expected a divisor of stage 2's 8 heads, got {groups}")
        );
    }
    assert_eq!(
        refused(DatConfig { strides: Some(vec![8, 4, 0, 1]), ..tiny() }),
        "strides: expected 1 to 64 in each stage, got [8, 4, 0, 1]"
    );
    for kernel in [4, 0, -1, 33] {
        assert_eq!(
            refused(DatConfig { offset_kernels: Some(vec![9, kernel, 5, 3]), ..tiny() }),
            format!(
                "offset_kernels: expected an odd number from 1 to 31 other than stage 1's stride of 4, got {kernel}"
            )
        );
    }
    assert_eq!(
        refused(DatConfig { strides: Some(vec![9, 4, 2, 1]), ..tiny() }),
        "offset_kernels: expected an odd number from 1 to 31 other than stage 0's stride of 9, got 9"
    );
    assert_eq!(
        refused(DatConfig { offset_range_factor: Some(vec![1.0, f64::NAN, 1.0, 1.0]), ..tiny() }),
        "offset_range_factor: expected a finite number for each stage, got [1.0, NaN, 1.0, 1.0]"
    );
    assert_eq!(
        refused(DatConfig { offset_range_factor: Some(vec![-1.0]), ..tiny() }),
        "offset_range_factor: expected 4 numbers, one a stage, got [-1.0]"
    );
    for size in [31, 2049] {
        assert_eq!(
            refused(DatConfig { image_size: Some(size), ..tiny() }),
            format!("image_size: expected 32 to 2048, got {size}")
        );
    }
    assert_eq!(
        refused(DatConfig { layer_scale: Some(-1.0), ..tiny() }),
        "layer_scale: expected 0 (none) or a positive number, got -1"
    );
    assert_eq!(
        refused(DatConfig { drop_path_rate: 1.0, ..tiny() }),
        "drop_path_rate: expected 0 <= rate < 1, got 1"
    );
}

#[test]
fn recipes_parse_strictly_and_come_back() {
    let text = concat!(
        r#"{"family":"dat","variant":"base","blocks":["D","D","ND","D"],"#,
        r#""offset_range_factor":[-1.0,2.0,2.0,2.0],"position_bias":"log_cpb","drop_path_rate":0.3}"#
    );
    let config = BackboneConfig::Dat(DatConfig {
        blocks: Some(["D", "D", "ND", "D"].map(Into::into).to_vec()),
        offset_range_factor: Some(vec![-1.0, 2.0, 2.0, 2.0]),
        position_bias: Some(PositionBias::LogCpb),
        drop_path_rate: 0.3,
        ..dat(DatVariant::Base)
    });
    assert_eq!(serde_json::from_str::<BackboneConfig>(text).unwrap(), config);
    assert_eq!(serde_json::to_string(&config).unwrap(), text);
    for variant in DatVariant::ALL {
        assert_eq!(serde_json::to_string(&variant).unwrap(), format!("\"{}\"", variant.name()));
    }
    let error = serde_json::from_str::<BackboneConfig>(r#"{"family":"dat","widow":7}"#).unwrap_err();
    assert!(error.to_string().starts_with("unknown field `widow`, expected one of `variant`"), "{error}");
}

/// One row or column of keys, of queries, or of both: the reference divides by zero there.
#[test]
fn maps_of_one_row_or_column_are_finite() {
    for offset_range_factor in [None, Some(vec![1.0, 2.0, 3.0, 4.0])] {
        for position_bias in [PositionBias::Table, PositionBias::LogCpb] {
            let offset_range_factor = offset_range_factor.clone();
            let config = DatConfig { offset_range_factor, ..shrunken(position_bias) };
            let (store, backbone) = build(&BackboneConfig::Dat(config), Purpose::Dense);
            for (height, width) in [(32, 32), (20, 100), (100, 20), (1, 1)] {
                let levels = backbone.forward_t(&image(2, height, width), true);
                let loss = levels.iter().map(|level| level.square().sum(Kind::Float)).reduce(|a, b| a + b);
                loss.unwrap().backward();
                for tensor in levels.iter().chain(&store.trainable_variables()) {
                    let values = if tensor.is_leaf() { tensor.grad() } else { tensor.shallow_clone() };
                    assert_eq!(values.isfinite().all().int64_value(&[]), 1, "{height}x{width}");
                }
            }
        }
    }
}

#[test]
fn only_tables_are_resized() {
    let options = (Kind::Float, Device::Cpu);
    let refused = |shape: &[i64], side| {
        no_grad(|| resize_position_table(&Tensor::ones(shape, options), side)).unwrap_err().to_string()
    };
    assert_eq!(refused(&[3, 3], 5), "rpe_table: expected a table [heads, rows, columns], got [3, 3]");
    assert_eq!(refused(&[2, 0, 3], 5), "rpe_table: expected a table [heads, rows, columns], got [2, 0, 3]");
    assert_eq!(
        refused(&[2, 3, 3], 0),
        "model.backbone.image_size: expected a table of at least one row, got 0"
    );
}
