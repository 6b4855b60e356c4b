//! Checks of an instance file: its lists, then the masks, boxes and areas of one image after the other.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::annotation_file::{AnnotationFile, reason};
use super::super::instances::Found;
use super::super::record::{ImageRecord, InstanceRecord};
use super::report::{Findings, Kind};
use super::tables::{Grouped, Loose, Tables};
use super::{Seen, geometry};
use crate::coco::Segmentation;
use crate::error::DataError;
use crate::polygon;
use crate::rle::{Span, Spans, overlap};

/// Objects of one class that share this much of their union are taken for one.
const SAME_CLASS: f64 = 0.95;

/// Objects of different classes likewise.
const OTHER_CLASS: f64 = 0.99;

/// Smaller masks are alike by chance.
const LEAST_AREA: u32 = 32;

/// An instance file, lists checked.
#[derive(Debug)]
pub(super) struct Instances {
    path: PathBuf,
    file: File,
    pub(super) tables: Tables,
    objects: Grouped<(Found, u16)>,
    /// How often each `category_id` is used, listed or not.
    pub(super) used: BTreeMap<u32, u64>,
}

/// What a record says of its mask.
#[derive(Deserialize)]
struct Claims {
    area: Option<f64>,
    bbox: Option<[f64; 4]>,
}

/// A drawn object of the image.
struct Drawn {
    name: String,
    class: u16,
    area: u32,
    bbox: [u32; 4],
    spans: Vec<Span>,
}

impl Instances {
    pub(super) fn read(path: &Path, images: &Path, findings: &mut Findings) -> Result<Self, DataError> {
        let list = AnnotationFile::<Loose<Found>, Loose<ImageRecord>>::read(path)?;
        let file = File::open(path).map_err(DataError::io(path, "opening"))?;
        let mut tables = Tables::new(images, list.images, list.categories, findings);
        let (mut objects, mut used, mut ids) = (Vec::new(), BTreeMap::new(), HashSet::new());
        for found in list.annotations {
            let Some(found) = found.or_tell("annotation", findings) else { continue };
            *used.entry(found.category).or_insert(0) += 1;
            let image = tables.image(&found.image);
            let mut bad = |kind, text: &str| {
                findings.add(kind, format!("{}: {text}", found.name()));
                if let Some(image) = image {
                    tables.images[image].is_bad = true;
                }
            };
            if !ids.insert(found.id.clone()) {
                bad(Kind::DuplicateId, "expected an id once, got it twice");
            }
            let class = tables.categories.binary_search_by_key(&found.category, |category| category.id).ok();
            if class.is_none() {
                bad(Kind::UnknownCategory, &format!("category {} is not listed", found.category));
            }
            match (image, class) {
                (None, _) => bad(Kind::UnknownImage, "its image is not listed"),
                (Some(image), Some(class)) => objects.push((image, (found, class as u16))),
                (Some(_), None) => {}
            }
        }
        let objects = Grouped::new(objects, tables.images.len());
        Ok(Self { path: path.to_owned(), file, tables, objects, used })
    }

    /// Looks at the objects of image `i`.
    pub(super) fn look_at(&self, i: usize, seen: &mut Seen) {
        let image = &self.tables.images[i];
        let (mut bytes, mut spans, mut drawn) = (Vec::new(), Spans::new(), Vec::new());
        for (found, class) in self.objects.of(i) {
            seen.objects.push((*class, 0));
            bytes.resize(found.length as usize, 0);
            let read = self.file.read_exact_at(&mut bytes, found.place);
            let looked = match read {
                Err(error) => Err((Kind::NoMask, format!("{} cannot be read: {error}", self.path.display()))),
                Ok(()) => object(&bytes, image.size, &mut spans, &found.name(), seen),
            };
            if let Err((kind, text)) = looked {
                seen.add(kind, format!("{}: {text}", found.name()));
                continue;
            }
            if let Some((_, pixels)) = seen.objects.last_mut() {
                *pixels = u64::from(spans.area());
            }
            if !found.crowd && spans.area() >= LEAST_AREA {
                let (area, bbox, spans) = (spans.area(), spans.bbox(), spans.spans().to_vec());
                drawn.push(Drawn { name: found.name(), class: *class, area, bbox, spans });
            }
        }
        repeated(&drawn, seen);
    }
}

