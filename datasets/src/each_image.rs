//! A look at every image of a set on all cores, in memory that does not grow with what is seen of one.

use rayon::prelude::*;

/// Images that a thread takes at a time at most. Left to itself rayon hands out shares of a set, and at its end all cores but
/// one wait for the last; so they wait for a few images.
pub(crate) const AT_A_TIME: usize = 32;

/// Adds up what is found on the images `0..len`, in their order however many threads there are: `add` takes an image into a
/// sum, `merge` the sum of the images behind it.
pub(crate) fn add_up<T: Send>(
    len: usize,
    empty: impl Fn() -> T + Sync + Send,
    add: impl Fn(&mut T, usize) + Sync + Send,
    merge: impl Fn(&mut T, T) + Sync + Send,
) -> T {
    let add = |mut sum: T, i| {
        add(&mut sum, i);
        sum
    };
    let merge = |mut sum: T, behind: T| {
        merge(&mut sum, behind);
        sum
    };
    (0..len).into_par_iter().with_max_len(AT_A_TIME).fold(&empty, add).reduce(&empty, merge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_in_the_order_of_the_images() {
        for len in [0, 1, 31, 1000] {
            let all: Vec<usize> = add_up(len, Vec::new, Vec::push, Extend::extend);
            assert_eq!(all, (0..len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_thread_takes_many_at_a_time() {
        let take = |taken: &mut Vec<usize>, i| {
            taken.push(i);
            assert!(taken.len() <= AT_A_TIME, "{taken:?}");
        };
        add_up(5000, Vec::new, take, Extend::extend);
    }
}
