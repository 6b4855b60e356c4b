//! Memory that serves batch after batch.

use std::mem;
use std::sync::{Mutex, PoisonError};

use ndarray::Array4;

/// The images of a batch that came back. Memory fresh from the system arrives page by page, which costs more than filling it.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Vec<f32>>);

impl Spare {
    /// An array of this shape with anything in it: what came back if it is as long, else zeros.
    pub fn images(&self, shape: (usize, usize, usize, usize)) -> Array4<f32> {
        let memory = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Array4::from_shape_vec(shape, memory).unwrap_or_else(|_| Array4::zeros(shape))
    }

    /// Keeps an array for [`Spare::images`], in place of one that was kept before.
    pub fn keep(&self, images: Array4<f32>) {
        let (memory, _) = images.into_raw_vec_and_offset();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = memory;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_the_same_length_comes_again() {
        let spare = Spare::default();
        let first = spare.images((2, 3, 4, 5));
        assert!(first.iter().all(|v| *v == 0.0));
        let place = first.as_ptr();
        spare.keep(first);
        let again = spare.images((2, 3, 5, 4));
        assert_eq!((again.as_ptr(), again.dim()), (place, (2, 3, 5, 4)));
        assert_ne!(spare.images((2, 3, 5, 4)).as_ptr(), place, "it is given away once");
        spare.keep(again);
        assert_eq!(spare.images((1, 3, 4, 4)).len(), 48, "another length is made anew");
    }
}
