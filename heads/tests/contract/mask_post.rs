//! Semantic, instance and panoptic results of mask logits on cases small enough to work out by hand.

use ndarray::{Array2, array};
use smalti_heads::mask::post::{
    CHUNK_VALUES, Frame, ImageLogits, MaskInferenceConfig, SemanticOrder, SemanticScores, instances,
    panoptic, semantic,
};
use tch::{Device, Kind, Tensor};

/// Class logits `[Q, K + 1]` of which a softmax gives these probabilities.
fn classes(probabilities: &[&[f64]]) -> Tensor {
    let flat: Vec<f64> = probabilities.iter().flat_map(|row| row.iter().map(|p| p.ln())).collect();
    Tensor::from_slice(&flat).reshape([probabilities.len() as i64, -1]).to_kind(Kind::Float)
}

/// Mask logits `[Q, 1, W]`.
fn masks(rows: &[&[f32]]) -> Tensor {
    Tensor::from_slice(&rows.concat()).reshape([rows.len() as i64, 1, -1])
}

fn logits<'a>(classes: &'a Tensor, masks: &'a Tensor) -> ImageLogits<'a> {
    let size = masks.size();
    ImageLogits { classes, masks, frame: Frame::of_size((size[1], size[2])) }
}

const LOW: f64 = 0.05;

#[test]
fn stuff_of_a_class_merges_and_things_stay_apart() {
    // Class 0 things, class 1 stuff; queries 0 and 1 things, 2 and 3 stuff, 4 nothing, 5 not sure enough.
    let classes = classes(&[
        &[0.9, LOW, LOW],
        &[0.9, LOW, LOW],
        &[LOW, 0.9, LOW],
        &[LOW, 0.9, LOW],
        &[LOW, LOW, 0.9],
        &[0.79, 0.2, 0.01],
    ]);
    let masks = masks(&[
        &[9.0, -9.0, -9.0, -9.0, -9.0],
        &[-9.0, 9.0, -9.0, -9.0, -9.0],
        &[-9.0, -9.0, 9.0, -9.0, -9.0],
        &[-9.0, -9.0, -9.0, 9.0, -9.0],
        &[20.0; 5],
        &[20.0; 5],
    ]);
    let found = panoptic(logits(&classes, &masks), &MaskInferenceConfig::default(), &[true, false]).unwrap();
    assert_eq!(found.ids, array![[1, 2, 3, 3, 0]]);
    let segments: Vec<_> = found.segments.iter().map(|s| (s.id, s.class, s.thing)).collect();
    assert_eq!(segments, [(1, 0, true), (2, 0, true), (3, 1, false)]);
    assert!(found.segments.iter().all(|segment| (segment.score - 0.9).abs() < 1e-6));
}

#[test]
fn a_segment_has_to_keep_enough_of_its_mask() {
    let classes = classes(&[&[0.95, LOW], &[0.9, 0.1]]);
    // Five pixels each, the second from `start` on; the surer first one takes what both have.
    let ids = |start: usize| {
        let mut first = vec![-9.0_f32; start + 5];
        first[..5].fill(9.0);
        let mut second = vec![-9.0_f32; start + 5];
        second[start..].fill(9.0);
        let masks = masks(&[&first, &second]);
        panoptic(logits(&classes, &masks), &MaskInferenceConfig::default(), &[true]).unwrap().ids
    };
    assert_eq!(ids(4), array![[1, 1, 1, 1, 1, 2, 2, 2, 2]], "4 of 5 are not below 0.8");
    assert_eq!(ids(3), array![[1, 1, 1, 1, 1, 0, 0, 0]], "3 of 5 are: what it won stays empty");
}

#[test]
fn of_equally_sure_queries_the_first_wins() {
    let classes = classes(&[&[0.9, 0.1], &[0.9, 0.1]]);
    let masks = masks(&[&[2.0, 2.0], &[2.0, 2.0]]);
    let found = panoptic(logits(&classes, &masks), &MaskInferenceConfig::default(), &[true]).unwrap();
    assert_eq!((found.ids, found.segments.len()), (array![[1, 1]], 1));
}

#[test]
fn an_image_without_sure_queries_is_empty() {
    let (classes, masks) = (classes(&[&[0.5, 0.5], &[0.1, 0.9]]), masks(&[&[5.0, 5.0], &[5.0, 5.0]]));
    let found = panoptic(logits(&classes, &masks), &MaskInferenceConfig::default(), &[true]).unwrap();
    assert_eq!((found.ids, found.segments.len()), (Array2::zeros((1, 2)), 0));
}

