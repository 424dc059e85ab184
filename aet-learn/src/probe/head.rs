//! The driver of the probes that are trained, the only one: a [`Head`] is fitted to frozen features
//! and judged on the test images after every epoch.

use std::sync::Arc;

use aet_data::random::{Purpose, generator, permutation};
use aet_data::{EpochPlan, ImageSet, Loader, Order, ViewPipeline, steps_per_epoch};
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::loss::cross_entropy_with_logits;
use burn::tensor::{Device, Tensor, TensorData};

use super::labels::Labelled;
use crate::embed::{FeatureBank, FrozenEncoder};
use crate::error::{ConfigError, LearnError};
use crate::optim::{self, SgdConfig};
use crate::schedule::ScheduleConfig;
use crate::state::host_values;

/// Test images judged at a time.
const TEST_ROWS: usize = 500;

/// How a head is trained: stochastic gradient descent with Nesterov momentum 0.9.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadTraining {
    /// Passes over the training images, at least 1.
    pub epochs: u64,
    /// Images in a batch, at least 2.
    pub batch_size: usize,
    /// Learning rate at the start, above 0.
    pub rate: f64,
    /// Shares of the epochs after each of which the rate is a tenth of what it was, rising, from 0
    /// to 1.
    pub milestones: Vec<f64>,
    /// Pull of every weight towards 0, at least 0.
    pub weight_decay: f64,
    /// Whether training images are augmented and embedded again in every epoch.
    pub augment: bool,
}

impl Default for HeadTraining {
    /// The published recipe, with 40 epochs in place of 200 and without augmentation.
    fn default() -> Self {
        Self {
            epochs: 40,
            batch_size: 128,
            rate: 0.1,
            milestones: vec![0.5, 0.75],
            weight_decay: 5e-4,
            augment: false,
        }
    }
}

impl HeadTraining {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.epochs == 0 {
            return Err(ConfigError::range(
                "evaluation.probes.method.epochs",
                "at least 1",
                self.epochs,
            ));
        }
        if self.batch_size < 2 {
            return Err(ConfigError::range(
                "evaluation.probes.method.batch_size",
                "at least 2 (batch normalisation needs more than one image)",
                self.batch_size,
            ));
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Err(ConfigError::range(
                "evaluation.probes.method.rate",
                "above 0",
                self.rate,
            ));
        }
        let rising = self.milestones.is_sorted_by(|a, b| a < b);
        if !(rising && self.milestones.iter().all(|m| (0.0..=1.0).contains(m))) {
            return Err(ConfigError::range(
                "evaluation.probes.method.milestones",
                "rising shares of the epochs from 0 to 1",
                format!("{:?}", self.milestones),
            ));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(ConfigError::range(
                "evaluation.probes.method.weight_decay",
                "at least 0",
                self.weight_decay,
            ));
        }
        Ok(())
    }

    /// The learning rate over the epochs.
    fn schedule(&self) -> ScheduleConfig {
        let epoch = |share: &f64| (share * self.epochs as f64).ceil() as u64;
        ScheduleConfig::Steps {
            rate: self.rate,
            milestones: self.milestones.iter().map(epoch).collect(),
            factors: (1..=self.milestones.len() as i32)
                .map(|passed| 0.1_f64.powi(passed))
                .collect(),
            linear_from: None,
        }
    }

    fn optimizer(&self) -> ModuleOptimizer {
        SgdConfig {
            weight_decay: self.weight_decay,
            ..SgdConfig::default()
        }
        .init()
    }
}

/// What is trained on features.
pub trait Head: Module {
    /// Features `[batch, channels, height, width]` to class scores `[batch, classes]`. On an
    /// autodiff device it trains, off it it judges.
    fn forward(&self, features: Tensor<4>) -> Tensor<2>;
}

/// The images that a head learns from.
#[derive(Debug, Clone, Copy)]
pub enum Training<'a> {
    /// Their features, read once.
    Cached(Labelled<'a>),
    /// The images, augmented and embedded again in every epoch.
    Augmented(Augmented<'a>),
}

/// Images that are augmented and embedded again in every epoch.
#[derive(Debug, Clone, Copy)]
pub struct Augmented<'a> {
    /// What embeds them.
    pub encoder: &'a FrozenEncoder,
    /// The images.
    pub set: &'a Arc<ImageSet>,
    /// What augments and normalises them.
    pub pipeline: &'a ViewPipeline,
    /// The class of each image, counted from 0.
    pub labels: &'a [u32],
    /// Threads that make batches; 0 makes them in the calling thread.
    pub workers: usize,
}

/// What a head is fitted to.
#[derive(Debug, Clone)]
pub struct Fit<'a> {
    /// The images that it learns from.
    pub training: Training<'a>,
    /// The features that it is judged on.
    pub test: Labelled<'a>,
    /// Number of classes.
    pub classes: usize,
    /// Seed of the order of images and of their augmentation.
    pub seed: u64,
    /// The plain device to train on; autodiff is put on it where it is needed.
    pub device: Device,
}

