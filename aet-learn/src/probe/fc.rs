//! The fully-connected probes of the CIFAR-10 experiments (AET, section 5.1, and the published
//! code).
//!
//! - 1 layer: batch normalisation without scale and shift, per channel, then a linear layer;
//! - 2 layers: a linear layer to `hidden` without bias, batch normalisation, ReLU, a linear layer;
//! - 3 layers: two such hidden layers before the last.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::layers::{HiddenLayer, Linear, PlainNorm};
use crate::error::ConfigError;

/// Fully-connected layers trained on frozen features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FcConfig {
    /// Layers, 1 to 3; with 1 the probe is linear.
    pub layers: usize,
    /// Width of the hidden layers, at least 1.
    pub hidden: usize,
}

impl Default for FcConfig {
    fn default() -> Self {
        Self {
            layers: 1,
            hidden: 200,
        }
    }
}

impl FcConfig {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=3).contains(&self.layers) {
            return Err(ConfigError::range(
                "probes.method.layers",
                "1 to 3",
                self.layers,
            ));
        }
        if self.hidden == 0 {
            return Err(ConfigError::range(
                "probes.method.hidden",
                "at least 1",
                self.hidden,
            ));
        }
        Ok(())
    }
}

/// The layers of the probe.
#[derive(Module, Debug)]
pub struct FcHead {
    input_norm: Option<PlainNorm>,
    hidden: Vec<HiddenLayer>,
    last: Linear,
}

impl FcHead {
    /// Layers for features of `shape` (channels, height, width) and `classes` classes.
    pub fn new(
        config: &FcConfig,
        shape: [usize; 3],
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let mut width = shape.iter().product();
        let mut hidden = Vec::new();
        for _ in 1..config.layers {
            hidden.push(HiddenLayer::new(width, config.hidden, rng, device));
            width = config.hidden;
        }
        Self {
            input_norm: (config.layers == 1).then(|| PlainNorm::new(shape[0], device)),
            hidden,
            last: Linear::new(width, classes, rng, device),
        }
    }
}

impl FcHead {
    /// Features `[batch, channels, height, width]` to class scores `[batch, classes]`.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<2> {
        let features = match &self.input_norm {
            Some(norm) => norm.forward(features),
            None => features,
        };
        let rows = features.flatten::<2>(1, 3);
        let rows = self
            .hidden
            .iter()
            .fold(rows, |rows, layer| relu(layer.forward(rows)));
        self.last.forward(rows)
    }
}
