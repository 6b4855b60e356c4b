//! The files and classes of benchmarks whose annotations are in COCO's form: COCO itself, and ADE20K as it is prepared.

use std::path::{Path, PathBuf};

use super::SegmentTask;
use super::config::SegmentBenchmark;
use super::panoptic::Unseen;
use crate::ClassTable;
use crate::benchmarks::{ClassRow, ade20k, coco};
use crate::cityscapes::{self, LABELS};
use crate::classes::ClassInfo;
use crate::coco::Category;
use crate::config::Split;
use crate::error::DataError;

/// Files of one split in COCO's form.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) images: PathBuf,
    pub(super) annotations: PathBuf,
    /// Folder of the panoptic PNGs; of instance sets none.
    pub(super) pngs: Option<PathBuf>,
    pub(super) unseen: Unseen,
    /// What asks for the files, in messages.
    pub(super) wanted_by: String,
}

/// `{train,val}2017/*.jpg`, `annotations/{instances,panoptic}_{train,val}2017.json` and the folder of PNGs, which is beside the
/// JSON or, as detectron2 has it, in `root`.
pub(super) fn coco_files(root: &Path, task: SegmentTask, split: Split) -> Files {
    let annotations = root.join("annotations");
    let (name, pngs) = match task {
        SegmentTask::Instance => (format!("instances_{split}2017"), None),
        SegmentTask::Panoptic => {
            let name = format!("panoptic_{split}2017");
            let places = [annotations.join(&name), root.join(&name)];
            let pngs = places.iter().find(|folder| folder.is_dir()).unwrap_or(&places[0]).clone();
            (name, Some(pngs))
        }
    };
    Files {
        images: root.join(SegmentBenchmark::Coco.image_folder(split)),
        annotations: annotations.join(name).with_extension("json"),
        pngs,
        unseen: Unseen::Refused,
        wanted_by: format!("the {task} annotations of {}", SegmentBenchmark::Coco),
    }
}

/// `images/{training,validation}/*.jpg`, `ade20k_{instance,panoptic}_{train,val}.json` and the folder of PNGs beside it.
pub(super) fn ade20k_files(root: &Path, task: SegmentTask, split: Split) -> Files {
    let annotations = root.join(format!("ade20k_{task}_{split}.json"));
    let (verb, pngs) = match task {
        SegmentTask::Instance => ("ade20k-instances", None),
        SegmentTask::Panoptic => ("ade20k-panoptic", Some(annotations.with_extension(""))),
    };
    Files {
        images: root.join(SegmentBenchmark::Ade20k.image_folder(split)),
        annotations,
        pngs,
        unseen: Unseen::Dropped,
        wanted_by: format!(
            "the {task} annotations of {}, which `smalti data prepare {verb} --root {} --split {split}` writes",
            SegmentBenchmark::Ade20k,
            root.display()
        ),
    }
}

/// The classes as annotation files list them, in order of their ids; of Cityscapes, which has no such file, none.
fn rows(benchmark: SegmentBenchmark, task: SegmentTask) -> Vec<ClassRow> {
    match (benchmark, task) {
        (SegmentBenchmark::Coco, SegmentTask::Panoptic) => coco::CLASSES.to_vec(),
        (SegmentBenchmark::Coco, SegmentTask::Instance) => {
            coco::CLASSES.iter().filter(|row| row.isthing).copied().collect()
        }
        (SegmentBenchmark::Ade20k, SegmentTask::Panoptic) => ade20k::CLASSES.to_vec(),
        (SegmentBenchmark::Ade20k, SegmentTask::Instance) => {
            let of_class = |&(id, name): &(u32, &'static str)| {
                ade20k::CLASSES.get(id as usize).map(|row| ClassRow { name, ..*row })
            };
            ade20k::INSTANCE_CLASSES.iter().filter_map(of_class).collect()
        }
        (SegmentBenchmark::Cityscapes, _) => vec![],
    }
}

/// The classes in order of their ids 0..K.
pub(super) fn classes(benchmark: SegmentBenchmark, task: SegmentTask) -> ClassTable {
    let rows = rows(benchmark, task);
    let of_row = |row: &ClassRow| ClassInfo {
        name: row.name.trim_end().to_owned(), // ADE20K's "window "
        color: row.color,
        is_thing: row.isthing,
    };
    ClassTable::official(match benchmark {
        SegmentBenchmark::Cityscapes => cityscapes_labels(task)
            .map(|label| ClassInfo {
                name: label.name.to_owned(),
                color: label.color,
                is_thing: label.has_instances,
            })
            .collect(),
        SegmentBenchmark::Coco | SegmentBenchmark::Ade20k => rows.iter().map(of_row).collect(),
    })
}

