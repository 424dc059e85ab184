//! A plain chain of units (convolution, batch normalisation, ReLU) and pools, the shape of the
//! encoders of this project: trained with the statistics of the batch ([`Chain::forward`],
//! [`Chain::backward`]) or frozen with the running ones ([`Chain::frozen_features`]).
//!
//! Only what a unit's convolution gives is kept. Normalisation and ReLU are done again wherever the
//! result is read, on a block of rows that is in the cache, so that each layer reads and writes the
//! memory once forward and twice backward.

mod backward;
mod forward;
mod frozen;
mod source;

use std::ops::AddAssign;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

pub use crate::convolution::Window;
pub use forward::{Statistics, Trace};

use crate::convolution::{Chunk, Convolution, Weights};
use crate::pool::{Pool, PoolKind};
use crate::simd::padded;

/// Added to a variance before its square root, as in PyTorch.
pub const EPSILON: f32 = 1e-5;

/// A layer of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Convolution without bias, batch normalisation, and ReLU where it is rectified.
    Unit {
        /// Of the convolution.
        window: Window,
        /// Channels out.
        channels: usize,
        /// Whether there is a ReLU.
        rectified: bool,
    },
    /// Pooling; has to follow a unit.
    Pool {
        /// What becomes of a window.
        kind: PoolKind,
        /// Side of the window.
        size: usize,
        /// From one window to the next.
        stride: usize,
        /// Border, less than the window.
        padding: usize,
    },
}

/// How the values of a batch lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `[batch, channels, height, width]`.
    Planes,
    /// `[batch, height, width, stored]`: the channels of a pixel side by side, with zeros behind them up to
    /// whole vectors. Chains work so inside; between two of them nothing has to be turned around.
    Rows,
}

impl Form {
    /// Channels as they are stored.
    fn stored(self, channels: usize) -> usize {
        match self {
            Self::Planes => channels,
            Self::Rows => padded(channels),
        }
    }

    /// The shape of a batch of images of channels, height and width.
    pub fn shape(self, batch: usize, [channels, height, width]: [usize; 3]) -> [usize; 4] {
        match self {
            Self::Planes => [batch, channels, height, width],
            Self::Rows => [batch, height, width, padded(channels)],
        }
    }
}

impl Layer {
    /// A unit with ReLU, of stride 1 and as much padding as keeps the size for an odd `side`.
    pub const fn unit(side: usize, channels: usize) -> Self {
        Self::Unit {
            window: Window::same(side),
            channels,
            rectified: true,
        }
    }
}

/// Multiply-adds of a chain's convolutions for one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MultiplyAdds {
    /// Forward, by definition.
    pub forward: usize,
    /// Forward as they are done, with Winograd's minimal filtering.
    pub forward_done: usize,
    /// Forward and backward, by definition.
    pub training: usize,
    /// Forward and backward as they are done.
    pub training_done: usize,
}

impl AddAssign for MultiplyAdds {
    fn add_assign(&mut self, other: Self) {
        self.forward += other.forward;
        self.forward_done += other.forward_done;
        self.training += other.training;
        self.training_done += other.training_done;
    }
}

/// Why a chain cannot be built.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum ChainError {
    /// A layer does not fit.
    #[error("layer {layer} of the chain {message}")]
    Layer {
        /// Which, counted from 0.
        layer: usize,
        /// What is wrong with it.
        message: &'static str,
    },
    /// There is nothing to do.
    #[error("a chain needs at least one layer, and images of at least one pixel")]
    Empty,
}

/// A chain for images of one size.
#[derive(Debug)]
pub struct Chain {
    height: usize,
    width: usize,
    channels: usize,
    /// Of images and features.
    forms: [Form; 2],
    stages: Vec<Stage>,
    parameters: usize,
    statistics: usize,
    frozen: Latest<frozen::Folded>,
}

/// What was last made of some parameters, since the same ones come again in every batch that is
/// embedded.
#[derive(Debug)]
struct Latest<T>(Mutex<Option<(Vec<f32>, Arc<T>)>>);

impl<T> Latest<T> {
    fn none() -> Self {
        Self(Mutex::new(None))
    }

