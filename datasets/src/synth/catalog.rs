//! The classes of the synthetic set: eight things, six stuffs.
//!
//! COCO category ids start at 1 and have gaps, as in real sets. The contiguous class id, which `classes.json` and the
//! semantic PNGs use, is the position in [`CLASSES`], which is in the order of category ids.

use serde::Serialize;

use crate::coco::Category;

/// Shapes that are counted. The discriminant is the contiguous class id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thing {
    Ball,
    Tile,
    Star,
    Ring,
    Moon,
    Leaf,
    Flower,
    Candy,
}

/// Materials that cover ground. The discriminant is the contiguous class id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuff {
    Sky = 8,
    Water,
    Sand,
    Grass,
    Rock,
    Brick,
}

/// Every kind of thing.
pub(super) const THINGS: [Thing; 8] = [
    Thing::Ball,
    Thing::Tile,
    Thing::Star,
    Thing::Ring,
    Thing::Moon,
    Thing::Leaf,
    Thing::Flower,
    Thing::Candy,
];

/// One class as `classes.json` holds it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Class {
    /// Contiguous id: the position in [`CLASSES`].
    pub(super) id: u8,
    /// Id in the COCO files.
    pub(super) category_id: u32,
    pub(super) name: &'static str,
    /// For overlays and panoptic PNGs.
    pub(super) color: [u8; 3],
    pub(super) isthing: u8,
}

/// All classes by contiguous id.
pub(super) const CLASSES: [Class; 14] = [
    class(0, 1, "ball", [229, 57, 70], 1),
    class(1, 2, "tile", [20, 110, 180], 1),
    class(2, 3, "star", [255, 183, 3], 1),
    class(3, 4, "ring", [131, 56, 236], 1),
    class(4, 6, "moon", [244, 241, 187], 1),
    class(5, 7, "leaf", [0, 150, 110], 1),
    class(6, 8, "flower", [255, 112, 166], 1),
    class(7, 9, "candy", [251, 86, 7], 1),
    class(8, 11, "sky", [142, 202, 230], 0),
    class(9, 12, "water", [33, 90, 150], 0),
    class(10, 13, "sand", [233, 196, 140], 0),
    class(11, 15, "grass", [106, 153, 78], 0),
    class(12, 16, "rock", [120, 116, 125], 0),
    class(13, 17, "brick", [158, 72, 52], 0),
];

const fn class(id: u8, category_id: u32, name: &'static str, color: [u8; 3], isthing: u8) -> Class {
    Class { id, category_id, name, color, isthing }
}

/// The classes as COCO categories; instance files list only things.
pub(super) fn categories(things_only: bool) -> Vec<Category> {
    let of = |class: &Class| Category {
        id: class.category_id,
        name: class.name.to_owned(),
        supercategory: if class.isthing == 1 { "shape" } else { "ground" }.to_owned(),
        isthing: Some(class.isthing),
        color: Some(class.color),
    };
    CLASSES.iter().filter(|class| !things_only || class.isthing == 1).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_positions_and_category_ids_rise() {
        for (position, class) in CLASSES.iter().enumerate() {
            assert_eq!(usize::from(class.id), position);
            assert_eq!(class.isthing == 1, position < THINGS.len());
        }
        assert!(CLASSES.windows(2).all(|pair| pair[0].category_id < pair[1].category_id));
        assert_eq!((Stuff::Sky as usize, CLASSES[Stuff::Brick as usize].name), (8, "brick"));
        assert!(THINGS.iter().enumerate().all(|(position, &kind)| kind as usize == position));
    }
}
