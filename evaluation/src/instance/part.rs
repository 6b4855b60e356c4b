//! What was matched of some images, in a form that can be kept in a file and added to what others have matched.
//!
//! Scores are kept as their bits and verdicts as they are, so the sum of parts has the scores of one count of all images.

use serde::{Deserialize, Serialize};

use super::ap::InstanceAp;
use super::matching::Fate;
use super::params::{AREAS, ImageId, IouType, MaxDets};
use super::ranked::Evidence;
use super::verdict::{Fates, Scored, Verdict, VerdictKind};
use crate::EvalError;

/// Everything that [`InstanceAp`] has counted, but for its oddities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstancePart {
    kind: IouType,
    max_dets: [u32; 3],
    images: Vec<ImageId>,
    classes: Vec<ClassPart>,
}

/// Of one category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassPart {
    category: i64,
    /// Bits of what was matched and what is ignored.
    fates: Vec<[u64; 2]>,
    /// Bits of the score, position of the image, bits of the verdict.
    detections: Vec<(u64, u32, u32)>,
    /// Position of the image, objects that count in each area range.
    truths: Vec<(u32, [u32; AREAS])>,
}

impl InstanceAp {
    /// What was counted so far.
    pub fn part(&self) -> InstancePart {
        let class = |(&category, evidence): (&i64, &Evidence)| ClassPart {
            category,
            fates: evidence.fates.list.iter().map(|fate| [fate.matched, fate.ignored]).collect(),
            detections: evidence
                .detections
                .iter()
                .map(|det| (det.score.to_bits(), det.image, det.verdict.to_bits()))
                .collect(),
            truths: evidence.truths.clone(),
        };
        InstancePart {
            kind: self.kind,
            max_dets: self.max_dets.limits(),
            images: self.images.clone(),
            classes: self.classes.iter().map(class).collect(),
        }
    }

    /// Adds a part.
    ///
    /// # Errors
    /// As for [`InstanceAp::merge`]; [`EvalError::DamagedPart`] for a part that refers to what it does not have. Nothing is added
    /// then.
    pub fn add_part(&mut self, part: InstancePart) -> Result<(), EvalError> {
        self.merge(&part.into_ap()?)
    }
}

impl InstancePart {
    fn into_ap(self) -> Result<InstanceAp, EvalError> {
        let damaged = |what| EvalError::DamagedPart { what };
        let mut ap = InstanceAp::new(self.kind, MaxDets::new(self.max_dets)?);
        let images = self.images.len();
        for ClassPart { category, fates, detections, truths } in self.classes {
            let mut evidence = Evidence { truths, ..Evidence::default() };
            evidence.fates =
                Fates::of_list(fates.into_iter().map(|[matched, ignored]| Fate { matched, ignored }));
            for (score, image, verdict) in detections {
                let verdict = Verdict::from_bits(verdict);
                let known = match verdict.kind() {
                    VerdictKind::Wrong(_) => true,
                    VerdictKind::Mixed(place) => place < evidence.fates.list.len(),
                };
                if !known || usize::from(verdict.limit()) >= self.max_dets.len() {
                    return Err(damaged("a verdict on a detection"));
                }
                evidence.detections.push(Scored { score: f64::from_bits(score), image, verdict });
            }
            let of_detections = evidence.detections.iter().map(|det| det.image);
            if of_detections
                .chain(evidence.truths.iter().map(|truth| truth.0))
                .any(|at| at as usize >= images)
            {
                return Err(damaged("the number of an image"));
            }
            if ap.classes.insert(category, evidence).is_some() {
                return Err(damaged("a category that is there twice"));
            }
        }
        ap.seen = self.images.iter().cloned().collect();
        if ap.seen.len() != images {
            return Err(damaged("an image that is there twice"));
        }
        ap.images = self.images;
        Ok(ap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::{Detection, Region, Truth};

    /// Three images of two categories with hits, near hits, misses, a crowd, equal scores and one that is no number.
    fn images() -> Vec<(ImageId, Vec<Truth>, Vec<Detection>)> {
        let truth = |id, category, x: f64, crowd| Truth {
            id,
            category,
            region: Region::Box([x, 0.0, 40.0, 40.0]),
            area: 40.0 * x.max(1.0),
            crowd,
        };
        let found = |category, score, x: f64| Detection {
            category,
            score,
            region: Region::Box([x, 0.0, 40.0, 40.0]),
        };
        vec![
            (
                7.into(),
                vec![truth(1, 3, 0.0, false), truth(2, 5, 50.0, true)],
                vec![found(3, 0.1 + 0.2, 4.0), found(3, 0.5, 90.0), found(5, 0.5, 55.0)],
            ),
            (
                "b".into(),
                vec![truth(3, 5, 30.0, false)],
                vec![found(5, 0.5, 38.0), found(5, f64::NAN, 30.0), found(3, 1.0 / 3.0, 0.0)],
            ),
            (2.into(), vec![truth(4, 3, 9.0, false), truth(5, 3, 60.0, false)], vec![found(3, 0.5, 66.0)]),
        ]
    }

    fn counted(picked: &[usize]) -> InstanceAp {
        let images = images();
        let mut ap = InstanceAp::new(IouType::Bbox, MaxDets::default()).with_categories([9]);
        for &i in picked {
            let (id, truths, detections) = &images[i];
            ap.add(id.clone(), truths, detections).unwrap();
        }
        ap
    }

    #[test]
    fn parts_kept_as_text_add_up_to_one_count_of_everything() {
        let whole = counted(&[0, 1, 2]).finish();
        assert!(whole.metrics.ap.is_some_and(|ap| ap > 0.0 && ap < 1.0), "{whole:?}");
        for shards in
            [vec![vec![0, 1, 2]], vec![vec![2], vec![0, 1]], vec![vec![1], vec![2], vec![], vec![0]]]
        {
            let mut sum = counted(&[]);
            for shard in &shards {
                let text = serde_json::to_string(&counted(shard).part()).unwrap();
                sum.add_part(serde_json::from_str(&text).unwrap()).unwrap();
            }
            assert_eq!(sum.finish(), whole, "{shards:?}");
        }
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        let good = counted(&[0, 1]).part();
        let error = |change: &dyn Fn(&mut InstancePart)| {
            let mut part = good.clone();
            change(&mut part);
            counted(&[]).add_part(part).unwrap_err().to_string()
        };
        let with_found = good.classes.iter().position(|class| !class.detections.is_empty()).unwrap();
        let damaged = |what: &str| format!("a damaged part of a count: {what}");
        let detection = |part: &mut InstancePart, change: fn(&mut (u64, u32, u32))| {
            change(&mut part.classes[with_found].detections[0]);
        };
        assert_eq!(error(&|part| detection(part, |det| det.1 = 2)), damaged("the number of an image"));
        assert_eq!(
            error(&|part| detection(part, |det| det.2 = 1 << 20)),
            damaged("a verdict on a detection")
        );
        assert_eq!(
            error(&|part| detection(part, |det| det.2 |= 3 << 30)),
            damaged("a verdict on a detection")
        );
        assert_eq!(error(&|part| part.images[1] = 7.into()), damaged("an image that is there twice"));
        assert!(error(&|part| part.kind = IouType::Segm).contains("kind of IoU"));
        let mut sum = counted(&[1]);
        assert!(sum.add_part(good.clone()).unwrap_err().to_string().contains("image b"));
    }
}
