//! What the trainer looks at in a batch of any task, and arrays of batches on their way to tensors.

use ndarray::{Array, Array3, Dimension};
use smalti_datasets::transform::segments::SegmentBatch;
use smalti_datasets::{Batch, ImageBatch};
use smalti_ops::copies::{HostArray, HostValues};
use tch::Tensor;

use crate::TrainError;

/// A training batch. One may be made on another thread while the network is at the one before.
pub trait TrainBatch: Send {
    /// Names of its images, in batch order.
    fn names(&self) -> &[String];

    /// Its arrays by name, on the CPU: what is saved of a batch whose loss is not finite.
    ///
    /// # Errors
    /// [`TrainError::Op`] if there is no memory for them.
    fn tensors(&self) -> Result<Vec<(String, Tensor)>, TrainError>;
}

impl TrainBatch for Batch {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn tensors(&self) -> Result<Vec<(String, Tensor)>, TrainError> {
        let (images, labels) = (array(&self.images), array(&self.labels));
        Ok(vec![("images".to_string(), images.tensor()?), ("labels".to_string(), labels.tensor()?)])
    }
}

impl TrainBatch for ImageBatch {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn tensors(&self) -> Result<Vec<(String, Tensor)>, TrainError> {
        Ok(vec![
            ("images".to_string(), array(&self.images).tensor()?),
            ("classes".to_string(), class_ids(&self.classes).tensor()?),
            ("own_share".to_string(), Tensor::from_slice(&[self.own_share])),
        ])
    }
}

impl TrainBatch for SegmentBatch {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn tensors(&self) -> Result<Vec<(String, Tensor)>, TrainError> {
        let mut tensors = vec![("images".to_string(), array(&self.images).tensor()?)];
        for (i, targets) in self.targets.iter().enumerate() {
            tensors.push((format!("classes.{i}"), class_ids(&targets.classes).tensor()?));
            tensors.push((format!("masks.{i}"), array(&targets.masks).tensor()?));
        }
        Ok(tensors)
    }
}

/// Class ids of a table as indices, `[N]` i64.
pub(crate) fn class_ids<'a, T: Copy + Into<i64>>(classes: &[T]) -> HostArray<'a> {
    let classes: Vec<i64> = classes.iter().map(|&class| class.into()).collect();
    let shape = [classes.len()];
    HostArray::new(classes, &shape).expect("one dimension of this length")
}

/// An array to upload; of one in standard layout, which every array of the loader has.
pub(crate) fn array<'a, T, D: Dimension>(array: &'a Array<T, D>) -> HostArray<'a>
where
    HostValues<'a>: From<&'a [T]>,
{
    shaped(array, array.shape())
}

/// `image` `[3, H, W]` as a batch of its own, `[1, 3, H, W]`.
pub(crate) fn one_image(image: &Array3<f32>) -> HostArray<'_> {
    let (channels, height, width) = image.dim();
    shaped(image, &[1, channels, height, width])
}

fn shaped<'a, T, D: Dimension>(array: &'a Array<T, D>, shape: &[usize]) -> HostArray<'a>
where
    HostValues<'a>: From<&'a [T]>,
{
    let values = array.as_slice().expect("the loader's arrays are in standard layout");
    HostArray::new(values, shape).expect("an array has its own length")
}

/// The tensors of so many arrays.
pub(crate) fn exactly<const N: usize>(tensors: Vec<Tensor>) -> [Tensor; N] {
    let got = tensors.len();
    tensors.try_into().unwrap_or_else(|_| panic!("expected the tensors of {N} arrays, got {got}"))
}
