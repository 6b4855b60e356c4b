//! Square windows that tile a map: cutting and joining, relative positions, and the mask of shifted windows.
//!
//! `K` is the window's side, `N = K * K` its tokens, `W` the number of windows of a map.

use tch::{Device, Kind, Tensor};

/// What shifted windows add to the logits of pixels that only the shift made neighbours.
const MASKED: f64 = -100.0; // not -inf: the published weights were trained with this

/// Zeros to the right and below, up to multiples of `multiple`: `[B, H, W, C]` -> `[B, H', W', C]`.
pub(crate) fn pad_to_multiple(x: &Tensor, multiple: i64) -> Tensor {
    let size = x.size();
    let (below, right) = (missing(size[1], multiple), missing(size[2], multiple));
    if below + right == 0 { x.shallow_clone() } else { x.constant_pad_nd([0, 0, 0, right, 0, below]) }
}

/// What `length` lacks to be a multiple.
pub(crate) fn missing(length: i64, multiple: i64) -> i64 {
    (multiple - length % multiple) % multiple
}

/// `[B, H, W, C]` -> `[B * W, N, C]`; H and W must be multiples of `window`.
pub(crate) fn partition(x: &Tensor, window: i64) -> Tensor {
    let size = x.size();
    let (rows, columns, channels) = (size[1] / window, size[2] / window, size[3]);
    x.reshape([size[0], rows, window, columns, window, channels])
        .transpose(2, 3) // [B, rows, columns, K, K, C]
        .reshape([-1, window * window, channels])
}

/// Undoes [`partition`]: `[B * W, N, C]` -> `[B, H, W, C]`.
pub(crate) fn reverse(windows: &Tensor, window: i64, height: i64, width: i64) -> Tensor {
    let (rows, columns, channels) = (height / window, width / window, windows.size()[2]);
    windows
        .reshape([-1, rows, columns, window, window, channels])
        .transpose(2, 3) // [B, rows, K, columns, K, C]
        .reshape([-1, height, width, channels])
}

/// For every pair of tokens of a window, query first, the row of the table that holds their bias: `[N * N]`.
///
/// The table is of windows of side `table`, `[(2 * table - 1)^2, M]`; a smaller window reads its middle. A row stands for
/// (query - key) + table - 1, rows of the map before columns.
pub(crate) fn relative_position_index(window: i64, table: i64) -> Tensor {
    let side = Tensor::arange(window, (Kind::Int64, Device::Cpu));
    let difference = side.unsqueeze(1) - side.unsqueeze(0) + (table - 1); // [K, K], query x key
    let rows = (&difference * (2 * table - 1)).reshape([window, 1, window, 1]);
    let columns = difference.reshape([1, window, 1, window]);
    (rows + columns).reshape([-1])
}

/// 0 where two tokens of a shifted window lie together in the map too, -100 elsewhere: `[W, 1, N, N]`.
///
/// The map, of multiples of `window`, was rolled by `-shift` along both axes, 0 < shift < window.
pub(crate) fn shift_mask(height: i64, width: i64, window: i64, shift: i64, kind: Kind) -> Tensor {
    // Along an axis the last window holds two strangers: pixels before the roll's seam and pixels behind it.
    let strips = |length: i64| {
        let at = Tensor::arange(length, (Kind::Int64, Device::Cpu));
        at.ge(length - window).to_kind(Kind::Int64) + at.ge(length - shift).to_kind(Kind::Int64)
    };
    let regions = strips(height).unsqueeze(1) * 3 + strips(width).unsqueeze(0); // [H, W]
    let regions = partition(&regions.reshape([1, height, width, 1]), window).squeeze_dim(2); // [W, N]
    let apart = regions.unsqueeze(1).not_equal_tensor(&regions.unsqueeze(2)); // [W, N, N]
    apart.to_kind(kind).g_mul_scalar(MASKED).unsqueeze(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(height: i64, width: i64) -> Tensor {
        Tensor::arange(2 * height * width * 3, (Kind::Float, Device::Cpu)).reshape([2, height, width, 3])
    }

    fn integers(tensor: &Tensor) -> Vec<i64> {
        Vec::try_from(tensor.to_kind(Kind::Int64).reshape([-1])).unwrap()
    }

    #[test]
    fn windows_are_blocks_in_row_order_and_join_again() {
        let map = Tensor::arange(24, (Kind::Float, Device::Cpu)).reshape([1, 4, 6, 1]);
        let windows = partition(&map, 2);
        assert_eq!(windows.size(), [6, 4, 1]);
        assert_eq!(integers(&windows.get(1)), [2, 3, 8, 9]);
        assert_eq!(integers(&windows.get(5)), [16, 17, 22, 23]);
        let map = numbers(6, 9);
        assert!(reverse(&partition(&map, 3), 3, 6, 9).equal(&map));
    }

    #[test]
    fn padding_is_right_and_below_and_only_as_needed() {
        let padded = pad_to_multiple(&numbers(5, 6), 3);
        assert_eq!(padded.size(), [2, 6, 6, 3]);
        assert!(padded.slice(1, 0, 5, 1).equal(&numbers(5, 6)));
        assert_eq!(padded.select(1, 5).abs().max().double_value(&[]), 0.0);
        assert_eq!(pad_to_multiple(&numbers(6, 6), 3).size(), [2, 6, 6, 3]);
    }

    #[test]
    fn relative_positions_of_two_by_two() {
        // Table of 3x3: row (dy + 1) * 3 + (dx + 1). From the upper left pixel to itself, right, below, diagonal:
        // (0, 0) 4, (0, -1) 3, (-1, 0) 1, (-1, -1) 0.
        let index = integers(&relative_position_index(2, 2));
        assert_eq!(index[..4], [4, 3, 1, 0]);
        assert_eq!(index[12..], [8, 7, 5, 4]);
        // The middle of a 5x5 table: (dy + 2) * 5 + (dx + 2).
        assert_eq!(integers(&relative_position_index(2, 3))[..4], [12, 11, 7, 6]);
    }

    #[test]
    fn a_shifted_window_masks_what_the_roll_brought_together() {
        // 1 row of windows, 2 columns, side 2, shift 1. Regions of the rolled map: columns 0 0 1 2, rows 1 2.
        let mask = shift_mask(2, 4, 2, 1, Kind::Float);
        assert_eq!(mask.size(), [2, 1, 2 * 2, 2 * 2]);
        let m = -100;
        // Left window: columns belong together, rows do not.
        assert_eq!(integers(&mask.get(0)), [0, 0, m, m, 0, 0, m, m, m, m, 0, 0, m, m, 0, 0]);
        // Right window: every pixel is alone.
        assert_eq!(integers(&mask.get(1)), [0, m, m, m, m, 0, m, m, m, m, 0, m, m, m, m, 0]);
    }
}
