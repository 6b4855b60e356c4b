//! What was counted of some images, in a form that can be kept in a file and added to what others have counted.

use serde::{Deserialize, Serialize};
use smalti_datasets::cityscapes::{Label, NUM_IDS};

use super::counts::PixelCounts;
use super::objects::Object;
use crate::EvalError;
use crate::semantic::ConfusionMatrix;

/// Everything that [`PixelCounts`] has counted, but for the images that it may have kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelPart {
    images: u32,
    /// `[35, 35]` row by row, see [`ConfusionMatrix::counts`].
    confusion: Vec<u64>,
    /// Label, pixels, pixels predicted as its label, pixels predicted as its category, position of the image.
    objects: Vec<(u8, u64, u64, u64, u32)>,
}

impl PixelCounts {
    /// What was counted so far.
    pub fn part(&self) -> PixelPart {
        let object = |&Object { label, size, hits, category_hits, image }: &Object| {
            (label, size, hits, category_hits, image)
        };
        PixelPart {
            images: self.images as u32,
            confusion: self.confusion.counts(),
            objects: self.objects.iter().map(object).collect(),
        }
    }

    /// Adds a part. Images stay kept no longer, as parts have none.
    ///
    /// # Errors
    /// [`EvalError::Length`] for a matrix of other classes, [`EvalError::DamagedPart`] for a part that can not have been counted;
    /// nothing is added then.
    pub fn add_part(&mut self, part: PixelPart) -> Result<(), EvalError> {
        self.merge(part.into_counts()?)
    }
}

impl PixelPart {
    fn into_counts(self) -> Result<PixelCounts, EvalError> {
        let Self { images, confusion, objects } = self;
        let mut counts = PixelCounts::new();
        counts.images = images as usize;
        let confusion = ConfusionMatrix::from_counts(NUM_IDS, confusion)?;
        counts.confusion = confusion.with_ignore_label(PixelCounts::IGNORED);
        let of_part = |(label, size, hits, category_hits, image): (u8, u64, u64, u64, u32)| {
            let damaged = |what| Err(EvalError::DamagedPart { what });
            if image >= images {
                return damaged("the number of an image");
            }
            if !Label::by_id(label.into()).is_some_and(Label::is_instance_class) {
                return damaged("the label of an object");
            }
            if size == 0 || hits > category_hits || category_hits > size {
                return damaged("the pixels of an object");
            }
            Ok(Object { label, size, hits, category_hits, image })
        };
        counts.objects = objects.into_iter().map(of_part).collect::<Result<_, _>>()?;
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three frames: a road with two cars of which one is half a truck, people who are missed, void alone.
    fn counted(picked: &[usize]) -> PixelCounts {
        let mut counts = PixelCounts::new();
        for &i in picked {
            let (pred, gt, ids): ([u8; 7], [u8; 7], [u16; 7]) = match i {
                0 => (
                    [7, 7, 26, 27, 26, 26, 26],
                    [7, 7, 26, 26, 26, 26, 7],
                    [7, 7, 26_000, 26_000, 26_001, 26, 7],
                ),
                1 => {
                    ([7, 24, 25, 7, 7, 8, 11], [24, 24, 24, 7, 7, 8, 0], [24_000, 24_000, 24_001, 7, 7, 8, 0])
                }
                _ => ([11; 7], [0; 7], [0; 7]),
            };
            counts.add(&format!("frame {i}"), &pred, &gt, &ids).unwrap();
        }
        counts
    }

    #[test]
    fn parts_kept_as_text_add_up_to_one_count_of_everything() {
        let whole = counted(&[0, 1, 2]);
        for (name, value) in whole.finish().named() {
            assert!(value.is_some_and(|value| value > 0.0 && value < 1.0), "{name}: {value:?}");
        }
        for shards in [vec![vec![0, 1, 2]], vec![vec![1], vec![0, 2]], vec![vec![2], vec![], vec![1, 0]]] {
            let mut sum = counted(&[]);
            for shard in &shards {
                let text = serde_json::to_string(&counted(shard).part()).unwrap();
                sum.add_part(serde_json::from_str(&text).unwrap()).unwrap();
            }
            assert_eq!((sum.finish(), sum.images()), (whole.finish(), 3), "{shards:?}");
            // What is counted after a part is counted alike.
            sum.merge(counted(&[0])).unwrap();
            assert_eq!(sum.finish(), counted(&[0, 1, 2, 0]).finish(), "{shards:?}");
        }
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        let error = |change: &dyn Fn(&mut PixelPart)| {
            let mut part = counted(&[0, 1]).part();
            change(&mut part);
            let mut counts = counted(&[2]);
            let message = counts.add_part(part).unwrap_err().to_string();
            assert_eq!(counts.part(), counted(&[2]).part(), "nothing is added");
            message
        };
        let damaged = |what: &str| format!("a damaged part of a count: {what}");
        assert!(error(&|part| part.confusion.truncate(34 * 34)).contains("for 34 classes, got 1156"));
        assert_eq!(error(&|part| part.images = 1), damaged("the number of an image"));
        assert_eq!(error(&|part| part.objects[0].0 = 7), damaged("the label of an object"));
        assert_eq!(error(&|part| part.objects[0].0 = 200), damaged("the label of an object"));
        let pixels = damaged("the pixels of an object");
        assert_eq!(error(&|part| part.objects[0].1 = 0), pixels);
        assert_eq!(error(&|part| part.objects[0].2 = part.objects[0].3 + 1), pixels);
        assert_eq!(error(&|part| part.objects[0].3 = part.objects[0].1 + 1), pixels);
    }
}
