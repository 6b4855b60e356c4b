//! Class colours over an image.

use ndarray::Array2;
use smalti_datasets::{ClassTable, IGNORE, Image, LabelMap};

use super::mix;

/// Colour of every label value; ignored and unknown values are mid grey.
pub fn label_colors(classes: &ClassTable) -> [[u8; 3]; 256] {
    let mut colors = [[110; 3]; 256];
    for (color, class) in colors.iter_mut().zip(classes.iter()) {
        *color = class.color;
    }
    colors
}

/// Lines are one pixel wide for every so many pixels of the shorter side, and at least one.
const LINE: usize = 400;

/// The image with class colours blended in (`opacity` 0 to 1) and crisp lines between regions. Ignored pixels show the
/// image alone, darkened a little.
///
/// `image` `[H, W, 3]`, `labels` `[H, W]` of the same size.
pub fn overlay(image: &Image, labels: &LabelMap, classes: &ClassTable, opacity: f32) -> Image {
    overlay_segments(image, labels, labels, classes, opacity)
}

/// The same with lines between segments, those of one class too: `segments` `[H, W]` says which pixels belong together.
pub fn overlay_segments<S: PartialEq>(
    image: &Image,
    labels: &LabelMap,
    segments: &Array2<S>,
    classes: &ClassTable,
    opacity: f32,
) -> Image {
    let colors = label_colors(classes);
    let (height, width, _) = image.dim();
    let line = (height.min(width) / LINE).max(1);
    let mut out = image.clone();
    for y in 0..height {
        for x in 0..width {
            let label = labels[(y, x)];
            let color = colors[usize::from(label)];
            let differs = |y2: usize, x2: usize| segments[(y2, x2)] != segments[(y, x)];
            let edge = (1..=line)
                .any(|d| (x + d < width && differs(y, x + d)) || (y + d < height && differs(y + d, x)));
            for c in 0..3 {
                let pixel = image[(y, x, c)];
                out[(y, x, c)] = match (label == IGNORE, edge) {
                    (_, true) => mix(mix(pixel, color[c], opacity), 255, 0.75 * opacity.min(0.8)),
                    (true, false) => mix(pixel, 0, 0.5 * opacity),
                    (false, false) => mix(pixel, color[c], opacity),
                };
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_one_class_are_told_apart_by_lines() {
        let classes = ClassTable::from_names(["a"]).unwrap();
        let (image, labels) = (Image::from_elem((1, 4, 3), 100), LabelMap::zeros((1, 4)));
        let segments = Array2::from_shape_vec((1, 4), vec![7_u32, 7, 9, 9]).unwrap();
        let drawn = overlay_segments(&image, &labels, &segments, &classes, 0.5);
        let plain = overlay(&image, &labels, &classes, 0.5);
        let differing: Vec<usize> = (0..4).filter(|&x| drawn[(0, x, 0)] != plain[(0, x, 0)]).collect();
        assert_eq!(differing, [1]);
    }

    #[test]
    fn blends_by_opacity_and_leaves_ignored_pixels_without_class_colour() {
        let mut classes = ClassTable::from_names(["a", "b"]).unwrap();
        let image = Image::from_elem((2, 4, 3), 100);
        let labels = LabelMap::from_shape_vec((2, 4), vec![0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        let none = overlay(&image, &labels, &classes, 0.0);
        assert_eq!(none, image);
        let full = overlay(&image, &labels, &classes, 1.0);
        let color = classes.get(0).unwrap().color;
        assert_eq!([full[(0, 0, 0)], full[(0, 0, 1)], full[(0, 0, 2)]], color);
        let ignored = overlay(&image, &LabelMap::from_elem((2, 4), IGNORE), &classes, 0.5);
        assert!(ignored.iter().all(|&value| value == 75), "100 darkened by a quarter");
        classes = ClassTable::from_names(["only"]).unwrap();
        // A label without a class must not panic.
        overlay(&image, &LabelMap::from_elem((2, 4), 9), &classes, 0.5);
    }
}
