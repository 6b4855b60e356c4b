//! Which images of a set, or of several that training mixes, are shown.

use smalti_datasets::Mixture;
use smalti_datasets::mixture::Share;

/// An image to show.
#[derive(Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its index among all.
    pub index: usize,
    /// Of sets that are mixed, the name of its own before its caption.
    pub of: String,
}

/// At most `num` images: those of a set spread evenly over it; of sets that are mixed one after the other, each with its share
/// of the samples, and with one image at least as long as there are so many.
pub fn picks<S>(images: &Mixture<S>, num: u16) -> Vec<Pick> {
    let shares = images.shares();
    let mixed = shares.len() > 1;
    let mut start = 0;
    let mut picks = vec![];
    for (share, count) in shares.iter().zip(counts(&shares, usize::from(num))) {
        let of = if mixed { format!("{}: ", share.name) } else { String::new() };
        let spread = (0..count).map(|i| start + i * share.images / count);
        picks.extend(spread.map(|index| Pick { index, of: of.clone() }));
        start += share.images;
    }
    picks
}

/// How many images of each set: picture by picture, the set that is furthest behind its share gets the next one.
fn counts(shares: &[Share], num: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = vec![0; shares.len()];
    for _ in 0..num {
        // A set without a picture is behind all others.
        let behind = |&set: &usize| counts[set] as f64 / shares[set].share;
        let with_more = (0..shares.len()).filter(|&set| counts[set] < shares[set].images);
        let Some(next) = with_more.min_by(|a, b| behind(a).total_cmp(&behind(b))) else { break };
        counts[next] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn of(sets: &[(usize, f64)], num: usize) -> Vec<usize> {
        let share =
            |&(images, share): &(usize, f64)| Share { name: String::new(), images, share, times: 1.0 };
        counts(&sets.iter().map(share).collect::<Vec<_>>(), num)
    }

    #[test]
    fn sets_have_pictures_by_their_shares() {
        assert_eq!(of(&[(100, 0.75), (100, 0.25)], 12), [9, 3]);
        assert_eq!(of(&[(100, 0.25), (100, 0.75)], 12), [3, 9]);
        assert_eq!(of(&[(100, 0.98), (100, 0.01), (9, 0.01)], 12), [10, 1, 1], "one at least");
        assert_eq!(of(&[(100, 0.5), (100, 0.25), (100, 0.25)], 2), [1, 1, 0], "as long as there are so many");
        assert_eq!(of(&[(2, 0.75), (100, 0.25)], 12), [2, 10], "no image twice");
        assert_eq!(of(&[(2, 0.5), (3, 0.5)], 12), [2, 3]);
        assert_eq!(of(&[(5, 1.0)], 3), [3]);
    }

    #[test]
    fn images_of_a_set_alone_are_spread_over_it() {
        let images = Mixture::one(Arc::new(()), 10);
        let found: Vec<usize> = picks(&images, 4).iter().map(|pick| pick.index).collect();
        assert_eq!(found, [0, 2, 5, 7]);
        assert!(picks(&images, 99).iter().all(|pick| pick.of.is_empty()));
    }
}
