//! A panel beside a picture that names the classes in it.

use smalti_datasets::{ClassTable, Image, LabelMap};

use super::{BACKGROUND, FAINT_INK, INK, enlarge, fill_rect, filled, paste, text};

/// Pictures below this height are enlarged by a whole factor, so that the legend's text stays in proportion.
const MIN_HEIGHT: usize = 320;

/// The picture with a legend at its right: classes present in `labels`, most frequent first, each with its colour and
/// share of pixels. A column that is too short for all classes is continued in the next.
pub fn with_legend(picture: &Image, labels: &LabelMap, classes: &ClassTable) -> Image {
    let (height, _, _) = picture.dim();
    let picture = &enlarge(picture, MIN_HEIGHT.div_ceil(height.max(1)).max(1));
    let (height, width, _) = picture.dim();
    let size = (height as f32 / 24.0).clamp(14.0, 30.0);
    let (row, margin) = ((size * 1.55) as usize, (size * 0.9) as usize);
    let swatch = (size * 0.85) as usize;

    let entries = entries(labels, classes);
    let share_width = text::width("100.0 %", size);
    let name_width = entries.iter().map(|entry| text::width(&entry.name, size)).max().unwrap_or(0);
    let column = swatch + margin / 2 + name_width + margin + share_width + margin;
    let per_column = ((height - margin.min(height)) / row).max(1);
    let columns = entries.len().div_ceil(per_column).max(1);

    let mut canvas = filled(height, width + margin + columns * column, BACKGROUND);
    paste(&mut canvas, picture, 0, 0);
    for (i, entry) in entries.iter().enumerate() {
        let (y, x) = (margin / 2 + i % per_column * row, width + margin + i / per_column * column);
        fill_rect(&mut canvas, (y + (size * 0.12) as usize, x), (swatch, swatch), entry.color);
        text::draw(&mut canvas, &entry.name, (y, x + swatch + margin / 2), size, INK);
        let share = share_text(entry.share);
        let right = x + column - margin - text::width(&share, size);
        text::draw(&mut canvas, &share, (y, right), size, FAINT_INK);
    }
    canvas
}

/// A share in percent; one that would be rounded to nothing says so.
pub(super) fn share_text(share: f64) -> String {
    if share > 0.0 && share < 0.0005 { "< 0.1 %".to_owned() } else { format!("{:.1} %", share * 100.0) }
}

struct Entry {
    name: String,
    color: [u8; 3],
    share: f64,
}

fn entries(labels: &LabelMap, classes: &ClassTable) -> Vec<Entry> {
    let mut counts = [0_u64; 256];
    labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
    let total = labels.len().max(1) as f64;
    let mut present: Vec<(usize, u64)> =
        counts.into_iter().take(classes.len()).enumerate().filter(|&(_, count)| count > 0).collect();
    present.sort_by_key(|&(id, count)| (std::cmp::Reverse(count), id));
    let entry = |(id, count): (usize, u64)| {
        let class = classes.get(id)?;
        Some(Entry { name: class.name.clone(), color: class.color, share: count as f64 / total })
    };
    present.into_iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_by_area_and_ignore_is_not_one() {
        let classes = ClassTable::from_names(["a", "b", "c"]).unwrap();
        let labels = LabelMap::from_shape_vec((2, 3), vec![2, 2, 2, 0, 255, 255]).unwrap();
        let found: Vec<(String, f64)> =
            entries(&labels, &classes).into_iter().map(|e| (e.name, e.share)).collect();
        assert_eq!(found, [("c".to_string(), 0.5), ("a".to_string(), 1.0 / 6.0)]);
    }

    #[test]
    fn small_shares_are_not_nothing() {
        assert_eq!([0.0, 0.0004, 0.0006, 1.0].map(share_text), ["0.0 %", "< 0.1 %", "0.1 %", "100.0 %"]);
    }

    #[test]
    fn one_pixel_and_many_classes_are_drawn() {
        let names: Vec<String> = (0..200).map(|i| format!("class {i}")).collect();
        let classes = ClassTable::from_names(names).unwrap();
        let labels = LabelMap::from_shape_fn((10, 20), |(y, x)| (y * 20 + x) as u8);
        with_legend(&Image::zeros((10, 20, 3)), &labels, &classes);
        with_legend(&Image::zeros((1, 1, 3)), &LabelMap::zeros((1, 1)), &classes);
    }
}
