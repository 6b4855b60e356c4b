//! `torch.save` from 0.1.10 to 1.5, and later on demand: five pickles (magic number, protocol, machine, object, keys of
//! storages), then for each storage its number of elements in 8 bytes and the elements.
//!
//! Reference: `torch/serialization.py` 2.11 (BSD-3-Clause), `_legacy_save` and `_legacy_load`.

use std::collections::BTreeMap;

use crate::bytes::Bytes;
use crate::error::{Fault, shown};
use crate::pickle::{Expanded, Heap, Id, Node, Persistence, Storage, expand, load};

/// 0x1950a86a20f9469cfc6c as a pickle of protocol 2 begins with it.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

const OBJECT: &str = "object";

pub(crate) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x80]) && bytes.get(2..).is_some_and(|rest| rest.starts_with(MAGIC))
}

pub(crate) fn read(bytes: &Bytes) -> Result<Expanded, Fault> {
    let mut at = 2 + MAGIC.len();
    let protocol = load(bytes, at, "protocol version", Persistence::None)?;
    if protocol.heap.int(protocol.root) != Some(1001) {
        let got = protocol.heap.kind(protocol.root);
        return Err(Fault::unsupported(
            "protocol version",
            "1001",
            got,
            "save it again with a current torch",
        ));
    }
    at = protocol.end;
    let machine = load(bytes, at, "machine description", Persistence::None)?;
    little_endian(&machine.heap, machine.root)?;
    at = machine.end;
    let object = load(bytes, at, OBJECT, Persistence::Storages)?;
    at = object.end;
    let keys = load(bytes, at, "storage keys", Persistence::None)?;
    at = keys.end;
    let mut sizes = BTreeMap::new();
    for storage in object.heap.storages() {
        match storage {
            Storage::Named { key, dtype, .. } => _ = sizes.entry(key.as_str()).or_insert(dtype.size()),
            Storage::Untyped { key, .. } => _ = sizes.entry(key.as_str()).or_insert(Some(1)),
            Storage::Inline(_) => {}
        }
    }
    let mut storages = BTreeMap::new();
    for &key in keys.heap.sequence(keys.root).unwrap_or_default() {
        let Some(key) = keys.heap.text(key) else {
            return Err(Fault::damaged("storage keys", "strings", keys.heap.kind(key)));
        };
        let (content, end) = storage(bytes, at, key, sizes.get(key).copied().flatten())?;
        storages.insert(key.to_owned(), content);
        at = end;
    }
    if at != bytes.len() {
        let got = format!("{} more bytes", bytes.len() - at);
        return Err(Fault::damaged(format!("storages at byte {at}"), "the end of the file", got));
    }
    expand(&object, bytes.len(), OBJECT, &|key| {
        storages
            .get(key)
            .cloned()
            .ok_or_else(|| Fault::damaged(OBJECT, format!("a storage `{}`", shown(key)), "none of this key"))
    })
}

fn little_endian(heap: &Heap, root: Id) -> Result<(), Fault> {
    let Node::Dict(machine) = heap.get(root) else {
        return Err(Fault::damaged("machine description", "a dict", heap.kind(root)));
    };
    let little = machine.entries.iter().find(|(key, _)| heap.text(*key) == Some("little_endian"));
    match little.map(|&(_, value)| heap.get(value)) {
        Some(Node::Bool(false)) => {
            let help = "load and save it on a little-endian machine";
            Err(Fault::unsupported("machine description", "little-endian elements", "big-endian ones", help))
        }
        _ => Ok(()),
    }
}

/// Elements of one storage, and where they end.
fn storage(bytes: &Bytes, at: usize, key: &str, size: Option<usize>) -> Result<(Bytes, usize), Fault> {
    let place = || format!("storage `{}` at byte {at}", shown(key));
    let size =
        size.ok_or_else(|| Fault::damaged(place(), "a storage that the object refers to", "another key"))?;
    let count = at.checked_add(8).and_then(|end| bytes.get(at..end)).and_then(|part| part.try_into().ok());
    let count =
        count.ok_or_else(|| Fault::damaged(place(), "a number of elements", "the end of the file"))?;
    let count = u64::from_le_bytes(count);
    let content = usize::try_from(count).ok().and_then(|count| count.checked_mul(size)).and_then(|length| {
        let start = at + 8;
        let end = start.checked_add(length)?;
        Some((bytes.slice(start..end)?, end))
    });
    content.ok_or_else(|| {
        Fault::damaged(place(), format!("{count} elements of {size} bytes"), "the end of the file")
    })
}
