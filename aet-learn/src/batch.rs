//! Batches on a device.

use aet_data::HostBatch;
use burn::tensor::{Device, Tensor, TensorData};

/// What an objective is given: the views that its pipeline made of each item, and a target.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Normalised images, each `[batch, 3, height, width]`, in the order of the pipeline.
    pub views: Vec<Tensor<4>>,
    /// Numbers that go with each item, `[batch, target length]`; of length 0 where there are none.
    pub target: Tensor<2>,
    /// Epochs that the run had done before this batch, a part of one included; none outside of
    /// training.
    pub epochs_done: Option<f64>,
}

impl Batch {
    /// Moves a host batch to `device`; it belongs to no training.
    pub fn from_host(batch: HostBatch, device: &Device) -> Self {
        let rows = batch.view_shape[0];
        let target = TensorData::new(batch.targets, [rows, batch.target_len]);
        let views = batch
            .views
            .into_iter()
            .map(|view| Tensor::from_data(TensorData::new(view, batch.view_shape), device));
        Self {
            views: views.collect(),
            target: Tensor::from_data(target, device),
            epochs_done: None,
        }
    }

    /// Moves a host batch to `devices` in equal parts, in its order: for each of `turns` one part a
    /// device.
    ///
    /// # Panics
    /// When the items cannot be divided so.
    pub fn divide(batch: HostBatch, devices: &[Device], turns: usize) -> Vec<Vec<Self>> {
        if let ([device], 1) = (devices, turns) {
            return vec![vec![Self::from_host(batch, device)]];
        }
        let parts = devices.len() * turns;
        let [rows, channels, height, width] = batch.view_shape;
        assert_eq!(rows % parts, 0, "parts of a batch are equal");
        let each = rows / parts;
        let slice = |values: &[f32], part: usize| {
            let row = values.len() / rows;
            values[part * each * row..][..each * row].to_vec()
        };
        let part = |part: usize, device: &Device| {
            let views = batch.views.iter().map(|view| {
                let data = TensorData::new(slice(view, part), [each, channels, height, width]);
                Tensor::from_data(data, device)
            });
            let target = slice(&batch.targets, part);
            Self {
                views: views.collect(),
                target: Tensor::from_data(
                    TensorData::new(target, [each, batch.target_len]),
                    device,
                ),
                epochs_done: None,
            }
        };
        (0..turns)
            .map(|turn| {
                let places = devices.iter().enumerate();
                places
                    .map(|(place, device)| part(turn * devices.len() + place, device))
                    .collect()
            })
            .collect()
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.target.dims()[0]
    }

    /// Whether there is no item in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its views by the names that they have in a pair.
    ///
    /// # Panics
    /// When the batch does not hold two views.
    pub fn pairs(&self) -> PairBatch {
        let [original, transformed] = self.views.as_slice() else {
            panic!("a pair batch is made of two views");
        };
        PairBatch {
            original: original.clone(),
            transformed: transformed.clone(),
            target: self.target.clone(),
        }
    }
}

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
