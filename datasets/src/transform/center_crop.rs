//! What an image classifier is evaluated on: the shorter edge resized, then the middle cut out (torchvision's `Resize` and
//! `CenterCrop`, as timm combines them).

use ndarray::s;

use super::antialias;
use crate::image_folder::EvalViewConfig;
use crate::sample::Image;

/// Of images longer than this many times their shorter edge only the middle is resized: the rest is far outside the view.
const LONGEST: usize = 64;

/// The view of an image: `[H, W, 3]` -> `[size, size, 3]`.
pub fn view(cfg: &EvalViewConfig, image: &Image) -> Image {
    let (height, width, _) = image.dim();
    if height.max(width) > LONGEST * height.min(width) {
        let limit = LONGEST * height.min(width);
        let cut = |edge: usize| edge.saturating_sub(limit) / 2..edge - edge.saturating_sub(limit).div_ceil(2);
        return view(cfg, &image.slice(s![cut(height), cut(width), ..]).to_owned());
    }
    let side = cfg.size as usize;
    let size = resized([height, width], (f64::from(cfg.size) / cfg.crop_ratio).floor() as usize);
    let resized = antialias::resize(image, size, cfg.filter);
    let start = |edge: usize| ((edge - side) as f64 / 2.0).round_ties_even() as usize;
    let (top, left) = (start(size[0]), start(size[1]));
    resized.slice(s![top..top + side, left..left + side, ..]).to_owned()
}

/// Height and width with a shorter edge of `short`; the longer one is cut off to whole pixels.
fn resized([height, width]: [usize; 2], short: usize) -> [usize; 2] {
    let long = |edge: usize, other: usize| (short as u64 * edge as u64 / other as u64) as usize;
    if height <= width { [short, long(width, height)] } else { [long(height, width), short] }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::transform::antialias::Filter;

    #[test]
    fn sizes_are_torchvisions() {
        assert_eq!(resized([375, 500], 256), [256, 341]); // 256 * 500 / 375 = 341.3
        assert_eq!(resized([500, 334], 248), [371, 248]); // 248 * 500 / 334 = 371.3
        assert_eq!(resized([10, 10], 256), [256, 256]);
    }

    #[test]
    fn the_middle_is_kept() {
        // 32 / 0.8 = 40: nothing is resized, 4 rows and 14 columns go on either side.
        let image = Array3::from_shape_fn((40, 60, 3), |(y, x, c)| (y * 6 + x + c) as u8);
        let cfg = EvalViewConfig { size: 32, crop_ratio: 0.8, filter: Filter::Bicubic };
        assert_eq!(view(&cfg, &image), image.slice(s![4..36, 14..46, ..]));
        let thin = Array3::zeros((3, 50_000, 3));
        assert_eq!(view(&cfg, &thin).dim(), (32, 32, 3));
    }
}
