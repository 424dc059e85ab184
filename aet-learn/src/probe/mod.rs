//! Probes: how good frozen features are for telling classes apart. Each is run on the trained and
//! on a random encoder, side by side ([`compare`]), since only their difference is owed to training.
//!
//! A probe is one file and one row in [`ProbeMethod`] and [`PROBES`]. Those that are themselves
//! trained share one driver, [`head::fit`].

pub mod conv;
pub mod fc;
pub mod head;
pub mod knn;
mod labels;
mod layers;
pub mod logistic;
mod run;

use std::sync::Arc;

use aet_data::{Augment, ImageSet, Normalisation};
use serde::{Deserialize, Serialize};

pub use conv::ConvConfig;
pub use fc::FcConfig;
pub use head::HeadTraining;
pub use knn::KnnConfig;
pub use labels::Labelled;
pub use logistic::{LogisticConfig, LogisticModel};
pub use run::{compare, run_probe, run_probes};

use crate::config::Experiment;
pub use crate::embed::Pooling;
use crate::error::ConfigError;

/// A probe: which features it reads, and what it does with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeConfig {
    /// The tap that features are read at.
    #[serde(default = "default_tap")]
    pub tap: String,
    /// What becomes of an image's features: `average` or `full`.
    #[serde(default)]
    pub pooling: Pooling,
    /// What judges them.
    pub method: ProbeMethod,
}

/// The tap of the published CIFAR-10 probes.
fn default_tap() -> String {
    "block2".into()
}

/// What judges features; the tag is its name in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ProbeMethod {
    /// The nearest neighbours vote; nothing is trained.
    Knn(KnnConfig),
    /// Fully-connected layers are trained.
    Fc(FcConfig),
    /// A convolutional block is trained.
    Conv(ConvConfig),
}

/// Every probe, with a line on each.
pub const PROBES: &[(&str, &str)] = &[
    (
        "knn",
        "the K nearest training images by cosine similarity vote; nothing is trained",
    ),
    (
        "fc",
        "1 to 3 fully-connected layers trained on the features",
    ),
    (
        "conv",
        "a third network-in-network block and a linear layer trained on full feature maps",
    ),
];

impl ProbeConfig {
    /// The probes of an experiment that names none: K nearest neighbours and one fully-connected
    /// layer on the averaged features of `block2`, both of which take seconds.
    pub fn standard() -> Vec<Self> {
        [
            ProbeMethod::Knn(KnnConfig::default()),
            ProbeMethod::Fc(FcConfig::default()),
        ]
        .map(|method| Self {
            tap: default_tap(),
            pooling: Pooling::Average,
            method,
        })
        .into()
    }

    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match &self.method {
            ProbeMethod::Knn(config) => config.validate(),
            ProbeMethod::Fc(config) => config.validate(),
            ProbeMethod::Conv(config) => {
                if self.pooling != Pooling::Full {
                    return Err(ConfigError::range(
                        "evaluation.probes.pooling",
                        "\"full\" for a conv probe, which reads feature maps",
                        format!("\"{}\"", self.pooling),
                    ));
                }
                config.validate()
            }
        }
    }

    /// Its name in tables and logs: method, tap, pooling, such as `1-FC block2 average`.
    pub fn label(&self) -> String {
        format!("{} {} {}", self.method.label(), self.tap, self.pooling)
    }
}

impl ProbeMethod {
    /// Its name in tables and logs, such as `1-FC` or `kNN K=10`.
    pub fn label(&self) -> String {
        match self {
            Self::Knn(config) => config.label(),
            Self::Fc(config) => format!("{}-FC", config.layers),
            Self::Conv(_) => "conv".into(),
        }
    }

    /// How it is trained, where it is.
    fn training(&self) -> Option<HeadTraining> {
        match self {
            Self::Knn(_) => None,
            Self::Fc(config) => Some(config.training()),
            Self::Conv(config) => Some(config.training()),
        }
    }
}

/// What a probe found. Errors are shares of the test images, from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// The probe's label, such as `1-FC block2 average`.
    pub probe: String,
    /// The tap that was read.
    pub tap: String,
    /// What became of an image's features.
    pub pooling: Pooling,
    /// The result: the test error after the last epoch, or of the neighbours' vote.
    pub error: f64,
    /// The lowest test error over the epochs. It was chosen by looking at the test images, so it is
    /// no fair result; None where nothing is trained.
    pub best_error: Option<f64>,
    /// The first epoch after which the lowest error was met, counted from 0.
    pub best_epoch: Option<u64>,
    /// Epochs trained for.
    pub epochs: Option<u64>,
    /// The test error after each epoch; empty where nothing is trained.
    pub errors_per_epoch: Vec<f64>,
    /// Seconds that it took, without reading features that an earlier probe had read already.
    pub seconds: f64,
}

/// The images that probes are run on.
#[derive(Debug, Clone, Copy)]
pub struct ProbeData<'a> {
    /// Labelled images that probes learn from.
    pub train: &'a Arc<ImageSet>,
    /// Labelled images that they are judged on.
    pub test: &'a Arc<ImageSet>,
    /// Mean and standard deviation of the channels that the encoder was trained with.
    pub normalisation: &'a Normalisation,
    /// Random changes made to training images by probes with `augment = true`.
    pub augment: &'a Augment,
    /// Threads that make batches; 0 makes them in the calling thread.
    pub workers: usize,
    /// Seed of the probes' first weights and of the order of images.
    pub seed: u64,
}

impl<'a> ProbeData<'a> {
    /// The images of `experiment`, read as its encoder reads them.
    pub fn of(
        experiment: &'a Experiment,
        train: &'a Arc<ImageSet>,
        test: &'a Arc<ImageSet>,
    ) -> Self {
        Self {
            train,
            test,
            normalisation: &experiment.data.normalisation,
            augment: &experiment.augment,
            workers: experiment.training.workers,
            seed: experiment.seed,
        }
    }
}

/// One probe on the trained encoder and on a random one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the probe found on the trained encoder.
    pub trained: ProbeResult,
    /// What it found on the same network with random weights.
    pub random: ProbeResult,
}
