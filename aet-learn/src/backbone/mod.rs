//! Encoders. A backbone is one file, in which its configuration is an `Architecture` and its network a
//! `Backbone`, and one row in [`BackboneConfig`], [`Network`] and [`BACKBONES`]; an [`Encoder`] is a
//! network with its named taps.

mod alexnet;
#[cfg(feature = "cube")]
mod device_norm;
mod fused;
mod link;
mod nin;
mod norm;
mod resnet;
mod unit;

pub use aet_kernels::chain::MultiplyAdds;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use link::Operations;

pub use alexnet::{AlexNet, AlexNetConfig, Dense};
pub use nin::{Block, Nin, NinConfig};
pub use norm::BatchNorm;
pub use resnet::{ResNet, ResNetConfig, Residual, Stem};
pub use unit::Unit;

#[cfg(feature = "cube")]
pub(crate) use fused::is_on as kernels_are_on;
pub(crate) use unit::normal_values;

use crate::error::ConfigError;
use crate::precision::Precision;

/// Which encoder to build; the tag is its name in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BackboneConfig {
    /// Network-in-network.
    Nin(NinConfig),
    /// AlexNet with batch normalisation.
    #[serde(rename = "alexnet")]
    AlexNet(AlexNetConfig),
    /// Residual network.
    #[serde(rename = "resnet")]
    ResNet(ResNetConfig),
}

/// Every backbone, with a line on each.
pub const BACKBONES: &[(&str, &str)] = &[
    (
        "nin",
        "network-in-network of 3 to 5 blocks, as AET and RotNet use on CIFAR-10 (taps block1, block2, ...)",
    ),
    (
        "alexnet",
        "AlexNet with batch normalisation, as AET and RotNet use on ImageNet (taps conv1 to conv5, pool5, fc)",
    ),
    (
        "resnet",
        "residual network of depth 18, 34 or 50 with the stem cifar or imagenet (taps stem, stage1 to stage4)",
    ),
];

impl Default for BackboneConfig {
    fn default() -> Self {
        Self::Nin(NinConfig::default())
    }
}

impl BackboneConfig {
    fn architecture(&self) -> &dyn Architecture {
        match self {
            Self::Nin(config) => config,
            Self::AlexNet(config) => config,
            Self::ResNet(config) => config,
        }
    }

    /// Refuses sizes that cannot be built.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.architecture().validate()
    }

    /// Refuses images of a height and width, in pixels, that its pools cannot take.
    ///
    /// # Errors
    /// Names the least size.
    pub fn check_image_size(&self, image_size: [usize; 2]) -> Result<(), ConfigError> {
        self.architecture().check_image_size(image_size)
    }

    /// The taps, first to last.
    pub fn taps(&self) -> Vec<Tap> {
        let taps = self.architecture().taps().into_iter().enumerate();
        taps.map(|(index, (name, channels))| Tap {
            name,
            index,
            channels,
        })
        .collect()
    }

    /// The tap that the probes of an experiment which names none read.
    pub fn probe_tap(&self) -> &'static str {
        match self {
            Self::Nin(_) => "block2",
            Self::AlexNet(_) => "conv4",
            Self::ResNet(_) => "stage3",
        }
    }

    /// An encoder with weights drawn from `seed`.
    pub fn init(&self, seed: u64, device: &Device) -> Encoder {
        Encoder {
            network: self.architecture().network(seed, device),
            taps: self.taps(),
            precision: Precision::default(),
        }
    }
}

/// What the configuration of a backbone answers for.
trait Architecture {
    /// Refuses sizes that cannot be built.
    fn validate(&self) -> Result<(), ConfigError>;

    /// Refuses images of a height and width, in pixels, that its pools cannot take.
    fn check_image_size(&self, _image_size: [usize; 2]) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Names and channels of the taps, first to last.
    fn taps(&self) -> Vec<(String, usize)>;

    /// A network with weights drawn from `seed`.
    fn network(&self, seed: u64, device: &Device) -> Network;
}

/// What a network does.
trait Backbone {
    /// Features at tap number `tap` of images `[batch, 3, height, width]` in `views` equal parts, one
    /// after the other, each of which is normalised with its own statistics in training.
    fn features(
        &self,
        images: Tensor<4>,
        views: usize,
        tap: usize,
        operations: Operations,
    ) -> Tensor<4>;

    /// Multiply-adds of the convolutions up to tap number `tap` for one image of this height and
    /// width in pixels; None where they are not counted.
    fn multiply_adds(&self, _tap: usize, _image_size: [usize; 2]) -> Option<MultiplyAdds> {
        None
    }
}