#[test]
fn scores_are_class_probability_times_mean_inside_the_mask() {
    let classes = classes(&[&[0.6, 0.3, 0.1], &[0.2, 0.1, 0.7]]);
    // Probabilities 3/4 and 1/2 (a logit of 0 is not inside); a mask without a pixel.
    let masks = masks(&[&[3.0_f32.ln(), 0.0, -1.0], &[-1.0, -1.0, -1.0]]);
    let config = MaskInferenceConfig { max_instances: 3, ..MaskInferenceConfig::default() };
    let found = instances(logits(&classes, &masks), &config, None).unwrap();
    let summary: Vec<_> = found.iter().map(|i| (i.query, i.class, i.mask.area())).collect();
    assert_eq!(summary, [(0, 0, 1), (0, 1, 1), (1, 0, 0)], "by class probability: 0.6, 0.3, 0.2");
    for (instance, score) in found.iter().zip([0.6 * 0.75, 0.3 * 0.75, 0.0]) {
        assert!((instance.score - score).abs() < 1e-5, "{} {score}", instance.score);
    }
    assert_eq!(found[0].mask.decode(), array![[1, 0, 0]]);

    let things = instances(logits(&classes, &masks), &config, Some(&[false, true])).unwrap();
    assert_eq!(things.len(), 1, "stuff is dropped after the three best have been chosen");
    let all = MaskInferenceConfig::default();
    assert_eq!(
        instances(logits(&classes, &masks), &all, None).unwrap().len(),
        4,
        "no more pairs than there are"
    );
}

#[test]
fn masks_are_encoded_down_the_columns() {
    let mask = Tensor::from_slice(&[1.0_f32, -1.0, -1.0, 1.0, 1.0, -1.0]).reshape([1, 2, 3]);
    let classes = classes(&[&[0.9, 0.1]]);
    let found = instances(logits(&classes, &mask), &MaskInferenceConfig::default(), None).unwrap();
    assert_eq!(found[0].mask.decode(), array![[1, 0, 0], [1, 1, 0]]);
    assert_eq!(found[0].mask.counts(), [0, 2, 1, 1, 2]);
}

#[test]
fn pixels_belong_to_the_class_that_most_queries_say() {
    let classes = classes(&[&[0.5, 0.3, 0.2], &[0.1, 0.4, 0.5], &[0.2, 0.7, 0.1]]);
    let masks = masks(&[&[40.0, 40.0, -40.0], &[40.0, -40.0, -40.0], &[-40.0, -40.0, 40.0]]);
    // 0.6 to 0.7; 0.5 to 0.3; 0.2 to 0.7.
    let map = semantic(logits(&classes, &masks), SemanticOrder::ResizeMasks).unwrap();
    assert_eq!(map, array![[1, 0, 1]]);
}

/// More masks and rows than one step takes, against the same in one.
#[test]
fn chunks_do_not_show() {
    tch::manual_seed(2);
    let (side, queries) = (1500, 12);
    assert!(side * side * queries > CHUNK_VALUES);
    let masks = Tensor::randn([queries, 6, 6], (Kind::Float, Device::Cpu)) * 5.0;
    let classes = Tensor::randn([queries, 4], (Kind::Float, Device::Cpu)) * 6.0;
    let frame = Frame { padded: (64, 64), image: (50, 60), output: (side, side) };
    let large = ImageLogits { classes: &classes, masks: &masks, frame };
    let config = MaskInferenceConfig {
        object_mask_threshold: 0.3,
        overlap_threshold: 0.0,
        ..MaskInferenceConfig::default()
    };
    let whole =
        masks.unsqueeze(0).upsample_bilinear2d([64, 64], false, None, None).narrow(2, 0, 50).narrow(3, 0, 60);
    let whole = whole.upsample_bilinear2d([side, side], false, None, None).squeeze_dim(0); // [Q, H, W]

    let found = instances(large, &config, None).unwrap();
    assert_eq!(found.len(), 36);
    for instance in &found {
        let area = whole.get(instance.query as i64).gt(0.0).sum(Kind::Int64).int64_value(&[]);
        assert_eq!(i64::from(instance.mask.area()), area, "query {}", instance.query);
    }

    let (scores, labels) = classes.softmax(-1, None::<Kind>).max_dim(-1, false);
    let sure = labels.ne(3_i64).logical_and(&scores.gt(0.3)).nonzero().reshape([-1]);
    assert!(sure.size()[0] > 7, "more than one chunk: {sure}");
    let products = whole.index_select(0, &sure).sigmoid() * scores.index_select(0, &sure).reshape([-1, 1, 1]);
    let winners = Vec::<i64>::try_from(products.argmax(0, false).reshape([-1])).unwrap();
    let found = panoptic(large, &config, &[true; 3]).unwrap();
    // Every segment's pixels are won by one query, and two segments never share a query.
    let mut query_of = vec![None; found.segments.len() + 1];
    for (&id, &winner) in found.ids.iter().zip(&winners) {
        if id > 0 {
            assert_eq!(*query_of[id as usize].get_or_insert(winner), winner);
        }
    }
    assert!(found.segments.len() > 1);
    query_of.sort_unstable();
    query_of.dedup();
    assert_eq!(query_of.len(), found.segments.len() + 1);

    let scores = classes
        .softmax(-1, None::<Kind>)
        .narrow(1, 0, 3)
        .tr()
        .matmul(&whole.sigmoid().reshape([queries, -1]));
    let map = semantic(large, SemanticOrder::ResizeMasks).unwrap();
    let chosen: Vec<i64> = map.iter().map(|&class| i64::from(class)).collect();
    let of_chosen = scores.gather(0, &Tensor::from_slice(&chosen).unsqueeze(0), false);
    // Equal up to the rounding of strips: the chosen class has the largest score of the whole map's.
    let lost = (scores.amax([0_i64].as_slice(), true) - of_chosen).max().double_value(&[]);
    assert!(lost < 1e-5, "{lost}");
}

