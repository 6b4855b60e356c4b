//! Safetensors files of tensors that need not be in memory: one at a time is.
//!
//! The bytes depend on names, tensors and metadata only: entries by element size, then name, metadata by key.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::layouts::Content;

/// Writes a whole file to `out`; the caller flushes and syncs.
///
/// # Errors
/// What `out` refuses.
pub fn safetensors(
    out: &mut dyn Write,
    tensors: &[(String, Content)],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let mut order: Vec<_> = tensors.iter().collect();
    order.sort_by(|a, b| (b.1.dtype().size(), &a.0).cmp(&(a.1.dtype().size(), &b.0)));
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), json!(metadata));
    }
    let mut offset = 0;
    for (name, content) in &order {
        let end = offset + content.byte_len();
        let dtype = content.dtype().name().to_uppercase();
        let entry = json!({"dtype": dtype, "shape": content.shape(), "data_offsets": [offset, end]});
        header.insert(name.clone(), entry);
        offset = end;
    }
    let mut header = serde_json::to_vec(&Value::Object(header))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    order.iter().try_for_each(|(_, content)| out.write_all(&content.to_bytes()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Checkpoint;

    #[test]
    fn what_is_written_is_read_back() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/read/zip.pth");
        let source = Checkpoint::open(&source).unwrap();
        let weights = source.state_dict(None).unwrap();
        let tensors: Vec<_> =
            weights.tensors.iter().map(|(name, tensor)| (name.clone(), Content::from(*tensor))).collect();
        let metadata =
            BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "\u{e9}".to_owned())]);
        let mut bytes = Vec::new();
        safetensors(&mut bytes, &tensors, &metadata).unwrap();

        let read = Checkpoint::from_bytes(Path::new("memory"), bytes).unwrap();
        assert_eq!(read.tensors().len(), tensors.len());
        let again = read.state_dict(None).unwrap();
        for (name, content) in &tensors {
            let (_, tensor) = again.tensors.iter().find(|(other, _)| other == name).unwrap();
            assert_eq!((tensor.dtype(), tensor.shape()), (content.dtype(), content.shape()), "{name}");
            assert_eq!(tensor.to_bytes(), content.to_bytes(), "{name}");
        }
        let strings = again.attributes.and_then(|value| value.as_dict()).unwrap();
        assert_eq!(strings.get("a"), Some(&crate::Value::Text("\u{e9}".into())));
    }
}
