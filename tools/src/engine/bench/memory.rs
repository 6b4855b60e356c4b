//! How much memory the process takes, as the kernel of Linux counts it.

use std::fs;

use smalti_ops::runtime::release_freed_memory;

/// Megabytes that `work` took at its peak beyond what was in use before it; nothing where the system does not tell.
pub fn peak_mb(work: impl FnOnce()) -> Option<f64> {
    release_freed_memory();
    // Starts the count of the peak anew.
    let reset = fs::write("/proc/self/clear_refs", "5");
    let before = kilobytes("VmRSS:");
    work();
    reset.ok()?;
    Some((kilobytes("VmHWM:")? - before?).max(0.0) / 1024.0)
}

/// A line of the process's status.
fn kilobytes(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
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
