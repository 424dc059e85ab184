//! Network-in-network encoder of the CIFAR-10 experiments (AET, section 5.1; the blocks of Lin,
//! Chen and Yan 2014 as RotNet arranges them).

use std::sync::Arc;

use aet_data::random::{self, Purpose};
use aet_kernels::chain::{Chain, Layer};
use aet_kernels::pool::PoolKind;
use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use super::fused::{self, Chains};
use super::norm::BatchNorm;
use crate::error::ConfigError;

/// Size of the network-in-network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NinConfig {
    /// Number of blocks, 3 to 5; the released encoder has 4.
    pub blocks: usize,
    /// Multiplier of every channel count (192, 160, 96), more than 0; the released one is 1.
    pub width: f64,
}

impl Default for NinConfig {
    fn default() -> Self {
        Self {
            blocks: 4,
            width: 1.0,
        }
    }
}

impl NinConfig {
    /// Refuses sizes that cannot be built.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(3..=5).contains(&self.blocks) {
            return Err(ConfigError::range("backbone.blocks", "3 to 5", self.blocks));
        }
        if !(self.width > 0.0 && self.width <= 16.0) {
            return Err(ConfigError::range(
                "backbone.width",
                "more than 0 and at most 16",
                self.width,
            ));
        }
        Ok(())
    }

    /// `base` channels of the full network at this width, at least 8.
    pub fn channels(&self, base: usize) -> usize {
        ((base as f64 * self.width).round() as usize).max(8)
    }
}

/// Convolution without bias, batch normalisation, ReLU.
#[derive(Module, Debug)]
pub struct Unit {
    /// Kernel, `[channels out, channels in, side, side]`, side odd.
    pub conv: Param<Tensor<4>>,
    /// The normalisation after it.
    pub norm: BatchNorm,
}

impl Unit {
    /// Weights from N(0, sqrt(2 / (side^2 * channels out))), the released initialisation.
    pub(crate) fn new(shape: [usize; 3], rng: &mut impl rand::Rng, device: &Device) -> Self {
        let [channels_in, channels_out, side] = shape;
        let std = (2.0 / (side * side * channels_out) as f64).sqrt();
        let kernel = normal_values(channels_out * channels_in * side * side, std, rng);
        let data = TensorData::new(kernel, [channels_out, channels_in, side, side]);
        Self {
            conv: Param::from_tensor(Tensor::from_data(data, device)),
            norm: BatchNorm::new(channels_out, device),
        }
    }

    /// `[batch, channels in, height, width]` to `[batch, channels out, height, width]`.
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let weight = self.conv.val();
        let pad = weight.dims()[2] / 2;
        let options = ConvOptions::new([1, 1], [pad, pad], [1, 1], 1);
        let output = conv2d(input, weight, None, options);
        relu(self.norm.forward(output))
    }
}

/// Draws of N(0, `std`) as f32, from f64 draws of `rng`.
pub(crate) fn normal_values(count: usize, std: f64, rng: &mut impl rand::Rng) -> Vec<f32> {
    match Normal::new(0.0, std) {
        Ok(normal) => (0..count).map(|_| normal.sample(rng) as f32).collect(),
        Err(_) => vec![0.0; count],
    }
}

/// Three units; the pooling after them has no weights.
#[derive(Module, Debug)]
pub struct Block {
    /// The three units, a spatial convolution and two of 1x1.
    pub units: Vec<Unit>,
    #[module(skip)]
    chains: Chains,
}

impl Block {
    pub(crate) fn new(units: Vec<Unit>) -> Self {
        Self {
            units,
            chains: Chains::default(),
        }
    }

    /// `[batch, channels in, height, width]` to `[batch, channels out, height, width]`; on the CPU
    /// in one fused operation.
    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let units: Vec<&Unit> = self.units.iter().collect();
        fused::forward(&self.chains, 0, &self.layers(), &units, (&input, 1))
            .unwrap_or_else(|| self.forward_by_parts(input))
    }

    /// [`forward`](Self::forward) by Burn's own operations.
    fn forward_by_parts(&self, input: Tensor<4>) -> Tensor<4> {
        self.units
            .iter()
            .fold(input, |features, unit| unit.forward(features))
    }

    /// Its units as layers of a chain.
    fn layers(&self) -> Vec<Layer> {
        let layer = |unit: &Unit| {
            let [channels, _, side, _] = unit.conv.dims();
            Layer::Unit { side, channels }
        };
        self.units.iter().map(layer).collect()
    }
}

