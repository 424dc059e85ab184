//! From a code to an image: a linear layer to maps of at most 4x4, then transposed convolutions, each
//! of which doubles their height and width (Radford, Metz and Chintala, ICLR 2016, figure 1).

use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::module::conv_transpose2d;
use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;

use crate::backbone::{BatchNorm, normal_values};
use crate::probe::Linear;

/// Most rows and columns of the maps that a code is spread over.
const FIRST_SIDE: usize = 4;
/// Rows and columns of a kernel; with a stride of 2 and a padding of 1 it doubles the size.
const KERNEL_SIDE: usize = 4;
/// The first maps have at most so many times the channels of the last.
const MOST_CHANNELS: usize = 8;

/// Codes `[batch, code]` to images `[batch, 3, height, width]` of any size.
///
/// The sizes of the maps are those that halving the image, rounded up, goes through; a map that comes
/// out one row or column too large is cut. Channels are halved where sizes are doubled.
#[derive(Module, Debug)]
pub struct Deconvolution {
    first: Linear,
    first_norm: BatchNorm,
    stages: Vec<Stage>,
    #[module(skip)]
    first_shape: [usize; 3],
}

/// One doubling: normalised and rectified, but for the last.
#[derive(Module, Debug)]
pub struct Stage {
    /// `[channels in, channels out, 4, 4]`.
    kernel: Param<Tensor<4>>,
    norm: Option<BatchNorm>,
    /// Of the image's channels; the others have that of their normalisation.
    bias: Option<Param<Tensor<1>>>,
    /// Height and width of what comes out, in pixels.
    #[module(skip)]
    size: [usize; 2],
}

impl Deconvolution {
    /// A decoder of `code` numbers for images of `image_size` (height, width, in pixels), with
    /// `channels` channels before the last doubling.
    pub fn new(
        code: usize,
        channels: usize,
        image_size: [usize; 2],
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let sizes = doubling_sizes(image_size);
        let count = sizes.len() - 1;
        let channels_of = |stage: usize| {
            let doublings = (count - 1 - stage).min(MOST_CHANNELS.ilog2() as usize);
            channels << doublings
        };
        let stages = (0..count)
            .map(|stage| {
                let last = stage + 1 == count;
                let output = if last { 3 } else { channels_of(stage + 1) };
                Stage::new([channels_of(stage), output], sizes[stage + 1], rng, device)
            })
            .collect();
        let [height, width] = sizes[0];
        let first_shape = [channels_of(0), height, width];
        Self {
            first: Linear::new(code, first_shape.iter().product(), rng, device),
            first_norm: BatchNorm::new(first_shape[0], device),
            stages,
            first_shape,
        }
    }

    /// `[batch, code]` to `[batch, 3, height, width]`.
    pub fn forward(&self, code: Tensor<2>) -> Tensor<4> {
        let [batch, _] = code.dims();
        let [channels, height, width] = self.first_shape;
        let maps = self.first.forward(code);
        let maps = maps.reshape([batch, channels, height, width]);
        let maps = relu(self.first_norm.forward(maps));
        let stages = self.stages.iter();
        stages.fold(maps, |maps, stage| stage.forward(maps))
    }
}

impl Stage {
    /// Weights from N(0, sqrt(2 / inputs of an output)), and half that variance where no ReLU
    /// follows.
    fn new(
        [input, output]: [usize; 2],
        size: [usize; 2],
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let last = output == 3;
        // A stride of 2 leaves a quarter of the kernel for each output.
        let inputs = (input * KERNEL_SIDE * KERNEL_SIDE / 4) as f64;
        let std = (if last { 1.0 } else { 2.0 } / inputs).sqrt();
        let shape = [input, output, KERNEL_SIDE, KERNEL_SIDE];
        let kernel = normal_values(shape.iter().product(), std, rng);
        let kernel = Tensor::from_data(TensorData::new(kernel, shape), device);
        Self {
            kernel: Param::from_tensor(kernel),
            norm: (!last).then(|| BatchNorm::new(output, device)),
            bias: last.then(|| Param::from_tensor(Tensor::zeros([output], device))),
            size,
        }
    }

    fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        let options = ConvTransposeOptions::new([2, 2], [1, 1], [0, 0], [1, 1], 1);
        let bias = self.bias.as_ref().map(Param::val);
        let maps = conv_transpose2d(maps, self.kernel.val(), bias, options);
        let [batch, channels, height, width] = maps.dims();
        let maps = if [height, width] == self.size {
            maps
        } else {
            maps.slice([0..batch, 0..channels, 0..self.size[0], 0..self.size[1]])
        };
        match &self.norm {
            Some(norm) => relu(norm.forward(maps)),
            None => maps,
        }
    }
}

/// The sizes from the first maps to the image, at least two.
fn doubling_sizes(image_size: [usize; 2]) -> Vec<[usize; 2]> {
    let mut sizes = vec![image_size];
    let mut size = image_size;
    loop {
        size = size.map(|side| side.div_ceil(2));
        sizes.push(size);
        if size.iter().all(|side| *side <= FIRST_SIDE) {
            break;
        }
    }
    sizes.reverse();
    sizes
}

#[cfg(test)]
mod tests {
    use aet_data::random::{Purpose, generator};

    use super::*;

    #[test]
    fn sizes_double_up_to_the_image_from_four_at_most() {
        let expected = [[4, 4], [8, 8], [16, 16], [32, 32]];
        assert_eq!(doubling_sizes([32, 32]), expected);
        let expected = [[3, 4], [5, 7], [9, 14], [17, 28]];
        assert_eq!(doubling_sizes([17, 28]), expected);
        assert_eq!(doubling_sizes([1, 3]), [[1, 2], [1, 3]]);
    }

    #[test]
    fn images_of_odd_and_oblong_sizes_come_out_at_their_size() {
        let device = Device::flex();
        for size in [[32, 32], [17, 28], [5, 7], [63, 63], [9, 100], [1, 3]] {
            let mut rng = generator(1, 0, 1, Purpose::Init);
            let decoder = Deconvolution::new(6, 4, size, &mut rng, &device);
            let image = decoder.forward(Tensor::ones([2, 6], &device));
            assert_eq!(image.dims(), [2, 3, size[0], size[1]]);
        }
    }
}
