//! Real files: the COCO sample below `$SMALTI_DATA`, if it is there.

use std::env;
use std::path::{Path, PathBuf};

use smalti_evaluation::panoptic::{PanopticDirs, PanopticOptions, score_files};

fn sample() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let bases = [env::var_os("SMALTI_DATA").map(PathBuf::from), Some(beside)];
    let found =
        bases.into_iter().flatten().map(|base| base.join("coco-sample/annotations")).find(|dir| dir.is_dir());
    if found.is_none() {
        println!("SKIPPED: no coco-sample below $SMALTI_DATA or ../../shared/data");
    }
    found
}

#[test]
fn ground_truth_against_itself_is_perfect() {
    let Some(dir) = sample() else { return };
    let json = dir.join("panoptic_val2017.json");
    let folder = PanopticDirs::beside(&json);
    let dirs =
        PanopticDirs { gt_json: json.clone(), gt_dir: folder.clone(), pred_json: json, pred_dir: folder };
    for boundary in [false, true] {
        let options = PanopticOptions { boundary, keep_images: false };
        let result = score_files(&dirs, options, &|_, _| {}).unwrap();
        assert!(result.warnings.is_empty(), "{:?}", result.warnings);
        let scores = result.quality.finish();
        assert!(scores.metrics.named().iter().all(|(_, value)| *value == Some(1.0)), "{:?}", scores.metrics);
        assert_eq!(result.quality.num_images(), 80);
        assert!(scores.classes.iter().all(|class| class.fp == 0 && class.fn_ == 0));
    }
}
