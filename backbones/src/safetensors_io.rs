//! Safetensors files as lists of named tensors: written as a stream, read with every claim of the header checked.
//!
//! Bytes written depend on names, tensors and metadata only: entries are ordered by element size, then name (so
//! that mapped files stay aligned), metadata by key. Reading checks the header against the real file length before
//! anything is allocated; a damaged file is an error that names it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};
use serde::Serialize;
use tch::{Kind, TchError, Tensor};

/// Bytes of the little-endian header length that opens a file.
const LENGTH_BYTES: u64 = 8;
/// Longest header accepted, the limit of the format's reference implementation.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// What can go wrong with a safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// The operating system refused a file operation.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, as a gerund.
        action: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The file is cut, has surplus bytes, or does not begin like a safetensors file.
    #[error("{}: not a whole safetensors file: expected {expected}, got {got}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the format or the header asks for.
        expected: String,
        /// What the file holds.
        got: String,
    },
    /// The header is not the JSON that the format asks for, or its entries overlap, leave gaps or overflow.
    #[error("{}: the safetensors header is not valid", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// Tensors that do not fit the format; a defect of the caller.
    #[error("{}: these tensors do not fit a safetensors header", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The format's reason.
        source: SafeTensorError,
    },
    /// One entry cannot be stored or loaded: its element type, name or values are not allowed.
    #[error("{}: tensor `{name}`: expected {expected}, got {got}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// What is allowed.
        expected: &'static str,
        /// What was found.
        got: String,
    },
    /// libtorch refused to copy a tensor.
    #[error("{}: tensor `{name}` could not be copied", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// libtorch's reason.
        source: TchError,
    },
}

impl SafetensorsError {
    fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }

    fn entry(path: &Path, name: &str, expected: &'static str, got: impl Into<String>) -> Self {
        Self::Entry { path: path.to_owned(), name: name.to_owned(), expected, got: got.into() }
    }
}

/// The content of one file.
#[derive(Debug)]
pub struct TensorFile {
    /// Tensors on the CPU, without gradients, sorted by name.
    pub tensors: Vec<(String, Tensor)>,
    /// The `__metadata__` strings.
    pub metadata: BTreeMap<String, String>,
}

/// One line of a file's table of contents, see [`inspect`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Name of the tensor.
    pub name: String,
    /// Element type as the format spells it, such as `F32` or `BF16`.
    pub dtype: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

/// Writes `tensors` and `metadata` to `out` as one safetensors file; `path` is what errors name.
///
/// Tensors may live on any device and need not be contiguous; one at a time is copied to the CPU. Element types:
/// f64, f32, f16, bf16, i64, i32, i16, i8, u8, bool. The caller flushes and syncs.
///
/// # Errors
/// A name that is used twice or reserved, an undefined tensor, another element type, a write that fails.
pub fn write<S, T>(
    path: &Path,
    out: &mut dyn Write,
    tensors: &[(S, T)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), SafetensorsError>
where
    S: AsRef<str>,
    T: Borrow<Tensor>,
{
    let entries = layout(path, tensors)?;
    let header = header(path, &entries, metadata)?;
    let failed = || SafetensorsError::io(path, "writing");
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed())?;
    out.write_all(&header).map_err(failed())?;
    let mut bytes = Vec::new();
    for (name, tensor, info) in &entries {
        bytes.resize(info.data_offsets.1 - info.data_offsets.0, 0);
        tensor.f_copy_data_u8(&mut bytes, tensor.numel()).map_err(|source| SafetensorsError::Copy {
            path: path.to_owned(),
            name: (*name).to_owned(),
            source,
        })?;
        out.write_all(&bytes).map_err(failed())?;
    }
    Ok(())
}

