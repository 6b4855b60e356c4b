//! Progress of long work: a bar with rate and ETA on a terminal, now and then a plain line otherwise.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{duration, megabytes};

/// A plain line comes at the latest after this time, if anything moved.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// And at the earliest after this one, however fast the work is.
const LINE_GAP: Duration = Duration::from_secs(1);

/// The bars on screen, one below the other.
fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Runs `print` with all bars out of the way.
pub(crate) fn suspend<R>(print: impl FnOnce() -> R) -> R {
    bars().suspend(print)
}

/// Progress of `total` steps; may be moved from several threads. Dropping it leaves the last state on screen.
#[derive(Debug)]
pub struct Progress {
    label: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
    Silent,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Steps,
    Bytes,
}

impl Unit {
    /// A bar's template.
    const fn template(self) -> &'static str {
        match self {
            Self::Steps => {
                "{prefix:>12.bold} {bar:28.cyan/238} {pos:>6}/{len} {percent:>3}%  {per_sec}  ETA {eta}  {msg}"
            }
            Self::Bytes => concat!(
                "{prefix:>12.bold} {bar:28.cyan/238} {decimal_bytes}/{decimal_total_bytes} {percent:>3}%  ",
                "{per_sec}  ETA {eta}  {msg}"
            ),
        }
    }

    fn count(self, count: u64) -> String {
        match self {
            Self::Steps => count.to_string(),
            Self::Bytes => megabytes(count),
        }
    }

    /// Steps per second with about three digits; megabytes per second.
    fn rate(self, per_second: f64) -> String {
        match self {
            Self::Bytes => megabytes(per_second as u64),
            Self::Steps if per_second >= 100.0 => format!("{per_second:.0}"),
            Self::Steps if per_second >= 10.0 => format!("{per_second:.1}"),
            Self::Steps => format!("{per_second:.2}"),
        }
    }
}

impl Progress {
    /// Starts at 0 of `total`; `label` is one or two words in lower case.
    pub fn new(label: &str, total: u64) -> Self {
        Self::of(Unit::Steps, label, total)
    }

    /// Starts at 0 of `total` bytes, of a file that `label` names.
    pub fn bytes(label: &str, total: u64) -> Self {
        Self::of(Unit::Bytes, label, total)
    }

    fn of(unit: Unit, label: &str, total: u64) -> Self {
        let kind = if super::is_quiet() {
            Kind::Silent
        } else if std::io::stderr().is_terminal() {
            Kind::Bar(bar(unit, label, total))
        } else {
            Kind::Lines(Mutex::new(Lines::new(unit, total, Instant::now())))
        };
        Self { label: label.to_owned(), kind }
    }

    /// Moves on by `steps`.
    pub fn inc(&self, steps: u64) {
        match &self.kind {
            Kind::Bar(bar) => bar.inc(steps),
            Kind::Lines(lines) => self.with_lines(lines, |lines| lines.position + steps),
            Kind::Silent => {}
        }
    }

    /// Moves to `position`. The first call with a position above 0 counts as where the work began (a resumed run).
    pub fn set_position(&self, position: u64) {
        match &self.kind {
            Kind::Bar(bar) if bar.position() == 0 && position > 1 => {
                bar.set_position(position);
                bar.reset_eta();
            }
            Kind::Bar(bar) => bar.set_position(position),
            Kind::Lines(lines) => self.with_lines(lines, |lines| {
                if lines.position == 0 && position > 1 {
                    lines.begin = position;
                }
                position
            }),
            Kind::Silent => {}
        }
    }

    /// Text behind the numbers, such as the loss; shown with the next move.
    pub fn message(&self, text: &str) {
        match &self.kind {
            Kind::Bar(bar) => bar.set_message(text.to_owned()),
            Kind::Lines(lines) => text.clone_into(&mut lock(lines).message),
            Kind::Silent => {}
        }
    }

    /// Prints a line of the result above the bar.
    pub fn println(&self, text: &str) {
        super::line(text);
    }

    /// Ends it; the final state stays on screen.
    pub fn finish(&self) {
        match &self.kind {
            Kind::Bar(bar) => bar.abandon(),
            Kind::Lines(lines) => {
                let mut lines = lock(lines);
                if !std::mem::replace(&mut lines.ended, true) {
                    say(&self.label, &lines.last_line(Instant::now()));
                }
            }
            Kind::Silent => {}
        }
    }

    /// Ends it without a trace.
    pub fn clear(&self) {
        match &self.kind {
            Kind::Bar(bar) => bar.finish_and_clear(),
            Kind::Lines(lines) => lock(lines).ended = true,
            Kind::Silent => {}
        }
    }

    fn with_lines(&self, lines: &Mutex<Lines>, moved: impl FnOnce(&mut Lines) -> u64) {
        let mut lines = lock(lines);
        let position = moved(&mut lines);
        if let Some(text) = lines.move_to(position, Instant::now()) {
            say(&self.label, &text);
        }
    }
}

