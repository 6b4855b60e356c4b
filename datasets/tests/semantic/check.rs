//! `check` finds what is wrong, `stats` counts what is there.

use std::sync::atomic::{AtomicUsize, Ordering};

use smalti_datasets::{CheckReport, Problem, SemanticSet, Split, check, stats};

use crate::support::Folder;

fn run(folder: &Folder, more: &str) -> CheckReport {
    let set = SemanticSet::scan(&folder.config(more), Split::Train, None).unwrap();
    let calls = AtomicUsize::new(0);
    let report = check(&set, &|| _ = calls.fetch_add(1, Ordering::Relaxed));
    assert_eq!(calls.into_inner(), set.len());
    report
}

#[test]
fn a_sound_set_passes() {
    let folder = Folder::new();
    for name in ["a", "b"] {
        folder.pair(name, 6, 8, |y, x| if y == 0 { 255 } else { (x % 4) as u8 });
    }
    let report = run(&folder, "");
    assert!(report.trainable());
    assert_eq!((report.images, report.good, report.hints.len(), report.listing.len()), (2, 2, 0, 0));
    assert_eq!(report.raw_values.len(), 5);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<CheckReport>(&json).unwrap(), report);
}

#[test]
fn everything_wrong_is_listed() {
    let folder = Folder::new();
    for name in ["cut", "empty", "good", "other_size", "outside", "void"] {
        folder.pair(name, 6, 8, |y, x| if name == "void" { 255 } else { ((x + y) % 4) as u8 });
    }
    let whole = std::fs::read(folder.path("images/cut.png")).unwrap();
    folder.write("images/cut.png", &whole[..whole.len() / 2]);
    folder.write("labels/empty.png", "");
    folder.labels("other_size", 3, 4, |_, _| 0);
    folder.labels("outside", 6, 8, |y, _| if y < 2 { 77 } else { 1 });
    std::fs::copy(folder.path("images/good.png"), folder.path("images/lonely.png")).unwrap();

    let report = run(&folder, "");
    assert!(!report.trainable());
    assert_eq!((report.images, report.good), (6, 1));
    let bad: Vec<_> =
        report.unreadable.iter().map(|b| b.file.strip_prefix(folder.path("")).unwrap().to_owned()).collect();
    assert_eq!(bad, [std::path::Path::new("images/cut.png"), std::path::Path::new("labels/empty.png")]);
    assert_eq!((report.size_mismatch[0].labels_size, report.size_mismatch[0].image_size), ((3, 4), (6, 8)));
    assert_eq!(report.outside.len(), 1);
    assert_eq!((report.outside[0].value, report.outside[0].pixels, report.outside[0].images), (77, 16, 1));
    assert_eq!(report.outside[0].first, folder.path("labels/outside.png"));
    assert_eq!(report.all_ignored, [folder.path("labels/void.png")]);
    assert!(
        matches!(&report.listing[..], [Problem::ImageWithoutLabels { image, .. }] if image.ends_with("lonely.png"))
    );
    assert_eq!(report.hints[0].setting, "data.ignore_label = 77");
}

#[test]
fn a_shifted_set_gets_a_proposal() {
    let folder = Folder::new();
    folder.pair("a", 6, 8, |_, x| 1 + (x % 4) as u8);
    let report = run(&folder, "");
    assert!(!report.trainable(), "4 is outside of 4 classes");
    assert_eq!(report.hints[0].setting, "data.reduce_zero_label = true");
    assert!(run(&folder, "reduce_zero_label = true").trainable());
}

#[test]
fn an_empty_set_cannot_be_trained_on() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("images")).unwrap();
    std::fs::create_dir_all(folder.path("labels")).unwrap();
    assert!(!run(&folder, "").trainable());
}

#[test]
fn statistics_by_hand() {
    let folder = Folder::new();
    folder.pair("a", 2, 4, |y, _| if y == 0 { 255 } else { 2 });
    folder.pair("b", 3, 4, |y, _| y as u8);
    folder.pair("c", 3, 4, |y, _| y as u8);
    let set = folder.open(&folder.config("")).unwrap();
    let found = stats(&set, &|| {}).unwrap();
    assert_eq!((found.images, found.pixels, found.ignored_pixels), (3, 32, 4));
    let pixels: Vec<u64> = found.classes.iter().map(|c| c.pixels).collect();
    let images: Vec<u64> = found.classes.iter().map(|c| c.images).collect();
    assert_eq!((pixels, images), (vec![8, 8, 12, 0], vec![2, 2, 3, 0]));
    assert_eq!(found.classes[2].share, 12.0 / 28.0);
    let sizes: Vec<_> = found.sizes.iter().map(|s| (s.height, s.width, s.images)).collect();
    assert_eq!(sizes, [(3, 4, 2), (2, 4, 1)]);
    let red: Vec<f64> = (0..8).chain(0..12).chain(0..12).map(f64::from).collect(); // see Folder::pair
    let mean = red.iter().sum::<f64>() / 32.0;
    let var = red.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 32.0;
    assert!((found.mean[0] - mean).abs() < 1e-12 && (found.std[0] - var.sqrt()).abs() < 1e-12);

    folder.write("images/b.png", "x");
    folder.write("images/c.png", "x");
    let set = folder.open(&folder.config("")).unwrap();
    let error = stats(&set, &|| {}).unwrap_err().to_string();
    assert!(error.contains("b.png"), "the first in order: {error}");
}
