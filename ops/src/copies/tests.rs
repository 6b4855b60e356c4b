use std::cell::RefCell;

use tch::Kind;

use super::*;
use ring::Transport;

/// A device that copies as late as it may: only when someone waits for it. What is written into staging memory too early shows up
/// in the copy, and a copy that nobody waits for is never made.
#[derive(Debug, Default)]
struct Late {
    /// Copies that are not made yet: number, from, to.
    pending: RefCell<Vec<(u64, Tensor, Tensor)>>,
    sent: RefCell<u64>,
    /// Bytes of every staging buffer that was made.
    staging: RefCell<Vec<usize>>,
    /// Waits of the host.
    finished: RefCell<Vec<u64>>,
    full: RefCell<bool>,
}

impl Late {
    /// Makes the copies up to this one, in order, as a stream does.
    fn catch_up(&self, event: u64) {
        self.pending.borrow_mut().retain_mut(|(number, from, to)| {
            let due = *number <= event;
            if due {
                to.copy_(from);
            }
            !due
        });
    }
}

impl Transport for &Late {
    type Event = u64;

    fn staging(&self, bytes: usize) -> Result<Tensor, OpError> {
        self.staging.borrow_mut().push(bytes);
        Ok(Tensor::full([bytes as i64], 0xaa_i64, (Kind::Uint8, Device::Cpu)))
    }

    fn send(&self, staging: &Tensor, bytes: usize) -> Result<(Tensor, u64), OpError> {
        if *self.full.borrow() {
            return Err(OpError::Native { op: "upload", message: "out of memory".to_string() });
        }
        let to = Tensor::full([bytes as i64], 0x55_i64, (Kind::Uint8, Device::Cpu));
        let number = *self.sent.borrow();
        *self.sent.borrow_mut() += 1;
        let from = staging.narrow(0, 0, bytes as i64);
        self.pending.borrow_mut().push((number, from, to.shallow_clone()));
        Ok((to, number))
    }

    fn finish(&self, event: &u64) -> Result<(), OpError> {
        self.finished.borrow_mut().push(*event);
        self.catch_up(*event);
        Ok(())
    }

    fn receive(&self, _: &Tensor, event: &u64) -> Result<(), OpError> {
        self.catch_up(*event);
        Ok(())
    }
}

/// A batch whose values tell its number.
struct Arrays {
    images: Vec<f32>,
    labels: Vec<u8>,
    classes: Vec<i64>,
}

impl Arrays {
    fn numbered(number: usize, images: usize) -> Self {
        Self {
            images: (0..images * 12).map(|i| (number * 1000 + i) as f32).collect(),
            labels: (0..images * 4).map(|i| (number * 7 + i) as u8).collect(),
            classes: (0..images).map(|i| (number + i) as i64).collect(),
        }
    }

    fn arrays(&self) -> Vec<HostArray<'_>> {
        let images = self.classes.len();
        vec![
            HostArray::new(self.images.as_slice(), &[images, 3, 2, 2]).unwrap(),
            HostArray::new(Vec::<u8>::new(), &[0, 2, 2]).unwrap(),
            HostArray::new(self.labels.as_slice(), &[images, 2, 2]).unwrap(),
            HostArray::new(self.classes.clone(), &[images]).unwrap(),
        ]
    }

    fn assert_are(&self, tensors: &[Tensor]) {
        let images = self.classes.len() as i64;
        let sizes: Vec<_> = tensors.iter().map(Tensor::size).collect();
        assert_eq!(sizes, [vec![images, 3, 2, 2], vec![0, 2, 2], vec![images, 2, 2], vec![images]]);
        let kinds: Vec<_> = tensors.iter().map(Tensor::kind).collect();
        assert_eq!(kinds, [Kind::Float, Kind::Uint8, Kind::Uint8, Kind::Int64]);
        let [got_images, _, got_labels, got_classes] = tensors else { panic!("four") };
        assert_eq!(Vec::<f32>::try_from(got_images.reshape([-1])).unwrap(), self.images);
        assert_eq!(Vec::<u8>::try_from(got_labels.reshape([-1])).unwrap(), self.labels);
        assert_eq!(Vec::<i64>::try_from(got_classes).unwrap(), self.classes);
    }
}

