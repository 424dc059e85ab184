//! The convolutional probe of the CIFAR-10 experiments (AET, section 5.1, and the published code):
//! the third block of the network-in-network, global average pooling, and a linear layer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::head::{Head, HeadTraining};
use super::layers::Linear;
use crate::backbone::{Block, Unit};
use crate::error::ConfigError;

/// A convolutional block trained on frozen feature maps; it needs `pooling = "full"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConvConfig {
    /// Passes over the training images, at least 1; the published probe has 200.
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

impl Default for ConvConfig {
    fn default() -> Self {
        let training = HeadTraining::default();
        Self {
            epochs: training.epochs,
            batch_size: training.batch_size,
            rate: training.rate,
            milestones: training.milestones,
            weight_decay: training.weight_decay,
            augment: training.augment,
        }
    }
}

impl ConvConfig {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
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
pub struct ConvHead {
    block: Block,
    last: Linear,
}

impl ConvHead {
    /// A block as wide as the features, for features of `channels` channels and `classes` classes.
    pub fn new(channels: usize, classes: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let units = [3, 1, 1].map(|side| Unit::new([channels, channels, side], rng, device));
        Self {
            block: Block::new(units.into()),
            last: Linear::new(channels, classes, rng, device),
        }
    }
}

impl Head for ConvHead {
    fn forward(&self, features: Tensor<4>) -> Tensor<2> {
        let maps = self.block.forward(features);
        self.last
            .forward(maps.mean_dim(3).mean_dim(2).flatten::<2>(1, 3))
    }
}
