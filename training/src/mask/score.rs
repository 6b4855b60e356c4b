//! Scores of predictions in memory: those that `smalti score` gives of the same predictions in files.
//!
//! Of panoptic sets PQ of the maps, mIoU of the semantic maps against the classes of the segments (crowds included), and AP
//! against the things among the segments; of instance sets AP against the annotated instances. Which segments there are and
//! what areas they have is what annotation files say, also against the PNG, as the official scorer believes them.

#[cfg(test)]
mod tests;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use smalti_datasets::label_png::PixelMap;
use smalti_datasets::rle::Rle;
use smalti_datasets::sample::{NO_SEGMENT, SegmentMasks, SegmentedSample};
use smalti_datasets::segment_set::{RecordId, StatedSegment};
use smalti_datasets::{IGNORE, SegmentEvalSample, SegmentSet, SegmentTask};
use smalti_evaluation::EvalError;
use smalti_evaluation::instance::{
    self, Detection, InstanceAp, InstancePart, InstanceScores, IouType, MaxDets, Region, Truth,
};
use smalti_evaluation::panoptic::{
    self, ClassCounts, GtSegment, PanopticClass, PanopticQuality, PanopticScores, PredSegment, SegmentMap,
};
use smalti_evaluation::semantic::{ConfusionMatrix, SemanticScores};
use smalti_heads::mask::post::{Instance, Panoptic};

use super::predict::MaskResults;
use crate::TrainError;
use crate::task::{Counts, Evaluation};

/// Counts images; of each what its set has annotations for.
#[derive(Debug, Clone)]
pub struct MaskScorer {
    /// `[K]`: names and category ids.
    classes: Vec<PanopticClass>,
    instances: InstanceAp,
    /// Of panoptic sets.
    maps: Option<Maps>,
}

/// What is counted of maps.
#[derive(Debug, Clone)]
struct Maps {
    panoptic: PanopticQuality,
    semantic: ConfusionMatrix,
}

impl MaskScorer {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// [`TrainError::Eval`] if two classes have the same category id.
    pub fn new(set: &SegmentSet) -> Result<Self, TrainError> {
        let of_class = |(class, id): (&smalti_datasets::ClassInfo, u32)| PanopticClass {
            id: id.into(),
            name: class.name.clone(),
            is_thing: class.is_thing,
        };
        let classes: Vec<PanopticClass> =
            set.classes().iter().zip(set.category_ids()).map(of_class).collect();
        let things = classes.iter().filter(|class| class.is_thing).map(|class| class.id);
        let instances = InstanceAp::new(IouType::Segm, MaxDets::default()).with_categories(things);
        let maps = match set.task() {
            SegmentTask::Panoptic => Some(Maps {
                panoptic: PanopticQuality::new(classes.clone())?,
                semantic: ConfusionMatrix::new(classes.len()),
            }),
            SegmentTask::Instance => None,
        };
        Ok(Self { classes, instances, maps })
    }

    /// Counts an image.
    ///
    /// # Errors
    /// [`TrainError::Eval`] if the image was counted before or results have another size; [`TrainError::Data`] for masks
    /// that can not be drawn.
    pub fn add(
        &mut self,
        image: &RecordId,
        sample: &SegmentEvalSample,
        results: &MaskResults,
    ) -> Result<(), TrainError> {
        if let Some(found) = &results.instances {
            let truths = self.truths(&sample.sample, &sample.stated)?;
            let detections: Vec<Detection> = found.iter().map(|found| self.detection(found)).collect();
            self.instances.add(instance_image(image), &truths, &detections)?;
        }
        let (Some(maps), SegmentMasks::Map(map)) = (&mut self.maps, &sample.sample.masks) else {
            return Ok(());
        };
        if let Some(predicted) = &results.panoptic {
            add_panoptic(&mut maps.panoptic, &self.classes, image, (sample, map), predicted)?;
        }
        if let Some(predicted) = &results.semantic {
            let class = |&number: &u16| {
                sample.sample.segments.get(usize::from(number)).map_or(u16::from(IGNORE), |of| of.class)
            };
            let labels: Vec<u16> = map.iter().map(class).collect();
            let predicted: Vec<u16> = predicted.iter().copied().collect();
            maps.semantic.add(&predicted, &labels)?;
        }
        Ok(())
    }

