//! Cityscapes: the official label table and the names of its files.
//!
//! Label maps (`labelIds`) hold label ids; `instanceIds` hold the label id where single objects are not told apart, else
//! label id * 1000 + a number from 0. Source: cityscapesScripts `helpers/labels.py` and `helpers/csHelpers.py` at 0bcc4a7.

use crate::sample::IGNORE;

/// A group of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Not scored.
    Void,
    /// Ground to move on.
    Flat,
    /// What is built.
    Construction,
    /// Poles and signs.
    Object,
    /// What grows.
    Nature,
    /// The sky.
    Sky,
    /// People.
    Human,
    /// What people move in or on.
    Vehicle,
}

impl Category {
    /// All categories in order of their ids.
    pub const ALL: [Self; 8] = [
        Self::Void,
        Self::Flat,
        Self::Construction,
        Self::Object,
        Self::Nature,
        Self::Sky,
        Self::Human,
        Self::Vehicle,
    ];

    /// The official id, 0 to 7.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The official name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Flat => "flat",
            Self::Construction => "construction",
            Self::Object => "object",
            Self::Nature => "nature",
            Self::Sky => "sky",
            Self::Human => "human",
            Self::Vehicle => "vehicle",
        }
    }
}

/// One row of the official table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// The official name.
    pub name: &'static str,
    /// The value in `labelIds` files; -1 never occurs there.
    pub id: i8,
    /// The class that networks are trained on: 0 to 18, or 255 for "ignore"; -1 for the label without an id.
    pub train_id: i16,
    /// The group it belongs to.
    pub category: Category,
    /// Whether single objects are told apart.
    pub has_instances: bool,
    /// Whether ground truth of this label is left out of the scores.
    pub ignore_in_eval: bool,
    /// RGB in colour pictures.
    pub color: [u8; 3],
}

/// Labels whose id is a pixel value: ids 0 to 33.
pub const NUM_IDS: usize = 34;

/// `instanceIds` of single objects: label id times this, plus the object's number.
pub const INSTANCE_FACTOR: u16 = 1000;

/// All labels: the one with id `i` is the `i`th, the one without an id (-1) the last.
pub const LABELS: [Label; NUM_IDS + 1] = {
    use Category::{Construction, Flat, Human, Nature, Object, Sky, Vehicle};
    [
        void("unlabeled", 0, [0, 0, 0]),
        void("ego vehicle", 1, [0, 0, 0]),
        void("rectification border", 2, [0, 0, 0]),
        void("out of roi", 3, [0, 0, 0]),
        void("static", 4, [0, 0, 0]),
        void("dynamic", 5, [111, 74, 0]),
        void("ground", 6, [81, 0, 81]),
        stuff("road", 7, 0, Flat, [128, 64, 128]),
        stuff("sidewalk", 8, 1, Flat, [244, 35, 232]),
        unscored("parking", 9, Flat, [250, 170, 160]),
        unscored("rail track", 10, Flat, [230, 150, 140]),
        stuff("building", 11, 2, Construction, [70, 70, 70]),
        stuff("wall", 12, 3, Construction, [102, 102, 156]),
        stuff("fence", 13, 4, Construction, [190, 153, 153]),
        unscored("guard rail", 14, Construction, [180, 165, 180]),
        unscored("bridge", 15, Construction, [150, 100, 100]),
        unscored("tunnel", 16, Construction, [150, 120, 90]),
        stuff("pole", 17, 5, Object, [153, 153, 153]),
        unscored("polegroup", 18, Object, [153, 153, 153]),
        stuff("traffic light", 19, 6, Object, [250, 170, 30]),
        stuff("traffic sign", 20, 7, Object, [220, 220, 0]),
        stuff("vegetation", 21, 8, Nature, [107, 142, 35]),
        stuff("terrain", 22, 9, Nature, [152, 251, 152]),
        stuff("sky", 23, 10, Sky, [70, 130, 180]),
        thing("person", 24, 11, Human, [220, 20, 60]),
        thing("rider", 25, 12, Human, [255, 0, 0]),
        thing("car", 26, 13, Vehicle, [0, 0, 142]),
        thing("truck", 27, 14, Vehicle, [0, 0, 70]),
        thing("bus", 28, 15, Vehicle, [0, 60, 100]),
        Label { has_instances: true, ..unscored("caravan", 29, Vehicle, [0, 0, 90]) },
        Label { has_instances: true, ..unscored("trailer", 30, Vehicle, [0, 0, 110]) },
        thing("train", 31, 16, Vehicle, [0, 80, 100]),
        thing("motorcycle", 32, 17, Vehicle, [0, 0, 230]),
        thing("bicycle", 33, 18, Vehicle, [119, 11, 32]),
        Label { train_id: -1, ..unscored("license plate", -1, Vehicle, [0, 0, 142]) },
    ]
};

const fn stuff(name: &'static str, id: i8, train_id: i16, category: Category, color: [u8; 3]) -> Label {
    Label { name, id, train_id, category, has_instances: false, ignore_in_eval: false, color }
}

