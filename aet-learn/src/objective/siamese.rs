//! What decoders of transformations share: features of both views, and a linear layer on them.

use aet_data::random::{self, Purpose, unit};
use aet_geometry::{Family, TransformationFamily};
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use crate::backbone::Encoder;
use crate::batch::PairBatch;

/// Weight `[inputs, outputs]` from U(-1/sqrt(inputs), 1/sqrt(inputs)) and bias `[outputs]` of 0, of
/// the decoder at a place among those of a seed.
pub(super) fn linear_layer(
    [inputs, outputs]: [usize; 2],
    (seed, place): (u64, u64),
    device: &Device,
) -> (Param<Tensor<2>>, Param<Tensor<1>>) {
    let mut rng = random::generator(seed, place, 1, Purpose::Init);
    let bound = 1.0 / (inputs as f64).sqrt();
    let weight: Vec<f32> = (0..inputs * outputs)
        .map(|_| (bound * (2.0 * unit(&mut rng) - 1.0)) as f32)
        .collect();
    let weight = TensorData::new(weight, [inputs, outputs]);
    let bias = TensorData::new(vec![0.0_f32; outputs], [outputs]);
    (
        Param::from_tensor(Tensor::from_data(weight, device)),
        Param::from_tensor(Tensor::from_data(bias, device)),
    )
}

/// What a decoder's linear layer ends in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    /// Nothing.
    Linear,
    /// `bound * tanh(output / bound)`, which lies within `-bound..bound`.
    Tanh(f64),
}

impl End {
    /// What the decoder of `family` ends in.
    pub(super) fn of_family(family: &Family) -> Self {
        match family.tanh_decoder() {
            true => Self::Tanh(1.0),
            false => Self::Linear,
        }
    }

    pub(super) fn of(self, output: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Linear => output,
            Self::Tanh(1.0) => output.tanh(),
            Self::Tanh(bound) => (output / bound).tanh() * bound,
        }
    }
}

/// Averaged last features of the original and the transformed image, side by side, `[batch, 2 *
/// channels]`. In training each view is normalised with its own batch statistics, as released.
pub(super) fn siamese_features(encoder: &Encoder, batch: &PairBatch) -> Tensor<2> {
    let tap = encoder.last_tap();
    let views = Tensor::cat(vec![batch.original.clone(), batch.transformed.clone()], 0);
    let features = global_average(encoder.forward_views(views, 2, tap));
    Tensor::cat(features.chunk(2, 0), 1)
}

/// `[batch, channels, height, width]` to its means over the image, `[batch, channels]`.
pub fn global_average(features: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = features.dims();
    features
        .reshape([batch, channels, height * width])
        .mean_dim(2)
        .reshape([batch, channels])
}
