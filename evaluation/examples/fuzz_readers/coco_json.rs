//! COCO annotation and result files, scored as a whole.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use serde::de::IgnoredAny;
use smalti_evaluation::instance::files::score_results;
use smalti_evaluation::instance::{GroundTruth, IouType, MaxDets};

use crate::{Target, Verdict};

const TRUTH: &str = r#"{"info": {"a": [1, {"b": null}]}, "images": [{"id": 4, "width": 10, "height": 8}, {"id": 5, "width": 10, "height": 8}],
"annotations": [{"id": 1, "image_id": 4, "category_id": 2, "area": 16.5, "iscrowd": 0, "bbox": [2, 0, 2, 8],
"segmentation": {"size": [8, 10], "counts": [16, 16, 48]}}, {"id": 2, "image_id": 5, "category_id": 2, "area": 30,
"iscrowd": 1, "bbox": [0, 0, 5, 5], "segmentation": {"size": [8, 10], "counts": "`0`0`1"}},
{"id": 3, "image_id": 5, "category_id": 7, "area": 1024, "iscrowd": 0, "bbox": [0.5, 0.25, 5, 5],
"segmentation": [[1, 1, 6.5, 1, 6.5, 7.25, 1, 7], [2, 2, 4, 2, 3, 5]]}],
"categories": [{"id": 2, "name": "cat"}, {"id": 7, "name": "d\u00f6g \"x\""}]}"#;
const RESULTS: &str = r#"[{"image_id": 4, "category_id": 2, "score": 0.75, "segmentation": {"size": [8, 10], "counts": "`0`0`1"}},
{"image_id": 5, "category_id": 7, "score": 1e-3, "bbox": [1, 1, 5.5, 6], "segmentation": {"size": [8, 10], "counts": "`0`0`1"}},
{"image_id": 5, "category_id": 2, "score": -2, "segmentation": {"counts": "`0`0`1", "size": [8, 10]}, "more": [[], {}]}]"#;

/// An input is a digit, which says what is read and what is compared, and a JSON file.
pub struct CocoJson {
    folder: tempfile::TempDir,
    truth: PathBuf,
    results: PathBuf,
    changed: PathBuf,
}

impl CocoJson {
    /// With the good files of both kinds on disk.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let (truth, results, changed) = (at("truth.json"), at("results.json"), at("changed.json"));
        fs::write(&truth, TRUTH)?;
        fs::write(&results, RESULTS)?;
        Ok(Self { folder, truth, results, changed })
    }

    /// AP, or what was refused.
    fn score(&self, of_truth: bool, kind: IouType) -> Result<String, String> {
        let (truth, results) =
            if of_truth { (&self.changed, &self.results) } else { (&self.truth, &self.changed) };
        let truth = GroundTruth::load(truth, kind).map_err(|e| e.to_string())?;
        let scores =
            score_results(&truth, results, MaxDets::default(), &|_, _| {}).map_err(|e| e.to_string())?;
        Ok(format!("{:?} {:?}", scores.scores, scores.oddities))
    }
}

impl Target for CocoJson {
    fn corpus(&self) -> Vec<Vec<u8>> {
        let kinds =
            [("0", RESULTS), ("1", TRUTH), ("2", RESULTS), ("3", TRUTH), ("4", RESULTS), ("5", TRUTH)];
        kinds.map(|(kind, text)| [kind, text].concat().into_bytes()).to_vec()
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"NaN",
            b"-Infinity",
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
            b"\\u00e9",
            b"\\ud800",
            b"\xff",
            b"\xef\xbb\xbf",
            b"[[[[[[[[",
            b"{\"a\":{\"a\":",
            b" \n",
            b"1e999",
            b"0x1",
            b"\"image_id\":",
            b"\"segmentation\":",
            b"\"counts\":",
            b"\"bbox\": [],",
            b"\"4\"",
            b"-0",
            b"01",
            b"/**/",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        let [kind, text @ ..] = input else { return Ok(Verdict::Refused) };
        fs::write(&self.changed, text).map_err(|e| format!("{}: {e}", self.folder.path().display()))?;
        let compared = [IouType::Segm, IouType::Bbox, IouType::Boundary][usize::from(kind / 2 % 3)];
        let of_truth = kind % 2 == 1;
        let Ok(said) = self.score(of_truth, compared) else { return Ok(Verdict::Refused) };
        if self.score(of_truth, compared).as_ref() != Ok(&said) {
            return Err("two runs differ".into());
        }
        // Python's reader, whose files these are, takes NaN and Infinity; serde_json does not. And in text that nobody
        // needs, bytes that are not UTF-8 are passed over.
        let plain = String::from_utf8_lossy(text).replace("NaN", "0").replace("Infinity", "0");
        match serde_json::from_str::<IgnoredAny>(&plain) {
            Err(err) if err.to_string().starts_with("number out of range") => Ok(Verdict::Read), // infinite, for Python
            Err(err) => Err(format!("read, but: {err}")),
            Ok(_) => Ok(Verdict::Read),
        }
    }
}
