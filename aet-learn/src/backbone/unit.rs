//! The unit that every encoder here is made of: convolution without bias, batch normalisation, ReLU.

use aet_kernels::chain::Window;
use burn::module::{Module, Param};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use rand_distr::{Distribution, Normal};

use super::norm::BatchNorm;

/// Convolution without bias, batch normalisation, ReLU.
#[derive(Module, Debug)]
pub struct Unit {
    /// Kernel, `[channels out, channels in, side, side]`.
    pub conv: Param<Tensor<4>>,
    /// The normalisation after it.
    pub norm: BatchNorm,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    padding: usize,
}

impl Unit {
    /// Weights from N(0, sqrt(2 / (side^2 * channels out))), the initialisation of the released AET
    /// code and of torchvision; `shape` is channels in, channels out, side of the kernel. The stride
    /// is 1 and the padding keeps the size of images for an odd side.
    pub(crate) fn new(shape: [usize; 3], rng: &mut impl rand::Rng, device: &Device) -> Self {
        let [channels_in, channels_out, side] = shape;
        let std = (2.0 / (side * side * channels_out) as f64).sqrt();
        let kernel = normal_values(channels_out * channels_in * side * side, std, rng);
        let data = TensorData::new(kernel, [channels_out, channels_in, side, side]);
        Self {
            conv: Param::from_tensor(Tensor::from_data(data, device)),
            norm: BatchNorm::new(channels_out, device),
            stride: 1,
            padding: side / 2,
        }
    }

    /// The same with another stride and padding, in pixels.
    pub(super) fn with_steps(self, stride: usize, padding: usize) -> Self {
        Self {
            stride,
            padding,
            ..self
        }
    }

    /// Side, stride and padding of the convolution.
    pub(super) fn window(&self) -> Window {
        let [_, _, side, _] = self.conv.dims();
        Window {
            side,
            stride: self.stride,
            padding: self.padding,
        }
    }

    /// The convolution by Burn's own operations, the normalisation and, if `rectified`, the ReLU:
    /// `[batch, channels in, height, width]` to `[batch, channels out, ..]`, the batch in `views`
    /// equal parts, each of which is normalised with its own statistics in training. Where there is a
    /// `reduced` type the convolution is done in it, and what comes out is of it; the weights and the
    /// normalisation are float32.
    pub(super) fn forward(
        &self,
        input: Tensor<4>,
        views: usize,
        rectified: bool,
        reduced: Option<FloatDType>,
    ) -> Tensor<4> {
        let options = ConvOptions::new(
            [self.stride, self.stride],
            [self.padding, self.padding],
            [1, 1],
            1,
        );
        let kernel = self.conv.val();
        let output = match reduced {
            Some(reduced) => conv2d(input.cast(reduced), kernel.cast(reduced), None, options),
            None => conv2d(input, kernel, None, options),
        };
        self.norm.forward_views(output, views, rectified, reduced)
    }
}

/// Draws of N(0, `std`) as f32, from f64 draws of `rng`.
pub(crate) fn normal_values(count: usize, std: f64, rng: &mut impl rand::Rng) -> Vec<f32> {
    match Normal::new(0.0, std) {
        Ok(normal) => (0..count).map(|_| normal.sample(rng) as f32).collect(),
        Err(_) => vec![0.0; count],
    }
}
