//! Frozen features: the one place where an encoder is read without being trained.
//!
//! [`FrozenEncoder`] takes the encoder off autodiff, because batch normalisation chooses between
//! training and evaluation by the device of its input: a frozen encoder that is fed an autodiff
//! tensor would use the statistics of the batch and change its running ones. Everything that wants
//! features goes through it: [`extract`] for a whole set, and the probes for augmented batches.

use std::sync::Arc;

use aet_data::{
    Augment, EpochPlan, HostBatch, ImageSet, Loader, Normalisation, Order, Share, ViewPipeline,
};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::backbone::{Encoder, Tap};
use crate::error::LearnError;
pub use crate::pooling::Pooling;
use crate::state::host_values;

/// The features of every image of a set, in the order of the set, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureBank {
    /// `[count, dim]`, row-major.
    pub features: Vec<f32>,
    /// Numbers for each image: the product of `shape`.
    pub dim: usize,
    /// Channels, height and width of one image's features; height and width are 1 after average
    /// pooling.
    pub shape: [usize; 3],
}

impl FeatureBank {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.features.len() / self.dim.max(1)
    }

    /// Whether there is no image in it.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// The features of image `index`, `[dim]`.
    ///
    /// # Panics
    /// When there are not that many images.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.features[index * self.dim..(index + 1) * self.dim]
    }
}

/// How features are read.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractOptions {
    /// Mean and standard deviation of the channels that the encoder was trained with.
    pub normalisation: Normalisation,
    /// How an image is brought to the size of an item, with nothing random in it:
    /// [`Augment::still`].
    pub framing: Augment,
    /// What becomes of an image's features.
    pub pooling: Pooling,
    /// Images that go through the encoder at a time, at least 1; it changes the time and memory
    /// needed, not the features.
    pub batch_size: usize,
    /// Threads that make batches; 0 makes them in the calling thread.
    pub workers: usize,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self {
            normalisation: Normalisation::default(),
            framing: Augment::none(),
            pooling: Pooling::Average,
            batch_size: 250,
            workers: 2,
        }
    }
}

/// An encoder that cannot be trained any more, read at one tap.
#[derive(Debug, Clone)]
pub struct FrozenEncoder {
    encoder: Encoder,
    tap: Tap,
    pooling: Pooling,
    device: Device,
}

impl FrozenEncoder {
    /// A copy of `encoder` off autodiff; the original is left as it is.
    pub fn new(encoder: &Encoder, tap: &Tap, pooling: Pooling) -> Self {
        let device = encoder.devices().into_iter().next();
        Self {
            encoder: encoder.valid(),
            tap: tap.clone(),
            pooling,
            device: device.unwrap_or_default().without_autodiff(),
        }
    }

    /// The plain device that features are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The features of the first view of `batch`, `[batch, channels, height, width]`, off autodiff;
    /// height and width are 1 after average pooling.
    pub fn features(&self, batch: HostBatch) -> Tensor<4> {
        let shape = batch.view_shape;
        let view = batch.views.into_iter().next().unwrap_or_default();
        let images = Tensor::from_data(TensorData::new(view, shape), &self.device);
        self.pooling.apply(self.encoder.forward(images, &self.tap))
    }
}

/// The frozen features of every image of `set` at `tap`, without augmentation. The encoder may be
/// on autodiff or not; neither its weights nor its running statistics change.
///
/// `progress` is called with the number of images done and of all images.
///
/// # Errors
/// When the images cannot be loaded, or a feature is not a finite number.
pub fn extract(
    encoder: &Encoder,
    tap: &Tap,
    set: &Arc<ImageSet>,
    options: &ExtractOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<FeatureBank, LearnError> {
    let frozen = FrozenEncoder::new(encoder, tap, options.pooling);
    let pipeline = ViewPipeline {
        augment: options.framing.clone(),
        normalisation: options.normalisation.clone(),
    };
    let plan = EpochPlan {
        seed: 0,
        epoch: 0,
        batch_size: options.batch_size.max(1),
        order: Order::Sequential,
        drop_last: false,
        first_step: 0,
        share: Share::WHOLE,
    };
    let batches = Loader::epoch(Arc::clone(set), Arc::new(pipeline), plan, options.workers)?;
    let mut bank = FeatureBank {
        features: Vec::new(),
        dim: 0,
        shape: [0; 3],
    };
    for batch in batches {
        let batch = batch?;
        if let Some(left_out) = left_out(&batch.indices, bank.len()) {
            return Err(LearnError::Probe {
                message: format!(
                    "image {left_out} ({}) cannot be used, and features of a whole set need all of its \
                     images; take it away, or decode the set once with `aet cache`, which leaves \
                     such images out",
                    set.name(left_out)
                ),
            });
        }
        let features = frozen.features(batch);
        let [_, channels, height, width] = features.dims();
        bank.shape = [channels, height, width];
        bank.dim = channels * height * width;
        bank.features.reserve_exact(match bank.features.len() {
            0 => set.len() * bank.dim,
            _ => 0,
        });
        bank.features.extend(host_values(features));
        progress(bank.len(), set.len());
    }
    match bank.features.iter().position(|value| !value.is_finite()) {
        None => Ok(bank),
        Some(place) => Err(LearnError::Probe {
            message: format!(
                "the features of image {} at {} are not finite numbers; the encoder has diverged, \
                 train it again with a lower schedule.rate",
                place / bank.dim,
                tap.name
            ),
        }),
    }
}

/// The first image that is missing in a batch of neighbouring images that begins at `start`.
fn left_out(indices: &[usize], start: usize) -> Option<usize> {
    let expected = start..;
    let mut pairs = expected.zip(indices);
    pairs
        .find(|(expected, found)| expected != *found)
        .map(|(expected, _)| expected)
}
