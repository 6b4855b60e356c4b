//! The bytes of a pickle, taken from front to back.

use crate::bytes::Bytes;
use crate::error::Fault;

/// Bytes, a place in them, and the name of the record for errors.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    bytes: Bytes,
    at: usize,
    record: &'a str,
}

impl<'a> Input<'a> {
    pub fn new(bytes: Bytes, at: usize, record: &'a str) -> Self {
        Self { bytes, at, record }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn record(&self) -> &'a str {
        self.record
    }

    /// The next `count` bytes as a part that can be kept.
    pub fn part(&mut self, count: usize) -> Result<Bytes, Fault> {
        let part = self.at.checked_add(count).and_then(|end| self.bytes.slice(self.at..end));
        let Some(part) = part else {
            let left = self.bytes.len() - self.at;
            return Err(Fault::damaged(
                format!("{} at byte {}", self.record, self.at),
                format!("{count} more bytes"),
                format!("{left}"),
            ));
        };
        self.at += count;
        Ok(part)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let part = self.part(N)?;
        let mut out = [0; N];
        out.copy_from_slice(&part);
        Ok(out)
    }

    pub fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A length of 8 bytes; one beyond this machine's memory is beyond the file too.
    pub fn length8(&mut self) -> Result<usize, Fault> {
        let length = u64::from_le_bytes(self.array()?);
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A length of 4 bytes.
    pub fn length4(&mut self) -> Result<usize, Fault> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    /// Up to the end of the line, which is taken too.
    pub fn line(&mut self) -> Result<Bytes, Fault> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(Fault::damaged(
                format!("{} at byte {}", self.record, self.at),
                "a line",
                "the end of the data",
            ));
        };
        let line = self.part(length)?;
        self.at += 1;
        Ok(line)
    }
}
