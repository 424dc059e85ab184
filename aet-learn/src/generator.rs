//! The local generator G(x, z) behind GAN-induced transformations: a chart of the images around x,
//! with G(x, 0) = x and axes of z that move the image in directions of its own (AET, section 3.3, with
//! the localised generators of Qi et al., CVPR 2018, arXiv 1711.06020, section 3).
//!
//! x is halved down to maps of 2x2 at most, a linear layer makes a code of them, z is added to its
//! first numbers, and transposed convolutions make an image of the sum. Every layer is normalised
//! within one image, so that G(x, z) does not depend on what else is in the batch.

use std::path::{Path, PathBuf};

use aet_data::Normalisation;
use aet_data::random::{self, Purpose};
use burn::module::{Module, Param};
use burn::nn::GroupNorm;
use burn::tensor::activation::leaky_relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::backbone::normal_values;
use crate::deconvolution::{
    Deconvolution, DeconvolutionConfig, Normaliser, group_norm, halved_sizes,
};
use crate::error::LearnError;
use crate::probe::Linear;
use crate::state::{
    NamedTensors, host_values, named_tensors, read_description, read_safetensors, to_safetensors,
    with_named_tensors,
};

/// The file of a run that holds its generator.
pub const GENERATOR_FILE: &str = "generator.safetensors";
/// What its header says it is.
const FORMAT: &str = "aet generator 1";

/// Rows and columns of a kernel; with a stride of 2 and a padding of 1 it halves the size.
const KERNEL_SIDE: usize = 4;
/// Most rows and columns of the maps that the code is made of.
const LAST_SIDE: usize = 2;
/// The last maps have at most so many times the channels of the first.
const MOST_CHANNELS: usize = 8;
/// Bound of a pixel, from -1 to 1, whose artanh is taken: 0.6 of the 255 steps short of white.
const MOST_BRIGHT: f64 = 0.995;
/// Slope of the rectifier below 0.
const SLOPE: f64 = 0.2;

/// The size of a generator.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorShape {
    /// Numbers of z.
    pub axes: usize,
    /// Standard deviation of each of them.
    pub sigma: f64,
    /// Numbers of the code that z is added to the first of; at least `axes`.
    pub code: usize,
    /// Channels of the first maps; each halving has twice as many, up to 8 times.
    pub channels: usize,
    /// Whether it makes the change to x, so that G(x, 0) = x exactly: for its code c and decoder d
    /// G(x, z) is the tanh of artanh x + d(c + z) - d(c). Otherwise it is that of d(c + z), which has
    /// to learn to rebuild x.
    #[serde(default)]
    pub residual: bool,
    /// Height and width of its images, in pixels.
    pub image_size: [usize; 2],
}

impl GeneratorShape {
    /// Whether `tensors` are as large as those of the half of such a generator that makes the code.
    /// The other half is about as large, so that no size is taken from a damaged header for which the
    /// file does not hold the weights.
    fn fits(&self, tensors: &NamedTensors) -> bool {
        let has = |name: &str, shape: &[usize]| {
            (tensors.get(name)).is_some_and(|tensor| tensor.shape == shape)
        };
        let sizes = halved_sizes(self.image_size, LAST_SIDE);
        let mut input = 3;
        for stage in 0..sizes.len() - 1 {
            let doublings = stage.min(MOST_CHANNELS.ilog2() as usize);
            let Some(output) = self.channels.checked_mul(1 << doublings) else {
                return false;
            };
            let shape = [output, input, KERNEL_SIDE, KERNEL_SIDE];
            if !has(&format!("halvings.{stage}.kernel"), &shape) {
                return false;
            }
            input = output;
        }
        let [height, width] = sizes[sizes.len() - 1];
        has("code.weight", &[input * height * width, self.code])
    }
}

