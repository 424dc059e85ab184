//! What decoders of transformations share: features of both views, and the layers on them.

use aet_data::random::{self, Purpose, unit};
use aet_geometry::{Family, TransformationFamily};
use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;

use crate::backbone::Encoder;
use crate::batch::PairBatch;
use crate::error::ConfigError;

/// Units that a hidden layer may have.
const HIDDEN_UNITS: std::ops::RangeInclusive<usize> = 1..=65_536;

/// Refuses a number of hidden units, `objective.hidden`, that no decoder has.
pub(super) fn check_hidden(units: Option<usize>) -> Result<(), ConfigError> {
    match units {
        Some(units) if !HIDDEN_UNITS.contains(&units) => {
            let range = "from 1 to 65536 units, or left out for none";
            Err(ConfigError::range("objective.hidden", range, units))
        }
        _ => Ok(()),
    }
}

/// What is added to the name of a method whose decoder has hidden units.
pub(super) fn hidden_label(units: Option<usize>) -> String {
    units.map_or_else(String::new, |units| format!(", {units} hidden units"))
}

/// A linear layer of a decoder: its weight `[inputs, outputs]` and bias `[outputs]`.
pub(super) type Linear = (Param<Tensor<2>>, Param<Tensor<1>>);

/// Weight from U(-1/sqrt(inputs), 1/sqrt(inputs)) and bias of 0, by draws of its own.
fn linear_layer([inputs, outputs]: [usize; 2], mut rng: impl Rng, device: &Device) -> Linear {
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

/// Hidden units with a ReLU between the features of both views and a decoder's linear layer. Without
/// them, as released, an answer is a number for x and one for t(x), added, which cannot tell what only
/// both together do: whether t mirrored an image that is as likely either way. With them features are
/// worse, as both views can be held against each other by any edges and colours (docs/reproduction.md).
#[derive(Module, Debug)]
pub struct Hidden {
    /// `[2 * channels, units]`.
    pub weight: Param<Tensor<2>>,
    /// `[units]`.
    pub bias: Param<Tensor<1>>,
}

/// The layers of a decoder from `inputs` features to `outputs` numbers, through hidden units if there
/// are some; each with draws of its own, by the decoder's place among those of a seed.
pub(super) fn decoder_layers(
    [inputs, outputs]: [usize; 2],
    hidden: Option<usize>,
    (seed, place): (u64, u64),
    device: &Device,
) -> (Option<Hidden>, Linear) {
    let draws = |layer| random::generator(seed, place, layer, Purpose::Init);
    let last = [hidden.unwrap_or(inputs), outputs];
    let hidden = hidden.map(|units| {
        let (weight, bias) = linear_layer([inputs, units], draws(2), device);
        Hidden { weight, bias }
    });
    (hidden, linear_layer(last, draws(1), device))
}

/// `[batch, inputs]` features through the layers of a decoder, `[batch, outputs]`.
pub(super) fn decode(
    features: Tensor<2>,
    hidden: Option<&Hidden>,
    weight: &Param<Tensor<2>>,
    bias: &Param<Tensor<1>>,
) -> Tensor<2> {
    let linear = |rows: Tensor<2>, weight: &Param<Tensor<2>>, bias: &Param<Tensor<1>>| {
        rows.matmul(weight.val()) + bias.val().unsqueeze()
    };
    let rows = match hidden {
        Some(hidden) => relu(linear(features, &hidden.weight, &hidden.bias)),
        None => features,
    };
    linear(rows, weight, bias)
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
