//! Where queries and keys are on a map, in the coordinates of `grid_sample` with aligned corners: -1 is the middle of the first
//! pixel of an axis, 1 that of the last. Points are (x, y), finest axis first.
//!
//! Traps: the reference puts key `i` of `n` at `2 (i + 1/2) / (n - 1) - 1`, which is not symmetric and beyond 1 for the last
//! key, and queries at `2 i / (n - 1) - 1`. With one key on an axis it divides by zero and, where it clamps, leaves the
//! key at the far end, 1, for any offset: so do we. With one query, or one key and no clamp, it computes NaN; ours stay at 1.

use tch::{Device, Kind, Tensor};

/// Half types are too coarse for positions: the keys of a map 64 wide are 1/32 apart, and bf16 near 1 knows steps of 1/256.
pub(super) fn position_kind(map: &Tensor) -> Kind {
    match map.kind() {
        Kind::Double => Kind::Double,
        _ => Kind::Float,
    }
}

/// Keys where their offsets moved them: `offsets` `[B, Hk, Wk, 2]` as (y, x) -> `[B, Hk, Wk, 2]` as (x, y).
///
/// A negative `range_factor` clamps the sum to the map; any other squashes offsets by tanh to so many distances between keys.
pub(super) fn key_positions(offsets: &Tensor, range_factor: f64, kind: Kind) -> Tensor {
    let (_, rows, columns, _) = offsets.size4().expect("offsets [B, Hk, Wk, 2] by construction");
    let options = (kind, offsets.device());
    let clamps = range_factor < 0.0;
    let reach = |keys: i64| match keys {
        1 => 0.0, // see the traps
        _ if clamps => 1.0,
        _ => range_factor / (keys - 1) as f64,
    };
    let reach = Tensor::from_slice(&[reach(columns), reach(rows)]).to_device(options.1).to_kind(kind); // [2]
    let offsets = offsets.flip([-1]).to_kind(kind); // (x, y)
    let moves = if clamps { offsets } else { offsets.tanh() };
    let positions = moves * reach + grid(&key_axis(rows, options), &key_axis(columns, options));
    if clamps { positions.clamp(-1.0, 1.0) } else { positions }
}

/// Every pixel of a map, row by row: `[H * W, 2]` as (x, y).
pub(super) fn query_positions(height: i64, width: i64, options: (Kind, Device)) -> Tensor {
    grid(&query_axis(height, options), &query_axis(width, options)).flatten(0, 1)
}

// [Hk], [Wk] -> [Hk, Wk, 2] as (x, y)
fn grid(rows: &Tensor, columns: &Tensor) -> Tensor {
    let (height, width) = (rows.numel() as i64, columns.numel() as i64);
    let x = columns.unsqueeze(0).expand([height, width], false);
    let y = rows.unsqueeze(1).expand([height, width], false);
    Tensor::stack(&[x, y], -1)
}

fn key_axis(keys: i64, options: (Kind, Device)) -> Tensor {
    match keys {
        1 => Tensor::ones([1], options),
        _ => (Tensor::arange(keys, options) + 0.5) / (keys - 1) as f64 * 2.0 - 1.0,
    }
}

fn query_axis(pixels: i64, options: (Kind, Device)) -> Tensor {
    match pixels {
        1 => Tensor::ones([1], options),
        _ => Tensor::arange(pixels, options) / (pixels - 1) as f64 * 2.0 - 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F64: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten(0, -1).try_into().unwrap()
    }

    /// Offsets (y, x) of all keys of a map of 1 row and 3 columns.
    fn one_row(y: f64, x: f64) -> Tensor {
        Tensor::from_slice(&[y, x]).expand([1, 1, 3, 2], false)
    }

    #[test]
    fn keys_are_at_half_pixels_over_a_pixel_less() {
        // 3 keys: (i + 1/2) / 2 * 2 - 1; the last is beyond the map until it is clamped.
        assert_eq!(numbers(&key_axis(3, F64)), [-0.5, 0.5, 1.5]);
        assert_eq!(numbers(&query_axis(3, F64)), [-1.0, 0.0, 1.0]);
        let clamped = key_positions(&Tensor::zeros([1, 3, 2, 2], F64), -1.0, Kind::Double);
        let expected = [[[0.0, -0.5], [1.0, -0.5]], [[0.0, 0.5], [1.0, 0.5]], [[0.0, 1.0], [1.0, 1.0]]];
        assert_eq!(numbers(&clamped), expected.as_flattened().as_flattened());
    }

    #[test]
    fn offsets_are_y_x_and_positions_x_y() {
        let moved = key_positions(&one_row(0.25, -0.125), -1.0, Kind::Double);
        assert_eq!(numbers(&moved.select(-1, 0)), [-0.625, 0.375, 1.0]);
    }

    /// One row of keys stays at the far end, whatever its offset; its columns move.
    #[test]
    fn the_only_key_of_an_axis_is_at_its_end() {
        for y in [-5.0, 0.0, 5.0] {
            let clamped = key_positions(&one_row(y, 0.0), -1.0, Kind::Double);
            assert_eq!(numbers(&clamped.select(-1, 1)), [1.0; 3], "clamped, offset {y}");
            let squashed = key_positions(&one_row(y, 0.0), 2.0, Kind::Double);
            assert_eq!(numbers(&squashed.select(-1, 1)), [1.0; 3], "squashed, offset {y}");
        }
        assert_eq!(numbers(&query_positions(1, 2, F64)), [-1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn tanh_reaches_so_many_distances_and_does_not_clamp() {
        // 3 columns: distance 1 / 2 in the reference's unit; a factor of 3 and tanh(20) = 1 to the last bit.
        let moved = key_positions(&one_row(0.0, 20.0), 3.0, Kind::Double);
        assert_eq!(numbers(&moved.select(-1, 0)), [1.0, 2.0, 3.0]);
    }
}