/// Reads a whole file.
///
/// # Errors
/// A file that cannot be read, is cut or garbled, or holds an element type other than those of [`write()`].
pub fn read(path: &Path) -> Result<TensorFile, SafetensorsError> {
    let (mut file, header) = open(path)?;
    let mut tensors = Vec::new();
    let mut bytes = Vec::new();
    // By offset: the entries cover the data without gaps, so one pass from front to back reads them all.
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        let kind = kind_of(info.dtype)
            .ok_or_else(|| SafetensorsError::entry(path, &name, SUPPORTED, info.dtype.to_string()))?;
        let shape = shape_of(path, &name, &info.shape)?;
        bytes.resize(info.data_offsets.1 - info.data_offsets.0, 0);
        file.read_exact(&mut bytes).map_err(SafetensorsError::io(path, "reading"))?;
        if kind == Kind::Bool
            && let Some(byte) = bytes.iter().find(|&&byte| byte > 1)
        {
            return Err(SafetensorsError::entry(path, &name, "booleans stored as 0 or 1", byte.to_string()));
        }
        let tensor = Tensor::f_from_data_size(&bytes, &shape, kind)
            .map_err(|source| SafetensorsError::Copy { path: path.to_owned(), name: name.clone(), source })?;
        tensors.push((name, tensor));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(TensorFile { tensors, metadata })
}

/// Reads names, element types and shapes (sorted by name) and the metadata, without loading any tensor.
///
/// # Errors
/// As [`read`], except that any element type of the format is accepted.
pub fn inspect(path: &Path) -> Result<(Vec<TensorEntry>, BTreeMap<String, String>), SafetensorsError> {
    let (_, header) = open(path)?;
    let mut entries: Vec<_> = header
        .tensors()
        .into_iter()
        .map(|(name, info)| TensorEntry { name, dtype: info.dtype.to_string(), shape: info.shape.clone() })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((entries, header.metadata().clone().unwrap_or_default().into_iter().collect()))
}

const SUPPORTED: &str = "one of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL";

fn dtype_of(kind: Kind) -> Option<Dtype> {
    Some(match kind {
        Kind::Double => Dtype::F64,
        Kind::Float => Dtype::F32,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Int16 => Dtype::I16,
        Kind::Int8 => Dtype::I8,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        _ => return None,
    })
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}

type Entries<'a> = Vec<(&'a str, &'a Tensor, TensorInfo)>;

/// Orders the tensors and gives each its place in the file.
fn layout<'a, S, T>(path: &Path, tensors: &'a [(S, T)]) -> Result<Entries<'a>, SafetensorsError>
where
    S: AsRef<str>,
    T: Borrow<Tensor>,
{
    let mut entries = Entries::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let (name, tensor): (&str, &Tensor) = (name.as_ref(), tensor.borrow());
        if name == "__metadata__" {
            return Err(SafetensorsError::entry(path, name, "a name that the format does not reserve", name));
        }
        if !tensor.defined() {
            return Err(SafetensorsError::entry(path, name, "a defined tensor", "an undefined one"));
        }
        let kind = tensor.f_kind().map_err(|source| SafetensorsError::Copy {
            path: path.to_owned(),
            name: name.to_owned(),
            source,
        })?;
        let dtype = dtype_of(kind)
            .ok_or_else(|| SafetensorsError::entry(path, name, SUPPORTED, format!("{kind:?}")))?;
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        entries.push((name, tensor, TensorInfo { dtype, shape, data_offsets: (0, 0) }));
    }
    entries.sort_by(|a, b| a.0.cmp(b.0));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(SafetensorsError::entry(path, pair[0].0, "each name once", "the name twice"));
    }
    entries.sort_by_key(|(_, _, info)| std::cmp::Reverse(info.dtype)); // stable: names stay sorted within a type
    let mut offset = 0;
    for (_, tensor, info) in &mut entries {
        let end = offset + tensor.numel() * info.dtype.bitsize() / 8;
        info.data_offsets = (offset, end);
        offset = end;
    }
    Ok(entries)
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__", skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: Metadata,
}

/// The JSON header, padded with spaces to a multiple of 8 bytes.
fn header(
    path: &Path,
    entries: &Entries<'_>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, SafetensorsError> {
    let infos = entries.iter().map(|(name, _, info)| ((*name).to_owned(), info.clone())).collect();
    // The metadata is written by us: the crate keeps it in a hash map, whose order differs from run to run.
    let tensors = Metadata::new(None, infos)
        .map_err(|source| SafetensorsError::Layout { path: path.to_owned(), source })?;
    let mut bytes = serde_json::to_vec(&Header { metadata, tensors })
        .map_err(|source| SafetensorsError::Header { path: path.to_owned(), source })?;
    bytes.resize(bytes.len().next_multiple_of(LENGTH_BYTES as usize), b' ');
    Ok(bytes)
}

