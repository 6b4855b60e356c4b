//! Sorts more records than fit the memory: what is held is written to a temporary file, sorted, as often as it comes to
//! more than there is room for, and these runs are read as one in the end. Few records never see the disk.

use std::ops::Range;

use smalti_datasets::DataError;

use super::merge::{Source, merge};
use super::scratch::{Reader, Scratch};

/// What records are sorted by. No two are equal.
pub(super) type Key = [u64; 3];

/// A batch of more bytes should be handed over.
const FULL: usize = 1 << 22;

/// Bytes of a record's length and of its head in a run: key and length.
const LENGTH: usize = 4;
const HEAD: usize = 24 + LENGTH;

/// Records that one thread made.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Of each record its length and its content.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// A record and where it starts.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    start: usize,
}

impl Batch {
    /// Adds a record; `write` appends its content.
    pub(super) fn push(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.entries.push(Entry { key, start });
        self.bytes.extend([0; LENGTH]);
        write(&mut self.bytes);
        let length = (self.bytes.len() - start - LENGTH) as u32;
        self.bytes[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// Takes records in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    /// Bytes that may be held.
    room: usize,
    held: Batch,
    spilled: Option<Spilled>,
}

/// Sorted records in memory.
#[derive(Debug)]
pub(super) struct Held(Batch);

/// Records on disk, in sorted runs.
#[derive(Debug)]
pub(super) struct Spilled {
    scratch: Scratch,
    runs: Vec<Range<u64>>,
}

/// Records in order of their keys.
#[derive(Debug)]
pub(super) enum Sorted {
    Held(Held),
    Spilled(Spilled),
}

impl Sorter {
    /// Holds no more than `room` bytes.
    pub(super) fn new(room: usize) -> Self {
        Self { room, held: Batch::default(), spilled: None }
    }

    /// Takes what is in a batch.
    ///
    /// # Errors
    /// [`DataError::Io`] if there is no room for temporary files.
    pub(super) fn add(&mut self, batch: &mut Batch) -> Result<(), DataError> {
        if !self.held.entries.is_empty() && self.held.size() + batch.size() > self.room {
            self.spill()?;
        }
        let base = self.held.bytes.len();
        if base == 0 {
            // All at once: what is never used costs nothing, and lists that grow leave holes behind.
            self.held.bytes.reserve(self.room);
        }
        self.held.bytes.extend_from_slice(&batch.bytes);
        let moved = |&Entry { key, start }: &Entry| Entry { key, start: base + start };
        self.held.entries.extend(batch.entries.iter().map(moved));
        batch.clear();
        if self.held.size() > self.room { self.spill() } else { Ok(()) }
    }

    /// All records, sorted.
    ///
    /// # Errors
    /// As of [`Sorter::add`].
    pub(super) fn finish(mut self) -> Result<Sorted, DataError> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        self.held.bytes.shrink_to_fit();
        Ok(self.spilled.map_or_else(|| Sorted::Held(Held::new(self.held)), Sorted::Spilled))
    }

    fn spill(&mut self) -> Result<(), DataError> {
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled { scratch: Scratch::new()?, runs: Vec::new() }),
        };
        let held = Held::new(std::mem::take(&mut self.held));
        let mut writer = spilled.scratch.writer();
        for index in 0..held.len() {
            let (key, content) = held.get(index);
            for part in key {
                writer.put(&part.to_le_bytes())?;
            }
            writer.put(&(content.len() as u32).to_le_bytes())?;
            writer.put(content)?;
        }
        spilled.runs.push(writer.finish()?);
        self.held = held.0;
        self.held.clear();
        Ok(())
    }
}

impl Held {
    fn new(mut records: Batch) -> Self {
        records.entries.sort_unstable_by_key(|entry| entry.key);
        Self(records)
    }

    pub(super) fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// How many records there are before the first whose key does not `belong`.
    pub(super) fn partition_point(&self, belongs: impl Fn(Key) -> bool) -> usize {
        self.0.entries.partition_point(|entry| belongs(entry.key))
    }

