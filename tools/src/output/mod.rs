//! Everything that leaves the program: lines, tables, progress, JSON files, exit codes, log records.
//!
//! Results go to stdout, everything about the way there to stderr. A reader that closes its end early (`| head`) ends
//! neither the process nor the work: later lines are dropped.

pub mod atomic;
pub mod exit;
pub mod log;
pub mod progress;
pub mod table;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

pub use atomic::{create_dir, expect_empty, write_atomic, write_json};
pub use exit::{InputError, finish, finish_with};
pub use log::init as init_log;
pub use progress::Progress;
pub use table::{Rows, percent, thousands};

/// `-q`: no progress, no notes.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Sets what `-q` asks for.
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether only results and errors are wanted.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints a line of the result to stdout, above any progress bar.
pub fn line(text: &str) {
    text_out(&format!("{text}\n"));
}

/// Writes text to stdout as it is.
pub fn text_out(text: &str) {
    progress::suspend(|| {
        let mut out = io::stdout().lock();
        // A closed pipe is the reader's decision; there is nobody left to tell.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    });
}

/// Prints a remark on the way to stderr, unless `-q`.
pub fn note(text: &str) {
    if !is_quiet() {
        error_line(text);
    }
}

/// Prints `warning: ...` to stderr.
pub fn warning(text: &str) {
    error_line(&format!("{} {text}", paint("warning:", "\x1b[1;33m")));
}

pub(crate) fn error_line(text: &str) {
    progress::suspend(|| {
        let _ = writeln!(io::stderr().lock(), "{text}"); // stderr is the last place to complain at
    });
}

/// Colours text for a terminal on stderr; plain text otherwise.
pub(crate) fn paint(text: &str, code: &str) -> String {
    let plain = !io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    if plain { text.to_owned() } else { format!("{code}{text}\x1b[0m") }
}

/// Seconds as people read them: `0.8 s`, `42 s`, `3 min 07 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Sizes of files as people read them: `114.34 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let cases = [(0.0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s")];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(duration(187.0), "3 min 07 s");
        assert_eq!(duration(7500.0), "2 h 05 min");
        assert_eq!(duration(f64::NAN), "0.0 s");
    }
}
