//! Byte ranges of a mapped file or of memory, cheap to clone and to cut.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

#[derive(Debug)]
enum Source {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

/// Part of a mapped file, or of memory; all parts keep the whole alive.
#[derive(Debug, Clone)]
pub struct Bytes {
    source: Arc<Source>,
    range: Range<usize>,
}

impl Bytes {
    /// Maps a whole file; nothing is read until it is looked at.
    pub(crate) fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        if about.len() == 0 {
            return Ok(Self::from(Vec::new()));
        }
        #[expect(unsafe_code, reason = "there is no safe way to map a file; the one block of this crate")]
        // SAFETY: the mapping is private and read-only, and lives as long as any part of it. Whoever writes to the
        // file meanwhile changes bytes under us, which every reader of bytes here has to expect of a file anyway: all
        // sizes and offsets are checked against values that were copied out, never re-read. A file that is cut
        // meanwhile ends the process with SIGBUS, as it does in every program that maps its weights.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { range: 0..map.len(), source: Arc::new(Source::Mapped(map)) })
    }

    /// A part, or `None` if the range is not inside.
    pub(crate) fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let start = self.range.start;
        Some(Self { source: Arc::clone(&self.source), range: start + range.start..start + range.end })
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { range: 0..bytes.len(), source: Arc::new(Source::Owned(bytes)) }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let whole: &[u8] = match &*self.source {
            Source::Mapped(map) => map,
            Source::Owned(bytes) => bytes,
        };
        &whole[self.range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_parts_stay_inside() {
        let whole = Bytes::from(vec![0, 1, 2, 3, 4, 5]);
        let part = whole.slice(1..5).unwrap();
        assert_eq!(&*part.slice(1..3).unwrap(), [2, 3]);
        assert!(part.slice(4..4).unwrap().is_empty());
        assert!(part.slice(0..5).is_none() && part.slice(5..6).is_none());
        #[expect(clippy::reversed_empty_ranges, reason = "what a damaged file asks for")]
        let reversed = part.slice(3..2);
        assert!(reversed.is_none());
    }

    #[test]
    fn maps_files_empty_ones_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Bytes::map(file.path()).unwrap().is_empty());
        std::fs::write(file.path(), b"glass").unwrap();
        let part = Bytes::map(file.path()).unwrap().slice(1..4).unwrap();
        assert_eq!(&*part, b"las");
        assert!(Bytes::map(std::env::temp_dir().as_path()).is_err());
    }
}
