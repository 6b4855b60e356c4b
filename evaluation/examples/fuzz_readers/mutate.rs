//! Seeded damage to inputs: bits, bytes, pieces, lengths, numbers.

use rand::RngExt;
use rand_pcg::Pcg64;

/// Longest input made.
const LONGEST: usize = 1 << 14;

/// Makes one input.
pub struct Mutator {
    rng: Pcg64,
}

impl Mutator {
    /// The same seed and number make the same input.
    pub fn new(seed: u64, number: u64) -> Self {
        Self { rng: Pcg64::new(u128::from(seed), u128::from(number)) }
    }

    /// A good input with up to eight changes, most often one or two.
    pub fn input(&mut self, corpus: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
        let mut input = self.pick(corpus).cloned().unwrap_or_default();
        let mut changes = 1;
        while changes < 8 && self.rng.random_range(0..3) == 0 {
            changes += 1;
        }
        for _ in 0..changes {
            self.change(&mut input, corpus, words);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&[u8]]) {
        let at = self.rng.random_range(0..=input.len());
        let last = at.min(input.len().saturating_sub(1));
        match self.rng.random_range(0..10) {
            0 => {
                if let Some(byte) = input.get_mut(last) {
                    *byte ^= 1 << self.rng.random_range(0..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(last) {
                    *byte = self.rng.random_range(0..=255);
                }
            }
            2 => input.truncate(at),
            3 => {
                let end = self.end(at, input.len());
                input.drain(at..end);
            }
            4 => {
                let end = self.end(at, input.len());
                let piece = input[at..end].to_vec();
                let times = if self.rng.random_range(0..20) == 0 { 200 } else { 1 };
                input.splice(at..at, piece.repeat(times));
            }
            5 | 6 => {
                let word = self.pick(words).copied().unwrap_or_default();
                let end = if self.rng.random_range(0..2) == 0 { at } else { self.end(at, input.len()) };
                input.splice(at..end, word.iter().copied());
            }
            7 => {
                let other = self.pick(corpus).cloned().unwrap_or_default();
                let from = self.rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => self.number(input, at),
        }
    }

    /// Replaces the digits around a place by another number.
    fn number(&mut self, input: &mut Vec<u8>, at: usize) {
        const NUMBERS: [&str; 16] = [
            "0",
            "-1",
            "1",
            "255",
            "256",
            "65536",
            "16777215",
            "16777216",
            "2147483648",
            "4294967295",
            "4294967296",
            "9223372036854775808",
            "1e308",
            "-0.5",
            "1e-320",
            "99999999999999999999999",
        ];
        let Some(first) = (at..input.len()).find(|&i| input[i].is_ascii_digit()) else { return };
        let end = (first..input.len()).find(|&i| !input[i].is_ascii_digit()).unwrap_or(input.len());
        let number = NUMBERS[self.rng.random_range(0..NUMBERS.len())];
        input.splice(first..end, number.bytes());
    }

    /// End of a piece from `at`, short more often than long.
    fn end(&mut self, at: usize, length: usize) -> usize {
        let reach = 1 << self.rng.random_range(0..8);
        (at + self.rng.random_range(0..=reach)).min(length)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.rng.random_range(0..from.len())) }
    }
}