/// Opens a file, parses its header and checks that header and file length agree; the reader stands at the data.
fn open(path: &Path) -> Result<(BufReader<File>, Metadata), SafetensorsError> {
    let damaged =
        |expected: String, got: String| SafetensorsError::Damaged { path: path.to_owned(), expected, got };
    let file = File::open(path).map_err(SafetensorsError::io(path, "opening"))?;
    let about = file.metadata().map_err(SafetensorsError::io(path, "reading"))?;
    if !about.is_file() {
        return Err(damaged("a file".into(), "a folder or a device".into()));
    }
    if about.len() < LENGTH_BYTES {
        return Err(damaged("at least 8 bytes".into(), format!("{} bytes", about.len())));
    }
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut length = [0; LENGTH_BYTES as usize];
    file.read_exact(&mut length).map_err(SafetensorsError::io(path, "reading"))?;
    let length = u64::from_le_bytes(length);
    let most = (about.len() - LENGTH_BYTES).min(MAX_HEADER_BYTES);
    if length > most {
        return Err(damaged(format!("a header of at most {most} bytes"), format!("{length} bytes")));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(SafetensorsError::io(path, "reading"))?;
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|source| SafetensorsError::Header { path: path.to_owned(), source })?;
    let expected = (header.data_len() as u64).checked_add(LENGTH_BYTES + length);
    if expected != Some(about.len()) {
        let expected = expected.map_or_else(|| "a countable number of".to_owned(), |bytes| bytes.to_string());
        return Err(damaged(format!("{expected} bytes"), format!("{} bytes", about.len())));
    }
    Ok((file, header))
}

