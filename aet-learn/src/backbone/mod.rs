//! Encoders. A backbone is one file and one row in [`BackboneConfig`] and [`Network`]; an
//! [`Encoder`] is a network with its named taps.

mod fused;
mod nin;
mod norm;

use aet_kernels::chain::MultiplyAdds;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use nin::{Block, Nin, NinConfig, Unit};
pub use norm::BatchNorm;

pub(crate) use nin::normal_values;

use crate::error::ConfigError;

/// Which encoder to build; the tag is its name in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BackboneConfig {
    /// Network-in-network.
    Nin(NinConfig),
}

/// Every backbone, with a line on each.
pub const BACKBONES: &[(&str, &str)] = &[(
    "nin",
    "network-in-network of 3 to 5 blocks, as AET and RotNet use on CIFAR-10 (taps block1, block2, ...)",
)];

impl Default for BackboneConfig {
    fn default() -> Self {
        Self::Nin(NinConfig::default())
    }
}

impl BackboneConfig {
    /// Refuses sizes that cannot be built.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Nin(config) => config.validate(),
        }
    }

    /// The taps, first to last.
    pub fn taps(&self) -> Vec<Tap> {
        match self {
            Self::Nin(config) => Nin::taps(config)
                .into_iter()
                .enumerate()
                .map(|(index, name)| Tap {
                    name,
                    index,
                    channels: Nin::tap_channels(config, index),
                })
                .collect(),
        }
    }

    /// The tap that it is usually probed at.
    pub fn probe_tap(&self) -> String {
        match self {
            Self::Nin(_) => "block2",
        }
        .into()
    }

    /// An encoder with weights drawn from `seed`.
    pub fn init(&self, seed: u64, device: &Device) -> Encoder {
        let network = match self {
            Self::Nin(config) => Network::Nin(Nin::new(config, seed, device)),
        };
        Encoder {
            network,
            taps: self.taps(),
        }
    }
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
pub enum Network {
    /// Network-in-network.
    Nin(Nin),
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

    /// Multiply-adds of the encoder's convolutions for one image of this height and width in pixels;
    /// None where it is not a chain of them.
    pub fn multiply_adds(&self, image_size: [usize; 2]) -> Option<MultiplyAdds> {
        match &self.network {
            Network::Nin(nin) => {
                let chain = nin.chain(self.last_tap().index, image_size)?;
                Some(chain.multiply_adds())
            }
        }
    }

    /// Features at `tap` of normalised images `[batch, 3, height, width]`.
    pub fn forward(&self, images: Tensor<4>, tap: &Tap) -> Tensor<4> {
        self.forward_views(images, 1, tap)
    }

    /// [`forward`](Self::forward) for a batch of `views` equal parts, one after the other: in
    /// training each is normalised with its own batch statistics, which move the running ones in
    /// turn, as if each had gone through alone. One pass for all is faster.
    pub fn forward_views(&self, images: Tensor<4>, views: usize, tap: &Tap) -> Tensor<4> {
        match &self.network {
            Network::Nin(nin) => nin.forward_views(images, views, tap.index),
        }
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
