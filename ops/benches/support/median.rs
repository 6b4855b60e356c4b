//! The timing loop of the benchmarks that measure libtorch calls of milliseconds to seconds.

use std::time::Instant;

/// Seconds of the median of `runs` calls after `warm_ups` that do not count.
pub fn median_seconds(warm_ups: usize, runs: usize, mut run: impl FnMut()) -> f64 {
    (0..warm_ups).for_each(|_| run());
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}
