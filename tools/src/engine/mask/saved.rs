//! Predictions on disk, as `smalti score` and the official scorers read them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use ndarray::Array2;
use serde::Serialize;
use smalti::draw;
use smalti::output;
use smalti_datasets::coco::{Segmentation, id_to_rgb};
use smalti_datasets::segment_set::RecordId;
use smalti_datasets::{Image, SegmentEvalSample, SegmentSet};
use smalti_heads::mask::post::{Instance, Panoptic, PanopticSegment};
use smalti_training::mask::MaskResults;

/// `panoptic.json` with the PNGs in `panoptic/`, `instances.json`, and label maps in `semantic/`: of each what was predicted.
pub struct PredictionFiles {
    folder: PathBuf,
    set: Arc<SegmentSet>,
    categories: Vec<u32>,
    panoptic: Vec<PanopticEntry>,
    instances: Vec<InstanceEntry>,
    maps: usize,
}

/// An entry of `annotations` of a panoptic file.
#[derive(Serialize)]
pub struct PanopticEntry {
    image_id: RecordId,
    file_name: String,
    segments_info: Vec<SegmentEntry>,
}

#[derive(Serialize)]
struct SegmentEntry {
    id: u32,
    category_id: u32,
    score: f64,
}

/// An entry of COCO's instance results. It has no box: scorers would take the area from it.
#[derive(Serialize)]
pub struct InstanceEntry {
    image_id: RecordId,
    category_id: u32,
    segmentation: Segmentation,
    score: f64,
}

impl PanopticEntry {
    /// What a panoptic map says; `categories` are the ids of the classes.
    pub fn new(image_id: RecordId, file_name: String, panoptic: &Panoptic, categories: &[u32]) -> Self {
        let segment = |segment: &PanopticSegment| SegmentEntry {
            id: segment.id,
            category_id: categories[segment.class],
            score: segment.score,
        };
        Self { image_id, file_name, segments_info: panoptic.segments.iter().map(segment).collect() }
    }
}

impl InstanceEntry {
    /// One object; `categories` are the ids of the classes.
    pub fn new(image_id: RecordId, found: &Instance, categories: &[u32]) -> Self {
        let category_id = categories[found.class];
        let segmentation = Segmentation::compressed(&found.mask);
        Self { image_id, category_id, segmentation, score: found.score }
    }
}

#[derive(Serialize)]
struct PanopticFile<'a> {
    annotations: &'a [PanopticEntry],
}

impl PredictionFiles {
    /// Makes the folder.
    pub fn new(folder: &Path, set: &Arc<SegmentSet>) -> Result<Self> {
        output::create_dir(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            set: Arc::clone(set),
            categories: set.category_ids(),
            panoptic: Vec::new(),
            instances: Vec::new(),
            maps: 0,
        })
    }

    /// Where everything is written.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes an image's maps and keeps what the JSON files will say of it.
    pub fn add(&mut self, sample: &SegmentEvalSample, results: &MaskResults) -> Result<()> {
        let stem = self.set.file_stem(sample.index);
        let image_id = self.set.image_id(sample.index);
        if let Some(panoptic) = &results.panoptic {
            let file_name = format!("{stem}.png");
            let path = self.folder.join("panoptic").join(&file_name);
            create_parent(&path)?;
            draw::write_png(&path, &ids_as_rgb(&panoptic.ids))?;
            self.panoptic.push(PanopticEntry::new(image_id.clone(), file_name, panoptic, &self.categories));
        }
        if let Some(semantic) = &results.semantic {
            let path = self.folder.join("semantic").join(format!("{stem}.png"));
            // Tables hold at most 255 classes.
            draw::write_label_png(&path, &semantic.map(|&class| class as u8), self.set.classes())?;
            self.maps += 1;
        }
        for found in results.instances.iter().flatten() {
            self.instances.push(InstanceEntry::new(image_id.clone(), found, &self.categories));
        }
        Ok(())
    }

    /// Writes the JSON files and says what is where.
    pub fn finish(self) -> Result<()> {
        let file = |name: &str| self.folder.join(name);
        if !self.panoptic.is_empty() {
            let path = file("panoptic.json");
            output::write_json(&path, &PanopticFile { annotations: &self.panoptic })?;
            output::line(&format!("{} panoptic maps: {}", self.panoptic.len(), path.display()));
        }
        if self.maps > 0 {
            output::line(&format!("{} label maps: {}", self.maps, file("semantic").display()));
        }
        let path = file("instances.json");
        output::write_json(&path, &self.instances)?;
        output::line(&format!("{} instances: {}", self.instances.len(), path.display()));
        Ok(())
    }
}

/// A panoptic PNG's pixels.
pub fn ids_as_rgb(ids: &Array2<u32>) -> Image {
    let (height, width) = ids.dim();
    Image::from_shape_fn((height, width, 3), |(y, x, c)| id_to_rgb(ids[(y, x)])[c])
}

fn create_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), output::create_dir)
}
