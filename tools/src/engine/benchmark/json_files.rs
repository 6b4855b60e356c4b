//! JSON that is written value by value, so memory does not grow with the images.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use serde::Serialize;
use smalti_training::TrainError;

/// A text file under way.
#[derive(Debug)]
pub struct TextFile {
    /// Its path in messages.
    path: PathBuf,
    out: BufWriter<File>,
}

impl TextFile {
    pub fn new(path: PathBuf, file: File) -> Self {
        Self { path, out: BufWriter::new(file) }
    }

    /// Writes a value and ends the line.
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<(), TrainError> {
        self.json(value)?;
        self.text("\n")
    }

    /// Waits until the file is on disk.
    pub fn finish(mut self) -> Result<(), TrainError> {
        let failed = || TrainError::io(&self.path, "writing");
        self.out.flush().map_err(failed())?;
        self.out.get_ref().sync_all().map_err(failed())
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), TrainError> {
        serde_json::to_writer(&mut self.out, value)
            .map_err(|error| TrainError::io(&self.path, "writing")(error.into()))
    }

    fn text(&mut self, text: &str) -> Result<(), TrainError> {
        self.out.write_all(text.as_bytes()).map_err(TrainError::io(&self.path, "writing"))
    }
}

/// What surrounds the entries of a JSON file.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Its name.
    pub file: String,
    /// Text before the first entry.
    pub head: &'static str,
    /// Text behind the last.
    pub tail: &'static str,
}

/// A [`Listing`] under way.
#[derive(Debug)]
pub struct JsonList {
    file: TextFile,
    tail: &'static str,
    is_empty: bool,
}

impl JsonList {
    pub fn new(mut file: TextFile, listing: &Listing) -> Result<Self, TrainError> {
        file.text(listing.head)?;
        Ok(Self { file, tail: listing.tail, is_empty: true })
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: &impl Serialize) -> Result<(), TrainError> {
        let between = if self.is_empty { "\n" } else { ",\n" };
        self.is_empty = false;
        self.file.text(between)?;
        self.file.json(entry)
    }

    /// Ends the file and waits until it is on disk.
    pub fn finish(mut self) -> Result<(), TrainError> {
        self.file.text(self.tail)?;
        self.file.finish()
    }
}
