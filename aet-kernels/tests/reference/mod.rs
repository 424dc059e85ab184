//! The same arithmetic by its definition, in f64.
#![allow(dead_code, clippy::too_many_arguments)]

use aet_kernels::chain::{Layer, Window};
use aet_kernels::pool::PoolKind;
use rand::{RngExt, SeedableRng};

/// `[batch, channels, height, width]` in f64.
#[derive(Debug, Clone)]
pub struct Images {
    pub shape: [usize; 4],
    pub values: Vec<f64>,
}

impl Images {
    pub fn zeros(shape: [usize; 4]) -> Self {
        Self {
            shape,
            values: vec![0.0; shape.iter().product()],
        }
    }

    pub fn of(shape: [usize; 4], values: &[f32]) -> Self {
        Self {
            shape,
            values: values.iter().map(|v| f64::from(*v)).collect(),
        }
    }

    pub fn place(&self, [b, c, y, x]: [usize; 4]) -> usize {
        let [_, channels, height, width] = self.shape;
        ((b * channels + c) * height + y) * width + x
    }
}

/// Values from U(-1, 1).
pub fn uniform(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Calls `visit` with the places in input, kernel and output of every product of a convolution.
pub fn each_product(
    input: [usize; 4],
    channels_out: usize,
    window: Window,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let [batch, channels, height, width] = input;
    let side = window.side;
    let [out_height, out_width] = [height, width].map(|length| window.outputs(length));
    // The pixel that a tap meets, if it is in the image.
    let pixel = |out: usize, tap: usize, length: usize| {
        let place = (out * window.stride + tap).checked_sub(window.padding)?;
        (place < length).then_some(place)
    };
    for b in 0..batch {
        for out in 0..channels_out {
            for c in 0..channels {
                for tap in 0..side * side {
                    let kernel = (out * channels + c) * side * side + tap;
                    for y in 0..out_height {
                        let Some(from_y) = pixel(y, tap / side, height) else {
                            continue;
                        };
                        for x in 0..out_width {
                            let Some(from_x) = pixel(x, tap % side, width) else {
                                continue;
                            };
                            let from = ((b * channels + c) * height + from_y) * width + from_x;
                            let to = ((b * channels_out + out) * out_height + y) * out_width + x;
                            visit(from, kernel, to);
                        }
                    }
                }
            }
        }
    }
}

/// What a layer of the reference keeps.
enum Kept {
    Unit {
        input: Images,
        normal: Vec<f64>,
        inverse: Vec<f64>,
        alive: Vec<bool>,
        first: usize,
    },
    Pool {
        input: Images,
    },
}

/// A chain by its definition.
pub struct Reference<'a> {
    pub layers: &'a [Layer],
    pub parameters: Vec<f64>,
    kept: Vec<Kept>,
    pub statistics: Vec<f64>,
    /// The smallest distance of a value from ReLU's corner.
    pub margin: f64,
}

impl<'a> Reference<'a> {
    pub fn new(layers: &'a [Layer], parameters: &[f32]) -> Self {
        Self {
            layers,
            parameters: parameters.iter().map(|v| f64::from(*v)).collect(),
            kept: Vec::new(),
            statistics: Vec::new(),
            margin: f64::INFINITY,
        }
    }

    /// Features; with `running` statistics, in evaluation mode.
    pub fn forward(&mut self, images: &Images, running: Option<&[f32]>) -> Images {
        let mut now = images.clone();
        let (mut first, mut statistic) = (0, 0);
        for layer in self.layers {
            match *layer {
                Layer::Unit {
                    window, channels, ..
                } => {
                    let len = channels * now.shape[1] * window.side * window.side;
                    now = self.unit(now, *layer, first, running.map(|r| &r[statistic..]));
                    first += len + 2 * channels;
                    statistic += 2 * channels;
                }
                Layer::Pool { .. } => now = self.pool(now, *layer),
            }
        }
        now
    }

    fn unit(
        &mut self,
        input: Images,
        layer: Layer,
        first: usize,
        running: Option<&[f32]>,
    ) -> Images {
        let Layer::Unit {
            window,
            channels,
            rectified,
        } = layer
        else {
            unreachable!()
        };
        let [batch, channels_in, height, width] = input.shape;
        let [height, width] = [height, width].map(|length| window.outputs(length));
        let mut out = Images::zeros([batch, channels, height, width]);
        let kernel = &self.parameters[first..];
        each_product(input.shape, channels, window, |from, k, to| {
            out.values[to] += input.values[from] * kernel[k];
        });
        let norm = &kernel[channels * channels_in * window.side * window.side..];
        let pixels = height * width;
        let mut normal = vec![0.0; out.values.len()];
        let mut inverse = vec![0.0; channels];
        let mut alive = vec![false; out.values.len()];
        let (mut means, mut variances) = (Vec::new(), Vec::new());
        for c in 0..channels {
            let places: Vec<usize> = (0..batch)
                .flat_map(|b| (0..pixels).map(move |p| (b * channels + c) * pixels + p))
                .collect();
            let count = places.len() as f64;
            let (mean, variance) = match running {
                Some(r) => (f64::from(r[c]), f64::from(r[channels + c])),
                None => {
                    let mean = places.iter().map(|p| out.values[*p]).sum::<f64>() / count;
                    let squares: f64 = places.iter().map(|p| (out.values[*p] - mean).powi(2)).sum();
                    (mean, squares / count)
                }
            };
            means.push(mean);
            variances.push(variance);
            inverse[c] = 1.0 / (variance + 1e-5).sqrt();
            for p in places {
                normal[p] = (out.values[p] - mean) * inverse[c];
                let z = normal[p] * norm[c] + norm[channels + c];
                alive[p] = z > 0.0 || !rectified;
                out.values[p] = if alive[p] { z } else { 0.0 };
                if rectified {
                    self.margin = self.margin.min(z.abs());
                }
            }
        }
        self.statistics.extend(means);
        self.statistics.extend(variances);
        self.kept.push(Kept::Unit {
            input,
            normal,
            inverse,
            alive,
            first,
        });
        out
    }

