//! The localised generative adversarial network (Qi et al., CVPR 2018, arXiv 1711.06020) whose
//! generator gives AET its GAN-induced transformations (AET, section 3.3).
//!
//! Two players take turns in a step. The discriminator, which is the run's encoder and a linear layer
//! on its averaged features, tells images from G(x, z) and, by a small weight, from G(x, 0). The
//! generator passes for real, keeps G(x, 0) = x, and keeps the axes of z orthonormal at x: J^T J = I
//! for J = dG(x, z)/dz at 0.

use std::sync::Arc;

use aet_data::random::{self, Purpose};
use aet_data::{Augment, ItemPipeline};
use aet_geometry::Family;
use burn::module::{Module, list_param_ids};
use burn::tensor::activation::softplus;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Decoder, Objective, ObjectiveOutput, Player, Pretext, Task, Trivial, Yardstick, global_average,
    images_with_draws,
};
use crate::backbone::Encoder;
use crate::batch::Batch;
use crate::config::Experiment;
use crate::error::{ConfigError, LearnError};
use crate::generator::{GeneratorShape, LocalGenerator, Origin};
use crate::probe::Linear;

/// The place of the discriminator among the players.
const DISCRIMINATOR: usize = 0;

/// The generator's size, and the weights of what it is trained for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LganConfig {
    /// Numbers of z, 1 to 256.
    pub axes: usize,
    /// Standard deviation of each of them.
    pub sigma: f64,
    /// Numbers of the code that z is added to the first of, at least `axes`; absent, as many as
    /// `axes`. The more, the sharper G(x, 0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<usize>,
    /// Whether the generator makes the change to x, so that G(x, 0) = x exactly, instead of learning to
    /// rebuild it.
    pub residual: bool,
    /// Channels of the generator's first maps, 1 to 512; each halving has twice as many, up to 8 times.
    pub channels: usize,
    /// Weight of the mean absolute difference between G(x, 0) and x, pixels from -1 to 1 (locality).
    pub locality: f64,
    /// Weight of G(x, 0) beside G(x, z) in what both players try for.
    pub origin: f64,
    /// Weight of the mean absolute difference between J^T J and I (orthonormality).
    pub orthonormality: f64,
    /// Axes of z, chosen at random for each image, that J is taken along; at most `axes`.
    pub jacobian_axes: usize,
    /// Images of a batch that J is taken of; absent, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jacobian_images: Option<usize>,
    /// Half the distance of the central differences that J is taken by, in units of z. Below 0.001
    /// the rounding of single precision shows.
    pub jacobian_step: f64,
    /// Learning rate of the discriminator, as a share of the schedule's, which is the generator's.
    pub discriminator_rate: f64,
}

impl Default for LganConfig {
    fn default() -> Self {
        Self {
            axes: 10,
            sigma: 3.0,
            code: None,
            residual: false,
            channels: 64,
            locality: 20.0,
            origin: 0.1,
            orthonormality: 0.01,
            jacobian_axes: 8,
            jacobian_images: None,
            jacobian_step: 0.01,
            discriminator_rate: 0.05,
        }
    }
}

impl LganConfig {
    fn shape(&self, image_size: [usize; 2]) -> GeneratorShape {
        GeneratorShape {
            axes: self.axes,
            sigma: self.sigma,
            code: self.code.unwrap_or(self.axes),
            channels: self.channels,
            residual: self.residual,
            image_size,
        }
    }
}

impl Pretext for LganConfig {
    fn settle(&mut self, _family: &Family) {
        self.jacobian_axes = self.jacobian_axes.min(self.axes);
    }

