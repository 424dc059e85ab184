//! The convolutional probe of the CIFAR-10 experiments (AET, section 5.1, and the published code): a
//! third network-in-network block on the full feature maps, global average pooling, and a linear
//! layer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::Rng;

use super::layers::Linear;
use crate::backbone::{Block, Unit};

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

    /// Features `[batch, channels, height, width]` to class scores `[batch, classes]`.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<2> {
        let maps = self.block.forward(features);
        self.last
            .forward(maps.mean_dim(3).mean_dim(2).flatten::<2>(1, 3))
    }
}
