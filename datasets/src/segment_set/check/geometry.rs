//! Whether outlines, boxes and areas of a record fit its mask and the image.

use super::report::Kind;
use crate::coco::Segmentation;

/// Pixels that an outline or box may lie outside the image: tools draw to the edge and a little beyond.
const MARGIN: f64 = 1.0;

/// Where an outline leaves an image of `size` `[H, W]`.
pub(super) fn outline_outside(mask: &Segmentation, [height, width]: [u32; 2]) -> Option<String> {
    let [left, top, right, bottom] = extent(mask)?;
    let (height, width) = (f64::from(height), f64::from(width));
    let is_outside = left < -MARGIN || top < -MARGIN || right > width + MARGIN || bottom > height + MARGIN;
    is_outside.then(|| {
        format!(
            "an outline from ({left}, {top}) to ({right}, {bottom}) on an image of {height}x{width} (HxW)"
        )
    })
}

/// Left, top, right and bottom of all outlines.
fn extent(mask: &Segmentation) -> Option<[f64; 4]> {
    let Segmentation::Polygons(parts) = mask else { return None };
    let points = || parts.iter().flat_map(|xy| xy.as_chunks::<2>().0);
    points().next()?;
    let fold = |axis: usize, pick: fn(f64, f64) -> f64, start| points().map(|p| p[axis]).fold(start, pick);
    let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
    Some([fold(0, f64::min, low), fold(1, f64::min, low), fold(0, f64::max, high), fold(1, f64::max, high)])
}

/// Length and enclosed area of outlines; areas of several add up.
fn measure(parts: &[Vec<f64>]) -> (f64, f64) {
    let (mut length, mut area) = (0.0, 0.0);
    for xy in parts {
        let (points, _) = xy.as_chunks::<2>();
        let mut twice = 0.0;
        for (a, b) in points.iter().zip(points.iter().cycle().skip(1)) {
            length += (a[0] - b[0]).hypot(a[1] - b[1]);
            twice += a[0] * b[1] - a[1] * b[0];
        }
        area += f64::abs(twice) / 2.0;
    }
    (length, area)
}

/// What is wrong with an `area`, of a mask with so many pixels. An outline's pixels and the area in it differ by up to half
/// its length, and outlines that overlap are counted twice by some tools.
pub(super) fn area_differs(area: f64, mask: &Segmentation, pixels: u32) -> Option<String> {
    let pixels = f64::from(pixels);
    let near = |value: f64, margin: f64| (area - value).abs() <= margin;
    let fits = match mask {
        Segmentation::Polygons(parts) => {
            let (length, enclosed) = measure(parts);
            near(pixels, 2.0 + length / 2.0) || near(enclosed, 2.0 + enclosed / 100.0)
        }
        _ => near(pixels, 1.0 + pixels / 100.0),
    };
    (!fits).then(|| format!("`area` is {area}, its mask has {pixels} pixels"))
}

/// What is wrong with a box `[x, y, width, height]` of a mask whose tight box is `tight`.
pub(super) fn box_wrong(
    bbox: [f64; 4],
    mask: &Segmentation,
    tight: [u32; 4],
    [height, width]: [u32; 2],
) -> Option<(Kind, String)> {
    let [x, y, w, h] = bbox;
    let [left, top, wide, high] = tight.map(f64::from);
    let tight = [left, top, left + wide, top + high];
    let margin = 2.0 + 0.02 * wide.max(high);
    let near = |edges: [f64; 4], of: [f64; 4]| edges.iter().zip(&of).all(|(a, b)| (a - b).abs() <= margin);
    let as_corners = if near(bbox, tight) && !near([x, y, x + w, y + h], tight) {
        "; it reads as x1, y1, x2, y2, expected x, y, width, height"
    } else {
        ""
    };
    let (rows, columns) = (f64::from(height), f64::from(width));
    // Written so that NaN is wrong too.
    let is_inside = x >= -MARGIN
        && y >= -MARGIN
        && w > 0.0
        && h > 0.0
        && x + w <= columns + MARGIN
        && y + h <= rows + MARGIN;
    if !is_inside {
        let text = format!("`bbox` {bbox:?} on an image of {height}x{width} (HxW){as_corners}");
        return Some((Kind::BoxOutside, text));
    }
    let edges = [x, y, x + w, y + h];
    let fits = near(edges, tight) || extent(mask).is_some_and(|extent| near(edges, extent));
    (!fits).then(|| {
        let text = format!(
            "`bbox` {bbox:?}, its mask lies in [{left}, {top}, {wide}, {high}] (x, y, width, height){as_corners}"
        );
        (Kind::BoxDiffers, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(left: f64, top: f64, edge: f64) -> Segmentation {
        let (right, bottom) = (left + edge, top + edge);
        Segmentation::Polygons(vec![vec![left, top, right, top, right, bottom, left, bottom]])
    }

    #[test]
    fn outlines_may_touch_the_edge() {
        assert_eq!(outline_outside(&square(-1.0, 0.0, 11.0), [10, 10]), None);
        let outside = outline_outside(&square(5.0, 0.0, 8.0), [10, 10]).unwrap();
        assert_eq!(outside, "an outline from (5, 0) to (13, 8) on an image of 10x10 (HxW)");
    }

    #[test]
    fn areas_may_be_those_of_outline_or_pixels() {
        let mask = square(0.0, 0.0, 10.0);
        for area in [100.0, 80.0, 121.0] {
            assert_eq!(area_differs(area, &mask, 100), None, "{area}");
        }
        assert_eq!(area_differs(0.0, &mask, 100).unwrap(), "`area` is 0, its mask has 100 pixels");
        assert!(area_differs(f64::NAN, &mask, 100).is_some());
        let runs = Segmentation::Uncompressed { size: [10, 10], counts: vec![0, 100] };
        assert_eq!(area_differs(101.0, &runs, 100), None);
        assert!(area_differs(110.0, &runs, 100).is_some());
    }

    #[test]
    fn boxes_of_corners_are_told() {
        let mask = square(20.0, 30.0, 40.0);
        let wrong = |bbox| box_wrong(bbox, &mask, [20, 30, 40, 40], [100, 100]);
        assert_eq!(wrong([20.0, 30.0, 40.0, 40.0]), None);
        assert_eq!(wrong([19.5, 31.0, 41.0, 38.9]), None);
        let (kind, text) = wrong([20.0, 30.0, 60.0, 70.0]).unwrap();
        assert_eq!((kind, text.contains("reads as x1, y1, x2, y2")), (Kind::BoxDiffers, true), "{text}");
        assert_eq!(wrong([0.0, 0.0, 100.0, 100.0]).unwrap().0, Kind::BoxDiffers);
        assert_eq!(wrong([70.0, 30.0, 40.0, 40.0]).unwrap().0, Kind::BoxOutside);
        assert_eq!(wrong([20.0, 30.0, 0.0, 40.0]).unwrap().0, Kind::BoxOutside);
        assert_eq!(wrong([f64::NAN, 30.0, 40.0, 40.0]).unwrap().0, Kind::BoxOutside);
    }
}
