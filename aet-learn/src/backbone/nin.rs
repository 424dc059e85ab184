//! Network-in-network encoder of the CIFAR-10 experiments (AET, section 5.1; the blocks of Lin,
//! Chen and Yan 2014 as RotNet arranges them).

use aet_data::random::{self, Purpose};
use aet_kernels::chain::MultiplyAdds;
use aet_kernels::pool::PoolKind;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::fused::Chains;
use super::link::{self, Link, Operations, PoolShape};
use super::unit::Unit;
use super::{Architecture, Backbone, Network, check_width, scaled};
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
    /// `base` channels of the full network at this width, at least 8.
    pub fn channels(&self, base: usize) -> usize {
        scaled(base, self.width)
    }
}

impl Architecture for NinConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        if !(3..=5).contains(&self.blocks) {
            return Err(ConfigError::range("backbone.blocks", "3 to 5", self.blocks));
        }
        check_width(self.width)
    }

    fn taps(&self) -> Vec<(String, usize)> {
        let channels = |block| self.channels(if block == 1 { 96 } else { 192 });
        (1..=self.blocks)
            .map(|block| (format!("block{block}"), channels(block)))
            .collect()
    }

    fn network(&self, seed: u64, device: &Device) -> Network {
        Network::Nin(Nin::new(self, seed, device))
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
        let links: Vec<Link> = self.units.iter().map(Link::Unit).collect();
        link::forward((&self.chains, 0), &links, (input, 1), Operations::Fused)
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

    /// Everything up to the pool of block `tap`, counted from 0.
    fn links(&self, tap: usize) -> Vec<Link<'_>> {
        let blocks = self.blocks[..=tap].iter().enumerate();
        blocks
            .flat_map(|(index, block)| {
                let units = block.units.iter().map(Link::Unit);
                units.chain(pool_after(index).map(Link::Pool))
            })
            .collect()
    }
}

impl Backbone for Nin {
    fn features(
        &self,
        images: Tensor<4>,
        views: usize,
        tap: usize,
        operations: Operations,
    ) -> Tensor<4> {
        let links = self.links(tap);
        link::forward((&self.chains, tap), &links, (images, views), operations)
    }

    fn multiply_adds(&self, tap: usize, [height, width]: [usize; 2]) -> Option<MultiplyAdds> {
        let links = self.links(tap);
        link::multiply_adds((&self.chains, tap), &links, [3, height, width])
    }
}

/// The pooling after block `index`: 3x3, stride 2, padding 1. The maximum after the first, the
/// average with the padding counted after the second, none after the others.
fn pool_after(index: usize) -> Option<PoolShape> {
    let kind = match index {
        0 => PoolKind::Max,
        1 => PoolKind::Average,
        _ => return None,
    };
    Some(PoolShape {
        kind,
        size: 3,
        stride: 2,
        padding: 1,
    })
}
