//! Finding files, pairing them, reading labels.

use ndarray::array;
use smalti_datasets::{Problem, SemanticSet, Split};

use crate::support::{Folder, own, png};

fn checked(y: u32, x: u32) -> u8 {
    ((y + x) % 4) as u8
}

#[test]
fn folder_pairs_by_relative_path() {
    let folder = Folder::new();
    folder.pair("b", 4, 5, checked);
    folder.pair("city/a", 6, 3, checked);
    folder.write("images/.hidden.png", "x");
    folder.write("images/notes.txt", "x");
    let set = folder.open(&folder.config("")).unwrap();
    assert_eq!((set.len(), set.name(0), set.name(1)), (2, "images/b", "images/city/a"));
    assert_eq!(
        set.paths(1),
        (folder.path("images/city/a.png").as_path(), folder.path("labels/city/a.png").as_path())
    );
    assert_eq!(set.classes().len(), 4);
    let sample = set.load(1).unwrap();
    assert_eq!((sample.image.dim(), sample.labels.dim()), ((6, 3, 3), (6, 3)));
    assert_eq!(sample.labels[[2, 1]], 3);
}

#[test]
fn lists_keep_their_order_and_allow_spaces_with_tabs() {
    let folder = Folder::new();
    for name in ["b", "a", "with space"] {
        folder.pair(name, 2, 2, checked);
    }
    let list = "# comment\nimages/b.png labels/b.png\n\nimages/with space.png\tlabels/with space.png\r\nimages/a.png   labels/a.png";
    let set = folder.open(&folder.list_config(list)).unwrap();
    let names: Vec<&str> = (0..set.len()).map(|i| set.name(i)).collect();
    assert_eq!(names, ["images/b", "images/with space", "images/a"]);
    set.load(1).unwrap();
}

#[test]
fn list_errors_name_the_line() {
    let folder = Folder::new();
    folder.pair("a", 2, 2, checked);
    folder.pair("b", 2, 2, checked);
    let error = |list: &str| folder.open(&folder.list_config(list)).unwrap_err();
    assert_eq!(
        error("images/a.png labels/a.png\nimages/b.png\n"),
        "list.txt: line 2: expected `image label` (paths with spaces are parted by a tab), got 1 fields"
    );
    assert_eq!(
        error("images/a.png labels/a.png\n\nimages/a.png labels/b.png"),
        "images/a.png: stands for the same as line 1 of list.txt"
    );
    assert_eq!(
        error("images/a.png labels/x.png\nimages/y.png labels/a.png"),
        "labels/x.png: no such file or folder (line 1 of list.txt (and 1 more such problems))"
    );
    let empty = error("# nothing\n");
    assert!(empty.starts_with("`data.train`: expected at least one image, got none in"), "{empty}");
}

#[test]
fn folders_that_do_not_pair() {
    let folder = Folder::new();
    folder.pair("a", 2, 2, checked);
    folder.labels("orphan", 2, 2, checked);
    assert_eq!(folder.open(&folder.config("")).unwrap().len(), 1, "labels without an image do no harm");
    folder.write("images/lonely.jpg", "x");
    folder.write("images/a.jpg", "x");
    let error = folder.open(&folder.config("")).unwrap_err();
    assert_eq!(error, "images/a.png: stands for the same as images/a.jpg (and 1 more such problems)");

    let set = SemanticSet::scan(&folder.config(""), Split::Train, None).unwrap();
    assert_eq!(set.len(), 1);
    let problems = set.problems();
    assert_eq!(problems.len(), 3);
    assert!(
        problems
            .iter()
            .any(|p| matches!(p, Problem::ImageWithoutLabels { image, .. } if image.ends_with("lonely.jpg")))
    );
    assert!(
        problems
            .iter()
            .any(|p| matches!(p, Problem::LabelsWithoutImage { labels } if labels.ends_with("orphan.png")))
    );
}

