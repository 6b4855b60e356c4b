//! A confusion matrix as a picture: one row a class of the ground truth, one column a predicted class.

use smalti_datasets::Image;

use super::{BACKGROUND, FAINT_INK, INK, fill_rect, filled, text};

/// Side of a cell: as large as lets the matrix end up about this wide, within limits.
const WIDE: usize = 900;
const CELL: (usize, usize) = (12, 46);
/// Cells of at least this side hold their share in figures.
const FIGURES: usize = 34;
/// From so many classes on names stand on all four sides.
const MANY: usize = 40;
/// Longer names are cut.
const NAME: usize = 190;
const MARGIN: usize = 24;
/// Classes in one square of the faint chequered ground that leads the eye along rows and columns.
const BLOCK: usize = 5;
const GROUND: [[u8; 3]; 2] = [[33, 37, 44], [39, 43, 51]];
const BAR: (usize, usize) = (14, 260);
/// What the colour bars are marked at.
const TICKS: [f64; 6] = [0.0, 0.01, 0.05, 0.2, 0.5, 1.0];
/// Colours of shares from little to all: hits and confusions.
const HIT: [[u8; 3]; 4] = [[36, 44, 50], [24, 96, 98], [34, 164, 140], [164, 240, 196]];
const MISS: [[u8; 3]; 4] = [[37, 40, 47], [138, 38, 62], [232, 88, 56], [255, 214, 122]];

/// Counts `[K + 1, K + 1]` (row = ground truth, the last of each = no class) with the K names of the classes.
///
/// Every row is shared out over what was predicted: hits on the diagonal in green, confusions in red. Colours follow the
/// square root of the share, so that a confusion of 1 % still shows. Predictions that are no class get a column of their
/// own where there are any; a class without ground truth has an empty row and a faint name.
pub fn confusion_matrix(names: &[String], counts: &[u64]) -> Image {
    let classes = names.len();
    let rows: Vec<&[u64]> = counts.chunks_exact(classes + 1).take(classes).collect();
    let outside = rows.iter().any(|row| row[classes] > 0);
    let columns = classes + usize::from(outside);
    let layout = Layout::of(names, columns);
    let mut canvas = filled(layout.height, layout.width, BACKGROUND);
    for (y, row) in rows.iter().enumerate() {
        let total: u64 = row.iter().sum();
        for (x, &count) in row.iter().take(columns).enumerate() {
            let share = if total > 0 { count as f64 / total as f64 } else { 0.0 };
            layout.cell(&mut canvas, (y, x), share);
        }
        layout.row_name(&mut canvas, y, &names[y], if total > 0 { INK } else { FAINT_INK });
    }
    for x in 0..columns {
        let predicted = rows.iter().any(|row| row[x] > 0);
        let name = names.get(x).map_or("no class", String::as_str);
        layout.column_name(&mut canvas, x, name, if predicted { INK } else { FAINT_INK });
    }
    layout.titles(&mut canvas);
    layout.color_bars(&mut canvas);
    canvas
}

/// Where things are, in pixels.
struct Layout {
    cell: usize,
    /// Size of the names.
    text: f32,
    /// Top left corner of the matrix.
    top: usize,
    left: usize,
    rows: usize,
    columns: usize,
    height: usize,
    width: usize,
}

impl Layout {
    fn of(names: &[String], columns: usize) -> Self {
        let rows = names.len();
        let cell = (WIDE / rows.max(1)).clamp(CELL.0, CELL.1);
        let text = (cell as f32 * 0.92).clamp(12.0, 17.0);
        let longest = names.iter().map(|name| text::width(name, text)).max().unwrap_or(0);
        let name = longest.max(text::width("no class", text)).min(NAME) + MARGIN / 3;
        let (top, left) = (2 * MARGIN + name, 2 * MARGIN + name);
        let beyond = if rows > MANY { name } else { 0 };
        let bars = 2 * MARGIN + BAR.0 + 3 * MARGIN / 2;
        let height = top + rows * cell + beyond + bars;
        let width = (left + columns * cell + beyond).max(MARGIN + 2 * (BAR.1 + 3 * MARGIN)) + MARGIN;
        Self { cell, text, top, left, rows, columns, height, width }
    }

    fn cell(&self, canvas: &mut Image, (row, column): (usize, usize), share: f64) {
        let (y, x) = (self.top + row * self.cell, self.left + column * self.cell);
        let side = self.cell - 1;
        let block = if self.rows > MANY { row / BLOCK + column / BLOCK } else { 0 };
        let color = if share > 0.0 { color(row == column, share) } else { GROUND[block % 2] };
        fill_rect(canvas, (y, x), (side, side), color);
        if self.cell >= FIGURES && share >= 0.005 {
            let percent = share * 100.0;
            let figure = if percent < 9.95 { format!("{percent:.1}") } else { format!("{percent:.0}") };
            let size = self.cell as f32 * 0.34;
            let at = (
                y + (side.saturating_sub((size * 1.15) as usize)) / 2,
                x + side.saturating_sub(text::width(&figure, size)) / 2,
            );
            let light = color.iter().map(|&c| u32::from(c)).sum::<u32>() > 390;
            text::draw(canvas, &figure, at, size, if light { BACKGROUND } else { INK });
        }
    }

