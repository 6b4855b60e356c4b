//! Where objects of the ground truth wait for their detections, which come in any order: image by image, in memory or in a
//! temporary file.

use std::ops::Range;

use smalti_datasets::DataError;

use super::scratch::Scratch;
use super::sorter::{Held, Key, Sorted};

/// Key of an object's record: by image and category, in these by the image under which the file lists it, and by its place
/// in the file.
pub(super) fn key(image: u32, category: u32, listed_under: u32, place: u64) -> Key {
    [u64::from(image) << 32 | u64::from(category), u64::from(listed_under), place]
}

/// The image in a [`key`].
pub(super) fn image_of(key: Key) -> u32 {
    (key[0] >> 32) as u32
}

/// All objects, by image.
#[derive(Debug)]
pub(super) enum TruthStore {
    /// For each image its first record; and the end of the last.
    Memory { records: Held, starts: Vec<u32> },
    /// For each image where its records begin; and the end of the last.
    File { scratch: Scratch, starts: Vec<u64> },
}

/// Bytes in front of a record's content: category, place in the file, length.
const HEAD: usize = 4 + 8 + 4;

impl TruthStore {
    /// # Errors
    /// [`DataError::Io`] of the temporary file.
    pub(super) fn new(records: Sorted, images: usize) -> Result<Self, DataError> {
        let records = match records {
            Sorted::Held(records) => {
                let first = |image: u32| records.partition_point(|key| image_of(key) < image) as u32;
                let starts = (0..=images as u32).map(first).collect();
                return Ok(Self::Memory { records, starts });
            }
            spilled @ Sorted::Spilled(_) => spilled,
        };
        let mut scratch = Scratch::new()?;
        let mut writer = scratch.writer();
        let mut starts = Vec::with_capacity(images + 1);
        records.each(|key, content| {
            while starts.len() <= image_of(key) as usize {
                starts.push(writer.place());
            }
            writer.put(&head(key, content))?;
            writer.put(content)
        })?;
        let end = writer.finish()?.end;
        starts.resize(images + 1, end);
        Ok(Self::File { scratch, starts })
    }

    /// Takes the records of an image into `out`, in place of what it held; [`each_record`] takes them apart.
    ///
    /// # Errors
    /// [`DataError::Io`] of the temporary file.
    pub(super) fn image(&self, image: u32, out: &mut Vec<u8>) -> Result<(), DataError> {
        out.clear();
        match self {
            Self::Memory { records, starts } => {
                for index in
                    between(starts, image).map_or(0..0, |range| range.start as usize..range.end as usize)
                {
                    let (key, content) = records.get(index);
                    out.extend_from_slice(&head(key, content));
                    out.extend_from_slice(content);
                }
                Ok(())
            }
            Self::File { scratch, starts } => {
                between(starts, image).map_or(Ok(()), |range| scratch.read(&range, out))
            }
        }
    }
}

fn between<T: Copy>(starts: &[T], image: u32) -> Option<Range<T>> {
    let image = image as usize;
    Some(*starts.get(image)?..*starts.get(image + 1)?)
}

fn head(key: Key, content: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&(key[0] as u32).to_le_bytes());
    head[4..12].copy_from_slice(&key[2].to_le_bytes());
    head[12..].copy_from_slice(&(content.len() as u32).to_le_bytes());
    head
}

/// Category and place in the file of each record, and where its content is in `bytes`, which are those of
/// [`TruthStore::image`].
pub(super) fn each_record(bytes: &[u8], mut visit: impl FnMut(u32, u64, Range<usize>)) {
    let mut at = 0;
    while let Some(head) = bytes[at..].first_chunk::<HEAD>() {
        let [a, b, c, d, place @ .., e, f, g, h] = *head;
        let start = at + HEAD;
        at = start + u32::from_le_bytes([e, f, g, h]) as usize;
        visit(u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(place), start..at);
    }
}
