//! Plain chains of units and pools, described once and done in either way: fused on the CPU, or by
//! Burn's own operations.

use std::sync::Arc;

use aet_kernels::chain::{Chain, Form, Layer, MultiplyAdds};
use aet_kernels::pool::PoolKind;
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{DType, FloatDType, Tensor};

use super::fused::{self, Chains};
use super::unit::Unit;

/// Which operations a plain chain is done by. Both give the same, up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operations {
    /// One fused operation where the device and the images allow it, else Burn's.
    Fused,
    /// Burn's own.
    Burn,
    /// Burn's own, with convolutions in this type and all that goes from one to the next; what comes
    /// out at the end is float32 again.
    Mixed(FloatDType),
}

impl Operations {
    /// The type of convolutions, where it is not float32.
    fn reduced(self) -> Option<FloatDType> {
        match self {
            Self::Fused | Self::Burn => None,
            Self::Mixed(reduced) => Some(reduced),
        }
    }
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

/// Features on their way through a network.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    /// Of that form; rows come out of fused chains alone.
    values: Tensor<4>,
    form: Form,
    channels: usize,
    /// The equal parts of the batch, one after the other, each of which is normalised with its own
    /// statistics in training.
    views: usize,
}

impl Flow {
    /// A batch `[batch, channels, height, width]` in `views` equal parts.
    pub fn of_planes(values: Tensor<4>, views: usize) -> Self {
        let [_, channels, _, _] = values.dims();
        Self {
            values,
            form: Form::Planes,
            channels,
            views,
        }
    }

    /// `[batch, channels, height, width]` in float32, at the end of the way.
    pub fn into_features(self) -> Tensor<4> {
        let planes = self.into_planes();
        match planes.dtype() {
            DType::F16 | DType::BF16 => planes.cast(FloatDType::F32),
            _ => planes,
        }
    }

    /// `[batch, channels, height, width]`.
    fn into_planes(self) -> Tensor<4> {
        match self.form {
            Form::Planes => self.values,
            Form::Rows => {
                let planes = self.values.permute([0, 3, 1, 2]);
                planes.narrow(1, 0, self.channels)
            }
        }
    }

    /// Channels, height and width.
    fn size(&self) -> [usize; 3] {
        let [_, first, second, third] = self.values.dims();
        match self.form {
            Form::Planes => [first, second, third],
            Form::Rows => [self.channels, first, second],
        }
    }

    /// The sum of both, rectified.
    pub fn add_and_rectify(self, other: Self) -> Self {
        if self.form == other.form {
            return Self {
                values: relu(self.values + other.values),
                ..self
            };
        }
        let views = self.views;
        Self::of_planes(relu(self.into_planes() + other.into_planes()), views)
    }

    /// Features after `links`, of the form that is wanted where they are fused. `chains` keeps what has
    /// been built, under `place`, a number for these links.
    pub fn through(
        self,
        (chains, place): (&Chains, usize),
        links: &[Link<'_>],
        operations: Operations,
        wanted: Form,
    ) -> Self {
        let views = self.views;
        if !links.is_empty() && operations == Operations::Fused && fused::applies(&self.values) {
            let forms = [self.form, wanted];
            if let Some(chain) = chain((chains, place), links, self.size(), forms) {
                let units: Vec<&Unit> = links.iter().filter_map(Link::unit).collect();
                let [channels, _, _] = chain.output();
                return Self {
                    values: fused::forward(chain, &units, (self.values, views)),
                    form: wanted,
                    channels,
                    views,
                };
            }
        }
        let reduced = operations.reduced();
        let features = links
            .iter()
            .fold(self.into_planes(), |features, link| match link {
                Link::Unit(unit) => unit.forward(features, views, true, reduced),
                Link::Linear(unit) => unit.forward(features, views, false, reduced),
                Link::Pool(pool) => pool.forward(features),
            });
        Self::of_planes(features, views)
    }
}

/// Features after `links`, a plain chain, of a batch `[batch, channels, height, width]` in `views` equal
/// parts; see [`Flow`].
pub(super) fn forward(
    chains: (&Chains, usize),
    links: &[Link<'_>],
    (input, views): (Tensor<4>, usize),
    operations: Operations,
) -> Tensor<4> {
    let flow = Flow::of_planes(input, views);
    flow.through(chains, links, operations, Form::Planes)
        .into_features()
}

/// The fused operation of `links`, between these forms, for images of channels, height and width `input`;
/// None where they are too small for it.
pub(super) fn chain(
    (chains, place): (&Chains, usize),
    links: &[Link<'_>],
    input: [usize; 3],
    forms: [Form; 2],
) -> Option<Arc<Chain>> {
    let layers: Vec<Layer> = links.iter().map(Link::layer).collect();
    chains.get((place, forms), input, &layers)
}

/// Multiply-adds of `links`, a plain chain from images to planes, for images of channels, height and width
/// `input`; None where they are too small for it.
pub(super) fn multiply_adds(
    chains: (&Chains, usize),
    links: &[Link<'_>],
    input: [usize; 3],
) -> Option<MultiplyAdds> {
    let chain = chain(chains, links, input, [Form::Planes; 2])?;
    Some(chain.multiply_adds(false))
}