/// The id of each class in annotation files and results, in order of the classes.
pub(super) fn category_ids(benchmark: SegmentBenchmark, task: SegmentTask) -> Vec<u32> {
    match benchmark {
        SegmentBenchmark::Cityscapes => {
            cityscapes_labels(task).map(|label| u32::from(label.id.unsigned_abs())).collect()
        }
        SegmentBenchmark::Coco | SegmentBenchmark::Ade20k => {
            rows(benchmark, task).iter().map(|row| row.id).collect()
        }
    }
}

/// Cityscapes' labels that are classes, in the order of both their ids and their train ids.
pub(super) fn cityscapes_labels(task: SegmentTask) -> impl Iterator<Item = &'static cityscapes::Label> {
    LABELS.iter().filter(move |label| match task {
        SegmentTask::Instance => label.is_instance_class(),
        SegmentTask::Panoptic => !label.ignore_in_eval,
    })
}

/// The class id 0..K of each category of an annotation file; the file may lack some.
///
/// # Errors
/// [`DataError::Record`] for a category that is none of the benchmark's.
pub(super) fn class_ids(
    benchmark: SegmentBenchmark,
    task: SegmentTask,
    path: &Path,
    categories: &[Category],
) -> Result<Vec<u16>, DataError> {
    let rows = rows(benchmark, task);
    let class_of = |category: &Category| {
        let Category { id, name, .. } = category;
        let at = rows.iter().position(|row| row.id == *id);
        let official = at.map(|at| rows[at].name.trim_end());
        at.filter(|_| official == Some(name.trim_end())).map(|at| at as u16).ok_or_else(|| {
            let expected = official.map_or(
                format!("one of the {} ids of {benchmark}'s {task} classes", rows.len()),
                |official| format!("{official:?}"),
            );
            DataError::record(path, format!("category {id}"), format!("expected {expected}, got {name:?}"))
        })
    };
    categories.iter().map(class_of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn class_tables_are_complete_and_names_differ() {
        for (benchmark, panoptic, instances) in [
            (SegmentBenchmark::Ade20k, 150, 100),
            (SegmentBenchmark::Cityscapes, 19, 8),
            (SegmentBenchmark::Coco, 133, 80),
        ] {
            let count = |task| {
                let table = classes(benchmark, task);
                let names: BTreeSet<&str> = table.names().collect();
                assert_eq!(names.len(), table.len(), "{benchmark} {task}");
                (table.len(), table.iter().filter(|class| class.is_thing).count())
            };
            assert_eq!(count(SegmentTask::Panoptic), (panoptic, instances), "{benchmark}");
            assert_eq!(count(SegmentTask::Instance), (instances, instances), "{benchmark}");
            let ids: Vec<u32> = rows(benchmark, SegmentTask::Instance).iter().map(|row| row.id).collect();
            assert!(ids.is_sorted(), "{benchmark}");
        }
        assert!(cityscapes_labels(SegmentTask::Panoptic).map(|label| label.train_id).eq(0..19));
    }

    #[test]
    fn categories_are_the_benchmarks() {
        let ids = |task, categories: &[(u32, &str)]| {
            let categories: Vec<Category> = categories
                .iter()
                .map(|&(id, name)| {
                    serde_json::from_value(serde_json::json!({"id": id, "name": name})).unwrap()
                })
                .collect();
            class_ids(SegmentBenchmark::Ade20k, task, Path::new("a.json"), &categories)
                .map_err(|err| err.to_string())
        };
        assert_eq!(ids(SegmentTask::Panoptic, &[(0, "wall"), (8, "window")]), Ok(vec![0, 8]));
        assert_eq!(ids(SegmentTask::Instance, &[(7, "bed"), (10, "cabinet")]), Ok(vec![0, 2]));
        assert_eq!(
            ids(SegmentTask::Instance, &[(7, "sofa")]).unwrap_err(),
            "a.json: category 7: expected \"bed\", got \"sofa\""
        );
        assert_eq!(
            ids(SegmentTask::Instance, &[(0, "wall")]).unwrap_err(),
            "a.json: category 0: expected one of the 100 ids of ade20k's instance classes, got \"wall\""
        );
    }
}
