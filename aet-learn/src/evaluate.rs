//! How well the pretext task is done on images that training did not see, with random choices that
//! are the same every time.

use std::sync::Arc;

use aet_data::{EpochBatches, EpochPlan, HostBatch, ImageSet, ItemPipeline, Loader, Order, Share};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use serde_json::{Value, json};

use crate::batch::Batch;
use crate::config::{Experiment, Statistics};
use crate::error::LearnError;
use crate::model::{Model, fresh_model};
use crate::objective::{Trivial, Yardstick};
use crate::state::{host_values, named_tensors, with_named_tensors};

/// The epoch number that evaluation draws its random choices from; no training epoch reaches it.
pub const EVALUATION_EPOCH: u64 = u64::MAX;

/// Images evaluated at a time.
pub(crate) const BATCH_SIZE: usize = 250;

/// How well the pretext task is done on a set.
#[derive(Debug, Clone, PartialEq)]
pub struct PretextLoss {
    /// The objective's loss.
    pub loss: f64,
    /// Its other figures, by name; one of them is the metric.
    pub parts: Vec<(&'static str, f64)>,
    /// Which, and what it is held against.
    pub yardstick: Yardstick,
    /// The metric of the trivial answer.
    pub trivial_metric: f64,
    /// The loss of the trivial answer, where it does not depend on the objective's settings.
    pub trivial_loss: Option<f64>,
}

impl PretextLoss {
    /// The metric: the part that the yardstick names.
    pub fn metric(&self) -> f64 {
        let metric = self.yardstick.metric;
        let named = self.parts.iter().find(|(name, _)| *name == metric);
        named.map_or(f64::NAN, |(_, value)| *value)
    }

    /// Whether the metric is better than that of the trivial answer.
    pub fn beats_trivial(&self) -> bool {
        match self.yardstick.trivial {
            Trivial::Chance(_) => self.metric() > self.trivial_metric,
            _ => self.metric() < self.trivial_metric,
        }
    }

