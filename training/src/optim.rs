//! AdamW with weight-decay exemptions and learning-rate factors by parameter name, and gradient clipping.

use serde::{Deserialize, Serialize};
use smalti_backbones::weights;
use smalti_ops::runtime::{AdamwStep, fused_adamw};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::TrainError;

/// The `[train.optimizer]` table: AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Learning rate before schedule and factors. Default 6e-5.
    pub lr: f64,
    /// Decay rates of the two moments. Default 0.9, 0.999.
    pub betas: [f64; 2],
    /// Added to the denominator. Default 1e-8.
    pub epsilon: f64,
    /// Decoupled weight decay. Default 0.01.
    pub weight_decay: f64,
    /// Parameters whose name contains one of these are not decayed. Default `norm`, `rpb`.
    pub no_decay: Vec<String>,
    /// Learning-rate factors by name prefix; of several that match, the longest wins. Default: none.
    pub lr_factors: Vec<LrFactor>,
    /// Gradients are scaled down to this L2 norm over all parameters; 0 (the default) = off.
    pub clip_norm: f64,
}

/// One learning-rate factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrFactor {
    /// Start of the parameter's name, such as `backbone.`.
    pub prefix: String,
    /// Multiplies the learning rate.
    pub factor: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            lr: 6e-5,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.01,
            no_decay: vec!["norm".into(), "rpb".into()],
            lr_factors: Vec::new(),
            clip_norm: 0.0,
        }
    }
}

impl OptimizerConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), TrainError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let at_least_zero = |value: f64| value >= 0.0 && value.is_finite();
        let check = |ok: bool, field: &str, expected: &str, got: String| {
            if ok {
                Ok(())
            } else {
                Err(TrainError::config(format!("train.optimizer.{field}"), expected, got))
            }
        };
        check(positive(self.lr), "lr", "a positive number", self.lr.to_string())?;
        check(positive(self.epsilon), "epsilon", "a positive number", self.epsilon.to_string())?;
        let betas = self.betas.iter().all(|beta| (0.0..1.0).contains(beta));
        check(betas, "betas", "two numbers, 0 <= beta < 1", format!("{:?}", self.betas))?;
        let decay = self.weight_decay;
        check(at_least_zero(decay), "weight_decay", "0 or more", decay.to_string())?;
        check(at_least_zero(self.clip_norm), "clip_norm", "0 (off) or more", self.clip_norm.to_string())?;
        for LrFactor { prefix, factor } in &self.lr_factors {
            check(
                at_least_zero(*factor),
                "lr_factors",
                "factors of 0 or more",
                format!("{factor} for `{prefix}`"),
            )?;
        }
        Ok(())
    }

    fn decays(&self, name: &str) -> bool {
        !self.no_decay.iter().any(|part| name.contains(part.as_str()))
    }

    fn factor(&self, name: &str) -> f64 {
        let matching = self.lr_factors.iter().filter(|factor| name.starts_with(&factor.prefix));
        matching.max_by_key(|factor| factor.prefix.len()).map_or(1.0, |factor| factor.factor)
    }
}

/// Parameters that share learning-rate factor and decay, with their moments.
#[derive(Debug, Default)]
struct Group {
    factor: f64,
    decay: f64,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    first_moments: Vec<Tensor>,
    second_moments: Vec<Tensor>,
    steps: Vec<Tensor>,
}

/// AdamW over the trainable parameters of a store.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    groups: Vec<Group>,
}

impl Optimizer {
    /// An optimiser with zero moments. A factor whose prefix no parameter has is an error: it is a misspelling.
    ///
    /// # Errors
    /// [`TrainError::Config`] as [`OptimizerConfig::validate`], or for such a prefix.
    pub fn new(store: &VarStore, config: &OptimizerConfig) -> Result<Self, TrainError> {
        config.validate()?;
        let named: Vec<_> =
            weights::named_tensors(store).into_iter().filter(|(_, t)| t.requires_grad()).collect();
        for LrFactor { prefix, .. } in &config.lr_factors {
            if !named.iter().any(|(name, _)| name.starts_with(prefix)) {
                let first = named.first().map_or("no parameters at all", |(name, _)| name);
                let got = format!("`{prefix}` (the first parameter is `{first}`)");
                return Err(TrainError::config(
                    "train.optimizer.lr_factors",
                    "the prefix of a parameter's name",
                    got,
                ));
            }
        }
        let mut groups: Vec<Group> = Vec::new();
        for (name, parameter) in named {
            let factor = config.factor(&name);
            let decay = if config.decays(&name) { config.weight_decay } else { 0.0 };
            let at = groups.iter().position(|group| group.factor == factor && group.decay == decay);
            let at = at.unwrap_or_else(|| {
                groups.push(Group { factor, decay, ..Group::default() });
                groups.len() - 1
            });
            let group = &mut groups[at];
            group.first_moments.push(parameter.zeros_like().detach());
            group.second_moments.push(parameter.zeros_like().detach());
            group.steps.push(Tensor::zeros([], (Kind::Float, parameter.device())));
            group.names.push(name);
            group.parameters.push(parameter);
        }
        Ok(Self { config: config.clone(), groups })
    }

