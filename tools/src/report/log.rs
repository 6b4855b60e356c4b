//! Reads `metrics.jsonl`, the log of a run.

use std::path::Path;

use serde_json::{Map, Value};

use super::error::ReportError;

/// A number that may be undefined, under its name.
pub type Named = (String, Option<f64>);

/// One `"kind": "train"` line: averages since the line before.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainPoint {
    pub step: u64,
    pub epoch: Option<f64>,
    pub loss: Option<f64>,
    /// Parts of the loss, by key such as `loss_aux`.
    pub parts: Vec<Named>,
    pub lr: Option<f64>,
    pub images_per_s: Option<f64>,
    pub wall_s: Option<f64>,
}

/// One `"kind": "eval"` line. Scores are fractions.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalPoint {
    pub step: u64,
    pub wall_s: Option<f64>,
    pub metrics: Vec<Named>,
    /// Scores by class.
    pub classes: Vec<(String, Vec<Named>)>,
}

impl EvalPoint {
    /// The score `name`, if it was computed and is defined.
    pub fn metric(&self, name: &str) -> Option<f64> {
        find(&self.metrics, name)
    }

    /// The score `name` of a class.
    pub fn class_metric(&self, class: &str, name: &str) -> Option<f64> {
        let (_, scores) = self.classes.iter().find(|(known, _)| known == class)?;
        find(scores, name)
    }
}

fn find(scores: &[Named], name: &str) -> Option<f64> {
    scores.iter().find(|(known, _)| known == name)?.1
}

/// The log of a run, steps ascending.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunLog {
    pub train: Vec<TrainPoint>,
    pub eval: Vec<EvalPoint>,
}

impl RunLog {
    /// Reads a log. Unknown keys and kinds are passed over, so is a last line without its end: a kill cut it.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let bytes =
            std::fs::read(path).map_err(|source| ReportError::ReadLog { path: path.to_owned(), source })?;
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ReportError> {
        let mut log = Self::default();
        for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match log.add(text) {
                Ok(()) => {}
                Err(_) if !line.ends_with(b"\n") => {
                    tracing::debug!(path = %path.display(), "last line is cut");
                }
                Err(Mismatch { expected, got }) => {
                    return Err(ReportError::Record {
                        path: path.to_owned(),
                        line: index + 1,
                        expected,
                        got,
                    });
                }
            }
        }
        Ok(log)
    }

    /// Adds one record. A step that was there before means that a resumed run repeats it: the newer record counts.
    fn add(&mut self, text: &[u8]) -> Result<(), Mismatch> {
        let Ok(Value::Object(record)) = serde_json::from_slice(text) else {
            return Err(Mismatch { expected: "a JSON object", got: excerpt(&String::from_utf8_lossy(text)) });
        };
        match record.get("kind").and_then(Value::as_str) {
            Some("train") => {
                let point = train_point(&record)?;
                self.train.truncate(self.train.partition_point(|old| old.step < point.step));
                self.train.push(point);
            }
            Some("eval") => {
                let point = eval_point(&record)?;
                self.eval.truncate(self.eval.partition_point(|old| old.step < point.step));
                self.eval.push(point);
            }
            Some(_) => {}
            None => return Err(Mismatch::new("`kind` to be a string such as \"train\"", record.get("kind"))),
        }
        Ok(())
    }
}

struct Mismatch {
    expected: &'static str,
    got: String,
}

impl Mismatch {
    fn new(expected: &'static str, got: Option<&Value>) -> Self {
        Self { expected, got: got.map_or_else(|| "nothing".to_owned(), |value| excerpt(&value.to_string())) }
    }
}

/// The text up to a length that fits into a message.
fn excerpt(text: &str) -> String {
    const KEPT: usize = 60;
    match text.char_indices().nth(KEPT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn train_point(record: &Map<String, Value>) -> Result<TrainPoint, Mismatch> {
    let parts = record.iter().filter(|(key, _)| key.starts_with("loss_"));
    Ok(TrainPoint {
        step: step(record)?,
        epoch: number(record, "epoch")?,
        loss: number(record, "loss")?,
        parts: parts
            .map(|(key, value)| Ok((key.clone(), as_number(value)?)))
            .collect::<Result<_, Mismatch>>()?,
        lr: number(record, "lr")?,
        images_per_s: number(record, "images_per_s")?,
        wall_s: number(record, "wall_s")?,
    })
}

fn eval_point(record: &Map<String, Value>) -> Result<EvalPoint, Mismatch> {
    const NO_METRICS: [&str; 4] = ["kind", "step", "wall_s", "classes"];
    let numbers = record.iter().filter(|(key, _)| !NO_METRICS.contains(&key.as_str()));
    let classes = match record.get("classes") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(classes)) => classes
            .iter()
            .map(|(class, scores)| match scores {
                Value::Object(scores) => Ok((class.clone(), scores_of(scores.iter()))),
                other => Err(Mismatch::new("the scores of a class to be an object", Some(other))),
            })
            .collect::<Result<_, Mismatch>>()?,
        other => return Err(Mismatch::new("`classes` to be an object", other)),
    };
    Ok(EvalPoint {
        step: step(record)?,
        wall_s: number(record, "wall_s")?,
        metrics: scores_of(numbers),
        classes,
    })
}