#[test]
fn scores_come_in_strips_of_which_labels_are_the_largest() {
    tch::manual_seed(9);
    let map = Tensor::rand([3, 150, 400], (Kind::Float, Device::Cpu));
    let size = (1500, 4000);
    assert!(3 * size.0 * size.1 > CHUNK_VALUES, "more than one strip");
    let scores = SemanticScores::of_map(&map, size).unwrap();
    let strips: Vec<(i64, Tensor)> = scores.strips().collect();
    assert!(strips.len() > 1);
    assert!(strips.iter().all(|(_, strip)| strip.numel() as i64 <= CHUNK_VALUES));
    let mut rows = 0;
    for (first, strip) in &strips {
        assert_eq!(*first, rows);
        rows += strip.size()[1];
    }
    let joined = Tensor::cat(&strips.iter().map(|(_, strip)| strip).collect::<Vec<_>>(), 1);
    let whole = map.unsqueeze(0).upsample_bilinear2d([size.0, size.1], false, None, None).squeeze_dim(0);
    let error = (&joined - whole).abs().max().double_value(&[]);
    assert!(error < 1e-5, "{error}");
    let winners = Vec::<i64>::try_from(joined.argmax(0, false).reshape([-1])).unwrap();
    let labels = scores.labels().unwrap();
    assert!(labels.iter().zip(&winners).all(|(&label, &winner)| i64::from(label) == winner));
    assert_eq!(labels.dim(), (1500, 4000));

    let refused = |map: &Tensor, output| SemanticScores::of_map(map, output).unwrap_err().to_string();
    assert_eq!(refused(&map.get(0), size), "scores: expected [K, h, w], got [150, 400]");
    assert!(refused(&map, (0, 4)).starts_with("scores: expected one value at least, got [3, 150, 400] for"));
}

#[test]
fn what_does_not_fit_is_named() {
    let (classes, masks) = (classes(&[&[0.5, 0.5]]), masks(&[&[1.0, 1.0]]));
    let fine = logits(&classes, &masks);
    let config = MaskInferenceConfig::default();
    let message = panoptic(fine, &config, &[true, false]).unwrap_err().to_string();
    assert!(message.contains("things: expected one for each of 1 classes, got 2"), "{message}");
    assert!(instances(fine, &config, Some(&[])).is_err());
    let two = Tensor::cat(&[&classes, &classes], 0);
    let message =
        semantic(ImageLogits { classes: &two, ..fine }, SemanticOrder::ResizeMasks).unwrap_err().to_string();
    assert!(message.contains("mask logits: expected [2, h, w], got [1, 1, 2]"), "{message}");
    let frame = Frame { image: (2, 2), ..fine.frame };
    let message = panoptic(ImageLogits { frame, ..fine }, &config, &[true]).unwrap_err().to_string();
    assert!(
        message.contains("size of the image: expected at most the padded 1x2 (HxW), got 2x2"),
        "{message}"
    );
    let frame = Frame { output: (0, 2), ..fine.frame };
    assert!(instances(ImageLogits { frame, ..fine }, &config, None).is_err());
    for (config, field) in [
        (
            MaskInferenceConfig { object_mask_threshold: 1.5, ..config.clone() },
            "inference.object_mask_threshold",
        ),
        (
            MaskInferenceConfig { overlap_threshold: f64::NAN, ..config.clone() },
            "inference.overlap_threshold",
        ),
        (MaskInferenceConfig { max_instances: 0, ..config.clone() }, "inference.max_instances"),
    ] {
        let message = config.validate().unwrap_err().to_string();
        assert!(message.starts_with(field), "{message}");
    }
}
