//! What an encoder is trained for. An objective owns its decoder; it is one file, in which its
//! configuration is a `Pretext` and its decoder a `Decoder`, and one row in [`ObjectiveConfig`],
//! [`Objective`] and [`OBJECTIVES`].

mod aed;
mod aet;
mod avt;
mod distance;
mod ensemble;
mod estimate;
mod generated;
mod lgan;
mod rotnet;
mod siamese;

use std::sync::Arc;

use aet_data::{Augment, ItemPipeline, Normalisation, RebuildPipeline, ViewPipeline};
use aet_geometry::Family;
use burn::module::{Module, ParamId};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use aed::{Aed, AedConfig, divergence_from_normal};
pub use aet::{Aet, AetConfig, Loss, Reduction};
pub use avt::{Avt, AvtConfig};
pub use distance::Distance;
pub use ensemble::{Ensemble, EnsembleConfig, Member};
pub use generated::{Generated, GeneratedConfig};
pub use lgan::{Lgan, LganConfig};
pub use rotnet::{RotNet, RotNetConfig, TURNS};
pub use siamese::{Hidden, global_average};

use crate::backbone::Encoder;
use crate::batch::Batch;
use crate::border::{BorderMode, Framing};
use crate::config::Experiment;
use crate::error::{ConfigError, LearnError};
use crate::generator::LocalGenerator;

/// Which objective to train for; the tag is its name in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ObjectiveConfig {
    /// Auto-encode the transformation.
    Aet(AetConfig),
    /// Auto-encode a distribution of the transformation.
    Avt(AvtConfig),
    /// Auto-encode transformations of several families.
    Ensemble(EnsembleConfig),
    /// Auto-encode the image.
    Aed(AedConfig),
    /// Tell quarter turns.
    #[serde(rename = "rotnet")]
    RotNet(RotNetConfig),
    /// Train a local generator.
    Lgan(LganConfig),
    /// Auto-encode what a local generator did.
    Generated(GeneratedConfig),
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
    (
        "ensemble",
        "several families at once, each with a decoder and a weight of its own",
    ),
    (
        "aed",
        "rebuild the image from a small code: plain, denoising or variational auto-encoder of data",
    ),
    (
        "rotnet",
        "tell by how many quarter turns a square image was turned, all four turns in a batch",
    ),
    (
        "lgan",
        "train a local generator G(x, z) against a discriminator (aet train-generator)",
    ),
    (
        "generated",
        "regress z from the features of x and G(x, z), with a local generator that is trained already",
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
    /// What images are normalised with.
    pub normalisation: &'a Normalisation,
    /// What becomes of what transformations read from outside an image.
    pub framing: Framing,
}

/// What the configuration of an objective answers for.
trait Pretext {
    /// Spells out what is left to `family`, the one that transformations come from.
    fn settle(&mut self, _family: &Family) {}

    /// Refuses values that cannot be, or do not go with `family`.
    fn validate(&self, _family: &Family) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Refuses images of a height and width, in pixels, that the task cannot be set on.
    fn check_image_size(&self, _image_size: [usize; 2]) -> Result<(), ConfigError> {
        Ok(())
    }

    /// What sets it apart in tables, in a word or a few.
    fn label(&self, experiment: &Experiment) -> String;

    /// What is to be told, in a few words.
    fn task(&self, experiment: &Experiment) -> String;

    /// What an item of a batch is called, in the plural.
    fn items(&self) -> &'static str {
        "images"
    }

    /// The families that views are made by, in their order; none where there are no transformed
    /// copies, and `warp` plays no part.
    fn families<'a>(&'a self, _experiment: &'a Experiment) -> Vec<&'a Family> {
        Vec::new()
    }

    /// What becomes of an item, augmented by `augment`.
    fn pipeline(&self, experiment: &Experiment, augment: Augment) -> Arc<dyn ItemPipeline>;

    /// How well it is done.
    fn yardstick(&self) -> Yardstick;

    /// The names of the target's components, where numbers are regressed.
    fn target_names(&self, _experiment: &Experiment) -> Vec<String> {
        Vec::new()
    }

    /// The objective with a decoder whose weights are drawn from `seed`.
    fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Result<Objective, LearnError>;
}

/// One of those that take turns within a training step, each against a loss of its own, as generator
/// and discriminator do.
#[derive(Debug, Clone, PartialEq)]
pub struct Player {
    /// Its learning rate, as a share of the schedule's.
    pub rate: f64,
    /// What it moves; all there is where it is none.
    pub parameters: Option<Vec<ParamId>>,
}

/// What an objective with its decoder does.
trait Decoder {
    /// Those that take turns within a step, in their order.
    fn players(&self, _encoder: &Encoder) -> Vec<Player> {
        let everything = Player {
            rate: 1.0,
            parameters: None,
        };
        vec![everything]
    }

    /// What the player at a place minimises; on an autodiff device it can be differentiated.
    fn player_loss(&self, _player: usize, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        self.loss(encoder, batch)
    }

