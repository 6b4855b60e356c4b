//! Instances: the best pairs of a query and a class, each with the query's mask.
//!
//! Peak memory: [`super::CHUNK_VALUES`] mask values at full size at a time, and the results, which are run lengths.

use ndarray::ArrayView2;
use smalti_datasets::rle::Rle;
use tch::{Device, Kind, Tensor, no_grad};

use super::{Frame, ImageLogits, MaskInferenceConfig};
use crate::mask::error::MaskError;

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Contiguous class id `0..K`.
    pub class: usize,
    /// Class probability times the mean mask probability inside the mask, `0..=1`.
    pub score: f64,
    /// The query that it comes from; a query may give several objects of different classes.
    pub query: usize,
    /// Where its logits are positive, at the output's size; may be empty, the score is then 0.
    pub mask: Rle,
}

/// The [`MaskInferenceConfig::max_instances`] best pairs of query and class, by falling class probability.
///
/// `things` `[K]` says which classes are countable, for models that were trained on stuff too: others are dropped after
/// the best have been chosen, as the reference does. `None` keeps all.
///
/// # Errors
/// [`MaskError::Argument`] naming what does not fit; [`MaskError::Data`] if the output is too large for run lengths.
pub fn instances(
    logits: ImageLogits<'_>,
    config: &MaskInferenceConfig,
    things: Option<&[bool]>,
) -> Result<Vec<Instance>, MaskError> {
    let classes = logits.check()?;
    if let Some(things) = things
        && things.len() as i64 != classes
    {
        return Err(MaskError::argument(
            "things",
            format!("one for each of {classes} classes"),
            things.len(),
        ));
    }
    no_grad(|| {
        let chosen = choose(logits, classes, config.max_instances, things)?;
        let mut queries: Vec<i64> = chosen.iter().map(|choice| choice.query).collect();
        queries.sort_unstable();
        queries.dedup();
        let mut masks = Vec::with_capacity(queries.len());
        for chunk in queries.chunks(logits.masks_a_chunk()) {
            masks.extend(encode(&logits.resized(chunk), logits.frame)?);
        }
        let of_query = |choice: Choice| {
            let place = queries.partition_point(|&query| query < choice.query);
            let (mask, confidence) = &masks[place];
            Instance {
                class: choice.class,
                score: choice.probability * confidence,
                query: choice.query as usize,
                mask: mask.clone(),
            }
        };
        Ok(chosen.into_iter().map(of_query).collect())
    })
}

#[derive(Debug, Clone, Copy)]
struct Choice {
    query: i64,
    class: usize,
    probability: f64,
}

fn choose(
    logits: ImageLogits<'_>,
    classes: i64,
    max_instances: i64,
    things: Option<&[bool]>,
) -> Result<Vec<Choice>, MaskError> {
    let scores = logits.probabilities().narrow(1, 0, classes).reshape([-1]); // [Q * K]
    let most = max_instances.clamp(0, scores.numel() as i64);
    let (values, indices) = scores.topk(most, 0, true, true);
    let values = Vec::<f64>::try_from(values.to_device(Device::Cpu))?;
    let indices = Vec::<i64>::try_from(indices.to_device(Device::Cpu))?;
    let choices = values.into_iter().zip(indices).map(|(probability, index)| Choice {
        query: index / classes,
        class: (index % classes) as usize,
        probability,
    });
    Ok(choices.filter(|choice| things.is_none_or(|things| things[choice.class])).collect())
}

/// Each mask as run lengths, with the mean probability inside it: `[M, H, W]` logits.
fn encode(masks: &Tensor, frame: Frame) -> Result<Vec<(Rle, f64)>, MaskError> {
    let kind = masks.kind();
    let inside = masks.gt(0.0); // [M, H, W]
    let sum = |x: &Tensor| x.sum_dim_intlist([1_i64, 2].as_slice(), false, kind);
    let confidence = sum(&(masks.sigmoid() * &inside)) / (sum(&inside) + 1e-6); // [M]
    let confidence = Vec::<f64>::try_from(confidence.to_device(Device::Cpu))?;
    let (height, width) = (frame.output.0 as usize, frame.output.1 as usize);
    let mut pixels = vec![0_u8; height * width];
    let encode = |(place, confidence)| {
        // Down the columns, the order of run lengths.
        let columns = inside.get(place).tr().contiguous().to_kind(Kind::Uint8).to_device(Device::Cpu);
        columns.f_copy_data_u8(&mut pixels, height * width)?;
        let columns =
            ArrayView2::from_shape((width, height), &pixels).expect("as many pixels as were copied");
        Ok((Rle::encode(&columns.t())?, confidence))
    };
    (0..).zip(confidence).map(encode).collect()
}
