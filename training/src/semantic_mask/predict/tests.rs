//! Views and windows of a whole network, against the reference's steps taken one by one.

use ndarray::s;
use smalti_datasets::NormalizeConfig;
use smalti_heads::MaskConfig;
use tch::{Kind, nn, no_grad};

use super::*;

const CLASSES: i64 = 5;
/// Height and width: neither is a multiple of 32, and the image is not as wide as high.
const SIZE: (i64, i64) = (45, 70);

const MODEL: &str = "
[backbone]
family = \"nat\"
embed_dim = 8
depths = [1, 1, 1, 1]
heads = [1, 1, 2, 2]
mlp_ratio = 2.0
window = 3
[head]
channels = 16
mask_channels = 16
heads = 2
norm_groups = 4
encoder_layers = 1
encoder_hidden = 16
points = 2
queries = 12
decoder_layers = 2
decoder_hidden = 16
";

struct Network {
    _store: nn::VarStore,
    model: MaskModel,
}

/// Random weights with decided classes and masks: small ones say the same of every pixel.
fn network(seed: i64) -> Network {
    tch::manual_seed(seed);
    let store = nn::VarStore::new(Device::Cpu);
    let config: MaskConfig = toml::from_str(MODEL).unwrap();
    let model = MaskModel::new(&store.root(), &config, CLASSES).unwrap();
    let variables = store.variables();
    for (layer, factor) in [("class_embed", 4.0), ("mask_embed.layers.2", 8.0)] {
        let name = format!("sem_seg_head.predictor.{layer}.weight");
        let _ = no_grad(|| variables[&name].shallow_clone().g_mul_scalar_(factor));
    }
    Network { _store: store, model }
}

fn image() -> Image {
    Image::from_shape_fn((SIZE.0 as usize, SIZE.1 as usize, 3), |(y, x, c)| {
        ((y * y + 11 * x * (c + 1) + 40 * ((x / 9 + y / 7) % 5)) % 256) as u8
    })
}

fn inference(scales: &[f64], flip: bool, slide: Option<SlideConfig>) -> SemanticMaskInferenceConfig {
    SemanticMaskInferenceConfig { scales: scales.to_vec(), flip, slide }
}

fn predictor<'a>(
    network: &'a Network,
    inference: &'a SemanticMaskInferenceConfig,
    short_edge: Option<u32>,
) -> SemanticMaskPredictor<'a> {
    SemanticMaskPredictor {
        model: &network.model,
        inference,
        precision: Precision::F32,
        device: Device::Cpu,
        eval: SegmentEvalConfig { short_edge, ..SegmentEvalConfig::default() },
        normalizer: Normalizer::new(&NormalizeConfig::default()),
    }
}

fn predict(network: &Network, inference: &SemanticMaskInferenceConfig, short_edge: Option<u32>) -> Vec<i64> {
    let classes = predictor(network, inference, short_edge).predict(&image()).unwrap();
    classes.into_iter().map(i64::from).collect()
}

/// Scores of a view as the reference makes them: masks at the padded size, sums over queries, then cut to what is no padding and
/// resized to `size`: `[1, K, H, W]`.
fn scores(network: &Network, view: &EvalView, size: (i64, i64)) -> Tensor {
    let (_, height, width) = view.image.dim();
    let padded = [height as i64, width as i64];
    let images = Tensor::from_slice(view.image.as_slice().unwrap()).reshape([1, 3, padded[0], padded[1]]);
    let output = no_grad(|| network.model.forward_t(&images, false)).unwrap();
    let classes = output.class_logits.softmax(-1, None::<Kind>).narrow(-1, 0, CLASSES); // [1, Q, K]
    let masks = output.mask_logits.upsample_bilinear2d(padded, false, None, None).sigmoid(); // [1, Q, H', W']
    let scores = Tensor::einsum("bqc,bqhw->bchw", &[classes, masks], None::<i64>);
    let valid = scores.narrow(2, 0, view.valid[0] as i64).narrow(3, 0, view.valid[1] as i64);
    valid.upsample_bilinear2d([size.0, size.1], false, None, None)
}

fn winners(scores: &Tensor) -> Vec<i64> {
    Vec::try_from(scores.argmax(1, false).reshape([-1])).unwrap()
}

/// Pixels on which both agree, of all; sums are rounded in another order, so that two classes may tie.
fn assert_close(found: &[i64], expected: &[i64]) {
    assert_eq!(found.len(), expected.len());
    let differ = found.iter().zip(expected).filter(|(a, b)| a != b).count();
    assert!(differ * 1000 <= found.len(), "{differ} of {} pixels differ", found.len());
}

/// Networks whose predictions can be told apart: with one class everywhere every test would pass.
fn telling(inference: &SemanticMaskInferenceConfig) -> Vec<Network> {
    let tells = |network: &Network| {
        let plain = predict(network, &SemanticMaskInferenceConfig::default(), None);
        predict(network, inference, None) != plain
    };
    let found: Vec<Network> = (0..12).map(network).filter(tells).collect();
    assert!(found.len() > 2, "{} of 12 networks", found.len());
    found
}

