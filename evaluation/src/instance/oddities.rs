//! Counts of what changes numbers silently in the reference, so that a report can say so.

/// What stood out in the input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Ground truth objects with the id 0: what is matched to them counts as a false positive.
    pub zero_ids: u64,
    /// Ground truth objects whose `area` puts them into other ranges than their mask would.
    pub areas_elsewhere: u64,
    /// Ground truth objects whose id occurs again: the last one with the id stands for all of them.
    pub repeated_ids: u64,
    /// Images that are listed again.
    pub repeated_images: u64,
    /// Categories that are listed again.
    pub repeated_categories: u64,
    /// Ground truth objects of an image or a category that is not listed; left out.
    pub stray_truths: u64,
    /// Detections of a category that is not listed; left out.
    pub unknown_categories: u64,
    /// Detections whose area is that of their box, because the first one of the file has a box.
    pub box_areas: u64,
    /// Detections that meet ground truth whose mask has another size; the two have nothing in common.
    pub sizes_differ: u64,
    /// Detections whose mask has a run of length 0 where the ground truth it meets has one too; the comparison ends there.
    pub cut_short: u64,
    /// Detections whose score is not finite: what is not a number ranks last.
    pub odd_scores: u64,
    /// Objects and detections with a box that is not finite or has a negative width or height.
    pub odd_boxes: u64,
    /// The file has no detection at all, on which the reference fails.
    pub no_detections: bool,
}

impl Oddities {
    /// Adds the counts of another part of the input.
    pub fn add(&mut self, other: &Self) {
        self.zero_ids += other.zero_ids;
        self.areas_elsewhere += other.areas_elsewhere;
        self.repeated_ids += other.repeated_ids;
        self.repeated_images += other.repeated_images;
        self.repeated_categories += other.repeated_categories;
        self.stray_truths += other.stray_truths;
        self.unknown_categories += other.unknown_categories;
        self.box_areas += other.box_areas;
        self.sizes_differ += other.sizes_differ;
        self.cut_short += other.cut_short;
        self.odd_scores += other.odd_scores;
        self.odd_boxes += other.odd_boxes;
        self.no_detections |= other.no_detections;
    }

    /// One sentence for each that occurred.
    pub fn sentences(&self) -> Vec<String> {
        let counted = [
            (
                self.zero_ids,
                "ground truth objects with the id 0 (pycocotools takes it for \"not matched\": what finds them is \
                 counted as wrong)",
            ),
            (
                self.areas_elsewhere,
                "ground truth objects in another area range by their `area` than by their mask (`area` decides)",
            ),
            (
                self.repeated_ids,
                "annotations whose id occurs again later (the last one with an id stands for all of them)",
            ),
            (self.repeated_images, "images that are listed again (the last entry counts)"),
            (self.repeated_categories, "categories that are listed again (the last entry counts)"),
            (self.stray_truths, "annotations of no listed image or category (left out)"),
            (self.unknown_categories, "detections of no listed category (left out)"),
            (
                self.box_areas,
                "detections with the area of their box instead of their mask's, as the first result has a box",
            ),
            (
                self.sizes_differ,
                "detections with a mask of another size than the ground truth they meet (they do not match it)",
            ),
            (
                self.cut_short,
                "detections with an empty run where the ground truth they meet has one as well (pycocotools ends the \
                 comparison there)",
            ),
            (self.odd_scores, "detections with a score that is not finite (what is not a number ranks last)"),
            (
                self.odd_boxes,
                "boxes that are not finite or have a negative width or height (as in pycocotools they may match anything \
                 or nothing)",
            ),
        ];
        let mut sentences: Vec<String> =
            counted.iter().filter(|(n, _)| *n > 0).map(|(n, text)| format!("{text}: {n}")).collect();
        if self.no_detections {
            sentences.push(
                "there is no detection in the results: pycocotools fails on that, here every class scores 0"
                    .into(),
            );
        }
        sentences
    }
}
