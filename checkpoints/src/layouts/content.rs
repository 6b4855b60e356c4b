//! Tensors that are made of stored ones by moving elements. Nothing is moved before the bytes are asked for.

use std::borrow::Cow;
use std::sync::Arc;

use half::{bf16, f16};

use super::bicubic;
use crate::dtype::Dtype;
use crate::tensor::LazyTensor;

/// The order in which mmsegmentation takes the pixels of a block that patch merging joins: rows before columns, where the
/// authors take columns before rows. Its own inverse.
const PIXELS: [usize; 4] = [0, 2, 1, 3];

/// A tensor: element type, sizes, and where its elements come from.
#[derive(Debug, Clone)]
pub struct Content {
    dtype: Dtype,
    shape: Vec<usize>,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Stored(LazyTensor),
    /// One after the other along the first dimension.
    Joined(Vec<Content>),
    /// Elements `first..` of another, row by row.
    Part {
        of: Arc<Content>,
        first: usize,
    },
    /// Blocks of channels, a pixel each, to channels of four pixels.
    Merged(Arc<Content>),
    /// And back.
    Unmerged(Arc<Content>),
    /// A square table in the last two dimensions, of another side.
    Resized(Arc<Content>),
    /// Floats as f16.
    Halved(Arc<Content>),
}

impl From<&LazyTensor> for Content {
    fn from(tensor: &LazyTensor) -> Self {
        Self { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), source: Source::Stored(tensor.clone()) }
    }
}

impl Content {
    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of all elements.
    pub fn byte_len(&self) -> usize {
        self.numel() * self.dtype.size()
    }

    /// All elements row by row, little-endian.
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        match &self.source {
            Source::Stored(tensor) => tensor.to_bytes(),
            Source::Joined(parts) => {
                let mut bytes = Vec::with_capacity(self.byte_len());
                for part in parts {
                    bytes.extend_from_slice(&part.to_bytes());
                }
                Cow::Owned(bytes)
            }
            Source::Part { of, first } => {
                let range = first * self.dtype.size()..first * self.dtype.size() + self.byte_len();
                match of.to_bytes() {
                    Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range]),
                    Cow::Owned(bytes) => Cow::Owned(bytes[range].to_vec()),
                }
            }
            Source::Merged(of) => Cow::Owned(self.reordered(of, |channels, pixel, channel| {
                (PIXELS[pixel] * channels + channel, channel * 4 + pixel)
            })),
            Source::Unmerged(of) => Cow::Owned(self.reordered(of, |channels, pixel, channel| {
                (channel * 4 + pixel, PIXELS[pixel] * channels + channel)
            })),
            Source::Halved(of) => {
                let halves = of.floats().into_iter().map(f16::from_f64);
                Cow::Owned(halves.flat_map(f16::to_le_bytes).collect())
            }
            Source::Resized(of) => Cow::Owned(bicubic::resized(of, &self.shape)),
        }
    }

    /// Elements of every row of the last dimension moved; `places` gives (from, to) for channels, pixel and channel.
    fn reordered(&self, of: &Self, places: impl Fn(usize, usize, usize) -> (usize, usize)) -> Vec<u8> {
        let (from, size) = (of.to_bytes(), self.dtype.size());
        let row = self.shape.last().copied().unwrap_or(1);
        let mut to = vec![0; from.len()];
        for start in (0..self.numel()).step_by(row.max(1)) {
            for pixel in 0..4 {
                for channel in 0..row / 4 {
                    let (source, target) = places(row / 4, pixel, channel);
                    let (source, target) = ((start + source) * size, (start + target) * size);
                    to[target..target + size].copy_from_slice(&from[source..source + size]);
                }
            }
        }
        to
    }

    /// Tensors one after the other along the first dimension, if they are alike but for its size.
    pub(super) fn joined(parts: Vec<Self>) -> Option<Self> {
        let first = parts.first()?;
        let (rows, rest) = first.shape.split_first()?;
        let alike = |part: &Self| part.dtype == first.dtype && part.shape.get(1..) == Some(rest);
        if !parts.iter().all(|part| alike(part) && part.shape[0] == *rows) {
            return None;
        }
        let (dtype, shape) = (first.dtype, [&[rows * parts.len()], rest].concat());
        Some(Self { dtype, shape, source: Source::Joined(parts) })
    }

    /// `count` equal parts along the first dimension, if it divides.
    pub(super) fn split(&self, count: usize) -> Option<Vec<Self>> {
        let (rows, rest) = self.shape.split_first()?;
        (rows % count == 0).then(|| self.parts(count, &[&[rows / count], rest].concat()))
    }

    /// Tensors of one shape as the rows of one.
    pub(super) fn stacked(parts: Vec<Self>) -> Option<Self> {
        let (dtype, row) = (parts.first()?.dtype, parts.first()?.shape.clone());
        let alike = parts.iter().all(|part| part.dtype == dtype && part.shape == row);
        let shape = [&[parts.len()], row.as_slice()].concat();
        alike.then(|| Self { dtype, shape, source: Source::Joined(parts) })
    }

    /// The rows, if there are `count`.
    pub(super) fn unstacked(&self, count: usize) -> Option<Vec<Self>> {
        let (rows, rest) = self.shape.split_first()?;
        (*rows == count).then(|| self.parts(count, rest))
    }

    fn parts(&self, count: usize, shape: &[usize]) -> Vec<Self> {
        let (of, elements) = (Arc::new(self.clone()), shape.iter().product::<usize>());
        let part = |i: usize| Source::Part { of: Arc::clone(&of), first: i * elements };
        (0..count).map(|i| Self { dtype: self.dtype, shape: shape.to_vec(), source: part(i) }).collect()
    }

    /// Patch merging's pixels in mmsegmentation's order.
    pub(super) fn merged(&self) -> Option<Self> {
        self.merging(Source::Merged)
    }

    /// And back.
    pub(super) fn unmerged(&self) -> Option<Self> {
        self.merging(Source::Unmerged)
    }

    fn merging(&self, source: fn(Arc<Self>) -> Source) -> Option<Self> {
        let last = self.shape.last()?;
        let of = || Arc::new(self.clone());
        (last % 4 == 0).then(|| Self { dtype: self.dtype, shape: self.shape.clone(), source: source(of()) })
    }

    /// A table of position biases for windows of another side, by bicubic interpolation, if it is one: `[M, S, S]` as NAT
    /// has it or `[S * S, M]` as Swin, of floats. The result is f32.
    pub fn resized(&self, shape: &[usize]) -> Option<Self> {
        let (from, to) = (bicubic::table(&self.shape)?, bicubic::table(shape)?);
        let alike = self.dtype.is_float() && from.heads == to.heads && from.heads_first == to.heads_first;
        let source = || Source::Resized(Arc::new(self.clone()));
        alike.then(|| Self { dtype: Dtype::F32, shape: shape.to_vec(), source: source() })
    }
}

