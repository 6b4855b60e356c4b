//! Running the program, and files for it to read.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

/// What a run left: exit code, stdout, stderr.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `smalti` in a folder.
pub fn smalti(folder: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smalti"));
    command.current_dir(folder).args(words);
    for name in ["SMALTI_DATA", "DETECTRON2_DATASETS", "SMALTI_LOG"] {
        command.env_remove(name);
    }
    let out = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

/// Runs what must succeed; returns stdout.
#[track_caller]
pub fn ok(folder: &Path, words: &[&str]) -> String {
    let ran = smalti(folder, words);
    assert_eq!(ran.code, Some(0), "{words:?}\n{}\n{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// Runs what must be refused: exit code 2, every part of `expected` in the message, few lines, no panic.
#[track_caller]
pub fn refused(folder: &Path, words: &[&str], expected: &[&str]) {
    let ran = smalti(folder, words);
    assert_eq!(ran.code, Some(2), "{words:?}\n{}\n{}", ran.stdout, ran.stderr);
    for part in expected {
        assert!(ran.stderr.contains(part), "{words:?}: no `{part}` in\n{}", ran.stderr);
    }
    let error = &ran.stderr[ran.stderr.find("error: ").unwrap()..];
    assert!(error.lines().count() <= 8 && !error.contains("panicked"), "{error}");
}

/// Writes an 8-bit grey PNG, with the folders above it.
pub fn write_png(path: &Path, width: u32, pixels: &[u8]) {
    write_png_as(path, png::ColorType::Grayscale, width, pixels);
}

/// Writes an 8-bit PNG of `pixels.len() / width / channels` rows.
pub fn write_png_as(path: &Path, color: png::ColorType, width: u32, pixels: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let rows = pixels.len() as u32 / width / color.samples() as u32;
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, rows);
    encoder.set_color(color);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
}
