//! Forward with the statistics of the batch.

use super::source::{Norm, Norms, Source, to_planes};
use super::{Batch, Chain, EPSILON, Form, Laid, Stage, Unit};
use crate::buffer::Buffer;
use crate::convolution::{Chunk, Weights};
use crate::pool::Pool;
use crate::rows::measure_and_keep;
use crate::workers::{Shared, for_each};

/// Bytes of a layer from which on its output is written past the caches.
pub(super) const FAR_BYTES: usize = 16 << 20;

/// For each view, means and biased variances of every unit in turn, `[channels]` each.
pub type Statistics = Vec<f32>;

/// What a forward pass leaves for the backward pass.
#[derive(Debug)]
pub struct Trace {
    pub(super) batch: Batch,
    pub(super) outputs: Vec<Output>,
    pub(super) weights: Laid,
}

/// What a stage has given.
#[derive(Debug)]
pub(super) enum Output {
    Unit {
        /// Of the convolution, `[batch, height, width, stored]`.
        values: Buffer,
        norms: Norms,
    },
    Pool {
        /// `[batch, height, width, stored]`.
        values: Buffer,
    },
}

impl Chain {
    /// Features of `images`, both contiguous and of the chain's forms, normalised with the statistics of
    /// the batch; those statistics; and what [`backward`](Self::backward) needs. `images_gradient` says
    /// whether it is to give the gradient of the images too.
    ///
    /// The batch is made of `views` equal parts, one after the other, and each is normalised with
    /// statistics of its own. All go through the same weights, so this is faster than a call for
    /// each view.
    ///
    /// # Panics
    /// When the slices are not of the sizes that the chain asks for, or the images do not make
    /// equal views.
    pub fn forward(
        &self,
        images: &[f32],
        views: usize,
        parameters: &[f32],
        images_gradient: bool,
    ) -> (Vec<f32>, Statistics, Trace) {
        assert_eq!(parameters.len(), self.parameters());
        let batch = self.batch(images, views);
        let mut trace = Trace {
            batch,
            outputs: Vec::with_capacity(self.stages.len()),
            weights: self.lay(parameters, images_gradient),
        };
        let mut statistics = vec![0.0; views * self.statistics()];
        for (place, stage) in self.stages.iter().enumerate() {
            let source = self.source(place, images, &trace.outputs);
            let output = match stage {
                Stage::Unit(unit) => {
                    let Some(weights) = &trace.weights[place] else {
                        unreachable!("a unit has weights")
                    };
                    unit.forward(batch, source, weights, parameters, &mut statistics)
                }
                Stage::Pool(pool) => pooled(pool, batch, source),
            };
            trace.outputs.push(output);
        }
        (self.features(&trace), statistics, trace)
    }

    /// The weights as the products want them.
    fn lay(&self, parameters: &[f32], images_gradient: bool) -> Laid {
        let stages = self.stages.iter().enumerate();
        let laid = stages.map(|(place, stage)| match stage {
            Stage::Unit(unit) => {
                let backward = place > 0 || images_gradient;
                let kernel = unit.kernel(parameters);
                Some(unit.convolution.prepare(kernel, None, backward))
            }
            Stage::Pool(_) => None,
        });
        laid.collect()
    }

    /// `images` in `views` parts.
    pub(super) fn batch(&self, images: &[f32], views: usize) -> Batch {
        let each = self.stored_in() * self.height * self.width;
        assert!(images.len().is_multiple_of(each) && !images.is_empty());
        let images = images.len() / each;
        assert!(views > 0 && images.is_multiple_of(views));
        Batch { images, views }
    }

    /// What the first stage reads.
    pub(super) fn images<'a>(&self, values: &'a [f32]) -> Source<'a> {
        match self.forms[0] {
            Form::Planes => Source::Images {
                values,
                channels: self.channels,
                pixels: self.height * self.width,
            },
            Form::Rows => Source::Plain {
                values,
                channels: self.stored_in(),
            },
        }
    }

    /// What stage `place` reads.
    pub(super) fn source<'a>(
        &self,
        place: usize,
        images: &'a [f32],
        outputs: &'a [Output],
    ) -> Source<'a> {
        let Some(before) = place.checked_sub(1) else {
            return self.images(images);
        };
        let [_, _, channels] = self.stages[before].output();
        match &outputs[before] {
            Output::Unit { values, norms } => Source::Unit {
                values,
                channels,
                norms,
            },
            Output::Pool { values } => Source::Plain { values, channels },
        }
    }

    /// The last output, normalised and clipped.
    fn features(&self, trace: &Trace) -> Vec<f32> {
        let [_, height, width] = self.output();
        let pixels = height * width;
        let each = self.features_len();
        let mut features = vec![0.0; trace.batch.images * each];
        let last = self.stages.len();
        let source = self.source(last, &[], &trace.outputs);
        let [_, _, stored] = self.stages[last - 1].output();
        let planes = self.forms[1] == Form::Planes;
        let shared = Shared::new(&mut features);
        for_each(
            trace.batch.images,
            || Buffer::stale(if planes { pixels * stored } else { 0 }),
            |image, rows| {
                // SAFETY: a part for each image.
                let own = unsafe { shared.part(image * each, each) };
                if planes {
                    source.rows(image * pixels, pixels, rows);
                    to_planes(rows, stored, own);
                } else {
                    source.rows(image * pixels, pixels, own);
                }
            },
        );
        features
    }
}

