//! A JSON file of annotations whose other fields may come before or after the long list.

use std::path::Path;

use serde::Serialize;

use super::png_out::create_parent;
use crate::coco::AtomicFile;
use crate::error::DataError;

/// Writes an object with a list `annotations`, one of them at a time, so memory does not grow with the set.
///
/// The file appears under its name with [`finish`](Self::finish); a writer that is dropped leaves nothing behind.
pub(super) struct SetWriter {
    file: AtomicFile,
    fields: u64,
    annotations: u64,
    list: List,
}

#[derive(PartialEq)]
enum List {
    Ahead,
    Open,
    Done,
}

impl SetWriter {
    /// Starts a file; makes the folder it lies in.
    pub(super) fn create(path: &Path) -> Result<Self, DataError> {
        create_parent(path)?;
        let mut file = AtomicFile::create(path)?;
        file.bytes(b"{")?;
        Ok(Self { file, fields: 0, annotations: 0, list: List::Ahead })
    }

    /// Adds a field; ends the list of annotations if there is one by now.
    pub(super) fn field(&mut self, name: &str, value: &impl Serialize) -> Result<(), DataError> {
        self.close()?;
        self.name(name)?;
        self.file.json(value)
    }

    /// Adds an annotation.
    pub(super) fn push(&mut self, annotation: &impl Serialize) -> Result<(), DataError> {
        self.open()?;
        self.file.bytes(if self.annotations == 0 { b"\n" } else { b",\n" })?;
        self.annotations += 1;
        self.file.json(annotation)
    }

    /// Ends the file and gives it its name; returns the number of annotations.
    pub(super) fn finish(mut self) -> Result<u64, DataError> {
        self.open()?;
        self.close()?;
        self.file.bytes(b"}\n")?;
        self.file.finish()?;
        Ok(self.annotations)
    }

    fn open(&mut self) -> Result<(), DataError> {
        if self.list == List::Ahead {
            self.name("annotations")?;
            self.file.bytes(b"[")?;
            self.list = List::Open;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), DataError> {
        if self.list == List::Open {
            self.file.bytes(b"]")?;
            self.list = List::Done;
        }
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), DataError> {
        if self.fields > 0 {
            self.file.bytes(b",\n")?;
        }
        self.fields += 1;
        self.file.json(&name)?;
        self.file.bytes(b":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fill: impl FnOnce(&mut SetWriter)) -> serde_json::Value {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/set.json");
        let mut writer = SetWriter::create(&path).unwrap();
        fill(&mut writer);
        writer.finish().unwrap();
        crate::coco::read_json(&path).unwrap()
    }

    #[test]
    fn fields_stand_before_or_behind_the_list() {
        let before = written(|set| {
            set.field("images", &[1, 2]).unwrap();
            set.push(&3).unwrap();
            set.push(&4).unwrap();
        });
        let behind = written(|set| {
            set.push(&3).unwrap();
            set.push(&4).unwrap();
            set.field("images", &[1, 2]).unwrap();
        });
        assert_eq!(before, serde_json::json!({"images": [1, 2], "annotations": [3, 4]}));
        assert_eq!(before, behind);
        assert_eq!(written(|_| {}), serde_json::json!({"annotations": []}));
    }
}
