//! The fused encoder against the same encoder made of Burn's own operations.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;

use aet_data::random::{Purpose, generator, unit};
use aet_learn::Device;
use aet_learn::backbone::{
    AlexNetConfig, BackboneConfig, Encoder, Network, NinConfig, ResNetConfig, Stem,
};
use aet_learn::state::{host_values, named_tensors};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use support::gradients_by_name;

fn images(shape: [usize; 4], seed: u64, device: &Device) -> Tensor<4> {
    let mut rng = generator(seed, 0, 0, Purpose::Init);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|_| 2.0 * unit(&mut rng) as f32 - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn nin(blocks: usize) -> BackboneConfig {
    BackboneConfig::Nin(NinConfig {
        blocks,
        width: 0.07,
    })
}

fn alexnet() -> BackboneConfig {
    BackboneConfig::AlexNet(AlexNetConfig { width: 0.04 })
}

fn resnet(depth: usize, stem: Stem) -> BackboneConfig {
    BackboneConfig::ResNet(ResNetConfig {
        depth,
        stem,
        width: 0.15,
    })
}

/// The largest difference over the largest value.
fn relative(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let difference = found
        .iter()
        .zip(expected)
        .fold(0.0_f32, |m, (f, e)| m.max((f - e).abs()));
    difference / largest.max(1e-30)
}

/// Features, gradients by name (`images` among them) and running statistics of a training pass.
fn train(
    fused: bool,
    config: &BackboneConfig,
    (shape, views): ([usize; 4], usize),
    tap: usize,
) -> BTreeMap<String, Vec<f32>> {
    let device = Device::flex().autodiff();
    let network = config.init(3, &device);
    let tap = &network.taps[tap];
    let images = images(shape, 5, &device).require_grad();
    let features = match fused {
        true => network.forward_views(images.clone(), views, tap),
        false => network.forward_by_parts(images.clone(), views, tap),
    };
    // A different weight for every feature, so that no gradient cancels.
    let weights = self::images(features.dims(), 9, &device);
    let gradients = (features.clone() * weights).sum().backward();
    let by_name = gradients_by_name(&network, &gradients).into_iter();
    let mut all: BTreeMap<_, _> =
        (by_name.map(|(name, gradient)| (name, gradient.values))).collect();
    all.insert(
        "images".into(),
        host_values(images.grad(&gradients).unwrap()),
    );
    all.insert("features".into(), host_values(features));
    for (name, tensor) in named_tensors(&network.valid()) {
        if name.contains("running") {
            all.insert(name, tensor.values);
        }
    }
    all
}

/// Asserts that a training pass is the same in both ways; gives the number of results compared.
fn assert_trains_alike(
    config: &BackboneConfig,
    (shape, views): ([usize; 4], usize),
    tap: usize,
) -> usize {
    let run = |fused| train(fused, config, (shape, views), tap);
    let (found, expected) = (run(true), run(false));
    assert!(found.keys().eq(expected.keys()));
    // A gradient that the normalisation after it takes away is nothing but rounding.
    let nothing = |values: &[f32]| values.iter().all(|value| value.abs() < 1e-4);
    for (name, values) in &expected {
        let error = relative(&found[name], values);
        assert!(
            error < 1e-3 || (nothing(values) && nothing(&found[name])),
            "{name} at {shape:?} of {config:?} is off by {error}"
        );
    }
    found.len()
}

#[test]
fn features_gradients_and_running_statistics_equal_those_of_burns_operations() {
    for (shape, views, tap) in [
        ([4, 3, 16, 16], 1, 3),
        ([6, 3, 13, 10], 2, 2),
        ([6, 3, 9, 9], 3, 0),
    ] {
        let compared = assert_trains_alike(&nin(4), (shape, views), tap);
        assert_eq!(compared, 2 + 5 * 3 * (tap + 1) + 2 * 3 * (3 - tap));
    }
}

#[test]
fn alexnet_trains_alike_in_both_ways_at_every_tap() {
    for tap in 0..7 {
        assert_trains_alike(&alexnet(), ([8, 3, 69, 64], 2), tap);
    }
}

#[test]
fn residual_networks_train_alike_in_both_ways() {
    for (depth, stem, shape) in [
        (18, Stem::Cifar, [4, 3, 9, 12]),
        (18, Stem::Imagenet, [4, 3, 25, 30]),
        (50, Stem::Cifar, [4, 3, 9, 8]),
    ] {
        for tap in [0, 2] {
            assert_trains_alike(&resnet(depth, stem), (shape, 2), tap);
        }
    }
}

/// The gradient of the images in ResNet-50 at stage 3, from the weights and images of `seed`, with
/// noise of size `noise` on the images.
fn deep_gradient(fused: bool, seed: u64, noise: f32) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let network = resnet(50, Stem::Cifar).init(3 + seed, &device);
    let tap = &network.taps[2];
    let shape = [4, 3, 16, 16];
    let images =
        images(shape, 5 + seed, &device) + self::images(shape, 100 + seed, &device) * noise;
    let images = images.detach().require_grad();
    let features = match fused {
        true => network.forward_views(images.clone(), 2, tap),
        false => network.forward_by_parts(images.clone(), 2, tap),
    };
    let weights = self::images(features.dims(), 9, &device);
    let gradients = (features * weights).sum().backward();
    host_values(images.grad(&gradients).unwrap())
}