impl Unit {
    fn forward(
        &self,
        batch: Batch,
        source: Source<'_>,
        weights: &Weights,
        parameters: &[f32],
        statistics: &mut [f32],
    ) -> Output {
        let convolution = &self.convolution;
        let stored = convolution.stored_out();
        let [height, width] = convolution.output();
        let pixels = batch.images * height * width;
        let mut values = Buffer::stale(pixels * stored);
        let chunks = self.chunks(batch);
        let mut moments = Buffer::stale(chunks.len() * 2 * stored);
        let far = pixels * stored * size_of::<f32>() > FAR_BYTES;
        let shared = [Shared::new(&mut values), Shared::new(&mut moments)];
        for_each(
            chunks.len(),
            || convolution.scratch(false),
            |number, scratch| {
                let chunk = chunks[number];
                source.fill(convolution.place_input(chunk, scratch));
                convolution.forward(chunk, weights, scratch);
                // SAFETY: parts for each chunk.
                let [values, moments] = unsafe {
                    [
                        shared[0].part(chunk.first * stored, chunk.rows * stored),
                        shared[1].part(number * 2 * stored, 2 * stored),
                    ]
                };
                let stride = convolution.out_stride();
                measure_and_keep(&scratch.output, stride, values, moments, far);
            },
        );
        let each = chunks.len() / batch.views;
        let moments = chunks.chunks(each).zip(moments.chunks(each * 2 * stored));
        let statistics = statistics.chunks_exact_mut(statistics.len() / batch.views);
        let views = moments.zip(statistics).map(|((chunks, moments), all)| {
            let [mean, variance] = merged_moments(chunks, moments, stored);
            let channels = self.channels();
            let own = &mut all[self.first_statistic..][..2 * channels];
            own[..channels].copy_from_slice(&mean[..channels]);
            own[channels..].copy_from_slice(&variance[..channels]);
            self.norm_of(mean, &variance, parameters)
        });
        let norms = Norms {
            views: views.collect(),
            pixels: pixels / batch.views,
        };
        Output::Unit { values, norms }
    }

    /// The normalisation by `mean` and `variance` (`[stored]`).
    pub(super) fn norm_of(&self, mean: Vec<f32>, variance: &[f32], parameters: &[f32]) -> Norm {
        let [scales, shifts] = self.norm(parameters);
        let inverse: Vec<f32> = variance
            .iter()
            .map(|variance| 1.0 / (variance + EPSILON).sqrt())
            .collect();
        let mut scale = vec![0.0; mean.len()];
        for ((scale, inverse), own) in scale.iter_mut().zip(&inverse).zip(scales) {
            *scale = own * inverse;
        }
        let mut shift = shifts.to_vec();
        shift.resize(mean.len(), 0.0);
        Norm {
            mean,
            inverse,
            scale,
            shift,
            floor: self.floor(),
        }
    }
}

/// Mean and biased variance per channel, from those of blocks of rows (Chan, Golub and LeVeque 1979),
/// always in the order of the blocks.
fn merged_moments(chunks: &[Chunk], moments: &[f32], stored: usize) -> [Vec<f32>; 2] {
    let mut count = 0.0;
    let mut means = vec![0.0_f64; stored];
    let mut squares = vec![0.0_f64; stored];
    for (chunk, block) in chunks.iter().zip(moments.chunks_exact(2 * stored)) {
        let rows = chunk.rows as f64;
        let total = count + rows;
        let (block_means, block_squares) = block.split_at(stored);
        for channel in 0..stored {
            let difference = f64::from(block_means[channel]) - means[channel];
            means[channel] += difference * (rows / total);
            squares[channel] += f64::from(block_squares[channel])
                + difference * difference * (count * rows / total);
        }
        count = total;
    }
    [
        means.iter().map(|mean| *mean as f32).collect(),
        squares.iter().map(|sum| (sum / count) as f32).collect(),
    ]
}

fn pooled(pool: &Pool, batch: Batch, source: Source<'_>) -> Output {
    let [height, width] = pool.output();
    let each = height * width * pool.channels;
    let mut values = Buffer::stale(batch.images * each);
    let shared = Shared::new(&mut values);
    let pixels = pool.height * pool.width;
    for_each(
        batch.images,
        || Buffer::stale(pixels * pool.channels),
        |image, rows| {
            source.rows(image * pixels, pixels, rows);
            // SAFETY: a part for each image.
            pool.forward(rows, unsafe { shared.part(image * each, each) });
        },
    );
    Output::Pool { values }
}
