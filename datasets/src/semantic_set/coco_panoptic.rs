//! COCO's panoptic annotations as a semantic set: every pixel has the category of its segment, crowds included.
//!
//! The classes are those of `prepare_coco_semantic_annos_from_panoptic_annos.py` of Mask2Former (commit 9b0651c), the result of
//! `data prepare` with contiguous ids, without the files in between. A segment that the JSON does not list is an error here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::listing::{self, Folders, Problem};
use super::segments::SegmentTable;
use super::{Entry, LabelKind};
use crate::DataError;
use crate::benchmarks::coco;
use crate::coco::{Category, ImageInfo};
use crate::config::Split;
use crate::prepare::records::{PanopticRecord, Parts, Source};

/// What asks for the files, in messages.
const WANTED_BY: &str = "coco_panoptic";

/// One entry of the list `annotations`.
struct Annotation {
    /// How messages call it.
    record: String,
    image_id: u64,
    /// Name of the PNG.
    file_name: String,
    segments: SegmentTable,
}

/// `{train,val}2017/*.jpg`, `annotations/panoptic_{train,val}2017.json` and its folder of PNGs, which is beside it or, as
/// detectron2 has it, in `root`.
pub(super) fn find(root: &Path, split: Split) -> Result<(Vec<Entry>, Vec<Problem>), DataError> {
    let images = root.join(format!("{split}2017"));
    let name = format!("panoptic_{split}2017");
    let json = root.join("annotations").join(format!("{name}.json"));
    let pngs = [root.join("annotations").join(&name), root.join(&name)];
    for path in [&images, &json] {
        if !path.exists() {
            return Err(DataError::Missing { path: path.clone(), wanted_by: WANTED_BY.into() });
        }
    }
    let [beside, in_root] = &pngs;
    let Some(pngs) = pngs.iter().find(|folder| folder.is_dir()) else {
        let wanted_by = format!("label maps of {WANTED_BY}; nor is {}", in_root.display());
        return Err(DataError::Missing { path: beside.clone(), wanted_by });
    };

    let source = Source::read(&json)?;
    let parts = source.parts()?;
    check_categories(&parts)?;
    let annotations: Vec<Result<Annotation, DataError>> =
        (0..parts.annotations.len()).into_par_iter().map(|index| annotation(&parts, index)).collect();
    let infos: Vec<ImageInfo> = parts.field("images")?;
    Pairing { root, images: &images, pngs, json: &json }.pair(&infos, annotations)
}

/// Refuses a file of other classes.
fn check_categories(parts: &Parts<'_>) -> Result<(), DataError> {
    let categories: Vec<Category> = parts.field("categories")?;
    for (index, Category { id, name, .. }) in categories.iter().enumerate() {
        let official = coco::CLASSES.iter().find(|row| row.id == *id);
        if official.is_none_or(|row| row.name != name.as_str()) {
            let expected = official
                .map_or("an id of COCO's panoptic classes".to_owned(), |row| format!("{:?}", row.name));
            let reason = format!("expected {expected}, got {name:?} with the id {id}");
            return Err(DataError::record(&parts.path, format!("categories[{index}]"), reason));
        }
    }
    Ok(())
}

fn annotation(parts: &Parts<'_>, index: usize) -> Result<Annotation, DataError> {
    let record: PanopticRecord = parts.annotation(index)?;
    let name = record.name();
    let wrong = |reason: String| DataError::record(&parts.path, &*name, reason);
    let image_id =
        record.image_id.as_u64().ok_or_else(|| wrong("`image_id`: expected a whole number".into()))?;
    let mut segments = Vec::new();
    for [id, category] in record.ids(&parts.path)? {
        let known = coco::CLASSES.iter().any(|row| row.id == category);
        let category = u8::try_from(category).ok().filter(|_| known).ok_or_else(|| {
            wrong(format!("expected a category_id of the {} categories, got {category}", coco::CLASSES.len()))
        })?;
        if id == 0 {
            return Err(wrong("expected segment ids from 1 up, got 0, which is void".into()));
        }
        segments.push((id, category));
    }
    let segments = SegmentTable::new(segments);
    Ok(Annotation { record: name, image_id, file_name: record.file_name, segments })
}

/// Where the files of a split are.
struct Pairing<'a> {
    root: &'a Path,
    images: &'a Path,
    pngs: &'a Path,
    json: &'a Path,
}

impl Pairing<'_> {
    /// Every annotation with its image, in the order of the annotations.
    fn pair(
        &self,
        infos: &[ImageInfo],
        annotations: Vec<Result<Annotation, DataError>>,
    ) -> Result<(Vec<Entry>, Vec<Problem>), DataError> {
        let mut names: BTreeMap<u64, &str> = BTreeMap::new();
        for info in infos {
            names.insert(info.id, &info.file_name);
        }
        let all_read = annotations.iter().all(Result::is_ok);
        let mut unused: BTreeSet<u64> = names.keys().copied().collect();
        let mut folders = Folders::default();
        let (mut entries, mut problems) = (vec![], vec![]);
        for annotation in annotations {
            let annotation = match annotation {
                Ok(annotation) => annotation,
                Err(DataError::Record { path: file, record, reason }) => {
                    problems.push(Problem::WrongRecord { file, record, reason });
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Annotation { record, image_id, file_name, segments } = annotation;
            let Some(image) = names.get(&image_id).map(|name| self.images.join(name)) else {
                problems.push(self.wrong(record, "expected an image with this id in `images`, got none"));
                continue;
            };
            let labels = self.pngs.join(file_name);
            if !unused.remove(&image_id) {
                problems.push(self.wrong(record, "expected one annotation of this image, got several"));
            } else if !folders.contain(&image) {
                problems.push(Problem::MissingImage { image, file: self.json.to_owned(), record });
            } else if folders.contain(&labels) {
                entries.push(Entry::new(self.root, image, labels, LabelKind::Segments(segments)));
            } else {
                problems.push(Problem::ImageWithoutLabels { image, expected: labels });
            }
        }
        if all_read {
            let without = "expected one entry in `annotations`, got none";
            problems.extend(unused.into_iter().map(|id| self.wrong(format!("image {id}"), without)));
        }
        problems.extend(self.not_listed(infos)?);
        Ok((entries, problems))
    }

    fn wrong(&self, record: String, reason: &str) -> Problem {
        Problem::WrongRecord { file: self.json.to_owned(), record, reason: reason.to_owned() }
    }

    /// Image files that the JSON does not name.
    fn not_listed(&self, infos: &[ImageInfo]) -> Result<Vec<Problem>, DataError> {
        let listed: BTreeSet<PathBuf> = infos.iter().map(|info| self.images.join(&info.file_name)).collect();
        let mut files = vec![];
        listing::walk(self.images, 0, &mut files)?;
        files.sort();
        let others = files.into_iter().filter(|file| !listed.contains(file));
        Ok(others.map(|image| Problem::ImageNotListed { image, file: self.json.to_owned() }).collect())
    }
}