#[test]
fn missing_parts_say_who_wanted_them() {
    let folder = Folder::new();
    let none = folder.open(&folder.config("")).unwrap_err();
    assert_eq!(none, "images: no such file or folder (data.train.images)");
    folder.pair("a", 2, 2, checked);
    let mut cfg = folder.config("");
    own(&mut cfg).classes = "names.json".into();
    let classes = folder.open(&cfg).unwrap_err();
    assert!(classes.starts_with("names.json: reading the class list failed: "), "{classes}");
    let mut cfg = folder.list_config("");
    own(&mut cfg).train.list = Some("other.txt".into());
    assert_eq!(folder.open(&cfg).unwrap_err(), "other.txt: no such file or folder (data.train.list)");
    let val = SemanticSet::open(&folder.config(""), Split::Val, None).unwrap_err().to_string();
    assert_eq!(val, "`data.val`: expected `list`, or `images` and `labels`, got nothing");
}

#[test]
fn data_root_is_joined() {
    let folder = Folder::new();
    folder.pair("a", 2, 2, checked);
    let parent = folder.path("").parent().unwrap().to_owned();
    let name = folder.path("").file_name().unwrap().to_owned();
    let mut cfg = folder.config("");
    own(&mut cfg).root = name.into();
    assert_eq!(SemanticSet::open(&cfg, Split::Train, Some(&parent)).unwrap().len(), 1);
    let missing =
        SemanticSet::open(&cfg, Split::Train, Some(&folder.path("images"))).unwrap_err().to_string();
    assert!(missing.contains("pass --data-root DIR, set SMALTI_DATA=DIR"), "{missing}");
}

#[test]
fn label_values_are_mapped() {
    let folder = Folder::new();
    folder.pair("a", 2, 3, |y, x| [[0, 1, 2], [4, 9, 255]][y as usize][x as usize]);
    let read = |more: &str| folder.open(&folder.config(more)).unwrap().load(0).map(|sample| sample.labels);
    let shifted = read("ignore_label = 9\nreduce_zero_label = true").unwrap();
    assert_eq!(shifted, array![[255, 0, 1], [3, 255, 255]]);

    folder.pair("a", 2, 3, |y, x| [[0, 1, 2], [3, 9, 255]][y as usize][x as usize]);
    let ignored = read("ignore_label = 9").unwrap();
    assert_eq!(ignored, array![[0, 1, 2], [3, 255, 255]]);
    let outside = folder.shorten(&read("").unwrap_err().to_string());
    assert_eq!(
        outside,
        "labels/a.png: label value 9 in 1 pixels, expected 0..=3 (4 classes) or 255. \
         If 9 means \"not labelled\", set data.ignore_label = 9."
    );
    folder.pair("a", 2, 3, |y, _| [1, 4][y as usize]);
    let shift = read("").unwrap_err().to_string();
    assert!(
        shift.contains("label value 4 in 3 pixels") && shift.contains("set data.reduce_zero_label = true"),
        "{shift}"
    );
    folder.pair("a", 2, 3, |_, _| 5);
    let beyond = read("reduce_zero_label = true").unwrap_err().to_string();
    assert!(beyond.contains("label value 5 in 6 pixels, expected 1..=4"), "{beyond}");
}

#[test]
fn sizes_must_agree() {
    let folder = Folder::new();
    folder.pair("a", 4, 5, checked);
    folder.labels("a", 5, 4, checked);
    let error = folder.open(&folder.config("")).unwrap().load(0).unwrap_err().to_string();
    let expected = "labels/a.png: label map is 5x4 (HxW), its image images/a.png is 4x5";
    assert_eq!(folder.shorten(&error), expected);
}

#[test]
fn unusual_but_clear_files_load() {
    let folder = Folder::new();
    folder.labels("deep", 1, 2, |_, x| x as u8);
    let deep = png(1, 2, png::ColorType::Grayscale, png::BitDepth::Sixteen, &[255, 255, 0, 0]);
    folder.write("images/deep.png", deep);
    folder.write("labels/bits.png", png(1, 2, png::ColorType::Grayscale, png::BitDepth::Two, &[0b0111_0000]));
    folder.write(
        "images/bits.png",
        png(1, 2, png::ColorType::Rgba, png::BitDepth::Eight, &[1, 2, 3, 4, 5, 6, 7, 8]),
    );
    let set = folder.open(&folder.config("")).unwrap();
    assert_eq!(set.load(0).unwrap().labels, array![[1, 3]]);
    assert_eq!(set.load(0).unwrap().image, array![[[1, 2, 3], [5, 6, 7]]]);
    assert_eq!(set.load(1).unwrap().image, array![[[255, 255, 255], [0, 0, 0]]]);
}
