//! Average precision of one class at one threshold, as the reference's `ap.py` computes it.

/// Recalls at which precision is averaged: 0, 0.01, ..., 1.
const RECALLS: usize = 101;

/// Mean of the precision at 101 recalls, a fraction. `right` says of each detection, best first, whether it is right.
///
/// Precision at a recall is the best one at this or a higher recall; 0 where the recall is not reached. 0 without objects.
pub(super) fn average_precision(right: &[bool], objects: u64) -> f64 {
    if objects == 0 {
        return 0.0;
    }
    // Only right detections raise recall or precision.
    let precisions = right.iter().zip(1_u64..).filter(|(right, _)| **right).zip(1_u64..);
    let mut precisions: Vec<f64> = precisions.map(|((_, all), hits)| hits as f64 / all as f64).collect();
    let mut best = 0.0_f64;
    for precision in precisions.iter_mut().rev() {
        best = best.max(*precision);
        *precision = best;
    }
    let mut hit = 0;
    let mut sum = 0.0;
    for step in 0..RECALLS {
        let recall = step as f64 / (RECALLS - 1) as f64;
        while hit < precisions.len() && (((hit + 1) as f64) / objects as f64) < recall {
            hit += 1;
        }
        sum += precisions.get(hit).copied().unwrap_or(0.0);
    }
    sum / RECALLS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(average_precision(&[true, true], 2), 1.0);
        assert_eq!(average_precision(&[true], 2), 51.0 / 101.0); // recalls 0 to 0.5
        assert_eq!(average_precision(&[false, true], 1), 0.5);
        // 1 to recall 1/3, then 3/4 to recall 1: the dip at the second hit is filled.
        assert_eq!(average_precision(&[true, false, true, true], 3), (34.0 + 67.0 * 0.75) / 101.0);
        assert_eq!(average_precision(&[false], 1), 0.0);
        assert_eq!(average_precision(&[], 1), 0.0);
        assert_eq!(average_precision(&[false], 0), 0.0);
    }
}
