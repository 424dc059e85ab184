//! Batches of features, from a bank that was read once or from images that are embedded as they
//! come.

use std::sync::Arc;

use aet_data::random::{Purpose, generator, permutation};
use aet_data::{EpochPlan, HostBatch, ImageSet, Loader, Order, Share, ViewPipeline};
use burn::tensor::{Device, Tensor, TensorData};

use crate::embed::{FeatureBank, FrozenEncoder};
use crate::error::LearnError;

/// What images become before a head or a thawed encoder sees them.
#[derive(Debug, Clone)]
pub enum Reader {
    /// Frozen features.
    Frozen(Box<FrozenEncoder>),
    /// The normalised images themselves, on this plain device.
    Pixels(Device),
}

impl Reader {
    /// `[batch, channels, height, width]`, off autodiff.
    fn read(&self, batch: HostBatch) -> Tensor<4> {
        match self {
            Self::Frozen(encoder) => encoder.features(batch),
            Self::Pixels(device) => {
                let shape = batch.view_shape;
                let view = batch.views.into_iter().next().unwrap_or_default();
                Tensor::from_data(TensorData::new(view, shape), device)
            }
        }
    }
}

/// Items that come in batches of features.
#[derive(Debug, Clone)]
pub enum Stream<'a> {
    /// Features that were read once: item i is row `places[i]`.
    Bank {
        /// The features.
        bank: &'a FeatureBank,
        /// The row of each item.
        places: &'a [usize],
        /// The plain device that batches go to.
        device: Device,
    },
    /// Images that are read, and augmented, anew in every pass.
    Images {
        /// The items.
        set: Arc<ImageSet>,
        /// What augments and normalises them.
        pipeline: Arc<ViewPipeline>,
        /// What reads them.
        reader: Reader,
        /// Threads that make batches; 0 makes them in the calling thread.
        workers: usize,
    },
}

/// Once through a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Seed of the order and of the augmentation.
    pub seed: u64,
    /// Which pass it is, counted from 0.
    pub number: u64,
    /// Shuffled to learn, in order to be judged.
    pub order: Order,
    /// Items in a batch, at least 1.
    pub batch_size: usize,
}

impl Stream<'_> {
    /// Number of items.
    pub fn len(&self) -> usize {
        match self {
            Self::Bank { places, .. } => places.len(),
            Self::Images { set, .. } => set.len(),
        }
    }

    /// Whether there is no item in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives every batch of a pass, features `[batch, channels, height, width]` off autodiff and the
    /// numbers of their items, to `take`.
    ///
    /// # Errors
    /// When images cannot be loaded.
    pub fn each_batch(
        &self,
        pass: Pass,
        take: &mut dyn FnMut(Tensor<4>, &[usize]),
    ) -> Result<(), LearnError> {
        match self {
            Self::Bank {
                bank,
                places,
                device,
            } => {
                let mut rng = generator(pass.seed, pass.number, 0, Purpose::Shuffle);
                let order = match pass.order {
                    Order::Shuffled => permutation(&mut rng, places.len()),
                    Order::Sequential => (0..places.len()).collect(),
                };
                for items in order.chunks(pass.batch_size.max(1)) {
                    take(gather(bank, places, items, device), items);
                }
            }
            Self::Images {
                set,
                pipeline,
                reader,
                workers,
            } => {
                let plan = EpochPlan {
                    seed: pass.seed,
                    epoch: pass.number,
                    batch_size: pass.batch_size.max(1),
                    order: pass.order,
                    drop_last: false,
                    first_step: 0,
                    share: Share::WHOLE,
                };
                for batch in Loader::epoch(Arc::clone(set), pipeline.clone(), plan, *workers)? {
                    let batch = batch?;
                    let items = batch.indices.clone();
                    take(reader.read(batch), &items);
                }
            }
        }
        Ok(())
    }
}

/// The features of `items`, whose rows are `places`, `[batch, channels, height, width]`.
fn gather(bank: &FeatureBank, places: &[usize], items: &[usize], device: &Device) -> Tensor<4> {
    let mut values = Vec::with_capacity(items.len() * bank.dim);
    for item in items {
        values.extend_from_slice(bank.row(places[*item]));
    }
    let [channels, height, width] = bank.shape;
    let shape = [items.len(), channels, height, width];
    Tensor::from_data(TensorData::new(values, shape), device)
}
