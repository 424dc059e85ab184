//! Auto-Encoding Transformations with a parameterised family (Zhang et al., CVPR 2019, sections
//! 3.1 and 3.2): a siamese encoder, global average pooling of both views' features, and one linear
//! layer that gives the transformation's parameters back.

use std::sync::Arc;

use aet_data::random::{self, Purpose, unit};
use aet_data::{Augment, ItemPipeline, PairPipeline};
use aet_geometry::Family;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::matrix::normalised_matrix_entries;
use super::{Decoder, Objective, ObjectiveOutput, Pretext, Task, Trivial, Yardstick};
use crate::backbone::Encoder;
use crate::batch::{Batch, PairBatch};
use crate::config::Experiment;

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

/// The AET objective.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AetConfig {
    /// What is compared.
    pub loss: Loss,
    /// How it becomes one number.
    pub reduction: Reduction,
}

impl Pretext for AetConfig {
    fn label(&self, experiment: &Experiment) -> String {
        format!("aet {}", experiment.transformation.name())
    }

    fn task(&self, experiment: &Experiment) -> String {
        format!("{} transformations", experiment.transformation.name())
    }

    fn items(&self) -> &'static str {
        "pairs"
    }

    fn pipeline(&self, experiment: &Experiment, augment: Augment) -> Arc<dyn ItemPipeline> {
        Arc::new(PairPipeline {
            augment,
            family: experiment.transformation.clone(),
            fill: experiment.warp.fill,
            normalisation: experiment.data.normalisation.clone(),
        })
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick {
            metric: "mse",
            trivial: Trivial::MeanTarget,
        }
    }

    fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Objective {
        Objective::Aet(Aet::new(self, task, seed, device))
    }
}

impl Decoder for Aet {
    fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        self.loss(encoder, &batch.pairs())
    }

    fn predict(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        self.predict(encoder, &batch.pairs())
    }
}

/// The siamese decoder and its loss.
#[derive(Module, Debug)]
pub struct Aet {
    /// `[2 * channels, target length]`.
    pub weight: Param<Tensor<2>>,
    /// `[target length]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    config: AetConfig,
    #[module(skip)]
    family: Family,
    #[module(skip)]
    image_size: [usize; 2],
}

impl Aet {
    /// A decoder with weights from U(-1/sqrt(inputs), 1/sqrt(inputs)) and biases of 0.
    pub fn new(config: &AetConfig, task: &Task<'_>, seed: u64, device: &Device) -> Self {
        let mut rng = random::generator(seed, 0, 1, Purpose::Init);
        let (inputs, outputs) = (2 * task.channels, task.family.target_len());
        let bound = 1.0 / (inputs as f64).sqrt();
        let weight: Vec<f32> = (0..inputs * outputs)
            .map(|_| (bound * (2.0 * unit(&mut rng) - 1.0)) as f32)
            .collect();
        let weight = TensorData::new(weight, [inputs, outputs]);
        Self {
            weight: Param::from_tensor(Tensor::from_data(weight, device)),
            bias: Param::from_tensor(Tensor::zeros([outputs], device)),
            config: config.clone(),
            family: task.family.clone(),
            image_size: task.image_size,
        }
    }

    /// The predicted normalised target, `[batch, target length]`. In training each view is
    /// normalised with its own batch statistics, as released.
    pub fn predict(&self, encoder: &Encoder, batch: &PairBatch) -> Tensor<2> {
        let tap = encoder.last_tap();
        let views = Tensor::cat(vec![batch.original.clone(), batch.transformed.clone()], 0);
        let features = global_average(encoder.forward_views(views, 2, tap));
        self.decode(Tensor::cat(features.chunk(2, 0), 1))
    }

    /// Features of both views `[batch, 2 * channels]` to the normalised target.
    pub fn decode(&self, features: Tensor<2>) -> Tensor<2> {
        let output = features.matmul(self.weight.val()) + self.bias.val().unsqueeze();
        if self.family.tanh_decoder() {
            output.tanh()
        } else {
            output
        }
    }

    /// The loss of a batch, with the mean squared error of the normalised target beside it.
    pub fn loss(&self, encoder: &Encoder, batch: &PairBatch) -> ObjectiveOutput {
        let prediction = self.predict(encoder, batch);
        let squares = (prediction.clone() - batch.target.clone()).square();
        let mse = squares.clone().detach().mean();
        let loss = match self.config.loss {
            Loss::Parameters => self.reduce(squares),
            Loss::Matrix => {
                let entries =
                    |target| normalised_matrix_entries(&self.family, target, self.image_size);
                self.reduce((entries(prediction) - entries(batch.target.clone())).square())
            }
        };
        ObjectiveOutput {
            loss,
            parts: vec![("mse", mse)],
        }
    }

    /// `[batch, n]` squared differences to one number.
    fn reduce(&self, squares: Tensor<2>) -> Tensor<1> {
        match self.config.reduction {
            Reduction::Mean => squares.mean(),
            Reduction::HalfSum => squares.sum_dim(1).mean() * 0.5,
        }
    }
}

/// `[batch, channels, height, width]` to its means over the image, `[batch, channels]`.
pub fn global_average(features: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = features.dims();
    features
        .reshape([batch, channels, height * width])
        .mean_dim(2)
        .reshape([batch, channels])
}
