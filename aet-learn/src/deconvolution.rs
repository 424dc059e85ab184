//! From a code to an image: a linear layer to maps of at most 4x4, then transposed convolutions, each
//! of which doubles their height and width (Radford, Metz and Chintala, ICLR 2016, figure 1).

use burn::module::{Module, Param};
use burn::nn::{GroupNorm, GroupNormConfig};
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
/// Most groups of channels that are normalised together.
const MOST_GROUPS: usize = 8;

/// What maps are normalised over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normaliser {
    /// Each channel over the batch (Ioffe and Szegedy 2015).
    Batch,
    /// Groups of channels within one image (Wu and He, ECCV 2018).
    Group,
}

/// Batch normalisation, or normalisation within one image.
#[derive(Module, Debug)]
pub enum Norm {
    /// Over the batch.
    Batch(BatchNorm),
    /// Within one image.
    Group(GroupNorm),
}

impl Norm {
    fn new(normaliser: Normaliser, channels: usize, device: &Device) -> Self {
        match normaliser {
            Normaliser::Batch => Self::Batch(BatchNorm::new(channels, device)),
            Normaliser::Group => Self::Group(group_norm(channels, device)),
        }
    }

    fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Batch(norm) => norm.forward(maps),
            Self::Group(norm) => norm.forward(maps),
        }
    }
}

/// Normalisation within one image, over at most 8 groups of `channels`.
pub(crate) fn group_norm(channels: usize, device: &Device) -> GroupNorm {
    let groups = (1..=MOST_GROUPS)
        .rev()
        .find(|n| channels.is_multiple_of(*n));
    GroupNormConfig::new(groups.unwrap_or(1), channels).init(device)
}

/// The size of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeconvolutionConfig {
    /// Numbers that an image is made of.
    pub code: usize,
    /// Channels before the last doubling.
    pub channels: usize,
    /// Height and width of the images, in pixels.
    pub image_size: [usize; 2],
    /// What its maps are normalised over.
    pub normaliser: Normaliser,
}

/// Codes `[batch, code]` to images `[batch, 3, height, width]` of any size.
///
/// The sizes of the maps are those that halving the image, rounded up, goes through; a map that comes
/// out one row or column too large is cut. Channels are halved where sizes are doubled.
#[derive(Module, Debug)]
pub struct Deconvolution {
    first: Linear,
    first_norm: Norm,
    stages: Vec<Stage>,
    #[module(skip)]
    first_shape: [usize; 3],
}

/// One doubling: normalised and rectified, but for the last.
#[derive(Module, Debug)]
pub struct Stage {
    /// `[channels in, channels out, 4, 4]`.
    kernel: Param<Tensor<4>>,
    norm: Option<Norm>,
    /// Of the image's channels; the others have that of their normalisation.
    bias: Option<Param<Tensor<1>>>,
    /// Height and width of what comes out, in pixels.
    #[module(skip)]
    size: [usize; 2],
}

impl Deconvolution {
    /// A decoder with weights drawn from `rng`.
    pub fn new(config: &DeconvolutionConfig, rng: &mut impl Rng, device: &Device) -> Self {
        let mut sizes = halved_sizes(config.image_size, FIRST_SIDE);
        sizes.reverse();
        let count = sizes.len() - 1;
        let channels_of = |stage: usize| {
            let doublings = (count - 1 - stage).min(MOST_CHANNELS.ilog2() as usize);
            config.channels << doublings
        };
        let stages = (0..count)
            .map(|stage| {
                let last = stage + 1 == count;
                let output = if last { 3 } else { channels_of(stage + 1) };
                let (input, size) = (channels_of(stage), sizes[stage + 1]);
                let norm = (!last).then(|| Norm::new(config.normaliser, output, device));
                Stage::new([input, output], size, norm, rng, device)
            })
            .collect();
        let [height, width] = sizes[0];
        let first_shape = [channels_of(0), height, width];
        Self {
            first: Linear::new(config.code, first_shape.iter().product(), rng, device),
            first_norm: Norm::new(config.normaliser, first_shape[0], device),
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
        norm: Option<Norm>,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let last = norm.is_none();
        // A stride of 2 leaves a quarter of the kernel for each output.
        let inputs = (input * KERNEL_SIDE * KERNEL_SIDE / 4) as f64;
        let std = (if last { 1.0 } else { 2.0 } / inputs).sqrt();
        let shape = [input, output, KERNEL_SIDE, KERNEL_SIDE];
        let kernel = normal_values(shape.iter().product(), std, rng);
        let kernel = Tensor::from_data(TensorData::new(kernel, shape), device);
        Self {
            kernel: Param::from_tensor(kernel),
            norm,
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

/// The sizes that halving, rounded up, goes through from an image to maps whose sides are `last_side`
/// at most; at least two.
pub(crate) fn halved_sizes(image_size: [usize; 2], last_side: usize) -> Vec<[usize; 2]> {
    let mut sizes = vec![image_size];
    let mut size = image_size;
    loop {
        size = size.map(|side| side.div_ceil(2));
        sizes.push(size);
        if size.iter().all(|side| *side <= last_side) {
            return sizes;
        }
    }
}

#[cfg(test)]
mod tests {
    use aet_data::random::{Purpose, generator};

    use super::*;

    #[test]
    fn sizes_are_halved_down_to_the_side_asked_for() {
        let expected = [[32, 32], [16, 16], [8, 8], [4, 4]];
        assert_eq!(halved_sizes([32, 32], 4), expected);
        let expected = [[17, 28], [9, 14], [5, 7], [3, 4]];
        assert_eq!(halved_sizes([17, 28], 4), expected);
        assert_eq!(halved_sizes([1, 3], 4), [[1, 3], [1, 2]]);
        assert_eq!(halved_sizes([5, 3], 2), [[5, 3], [3, 2], [2, 1]]);
    }

    #[test]
    fn images_of_odd_and_oblong_sizes_come_out_at_their_size() {
        let device = Device::flex();
        for size in [[32, 32], [17, 28], [5, 7], [63, 63], [9, 100], [1, 3]] {
            let mut rng = generator(1, 0, 1, Purpose::Init);
            for normaliser in [Normaliser::Batch, Normaliser::Group] {
                let config = DeconvolutionConfig {
                    code: 6,
                    channels: 4,
                    image_size: size,
                    normaliser,
                };
                let decoder = Deconvolution::new(&config, &mut rng, &device);
                let image = decoder.forward(Tensor::ones([2, 6], &device));
                assert_eq!(image.dims(), [2, 3, size[0], size[1]]);
            }
        }
    }
}
