//! Checks of a panoptic file: its lists, then the PNG of one image after the other against its segments.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::annotation_file::{Annotation, AnnotationFile};
use super::super::listing::Folders;
use super::super::panoptic::Unseen;
use super::super::record::{ImageRecord, RecordId, flag};
use super::Seen;
use super::report::{Findings, Kind};
use super::tables::{Loose, Tables};
use crate::error::DataError;
use crate::label_png::{LabelPng, PixelMap};

/// Pixels by which the edges of a box may differ from those of its segment.
const MARGIN: f64 = 2.0;

/// A panoptic file, lists checked.
#[derive(Debug)]
pub(super) struct Panoptic {
    pub(super) tables: Tables,
    /// Of each image, if it has one.
    entries: Vec<Option<Entry>>,
    unseen: Unseen,
    /// How often each `category_id` is used, listed or not.
    pub(super) used: BTreeMap<u32, u64>,
    /// Name of the first PNG, to look for where none is found.
    pub(super) first_png: Option<Box<str>>,
    /// PNGs that are not there.
    pub(super) missing_pngs: usize,
}

#[derive(Debug)]
struct Entry {
    png: PathBuf,
    exists: bool,
    segments: Vec<Claim>,
}

/// What the JSON says of a segment.
#[derive(Debug, Deserialize)]
struct Claim {
    id: u32,
    category_id: u32,
    #[serde(default, rename = "iscrowd", deserialize_with = "flag")]
    _crowd: bool,
    area: Option<f64>,
    bbox: Option<[f64; 4]>,
}

#[derive(Deserialize)]
struct Fields {
    image_id: RecordId,
    file_name: Box<str>,
    segments_info: Vec<Claim>,
}

/// An entry of `annotations`.
struct Found {
    fields: Fields,
    number: usize,
}

impl Annotation for Found {
    fn read(text: &str, number: usize, _: u64) -> serde_json::Result<Self> {
        Ok(Self { fields: serde_json::from_str(text)?, number })
    }
}