const fn thing(name: &'static str, id: i8, train_id: i16, category: Category, color: [u8; 3]) -> Label {
    Label { has_instances: true, ..stuff(name, id, train_id, category, color) }
}

const fn unscored(name: &'static str, id: i8, category: Category, color: [u8; 3]) -> Label {
    Label { ignore_in_eval: true, ..stuff(name, id, 255, category, color) }
}

const fn void(name: &'static str, id: i8, color: [u8; 3]) -> Label {
    unscored(name, id, Category::Void, color)
}

impl Label {
    /// The label with an id, -1 to 33.
    pub fn by_id(id: i64) -> Option<&'static Self> {
        let index = if id == -1 { NUM_IDS } else { usize::try_from(id).ok().filter(|&i| i < NUM_IDS)? };
        LABELS.get(index)
    }

    /// The label of a value in an `instanceIds` file: the value itself below 1000, else its thousands.
    pub fn of_instance(value: u16) -> Option<&'static Self> {
        let id = if value < INSTANCE_FACTOR { value } else { value / INSTANCE_FACTOR };
        Self::by_id(id.into())
    }

    /// Whether the label has its own row in the instance scores.
    pub const fn is_instance_class(&self) -> bool {
        self.has_instances && !self.ignore_in_eval
    }
}

/// The labels that networks are trained on, in order of their train ids 0 to 18.
pub fn trained_labels() -> impl Iterator<Item = &'static Label> {
    LABELS.iter().filter(|label| !label.ignore_in_eval) // in this order: see the tests
}

/// Train id of a value in a `labelIds` file: 0 to 18, or 255 for what is not trained on; none if the value is no label.
pub fn train_id_of(label_id: u8) -> Option<u8> {
    let label = Label::by_id(label_id.into())?;
    Some(u8::try_from(label.train_id).unwrap_or(IGNORE))
}

/// `<city>_<sequence>_<frame>` of a file called `<city>_<sequence>_<frame><suffix>`, such as suffix
/// `_gtFine_labelIds.png`; `None` if the name is built in another way.
pub fn frame_of<'a>(file_name: &'a str, suffix: &str) -> Option<&'a str> {
    let frame = file_name.strip_suffix(suffix)?;
    let mut parts = frame.split('_');
    let named = parts.by_ref().take(3).filter(|part| !part.is_empty()).count() == 3;
    (named && parts.next().is_none() && !frame.contains('.')).then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_of_the_ids() {
        for (index, label) in LABELS.iter().enumerate() {
            let id = if index == NUM_IDS { -1 } else { index as i64 };
            assert_eq!(i64::from(label.id), id);
            assert_eq!(Label::by_id(id), Some(label));
        }
        assert_eq!((Label::by_id(-2), Label::by_id(34)), (None, None));
    }

    #[test]
    fn train_ids_count_the_scored_labels() {
        assert_eq!(trained_labels().map(|l| l.train_id).collect::<Vec<_>>(), (0..19).collect::<Vec<_>>());
        assert!(LABELS.iter().filter(|l| l.ignore_in_eval && l.id >= 0).all(|l| l.train_id == 255));
    }

    #[test]
    fn train_ids_of_pixel_values() {
        let ids = [0, 7, 26, 29, 33, 34, 255].map(train_id_of);
        assert_eq!(ids, [Some(255), Some(0), Some(13), Some(255), Some(18), None, None]);
    }

    #[test]
    fn eight_labels_are_scored_as_instances() {
        let ids: Vec<_> = LABELS.iter().filter(|l| l.is_instance_class()).map(|l| l.id).collect();
        assert_eq!(ids, [24, 25, 26, 27, 28, 31, 32, 33]);
    }

    #[test]
    fn categories_are_numbered_in_order() {
        for (id, category) in Category::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(category.id()), id);
        }
        assert!(LABELS.is_sorted_by_key(|label| label.category));
    }

    #[test]
    fn instance_values_give_their_label() {
        let name = |value| Label::of_instance(value).map(|label| label.name);
        assert_eq!((name(26), name(26_000), name(33_999)), (Some("car"), Some("car"), Some("bicycle")));
        assert_eq!((name(34), name(999), name(34_000), name(u16::MAX)), (None, None, None, None));
        assert_eq!((name(0), name(1000)), (Some("unlabeled"), Some("ego vehicle")));
    }

    #[test]
    fn frames_are_told_by_three_parts() {
        let of = |name| frame_of(name, "_gtFine_labelIds.png");
        assert_eq!(of("ulm_000001_000019_gtFine_labelIds.png"), Some("ulm_000001_000019"));
        assert_eq!(of("ulm_000001_000019_gtFine_instanceIds.png"), None);
        assert_eq!(of("bad_ulm_000001_000019_gtFine_labelIds.png"), None);
        assert_eq!((of("ulm_1_gtFine_labelIds.png"), of("ulm__1_gtFine_labelIds.png")), (None, None));
        assert_eq!(of("ulm_1_2.5_gtFine_labelIds.png"), None);
    }
}
