//! `smalti bench`: times of this build on this machine.

mod measure;
mod memory;
mod model;
mod ops;

use anyhow::Result;
use smalti::cli::BenchVerb;

/// Runs the verb.
pub fn run(verb: &BenchVerb) -> Result<()> {
    match verb {
        BenchVerb::Ops(args) => ops::run(args),
        BenchVerb::Model(args) => model::run(args),
    }
}

/// Three digits that count, for times from microseconds to seconds.
fn digits(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{ms:.3}"),
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        let cases = [(0.0521, "0.052"), (0.69, "0.690"), (3.614, "3.61"), (28.44, "28.4"), (165.4, "165")];
        for (ms, text) in cases {
            assert_eq!(digits(ms), text);
        }
    }
}
