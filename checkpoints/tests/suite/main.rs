//! Every format, every refusal, every damage: fixtures of `scripts/goldens/make_checkpoints.py`.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop where they cannot go on")]

mod damage;
mod formats;
mod hostile;
mod layouts;
mod support;
