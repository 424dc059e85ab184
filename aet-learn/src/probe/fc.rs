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

use super::head::{Head, HeadTraining};
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
    /// Passes over the training images, at least 1; the published probes have 200.
    pub epochs: u64,
    /// Images in a batch, at least 2.
    pub batch_size: usize,
    /// Learning rate at the start, above 0.
    pub rate: f64,
    /// Shares of the epochs after each of which the rate is a tenth of what it was, rising, from 0
    /// to 1.
    pub milestones: Vec<f64>,
    /// Pull of every weight towards 0, at least 0.
    pub weight_decay: f64,
    /// Whether training images are augmented, and so embedded again, in every epoch, as published;
    /// without it their features are read once.
    pub augment: bool,
}

impl Default for FcConfig {
    fn default() -> Self {
        let training = HeadTraining::default();
        Self {
            layers: 1,
            hidden: 200,
            epochs: training.epochs,
            batch_size: training.batch_size,
            rate: training.rate,
            milestones: training.milestones,
            weight_decay: training.weight_decay,
            augment: training.augment,
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
                "evaluation.probes.method.layers",
                "1 to 3",
                self.layers,
            ));
        }
        if self.hidden == 0 {
            return Err(ConfigError::range(
                "evaluation.probes.method.hidden",
                "at least 1",
                self.hidden,
            ));
        }
        self.training().validate()
    }

    /// How it is trained.
    pub fn training(&self) -> HeadTraining {
        HeadTraining {
            epochs: self.epochs,
            batch_size: self.batch_size,
            rate: self.rate,
            milestones: self.milestones.clone(),
            weight_decay: self.weight_decay,
            augment: self.augment,
        }
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

impl Head for FcHead {
    fn forward(&self, features: Tensor<4>) -> Tensor<2> {
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
