//! How a detection lies to the ground truth of its image: all that stays of its mask.

use super::TideOptions;

/// A crowd of this category excuses detections of every class, as in the reference.
const ANY: i64 = -1;

/// A ground truth object that a detection may take, by its number in the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) truth: u32,
    pub(super) iou: f64,
}

/// A ground truth object of the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<T> {
    pub(super) category: i64,
    pub(super) crowd: bool,
    /// Of equal IoUs the object with the least is taken.
    pub(super) order: u64,
    /// What the comparison goes by.
    pub(super) object: T,
}

/// What decides about a detection's kind of error. Objects by their number in the image.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sighting {
    /// The best object of its class, if the IoU is between the thresholds, both included.
    pub(super) near: Option<u32>,
    /// The best IoU with its class is over the threshold.
    pub(super) over: bool,
    /// The best object of another class, if the IoU reaches the threshold.
    pub(super) other: Option<u32>,
    /// Some IoU is over that of background.
    pub(super) touches: bool,
    /// Lies in a crowd of its class.
    pub(super) excused: bool,
}

/// Compares a detection of a category with all objects of its image. `iou(object, is_crowd)` compares with one. What the
/// detection may take is added to `candidates`; objects of one class have to come in ascending order.
pub(super) fn look<T: Copy>(
    options: TideOptions,
    category: i64,
    targets: impl Iterator<Item = Target<T>>,
    mut iou: impl FnMut(T, bool) -> f64,
    candidates: &mut Vec<Candidate>,
) -> Sighting {
    let (threshold, background) = (options.threshold(), options.background());
    let mut sighting = Sighting::default();
    let (mut own, mut own_iou) = (0, 0.0);
    let (mut other, mut other_iou, mut other_order) = (0, 0.0, 0);
    for (index, target) in (0..).zip(targets) {
        let is_own = target.category == category;
        if target.crowd {
            let concerned = is_own || target.category == ANY;
            sighting.excused |= concerned && iou(target.object, true) > threshold;
            continue;
        }
        let iou = iou(target.object, false);
        sighting.touches |= iou > background;
        if is_own {
            if iou >= threshold {
                candidates.push(Candidate { truth: index, iou });
            }
            if iou > own_iou {
                (own, own_iou) = (index, iou);
            }
        } else if iou > other_iou || (iou == other_iou && target.order < other_order) {
            (other, other_iou, other_order) = (index, iou, target.order);
        }
    }
    sighting.near = (background <= own_iou && own_iou <= threshold).then_some(own);
    sighting.over = own_iou > threshold;
    sighting.other = (other_iou >= threshold).then_some(other);
    sighting
}
