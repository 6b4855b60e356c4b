//! The `smalti` command. Runs what needs no tensor itself and hands every other verb to `smalti-torch` beside it, so that
//! `smalti score` starts in milliseconds and runs where no libtorch is.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use smalti::cli::{BenchVerb, Cli, Verb, WeightsVerb};
use smalti::{output, verbs};

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::init_log(cli.global.verbosity());
    match &cli.verb {
        Verb::Score(verb) => output::finish(verbs::score(verb)),
        Verb::Data(verb) => output::finish(verbs::data(verb)),
        Verb::Bench(BenchVerb::Loader(args)) => output::finish(verbs::bench_loader(args)),
        Verb::Weights(WeightsVerb::Inspect(args)) => output::finish(verbs::weights_inspect(args)),
        #[cfg(feature = "torch")]
        Verb::Weights(WeightsVerb::Pull(args)) => output::finish(verbs::weights_pull(args)),
        Verb::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "smalti", &mut script);
            output::text_out(&String::from_utf8_lossy(&script));
            ExitCode::SUCCESS
        }
        #[cfg(feature = "torch")]
        verb => engine::run(verb),
    }
}

/// Handing over to the other binary.
#[cfg(feature = "torch")]
mod engine {
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::{Command, ExitCode};

    use anyhow::{Context, Result, bail};
    use smalti::cli::Verb;
    use smalti::output;

    const NAME: &str = "smalti-torch";

    /// What the engine's libraries read once, at load, and what serves training here; a value of the user's own wins.
    const ENVIRONMENT: [(&str, &str); 5] = [
        // Loader threads share the cores with libtorch's: a thread that waits long must sleep. One that waits shortly, which most
        // do between two ops, must not: waking it costs more. The demo trains a quarter faster with this count than with 0.
        ("OMP_WAIT_POLICY", "passive"),
        ("GOMP_SPINCOUNT", "20000"),
        // A step frees and takes the same gigabyte again and again: keep it, large tensors too, and in huge pages.
        ("MALLOC_TRIM_THRESHOLD_", "4000000000"),
        ("MALLOC_MMAP_MAX_", "0"),
        ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),
    ];

    /// Becomes `smalti-torch` with the same arguments; returns only if that fails.
    pub fn run(verb: &Verb) -> ExitCode {
        let result = if matches!(verb, Verb::Doctor(_)) { examine() } else { replace() };
        result.unwrap_or_else(|error| output::finish(Err(error)))
    }

    fn engine() -> Result<Command> {
        let own = std::env::current_exe().context("where this program lies")?;
        let path: PathBuf = own.with_file_name(NAME);
        if !path.is_file() {
            bail!(
                "{}: this verb needs {NAME} beside smalti, and it is not there: run `make build`",
                path.display()
            );
        }
        let mut command = Command::new(path);
        command.args(std::env::args_os().skip(1));
        for (name, value) in ENVIRONMENT {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        Ok(command)
    }

    fn replace() -> Result<ExitCode> {
        let mut command = engine()?;
        let error = command.exec();
        Err(error).with_context(|| format!("starting {}", command.get_program().display()))
    }

    /// `doctor` must say something useful even where the engine can't start: the dynamic linker ends with 127 then.
    fn examine() -> Result<ExitCode> {
        let mut command = engine()?;
        let status =
            command.status().with_context(|| format!("starting {}", command.get_program().display()))?;
        if status.code() == Some(127) {
            bail!(
                "to fix: {NAME} finds no libtorch (the line above names the library): run `make setup`, then `make build`"
            );
        }
        Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
    }
}
