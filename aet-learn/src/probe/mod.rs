//! Probes: how good frozen features are for telling classes apart. Each is run on the trained and
//! on a random encoder, side by side ([`compare`]), since only their difference is owed to training.
//!
//! A probe is one file and one row in [`ProbeMethod`] and [`PROBES`]. Read it in this order:
//! [`split`] says who may see which labels, [`choice`] what is chosen on validation images,
//! `examine` runs all probes of an encoder, and [`fit`] trains those that are trained.

mod banks;
pub mod choice;
pub mod classifier;
pub mod conv;
mod examine;
pub mod fc;
pub mod fit;
pub mod knn;
mod labels;
mod layers;
pub mod logistic;
mod run;
pub mod split;
pub mod stream;
pub mod tail;
pub mod training;

use std::sync::Arc;

use aet_data::{Augment, ImageSet, Normalisation};
use burn::tensor::Device;
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use choice::{Choice, Stopping};
pub use fc::FcConfig;
pub use knn::KnnConfig;
pub use labels::Labelled;
pub(crate) use layers::Linear;
pub use logistic::{LogisticConfig, LogisticModel};
pub use run::{compare, divide, examine, run_probe, run_probes, standard_split, train_with_labels};
pub use split::{Marks, SealedTest, SplitPlan, Study};
pub use tail::TailConfig;
pub use training::HeadTraining;

use classifier::Head;
use conv::ConvHead;
use fc::FcHead;
use tail::TailHead;

use crate::backbone::BackboneConfig;
use crate::config::Experiment;
pub use crate::embed::Pooling;
use crate::error::ConfigError;

/// A probe: which features it reads, and what it does with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeConfig {
    /// The tap that features are read at; `default` stands for the network's own
    /// ([`BackboneConfig::probe_tap`]).
    #[serde(default = "default_tap")]
    pub tap: String,
    /// What becomes of an image's features: `average`, `full`, `average-N` or `max-N`.
    #[serde(default)]
    pub pooling: Pooling,
    /// What judges them.
    pub method: ProbeMethod,
    /// How it is trained, where it is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub training: HeadTraining,
    /// What it leaves open, to be chosen on validation images.
    #[serde(default, skip_serializing_if = "is_default")]
    pub choose: Choice,
    /// Whether the encoder is thawed: trained with the probe, at the probe's rate, from the weights
    /// that it has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub thaw: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What stands for the tap that the network is usually probed at.
const DEFAULT_TAP: &str = "default";

fn default_tap() -> String {
    DEFAULT_TAP.into()
}

/// What judges features; the tag is its name in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ProbeMethod {
    /// The nearest neighbours vote; nothing is trained.
    Knn(KnnConfig),
    /// Logistic regression, by a solver.
    Logistic(LogisticConfig),
    /// Fully-connected layers are trained.
    Fc(FcConfig),
    /// A convolutional block is trained.
    Conv(ConvConfig),
    /// The rest of AlexNet is trained.
    AlexnetTail(TailConfig),
}

/// A convolutional block trained on frozen feature maps; it has nothing to set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvConfig {}

/// Every probe, with a line on each.
pub const PROBES: &[(&str, &str)] = &[
    (
        "knn",
        "the K nearest training images by cosine similarity vote; nothing is trained",
    ),
    (
        "logistic",
        "logistic regression on standardised features, solved to its optimum",
    ),
    (
        "fc",
        "1 to 3 fully-connected layers trained on the features",
    ),
    (
        "conv",
        "a third network-in-network block and a linear layer trained on full feature maps",
    ),
    (
        "alexnet-tail",
        "the rest of AlexNet after conv4 or conv5, trained on full feature maps",
    ),
];

impl ProbeConfig {
    /// `method` at the network's usual tap: full maps for what reads maps, else averages.
    pub fn of(method: ProbeMethod) -> Self {
        Self {
            tap: default_tap(),
            pooling: match method.reads_maps() {
                true => Pooling::Full,
                false => Pooling::Average,
            },
            method,
            training: HeadTraining::default(),
            choose: Choice::default(),
            thaw: false,
        }
    }

    /// The probes of an experiment that names none: K nearest neighbours and one fully-connected
    /// layer on the averaged features of the usual tap, both of which take seconds.
    pub fn standard() -> Vec<Self> {
        [
            ProbeMethod::Knn(KnnConfig::default()),
            ProbeMethod::Fc(FcConfig::default()),
        ]
        .map(Self::of)
        .into()
    }

    /// The probes that are run during training: K nearest neighbours and logistic regression on the
    /// averaged features of the usual tap, neither of which has a rate to choose.
    pub fn online() -> Vec<Self> {
        [
            ProbeMethod::Knn(KnnConfig::default()),
            ProbeMethod::Logistic(LogisticConfig::default()),
        ]
        .map(Self::of)
        .into()
    }

