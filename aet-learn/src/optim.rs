//! The optimisers: stochastic gradient descent with Nesterov momentum and weight decay, in PyTorch's
//! form (no dampening, decay on every parameter), as AET's released recipe uses it, and Adam (Kingma
//! and Ba, ICLR 2015), as adversarial training does.

use burn::module::Module;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// An optimiser; the tag is its name in TOML, `sgd` where there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Adam.
    Adam(AdamConfig),
}

/// Every optimiser, with a line on each.
pub const OPTIMIZERS: &[(&str, &str)] = &[
    (
        "sgd",
        "stochastic gradient descent with Nesterov momentum and weight decay",
    ),
    ("adam", "Adam, for adversarial training"),
];

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Sgd(SgdConfig::default())
    }
}

impl OptimizerConfig {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Sgd(sgd) => sgd.validate(),
            Self::Adam(adam) => adam.validate(),
        }
    }

    /// The optimiser, without state.
    pub fn init(&self) -> ModuleOptimizer {
        match self {
            Self::Sgd(sgd) => sgd.init(),
            Self::Adam(adam) => adam.init(),
        }
    }
}

/// Stochastic gradient descent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// Share of the last step that is kept, from 0 to below 1.
    pub momentum: f64,
    /// Whether the gradient is taken where the momentum leads.
    pub nesterov: bool,
    /// Pull of every parameter towards 0, at least 0.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self {
            momentum: 0.9,
            nesterov: true,
            weight_decay: 5e-4,
        }
    }
}

impl SgdConfig {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_share("optimizer.momentum", self.momentum)?;
        ConfigError::check_at_least_zero("optimizer.weight_decay", self.weight_decay)
    }

    /// The optimiser, without state.
    pub fn init(&self) -> ModuleOptimizer {
        let momentum = (self.momentum > 0.0).then(|| {
            MomentumConfig::new()
                .with_momentum(self.momentum)
                .with_dampening(0.0)
                .with_nesterov(self.nesterov)
        });
        burn::optim::SgdConfig::new()
            .with_momentum(momentum)
            .with_weight_decay(decay(self.weight_decay))
            .init()
    }
}

/// Adam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Share of the running mean of gradients that is kept in a step, from 0 to below 1. Adversarial
    /// training takes 0.5.
    pub beta_1: f64,
    /// Share of the running mean of their squares that is kept in a step, from 0 to below 1.
    pub beta_2: f64,
    /// Added to the root of that mean, above 0.
    pub epsilon: f64,
    /// Pull of every parameter towards 0, at least 0.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

impl AdamConfig {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_share("optimizer.beta_1", self.beta_1)?;
        check_share("optimizer.beta_2", self.beta_2)?;
        ConfigError::check_above_zero("optimizer.epsilon", self.epsilon)?;
        ConfigError::check_at_least_zero("optimizer.weight_decay", self.weight_decay)
    }

    /// The optimiser, without state.
    pub fn init(&self) -> ModuleOptimizer {
        burn::optim::AdamConfig::new()
            .with_beta_1(self.beta_1 as f32)
            .with_beta_2(self.beta_2 as f32)
            .with_epsilon(self.epsilon as f32)
            .with_weight_decay(decay(self.weight_decay))
            .init()
    }
}

fn decay(weight_decay: f64) -> Option<WeightDecayConfig> {
    (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay as f32))
}

/// Refuses what is no share that can be kept.
fn check_share(key: &'static str, value: f64) -> Result<(), ConfigError> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::range(key, "at least 0 and less than 1", value))
}

/// `module` after one step against the gradient of `loss` (a single number) at learning rate
/// `rate`.
pub fn step<M: Module>(
    optimizer: &mut ModuleOptimizer,
    rate: f64,
    module: M,
    loss: &Tensor<1>,
) -> M {
    let gradients = GradientsParams::from_grads(loss.backward(), &module);
    optimizer.step(rate, module, gradients)
}
