//! What training takes memory for, as far as it can be told beforehand, and what devices say that they
//! hold.

use aet_data::ImageSet;
use burn::module::Module;
use burn::tensor::Device;

use crate::config::Experiment;
use crate::error::LearnError;
use crate::model::fresh_model;
use crate::optim::OptimizerConfig;
use crate::resident::views_fit;

/// Bytes of a number.
const NUMBER: usize = size_of::<f32>();

/// Something that takes memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// What it is.
    pub what: &'static str,
    /// Where it is: on the `host`, on each `device`, or on the `first device`.
    pub place: &'static str,
    /// How much it takes.
    pub bytes: usize,
}

/// What training on `devices` holds from step to step. Features and their gradients, which come and go
/// within a step and grow with the batch, are not among it: they are what the rest of a device's memory
/// goes to.
///
/// # Errors
/// When the model cannot be made.
pub fn holdings(
    experiment: &Experiment,
    images: &ImageSet,
    devices: &[Device],
) -> Result<Vec<Holding>, LearnError> {
    let size = [images.height(), images.width()];
    let model = fresh_model(experiment, size, &Device::flex())?;
    let weights = model.num_params() * NUMBER;
    let states = match &experiment.optimizer {
        OptimizerConfig::Sgd(sgd) => usize::from(sgd.momentum > 0.0),
        OptimizerConfig::Adam(_) => 2,
    };
    let pipeline = experiment.training_pipeline();
    let [height, width] = pipeline.view_size(size[0], size[1]);
    let training = &experiment.training;
    let part = training.batch_size / training.gradient_accumulation / devices.len().max(1);
    let view = 3 * height * width * NUMBER;
    let decoded = match images.is_streamed() {
        true => 0,
        false => images.len() * 3 * size[0] * size[1],
    };
    let on_device = views_fit(experiment, images, devices);
    let holding = |what, place, bytes| Holding { what, place, bytes };
    let all = [
        holding("decoded images", "host", decoded),
        holding("images", "device", on_device.unwrap_or(0)),
        holding("weights", "device", weights),
        holding("gradients", "device", weights),
        holding("optimiser state", "first device", states * weights),
        holding(
            "views of a part of a batch",
            "device",
            pipeline.views() * part * view,
        ),
    ];
    Ok(all.into_iter().filter(|one| one.bytes > 0).collect())
}

/// Bytes that `device` has in use and in reserve; none where it does not tell.
pub fn held(device: &Device) -> Option<[u64; 2]> {
    let usage = device.memory_pool_usage()?;
    Some([usage.bytes_in_use, usage.bytes_reserved])
}