    /// The keys of an epoch's record that say what `test` found: `test_loss`, `test_` with the name
    /// of every part, such as `test_mse`, and behind the metric's `_of_` with the name of the trivial
    /// answer, such as `test_mse_of_mean`. Null where nothing was measured.
    pub fn record(yardstick: Yardstick, test: Option<&Self>) -> Vec<(String, Value)> {
        let (metric, trivial) = (yardstick.metric, yardstick.trivial.name());
        let mut record = vec![
            ("metric".into(), json!(metric)),
            ("trivial".into(), json!(trivial)),
            ("test_loss".into(), json!(test.map(|t| t.loss))),
            (format!("test_{metric}"), json!(test.map(Self::metric))),
            (
                format!("test_{metric}_of_{trivial}"),
                json!(test.map(|t| t.trivial_metric)),
            ),
        ];
        let others = test.iter().flat_map(|t| &t.parts);
        let others = others.filter(|(name, _)| *name != metric);
        record.extend(others.map(|(name, value)| (format!("test_{name}"), json!(value))));
        if let Some(loss) = test.and_then(|t| t.trivial_loss) {
            record.push((format!("test_loss_of_{trivial}"), json!(loss)));
        }
        record
    }
}

/// The loss of `model`, frozen, on `images` without augmentation; `evaluation.statistics` says what
/// batch normalisation uses.
///
/// # Errors
/// When the images cannot be loaded, or the task cannot be set on them.
pub fn pretext_loss(
    model: &Model,
    experiment: &Experiment,
    images: &Arc<ImageSet>,
) -> Result<PretextLoss, LearnError> {
    let batches = || evaluation_batches(experiment, images, BATCH_SIZE);
    let model = judged(model, experiment, [images.height(), images.width()])?;
    let yardstick = experiment.objective.yardstick();
    loss_over(&model, yardstick, &batches, |batch| batch)
}

/// A copy of `model` as it is judged on held-out images, by the statistics that the experiment says.
///
/// # Errors
/// When the task cannot be set on images of that size.
pub(crate) fn judged(
    model: &Model,
    experiment: &Experiment,
    image_size: [usize; 2],
) -> Result<Model, LearnError> {
    match experiment.evaluation.statistics {
        Statistics::Running => Ok(model.valid()),
        Statistics::Batch => in_training(model, experiment, image_size),
    }
}

/// A copy of `model` that normalises every batch by its own statistics, as in training, but keeps nothing
/// for gradients. Its running statistics are its own.
fn in_training(
    model: &Model,
    experiment: &Experiment,
    image_size: [usize; 2],
) -> Result<Model, LearnError> {
    let device = model.encoder.device().autodiff();
    let copy = fresh_model(experiment, image_size, &device)?;
    Ok(with_named_tensors(copy, &named_tensors(&model.valid()))?.no_grad())
}

/// The metric of the `mean` of all targets, judged as the decoder's answers are.
fn mean_answer(
    model: &Model,
    yardstick: Yardstick,
    mean: &[f32],
    batches: Batches<'_>,
) -> Result<f64, LearnError> {
    let (mut sum, mut count) = (0.0, 0.0);
    for batch in batches()? {
        let batch = Batch::from_host(batch?, &model.encoder.device());
        let rows = batch.len();
        let answer = TensorData::new(mean.to_vec(), [1, mean.len()]);
        let answer = Tensor::<2>::from_data(answer, &batch.target.device());
        let judged = model.objective.judge(answer.repeat_dim(0, rows), &batch);
        let parts = judged.into_iter().flat_map(|output| output.parts);
        for (_, value) in parts.filter(|(name, _)| *name == yardstick.metric) {
            sum += rows as f64 * f64::from(host_values(value)[0]);
            count += rows as f64;
        }
    }
    Ok(sum / f64::max(count, 1.0))
}

/// Makes the batches of an evaluation, the same ones each time.
pub(crate) type Batches<'a> = &'a dyn Fn() -> Result<EpochBatches, LearnError>;

/// The loss of `model`, as it is, on batches that `change` makes something else of on the device.
///
/// # Errors
/// What making the batches gives.
pub(crate) fn loss_over(
    model: &Model,
    yardstick: Yardstick,
    batches: Batches<'_>,
    mut change: impl FnMut(Batch) -> Batch,
) -> Result<PretextLoss, LearnError> {
    let mut count = 0.0;
    let mut loss = 0.0;
    let mut parts: Vec<(&'static str, f64)> = Vec::new();
    let mut moments = Moments::default();
    for batch in batches()? {
        let batch = batch?;
        moments.follow(yardstick.trivial, &batch);
        let batch = change(Batch::from_host(batch, &model.encoder.device()));
        let rows = batch.len() as f64;
        count += rows;
        let output = model.objective.loss(&model.encoder, &batch);
        loss += rows * f64::from(output.loss.into_scalar::<f32>());
        for (name, value) in output.parts {
            let value = rows * f64::from(host_values(value)[0]);
            match parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += value,
                None => parts.push((name, value)),
            }
        }
    }
    let count = f64::max(count, 1.0);
    let (trivial_metric, trivial_loss) = match yardstick.trivial {
        Trivial::MeanTarget => (moments.mean_variance(), None),
        Trivial::MeanAnswer => (
            mean_answer(model, yardstick, &moments.means(), batches)?,
            None,
        ),
        // The mean image takes no code, which diverges from nothing.
        Trivial::MeanImage => (moments.mean_variance(), Some(moments.mean_variance())),
        Trivial::Chance(classes) => (1.0 / classes as f64, Some((classes as f64).ln())),
        Trivial::Identity => (1.0, None),
        Trivial::Still(axes) => (1.0 / axes as f64, None),
    };
    Ok(PretextLoss {
        loss: loss / count,
        parts: (parts.into_iter())
            .map(|(name, sum)| (name, sum / count))
            .collect(),
        yardstick,
        trivial_metric,
        trivial_loss,
    })
}

/// Batches of `images` in order, without augmentation, with the random choices of evaluation.
///
/// # Errors
/// When the images cannot be loaded, or the task cannot be set on images of their size.
pub fn evaluation_batches(
    experiment: &Experiment,
    images: &Arc<ImageSet>,
    batch_size: usize,
) -> Result<EpochBatches, LearnError> {
    let size = [images.height(), images.width()];
    experiment.objective.check_image_size(size)?;
    let pipeline = experiment.evaluation_pipeline();
    batches_of(pipeline, experiment, images, batch_size)
}

/// As [`evaluation_batches`], by any `pipeline`.
pub(crate) fn batches_of(
    pipeline: Arc<dyn ItemPipeline>,
    experiment: &Experiment,
    images: &Arc<ImageSet>,
    batch_size: usize,
) -> Result<EpochBatches, LearnError> {
    let plan = EpochPlan {
        seed: experiment.seed,
        epoch: EVALUATION_EPOCH,
        batch_size,
        order: Order::Sequential,
        drop_last: false,
        first_step: 0,
        share: Share::WHOLE,
    };
    let workers = experiment.training.workers;
    Ok(Loader::epoch(Arc::clone(images), pipeline, plan, workers)?)
}

/// Sums for the variance of every component of a target or an image.
#[derive(Default)]
struct Moments {
    count: f64,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    /// Adds what the mean answer is the mean of.
    fn follow(&mut self, trivial: Trivial, batch: &HostBatch) {
        match (trivial, batch.views.last()) {
            (Trivial::MeanTarget | Trivial::MeanAnswer, _) => {
                self.add(&batch.targets, batch.target_len);
            }
            (Trivial::MeanImage, Some(view)) => {
                self.add(view, batch.view_shape[1..].iter().product());
            }
            _ => {}
        }
    }

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

    /// The mean of every component.
    fn means(&self) -> Vec<f32> {
        let count = self.count.max(1.0);
        self.sums.iter().map(|sum| (sum / count) as f32).collect()
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::Device;

    use super::*;
    use crate::config::ExperimentConfig;

    /// How many of the parameters that it visits operations keep something for.
    #[derive(Default)]
    struct Tracked(usize);

    impl ModuleVisitor for Tracked {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            self.0 += usize::from(parameter.val().is_require_grad());
        }
    }

    fn tracked(model: &Model) -> usize {
        let mut tracked = Tracked::default();
        model.visit(&mut tracked);
        tracked.0
    }

    #[test]
    fn models_that_are_judged_keep_nothing_for_gradients() {
        for statistics in [Statistics::Running, Statistics::Batch] {
            let toml =
                "data.path = 'shapes'\ntransformation.kind = 'projective'\nbackbone.kind = 'nin'";
            let mut config = ExperimentConfig::parse(toml, "test", &[]).unwrap();
            config.evaluation.statistics = statistics;
            let experiment = config.resolve().unwrap();
            let size = [32, 32];
            let model = fresh_model(&experiment, size, &Device::flex().autodiff()).unwrap();
            assert!(tracked(&model) > 0);
            let judged = judged(&model, &experiment, size).unwrap();
            assert_eq!(tracked(&judged), 0, "{statistics:?}");
        }
    }
}
