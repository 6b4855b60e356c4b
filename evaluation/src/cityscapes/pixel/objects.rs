//! Hits inside single ground truth objects, and their weighted sums.

use std::ops::RangeInclusive;

use smalti_datasets::cityscapes::{Category, INSTANCE_FACTOR, LABELS, Label, NUM_IDS};

use crate::cityscapes::runs::IdRuns;

/// One ground truth object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    /// Id of its label.
    pub(super) label: u8,
    /// Pixels.
    pub(super) size: u64,
    /// Pixels predicted as its label.
    pub(super) hits: u64,
    /// Pixels predicted as any label of its category.
    pub(super) category_hits: u64,
    /// Position of its image.
    pub(super) image: u32,
}

/// Average pixels of an object of a class, from the official script.
fn average_size(label: &Label) -> Option<f64> {
    Some(match label.name {
        "person" => 3_462.475_633_764_4,
        "rider" => 3_930.478_805_651_8,
        "car" => 12_794.020_273_818_5,
        "truck" => 27_855.126_436_781_6,
        "bus" => 35_732.151_111_111_1,
        "train" => 67_583.707_581_227_4,
        "motorcycle" => 6_298.720_083_974_8,
        "bicycle" => 4_672.324_922_226_1,
        _ => return None,
    })
}

/// The label ids of a category, if all of them tell objects apart: those categories have an iIoU.
pub(super) fn ids_with_instances(category: Category) -> Option<RangeInclusive<u8>> {
    let members = || LABELS[..NUM_IDS].iter().filter(|label| label.category == category);
    let (first, last) = (members().next()?, members().next_back()?);
    members().all(|label| label.has_instances).then_some(first.id as u8..=last.id as u8)
}

/// The objects of an image whose label is scored.
pub(super) fn objects_of(pred: &[u8], ids: &IdRuns, image: u32) -> Result<Vec<Object>, String> {
    let known = ids.values().iter().zip(ids.areas()).map(|(&value, &size)| object(value, size, image));
    let mut objects = known.collect::<Result<Vec<_>, _>>()?;
    let category = |object: Object| ids_with_instances(LABELS[usize::from(object.label)].category);
    let categories: Vec<_> = objects.iter().map(|object| object.and_then(category)).collect();
    for (slot, pixels) in ids.iter() {
        let Some(object) = &mut objects[slot] else { continue };
        let pred = &pred[pixels];
        object.hits += within(pred, &(object.label..=object.label));
        object.category_hits += categories[slot].as_ref().map_or(0, |ids| within(pred, ids));
    }
    Ok(objects.into_iter().flatten().collect())
}

/// How many pixels have a value of a range.
fn within(pixels: &[u8], range: &RangeInclusive<u8>) -> u64 {
    let (first, width) = (*range.start(), range.end() - range.start());
    pixels.iter().filter(|p| p.wrapping_sub(first) <= width).count() as u64
}

/// The object with a value of an `instanceIds` map; `None` if the value is a group or of a label that is not scored.
fn object(value: u16, size: u64, image: u32) -> Result<Option<Object>, String> {
    if value <= INSTANCE_FACTOR {
        return Ok(None); // 1000 itself is left out by the reference
    }
    let label = Label::of_instance(value)
        .ok_or_else(|| format!("expected instance ids of labels up to 33, got {value} in {size} pixels"))?;
    if label.ignore_in_eval {
        return Ok(None);
    }
    if !label.is_instance_class() {
        return Err(format!(
            "expected no single objects of {}, got instance id {value} in {size} pixels",
            label.name
        ));
    }
    Ok(Some(Object { label: label.id as u8, size, hits: 0, category_hits: 0, image }))
}

/// Weighted hits and misses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Weighted {
    pub(super) hits: f64,
    pub(super) misses: f64,
}

/// Sums over objects of these labels, where image `i` counts `weight(i)` times and `hits_of` says which hits count.
///
/// `objects` are sorted. Objects of the same label and size share their factor, so their pixels are added as integers
/// first: the sum does not depend on the order of images.
pub(super) fn weighted(
    objects: &[Object],
    labels: &RangeInclusive<u8>,
    hits_of: impl Fn(&Object) -> u64,
    weight: impl Fn(u32) -> u64,
) -> Weighted {
    let first = objects.partition_point(|object| object.label < *labels.start());
    let end = objects.partition_point(|object| object.label <= *labels.end());
    let mut sum = Weighted::default();
    for alike in objects[first..end].chunk_by(|a, b| (a.label, a.size) == (b.label, b.size)) {
        let Some(Object { label, size, .. }) = alike.first().copied() else { continue };
        let Some(average) = average_size(&LABELS[usize::from(label)]) else { continue };
        let pixels: u64 = alike.iter().map(|object| size * weight(object.image)).sum();
        let hits: u64 = alike.iter().map(|object| hits_of(object) * weight(object.image)).sum();
        let factor = average / size as f64;
        sum.hits += hits as f64 * factor;
        sum.misses += (pixels - hits) as f64 * factor;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_known_of_the_scored_classes() {
        for label in &LABELS {
            assert_eq!(average_size(label).is_some(), label.is_instance_class(), "{}", label.name);
        }
    }

    #[test]
    fn people_and_vehicles_are_the_categories_of_objects() {
        let found: Vec<_> = Category::ALL.into_iter().filter_map(ids_with_instances).collect();
        assert_eq!(found, [24..=25, 26..=33]);
    }

    #[test]
    fn groups_and_ignored_labels_are_no_objects_and_stuff_is_refused() {
        assert_eq!(
            (object(26, 5, 0), object(1000, 5, 0), object(29_001, 5, 0)),
            (Ok(None), Ok(None), Ok(None))
        );
        assert_eq!(object(26_003, 5, 0).unwrap().map(|o| (o.label, o.size)), Some((26, 5)));
        assert!(object(7001, 5, 0).unwrap_err().contains("no single objects of road, got instance id 7001"));
        assert!(object(34_000, 5, 0).unwrap_err().contains("got 34000"));
    }

    #[test]
    fn hits_are_weighted_by_average_over_own_size() {
        let ids = IdRuns::of(&[24_000, 24_000, 24_001, 25_000, 24]);
        let mut objects = objects_of(&[24, 25, 7, 24, 24], &ids, 0).unwrap();
        objects.sort_unstable();
        let person = weighted(&objects, &(24..=24), |o| o.hits, |_| 1);
        let average = 3_462.475_633_764_4;
        assert_eq!(person, Weighted { hits: average / 2.0, misses: average / 2.0 + average });
        let human = weighted(&objects, &(24..=25), |o| o.category_hits, |_| 2);
        assert_eq!(human.hits, 2.0 * (2.0 * (average / 2.0) + 3_930.478_805_651_8));
        assert_eq!(human.misses, 2.0 * average);
    }
}
