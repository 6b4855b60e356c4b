//! One image: what each predicted mask is at each overlap threshold.

use smalti_datasets::cityscapes::{INSTANCE_FACTOR, Label};

use super::counts::Found;
use super::{CLASSES, MIN_PIXELS, OVERLAPS, classes, overlap};
use crate::EvalError;
use crate::cityscapes::runs::{IdRuns, for_each_span};

/// Ground truth of one image, and the predictions compared with it so far; see [`super::InstanceAp::add`].
#[derive(Debug, Clone)]
pub struct InstanceImage {
    name: String,
    ids: IdRuns,
    /// What each value of `ids` is.
    roles: Vec<Role>,
    predictions: Vec<Prediction>,
    /// Intersections of the mask at hand, one a value; kept to spare allocations.
    counts: Vec<u64>,
}

/// What a value of an `instanceIds` map is to the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Role {
    /// Position in [`classes`], if it is scored.
    class: Option<usize>,
    /// Pixels excuse any prediction: the value itself is a label that is not scored.
    void: bool,
    /// An id without object number: one or more objects, nobody knows.
    group: bool,
    /// Fewer than [`MIN_PIXELS`] pixels.
    small: bool,
}

impl Role {
    fn of(value: u16, pixels: u64) -> Option<Self> {
        let label = Label::of_instance(value)?;
        let group = value < INSTANCE_FACTOR;
        let class = classes().position(|class| class == label);
        Some(Self { class, void: group && label.ignore_in_eval, group, small: pixels < MIN_PIXELS })
    }

    /// A single object that is asked for.
    fn wanted(self) -> bool {
        self.class.is_some() && !self.group && !self.small
    }
}

/// A mask as far as the score needs it.
#[derive(Debug, Clone, Copy)]
struct Prediction {
    class: usize,
    confidence: f64,
    /// The one ground truth of the class with an overlap above 0.5. There cannot be two: either would have more than
    /// half of the mask.
    hit: Option<Hit>,
    /// Share of the mask that does not count against it: void, groups and small objects of the class, what is both twice.
    excused: f64,
}

#[derive(Debug, Clone, Copy)]
struct Hit {
    slot: usize,
    overlap: f64,
}

impl InstanceImage {
    /// Ground truth from an `instanceIds` map, `[H, W]` in row order.
    ///
    /// # Errors
    /// [`EvalError::Image`] for a value that belongs to no label.
    pub fn new(name: impl Into<String>, instance_ids: &[u16]) -> Result<Self, EvalError> {
        let name = name.into();
        let ids = IdRuns::of(instance_ids);
        let role = |(&value, &pixels): (&u16, &u64)| {
            Role::of(value, pixels).ok_or_else(|| {
                let reason = format!(
                    "expected instance ids 0 to 33 or label * 1000 + number of labels up to 33, got {value} in \
                     {pixels} pixels"
                );
                EvalError::image(&name, reason)
            })
        };
        let roles: Vec<Role> = ids.values().iter().zip(ids.areas()).map(role).collect::<Result<_, _>>()?;
        let counts = vec![0; roles.len()];
        Ok(Self { name, ids, roles, predictions: Vec::new(), counts })
    }

    /// Compares a predicted mask, `[H, W]` in row order, where everything but 0 is the object. A mask without pixels and
    /// one of a label that is not scored as instances are left out.
    ///
    /// # Errors
    /// [`EvalError::Image`] if the mask does not have the pixels of the ground truth, for a label that does not exist and
    /// for a confidence that is not a number.
    pub fn predict(&mut self, label_id: i64, confidence: f64, mask: &[u8]) -> Result<(), EvalError> {
        let refuse = |reason| Err(EvalError::image(&self.name, reason));
        let Some(label) = Label::by_id(label_id) else {
            return refuse(format!("expected a label id from -1 to 33, got {label_id}"));
        };
        if confidence.is_nan() {
            return refuse(format!("expected a number as the confidence of a {}, got NaN", label.name));
        }
        let Some(class) = classes().position(|class| class == label) else { return Ok(()) };
        if mask.len() != self.ids.len() {
            return refuse(format!("expected masks of {} pixels, got {}", self.ids.len(), mask.len()));
        }
        self.counts.fill(0);
        for_each_span(mask, |span| self.ids.count(span, &mut self.counts));
        self.predictions.extend(self.compared(class, confidence));
        Ok(())
    }

    /// The prediction whose intersections are in `counts`; `None` if it has no pixel.
    fn compared(&self, class: usize, confidence: f64) -> Option<Prediction> {
        let pixels: u64 = self.counts.iter().sum();
        let (mut hit, mut excused) = (None, 0);
        for (slot, (&shared, role)) in self.counts.iter().zip(&self.roles).enumerate() {
            excused += shared * u64::from(role.void);
            if shared == 0 || role.class != Some(class) {
                continue;
            }
            excused += shared * (u64::from(role.group) + u64::from(role.small));
            let overlap = shared as f64 / (self.ids.areas()[slot] + pixels - shared) as f64;
            if overlap > 0.5 {
                hit = Some(Hit { slot, overlap });
            }
        }
        let excused = excused as f64 / pixels as f64;
        (pixels > 0).then_some(Prediction { class, confidence, hit, excused })
    }

    /// The image's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many objects of each class are asked for.
    pub(super) fn objects(&self) -> [u64; CLASSES] {
        let mut objects = [0; CLASSES];
        for role in self.roles.iter().filter(|role| role.wanted()) {
            if let Some(class) = role.class {
                objects[class] += 1;
            }
        }
        objects
    }

    /// Calls `visit(class, found)` for every prediction that counts at some threshold.
    pub(super) fn for_each_found(&self, image: u32, mut visit: impl FnMut(usize, Found)) {
        let winners: [Vec<Option<usize>>; OVERLAPS] = std::array::from_fn(|o| self.winners(overlap(o)));
        for (index, prediction) in self.predictions.iter().enumerate() {
            let mut found = Found { confidence: prediction.confidence, hits: 0, misses: 0, image };
            for (o, winners) in winners.iter().enumerate() {
                let bit = 1 << o;
                match prediction.hit.filter(|hit| hit.overlap > overlap(o)) {
                    Some(hit) if winners[hit.slot] == Some(index) => found.hits |= bit,
                    Some(hit) if self.roles[hit.slot].wanted() => found.misses |= bit,
                    None if prediction.excused <= overlap(o) => found.misses |= bit,
                    // Excused, or on a group or a small object: neither right nor wrong.
                    Some(_) | None => {}
                }
            }
            if found.hits | found.misses != 0 {
                visit(prediction.class, found);
            }
        }
    }

    /// For each ground truth, the prediction that gets it: of those that overlap enough the most confident one.
    fn winners(&self, threshold: f64) -> Vec<Option<usize>> {
        let mut winners: Vec<Option<usize>> = vec![None; self.roles.len()];
        for (index, prediction) in self.predictions.iter().enumerate() {
            let Some(hit) = prediction.hit.filter(|hit| hit.overlap > threshold) else { continue };
            let winner = &mut winners[hit.slot];
            let beaten =
                winner.is_none_or(|other| prediction.confidence > self.predictions[other].confidence);
            if beaten && self.roles[hit.slot].wanted() {
                *winner = Some(index);
            }
        }
        winners
    }
}
