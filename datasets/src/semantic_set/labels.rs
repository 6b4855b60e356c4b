//! What the pixels of a label file mean: from raw values to class ids.

use crate::sample::{IGNORE, LabelMap};

/// Class ids of raw 8-bit label values. Of one's own sets: first `ignore_label` becomes 255, then, with `reduce_zero_label`, 0
/// becomes 255 and the others move down by one (255 stays). Of benchmarks: a table.
#[derive(Debug, Clone)]
pub struct LabelMapping {
    num_classes: usize,
    ignore_label: Option<u8>,
    reduce_zero_label: bool,
    /// Class id, [`IGNORE`], or none for what is outside the classes.
    table: [Option<u8>; 256],
    /// Every value that has a class id has its own.
    identity: bool,
    expected: String,
}

/// The most frequent raw value of a label map that is no class and not ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutsideLabel {
    /// Raw value.
    pub value: u8,
    /// Pixels that have it.
    pub count: u64,
}

fn is_identity(table: &[Option<u8>; 256]) -> bool {
    (0..=255).zip(table).all(|(raw, class)| class.is_none_or(|id| id == raw))
}

impl LabelMapping {
    /// The mapping for `num_classes` classes.
    pub fn new(num_classes: usize, ignore_label: Option<u8>, reduce_zero_label: bool) -> Self {
        let low = u8::from(reduce_zero_label);
        let class_of = |raw: u8| match raw {
            IGNORE => Some(IGNORE),
            _ if Some(raw) == ignore_label => Some(IGNORE),
            0 if reduce_zero_label => Some(IGNORE),
            _ => Some(raw - low).filter(|&id| usize::from(id) < num_classes),
        };
        let expected =
            format!("{low}..={} ({num_classes} classes) or 255", usize::from(low) + num_classes - 1);
        Self { ignore_label, reduce_zero_label, ..Self::by_value(num_classes, expected, class_of) }
    }

    /// The mapping that gives each raw value a class id below `num_classes`, [`IGNORE`] or nothing; `expected` says in messages
    /// which values have one.
    pub(super) fn by_value(
        num_classes: usize,
        expected: String,
        class_of: impl Fn(u8) -> Option<u8>,
    ) -> Self {
        let table: [Option<u8>; 256] = std::array::from_fn(|raw| class_of(raw as u8));
        let identity = is_identity(&table);
        Self { num_classes, ignore_label: None, reduce_zero_label: false, table, identity, expected }
    }

    /// Takes the classes to the ids of another table: class `i` becomes `ids[i]`.
    pub(super) fn rename(&mut self, ids: &[u16]) {
        for class in self.table.iter_mut().flatten().filter(|class| **class != IGNORE) {
            *class = ids[usize::from(*class)] as u8; // of at most 255 classes
        }
        self.identity = is_identity(&self.table);
    }

    /// Class id of a raw value, [`IGNORE`], or none if it is outside the classes.
    pub fn class_of(&self, raw: u8) -> Option<u8> {
        self.table[usize::from(raw)]
    }

    /// Number of classes of the set itself.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// The raw value that is ignored beside 255.
    pub fn ignore_label(&self) -> Option<u8> {
        self.ignore_label
    }

    /// Whether raw 0 is ignored and raw 1 is class 0.
    pub fn reduce_zero_label(&self) -> bool {
        self.reduce_zero_label
    }

    /// The raw values that may occur, in words.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// Turns raw values into class ids in place; on an error `labels` is unchanged.
    ///
    /// # Errors
    /// The most frequent value that is outside the classes.
    pub fn apply(&self, labels: &mut LabelMap) -> Result<(), OutsideLabel> {
        let outside = self.table.map(|class| class.is_none());
        if labels.iter().fold(false, |any, &raw| any | outside[usize::from(raw)]) {
            let mut counts = [0u64; 256];
            labels.iter().for_each(|&raw| counts[usize::from(raw)] += 1);
            let wrong = (0..=255u8).filter(|&raw| outside[usize::from(raw)]);
            let worst = wrong.max_by_key(|&raw| counts[usize::from(raw)]).unwrap_or_default();
            return Err(OutsideLabel { value: worst, count: counts[usize::from(worst)] });
        }
        if !self.identity {
            let ids = self.table.map(|class| class.unwrap_or(IGNORE)); // no value is left that has none
            labels.mapv_inplace(|raw| ids[usize::from(raw)]);
        }
        Ok(())
    }
}
