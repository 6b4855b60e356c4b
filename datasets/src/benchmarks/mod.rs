//! Class tables of public benchmarks: ids, names, things and stuff, colours.

pub mod ade20k;
pub mod coco;

use crate::coco::Category;

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
