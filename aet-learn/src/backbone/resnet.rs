//! Residual networks of 18, 34 and 50 layers (He et al., CVPR 2016, section 4.1 and table 1), with the
//! stride of a bottleneck on its 3x3 convolution, as torchvision has it.

use aet_data::random::{self, Purpose};
use aet_kernels::chain::{Form, MultiplyAdds};
use aet_kernels::pool::PoolKind;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::fused::Chains;
use super::link::{self, Flow, Link, Operations, PoolShape};
use super::unit::Unit;
use super::{Architecture, Backbone, Network, check_width, scaled};
use crate::error::ConfigError;

/// Channels of the stages, before the expansion of a bottleneck.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];
/// What a bottleneck multiplies its channels by at its end.
const EXPANSION: usize = 4;
/// The pooling after the stem for ImageNet.
const POOL: PoolShape = PoolShape {
    kind: PoolKind::Max,
    size: 3,
    stride: 2,
    padding: 1,
};

/// The first layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// A convolution of 3x3, for small images.
    Cifar,
    /// A convolution of 7x7 and stride 2, and a maximum over 3x3 with stride 2.
    #[default]
    Imagenet,
}

/// Size of a residual network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResNetConfig {
    /// Layers with weights, the classifier counted: 18, 34 or 50.
    pub depth: usize,
    /// The first layers.
    pub stem: Stem,
    /// Multiplier of every channel count (64, 128, 256, 512), more than 0; the published one is 1.
    pub width: f64,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self {
            depth: 18,
            stem: Stem::Imagenet,
            width: 1.0,
        }
    }
}

impl ResNetConfig {
    /// Blocks of each stage.
    fn blocks(&self) -> [usize; 4] {
        match self.depth {
            18 => [2, 2, 2, 2],
            _ => [3, 4, 6, 3],
        }
    }

    /// Whether its blocks are bottlenecks.
    fn bottleneck(&self) -> bool {
        self.depth >= 50
    }

    /// Channels that leave stage `stage`, counted from 0.
    fn stage_channels(&self, stage: usize) -> usize {
        let expansion = if self.bottleneck() { EXPANSION } else { 1 };
        expansion * scaled(CHANNELS[stage], self.width)
    }
}

impl Architecture for ResNetConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        if ![18, 34, 50].contains(&self.depth) {
            let range = "18, 34 or 50";
            return Err(ConfigError::range("backbone.depth", range, self.depth));
        }
        check_width(self.width)
    }

    fn taps(&self) -> Vec<(String, usize)> {
        let stages =
            (0..4).map(|stage| (format!("stage{}", stage + 1), self.stage_channels(stage)));
        let stem = ("stem".into(), scaled(CHANNELS[0], self.width));
        [stem].into_iter().chain(stages).collect()
    }

    fn network(&self, seed: u64, device: &Device) -> Network {
        Network::ResNet(ResNet::new(self, seed, device))
    }
}

/// A block: its units, a last convolution with normalisation, and the input added to that before the
/// last ReLU.
#[derive(Module, Debug)]
pub struct Residual {
    /// The 3x3 convolution of a basic block; the first 1x1 and the 3x3 of a bottleneck.
    pub units: Vec<Unit>,
    /// The last convolution; its ReLU comes after the addition.
    pub last: Unit,
    /// What brings the input to the size and channels of the output, where they differ: a 1x1
    /// convolution with normalisation and no ReLU.
    pub shortcut: Option<Unit>,
    #[module(skip)]
    chains: Chains,
}

impl Residual {
    /// A block from `input` channels to `output`, with `inner` between them if it is a bottleneck.
    fn new(
        [input, inner, output]: [usize; 3],
        stride: usize,
        rng: &mut impl rand::Rng,
        device: &Device,
    ) -> Self {
        let mut unit = |shape: [usize; 3], stride| {
            Unit::new(shape, rng, device).with_steps(stride, shape[2] / 2)
        };
        let (units, last) = if inner == output {
            let first = unit([input, inner, 3], stride);
            (vec![first], unit([inner, output, 3], 1))
        } else {
            let first = unit([input, inner, 1], 1);
            let second = unit([inner, inner, 3], stride);
            (vec![first, second], unit([inner, output, 1], 1))
        };
        let shortcut = (stride > 1 || input != output).then(|| unit([input, output, 1], stride));
        Self {
            units,
            last,
            shortcut,
            chains: Chains::default(),
        }
    }

