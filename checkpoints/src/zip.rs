//! The table of contents of a zip archive over its bytes, zip64 included.
//!
//! Format: PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3. Entries must be stored or deflated, one disk, not encrypted.
//! Checksums are not compared: torch can be told to leave them out, and then writes wrong ones.

use std::collections::BTreeMap;

use libdeflater::Decompressor;

use crate::bytes::Bytes;
use crate::error::Fault;
use crate::pickle::Budget;

/// What an archive begins with.
pub(crate) const MAGIC: &[u8] = b"PK\x03\x04";

const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const CENTRAL: &[u8] = b"PK\x01\x02";

/// Entries by name.
#[derive(Debug)]
pub(crate) struct Archive {
    entries: BTreeMap<String, Bytes>,
}

/// How much of an archive is unpacked at most, in lengths of the archive. Weights hardly shrink.
const UNPACKED: usize = 16;

impl Archive {
    pub fn read(bytes: &Bytes) -> Result<Self, Fault> {
        let (count, start) = directory(bytes)?;
        let mut budget = Budget::of(bytes.len().saturating_mul(UNPACKED).saturating_add(1 << 20));
        let mut entries = BTreeMap::new();
        let mut at = start;
        for _ in 0..count {
            let (entry, next) = Entry::read(bytes, at)?;
            let content = entry.content(bytes, &mut budget)?;
            if entries.insert(entry.name.clone(), content).is_some() {
                return Err(damaged(at, "each name once in the archive", &entry.name));
            }
            at = next;
        }
        Ok(Self { entries })
    }

    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.entries.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

fn damaged(at: usize, expected: &str, got: impl Into<String>) -> Fault {
    Fault::damaged(format!("zip archive at byte {at}"), expected, got)
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Fault> {
    let part = at.checked_add(N).and_then(|end| bytes.get(at..end)).and_then(|part| part.try_into().ok());
    part.ok_or_else(|| damaged(at, "a whole record of the archive", "the end of the file"))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    bytes_at(bytes, at).map(|b| usize::from(u16::from_le_bytes(b)))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    bytes_at(bytes, at).map(|b| u32::from_le_bytes(b) as usize)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    bytes_at(bytes, at).map(|b| usize::try_from(u64::from_le_bytes(b)).unwrap_or(usize::MAX))
}

/// Number of entries, and where the table of contents begins.
fn directory(bytes: &[u8]) -> Result<(usize, usize), Fault> {
    const LENGTH: usize = 22;
    let last = bytes.len().saturating_sub(LENGTH);
    // A comment of up to 64 KiB may follow the end record; it says itself how long it is.
    let end = (last.saturating_sub(0xffff)..=last)
        .rev()
        .find(|&at| {
            bytes[at..].starts_with(END)
                && u16_at(bytes, at + 20).is_ok_and(|comment| at + LENGTH + comment == bytes.len())
        })
        .ok_or_else(|| damaged(last, "the end of a zip archive", "none"))?;
    let locator = end.checked_sub(20).filter(|&at| bytes[at..].starts_with(LOCATOR64));
    let (disk, count, size, start) = match locator {
        Some(locator) => {
            let end64 = u64_at(bytes, locator + 8)?;
            if bytes_at::<4>(bytes, end64)? != *END64 {
                return Err(damaged(end64, "the end of a zip64 archive", "other bytes"));
            }
            let field = |at| u64_at(bytes, end64 + at);
            (u32_at(bytes, end64 + 16)?, field(32)?, field(40)?, field(48)?)
        }
        None => (
            u16_at(bytes, end + 4)?,
            u16_at(bytes, end + 10)?,
            u32_at(bytes, end + 12)?,
            u32_at(bytes, end + 16)?,
        ),
    };
    if disk != 0 {
        return Err(damaged(end, "an archive in one file", "several"));
    }
    if start.checked_add(size).is_none_or(|last| last > end) || count > size / 46 {
        let got = format!("{count} entries in {size} bytes at byte {start}");
        return Err(damaged(end, "a table of contents inside the archive", got));
    }
    Ok((count, start))
}

/// One line of the table of contents.
struct Entry {
    name: String,
    flags: usize,
    method: usize,
    packed: usize,
    unpacked: usize,
    header: usize,
}

impl Entry {
    /// The entry at `at`, and where the next one begins.
    fn read(bytes: &[u8], at: usize) -> Result<(Self, usize), Fault> {
        if bytes_at::<4>(bytes, at)? != *CENTRAL {
            return Err(damaged(at, "an entry of the table of contents", "other bytes"));
        }
        let field2 = |offset| u16_at(bytes, at + offset);
        let field4 = |offset| u32_at(bytes, at + offset);
        let names = at + 46;
        let extra = names + field2(28)?;
        let comment = extra + field2(30)?;
        let next = comment + field2(32)?;
        let name = bytes.get(names..extra).and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(|| damaged(names, "a name in UTF-8", "other bytes"))?.to_owned();
        let mut entry = Self {
            name,
            flags: field2(8)?,
            method: field2(10)?,
            packed: field4(20)?,
            unpacked: field4(24)?,
            header: field4(42)?,
        };
        entry.widen(bytes, extra, comment)?;
        Ok((entry, next))
    }

    /// Takes what did not fit into 32 bits from the zip64 field among the extra ones.
    fn widen(&mut self, bytes: &[u8], mut at: usize, end: usize) -> Result<(), Fault> {
        const FULL: usize = 0xffff_ffff;
        while at + 4 <= end {
            let (id, length) = (u16_at(bytes, at)?, u16_at(bytes, at + 2)?);
            at += 4;
            if id == 1 {
                let mut field = at;
                for value in [&mut self.unpacked, &mut self.packed, &mut self.header] {
                    if *value == FULL && field + 8 <= at + length {
                        *value = u64_at(bytes, field)?;
                        field += 8;
                    }
                }
            }
            at += length;
        }
        Ok(())
    }

    fn content(&self, bytes: &Bytes, budget: &mut Budget) -> Result<Bytes, Fault> {
        let Self { name, header, packed, unpacked, .. } = self;
        if self.flags & 1 != 0 {
            let help = "save it again without a password";
            return Err(Fault::unsupported(
                format!("record {name}"),
                "plain content",
                "an encrypted one",
                help,
            ));
        }
        if bytes_at::<4>(bytes, *header)? != *MAGIC {
            return Err(damaged(*header, "the header of an entry", "other bytes"));
        }
        let start = header + 30 + u16_at(bytes, header + 26)? + u16_at(bytes, header + 28)?;
        let content = start.checked_add(*packed).and_then(|end| bytes.slice(start..end));
        let content = content
            .ok_or_else(|| damaged(start, &format!("the {packed} bytes of {name}"), "the end of the file"))?;
        match self.method {
            0 if packed == unpacked => Ok(content),
            8 => {
                budget.take(*unpacked, &format!("record {name}"))?;
                let mut out = vec![0; *unpacked];
                match Decompressor::new().deflate_decompress(&content, &mut out) {
                    Ok(written) if written == out.len() => Ok(out.into()),
                    _ => Err(damaged(start, &format!("{name} deflated to {unpacked} bytes"), "other data")),
                }
            }
            0 => Err(damaged(
                start,
                "stored bytes as many as unpacked ones",
                format!("{packed} and {unpacked}"),
            )),
            method => {
                let help = "pack it again without compression";
                let got = format!("compression method {method}");
                Err(Fault::unsupported(format!("record {name}"), "stored or deflated content", got, help))
            }
        }
    }
}
