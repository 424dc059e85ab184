//! AlexNet with batch normalisation, the encoder of the ImageNet experiments (AET, section 5.2;
//! Krizhevsky et al. 2012 in the one-column form of Krizhevsky 2014, as RotNet's released code has
//! it).
//!
//! The released convolutions have a bias in front of the normalisation, which takes it off again. It
//! changes nothing that is computed afterwards, so there is none here: 1,152 parameters fewer.

use aet_data::random::{self, Purpose};
use aet_kernels::chain::MultiplyAdds;
use aet_kernels::pool::PoolKind;
use burn::module::{Module, Param};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::fused::Chains;
use super::link::{self, Link, Operations, PoolShape};
use super::norm::BatchNorm;
use super::unit::{Unit, normal_values};
use super::{Architecture, Backbone, Network, check_width, scaled};
use crate::error::ConfigError;

/// Channels of conv1 to conv5 and sides of their kernels.
const CONVOLUTIONS: [(usize, usize); 5] = [(64, 11), (192, 5), (384, 3), (256, 3), (256, 3)];
/// Stride and padding of conv1; the others keep the size of images.
const FIRST_STEPS: (usize, usize) = (4, 2);
/// Outputs of each fully-connected layer.
const FULLY_CONNECTED: usize = 4096;
/// Height and width of the features that the fully-connected layers read.
const SIDE: usize = 6;
/// Least height and width of images, in pixels: three pools have to fit behind conv1.
const LEAST_SIDE: usize = 63;
/// Numbers of the taps behind the convolutions.
const POOL5: usize = 5;
const FC: usize = 6;
/// The pooling after conv1, conv2 and conv5.
const POOL: PoolShape = PoolShape {
    kind: PoolKind::Max,
    size: 3,
    stride: 2,
    padding: 0,
};

/// Size of AlexNet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlexNetConfig {
    /// Multiplier of every channel count (64, 192, 384, 256, 256, 4096, 4096), more than 0; the
    /// released one is 1.
    pub width: f64,
}

impl Default for AlexNetConfig {
    fn default() -> Self {
        Self { width: 1.0 }
    }
}

impl AlexNetConfig {
    fn channels(&self) -> [usize; 5] {
        CONVOLUTIONS.map(|(base, _)| scaled(base, self.width))
    }
}

impl Architecture for AlexNetConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        check_width(self.width)
    }

    fn check_image_size(&self, image_size: [usize; 2]) -> Result<(), ConfigError> {
        if image_size.iter().all(|side| *side >= LEAST_SIDE) {
            return Ok(());
        }
        Err(ConfigError::range(
            "data.image_size",
            "at least 63 in height and width for backbone.kind = \"alexnet\", which pools three times",
            format!("{image_size:?}"),
        ))
    }

    fn taps(&self) -> Vec<(String, usize)> {
        let channels = self.channels();
        let convolutions = channels.iter().enumerate();
        convolutions
            .map(|(index, channels)| (format!("conv{}", index + 1), *channels))
            .chain([
                ("pool5".into(), channels[4]),
                ("fc".into(), scaled(FULLY_CONNECTED, self.width)),
            ])
            .collect()
    }

    fn network(&self, seed: u64, device: &Device) -> Network {
        Network::AlexNet(AlexNet::new(self, seed, device))
    }
}

/// A fully-connected layer without bias, batch normalisation, ReLU.
#[derive(Module, Debug)]
pub struct Dense {
    /// `[inputs, outputs]`.
    pub weight: Param<Tensor<2>>,
    /// The normalisation after it.
    pub norm: BatchNorm,
}

impl Dense {
    /// Weights from N(0, sqrt(2 / outputs)), the released initialisation.
    fn new([inputs, outputs]: [usize; 2], rng: &mut impl rand::Rng, device: &Device) -> Self {
        let values = normal_values(inputs * outputs, (2.0 / outputs as f64).sqrt(), rng);
        let data = TensorData::new(values, [inputs, outputs]);
        Self {
            weight: Param::from_tensor(Tensor::from_data(data, device)),
            norm: BatchNorm::new(outputs, device),
        }
    }

