//! How a verb ends: 0 done, 1 the run failed, 2 the input or the arguments are wrong.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;

use smalti_checkpoints::CheckpointError;
use smalti_datasets::DataError;
use smalti_datasets::error::is_about_the_place;
use smalti_evaluation::EvalError;

use super::{error_line, paint};

/// Input or arguments that cannot be used: exit code 2. Also serves as context around the cause:
/// `result.context(InputError::new("..."))`.
#[derive(Debug)]
pub struct InputError(String);

impl InputError {
    /// An error with this text, which should name the file, what was expected and what was found.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InputError {}

/// Ends a verb: prints the error, if any, and gives the process its exit code.
pub fn finish(result: anyhow::Result<()>) -> ExitCode {
    finish_with(result, |_| None)
}

/// Like [`finish`]; `classify` is asked first for the exit code of every error in the chain, outermost first.
pub fn finish_with(
    result: anyhow::Result<()>,
    classify: impl Fn(&(dyn Error + 'static)) -> Option<u8>,
) -> ExitCode {
    let Err(err) = result else { return ExitCode::SUCCESS };
    error_line(&format!("{} {}", paint("error:", "\x1b[1;31m"), message(&err)));
    let code = err.chain().find_map(&classify).unwrap_or_else(|| code(&err));
    ExitCode::from(code)
}

/// The exit code of an error: 2 if anything in its chain is about input, else 1.
pub fn code(err: &anyhow::Error) -> u8 {
    if err.downcast_ref::<InputError>().is_some() {
        return 2;
    }
    err.chain().find_map(code_of).unwrap_or(1)
}

fn code_of(err: &(dyn Error + 'static)) -> Option<u8> {
    if err.is::<InputError>() {
        return Some(2);
    }
    if let Some(err) = err.downcast_ref::<DataError>() {
        return match err {
            DataError::Io { source, .. } => Some(io_code(source.kind())),
            DataError::Worker { .. } => Some(1),
            _ => Some(2),
        };
    }
    if let Some(err) = err.downcast_ref::<EvalError>() {
        return match err {
            EvalError::Data(_) => None, // transparent: its cause follows in the chain or is looked at here
            EvalError::List { source, .. } => Some(io_code(source.kind())),
            _ => Some(2),
        }
        .or_else(|| err.as_data().and_then(|data| code_of(data)));
    }
    if let Some(err) = err.downcast_ref::<CheckpointError>() {
        return match err {
            CheckpointError::Io { source, .. } => Some(io_code(source.kind())),
            _ => Some(2),
        };
    }
    err.downcast_ref::<std::io::Error>().map(|err| io_code(err.kind()))
}

fn io_code(kind: ErrorKind) -> u8 {
    if is_about_the_place(kind) { 2 } else { 1 }
}

/// The error with its causes: one line if it is short, else one line a cause.
pub fn message(err: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in err.chain() {
        let text = reason(cause);
        // Some libraries repeat their cause in their own text.
        if parts.last().is_none_or(|last| !last.ends_with(&text)) {
            parts.push(text);
        }
    }
    let line = parts.join(": ");
    if line.chars().count() <= 200 { line } else { parts.join(":\n  ") }
}

/// The text of one error; for the operating system's errors without the number behind it.
fn reason(err: &(dyn Error + 'static)) -> String {
    let text = err.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) if err.is::<std::io::Error>() => words.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use anyhow::Context;

    use super::*;

    #[test]
    fn codes_by_kind() {
        let plain = anyhow::anyhow!("the loss is not finite");
        assert_eq!(code(&plain), 1);
        assert_eq!(code(&InputError::new("x").into()), 2);
        let wrapped =
            Err::<(), _>(plain).context(InputError::new("recipe")).context("while starting").unwrap_err();
        assert_eq!(code(&wrapped), 2);
        assert_eq!(code(&DataError::invalid("size", "1", 0).into()), 2);
        assert_eq!(code(&EvalError::NumClasses { got: 0 }.into()), 2);
        assert_eq!(code(&EvalError::Data(DataError::image(Path::new("a.png"), "cut")).into()), 2);
        let io = |kind| DataError::io("x", "writing")(io::Error::from(kind));
        assert_eq!(code(&io(ErrorKind::StorageFull).into()), 2);
        assert_eq!(code(&io(ErrorKind::BrokenPipe).into()), 1);
        assert_eq!(code(&io(ErrorKind::NotFound).into()), 2);
        let failing = EvalError::Data(io(ErrorKind::TimedOut));
        assert_eq!(code(&failing.into()), 1);
    }

    #[test]
    fn messages_join_causes() {
        let err = anyhow::Error::from(io::Error::from_raw_os_error(2)).context("a.toml: reading failed");
        assert_eq!(message(&err), "a.toml: reading failed: No such file or directory");
        let long = anyhow::anyhow!("y".repeat(150)).context("x".repeat(100));
        assert_eq!(message(&long), format!("{}:\n  {}", "x".repeat(100), "y".repeat(150)));
    }
}
