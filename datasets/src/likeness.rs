//! Images that are the same, or nearly: what makes a validation score tell less than it seems to.
//!
//! Files are compared by a hash of their bytes. For others a picture is brought to 16x16 grey values; which of its 8x8
//! blocks are brighter than their neighbour gives a 64-bit difference hash (Krawetz, "Kind of like that", 2013), by which
//! candidates are found, and the grey values decide. Copies that were compressed again, converted or resized are found so;
//! crops, turned and mirrored ones are not.

mod copies;
mod sign_index;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::copies::Copies;
use self::sign_index::SignIndex;
use crate::sample::Image;
use crate::{DataError, decode};

/// Edge of the grey picture.
const EDGE: usize = 16;

/// Bits in which the hashes of like images may differ.
const BITS: u32 = 6;

/// Mean difference of like images' grey values, of 255.
const LEVELS: u64 = 3;

/// Images whose grey values differ less from their mean are like any other such image: fog, paper, a blank frame.
const CONTRAST: u64 = 6;

/// What is kept of an image: 288 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Half of the BLAKE3 hash of the file.
    file: [u8; 16],
    /// Which blocks are brighter than their right neighbour; `None` for images without contrast.
    signs: Option<u64>,
    grey: [u8; EDGE * EDGE],
}

/// Images of two lists that are alike, by their positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alike {
    /// Position in the first list.
    pub first: usize,
    /// Position in the second list.
    pub second: usize,
    /// Whether the files are the same byte for byte.
    pub identical: bool,
}

impl Fingerprint {
    /// Reads an image file: its height and width, and its fingerprint.
    ///
    /// # Errors
    /// As for [`decode::image`].
    pub fn of_file(path: &Path) -> Result<((usize, usize), Self), DataError> {
        let mut bytes = Vec::new();
        decode::read_into(path, &mut bytes)?;
        let image = decode::image_of(path, &bytes)?;
        let (height, width, _) = image.dim();
        Ok(((height, width), Self::new(&bytes, &image)))
    }

    /// Of the bytes of an image file and the pixels in it, `[H, W, 3]`.
    pub fn new(bytes: &[u8], image: &Image) -> Self {
        let mut file = [0; 16];
        file.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        let grey = grey(image);
        let mean = grey.iter().map(|&v| u64::from(v)).sum::<u64>() / grey.len() as u64;
        let contrast = grey.iter().map(|&v| u64::from(v).abs_diff(mean)).sum::<u64>() / grey.len() as u64;
        Self { file, signs: (contrast >= CONTRAST).then(|| signs(&grey)), grey }
    }

    /// Whether the grey values are like those of an image whose hash is near.
    fn is_like(&self, other: &Self) -> bool {
        let differences = self.grey.iter().zip(&other.grey).map(|(a, b)| u64::from(a.abs_diff(*b)));
        differences.sum::<u64>() <= LEVELS * self.grey.len() as u64
    }
}

/// Mean of red, green and blue in each of 16x16 parts; of images that are smaller, parts share pixels.
fn grey(image: &Image) -> [u8; EDGE * EDGE] {
    let (height, width, _) = image.dim();
    let mut grey = [0; EDGE * EDGE];
    if height == 0 || width == 0 {
        return grey;
    }
    let part = |i: usize, edge: usize| {
        let start = i * edge / EDGE;
        start..((i + 1) * edge / EDGE).max(start + 1)
    };
    for v in 0..EDGE {
        let rows = part(v, height);
        let mut sums = [0_u64; EDGE];
        for y in rows.clone() {
            let row = image.slice(ndarray::s![y, .., ..]);
            let row = row.as_standard_layout();
            let values = row.as_slice().unwrap_or_default();
            for (u, sum) in sums.iter_mut().enumerate() {
                let columns = part(u, width);
                let values = &values[3 * columns.start..3 * columns.end];
                *sum += u64::from(values.iter().map(|&value| u32::from(value)).sum::<u32>());
            }
        }
        for (u, sum) in sums.into_iter().enumerate() {
            let count = 3 * rows.len() * part(u, width).len();
            grey[v * EDGE + u] = (sum / count as u64) as u8;
        }
    }
    grey
}

/// A bit for each of 8x8 blocks: brighter than the one at its right, the last of a row than the first.
fn signs(grey: &[u8; EDGE * EDGE]) -> u64 {
    const SIDE: usize = EDGE / 2;
    let block = |v: usize, u: usize| -> u32 {
        let corner = 2 * v * EDGE + 2 * u;
        [0, 1, EDGE, EDGE + 1].iter().map(|step| u32::from(grey[corner + step])).sum()
    };
    let bit = |i: usize| block(i / SIDE, i % SIDE) > block(i / SIDE, (i % SIDE + 1) % SIDE);
    (0..SIDE * SIDE).filter(|&i| bit(i)).map(|i| 1 << i).sum()
}

