//! Telling quarter turns (Gidaris, Singh and Komodakis, ICLR 2018): every image comes turned by 0, 90,
//! 180 and 270 degrees, and a linear layer over the globally averaged features says by how much.

use std::sync::Arc;

use aet_data::random::{self, Purpose};
use aet_data::{Augment, ItemPipeline, QuarterTurnPipeline, ViewPipeline};
use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Decoder, Objective, ObjectiveOutput, Pretext, Task, Trivial, Yardstick, global_average,
};
use crate::backbone::Encoder;
use crate::batch::Batch;
use crate::config::Experiment;
use crate::error::{ConfigError, LearnError};
use crate::probe::Linear;

/// Turns that are told apart, each of which is a view of the batch.
pub const TURNS: usize = 4;

/// The quarter-turn task; it has nothing to set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RotNetConfig {}

impl Pretext for RotNetConfig {
    fn check_image_size(&self, [height, width]: [usize; 2]) -> Result<(), ConfigError> {
        if height == width {
            return Ok(());
        }
        let found = format!("[{height}, {width}]");
        let range = "square for objective.kind = \"rotnet\", whose quarter turns keep every pixel";
        Err(ConfigError::range("data.image_size", range, found))
    }

    fn label(&self, _experiment: &Experiment) -> String {
        "rotnet".into()
    }

    fn task(&self, _experiment: &Experiment) -> String {
        "quarter turns".into()
    }

    fn pipeline(&self, experiment: &Experiment, augment: Augment) -> Arc<dyn ItemPipeline> {
        Arc::new(QuarterTurnPipeline {
            view: ViewPipeline {
                augment,
                normalisation: experiment.data.normalisation.clone(),
            },
        })
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick {
            metric: "accuracy",
            trivial: Trivial::Chance(TURNS),
        }
    }

    fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Result<Objective, LearnError> {
        Ok(Objective::RotNet(RotNet::new(task, seed, device)))
    }
}

/// The linear layer and the loss.
#[derive(Module, Debug)]
pub struct RotNet {
    linear: Linear,
}

impl RotNet {
    /// Weights drawn from `seed`.
    pub fn new(task: &Task<'_>, seed: u64, device: &Device) -> Self {
        let mut rng = random::generator(seed, 0, 1, Purpose::Init);
        Self {
            linear: Linear::new(task.channels, TURNS, &mut rng, device),
        }
    }

    /// A score for each turn of every view, `[4 * batch, 4]`, view by view. All views are normalised
    /// with the statistics of one batch, as published.
    fn scores(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        let views = Tensor::cat(batch.views.clone(), 0);
        let maps = encoder.forward_views(views, 1, encoder.last_tap());
        self.linear.forward(global_average(maps))
    }
}

impl Decoder for RotNet {
    /// The cross-entropy over all views, in nats; the part is the share of right answers.
    fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        turn_loss(self.scores(encoder, batch))
    }

    fn predict(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        self.scores(encoder, batch)
    }
}

/// The mean cross-entropy of scores `[4 * batch, 4]`, of which the first quarter of the rows belongs
/// to turn 0, the next to turn 1, and so on; and the share of rows whose highest score is that of
/// their turn.
fn turn_loss(scores: Tensor<2>) -> ObjectiveOutput {
    let [rows, turns] = scores.dims();
    let device = scores.device();
    // [turn that it is, image, turn that is scored]
    let shape = [turns, rows / turns, turns];
    let right = Tensor::<2>::eye(turns, &device).reshape([turns, 1, turns]);
    let logs = log_softmax(scores.clone(), 1).reshape(shape);
    let loss = (logs * right).sum() * (-1.0 / rows as f64);
    let told = scores.detach().argmax(1).reshape([turns, rows / turns]);
    let truth = Tensor::<1, Int>::arange(0..turns as i64, &device).reshape([turns, 1]);
    let hits = told.equal(truth.expand([turns, rows / turns])).float();
    ObjectiveOutput {
        loss,
        parts: vec![("accuracy", hits.mean())],
    }
}
