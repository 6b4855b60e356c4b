//! Semantic, instance and panoptic results of mask logits against the authors' steps written out in torch (docs/parity.md).

#[expect(dead_code, reason = "the backbones' test uses more of it")]
#[path = "../../backbones/tests/support/golden.rs"]
mod golden;

use std::path::Path;

use golden::Golden;
use ndarray::Array2;
use smalti_heads::mask::post::{
    Frame, ImageLogits, MaskInferenceConfig, SemanticOrder, instances, panoptic, semantic,
};
use tch::{Kind, Tensor};

const CASES: [&str; 3] = ["larger", "smaller", "same"];

fn golden() -> Golden {
    Golden::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), "mask_post")
}

fn things(golden: &Golden) -> Vec<bool> {
    Vec::try_from(golden.get("things")).expect("one dimension")
}

struct Case<'a> {
    golden: &'a Golden,
    name: &'a str,
}

impl Case<'_> {
    fn get(&self, what: &str) -> &Tensor {
        self.golden.get(&format!("{}/{what}", self.name))
    }

    fn logits(&self) -> ImageLogits<'_> {
        let sizes = Vec::<Vec<i64>>::try_from(self.get("frame")).expect("three sizes");
        let [padded, image, output] = [0, 1, 2].map(|i: usize| (sizes[i][0], sizes[i][1]));
        let frame = Frame { padded, image, output };
        ImageLogits { classes: self.get("classes"), masks: self.get("masks"), frame }
    }

    fn integers(&self, what: &str) -> Vec<i64> {
        Vec::try_from(self.get(what).reshape([-1])).expect("one dimension")
    }

    fn map(&self, what: &str) -> Array2<i64> {
        let size = self.get(what).size();
        Array2::from_shape_vec((size[0] as usize, size[1] as usize), self.integers(what)).expect("a map")
    }
}

#[test]
fn semantic_maps() {
    let golden = golden();
    for name in CASES {
        let case = Case { golden: &golden, name };
        for (order, what) in [
            (SemanticOrder::ResizeMasks, "semantic/resize_masks"),
            (SemanticOrder::ResizeScores, "semantic/resize_scores"),
        ] {
            let map = semantic(case.logits(), order).unwrap();
            assert_eq!(map.mapv(i64::from), case.map(what), "{name} {what}");
        }
    }
}

#[test]
fn instance_masks_classes_and_scores() {
    let golden = golden();
    let things = things(&golden);
    let config = MaskInferenceConfig { max_instances: 10, ..MaskInferenceConfig::default() };
    for name in CASES {
        let case = Case { golden: &golden, name };
        for (which, things) in [("all", None), ("things", Some(things.as_slice()))] {
            let found = instances(case.logits(), &config, things).unwrap();
            let get = |what: &str| case.integers(&format!("instances/{which}/{what}"));
            let queries: Vec<i64> = found.iter().map(|instance| instance.query as i64).collect();
            let classes: Vec<i64> = found.iter().map(|instance| instance.class as i64).collect();
            assert_eq!((queries, classes), (get("queries"), get("classes")), "{name} {which}");
            let scores = Vec::<f64>::try_from(case.get(&format!("instances/{which}/scores"))).unwrap();
            let masks = case.get(&format!("instances/{which}/masks"));
            for (place, (instance, score)) in found.iter().zip(scores).enumerate() {
                assert!((instance.score - score).abs() < 1e-6, "{name} {place}: {} {score}", instance.score);
                let expected = Vec::<u8>::try_from(masks.get(place as i64).reshape([-1])).unwrap();
                let mask = instance.mask.decode();
                assert_eq!(mask.into_raw_vec_and_offset().0, expected, "{name} {which} {place}");
            }
        }
    }
}

#[test]
fn panoptic_maps_and_segments() {
    let golden = golden();
    for name in CASES {
        let case = Case { golden: &golden, name };
        let found = panoptic(case.logits(), &MaskInferenceConfig::default(), &things(&golden)).unwrap();
        assert_eq!(found.ids.mapv(i64::from), case.map("panoptic/ids"), "{name}");
        let segments: Vec<i64> = found
            .segments
            .iter()
            .flat_map(|segment| [i64::from(segment.id), segment.class as i64, i64::from(segment.thing)])
            .collect();
        assert_eq!(segments, case.integers("panoptic/segments"), "{name}");
    }
}

/// In f64 the same pixels win: no result hangs on rounding.
#[test]
fn double_precision_gives_the_same_maps() {
    let golden = golden();
    for name in CASES {
        let case = Case { golden: &golden, name };
        let logits = case.logits();
        let (classes, masks) = (logits.classes.to_kind(Kind::Double), logits.masks.to_kind(Kind::Double));
        let logits = ImageLogits { classes: &classes, masks: &masks, frame: logits.frame };
        let map = semantic(logits, SemanticOrder::ResizeMasks).unwrap();
        assert_eq!(map.mapv(i64::from), case.map("semantic/resize_masks"), "{name}");
        let found = panoptic(logits, &MaskInferenceConfig::default(), &things(&golden)).unwrap();
        assert_eq!(found.ids.mapv(i64::from), case.map("panoptic/ids"), "{name}");
    }
}
