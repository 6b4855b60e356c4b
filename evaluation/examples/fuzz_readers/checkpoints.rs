//! Checkpoints of every format: zip archives, pickles, tar archives, safetensors. What is read is read twice, and every
//! view is gathered once more element by element.

use std::path::Path;

use smalti_checkpoints::{Checkpoint, LazyTensor};

use crate::{Target, Verdict};

/// Bytes that are gathered of one input: a few lines of it can ask for the same megabytes again and again.
const MOST: usize = 64 << 20;

/// An input is a file.
pub struct Checkpoints;

impl Target for Checkpoints {
    fn corpus(&self) -> Vec<Vec<u8>> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/fixtures");
        let mut paths = Vec::new();
        for folder in ["read", "refused"] {
            let entries = fixtures.join(folder).read_dir().into_iter().flatten().flatten();
            paths.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
        }
        paths.sort();
        paths.into_iter().filter_map(|path| std::fs::read(path).ok()).collect()
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"ctorch\nFloatStorage\n",
            b"ccollections\nOrderedDict\n",
            b"cnumpy.core.multiarray\n_reconstruct\n",
            b"cnumpy\nndarray\n",
            b"c_codecs\nencode\n",
            b"cos\nsystem\n",
            b"\x93",
            b"R",
            b"\x81",
            b"b",
            b"(",
            b")",
            b"]",
            b"}",
            b"t",
            b"e",
            b"u",
            b"2",
            b"\x94",
            b"h\x00",
            b"q\x00",
            b"Q",
            b".",
            b"\x80\x02",
            b"PK\x01\x02",
            b"PK\x03\x04",
            b"PK\x05\x06",
            b"PK\x06\x06",
            b"\xff\xff\xff\xff",
            b"\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\x00\x00\x00\x80",
            b"\"shape\":[",
            b"\"data_offsets\":[",
            b"ustar",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let open = || Checkpoint::from_bytes(Path::new("input"), input.to_vec());
        let checkpoint = match open() {
            Ok(checkpoint) => checkpoint,
            Err(error) if error.to_string().len() > 2000 => {
                return Err(format!("a message of {} bytes", error.to_string().len()));
            }
            Err(_) => return Ok(Verdict::Refused),
        };
        let mut gathered = 0;
        for named in checkpoint.tensors() {
            let tensor = named.tensor();
            gathered += tensor.byte_len();
            if gathered > MOST {
                break;
            }
            let bytes = tensor.to_bytes();
            if bytes.len() != tensor.byte_len() {
                return Err(format!("`{}`: {} bytes of {}", named.name(), bytes.len(), tensor.byte_len()));
            }
            if tensor.numel() < 10_000 && *bytes != slowly(tensor) {
                return Err(format!("`{}` is gathered otherwise", named.name()));
            }
        }
        for wrapper in checkpoint.wrappers() {
            if let Ok(weights) = checkpoint.state_dict(Some(&wrapper.name))
                && weights.tensors.len() > checkpoint.tensors().len()
            {
                return Err(format!("`{}` has more tensors than the file", wrapper.name));
            }
        }
        match open() {
            Ok(again) if format!("{:?}", again.tree()) == format!("{:?}", checkpoint.tree()) => {
                Ok(Verdict::Read)
            }
            _ => Err("it is read otherwise the second time".into()),
        }
    }
}

/// Every element by its own index.
fn slowly(tensor: &LazyTensor) -> Vec<u8> {
    let size = tensor.dtype().size();
    let mut out = Vec::new();
    for number in 0..tensor.numel() {
        let (mut rest, mut at) = (number, 0);
        for (&count, &stride) in tensor.shape().iter().zip(tensor.strides()).rev() {
            at += rest % count * stride;
            rest /= count;
        }
        out.extend_from_slice(&tensor.storage()[at * size..][..size]);
    }
    out
}
