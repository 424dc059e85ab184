//! Autoencoding Variational Transformations (Qi, Zhang, Chen and Tian, ICCV 2019, arXiv 1903.10863,
//! section 3): the decoder answers with a Gaussian over the normalised target, a mean and a variance
//! for each component, and is trained by its likelihood.

use std::sync::Arc;

use aet_data::{Augment, ItemPipeline};
use aet_geometry::{Family, TransformationFamily};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::aet::AetConfig;
use super::siamese::{
    End, Hidden, check_hidden, decode, decoder_layers, hidden_label, siamese_features,
};
use super::{Decoder, Objective, ObjectiveOutput, Pretext, Task, Trivial, Yardstick};
use crate::backbone::Encoder;
use crate::batch::{Batch, PairBatch};
use crate::border::Framing;
use crate::config::Experiment;
use crate::error::{ConfigError, LearnError};
use crate::matrix::corner_error_px;
use crate::recovery::INTERVALS;

/// Log-variances that the decoder can answer with: standard deviations from 0.0025 to 12 in units of
/// a normalised target.
const LOG_VARIANCE: [f64; 2] = [-12.0, 5.0];

/// Names of the shares of components inside the intervals of [`INTERVALS`].
const COVERAGES: [&str; 3] = ["coverage_50", "coverage_90", "coverage_95"];

/// The variational objective.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AvtConfig {
    /// Units of a hidden layer with a ReLU in the decoder, which tells more for worse features; absent,
    /// none, as released: an answer is then a number for x and one for t(x), added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
}

impl Pretext for AvtConfig {
    fn validate(&self, family: &Family) -> Result<(), ConfigError> {
        check_hidden(self.hidden)?;
        if family.surrogate().is_none() {
            return Ok(());
        }
        let range = "\"aet\" for a family without parameters, such as this one";
        Err(ConfigError::range("objective.kind", range, "\"avt\""))
    }

    fn label(&self, experiment: &Experiment) -> String {
        let family = experiment.transformation.name();
        format!("avt {family}{}", hidden_label(self.hidden))
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
        AetConfig::default().pipeline(experiment, augment)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick {
            metric: "mse",
            trivial: Trivial::MeanTarget,
        }
    }

    fn target_names(&self, experiment: &Experiment) -> Vec<String> {
        experiment.transformation.target_names()
    }

    fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Result<Objective, LearnError> {
        Ok(Objective::Avt(Avt::new(self, task, seed, device)))
    }
}

impl Decoder for Avt {
    fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        self.loss(encoder, &batch.pairs())
    }

    fn distribution(&self, encoder: &Encoder, batch: &Batch) -> Option<[Tensor<2>; 2]> {
        Some(self.distribution(encoder, &batch.pairs()))
    }

    fn predict(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        let [mean, _] = self.distribution(encoder, &batch.pairs());
        mean
    }

    fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }
}

/// The siamese decoder of means and log-variances.
#[derive(Module, Debug)]
pub struct Avt {
    /// Hidden units, if there are some.
    pub hidden: Option<Hidden>,
    /// `[2 * channels or hidden units, 2 * target length]`: means, then log-variances.
    pub weight: Param<Tensor<2>>,
    /// `[2 * target length]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    family: Family,
    #[module(skip)]
    framing: Framing,
}

impl Avt {
    /// A decoder with weights from U(-1/sqrt(inputs), 1/sqrt(inputs)) and biases of 0, so that its
    /// first variances are about 1.
    pub fn new(config: &AvtConfig, task: &Task<'_>, seed: u64, device: &Device) -> Self {
        let size = [2 * task.channels, 2 * task.family.target_len()];
        let (hidden, (weight, bias)) = decoder_layers(size, config.hidden, (seed, 0), device);
        Self {
            hidden,
            weight,
            bias,
            family: task.family.clone(),
            framing: task.framing,
        }
    }

    /// Means and log-variances of the normalised target, `[batch, target length]` each.
    pub fn distribution(&self, encoder: &Encoder, batch: &PairBatch) -> [Tensor<2>; 2] {
        let features = siamese_features(encoder, &self.framing.seen_pair(batch));
        let answers = decode(features, self.hidden.as_ref(), &self.weight, &self.bias);
        let count = self.family.target_len();
        let mean = End::of_family(&self.family).of(answers.clone().narrow(1, 0, count));
        let [low, high] = LOG_VARIANCE;
        // Bent to its range and not cut off at it, so that a gradient is left at its ends.
        let middle = (low + high) / 2.0;
        let half = (high - low) / 2.0;
        let bent = ((answers.narrow(1, count, count) - middle) / half).tanh() * half + middle;
        [mean, bent]
    }

    /// The negative log-likelihood of a target component, averaged over components and batch. Beside
    /// it the mean squared error of the means, how far corners are off where they move by a
    /// homography, the share of components within the intervals that should hold 50, 90 and 95% of
    /// them, and `squared_z`, the mean of the squared errors over their variances, which is 1 where
    /// the variances are right: its root is what standard deviations are to be multiplied by.
    pub fn loss(&self, encoder: &Encoder, batch: &PairBatch) -> ObjectiveOutput {
        let [mean, log_variance] = self.distribution(encoder, batch);
        let squares = (mean.clone() - batch.target.clone()).square();
        let z_squared = squares.clone() * (-log_variance.clone()).exp();
        let mut parts = vec![
            ("mse", squares.detach().mean()),
            ("squared_z", z_squared.clone().detach().mean()),
        ];
        if self.family.is_homography() {
            let [_, _, height, width] = batch.original.dims();
            let pair = [&mean, &batch.target];
            let error = corner_error_px(&self.family, pair, [height, width]);
            parts.push(("corner_px", error));
        }
        for (name, half_width) in COVERAGES.into_iter().zip(INTERVALS) {
            let inside = z_squared
                .clone()
                .detach()
                .lower_elem(half_width * half_width);
            parts.push((name, inside.float().mean()));
        }
        let constant = (2.0 * std::f64::consts::PI).ln() / 2.0;
        let loss = (z_squared + log_variance).mean() * 0.5 + constant;
        ObjectiveOutput { loss, parts }
    }
}