/// Everything that is a number or undefined; other values are keys that a later version added.
fn scores_of<'a>(entries: impl Iterator<Item = (&'a String, &'a Value)>) -> Vec<Named> {
    entries.filter_map(|(key, value)| Some((key.clone(), as_number(value).ok()?))).collect()
}

fn step(record: &Map<String, Value>) -> Result<u64, Mismatch> {
    let value = record.get("step");
    value.and_then(Value::as_u64).ok_or_else(|| Mismatch::new("`step` to be a whole number", value))
}

fn number(record: &Map<String, Value>, key: &str) -> Result<Option<f64>, Mismatch> {
    record.get(key).map_or(Ok(None), as_number)
}

fn as_number(value: &Value) -> Result<Option<f64>, Mismatch> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_f64()),
        other => Err(Mismatch::new("a number or null", Some(other))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: &str = concat!(
        r#"{"kind":"train","step":10,"epoch":0.5,"loss":1.5,"loss_decode":1.0,"loss_aux":null,"lr":6e-5,"new":"x"}"#,
        "\n",
        r#"{"kind":"eval","step":20,"wall_s":3.5,"mIoU":0.25,"mAcc":null,"classes":{"Sky":{"IoU":0.5,"Acc":null}}}"#,
        "\n",
    );

    fn parse(text: &str) -> Result<RunLog, String> {
        RunLog::parse(Path::new("run/metrics.jsonl"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_both_kinds_with_nulls_and_unknown_keys() {
        let log = parse(TWO).unwrap();
        let [train] = log.train.as_slice() else { panic!("{log:?}") };
        assert_eq!((train.step, train.epoch, train.loss), (10, Some(0.5), Some(1.5)));
        assert_eq!(train.parts, [("loss_decode".to_owned(), Some(1.0)), ("loss_aux".to_owned(), None)]);
        assert_eq!((train.lr, train.images_per_s), (Some(6e-5), None));
        let [eval] = log.eval.as_slice() else { panic!("{log:?}") };
        assert_eq!((eval.step, eval.wall_s, eval.metric("mIoU")), (20, Some(3.5), Some(0.25)));
        assert_eq!((eval.metric("mAcc"), eval.metric("PQ")), (None, None));
        assert_eq!(eval.metrics.len(), 2);
        assert_eq!(eval.class_metric("Sky", "IoU"), Some(0.5));
        assert_eq!(eval.class_metric("Sky", "Acc"), None);
        assert_eq!(eval.class_metric("Road", "IoU"), None);
    }

    #[test]
    fn empty_logs_blank_lines_and_unknown_kinds_are_fine() {
        assert_eq!(parse("").unwrap(), RunLog::default());
        assert_eq!(parse("\n \n{\"kind\":\"note\"}\n").unwrap(), RunLog::default());
    }

    #[test]
    fn a_repeated_step_replaces_what_came_after_it() {
        let line = |step: u64, loss: f64| format!("{{\"kind\":\"train\",\"step\":{step},\"loss\":{loss}}}\n");
        let log = parse(&[line(10, 3.0), line(20, 2.0), line(30, 9.0), line(20, 1.0)].concat()).unwrap();
        let seen: Vec<_> = log.train.iter().map(|point| (point.step, point.loss.unwrap())).collect();
        assert_eq!(seen, [(10, 3.0), (20, 1.0)]);
    }

    #[test]
    fn malformed_lines_name_file_line_and_expectation() {
        let cases = [
            ("{\"kind\":\"train\",\n", "a JSON object, got {\"kind\":\"train\","),
            ("[1]\n", "a JSON object, got [1]"),
            ("{\"step\":1}\n", "`kind` to be a string such as \"train\", got nothing"),
            ("{\"kind\":\"train\",\"step\":-1}\n", "`step` to be a whole number, got -1"),
            ("{\"kind\":\"eval\"}\n", "`step` to be a whole number, got nothing"),
            ("{\"kind\":\"train\",\"step\":1,\"loss\":\"low\"}\n", "a number or null, got \"low\""),
            ("{\"kind\":\"eval\",\"step\":1,\"classes\":[]}\n", "`classes` to be an object, got []"),
            ("{\"kind\":\"eval\",\"step\":1,\"classes\":{\"a\":1}}\n", "a class to be an object, got 1"),
        ];
        for (text, reason) in cases {
            let error = parse(&format!("{TWO}{text}")).unwrap_err();
            assert!(error.starts_with("run/metrics.jsonl:3: expected "), "{error}");
            assert!(error.ends_with(reason), "{error}");
        }
        let long = parse(&format!("{}\n", "ä".repeat(500))).unwrap_err();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn a_missing_log_is_wrong_input() {
        let dir = tempfile::tempdir().unwrap();
        let error = RunLog::read(&dir.path().join("metrics.jsonl")).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().ends_with("metrics.jsonl: reading failed"));
    }

    proptest! {
        #[test]
        fn a_log_cut_anywhere_reads(cut in 0_usize..TWO.len()) {
            let log = RunLog::parse(Path::new("m"), &TWO.as_bytes()[..cut]).unwrap();
            let first_line = TWO.find('\n').unwrap();
            // A record is whole with or without its line end.
            prop_assert_eq!(log.train.len(), usize::from(cut >= first_line));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RunLog::parse(Path::new("m"), &bytes);
        }
    }
}
