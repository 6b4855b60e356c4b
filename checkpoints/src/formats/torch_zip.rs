//! `torch.save` since 1.6: a zip archive with the records `NAME/data.pkl`, `NAME/data/KEY`, `NAME/byteorder`.
//!
//! Reference: `torch/serialization.py` 2.11 (BSD-3-Clause), `_save` and `_load`. Storages are stored, so that a mapped file
//! is read where it lies.

use std::ffi::OsStr;
use std::path::Path;

use crate::bytes::Bytes;
use crate::error::{Fault, shown};
use crate::pickle::{Expanded, Persistence, expand, load};
use crate::zip::Archive;

const PICKLE: &str = "data.pkl";

pub(crate) fn read(bytes: &Bytes) -> Result<Expanded, Fault> {
    let archive = Archive::read(bytes)?;
    let roots: Vec<&str> = archive
        .names()
        .filter_map(|name| name.strip_suffix("/data.pkl"))
        .filter(|root| !root.contains('/'))
        .collect();
    let &[root] = &roots[..] else {
        let help = "save the weights with torch.save(model.state_dict(), FILE) or as safetensors";
        let got = if archive.names().any(|name| Path::new(name).extension() == Some(OsStr::new("npy"))) {
            "arrays that numpy.savez wrote".to_owned()
        } else {
            format!("{} of {} records", roots.len(), archive.names().count())
        };
        return Err(Fault::unsupported(
            "zip archive",
            "one record NAME/data.pkl, as torch writes",
            got,
            help,
        ));
    };
    let record = |name: &str| archive.get(&format!("{root}/{name}"));
    if record("constants.pkl").is_some() {
        let help = "load it with torch.jit.load and save its state dict with torch.save";
        return Err(Fault::unsupported("zip archive", "weights", "a TorchScript program", help));
    }
    match record("byteorder").map(|bytes| bytes.trim_ascii()) {
        None | Some(b"little") => {}
        Some(order) => {
            let got = shown(&String::from_utf8_lossy(order));
            let help = "load and save it on a little-endian machine";
            return Err(Fault::unsupported("record byteorder", "little", got, help));
        }
    }
    let Some(pickle) = record(PICKLE) else {
        return Err(Fault::damaged("zip archive", "the record data.pkl", "none"));
    };
    let loaded = load(pickle, 0, PICKLE, Persistence::Storages)?;
    if loaded.end != pickle.len() {
        let got = format!("{} more bytes", pickle.len() - loaded.end);
        return Err(Fault::damaged(format!("{PICKLE} at byte {}", loaded.end), "the end of the record", got));
    }
    expand(&loaded, pickle.len(), PICKLE, &|key| {
        record(&format!("data/{key}")).cloned().ok_or_else(|| {
            Fault::damaged(PICKLE, format!("a record data/{} in the archive", shown(key)), "none")
        })
    })
}
