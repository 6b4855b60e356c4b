//! What was counted of some images, in a form that can be kept in a file and added to what others have counted.

use serde::{Deserialize, Serialize};

use super::counts::{ClassCounts, Found, InstanceAp};
use super::{CLASSES, OVERLAPS};
use crate::EvalError;

/// Everything that [`InstanceAp`] has counted, but for the images that it may have kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstancePart {
    images: u32,
    /// In order of the label ids.
    classes: Vec<ClassPart>,
}

/// Of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassPart {
    objects: u64,
    /// Bits of the confidence, overlaps at which it is right, overlaps at which it is wrong, position of the image.
    found: Vec<(u64, u16, u16, u32)>,
}

impl InstanceAp {
    /// What was counted so far.
    pub fn part(&self) -> InstancePart {
        let class = |class: &ClassCounts| ClassPart {
            objects: class.objects,
            found: class
                .found
                .iter()
                .map(|found| (found.confidence.to_bits(), found.hits, found.misses, found.image))
                .collect(),
        };
        InstancePart { images: self.images as u32, classes: self.classes.iter().map(class).collect() }
    }

    /// Adds a part. Images stay kept no longer, as parts have none.
    ///
    /// # Errors
    /// [`EvalError::DamagedPart`] for a part that can not have been counted; nothing is added then.
    pub fn add_part(&mut self, part: InstancePart) -> Result<(), EvalError> {
        self.merge(part.into_ap()?);
        Ok(())
    }
}

impl InstancePart {
    fn into_ap(self) -> Result<InstanceAp, EvalError> {
        let damaged = |what| EvalError::DamagedPart { what };
        if self.classes.len() != CLASSES {
            return Err(damaged("the number of classes"));
        }
        let mut ap = InstanceAp::new();
        ap.images = self.images as usize;
        for (class, ClassPart { objects, found }) in ap.classes.iter_mut().zip(self.classes) {
            class.objects = objects;
            for (confidence, hits, misses, image) in found {
                let found = Found { confidence: f64::from_bits(confidence), hits, misses, image };
                if image >= self.images {
                    return Err(damaged("the number of an image"));
                }
                // Right, wrong or neither at each overlap, and something at one.
                let counted = hits | misses;
                if found.confidence.is_nan() || hits & misses != 0 || counted == 0 || counted >> OVERLAPS != 0
                {
                    return Err(damaged("a verdict on a prediction"));
                }
                class.found.push(found);
            }
        }
        Ok(ap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cityscapes::InstanceImage;

    /// Four images: a car found well, one half found below a stray prediction of the same confidence, a person missed, nothing.
    fn counted(picked: &[usize]) -> InstanceAp {
        let mut ap = InstanceAp::new();
        for &i in picked {
            let mut ids = vec![7; 600];
            match i {
                0 | 1 => ids[..200].fill(26_000),
                2 => ids[..300].fill(24_001),
                _ => {}
            }
            let mut image = InstanceImage::new(format!("frame {i}"), &ids).unwrap();
            let mut predict = |label, confidence, pixels: std::ops::Range<usize>| {
                let mask: Vec<u8> = (0..600).map(|pixel| pixels.contains(&pixel).into()).collect();
                image.predict(label, confidence, &mask).unwrap();
            };
            match i {
                0 => predict(26, 0.1 + 0.2, 0..190),
                1 => {
                    predict(26, 0.5, 0..130);
                    predict(26, 0.5, 400..500);
                }
                2 => predict(26, 1.0 / 3.0, 300..420),
                _ => {}
            }
            ap.add(image);
        }
        ap
    }

    #[test]
    fn parts_kept_as_text_add_up_to_one_count_of_everything() {
        let whole = counted(&[0, 1, 2, 3]);
        assert!(whole.finish().ap.is_some_and(|ap| ap > 0.0 && ap < 1.0), "{:?}", whole.finish());
        for shards in
            [vec![vec![0, 1, 2, 3]], vec![vec![1, 3], vec![0, 2]], vec![vec![2], vec![], vec![3, 0, 1]]]
        {
            let mut sum = counted(&[]);
            for shard in &shards {
                let text = serde_json::to_string(&counted(shard).part()).unwrap();
                sum.add_part(serde_json::from_str(&text).unwrap()).unwrap();
            }
            assert_eq!((sum.finish(), sum.images()), (whole.finish(), 4), "{shards:?}");
        }
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        let error = |change: &dyn Fn(&mut InstancePart)| {
            let mut part = counted(&[0, 1]).part();
            change(&mut part);
            let mut ap = counted(&[2]);
            let message = ap.add_part(part).unwrap_err().to_string();
            assert_eq!(ap.part(), counted(&[2]).part(), "nothing is added");
            message
        };
        let cars = counted(&[0, 1]).part().classes.iter().position(|class| !class.found.is_empty()).unwrap();
        let damaged = |what: &str| format!("a damaged part of a count: {what}");
        assert_eq!(error(&|part| part.classes.truncate(3)), damaged("the number of classes"));
        assert_eq!(error(&|part| part.images = 1), damaged("the number of an image"));
        let verdict = damaged("a verdict on a prediction");
        assert_eq!(error(&|part| part.classes[cars].found[0].0 = f64::NAN.to_bits()), verdict);
        assert_eq!(error(&|part| part.classes[cars].found[0].1 = 1 << OVERLAPS), verdict);
        assert_eq!(error(&|part| part.classes[cars].found[0].2 = part.classes[cars].found[0].1), verdict);
        assert_eq!(
            error(&|part| {
                let (_, hits, misses, _) = &mut part.classes[cars].found[0];
                (*hits, *misses) = (0, 0);
            }),
            verdict
        );
    }
}
