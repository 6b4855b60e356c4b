//! Files that must be refused: pickles that name code, bombs, contradictions, and files that are something else.

use crate::support::{Refused, files, folder, table};
use smalti_checkpoints::Checkpoint;

/// What is wrong with the refusal, if anything.
fn wrong(name: &str, expected: &Refused) -> Option<String> {
    let path = folder("refused").join(name);
    let opened = Checkpoint::open(&path).and_then(|checkpoint| checkpoint.state_dict(None).map(|_| ()));
    let Err(error) = opened else { return Some("it was read".to_owned()) };
    let text = error.to_string();
    let Some(fault) = error.fault() else { return Some(text) };
    let kind = format!("{:?}", fault.kind);
    let good = kind == expected.kind
        && expected.words.iter().all(|words| text.contains(words))
        && text.starts_with(&path.display().to_string())
        && text.len() < 800
        && !text.contains(char::is_control)
        && !fault.help.is_empty()
        && !fault.got.is_empty();
    (!good).then(|| format!("expected {expected:?}, got {kind}: {text}"))
}

#[test]
fn each_is_refused_with_place_reason_and_next_step() {
    let cases = table::<Refused>("refused");
    assert_eq!(cases.len(), files("refused").len());
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|(name, expected)| Some(format!("{name}: {}", wrong(name, expected)?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
