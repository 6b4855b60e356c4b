//! COCO panoptic files: the index of one, and the PNGs that it describes.

use std::path::Path;

use ndarray::Array2;

use super::annotation_file::{Annotation, AnnotationFile};
use super::index::{Index, NO_AREA, Segment, Tables};
use super::record::{PanopticRecord, SegmentRecord};
use crate::error::DataError;
use crate::label_png::LabelPng;
use crate::prepare::records::repeated;
use crate::sample::NO_SEGMENT;

/// An entry of `annotations` and the place of it.
struct Found {
    record: PanopticRecord,
    place: u64,
}

impl Annotation for Found {
    fn read(text: &str, _: usize, place: u64) -> serde_json::Result<Self> {
        Ok(Self { record: serde_json::from_str(text)?, place })
    }
}

/// Indexes a file. Categories without `isthing` are refused.
///
/// # Errors
/// [`DataError::Record`]: an image without an entry, with two, or not listed; a category that is not; segment ids that are 0 or
/// stand there twice; two segments of a stuff class; and all that [`AnnotationFile::read`] and [`Tables::new`] refuse.
pub(super) fn index(path: &Path) -> Result<Index<Segment>, DataError> {
    let AnnotationFile { images, categories, annotations } = AnnotationFile::<Found>::read(path)?;
    if let Some(category) = categories.iter().find(|category| !matches!(category.isthing, Some(0 | 1))) {
        let got = category.isthing.map_or("none".into(), |value| value.to_string());
        let reason = format!("`isthing`: expected 1 for things or 0 for stuff, got {got}");
        return Err(DataError::record(path, format!("category {} {:?}", category.id, category.name), reason));
    }
    let mut tables = Tables::new(path, images, categories)?;
    let mut described = vec![false; tables.images.len()];
    let mut objects = Vec::new();
    for Found { record, place } in annotations {
        let PanopticRecord { image_id, file_name, segments_info } = record;
        let wrong = |reason: String| {
            DataError::record(path, format!("annotation of image {image_id} (byte {place})"), reason)
        };
        let image = tables.image(&image_id).map_err(wrong)?;
        if std::mem::replace(&mut described[image as usize], true) {
            return Err(wrong("expected one annotation of this image, got several".into()));
        }
        for segment in segments(&tables, &segments_info).map_err(wrong)? {
            objects.push((image, segment));
        }
        tables.images[image as usize].png = file_name;
    }
    if let Some(image) = described.iter().position(|described| !described) {
        let record = format!("image {}", tables.images[image].id);
        return Err(DataError::record(path, record, "expected one entry in `annotations`, got none"));
    }
    tables.index(objects)
}

/// The segments of one image.
fn segments(tables: &Tables<'_>, records: &[SegmentRecord]) -> Result<Vec<Segment>, String> {
    if records.len() >= usize::from(NO_SEGMENT) {
        return Err(format!("expected fewer than {NO_SEGMENT} segments, got {}", records.len()));
    }
    let of_record = |record: &SegmentRecord| match record.id {
        0 => Err("expected segment ids from 1 up, got 0, which is void".to_owned()),
        id => Ok(Segment {
            id,
            area: record.area.map_or(NO_AREA, pixels),
            class: tables.class(record.category_id)?,
            crowd: record.iscrowd,
        }),
    };
    let segments: Vec<Segment> = records.iter().map(of_record).collect::<Result<_, _>>()?;
    if let Some(twice) = repeated(segments.iter().map(|segment| segment.id).collect()) {
        return Err(format!("expected a segment id once, got {twice} twice"));
    }
    let stuff = |class: &u16| tables.category(*class).is_some_and(|category| category.isthing == Some(0));
    if let Some(twice) = repeated(segments.iter().map(|segment| segment.class).filter(stuff).collect()) {
        let id = tables.category(twice).map_or(0, |category| category.id);
        return Err(format!("expected one segment of stuff category {id}, got several"));
    }
    Ok(segments)
}

/// A number of pixels as the official scorer reads it, else [`NO_AREA`].
fn pixels(area: f64) -> u64 {
    let is_whole = area.fract() == 0.0 && (0.0..=(1u64 << 53) as f64).contains(&area);
    if is_whole { area as u64 } else { NO_AREA }
}

/// What to make of a segment that is listed but has no pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseen {
    /// An error.
    Refused,
    /// Left out. ADE20K's stuff is listed as it was before things were pasted over it.
    Dropped,
    /// As good as others.
    Kept,
}

impl Unseen {
    /// The official scorer counts what the JSON lists, so nothing is left out.
    pub(super) fn in_scores(self) -> Self {
        match self {
            Self::Refused => Self::Refused,
            Self::Dropped | Self::Kept => Self::Kept,
        }
    }
}

/// A panoptic PNG: `[H, W]` numbers of segments or [`NO_SEGMENT`], and which of the listed segments they are, in that order.
///
/// # Errors
/// A file that cannot be decoded, that has a segment which is not listed, or, if that is refused, lacks one.
pub(super) fn read_png(
    path: &Path,
    segments: &[Segment],
    unseen: Unseen,
) -> Result<(Vec<Segment>, Array2<u16>), DataError> {
    let mut by_id: Vec<(u32, u16)> =
        (0..).zip(segments).map(|(number, segment)| (segment.id, number)).collect();
    by_id.sort_unstable();
    let mut decoder = LabelPng::new();
    let map = decoder.ids(path)?;
    let (mut pixels, unlisted) = map.relabel(NO_SEGMENT, |id| match id {
        0 => Some(NO_SEGMENT),
        _ => by_id.binary_search_by_key(&id, |(id, _)| *id).ok().map(|at| by_id[at].1),
    });
    if let Some((id, count)) = unlisted.into_iter().max_by_key(|(_, count)| *count) {
        let listed = segments.len();
        return Err(DataError::image(
            path,
            format!(
                "segment id {id} in {count} pixels, expected 0 or one of the {listed} that the JSON lists for this image"
            ),
        ));
    }
    let mut seen = vec![false; segments.len()];
    for run in pixels.chunk_by(|a, b| a == b) {
        if let Some(seen) = seen.get_mut(usize::from(run[0])) {
            *seen = true;
        }
    }
    let mut kept = segments.to_vec();
    if let Some(absent) = seen.iter().position(|seen| !seen)
        && unseen != Unseen::Kept
    {
        if unseen == Unseen::Refused {
            let reason = format!(
                "expected pixels of segment id {}, which the JSON lists, got none",
                segments[absent].id
            );
            return Err(DataError::image(path, reason));
        }
        let mut next = 0;
        let number = |&seen: &bool| {
            let number = next;
            next += u16::from(seen);
            number
        };
        let numbers: Vec<u16> = seen.iter().map(number).collect();
        for pixel in &mut pixels {
            *pixel = numbers.get(usize::from(*pixel)).copied().unwrap_or(NO_SEGMENT);
        }
        let mut seen = seen.iter();
        kept.retain(|_| seen.next() == Some(&true));
    }
    let size = (map.height, map.width);
    let pixels = Array2::from_shape_vec(size, pixels)
        .map_err(|_| DataError::image(path, "damaged: its pixels do not fill the image"))?;
    Ok((kept, pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_whole_numbers_of_pixels_or_none() {
        let exact = (1u64 << 53) as f64;
        assert_eq!([0.0, 12.0, exact].map(pixels), [0, 12, 1 << 53]);
        assert_eq!([-1.0, 2.5, 2.0 * exact, f64::NAN, f64::INFINITY].map(pixels), [NO_AREA; 5]);
    }
}