/// The images that charts are drawn around.
#[derive(Debug, Clone)]
pub struct Origin {
    /// `[batch, code]`.
    code: Tensor<2>,
    /// artanh x - d(c), `[batch, 3, height, width]`, of a residual generator.
    offset: Option<Tensor<4>>,
}

impl Origin {
    /// The first `count` images.
    pub fn first(&self, count: usize) -> Self {
        Self {
            code: self.code.clone().narrow(0, 0, count),
            offset: self.offset.clone().map(|maps| maps.narrow(0, 0, count)),
        }
    }

    /// Each image `count` times in a row.
    fn each(&self, count: usize) -> Self {
        let [batch, code] = self.code.dims();
        let codes = self.code.clone().unsqueeze_dim::<3>(1);
        let offset = self.offset.clone().map(|maps| {
            let [_, channels, height, width] = maps.dims();
            let maps = maps.unsqueeze_dim::<5>(1).repeat_dim(1, count);
            maps.reshape([batch * count, channels, height, width])
        });
        Self {
            code: codes.repeat_dim(1, count).reshape([batch * count, code]),
            offset,
        }
    }

    /// All images, then all of them again.
    pub fn twice(&self) -> Self {
        Self {
            code: self.code.clone().repeat_dim(0, 2),
            offset: self.offset.clone().map(|maps| maps.repeat_dim(0, 2)),
        }
    }
}

/// The local generator.
#[derive(Module, Debug)]
pub struct LocalGenerator {
    halvings: Vec<Halving>,
    code: Linear,
    decoder: Deconvolution,
    #[module(skip)]
    shape: GeneratorShape,
    #[module(skip)]
    normalisation: Normalisation,
}

/// A strided convolution that halves height and width, rounded up, normalised and rectified.
#[derive(Module, Debug)]
pub struct Halving {
    /// `[channels out, channels in, 4, 4]`.
    kernel: Param<Tensor<4>>,
    norm: GroupNorm,
}

impl LocalGenerator {
    /// A generator of images that are normalised as `normalisation` says, with weights drawn from
    /// `seed`.
    pub fn new(
        shape: GeneratorShape,
        normalisation: &Normalisation,
        seed: u64,
        device: &Device,
    ) -> Self {
        let mut rng = random::generator(seed, 1, 1, Purpose::Init);
        let sizes = halved_sizes(shape.image_size, LAST_SIDE);
        let halvings = sizes.len() - 1;
        let channels_of =
            |stage: usize| shape.channels << stage.min(MOST_CHANNELS.ilog2() as usize);
        let stages = (0..halvings)
            .map(|stage| {
                let input = stage.checked_sub(1).map_or(3, channels_of);
                Halving::new([input, channels_of(stage)], &mut rng, device)
            })
            .collect();
        let [height, width] = sizes[halvings];
        let maps = channels_of(halvings.saturating_sub(1)) * height * width;
        let code = Linear::new(maps, shape.code, &mut rng, device);
        let decoder = DeconvolutionConfig {
            code: shape.code,
            channels: shape.channels,
            image_size: shape.image_size,
            normaliser: Normaliser::Group,
        };
        Self {
            halvings: stages,
            code,
            decoder: Deconvolution::new(&decoder, &mut rng, device),
            shape,
            normalisation: normalisation.clone(),
        }
    }

    /// Its size.
    pub fn shape(&self) -> GeneratorShape {
        self.shape
    }

    /// Where the charts around normalised images `[batch, 3, height, width]` begin.
    pub fn origin(&self, images: Tensor<4>) -> Origin {
        let images = self.to_unit(images);
        let halvings = self.halvings.iter();
        let maps = halvings.fold(images.clone(), |maps, halving| halving.forward(maps));
        let [batch, channels, height, width] = maps.dims();
        let rows = maps.reshape([batch, channels * height * width]);
        let code = self.code.forward(rows);
        let offset = self.shape.residual.then(|| {
            let inside = images.clamp(-MOST_BRIGHT, MOST_BRIGHT);
            let odds = (inside.clone() + 1.0) / (inside.neg() + 1.0);
            odds.log() * 0.5 - self.decoder.forward(code.clone())
        });
        Origin { code, offset }
    }