fn lock(lines: &Mutex<Lines>) -> std::sync::MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner) // a count has no broken states
}

fn say(label: &str, text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{label}: {text}"); // progress is never worth failing for
}

fn bar(unit: Unit, label: &str, total: u64) -> ProgressBar {
    // The templates are constants that the tests parse.
    let style =
        ProgressStyle::with_template(unit.template()).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bars().add(ProgressBar::new(total)).with_prefix(label.to_owned());
    bar.set_style(style.progress_chars("━╸─").with_key(
        "per_sec",
        move |state: &indicatif::ProgressState, w: &mut dyn std::fmt::Write| {
            let _ = write!(w, "{}/s", unit.rate(state.per_sec())); // writing to memory
        },
    ));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// When a plain line is due, and what it says.
#[derive(Debug)]
struct Lines {
    unit: Unit,
    total: u64,
    position: u64,
    /// Where the work began.
    begin: u64,
    started: Instant,
    printed_at: Instant,
    /// Tenths of the whole that the last line reported.
    printed_tenth: u64,
    message: String,
    ended: bool,
}

impl Lines {
    fn new(unit: Unit, total: u64, now: Instant) -> Self {
        Self {
            unit,
            total,
            position: 0,
            begin: 0,
            started: now,
            printed_at: now,
            printed_tenth: 0,
            message: String::new(),
            ended: false,
        }
    }

    fn move_to(&mut self, position: u64, now: Instant) -> Option<String> {
        self.position = position;
        let tenth = position * 10 / self.total.max(1);
        let since = now.duration_since(self.printed_at);
        let due = since >= LINE_EVERY || (tenth > self.printed_tenth && since >= LINE_GAP);
        if !due || position >= self.total {
            return None; // the end has a line of its own
        }
        (self.printed_at, self.printed_tenth) = (now, tenth);
        Some(self.describe(now, true))
    }

    fn last_line(&self, now: Instant) -> String {
        self.describe(now, false)
    }

    fn describe(&self, now: Instant, running: bool) -> String {
        let seconds = now.duration_since(self.started).as_secs_f64();
        let done = self.position.saturating_sub(self.begin);
        let per_second = done as f64 / seconds.max(1e-9);
        let percent = self.position * 100 / self.total.max(1);
        let (position, total) = (self.unit.count(self.position), self.unit.count(self.total));
        let mut parts = vec![format!("{position}/{total} ({percent} %)")];
        if done > 0 && seconds > 0.05 {
            parts.push(format!("{}/s", self.unit.rate(per_second)));
        }
        if running && done > 0 {
            let left = self.total.saturating_sub(self.position) as f64 / per_second;
            parts.push(format!("ETA {}", duration(left)));
        } else if !running {
            parts.push(duration(seconds));
        }
        if !self.message.is_empty() {
            parts.push(self.message.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn lines_come_every_tenth_but_not_too_often() {
        let start = Instant::now();
        let mut lines = Lines::new(Unit::Steps, 100, start);
        assert_eq!(lines.move_to(15, at(start, 0.5)), None, "too soon");
        assert_eq!(lines.move_to(20, at(start, 2.0)).as_deref(), Some("20/100 (20 %), 10.0/s, ETA 8.0 s"));
        assert_eq!(lines.move_to(29, at(start, 5.0)), None, "same tenth");
        lines.message = "loss 1.5   lr 1e-4".into();
        let text = lines.move_to(29, at(start, 12.5));
        assert_eq!(text.as_deref(), Some("29/100 (29 %), 2.32/s, ETA 31 s, loss 1.5 lr 1e-4"));
        assert_eq!(lines.move_to(100, at(start, 50.0)), None);
        assert_eq!(lines.last_line(at(start, 50.0)), "100/100 (100 %), 2.00/s, 50 s, loss 1.5 lr 1e-4");
    }

    #[test]
    fn a_resumed_run_has_the_rate_of_its_own_work() {
        let start = Instant::now();
        let mut lines = Lines::new(Unit::Steps, 1000, start);
        lines.begin = 900;
        lines.position = 900;
        assert_eq!(
            lines.move_to(910, at(start, 10.0)).as_deref(),
            Some("910/1000 (91 %), 1.00/s, ETA 1 min 30 s")
        );
    }

    #[test]
    fn bytes_are_megabytes() {
        let start = Instant::now();
        let mut lines = Lines::new(Unit::Bytes, 114_340_000, start);
        assert_eq!(
            lines.move_to(20_000_000, at(start, 10.0)).as_deref(),
            Some("20.00 MB/114.34 MB (17 %), 2.00 MB/s, ETA 47 s")
        );
    }

    #[test]
    fn the_bars_templates_parse() {
        for unit in [Unit::Steps, Unit::Bytes] {
            bar(unit, "test", 10).finish_and_clear();
            assert!(ProgressStyle::with_template(unit.template()).is_ok());
        }
    }
}
