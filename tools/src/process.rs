//! What this process takes of the machine, as Linux counts it.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads, ended ones too.
pub fn cpu_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread.
pub fn thread_cpu_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    clock_gettime(id).try_into().unwrap_or_default() // a CPU clock is never negative
}

/// Memory in use, in MiB; none where the system does not tell.
pub fn resident_mb() -> Option<f64> {
    status_mb("VmRSS:")
}

/// The most memory that was ever in use at a time, in MiB; none where the system does not tell.
pub fn peak_mb() -> Option<f64> {
    status_mb("VmHWM:")
}

fn status_mb(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_other_threads_count() {
        let (own, all) = (thread_cpu_time(), cpu_time());
        let spin = || {
            let begin = thread_cpu_time();
            while thread_cpu_time().saturating_sub(begin) < Duration::from_millis(5) {}
        };
        std::thread::spawn(spin).join().unwrap();
        assert!(
            thread_cpu_time().saturating_sub(own) < Duration::from_millis(4),
            "it is another thread that worked"
        );
        assert!(cpu_time().saturating_sub(all) >= Duration::from_millis(5));
    }

    #[test]
    fn the_peak_is_never_below_what_is_in_use() {
        let (Some(resident), Some(peak)) = (resident_mb(), peak_mb()) else { return };
        assert!(peak >= resident && resident > 1.0, "{resident} of {peak}");
    }
}