/// Images of one list with the like of them in another, at most one each: the first with the same file, else the first that is
/// similar. `None` stands for images that could not be read.
pub fn between(first: &[Option<Fingerprint>], second: &[Option<Fingerprint>]) -> Vec<Alike> {
    let files = by_file(second);
    let index = SignIndex::new(second.iter().map(|print| print.as_ref().and_then(|print| print.signs)));
    let alike = |(at, print): (usize, &Option<Fingerprint>)| {
        let print = print.as_ref()?;
        if let Some(same) = files.get(&print.file) {
            return Some(Alike { first: at, second: *same, identical: true });
        }
        let is_like = |other: usize| second[other].as_ref().is_some_and(|other| print.is_like(other));
        let like = index.first_near(print.signs?, is_like)?;
        Some(Alike { first: at, second: like, identical: false })
    };
    first.par_iter().enumerate().filter_map(alike).collect()
}

/// Positions of images whose files are the same, a group for each such file: in order, and by their first image.
pub(crate) fn repeated(list: &[Option<Fingerprint>]) -> Vec<Vec<usize>> {
    let files = by_file(list);
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, print) in list.iter().enumerate() {
        let first = print.as_ref().and_then(|print| files.get(&print.file));
        if let Some(&first) = first.filter(|first| **first != at) {
            groups.entry(first).or_insert_with(|| vec![first]).push(at);
        }
    }
    groups.into_values().collect()
}

/// The first image of each file hash.
fn by_file(list: &[Option<Fingerprint>]) -> HashMap<[u8; 16], usize> {
    let mut files = HashMap::with_capacity(list.len());
    for (at, print) in list.iter().enumerate() {
        if let Some(print) = print {
            files.entry(print.file).or_insert(at);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::resize::{self, Region};

    /// A picture of soft blobs; another for every seed.
    fn scene(seed: usize, (height, width): (usize, usize)) -> Image {
        Image::from_shape_fn((height, width, 3), |(y, x, c)| {
            let (v, u) = (y as f64 / height as f64, x as f64 / width as f64);
            let waves = (1..6).map(|k| {
                let [across, down] = [31, 57].map(|step| (seed * seed * step * k + seed * 7) as f64 / 9.7);
                ((k as f64 * 2.1 * u + across).sin() + (k as f64 * 1.7 * v + down).cos()) / k as f64
            });
            (128.0 + 30.0 * waves.sum::<f64>() + c as f64) as u8
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "lists hold what could be read")]
    fn print(name: &str, image: &Image) -> Option<Fingerprint> {
        Some(Fingerprint::new(name.as_bytes(), image))
    }

    #[test]
    fn copies_are_found_and_others_are_not() {
        let first: Vec<_> =
            (0..40).map(|seed| print(&format!("a{seed}"), &scene(seed, (120, 160)))).collect();
        assert_eq!(between(&first[..20], &first[20..]), [], "different pictures");
        let noisy = scene(3, (120, 160)).mapv(|v| v.saturating_add(v % 4));
        let small = resize::image(&scene(5, (120, 160)), [60, 90], Region::whole([60, 90]));
        let second =
            [print("x", &noisy), None, print("a7", &scene(9, (9, 9))), print("y", &small), first[2].clone()];
        let found: Vec<_> =
            between(&first[..8], &second).into_iter().map(|a| (a.first, a.second, a.identical)).collect();
        assert_eq!(found, [(2, 4, true), (3, 0, false), (5, 3, false), (7, 2, true)]);
    }

    #[test]
    fn blank_images_are_only_compared_by_their_files() {
        let blank = |name: &str, value| print(name, &Image::from_elem((30, 40, 3), value));
        assert_eq!(between(&[blank("a", 7)], &[blank("b", 7)]), []);
        let list = [blank("a", 7), blank("b", 9), blank("a", 7), None, blank("a", 7)];
        assert_eq!(repeated(&list), [[0, 2, 4]]);
    }

    #[test]
    fn copies_are_grouped_by_their_first_image() {
        let names = ["a", "b", "c", "b", "a", "d", "b"];
        let list: Vec<_> = names.map(|name| print(name, &scene(1, (20, 20)))).into();
        assert_eq!(repeated(&list), [vec![0, 4], vec![1, 3, 6]]);
    }

    #[test]
    fn images_of_any_size_have_a_fingerprint() {
        for size in [(1, 1), (1, 300), (17, 5), (16, 16), (0, 3)] {
            let _ = Fingerprint::new(b"x", &scene(1, size));
        }
    }
}
