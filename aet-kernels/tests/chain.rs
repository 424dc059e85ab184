//! Whole chains against their definition in f64.
#![allow(clippy::unwrap_used, missing_docs)]

mod reference;

use aet_kernels::chain::{Chain, ChainError, Layer, Window};
use aet_kernels::pool::PoolKind;
use reference::{Images, Reference, relative, uniform};

const fn unit(side: usize, channels: usize) -> Layer {
    Layer::unit(side, channels)
}

/// A unit of this side, stride and padding.
const fn stepping([side, stride, padding]: [usize; 3], channels: usize, rectified: bool) -> Layer {
    Layer::Unit {
        window: Window {
            side,
            stride,
            padding,
        },
        channels,
        rectified,
    }
}

const fn pool(kind: PoolKind) -> Layer {
    Layer::Pool {
        kind,
        size: 3,
        stride: 2,
        padding: 1,
    }
}

/// A small network-in-network.
const NETWORK: [Layer; 11] = [
    unit(5, 12),
    unit(1, 10),
    unit(1, 9),
    pool(PoolKind::Max),
    unit(5, 16),
    unit(1, 11),
    unit(1, 13),
    pool(PoolKind::Average),
    unit(3, 12),
    unit(1, 8),
    unit(1, 5),
];

/// What residual networks and AlexNet begin with, and the branch of a block of the former.
const STEPPING: [Layer; 5] = [
    stepping([7, 2, 3], 9, true),
    pool(PoolKind::Max),
    stepping([3, 2, 1], 11, true),
    stepping([1, 2, 0], 9, true),
    stepping([3, 1, 1], 10, false),
];

struct Case {
    chain: Chain,
    layers: &'static [Layer],
    batch: usize,
    images: Vec<f32>,
    parameters: Vec<f32>,
}

impl Case {
    fn new(layers: &'static [Layer], input: [usize; 3], batch: usize, seed: u64) -> Self {
        let chain = Chain::new(input, layers).unwrap();
        let mut parameters = uniform(chain.parameters(), seed);
        // Scales from 0.5 to 1.5 and small shifts.
        let mut first = 0;
        let mut inputs = input[0];
        for layer in layers {
            if let Layer::Unit {
                window, channels, ..
            } = layer
            {
                first += channels * inputs * window.side * window.side;
                for scale in &mut parameters[first..first + channels] {
                    *scale = 1.0 + 0.5 * *scale;
                }
                first += 2 * channels;
                inputs = *channels;
            }
        }
        Self {
            images: uniform(batch * input.iter().product::<usize>(), seed + 1),
            parameters,
            chain,
            layers,
            batch,
        }
    }

    fn images(&self) -> Images {
        let [channels, height, width] = self.chain.input();
        Images::of([self.batch, channels, height, width], &self.images)
    }
}

#[test]
fn features_statistics_and_gradients_equal_those_in_f64() {
    for (layers, size, batch, seed) in [
        (&NETWORK[..], [3, 16, 16], 5, 1),
        (&NETWORK, [3, 13, 21], 3, 2),
        (&NETWORK, [4, 9, 8], 2, 3),
        (&NETWORK, [8, 7, 7], 4, 4),
        (&STEPPING, [3, 64, 64], 4, 5),
        (&STEPPING, [3, 51, 38], 5, 6),
    ] {
        let case = Case::new(layers, size, batch, seed);
        let (features, statistics, trace) =
            case.chain.forward(&case.images, 1, &case.parameters, true);
        let mut reference = Reference::new(case.layers, &case.parameters);
        let expected = reference.forward(&case.images(), None);
        assert!(relative(&features, &expected.values) < 1e-4);
        assert!(relative(&statistics, &reference.statistics) < 1e-5);
        let gradient = uniform(features.len(), seed + 9);
        let (found, images) = case.chain.backward(&case.images, trace, &gradient);
        let (expected, expected_images) =
            reference.backward(&Images::of(expected.shape, &gradient));
        let error = relative(&found, &expected);
        let image_error = relative(&images.unwrap(), &expected_images.values);
        println!(
            "{size:?}: gradients off by {error:.1e} and {image_error:.1e}; ReLU margin {:.1e}",
            reference.margin
        );
        assert!(
            error < 1e-3 && image_error < 1e-3,
            "{size:?}: {error} {image_error}"
        );
    }
}

