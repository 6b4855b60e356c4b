//! Random numbers of the distributions that image classification draws from.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Two independent numbers of the standard normal distribution (Box and Muller).
pub(crate) fn normal_pair(rng: &mut Pcg64Mcg) -> [f64; 2] {
    // `random` is below 1, so the logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let (sin, cos) = (TAU * rng.random::<f64>()).sin_cos();
    [radius * cos, radius * sin]
}

/// A number of the normal distribution.
pub(crate) fn normal(mean: f64, std: f64, rng: &mut Pcg64Mcg) -> f64 {
    mean + std * normal_pair(rng)[0]
}

/// A number of the beta distribution with both parameters `alpha` above 0; in `[0, 1]`, mean one half.
pub(crate) fn beta(alpha: f64, rng: &mut Pcg64Mcg) -> f64 {
    let (a, b) = (gamma(alpha, rng), gamma(alpha, rng));
    // Tiny parameters round both to 0: the distribution is then a coin's.
    if a + b > 0.0 { a / (a + b) } else { f64::from(u8::from(rng.random_bool(0.5))) }
}

/// A number of the gamma distribution with scale 1 (Marsaglia and Tsang, ACM TOMS 26(3), 2000).
fn gamma(shape: f64, rng: &mut Pcg64Mcg) -> f64 {
    if shape < 1.0 {
        let uniform = 1.0 - rng.random::<f64>();
        return gamma(shape + 1.0, rng) * uniform.powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(0.0, 1.0, rng);
        let v = (1.0 + c * x).powi(3);
        let uniform = 1.0 - rng.random::<f64>();
        if v > 0.0 && uniform.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// One of the two signs, each half of the time.
pub(crate) fn sign(rng: &mut Pcg64Mcg) -> f64 {
    if rng.random_bool(0.5) { 1.0 } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng;

    /// Mean and variance of many draws.
    fn moments(mut draw: impl FnMut(&mut Pcg64Mcg) -> f64) -> (f64, f64) {
        const COUNT: usize = 40_000;
        let mut rng = rng(11, 0, 0);
        let values: Vec<f64> = (0..COUNT).map(|_| draw(&mut rng)).collect();
        let mean = values.iter().sum::<f64>() / COUNT as f64;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / COUNT as f64)
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let (mean, variance) = moments(|rng| normal(9.0, 0.5, rng));
        assert!((mean - 9.0).abs() < 0.02 && (variance - 0.25).abs() < 0.01, "{mean} {variance}");
        for alpha in [0.2, 0.8, 1.0, 3.0] {
            let (mean, variance) = moments(|rng| beta(alpha, rng));
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 0.01, "alpha {alpha}: mean {mean}");
            assert!((variance - expected).abs() < 0.005, "alpha {alpha}: {variance}, not {expected}");
        }
        let (mean, variance) = moments(sign);
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.01);
    }

    #[test]
    fn betas_stay_within_their_range() {
        let mut rng = rng(3, 1, 2);
        for alpha in [1e-4, 0.5, 50.0] {
            assert!((0..500).all(|_| (0.0..=1.0).contains(&beta(alpha, &mut rng))), "alpha {alpha}");
        }
    }

    #[test]
    fn both_numbers_of_a_pair_are_normal_and_unrelated() {
        let mut rng = rng(5, 0, 0);
        let pairs: Vec<[f64; 2]> = (0..40_000).map(|_| normal_pair(&mut rng)).collect();
        let mean = |f: &dyn Fn(&[f64; 2]) -> f64| pairs.iter().map(f).sum::<f64>() / pairs.len() as f64;
        assert!((mean(&|p| p[1] * p[1]) - 1.0).abs() < 0.03);
        assert!(mean(&|p| p[0] * p[1]).abs() < 0.03);
    }
}