    fn row_name(&self, canvas: &mut Image, row: usize, name: &str, ink: [u8; 3]) {
        let name = text::fit(name, self.text, NAME);
        let y = self.top + row * self.cell + self.cell.saturating_sub((self.text * 1.2) as usize) / 2;
        let gap = MARGIN / 3;
        let x = (self.left - gap).saturating_sub(text::width(&name, self.text));
        text::draw(canvas, &name, (y, x), self.text, ink);
        if self.rows > MANY {
            text::draw(canvas, &name, (y, self.left + self.columns * self.cell + gap), self.text, ink);
        }
    }

    fn column_name(&self, canvas: &mut Image, column: usize, name: &str, ink: [u8; 3]) {
        let name = text::fit(name, self.text, NAME);
        let x = self.left + column * self.cell + self.cell.saturating_sub((self.text * 1.2) as usize) / 2;
        let gap = MARGIN / 3;
        text::draw_up(canvas, &name, (self.top - gap, x), self.text, ink);
        if self.rows > MANY {
            let below = self.top + self.rows * self.cell + gap + text::width(&name, self.text);
            text::draw_up(canvas, &name, (below, x), self.text, ink);
        }
    }

    fn titles(&self, canvas: &mut Image) {
        let size = 17.0;
        text::draw(canvas, "predicted", (MARGIN / 2, self.left), size, FAINT_INK);
        let long = text::width("ground truth", size);
        text::draw_up(canvas, "ground truth", (self.top + long, MARGIN / 2), size, FAINT_INK);
    }

    fn color_bars(&self, canvas: &mut Image) {
        let y = self.height - MARGIN / 2 - BAR.0 - 3 * MARGIN / 2;
        for (i, (hit, title)) in [(true, "right"), (false, "mistaken for")].into_iter().enumerate() {
            let x = MARGIN + i * (BAR.1 + 3 * MARGIN);
            text::draw(canvas, &format!("{title}, % of the class's pixels"), (y - 22, x), 15.0, FAINT_INK);
            for u in 0..BAR.1 {
                let place = u as f64 / (BAR.1 - 1) as f64;
                fill_rect(canvas, (y, x + u), (BAR.0, 1), color(hit, place * place));
            }
            for tick in TICKS {
                let label = format!("{}", tick * 100.0);
                let at = x + (tick.sqrt() * BAR.1 as f64) as usize;
                let left = at.saturating_sub(text::width(&label, 14.0) / 2);
                text::draw(canvas, &label, (y + BAR.0 + 3, left), 14.0, FAINT_INK);
            }
        }
    }
}

/// Colour of a share of a row.
fn color(hit: bool, share: f64) -> [u8; 3] {
    let stops = if hit { &HIT } else { &MISS };
    let place = share.clamp(0.0, 1.0).sqrt() * (stops.len() - 1) as f64;
    let low = (place as usize).min(stops.len() - 2);
    let between = place - low as f64;
    std::array::from_fn(|c| {
        let (a, b) = (f64::from(stops[low][c]), f64::from(stops[low + 1][c]));
        (a + (b - a) * between).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(k: usize) -> Vec<String> {
        (0..k).map(|i| format!("class {i}")).collect()
    }

    /// Colour in the middle of a cell's top edge, where no figure stands.
    fn at(picture: &Image, layout: &Layout, row: usize, column: usize) -> [u8; 3] {
        let (y, x) =
            (layout.top + row * layout.cell + 1, layout.left + column * layout.cell + layout.cell / 2);
        std::array::from_fn(|c| picture[(y, x, c)])
    }

    #[test]
    fn rows_are_shared_out_and_hits_differ_from_confusions() {
        // Class 0: three of four right; class 1: all mistaken for 0; class 2: no ground truth.
        let counts = [3, 1, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9];
        let picture = confusion_matrix(&names(3), &counts);
        let layout = Layout::of(&names(3), 3);
        assert_eq!(picture.dim(), (layout.height, layout.width, 3));
        assert_eq!(at(&picture, &layout, 0, 0), color(true, 0.75));
        assert_eq!(at(&picture, &layout, 0, 1), color(false, 0.25));
        assert_eq!(at(&picture, &layout, 1, 0), MISS[3]);
        assert_eq!(at(&picture, &layout, 2, 2), GROUND[0]);
        assert_eq!((color(true, 0.0), color(true, 1.0)), (HIT[0], HIT[3]));
    }

    #[test]
    fn predictions_of_no_class_have_a_column_only_where_there_are_any() {
        let width = |outside| {
            confusion_matrix(&names(20), &{
                let mut counts = vec![1; 21 * 21];
                (0..20).for_each(|row| counts[row * 21 + 20] = outside);
                counts
            })
            .dim()
            .1
        };
        assert_eq!(width(1), width(0) + Layout::of(&names(20), 20).cell);
    }

    #[test]
    fn any_number_of_classes_and_any_name_is_drawn() {
        for k in [1, 2, 39, 41, 255] {
            confusion_matrix(&names(k), &vec![1; (k + 1) * (k + 1)]);
        }
        confusion_matrix(&[String::new(), "w".repeat(300)], &[1; 9]);
        confusion_matrix(&[], &[0]);
    }
}
