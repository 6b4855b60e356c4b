//! Counting the arithmetic of a forward pass while it runs.
//!
//! What papers call FLOPs are the multiply-adds of matrix products and convolutions; norms, activations, softmax and biases
//! are left out. So does [`count`], for the ops that really run and from the shapes that they really see.

use std::marker::PhantomData;

use crate::OpError;
use crate::native;

/// How often an op ran, and the multiply-adds of all its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpCount {
    /// Name of the op in libtorch, such as `linear`, `convolution` or `neighborhood_attention_2d`.
    pub op: String,
    /// Calls.
    pub calls: u64,
    /// Multiply-adds of all calls.
    pub multiply_adds: u64,
}

/// What [`count`] saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlopCount {
    /// The ops that have multiply-adds, sorted by name.
    pub ops: Vec<OpCount>,
}

impl FlopCount {
    /// Multiply-adds of all ops.
    pub fn multiply_adds(&self) -> u64 {
        self.ops.iter().map(|op| op.multiply_adds).sum()
    }
}

/// Runs `body` and counts the multiply-adds of the ops that it calls on this thread.
///
/// Counted are matrix and vector products, linear layers, convolutions, scaled dot product attention (scores and weighted
/// sums), neighborhood attention (both, over every window) and multi-scale deformable attention (four corners a sample). A
/// composite op counts once and not again by its parts. Backward passes are passed over.
///
/// Tensors may be [without data](crate::without_data::WithoutData): the count is the same, but for a
/// [`conv2d_relu`](crate::conv2d_relu), which is a `convolution` there and may be oneDNN's `_convolution_pointwise` with data.
///
/// # Errors
/// [`OpError::Argument`] for a count inside a count, [`OpError::Native`] for a call whose shapes the counter does not
/// understand.
pub fn count<T>(body: impl FnOnce() -> T) -> Result<(T, FlopCount), OpError> {
    // SAFETY: takes nothing; the message is the extension's own.
    unsafe { native::check("count", native::smalti_flops_begin())? };
    let counting = Counting { not_send: PhantomData };
    let result = body();
    Ok((result, counting.end()?))
}

/// A count under way on this thread; ends with the value, also when `body` panics.
struct Counting {
    not_send: PhantomData<*const ()>,
}

impl Counting {
    fn end(self) -> Result<FlopCount, OpError> {
        std::mem::forget(self); // ended here and not once more
        parse(&end()?)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // Only on the way out of a panic: nobody is left to read the table.
        let _ = end();
    }
}

fn end() -> Result<String, OpError> {
    let mut table = std::ptr::null_mut();
    // SAFETY: on success `table` holds a string that the extension allocated for us.
    unsafe {
        native::check("count", native::smalti_flops_end(&raw mut table))?;
        Ok(native::take_string(table))
    }
}

/// Lines `name calls multiply-adds`.
fn parse(table: &str) -> Result<FlopCount, OpError> {
    let row = |line: &str| {
        let mut words = line.split(' ');
        let op = words.next()?.to_owned();
        let mut number = || words.next()?.parse().ok();
        Some(OpCount { op, calls: number()?, multiply_adds: number()? })
    };
    let unreadable = || OpError::Native { op: "count", message: format!("an unreadable table: {table}") };
    let ops = table.lines().map(row).collect::<Option<Vec<_>>>().ok_or_else(unreadable)?;
    Ok(FlopCount { ops })
}
