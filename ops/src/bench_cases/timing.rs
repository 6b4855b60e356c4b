//! The timing loop of what takes milliseconds to seconds on one device.

use std::time::Instant;

use tch::{Cuda, Device};

/// Times calls on a device.
#[derive(Debug, Clone, Copy)]
pub struct Timer {
    /// Where the work runs; on a GPU every call is waited for.
    pub device: Device,
    /// Calls that do not count.
    pub warm_ups: usize,
    /// Calls that do, at least one.
    pub repeat: usize,
}

impl Timer {
    /// Seconds of the median call; of an even number of calls the slower of the two in the middle.
    pub fn median_seconds(&self, mut run: impl FnMut()) -> f64 {
        (0..self.warm_ups).for_each(|_| run());
        self.wait();
        let mut times: Vec<f64> = (0..self.repeat)
            .map(|_| {
                let start = Instant::now();
                run();
                self.wait();
                start.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[self.repeat / 2]
    }

    /// Returns when the device has finished all work given to it.
    fn wait(&self) {
        if let Device::Cuda(index) = self.device {
            Cuda::synchronize(index as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_slow_call_does_not_move_the_median() {
        let timer = Timer { device: Device::Cpu, warm_ups: 2, repeat: 3 };
        let mut calls = 0;
        let seconds = timer.median_seconds(|| {
            calls += 1;
            if calls <= 3 {
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        assert_eq!(calls, 5);
        assert!(seconds < 0.05, "{seconds}");
    }
}
