//! Class colours over an image.

use smalti_datasets::{ClassTable, IGNORE, Image, LabelMap};

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
    let colors = label_colors(classes);
    let (height, width, _) = image.dim();
    let mix = |a: u8, b: u8, share: f32| (f32::from(a) * (1.0 - share) + f32::from(b) * share + 0.5) as u8;
    let line = (height.min(width) / LINE).max(1);
    let mut out = image.clone();
    for y in 0..height {
        for x in 0..width {
            let label = labels[(y, x)];
            let color = colors[usize::from(label)];
            let differs = |y: usize, x: usize| labels[(y, x)] != label;
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
