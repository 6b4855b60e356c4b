//! CPU time by stage: adds up the spans that the datasets crate enters on the way of a sample.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smalti_datasets::stage;
use tracing::span::Id;
use tracing::subscriber::with_default;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::process;

/// CPU times of the calling thread.
#[derive(Debug, Clone, Copy)]
pub struct StageTimes {
    /// Of each of [`stage::ALL`], without the stages inside it.
    pub stages: [Duration; stage::ALL.len()],
    /// Outside all stages.
    pub other: Duration,
}

/// Runs `work` on this thread and tells its stages apart.
pub fn of<T>(work: impl FnOnce() -> T) -> (T, StageTimes) {
    let clock = Clock(Arc::new(Mutex::new(Running::start())));
    let running = Arc::clone(&clock.0);
    let result = with_default(tracing_subscriber::registry().with(clock), work);
    let mut running = lock(&running);
    running.settle();
    let StageTimes { stages, other } = running.times;
    (result, StageTimes { stages, other })
}

/// The stages entered and not left, and the times so far.
#[derive(Debug)]
struct Running {
    open: Vec<usize>,
    since: Duration,
    times: StageTimes,
}

impl Running {
    fn start() -> Self {
        let times = StageTimes { stages: [Duration::ZERO; stage::ALL.len()], other: Duration::ZERO };
        Self { open: Vec::new(), since: process::thread_cpu_time(), times }
    }

    /// Books the time since the last change on the innermost stage.
    fn settle(&mut self) {
        let now = process::thread_cpu_time();
        let spent = now.saturating_sub(self.since);
        match self.open.last() {
            Some(&stage) => self.times.stages[stage] += spent,
            None => self.times.other += spent,
        }
        self.since = now;
    }
}

/// No code panics while it holds the lock.
fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Clock(Arc<Mutex<Running>>);

fn number(span: &Metadata<'_>) -> Option<usize> {
    let names = (span.target() == stage::TARGET).then_some(stage::ALL)?;
    names.iter().position(|name| *name == span.name())
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Clock {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span() && number(metadata).is_some()
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        if let Some(stage) = ctx.metadata(id).and_then(number) {
            let mut running = lock(&self.0);
            running.settle();
            running.open.push(stage);
        }
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        if ctx.metadata(id).and_then(number).is_some() {
            let mut running = lock(&self.0);
            running.settle();
            running.open.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(milliseconds: u64) {
        let begin = process::thread_cpu_time();
        while process::thread_cpu_time().saturating_sub(begin) < Duration::from_millis(milliseconds) {}
    }

    #[test]
    fn stages_count_without_those_inside_them() {
        let (answer, times) = of(|| {
            spin(2);
            {
                let _outer = tracing::trace_span!(target: stage::TARGET, stage::MASKS).entered();
                spin(3);
                let _inner = tracing::trace_span!(target: stage::TARGET, stage::RESIZE).entered();
                spin(5);
            }
            let _stranger = tracing::trace_span!("resize").entered();
            spin(4);
            7
        });
        assert_eq!(answer, 7);
        let ms = |name: &str| {
            let at = stage::ALL.iter().position(|stage| *stage == name).unwrap();
            times.stages[at].as_secs_f64() * 1e3
        };
        assert!((3.0..4.5).contains(&ms(stage::MASKS)), "{times:?}");
        assert!((5.0..6.5).contains(&ms(stage::RESIZE)), "{times:?}");
        assert!((6.0..8.0).contains(&(times.other.as_secs_f64() * 1e3)), "{times:?}");
        assert_eq!(ms(stage::DECODE), 0.0);
    }
}