    /// Its branch and its shortcut, which has no link where it leaves the input as it is.
    fn paths(&self) -> [Vec<Link<'_>>; 2] {
        let units = self.units.iter().map(Link::Unit);
        let branch = units.chain([Link::Linear(&self.last)]);
        let shortcut = self.shortcut.iter().map(Link::Linear);
        [branch.collect(), shortcut.collect()]
    }

    fn forward(&self, input: Flow, operations: Operations) -> Flow {
        let [branch, shortcut] = self.paths();
        let path = |place, links: &[Link], input: Flow| match links.is_empty() {
            true => input,
            false => input.through((&self.chains, place), links, operations, Form::Rows),
        };
        let branch = path(0, &branch, input.clone());
        branch.add_and_rectify(path(1, &shortcut, input))
    }
}

/// A residual network. Taps are `stem`, after its ReLU and before its pooling, and `stage1` to
/// `stage4`.
#[derive(Module, Debug)]
pub struct ResNet {
    /// The first convolution.
    pub stem: Unit,
    /// The blocks of each stage.
    pub stages: Vec<Vec<Residual>>,
    #[module(skip)]
    kind: Stem,
    #[module(skip)]
    chains: Chains,
}

impl ResNet {
    /// A network with weights drawn from `seed`: N(0, sqrt(2 / (side^2 * channels out))) for kernels,
    /// scales of 1, as torchvision by default.
    pub fn new(config: &ResNetConfig, seed: u64, device: &Device) -> Self {
        let mut rng = random::generator(seed, 0, 0, Purpose::Init);
        let mut input = scaled(CHANNELS[0], config.width);
        let stem = match config.stem {
            Stem::Cifar => Unit::new([3, input, 3], &mut rng, device),
            Stem::Imagenet => Unit::new([3, input, 7], &mut rng, device).with_steps(2, 3),
        };
        let mut stages = Vec::new();
        for (stage, blocks) in config.blocks().into_iter().enumerate() {
            let inner = scaled(CHANNELS[stage], config.width);
            let output = config.stage_channels(stage);
            let stage = (0..blocks).map(|block| {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let input = std::mem::replace(&mut input, output);
                Residual::new([input, inner, output], stride, &mut rng, device)
            });
            stages.push(stage.collect());
        }
        Self {
            stem,
            stages,
            kind: config.stem,
            chains: Chains::default(),
        }
    }

    /// What comes before the blocks, for tap number `tap`.
    fn first(&self, tap: usize) -> Vec<Link<'_>> {
        let stem = Link::Unit(&self.stem);
        match self.kind {
            Stem::Imagenet if tap > 0 => vec![stem, Link::Pool(POOL)],
            _ => vec![stem],
        }
    }
}

impl Backbone for ResNet {
    fn features(
        &self,
        images: Tensor<4>,
        views: usize,
        tap: usize,
        operations: Operations,
    ) -> Tensor<4> {
        let links = self.first(tap);
        let images = Flow::of_planes(images, views);
        let features = images.through((&self.chains, links.len()), &links, operations, Form::Rows);
        let blocks = self.stages[..tap].iter().flatten();
        blocks
            .fold(features, |features, block| {
                block.forward(features, operations)
            })
            .into_features()
    }

    fn multiply_adds(&self, tap: usize, [height, width]: [usize; 2]) -> Option<MultiplyAdds> {
        let links = self.first(tap);
        let first = link::chain(
            (&self.chains, links.len()),
            &links,
            [3, height, width],
            [Form::Planes, Form::Rows],
        )?;
        let (mut sum, mut size) = (first.multiply_adds(false), first.output());
        for block in self.stages[..tap].iter().flatten() {
            let [branch, shortcut] = block.paths();
            if !shortcut.is_empty() {
                let chain = link::chain((&block.chains, 1), &shortcut, size, [Form::Rows; 2])?;
                sum += chain.multiply_adds(true);
            }
            let chain = link::chain((&block.chains, 0), &branch, size, [Form::Rows; 2])?;
            sum += chain.multiply_adds(true);
            size = chain.output();
        }
        Some(sum)
    }
}
