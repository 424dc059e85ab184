//! A batch of pairs on a device.

use aet_data::HostBatch;
use burn::tensor::{Device, Tensor, TensorData};

/// Original images, their transformed copies, and the transformations' targets.
#[derive(Debug, Clone)]
pub struct PairBatch {
    /// x, normalised, `[batch, 3, height, width]`.
    pub original: Tensor<4>,
    /// t(x), normalised, `[batch, 3, height, width]`.
    pub transformed: Tensor<4>,
    /// Normalised parameters of t, `[batch, target length]`.
    pub target: Tensor<2>,
}

impl PairBatch {
    /// Moves a host batch of two views to `device`.
    ///
    /// # Panics
    /// When the batch does not hold two views.
    pub fn from_host(batch: HostBatch, device: &Device) -> Self {
        let rows = batch.view_shape[0];
        let target = TensorData::new(batch.targets, [rows, batch.target_len]);
        let mut views = batch
            .views
            .into_iter()
            .map(|view| Tensor::from_data(TensorData::new(view, batch.view_shape), device));
        let (Some(original), Some(transformed)) = (views.next(), views.next()) else {
            panic!("a pair batch is made of two views");
        };
        Self {
            original,
            transformed,
            target: Tensor::from_data(target, device),
        }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.target.dims()[0]
    }

    /// Whether there is no pair in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
