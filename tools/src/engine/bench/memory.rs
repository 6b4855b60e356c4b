//! How much memory a piece of work takes.

use std::fs;

use smalti::process;
use smalti_ops::runtime::release_freed_memory;

/// Megabytes that `work` took at its peak beyond what was in use before it; nothing where the system does not tell.
pub fn peak_mb(work: impl FnOnce()) -> Option<f64> {
    release_freed_memory();
    // Starts the count of the peak anew.
    let reset = fs::write("/proc/self/clear_refs", "5");
    let before = process::resident_mb();
    work();
    reset.ok()?;
    Some((process::peak_mb()? - before?).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_seen_after_it_is_gone() {
        let Some(peak) = peak_mb(|| {
            let block = vec![1_u8; 64 << 20];
            assert_eq!(std::hint::black_box(&block)[1 << 20], 1);
        }) else {
            return; // no such system
        };
        assert!((60.0..100.0).contains(&peak), "{peak}");
    }
}