/// A segment of a PNG: its pixels, and the first and last column and row of it.
#[derive(Clone, Copy)]
struct Pixels {
    area: u64,
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Panoptic {
    /// `folders` are those of images and of PNGs.
    pub(super) fn read(
        path: &Path,
        [images, pngs]: [&Path; 2],
        unseen: Unseen,
        findings: &mut Findings,
    ) -> Result<Self, DataError> {
        let list = AnnotationFile::<Loose<Found>, Loose<ImageRecord>>::read(path)?;
        let tables = Tables::new(images, list.images, list.categories, findings);
        for category in tables.categories.iter().filter(|category| !matches!(category.isthing, Some(0 | 1))) {
            let got = category.isthing.map_or("none".into(), |value| value.to_string());
            let text = format!(
                "category {} {:?}: `isthing`: expected 1 for things or 0 for stuff, got {got}",
                category.id, category.name
            );
            findings.add(Kind::Categories, text);
        }
        let entries = tables.images.iter().map(|_| None).collect();
        let (used, first_png) = (BTreeMap::new(), None);
        let mut set = Self { tables, entries, unseen, used, first_png, missing_pngs: 0 };
        let mut folders = Folders::default();
        for found in list.annotations {
            if let Some(found) = found.or_tell("annotation", findings) {
                set.take(found, pngs, &mut folders, findings);
            }
        }
        for (image, _) in set.tables.images.iter_mut().zip(&set.entries).filter(|(_, entry)| entry.is_none())
        {
            image.is_bad = true;
            findings.add(Kind::NotAnnotated, format!("image {}", image.id));
        }
        Ok(set)
    }

    fn take(&mut self, found: Found, pngs: &Path, folders: &mut Folders, findings: &mut Findings) {
        let Found { fields: Fields { image_id, file_name, segments_info: segments }, number } = found;
        let name = format!("annotation {number} (image {image_id})");
        for segment in &segments {
            *self.used.entry(segment.category_id).or_insert(0) += 1;
        }
        let Some(image) = self.tables.image(&image_id) else {
            findings.add(Kind::UnknownImage, format!("{name}: its image is not listed"));
            return;
        };
        if self.entries[image].is_some() {
            self.tables.images[image].is_bad = true;
            let text = format!("{name}: expected one annotation of this image, got several");
            findings.add(Kind::DuplicateId, text);
            return;
        }
        self.tables.images[image].is_bad |= self.wrong_segments(&name, &segments, findings);
        let (png, exists) = (pngs.join(&*file_name), folders.contain(pngs, &file_name));
        if !exists {
            self.missing_pngs += 1;
            findings.add(Kind::MissingFile, format!("{} (PNG of image {image_id})", png.display()));
        }
        self.first_png.get_or_insert(file_name);
        self.entries[image] = Some(Entry { png, exists, segments });
    }

    /// Whether the list of an image's segments has an error.
    fn wrong_segments(&self, name: &str, segments: &[Claim], findings: &mut Findings) -> bool {
        let (mut ids, mut stuff, mut is_bad) = (HashSet::new(), HashSet::new(), false);
        let mut bad = |kind, text: String| {
            findings.add(kind, format!("{name}: {text}"));
            is_bad = true;
        };
        for segment in segments {
            if segment.id == 0 {
                bad(Kind::DuplicateId, "segment id 0, which stands for void".into());
            }
            if !ids.insert(segment.id) {
                bad(Kind::DuplicateId, format!("segment id {} twice, expected it once", segment.id));
            }
            match self.tables.class(segment.category_id) {
                None => {
                    let text =
                        format!("segment {}: category {} is not listed", segment.id, segment.category_id);
                    bad(Kind::UnknownCategory, text);
                }
                Some(class) => {
                    let is_stuff = self.tables.categories[usize::from(class)].isthing == Some(0);
                    if is_stuff && !stuff.insert(class) {
                        let text = format!("several segments of stuff category {}", segment.category_id);
                        bad(Kind::RepeatedStuff, text);
                    }
                }
            }
        }
        is_bad
    }

    /// Looks at the PNG of image `i`, which should have this size.
    pub(super) fn look_at(&self, i: usize, size: Option<(usize, usize)>, seen: &mut Seen) {
        let Some(entry) = self.entries[i].as_ref() else { return };
        let class = |claim: &Claim| self.tables.class(claim.category_id);
        if !entry.exists {
            seen.objects.extend(entry.segments.iter().filter_map(class).map(|class| (class, 0)));
            return;
        }
        let mut decoder = LabelPng::new();
        let map = match decoder.ids(&entry.png) {
            Ok(map) => map,
            Err(error) => {
                seen.objects.extend(entry.segments.iter().filter_map(class).map(|class| (class, 0)));
                return seen.add(Kind::Unreadable, error.full_message());
            }
        };
        if let Some((height, width)) = size.filter(|size| *size != (map.height, map.width)) {
            let text = format!(
                "{}: expected {height}x{width} (HxW) as its image, got {}x{}",
                entry.png.display(),
                map.height,
                map.width
            );
            seen.add(Kind::SizeDiffers, text);
        }
        let mut found = segments_of(&map);
        seen.void_pixels = found.remove(&0).map_or(0, |void| void.area);
        if found.is_empty() {
            seen.add(Kind::AllVoid, entry.png.display().to_string());
        }
        for claim in &entry.segments {
            let name = || format!("{}: segment {}", entry.png.display(), claim.id);
            let Some(pixels) = found.remove(&claim.id) else {
                if self.unseen == Unseen::Refused {
                    seen.add(Kind::AbsentSegment, name());
                }
                continue;
            };
            seen.objects.extend(class(claim).map(|class| (class, pixels.area)));
            if let Some(area) = claim.area.filter(|area| *area != pixels.area as f64) {
                let text = format!("{}: `area` is {area}, the PNG has {} pixels", name(), pixels.area);
                seen.add(Kind::AreaDiffers, text);
            }
            if let Some(bbox) = claim.bbox.filter(|bbox| !pixels.fit(*bbox)) {
                let text = format!("{}: `bbox` {bbox:?}, its pixels lie in {:?}", name(), pixels.bbox());
                seen.add(Kind::BoxDiffers, text);
            }
        }
        let unlisted: BTreeMap<u32, Pixels> = found.into_iter().collect();
        for (id, pixels) in unlisted {
            let text = format!("{}: segment id {id} in {} pixels", entry.png.display(), pixels.area);
            seen.add(Kind::UnlistedSegment, text);
        }
    }
}

/// The segments of a PNG, void too.
fn segments_of(map: &PixelMap<'_, u32>) -> HashMap<u32, Pixels> {
    let mut found: HashMap<u32, Pixels> = HashMap::new();
    for (y, row) in map.pixels.chunks_exact(map.width.max(1)).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            let (left, right) = (x, x + run.len() - 1);
            x += run.len();
            let empty = Pixels { area: 0, left, top: y, right, bottom: y };
            let pixels = found.entry(run[0]).or_insert(empty);
            pixels.area += run.len() as u64;
            pixels.left = pixels.left.min(left);
            pixels.right = pixels.right.max(right);
            pixels.bottom = y;
        }
    }
    found
}

impl Pixels {
    /// `[x, y, width, height]`.
    fn bbox(&self) -> [usize; 4] {
        [self.left, self.top, self.right - self.left + 1, self.bottom - self.top + 1]
    }

    fn fit(&self, bbox: [f64; 4]) -> bool {
        bbox.iter().zip(self.bbox()).all(|(&claimed, edge)| (claimed - edge as f64).abs() <= MARGIN)
    }
}
