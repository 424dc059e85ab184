//! What an encoder is trained for. An objective owns its decoder; it is one file and one row in
//! [`ObjectiveConfig`] and [`Objective`].

mod aet;
mod matrix;

use aet_geometry::Family;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use aet::{Aet, AetConfig, Loss, Reduction, global_average};
pub use matrix::normalised_matrix_entries;

use crate::backbone::Encoder;
use crate::batch::PairBatch;

/// Which objective to train for; the tag is its name in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ObjectiveConfig {
    /// Auto-encode the transformation.
    Aet(AetConfig),
}

/// Every objective, with a line on each.
pub const OBJECTIVES: &[(&str, &str)] = &[(
    "aet",
    "regress the transformation from the features of the original and the transformed image",
)];

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
}

impl ObjectiveConfig {
    /// Its name in TOML.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Aet(_) => "aet",
        }
    }

    /// The objective with a decoder whose weights are drawn from `seed`.
    pub fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Objective {
        match self {
            Self::Aet(config) => Objective::Aet(Aet::new(config, task, seed, device)),
        }
    }
}

/// An objective with its decoder.
#[derive(Module, Debug)]
pub enum Objective {
    /// Auto-encode the transformation.
    Aet(Aet),
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
        }
    }

    /// The predicted normalised targets, `[batch, target length]`.
    pub fn predict(&self, encoder: &Encoder, batch: &PairBatch) -> Tensor<2> {
        match self {
            Self::Aet(aet) => aet.predict(encoder, batch),
        }
    }
}
