//! Tables of relative position biases for windows of another side.
//!
//! As the authors do: `torch.nn.functional.interpolate(table, mode="bicubic", align_corners=False)`, that is Keys' kernel with
//! a = -0.75 and pixel centres at (i + 0.5) * from / to - 0.5, pixels beyond the border repeated. Computed in f64.
//! Checked by: tests/suite/layouts.rs, against torch 2.11.0.

use super::content::Content;

const A: f64 = -0.75;

/// A square table a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    pub heads: usize,
    pub side: usize,
    /// `[M, S, S]`, else `[S * S, M]`.
    pub heads_first: bool,
}

/// The table of a shape, if it is one.
pub(super) fn table(shape: &[usize]) -> Option<Table> {
    match *shape {
        [heads, side, other] if side == other && side > 0 => Some(Table { heads, side, heads_first: true }),
        [positions, heads] => {
            let side = positions.isqrt();
            (side > 0 && side * side == positions).then_some(Table { heads, side, heads_first: false })
        }
        _ => None,
    }
}

/// The f32 bytes of `of`, a table of floats, with the sizes `shape`.
pub(super) fn resized(of: &Content, shape: &[usize]) -> Vec<u8> {
    let (from, to) =
        table(of.shape()).zip(table(shape)).expect("both are tables: checked when this was made");
    let values = of.floats();
    let taps: Vec<_> = (0..to.side).map(|i| taps(i, from.side, to.side)).collect();
    let at = |table: Table, head: usize, row: usize, column: usize| {
        let position = row * table.side + column;
        if table.heads_first {
            head * table.side * table.side + position
        } else {
            position * table.heads + head
        }
    };
    let mut out = vec![0.0_f32; shape.iter().product()];
    for head in 0..to.heads {
        for (row, rows) in taps.iter().enumerate() {
            for (column, columns) in taps.iter().enumerate() {
                let sum: f64 = rows
                    .iter()
                    .map(|&(i, weight)| {
                        let line = columns.iter().map(|&(j, weight)| weight * values[at(from, head, i, j)]);
                        weight * line.sum::<f64>()
                    })
                    .sum();
                out[at(to, head, row, column)] = sum as f32;
            }
        }
    }
    out.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The four source pixels of a target pixel with their weights.
fn taps(target: usize, from: usize, to: usize) -> [(usize, f64); 4] {
    let centre = (target as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let (first, t) = (centre.floor(), centre - centre.floor());
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
    std::array::from_fn(|i| {
        let pixel = (first as i64 - 1 + i as i64).clamp(0, from as i64 - 1);
        (pixel as usize, weights[i])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_side_changes_nothing_and_weights_add_up() {
        for i in 0..5 {
            let taps = taps(i, 5, 5);
            assert_eq!(taps.iter().filter(|(pixel, weight)| *pixel == i && *weight == 1.0).count(), 1);
            assert!((taps.iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-15);
        }
        assert!((taps(2, 13, 21).iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn tables_are_squares() {
        assert_eq!(table(&[3, 13, 13]), Some(Table { heads: 3, side: 13, heads_first: true }));
        assert_eq!(table(&[169, 3]), Some(Table { heads: 3, side: 13, heads_first: false }));
        assert_eq!(table(&[168, 3]), None);
        assert_eq!(table(&[3, 13, 12]), None);
    }
}
