//! The convolutional probe of the CIFAR-10 experiments (AET, section 5.1, and the published code):
//! the third block of the network-in-network, global average pooling, and a linear layer.

use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::head::{Head, HeadTraining};
use super::layers::Linear;
use crate::backbone::{BatchNorm, Block, Unit, normal_values};
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
        let units = [3, 1, 1].map(|side| unit(channels, side, rng, device));
        Self {
            block: Block {
                units: units.into(),
            },
            last: Linear::new(channels, classes, rng, device),
        }
    }
}

impl Head for ConvHead {
    fn forward(&self, features: Tensor<4>) -> Tensor<2> {
        let maps = self.block.units.iter().fold(features, forward_unit);
        self.last
            .forward(maps.mean_dim(3).mean_dim(2).flatten::<2>(1, 3))
    }
}

/// A unit with a kernel from N(0, sqrt(2 / (side^2 * channels))).
fn unit(channels: usize, side: usize, rng: &mut impl Rng, device: &Device) -> Unit {
    let std = (2.0 / (side * side * channels) as f64).sqrt();
    let kernel = normal_values(channels * channels * side * side, std, rng);
    let data = TensorData::new(kernel, [channels, channels, side, side]);
    Unit {
        conv: Param::from_tensor(Tensor::from_data(data, device)),
        norm: BatchNorm::new(channels, device),
    }
}

/// Convolution, batch normalisation, ReLU.
fn forward_unit(maps: Tensor<4>, unit: &Unit) -> Tensor<4> {
    let kernel = unit.conv.val();
    let pad = kernel.dims()[2] / 2;
    let options = ConvOptions::new([1, 1], [pad, pad], [1, 1], 1);
    relu(unit.norm.forward(conv2d(maps, kernel, None, options)))
}