    /// G(x, z) for z `[batch, axes]`: `[batch, 3, height, width]`, its values from -1 (black) to 1.
    pub fn chart(&self, origin: Origin, z: Tensor<2>) -> Tensor<4> {
        let maps = self.decoder.forward(self.moved(origin.code, z));
        let maps = match origin.offset {
            Some(offset) => maps + offset,
            None => maps,
        };
        maps.tanh()
    }

    /// G(x, z) of normalised images `[batch, 3, height, width]` and z `[batch, axes]`, normalised.
    pub fn generate(&self, images: Tensor<4>, z: Tensor<2>) -> Tensor<4> {
        let origin = self.origin(images);
        self.from_unit(self.chart(origin, z))
    }

    /// G(x, z) of one normalised image, `[3, height, width]`, with z moved along its first `axes` axes,
    /// one after the other, to each of `places`, in standard deviations. Normalised; the places of
    /// the first axis come first.
    pub fn along_axes(
        &self,
        image: &[f32],
        axes: usize,
        places: &[f32],
        device: &Device,
    ) -> Vec<Vec<f32>> {
        let GeneratorShape {
            sigma, image_size, ..
        } = self.shape;
        let (length, count) = (self.shape.axes, axes * places.len());
        let mut z = vec![0.0; count * length];
        for (index, row) in z.chunks_exact_mut(length).enumerate() {
            row[index / places.len()] = places[index % places.len()] * sigma as f32;
        }
        let z = Tensor::<2>::from_data(TensorData::new(z, [count, length]), device);
        let shape = [1, 3, image_size[0], image_size[1]];
        let image = Tensor::<4>::from_data(TensorData::new(image.to_vec(), shape), device);
        let origin = self.origin(image).each(count);
        let values = host_values(self.from_unit(self.chart(origin, z)));
        let images = values.chunks_exact(shape.iter().product());
        images.map(<[f32]>::to_vec).collect()
    }

    /// J^T J, `[batch, k, k]`, of the derivative J of G(x, z) by z at 0 along k directions of z,
    /// `directions` `[batch, k, axes]`. Pixels are counted from -1 to 1.
    ///
    /// J is taken by central differences over `step` to either side. All of them are one batch, which
    /// does not matter to their values, since nothing is normalised over a batch.
    pub fn jacobian_gram(&self, origin: &Origin, directions: Tensor<3>, step: f64) -> Tensor<3> {
        let [batch, count, axes] = directions.dims();
        let rows = batch * count;
        let shift = directions.reshape([rows, axes]) * step;
        let shifts = Tensor::cat(vec![shift.clone(), shift.neg()], 0);
        let sides = self.chart(origin.each(count).twice(), shifts).chunk(2, 0);
        let differences = (sides[0].clone() - sides[1].clone()) / (2.0 * step);
        let pixels = differences.shape().num_elements() / rows.max(1);
        let jacobian = differences.reshape([batch, count, pixels]);
        jacobian.clone().matmul(jacobian.swap_dims(1, 2))
    }

    /// Normalised values to -1 to 1.
    pub fn to_unit(&self, images: Tensor<4>) -> Tensor<4> {
        let [mean, std] = self.constants(&images.device());
        (images * std + mean) * 2.0 - 1.0
    }

    /// Values from -1 to 1 to normalised ones.
    pub fn from_unit(&self, images: Tensor<4>) -> Tensor<4> {
        let [mean, std] = self.constants(&images.device());
        ((images + 1.0) / 2.0 - mean) / std
    }

