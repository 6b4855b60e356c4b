//! Cityscapes scores: the official scripts' numbers on random cases, a plain second implementation, the corners by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop where they cannot go on")]

mod goldens;
mod instance_rules;
mod pixel_rules;
mod plain;
