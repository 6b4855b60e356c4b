//! Sets whose index was kept by an earlier run.

use std::fs;
use std::time::{Duration, SystemTime};

use smalti_datasets::{IndexCache, SegmentSet, SegmentTask, Split};

use crate::support::{Folder, instance_set, panoptic_set};

const FILES: &str = "train = { images = \"images\", annotations = \"a.json\" }";

fn open(folder: &Folder, task: SegmentTask) -> Result<SegmentSet, String> {
    let cache = IndexCache::at(folder.path("cache"));
    SegmentSet::open_with(&folder.config(FILES), task, Split::Train, None, &cache)
        .map_err(|error| folder.shorten(&error.full_message()))
}

fn samples(set: &SegmentSet) -> Vec<smalti_datasets::sample::SegmentedSample> {
    (0..set.len()).map(|i| set.load(i).unwrap()).collect()
}

#[test]
fn a_kept_index_gives_the_same_samples() {
    for (task, (folder, _)) in
        [(SegmentTask::Instance, instance_set()), (SegmentTask::Panoptic, panoptic_set())]
    {
        let first = open(&folder, task).unwrap();
        assert_eq!(fs::read_dir(folder.path("cache/annotations")).unwrap().count(), 1);
        let second = open(&folder, task).unwrap();
        assert_eq!(samples(&first), samples(&second));
        assert_eq!(first.classes(), second.classes());
        assert!((0..first.len()).all(|i| first.image_id(i) == second.image_id(i)));
    }
}

#[test]
fn a_kept_index_is_used_and_only_for_the_file_it_is_of() {
    let (folder, json) = instance_set();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let set_time = || {
        let file = fs::File::options().write(true).open(folder.path("a.json")).unwrap();
        file.set_modified(time).unwrap();
    };
    set_time();
    assert_eq!(open(&folder, SegmentTask::Instance).unwrap().classes().get(1).unwrap().name, "cat");
    // Same size and time, other content.
    folder.write("a.json", json.to_string().replace("\"cat\"", "\"dog\""));
    set_time();
    assert_eq!(open(&folder, SegmentTask::Instance).unwrap().classes().get(1).unwrap().name, "dog");

    // What the index says is what is handed out: the mask of a record is where the record stands.
    let kept = fs::read_dir(folder.path("cache/annotations")).unwrap().next().unwrap().unwrap().path();
    let before = fs::read(&kept).unwrap();
    open(&folder, SegmentTask::Instance).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), before);
    fs::write(&kept, &before[..before.len() / 2]).unwrap();
    assert!(open(&folder, SegmentTask::Instance).unwrap().load(1).is_ok());
    assert_eq!(fs::read(&kept).unwrap(), before, "built anew and replaced");
}

#[test]
fn files_that_vanish_are_missed_though_the_index_is_kept() {
    let (folder, _) = panoptic_set();
    open(&folder, SegmentTask::Panoptic).unwrap();
    fs::remove_file(folder.path("a/25.png")).unwrap();
    assert_eq!(
        open(&folder, SegmentTask::Panoptic).unwrap_err(),
        "a/25.png: no such file or folder (panoptic PNG of image 25 of a.json)"
    );
}
