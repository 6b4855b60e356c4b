//! Bilinear samples of binary masks at points: what losses and costs of mask classifiers read of their targets.
//!
//! Paper: Kirillov et al., PointRend, CVPR 2020, section 3, <https://arxiv.org/abs/1912.08193>. On a CPU one pass over the points in
//! `csrc/points`, on a GPU libtorch's ops one by one. Checked by: `tests/sample_masks.rs`.

use tch::{Device, Kind, Tensor};

use crate::OpError;
use crate::native;

/// Samples of the pixels around each point, weighted by how near they are, 0 beyond the edges; as libtorch's `grid_sampler` without
/// aligned corners, but without a float copy of the masks. Records no graph.
///
/// # Shapes
/// - `masks`: `[N, H, W]`, u8 or bool, 0 and 1.
/// - `which`: `[M]`, i64, the mask of each set of points.
/// - `points`: `[M, P, 2]`, or `[1, P, 2]` for all; (x, y) in `[0, 1]`, 0 and 1 the outer edges; f32 or f64.
/// - result: `[M, P]` in the points' dtype.
///
/// # Errors
/// [`OpError::Argument`] on a CPU, [`OpError::Native`] elsewhere, if shapes, dtypes, devices or indices do not fit.
pub fn sample_masks(masks: &Tensor, which: &Tensor, points: &Tensor) -> Result<Tensor, OpError> {
    if points.device() != Device::Cpu {
        return composed(masks, which, points);
    }
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointers come from live tensors that outlive the call, and on success `out` holds a new tensor that
    // `from_ptr` takes over.
    unsafe {
        let message =
            native::smalti_sample_masks(&raw mut out, masks.as_ptr(), which.as_ptr(), points.as_ptr());
        native::check("sample_masks", message)?;
        Ok(Tensor::from_ptr(out))
    }
}

/// [`sample_masks`] by libtorch's ops, with at most four reads a point.
fn composed(masks: &Tensor, which: &Tensor, points: &Tensor) -> Result<Tensor, OpError> {
    let (height, width) = (masks.size()[1], masks.size()[2]);
    let kind = points.kind();
    // Pixel coordinates, 0 the centre of the first pixel, rounded in the steps of libtorch's grid_sampler.
    let place = |axis: i64, extent: i64| {
        let grid = points.select(2, axis) * 2.0 - 1.0;
        ((grid + 1.0) * extent as f64 - 1.0) * 0.5 // [M, P]
    };
    let (x, y) = (place(0, width), place(1, height));
    let (left, top) = (x.floor(), y.floor());
    let first_pixel = which.reshape([-1, 1]) * (height * width); // [M, 1]
    let mut sampled = Tensor::zeros([which.size()[0], points.size()[1]], (kind, points.device()));
    for (down, right) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
        let (row, column) = (&top + down, &left + right);
        let weight = (1.0_f64 - (&y - &row).abs()) * (1.0_f64 - (&x - &column).abs());
        let weight = weight * inside(&row, height).logical_and(&inside(&column, width));
        let pixel = pixel_index(&row, height) * width + pixel_index(&column, width); // [M, P]
        sampled += masks.f_take(&(pixel + &first_pixel))?.to_kind(kind) * weight;
    }
    Ok(sampled)
}

fn inside(index: &Tensor, extent: i64) -> Tensor {
    index.ge(0.0).logical_and(&index.lt(extent as f64))
}

fn pixel_index(index: &Tensor, extent: i64) -> Tensor {
    index.clamp(0.0, (extent - 1) as f64).to_kind(Kind::Int64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two ways of a CPU and of a GPU give the same bits, shared points and own ones, beyond the edges too.
    #[test]
    fn one_pass_equals_the_ops_one_by_one() {
        for (kind, mask_kind) in [(Kind::Float, Kind::Uint8), (Kind::Double, Kind::Bool)] {
            for (height, width, points) in [(7, 13, 700), (1, 1, 3), (64, 5, 256), (33, 40, 0)] {
                let masks =
                    Tensor::rand([3, height, width], (Kind::Float, Device::Cpu)).gt(0.5).to_kind(mask_kind);
                let which = Tensor::from_slice(&[2_i64, 0, 0, 1]);
                for sets in [1, 4] {
                    let places = Tensor::rand([sets, points, 2], (kind, Device::Cpu)) * 1.2 - 0.1;
                    let got = sample_masks(&masks, &which, &places).unwrap();
                    let expected = composed(&masks, &which, &places).unwrap();
                    assert_eq!(got.size(), [4, points]);
                    assert!(got.equal(&expected), "{height}x{width}, {sets} sets of {points}");
                }
            }
        }
    }

    /// On a CPU; libtorch's own ops read somewhere.
    #[test]
    fn a_point_that_is_far_off_or_no_number_is_nowhere() {
        let masks = Tensor::ones([1, 3, 5], (Kind::Uint8, Device::Cpu));
        let places = [f32::NAN, 0.5, 0.5, f32::INFINITY, -1e30, 0.5, 0.5, 1e30, 0.5, 0.5];
        let points = Tensor::from_slice(&places).reshape([1, 5, 2]);
        let sampled = sample_masks(&masks, &Tensor::from_slice(&[0_i64]), &points).unwrap();
        assert_eq!(Vec::<f32>::try_from(sampled.reshape([-1])).unwrap(), [0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let masks = Tensor::zeros([2, 4, 4], (Kind::Uint8, Device::Cpu));
        let which = Tensor::from_slice(&[0_i64, 1]);
        let points = Tensor::zeros([2, 5, 2], (Kind::Float, Device::Cpu));
        let refused = |masks: &Tensor, which: &Tensor, points: &Tensor| {
            sample_masks(masks, which, points).expect_err("it does not fit").to_string()
        };
        let beyond = refused(&masks, &Tensor::from_slice(&[0_i64, 2]), &points);
        assert!(beyond.contains("which[1]") && beyond.contains("expected 0 to 1, got 2"), "{beyond}");
        let float = refused(&masks.to_kind(Kind::Float), &which, &points);
        assert!(float.contains("masks") && float.contains("u8 or bool"), "{float}");
        let sets = refused(&masks, &which, &points.narrow(1, 0, 3).reshape([3, 2, 2]));
        assert!(sets.contains("[2, P, 2] or [1, P, 2]"), "{sets}");
        let half = refused(&masks, &which, &points.to_kind(Kind::Half));
        assert!(half.contains("points: expected f32 or f64"), "{half}");
    }
}
