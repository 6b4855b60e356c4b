//! A part of a set that one of several processes takes.

use std::fmt;
use std::str::FromStr;

/// Every N-th block of a set from the K-th on, counted from 0: the shards of one N have every image exactly once.
///
/// ```
/// use smalti_datasets::Shard;
/// let shard: Shard = "1/3".parse()?;
/// let images: Vec<usize> = (0..shard.images(8, 1)).map(|position| shard.at(position, 1)).collect();
/// assert_eq!(images, [1, 4, 7]);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// The only one: all of a set.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Shard `index` of `count`, if there is such a one.
    pub fn new(index: usize, count: usize) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// The one of `count`, which is not 0, that has an image of a set in blocks of `block`.
    pub fn of_image(image: usize, block: usize, count: usize) -> Self {
        Self { index: image / block % count, count }
    }

    /// K, below N.
    pub fn index(self) -> usize {
        self.index
    }

    /// N.
    pub fn count(self) -> usize {
        self.count
    }

    /// Number of its images among `total` ones in blocks of `block`, of which the last may be shorter.
    pub fn images(self, total: usize, block: usize) -> usize {
        let blocks = total.div_ceil(block);
        let own = blocks.saturating_sub(self.index).div_ceil(self.count);
        let has_last = blocks > 0 && (blocks - 1) % self.count == self.index;
        own * block - if has_last { blocks * block - total } else { 0 }
    }

    /// The image of the set that is number `position` of the shard.
    pub fn at(self, position: usize, block: usize) -> usize {
        (position / block * self.count + self.index) * block + position % block
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (index, count) = text.split_once('/')?;
            Self::new(index.parse().ok()?, count.parse().ok()?)
        };
        parse().ok_or_else(|| "expected K/N with K from 0 to N - 1, such as 0/4 and 3/4".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_have_every_image_once_in_whole_blocks() {
        for total in 0..14 {
            for (count, block) in [(1, 1), (2, 1), (3, 1), (5, 1), (1, 4), (2, 3), (3, 4), (7, 2)] {
                let mut seen = vec![0; total];
                for index in 0..count {
                    let shard = Shard::new(index, count).unwrap();
                    let images: Vec<usize> =
                        (0..shard.images(total, block)).map(|position| shard.at(position, block)).collect();
                    assert!(images.is_sorted(), "{shard}: {images:?}");
                    assert!(
                        images.iter().all(|&image| Shard::of_image(image, block, count) == shard),
                        "{shard}: {images:?}"
                    );
                    for &image in &images {
                        seen[image] += 1;
                    }
                }
                assert!(seen.iter().all(|&times| times == 1), "{total} images, {count} shards: {seen:?}");
            }
        }
    }

    #[test]
    fn shards_by_name() {
        let parse = |text: &str| text.parse::<Shard>();
        assert_eq!(parse("0/1"), Ok(Shard::WHOLE));
        assert_eq!(parse("2/3").map(|shard| shard.to_string()), Ok("2/3".to_owned()));
        for wrong in ["", "1", "/", "3/3", "0/0", "-1/2", "1/2/3", "a/b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
