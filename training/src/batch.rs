//! What the trainer looks at in a batch of any task.

use smalti_datasets::transform::segments::SegmentBatch;
use smalti_datasets::{Batch, ImageBatch};
use tch::{Device, Tensor};

/// A training batch.
pub trait TrainBatch {
    /// Names of its images, in batch order.
    fn names(&self) -> &[String];

    /// Its arrays by name, on the CPU: what is saved of a batch whose loss is not finite.
    fn tensors(&self) -> Vec<(String, Tensor)>;
}

impl TrainBatch for Batch {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn tensors(&self) -> Vec<(String, Tensor)> {
        let images = tensor(self.images.as_slice(), self.images.shape(), Device::Cpu);
        let labels = tensor(self.labels.as_slice(), self.labels.shape(), Device::Cpu);
        vec![("images".to_string(), images), ("labels".to_string(), labels)]
    }
}

impl TrainBatch for ImageBatch {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn tensors(&self) -> Vec<(String, Tensor)> {
        let images = tensor(self.images.as_slice(), self.images.shape(), Device::Cpu);
        let own_share = Tensor::from_slice(&[self.own_share]);
        vec![
            ("images".to_string(), images),
            ("classes".to_string(), class_ids(self)),
            ("own_share".to_string(), own_share),
        ]
    }
}

impl TrainBatch for SegmentBatch {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn tensors(&self) -> Vec<(String, Tensor)> {
        let images = tensor(self.images.as_slice(), self.images.shape(), Device::Cpu);
        let mut tensors = vec![("images".to_string(), images)];
        for (i, targets) in self.targets.iter().enumerate() {
            let classes: Vec<i64> = targets.classes.iter().map(|&class| i64::from(class)).collect();
            let masks = tensor(targets.masks.as_slice(), targets.masks.shape(), Device::Cpu);
            tensors.push((format!("classes.{i}"), Tensor::from_slice(&classes)));
            tensors.push((format!("masks.{i}"), masks));
        }
        tensors
    }
}

/// Classes of a batch, `[B]` i64, on the CPU.
pub(crate) fn class_ids(batch: &ImageBatch) -> Tensor {
    let classes: Vec<i64> = batch.classes.iter().map(|&class| i64::from(class)).collect();
    Tensor::from_slice(&classes)
}

/// A tensor of an array in standard layout, which every array of the loader has.
pub(crate) fn tensor<T: tch::kind::Element>(values: Option<&[T]>, shape: &[usize], device: Device) -> Tensor {
    let values = values.expect("the loader's arrays are in standard layout");
    let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    Tensor::from_slice(values).reshape(shape).to_device(device)
}
