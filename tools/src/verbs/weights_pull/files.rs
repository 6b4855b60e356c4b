//! Which files of a repository are fetched.

use std::path::Path;

use smalti_checkpoints::parts_of_index;

/// Settings that are fetched where they are: of the network, and of its images.
pub const SETTINGS: [&str; 2] = ["config.json", "preprocessor_config.json"];

/// Weights by the names that transformers and timm give them, the best first.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Names listed of a repository that has no weights.
const SHOWN: usize = 12;

/// The weights to take of a repository that has these files.
pub fn weights(has: impl Fn(&str) -> bool) -> Option<&'static str> {
    WEIGHTS.into_iter().find(|name| has(name))
}

/// Whether a file of weights is an index, and the weights are in parts beside it.
pub fn is_index(name: &str) -> bool {
    name.ends_with(".index.json")
}

/// Whether a snapshot's folder has weights, with all their parts.
pub fn is_complete(snapshot: &Path) -> bool {
    let Some(name) = weights(|name| snapshot.join(name).is_file()) else { return false };
    let has_all = |parts: Vec<String>| parts.iter().all(|part| snapshot.join(part).is_file());
    !is_index(name) || parts_of_index(&snapshot.join(name)).is_ok_and(has_all)
}

/// What is wrong with a repository without weights.
pub fn no_weights(id: &str, files: &[String]) -> String {
    let mut names: Vec<_> = files.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect();
    if files.len() > SHOWN {
        names.push(format!("and {} more", files.len() - SHOWN));
    }
    let got = if names.is_empty() { "no file".into() } else { names.join(", ") };
    format!(
        "{id}: expected {} at the top of the repository, got {got}\n  \
         other files of weights are read too: fetch one yourself, and give it to `smalti weights convert`",
        WEIGHTS.join(" or "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_safest_weights_are_taken() {
        let of = |files: &[&str]| weights(|name| files.contains(&name));
        assert_eq!(of(&["pytorch_model.bin", "model.safetensors.index.json"]), Some(WEIGHTS[1]));
        assert_eq!(of(&["model.safetensors.index.json", "model.safetensors"]), Some(WEIGHTS[0]));
        assert_eq!(of(&["tf_model.h5", "config.json"]), None);
        assert!(WEIGHTS.map(is_index) == [false, true, false, true]);
    }

    #[test]
    fn what_a_repository_has_is_named() {
        let files: Vec<_> = (0..14).map(|i| format!("{i}.h5")).collect();
        let text = no_weights("a/b", &files);
        assert!(text.contains("got 0.h5, 1.h5,") && text.contains("11.h5, and 2 more\n"), "{text}");
        assert!(no_weights("a/b", &[]).contains("got no file"));
    }

    #[test]
    fn a_snapshot_with_a_part_missing_is_incomplete() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_complete(dir.path()));
        let index = r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#;
        std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
        std::fs::write(dir.path().join("one.safetensors"), "").unwrap();
        assert!(!is_complete(dir.path()));
        std::fs::write(dir.path().join("two.safetensors"), "").unwrap();
        assert!(is_complete(dir.path()));
    }
}