#[test]
fn views_go_through_as_if_each_were_alone() {
    let case = Case::new(&NETWORK, [3, 13, 18], 6, 7);
    let all = case.chain.forward(&case.images, 3, &case.parameters, true);
    let (features, statistics, trace) = all;
    let weights = uniform(features.len(), 8);
    let (found, found_images) = case.chain.backward(&case.images, trace, &weights);
    let found_images = found_images.unwrap();
    let mut sums = vec![0.0; found.len()];
    for view in 0..3 {
        let part = |values: &[f32]| {
            let each = values.len() / 3;
            values[view * each..(view + 1) * each].to_vec()
        };
        let images = part(&case.images);
        let alone = case.chain.forward(&images, 1, &case.parameters, true);
        assert!(part(&features) == alone.0 && part(&statistics) == alone.1);
        let (gradient, image_gradient) = case.chain.backward(&images, alone.2, &part(&weights));
        assert!(part(&found_images) == image_gradient.unwrap());
        sums.iter_mut()
            .zip(gradient)
            .for_each(|(s, g)| *s += f64::from(g));
    }
    let error = relative(&found, &sums);
    assert!(error < 1e-5, "{error}");
}

#[test]
fn frozen_features_equal_those_in_f64() {
    for (layers, size, batch, seed) in [
        (&NETWORK[..], [3, 16, 16], 5, 1),
        (&NETWORK, [3, 13, 21], 35, 2),
        (&NETWORK, [8, 8, 9], 2, 3),
        (&STEPPING, [3, 41, 58], 19, 4),
    ] {
        let case = Case::new(layers, size, batch, seed);
        let statistics: Vec<f32> = uniform(case.chain.statistics(), 3)
            .iter()
            .map(|v| 1.5 + v)
            .collect();
        let features = case
            .chain
            .frozen_features(&case.images, &case.parameters, &statistics);
        let mut reference = Reference::new(case.layers, &case.parameters);
        let expected = reference.forward(&case.images(), Some(&statistics));
        assert!(relative(&features, &expected.values) < 1e-4);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for case in [
        Case::new(&NETWORK, [3, 20, 20], 64, 5),
        Case::new(&STEPPING, [3, 41, 41], 64, 6),
    ] {
        let one = run(&case, 1);
        for threads in [2, 3, 4] {
            assert!(one == run(&case, threads), "{threads} threads");
        }
    }
}

/// What a number of threads makes of a case: features, statistics, gradients, and frozen features.
fn run(case: &Case, threads: usize) -> [Vec<u32>; 4] {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| {
        let Case {
            chain,
            images,
            parameters,
            ..
        } = case;
        let (features, statistics, trace) = chain.forward(images, 1, parameters, false);
        let (gradients, of_images) = chain.backward(images, trace, &features);
        assert!(of_images.is_none());
        let running = &parameters[..statistics.len()];
        let frozen = chain.frozen_features(images, parameters, running);
        [features, statistics, gradients, frozen]
            .map(|values| values.iter().map(|value| value.to_bits()).collect())
    })
}

#[test]
fn impossible_chains_are_refused() {
    let refused = |input, layers: &[Layer]| Chain::new(input, layers).unwrap_err();
    assert_eq!(refused([3, 8, 8], &[]), ChainError::Empty);
    assert_eq!(refused([3, 0, 8], &[unit(3, 4)]), ChainError::Empty);
    for layers in [
        &[unit(2, 4)][..],
        &[unit(3, 0)],
        &[stepping([9, 1, 0], 4, true)],
        &[stepping([3, 0, 1], 4, true)],
        &[stepping([3, 1, 2], 4, true)],
        &[pool(PoolKind::Max)],
        &[unit(3, 4), pool(PoolKind::Max), pool(PoolKind::Max)],
    ] {
        let message = refused([3, 8, 8], layers).to_string();
        assert!(
            message.starts_with(&format!("layer {} of the chain", layers.len() - 1)),
            "{message}"
        );
    }
}