impl Content {
    /// f64 and f32 as f16, rounded to the nearest; other types as they are.
    ///
    /// # Errors
    /// The first value that is finite and no longer would be.
    pub fn halved(&self) -> Result<Self, f64> {
        if !matches!(self.dtype, Dtype::F64 | Dtype::F32) {
            return Ok(self.clone());
        }
        let lost = |value: &f64| value.is_finite() && !f16::from_f64(*value).is_finite();
        match self.floats().into_iter().find(lost) {
            Some(value) => Err(value),
            None => Ok(Self {
                dtype: Dtype::F16,
                shape: self.shape.clone(),
                source: Source::Halved(Arc::new(self.clone())),
            }),
        }
    }

    /// All elements of a tensor of floats; none of another type.
    pub(super) fn floats(&self) -> Vec<f64> {
        fn all<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks().0.iter().map(|&bytes| value(bytes)).collect()
        }
        let bytes = self.to_bytes();
        match self.dtype {
            Dtype::F64 => all(&bytes, f64::from_le_bytes),
            Dtype::F32 => all(&bytes, |bytes| f32::from_le_bytes(bytes).into()),
            Dtype::F16 => all(&bytes, |bytes| f16::from_le_bytes(bytes).to_f64()),
            Dtype::BF16 => all(&bytes, |bytes| bf16::from_le_bytes(bytes).to_f64()),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;

    fn counted(shape: &[usize]) -> Content {
        let count = shape.iter().product::<usize>() as u8;
        let storage = Bytes::from((0..count).collect::<Vec<_>>());
        let strides = LazyTensor::row_major(shape).unwrap();
        Content::from(&LazyTensor::new("w", Dtype::U8, shape.to_vec(), strides, &storage, 0).unwrap())
    }

    fn of_floats(values: &[f32]) -> Content {
        let storage = Bytes::from(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
        let shape = vec![values.len()];
        let strides = LazyTensor::row_major(&shape).unwrap();
        Content::from(&LazyTensor::new("w", Dtype::F32, shape, strides, &storage, 0).unwrap())
    }

    #[test]
    fn halves_are_rounded_to_the_nearest_and_never_overflow() {
        let halved = of_floats(&[1.0, 0.1, -65504.0, f32::INFINITY]).halved().unwrap();
        assert_eq!((halved.dtype(), halved.shape(), halved.byte_len()), (Dtype::F16, &[4][..], 8));
        assert_eq!(halved.floats(), [1.0, 0.099_975_585_937_5, -65504.0, f64::INFINITY]);
        assert_eq!(of_floats(&[0.0, 1e5]).halved().unwrap_err(), 1e5);
        assert_eq!(counted(&[3]).halved().unwrap().dtype(), Dtype::U8);
    }

    #[test]
    fn parts_join_and_split() {
        let whole = counted(&[6, 2]);
        let parts = whole.split(3).unwrap();
        assert_eq!((parts[1].shape(), &*parts[1].to_bytes()), (&[2, 2][..], &[4, 5, 6, 7][..]));
        let joined = Content::joined(parts).unwrap();
        assert_eq!((joined.shape(), joined.to_bytes()), (whole.shape(), whole.to_bytes()));
        assert!(whole.split(4).is_none());
        assert!(Content::joined(vec![counted(&[2, 2]), counted(&[2, 3])]).is_none());

        let rows = counted(&[2, 3]).unstacked(2).unwrap();
        assert_eq!((rows[1].shape(), &*rows[1].to_bytes()), (&[3][..], &[3, 4, 5][..]));
        let stacked = Content::stacked(rows).unwrap();
        assert_eq!((stacked.shape(), &*stacked.to_bytes()), (&[2, 3][..], &[0, 1, 2, 3, 4, 5][..]));
        assert!(counted(&[3, 2]).unstacked(2).is_none());
    }

    #[test]
    fn a_block_of_four_pixels_is_read_by_rows() {
        // 2 channels; pixels (row, column): 0,0 = 0 1; 1,0 = 2 3; 0,1 = 4 5; 1,1 = 6 7.
        let merging = counted(&[8]).merged().unwrap();
        assert_eq!(*merging.to_bytes(), [0, 4, 2, 6, 1, 5, 3, 7]);
        let matrix = counted(&[2, 8]);
        let back = matrix.merged().unwrap().unmerged().unwrap();
        assert_eq!((back.shape(), back.to_bytes()), (matrix.shape(), matrix.to_bytes()));
        assert!(counted(&[6]).merged().is_none());
    }
}
