//! A submission under way: all of it, or the piece of a shard, which waits beside the shard's part for the others.
//!
//! A piece is a folder that appears whole. In it are `images.jsonl`, whose first line says whose it is and every further one what
//! there is of an image, in order of the set, and the images' files in `files`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Lines};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use smalti::output::InputError;
use smalti_datasets::Shard;
use smalti_training::TrainError;

use super::folder::Folder;
use super::json_files::{JsonList, Listing, TextFile};
use crate::eval::parts::{Origin, Parts};

/// In the folder of a piece.
const IMAGES: &str = "images.jsonl";
const FILES: &str = "files";

/// What a submission has of one image. A file that could not be made is an error where it is written.
#[derive(Debug, Default)]
pub struct OfImage {
    files: Vec<(String, Result<Vec<u8>>)>,
    entries: Vec<Box<RawValue>>,
}

impl OfImage {
    /// A file of its own, by its path in the submission.
    pub fn file(&mut self, name: String, bytes: Result<Vec<u8>>) {
        self.files.push((name, bytes));
    }

    /// An entry of the JSON file.
    pub fn entry(&mut self, entry: &impl Serialize) -> Result<(), TrainError> {
        let failed =
            |error: serde_json::Error| TrainError::io("an entry of the submission", "writing")(error.into());
        self.entries.push(to_raw_value(entry).map_err(failed)?);
        Ok(())
    }
}

/// A line of a piece.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    files: Vec<String>,
    entries: Vec<Box<RawValue>>,
}

/// Takes images in order of the set.
#[derive(Debug)]
pub struct Submission {
    folder: Folder,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// With its JSON file, if it has one.
    Whole(Option<JsonList>),
    Piece(TextFile),
}

impl Submission {
    /// Starts one that has all images.
    ///
    /// # Errors
    /// As for [`Folder::new`].
    pub fn whole(target: &Path, listing: Option<&Listing>) -> Result<Self> {
        let folder = Folder::new(target)?;
        let list = |listing: &Listing| JsonList::new(folder.create(&listing.file)?, listing);
        let list = listing.map(list).transpose()?;
        Ok(Self { folder, form: Form::Whole(list) })
    }

    /// Starts the piece of a shard.
    ///
    /// # Errors
    /// As for [`Folder::replacing`].
    pub fn piece(parts: &Parts<'_>, shard: Shard) -> Result<Self> {
        let folder = Folder::replacing(&parts.beside(shard))?;
        let mut lines = folder.create(IMAGES)?;
        lines.json_line(&parts.origin(shard))?;
        Ok(Self { folder, form: Form::Piece(lines) })
    }

    /// Writes what there is of the next image.
    pub fn add(&mut self, OfImage { files, entries }: OfImage) -> Result<(), TrainError> {
        match &mut self.form {
            Form::Whole(list) => {
                for (name, bytes) in files {
                    self.folder.write(&name, bytes)?;
                }
                list.iter_mut().try_for_each(|list| entries.iter().try_for_each(|entry| list.push(entry)))
            }
            Form::Piece(lines) => {
                let mut names = Vec::with_capacity(files.len());
                for (name, bytes) in files {
                    self.folder.write(&format!("{FILES}/{name}"), bytes)?;
                    names.push(name);
                }
                lines.json_line(&Line { files: names, entries })
            }
        }
    }

    /// Completes the files and gives the folder its name.
    pub fn finish(self) -> Result<(), TrainError> {
        match self.form {
            Form::Whole(list) => list.map_or(Ok(()), JsonList::finish)?,
            Form::Piece(lines) => lines.finish()?,
        }
        self.folder.finish()
    }
}

/// Puts the pieces of all shards together.
///
/// # Errors
/// An [`InputError`] for a piece that is missing, of another evaluation or damaged.
pub fn gather(parts: &Parts<'_>, listing: Option<&Listing>, target: &Path) -> Result<()> {
    let mut pieces = parts.shards().map(|shard| Piece::open(parts, shard)).collect::<Result<Vec<Piece>>>()?;
    let mut whole = Submission::whole(target, listing)?;
    for image in 0..parts.images() {
        let shard = Shard::of_image(image, 1, pieces.len());
        whole.add(pieces[shard.index()].next_image()?)?;
    }
    pieces.into_iter().try_for_each(Piece::finish)?;
    Ok(whole.finish()?)
}

/// A piece that is read.
struct Piece {
    folder: PathBuf,
    lines: Lines<BufReader<File>>,
    /// Lines that were read.
    read: usize,
}

impl Piece {
    fn open(parts: &Parts<'_>, shard: Shard) -> Result<Self> {
        let folder = parts.beside(shard);
        let path = folder.join(IMAGES);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(InputError::new(format!(
                "{}: expected a piece of the submission, as `eval --shard {shard} --submission` leaves it, got none",
                folder.display()
            ))),
            opened => opened.with_context(|| format!("{}: opening failed", path.display()))?,
        };
        let mut piece = Self { folder, lines: BufReader::new(file).lines(), read: 0 };
        let origin: Origin = piece.next_line("whose piece it is")?;
        if origin != parts.origin(shard) {
            bail!(
                piece.wrong(
                    "expected the piece of the part beside it, got one of another evaluation or shard"
                )
            );
        }
        Ok(piece)
    }

    fn next_image(&mut self) -> Result<OfImage> {
        let Line { files, entries } = self.next_line("files and entries of an image")?;
        let mut image = OfImage { files: Vec::with_capacity(files.len()), entries };
        for name in files {
            if !Path::new(&name).components().all(|part| matches!(part, Component::Normal(_))) {
                bail!(
                    self.wrong(&format!("expected paths below the folder of the submission, got {name:?}"))
                );
            }
            let path = self.folder.join(FILES).join(&name);
            let bytes = fs::read(&path).with_context(|| format!("{}: reading failed", path.display()))?;
            image.file(name, Ok(bytes));
        }
        Ok(image)
    }

    fn finish(mut self) -> Result<()> {
        match self.lines.next() {
            None => Ok(()),
            Some(_) => bail!(self.wrong(&format!("expected {} lines, got more", self.read))),
        }
    }

    fn next_line<T: DeserializeOwned>(&mut self, expected: &str) -> Result<T> {
        self.read += 1;
        let Some(line) = self.lines.next() else {
            bail!(self.wrong(&format!("line {}: expected {expected}, got the end", self.read)));
        };
        let line = line.with_context(|| format!("{}: reading failed", self.folder.join(IMAGES).display()))?;
        let wrong = || self.wrong(&format!("line {}: expected {expected}", self.read));
        serde_json::from_str(&line).with_context(wrong)
    }

    fn wrong(&self, text: &str) -> InputError {
        InputError::new(format!("{}: {text}", self.folder.join(IMAGES).display()))
    }
}