    /// `[batch, inputs]` to `[batch, outputs]`, the batch in `views` equal parts.
    fn forward(&self, input: Tensor<2>, views: usize) -> Tensor<2> {
        let output = input.matmul(self.weight.val());
        let [batch, outputs] = output.dims();
        let pixels = output.reshape([batch, outputs, 1, 1]);
        self.norm
            .forward_views(pixels, views, true, None)
            .reshape([batch, outputs])
    }
}

/// AlexNet with batch normalisation, for images of at least 63x63. Taps are `conv1` to `conv5`, each
/// after its ReLU and before its pooling, where the published linear probes read; `pool5`; and `fc`,
/// `[batch, 4096, 1, 1]`, which the decoder of AET reads.
///
/// The fully-connected layers read 6x6 pixels, as images of 224x224 give. Features of another size
/// are averaged to that, over PyTorch's adaptive windows.
#[derive(Module, Debug)]
pub struct AlexNet {
    /// conv1 to conv5.
    pub convolutions: Vec<Unit>,
    /// The two fully-connected layers.
    pub dense: Vec<Dense>,
    #[module(skip)]
    chains: Chains,
}

impl AlexNet {
    /// A network with weights drawn from `seed`.
    pub fn new(config: &AlexNetConfig, seed: u64, device: &Device) -> Self {
        let mut rng = random::generator(seed, 0, 0, Purpose::Init);
        let mut inputs = 3;
        let mut convolutions: Vec<Unit> = CONVOLUTIONS
            .iter()
            .zip(config.channels())
            .map(|((_, side), channels)| {
                let shape = [std::mem::replace(&mut inputs, channels), channels, *side];
                Unit::new(shape, &mut rng, device)
            })
            .collect();
        let (stride, padding) = FIRST_STEPS;
        let first = convolutions.remove(0).with_steps(stride, padding);
        convolutions.insert(0, first);
        let outputs = scaled(FULLY_CONNECTED, config.width);
        let dense = [[inputs * SIDE * SIDE, outputs], [outputs, outputs]];
        Self {
            convolutions,
            dense: dense
                .map(|shape| Dense::new(shape, &mut rng, device))
                .into(),
            chains: Chains::default(),
        }
    }

    /// Everything to tap number `tap`, at most `pool5`.
    fn links(&self, tap: usize) -> Vec<Link<'_>> {
        let mut links = Vec::new();
        for (index, unit) in self.convolutions.iter().enumerate() {
            if index <= tap {
                links.push(Link::Unit(unit));
            }
            if (index < 2 && index < tap) || (index == 4 && tap == POOL5) {
                links.push(Link::Pool(POOL));
            }
        }
        links
    }
}

impl Backbone for AlexNet {
    fn features(
        &self,
        images: Tensor<4>,
        views: usize,
        tap: usize,
        operations: Operations,
    ) -> Tensor<4> {
        let place = tap.min(POOL5);
        let (links, input) = (self.links(place), (images, views));
        let features = link::forward((&self.chains, place), &links, input, operations);
        if tap < FC {
            return features;
        }
        let features = match features.dims() {
            [_, _, SIDE, SIDE] => features,
            _ => adaptive_avg_pool2d(features, [SIDE, SIDE]),
        };
        let dense = self.dense.iter();
        let features = dense.fold(features.flatten(1, 3), |features, layer| {
            layer.forward(features, views)
        });
        let [batch, channels] = features.dims();
        features.reshape([batch, channels, 1, 1])
    }

    fn multiply_adds(&self, tap: usize, [height, width]: [usize; 2]) -> Option<MultiplyAdds> {
        let place = tap.min(POOL5);
        let links = self.links(place);
        let mut sum = link::multiply_adds((&self.chains, place), &links, [3, height, width])?;
        if tap < FC {
            return Some(sum);
        }
        for layer in &self.dense {
            let once: usize = layer.weight.dims().iter().product();
            sum += MultiplyAdds {
                forward: once,
                forward_done: once,
                training: 3 * once,
                training_done: 3 * once,
            };
        }
        Some(sum)
    }
}
