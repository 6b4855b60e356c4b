//! The stream of batches: the same whatever the threads, enterable anywhere, errors where they belong.

use std::sync::Arc;

use ndarray::s;
use smalti_datasets::{Batch, DataConfig, EvalLoader, IGNORE, Loader, Shard};

use crate::support::Folder;

const AUGMENT: &str = r#"
[[augment]]
op = "random_resize"
[[augment]]
op = "random_crop"
size = [24, 32]
cat_max_ratio = 0.75
class_balanced = 0.2
[[augment]]
op = "flip"
[[augment]]
op = "photometric"
"#;

fn folder(images: u32) -> Folder {
    let folder = Folder::new();
    for i in 0..images {
        folder.pair(&format!("i{i:02}"), 30 + i % 3, 40, move |y, x| ((y / 8 + x / 8 + i) % 4) as u8);
    }
    folder
}

fn config(folder: &Folder, workers: usize) -> DataConfig {
    let cfg = folder.config(&format!("loader = {{ batch_size = 3, workers = {workers} }}"));
    let augment: DataConfig = toml::from_str(&format!("root = \"x\"\n{AUGMENT}")).unwrap();
    DataConfig { augment: augment.augment, ..cfg }
}

fn batches(folder: &Folder, workers: usize, start: u64, count: usize) -> Vec<Batch> {
    let cfg = config(folder, workers);
    let mut loader = Loader::new(Arc::new(folder.open(&cfg).unwrap()), &cfg, 17, start).unwrap();
    let batches = (0..count).map(|_| loader.next().unwrap()).collect();
    assert_eq!(loader.position(), start + count as u64);
    batches
}

#[test]
fn batches_do_not_depend_on_the_threads() {
    let folder = folder(7);
    let one = batches(&folder, 1, 0, 9);
    for workers in [2, 5] {
        assert!(batches(&folder, workers, 0, 9) == one, "{workers} workers give other batches");
    }
    assert_eq!(one[0].images.dim(), (3, 3, 24, 32));
    assert_eq!(one[0].labels.dim(), (3, 24, 32));
    // 27 samples of 7 images: three whole epochs and the start of a fourth.
    let mut first_epoch: Vec<&String> = one.iter().flat_map(|b| &b.names).take(7).collect();
    first_epoch.sort();
    first_epoch.dedup();
    assert_eq!(first_epoch.len(), 7);
    assert!(one.iter().any(|b| b.labels.iter().any(|v| *v == IGNORE)), "small images were padded");
}

#[test]
fn the_stream_can_be_entered_anywhere() {
    let folder = folder(5);
    let whole = batches(&folder, 2, 0, 8);
    for start in [1, 4, 7] {
        let rest = batches(&folder, 3, start as u64, 8 - start);
        assert!(rest == whole[start..], "entered at {start}");
    }
    assert_eq!(batches(&folder, 2, 1 << 40, 1).len(), 1, "far on costs no more");
}

#[test]
fn seeds_and_epochs_differ() {
    let folder = folder(3);
    let cfg = config(&folder, 2);
    let set = Arc::new(folder.open(&cfg).unwrap());
    let first = |seed| Loader::new(Arc::clone(&set), &cfg, seed, 0).unwrap().next().unwrap();
    assert!(first(1) != first(2));
    let epochs = batches(&folder, 2, 0, 2);
    let image = |batch: &Batch, name: &str| {
        let i = batch.names.iter().position(|n| n == name).unwrap();
        batch.images.slice(s![i, .., .., ..]).to_owned()
    };
    assert!(image(&epochs[0], "images/i01") != image(&epochs[1], "images/i01"), "augmented anew every epoch");
}

#[test]
fn an_error_belongs_to_its_batch() {
    let folder = folder(4);
    folder.write("images/i02.png", "not an image");
    let mut cfg = config(&folder, 3);
    cfg.loader.batch_size = 1;
    let mut loader = Loader::new(Arc::new(folder.open(&cfg).unwrap()), &cfg, 5, 0).unwrap();
    let results: Vec<_> = (0..8).map(|_| loader.next()).collect();
    let failed: Vec<usize> = (0..8).filter(|i| results[*i].is_err()).collect();
    assert_eq!(failed.len(), 2, "once an epoch: {failed:?}");
    assert!(failed[0] < 4 && failed[1] >= 4);
    let text = results[failed[0]].as_ref().unwrap_err().to_string();
    assert!(text.contains("i02.png: expected JPEG or PNG"), "{text}");
}

#[test]
fn without_a_crop_batches_pad_to_their_largest() {
    let folder = folder(6);
    let mut cfg = config(&folder, 2);
    cfg.augment.clear();
    cfg.loader.batch_size = 6;
    let mut loader = Loader::new(Arc::new(folder.open(&cfg).unwrap()), &cfg, 0, 0).unwrap();
    let batch = loader.next().unwrap();
    assert_eq!(batch.images.dim(), (6, 3, 32, 40));
    let i = batch.names.iter().position(|name| name == "images/i00").unwrap();
    assert!(batch.labels.slice(s![i, 30.., ..]).iter().all(|v| *v == IGNORE));
    assert!(batch.images.slice(s![i, .., 30.., ..]).iter().all(|v| *v == 0.0));
    assert!(batch.labels.slice(s![i, ..30, ..]).iter().all(|v| *v < 4));
}

#[test]
fn evaluation_gives_every_sample_once_in_order_at_full_size() {
    let folder = folder(9);
    for workers in [1, 4] {
        let cfg = config(&folder, workers);
        let set = Arc::new(folder.open(&cfg).unwrap());
        let loader = EvalLoader::new(Arc::clone(&set), &cfg, Shard::WHOLE).unwrap();
        assert_eq!(loader.len(), 9);
        let samples: Vec<_> = loader.map(Result::unwrap).collect();
        assert_eq!(samples.len(), 9);
        for (i, sample) in samples.iter().enumerate() {
            let raw = set.load(i).unwrap();
            assert_eq!((sample.sample.name.as_str(), &sample.sample), (set.name(i), &raw));
            assert_eq!(sample.view.valid, [30 + i % 3, 40]);
            let value = sample.view.image[[1, 29, 39]];
            let expected = (f32::from(raw.image[[29, 39, 1]]) - cfg.normalize.mean[1]) / cfg.normalize.std[1];
            assert_eq!(value, expected);
        }
    }
}

#[test]
fn evaluation_goes_on_behind_an_error() {
    let folder = folder(4);
    folder.labels("i01", 9, 9, |_, _| 0);
    let cfg = config(&folder, 2);
    let set = Arc::new(folder.open(&cfg).unwrap());
    let results: Vec<_> = EvalLoader::new(set, &cfg, Shard::WHOLE).unwrap().collect();
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true]);
}