    /// What was last made, if it was of `values`; else what `make` makes of them.
    fn of(&self, values: &[&[f32]], make: impl FnOnce() -> T) -> Arc<T> {
        let same = |old: &[f32]| {
            let mut rest = old;
            values
                .iter()
                .all(|part| match rest.split_at_checked(part.len()) {
                    Some((first, others)) => {
                        rest = others;
                        bytemuck::cast_slice::<f32, u8>(first)
                            == bytemuck::cast_slice::<f32, u8>(part)
                    }
                    None => false,
                })
                && rest.is_empty()
        };
        let latest = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((old, made)) = &*latest()
            && same(old)
        {
            return Arc::clone(made);
        }
        // Without the lock: it is made by the pool, whose threads take up other work while they
        // wait, and that work may come here too.
        let made = Arc::new(make());
        *latest() = Some((values.concat(), Arc::clone(&made)));
        made
    }
}

/// The weights of every unit as the products want them; none for pools.
type Laid = Vec<Option<Weights>>;

/// Images in equal views, one view after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    images: usize,
    views: usize,
}

/// A layer with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Unit(Unit),
    Pool(Pool),
}

/// A unit, and where its parameters and statistics are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    convolution: Convolution,
    rectified: bool,
    /// Of its kernel; its scales and shifts follow.
    first_parameter: usize,
    /// Of its mean; its variance follows.
    first_statistic: usize,
}

impl Unit {
    fn channels(&self) -> usize {
        self.convolution.channels_out
    }

    /// What its normalised values are clipped at.
    fn floor(&self) -> f32 {
        match self.rectified {
            true => 0.0,
            false => f32::NEG_INFINITY,
        }
    }

    /// Pixels of its output.
    fn pixels(&self) -> usize {
        self.convolution.output().iter().product()
    }

    /// The chunks that it is worked on in, those of a view after those of the view before, as many
    /// for each; none reaches over two views.
    fn chunks(&self, batch: Batch) -> Vec<Chunk> {
        let images = batch.images / batch.views;
        let pixels = images * self.pixels();
        let of_a_view = self.convolution.chunks(images);
        let chunks = (0..batch.views).flat_map(|view| {
            let from = view * pixels;
            of_a_view.iter().map(move |chunk| Chunk {
                first: from + chunk.first,
                rows: chunk.rows,
            })
        });
        chunks.collect()
    }

    fn kernel<'p>(&self, parameters: &'p [f32]) -> &'p [f32] {
        &parameters[self.first_parameter..][..self.convolution.weight_len()]
    }

    /// Scales and shifts of its normalisation.
    fn norm<'p>(&self, parameters: &'p [f32]) -> [&'p [f32]; 2] {
        let first = self.first_parameter + self.convolution.weight_len();
        let channels = self.channels();
        let (scales, rest) = parameters[first..].split_at(channels);
        [scales, &rest[..channels]]
    }
}

impl Stage {
    /// Height, width and channels of the output; and its channels as they are stored.
    fn output(&self) -> [usize; 3] {
        match self {
            Self::Unit(unit) => {
                let [height, width] = unit.convolution.output();
                [height, width, unit.convolution.stored_out()]
            }
            Self::Pool(pool) => {
                let [height, width] = pool.output();
                [height, width, pool.channels]
            }
        }
    }

    /// Values of the output for one image, as they are stored.
    fn output_len(&self) -> usize {
        self.output().iter().product()
    }
}

impl Chain {
    /// A chain of `layers` on images of `channels`, `height` x `width` pixels, by planes.
    ///
    /// # Errors
    /// When a layer cannot follow the one before it.
    pub fn new(input: [usize; 3], layers: &[Layer]) -> Result<Self, ChainError> {
        Self::between([Form::Planes; 2], input, layers)
    }