    /// Puts the usual tap of `backbone` in the place of `default`.
    pub(crate) fn settle_tap(&mut self, backbone: &BackboneConfig) {
        if self.tap == DEFAULT_TAP {
            self.tap = backbone.probe_tap().into();
        }
    }

    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.method.reads_maps() && matches!(self.pooling, Pooling::Average) {
            return Err(ConfigError::range(
                "probes.pooling",
                "\"full\" for a probe that reads feature maps",
                format!("\"{}\"", self.pooling),
            ));
        }
        if self.thaw && !self.method.is_trained() {
            let range = "false where the probe's method is not trained";
            return Err(ConfigError::range("probes.thaw", range, self.thaw));
        }
        self.training.validate()?;
        self.choose.validate(&self.method)?;
        for candidate in self.candidates() {
            candidate.probe.training.validate()?;
            candidate.probe.method.validate()?;
        }
        Ok(())
    }

    /// Its name in tables and logs: method, tap, pooling, such as `1-FC block2 average`.
    pub fn label(&self) -> String {
        let thawed = if self.thaw { "thawed " } else { "" };
        let method = self.method_label();
        format!("{thawed}{method} {} {}", self.tap, self.pooling)
    }

    /// Its method's name, without what is left open, such as `1-FC` or `kNN`.
    pub fn method_label(&self) -> String {
        match &self.method {
            ProbeMethod::Knn(_) if self.choose.neighbours.len() > 1 => "kNN".into(),
            method => method.label(),
        }
    }
}

impl ProbeMethod {
    /// Its name in tables and logs, such as `1-FC` or `kNN K=10`.
    pub fn label(&self) -> String {
        match self {
            Self::Knn(config) => config.label(),
            Self::Logistic(_) => "logistic".into(),
            Self::Fc(config) => format!("{}-FC", config.layers),
            Self::Conv(_) => "conv".into(),
            Self::AlexnetTail(config) => match config.convolution {
                true => "conv5 + 3-FC".into(),
                false => "pool5 + 3-FC".into(),
            },
        }
    }

    /// Its name in TOML.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Knn(_) => "knn",
            Self::Logistic(_) => "logistic",
            Self::Fc(_) => "fc",
            Self::Conv(_) => "conv",
            Self::AlexnetTail(_) => "alexnet-tail",
        }
    }

    /// Whether it is trained by gradient descent.
    pub fn is_trained(&self) -> bool {
        !matches!(self, Self::Knn(_) | Self::Logistic(_))
    }

    fn reads_maps(&self) -> bool {
        matches!(self, Self::Conv(_) | Self::AlexnetTail(_))
    }

    fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Knn(config) => config.validate(),
            Self::Logistic(config) => config.validate(),
            Self::Fc(config) => config.validate(),
            Self::Conv(_) => Ok(()),
            Self::AlexnetTail(config) => config.validate(),
        }
    }

    /// The layers that are trained, for features of `shape` (channels, height, width). Methods that
    /// are not trained have a linear layer, which nothing asks for.
    fn head(&self, shape: [usize; 3], classes: usize, rng: &mut impl Rng, device: &Device) -> Head {
        match self {
            Self::Conv(_) => Head::Conv(ConvHead::new(shape[0], classes, rng, device)),
            Self::AlexnetTail(config) => {
                Head::Tail(TailHead::new(config, shape[0], classes, rng, device))
            }
            Self::Fc(config) => Head::Fc(FcHead::new(config, shape, classes, rng, device)),
            Self::Knn(_) | Self::Logistic(_) => {
                let linear = FcConfig::default();
                Head::Fc(FcHead::new(&linear, shape, classes, rng, device))
            }
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
    /// Whether the encoder was trained with the probe.
    #[serde(default)]
    pub thawed: bool,
    /// The result: the test error after the last epoch (or the one chosen on validation images), or
    /// of the neighbours' vote.
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
    /// What was chosen on validation images; None where nothing was left open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// What was chosen among; empty where nothing was left open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidateResult>,
    /// Seconds that it took, without reading features that an earlier probe had read already.
    pub seconds: f64,
    /// Which test images it was right on, in the order of the set.
    #[serde(skip)]
    pub marks: Marks,
}

/// What was chosen on validation images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The candidate, such as `K=5`; empty where only the epoch was left open.
    pub name: String,
    /// The epoch whose state counts, counted from 0, where there are epochs.
    pub epoch: Option<u64>,
    /// Its error on the validation images, as a share.
    pub validation_error: f64,
}

/// One of the probes that were chosen among.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateResult {
    /// What sets it apart, such as `K=5`.
    pub name: String,
    /// Its error on the validation images, as a share.
    pub validation_error: Option<f64>,
    /// Its error on the test images, as a share, where it is shown beside the chosen one; it was
    /// not looked at to choose.
    pub error: Option<f64>,
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
