//! Whole and sliding inference at the image's own size. That overlaps are averaged is tested beside the code.

use smalti_heads::{InferenceConfig, SlideConfig};
use tch::{Kind, Tensor, no_grad};

use crate::{CLASSES, build, config, image};

fn bilinear(x: &Tensor, height: i64, width: i64) -> Tensor {
    x.upsample_bilinear2d([height, width], false, None, None)
}

fn sliding(crop: [i64; 2], stride: [i64; 2]) -> InferenceConfig {
    InferenceConfig { slide: Some(SlideConfig { crop, stride }), ..InferenceConfig::default() }
}

#[test]
fn whole_inference_is_the_argmax_of_resized_logits() {
    let (_store, model) = build(&config());
    let image = image(1, 45, 70);
    let classes = InferenceConfig::default().predict(&model, &image);
    assert_eq!((classes.size(), classes.kind()), (vec![45, 70], Kind::Uint8));
    let logits = no_grad(|| model.forward_t(&image, false).logits);
    let expected = bilinear(&logits, 45, 70).argmax(1, false).squeeze_dim(0);
    assert!(classes.to_kind(Kind::Int64).equal(&expected));
    let areas = expected.flatten(0, 1).bincount::<Tensor>(None, CLASSES);
    // One class everywhere would prove little, here and below.
    let seen = i64::try_from(areas.ge(45 * 70 / 50).sum(Kind::Int64)).unwrap();
    assert!(seen >= 3, "{seen} classes have 2 % of the image or more");
}

#[test]
fn a_window_that_covers_the_image_is_whole_inference() {
    let (_store, model) = build(&config());
    let image = image(1, 45, 70);
    let whole = InferenceConfig::default().predict(&model, &image);
    for (crop, stride) in [([45, 70], [45, 70]), ([64, 96], [1, 1]), ([45, 512], [20, 341])] {
        assert!(sliding(crop, stride).predict(&model, &image).equal(&whole), "{crop:?} {stride:?}");
    }
}

#[test]
fn windows_that_meet_without_overlap_are_predicted_alone() {
    let (_store, model) = build(&config());
    let image = image(1, 32, 80);
    let classes = sliding([32, 40], [32, 40]).predict(&model, &image);
    for x in [0, 40] {
        let alone = InferenceConfig::default().predict(&model, &image.narrow(3, x, 40));
        assert!(classes.narrow(1, x, 40).equal(&alone), "column {x}");
    }
}

#[test]
fn windows_larger_than_the_image_on_one_axis_only() {
    let (_store, model) = build(&config());
    let classes = sliding([64, 32], [64, 20]).predict(&model, &image(1, 33, 77));
    assert_eq!(classes.size(), [33, 77]);
}

#[test]
fn images_enter_at_the_short_edge_and_predictions_return_to_their_size() {
    let (_store, model) = build(&config());
    let image = image(1, 45, 70);
    let config = InferenceConfig { short_edge: Some(64), max_edge: Some(2048), ..InferenceConfig::default() };
    let classes = config.predict(&model, &image);
    // 64 / 45 * 70 = 99.6. Logits go to the network's size first, then to the image's, as mmsegmentation does.
    let logits = no_grad(|| model.forward_t(&bilinear(&image, 64, 100), false).logits);
    let expected = bilinear(&bilinear(&logits, 64, 100), 45, 70).argmax(1, false).squeeze_dim(0);
    assert!(classes.to_kind(Kind::Int64).equal(&expected));
    let slide = Some(SlideConfig { crop: [64, 100], stride: [32, 32] });
    assert!(
        InferenceConfig { slide, ..config }.predict(&model, &image).equal(&classes),
        "windows of the resized image"
    );
}

#[test]
fn views_are_averaged_as_probabilities_at_the_size_of_the_image() {
    let (_store, model) = build(&config());
    let image = image(1, 45, 70);
    let config = InferenceConfig { scales: vec![0.75, 1.5], flip: true, ..InferenceConfig::default() };
    let views = |scales: &[f64], flip| InferenceConfig { scales: scales.to_vec(), flip, ..config.clone() };

    // mmsegmentation's steps one by one: resize, mirror, network, logits to the view and to the image, softmax, mirror back.
    let mut sum = Tensor::zeros([1, CLASSES, 45, 70], (Kind::Float, tch::Device::Cpu));
    for (height, width) in [(34, 53), (68, 105)] {
        for flipped in [false, true] {
            let view = bilinear(&image, height, width);
            let view = if flipped { view.flip([3]) } else { view };
            let logits = no_grad(|| model.forward_t(&view, false).logits);
            let full = bilinear(&bilinear(&logits, height, width), 45, 70);
            let probabilities = full.softmax(1, Kind::Float);
            sum += if flipped { probabilities.flip([3]) } else { probabilities };
        }
    }
    let predicted = config.predict(&model, &image).to_kind(Kind::Int64);
    let expected = sum.argmax(1, false).squeeze_dim(0);
    assert!(predicted.equal(&expected), "{} pixels differ", predicted.ne_tensor(&expected).sum(Kind::Int64));

    // One view needs no probabilities, and a scale alone is a resize of the image.
    let [plain, scaled] = [views(&[1.0], false), views(&[1.5], false)].map(|c| c.predict(&model, &image));
    assert!(plain.equal(&InferenceConfig::default().predict(&model, &image)));
    let logits = no_grad(|| model.forward_t(&bilinear(&image, 68, 105), false).logits);
    let expected = bilinear(&bilinear(&logits, 68, 105), 45, 70).argmax(1, false).squeeze_dim(0);
    assert!(scaled.to_kind(Kind::Int64).equal(&expected));
    // Views go through windows where the recipe has some: one that covers them all, and then smaller ones.
    let windows = |crop, stride| {
        let slide = Some(SlideConfig { crop, stride });
        InferenceConfig { slide, ..config.clone() }.predict(&model, &image).to_kind(Kind::Int64)
    };
    assert!(windows([68, 105], [68, 105]).equal(&predicted));
    let differ = windows([32, 48], [20, 30]).ne_tensor(&predicted).sum(Kind::Int64);
    assert!(i64::try_from(differ).unwrap() > 0, "windows see less of the image");
}

#[test]
fn a_mirrored_image_is_predicted_mirrored() {
    let (_store, model) = build(&config());
    let image = image(1, 64, 96);
    let config = InferenceConfig { scales: vec![1.0, 1.5], flip: true, ..InferenceConfig::default() };
    let [classes, of_mirrored] =
        [&image, &image.flip([3])].map(|x| config.predict(&model, x).to_kind(Kind::Int64));
    // Views change places, so that sums round differently: where classes tie, one may win here and the other there.
    let differ = i64::try_from(classes.flip([1]).ne_tensor(&of_mirrored).sum(Kind::Int64)).unwrap();
    assert!(differ <= 64 * 96 / 1000, "{differ} pixels");
}
