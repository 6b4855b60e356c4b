//! Habits of the reference code that have changed the numbers of this input.

use super::input::ImageId;

/// How often something was seen, and where first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// Number of segments (or images) concerned.
    pub count: u64,
    /// The first place, in order of the images: its image and the segment's id.
    pub first: Option<(ImageId, i64)>,
}

impl Note {
    pub(super) fn see(&mut self, image: &ImageId, segment: i64) {
        self.count += 1;
        if self.first.as_ref().is_none_or(|(i, s)| (image, segment) < (i, *s)) {
            self.first = Some((image.clone(), segment));
        }
    }

    fn merge(&mut self, other: &Self) {
        if let Some((image, segment)) = &other.first {
            self.see(image, *segment);
            self.count += other.count - 1;
        }
    }
}

/// Input that the reference code takes in silence, and that its numbers depend on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quirks {
    /// Ground truth segments whose stated area is not their number of pixels: the stated one counts.
    pub area_differs: Note,
    /// Ground truth segments in the map but not in the list: neither void nor anything else.
    pub not_listed: Note,
    /// Crowd segments that excuse nothing because a later one of the same class does.
    pub crowd_hidden: Note,
    /// Segments listed twice in an image: the last entry counts.
    pub listed_twice: Note,
    /// Segments with id 0, which is void elsewhere.
    pub id_zero: Note,
    /// Ground truth segments of a class that does not exist: they count nowhere.
    pub unknown_class: Note,
    /// Segments that are in more than one match: each match counts, as stated areas are too small.
    pub matched_twice: Note,
    /// Matches with an IoU over 1, as stated areas are too small.
    pub iou_over_one: Note,
}

impl Quirks {
    pub(super) fn merge(&mut self, other: &Self) {
        let mine = [
            &mut self.area_differs,
            &mut self.not_listed,
            &mut self.crowd_hidden,
            &mut self.listed_twice,
            &mut self.id_zero,
            &mut self.unknown_class,
            &mut self.matched_twice,
            &mut self.iou_over_one,
        ];
        for (mine, (note, _)) in mine.into_iter().zip(other.named()) {
            mine.merge(note);
        }
    }

    fn named(&self) -> [(&Note, &'static str); 8] {
        [
            (
                &self.area_differs,
                "ground truth segments whose area in the JSON differs from the PNG; the JSON's counts",
            ),
            (
                &self.not_listed,
                "ground truth segments in the PNG but not in the JSON; they are neither void nor a segment",
            ),
            (
                &self.crowd_hidden,
                "crowd segments that excuse no prediction, as only the last one of a class does",
            ),
            (&self.listed_twice, "segments listed twice in one image; the last entry counts"),
            (&self.id_zero, "segments with id 0, which otherwise is void"),
            (
                &self.unknown_class,
                "ground truth segments of a category that is not listed; they count nowhere",
            ),
            (
                &self.matched_twice,
                "segments in more than one match, as areas in the JSON are too small; each match counts",
            ),
            (&self.iou_over_one, "matches with an IoU over 1, as areas in the JSON are too small"),
        ]
    }

    /// One sentence for everything that was seen, with its count and the first place.
    pub fn sentences(&self) -> Vec<String> {
        let seen = self.named().into_iter().filter_map(|(note, text)| {
            let (image, segment) = note.first.as_ref()?;
            Some(format!("{} {text} (first: image {image}, segment {segment})", note.count))
        });
        seen.collect()
    }
}
