//! What an encoder is trained for. An objective owns its decoder; it is one file and one row in
//! [`ObjectiveConfig`] and [`Objective`].

mod aet;
mod avt;
mod distance;
mod siamese;

use aet_geometry::Family;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use aet::{Aet, AetConfig, Loss, Reduction};
pub use avt::{Avt, AvtConfig};
pub use distance::Distance;
pub use siamese::global_average;

use crate::backbone::Encoder;
use crate::batch::PairBatch;
use crate::error::ConfigError;

/// Which objective to train for; the tag is its name in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ObjectiveConfig {
    /// Auto-encode the transformation.
    Aet(AetConfig),
    /// Auto-encode a distribution of the transformation.
    Avt(AvtConfig),
}

/// Every objective, with a line on each.
pub const OBJECTIVES: &[(&str, &str)] = &[
    (
        "aet",
        "regress the transformation from the features of the original and the transformed image",
    ),
    (
        "avt",
        "the same with a mean and a variance for each parameter, by the likelihood",
    ),
];

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self::Aet(AetConfig::default())
    }
}

/// What the decoder is built for.
#[derive(Debug, Clone, PartialEq)]
pub struct Task<'a> {
    /// The family that transformations come from.
    pub family: &'a Family,
    /// Height and width of the images, in pixels.
    pub image_size: [usize; 2],
    /// Channels of the features that the decoder reads.
    pub channels: usize,
    /// The normalised colour of what transformations read from outside an image.
    pub fill: [f32; 3],
}

impl ObjectiveConfig {
    /// Its name in TOML.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Aet(_) => "aet",
            Self::Avt(_) => "avt",
        }
    }

    /// Spells out what is left to `family`.
    pub(crate) fn settle(&mut self, family: &Family) {
        match self {
            Self::Aet(config) => config.settle(family),
            Self::Avt(_) => {}
        }
    }

    /// Refuses what does not go with `family`.
    ///
    /// # Errors
    /// Names the key, what it may be and the value.
    pub fn validate(&self, family: &Family) -> Result<(), ConfigError> {
        match self {
            Self::Aet(config) => config.validate(family),
            Self::Avt(_) => avt::validate(family),
        }
    }

    /// The objective with a decoder whose weights are drawn from `seed`.
    pub fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Objective {
        match self {
            Self::Aet(config) => Objective::Aet(Aet::new(config, task, seed, device)),
            Self::Avt(_) => Objective::Avt(Avt::new(task, seed, device)),
        }
    }
}

/// An objective with its decoder.
#[derive(Module, Debug)]
pub enum Objective {
    /// Auto-encode the transformation.
    Aet(Aet),
    /// Auto-encode a distribution of the transformation.
    Avt(Avt),
}

/// The loss of a batch.
#[derive(Debug, Clone)]
pub struct ObjectiveOutput {
    /// What is minimised, a single number.
    pub loss: Tensor<1>,
    /// Other figures worth logging, by name; single numbers, off the gradient.
    pub parts: Vec<(&'static str, Tensor<1>)>,
}

impl Objective {
    /// The loss of a batch; on an autodiff device it can be differentiated.
    pub fn loss(&self, encoder: &Encoder, batch: &PairBatch) -> ObjectiveOutput {
        match self {
            Self::Aet(aet) => aet.loss(encoder, batch),
            Self::Avt(avt) => avt.loss(encoder, batch),
        }
    }

    /// The predicted normalised targets, `[batch, target length]`.
    pub fn predict(&self, encoder: &Encoder, batch: &PairBatch) -> Tensor<2> {
        match self {
            Self::Aet(aet) => aet.predict(encoder, batch),
            Self::Avt(avt) => avt.predict(encoder, batch),
        }
    }
}
