//! Auto-Encoding Transformations with a parameterised family (Zhang et al., CVPR 2019, sections
//! 3.1 and 3.2): a siamese encoder, global average pooling of both views' features, and one linear
//! layer that gives the transformation's parameters back.

use std::sync::Arc;

use aet_data::{Augment, ItemPipeline, PairPipeline};
use aet_geometry::{Family, TransformationFamily};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::distance::Distance;
use super::estimate::{Answer, Candidates};
use super::siamese::{
    Hidden, check_hidden, decode, decoder_layers, hidden_label, siamese_features,
};
use super::{Decoder, Objective, ObjectiveOutput, Pretext, Task, Trivial, Yardstick};
use crate::backbone::Encoder;
use crate::batch::{Batch, PairBatch};
use crate::border::Framing;
use crate::config::Experiment;
use crate::error::{ConfigError, LearnError};
use crate::matrix::{corner_error_px, corner_positions_px, normalised_matrix_entries};
use crate::transform::transform_batch;

/// The temperature at which candidates compete where images are compared ([`Answer::energy`]), as a
/// share of the distance of one colour, and the least it is.
const TEMPERATURE: f64 = 0.2;
const COLDEST: f64 = 1e-3;

/// How the decoder's answer is held against the transformation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Squared differences of the normalised parameters, as released.
    #[default]
    Parameters,
    /// Squared differences of the entries of the 3x3 matrix, in normalised coordinates (section
    /// 3.2).
    Matrix,
    /// Squared differences of where the four corners of the image are read from, in normalised
    /// coordinates.
    Corners,
    /// The distance between t(x) and the image that the estimate of t makes of x (section 3.4); where
    /// the estimate may be one of several candidates, the negative logarithm of their mixture's
    /// likelihood.
    Image,
}

/// How the squared differences of one pair become one number. Both are averaged over the batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Their mean, as released: (2 / n) of the paper's loss for n components.
    #[default]
    Mean,
    /// Half of their sum, as the paper writes it: 1/2 ||M(theta) - M(theta^)||^2.
    HalfSum,
}

impl Reduction {
    /// `[batch, n]` squared differences to one number.
    pub(super) fn of(self, squares: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Mean => squares.mean(),
            Self::HalfSum => squares.sum_dim(1).mean() * 0.5,
        }
    }
}

/// The AET objective.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AetConfig {
    /// What is compared; absent, the parameters where transformations have some, else images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// How it becomes one number; the distance of images is a mean in any case.
    pub reduction: Reduction,
    /// What the distance of images is, for `loss = "image"`.
    pub distance: Distance,
    /// Units of a hidden layer with a ReLU in the decoder, which tells more for worse features; absent,
    /// none, as released: an answer is then a number for x and one for t(x), added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
}

impl AetConfig {
    fn loss_for(&self, family: &Family) -> Loss {
        self.loss.unwrap_or(match family.surrogate() {
            Some(_) => Loss::Image,
            None => Loss::Parameters,
        })
    }

    /// Refuses a loss that `family` has nothing for.
    fn check(&self, family: &Family) -> Result<(), ConfigError> {
        let loss = self.loss_for(family);
        let allowed = if family.surrogate().is_some() {
            (loss != Loss::Image)
                .then_some("\"image\" for a family without parameters, such as this one")
        } else {
            match loss {
                Loss::Parameters => None,
                Loss::Matrix | Loss::Corners => (!family.is_homography()
                    || family.changes_values())
                .then_some("\"parameters\" for a family that is not a homography"),
                Loss::Image => (!family.is_differentiable())
                    .then_some("\"parameters\" for a family that changes values"),
            }
        };
        let Some(allowed) = allowed else {
            return Ok(());
        };
        let found = format!("\"{}\"", format!("{loss:?}").to_lowercase());
        Err(ConfigError::range("objective.loss", allowed, found))
    }
}

impl Pretext for AetConfig {
    fn settle(&mut self, family: &Family) {
        self.loss = Some(self.loss_for(family));
    }

    fn validate(&self, family: &Family) -> Result<(), ConfigError> {
        check_hidden(self.hidden)?;
        self.check(family)
    }

    fn label(&self, experiment: &Experiment) -> String {
        let family = &experiment.transformation;
        let by = match self.loss_for(family) {
            Loss::Parameters => "",
            Loss::Image if family.surrogate().is_some() => "",
            Loss::Matrix => ", loss matrix",
            Loss::Corners => ", loss corners",
            Loss::Image => ", loss image",
        };
        format!("aet {}{by}{}", family.name(), hidden_label(self.hidden))
    }

    fn task(&self, experiment: &Experiment) -> String {
        format!("{} transformations", experiment.transformation.name())
    }

