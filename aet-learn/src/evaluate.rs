//! The pretext loss on images that training did not see, with transformations that are the same
//! every time.

use std::sync::Arc;

use aet_data::{Augment, EpochPlan, ImageSet, Loader, Order, PairPipeline};
use burn::module::Module;

use crate::batch::PairBatch;
use crate::config::Experiment;
use crate::error::LearnError;
use crate::model::Model;
use crate::state::host_values;
use crate::train::pair_pipeline;

/// The epoch number that evaluation draws its transformations from; no training epoch reaches it.
pub const EVALUATION_EPOCH: u64 = u64::MAX;

/// Images evaluated at a time.
const BATCH_SIZE: usize = 250;

/// How well transformations are told on a set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PretextLoss {
    /// The objective's loss.
    pub loss: f64,
    /// Mean squared error of the normalised target.
    pub mse: f64,
    /// The same of a decoder that always answers the mean of the targets.
    pub mse_of_mean: f64,
}

/// The loss of `model`, frozen, on `images` without augmentation.
///
/// # Errors
/// When the images cannot be loaded.
pub fn pretext_loss(
    model: &Model,
    experiment: &Experiment,
    images: &Arc<ImageSet>,
) -> Result<PretextLoss, LearnError> {
    let model = model.valid();
    let [mut loss, mut error] = [0.0; 2];
    let mut moments = Moments::default();
    for batch in evaluation_pairs(experiment, images, BATCH_SIZE)? {
        moments.add(&batch.targets, batch.target_len);
        let batch = PairBatch::from_host(batch, &model.encoder.device());
        let rows = batch.len() as f64;
        let output = model.objective.loss(&model.encoder, &batch);
        loss += rows * f64::from(output.loss.into_scalar::<f32>());
        for (name, value) in output.parts {
            if name == "mse" {
                error += rows * f64::from(host_values(value)[0]);
            }
        }
    }
    let count = images.len().max(1) as f64;
    Ok(PretextLoss {
        loss: loss / count,
        mse: error / count,
        mse_of_mean: moments.mean_variance(),
    })
}

/// Pairs of `images` in order, without augmentation, with the transformations of evaluation.
///
/// # Errors
/// When the images cannot be loaded.
pub fn evaluation_pairs(
    experiment: &Experiment,
    images: &Arc<ImageSet>,
    batch_size: usize,
) -> Result<impl Iterator<Item = aet_data::HostBatch>, LearnError> {
    let pipeline = PairPipeline {
        augment: Augment::none(),
        ..pair_pipeline(experiment)
    };
    let plan = EpochPlan {
        seed: experiment.seed,
        epoch: EVALUATION_EPOCH,
        batch_size,
        order: Order::Sequential,
        drop_last: false,
        first_step: 0,
    };
    let workers = experiment.training.workers;
    Ok(Loader::epoch(
        Arc::clone(images),
        Arc::new(pipeline),
        plan,
        workers,
    )?)
}

/// Sums for the variance of every target component.
#[derive(Default)]
struct Moments {
    count: f64,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn add(&mut self, targets: &[f32], length: usize) {
        self.sums.resize(length, 0.0);
        self.squares.resize(length, 0.0);
        for row in targets.chunks_exact(length.max(1)) {
            self.count += 1.0;
            for (index, value) in row.iter().map(|v| f64::from(*v)).enumerate() {
                self.sums[index] += value;
                self.squares[index] += value * value;
            }
        }
    }

    fn mean_variance(&self) -> f64 {
        let total: f64 = self
            .sums
            .iter()
            .zip(&self.squares)
            .map(|(sum, square)| square / self.count - (sum / self.count).powi(2))
            .sum();
        total / self.sums.len().max(1) as f64
    }
}