    /// The scores of all images so far.
    ///
    /// # Errors
    /// [`TrainError::Eval`] for a table of classes without names.
    pub fn finish(&self) -> Result<MaskScores, TrainError> {
        let name_of = |id: i64| self.classes.iter().find(|class| class.id == id).map(|of| of.name.as_str());
        let names = || self.classes.iter().map(|class| class.name.as_str());
        let maps = self.maps.as_ref();
        Ok(MaskScores {
            instance: self.instances.finish().with_names(name_of),
            panoptic: maps.map(|maps| maps.panoptic.finish()),
            semantic: maps.map(|maps| maps.semantic.finish().with_names(names())).transpose()?,
        })
    }

    /// The annotated things of an image.
    fn truths(&self, sample: &SegmentedSample, stated: &[StatedSegment]) -> Result<Vec<Truth>, TrainError> {
        let masks = masks(sample)?;
        let things = sample.segments.iter().zip(masks).enumerate().filter(|(_, (of, _))| of.thing);
        let truth = |(place, (segment, mask)): (usize, (&smalti_datasets::sample::Segment, Rle))| {
            let stated = stated.get(place);
            let id = match stated.map(|stated| &stated.id) {
                Some(RecordId::Number(id)) => *id,
                _ => place as i64 + 1,
            };
            let area = stated.and_then(|stated| stated.area).unwrap_or_else(|| f64::from(mask.area()));
            let category = self.category(segment.class.into());
            Truth { id, category, region: Region::Mask(mask), area, crowd: segment.crowd }
        };
        Ok(things.map(truth).collect())
    }

    fn detection(&self, found: &Instance) -> Detection {
        let Instance { class, score, mask, .. } = found;
        Detection { category: self.category(*class), score: *score, region: Region::Mask(mask.clone()) }
    }

    fn category(&self, class: usize) -> i64 {
        self.classes[class].id
    }
}

/// What a [`MaskScorer`] has counted of some images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskPart {
    instances: InstancePart,
    maps: Option<MapsPart>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MapsPart {
    images: usize,
    panoptic: Vec<ClassCounts>,
    semantic: Vec<u64>,
}

impl Counts for MaskScorer {
    type Part = MaskPart;

    fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        match (&mut self.maps, &other.maps) {
            (Some(maps), Some(others)) => {
                maps.panoptic.merge(&others.panoptic)?;
                maps.semantic.merge(&others.semantic)?;
            }
            (None, None) => {}
            _ => return Err(EvalError::Unlike { what: "task" }),
        }
        self.instances.merge(&other.instances)
    }

    fn part(&self) -> MaskPart {
        let maps = self.maps.as_ref().map(|maps| MapsPart {
            images: maps.panoptic.num_images(),
            panoptic: maps.panoptic.counts().to_vec(),
            semantic: maps.semantic.counts(),
        });
        MaskPart { instances: self.instances.part(), maps }
    }

    fn add_part(&mut self, part: MaskPart) -> Result<(), EvalError> {
        match (&mut self.maps, part.maps) {
            (Some(maps), Some(part)) => {
                maps.panoptic.add_counts(&part.panoptic, part.images)?;
                maps.semantic.add_part(part.semantic)?;
            }
            (None, None) => {}
            _ => return Err(EvalError::Unlike { what: "task" }),
        }
        self.instances.add_part(part.instances)
    }
}

/// The mask of every segment, in their order.
fn masks(sample: &SegmentedSample) -> Result<Vec<Rle>, TrainError> {
    let (height, width, _) = sample.image.dim();
    let size = [height as u32, width as u32];
    match &sample.masks {
        SegmentMasks::Each(each) => {
            Ok(each.iter().map(|mask| mask.to_rle(size)).collect::<Result<_, _>>()?)
        }
        SegmentMasks::Map(map) => {
            let mut found = Rle::encode_segments(&map.map(|&number| u32::from(number)))?;
            let empty = Rle::from_spans(size, &[])?;
            let of = |number: usize| found.remove(&(number as u32)).unwrap_or_else(|| empty.clone());
            Ok((0..sample.segments.len()).map(of).collect())
        }
    }
}