    /// Key and content of a record.
    pub(super) fn get(&self, index: usize) -> (Key, &[u8]) {
        let Entry { key, start } = self.0.entries[index];
        let (length, rest) =
            self.0.bytes[start..].split_first_chunk().expect("a record starts with its length");
        (key, &rest[..u32::from_le_bytes(*length) as usize])
    }
}

impl Sorted {
    /// Visits all records in order.
    ///
    /// # Errors
    /// The first of the file or of `visit`.
    pub(super) fn each(
        &self,
        mut visit: impl FnMut(Key, &[u8]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        match self {
            Self::Held(held) => (0..held.len()).try_for_each(|index| {
                let (key, content) = held.get(index);
                visit(key, content)
            }),
            Self::Spilled(Spilled { scratch, runs }) => {
                let runs = runs.iter().map(|run| Run::new(scratch, run.clone()));
                merge(runs.collect::<Result<_, _>>()?, |run: &Run<'_>| {
                    run.key.map_or(Ok(()), |key| visit(key, &run.content))
                })
            }
        }
    }
}

/// A run as it is read.
struct Run<'a> {
    reader: Reader<'a>,
    key: Option<Key>,
    content: Vec<u8>,
}

impl<'a> Run<'a> {
    fn new(scratch: &'a Scratch, range: Range<u64>) -> Result<Self, DataError> {
        let mut run = Self { reader: Reader::new(scratch, range), key: None, content: Vec::new() };
        run.advance()?;
        Ok(run)
    }
}

impl Source for Run<'_> {
    type Key = Key;

    fn key(&self) -> Option<Key> {
        self.key
    }

    fn advance(&mut self) -> Result<(), DataError> {
        let Some(head) = self.reader.take(HEAD)? else {
            self.key = None;
            return Ok(());
        };
        let (parts, length) = head.split_at(HEAD - LENGTH);
        let part = |index: usize| {
            let bytes = parts[index * 8..].first_chunk().expect("a key is three numbers of 8 bytes");
            u64::from_le_bytes(*bytes)
        };
        self.key = Some([part(0), part(1), part(2)]);
        let length = u32::from_le_bytes(*length.first_chunk().expect("a length has 4 bytes"));
        self.content.clear();
        self.content.extend_from_slice(self.reader.take(length as usize)?.unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(records: &[(Key, Vec<u8>)], room: usize, batch: usize) -> (bool, Vec<(Key, Vec<u8>)>) {
        let mut sorter = Sorter::new(room);
        for some in records.chunks(batch) {
            let mut batch = Batch::default();
            for (key, content) in some {
                batch.push(*key, |out| out.extend_from_slice(content));
            }
            sorter.add(&mut batch).unwrap();
        }
        let mut found = Vec::new();
        let sorted = sorter.finish().unwrap();
        sorted
            .each(|key, content| {
                found.push((key, content.to_vec()));
                Ok(())
            })
            .unwrap();
        (matches!(sorted, Sorted::Spilled(_)), found)
    }

    proptest! {
        #[test]
        fn records_come_back_in_order_with_and_without_a_file(
            parts in prop::collection::vec((0u64..3, any::<u64>(), 0usize..300), 0..200),
            batch in 1usize..20,
        ) {
            let records: Vec<(Key, Vec<u8>)> = (0..)
                .zip(parts)
                .map(|(place, (first, second, length))| ([first, second, place], vec![place as u8; length]))
                .collect();
            let mut expected = records.clone();
            expected.sort();
            let (spilled, found) = sorted(&records, 1 << 20, batch);
            prop_assert_eq!((spilled, &found), (false, &expected));
            let (spilled, found) = sorted(&records, 4000, batch);
            prop_assert_eq!(&found, &expected);
            prop_assert!(spilled || records.len() < 125);
        }
    }
}