    /// Mean and standard deviation of the channels, `[1, 3, 1, 1]` each.
    fn constants(&self, device: &Device) -> [Tensor<4>; 2] {
        [self.normalisation.mean, self.normalisation.std]
            .map(|values| Tensor::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), device))
    }

    /// `code` with z added to its first numbers.
    fn moved(&self, code: Tensor<2>, z: Tensor<2>) -> Tensor<2> {
        let rest = self.shape.code - self.shape.axes;
        if rest == 0 {
            return code + z;
        }
        let [batch, _] = z.dims();
        let still = Tensor::zeros([batch, rest], &z.device());
        code + Tensor::cat(vec![z, still], 1)
    }

    /// The bytes of a generator file.
    ///
    /// # Errors
    /// When a tensor's shape and values disagree.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LearnError> {
        let description = json!({ "format": FORMAT, "generator": self.shape });
        to_safetensors(&named_tensors(self), Some(description.to_string()))
    }

    /// The generator in the file at `path`, or in the folder of a run at `path`, for images that are
    /// normalised as `normalisation` says; frozen, off autodiff.
    ///
    /// # Errors
    /// When there is none, or the file is damaged or of something else.
    pub fn open(
        path: &Path,
        normalisation: &Normalisation,
        device: &Device,
    ) -> Result<Self, LearnError> {
        let shape = read_shape(path)?;
        let path = file_of(path);
        let tensors = read_safetensors(&path)?;
        if !shape.fits(&tensors) {
            return Err(LearnError::Damaged {
                path,
                message: "its weights are not those of a generator of the size in its header"
                    .into(),
            });
        }
        let device = device.clone().without_autodiff();
        let fresh = Self::new(shape, normalisation, 0, &device);
        with_named_tensors(fresh, &tensors)
    }
}

/// The file of a generator that is named by it or by the folder of its run.
fn file_of(path: &Path) -> PathBuf {
    match path.is_dir() {
        true => path.join(GENERATOR_FILE),
        false => path.to_path_buf(),
    }
}

/// The size of the generator in the file at `path`, or in the folder of a run at `path`.
///
/// # Errors
/// When there is none, or the file is damaged or of something else.
pub fn read_shape(path: &Path) -> Result<GeneratorShape, LearnError> {
    let path = file_of(path);
    let damaged = |message: &str| LearnError::Damaged {
        path: path.clone(),
        message: message.into(),
    };
    let text = read_description(&path)?.unwrap_or_default();
    let mut header: Value = serde_json::from_str(&text).unwrap_or_default();
    if header["format"] != FORMAT {
        return Err(damaged(
            "this is not a generator; `aet train-generator` makes generator.safetensors",
        ));
    }
    let shape: GeneratorShape = serde_json::from_value(header["generator"].take())
        .map_err(|error| damaged(&error.to_string()))?;
    let no_pixels = shape.image_size.contains(&0);
    if shape.axes == 0 || shape.code < shape.axes || shape.channels == 0 || no_pixels {
        return Err(damaged("the size of the generator in it cannot be"));
    }
    Ok(shape)
}

impl Halving {
    fn new([input, output]: [usize; 2], rng: &mut impl Rng, device: &Device) -> Self {
        let std = (2.0 / (input * KERNEL_SIDE * KERNEL_SIDE) as f64).sqrt();
        let shape = [output, input, KERNEL_SIDE, KERNEL_SIDE];
        let kernel = normal_values(shape.iter().product(), std, rng);
        let kernel = Tensor::from_data(TensorData::new(kernel, shape), device);
        Self {
            kernel: Param::from_tensor(kernel),
            norm: group_norm(output, device),
        }
    }

    fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        let options = ConvOptions::new([2, 2], [1, 1], [1, 1], 1);
        let [_, _, height, width] = maps.dims();
        // An odd side gets a row or column of zeros at its end.
        let maps = match [height % 2, width % 2] {
            [0, 0] => maps,
            [below, right] => maps.pad((0, right, 0, below), PadMode::Constant(0.0)),
        };
        let maps = conv2d(maps, self.kernel.val(), None, options);
        leaky_relu(self.norm.forward(maps), SLOPE)
    }
}
