//! What a check found, gathered by kind.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::SegmentTask;
use crate::check::Hint;
use crate::stats::SizeCount;

/// Findings of one kind that are told one by one; the others are only counted.
const TOLD: usize = 1000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Training would stop or learn what is not meant.
    Error,
    /// Training goes on, but a score, or the reader of the file, may be misled.
    Warning,
}

/// What can be wrong with a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A record of the annotation file lacks something or has a value of another type.
    MalformedRecord,
    /// An id of an image, an annotation, a category or a segment stands there twice.
    DuplicateId,
    /// The categories are not those of the benchmark, or make no table of classes.
    Categories,
    /// An annotation of an image that the file does not list.
    UnknownImage,
    /// An annotation of a category that the file does not list.
    UnknownCategory,
    /// An image without an entry in a panoptic file.
    NotAnnotated,
    /// An image or a panoptic PNG that is listed and not there.
    MissingFile,
    /// A file that cannot be decoded.
    Unreadable,
    /// An image, its entry and its PNG are of different sizes.
    SizeDiffers,
    /// A mask that cannot be drawn.
    NoMask,
    /// Pixels of a segment that the JSON does not list.
    UnlistedSegment,
    /// A segment of the JSON without a pixel in its PNG.
    AbsentSegment,
    /// Two segments of one stuff category on an image.
    RepeatedStuff,
    /// A mask without a pixel.
    EmptyMask,
    /// An outline that leaves the image.
    OutlineOutside,
    /// A box that leaves the image, or has no extent.
    BoxOutside,
    /// A box that is not the one of its mask.
    BoxDiffers,
    /// An `area` that is not the one of its mask.
    AreaDiffers,
    /// Two annotations of one object.
    RepeatedObject,
    /// Several entries with the same image file, or files with the same bytes.
    RepeatedImage,
    /// A panoptic PNG without a segment.
    AllVoid,
}

impl Kind {
    /// Whether training suffers.
    pub const fn severity(self) -> Severity {
        match self {
            Self::MalformedRecord
            | Self::DuplicateId
            | Self::Categories
            | Self::UnknownImage
            | Self::UnknownCategory
            | Self::NotAnnotated
            | Self::MissingFile
            | Self::Unreadable
            | Self::SizeDiffers
            | Self::NoMask
            | Self::UnlistedSegment
            | Self::AbsentSegment
            | Self::RepeatedStuff => Severity::Error,
            Self::EmptyMask
            | Self::OutlineOutside
            | Self::BoxOutside
            | Self::BoxDiffers
            | Self::AreaDiffers
            | Self::RepeatedObject
            | Self::RepeatedImage
            | Self::AllVoid => Severity::Warning,
        }
    }

    /// In a few words, of several.
    pub const fn title(self) -> &'static str {
        match self {
            Self::MalformedRecord => "records not of the expected form",
            Self::DuplicateId => "ids that stand there twice",
            Self::Categories => "categories that make no class table",
            Self::UnknownImage => "annotations of images that are not listed",
            Self::UnknownCategory => "annotations of categories that are not listed",
            Self::NotAnnotated => "images without an entry in `annotations`",
            Self::MissingFile => "listed files that are not there",
            Self::Unreadable => "unreadable files",
            Self::SizeDiffers => "sizes that differ",
            Self::NoMask => "masks that cannot be drawn",
            Self::UnlistedSegment => "segments of PNGs that the JSON does not list",
            Self::AbsentSegment => "segments of the JSON without a pixel",
            Self::RepeatedStuff => "stuff categories with several segments on an image",
            Self::EmptyMask => "masks without a pixel",
            Self::OutlineOutside => "outlines that leave the image",
            Self::BoxOutside => "boxes that leave the image or have no extent",
            Self::BoxDiffers => "boxes that do not fit their masks",
            Self::AreaDiffers => "areas that do not fit their masks",
            Self::RepeatedObject => "objects annotated twice",
            Self::RepeatedImage => "images that are there more than once",
            Self::AllVoid => "PNGs without a segment",
        }
    }
}

