//! Classification sets from files to batches, through the public interface.

#![allow(clippy::unwrap_used)] // helpers of tests stop where they cannot go on

use std::fs;
use std::path::Path;
use std::sync::Arc;

use smalti_datasets::image_folder::{ClassFolders, ClassifiedImage, ImageDataConfig};
use smalti_datasets::{EvalLoader, ImageBatch, ImageFolder, ImageSource, Loader, Shard, Split};
use tempfile::TempDir;

/// `train` with 3, 2 and 4 images of `ant`, `bee`, `cat`, `val` with one of each; no two alike.
fn set() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (class, count) in [("bee", 2), ("cat", 4), ("ant", 3)] {
        for i in 0..count {
            picture(&dir.path().join(format!("train/{class}/{i}.png")), count * 16 + i);
        }
        picture(&dir.path().join(format!("val/{class}/v.png")), count + 100);
    }
    dir
}

fn picture(path: &Path, shade: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let image = image::RgbImage::from_fn(37, 44, |x, y| image::Rgb([x as u8 * 5, y as u8 * 4, shade]));
    image.save(path).unwrap();
}

fn config(dir: &Path, workers: usize, more: &str) -> ImageDataConfig {
    let text = format!(
        r#"
        root = "{}"
        loader = {{ batch_size = 4, workers = {workers} }}
        eval = {{ size = 32 }}
        augment = [
            {{ op = "random_resized_crop", size = 24 }},
            {{ op = "flip" }},
            {{ op = "color_jitter", hue = 0.1 }},
            {{ op = "rand_augment" }},
            {{ op = "random_erasing" }},
        ]
        {more}
        "#,
        dir.display()
    );
    let config: ImageDataConfig = toml::from_str(&text).unwrap();
    config.validate().unwrap();
    config
}

/// What opening both splits is refused with, without the folder's own path.
fn refused(dir: &Path, more: &str) -> String {
    let error = ImageFolder::open_both(&config(dir, 1, more), None).unwrap_err().full_message();
    error.replace(&format!("{}/", dir.display()), "")
}

#[test]
fn classes_are_the_sorted_folders() {
    let dir = set();
    let [train, val] = ImageFolder::open_both(&config(dir.path(), 1, ""), None).unwrap();
    let folders: Vec<&str> = train.classes().iter().map(|class| class.folder.as_str()).collect();
    assert_eq!(folders, ["ant", "bee", "cat"]);
    assert_eq!((train.len(), val.len(), train.split()), (9, 3, Split::Train));
    let named: Vec<(String, u32)> = (0..9).map(|i| (train.name(i), train.class_of(i))).collect();
    assert_eq!(named[0], ("ant/0.png".to_owned(), 0));
    assert_eq!(named[3], ("bee/0.png".to_owned(), 1));
    assert_eq!(named[8], ("cat/3.png".to_owned(), 2));
    assert_eq!(train.load(8).unwrap()[[2, 3, 2]], 4 * 16 + 3);
}

#[test]
fn names_come_from_a_file() {
    let dir = set();
    let names = dir.path().join("names.txt");
    fs::write(&names, "ant Ant, Formicidae\n\ncat  Cat\nbee\tCat\nwasp Wasp\n").unwrap();
    let more = "class_names = \"names.txt\"";
    let [train, _] = ImageFolder::open_both(&config(dir.path(), 1, more), None).unwrap();
    let names_of: Vec<&str> = train.classes().iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names_of, ["Ant, Formicidae", "Cat", "Cat"]);
    for (text, expected) in [
        ("ant Ant\ncat Cat\n", "names.txt: class \"bee\": no line names this folder"),
        ("ant Ant\nant Ant\n", "names.txt: line 2: \"ant\" is named twice"),
        ("ant\n", "names.txt: line 1: expected `FOLDER NAME`, got \"ant\""),
    ] {
        fs::write(&names, text).unwrap();
        assert_eq!(refused(dir.path(), more), expected);
    }
    fs::remove_file(&names).unwrap();
    assert_eq!(refused(dir.path(), more), "names.txt: no such file or folder (data.class_names)");
}

#[test]
fn folders_that_do_not_fit_are_named() {
    let dir = set();
    fs::create_dir(dir.path().join("train/dog")).unwrap();
    fs::write(dir.path().join("train/dog/notes.txt"), "").unwrap();
    assert_eq!(
        refused(dir.path(), ""),
        "train/dog: expected .jpg, .jpeg or .png images of this class, got none"
    );
    picture(&dir.path().join("train/dog/1.png"), 7);
    let text = refused(dir.path(), "");
    assert!(
        text.starts_with("val: expected the classes of") && text.ends_with("got no folder for its \"dog\""),
        "{text}"
    );
    picture(&dir.path().join("val/dog/1.png"), 7);
    picture(&dir.path().join("val/eel/1.png"), 7);
    let text = refused(dir.path(), "");
    assert!(text.ends_with("got \"eel\" beside them"), "{text}");

    assert_eq!(refused(dir.path(), "val = \"test\""), "test: no such file or folder (data.val)");
    fs::create_dir(dir.path().join("flat")).unwrap();
    assert_eq!(
        refused(dir.path(), "val = \"flat\""),
        "flat: expected a folder of images for each class, got nothing"
    );
    picture(&dir.path().join("flat/1.png"), 7);
    assert_eq!(
        refused(dir.path(), "val = \"flat\""),
        "flat: expected a folder of images for each class, got 1 files and no folder"
    );
}