/// In so deep a network some ReLU is often so near to 0 that the last digit decides on its side, and
/// then the gradient jumps by a hundredth: Burn's operations alone jump so when the images change in
/// their last digit (seeds 2, 4, 5 and 6 of the first 8, by 0.7 to 6.5%). Between such points both
/// ways agree to rounding.
#[test]
fn a_deep_network_trains_alike_but_where_a_relu_flips() {
    let mut alike = 0;
    for seed in 0..6 {
        let burn = deep_gradient(false, seed, 0.0);
        let error = relative(&deep_gradient(true, seed, 0.0), &burn);
        let own = relative(&deep_gradient(false, seed, 3e-7), &burn);
        println!("seed {seed}: fused {error:.1e}, Burn on images with noise {own:.1e}");
        assert!(error < 0.2, "seed {seed}: {error}");
        alike += usize::from(error < 1e-4);
    }
    assert!(alike >= 3, "only {alike} of 6 agree to rounding");
}

#[test]
fn frozen_features_equal_those_of_burns_operations_at_every_tap() {
    let device = Device::flex();
    for (config, size) in [
        (nin(5), [12, 17]),
        (alexnet(), [63, 80]),
        (resnet(34, Stem::Cifar), [12, 17]),
        (resnet(50, Stem::Imagenet), [40, 33]),
    ] {
        let network = config.init(3, &device);
        for tap in &network.taps {
            let images = images([3, 3, size[0], size[1]], 6, &device);
            let found = host_values(network.forward(images.clone(), tap));
            let expected = host_values(network.forward_by_parts(images, 1, tap));
            let error = relative(&found, &expected);
            assert!(error < 1e-4, "{} of {config:?}: {error}", tap.name);
        }
    }
}

#[test]
fn changed_weights_and_statistics_change_the_frozen_features() {
    let device = Device::flex();
    let images = images([2, 3, 8, 8], 1, &device);
    let mut encoder = nin(3).init(3, &device);
    let features = |encoder: &Encoder| {
        let features = encoder.forward(images.clone(), encoder.last_tap());
        host_values(features)
    };
    let mut last = features(&encoder);
    let Network::Nin(network) = &mut encoder.network else {
        panic!("another network than was asked for");
    };
    let unit = &mut network.blocks[1].units[2];
    unit.conv = Param::from_tensor(unit.conv.val().mul_scalar(2.0));
    let running_mean = network.blocks[0].units[0].norm.running_mean.clone();
    let now = features(&encoder);
    assert!(relative(&now, &last) > 1e-2);
    last = now;
    let mean = running_mean.value_sync();
    running_mean.update(mean.add_scalar(0.3));
    let now = features(&encoder);
    assert!(relative(&now, &last) > 1e-2);
}
