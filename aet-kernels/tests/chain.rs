//! Whole chains against their definition in f64.
#![allow(clippy::unwrap_used, missing_docs)]

mod reference;

use aet_kernels::chain::{Chain, ChainError, Form, Layer, Window};
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

/// Planes as rows, and back.
fn turned(values: &[f32], batch: usize, size: [usize; 3], to: Form) -> Vec<f32> {
    let [channels, height, width] = size;
    let stored = Form::Rows.shape(1, size)[3];
    let pixels = height * width;
    let mut out = vec![0.0; to.shape(batch, size).iter().product()];
    for image in 0..batch {
        for channel in 0..channels {
            for pixel in 0..pixels {
                let plane = (image * channels + channel) * pixels + pixel;
                let row = (image * pixels + pixel) * stored + channel;
                match to {
                    Form::Rows => out[row] = values[plane],
                    Form::Planes => out[plane] = values[row],
                }
            }
        }
    }
    out
}

#[test]
fn chains_of_rows_give_what_chains_of_planes_do() {
    for (layers, input) in [(&NETWORK[..], [5, 13, 12]), (&STEPPING, [5, 40, 33])] {
        let case = Case::new(layers, input, 6, 9);
        let rows = Chain::between([Form::Rows; 2], input, layers).unwrap();
        let output = rows.output();
        let images = turned(&case.images, 6, input, Form::Rows);
        let parameters = &case.parameters;
        let expected = case.chain.forward(&case.images, 2, parameters, true);
        let found = rows.forward(&images, 2, parameters, true);
        let error = |found: &[f32], expected: &[f32]| {
            let expected: Vec<f64> = expected.iter().map(|value| f64::from(*value)).collect();
            relative(found, &expected)
        };
        let features = turned(&found.0, 6, output, Form::Planes);
        assert!(error(&features, &expected.0) < 1e-5);
        assert_eq!(
            turned(&features, 6, output, Form::Rows),
            found.0,
            "padding is zero"
        );
        assert!(error(&found.1, &expected.1) < 1e-5);
        let weights = uniform(features.len(), 10);
        let rows_of_weights = turned(&weights, 6, output, Form::Rows);
        let expected = case.chain.backward(&case.images, expected.2, &weights);
        let found = rows.backward(&images, found.2, &rows_of_weights);
        assert!(error(&found.0, &expected.0) < 1e-4);
        let of_images = found.1.unwrap();
        let planes = turned(&of_images, 6, input, Form::Planes);
        assert!(error(&planes, &expected.1.unwrap()) < 1e-4);
        assert_eq!(
            turned(&planes, 6, input, Form::Rows),
            of_images,
            "padding is zero"
        );
        let statistics: Vec<f32> = uniform(rows.statistics(), 3)
            .iter()
            .map(|v| 1.5 + v)
            .collect();
        let expected = case
            .chain
            .frozen_features(&case.images, parameters, &statistics);
        let found = rows.frozen_features(&images, parameters, &statistics);
        let planes = turned(&found, 6, output, Form::Planes);
        assert!(error(&planes, &expected) < 1e-5);
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
