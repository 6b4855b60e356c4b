//! What opening a small file may take, whatever is in it. A test binary of its own, as the peak is that of the process.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop where they cannot go on")]

use std::path::Path;

use smalti_checkpoints::Checkpoint;

/// Largest size of this process so far, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn no_small_file_takes_much_memory() {
    const MOST: u64 = 24 << 10;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let before = peak();
    for folder in ["read", "refused"] {
        for entry in fixtures.join(folder).read_dir().unwrap() {
            let path = entry.unwrap().path();
            if !path.is_file() {
                continue;
            }
            let (name, bytes) = (path.display(), std::fs::read(&path).unwrap());
            if let Ok(checkpoint) = Checkpoint::from_bytes(Path::new("memory"), bytes) {
                for named in checkpoint.tensors() {
                    assert_eq!(named.tensor().to_bytes().len(), named.tensor().byte_len(), "{name}");
                }
            }
            let taken = peak() - before;
            assert!(taken < MOST, "{name}: {taken} KiB");
        }
    }
}
