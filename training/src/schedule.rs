//! Learning-rate schedules: pure functions of the step, so that resuming needs no state.
//!
//! The rate of step `s` (counted from 0, the number of steps already done) is the base rate times
//! `warm-up(s) * decay(s)`. The two multiply, as in mmsegmentation: the decay runs over the whole training, also
//! while the warm-up lasts.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// The `[schedule]` table: warm-up and decay. The default is UperNet's published decay without warm-up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LrSchedule {
    /// Linear start.
    pub warmup: Warmup,
    /// Course over the whole training.
    pub decay: Decay,
}

/// Linear warm-up from `start_factor` to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Warmup {
    /// Length in steps; 0 (the default) is none.
    pub steps: u64,
    /// Factor of the first step, 0 to 1; 1e-6 by default.
    pub start_factor: f64,
}

impl Default for Warmup {
    fn default() -> Self {
        Self { steps: 0, start_factor: 1e-6 }
    }
}

/// How the learning rate falls, by `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decay {
    /// `(1 - step / total)^power`.
    Polynomial(Polynomial),
    /// Half a cosine wave.
    Cosine(Cosine),
    /// Falls at given steps.
    Step(Milestones),
    /// Stays at the base rate.
    Constant(Constant),
}

impl Default for Decay {
    fn default() -> Self {
        Self::Polynomial(Polynomial::default())
    }
}

/// `min_factor + (1 - min_factor) * (1 - step / total)^power`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Polynomial {
    /// Exponent, above 0; 1 (the default) is a straight line, 0.9 is Mask2Former's on ADE20K and Cityscapes.
    pub power: f64,
    /// Factor at the end, 0 to 1; 0 by default.
    pub min_factor: f64,
}

impl Default for Polynomial {
    fn default() -> Self {
        Self { power: 1.0, min_factor: 0.0 }
    }
}

/// `min_factor + (1 - min_factor) * (1 + cos(pi * step / end)) / 2` up to the step `end = total - cooldown_steps`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    /// Factor at the end, 0 to 1; 0 by default.
    pub min_factor: f64,
    /// Last steps of the training, all at `min_factor`; 0 by default.
    #[serde(skip_serializing_if = "is_zero")]
    pub cooldown_steps: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(steps: &u64) -> bool {
    *steps == 0
}

/// `gamma` to the number of milestones reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestones {
    /// Steps from which the rate is lower, ascending; Mask2Former on COCO has `[327778, 355092]`.
    pub milestones: Vec<u64>,
    /// Factor at each, above 0 and at most 1; 0.1 by default.
    #[serde(default = "tenth")]
    pub gamma: f64,
}

fn tenth() -> f64 {
    0.1
}

/// No parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {}

impl LrSchedule {
    /// Factor on the base learning rate of step `step` (from 0) of `total`, at least 0 and at most 1.
    /// Steps beyond the end have the factor of the end.
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        self.warmup.factor(step) * self.decay.factor(step, total)
    }

    /// Checks the ranges of all fields; `prefix` is the dotted name of this table in the recipe.
    ///
    /// # Errors
    /// The first field outside its range, with expected and got.
    pub fn validate(&self, prefix: &str) -> Result<(), TrainError> {
        let unit = |field: &str, value: f64| {
            let ok = (0.0..=1.0).contains(&value);
            check(ok, &format!("{prefix}.{field}"), "a number from 0 to 1", value)
        };
        unit("warmup.start_factor", self.warmup.start_factor)?;
        match &self.decay {
            Decay::Polynomial(decay) => {
                let ok = decay.power > 0.0 && decay.power.is_finite();
                check(ok, &format!("{prefix}.decay.power"), "a number above 0", decay.power)?;
                unit("decay.min_factor", decay.min_factor)
            }
            Decay::Cosine(decay) => unit("decay.min_factor", decay.min_factor),
            Decay::Step(decay) => {
                let ok = decay.gamma > 0.0 && decay.gamma <= 1.0;
                check(ok, &format!("{prefix}.decay.gamma"), "a number above 0 and at most 1", decay.gamma)?;
                let ok = decay.milestones.is_sorted_by(|a, b| a < b);
                let got = format!("{:?}", decay.milestones);
                check(ok, &format!("{prefix}.decay.milestones"), "ascending steps", got)
            }
            Decay::Constant(_) => Ok(()),
        }
    }
}

fn check(ok: bool, field: &str, expected: &str, got: impl ToString) -> Result<(), TrainError> {
    if ok { Ok(()) } else { Err(TrainError::config(field, expected, got)) }
}

impl Warmup {
    fn factor(&self, step: u64) -> f64 {
        if step >= self.steps {
            return 1.0;
        }
        let left = 1.0 - step as f64 / self.steps as f64;
        1.0 - left * (1.0 - self.start_factor)
    }
}

