//! Times the passes of one network at one batch size.

use anyhow::Result;
use serde::Serialize;
use smalti::cli::BatchSize;
use smalti::output::Rows;
use smalti::process;
use smalti_ops::bench_cases::Timer;

use super::{digits, memory};

/// Calls before those that count: the first one faults memory in, the second finds everything warm.
pub const WARM_UPS: usize = 2;

/// One row of the result.
#[derive(Serialize)]
pub struct Measured {
    pub family: String,
    pub variant: String,
    pub batch: i64,
    pub size: i64,
    pub ms: f64,
    /// CPU time of all threads: what a shared machine leaves as it is.
    pub cpu_ms: f64,
    pub images_per_second: f64,
    /// Giga multiply-adds of the forward pass over the batch.
    pub forward_gmac: f64,
    /// Giga multiply-adds a second; a backward pass counts two times the forward's.
    pub gmac_per_second: f64,
    /// Mebibytes that the passes take beyond the weights.
    pub memory_mb: Option<f64>,
}

/// What is measured.
pub struct Case<'a> {
    pub family: &'a str,
    pub variant: &'a str,
    pub batch: BatchSize,
    /// Multiply-adds of a forward pass of one image.
    pub multiply_adds: u64,
    /// Whether a call makes a backward pass too.
    pub train: bool,
}

impl Case<'_> {
    /// Medians over calls of `pass`, which does all that the case asks for.
    ///
    /// # Errors
    /// The first one of `pass`.
    pub fn measure(&self, timer: &Timer, mut pass: impl FnMut() -> Result<()>) -> Result<Measured> {
        let mut cpu = Vec::new();
        let mut failed = None;
        let mut seconds = 0.0;
        let peak = memory::peak_mb(|| {
            seconds = timer.median_seconds(|| {
                let begin = process::cpu_time();
                if failed.is_none() {
                    failed = pass().err();
                }
                cpu.push(process::cpu_time().saturating_sub(begin).as_secs_f64());
            });
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let counted = &mut cpu[timer.warm_ups..];
        counted.sort_by(f64::total_cmp);
        let forward_gmac = self.batch.images as f64 * self.multiply_adds as f64 / 1e9;
        let passes = if self.train { 3.0 } else { 1.0 };
        Ok(Measured {
            family: self.family.to_owned(),
            variant: self.variant.to_owned(),
            batch: self.batch.images,
            size: self.batch.side,
            ms: seconds * 1e3,
            cpu_ms: counted[counted.len() / 2] * 1e3,
            images_per_second: self.batch.images as f64 / seconds,
            forward_gmac,
            gmac_per_second: passes * forward_gmac / seconds,
            memory_mb: peak.filter(|_| !timer.device.is_cuda()), // the process's own memory says nothing of a GPU's
        })
    }
}

/// The table of all rows.
pub fn print(results: &[Measured], train: bool) {
    let time = if train { "forward + backward ms" } else { "forward ms" };
    let header =
        ["family", "variant", "batch", "size", time, "CPU ms", "images/s", "GMAC", "GMAC/s", "memory MB"];
    let mut rows = Rows::new(header).text_column(1);
    for result in results {
        rows.push([
            result.family.clone(),
            result.variant.clone(),
            result.batch.to_string(),
            result.size.to_string(),
            digits(result.ms),
            digits(result.cpu_ms),
            format!("{:.1}", result.images_per_second),
            format!("{:.2}", result.forward_gmac),
            format!("{:.0}", result.gmac_per_second),
            result.memory_mb.map_or_else(|| "-".to_owned(), |mb| format!("{mb:.0}")),
        ]);
    }
    rows.print();
}