/// All findings of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// How bad that is.
    pub severity: Severity,
    /// How often it was found; files with the same bytes are one finding, however many they are.
    pub count: u64,
    /// The first 1000 of them in the order of the file, each with its place, what was expected and what is there.
    pub examples: Vec<String>,
}

/// How often a category occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CategoryCount {
    /// Id in the annotation file; of Cityscapes the class id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Its objects, crowds included.
    pub objects: u64,
    /// Images with one.
    pub images: u64,
    /// Pixels of their masks; where instances overlap, a pixel counts for each.
    pub pixels: u64,
}

/// What was found in one split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentReport {
    /// `train` or `val`, or the name of an annotation file.
    pub name: String,
    /// What was looked for.
    pub task: SegmentTask,
    /// Images in the list.
    pub images: usize,
    /// Images of which nothing that is an error was found.
    pub good: usize,
    /// Objects or segments, crowds included.
    pub objects: u64,
    /// Images without one.
    pub empty_images: u64,
    /// Pixels of panoptic images that belong to no segment.
    pub void_pixels: u64,
    /// Pixels of the images that were read.
    pub pixels: u64,
    /// By kind, errors first.
    pub findings: Vec<Finding>,
    /// Settings that would help.
    pub hints: Vec<Hint>,
    /// The categories in the order of their ids.
    pub categories: Vec<CategoryCount>,
    /// Sizes of the images that were read, most frequent first.
    pub sizes: Vec<SizeCount>,
}

impl SegmentReport {
    /// Whether training can start: something to read, and nothing that is an error.
    pub fn trainable(&self) -> bool {
        self.good > 0 && !self.findings.iter().any(|found| found.severity == Severity::Error)
    }

    /// Findings of one kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.findings.iter().find(|found| found.kind == kind).map_or(0, |found| found.count)
    }
}

/// Findings on their way into the report.
#[derive(Debug, Default)]
pub(super) struct Findings(BTreeMap<Kind, (u64, Vec<String>)>);

impl Findings {
    pub(super) fn add(&mut self, kind: Kind, text: impl Into<String>) {
        let (count, told) = self.0.entry(kind).or_default();
        *count += 1;
        if told.len() < TOLD {
            told.push(text.into());
        }
    }

    /// Adds those of what stands behind.
    pub(super) fn merge(&mut self, behind: Self) {
        for (kind, (more, texts)) in behind.0 {
            let (count, told) = self.0.entry(kind).or_default();
            *count += more;
            told.extend(texts.into_iter().take(TOLD - told.len()));
        }
    }

    /// Kinds are declared errors first.
    pub(super) fn into_list(self) -> Vec<Finding> {
        let finding = |(kind, (count, examples)): (Kind, _)| Finding {
            kind,
            severity: kind.severity(),
            count,
            examples,
        };
        self.0.into_iter().map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Findings of `kinds`, each told by its number.
    fn of(kinds: &[Kind], from: usize) -> Findings {
        let mut findings = Findings::default();
        (from..).zip(kinds).for_each(|(number, kind)| findings.add(*kind, number.to_string()));
        findings
    }

    #[test]
    fn findings_of_parts_are_those_of_the_whole() {
        let kinds: Vec<Kind> =
            (0..3 * TOLD).map(|i| if i % 5 == 0 { Kind::Unreadable } else { Kind::AreaDiffers }).collect();
        let whole = of(&kinds, 0).into_list();
        assert_eq!(whole[1].examples.len(), TOLD);
        for part in [1, 700, 2 * TOLD] {
            let mut sum = Findings::default();
            for (number, kinds) in kinds.chunks(part).enumerate() {
                sum.merge(of(kinds, number * part));
            }
            assert_eq!(sum.into_list(), whole, "{part}");
        }
    }
}
