//! Difference hashes by their parts, so that near ones are found without a look at all.
//!
//! Hashes that differ in at most [`BITS`] bits are the same in one of `BITS + 1` parts at least (multi-index hashing, Norouzi,
//! Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012).

use std::ops::ControlFlow;

use super::BITS;

/// Number of parts.
const PARTS: u32 = BITS + 1;

/// Places of hashes in a list, by each of their parts.
pub(super) struct SignIndex {
    /// By place; 0 where there is no hash.
    signs: Vec<u64>,
    parts: [Part; PARTS as usize],
}

/// Places by the value of one part of their hash.
struct Part {
    /// Where the places of each value begin; one more behind the last.
    starts: Vec<u32>,
    /// Ascending for each value.
    places: Vec<u32>,
}

/// The bits of part `part`: the lowest and how many.
fn bits_of(part: u32) -> (u32, u32) {
    let start = |part: u32| part * u64::BITS / PARTS;
    (start(part), start(part + 1) - start(part))
}

fn value(signs: u64, part: u32) -> usize {
    let (lowest, count) = bits_of(part);
    ((signs >> lowest) & ((1 << count) - 1)) as usize
}

impl SignIndex {
    /// Of the hashes of a list; `None` is found by nothing.
    pub(super) fn new(list: impl Iterator<Item = Option<u64>>) -> Self {
        let list: Vec<Option<u64>> = list.collect();
        let parts = std::array::from_fn(|part| Part::new(&list, part as u32));
        Self { signs: list.into_iter().map(Option::unwrap_or_default).collect(), parts }
    }

    /// The first place of the list with a hash near `signs` that `accept` takes.
    pub(super) fn first_near(&self, signs: u64, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let mut first: Option<usize> = None;
        self.visit(signs, |place| {
            if first.is_some_and(|first| first <= place) {
                return ControlFlow::Break(()); // the others of this part come later still
            }
            let is_near = (self.signs[place] ^ signs).count_ones() <= BITS;
            if is_near && accept(place) {
                first = Some(place);
            }
            ControlFlow::Continue(())
        });
        first
    }

    /// Calls `see` with the places that share a part with `signs`, part by part; a break leaves the part.
    fn visit(&self, signs: u64, mut see: impl FnMut(usize) -> ControlFlow<()>) {
        for (number, part) in (0..).zip(&self.parts) {
            let value = value(signs, number);
            let range = part.starts[value] as usize..part.starts[value + 1] as usize;
            let _ = part.places[range].iter().try_for_each(|&place| see(place as usize));
        }
    }
}

impl Part {
    /// Sorts the places by counting.
    fn new(list: &[Option<u64>], part: u32) -> Self {
        let values = || {
            let of = move |(place, signs): (u32, &Option<u64>)| Some((place, value((*signs)?, part)));
            (0..).zip(list).filter_map(of)
        };
        let (_, bits) = bits_of(part);
        let mut starts = vec![0_u32; (1 << bits) + 1];
        values().for_each(|(_, value)| starts[value + 1] += 1);
        for value in 1..starts.len() {
            starts[value] += starts[value - 1];
        }
        let mut next = starts.clone();
        let mut places = vec![0; values().count()];
        for (place, value) in values() {
            places[next[value] as usize] = place;
            next[value] += 1;
        }
        Self { starts, places }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::sampler::rng;

    /// Random hashes, every fourth near an earlier one, some absent.
    fn list(count: usize, seed: u64) -> Vec<Option<u64>> {
        let mut random = rng(seed, 0, 0);
        let mut list: Vec<Option<u64>> = vec![];
        for i in 0..count {
            let of = (i % 4 == 3).then(|| list[random.random_range(0..i)]).flatten();
            let flips = (0..random.random_range(0..9)).map(|_| 1 << random.random_range(0..64));
            let near = of.map(|signs| flips.fold(signs, |signs: u64, flip: u64| signs ^ flip));
            let signs = near.unwrap_or_else(|| random.random());
            list.push((i % 17 != 5).then_some(signs));
        }
        list
    }

    #[test]
    fn the_parts_cover_each_bit_once() {
        let bits: Vec<u32> = (0..PARTS)
            .flat_map(|part| {
                let (lowest, count) = bits_of(part);
                lowest..lowest + count
            })
            .collect();
        assert_eq!(bits, (0..64).collect::<Vec<u32>>());
    }

    #[test]
    fn what_is_found_is_what_a_look_at_all_finds() {
        let list = list(3000, 1);
        let index = SignIndex::new(list.iter().copied());
        let mut found = 0;
        for (at, signs) in list.iter().enumerate().filter_map(|(at, signs)| Some((at, (*signs)?))) {
            // Not every place, so that the first near one is passed over now and then.
            let accept = |place: usize| place != at && !place.is_multiple_of(3);
            let is_near =
                |other: &Option<u64>| other.is_some_and(|other| (other ^ signs).count_ones() <= BITS);
            let expected = (0..list.len()).find(|&place| accept(place) && is_near(&list[place]));
            assert_eq!(index.first_near(signs, accept), expected, "{at}");
            found += usize::from(expected.is_some());
        }
        assert!((300..2000).contains(&found), "{found} with one near");
        assert_eq!(SignIndex::new([None, None].into_iter()).first_near(0, |_| true), None);
    }

    #[test]
    fn few_of_many_are_looked_at() {
        let list = list(20_000, 2);
        let index = SignIndex::new(list.iter().copied());
        let mut seen = 0_u64;
        for signs in list.iter().take(1000).flatten() {
            index.visit(*signs, |_| {
                seen += 1;
                ControlFlow::Continue(())
            });
        }
        // 7 parts of 9 bits: a place is met 7 times in 512.
        let share = seen as f64 / (1000.0 * 20_000.0);
        assert!(share < 0.015, "{share}");
    }
}