    fn validate(&self, _family: &Family) -> Result<(), ConfigError> {
        if !(1..=256).contains(&self.axes) {
            return Err(ConfigError::range("objective.axes", "1 to 256", self.axes));
        }
        if let Some(code) = self.code.filter(|code| *code < self.axes) {
            let range = "at least objective.axes";
            return Err(ConfigError::range("objective.code", range, code));
        }
        if !(1..=512).contains(&self.channels) {
            let (key, range) = ("objective.channels", "1 to 512");
            return Err(ConfigError::range(key, range, self.channels));
        }
        if self.jacobian_axes == 0 || self.jacobian_images == Some(0) {
            let (key, range) = ("objective.jacobian_axes and jacobian_images", "at least 1");
            return Err(ConfigError::range(key, range, 0));
        }
        for (key, value) in [
            ("objective.sigma", self.sigma),
            ("objective.jacobian_step", self.jacobian_step),
            ("objective.discriminator_rate", self.discriminator_rate),
        ] {
            ConfigError::check_above_zero(key, value)?;
        }
        for (key, value) in [
            ("objective.locality", self.locality),
            ("objective.origin", self.origin),
            ("objective.orthonormality", self.orthonormality),
        ] {
            ConfigError::check_at_least_zero(key, value)?;
        }
        Ok(())
    }

    fn label(&self, _experiment: &Experiment) -> String {
        "lgan discriminator".into()
    }

    fn task(&self, _experiment: &Experiment) -> String {
        format!("a local generator with {} axes", self.axes)
    }

    /// The augmented image; the target is z / sigma, then as many draws, whose order chooses axes.
    fn pipeline(&self, experiment: &Experiment, augment: Augment) -> Arc<dyn ItemPipeline> {
        let draws = 2 * self.axes;
        images_with_draws(experiment, augment, 0.0, draws)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick {
            metric: "orthonormality",
            trivial: Trivial::Still(self.jacobian_axes),
        }
    }

    fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Result<Objective, LearnError> {
        let mut rng = random::generator(seed, 0, 1, Purpose::Init);
        let shape = self.shape(task.image_size);
        Ok(Objective::Lgan(Lgan {
            generator: LocalGenerator::new(shape, task.normalisation, seed, device),
            verdict: Linear::new(task.channels, 1, &mut rng, device),
            config: self.clone(),
        }))
    }
}

/// The generator, and what the encoder lacks to be a discriminator.
#[derive(Module, Debug)]
pub struct Lgan {
    /// G.
    pub generator: LocalGenerator,
    verdict: Linear,
    #[module(skip)]
    config: LganConfig,
}

impl Lgan {
    /// z of a batch, `[batch, axes]`.
    fn z(&self, batch: &Batch) -> Tensor<2> {
        batch.target.clone().narrow(1, 0, self.config.axes) * self.config.sigma
    }

    /// Of normalised images in so many equal `views`, how much each is taken for real, `[batch, 1]` a
    /// view: the logarithm of the odds.
    fn verdicts(&self, encoder: &Encoder, views: Vec<Tensor<4>>) -> Vec<Tensor<2>> {
        let count = views.len();
        let images = Tensor::cat(views, 0);
        let features = encoder.forward_views(images, count, encoder.last_tap());
        let verdicts = self.verdict.forward(global_average(features));
        verdicts.chunk(count, 0)
    }

    /// Both of the generator's images of a batch, normalised: G(x, z) and G(x, 0).
    fn copies(&self, origin: &Origin, z: Tensor<2>) -> [Tensor<4>; 2] {
        let still = z.zeros_like();
        let z = Tensor::cat(vec![z, still], 0);
        let both = self.generator.chart(origin.twice(), z);
        let both = both.chunk(2, 0);
        [both[0].clone(), both[1].clone()]
    }

    /// Axes of z for J, `[images, count, axes]`: rows of the identity, chosen by the order of the
    /// numbers drawn for each item.
    fn directions(&self, batch: &Batch, images: usize) -> Tensor<3> {
        let (axes, count) = (self.config.axes, self.config.jacobian_axes);
        let draws = batch.target.clone().narrow(1, axes, axes);
        let order: Tensor<2, Int> = draws.narrow(0, 0, images).argsort(1);
        let chosen = order.narrow(1, 0, count).reshape([images, count, 1]);
        let device = batch.target.device();
        let all = Tensor::<1, Int>::arange(0..axes as i64, &device).reshape([1, 1, axes]);
        let chosen = chosen.repeat_dim(2, axes);
        let all = all.repeat_dim(0, images).repeat_dim(1, count);
        chosen.equal(all).float()
    }