    /// The local generator in it, if there is one.
    fn generator(&self) -> Option<&LocalGenerator> {
        None
    }

    /// The loss of a batch; on an autodiff device it can be differentiated.
    fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput;

    /// What [`loss`](Self::loss) would give if the decoder had answered with `answer`, `[batch, target
    /// length]`; none where that cannot be said.
    fn judge(&self, _answer: Tensor<2>, _batch: &Batch) -> Option<ObjectiveOutput> {
        None
    }

    /// Means and log-variances of the normalised target, `[batch, target length]` each, where the
    /// decoder answers with a distribution.
    fn distribution(&self, _encoder: &Encoder, _batch: &Batch) -> Option<[Tensor<2>; 2]> {
        None
    }

    /// What the decoder answers.
    fn predict(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2>;

    /// What it answers on average, where it answers with one of several things, each with a chance.
    fn expect(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        self.predict(encoder, batch)
    }

    /// Treats borders in another way from here on; nothing where there are none.
    fn set_framing(&mut self, _framing: Framing) {}
}

/// Augmented images, seen through noise of so many units of the pixel value where that is above 0, each
/// with so many draws of N(0, 1) for a target.
fn images_with_draws(
    experiment: &Experiment,
    augment: Augment,
    noise: f64,
    draws: usize,
) -> Arc<dyn ItemPipeline> {
    Arc::new(RebuildPipeline {
        view: ViewPipeline {
            augment,
            normalisation: experiment.data.normalisation.clone(),
        },
        noise,
        draws,
    })
}

/// The figure, beside its loss, that says how well an objective does on images that it did not learn
/// from, and what it is to be held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Yardstick {
    /// The part of [`ObjectiveOutput`] that is meant.
    pub metric: &'static str,
    /// The answer that takes no features.
    pub trivial: Trivial,
}

/// An answer that takes no features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trivial {
    /// The mean of all targets; the metric is a mean squared error.
    MeanTarget,
    /// The same, judged as the decoder's answers are, by whatever the metric is.
    MeanAnswer,
    /// The mean of all images of the last view, normalised; the metric is a mean squared error.
    MeanImage,
    /// Any of so many classes that are equally frequent; the metric is a share of right answers.
    Chance(usize),
    /// The image as it was; the metric is a ratio to its distance.
    Identity,
    /// A generator that does not move along any of so many axes, of which J^T J is 0; the metric is its
    /// mean absolute difference from I.
    Still(usize),
}

impl Trivial {
    /// Its name in keys of the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::MeanTarget | Self::MeanAnswer | Self::MeanImage => "mean",
            Self::Chance(_) => "chance",
            Self::Identity => "identity",
            Self::Still(_) => "still",
        }
    }
}

impl ObjectiveConfig {
    fn pretext(&self) -> &dyn Pretext {
        match self {
            Self::Aet(config) => config,
            Self::Avt(config) => config,
            Self::Ensemble(config) => config,
            Self::Aed(config) => config,
            Self::RotNet(config) => config,
            Self::Lgan(config) => config,
            Self::Generated(config) => config,
        }
    }

    fn pretext_mut(&mut self) -> &mut dyn Pretext {
        match self {
            Self::Aet(config) => config,
            Self::Avt(config) => config,
            Self::Ensemble(config) => config,
            Self::Aed(config) => config,
            Self::RotNet(config) => config,
            Self::Lgan(config) => config,
            Self::Generated(config) => config,
        }
    }

    /// Its name in TOML.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Aet(_) => "aet",
            Self::Avt(_) => "avt",
            Self::Ensemble(_) => "ensemble",
            Self::Aed(_) => "aed",
            Self::RotNet(_) => "rotnet",
            Self::Lgan(_) => "lgan",
            Self::Generated(_) => "generated",
        }
    }

    /// Spells out what is left to `family`, the one that transformations come from.
    pub(crate) fn settle(&mut self, family: &Family) {
        self.pretext_mut().settle(family);
    }

    /// Refuses values that cannot be, or do not go with `family`.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self, family: &Family) -> Result<(), ConfigError> {
        self.pretext().validate(family)
    }

    /// Refuses images of a height and width, in pixels, that the task cannot be set on.
    ///
    /// # Errors
    /// Names what is asked for and the size.
    pub fn check_image_size(&self, image_size: [usize; 2]) -> Result<(), ConfigError> {
        self.pretext().check_image_size(image_size)
    }

    /// What an item of a batch is called, in the plural: `pairs` or `images`.
    pub fn items(&self) -> &'static str {
        self.pretext().items()
    }

    /// How well the task is done.
    pub fn yardstick(&self) -> Yardstick {
        self.pretext().yardstick()
    }

    /// The objective with a decoder whose weights are drawn from `seed`.
    ///
    /// # Errors
    /// When a file that it is built on cannot be read.
    pub fn init(
        &self,
        task: &Task<'_>,
        seed: u64,
        device: &Device,
    ) -> Result<Objective, LearnError> {
        self.pretext().init(task, seed, device)
    }
}