    fn items(&self) -> &'static str {
        "pairs"
    }

    fn families<'a>(&'a self, experiment: &'a Experiment) -> Vec<&'a Family> {
        vec![&experiment.transformation]
    }

    fn pipeline(&self, experiment: &Experiment, augment: Augment) -> Arc<dyn ItemPipeline> {
        Arc::new(PairPipeline {
            augment,
            family: experiment.transformation.clone(),
            border: experiment.warp.host_border(),
            normalisation: experiment.data.normalisation.clone(),
        })
    }

    fn yardstick(&self) -> Yardstick {
        match self.loss {
            Some(Loss::Image) => Yardstick {
                metric: "image_ratio",
                trivial: Trivial::Identity,
            },
            Some(Loss::Matrix) => Yardstick {
                metric: "matrix_mse",
                trivial: Trivial::MeanAnswer,
            },
            Some(Loss::Corners) => Yardstick {
                metric: "corner_px",
                trivial: Trivial::MeanAnswer,
            },
            Some(Loss::Parameters) | None => Yardstick {
                metric: "mse",
                trivial: Trivial::MeanTarget,
            },
        }
    }

    fn target_names(&self, experiment: &Experiment) -> Vec<String> {
        match experiment.transformation.surrogate() {
            Some(_) => Vec::new(),
            None => experiment.transformation.target_names(),
        }
    }

    fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Result<Objective, LearnError> {
        Ok(Objective::Aet(Aet::new(self, task, seed, device)))
    }
}

impl Decoder for Aet {
    fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        self.loss(encoder, &batch.pairs())
    }

    fn predict(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        self.predict(encoder, &batch.pairs())
    }

    fn expect(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        self.answer(encoder, &batch.pairs()).mean()
    }

    fn judge(&self, answer: Tensor<2>, batch: &Batch) -> Option<ObjectiveOutput> {
        Some(self.judge(&Answer::certain(answer), &batch.pairs()))
    }

    fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }
}

/// `[batch, channels, height, width]` images, each with its mean in every place.
fn one_colour(images: &Tensor<4>) -> Tensor<4> {
    let mean = images.clone().mean_dim(2).mean_dim(3);
    mean.expand(images.dims())
}

/// The siamese decoder and its loss.
#[derive(Module, Debug)]
pub struct Aet {
    /// Hidden units, if there are some.
    pub hidden: Option<Hidden>,
    /// `[2 * channels or hidden units, target length]`; with several candidates, that for each of them
    /// and their scores.
    pub weight: Param<Tensor<2>>,
    /// As many numbers as `weight` has columns.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    config: AetConfig,
    #[module(skip)]
    loss: Loss,
    #[module(skip)]
    candidates: Candidates,
    /// The family whose parameters are answered with.
    #[module(skip)]
    family: Family,
    /// Whether that is the one that transformations come from, and so has their targets.
    #[module(skip)]
    has_target: bool,
    #[module(skip)]
    image_size: [usize; 2],
    #[module(skip)]
    framing: Framing,
}

impl Aet {
    /// A decoder with weights from U(-1/sqrt(inputs), 1/sqrt(inputs)) and biases of 0; with
    /// `loss = "image"`, one with a candidate near each anchor of the family.
    pub fn new(config: &AetConfig, task: &Task<'_>, seed: u64, device: &Device) -> Self {
        Self::of_member(config, task, (seed, 0), device)
    }

    /// As [`new`](Self::new), with draws of its own for each member of an ensemble.
    pub(super) fn of_member(
        config: &AetConfig,
        task: &Task<'_>,
        seed: (u64, u64),
        device: &Device,
    ) -> Self {
        let family = task.family.answer();
        let loss = config.loss_for(task.family);
        let has_target = task.family.surrogate().is_none();
        let size = task.image_size;
        let candidates = match loss {
            Loss::Image if has_target => Candidates::near(family, family.anchors(size)),
            // A surrogate follows motions that are no turns.
            Loss::Image => {
                let identity = family.identity_target(size).into_iter();
                Candidates::near(family, identity.collect())
            }
            Loss::Parameters | Loss::Matrix | Loss::Corners => Candidates::one(family),
        };
        let size = [2 * task.channels, candidates.outputs()];
        let (hidden, (weight, bias)) = decoder_layers(size, config.hidden, seed, device);
        Self {
            hidden,
            weight,
            bias,
            config: config.clone(),
            loss,
            candidates,
            family: family.clone(),
            has_target,
            image_size: task.image_size,
            framing: task.framing,
        }
    }

    /// What is said of a batch. In training each view is normalised with its own batch statistics, as
    /// released.
    fn answer(&self, encoder: &Encoder, batch: &PairBatch) -> Answer {
        self.decode(siamese_features(encoder, &self.framing.seen_pair(batch)))
    }

