//! Fixtures cut at every length and with bytes changed: errors, never panics.

use std::path::Path;

use crate::support::files;
use proptest::prelude::*;
use smalti_checkpoints::Checkpoint;

/// Opens, and reads every tensor; whether that worked.
fn reads(bytes: Vec<u8>) -> bool {
    let Ok(checkpoint) = Checkpoint::from_bytes(Path::new("memory"), bytes) else { return false };
    for named in checkpoint.tensors() {
        let tensor = named.tensor();
        assert_eq!(tensor.to_bytes().len(), tensor.byte_len());
        let _ = tensor.bad_bool();
    }
    let _ = checkpoint.state_dict(None);
    true
}

#[test]
fn every_truncation_is_an_error() {
    for (name, bytes) in files("read") {
        // What follows the last member of a tar archive is padding.
        let whole = if name == "tar.pth" { bytes.len() - 1024 - 512 } else { bytes.len() };
        for end in 0..whole {
            assert!(!reads(bytes[..end].to_vec()), "{name} cut to {end} bytes was read");
        }
        assert!(reads(bytes), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn changed_bytes_never_panic(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let files = files("read");
        let mut bytes = file.get(&files).1.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        reads(bytes);
    }

    #[test]
    fn opcodes_in_any_order_never_panic(
        program in prop::collection::vec(
            prop::sample::select(&b".(012FIJKLMNPQRSTUVXabcdeghijlopqrstu)]}GBC\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98\x00\x01\x02\n"[..]),
            0..60,
        ),
    ) {
        reads([b"\x80\x04".as_slice(), &program].concat());
    }
}