/// Weights from elsewhere have names in an order; their folders are unknown.
#[test]
fn classes_without_folders_are_counted() {
    let dir = set();
    let val = ImageFolder::open(&config(dir.path(), 1, ""), Split::Val, None).unwrap();
    assert!(val.classes().have_folders());
    let named = |names: &[&str]| ClassFolders::named(names.iter().map(ToString::to_string));
    let three = named(&["Ant", "Bee", "Bee"]);
    assert!(!three.have_folders());
    val.expect_classes(&three, "x.safetensors").unwrap();
    let text = val.expect_classes(&named(&["Ant"]), "x.safetensors").unwrap_err().to_string();
    assert!(text.ends_with("expected 1 folders, as many as x.safetensors has classes, got 3"), "{text}");
}

#[test]
fn unreadable_images_are_all_named() {
    let dir = set();
    fs::write(dir.path().join("train/bee/1.png"), "text").unwrap();
    fs::write(dir.path().join("train/ant/0.png"), "").unwrap();
    let folder = ImageFolder::open(&config(dir.path(), 1, ""), Split::Train, None).unwrap();
    let found = folder.check(&|| {});
    let bad: Vec<String> = found.unreadable.iter().map(ToString::to_string).collect();
    assert_eq!(bad.len(), 2);
    let is_read: Vec<bool> = found.prints.iter().map(Option::is_some).collect();
    assert_eq!(is_read, [false, true, true, true, false, true, true, true, true]);
    assert!(
        bad[0].contains("ant/0.png")
            && bad[1].contains("bee/1.png: expected JPEG or PNG, got an unknown format"),
        "{bad:?}"
    );
}

fn batches(dir: &Path, workers: usize, start: u64, count: usize, more: &str) -> Vec<ImageBatch> {
    let config = config(dir, workers, more);
    let folder = Arc::new(ImageFolder::open(&config, Split::Train, None).unwrap());
    let source = Arc::new(ImageSource::new(folder, &config));
    let mut loader = Loader::over(source, &config.loader, 17, start).unwrap();
    (0..count).map(|_| loader.next().unwrap()).collect()
}

#[test]
fn batches_do_not_depend_on_the_threads_or_on_where_the_stream_is_entered() {
    let dir = set();
    for more in ["", "mix = {}"] {
        let one = batches(dir.path(), 1, 0, 9, more);
        for workers in [2, 5] {
            assert!(batches(dir.path(), workers, 0, 9, more) == one, "{workers} workers give other batches");
        }
        assert!(batches(dir.path(), 2, 4, 5, more) == one[4..]);
        assert_eq!(one[0].images.dim(), (4, 3, 24, 24));
        let shares: Vec<f64> = one.iter().map(|batch| batch.own_share).collect();
        assert_eq!(shares.iter().all(|share| *share == 1.0), more.is_empty(), "{shares:?}");
        // 36 samples are four epochs of 9 images.
        let mut first: Vec<(&String, &u32)> =
            one.iter().flat_map(|b| b.names.iter().zip(&b.classes)).take(9).collect();
        first.sort();
        assert_eq!(first.len(), 9);
        assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(first.iter().all(|(name, class)| name.starts_with(["ant", "bee", "cat"][**class as usize])));
    }
}

#[test]
fn evaluation_gives_every_image_once_in_order() {
    let dir = set();
    for workers in [1, 3] {
        let config = config(dir.path(), workers, "");
        let folder = Arc::new(ImageFolder::open(&config, Split::Train, None).unwrap());
        let load = |shard: Shard| -> Vec<ClassifiedImage> {
            let views = EvalLoader::of_images(Arc::clone(&folder), &config, shard).unwrap();
            views.map(Result::unwrap).collect()
        };
        let views = load(Shard::WHOLE);
        assert_eq!(views.len(), 9);
        let names = |views: &[ClassifiedImage]| -> Vec<String> {
            views.iter().map(|view| view.name.clone()).collect()
        };
        let batch = config.loader.batch_size;
        let second = names(&load("1/2".parse().unwrap()));
        assert_eq!(second, names(&views)[batch..(2 * batch).min(9)], "the second batch of two or three");
        for (i, view) in views.iter().enumerate() {
            assert_eq!((&view.name, view.class), (&folder.name(i), folder.class_of(i)));
            assert_eq!(view.image.dim(), (3, 32, 32));
        }
    }
}
