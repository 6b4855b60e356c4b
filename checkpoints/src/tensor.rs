//! One tensor as a description of bytes that nobody has read yet.

use std::borrow::Cow;

use crate::bytes::Bytes;
use crate::dtype::Dtype;
use crate::error::Fault;

/// Most dimensions of a tensor; numpy's own limit is 64, weights have up to six.
pub(crate) const MAX_DIMS: usize = 32;

/// Bytes up to which a view may be larger than what it views: `expand`ed buffers are, by a little.
const EXPANDED: usize = 4 << 20;

/// Element type, sizes, strides and the bytes behind them. Cloning and dropping cost nothing: the bytes stay in the file.
#[derive(Debug, Clone)]
pub struct LazyTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    /// In elements, one a dimension.
    strides: Vec<usize>,
    /// From the first element on.
    data: Bytes,
}

impl LazyTensor {
    /// Checks that every element lies inside `storage`; `offset` and `strides` count elements.
    pub(crate) fn new(
        name: &str,
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Vec<usize>,
        storage: &Bytes,
        offset: usize,
    ) -> Result<Self, Fault> {
        let beyond = |got: String| {
            let elements = storage.len() / dtype.size();
            Fault::damaged(name, format!("a view inside a storage of {elements} elements of {dtype}"), got)
        };
        let text = || format!("offset {offset}, shape {shape:?}, strides {strides:?}");
        if shape.len() > MAX_DIMS || shape.len() != strides.len() {
            return Err(beyond(text()));
        }
        let bytes = byte_len(dtype, &shape).ok_or_else(|| beyond(text()))?;
        let range = if bytes == 0 {
            Some(0..0)
        } else {
            let end = end(offset, &shape, &strides).and_then(|end| end.checked_mul(dtype.size()));
            end.map(|end| offset * dtype.size()..end)
        };
        let data = range.and_then(|range| storage.slice(range)).ok_or_else(|| beyond(text()))?;
        if bytes > EXPANDED && bytes > storage.len() {
            let got = format!("{bytes} bytes over a storage of {}", storage.len());
            return Err(Fault::too_large(name, "a view not larger than its storage", got));
        }
        Ok(Self { dtype, shape, strides, data })
    }

    /// Strides of a tensor that is stored row by row.
    pub(crate) fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
        let mut strides = vec![0; shape.len()];
        let mut next = 1usize;
        for (stride, &size) in strides.iter_mut().zip(shape).rev() {
            *stride = next;
            next = next.checked_mul(size.max(1))?;
        }
        Some(strides)
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Steps between neighbours in each dimension, in elements.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// The bytes that the tensor is a view of, from its first element on.
    pub fn storage(&self) -> &[u8] {
        &self.data
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of all elements, each counted once.
    pub fn byte_len(&self) -> usize {
        self.numel() * self.dtype.size()
    }

    /// Whether the elements lie row by row without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut next = 1;
        self.numel() == 0
            || self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
                let fits = size == 1 || stride == next;
                next *= size;
                fits
            })
    }

    /// The bytes of the tensor, row by row, little-endian: borrowed from the file where they lie so, else gathered.
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        if self.is_contiguous() {
            return Cow::Borrowed(&self.data[..self.byte_len()]);
        }
        let mut out = Vec::with_capacity(self.byte_len());
        self.gather(0, 0, &mut out);
        Cow::Owned(out)
    }

    /// Appends everything of dimension `dim` and deeper from element `first` on.
    fn gather(&self, dim: usize, first: usize, out: &mut Vec<u8>) {
        let size = self.dtype.size();
        let Some(&count) = self.shape.get(dim) else {
            out.extend_from_slice(&self.data[first * size..][..size]);
            return;
        };
        let stride = self.strides[dim];
        if dim + 1 < self.shape.len() {
            (0..count).for_each(|i| self.gather(dim + 1, first + i * stride, out));
        } else if stride == 1 {
            out.extend_from_slice(&self.data[first * size..][..count * size]);
        } else {
            (0..count).for_each(|i| out.extend_from_slice(&self.data[(first + i * stride) * size..][..size]));
        }
    }

    /// The first byte of a bool tensor that is neither 0 nor 1: no bool, and undefined behaviour in code that trusts it.
    pub fn bad_bool(&self) -> Option<u8> {
        if self.dtype != Dtype::Bool {
            return None;
        }
        self.to_bytes().iter().copied().find(|&byte| byte > 1)
    }
}

