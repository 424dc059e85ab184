//! Layers of the probes.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;

use crate::backbone::{BatchNorm, normal_values};

/// `[batch, inputs]` to `[batch, outputs]`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Linear {
    /// Weights from N(0, sqrt(1 / inputs)) and no bias, so that the first answers do not depend on
    /// the number of inputs. The published code takes N(0, sqrt(2 / outputs)), which on full
    /// feature maps needs its 200 epochs of weight decay to be forgotten.
    pub fn new(inputs: usize, outputs: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let std = (1.0 / inputs as f64).sqrt();
        Self {
            weight: Param::from_tensor(matrix([inputs, outputs], std, rng, device)),
            bias: Param::from_tensor(Tensor::zeros([outputs], device)),
        }
    }

    /// `[batch, inputs]` to `[batch, outputs]`.
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        rows.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

/// A linear layer without bias, and batch normalisation: `[batch, inputs]` to `[batch, outputs]`.
#[derive(Module, Debug)]
pub struct HiddenLayer {
    weight: Param<Tensor<2>>,
    norm: BatchNorm,
}

impl HiddenLayer {
    /// Weights from N(0, sqrt(2 / outputs)), as published.
    pub fn new(inputs: usize, outputs: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let std = (2.0 / outputs as f64).sqrt();
        Self {
            weight: Param::from_tensor(matrix([inputs, outputs], std, rng, device)),
            norm: BatchNorm::new(outputs, device),
        }
    }

    /// `[batch, inputs]` to `[batch, outputs]`.
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        let rows = rows.matmul(self.weight.val());
        let [batch, outputs] = rows.dims();
        let rows = rows.reshape([batch, outputs, 1, 1]);
        self.norm.forward(rows).reshape([batch, outputs])
    }
}

/// Batch normalisation per channel without scale and shift: those of the layer inside stay 1 and 0,
/// because they take no gradient.
#[derive(Module, Debug)]
pub struct PlainNorm {
    norm: BatchNorm,
}

impl PlainNorm {
    /// Running statistics of a standard normal.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            norm: BatchNorm::new(channels, device).no_grad(),
        }
    }

    /// Normalises `[batch, channels, height, width]`.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.norm.forward(features)
    }
}

/// A matrix of draws of N(0, `std`).
fn matrix(shape: [usize; 2], std: f64, rng: &mut impl Rng, device: &Device) -> Tensor<2> {
    let values = normal_values(shape[0] * shape[1], std, rng);
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim;
    use crate::state::named_tensors;

    /// As the published classifier's normalisation, which has no scale and no shift.
    #[test]
    fn a_plain_norm_learns_nothing_but_its_statistics() {
        let device = Device::flex().autodiff();
        let mut rng = aet_data::random::generator(1, 0, 0, aet_data::random::Purpose::Probe);
        // They take a gradient, so that there is one at all.
        let features = matrix([6, 2], 3.0, &mut rng, &device)
            .reshape([6, 2, 1, 1])
            .require_grad();
        let mut norm = PlainNorm::new(2, &device);
        let before = named_tensors(&norm);
        let mut optimizer = optim::SgdConfig::default().init();
        for _ in 0..3 {
            let loss = norm.forward(features.clone()).powi_scalar(3).mean();
            norm = optim::step(&mut optimizer, 0.5, norm, &loss);
        }
        let after = named_tensors(&norm);
        let moved: Vec<&str> = before
            .iter()
            .filter(|(name, tensor)| after.get(*name) != Some(*tensor))
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(moved, ["norm.running_mean", "norm.running_var"]);
    }
}
