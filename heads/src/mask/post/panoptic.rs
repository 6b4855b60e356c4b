//! The panoptic map: every pixel goes to the surest query, and segments that lost too much of themselves are dropped.
//!
//! Peak memory: [`super::CHUNK_VALUES`] mask values at full size at a time and three `[H, W]` maps, whatever the number of queries:
//! pixels of a segment are those that its query won with a mask probability of at least 0.5, so who won and whether that
//! held is all that has to be kept.

use std::collections::BTreeMap;

use ndarray::Array2;
use tch::{Device, Kind, Tensor, no_grad};

use super::{ImageLogits, MaskInferenceConfig};
use crate::mask::error::MaskError;

/// One segment of a panoptic map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PanopticSegment {
    /// Its value in the map, from 1 on.
    pub id: u32,
    /// Contiguous class id `0..K`.
    pub class: usize,
    /// Whether the class is countable.
    pub thing: bool,
    /// Class probability of the query that it comes from, of merged stuff the first one.
    pub score: f64,
}

/// A panoptic map with its segments.
#[derive(Debug, Clone, PartialEq)]
pub struct Panoptic {
    /// `[H, W]`, the segment of each pixel, 0 = none.
    pub ids: Array2<u32>,
    /// All segments, in order of their ids.
    pub segments: Vec<PanopticSegment>,
}

/// The panoptic map of one image; `things` `[K]` says which classes are countable. Stuff of one class becomes one segment.
///
/// # Errors
/// [`MaskError::Argument`] naming what does not fit.
pub fn panoptic(
    logits: ImageLogits<'_>,
    config: &MaskInferenceConfig,
    things: &[bool],
) -> Result<Panoptic, MaskError> {
    let classes = logits.check()?;
    if things.len() as i64 != classes {
        return Err(MaskError::argument(
            "things",
            format!("one for each of {classes} classes"),
            things.len(),
        ));
    }
    no_grad(|| {
        let sure = sure_queries(logits, classes, config.object_mask_threshold)?;
        let (height, width) = logits.frame.output;
        let shape = (height as usize, width as usize);
        if sure.is_empty() {
            return Ok(Panoptic { ids: Array2::zeros(shape), segments: Vec::new() });
        }
        let contest = Contest::run(logits, &sure)?;
        let (id_of, segments) = contest.segments(&sure, config.overlap_threshold, things);
        let ids = contest
            .winners
            .iter()
            .zip(&contest.held)
            .map(|(&winner, &held)| if held { id_of[winner as usize] } else { 0 });
        let ids = Array2::from_shape_vec(shape, ids.collect()).expect("a winner for every pixel");
        Ok(Panoptic { ids, segments })
    })
}

/// A query that is sure enough of a class.
#[derive(Debug, Clone, Copy)]
struct Sure {
    query: i64,
    class: usize,
    score: f64,
}

fn sure_queries(logits: ImageLogits<'_>, classes: i64, threshold: f64) -> Result<Vec<Sure>, MaskError> {
    let (scores, labels) = logits.probabilities().max_dim(-1, false); // [Q]
    let keep = labels.ne(classes).logical_and(&scores.gt(threshold));
    let keep = Vec::<bool>::try_from(keep.to_device(Device::Cpu))?;
    let scores = Vec::<f64>::try_from(scores.to_device(Device::Cpu))?;
    let labels = Vec::<i64>::try_from(labels.to_device(Device::Cpu))?;
    let queries = (0..).zip(scores).zip(labels).zip(keep);
    let kept = queries.filter(|&(_, keep)| keep);
    Ok(kept.map(|(((query, score), class), _)| Sure { query, class: class as usize, score }).collect())
}

/// Who won which pixels. Numbers are positions among the sure queries.
struct Contest {
    /// Of each pixel, row by row.
    winners: Vec<i32>,
    /// Whether the winner's own mask probability there is at least 0.5.
    held: Vec<bool>,
    /// Of each query: pixels won, pixels of its mask, pixels of its mask that it won.
    won: Vec<i64>,
    mask: Vec<i64>,
    won_of_mask: Vec<i64>,
}

impl Contest {
    fn run(logits: ImageLogits<'_>, sure: &[Sure]) -> Result<Self, MaskError> {
        let mut best: Option<[Tensor; 3]> = None; // largest product, its query, whether it holds: [H, W]
        let mut mask = Vec::with_capacity(sure.len());
        let mut first = 0_i64;
        for chunk in sure.chunks(logits.masks_a_chunk()) {
            let queries: Vec<i64> = chunk.iter().map(|sure| sure.query).collect();
            let probabilities = logits.resized(&queries).sigmoid(); // [M, H, W]
            let inside = probabilities.ge(0.5);
            let areas = inside.sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Int64);
            mask.extend(Vec::<i64>::try_from(areas.to_device(Device::Cpu))?);
            let scores: Vec<f64> = chunk.iter().map(|sure| sure.score).collect();
            let scores = Tensor::from_slice(&scores)
                .to_kind(probabilities.kind())
                .to_device(probabilities.device())
                .reshape([-1, 1, 1]);
            let products = probabilities * scores;
            // `argmax` takes the first of equal ones; its value is read back by `gather`.
            let winner = products.argmax(0, true); // [1, H, W]
            let product = products.gather(0, &winner, false).squeeze_dim(0);
            let held = inside.gather(0, &winner, false).squeeze_dim(0);
            let winner = (winner.squeeze_dim(0) + first).to_kind(Kind::Int);
            best = Some(match best {
                None => [product, winner, held],
                Some([best, who, holds]) => {
                    // Strictly: of equal ones the first query wins.
                    let better = product.gt_tensor(&best);
                    [
                        product.where_self(&better, &best),
                        winner.where_self(&better, &who),
                        held.where_self(&better, &holds),
                    ]
                }
            });
            first += chunk.len() as i64;
        }
        let Some([_, winners, held]) = best else { unreachable!("called with one query or more") };
        let winners = Vec::<i32>::try_from(winners.to_device(Device::Cpu).reshape([-1]))?;
        let held = Vec::<bool>::try_from(held.to_device(Device::Cpu).reshape([-1]))?;
        let (mut won, mut won_of_mask) = (vec![0; sure.len()], vec![0; sure.len()]);
        for (&winner, &held) in winners.iter().zip(&held) {
            won[winner as usize] += 1;
            won_of_mask[winner as usize] += i64::from(held);
        }
        Ok(Self { winners, held, won, mask, won_of_mask })
    }

    /// The segment id of each query, 0 = dropped, and the segments.
    fn segments(
        &self,
        sure: &[Sure],
        overlap_threshold: f64,
        things: &[bool],
    ) -> (Vec<u32>, Vec<PanopticSegment>) {
        let mut id_of = vec![0; sure.len()];
        let mut segments = Vec::new();
        let mut stuff = BTreeMap::new(); // class -> id
        for (place, query) in sure.iter().enumerate() {
            let (won, mask) = (self.won[place], self.mask[place]);
            // Pixels won without belonging to the mask count as kept, as in the reference.
            if self.won_of_mask[place] == 0 || (won as f64 / mask as f64) < overlap_threshold {
                continue;
            }
            let thing = things[query.class];
            if let Some(&id) = stuff.get(&query.class) {
                id_of[place] = id;
                continue;
            }
            let id = segments.len() as u32 + 1;
            if !thing {
                stuff.insert(query.class, id);
            }
            id_of[place] = id;
            segments.push(PanopticSegment { id, class: query.class, thing, score: query.score });
        }
        (id_of, segments)
    }
}
