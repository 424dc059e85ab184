//! What a probe trains: a head on features and, where the encoder is thawed, the encoder with it.

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::loss::cross_entropy_with_logits;
use burn::tensor::{Device, Tensor, TensorData};

use super::Pooling;
use super::conv::ConvHead;
use super::fc::FcHead;
use super::tail::TailHead;
use super::training::HeadTraining;
use crate::backbone::{Encoder, Tap};
use crate::error::LearnError;
use crate::optim;
use crate::schedule::ScheduleConfig;
use crate::state::host_values;

/// What is trained on features. Each takes `[batch, channels, height, width]` and gives class scores
/// `[batch, classes]`; on an autodiff device it trains, off it it judges.
#[derive(Module, Debug)]
pub enum Head {
    /// Fully-connected layers.
    Fc(FcHead),
    /// A convolutional block and a linear layer.
    Conv(ConvHead),
    /// The rest of AlexNet.
    Tail(TailHead),
}

impl Head {
    fn forward(&self, features: Tensor<4>) -> Tensor<2> {
        match self {
            Self::Fc(head) => head.forward(features),
            Self::Conv(head) => head.forward(features),
            Self::Tail(head) => head.forward(features),
        }
    }
}

/// A head, and the encoder in front of it where it is trained too.
#[derive(Module, Debug)]
pub struct Classifier {
    /// The thawed encoder, which then takes images; None where features come in.
    pub encoder: Option<Encoder>,
    /// What turns features into class scores.
    pub head: Head,
    #[module(skip)]
    tap: Tap,
    #[module(skip)]
    pooling: Pooling,
}

impl Classifier {
    /// A head on features that come in, pooled by `pooling` first.
    pub fn frozen(head: Head, tap: &Tap, pooling: Pooling) -> Self {
        Self {
            encoder: None,
            head,
            tap: tap.clone(),
            pooling,
        }
    }

    /// A head on the features of `encoder` at `tap`, trained together.
    pub fn thawed(encoder: &Encoder, head: Head, tap: &Tap, pooling: Pooling) -> Self {
        Self {
            encoder: Some(encoder.valid().train()),
            ..Self::frozen(head, tap, pooling)
        }
    }

    /// Features, or images where the encoder is thawed, to class scores `[batch, classes]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<2> {
        let features = match &self.encoder {
            Some(encoder) => encoder.forward(input, &self.tap),
            None => input,
        };
        self.head.forward(self.pooling.apply(features))
    }

    /// The class of the highest score for every item of `input`, off autodiff; the first of equals.
    pub fn answer(&self, input: Tensor<4>) -> Vec<u32> {
        let scores = self.forward(input);
        let [_, classes] = scores.dims();
        let scores = host_values(scores);
        let best = scores.chunks_exact(classes).map(highest);
        best.map(|class| class as u32).collect()
    }
}

/// The place of the highest of `scores`, the first of equals.
pub(super) fn highest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (place, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = place;
        }
    }
    best
}

/// A classifier under training.
pub struct Learner {
    /// The classifier as it is so far, on an autodiff device.
    pub classifier: Classifier,
    training: HeadTraining,
    schedule: ScheduleConfig,
    optimizer: ModuleOptimizer,
    classes: usize,
    /// Sum of the losses since the start of the epoch, on the device until it is needed.
    losses: Option<Tensor<1>>,
}

impl Learner {
    /// `classifier` before its first step.
    pub fn new(classifier: Classifier, training: &HeadTraining, classes: usize) -> Self {
        Self {
            classifier,
            schedule: training.schedule(),
            optimizer: training.optimizer(),
            training: training.clone(),
            classes,
            losses: None,
        }
    }

    /// How it is trained.
    pub fn training(&self) -> &HeadTraining {
        &self.training
    }

    /// One update with a batch; a batch of one image is passed over, since the variance of a single
    /// row says nothing.
    pub fn learn(&mut self, input: &Tensor<4>, labels: &[u32], step: u64, steps_per_epoch: u64) {
        if labels.len() < 2 {
            return;
        }
        let rate = self
            .schedule
            .rate(step, steps_per_epoch, self.training.epochs);
        let input = Tensor::from_inner(input.clone());
        let truth = one_hot(labels, self.classes, &input.device());
        let loss = cross_entropy_with_logits(self.classifier.forward(input), truth);
        self.classifier = optim::step(&mut self.optimizer, rate, self.classifier.clone(), &loss);
        let loss = loss.without_autodiff();
        self.losses = Some(match self.losses.take() {
            Some(sum) => sum + loss,
            None => loss,
        });
    }

    /// Closes an epoch that ended before step `step`.
    ///
    /// # Errors
    /// When the loss is no longer a number.
    pub fn end_epoch(&mut self, step: u64) -> Result<(), LearnError> {
        let sum = self.losses.take();
        let loss = sum.map_or(f64::NAN, |sum| f64::from(sum.into_scalar::<f32>()));
        match loss.is_finite() {
            true => Ok(()),
            false => Err(LearnError::Diverged { loss, step }),
        }
    }
}

/// Labels as rows of 0 with a 1 at the class, `[batch, classes]`.
fn one_hot(labels: &[u32], classes: usize, device: &Device) -> Tensor<2> {
    let mut values = vec![0.0_f32; labels.len() * classes];
    for (row, label) in values.chunks_exact_mut(classes).zip(labels) {
        row[*label as usize] = 1.0;
    }
    Tensor::from_data(TensorData::new(values, [labels.len(), classes]), device)
}
