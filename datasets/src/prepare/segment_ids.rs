//! Segment ids whose colours in the PNG show the class.
//!
//! The rules are those of panopticapi's `IdGenerator`: stuff has the colour of its class, the first segment of a thing
//! class too if no other has it, further ones shades within 30 of it in each channel. Where that code draws shades at
//! random, this takes them in a fixed order that jumps about the cube of shades, so a conversion gives the same file
//! each time. Black is never taken: it stands for void.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::categories::{Categories, Class};
use crate::coco::rgb_to_id;
use crate::error::DataError;

/// Farthest that a shade lies from its colour in a channel.
const MAX_DISTANCE: i32 = 30;

/// Shades of a channel, and of a colour.
const SIDE: u32 = 2 * MAX_DISTANCE as u32 + 1;
const SHADES: u32 = SIDE.pow(3);

/// Step through the shades; shares no factor with 61^3, so each is met once, and changes all three channels.
const STEP: u32 = 140_281;

/// The colours of all classes.
#[derive(Debug, Clone)]
pub(super) struct Palette {
    classes: BTreeMap<u32, ([u8; 3], bool)>,
    stuff: BTreeSet<u32>,
}

impl Palette {
    /// Takes the colours of classes read from `path`.
    ///
    /// # Errors
    /// [`DataError::Record`] if a class has no colour, stuff is black, or two stuff classes have the same colour: their
    /// segments would have the same id.
    pub(super) fn new(categories: &Categories, path: &Path) -> Result<Self, DataError> {
        let mut palette = Self { classes: BTreeMap::new(), stuff: BTreeSet::new() };
        for (id, Class { isthing, color }) in categories.iter() {
            let wrong = |reason: &str| DataError::record(path, format!("category {id}"), reason);
            let color = color
                .ok_or_else(|| wrong("expected a `color`, from which segment ids are made, got none"))?;
            if !isthing && color == [0; 3] {
                return Err(wrong("expected a colour of its own, got black, which stands for void"));
            }
            if !isthing && !palette.stuff.insert(rgb_to_id(color)) {
                return Err(wrong("expected a colour of its own, got that of another stuff class"));
            }
            palette.classes.insert(id, (color, isthing));
        }
        Ok(palette)
    }

    /// Starts with an image.
    pub(super) fn image(&self) -> SegmentIds<'_> {
        SegmentIds { palette: self, taken: self.stuff.clone(), used: BTreeMap::new() }
    }
}

/// Hands out the segment ids of one image.
#[derive(Debug)]
pub(super) struct SegmentIds<'a> {
    palette: &'a Palette,
    taken: BTreeSet<u32>,
    /// Segments so far by class.
    used: BTreeMap<u32, u32>,
}

impl SegmentIds<'_> {
    /// The id of the next segment of a class.
    ///
    /// # Errors
    /// What is wrong: no such class, a stuff class for the second time, or no shade left.
    pub(super) fn next(&mut self, category: u32) -> Result<u32, String> {
        let Some(&(color, isthing)) = self.palette.classes.get(&category) else {
            return Err(format!("expected one of {} categories, got {category}", self.palette.classes.len()));
        };
        let used = self.used.entry(category).or_insert(0);
        if !isthing {
            if *used > 0 {
                return Err(format!("expected one segment of stuff category {category}, got a second one"));
            }
            *used = 1;
            return Ok(rgb_to_id(color));
        }
        for attempt in *used..SHADES {
            *used = attempt + 1;
            let id = rgb_to_id(shade(color, attempt));
            if id != 0 && self.taken.insert(id) {
                return Ok(id);
            }
        }
        Err(format!("no colour is left for another segment of category {category}"))
    }
}

/// A colour near another; the first is that colour itself.
fn shade(color: [u8; 3], attempt: u32) -> [u8; 3] {
    // The middle of the cube is no shift at all.
    let mut code = (SHADES / 2 + (u64::from(attempt) * u64::from(STEP) % u64::from(SHADES)) as u32) % SHADES;
    color.map(|channel| {
        let shift = (code % SIDE) as i32 - MAX_DISTANCE;
        code /= SIDE;
        (i32::from(channel) + shift).clamp(0, 255) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coco::id_to_rgb;

    fn palette() -> Palette {
        Palette::new(&Categories::coco(), Path::new("c.json")).unwrap()
    }

    #[test]
    fn first_the_class_colour_then_shades_of_it() {
        let palette = palette();
        let mut ids = palette.image();
        let first = ids.next(1).unwrap(); // person
        assert_eq!(id_to_rgb(first), [220, 20, 60]);
        let mut seen = BTreeSet::from([first]);
        for _ in 0..500 {
            let id = ids.next(1).unwrap();
            assert!(seen.insert(id));
            let near = id_to_rgb(id).iter().zip([220u8, 20, 60]).all(|(&a, b)| a.abs_diff(b) <= 30);
            assert!(near, "{:?}", id_to_rgb(id));
        }
        assert!(seen.is_disjoint(&palette.stuff));
        assert_eq!(palette.image().next(1).unwrap(), first, "each image starts anew");
    }

    #[test]
    fn stuff_has_one_segment() {
        let palette = palette();
        let mut ids = palette.image();
        assert_eq!(id_to_rgb(ids.next(200).unwrap()), [250, 141, 255]);
        assert!(ids.next(200).unwrap_err().contains("a second one"));
        assert!(ids.next(12).unwrap_err().contains("got 12"));
    }

    #[test]
    fn the_walk_meets_every_shade_and_ends() {
        let mut shades: Vec<_> = (0..SHADES).map(|attempt| shade([100, 100, 100], attempt)).collect();
        assert_eq!(shades[0], [100, 100, 100]);
        shades.sort_unstable();
        shades.dedup();
        assert_eq!(shades.len(), SHADES as usize);

        let records = serde_json::json!([{"id": 1, "isthing": 1, "color": [0, 0, 0]}]);
        let records = serde_json::from_value(records).unwrap();
        let palette =
            Palette::new(&Categories::new(Path::new("c.json"), records).unwrap(), Path::new("c.json"))
                .unwrap();
        let mut ids = palette.image();
        // In each channel 30 shades lie above 0 and all others are clipped to it; black is void.
        assert!((0..31 * 31 * 31 - 1).all(|_| ids.next(1).is_ok_and(|id| id != 0)));
        assert!(ids.next(1).unwrap_err().contains("no colour is left"));
    }

    #[test]
    fn colours_that_cannot_work_are_refused() {
        let error = |records: serde_json::Value| {
            let records = serde_json::from_value(records).unwrap();
            let categories = Categories::new(Path::new("c.json"), records).unwrap();
            Palette::new(&categories, Path::new("c.json")).unwrap_err().to_string()
        };
        assert!(
            error(serde_json::json!([{"id": 4, "isthing": 1}])).contains("category 4: expected a `color`")
        );
        assert!(error(serde_json::json!([{"id": 4, "isthing": 0, "color": [0, 0, 0]}])).contains("black"));
        let twins = serde_json::json!([
            {"id": 4, "isthing": 0, "color": [9, 0, 0]}, {"id": 5, "isthing": 0, "color": [9, 0, 0]}
        ]);
        assert!(error(twins).contains("category 5"));
    }
}