/// Trains `head`, which is on an autodiff device, and gives its test error, as a share, after each
/// epoch.
///
/// `progress` is called with the share that is done.
///
/// # Errors
/// When the loss is no longer a number, or images cannot be loaded.
pub fn fit<H: Head>(
    head: H,
    config: &HeadTraining,
    task: &Fit<'_>,
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<f64>, LearnError> {
    let steps = steps_per_epoch(task.training.len(), config.batch_size, false) as u64;
    let schedule = config.schedule();
    let mut optimizer = config.optimizer();
    let mut head = head;
    let mut errors = Vec::new();
    for epoch in 0..config.epochs {
        let mut step = epoch * steps;
        let mut losses: Option<Tensor<1>> = None;
        let mut learn = |features: Tensor<4>, labels: &[u32]| {
            // The variance of a single row says nothing.
            if labels.len() > 1 {
                let rate = schedule.rate(step, steps, config.epochs);
                let scores = head.forward(Tensor::from_inner(features));
                let loss = cross_entropy_with_logits(scores, task.one_hot(labels));
                head = optim::step(&mut optimizer, rate, head.clone(), &loss);
                let loss = loss.without_autodiff();
                losses = Some(match losses.take() {
                    Some(sum) => sum + loss,
                    None => loss,
                });
            }
            step += 1;
            progress(step as f32 / (steps * config.epochs) as f32);
        };
        task.each_batch(config.batch_size, epoch, &mut learn)?;
        let loss = losses.map_or(f64::NAN, |sum| f64::from(sum.into_scalar::<f32>()));
        if !loss.is_finite() {
            return Err(LearnError::Diverged { loss, step });
        }
        errors.push(error_share(&head.valid(), task.test, &task.device));
    }
    Ok(errors)
}

impl Training<'_> {
    /// Number of images.
    fn len(&self) -> usize {
        match self {
            Self::Cached(rows) => rows.labels.len(),
            Self::Augmented(images) => images.labels.len(),
        }
    }
}

impl Fit<'_> {
    /// Gives the batches of an epoch, features and labels, to `learn`.
    fn each_batch(
        &self,
        batch_size: usize,
        epoch: u64,
        learn: &mut dyn FnMut(Tensor<4>, &[u32]),
    ) -> Result<(), LearnError> {
        let labels_of = |all: &[u32], indices: &[usize]| -> Vec<u32> {
            indices.iter().map(|index| all[*index]).collect()
        };
        match &self.training {
            Training::Cached(rows) => {
                let mut rng = generator(self.seed, epoch, 0, Purpose::Shuffle);
                let order = permutation(&mut rng, rows.labels.len());
                for indices in order.chunks(batch_size) {
                    let features = gather(rows.features, indices, &self.device);
                    learn(features, &labels_of(rows.labels, indices));
                }
            }
            Training::Augmented(images) => {
                let plan = EpochPlan {
                    seed: self.seed,
                    epoch,
                    batch_size,
                    order: Order::Shuffled,
                    drop_last: false,
                    first_step: 0,
                };
                let pipeline = Arc::new(images.pipeline.clone());
                let set = Arc::clone(images.set);
                for batch in Loader::epoch(set, pipeline, plan, images.workers)? {
                    let labels = labels_of(images.labels, &batch.indices);
                    learn(images.encoder.features(batch), &labels);
                }
            }
        }
        Ok(())
    }

    /// Labels as rows of 0 with a 1 at the class, `[batch, classes]`, on the autodiff device.
    fn one_hot(&self, labels: &[u32]) -> Tensor<2> {
        let mut values = vec![0.0_f32; labels.len() * self.classes];
        for (row, label) in values.chunks_exact_mut(self.classes).zip(labels) {
            row[*label as usize] = 1.0;
        }
        let data = TensorData::new(values, [labels.len(), self.classes]);
        Tensor::from_data(data, &self.device.clone().autodiff())
    }
}

/// The features of the images `indices`, `[batch, channels, height, width]`, off autodiff.
fn gather(bank: &FeatureBank, indices: &[usize], device: &Device) -> Tensor<4> {
    let mut values = Vec::with_capacity(indices.len() * bank.dim);
    for index in indices {
        values.extend_from_slice(bank.row(*index));
    }
    let [channels, height, width] = bank.shape;
    let shape = [indices.len(), channels, height, width];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The share of `test` for which the highest score of `head`, off autodiff, is not the label's.
fn error_share<H: Head>(head: &H, test: Labelled<'_>, device: &Device) -> f64 {
    let indices: Vec<usize> = (0..test.labels.len()).collect();
    let mut wrong = 0;
    for indices in indices.chunks(TEST_ROWS) {
        let scores = head.forward(gather(test.features, indices, device));
        let [_, classes] = scores.dims();
        let scores = host_values(scores);
        for (row, index) in scores.chunks_exact(classes).zip(indices) {
            wrong += usize::from(highest(row) != test.labels[*index] as usize);
        }
    }
    wrong as f64 / test.labels.len().max(1) as f64
}

/// The place of the highest of `scores`, the first of equals.
fn highest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (place, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = place;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_epochs_have_the_published_rates() {
        let training = HeadTraining {
            epochs: 200,
            ..HeadTraining::default()
        };
        let rate = |epoch: u64| training.schedule().rate(epoch * 391 + 5, 391, 200);
        for (epoch, expected) in [(0, 0.1), (99, 0.1), (100, 0.01), (149, 0.01), (150, 0.001)] {
            assert!((rate(epoch) - expected).abs() < 1e-12, "epoch {epoch}");
        }
    }

    #[test]
    fn a_single_epoch_keeps_its_rate() {
        let training = HeadTraining {
            epochs: 1,
            ..HeadTraining::default()
        };
        assert_eq!(training.schedule().rate(3, 4, 1), 0.1);
    }

    #[test]
    fn milestones_outside_the_epochs_or_falling_are_refused() {
        for milestones in [vec![0.5, 1.5], vec![0.75, 0.5], vec![-0.1], vec![f64::NAN]] {
            let training = HeadTraining {
                milestones,
                ..HeadTraining::default()
            };
            assert!(training.validate().is_err(), "{:?}", training.milestones);
        }
        assert!(HeadTraining::default().validate().is_ok());
    }
}