/// Sizes in libtorch's type; a zero beside a huge size passes the header's checks but fits no tensor.
fn shape_of(path: &Path, name: &str, shape: &[usize]) -> Result<Vec<i64>, SafetensorsError> {
    let sizes: Result<Vec<i64>, _> = shape.iter().map(|&size| i64::try_from(size)).collect();
    sizes.map_err(|_| SafetensorsError::entry(path, name, "sizes below 2^63", format!("{shape:?}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::Device;

    use super::*;

    type Named = Vec<(String, Tensor)>;

    fn metadata() -> BTreeMap<String, String> {
        [("format", "pt"), ("step", "300"), ("a", "b")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    fn encode(tensors: &Named) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(Path::new("memory"), &mut bytes, tensors, &metadata()).unwrap();
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<TensorFile, SafetensorsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path())
    }

    fn raw(tensor: &Tensor) -> Vec<u8> {
        let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        bytes
    }

    /// Every 16-bit pattern, so also both zeros, subnormals, infinities and every NaN.
    fn every_16_bit_pattern(kind: Kind) -> Tensor {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        Tensor::from_data_size(&bytes, &[256, 256], kind)
    }

    fn one_of_each() -> Named {
        let ramp = Tensor::arange(24, (Kind::Float, Device::Cpu)).reshape([2, 3, 4]);
        let named = |name: &str, tensor: Tensor| (name.to_owned(), tensor);
        vec![
            named("z.f32", &ramp / 7.0),
            named("f64", ramp.to_kind(Kind::Double) / 7.0),
            named("f16", every_16_bit_pattern(Kind::Half)),
            named("bf16", every_16_bit_pattern(Kind::BFloat16)),
            named("i64", Tensor::from_slice(&[i64::MIN, -1, 0, i64::MAX])),
            named("i32", Tensor::from_slice(&[i32::MIN, i32::MAX])),
            named("i16", Tensor::from_slice(&[i16::MIN, i16::MAX])),
            named("i8", Tensor::from_slice(&[i8::MIN, i8::MAX])),
            named("u8", Tensor::from_slice(&[0_u8, 255, 7])),
            named("bool", Tensor::from_slice(&[true, false, true])),
            named("scalar", Tensor::from(2.5_f32)),
            named("empty", Tensor::zeros([0, 5], (Kind::Float, Device::Cpu))),
            named("transposed", ramp.transpose(0, 2)),
            named("grad", ramp.set_requires_grad(true)),
        ]
    }

    #[test]
    fn every_type_comes_back_to_the_bit() {
        let original = one_of_each();
        let file = decode(&encode(&original)).unwrap();
        assert_eq!(file.metadata, metadata());
        assert!(file.tensors.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(file.tensors.len(), original.len());
        for (name, tensor) in &original {
            let (_, read) = file.tensors.iter().find(|(other, _)| other == name).unwrap();
            assert_eq!((read.kind(), read.size()), (tensor.kind(), tensor.size()), "{name}");
            assert_eq!(raw(read), raw(tensor), "{name}");
            assert!(!read.requires_grad());
        }
    }

    #[test]
    fn bytes_do_not_depend_on_the_order_given() {
        let mut tensors = one_of_each();
        let bytes = encode(&tensors);
        tensors.reverse();
        assert_eq!(encode(&tensors), bytes);
    }

    #[test]
    fn the_reference_implementation_reads_it() {
        let tensors = one_of_each();
        let bytes = encode(&tensors);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), tensors.len());
        for (name, tensor) in &tensors {
            assert_eq!(file.tensor(name).unwrap().data(), raw(tensor), "{name}");
        }
    }

    #[test]
    fn inspect_lists_without_loading() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), encode(&one_of_each())).unwrap();
        let (entries, read_metadata) = inspect(file.path()).unwrap();
        assert_eq!(read_metadata, metadata());
        let entry = entries.iter().find(|entry| entry.name == "transposed").unwrap();
        assert_eq!((entry.dtype.as_str(), entry.shape.as_slice()), ("F32", &[4, 3, 2][..]));
    }

    #[test]
    fn every_truncation_and_surplus_is_an_error_naming_the_file() {
        let mut bytes = encode(&vec![("w".to_owned(), Tensor::from_slice(&[1.0_f32, 2.0]))]);
        for end in 0..bytes.len() {
            let text = decode(&bytes[..end]).unwrap_err().to_string();
            assert!(text.contains('/'), "{text}");
        }
        bytes.push(0);
        let text = decode(&bytes).unwrap_err().to_string();
        assert!(
            text.contains(&format!("expected {} bytes, got {} bytes", bytes.len() - 1, bytes.len())),
            "{text}"
        );
    }

    #[test]
    fn headers_that_lie_are_errors() {
        let with_header = |header: &str, data: &[u8]| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(data);
            decode(&bytes).unwrap_err().to_string()
        };
        let huge = r#"{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#;
        assert!(with_header(huge, &[0; 8]).contains("header is not valid"));
        let overlap = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#;
        assert!(with_header(overlap, &[0; 6]).contains("header is not valid"));
        let zero = r#"{"w":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}}"#;
        assert!(with_header(zero, &[]).contains("sizes below 2^63"));
        let foreign = r#"{"w":{"dtype":"U16","shape":[2],"data_offsets":[0,4]}}"#;
        assert!(with_header(foreign, &[0; 4]).contains("tensor `w`: expected one of F64"));
        let not_bool = r#"{"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#;
        assert!(with_header(not_bool, &[1, 7]).contains("0 or 1, got 7"));
    }

    #[test]
    fn a_folder_and_a_missing_file_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read(dir.path()), Err(SafetensorsError::Damaged { .. })));
        assert!(matches!(read(&dir.path().join("no")), Err(SafetensorsError::Io { action: "opening", .. })));
    }

    #[test]
    fn what_does_not_fit_the_format_is_refused() {
        let refuse = |tensors: Named| {
            write(Path::new("memory"), &mut Vec::new(), &tensors, &metadata()).unwrap_err().to_string()
        };
        let one = || Tensor::from(1.0_f32);
        assert!(refuse(vec![("a".into(), one()), ("a".into(), one())]).contains("the name twice"));
        assert!(refuse(vec![("__metadata__".into(), one())]).contains("reserve"));
        assert!(refuse(vec![("a".into(), Tensor::new())]).contains("undefined"));
        let complex = Tensor::zeros([1], (Kind::ComplexFloat, Device::Cpu));
        assert!(refuse(vec![("a".into(), complex)]).contains("got ComplexFloat"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0_usize..600, flip in 1_u8..) {
            let mut bytes = encode(&vec![
                ("w".to_owned(), Tensor::from_slice(&[1.0_f32, 2.0])),
                ("b".to_owned(), Tensor::from_slice(&[true, false])),
            ]);
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let _ = decode(&bytes);
        }
    }
}
