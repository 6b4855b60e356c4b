//! safetensors: the length of a JSON header in 8 bytes, the header, the elements.
//!
//! Format: the crate `safetensors`, whose header type checks that entries fill the data without gaps and overlaps.

use safetensors::tensor::Metadata;

use crate::bytes::Bytes;
use crate::checkpoint::NamedTensor;
use crate::dtype::Dtype;
use crate::error::{Fault, shown};
use crate::pickle::Expanded;
use crate::tensor::{LazyTensor, byte_len};
use crate::value::{Dict, Value};

/// Longest header accepted, the limit of the format's reference implementation.
const MAX_HEADER: usize = 100_000_000;

const LENGTH: usize = 8;

pub(crate) fn begins(bytes: &[u8]) -> bool {
    // A header of 100 MB has four bytes of length; with the brace that makes five bytes that are known.
    bytes.len() > LENGTH && bytes[4..LENGTH] == [0; 4] && bytes[LENGTH] == b'{'
}

pub(crate) fn read(bytes: &Bytes) -> Result<Expanded, Fault> {
    let length = bytes.first_chunk::<LENGTH>().map_or(0, |length| u64::from_le_bytes(*length));
    let most = (bytes.len() - LENGTH).min(MAX_HEADER);
    let length = usize::try_from(length).ok().filter(|&length| length <= most);
    let Some(length) = length else {
        return Err(Fault::damaged("header", format!("at most {most} bytes"), "a longer one"));
    };
    let start = LENGTH + length;
    let header: Metadata = serde_json::from_slice(&bytes[LENGTH..start])
        .map_err(|error| Fault::damaged("header", "the JSON of a safetensors header", error.to_string()))?;
    let expected = header.data_len().checked_add(start);
    if expected != Some(bytes.len()) {
        let expected = expected.map_or_else(|| "fewer bytes".to_owned(), |bytes| format!("{bytes} bytes"));
        return Err(Fault::damaged("file", expected, format!("{} bytes", bytes.len())));
    }
    let mut names: Vec<(String, _)> = header.tensors().into_iter().collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut entries, mut tensors) = (Vec::new(), Vec::new());
    for (name, info) in names {
        let label = format!("`{}`", shown(&name));
        let key = Value::Text(name.as_str().into());
        let Some(dtype) = Dtype::from_safetensors(info.dtype) else {
            let dtype = info.dtype.to_string().to_lowercase();
            entries.push((key, Value::Foreign { dtype: dtype.into(), shape: info.shape.clone() }));
            continue;
        };
        let (from, to) = info.data_offsets;
        let data = bytes.slice(start + from..start + to);
        let strides = LazyTensor::row_major(&info.shape);
        let counted = byte_len(dtype, &info.shape).filter(|&bytes| bytes == to - from);
        let (Some(data), Some(strides), Some(_)) = (data, strides, counted) else {
            let got = format!("shape {:?} in {} bytes", info.shape, to.saturating_sub(from));
            return Err(Fault::damaged(label, format!("a shape of {dtype} that fills its bytes"), got));
        };
        let tensor = LazyTensor::new(&label, dtype, info.shape.clone(), strides, &data, 0)?;
        entries.push((key, Value::Tensor(tensors.len())));
        tensors.push(NamedTensor::new(vec![name.into()], tensor));
    }
    let mut strings: Vec<_> = header.metadata().iter().flatten().collect();
    strings.sort();
    let texts = |(key, value): (&String, &String)| {
        (Value::Text(key.as_str().into()), Value::Text(value.as_str().into()))
    };
    let strings = Dict { entries: strings.into_iter().map(texts).collect(), attributes: None };
    let attributes = (!strings.entries.is_empty()).then(|| Box::new(Value::Dict(strings)));
    Ok(Expanded { tree: Value::Dict(Dict { entries, attributes }), tensors })
}
