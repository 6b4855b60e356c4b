//! One pickle and nothing else: detectron2's `.pkl`, `{"model": {name: array}, "__author__": ...}`.
//!
//! Reference: `detectron2/checkpoint/detection_checkpoint.py` (commit 02b5c4e, Apache-2.0) reads them with Python's own
//! pickle and `encoding="latin1"`.

use crate::bytes::Bytes;
use crate::error::Fault;
use crate::pickle::{Expanded, Persistence, expand, load};

const RECORD: &str = "pickle";

/// Protocols 2 to 5 say so; 0 and 1 begin with a container and end with a full stop.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    match bytes {
        [0x80, protocol, ..] => *protocol <= 5,
        [b'(' | b'}' | b']' | b'c', .., b'.'] => true,
        _ => false,
    }
}

pub(crate) fn read(bytes: &Bytes) -> Result<Expanded, Fault> {
    let loaded = load(bytes, 0, RECORD, Persistence::None)?;
    if loaded.end != bytes.len() {
        let surplus = bytes.len() - loaded.end;
        let place = format!("{RECORD} at byte {}", loaded.end);
        return Err(Fault::damaged(place, "the end of the file", format!("{surplus} more bytes")));
    }
    expand(&loaded, bytes.len(), RECORD, &|key| {
        Err(Fault::damaged(RECORD, "no storages outside the pickle", key))
    })
}