    /// The mean absolute difference between J^T J and I.
    fn orthonormality(&self, origin: &Origin, batch: &Batch) -> Tensor<1> {
        let rows = batch.len();
        let images = self.config.jacobian_images.unwrap_or(rows).min(rows);
        let directions = self.directions(batch, images);
        let identity = directions
            .clone()
            .matmul(directions.clone().swap_dims(1, 2));
        let (origin, step) = (origin.first(images), self.config.jacobian_step);
        let gram = self.generator.jacobian_gram(&origin, directions, step);
        (gram - identity).abs().mean()
    }

    fn discriminator_loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        let images = batch.views[0].clone();
        let is_training = images.device().is_autodiff();
        let still = self.valid();
        let (x, z) = (
            images.clone().without_autodiff(),
            self.z(batch).without_autodiff(),
        );
        let copies = still.copies(&still.generator.origin(x), z).map(|copy| {
            let copy = still.generator.from_unit(copy);
            if is_training { copy.autodiff() } else { copy }
        });
        let [moved, origin] = copies;
        let verdicts = self.verdicts(encoder, vec![images, moved, origin]);
        let (real, fake, close) = (&verdicts[0], &verdicts[1], &verdicts[2]);
        let loss = softplus(real.clone().neg(), 1.0).mean()
            + softplus(fake.clone(), 1.0).mean()
            + softplus(close.clone(), 1.0).mean() * self.config.origin;
        let share = |wrong: Tensor<2>| wrong.greater_elem(0.0).float().mean();
        let parts = vec![
            ("d_loss", loss.clone().detach()),
            ("d_real", share(real.clone().detach())),
            ("d_fake", share(fake.clone().detach())),
        ];
        ObjectiveOutput { loss, parts }
    }
}

impl Decoder for Lgan {
    fn players(&self, encoder: &Encoder) -> Vec<Player> {
        let mut discriminator = list_param_ids(encoder);
        discriminator.extend(list_param_ids(&self.verdict));
        vec![
            Player {
                rate: self.config.discriminator_rate,
                parameters: Some(discriminator),
            },
            Player {
                rate: 1.0,
                parameters: Some(list_param_ids(&self.generator)),
            },
        ]
    }

    /// The discriminator's parts: `d_loss`, and `d_real` and `d_fake`, the shares of images and of
    /// G(x, z) that it takes for real.
    fn player_loss(&self, player: usize, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        match player {
            DISCRIMINATOR => self.discriminator_loss(encoder, batch),
            _ => self.loss(encoder, batch),
        }
    }

    fn generator(&self) -> Option<&LocalGenerator> {
        Some(&self.generator)
    }

    /// The generator's loss. Parts: `mse`, the mean squared error of G(x, 0), normalised; `adversarial`,
    /// `locality` and `orthonormality`, the terms without their weights; `moved`, the mean absolute
    /// difference between G(x, z) and G(x, 0), pixels from -1 to 1.
    fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        let config = &self.config;
        let images = batch.views[0].clone();
        let place = self.generator.origin(images.clone());
        let [moved, origin] = self.copies(&place, self.z(batch));
        let locality = (origin.clone() - self.generator.to_unit(images.clone()))
            .abs()
            .mean();
        let distance = (moved.clone() - origin.clone()).abs().mean();
        let [moved, origin] = [moved, origin].map(|copy| self.generator.from_unit(copy));
        let mse = (origin.clone() - images).square().mean();
        let verdicts = self.verdicts(encoder, vec![moved, origin]);
        let passed = |verdict: &Tensor<2>| softplus(verdict.clone().neg(), 1.0).mean();
        let adversarial = passed(&verdicts[0]) + passed(&verdicts[1]) * config.origin;
        let orthonormality = self.orthonormality(&place, batch);
        let parts = [
            ("mse", &mse),
            ("adversarial", &adversarial),
            ("locality", &locality),
            ("orthonormality", &orthonormality),
            ("moved", &distance),
        ];
        let parts = parts.map(|(name, value)| (name, value.clone().detach()));
        ObjectiveOutput {
            loss: adversarial + locality * config.locality + orthonormality * config.orthonormality,
            parts: parts.to_vec(),
        }
    }

    /// G(x, z), normalised.
    fn predict(&self, _encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        let images = batch.views[0].clone();
        let [rows, channels, height, width] = images.dims();
        let copies = self.generator.generate(images, self.z(batch));
        copies.reshape([rows, channels * height * width])
    }
}