/// Draws the mask of a record into `spans` and compares what the record says of it. The error is one about the mask.
fn object(
    bytes: &[u8],
    size: [u32; 2],
    spans: &mut Spans,
    name: &str,
    seen: &mut Seen,
) -> Result<(), (Kind, String)> {
    let malformed = |error: serde_json::Error| (Kind::MalformedRecord, reason(&error));
    let record: InstanceRecord<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
    let Claims { area, bbox } = serde_json::from_slice(bytes).map_err(malformed)?;
    let mask = record.mask().map_err(|error| (Kind::NoMask, reason(&error)))?;
    draw(&mask, size, spans).map_err(|text| (Kind::NoMask, text))?;
    if let Some(text) = geometry::outline_outside(&mask, size) {
        seen.add(Kind::OutlineOutside, format!("{name}: {text}"));
    }
    if spans.area() == 0 {
        return Err((Kind::EmptyMask, "no pixel of its mask lies on the image".into()));
    }
    // COCO's own crowds have areas that are not those of their run lengths.
    let area = area.filter(|_| !record.iscrowd);
    if let Some(text) = area.and_then(|area| geometry::area_differs(area, &mask, spans.area())) {
        seen.add(Kind::AreaDiffers, format!("{name}: {text}"));
    }
    if let Some((kind, text)) = bbox.and_then(|bbox| geometry::box_wrong(bbox, &mask, spans.bbox(), size)) {
        seen.add(kind, format!("{name}: {text}"));
    }
    Ok(())
}

fn draw(mask: &Segmentation, size: [u32; 2], spans: &mut Spans) -> Result<(), String> {
    let in_words = |error: DataError| format!("`segmentation`: {error}");
    match mask {
        Segmentation::Polygons(parts) => {
            polygon::check(parts.first().map(Vec::len)).map_err(in_words)?;
            spans.read_polygons(size, parts.iter().map(Vec::as_slice)).map_err(in_words)
        }
        Segmentation::Compressed { size: got, .. } | Segmentation::Uncompressed { size: got, .. }
            if *got != size =>
        {
            let ([height, width], [got_height, got_width]) = (size, *got);
            Err(format!(
                "`segmentation`: expected a mask of {height}x{width} (HxW) as its image, got {got_height}x{got_width}"
            ))
        }
        Segmentation::Compressed { counts, .. } => spans.read_compressed(size, counts).map_err(in_words),
        Segmentation::Uncompressed { counts, .. } => spans.read_counts(size, counts).map_err(in_words),
    }
}

/// Tells of objects that cover the same pixels as an earlier one.
fn repeated(drawn: &[Drawn], seen: &mut Seen) {
    for (i, second) in drawn.iter().enumerate() {
        let same = drawn[..i].iter().find_map(|first| {
            let share = shared(first, second);
            let least = if first.class == second.class { SAME_CLASS } else { OTHER_CLASS };
            (share >= least).then_some((first, share))
        });
        if let Some((first, share)) = same {
            let class = if first.class == second.class { "the same" } else { "another" };
            let text = format!(
                "{}: shares {:.0} % of its pixels with {}, which is of {class} category",
                second.name,
                100.0 * share,
                first.name
            );
            seen.add(Kind::RepeatedObject, text);
        }
    }
}

/// Intersection over union of two masks; 0 at once where areas or boxes tell that it is small.
fn shared(a: &Drawn, b: &Drawn) -> f64 {
    let (small, large) = (a.area.min(b.area), a.area.max(b.area));
    let apart = |axis: usize| {
        a.bbox[axis] + a.bbox[axis + 2] <= b.bbox[axis] || b.bbox[axis] + b.bbox[axis + 2] <= a.bbox[axis]
    };
    if f64::from(small) < SAME_CLASS * f64::from(large) || apart(0) || apart(1) {
        return 0.0;
    }
    let both = overlap(&a.spans, &b.spans);
    f64::from(both) / f64::from(a.area + b.area - both)
}
