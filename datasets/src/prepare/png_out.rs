//! Label maps and panoptic maps as PNG files.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::coco::{AtomicFile, id_to_rgb};
use crate::error::DataError;

/// Writes an 8-bit grey PNG of class ids, row-major; `size` is height and width.
pub(super) fn write_labels(path: &Path, size: [usize; 2], pixels: &[u8]) -> Result<(), DataError> {
    write(path, size, png::ColorType::Grayscale, pixels)
}

/// Writes a panoptic PNG of segment ids, row-major; `size` is height and width.
pub(super) fn write_ids(path: &Path, size: [usize; 2], ids: &[u32]) -> Result<(), DataError> {
    let rgb: Vec<u8> = ids.iter().flat_map(|&id| id_to_rgb(id)).collect();
    write(path, size, png::ColorType::Rgb, &rgb)
}

fn write(
    path: &Path,
    [height, width]: [usize; 2],
    color: png::ColorType,
    data: &[u8],
) -> Result<(), DataError> {
    let failed = |err: png::EncodingError| DataError::image(path, format!("cannot be encoded as PNG: {err}"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    let mut file = AtomicFile::create(path)?;
    file.bytes(&bytes)?;
    file.finish_unsynced()
}

/// Makes a folder and those above it.
pub(super) fn create_dir(path: &Path) -> Result<(), DataError> {
    std::fs::create_dir_all(path).map_err(DataError::io(path, "creating the folder"))
}

/// Makes the folder that a file is to lie in.
pub(super) fn create_parent(path: &Path) -> Result<(), DataError> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => create_dir(folder),
        _ => Ok(()),
    }
}

/// Refuses an output that is an input: the conversion would destroy what it reads.
pub(super) fn not_the_input(output: &Path, input: &Path) -> Result<(), DataError> {
    let real = |path: &Path| path.canonicalize().ok();
    if real(output).is_some_and(|output| Some(output) == real(input)) {
        let reason = "expected another place for the result, got the input, which would be overwritten";
        return Err(DataError::Output { path: output.to_owned(), reason: reason.into() });
    }
    Ok(())
}

/// Where PNGs named by a JSON file go; makes the folders below that the names ask for.
///
/// # Errors
/// [`DataError::Record`] if a name leads out of the folder or stands there twice, so that one file would replace another.
pub(super) fn named_files<'a>(
    folder: &Path,
    json: &Path,
    names: impl Iterator<Item = (String, &'a str)>,
) -> Result<Vec<PathBuf>, DataError> {
    create_dir(folder)?;
    let mut seen = BTreeSet::new();
    let mut paths = Vec::new();
    for (record, name) in names {
        let relative = Path::new(name);
        let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || name.is_empty() {
            let reason = format!("expected a file name below the folder, got {name:?}");
            return Err(DataError::record(json, record, reason));
        }
        if !seen.insert(relative.to_owned()) {
            let reason = format!("expected one image a file, got {name:?} a second time");
            return Err(DataError::record(json, record, reason));
        }
        let path = folder.join(relative);
        if relative.components().nth(1).is_some() {
            create_parent(&path)?;
        }
        paths.push(path);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_folder_and_apart() {
        let dir = tempfile::tempdir().unwrap();
        let json = Path::new("x.json");
        let paths = |names: &[&'static str]| {
            named_files(dir.path(), json, names.iter().map(|&name| ("image 1".to_owned(), name)))
                .map_err(|err| err.to_string())
        };
        assert_eq!(paths(&["a.png", "b/c.png"]).unwrap()[1], dir.path().join("b/c.png"));
        assert!(dir.path().join("b").is_dir());
        for bad in ["../a.png", "/tmp/a.png", "", "b/../../a.png"] {
            assert!(paths(&[bad]).unwrap_err().contains("below the folder"), "{bad}");
        }
        assert!(paths(&["a.png", "a.png"]).unwrap_err().contains("a second time"));
    }

    #[test]
    fn an_input_is_never_the_output() {
        let dir = tempfile::tempdir().unwrap();
        assert!(not_the_input(&dir.path().join("."), dir.path()).is_err());
        assert!(not_the_input(&dir.path().join("new"), dir.path()).is_ok());
    }
}
