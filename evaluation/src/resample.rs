//! How sure is a score? Bootstrap over images: intervals of one result, and the difference of two on the same images.
//!
//! A resample draws as many images as there are, with replacement; an image drawn `w` times counts `w` times. Draws depend
//! on (seed, resample) only, so intervals do not depend on the thread count. The paired comparison uses the same draws
//! for both results, which removes what the images themselves vary by.
//! Intervals are plain percentiles and so carry the metric's own bias: a rare class that drops out of a resample leaves the
//! mean, and precision envelopes shift, so an interval of AP, PQ or SQ can lie beside the score. Differences suffer much less.
//! Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16.

use rand::RngExt;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::Serialize;

use crate::EvalError;

/// Share of resamples inside an interval.
pub const LEVEL: f64 = 0.95;

/// A result that kept what it counted in every image, and can be scored again with images counting more or less often.
pub trait PerImage: Sync {
    /// Names of the images, in the order of the weights. Both sides of a comparison have the same.
    fn image_names(&self) -> Vec<String>;
    /// The metrics where image `i` counts `weights[i]` times; always the same metrics in the same order.
    /// All weights 1 gives the plain score.
    fn weighted(&self, weights: &[u32]) -> Vec<Option<f64>>;
}

/// Range of a metric over the resamples, a fraction like the metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Difference of a metric between two results on the same images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compared {
    /// First minus second, on all images.
    pub difference: f64,
    /// Lower end of the difference's interval.
    pub low: f64,
    /// Upper end of the difference's interval.
    pub high: f64,
    /// Two-sided p-value of "no difference"; never 0, as `resamples` draws cannot show that.
    pub p: f64,
}

/// Intervals of every metric, `None` where it was defined in no resample.
///
/// # Errors
/// [`EvalError::NoImages`] if there is nothing to draw from.
pub fn bootstrap(
    result: &dyn PerImage,
    resamples: u32,
    seed: u64,
) -> Result<Vec<Option<Interval>>, EvalError> {
    let images = result.image_names().len();
    let draws = draw(images, resamples, seed, |weights| result.weighted(weights))?;
    Ok(columns(&draws).into_iter().map(|values| interval(&values)).collect())
}

/// Compares two results image by image, `None` where a metric is not defined in one of them.
///
/// # Errors
/// [`EvalError::NoImages`]; [`EvalError::Unpaired`] if the two were not scored on the same images.
pub fn compare(
    first: &dyn PerImage,
    second: &dyn PerImage,
    resamples: u32,
    seed: u64,
) -> Result<Vec<Option<Compared>>, EvalError> {
    let (names, others) = (first.image_names(), second.image_names());
    if names != others {
        let odd = names.iter().zip(&others).find(|(a, b)| a != b).map(|(a, _)| a.clone());
        return Err(EvalError::Unpaired { first: names.len(), second: others.len(), odd });
    }
    let difference = |weights: &[u32]| -> Vec<Option<f64>> {
        let pairs = first.weighted(weights).into_iter().zip(second.weighted(weights));
        pairs.map(|(a, b)| Some(a? - b?)).collect()
    };
    let whole = difference(&vec![1; names.len()]);
    let draws = draw(names.len(), resamples, seed, difference)?;
    let compared = columns(&draws).into_iter().zip(whole).map(|(values, whole)| {
        let Interval { low, high } = interval(&values)?;
        Some(Compared { difference: whole?, low, high, p: p_value(&values) })
    });
    Ok(compared.collect())
}

fn draw(
    images: usize,
    resamples: u32,
    seed: u64,
    score: impl Fn(&[u32]) -> Vec<Option<f64>> + Sync,
) -> Result<Vec<Vec<Option<f64>>>, EvalError> {
    if images == 0 {
        return Err(EvalError::NoImages);
    }
    let one = |resample: u32| {
        let mut rng = Pcg64::new(u128::from(seed), u128::from(resample));
        let mut weights = vec![0u32; images];
        (0..images).for_each(|_| weights[rng.random_range(0..images)] += 1);
        score(&weights)
    };
    Ok((0..resamples).into_par_iter().map(one).collect())
}

/// The defined values of every metric, sorted.
fn columns(draws: &[Vec<Option<f64>>]) -> Vec<Vec<f64>> {
    let metrics = draws.first().map_or(0, Vec::len);
    let column = |m: usize| {
        let mut values: Vec<f64> = draws.iter().filter_map(|draw| draw[m]).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    (0..metrics).map(column).collect()
}

fn interval(sorted: &[f64]) -> Option<Interval> {
    let tail = (1.0 - LEVEL) / 2.0;
    (!sorted.is_empty()).then(|| Interval { low: quantile(sorted, tail), high: quantile(sorted, 1.0 - tail) })
}

/// Linear between the two neighbours, as numpy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// Twice the smaller share of resamples on either side of 0, the result itself counting as one of them.
fn p_value(differences: &[f64]) -> f64 {
    let count = |pick: fn(&f64) -> bool| differences.iter().filter(|&d| pick(d)).count() as f64;
    let smaller = count(|&d| d <= 0.0).min(count(|&d| d >= 0.0));
    (2.0 * (smaller + 1.0) / (differences.len() as f64 + 1.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean of a number per image.
    struct Numbers(Vec<f64>);

    impl PerImage for Numbers {
        fn image_names(&self) -> Vec<String> {
            (0..self.0.len()).map(|i| i.to_string()).collect()
        }

        fn weighted(&self, weights: &[u32]) -> Vec<Option<f64>> {
            let sum: f64 = self.0.iter().zip(weights).map(|(value, &w)| value * f64::from(w)).sum();
            let total: u32 = weights.iter().sum();
            vec![Some(sum / f64::from(total)), None]
        }
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_each_way() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20) / 20.0).collect(); // spread 0.288
        let intervals = bootstrap(&Numbers(values), 2000, 1).unwrap();
        let Interval { low, high } = intervals[0].unwrap();
        let expected = 1.96 * 0.2883 / 20.0;
        assert!((0.475 - low - expected).abs() < 0.004 && (high - 0.475 - expected).abs() < 0.004);
        assert_eq!(intervals[1], None);
    }

    #[test]
    fn pairing_finds_a_small_shift_that_the_spread_would_hide() {
        let base: Vec<f64> = (0..100).map(|i| f64::from(i * 37 % 100) / 100.0).collect();
        let better =
            Numbers(base.iter().enumerate().map(|(i, v)| v + 0.01 + 0.001 * (i % 3) as f64).collect());
        let compared = compare(&better, &Numbers(base.clone()), 999, 0).unwrap()[0].unwrap();
        assert!((compared.difference - 0.01099).abs() < 1e-4 && compared.low > 0.01 && compared.p < 0.01);
        let same = compare(&Numbers(base.clone()), &Numbers(base), 999, 0).unwrap()[0].unwrap();
        assert_eq!((same.difference, same.p), (0.0, 1.0));
    }

    #[test]
    fn the_seed_decides_and_the_thread_count_does_not() {
        let numbers = Numbers((0..50).map(f64::from).collect());
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bootstrap(&numbers, 100, 7).unwrap())
        };
        assert_eq!(on(1), on(3));
        assert_ne!(on(1), bootstrap(&numbers, 100, 8).unwrap());
    }

    #[test]
    fn results_on_other_images_are_not_compared() {
        let (a, b) = (Numbers(vec![1.0, 2.0]), Numbers(vec![1.0]));
        assert!(compare(&a, &b, 10, 0).unwrap_err().to_string().contains("2 images"));
        assert!(bootstrap(&Numbers(vec![]), 10, 0).is_err());
    }
}
