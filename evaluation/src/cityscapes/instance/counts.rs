//! What is counted over images.

use super::curve::average_precision;
use super::scores::InstanceScores;
use super::{CLASSES, InstanceImage, OVERLAPS};
use crate::resample::PerImage;

/// A prediction of one class that counts at some threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) confidence: f64,
    /// Bit `o` is set where it is the true positive of an object at overlap `o`.
    pub(super) hits: u16,
    /// Bit `o` is set where it is a false positive at overlap `o`.
    pub(super) misses: u16,
    /// Position of its image.
    pub(super) image: u32,
}

/// One class over images.
#[derive(Debug, Clone, Default)]
pub(super) struct ClassCounts {
    pub(super) objects: u64,
    pub(super) found: Vec<Found>,
}

/// Instance-level AP: add images, merge what others added, finish. Keeps 16 bytes a prediction. Any order and any split of
/// the images gives the same scores to the last bit. The example is in [the module](super).
#[derive(Debug, Clone, Default)]
pub struct InstanceAp {
    pub(super) classes: [ClassCounts; CLASSES],
    pub(super) images: usize,
    kept: Option<Vec<KeptImage>>,
}

#[derive(Debug, Clone)]
struct KeptImage {
    name: String,
    objects: [u64; CLASSES],
}

impl InstanceAp {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing counted yet; names and objects of every image will be kept for [`InstanceAp::per_image`].
    pub fn keeping_images() -> Self {
        Self { kept: Some(Vec::new()), ..Self::default() }
    }

    /// Adds an image with its predictions.
    #[expect(clippy::needless_pass_by_value, reason = "an image is done with once it is counted")]
    pub fn add(&mut self, image: InstanceImage) {
        let objects = image.objects();
        for (class, objects) in self.classes.iter_mut().zip(objects) {
            class.objects += objects;
        }
        image.for_each_found(self.images as u32, |class, found| self.classes[class].found.push(found));
        if let Some(kept) = &mut self.kept {
            kept.push(KeptImage { name: image.name().to_owned(), objects });
        }
        self.images += 1;
    }

    /// Adds what another one counted. Images stay kept only if both kept them.
    pub fn merge(&mut self, other: Self) {
        let before = self.images as u32;
        for (class, other) in self.classes.iter_mut().zip(other.classes) {
            class.objects += other.objects;
            let moved = other.found.into_iter().map(|found| Found { image: found.image + before, ..found });
            class.found.extend(moved);
        }
        self.kept = self.kept.take().zip(other.kept).map(|(mut kept, more)| {
            kept.extend(more);
            kept
        });
        self.images += other.images;
    }

    /// Number of images added.
    pub fn images(&self) -> usize {
        self.images
    }

    /// All scores of what was counted so far.
    pub fn finish(&self) -> InstanceScores {
        let sorted = self.sorted();
        let ap = |c: usize, o| average_precision(&sorted[c], o, self.classes[c].objects, |_| 1);
        InstanceScores::new(&matrix(ap), self.classes.each_ref().map(|class| class.objects))
    }

    /// The counts of every image, for intervals and comparisons; `None` unless they were kept.
    pub fn per_image(&self) -> Option<InstanceResampler> {
        let images = self.kept.clone()?;
        Some(InstanceResampler { images, found: self.sorted() })
    }

    /// Every class's predictions by confidence, lowest first. Equal ones may stand in any order.
    fn sorted(&self) -> [Vec<Found>; CLASSES] {
        self.classes.each_ref().map(|class| {
            let mut found = class.found.clone();
            found.sort_unstable_by(|a, b| a.confidence.total_cmp(&b.confidence));
            found
        })
    }
}

/// AP of every class at every overlap.
type ApMatrix = [[Option<f64>; OVERLAPS]; CLASSES];

fn matrix(ap: impl Fn(usize, usize) -> Option<f64>) -> ApMatrix {
    std::array::from_fn(|class| std::array::from_fn(|overlap| ap(class, overlap)))
}

/// An instance-level result that can be scored again with images counting more or less often.
#[derive(Debug, Clone)]
pub struct InstanceResampler {
    images: Vec<KeptImage>,
    found: [Vec<Found>; CLASSES],
}

impl PerImage for InstanceResampler {
    fn image_names(&self) -> Vec<String> {
        self.images.iter().map(|image| image.name.clone()).collect()
    }

    /// AP and AP50.
    fn weighted(&self, weights: &[u32]) -> Vec<Option<f64>> {
        let weight = |image: u32| weights.get(image as usize).copied().unwrap_or_default().into();
        let mut objects = [0; CLASSES];
        for (image, &weight) in self.images.iter().zip(weights) {
            for (sum, n) in objects.iter_mut().zip(image.objects) {
                *sum += n * u64::from(weight);
            }
        }
        let ap = |c: usize, o| average_precision(&self.found[c], o, objects[c], weight);
        let scores = InstanceScores::new(&matrix(ap), objects);
        vec![scores.ap, scores.ap50]
    }
}
