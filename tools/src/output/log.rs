//! The log of the libraries, on stderr, above any progress bar.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::progress;

/// Starts the log. `verbosity`: -1 errors, 0 warnings, 1 info, 2 debug, 3 trace; `SMALTI_LOG` (for example
/// `smalti_datasets=trace`) says more than the flags.
pub fn init(verbosity: i8) {
    let level = match verbosity {
        ..0 => "error",
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    super::set_quiet(verbosity < 0);
    let filter = EnvFilter::try_from_env("SMALTI_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(AboveBars)
        .without_time()
        .with_target(false);
    // A second call (tests) keeps the first log.
    let _ = log.try_init();
}

/// Writes whole records to stderr while the bars step aside.
struct AboveBars;

struct Record(Vec<u8>);

impl MakeWriter<'_> for AboveBars {
    type Writer = Record;
    fn make_writer(&self) -> Record {
        Record(Vec::new())
    }
}

impl Write for Record {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        progress::suspend(|| {
            let _ = io::stderr().lock().write_all(&self.0); // nowhere left to report it
        });
    }
}
