//! Panoptic JSON files, scored with the PNGs they name.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use smalti_evaluation::panoptic::{PanopticDirs, PanopticOptions, score_files};

use crate::{Target, Verdict};

const TRUTH: &str = r#"{"images": [{"id": 1, "width": 4, "height": 2, "file_name": "a.jpg"}],
"annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [
{"id": 3, "category_id": 7, "area": 4, "iscrowd": 0, "bbox": [0, 0, 2, 2]},
{"id": 300, "category_id": 8, "area": 4, "iscrowd": 1, "bbox": [2, 0, 2, 2]}]}],
"categories": [{"id": 7, "name": "cat", "isthing": 1}, {"id": 8, "name": "sky", "isthing": 0}]}"#;
const RESULTS: &str = r#"{"annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [
{"id": 3, "category_id": 7}, {"id": 300, "category_id": 8}]}]}"#;

/// An input is a digit, which says whose file it is, and a JSON file.
pub struct PanopticJson {
    folder: tempfile::TempDir,
    truth: PathBuf,
    results: PathBuf,
    changed: PathBuf,
}

impl PanopticJson {
    /// With the good files and the PNG of both sides on disk.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let (truth, results, changed) = (at("truth.json"), at("results.json"), at("changed.json"));
        fs::write(&truth, TRUTH)?;
        fs::write(&results, RESULTS)?;
        save(&at("a.png"))?;
        Ok(Self { folder, truth, results, changed })
    }

    fn score(&self, of_truth: bool, boundary: bool) -> Result<String, String> {
        let (gt_json, pred_json) =
            if of_truth { (&self.changed, &self.results) } else { (&self.truth, &self.changed) };
        let folder = || self.folder.path().to_owned();
        let (gt_json, pred_json) = (gt_json.clone(), pred_json.clone());
        let dirs = PanopticDirs { gt_json, gt_dir: folder(), pred_json, pred_dir: folder() };
        let options = PanopticOptions { boundary, ..PanopticOptions::default() };
        let result = score_files(&dirs, options, &|_, _| {}).map_err(|e| e.to_string())?;
        Ok(format!("{:?} {:?}", result.quality.finish(), result.warnings))
    }
}

impl Target for PanopticJson {
    fn corpus(&self) -> Vec<Vec<u8>> {
        [("0", RESULTS), ("1", TRUTH), ("2", RESULTS), ("3", TRUTH)]
            .map(|(kind, text)| [kind, text].concat().into_bytes())
            .to_vec()
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"NaN",
            b"null",
            b"true",
            b"[]",
            b"{}",
            b"\"\"",
            b",",
            b":",
            b"[",
            b"{",
            b"]",
            b"}",
            b"\\",
            b"\"",
            b"\\ud800",
            b"\xff",
            b"\xef\xbb\xbf",
            b"[[[[[[[[",
            b"1e999",
            b"\"id\": 0,",
            b"\"id\": 3,",
            b"\"area\": ",
            b"\"iscrowd\": 1,",
            b"\"category_id\": 8,",
            b"\"1\"",
            b"../a.png",
            b"\"isthing\": 2",
            b"16777216",
            b"{\"id\": 300, \"category_id\": 7},",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let [kind, text @ ..] = input else { return Ok(Verdict::Refused) };
        fs::write(&self.changed, text).map_err(|e| e.to_string())?;
        let (of_truth, boundary) = (kind % 2 == 1, kind / 2 % 2 == 1);
        let Ok(said) = self.score(of_truth, boundary) else { return Ok(Verdict::Refused) };
        if self.score(of_truth, boundary).as_ref() != Ok(&said) {
            return Err("two runs differ".into());
        }
        serde_json::from_slice::<IgnoredAny>(text).map_err(|e| format!("read, but: {e}"))?;
        Ok(Verdict::Read)
    }
}

/// The left half segment 3, the right half segment 300.
fn save(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut encoder = png::Encoder::new(File::create(path)?, 4, 2);
    encoder.set_color(png::ColorType::Rgb);
    let row = [3, 0, 0, 3, 0, 0, 44, 1, 0, 44, 1, 0];
    encoder.write_header()?.write_image_data(&[row, row].concat())?;
    Ok(())
}