    fn pool(&mut self, input: Images, layer: Layer) -> Images {
        let mut out = Images::zeros(pooled_shape(input.shape, layer));
        for place in 0..out.values.len() {
            let window = window(&input, &out, place, layer);
            let Layer::Pool { kind, size, .. } = layer else {
                unreachable!()
            };
            out.values[place] = match kind {
                PoolKind::Max => window
                    .iter()
                    .map(|p| input.values[*p])
                    .fold(f64::NEG_INFINITY, f64::max),
                PoolKind::Average => {
                    window.iter().map(|p| input.values[*p]).sum::<f64>() / (size * size) as f64
                }
            };
        }
        self.kept.push(Kept::Pool { input });
        out
    }

    /// Gradients of parameters and images.
    pub fn backward(&mut self, features: &Images) -> (Vec<f64>, Images) {
        let mut gradients = vec![0.0; self.parameters.len()];
        let mut now = features.clone();
        for layer in self.layers.iter().rev() {
            now = match (*layer, self.kept.pop().unwrap()) {
                (
                    Layer::Unit {
                        window, channels, ..
                    },
                    Kept::Unit {
                        input,
                        normal,
                        inverse,
                        alive,
                        first,
                    },
                ) => {
                    let [batch, _, height, width] = now.shape;
                    let channels_in = input.shape[1];
                    let pixels = height * width;
                    let len = channels * channels_in * window.side * window.side;
                    let count = (batch * pixels) as f64;
                    for c in 0..channels {
                        let places: Vec<usize> = (0..batch)
                            .flat_map(|b| (0..pixels).map(move |p| (b * channels + c) * pixels + p))
                            .collect();
                        for p in &places {
                            if !alive[*p] {
                                now.values[*p] = 0.0;
                            }
                        }
                        let plain: f64 = places.iter().map(|p| now.values[*p]).sum();
                        let product: f64 = places.iter().map(|p| now.values[*p] * normal[*p]).sum();
                        gradients[first + len + c] = product;
                        gradients[first + len + channels + c] = plain;
                        let scale = self.parameters[first + len + c] * inverse[c];
                        for p in places {
                            now.values[p] = scale
                                * (now.values[p] - plain / count - normal[p] * product / count);
                        }
                    }
                    let mut back = Images::zeros(input.shape);
                    let kernel = &self.parameters[first..];
                    each_product(input.shape, channels, window, |from, k, to| {
                        back.values[from] += now.values[to] * kernel[k];
                        gradients[first + k] += now.values[to] * input.values[from];
                    });
                    back
                }
                (Layer::Pool { kind, size, .. }, Kept::Pool { input }) => {
                    let mut back = Images::zeros(input.shape);
                    for place in 0..now.values.len() {
                        let window = window(&input, &now, place, *layer);
                        match kind {
                            PoolKind::Max => {
                                let mut best = window[0];
                                for p in window {
                                    if input.values[p] > input.values[best] {
                                        best = p;
                                    }
                                }
                                back.values[best] += now.values[place];
                            }
                            PoolKind::Average => {
                                for p in window {
                                    back.values[p] += now.values[place] / (size * size) as f64;
                                }
                            }
                        }
                    }
                    back
                }
                _ => unreachable!(),
            };
        }
        (gradients, now)
    }
}

fn pooled_shape([batch, channels, height, width]: [usize; 4], layer: Layer) -> [usize; 4] {
    let Layer::Pool {
        size,
        stride,
        padding,
        ..
    } = layer
    else {
        unreachable!()
    };
    let side = |side: usize| (side + 2 * padding - size) / stride + 1;
    [batch, channels, side(height), side(width)]
}

/// Places in `input` of the window of place `place` of `out`.
fn window(input: &Images, out: &Images, place: usize, layer: Layer) -> Vec<usize> {
    let Layer::Pool {
        size,
        stride,
        padding,
        ..
    } = layer
    else {
        unreachable!()
    };
    let [_, _, height, width] = input.shape;
    let [_, _, out_height, out_width] = out.shape;
    let plane = place / (out_height * out_width);
    let (y, x) = (place / out_width % out_height, place % out_width);
    let mut places = Vec::new();
    for from_y in y * stride..y * stride + size {
        for from_x in x * stride..x * stride + size {
            if (padding..height + padding).contains(&from_y)
                && (padding..width + padding).contains(&from_x)
            {
                places.push((plane * height + from_y - padding) * width + from_x - padding);
            }
        }
    }
    places
}

/// The largest difference over the largest expected value.
pub fn relative(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let difference = found
        .iter()
        .zip(expected)
        .fold(0.0_f64, |m, (f, e)| m.max((f64::from(*f) - e).abs()));
    difference / largest.max(1e-30)
}
