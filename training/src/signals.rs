//! Signals as flags that the training loop reads between steps: finish the step, save, leave with the code that
//! the sender expects.
//!
//! | signal | sent by | exit code |
//! | --- | --- | --- |
//! | INT | Ctrl-C | 130; a second one ends the process at once |
//! | TERM | a scheduler's limit, `kill` | 143 |
//! | USR1 | Slurm's `--signal=B:USR1@120` | 75, "requeue me" |

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

use crate::error::TrainError;

/// A reason to save and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: somebody at the terminal.
    Int,
    /// SIGTERM: asked to end.
    Term,
    /// SIGUSR1: save and let the scheduler start this run again.
    Usr1,
}

impl Signal {
    /// By urgency: a person outranks a scheduler, and a requeue outranks the TERM that follows it.
    const ALL: [Self; 3] = [Self::Int, Self::Usr1, Self::Term];

    /// The exit code of a run that saved and stopped because of this signal.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Int => 130,
            Self::Term => 143,
            Self::Usr1 => 75,
        }
    }

    const fn number(self) -> i32 {
        match self {
            Self::Int => SIGINT,
            Self::Term => SIGTERM,
            Self::Usr1 => SIGUSR1,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "SIGINT",
            Self::Term => "SIGTERM",
            Self::Usr1 => "SIGUSR1",
        })
    }
}

/// Shared flags, set by signals or by [`StopFlag::request`]; clones see the same flags.
#[derive(Debug, Clone, Default)]
pub struct StopFlag {
    flags: [Arc<AtomicBool>; 3],
}

impl StopFlag {
    /// Flags that no signal sets: for evaluation, tests, and callers with signal handling of their own.
    pub fn manual() -> Self {
        Self::default()
    }

    /// Catches INT, TERM and USR1 from now on. A second INT ends the process with code 130 without saving.
    ///
    /// # Errors
    /// The operating system refuses the handlers.
    pub fn install() -> Result<Self, TrainError> {
        let stop = Self::default();
        let failed = || TrainError::io(Path::new("signals"), "installing the handlers");
        for (signal, flag) in Signal::ALL.into_iter().zip(&stop.flags) {
            if signal == Signal::Int {
                // Registered before the flag is set by the same signal: only the second one finds it set.
                let code = i32::from(signal.exit_code());
                flag::register_conditional_shutdown(SIGINT, code, Arc::clone(flag)).map_err(failed())?;
            }
            flag::register(signal.number(), Arc::clone(flag)).map_err(failed())?;
        }
        Ok(stop)
    }

    /// Asks for a stop as the signal would.
    pub fn request(&self, signal: Signal) {
        for (other, flag) in Signal::ALL.into_iter().zip(&self.flags) {
            if other == signal {
                flag.store(true, Ordering::SeqCst);
            }
        }
    }

    /// The most urgent signal received so far.
    pub fn requested(&self) -> Option<Signal> {
        let received =
            |(signal, flag): (Signal, &Arc<AtomicBool>)| flag.load(Ordering::SeqCst).then_some(signal);
        Signal::ALL.into_iter().zip(&self.flags).find_map(received)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn each_signal_sets_its_flag() {
        for signal in [Signal::Int, Signal::Term, Signal::Usr1] {
            let stop = StopFlag::manual();
            assert_eq!(stop.requested(), None);
            stop.clone().request(signal);
            assert_eq!(stop.requested(), Some(signal));
        }
    }

    #[test]
    fn a_requeue_outranks_the_term_after_it() {
        let stop = StopFlag::manual();
        stop.request(Signal::Usr1);
        stop.request(Signal::Term);
        assert_eq!(stop.requested(), Some(Signal::Usr1));
        stop.request(Signal::Int);
        assert_eq!(stop.requested(), Some(Signal::Int));
    }

    /// The child of the test below: real signals, in a process of its own.
    #[test]
    #[ignore = "run by `real_signals_in_a_process_of_their_own`"]
    fn child_raises_signals() {
        let Ok(plan) = std::env::var("SMALTI_TEST_SIGNALS") else { return };
        let stop = StopFlag::install().unwrap();
        for word in plan.split(' ') {
            let number = match word {
                "int" => SIGINT,
                "term" => SIGTERM,
                _ => SIGUSR1,
            };
            raise(number).unwrap();
        }
        std::process::exit(stop.requested().map_or(0, |signal| i32::from(signal.exit_code()) + 1));
    }

    #[test]
    fn real_signals_in_a_process_of_their_own() {
        let exit_code = |plan: &str| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "signals::tests::child_raises_signals", "--ignored"])
                .env("SMALTI_TEST_SIGNALS", plan)
                .output()
                .unwrap()
                .status
                .code()
        };
        // One more than the signal's code: the child lived on and read the flag.
        assert_eq!(exit_code("int"), Some(131));
        assert_eq!(exit_code("term term"), Some(144));
        assert_eq!(exit_code("usr1"), Some(76));
        assert_eq!(exit_code("int int"), Some(130));
        assert_eq!(exit_code("term int int"), Some(130));
    }
}
