//! The classification loss against timm's mixed, smoothed targets and soft cross-entropy (docs/parity.md).

#[expect(dead_code, reason = "the backbones' test uses more of it")]
#[path = "../../backbones/tests/support/golden.rs"]
mod golden;

use std::path::Path;

use golden::{Deviation, Golden, PRECISIONS, assert_close, leaf};
use smalti_heads::ClassificationLossConfig;

#[test]
fn losses_and_gradients() {
    let golden = Golden::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), "classification_loss");
    let cases = golden.get("cases");
    assert_eq!(cases.size(), [5, 2]);
    for (label, kind, _) in PRECISIONS {
        let rtol = if label == "f32" { 1e-5 } else { 1e-12 };
        let mut deviation = Deviation::default();
        for case in 0..5 {
            let [label_smoothing, own_share] = [0, 1].map(|column| cases.double_value(&[case, column]));
            let logits = leaf(golden.get("logits"), kind);
            let config = ClassificationLossConfig { label_smoothing };
            let loss = config.forward(&logits, golden.get("classes"), own_share);
            loss.backward();
            let expected = |what: &str| golden.get(&format!("{label}/{what}/{case}"));
            deviation.merge(assert_close(&format!("{label} loss {case}"), &loss, expected("loss"), rtol));
            let gradient = logits.grad();
            deviation.merge(assert_close(
                &format!("{label} gradient {case}"),
                &gradient,
                expected("grad"),
                rtol,
            ));
        }
        // Shown with `--no-capture`; docs/parity.md quotes it.
        println!("classification_loss {label}: {deviation}");
    }
}
