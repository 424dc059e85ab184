//! The non-linear probes of the ImageNet experiments (AET, section 5.2, and the published code): the
//! rest of AlexNet, trained on frozen features of conv4 (with a conv5 of its own) or of conv5.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::module::{adaptive_avg_pool2d, max_pool2d};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::layers::{HiddenLayer, Linear};
use crate::backbone::{Block, Unit};
use crate::error::ConfigError;

/// Height and width of the maps that the fully-connected layers take.
const SIDE: usize = 6;

/// The rest of AlexNet, trained on frozen features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TailConfig {
    /// Whether a 3x3 convolution comes first, as after conv4.
    pub convolution: bool,
    /// Width of the two hidden layers, at least 1.
    pub hidden: usize,
}

impl Default for TailConfig {
    fn default() -> Self {
        Self {
            convolution: false,
            hidden: 4096,
        }
    }
}

impl TailConfig {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.hidden == 0 {
            let key = "probes.method.hidden";
            return Err(ConfigError::range(key, "at least 1", self.hidden));
        }
        Ok(())
    }
}

/// The layers of the probe.
#[derive(Module, Debug)]
pub struct TailHead {
    convolution: Option<Block>,
    hidden: Vec<HiddenLayer>,
    last: Linear,
}

impl TailHead {
    /// Layers for features of `channels` channels and `classes` classes.
    pub fn new(
        config: &TailConfig,
        channels: usize,
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let convolution = config
            .convolution
            .then(|| Block::new(vec![Unit::new([channels, channels, 3], rng, device)]));
        let widths = [SIDE * SIDE * channels, config.hidden];
        Self {
            convolution,
            hidden: widths
                .map(|inputs| HiddenLayer::new(inputs, config.hidden, rng, device))
                .into(),
            last: Linear::new(config.hidden, classes, rng, device),
        }
    }

    /// Features `[batch, channels, height, width]` to class scores `[batch, classes]`. Maps that a
    /// max pool of 3 by steps of 2 does not bring to 6x6, as it does those of 224 px images, are
    /// averaged to that.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<2> {
        let maps = match &self.convolution {
            Some(block) => block.forward(features),
            None => features,
        };
        let [_, _, height, width] = maps.dims();
        let maps = match height.min(width) {
            0..3 => maps,
            _ => max_pool2d(maps, MaxPoolOptions::new([3, 3]).with_stride([2, 2])),
        };
        let rows = adaptive_avg_pool2d(maps, [SIDE, SIDE]).flatten::<2>(1, 3);
        let rows = self
            .hidden
            .iter()
            .fold(rows, |rows, layer| relu(layer.forward(rows)));
        self.last.forward(rows)
    }
}
