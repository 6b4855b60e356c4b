//! `smalti bench ops` and `model`: times of this build on this machine. `bench loader` needs no tensor and is run by `smalti`.

mod measure;
mod memory;
mod model;
mod network;
mod ops;
mod recipe;

pub use model::run as model;
pub use ops::run as ops;

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