    /// Number of parameters (scalars) under each (learning-rate factor, weight decay).
    pub fn summary(&self) -> Vec<(f64, f64, usize)> {
        let count = |group: &Group| group.parameters.iter().map(Tensor::numel).sum();
        self.groups.iter().map(|group| (group.factor, group.decay, count(group))).collect()
    }

    /// Forgets all gradients.
    pub fn zero_grad(&mut self) {
        self.groups.iter_mut().flat_map(|group| &mut group.parameters).for_each(Tensor::zero_grad);
    }

    /// L2 norm of the gradients of all parameters; scales them down to `clip_norm` if that is on. Returns the norm before.
    pub fn clip(&mut self) -> f64 {
        no_grad(|| {
            let mut gradients: Vec<Tensor> = self.groups.iter().flat_map(Group::gradients).collect();
            let norms: Vec<Tensor> = gradients.iter().map(Tensor::norm).collect();
            if norms.is_empty() {
                return 0.0;
            }
            let norm = Tensor::stack(&norms, 0).norm().double_value(&[]);
            let limit = self.config.clip_norm;
            if limit > 0.0 && norm > limit {
                let scale = limit / (norm + 1e-6);
                for gradient in &mut gradients {
                    let _ = gradient.g_mul_scalar_(scale);
                }
            }
            norm
        })
    }

    /// One update; `schedule` multiplies the learning rate. Parameters without gradient are left alone.
    ///
    /// # Errors
    /// [`TrainError::Op`] if libtorch refuses the update.
    pub fn step(&mut self, schedule: f64) -> Result<(), TrainError> {
        for group in &self.groups {
            let with_grad: Vec<usize> =
                (0..group.parameters.len()).filter(|&i| group.parameters[i].grad().defined()).collect();
            if with_grad.is_empty() {
                continue;
            }
            let pick =
                |list: &[Tensor]| with_grad.iter().map(|&i| list[i].shallow_clone()).collect::<Vec<_>>();
            let gradients: Vec<Tensor> = with_grad.iter().map(|&i| group.parameters[i].grad()).collect();
            fused_adamw(
                &pick(&group.parameters),
                &gradients,
                &pick(&group.first_moments),
                &pick(&group.second_moments),
                &pick(&group.steps),
                AdamwStep {
                    rate: self.config.lr * schedule * group.factor,
                    betas: (self.config.betas[0], self.config.betas[1]),
                    decay: group.decay,
                    epsilon: self.config.epsilon,
                },
            )?;
        }
        Ok(())
    }

    /// Moments and step counters by name, for a checkpoint: `<parameter>/m`, `<parameter>/v`, `<parameter>/step`.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.entries().map(|(name, tensor)| (name, tensor.shallow_clone())).collect()
    }

    /// Puts back a state saved before.
    ///
    /// # Errors
    /// A description of the first entry that is missing or of another shape.
    pub fn load_state(&mut self, saved: &[(String, Tensor)]) -> Result<(), String> {
        let saved: std::collections::BTreeMap<&str, &Tensor> =
            saved.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut copies = Vec::new();
        for (name, own) in self.entries() {
            let source = saved.get(name.as_str()).ok_or_else(|| format!("no entry `{name}`"))?;
            if source.size() != own.size() {
                return Err(format!("`{name}` of shape {:?} instead of {:?}", source.size(), own.size()));
            }
            copies.push((own.shallow_clone(), *source));
        }
        no_grad(|| copies.into_iter().for_each(|(mut own, source)| own.copy_(source)));
        Ok(())
    }

    fn entries(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.groups.iter().flat_map(|group| {
            group.names.iter().enumerate().flat_map(move |(i, name)| {
                let lists =
                    [("m", &group.first_moments), ("v", &group.second_moments), ("step", &group.steps)];
                lists.into_iter().map(move |(suffix, list)| (format!("{name}/{suffix}"), &list[i]))
            })
        })
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        self.groups.first().and_then(|group| group.parameters.first()).map_or(Device::Cpu, Tensor::device)
    }
}

