//! What no scorer can go below: reading its files, inflating its PNGs, looking at each byte of its JSON once. And what no look at
//! images can: decoding its JPEGs.
//!
//! `cargo run --release -p smalti-datasets --example floors -- read|inflate|scan|decode FOLDER`; `scripts/peers/bench_score.py
//! --floors` runs it beside the scorers, `scripts/peers/bench_check.py` beside `smalti data check`. One thread does it all, as CPU
//! seconds are what counts for scorers; but `decode` is on all cores.

#![expect(clippy::print_stdout, reason = "a program that prints how much it read")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use libdeflater::Decompressor;
use rayon::prelude::*;
use smalti_datasets::{DataError, decode};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(what), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: floors read|inflate|scan|decode FOLDER".into());
    };
    let mut files = Vec::new();
    list(Path::new(&folder), &mut files)?;
    let wanted = match what.as_str() {
        "inflate" => Some("png"),
        "scan" => Some("json"),
        "decode" => Some("jpg"),
        _ => None,
    };
    files.retain(|path| wanted.is_none_or(|ending| path.extension().is_some_and(|found| found == ending)));
    if what == "decode" {
        println!("{}-MB", decoded(&files)? / 1_000_000);
        return Ok(());
    }
    let mut inflater = Inflater { decompressor: Decompressor::new(), packed: Vec::new(), pixels: Vec::new() };
    let mut bytes = 0;
    for path in files {
        let data = fs::read(path)?;
        bytes += match what.as_str() {
            "read" => data.len(),
            "inflate" => inflater.inflate(&data)?,
            "scan" => scan(&data),
            other => return Err(format!("expected read, inflate, scan or decode, got {other}").into()),
        };
    }
    println!("{}-MB", bytes / 1_000_000);
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Number of bytes of all pixels, decoded a few images at a time, so that no core waits long for another at the end.
fn decoded(files: &[PathBuf]) -> Result<usize, DataError> {
    files.par_iter().with_max_len(32).map(|path| decode::image(path).map(|image| image.len())).sum()
}

/// Number of bytes, each of which was compared with the four that matter to a JSON parser.
fn scan(data: &[u8]) -> usize {
    let structural: usize = data
        .chunks(1 << 16)
        .map(|chunk| {
            chunk.iter().map(|byte| usize::from(matches!(byte, b'"' | b'\\' | b'{' | b'['))).sum::<usize>()
        })
        .sum();
    data.len() + usize::from(std::hint::black_box(structural) == usize::MAX)
}

/// Inflates the image data of PNGs and leaves the rows filtered as they are.
struct Inflater {
    decompressor: Decompressor,
    packed: Vec<u8>,
    pixels: Vec<u8>,
}

impl Inflater {
    fn inflate(&mut self, png: &[u8]) -> Result<usize, Box<dyn Error>> {
        let word = |at: usize| png.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        let (Some(width), Some(height)) = (word(16), word(20)) else { return Err("no PNG header".into()) };
        let (bits, channels) = (usize::from(png[24]), [1, 0, 3, 1, 2, 0, 4][usize::from(png[25] % 7)]);
        let row = 1 + (width as usize * bits * channels).div_ceil(8);
        self.pixels.resize(row * height as usize, 0);
        self.packed.clear();
        let mut at = 8;
        while let Some(length) = word(at) {
            let end = at + 8 + length as usize;
            if png.get(at + 4..at + 8) == Some(b"IDAT") {
                self.packed.extend_from_slice(png.get(at + 8..end).ok_or("a chunk is cut short")?);
            }
            at = end + 4;
        }
        Ok(self.decompressor.zlib_decompress(&self.packed, &mut self.pixels)?)
    }
}