/// Bytes of a tensor, if they can be counted. A size 0 does not excuse other sizes that are beyond counting.
pub(crate) fn byte_len(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    let counted = shape.iter().try_fold(dtype.size(), |product, &size| product.checked_mul(size.max(1)))?;
    i64::try_from(counted).ok()?;
    Some(if shape.contains(&0) { 0 } else { counted })
}

/// One past the last element that a view of at least one element touches.
fn end(offset: usize, shape: &[usize], strides: &[usize]) -> Option<usize> {
    shape.iter().zip(strides).try_fold(offset.checked_add(1)?, |end, (&size, &stride)| {
        end.checked_add((size - 1).checked_mul(stride)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shape: &[usize], strides: &[usize], offset: usize) -> Result<LazyTensor, Fault> {
        let storage = Bytes::from((0..24u8).collect::<Vec<_>>());
        LazyTensor::new("w", Dtype::U8, shape.to_vec(), strides.to_vec(), &storage, offset)
    }

    #[test]
    fn views_are_gathered_row_by_row() {
        let whole = view(&[2, 3, 4], &[12, 4, 1], 0).unwrap();
        assert!(whole.is_contiguous() && matches!(whole.to_bytes(), Cow::Borrowed(_)));
        let transposed = view(&[4, 3], &[1, 4], 12).unwrap();
        assert_eq!(*transposed.to_bytes(), [12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23]);
        let columns = view(&[3, 2], &[4, 1], 1).unwrap();
        assert_eq!(*columns.to_bytes(), [1, 2, 5, 6, 9, 10]);
        let expanded = view(&[2, 2], &[0, 0], 7).unwrap();
        assert_eq!(*expanded.to_bytes(), [7, 7, 7, 7]);
        let scalar = view(&[], &[], 23).unwrap();
        assert_eq!(*scalar.to_bytes(), [23]);
        let one = view(&[1, 3, 1], &[99, 1, 77], 0).unwrap();
        assert!(one.is_contiguous(), "strides of single elements mean nothing");
    }

    #[test]
    fn views_end_inside_their_storage() {
        assert!(view(&[24], &[1], 0).is_ok());
        for (shape, strides, offset) in [
            (&[25][..], &[1][..], 0),
            (&[24], &[1], 1),
            (&[2, 2], &[23, 1], 0),
            (&[2], &[usize::MAX], 1),
            (&[usize::MAX, 3], &[0, 0], 0),
            (&[0, usize::MAX, 4], &[1, 1, 1], 0),
            (&[], &[], 24),
            (&[], &[], usize::MAX),
            (&[2], &[1, 1], 0),
        ] {
            let fault = view(shape, strides, offset).unwrap_err();
            assert!(fault.to_string().contains("inside a storage of 24 elements of u8"), "{fault}");
        }
        assert_eq!(view(&[0, 5], &[5, 1], 24).unwrap().to_bytes().len(), 0);
        let bomb = view(&[1 << 20, 1 << 20], &[0, 0], 0).unwrap_err();
        assert!(bomb.to_string().contains("not larger than its storage"), "{bomb}");
    }

    #[test]
    fn bools_are_0_or_1() {
        let storage = Bytes::from(vec![0, 1, 2]);
        let tensor = |shape| LazyTensor::new("w", Dtype::Bool, vec![shape], vec![1], &storage, 0).unwrap();
        assert_eq!(tensor(2).bad_bool(), None);
        assert_eq!(tensor(3).bad_bool(), Some(2));
    }
}
