//! Scoring folders of PNG files: pairing, options, and what is said about bad input.

#![expect(
    clippy::unwrap_used,
    clippy::manual_midpoint,
    reason = "helpers of tests stop where they cannot go on; means are written as on paper"
)]

use std::fs;
use std::path::Path;

use smalti_evaluation::EvalError;
use smalti_evaluation::resample::PerImage;
use smalti_evaluation::semantic::SemanticScores;
use smalti_evaluation::semantic_files::{DirScores, ScoreOptions, score_dirs};

fn write(path: impl AsRef<Path>, width: u32, pixels: &[u8]) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, width, pixels.len() as u32 / width);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
}

fn score(dir: &Path, options: ScoreOptions) -> Result<DirScores, EvalError> {
    score_dirs(&dir.join("gt"), &dir.join("pred"), options, &|_, _| ())
}

fn message(dir: &Path) -> String {
    score(dir, ScoreOptions::new(2)).unwrap_err().to_string().replace(&format!("{}/", dir.display()), "")
}

#[test]
fn sums_over_images_and_reports_extras() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("gt/a.png"), 2, &[0, 0, 1, 1]);
    write(dir.path().join("gt/city/b.png"), 2, &[1, 1, 255, 0]);
    write(dir.path().join("pred/a.png"), 2, &[0, 1, 1, 1]);
    write(dir.path().join("pred/city/b.png"), 2, &[1, 0, 0, 0]);
    write(dir.path().join("pred/city/c.png"), 2, &[1, 0, 0, 0]);
    let steps = std::sync::Mutex::new(Vec::new());
    let scored =
        score_dirs(&dir.path().join("gt"), &dir.path().join("pred"), ScoreOptions::new(2), &|done, total| {
            steps.lock().unwrap().push((done, total));
        })
        .unwrap();
    // class 0: I 2, P 3, L 3 -> 2/4; class 1: I 3, P 4, L 4 -> 3/5
    assert_eq!(scored.confusion.finish().metrics.m_iou, Some((0.5 + 0.6) / 2.0));
    assert_eq!((scored.images, scored.extra_predictions), (2, vec!["city/c.png".to_owned()]));
    let mut steps = steps.into_inner().unwrap();
    steps.sort_unstable();
    assert_eq!(steps, [(1, 2), (2, 2)]);
}

#[test]
fn pairs_nested_with_flat_by_file_name() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("gt/x/a.png"), 1, &[0]);
    write(dir.path().join("gt/y/b.png"), 1, &[1]);
    write(dir.path().join("pred/a.png"), 1, &[0]);
    write(dir.path().join("pred/b.PNG"), 1, &[1]);
    let scored = score(dir.path(), ScoreOptions::new(2)).unwrap();
    assert_eq!(scored.confusion.finish().metrics.m_iou, Some(1.0));
    // The same name in two folders is no longer clear.
    write(dir.path().join("gt/y/a.png"), 1, &[0]);
    let text = message(dir.path());
    assert_eq!(text, "pred: 2 of 3 predictions are missing: x/a.png, y/a.png");
}

#[test]
fn reduces_zero_labels_of_the_ground_truth_only() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("gt/a.png"), 2, &[0, 1, 2, 255]);
    write(dir.path().join("pred/a.png"), 2, &[1, 0, 1, 1]);
    let options = ScoreOptions { reduce_zero_label: true, ..ScoreOptions::new(2) };
    // ground truth becomes 255 0 1 255: two pixels count, both right
    let scored = score(dir.path(), options).unwrap();
    assert_eq!(scored.confusion.counts(), [1, 0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn ignores_the_label_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("gt/a.png"), 2, &[0, 1, 1, 1]);
    write(dir.path().join("pred/a.png"), 2, &[1, 1, 1, 0]);
    let options = ScoreOptions { ignore_label: 0, ..ScoreOptions::new(2) };
    let scored = score(dir.path(), options).unwrap();
    assert_eq!(scored.confusion.counts(), [0, 0, 0, 1, 2, 0, 0, 0, 0]);
}

