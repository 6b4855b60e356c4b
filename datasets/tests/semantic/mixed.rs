//! Several sets as one: classes by name, shares of every epoch, a stream that can be entered anywhere, what is refused.

use std::sync::Arc;

use smalti_datasets::{DataConfig, DataError, Loader, Mixture, SemanticSet, SemanticSource, Split};

use crate::support::Folder;

/// Four images of class a; two whose classes are listed as d and b, raw values 0 and 1.
fn folders() -> (Folder, Folder) {
    let (first, second) = (Folder::new(), Folder::new());
    (0..4).for_each(|i| first.pair(&format!("first{i}"), 8, 9, |_, _| 0));
    second.write("classes.txt", "d\nb\n");
    (0..2).for_each(|i| {
        second.pair(&format!("second{i}"), 8, 9, move |y, _| (y % 2) as u8 * (1 - i) + i * 255);
    });
    (first, second)
}

/// The first set with weight 1, the second one with `weight`.
fn config(first: &Folder, second: &Folder, weight: f64) -> DataConfig {
    let files = "classes = \"classes.txt\", images = \"images\", labels = \"labels\"";
    let loader = "loader = { batch_size = 3, workers = 2 }";
    let root = second.path("");
    first.config(&format!("mix = [{{ root = {root:?}, {files}, weight = {weight} }}]\n{loader}"))
}

fn mixture(cfg: &DataConfig) -> Result<Mixture<SemanticSet>, DataError> {
    SemanticSet::open(cfg, Split::Train, None).unwrap().mix(cfg, None)
}

#[test]
fn classes_are_those_of_the_first_set() {
    let (first, second) = folders();
    let mixture = mixture(&config(&first, &second, 2.0)).unwrap();
    assert_eq!(mixture.len(), 6);
    let (set, index) = mixture.at(4);
    assert_eq!((set.name(index), index), ("images/second0", 0));
    assert_eq!(set.classes().names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    let labels = set.load(0).unwrap().labels;
    assert_eq!(labels.column(0).to_vec(), [3, 1, 3, 1, 3, 1, 3, 1], "d and b");
    assert!(set.load(1).unwrap().labels.iter().all(|&label| label == 255), "what is ignored stays so");
    // A value outside the set's own two classes is told of in its own terms.
    second.labels("second0", 8, 9, |_, _| 2);
    let error = set.load(0).unwrap_err().to_string();
    assert!(error.contains("label value 2 in 72 pixels, expected 0..=1 (2 classes) or 255"), "{error}");
}

#[test]
fn an_epoch_has_the_shares_and_the_stream_can_be_entered_anywhere() {
    let (first, second) = folders();
    let cfg = config(&first, &second, 2.0);
    let batches = |start: u64, count: usize| {
        let source = SemanticSource::mixed(mixture(&cfg).unwrap(), &cfg);
        let mut loader = Loader::over(Arc::new(source), &cfg.loader, 5, start).unwrap();
        (0..count).map(|_| loader.next().unwrap()).collect::<Vec<_>>()
    };
    // Shares of 1 and 2: the first set's 4 images once, the second one's 2 images four times each.
    let whole = batches(0, 12);
    for epoch in whole.chunks(4) {
        let names: Vec<&str> = epoch.iter().flat_map(|batch| &batch.names).map(String::as_str).collect();
        let count = |name: &str| names.iter().filter(|drawn| drawn.ends_with(name)).count();
        assert_eq!(["first0", "first1", "first2", "first3"].map(count), [1; 4], "{names:?}");
        assert_eq!(["second0", "second1"].map(count), [4; 2], "{names:?}");
    }
    for start in [1, 6, 11] {
        assert!(batches(start as u64, 12 - start) == whole[start..], "entered at {start}");
    }
}

#[test]
fn what_does_not_mix_is_named() {
    let (first, second) = folders();
    let cfg = config(&first, &second, 1.0);
    let error = || second.shorten(&first.shorten(&mixture(&cfg).unwrap_err().full_message()));
    second.write("classes.txt", "d\nmoose\n");
    let message = error();
    assert!(message.starts_with("`data.mix.0`: expected classes that the first set, "), "{message}");
    assert!(message.contains(", has too, got \"moose\" of "), "{message}");
    std::fs::remove_dir_all(second.path("labels")).unwrap();
    assert_eq!(error(), "labels: no such file or folder (data.mix.0.labels)");
}
