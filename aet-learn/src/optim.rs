//! The optimiser: stochastic gradient descent with Nesterov momentum and weight decay, in
//! PyTorch's form (no dampening, decay on every parameter), as AET's released recipe uses it.

use burn::module::Module;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

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
        if !(0.0..1.0).contains(&self.momentum) {
            let range = "at least 0 and less than 1";
            return Err(ConfigError::range(
                "optimizer.momentum",
                range,
                self.momentum,
            ));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(ConfigError::range(
                "optimizer.weight_decay",
                "at least 0",
                self.weight_decay,
            ));
        }
        Ok(())
    }

    /// The optimiser, without state.
    pub fn init(&self) -> ModuleOptimizer {
        let momentum = (self.momentum > 0.0).then(|| {
            MomentumConfig::new()
                .with_momentum(self.momentum)
                .with_dampening(0.0)
                .with_nesterov(self.nesterov)
        });
        let decay =
            (self.weight_decay > 0.0).then(|| WeightDecayConfig::new(self.weight_decay as f32));
        burn::optim::SgdConfig::new()
            .with_momentum(momentum)
            .with_weight_decay(decay)
            .init()
    }
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
