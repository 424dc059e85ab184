//! The auto-encoder of data that AET is compared with (AET, figure 1a): the same encoder, and a
//! decoder that rebuilds the image from its features; plain, denoising (Vincent et al., ICML 2008) or
//! variational (Kingma and Welling, ICLR 2014).
//!
//! What stands between encoder and decoder is a bottleneck: the last tap's maps are averaged to 4x4
//! and normalised (they are all positive, and what they have in common would drown their differences),
//! and a linear layer makes `code` numbers of them. Of an image of 32 px the default keeps 128 numbers
//! for 3072, so that the identity is out of reach; `code` has to be less than an image has numbers.

use std::sync::Arc;

use aet_data::random::{self, Purpose};
use aet_data::{Augment, ItemPipeline};
use burn::module::Module;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Decoder, Objective, ObjectiveOutput, Pretext, Task, Trivial, Yardstick, images_with_draws,
};
use crate::backbone::{BatchNorm, Encoder};
use crate::batch::Batch;
use crate::config::Experiment;
use crate::deconvolution::{Deconvolution, DeconvolutionConfig, Normaliser};
use crate::error::{ConfigError, LearnError};
use crate::probe::Linear;

/// Rows and columns that maps are averaged to.
const GRID: usize = 4;
/// Bound of log-variances, beyond which they take no gradient.
const MOST_LOG_VARIANCE: f64 = 10.0;

/// The auto-encoder of data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AedConfig {
    /// Numbers that an image is rebuilt from, at least 1 and less than the image has.
    pub code: usize,
    /// Channels of the decoder before its last doubling of the size, 1 to 1024; the maps before have
    /// twice as many for each halving, up to 8 times.
    pub channels: usize,
    /// Standard deviation of the Gaussian noise on the images that the encoder sees, in units of the
    /// pixel value from 0 to 1; 0 for none. The clean image is to be rebuilt. Denoising takes 0.1 to
    /// 0.3.
    pub noise: f64,
    /// Whether the encoder tells the mean and the log-variance of a normal distribution that the code
    /// is drawn from.
    pub variational: bool,
    /// Weight of the divergence of that distribution from N(0, 1). The loss is the mean squared error
    /// over n numbers plus `kl_weight` 2 / n of the divergence; 1 is the evidence lower bound of a
    /// normal distribution of variance 1 around the normalised pixels, times 2 / n.
    pub kl_weight: f64,
    /// Epochs, or parts of one, over which the weight grows linearly from 0.
    pub kl_warmup_epochs: f64,
}

impl Default for AedConfig {
    fn default() -> Self {
        Self {
            code: 128,
            channels: 32,
            noise: 0.0,
            variational: false,
            kl_weight: 1.0,
            kl_warmup_epochs: 1.0,
        }
    }
}

impl AedConfig {
    /// The weight of the divergence after `epochs_done` epochs; the whole one outside of training.
    fn kl_weight_at(&self, epochs_done: Option<f64>) -> f64 {
        let share = match epochs_done {
            Some(done) if done < self.kl_warmup_epochs => done / self.kl_warmup_epochs,
            _ => 1.0,
        };
        self.kl_weight * share
    }
}

impl Pretext for AedConfig {
    fn validate(&self, _family: &aet_geometry::Family) -> Result<(), ConfigError> {
        if self.code == 0 {
            let range = "at least 1 and less than the numbers of an image";
            return Err(ConfigError::range("objective.code", range, self.code));
        }
        if !(1..=1024).contains(&self.channels) {
            let (key, range) = ("objective.channels", "1 to 1024");
            return Err(ConfigError::range(key, range, self.channels));
        }
        if !(0.0..=1.0).contains(&self.noise) {
            let (key, range) = ("objective.noise", "0 to 1, in units of the pixel value");
            return Err(ConfigError::range(key, range, self.noise));
        }
        let weights = [
            ("objective.kl_weight", self.kl_weight),
            ("objective.kl_warmup_epochs", self.kl_warmup_epochs),
        ];
        for (key, value) in weights {
            ConfigError::check_at_least_zero(key, value)?;
        }
        Ok(())
    }

    fn check_image_size(&self, [height, width]: [usize; 2]) -> Result<(), ConfigError> {
        if self.code < 3 * height * width {
            return Ok(());
        }
        let found = format!("{}, for {height}x{width} pixels", self.code);
        let range = "less than the numbers of an image, 3 x height x width";
        Err(ConfigError::range("objective.code", range, found))
    }

    fn label(&self, _experiment: &Experiment) -> String {
        let noise = match self.noise {
            0.0 => String::new(),
            sigma => format!(" noise {sigma}"),
        };
        let variational = if self.variational { " variational" } else { "" };
        format!("aed{noise}{variational}")
    }

    fn task(&self, _experiment: &Experiment) -> String {
        let noise = match self.noise {
            0.0 => String::new(),
            sigma => format!(" and seen through noise of {sigma}"),
        };
        let variational = if self.variational { " random" } else { "" };
        let code = self.code;
        format!("images rebuilt from {code}{variational} numbers{noise}")
    }

    fn pipeline(&self, experiment: &Experiment, augment: Augment) -> Arc<dyn ItemPipeline> {
        let draws = if self.variational { self.code } else { 0 };
        images_with_draws(experiment, augment, self.noise, draws)
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick {
            metric: "mse",
            trivial: Trivial::MeanImage,
        }
    }

    fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Result<Objective, LearnError> {
        Ok(Objective::Aed(Aed::new(self, task, seed, device)))
    }
}

/// The bottleneck, the decoder and the loss.
#[derive(Module, Debug)]
pub struct Aed {
    norm: BatchNorm,
    mean: Linear,
    log_variance: Option<Linear>,
    decoder: Deconvolution,
    #[module(skip)]
    config: AedConfig,
}

impl Aed {
    /// Weights drawn from `seed`.
    pub fn new(config: &AedConfig, task: &Task<'_>, seed: u64, device: &Device) -> Self {
        let mut rng = random::generator(seed, 0, 1, Purpose::Init);
        let inputs = task.channels * GRID * GRID;
        let mut linear = || Linear::new(inputs, config.code, &mut rng, device);
        let mean = linear();
        let log_variance = config.variational.then(linear);
        let decoder = DeconvolutionConfig {
            code: config.code,
            channels: config.channels,
            image_size: task.image_size,
            normaliser: Normaliser::Batch,
        };
        Self {
            norm: BatchNorm::new(task.channels, device),
            mean,
            log_variance,
            decoder: Deconvolution::new(&decoder, &mut rng, device),
            config: config.clone(),
        }
    }

    /// The code of normalised images `[batch, 3, height, width]`: its mean, `[batch, code]`, and where
    /// it is drawn its log-variance.
    pub fn code(&self, encoder: &Encoder, images: Tensor<4>) -> (Tensor<2>, Option<Tensor<2>>) {
        let maps = encoder.forward(images, encoder.last_tap());
        let maps = self.norm.forward(adaptive_avg_pool2d(maps, [GRID, GRID]));
        let [batch, channels, height, width] = maps.dims();
        let rows = maps.reshape([batch, channels * height * width]);
        let log_variance = self.log_variance.as_ref().map(|layer| {
            let bound = MOST_LOG_VARIANCE;
            layer.forward(rows.clone()).clamp(-bound, bound)
        });
        (self.mean.forward(rows), log_variance)
    }

    /// What the decoder makes of the mean code of the images that the encoder sees,
    /// `[batch, 3, height, width]`, normalised.
    ///
    /// # Panics
    /// When the batch has no view.
    pub fn rebuild(&self, encoder: &Encoder, batch: &Batch) -> Tensor<4> {
        let (mean, _) = self.code(encoder, batch.views[0].clone());
        self.decoder.forward(mean)
    }
}

impl Decoder for Aed {
    /// Parts: the mean squared error of the normalised pixels, and of a code that is drawn the
    /// divergence of its distribution from N(0, 1), in nats an image.
    fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        let seen = batch.views[0].clone();
        let clean = batch.views[batch.views.len() - 1].clone();
        let [_, channels, height, width] = clean.dims();
        let (mean, log_variance) = self.code(encoder, seen);
        let Some(log_variance) = log_variance else {
            let loss = (self.decoder.forward(mean) - clean).square().mean();
            let mse = loss.clone().detach();
            return ObjectiveOutput {
                loss,
                parts: vec![("mse", mse)],
            };
        };
        let deviation = (log_variance.clone() * 0.5).exp();
        let code = mean.clone() + deviation * batch.target.clone();
        let error = (self.decoder.forward(code) - clean).square().mean();
        let divergence = divergence_from_normal(mean, log_variance);
        let parts = vec![
            ("mse", error.clone().detach()),
            ("kl", divergence.clone().detach()),
        ];
        let numbers = (channels * height * width) as f64;
        let weight = self.config.kl_weight_at(batch.epochs_done) * 2.0 / numbers;
        ObjectiveOutput {
            loss: error + divergence * weight,
            parts,
        }
    }

    fn predict(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        let images = self.rebuild(encoder, batch);
        let [rows, channels, height, width] = images.dims();
        images.reshape([rows, channels * height * width])
    }
}

/// The Kullback-Leibler divergence of N(mean, exp(log-variance)) from N(0, 1), both `[batch, code]`:
/// 1/2 sum (mean^2 + exp(log-variance) - log-variance - 1) over the code, averaged over the batch
/// (Kingma and Welling, appendix B).
pub fn divergence_from_normal(mean: Tensor<2>, log_variance: Tensor<2>) -> Tensor<1> {
    let terms = mean.square() + log_variance.clone().exp() - log_variance - 1.0;
    terms.sum_dim(1).mean() * 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_the_divergence_grows_linearly_and_stays() {
        let config = AedConfig {
            kl_weight: 0.5,
            kl_warmup_epochs: 4.0,
            ..AedConfig::default()
        };
        for (done, expected) in [
            (0.0, 0.0),
            (1.0, 0.125),
            (3.0, 0.375),
            (4.0, 0.5),
            (9.0, 0.5),
        ] {
            assert!((config.kl_weight_at(Some(done)) - expected).abs() < 1e-12);
        }
        assert!((config.kl_weight_at(None) - 0.5).abs() < 1e-12);
        let at_once = AedConfig {
            kl_warmup_epochs: 0.0,
            ..config
        };
        assert!((at_once.kl_weight_at(Some(0.0)) - 0.5).abs() < 1e-12);
    }
}