/// The network-in-network encoder. Taps are `block1`, `block2`, ..., each after its pooling.
#[derive(Module, Debug)]
pub struct Nin {
    /// The blocks, in order.
    pub blocks: Vec<Block>,
    #[module(skip)]
    chains: Chains,
}

impl Nin {
    /// A network with weights drawn from `seed`.
    pub fn new(config: &NinConfig, seed: u64, device: &Device) -> Self {
        let mut rng = random::generator(seed, 0, 0, Purpose::Init);
        let (wide, mid, narrow) = (
            config.channels(192),
            config.channels(160),
            config.channels(96),
        );
        let blocks = (0..config.blocks)
            .map(|block| {
                let (input, side, channels) = match block {
                    0 => (3, 5, [wide, mid, narrow]),
                    1 => (narrow, 5, [wide; 3]),
                    _ => (wide, 3, [wide; 3]),
                };
                let shapes = [
                    [input, channels[0], side],
                    [channels[0], channels[1], 1],
                    [channels[1], channels[2], 1],
                ];
                Block::new(
                    shapes
                        .map(|shape| Unit::new(shape, &mut rng, device))
                        .into(),
                )
            })
            .collect();
        Self {
            blocks,
            chains: Chains::default(),
        }
    }

    /// Names of the taps, first to last.
    pub fn taps(config: &NinConfig) -> Vec<String> {
        (1..=config.blocks).map(|b| format!("block{b}")).collect()
    }

    /// Channels at tap number `tap` (0 for `block1`).
    pub fn tap_channels(config: &NinConfig, tap: usize) -> usize {
        config.channels(if tap == 0 { 96 } else { 192 })
    }

    /// `[batch, 3, height, width]` to the features after block `tap` (counted from 0),
    /// `[batch, channels, height, width]`.
    ///
    /// On the CPU this is one fused operation; elsewhere it is made of Burn's own.
    pub fn forward(&self, images: Tensor<4>, tap: usize) -> Tensor<4> {
        self.forward_views(images, 1, tap)
    }

    /// [`forward`](Self::forward) for a batch of `views` equal parts, one after the other, each of
    /// which is normalised with its own statistics in training.
    pub fn forward_views(&self, images: Tensor<4>, views: usize, tap: usize) -> Tensor<4> {
        let blocks = &self.blocks[..=tap];
        let units: Vec<&Unit> = blocks.iter().flat_map(|block| &block.units).collect();
        fused::forward(&self.chains, tap, &layers(blocks), &units, (&images, views))
            .unwrap_or_else(|| self.forward_by_parts(images, views, tap))
    }

    /// The fused operation up to block `tap`, for images of this height and width in pixels; None
    /// where they are too small for the pools.
    pub fn chain(&self, tap: usize, [height, width]: [usize; 2]) -> Option<Arc<Chain>> {
        let blocks = &self.blocks[..=tap];
        self.chains.get(tap, [3, height, width], &layers(blocks))
    }

    /// [`forward_views`](Self::forward_views) by Burn's own operations.
    pub fn forward_by_parts(&self, images: Tensor<4>, views: usize, tap: usize) -> Tensor<4> {
        let blocks = || self.blocks.iter().enumerate().take(tap + 1);
        let features = |view| {
            blocks().fold(view, |features, (index, block)| {
                pool(block.forward_by_parts(features), index)
            })
        };
        match views {
            1 => features(images),
            _ => Tensor::cat(
                images.chunk(views, 0).into_iter().map(features).collect(),
                0,
            ),
        }
    }
}

/// `blocks` with their pools, as a chain.
fn layers(blocks: &[Block]) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        layers.extend(block.layers());
        let kind = match index {
            0 => PoolKind::Max,
            1 => PoolKind::Average,
            _ => continue,
        };
        layers.push(Layer::Pool {
            kind,
            size: 3,
            stride: 2,
            padding: 1,
        });
    }
    layers
}

/// The pooling after block `index`: 3x3, stride 2, padding 1. The maximum after the first, the
/// average with the padding counted after the second, none after the others.
fn pool(features: Tensor<4>, index: usize) -> Tensor<4> {
    match index {
        0 => max_pool2d(
            features,
            MaxPoolOptions::new([3, 3])
                .with_stride([2, 2])
                .with_padding([1, 1]),
        ),
        1 => avg_pool2d(
            features,
            AvgPoolOptions::new([3, 3])
                .with_stride([2, 2])
                .with_padding([1, 1])
                .with_count_include_pad(true),
        ),
        _ => features,
    }
}