impl Decay {
    fn factor(&self, step: u64, total: u64) -> f64 {
        // An empty training has no steps; its factor is that of the end.
        let of = |total: u64| if total == 0 { 1.0 } else { step.min(total) as f64 / total as f64 };
        let progress = of(total);
        match self {
            Self::Polynomial(p) => p.min_factor + (1.0 - p.min_factor) * (1.0 - progress).powf(p.power),
            Self::Cosine(c) => {
                let progress = of(total.saturating_sub(c.cooldown_steps));
                c.min_factor + (1.0 - c.min_factor) * 0.5 * (1.0 + (PI * progress).cos())
            }
            Self::Step(s) => s.gamma.powi(s.milestones.iter().filter(|&&at| at <= step).count() as i32),
            Self::Constant(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> LrSchedule {
        toml::from_str(text).unwrap()
    }

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
    }

    #[test]
    fn upernet_on_ade20k() {
        let schedule = parse(
            "warmup = { steps = 1500, start_factor = 1e-6 }\n\
             decay = { kind = \"polynomial\", power = 1.0, min_factor = 0.0 }",
        );
        let factor = |step| schedule.factor(step, 160_000);
        close(factor(0), 1e-6);
        // (1 - 750/160000) * (1 - 0.5 * (1 - 1e-6)) = 0.9953125 * 0.5000005
        close(factor(750), 0.497_656_747_656_25);
        close(factor(1500), 0.990_625); // 1 - 1500/160000, warm-up over
        close(factor(80_000), 0.5);
        close(factor(159_999), 6.25e-6); // 1/160000
        close(factor(160_000), 0.0);
        close(factor(200_000), 0.0);
    }

    #[test]
    fn polynomial_with_power_and_floor() {
        let schedule = parse("decay = { kind = \"polynomial\", power = 2.0, min_factor = 0.1 }");
        close(schedule.factor(0, 100), 1.0);
        close(schedule.factor(50, 100), 0.325); // 0.1 + 0.9 * 0.25
        close(schedule.factor(100, 100), 0.1);
    }

    #[test]
    fn cosine_between_its_ends() {
        let schedule = parse("decay = { kind = \"cosine\", min_factor = 0.2 }");
        close(schedule.factor(0, 90), 1.0);
        close(schedule.factor(30, 90), 0.8); // 0.2 + 0.8 * (1 + cos 60 deg) / 2
        close(schedule.factor(45, 90), 0.6);
        close(schedule.factor(90, 90), 0.2);
    }

    #[test]
    fn a_cosine_cools_down_at_its_end() {
        let schedule = parse("decay = { kind = \"cosine\", min_factor = 5e-3, cooldown_steps = 10 }");
        let factor = |step| schedule.factor(step, 310);
        close(factor(0), 1.0);
        close(factor(150), 0.5025); // half way of 300: the mean of 1 and 0.005
        for step in [300, 305, 310] {
            close(factor(step), 5e-3);
        }
        assert!(factor(299) > 5e-3);
        close(parse("decay = { kind = \"cosine\", cooldown_steps = 9 }").factor(3, 5), 0.0);
    }

    #[test]
    fn mask2former_on_coco() {
        let schedule = parse("decay = { kind = \"step\", milestones = [327778, 355092] }");
        let factor = |step| schedule.factor(step, 368_750);
        close(factor(327_777), 1.0);
        close(factor(327_778), 0.1);
        close(factor(355_091), 0.1);
        close(factor(355_092), 0.01);
    }

    #[test]
    fn defaults_and_constant() {
        assert_eq!(parse(""), LrSchedule::default());
        assert_eq!(parse("decay = { kind = \"polynomial\" }"), LrSchedule::default());
        close(parse("decay = { kind = \"constant\" }").factor(7, 10), 1.0);
        close(LrSchedule::default().factor(0, 0), 0.0);
    }

    #[test]
    fn survives_a_round_trip_through_a_recipe() {
        for text in
            ["decay = { kind = \"step\", milestones = [1, 2] }", "decay = { kind = \"constant\" }", ""]
        {
            let schedule = parse(text);
            assert_eq!(parse(&toml::to_string(&schedule).unwrap()), schedule);
        }
    }

    #[test]
    fn unknown_keys_and_kinds_are_errors_naming_them() {
        let refuse = |text: &str| toml::from_str::<LrSchedule>(text).unwrap_err().to_string();
        assert!(refuse("wramup = {}").contains("unknown field `wramup`"));
        assert!(refuse("warmup = { step = 1 }").contains("unknown field `step`"));
        assert!(refuse("decay = { kind = \"poly\" }").contains("unknown variant `poly`"));
        assert!(refuse("decay = { kind = \"cosine\", power = 1.0 }").contains("unknown field `power`"));
        assert!(refuse("decay = { kind = \"constant\", power = 1.0 }").contains("unknown field `power`"));
    }

    #[test]
    fn values_out_of_range_name_field_expected_and_got() {
        let refuse = |text: &str| parse(text).validate("train.schedule").unwrap_err().to_string();
        assert_eq!(
            refuse("warmup = { steps = 3, start_factor = 2.0 }"),
            "`train.schedule.warmup.start_factor`: expected a number from 0 to 1, got 2"
        );
        assert!(refuse("decay = { kind = \"polynomial\", power = nan }").contains("got NaN"));
        assert!(refuse("decay = { kind = \"step\", milestones = [5, 5] }").contains("ascending"));
        assert!(refuse("decay = { kind = \"step\", milestones = [5], gamma = 0.0 }").contains("gamma"));
        parse("").validate("train.schedule").unwrap();
    }

    proptest! {
        #[test]
        fn factors_stay_within_bounds(
            step in 0_u64..2000, total in 0_u64..1500, warmup in 0_u64..1500, start in 0.0..=1.0, min in 0.0..=1.0,
        ) {
            let warmup = Warmup { steps: warmup, start_factor: start };
            for decay in [
                Decay::Polynomial(Polynomial { power: 0.9, min_factor: min }),
                Decay::Cosine(Cosine { min_factor: min, cooldown_steps: 0 }),
                Decay::Cosine(Cosine { min_factor: min, cooldown_steps: 40 }),
            ] {
                let schedule = LrSchedule { warmup: warmup.clone(), decay };
                let factor = schedule.factor(step, total);
                prop_assert!((0.0..=1.0 + 1e-12).contains(&factor), "{factor}");
            }
        }
    }
}
