//! The area below one precision-recall curve.

use super::counts::Found;

/// AP of one class at one overlap; `None` without ground truth, 0 without a prediction that counts (there the reference
/// crashes if predictions were made but are all ignored).
///
/// One point for each confidence that occurs, of the predictions at least as confident, and an artificial one of recall 0
/// and precision 1. A point's precision is weighted by half the distance in recall between its two neighbours; beyond the
/// ends lie the recall of the first point and 0.
///
/// `found` is sorted by confidence, lowest first; `weight(image)` is how often an image counts, as in `objects`.
pub(super) fn average_precision(
    found: &[Found],
    overlap: usize,
    objects: u64,
    weight: impl Fn(u32) -> u64,
) -> Option<f64> {
    if objects == 0 {
        return None;
    }
    let bit = 1 << overlap;
    let counted = |group: &[Found], bits: fn(&Found) -> u16| -> u64 {
        group.iter().filter(|f| bits(f) & bit != 0).map(|f| weight(f.image)).sum()
    };
    let mut hits = counted(found, |f| f.hits);
    let mut misses = counted(found, |f| f.misses);
    let mut points = Vec::new();
    for group in found.chunk_by(|a, b| a.confidence == b.confidence) {
        let (group_hits, group_misses) = (counted(group, |f| f.hits), counted(group, |f| f.misses));
        if group_hits + group_misses > 0 {
            points.push((hits as f64 / (hits + misses) as f64, hits as f64 / objects as f64));
        }
        hits -= group_hits;
        misses -= group_misses;
    }
    let Some(&(_, first)) = points.first() else { return Some(0.0) };
    points.push((1.0, 0.0));
    let mut area = 0.0;
    let mut before = first;
    for (i, &(precision, recall)) in points.iter().enumerate() {
        let after = points.get(i + 1).map_or(0.0, |&(_, recall)| recall);
        area += precision * (0.5 * before - 0.5 * after);
        before = recall;
    }
    Some(area)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right and wrong predictions at the first overlap, by confidence.
    fn found(list: &[(f64, bool)]) -> Vec<Found> {
        let one = |&(confidence, hit): &(f64, bool)| Found {
            confidence,
            hits: hit.into(),
            misses: (!hit).into(),
            image: 0,
        };
        list.iter().map(one).collect()
    }

    fn ap(list: &[(f64, bool)], objects: u64) -> Option<f64> {
        average_precision(&found(list), 0, objects, |_| 1)
    }

    #[test]
    fn ends_are_defined() {
        assert_eq!(ap(&[(0.5, false)], 0), None);
        assert_eq!(ap(&[], 3), Some(0.0));
        assert_eq!(ap(&[(0.5, false)], 3), Some(0.0));
        assert_eq!(average_precision(&found(&[(0.5, true)]), 1, 3, |_| 1), Some(0.0));
    }

    #[test]
    fn widths_are_half_the_distance_of_the_neighbours() {
        // Points (precision, recall): (2/3, 2/4), (2/2, 2/4), (1/1, 1/4), (1, 0); widths 0, 1/8, 1/4, 1/8.
        assert_eq!(ap(&[(0.1, false), (0.2, true), (0.3, true)], 4), Some(0.5));
        // (1/2, 1/2), (0/1, 0), (1, 0); widths 1/4, 1/4, 0.
        assert_eq!(ap(&[(0.2, true), (0.7, false)], 2), Some(0.125));
    }

    #[test]
    fn equal_confidences_are_one_point() {
        // (1/2, 1), (1, 0); widths 1/2, 1/2.
        let expected = Some(0.75);
        assert_eq!(ap(&[(0.5, true), (0.5, false)], 1), expected);
        assert_eq!(ap(&[(0.5, false), (0.5, true)], 1), expected);
        assert_eq!(ap(&[(-0.0, false), (0.0, true)], 1), expected);
    }

    #[test]
    fn infinite_confidences_are_the_ends() {
        let plain = ap(&[(0.1, false), (0.2, true), (0.3, true)], 4);
        assert_eq!(ap(&[(f64::NEG_INFINITY, false), (0.2, true), (f64::INFINITY, true)], 4), plain);
    }

    #[test]
    fn weights_repeat_images() {
        let mut list = found(&[(0.1, false), (0.2, true), (0.3, true)]);
        list[1].image = 1;
        list[2].image = 2;
        let weighted = average_precision(&list, 0, 4, |image| [2, 1, 0][image as usize]);
        assert_eq!(weighted, ap(&[(0.1, false), (0.1, false), (0.2, true)], 4));
    }
}