    /// The predicted normalised target, the most likely one, `[batch, target length]`.
    pub fn predict(&self, encoder: &Encoder, batch: &PairBatch) -> Tensor<2> {
        self.answer(encoder, batch).best()
    }

    /// How it treats borders.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Components of the target that is predicted, 0 where transformations have none.
    pub(super) fn target_len(&self) -> usize {
        match self.has_target {
            true => self.family.target_len(),
            false => 0,
        }
    }

    /// Features of both views, `[batch, 2 * channels]`, to what is said of them.
    pub(super) fn decode(&self, features: Tensor<2>) -> Answer {
        let outputs = decode(features, self.hidden.as_ref(), &self.weight, &self.bias);
        self.candidates.answer(outputs)
    }

    /// The loss of a batch, and beside it, of its most likely target:
    /// - `mse`, the mean squared error of the normalised target, where transformations have one;
    /// - `corner_px`, how far the corners are off on average, where they move by a homography;
    /// - with `loss = "matrix"`, `matrix_mse`, the mean squared error of the matrix entries;
    /// - with `loss = "image"`, `image_ratio`: its distance over that of the identity, which is below 1
    ///   where the estimate tells anything of the transformation; and `colour_ratio`, that of a copy in
    ///   one colour, the mean of the original, which is what an estimate that gives up comes to.
    pub fn loss(&self, encoder: &Encoder, batch: &PairBatch) -> ObjectiveOutput {
        self.judge(&self.answer(encoder, batch), batch)
    }

    /// The loss of an answer, and the parts that [`loss`](Self::loss) names.
    pub(super) fn judge(&self, answer: &Answer, batch: &PairBatch) -> ObjectiveOutput {
        let prediction = answer.best();
        let mut parts = Vec::new();
        if self.has_target {
            let squares = (prediction.clone() - batch.target.clone()).square();
            parts.push(("mse", squares.detach().mean()));
            if self.family.is_homography() {
                let pair = [&prediction, &batch.target];
                let error = corner_error_px(&self.family, pair, self.image_size);
                parts.push(("corner_px", error));
            }
        }
        let loss = match self.loss {
            Loss::Parameters => self
                .config
                .reduction
                .of((prediction - batch.target.clone()).square()),
            Loss::Matrix => {
                let entries =
                    |target| normalised_matrix_entries(&self.family, target, self.image_size);
                let squares = (entries(prediction) - entries(batch.target.clone())).square();
                parts.push(("matrix_mse", squares.clone().detach().mean()));
                self.config.reduction.of(squares)
            }
            Loss::Corners => {
                let off = self.corners_off_px(prediction, batch.target.clone());
                self.config
                    .reduction
                    .of((off / self.half_sides(&batch.target.device())).square())
            }
            Loss::Image => {
                let distance = self.config.distance;
                let compared = |images| distance.compared(self.framing.seen(images));
                let truth = compared(batch.transformed.clone());
                let from_truth = |images| distance.between(compared(images), truth.clone());
                let identity = from_truth(batch.original.clone()).mean().detach();
                let flat = from_truth(one_colour(&batch.original)).detach();
                let distances = distance.between(
                    compared(self.estimates(batch, answer)),
                    truth.clone().repeat_dim(0, answer.candidates()),
                );
                let best = answer.of_best(distances.clone());
                parts.push(("image_ratio", best.detach() / identity.clone()));
                parts.push(("colour_ratio", flat.clone().mean() / identity));
                answer.energy(distances, (flat * TEMPERATURE).clamp_min(COLDEST))
            }
        };
        ObjectiveOutput { loss, parts }
    }

    /// What the candidates of an answer make of the originals, all of the first, then all of the next,
    /// `[candidates * batch, 3, height, width]`.
    fn estimates(&self, batch: &PairBatch, answer: &Answer) -> Tensor<4> {
        let images = batch.original.clone();
        let images = images.repeat_dim(0, answer.candidates());
        transform_batch(&self.family, images, answer.all(), self.framing.outside)
    }

    /// How far each corner is off along x and y, in pixels, `[batch, 8]`.
    fn corners_off_px(&self, prediction: Tensor<2>, target: Tensor<2>) -> Tensor<2> {
        let corners = |target| corner_positions_px(&self.family, target, self.image_size);
        corners(prediction) - corners(target)
    }

    /// Half the width and half the height in turn, `[1, 8]`: a unit of normalised coordinates.
    fn half_sides(&self, device: &Device) -> Tensor<2> {
        let [height, width] = self.image_size.map(|side| side as f32 / 2.0);
        let sides = [width, height].repeat(4);
        Tensor::from_data(TensorData::new(sides, [1, 8]), device)
    }
}
