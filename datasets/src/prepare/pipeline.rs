//! Images in parallel, results in order, a bounded number of them at a time.

use rayon::prelude::*;

use super::Tick;
use crate::error::DataError;

/// Images in work per thread before results are taken: enough to keep threads busy at the seams.
const AHEAD: usize = 16;

/// Runs `work` on all items, on all threads, and `take` on the results in the items' order.
///
/// `init` makes what `work` keeps from item to item, such as buffers.
///
/// # Errors
/// The first in the order of items, whichever thread met one first. Items behind it may have been worked on.
pub(super) fn in_order<I: Sync, S, T: Send>(
    items: &[I],
    tick: Tick<'_>,
    init: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, &I) -> Result<T, DataError> + Sync + Send,
    mut take: impl FnMut(T) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let total = items.len() as u64;
    for chunk in items.chunks(AHEAD * rayon::current_num_threads()) {
        let results: Vec<Result<T, DataError>> = chunk
            .par_iter()
            .map_init(&init, |state, item| {
                let result = work(state, item);
                tick(total);
                result
            })
            .collect();
        results.into_iter().try_for_each(|result| take(result?))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_error_wins() {
        let items: Vec<u32> = (0..500).collect();
        let ticks = AtomicU64::new(0);
        let tick = |total| {
            assert_eq!(total, 500);
            ticks.fetch_add(1, Ordering::Relaxed);
        };
        let mut seen = Vec::new();
        let take = |value| {
            seen.push(value);
            Ok(())
        };
        in_order(&items, &tick, || (), |(), &item| Ok(item), take).unwrap();
        assert_eq!(seen, items);
        assert_eq!(ticks.into_inner(), 500);

        let fail = |(): &mut (), &item: &u32| match item {
            3 | 9 => Err(DataError::invalid(format!("item {item}"), "none", "one")),
            _ => Ok(()),
        };
        let error = in_order(&items, &|_| {}, || (), fail, |()| Ok(())).unwrap_err();
        assert!(error.to_string().contains("item 3"), "{error}");
    }
}