#[test]
fn one_view_that_is_averaged_is_the_plain_prediction_to_the_bit() {
    for short_edge in [None, Some(64), Some(33)] {
        for network in telling(&inference(&[1.0], true, None)) {
            let one = SemanticMaskInferenceConfig::default();
            let predictor = predictor(&network, &one, short_edge);
            let (image, size) = (image(), [SIZE.0 as usize, SIZE.1 as usize]);
            let plain = predictor.eval.view(&image, &predictor.normalizer);
            let output = predictor.forward(&image, &plain, &predictor.input(&plain).unwrap()).unwrap();
            assert!(matches!(output, SemanticMaskOutput::Logits(_)), "no scores are kept of one whole view");
            let mut sum = ViewSum::new(CLASSES, SIZE, Device::Cpu);
            sum.add(predictor.scores(&plain, size).unwrap().strips(), false);
            let averaged = SemanticScores::of_map(&sum.mean(), SIZE).unwrap().labels().unwrap();
            assert_eq!(SemanticMaskOutput::Labels(averaged).classes().unwrap(), output.classes().unwrap());
            assert_close(&predict(&network, &one, short_edge), &winners(&scores(&network, &plain, SIZE)));
        }
    }
}

#[test]
fn a_mirrored_view_is_mirrored_back_and_averaged() {
    let config = inference(&[1.0], true, None);
    for network in telling(&config) {
        let normalizer = Normalizer::new(&NormalizeConfig::default());
        let eval = SegmentEvalConfig::default();
        let mirrored = image().slice(s![.., ..;-1, ..]).as_standard_layout().into_owned();
        let [plain, back] =
            [image(), mirrored].map(|image| scores(&network, &eval.view(&image, &normalizer), SIZE));
        let expected = winners(&((plain + back.flip([3])) / 2.0));
        assert_close(&predict(&network, &config, None), &expected);
    }
}

#[test]
fn every_scale_is_resized_to_the_image_and_counts_alike() {
    let config = inference(&[0.5, 1.0, 1.75], true, None);
    for network in telling(&config) {
        // A scale alone is a resize of the image.
        let (eval, normalizer) = (SegmentEvalConfig::default(), Normalizer::new(&NormalizeConfig::default()));
        let view = eval.look(&image(), Look { scale: 1.75, flipped: false }, &normalizer);
        let alone = predict(&network, &inference(&[1.75], false, None), None);
        assert_close(&alone, &winners(&scores(&network, &view, SIZE)));
        for short_edge in [None, Some(64)] {
            let predictor = predictor(&network, &config, short_edge);
            let image = image();
            let resized = predictor.eval.resize(&image);
            let mut sum = Tensor::zeros([1, CLASSES, SIZE.0, SIZE.1], (Kind::Float, Device::Cpu));
            for scale in [0.5, 1.0, 1.75] {
                for flipped in [false, true] {
                    let view = predictor.eval.look(&resized, Look { scale, flipped }, &predictor.normalizer);
                    let of_view = scores(&network, &view, SIZE);
                    sum += if flipped { of_view.flip([3]) } else { of_view };
                }
            }
            assert_close(&predict(&network, &config, short_edge), &winners(&(sum / 6.0)));
        }
    }
}

#[test]
fn a_window_that_covers_the_image_is_the_whole_image() {
    for network in telling(&inference(&[1.0], true, None)) {
        for short_edge in [None, Some(64)] {
            for (scales, flip) in [(&[1.0][..], false), (&[1.0, 1.5][..], true)] {
                let whole = predict(&network, &inference(scales, flip, None), short_edge);
                for (crop, stride) in [([96, 150], [96, 150]), ([160, 512], [1, 341])] {
                    let slide = Some(SlideConfig { crop, stride });
                    assert_eq!(predict(&network, &inference(scales, flip, slide), short_edge), whole);
                }
            }
        }
    }
}

#[test]
fn windows_are_averaged_where_they_overlap() {
    let slide = SlideConfig { crop: [45, 40], stride: [45, 30] };
    let config = inference(&[1.0], false, Some(slide));
    for network in telling(&config) {
        let predictor = predictor(&network, &config, None);
        let view = predictor.eval.view(&image(), &predictor.normalizer);
        let sum = Tensor::zeros([1, CLASSES, SIZE.0, SIZE.1], (Kind::Float, Device::Cpu));
        // Columns 0 to 39 and 30 to 69: both see 30 to 39.
        for x in [0, 30] {
            let part = predictor.eval.window(&view, [0, x], [45, 40]);
            let _ = sum.narrow(3, x as i64, 40).g_add_(&scores(&network, &part, (45, 40)));
        }
        let _ = sum.narrow(3, 30, 10).g_div_scalar_(2.0);
        assert_close(&predict(&network, &config, None), &winners(&sum));
    }
}
