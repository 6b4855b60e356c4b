//! Network, criterion and post-processing together: a tiny Mask2Former learns one picture by heart.

use ndarray::Array2;
use smalti_backbones::{BackboneConfig, NatConfig, NatVariant};
use smalti_heads::mask::post::{Frame, ImageLogits, MaskInferenceConfig, panoptic};
use smalti_heads::mask::targets::{MaskTarget, count_masks};
use smalti_heads::mask::{MaskCriterion, MaskLossConfig};
use smalti_heads::{MaskConfig, MaskHeadConfig, MaskModel};
use tch::nn::{self, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor, no_grad};

const SIDE: i64 = 64;
/// Class 0 is a thing, class 1 stuff.
const CLASSES: i64 = 2;

fn network(store: &VarStore) -> MaskModel {
    let nat = NatConfig {
        variant: Some(NatVariant::Nano),
        embed_dim: Some(8),
        depths: Some(vec![1, 1, 1, 1]),
        window: Some(3),
        heads: Some(vec![1, 1, 2, 2]),
        ..NatConfig::default()
    };
    let head = MaskHeadConfig {
        channels: 32,
        mask_channels: 32,
        heads: 4,
        norm_groups: 8,
        encoder_layers: 1,
        encoder_hidden: 32,
        points: 2,
        queries: 6,
        decoder_layers: 3,
        decoder_hidden: 32,
        place_octaves: 0,
    };
    let config = MaskConfig { backbone: BackboneConfig::Nat(nat), head, recompute: [false; 4] };
    MaskModel::new(&store.root(), &config, CLASSES).unwrap_or_else(|error| panic!("{error}"))
}

/// Two squares of the thing on stuff: segment of each pixel, 0 and 1 the squares, 2 what is around them.
fn scene() -> Array2<u8> {
    Array2::from_shape_fn((SIDE as usize, SIDE as usize), |(y, x)| match (y, x) {
        (8..28, 8..28) => 0,
        (30..56, 34..60) => 1,
        _ => 2,
    })
}

fn target(scene: &Array2<u8>) -> MaskTarget {
    let map = Tensor::from_slice(scene.as_slice().expect("standard layout")).reshape([1, SIDE, SIDE]);
    let masks = map.eq_tensor(&Tensor::from_slice(&[0u8, 1, 2]).reshape([3, 1, 1]));
    MaskTarget { classes: Tensor::from_slice(&[0i64, 0, 1]), masks, labelled: None }
}

#[test]
fn a_picture_is_learned_by_heart_and_found_again() {
    tch::manual_seed(3);
    let store = VarStore::new(Device::Cpu);
    let model = network(&store);
    let scene = scene();
    let target = [target(&scene)];
    // The squares are bright, each in its own colour.
    let colors = Tensor::from_slice(&[1.0f32, -1.0, 0.5, -1.0, 1.0, 0.5, -0.5, -0.5, -1.0]).reshape([3, 3]);
    let segments = Tensor::from_slice(scene.as_slice().expect("standard layout")).to_kind(Kind::Int64);
    let image = colors.index_select(0, &segments).transpose(0, 1).reshape([1, 3, SIDE, SIDE]);

    let config = MaskLossConfig { num_points: 256, ..MaskLossConfig::default() };
    let criterion = MaskCriterion::new(&config, CLASSES).expect("a valid config");
    let mut optimizer = nn::AdamW::default().build(&store, 2e-3).expect("an optimiser");
    let mut courses = Vec::new();
    for _ in 0..120 {
        let output = model.forward_t(&image, true).unwrap_or_else(|error| panic!("{error}"));
        let losses = criterion
            .forward(&output.layers(), &target, count_masks(&target) as f64)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(losses.layers.len(), 4, "learned queries and three layers");
        courses.push(losses.total.double_value(&[]));
        optimizer.backward_step(&losses.total);
    }
    let (first, last) = (courses[0], courses[courses.len() - 1]);
    assert!(last < 0.3 * first, "loss went from {first} to {last}");

    let output = no_grad(|| model.forward_t(&image, false)).unwrap_or_else(|error| panic!("{error}"));
    let (classes, masks) = (output.class_logits.get(0), output.mask_logits.get(0));
    let logits = ImageLogits { classes: &classes, masks: &masks, frame: Frame::of_size((SIDE, SIDE)) };
    let found = panoptic(logits, &MaskInferenceConfig::default(), &[true, false])
        .unwrap_or_else(|error| panic!("{error}"));
    let mut classes: Vec<usize> = found.segments.iter().map(|segment| segment.class).collect();
    classes.sort_unstable();
    assert_eq!(classes, [0, 0, 1]);
    for segment in 0..3u8 {
        // Every segment is one of those found, but for a rim.
        let pixels: Vec<u32> =
            found.ids.iter().zip(&scene).filter(|(_, s)| **s == segment).map(|(id, _)| *id).collect();
        let most = found.segments.iter().map(|s| pixels.iter().filter(|id| **id == s.id).count()).max();
        assert!(most >= Some(pixels.len() * 9 / 10), "segment {segment}: {most:?} of {}", pixels.len());
    }
}