#[test]
fn on_a_cpu_arrays_are_tensors_at_once() {
    let mut uploader = Uploader::new(Device::Cpu);
    assert!(!uploader.overlaps());
    let mut batch = Arrays::numbered(3, 2);
    let tensors = uploader.upload(&batch.arrays()).unwrap().wait().unwrap();
    batch.images.fill(0.0); // the tensors have memory of their own
    batch.images.clone_from(&Arrays::numbered(3, 2).images);
    batch.assert_are(&tensors);
    assert!(uploader.upload(&[]).unwrap().wait().unwrap().is_empty());
}

#[test]
fn every_upload_arrives_as_it_was_sent_through_two_buffers() {
    // So many are sent before the first of them is taken.
    for ahead in 1..=3 {
        let device = Late::default();
        let mut ring = Ring::new(&device);
        let mut coming = std::collections::VecDeque::new();
        for number in 0..20 {
            let batch = Arrays::numbered(number, 3);
            coming.push_back((number, ring.send(&batch.arrays()).unwrap()));
            if coming.len() == ahead {
                let (number, upload) = coming.pop_front().unwrap();
                Arrays::numbered(number, 3).assert_are(&upload.receive().unwrap());
            }
        }
        for (number, upload) in coming {
            Arrays::numbered(number, 3).assert_are(&upload.receive().unwrap());
        }
        assert_eq!(device.staging.borrow().len(), 2, "buffers are used again");
        let waits: Vec<u64> = (0..18).collect();
        assert_eq!(*device.finished.borrow(), waits, "for the last copy from a buffer, before it is filled");
    }
}

#[test]
fn uploads_that_nobody_takes_harm_no_other() {
    let device = Late::default();
    let mut ring = Ring::new(&device);
    for number in 0..10 {
        let batch = Arrays::numbered(number, 3);
        let upload = ring.send(&batch.arrays()).unwrap();
        if number % 3 == 1 {
            batch.assert_are(&upload.receive().unwrap());
        }
    }
    assert_eq!(device.staging.borrow().len(), 2);
}

#[test]
fn buffers_grow_with_the_largest_batch_and_stay() {
    let device = Late::default();
    let mut ring = Ring::new(&device);
    for images in [1, 1, 40, 2, 39, 40, 1, 40] {
        let batch = Arrays::numbered(images, images);
        batch.assert_are(&ring.send(&batch.arrays()).unwrap().receive().unwrap());
    }
    // One image: classes lie at 1024, behind images and labels, and end at 1032. 40 images: labels at 2048, classes at 2560, to 2880.
    assert_eq!(*device.staging.borrow(), [2048, 2048, 4096, 4096]);
}

#[test]
fn tensors_of_an_upload_are_apart_for_autograd() {
    let device = Late::default();
    let batch = Arrays::numbered(1, 2);
    let tensors = Ring::new(&device).send(&batch.arrays()).unwrap().receive().unwrap();
    let weight = Tensor::ones([2, 3, 2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let sum = (&weight * &tensors[0]).sum(Kind::Float); // keeps the images for backward
    let _ = tensors[2].shallow_clone().fill_(0_i64); // changes the labels in place
    sum.backward();
    assert!(weight.grad().equal(&tensors[0]));
}

#[test]
fn what_fails_is_told_and_the_next_upload_is_whole() {
    let device = Late::default();
    let mut ring = Ring::new(&device);
    let batch = |number| Arrays::numbered(number, 3);
    let first = ring.send(&batch(0).arrays()).unwrap();
    *device.full.borrow_mut() = true;
    let error = ring.send(&batch(1).arrays()).unwrap_err();
    assert_eq!(error.to_string(), "upload: out of memory");
    *device.full.borrow_mut() = false;
    let later = ring.send(&batch(2).arrays()).unwrap();
    batch(0).assert_are(&first.receive().unwrap());
    batch(2).assert_are(&later.receive().unwrap());

    let error = HostArray::new([1_u8, 2, 3].as_slice(), &[2, 2]).unwrap_err();
    let expected = "upload: the values of an array: expected 4 for the shape [2, 2], got 3";
    assert_eq!(error.to_string(), expected);
}
