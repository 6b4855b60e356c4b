//! The ASCII form of run lengths that COCO files hold as `counts`.
//!
//! Every run but the first three is stored as its difference to the run before the last one. A number takes 5 bits a
//! character, low bits first: 0x20 says that more follow, 0x10 of the last one is the sign; characters start at `0`.

use super::{Rle, pixels_of, rle_error, wrong_sum};
use crate::error::DataError;

/// Characters of one number: a difference of two 32-bit runs needs 33 bits and a sign, 5 bits a character.
const MAX_CHARS: u32 = 7;

impl Rle {
    /// The compressed form that COCO files hold as `counts`.
    pub fn to_compressed(&self) -> String {
        let mut text = String::with_capacity(self.counts.len() * 2);
        for (i, &count) in self.counts.iter().enumerate() {
            let mut value = i64::from(count);
            if i > 2 {
                value -= i64::from(self.counts[i - 2]);
            }
            loop {
                let mut bits = (value & 0x1f) as u8;
                value >>= 5;
                let done = if bits & 0x10 == 0 { value == 0 } else { value == -1 };
                if !done {
                    bits |= 0x20;
                }
                text.push(char::from(bits + 48));
                if done {
                    break;
                }
            }
        }
        text
    }

    /// Reads the compressed form back; `size` is `[H, W]`.
    ///
    /// # Errors
    /// [`DataError::Rle`] on a character outside `0`..=`o`, a number cut short or out of range, or runs that do not
    /// add up to `H * W`. Runs of a mask that is too large are refused before they are stored.
    pub fn from_compressed(size: [u32; 2], text: &str) -> Result<Self, DataError> {
        let mut counts = Vec::new();
        read_runs(size, text, |run| counts.push(run))?;
        Ok(Self { size, counts })
    }
}

/// Reads the compressed form run by run. What was visited is a mask only if this succeeds.
pub(super) fn read_runs(size: [u32; 2], text: &str, mut visit: impl FnMut(u32)) -> Result<(), DataError> {
    let pixels = pixels_of(size)?;
    let bytes = text.as_bytes();
    let mut position = 0;
    let mut rest = pixels;
    // The run before the last one, which a number is the difference to; 0 for the first three numbers.
    let (mut before, mut last) = (0, 0);
    let mut is_first = true;
    while let Some(&first) = bytes.get(position) {
        let bits = first.wrapping_sub(48);
        let number = if bits < 0x20 {
            position += 1;
            i64::from(bits) - i64::from(bits & 0x10) * 2 // nearly all numbers are one character
        } else {
            read_number(bytes, &mut position)?
        };
        let run = before + number;
        if run as u64 > rest {
            return Err(wrong_run(size, &bytes[..position], run, pixels - rest)); // negative ones end here as well
        }
        rest -= run as u64;
        visit(run as u32);
        before = last;
        last = if is_first { 0 } else { run };
        is_first = false;
    }
    if rest == 0 { Ok(()) } else { Err(wrong_sum(size, pixels - rest)) }
}

/// Why the run that ends here cannot be.
#[cold]
fn wrong_run(size: [u32; 2], read: &[u8], run: i64, covered: u64) -> DataError {
    if u32::try_from(run).is_ok() {
        return wrong_sum(size, covered + run as u64);
    }
    let index = read.iter().filter(|&&byte| byte.wrapping_sub(48) < 0x20).count() - 1;
    let pixels = u64::from(size[0]) * u64::from(size[1]);
    rle_error(format!("run {index} is {run} long, expected 0..={pixels}"))
}

/// One number of any length; moves `position` behind it.
fn read_number(bytes: &[u8], position: &mut usize) -> Result<i64, DataError> {
    let mut value = 0i64;
    for group in 0..MAX_CHARS {
        let Some(&byte) = bytes.get(*position) else {
            let last = position.saturating_sub(1);
            return Err(rle_error(format!("the string ends inside a number, after character {last}")));
        };
        if !(48..112).contains(&byte) {
            return Err(rle_error(format!(
                "character {position} is byte {byte:#04x}, expected `0`..=`o` (0x30..=0x6f)"
            )));
        }
        *position += 1;
        let bits = i64::from(byte - 48);
        value |= (bits & 0x1f) << (5 * group);
        if bits & 0x20 == 0 {
            if bits & 0x10 != 0 {
                value |= -1 << (5 * (group + 1));
            }
            return Ok(value);
        }
    }
    Err(rle_error(format!("the number before character {position} does not fit 32 bits")))
}
