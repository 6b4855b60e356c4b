//! One file a format: bytes in, a tree and its tensors out.

pub(crate) mod plain_pickle;
pub(crate) mod safetensors;
pub(crate) mod shards;
pub(crate) mod torch_legacy;
pub(crate) mod torch_tar;
pub(crate) mod torch_zip;

use crate::bytes::Bytes;
use crate::error::Fault;
use crate::pickle::Expanded;

/// The formats, told apart by their first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A safetensors file.
    Safetensors,
    /// A zip archive with `data.pkl`: `torch.save` since 1.6.
    TorchZip,
    /// Pickles followed by raw storages: `torch.save` from 0.1.10 to 1.5.
    TorchLegacy,
    /// A tar archive of three files: `torch.save` before 0.1.10.
    TorchTar,
    /// One pickle with numpy arrays in it, as detectron2's model zoo has.
    Pickle,
    /// An index file, and beside it the files that it names.
    Sharded,
}

impl Format {
    /// As `weights inspect` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "torch (zip)",
            Self::TorchLegacy => "torch (before 1.6)",
            Self::TorchTar => "torch (tar, before 0.1.10)",
            Self::Pickle => "pickle with numpy arrays",
            Self::Sharded => "shards with an index",
        }
    }
}

/// Reads a file of any format but [`Format::Sharded`].
pub(crate) fn read(bytes: &Bytes) -> Result<(Format, Expanded), Fault> {
    let format = detect(bytes)?;
    let expanded = match format {
        Format::Safetensors => safetensors::read(bytes),
        Format::TorchZip => torch_zip::read(bytes),
        Format::TorchLegacy => torch_legacy::read(bytes),
        Format::TorchTar => torch_tar::read(bytes),
        Format::Pickle => plain_pickle::read(bytes),
        Format::Sharded => Err(foreign("the index of a file in parts", "give the index's own path")),
    }?;
    Ok((format, expanded))
}

const EXPECTED: &str = "safetensors, a file of torch.save, or a pickle of numpy arrays";

fn foreign(got: &str, help: &str) -> Fault {
    Fault::unsupported("first bytes", EXPECTED, got, help)
}

/// Tells the format from the content; the file's name says nothing.
fn detect(bytes: &[u8]) -> Result<Format, Fault> {
    const SAVE: &str = "save the weights with torch.save(model.state_dict(), FILE) or as safetensors";
    if bytes.starts_with(crate::zip::MAGIC) {
        return Ok(Format::TorchZip);
    }
    if safetensors::begins(bytes) {
        return Ok(Format::Safetensors);
    }
    if torch_tar::begins(bytes) {
        return Ok(Format::TorchTar);
    }
    if torch_legacy::begins(bytes) {
        return Ok(Format::TorchLegacy);
    }
    if plain_pickle::begins(bytes) {
        return Ok(Format::Pickle);
    }
    let text = bytes.trim_ascii_start();
    Err(match bytes {
        [] => foreign("an empty file", "fetch it again"),
        _ if bytes.starts_with(b"version https://git-lfs") => foreign(
            "a git-lfs pointer, which stands for a file elsewhere",
            "run `git lfs pull` in its folder",
        ),
        _ if text.starts_with(b"<") => foreign("a web page", "fetch the file that the page links to"),
        _ if text.starts_with(b"{") => {
            foreign("JSON that is no index of shards", "give the weights file, or the folder it is in")
        }
        _ if bytes.starts_with(b"\x1f\x8b") => foreign("a gzip archive", "unpack it first"),
        _ if bytes.starts_with(b"\x89HDF\r\n\x1a\n") => foreign("an HDF5 file", SAVE),
        _ if bytes.starts_with(b"GGUF") => foreign("a GGUF file", SAVE),
        _ => foreign("something else", SAVE),
    })
}