#[test]
fn bad_input_names_file_expected_and_got() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(message(dir.path()), "gt: expected a folder of PNG label maps, got nothing");
    fs::create_dir_all(dir.path().join("gt")).unwrap();
    fs::write(dir.path().join("gt/readme.txt"), "x").unwrap();
    assert_eq!(
        message(dir.path()),
        "gt: expected PNG label maps in it or below, got none (1 files of other kinds)"
    );
    for i in 0..7 {
        write(dir.path().join(format!("gt/{i}.png")), 2, &[0; 4]);
    }
    write(dir.path().join("pred/0.png"), 2, &[0; 4]);
    let text = message(dir.path());
    assert_eq!(text, "pred: 6 of 7 predictions are missing: 1.png, 2.png, 3.png, 4.png, 5.png and 1 more");
    for i in 1..7 {
        write(dir.path().join(format!("pred/{i}.png")), 2, &[0; 4]);
    }
    write(dir.path().join("pred/3.png"), 3, &[0; 6]);
    assert_eq!(message(dir.path()), "pred/3.png: expected 2x2 (HxW) as in gt/3.png, got 2x3");
    let whole = fs::read(dir.path().join("pred/0.png")).unwrap();
    fs::write(dir.path().join("pred/0.png"), &whole[..whole.len() - 20]).unwrap();
    let text = message(dir.path());
    assert!(text.starts_with("pred/0.png: truncated"), "{text}");
    write(dir.path().join("gt/0.PNG"), 2, &[0; 4]);
    assert_eq!(message(dir.path()), "gt/0.PNG and gt/0.png: both would pair with the same image; keep one");
}

#[test]
fn refuses_an_impossible_number_of_classes() {
    let dir = tempfile::tempdir().unwrap();
    for k in [0, 256] {
        assert_eq!(
            score(dir.path(), ScoreOptions::new(k)).unwrap_err().to_string(),
            format!("expected 1 to 255 classes, got {k}")
        );
    }
}

#[test]
#[cfg(unix)]
fn links_that_lead_back_are_refused_and_links_to_files_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("gt/a.png"), 2, &[0, 1]);
    write(dir.path().join("elsewhere.png"), 2, &[0, 1]);
    fs::create_dir(dir.path().join("pred")).unwrap();
    std::os::unix::fs::symlink("../elsewhere.png", dir.path().join("pred/a.png")).unwrap();
    assert_eq!(score(dir.path(), ScoreOptions::new(2)).unwrap().finish().metrics.m_iou, Some(1.0));
    std::os::unix::fs::symlink(".", dir.path().join("gt/again")).unwrap();
    assert_eq!(
        message(dir.path()),
        "gt/again: the same folder as gt, reached through a link; remove the link"
    );
    fs::remove_file(dir.path().join("gt/again")).unwrap();
    fs::remove_file(dir.path().join("elsewhere.png")).unwrap();
    assert!(message(dir.path()).starts_with("pred/a.png"), "{}", message(dir.path()));
}

#[test]
fn kept_images_give_the_scores_of_the_set_and_of_any_selection() {
    let dir = tempfile::tempdir().unwrap();
    // Class:                    0 0 1 2 -> hits 0: 1, 1: 1 (of 2 labels), 2 labelled, never predicted
    write(dir.path().join("gt/a.png"), 2, &[0, 1, 1, 2]);
    write(dir.path().join("pred/a.png"), 2, &[0, 0, 1, 9]);
    write(dir.path().join("gt/b.png"), 2, &[1, 1, 255, 7]);
    write(dir.path().join("pred/b.png"), 2, &[1, 1, 0, 1]);
    for boundary in [false, true] {
        let options = ScoreOptions { boundary, keep_images: true, ..ScoreOptions::new(3) };
        let scored = score(dir.path(), options).unwrap();
        let images = scored.per_image.as_ref().unwrap();
        assert_eq!(images.image_names(), ["a.png", "b.png"]);
        let values = |scores: &SemanticScores| scores.named().into_iter().map(|(_, v)| v).collect::<Vec<_>>();
        let whole = scored.finish();
        assert_eq!(images.weighted(&[1, 1]), values(&whole));
        assert_eq!(whole.boundary.is_some(), boundary);
        let plain = score(dir.path(), ScoreOptions { keep_images: false, ..options }).unwrap();
        assert!(plain.per_image.is_none());
        assert_eq!(plain.finish(), whole);
        // Twice a and once b, counted by hand:
        // class   I  P            L      IoU
        //   0     2  4            2      2/4
        //   1     4  2 + 3 = 5    4 + 2  4/7   the prediction on ground truth 7 is a false positive
        //   2     0  0            2      0/2
        let m_iou = images.weighted(&[2, 1])[0].unwrap();
        assert!((m_iou - (2.0 / 4.0 + 4.0 / 7.0 + 0.0) / 3.0).abs() < 1e-15);
        // detectron2, only b: class 1 alone has ground truth; the 7 is left out.
        let d2_m_iou = whole.named().iter().position(|(name, _)| *name == "d2_mIoU").unwrap();
        assert_eq!(images.weighted(&[0, 1])[d2_m_iou], Some(1.0));
    }
}