fn add_panoptic(
    quality: &mut PanopticQuality,
    classes: &[PanopticClass],
    image: &RecordId,
    (sample, map): (&SegmentEvalSample, &Array2<u16>),
    predicted: &Panoptic,
) -> Result<(), TrainError> {
    let SegmentEvalSample { sample, stated, .. } = sample;
    let mut areas = vec![0; sample.segments.len()];
    let mut ids = Vec::with_capacity(map.len());
    for &number in map {
        if let Some(area) = areas.get_mut(usize::from(number)) {
            *area += 1;
        }
        ids.push(if number == NO_SEGMENT { 0 } else { u32::from(number) + 1 });
    }
    for (area, stated) in areas.iter_mut().zip(stated) {
        if let Some(stated) = stated.area {
            *area = stated as u64;
        }
    }
    let truths: Vec<GtSegment> = (1..)
        .zip(&sample.segments)
        .zip(areas)
        .map(|((id, segment), area)| GtSegment {
            id,
            category_id: classes[usize::from(segment.class)].id,
            area,
            is_crowd: segment.crowd,
        })
        .collect();
    let segments: Vec<PredSegment> = predicted
        .segments
        .iter()
        .map(|segment| PredSegment { id: segment.id.into(), category_id: classes[segment.class].id })
        .collect();
    let predicted_ids: Vec<u32> = predicted.ids.iter().copied().collect();
    let ((height, width), (predicted_height, predicted_width)) = (map.dim(), predicted.ids.dim());
    quality.add(
        &panoptic_image(image),
        SegmentMap { map: PixelMap { height, width, pixels: &ids }, segments: &truths },
        SegmentMap {
            map: PixelMap { height: predicted_height, width: predicted_width, pixels: &predicted_ids },
            segments: &segments,
        },
    )?;
    Ok(())
}

fn instance_image(id: &RecordId) -> instance::ImageId {
    match id {
        RecordId::Number(id) => instance::ImageId::Number(*id),
        RecordId::Text(id) => instance::ImageId::Text(id.to_string()),
    }
}

fn panoptic_image(id: &RecordId) -> panoptic::ImageId {
    match id {
        RecordId::Number(id) => panoptic::ImageId::Number(*id),
        RecordId::Text(id) => panoptic::ImageId::Name(id.to_string()),
    }
}

/// Everything that is said of a mask classifier's predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskScores {
    /// COCO's average precision of masks.
    pub instance: InstanceScores,
    /// Of panoptic sets.
    pub panoptic: Option<PanopticScores>,
    /// Of panoptic sets.
    pub semantic: Option<SemanticScores>,
}

impl MaskScores {
    /// Names and values of the means: those of the set's own task first.
    pub fn named(&self) -> Vec<(&'static str, Option<f64>)> {
        let mut named = Vec::new();
        named.extend(self.panoptic.iter().flat_map(|scores| scores.metrics.named()));
        named.extend(self.instance.metrics.named());
        named.extend(self.semantic.iter().flat_map(|scores| scores.metrics.named()));
        named
    }

    /// As `smalti score` writes the scores of the set's own task; to panoptic ones `instance` and `semantic` are added.
    ///
    /// # Errors
    /// None of what is counted: scores are numbers and text.
    pub fn to_json(&self) -> serde_json::Result<Value> {
        let instance = serde_json::to_value(&self.instance)?;
        let Some(panoptic) = &self.panoptic else { return Ok(instance) };
        let mut value = serde_json::to_value(panoptic)?;
        value["instance"] = instance;
        if let Some(semantic) = &self.semantic {
            value["semantic"] = serde_json::to_value(semantic)?;
        }
        Ok(value)
    }

    /// As the trainer logs it: PQ decides over panoptic sets, AP over instance sets.
    pub fn evaluation(&self) -> Evaluation {
        let number = |value: Option<f64>| value.map_or(Value::Null, Value::from);
        let mut record: Map<String, Value> =
            self.named().into_iter().map(|(name, value)| (name.to_owned(), number(value))).collect();
        record.insert("classes".into(), Value::Object(self.classes()));
        let (metric, score) = match &self.panoptic {
            Some(panoptic) => ("PQ", panoptic.metrics.pq),
            None => ("AP", self.instance.metrics.ap),
        };
        Evaluation { metric, score: score.unwrap_or(0.0), record }
    }

    /// Of every class its scores by name.
    fn classes(&self) -> Map<String, Value> {
        let mut classes = Map::new();
        let mut put = |class: &str, values: Value| {
            if let (Value::Object(of), Value::Object(values)) =
                (classes.entry(class).or_insert_with(|| json!({})), values)
            {
                of.extend(values);
            }
        };
        if let Some(panoptic) = &self.panoptic {
            for (name, class) in panoptic.labels().iter().zip(&panoptic.classes) {
                put(name, json!({"PQ": class.pq, "SQ": class.sq, "RQ": class.rq}));
            }
        }
        for class in &self.instance.classes {
            put(&class.name, json!({"AP": class.metrics.ap, "AP50": class.metrics.ap50}));
        }
        for class in self.semantic.iter().flat_map(|semantic| &semantic.classes) {
            put(&class.name, json!({"IoU": class.iou}));
        }
        classes
    }
}