impl Group {
    fn gradients(&self) -> impl Iterator<Item = Tensor> + '_ {
        self.parameters.iter().map(Tensor::grad).filter(Tensor::defined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::{self, Init};

    fn store() -> (VarStore, Tensor, Tensor) {
        let store = VarStore::new(Device::Cpu);
        let weight = store.root().sub("backbone").var("weight", &[2], Init::Const(1.0));
        let norm = store.root().sub("norm").var("weight", &[2], Init::Const(1.0));
        (store, weight, norm)
    }

    fn quadratic(weight: &Tensor, norm: &Tensor) -> Tensor {
        (weight * 3.0 + norm * 4.0).sum(Kind::Float)
    }

    #[test]
    fn groups_follow_names_and_the_first_step_is_as_computed_by_hand() {
        let (store, weight, norm) = store();
        let config = OptimizerConfig {
            lr: 0.1,
            weight_decay: 0.5,
            lr_factors: vec![LrFactor { prefix: "backbone.".into(), factor: 0.1 }],
            ..OptimizerConfig::default()
        };
        let mut optimizer = Optimizer::new(&store, &config).unwrap();
        assert_eq!(optimizer.summary(), [(0.1, 0.5, 2), (1.0, 0.0, 2)]);
        quadratic(&weight, &norm).backward();
        // |g| = sqrt(2 * 9 + 2 * 16) = sqrt(50)
        assert!((optimizer.clip() - 50f64.sqrt()).abs() < 1e-6);
        optimizer.step(1.0).unwrap();
        // The first Adam step moves by lr * sign(g): norm 1 - 0.1; weight, lr 0.01: decay 1 - 0.01 * 0.5 = 0.995, then - 0.01.
        assert!((norm.double_value(&[0]) - 0.9).abs() < 1e-6);
        assert!((weight.double_value(&[0]) - 0.985).abs() < 1e-6);
    }

    #[test]
    fn clipping_scales_to_the_limit() {
        let (store, weight, norm) = store();
        let mut optimizer =
            Optimizer::new(&store, &OptimizerConfig { clip_norm: 1.0, ..OptimizerConfig::default() })
                .unwrap();
        quadratic(&weight, &norm).backward();
        assert!((optimizer.clip() - 50f64.sqrt()).abs() < 1e-5);
        assert!((optimizer.clip() - 1.0).abs() < 1e-5);
        optimizer.zero_grad();
        assert_eq!(optimizer.clip(), 0.0);
    }

    #[test]
    fn state_returns_to_the_same_bits_and_refuses_another_model() {
        let run = |interrupted: bool| {
            let (store, weight, norm) = store();
            let mut optimizer = Optimizer::new(&store, &OptimizerConfig::default()).unwrap();
            for step in 0..4 {
                optimizer.zero_grad();
                (quadratic(&weight, &norm) * (weight.square().sum(Kind::Float) + f64::from(step))).backward();
                optimizer.step(0.7).unwrap();
                if interrupted && step == 1 {
                    let saved: Vec<_> = optimizer.state().into_iter().map(|(n, t)| (n, t.copy())).collect();
                    optimizer = Optimizer::new(&store, &OptimizerConfig::default()).unwrap();
                    optimizer.load_state(&saved).unwrap();
                }
            }
            Vec::<f32>::try_from(Tensor::cat(&[weight, norm], 0)).unwrap()
        };
        assert_eq!(run(false), run(true));

        let (store, ..) = store();
        let mut optimizer = Optimizer::new(&store, &OptimizerConfig::default()).unwrap();
        assert!(optimizer.load_state(&[]).unwrap_err().contains("no entry `backbone.weight/m`"));
    }

    #[test]
    fn a_prefix_that_matches_nothing_is_refused() {
        let (store, ..) = store();
        let _ = nn::linear(store.root().sub("head"), 2, 2, nn::LinearConfig::default());
        let config = OptimizerConfig {
            lr_factors: vec![LrFactor { prefix: "backbon.".into(), factor: 0.1 }],
            ..OptimizerConfig::default()
        };
        let text = Optimizer::new(&store, &config).unwrap_err().to_string();
        assert!(text.contains("got `backbon.` (the first parameter is `backbone.weight`)"), "{text}");
    }
}