    /// A chain whose images and features have these forms.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn between(
        forms: [Form; 2],
        [channels, height, width]: [usize; 3],
        layers: &[Layer],
    ) -> Result<Self, ChainError> {
        if layers.is_empty() || channels * height * width == 0 {
            return Err(ChainError::Empty);
        }
        let mut chain = Self {
            height,
            width,
            channels,
            forms,
            stages: Vec::with_capacity(layers.len()),
            parameters: 0,
            statistics: 0,
            frozen: Latest::none(),
        };
        for (place, layer) in layers.iter().enumerate() {
            let stage = chain.stage(layer).map_err(|message| ChainError::Layer {
                layer: place,
                message,
            })?;
            if let Stage::Unit(unit) = &stage {
                chain.parameters += unit.convolution.weight_len() + 2 * unit.channels();
                chain.statistics += 2 * unit.channels();
            }
            chain.stages.push(stage);
        }
        Ok(chain)
    }

    /// The next stage.
    fn stage(&self, layer: &Layer) -> Result<Stage, &'static str> {
        let [height, width, stored] = match self.stages.last() {
            Some(stage) => stage.output(),
            None => [self.height, self.width, self.stored_in()],
        };
        match *layer {
            Layer::Unit {
                window,
                channels,
                rectified,
            } => {
                if !window.fits([height, width]) || channels == 0 {
                    return Err(
                        "needs a kernel of odd side with at most half of it as padding, no larger \
                                than the image, and at least one channel",
                    );
                }
                let channels_in = self.output_channels();
                Ok(Stage::Unit(Unit {
                    convolution: Convolution::new(
                        window,
                        [height, width],
                        [channels_in, channels],
                        stored,
                    ),
                    rectified,
                    first_parameter: self.parameters,
                    first_statistic: self.statistics,
                }))
            }
            Layer::Pool {
                kind,
                size,
                stride,
                padding,
            } => {
                if !matches!(self.stages.last(), Some(Stage::Unit(_))) {
                    return Err("is a pool that does not follow a unit");
                }
                if stride == 0 || padding >= size || height.min(width) + 2 * padding < size {
                    return Err(
                        "needs a stride, a padding below its size, and a large enough image",
                    );
                }
                Ok(Stage::Pool(Pool {
                    kind,
                    size,
                    stride,
                    padding,
                    height,
                    width,
                    channels: stored,
                }))
            }
        }
    }

    /// Channels of the output.
    fn output_channels(&self) -> usize {
        self.stages
            .iter()
            .rev()
            .find_map(|stage| match stage {
                Stage::Unit(unit) => Some(unit.channels()),
                Stage::Pool(_) => None,
            })
            .unwrap_or(self.channels)
    }

    /// Channels of the images as they are stored.
    fn stored_in(&self) -> usize {
        self.forms[0].stored(self.channels)
    }

    /// Forms of images and features.
    pub fn forms(&self) -> [Form; 2] {
        self.forms
    }

    /// Values of the features of an image.
    fn features_len(&self) -> usize {
        let [channels, height, width] = self.output();
        self.forms[1].stored(channels) * height * width
    }

    /// Channels, height and width of the images.
    pub fn input(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Channels, height and width of the output.
    pub fn output(&self) -> [usize; 3] {
        let [height, width, _] = match self.stages.last() {
            Some(stage) => stage.output(),
            None => [self.height, self.width, 0],
        };
        [self.output_channels(), height, width]
    }

    /// Number of parameters: of every unit in turn the kernel `[channels out, channels in, side,
    /// side]`, the scales and the shifts.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Number of statistics: of every unit in turn the means and the variances.
    pub fn statistics(&self) -> usize {
        self.statistics
    }

    /// Pixels that each unit normalises over, of one image.
    pub fn unit_pixels(&self) -> Vec<usize> {
        let pixels = self.stages.iter().filter_map(|stage| match stage {
            Stage::Unit(unit) => Some(unit.pixels()),
            Stage::Pool(_) => None,
        });
        pixels.collect()
    }

    /// Multiply-adds of the convolutions for one image, training with the gradient of the images or
    /// without it.
    pub fn multiply_adds(&self, images_gradient: bool) -> MultiplyAdds {
        let mut sum = MultiplyAdds::default();
        for (place, stage) in self.stages.iter().enumerate() {
            let Stage::Unit(unit) = stage else { continue };
            let [forward, forward_done] = unit.convolution.multiply_adds();
            // Forward, to the weights, and to the input.
            let passes = if place > 0 || images_gradient { 3 } else { 2 };
            sum += MultiplyAdds {
                forward,
                forward_done,
                training: passes * forward,
                training_done: passes * forward_done,
            };
        }
        sum
    }
}
