//! A temporary file without a name, for what should not stay in memory: written at its end, read anywhere, gone with the
//! process.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use smalti_datasets::DataError;

/// Bytes that are written or read at a time.
const PIECE: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Scratch {
    file: File,
    /// Where it is, for messages.
    folder: PathBuf,
    len: u64,
}

impl Scratch {
    /// In the system's folder for temporary files (`TMPDIR`).
    ///
    /// # Errors
    /// [`DataError::Io`] with the folder.
    pub(super) fn new() -> Result<Self, DataError> {
        Self::within(std::env::temp_dir())
    }

    fn within(folder: PathBuf) -> Result<Self, DataError> {
        let action = "making a temporary file (TMPDIR names another folder for it)";
        let file = tempfile::tempfile_in(&folder).map_err(DataError::io(&folder, action))?;
        Ok(Self { file, folder, len: 0 })
    }

    /// Writes to the end.
    pub(super) fn writer(&mut self) -> Writer<'_> {
        let start = self.len;
        Writer { scratch: self, start, buffer: Vec::with_capacity(PIECE) }
    }

    /// Takes some bytes of the file into `out`, in place of what it held.
    ///
    /// # Errors
    /// [`DataError::Io`] with the folder.
    pub(super) fn read(&self, range: &Range<u64>, out: &mut Vec<u8>) -> Result<(), DataError> {
        out.resize((range.end - range.start) as usize, 0);
        let action = "reading a temporary file";
        self.file.read_exact_at(out, range.start).map_err(DataError::io(&self.folder, action))
    }
}

/// Writes to the end of a [`Scratch`].
#[derive(Debug)]
pub(super) struct Writer<'a> {
    scratch: &'a mut Scratch,
    start: u64,
    buffer: Vec<u8>,
}

impl Writer<'_> {
    /// Where the next byte comes to lie.
    pub(super) fn place(&self) -> u64 {
        self.scratch.len + self.buffer.len() as u64
    }

    /// Writes some bytes.
    ///
    /// # Errors
    /// [`DataError::Io`] with the folder: a full disk, mostly.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    /// What was written with this writer.
    ///
    /// # Errors
    /// As of [`Writer::put`].
    pub(super) fn finish(mut self) -> Result<Range<u64>, DataError> {
        self.flush()?;
        Ok(self.start..self.scratch.len)
    }

    fn flush(&mut self) -> Result<(), DataError> {
        let Scratch { file, folder, len } = &mut *self.scratch;
        let action = "writing a temporary file (TMPDIR names another folder for it)";
        file.write_all_at(&self.buffer, *len).map_err(DataError::io(&*folder, action))?;
        *len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Reads a part of a [`Scratch`] from its start to its end.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    scratch: &'a Scratch,
    /// What was not read from the file yet.
    rest: Range<u64>,
    buffer: Vec<u8>,
    /// What was given out of the buffer.
    passed: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(scratch: &'a Scratch, range: Range<u64>) -> Self {
        Self { scratch, rest: range, buffer: Vec::new(), passed: 0 }
    }

    /// The next `count` bytes; `None` if there are no more.
    ///
    /// # Errors
    /// As of [`Scratch::read`].
    pub(super) fn take(&mut self, count: usize) -> Result<Option<&[u8]>, DataError> {
        if self.buffer.len() - self.passed < count {
            self.refill(count)?;
        }
        let bytes = self.buffer.get(self.passed..self.passed + count);
        self.passed += bytes.map_or(0, <[u8]>::len);
        Ok(bytes)
    }

    fn refill(&mut self, count: usize) -> Result<(), DataError> {
        let kept = self.buffer.len() - self.passed;
        let end = self.rest.end.min(self.rest.start + count.max(PIECE) as u64);
        let start = self.rest.start - kept as u64; // what is left of the buffer is read again
        self.scratch.read(&(start..end), &mut self.buffer)?;
        self.passed = 0;
        self.rest.start = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let gone = tempfile::tempdir().unwrap().path().join("gone");
        let err = Scratch::within(gone.clone()).unwrap_err().to_string();
        assert!(err.starts_with(&gone.display().to_string()) && err.contains("TMPDIR"), "{err}");
    }

    #[test]
    fn what_was_written_is_read_anywhere() {
        let numbers: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let mut scratch = Scratch::new().unwrap();
        let mut writer = scratch.writer();
        numbers.chunks(4 * 7).for_each(|some| writer.put(some).unwrap());
        assert_eq!(writer.place(), numbers.len() as u64);
        assert_eq!(writer.finish().unwrap(), 0..numbers.len() as u64);
        let mut writer = scratch.writer();
        writer.put(b"more").unwrap();
        let more = writer.finish().unwrap();
        let mut out = Vec::new();
        scratch.read(&more, &mut out).unwrap();
        assert_eq!(out, b"more");
        scratch.read(&(4_000..4_008), &mut out).unwrap();
        assert_eq!(out, numbers[4_000..4_008]);
        for step in [3, 70_000] {
            let mut reader = Reader::new(&scratch, 5..numbers.len() as u64);
            let mut found = Vec::new();
            while let Some(bytes) = reader.take(step).unwrap() {
                found.extend_from_slice(bytes);
            }
            let whole = (numbers.len() - 5) / step * step;
            assert_eq!(found, numbers[5..5 + whole], "in steps of {step}");
        }
        assert!(scratch.read(&(more.end - 2..more.end + 1), &mut out).is_err(), "one byte too far");
    }
}
