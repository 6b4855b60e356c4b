//! The progress bar of a training.

use std::path::Path;
use std::time::Instant;

use smalti::output::{self, Progress};
use smalti_backbones::Transfer;
use smalti_training::task::Evaluation;
use smalti_training::trainer::{Observer, StepReport};

/// Shows loss, rate and ETA while training, and images done while evaluating.
pub struct TrainWatch {
    bar: Option<Progress>,
    evaluation: Option<Progress>,
    loss: Option<f64>,
    rate: Rate,
}

impl TrainWatch {
    pub fn new(batch_size: usize) -> Self {
        Self { bar: None, evaluation: None, loss: None, rate: Rate::new(batch_size) }
    }

    /// Leaves the bar as it stands.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}

/// Images per second over the last steps, loader waits included.
struct Rate {
    batch_size: usize,
    last: Instant,
    seconds_per_step: Option<f64>,
}

impl Rate {
    fn new(batch_size: usize) -> Self {
        Self { batch_size, last: Instant::now(), seconds_per_step: None }
    }

    fn step(&mut self) -> f64 {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let smooth = self.seconds_per_step.map_or(seconds, |before| 0.95 * before + 0.05 * seconds);
        self.seconds_per_step = Some(smooth);
        self.batch_size as f64 / smooth.max(1e-9)
    }
}

impl Observer for TrainWatch {
    fn initialised(&mut self, transfer: &Transfer) {
        output::line(&transfer.to_string());
    }

    fn started(&mut self, step: u64, total: u64) {
        if step > 0 {
            output::line(&format!("resuming after step {step} of {total}"));
        }
        let bar = Progress::new("train", total);
        bar.set_position(step);
        self.bar = Some(bar);
        self.rate.last = Instant::now();
    }

    fn note(&mut self, text: &str) {
        output::warning(text);
    }

    fn step(&mut self, report: &StepReport) {
        let smooth = self.loss.map_or(report.loss, |before| 0.95 * before + 0.05 * report.loss);
        self.loss = Some(smooth);
        let rate = self.rate.step();
        if let Some(bar) = &self.bar {
            bar.message(&format!("loss {smooth:.3}  {rate:.1} images/s  lr {:.1e}", report.lr));
            bar.inc(1);
        }
    }

    fn evaluating(&mut self, done: usize, total: usize) {
        let bar = self.evaluation.get_or_insert_with(|| Progress::new("evaluate", total as u64));
        bar.set_position(done as u64);
        if done == total
            && let Some(bar) = self.evaluation.take()
        {
            bar.clear();
        }
    }

    fn evaluated(&mut self, step: u64, evaluation: &Evaluation, best: bool) {
        let second = [("AP", "AP"), ("AP50", "AP50"), ("aAcc", "pixel accuracy"), ("top5", "top5")]
            .into_iter()
            .filter(|(key, _)| *key != evaluation.metric)
            .find_map(|(key, name)| Some((name, evaluation.record.get(key)?.as_f64()?)));
        let second =
            second.map_or_else(String::new, |(name, value)| format!(", {name} {:.2} %", value * 100.0));
        let text = format!(
            "step {step}: {} {:.2} %{second}{}",
            evaluation.metric,
            evaluation.score * 100.0,
            if best { ", best so far" } else { "" }
        );
        match &self.bar {
            Some(bar) => bar.println(&text),
            None => output::line(&text),
        }
        // The time of the evaluation is not the network's.
        self.rate.last = Instant::now();
    }

    fn saved(&mut self, step: u64, path: &Path) {
        tracing::debug!(step, path = %path.display(), "checkpoint saved");
    }
}
