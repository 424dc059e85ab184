//! Distances between images, for the expected distance between t(x) and what the estimate of t makes
//! of x (AET, section 3.4).

use std::sync::LazyLock;

use aet_data::random::{Purpose, generator, unit};
use burn::tensor::module::{adaptive_avg_pool2d, conv2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Filters of the fixed bank, and the side of each in pixels.
const FILTERS: [usize; 2] = [32, 5];

/// Cells that features are averaged over, along each side.
const CELLS: usize = 4;

/// How far two batches of normalised images are from each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// Mean of the squared differences of pixels.
    #[default]
    Squared,
    /// Mean of the absolute differences of pixels.
    Absolute,
    /// Mean of the squared differences of features: 32 fixed random 5x5 filters that sum to zero,
    /// rectified, averaged over each cell of a grid of 4x4. A shift of a fine texture costs far less
    /// than pixel by pixel, and a copy of one colour more than one that is a little off.
    Features,
}

impl Distance {
    /// What of images `[batch, 3, height, width]` is compared: their pixels or their features, four
    /// dimensions with the batch first.
    pub fn compared(self, images: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Squared | Self::Absolute => images,
            Self::Features => {
                let filters = filters(&images.device());
                features(images, filters)
            }
        }
    }

    /// The distance between what is [`compared`](Self::compared) of two batches, for each of their
    /// images, `[batch]`.
    pub fn between(self, one: Tensor<4>, other: Tensor<4>) -> Tensor<1> {
        let difference = one - other;
        let distances = match self {
            Self::Squared | Self::Features => difference.square(),
            Self::Absolute => difference.abs(),
        };
        let [batch, channels, height, width] = distances.dims();
        let distances: Tensor<2> = distances.reshape([batch, channels * height * width]);
        distances.mean_dim(1).reshape([batch])
    }
}

fn features(images: Tensor<4>, filters: Tensor<4>) -> Tensor<4> {
    let padding = FILTERS[1] / 2;
    let options = ConvOptions::new([1, 1], [padding, padding], [1, 1], 1);
    let maps = conv2d(images, filters, None, options);
    let rectified = burn::tensor::activation::relu(maps);
    adaptive_avg_pool2d(rectified, [CELLS, CELLS])
}

/// The bank for colour images, `[filters, 3, 5, 5]`, on `device`.
fn filters(device: &Device) -> Tensor<4> {
    let [count, side] = FILTERS;
    Tensor::from_data(
        TensorData::new(BANK.clone(), [count, 3, side, side]),
        device,
    )
}

/// Every filter sums to zero and its squares sum to one. They are the same in every run, and drawn
/// once in it.
static BANK: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let [count, side] = FILTERS;
    let size = 3 * side * side;
    let mut rng = generator(0, 0, 0, Purpose::Noise);
    let mut values = Vec::with_capacity(count * size);
    for _ in 0..count {
        let drawn: Vec<f64> = (0..size).map(|_| unit(&mut rng) - 0.5).collect();
        let mean = drawn.iter().sum::<f64>() / size as f64;
        let length = drawn.iter().map(|v| (v - mean).powi(2)).sum::<f64>().sqrt();
        values.extend(drawn.iter().map(|v| ((v - mean) / length) as f32));
    }
    values
});
