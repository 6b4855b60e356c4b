//! Images whose detections may go on in the next block: blocks are finished in any order, and put together here in that of
//! the file.

use std::collections::BTreeMap;

use super::results::Part;

/// The first and the last image of a block, each with all detections that the block has of it.
#[derive(Debug)]
pub(super) struct Edges {
    pub(super) first: Part,
    /// Nothing if the block has only one image.
    pub(super) last: Option<Part>,
}

#[derive(Debug, Default)]
pub(super) struct Seams {
    /// Number of the block that comes next in the file.
    next: usize,
    waiting: BTreeMap<usize, Option<Edges>>,
    /// What was found of the image with which the blocks so far end.
    open: Vec<Part>,
}

impl Seams {
    /// Takes a block, whose `edges` are nothing if it has no detection, and gives the images that are whole now, each
    /// in one or more parts.
    pub(super) fn add(&mut self, number: usize, edges: Option<Edges>) -> Vec<Vec<Part>> {
        self.waiting.insert(number, edges);
        let mut whole = Vec::new();
        while let Some(edges) = self.waiting.remove(&self.next) {
            self.next += 1;
            let Some(Edges { first, last }) = edges else { continue };
            if image(self.open.first()) != image(Some(&first)) {
                whole.push(std::mem::take(&mut self.open));
            }
            self.open.push(first);
            if let Some(last) = last {
                whole.push(std::mem::replace(&mut self.open, vec![last]));
            }
        }
        whole.retain(|parts| !parts.is_empty());
        whole
    }

    /// The image with which the file ends.
    pub(super) fn finish(self) -> Vec<Part> {
        self.open
    }
}

fn image(part: Option<&Part>) -> Option<u32> {
    part.and_then(|part| part.detections.first()).map(|det| det.image)
}

#[cfg(test)]
mod tests {
    use super::super::gather::Detection;
    use super::super::matching::Contender;
    use super::*;
    use proptest::prelude::*;

    fn part(image: u32, scores: &[f64]) -> Part {
        let mut part = Part::default();
        for &score in scores {
            let contender = Contender { outside: 0, candidates: &[] };
            part.push(Detection { score, image, category: 0, contender });
        }
        part
    }

    proptest! {
        /// Blocks are given as the images of their detections, which ascend over the file, with the place as the score.
        #[test]
        fn images_come_whole_whatever_block_is_finished_first(
            steps in prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.3), 0..5), 1..12),
            order in any::<prop::sample::Index>(),
        ) {
            let mut image = 0;
            let mut place = 0.0;
            let mut expected: Vec<(u32, Vec<f64>)> = Vec::new();
            let mut blocks: Vec<(usize, Option<Edges>)> = Vec::new();
            for (number, steps) in steps.iter().enumerate() {
                let mut images: Vec<(u32, Vec<f64>)> = Vec::new();
                for &step in steps {
                    image += u32::from(step);
                    place += 1.0;
                    for list in [&mut images, &mut expected] {
                        match list.last_mut() {
                            Some((last, scores)) if *last == image => scores.push(place),
                            _ => list.push((image, vec![place])),
                        }
                    }
                }
                let part = |(image, scores): &(u32, Vec<f64>)| part(*image, scores);
                let last = (images.len() > 1).then(|| images.last().map(part)).flatten();
                // Images in the middle of a block are none of its edges.
                let inner = images.len().saturating_sub(2);
                images.iter().skip(1).take(inner).for_each(|(inner, _)| expected.retain(|(image, _)| image != inner));
                blocks.push((number, images.first().map(part).map(|first| Edges { first, last })));
            }
            let turn = order.index(blocks.len());
            blocks.rotate_left(turn);
            let mut seams = Seams::default();
            let mut whole = Vec::new();
            for (number, edges) in blocks {
                whole.extend(seams.add(number, edges));
            }
            whole.push(seams.finish());
            whole.retain(|parts| !parts.is_empty());
            let found: Vec<(u32, Vec<f64>)> = whole
                .iter()
                .map(|parts| {
                    let scores = parts.iter().flat_map(|part| part.detections.iter().map(|det| det.score));
                    (parts[0].detections[0].image, scores.collect())
                })
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
