//! What is trained together: the encoder and the objective with its decoder.

use burn::module::Module;
use burn::tensor::Device;

use crate::backbone::Encoder;
use crate::config::Experiment;
use crate::error::LearnError;
use crate::objective::{Objective, Task};
use crate::state::with_stable_ids;

/// An encoder with its objective.
#[derive(Module, Debug)]
pub struct Model {
    /// The encoder E.
    pub encoder: Encoder,
    /// The objective, with the decoder D.
    pub objective: Objective,
}

/// The model of `experiment` before training, for images of `image_size` (height, width, in
/// pixels).
///
/// # Errors
/// When a file that the objective is built on, such as a generator, cannot be read.
pub fn fresh_model(
    experiment: &Experiment,
    image_size: [usize; 2],
    device: &Device,
) -> Result<Model, LearnError> {
    let encoder = experiment.backbone.init(experiment.seed, device);
    let task = Task {
        family: &experiment.transformation,
        image_size,
        channels: encoder.last_tap().channels,
        normalisation: &experiment.data.normalisation,
        framing: experiment.framing(image_size),
    };
    let objective = experiment.objective.init(&task, experiment.seed, device)?;
    Ok(with_stable_ids(Model { encoder, objective }))
}
