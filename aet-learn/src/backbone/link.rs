//! Plain chains of units and pools, described once and done in either way: fused on the CPU, or by
//! Burn's own operations.

use std::sync::Arc;

use aet_kernels::chain::{Chain, Layer};
use aet_kernels::pool::PoolKind;
use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};

use super::fused::{self, Chains};
use super::unit::Unit;

/// Which operations a plain chain is done by. Both give the same, up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operations {
    /// One fused operation where the device and the images allow it, else Burn's.
    Fused,
    /// Burn's own.
    Burn,
}

/// Pooling with square windows; the border counts in an average, as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolShape {
    /// What becomes of a window.
    pub kind: PoolKind,
    /// Side of the window, in pixels.
    pub size: usize,
    /// From one window to the next, in pixels.
    pub stride: usize,
    /// Border around the image, in pixels.
    pub padding: usize,
}

impl PoolShape {
    /// `[batch, channels, height, width]` to its pooled form, by Burn's own operations.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let (size, stride, padding) = ([self.size; 2], [self.stride; 2], [self.padding; 2]);
        match self.kind {
            PoolKind::Max => {
                let options = MaxPoolOptions::new(size);
                max_pool2d(features, options.with_stride(stride).with_padding(padding))
            }
            PoolKind::Average => {
                let options = AvgPoolOptions::new(size).with_stride(stride);
                let options = options.with_padding(padding).with_count_include_pad(true);
                avg_pool2d(features, options)
            }
        }
    }
}

/// A link of a plain chain.
#[derive(Debug, Clone, Copy)]
pub(super) enum Link<'a> {
    /// Convolution, normalisation, ReLU.
    Unit(&'a Unit),
    /// Convolution and normalisation.
    Linear(&'a Unit),
    /// Pooling; follows a unit.
    Pool(PoolShape),
}

impl<'a> Link<'a> {
    /// Its unit, unless it is a pool.
    fn unit(&self) -> Option<&'a Unit> {
        match self {
            Self::Unit(unit) | Self::Linear(unit) => Some(unit),
            Self::Pool(_) => None,
        }
    }

    fn layer(&self) -> Layer {
        match self {
            Self::Unit(unit) | Self::Linear(unit) => Layer::Unit {
                window: unit.window(),
                channels: unit.conv.dims()[0],
                rectified: matches!(self, Self::Unit(_)),
            },
            Self::Pool(pool) => Layer::Pool {
                kind: pool.kind,
                size: pool.size,
                stride: pool.stride,
                padding: pool.padding,
            },
        }
    }
}

/// Features after `links` of a batch `[batch, channels, height, width]` in `views` equal parts, one
/// after the other, each of which is normalised with its own statistics in training. `chains` keeps
/// what has been built, under `place`, a number for these links.
pub(super) fn forward(
    (chains, place): (&Chains, usize),
    links: &[Link<'_>],
    (input, views): (Tensor<4>, usize),
    operations: Operations,
) -> Tensor<4> {
    if !links.is_empty() && operations == Operations::Fused && fused::applies(&input) {
        let [_, channels, height, width] = input.dims();
        if let Some(chain) = chain((chains, place), links, [channels, height, width]) {
            let units = links.iter().filter_map(Link::unit);
            return fused::forward(chain, &units.collect::<Vec<_>>(), (input, views));
        }
    }
    links.iter().fold(input, |features, link| match link {
        Link::Unit(unit) => unit.forward(features, views),
        Link::Linear(unit) => unit.normalised(features, views),
        Link::Pool(pool) => pool.forward(features),
    })
}

/// The fused operation of `links` for images of channels, height and width `input`; None where they
/// are too small for it.
pub(super) fn chain(
    (chains, place): (&Chains, usize),
    links: &[Link<'_>],
    input: [usize; 3],
) -> Option<Arc<Chain>> {
    let layers: Vec<Layer> = links.iter().map(Link::layer).collect();
    chains.get(place, input, &layers)
}