/// `base` channels of a full network at this width, at least 8.
fn scaled(base: usize, width: f64) -> usize {
    ((base as f64 * width).round() as usize).max(8)
}

/// Refuses a multiplier of channels that cannot be.
fn check_width(width: f64) -> Result<(), ConfigError> {
    if width > 0.0 && width <= 16.0 {
        return Ok(());
    }
    let range = "more than 0 and at most 16";
    Err(ConfigError::range("backbone.width", range, width))
}

/// A named place in the encoder where features can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// Its name, such as `block2`.
    pub name: String,
    /// Its position, counted from 0.
    pub index: usize,
    /// Channels of its features.
    pub channels: usize,
}

/// The network of an encoder.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are a few networks in a process, and its weights are elsewhere"
)]
pub enum Network {
    /// Network-in-network.
    Nin(Nin),
    /// AlexNet with batch normalisation.
    AlexNet(AlexNet),
    /// Residual network.
    ResNet(ResNet),
}

/// An encoder E: images `[batch, 3, height, width]` to features at a tap,
/// `[batch, channels, height, width]`.
#[derive(Module, Debug)]
pub struct Encoder {
    /// The network itself.
    pub network: Network,
    /// Its taps, first to last.
    #[module(skip)]
    pub taps: Vec<Tap>,
    /// What its convolutions are done in on an autodiff device; float32 until the training loop sets it.
    #[module(skip)]
    pub precision: Precision,
}

impl Encoder {
    /// The device that its weights are on.
    pub fn device(&self) -> Device {
        self.devices().into_iter().next().unwrap_or_default()
    }

    /// The tap called `name`.
    ///
    /// # Errors
    /// When there is none; the message lists those that there are.
    pub fn tap(&self, name: &str) -> Result<&Tap, ConfigError> {
        find_tap(&self.taps, name)
    }

    /// The last tap, whose features the objective reads.
    pub fn last_tap(&self) -> &Tap {
        &self.taps[self.taps.len() - 1]
    }

    fn backbone(&self) -> &dyn Backbone {
        match &self.network {
            Network::Nin(network) => network,
            Network::AlexNet(network) => network,
            Network::ResNet(network) => network,
        }
    }

    /// Multiply-adds of the encoder's convolutions for one image of this height and width in pixels;
    /// None where they are not counted.
    pub fn multiply_adds(&self, image_size: [usize; 2]) -> Option<MultiplyAdds> {
        let tap = self.last_tap().index;
        self.backbone().multiply_adds(tap, image_size)
    }

    /// Features at `tap` of normalised images `[batch, 3, height, width]`.
    ///
    /// On the CPU plain chains of convolutions and pools are one fused operation each; elsewhere, and in
    /// training with convolutions of 16 bits, all is made of Burn's own.
    pub fn forward(&self, images: Tensor<4>, tap: &Tap) -> Tensor<4> {
        self.forward_views(images, 1, tap)
    }

    /// [`forward`](Self::forward) for a batch of `views` equal parts, one after the other: in
    /// training each is normalised with its own batch statistics, which move the running ones in
    /// turn, as if each had gone through alone. One pass for all is faster.
    pub fn forward_views(&self, images: Tensor<4>, views: usize, tap: &Tap) -> Tensor<4> {
        let (backbone, tap) = (self.backbone(), tap.index);
        let operations = match self.precision.reduced() {
            Some(reduced) if images.device().is_autodiff() => Operations::Mixed(reduced),
            _ => Operations::Fused,
        };
        backbone.features(images, views, tap, operations)
    }

    /// [`forward_views`](Self::forward_views) by Burn's own operations on every device, to compare.
    pub fn forward_by_parts(&self, images: Tensor<4>, views: usize, tap: &Tap) -> Tensor<4> {
        let (backbone, tap) = (self.backbone(), tap.index);
        backbone.features(images, views, tap, Operations::Burn)
    }
}

/// The tap called `name` among `taps`.
///
/// # Errors
/// When there is none; the message lists those that there are.
pub fn find_tap<'a>(taps: &'a [Tap], name: &str) -> Result<&'a Tap, ConfigError> {
    taps.iter()
        .find(|tap| tap.name == name)
        .ok_or_else(|| ConfigError::Unknown {
            key: "tap",
            value: name.to_string(),
            known: taps
                .iter()
                .map(|tap| tap.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
}
