//! `smalti weights inspect` on the fixtures of the crate that reads.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{ok, refused};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/fixtures")
}

#[test]
fn prints_format_wrapper_settings_and_tensors() {
    let dir = tempfile::tempdir().unwrap();
    let json_path = dir.path().join("found.json");
    let printed =
        ok(&fixtures(), &["weights", "inspect", "read/wrapped.pth", "--json", json_path.to_str().unwrap()]);
    for part in [
        "read/wrapped.pth: torch (zip), 0.00 MB",
        "weights: `state_dict`, each name without its `module.`",
        "other tensors: (root) (1), optimizer.state.0 (2), state_dict_ema (3)",
        "3 tensors (1 bf16, 2 f32), 20 elements, 0.00 MB",
        "epoch: 299",
        "nat_tiny",
        "dtype: \"torch f16\"",
        r#"pathlib.PurePosixPath(\"runs\", \"out\")"#,
        "type.bf16",
        "4 x 3",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let found: Value = serde_json::from_slice(&std::fs::read(json_path).unwrap()).unwrap();
    assert_eq!(found["format"], "torch (zip)");
    assert_eq!(found["tensors"][1], json!({"name": "transposed", "dtype": "f32", "shape": [4, 3]}));
    assert_eq!(found["settings"]["args"]["opt"], json!([1, 2.5]));
    assert_eq!(found["settings"]["lr"], 1e-3);
    assert!(found["settings"].get("best_acc").is_none(), "tensors are no settings");
}

#[test]
fn lists_what_it_is_asked_for() {
    let printed = ok(&fixtures(), &["weights", "inspect", "read/zip.pth"]);
    assert!(!printed.contains("more; --all") && printed.contains("channels_last"), "{printed}");
    let averaged =
        ok(&fixtures(), &["weights", "inspect", "read/wrapped.pth", "--wrapper", "state_dict_ema"]);
    assert!(averaged.contains("weights: `state_dict_ema`"), "{averaged}");
    let parts = ok(&fixtures(), &["weights", "inspect", "read/sharded"]);
    assert!(parts.contains("shards with an index") && parts.contains("in 2 files"), "{parts}");
    let arrays = ok(&fixtures(), &["weights", "inspect", "read/arrays_numpy1.pkl"]);
    assert!(arrays.contains("pickle with numpy arrays") && arrays.contains("fortran4"), "{arrays}");
}

#[test]
fn code_and_damage_end_with_2() {
    let inspect = |file: &str, words: &[&str]| refused(&fixtures(), &["weights", "inspect", file], words);
    inspect(
        "refused/system.pth",
        &["refused/system.pth", "os.system", "nothing was executed", "state_dict()"],
    );
    inspect("refused/lost_storage.pth", &["data/0", "fetch it again"]);
    inspect("refused/pointer.bin", &["git lfs pull"]);
    inspect("read/none.pth", &["read/none.pth: opening failed: No such file"]);
    let words = ["weights", "inspect", "read/zip.pth", "--wrapper", "model"];
    refused(&fixtures(), &words, &["tensors under `model`"]);
}
