//! Public benchmarks: which there are, and their class tables with ids, names, things and stuff, colours.

pub mod ade20k;
pub mod coco;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ClassTable;
use crate::cityscapes;
use crate::classes::ClassInfo;
use crate::coco::Category;
use crate::config::Split;

/// A benchmark whose semantic labels are read as they lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Benchmark {
    /// `ade20k`: the SceneParse150 selection, `images` and `annotations` of `ADEChallengeData2016`; 150 classes.
    Ade20k,
    /// `cityscapes`: `leftImg8bit` and the `labelIds` of `gtFine`; the 19 classes that networks are trained on.
    Cityscapes,
    /// `coco_panoptic`: COCO 2017, the class of every pixel from the panoptic annotations; 133 classes.
    CocoPanoptic,
}

impl Benchmark {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ade20k, Self::Cityscapes, Self::CocoPanoptic];

    /// The name in recipes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ade20k => "ade20k",
            Self::Cityscapes => "cityscapes",
            Self::CocoPanoptic => "coco_panoptic",
        }
    }

    /// Where it is looked for below a folder of data sets: as detectron2 has it in its `datasets`, then as mmsegmentation has it
    /// in its `data`.
    pub const fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Ade20k => &["ADEChallengeData2016", "ade/ADEChallengeData2016"],
            Self::Cityscapes => &["cityscapes"],
            Self::CocoPanoptic => &["coco"],
        }
    }

    /// Folder of the images of a split, below the benchmark's own.
    pub fn image_folder(self, split: Split) -> PathBuf {
        match (self, split) {
            (Self::Ade20k, Split::Train) => "images/training".into(),
            (Self::Ade20k, Split::Val) => "images/validation".into(),
            (Self::Cityscapes, _) => format!("leftImg8bit/{split}").into(),
            (Self::CocoPanoptic, _) => format!("{split}2017").into(),
        }
    }

    /// The classes in order of their ids 0..K.
    pub fn classes(self) -> ClassTable {
        let of_row = |row: &ClassRow| ClassInfo {
            name: row.name.trim_end().to_owned(), // ADE20K's "window "
            color: row.color,
            is_thing: row.isthing,
        };
        ClassTable::official(match self {
            Self::Ade20k => ade20k::CLASSES.iter().map(of_row).collect(),
            Self::CocoPanoptic => coco::CLASSES.iter().map(of_row).collect(),
            Self::Cityscapes => cityscapes::trained_labels()
                .map(|label| ClassInfo {
                    name: label.name.to_owned(),
                    color: label.color,
                    is_thing: label.has_instances,
                })
                .collect(),
        })
    }
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One class of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassRow {
    /// The id that annotation files use.
    pub id: u32,
    /// Official name.
    pub name: &'static str,
    /// Group of classes; empty if the benchmark has none.
    pub supercategory: &'static str,
    /// Countable objects, as opposed to stuff.
    pub isthing: bool,
    /// Official RGB colour.
    pub color: [u8; 3],
}

impl ClassRow {
    /// The entry of a COCO annotation file.
    pub fn to_category(self) -> Category {
        Category {
            id: self.id,
            name: self.name.to_owned(),
            supercategory: self.supercategory.to_owned(),
            isthing: Some(u8::from(self.isthing)),
            color: Some(self.color),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn things(rows: &[ClassRow]) -> usize {
        rows.iter().filter(|row| row.isthing).count()
    }

    /// Segment ids are made from the colours, so two classes must not share one and none may be black (void).
    fn colours_differ(rows: &[ClassRow]) -> bool {
        let colours: BTreeSet<_> = rows.iter().map(|row| row.color).collect();
        colours.len() == rows.len() && !colours.contains(&[0; 3])
    }

    #[test]
    fn coco_has_80_things_and_53_stuff_in_order() {
        let rows = &coco::CLASSES;
        assert_eq!((things(rows), rows.len()), (80, 133));
        assert!(rows.is_sorted_by(|a, b| a.id < b.id));
        assert!(colours_differ(rows));
        assert_eq!((rows[0].id, rows[79].id, rows[80].id, rows[132].id), (1, 90, 92, 200));
        assert!(rows[..80].iter().all(|row| row.isthing));
    }

    #[test]
    fn class_tables_are_complete_and_names_differ() {
        for (benchmark, classes, things) in [
            (Benchmark::Ade20k, 150, 100),
            (Benchmark::Cityscapes, 19, 8),
            (Benchmark::CocoPanoptic, 133, 80),
        ] {
            let table = benchmark.classes();
            let names: BTreeSet<&str> = table.names().collect();
            let found = (table.len(), names.len(), table.iter().filter(|class| class.is_thing).count());
            assert_eq!(found, (classes, classes, things), "{benchmark}");
            assert!(names.iter().all(|name| *name == name.trim() && !name.is_empty()), "{benchmark}");
        }
        let name = |benchmark: Benchmark, id: usize| benchmark.classes().get(id).unwrap().name.clone();
        assert_eq!(name(Benchmark::Ade20k, 8), "window");
        assert_eq!(
            (name(Benchmark::Cityscapes, 0), name(Benchmark::Cityscapes, 18)),
            ("road".into(), "bicycle".into())
        );
        assert_eq!(name(Benchmark::CocoPanoptic, 80), "banner");
    }

    #[test]
    fn names_are_those_of_recipes() {
        for benchmark in Benchmark::ALL {
            assert_eq!(serde_json::to_value(benchmark).unwrap(), benchmark.name());
        }
    }

    #[test]
    fn ade20k_things_are_the_instance_classes() {
        let rows = &ade20k::CLASSES;
        assert_eq!((things(rows), rows.len()), (100, 150));
        assert!((0u32..).zip(rows).all(|(id, row)| row.id == id));
        assert!(colours_differ(rows));
        let instances: BTreeSet<u32> = ade20k::INSTANCE_CLASSES.iter().map(|&(id, _)| id).collect();
        let expected: BTreeSet<u32> = rows.iter().filter(|row| row.isthing).map(|row| row.id).collect();
        assert_eq!(instances, expected);
    }
}
