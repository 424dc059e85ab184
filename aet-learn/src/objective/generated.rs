//! AET with GAN-induced transformations (AET, section 3.3): a local generator that was trained before
//! and stays as it is makes t(x) = G(x, z), and z is regressed from the features of both.

use std::path::PathBuf;
use std::sync::Arc;

use aet_data::{Augment, ItemPipeline};
use aet_geometry::Family;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::aet::Reduction;
use super::siamese::{
    Hidden, check_hidden, decode, decoder_layers, hidden_label, siamese_features,
};
use super::{
    Decoder, Objective, ObjectiveOutput, Pretext, Task, Trivial, Yardstick, images_with_draws,
};
use crate::backbone::Encoder;
use crate::batch::{Batch, PairBatch};
use crate::config::Experiment;
use crate::error::{ConfigError, LearnError};
use crate::generator::{LocalGenerator, read_shape};

/// The objective of GAN-induced transformations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratedConfig {
    /// The generator: the run of `aet train-generator`, or its file.
    pub generator: PathBuf,
    /// How the squared differences of z / sigma become one number.
    pub reduction: Reduction,
    /// Units of a hidden layer with a ReLU in the decoder, which tells more for worse features; absent,
    /// none, as released: an answer is then a number for x and one for t(x), added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Numbers of z, read from the generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axes: Option<usize>,
}

impl Pretext for GeneratedConfig {
    /// The path from anywhere, and the number of axes, so that a run keeps them.
    fn settle(&mut self, _family: &Family) {
        if self.generator.as_os_str().is_empty() {
            return;
        }
        if let Ok(path) = std::path::absolute(&self.generator) {
            self.generator = path;
        }
        if self.axes.is_none() {
            self.axes = read_shape(&self.generator).ok().map(|shape| shape.axes);
        }
    }

    fn validate(&self, _family: &Family) -> Result<(), ConfigError> {
        check_hidden(self.hidden)?;
        if self.axes.is_some() {
            return Ok(());
        }
        let range = "a run of `aet train-generator`, or its generator.safetensors";
        let found = format!("{:?}", self.generator);
        Err(ConfigError::range("objective.generator", range, found))
    }

    fn label(&self, _experiment: &Experiment) -> String {
        format!("aet gan-induced{}", hidden_label(self.hidden))
    }

    fn task(&self, _experiment: &Experiment) -> String {
        "transformations by a local generator".into()
    }

    fn items(&self) -> &'static str {
        "pairs"
    }

    /// The augmented image; the target is z / sigma.
    fn pipeline(&self, experiment: &Experiment, augment: Augment) -> Arc<dyn ItemPipeline> {
        let draws = self.axes.unwrap_or(0);
        images_with_draws(experiment, augment, 0.0, draws)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick {
            metric: "mse",
            trivial: Trivial::MeanTarget,
        }
    }

    fn target_names(&self, _experiment: &Experiment) -> Vec<String> {
        let axes = 1..=self.axes.unwrap_or(0);
        axes.map(|axis| format!("z{axis}")).collect()
    }

    fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Result<Objective, LearnError> {
        let still = device.clone().without_autodiff();
        let generator = LocalGenerator::open(&self.generator, task.normalisation, &still)?;
        let shape = generator.shape();
        if shape.image_size != task.image_size || Some(shape.axes) != self.axes {
            let [[height, width], [rows, columns]] = [shape.image_size, task.image_size];
            return Err(LearnError::Damaged {
                path: self.generator.clone(),
                message: format!(
                    "the generator has {} axes and makes images of {height}x{width}, but this run has {} and images of {rows}x{columns}",
                    shape.axes,
                    self.axes.unwrap_or(0)
                ),
            });
        }
        let size = [2 * task.channels, shape.axes];
        let (hidden, (weight, bias)) = decoder_layers(size, self.hidden, (seed, 0), device);
        Ok(Objective::Generated(Generated {
            generator: generator.to_device(device),
            hidden,
            weight,
            bias,
            reduction: self.reduction,
        }))
    }
}

/// The generator, which stays as it is, and the siamese decoder of z.
#[derive(Module, Debug)]
pub struct Generated {
    /// G.
    pub generator: LocalGenerator,
    /// Hidden units, if there are some.
    pub hidden: Option<Hidden>,
    /// `[2 * channels or hidden units, axes]`.
    pub weight: Param<Tensor<2>>,
    /// `[axes]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    reduction: Reduction,
}

impl Generated {
    /// x, G(x, z) and z / sigma. The generator is left out of the gradient.
    pub fn pairs(&self, batch: &Batch) -> PairBatch {
        let original = batch.views[0].clone();
        let is_training = original.device().is_autodiff();
        let still = self.generator.valid();
        let z = batch.target.clone() * still.shape().sigma;
        let copy = still.generate(original.clone().without_autodiff(), z.without_autodiff());
        PairBatch {
            original,
            transformed: if is_training { copy.autodiff() } else { copy },
            target: batch.target.clone(),
        }
    }
}

impl Decoder for Generated {
    fn generator(&self) -> Option<&LocalGenerator> {
        Some(&self.generator)
    }

    /// Beside the loss `mse`, the mean squared error of z / sigma.
    fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        let squares = (self.predict(encoder, batch) - batch.target.clone()).square();
        let mse = squares.clone().detach().mean();
        ObjectiveOutput {
            loss: self.reduction.of(squares),
            parts: vec![("mse", mse)],
        }
    }

    /// z / sigma, `[batch, axes]`.
    fn predict(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        let features = siamese_features(encoder, &self.pairs(batch));
        decode(features, self.hidden.as_ref(), &self.weight, &self.bias)
    }
}