impl Experiment {
    /// What becomes of an item of a batch in training.
    pub fn training_pipeline(&self) -> Arc<dyn ItemPipeline> {
        let augment = self.augment.clone();
        self.objective.pretext().pipeline(self, augment)
    }

    /// The same with nothing random done to the image.
    pub fn evaluation_pipeline(&self) -> Arc<dyn ItemPipeline> {
        self.objective
            .pretext()
            .pipeline(self, self.augment.still())
    }

    /// The families that transformed copies are made by, in the order of the views; none where the
    /// objective has no such copies, and `warp` plays no part.
    pub fn families(&self) -> Vec<&Family> {
        self.objective.pretext().families(self)
    }

    /// What the encoder has to tell, in a few words, such as `projective transformations`.
    pub fn task(&self) -> String {
        self.objective.pretext().task(self)
    }

    /// The names of the components of the target that is regressed; none where no numbers are.
    pub fn target_names(&self) -> Vec<String> {
        self.objective.pretext().target_names(self)
    }

    /// What sets the pretraining apart in tables, such as `aet projective`.
    pub fn method(&self) -> String {
        let label = self.objective.pretext().label(self);
        match self.warp.border {
            _ if self.families().is_empty() => label,
            BorderMode::Fill => label,
            BorderMode::Reflect => format!("{label}, border reflect"),
            BorderMode::Crop => format!("{label}, border crop"),
        }
    }
}

/// An objective with its decoder.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are a few objectives in a process, and its weights are elsewhere"
)]
pub enum Objective {
    /// Auto-encode the transformation.
    Aet(Aet),
    /// Auto-encode a distribution of the transformation.
    Avt(Avt),
    /// Auto-encode transformations of several families.
    Ensemble(Ensemble),
    /// Auto-encode the image.
    Aed(Aed),
    /// Tell quarter turns.
    RotNet(RotNet),
    /// Train a local generator.
    Lgan(Lgan),
    /// Auto-encode what a local generator did.
    Generated(Generated),
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
    fn decoder(&self) -> &dyn Decoder {
        match self {
            Self::Aet(aet) => aet,
            Self::Avt(avt) => avt,
            Self::Ensemble(ensemble) => ensemble,
            Self::Aed(aed) => aed,
            Self::RotNet(rotnet) => rotnet,
            Self::Lgan(lgan) => lgan,
            Self::Generated(generated) => generated,
        }
    }

    /// Those that take turns within a training step, in their order: one, but in adversarial training.
    pub fn players(&self, encoder: &Encoder) -> Vec<Player> {
        self.decoder().players(encoder)
    }

    /// What the player at a place among [`players`](Self::players) minimises.
    pub fn player_loss(&self, player: usize, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        self.decoder().player_loss(player, encoder, batch)
    }

    /// The local generator in it, if there is one.
    pub fn generator(&self) -> Option<&LocalGenerator> {
        self.decoder().generator()
    }

    fn decoder_mut(&mut self) -> &mut dyn Decoder {
        match self {
            Self::Aet(aet) => aet,
            Self::Avt(avt) => avt,
            Self::Ensemble(ensemble) => ensemble,
            Self::Aed(aed) => aed,
            Self::RotNet(rotnet) => rotnet,
            Self::Lgan(lgan) => lgan,
            Self::Generated(generated) => generated,
        }
    }

    /// The same with borders treated in another way than it was trained with.
    pub fn framed(mut self, framing: Framing) -> Self {
        self.decoder_mut().set_framing(framing);
        self
    }

    /// The loss of a batch; on an autodiff device it can be differentiated.
    pub fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        self.decoder().loss(encoder, batch)
    }

    /// What [`loss`](Self::loss) would give if the decoder had answered with `answer`, `[batch, target
    /// length]`; none where that cannot be said.
    pub fn judge(&self, answer: Tensor<2>, batch: &Batch) -> Option<ObjectiveOutput> {
        self.decoder().judge(answer, batch)
    }

    /// Means and log-variances of the normalised target, `[batch, target length]` each, where the
    /// decoder answers with a distribution.
    pub fn distribution(&self, encoder: &Encoder, batch: &Batch) -> Option<[Tensor<2>; 2]> {
        self.decoder().distribution(encoder, batch)
    }

    /// What the decoder answers: normalised targets `[batch, target length]` (`aet`, `avt`, `ensemble`,
    /// `generated`), normalised pixels `[batch, 3 * height * width]` (`aed`, `lgan`), or a score for
    /// each turn of each view, `[4 * batch, 4]` (`rotnet`).
    pub fn predict(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        self.decoder().predict(encoder, batch)
    }

    /// The same on average over what it may be, where the decoder answers with one of several things,
    /// each with a chance: nearest to the targets by squares, but nothing that was ever done.
    pub fn expect(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        self.decoder().expect(encoder, batch)
    }
}
