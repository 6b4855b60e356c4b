//! The strip of glass tiles at the top of the page, laid as far as the headline score.

use std::fmt::{self, Display, Formatter};

const COLUMNS: usize = 72;
const ROWS: usize = 3;
/// Side of a tile with its joint.
const TILE: f64 = 10.0;
/// Tile colours in the style sheet.
const GLASS: u64 = 7;

/// A strip of tiles, of which the fraction `laid` has its glass.
pub struct Banner {
    /// 0 to 1.
    pub laid: f64,
}

impl Display for Banner {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (width, height) = (COLUMNS as f64 * TILE, ROWS as f64 * TILE);
        let laid = if self.laid.is_finite() { (self.laid * width).clamp(0.0, width) } else { 0.0 };
        write!(f, "<svg class=\"banner\" viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\">")?;
        for column in 0..COLUMNS {
            for row in 0..ROWS {
                let luck = hash((column * ROWS + row) as u64);
                // The edge between laid and bare is ragged, as on a wall in work.
                let edge = (column as f64 + 0.5) * TILE + (bits(luck, 0) - 0.5) * 2.0 * TILE;
                let class =
                    if edge <= laid { format!("g{}", (luck >> 40) % GLASS) } else { "bare".to_owned() };
                write!(f, "<path class=\"{class}\" d=\"{}\"/>", outline(column, row, luck))?;
            }
        }
        writeln!(f, "</svg>")
    }
}

/// A hand-cut square: each corner up to a tenth of the side off its place.
fn outline(column: usize, row: usize, luck: u64) -> String {
    let corners = [(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)];
    let off = |lane: usize| (bits(luck, lane) - 0.5) * 0.1;
    let points = corners.into_iter().enumerate().map(|(i, (x, y))| {
        let x = (column as f64 + x + off(2 * i)) * TILE;
        let y = (row as f64 + y + off(2 * i + 1)) * TILE;
        format!("{x:.1} {y:.1}")
    });
    format!("M{}Z", points.collect::<Vec<_>>().join("L"))
}

/// The `lane`-th of eight numbers in [0, 1) that one hash holds.
fn bits(luck: u64, lane: usize) -> f64 {
    (luck >> (8 * lane) & 0xff) as f64 / 256.0
}

/// SplitMix64: well mixed bits of an index, the same in every report.
fn hash(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_tiles_are_laid_as_was_scored() {
        let bare = |laid: f64| Banner { laid }.to_string().matches("class=\"bare\"").count();
        let all = COLUMNS * ROWS;
        assert_eq!(bare(1.1), 0);
        assert_eq!([bare(0.0), bare(f64::NAN)].map(|count| count >= all - ROWS), [true, true]);
        assert!(bare(0.5).abs_diff(all / 2) <= ROWS, "{}", bare(0.5));
    }
}
