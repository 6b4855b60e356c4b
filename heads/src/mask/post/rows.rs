//! Bilinear resizing of some rows of a map, as if the whole map were resized: what lets results be made strip by strip.
//!
//! The coordinates are those of libtorch's `upsample_bilinear2d` with corners not aligned, rounded in the same dtype.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::resize;

/// An axis of `input` pixels resized to `output`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) input: i64,
    pub(super) output: i64,
}

impl Axis {
    /// The two input pixels that an output pixel lies between, and how far it is towards the second.
    fn source(self, output: i64, kind: Kind) -> (i64, i64, f64) {
        let place = if kind == Kind::Double {
            self.input as f64 / self.output as f64 * (output as f64 + 0.5) - 0.5
        } else {
            f64::from(self.input as f32 / self.output as f32 * (output as f32 + 0.5) - 0.5)
        };
        let place = place.max(0.0);
        let first = (place as i64).min(self.input - 1);
        (first, (first + 1).min(self.input - 1), place - first as f64)
    }

    /// The input pixels that a range of output pixels depends on.
    pub(super) fn needed(self, output: &Range<i64>, kind: Kind) -> Range<i64> {
        self.source(output.start, kind).0..self.source(output.end - 1, kind).1 + 1
    }

    /// Rows `output` of the resized map: `strip` `[C, R, W]` holds the input rows from `first` on -> `[C, output.len(), W]`.
    pub(super) fn resize_rows(self, strip: &Tensor, first: i64, output: &Range<i64>) -> Tensor {
        if self.input == self.output {
            return strip.narrow(1, output.start - first, output.end - output.start);
        }
        let kind = strip.kind();
        let sources: Vec<(i64, i64, f64)> = output.clone().map(|row| self.source(row, kind)).collect();
        let rows = |pick: fn(&(i64, i64, f64)) -> i64| {
            let index: Vec<i64> = sources.iter().map(|source| pick(source) - first).collect();
            strip.index_select(1, &Tensor::from_slice(&index).to_device(strip.device()))
        };
        let share: Vec<f64> = sources.iter().map(|source| source.2).collect();
        let share = Tensor::from_slice(&share).to_kind(kind).to_device(strip.device()).unsqueeze(1); // [rows, 1]
        rows(|source| source.0) * (1.0_f64 - &share) + rows(|source| source.1) * share
    }
}

/// All columns of a strip: `[C, R, W]` -> `[C, R, width]`.
pub(super) fn resize_columns(strip: &Tensor, width: i64) -> Tensor {
    let rows = strip.size()[1];
    resize(&strip.unsqueeze(0), (rows, width)).squeeze_dim(0)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    /// Strips of every height, put together, against libtorch's resize of the whole map.
    #[test]
    fn strips_make_up_the_whole_map() {
        tch::manual_seed(3);
        for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::Double, 1e-12)] {
            for (input, output) in [(5, 17), (17, 5), (6, 6), (1, 4), (4, 1), (7, 8), (96, 33)] {
                let map = Tensor::randn([3, input, 11], (kind, Device::Cpu));
                let whole = resize(&map.unsqueeze(0), (output, 19)).squeeze_dim(0);
                let axis = Axis { input, output };
                for height in [1, 2, 5, output] {
                    let strips: Vec<Tensor> = (0..output)
                        .step_by(height as usize)
                        .map(|start| {
                            let range = start..(start + height).min(output);
                            let needed = axis.needed(&range, kind);
                            let strip = map.narrow(1, needed.start, needed.end - needed.start);
                            resize_columns(&axis.resize_rows(&strip, needed.start, &range), 19)
                        })
                        .collect();
                    let joined = Tensor::cat(&strips, 1);
                    assert_eq!(joined.size(), whole.size());
                    let error = (&joined - &whole).abs().max().double_value(&[]);
                    assert!(error < tolerance, "{kind:?} {input} to {output} by {height}: {error}");
                }
            }
        }
    }
}
