//! Backward: the gradients of the parameters, and of the images if they were asked for.

use std::ops::Range;

use super::forward::{FAR_BYTES, Output, Trace};
use super::source::{Norms, Source, from_planes, to_planes};
use super::{Batch, Chain, Form, Stage, Unit};
use crate::buffer::Buffer;
use crate::convolution::{Chunk, Convolution, Weights};
use crate::pool::Pool;
use crate::rows::{Layout, NormGradient, through_norm, through_relu};
use crate::workers::{Shared, for_each, threads};

/// Images to each sum of weight gradients. The sums are added up in a fixed order, so a result does
/// not depend on the number of threads while there are no more threads than sums. More sums let
/// threads share the work more evenly, but take memory and time to add up.
const IMAGES_TO_A_SUM: usize = 4;
/// Fewest sums that a large batch has, and most, unless there are more threads.
const SUMS: [usize; 2] = [8, 32];
/// Bytes that all sums of a unit may take while they are more than the fewest.
const SUM_BYTES: usize = 8 << 20;

/// The gradient of what a stage has given.
enum Gradient {
    /// Of a unit, before its ReLU, with the sums over each view of it and of it times the
    /// convolution's distance from its mean, `[2, stored]`.
    Unit { values: Buffer, sums: Vec<Vec<f64>> },
    /// Of a pool, or of the images as rows of pixels.
    Plain(Buffer),
}

impl Chain {
    /// The gradients of the parameters and, if `forward` was told so, of the images, from that of
    /// the features, both of the chain's forms.
    ///
    /// # Panics
    /// When the slices are not of the sizes that the chain asks for.
    pub fn backward(
        &self,
        images: &[f32],
        trace: Trace,
        features: &[f32],
    ) -> (Vec<f32>, Option<Vec<f32>>) {
        let batch = trace.batch;
        assert_eq!(batch, self.batch(images, batch.views));
        let mut outputs = trace.outputs;
        let mut gradients = vec![0.0; self.parameters()];
        let mut gradient = Some(self.last_gradient(batch, features, &outputs));
        for (place, stage) in self.stages.iter().enumerate().rev() {
            let output = outputs.pop();
            let source = self.source(place, images, &outputs);
            gradient = match (stage, output, gradient) {
                (
                    Stage::Pool(pool),
                    Some(Output::Pool { values }),
                    Some(Gradient::Plain(gradient)),
                ) => Some(through_pool(pool, batch, source, &values, gradient)),
                (
                    Stage::Unit(unit),
                    Some(Output::Unit { values, norms }),
                    Some(Gradient::Unit { values: dz, sums }),
                ) => {
                    let own = Own {
                        values,
                        norms,
                        weights: trace.weights[place].as_ref(),
                        dz,
                        sums,
                    };
                    unit.backward(batch, source, own, &mut gradients)
                }
                _ => unreachable!("a stage's output and gradient are of its kind"),
            };
        }
        let images_gradient = match gradient {
            Some(Gradient::Plain(rows)) => Some(match self.forms[0] {
                Form::Planes => self.image_planes(batch, &rows),
                Form::Rows => rows.to_vec(),
            }),
            _ => None,
        };
        (gradients, images_gradient)
    }

    /// The gradient of the last stage from that of the features.
    fn last_gradient(&self, batch: Batch, features: &[f32], outputs: &[Output]) -> Gradient {
        let [_, height, width] = self.output();
        let (pixels, each) = (height * width, self.features_len());
        assert_eq!(features.len(), batch.images * each);
        let last = self.stages.len();
        let [_, _, stored] = self.stages[last - 1].output();
        let source = self.source(last, &[], outputs);
        by_image(source, batch, pixels, stored, |image, rows| {
            let own = &features[image * each..][..each];
            match self.forms[1] {
                Form::Planes => from_planes(own, pixels, stored, rows),
                Form::Rows => rows.copy_from_slice(own),
            }
        })
    }

    /// Rows of pixels to `[batch, channels, height, width]`.
    fn image_planes(&self, batch: Batch, rows: &[f32]) -> Vec<f32> {
        let pixels = self.height * self.width;
        let stored = rows.len() / (batch.images * pixels);
        let each = self.channels * pixels;
        let mut planes = vec![0.0; batch.images * each];
        let shared = Shared::new(&mut planes);
        for_each(
            batch.images,
            || (),
            |image, ()| {
                let rows = &rows[image * pixels * stored..][..pixels * stored];
                // SAFETY: a part for each image.
                to_planes(rows, stored, unsafe { shared.part(image * each, each) });
            },
        );
        planes
    }
}

/// The gradient of what `source` reads, made image by image: `make` gives that of the activated
/// rows.
fn by_image(
    source: Source<'_>,
    batch: Batch,
    pixels: usize,
    stored: usize,
    make: impl Fn(usize, &mut [f32]) + Sync,
) -> Gradient {
    let each = pixels * stored;
    let mut values = Buffer::stale(batch.images * each);
    let mut sums = Buffer::stale(batch.images * 2 * stored);
    let far = batch.images * each * size_of::<f32>() > FAR_BYTES;
    let shared = [Shared::new(&mut values), Shared::new(&mut sums)];
    let is_unit = matches!(source, Source::Unit { .. });
    for_each(
        batch.images,
        || Buffer::stale(if is_unit { each } else { 0 }),
        |image, own| {
            // SAFETY: parts for each image.
            let [values, sums] = unsafe {
                [
                    shared[0].part(image * each, each),
                    shared[1].part(image * 2 * stored, 2 * stored),
                ]
            };
            match source {
                Source::Unit {
                    values: y, norms, ..
                } => {
                    make(image, own);
                    let y = &y[image * each..(image + 1) * each];
                    let layout = Layout::dense(stored);
                    let norm = norms.at(image * pixels).affine();
                    through_relu(own, layout, y, norm, values, sums, far);
                }
                _ => make(image, values),
            }
        },
    );
    match is_unit {
        true => Gradient::Unit {
            values,
            sums: added_up(&sums, 2 * stored, batch.views),
        },
        false => Gradient::Plain(values),
    }
}

/// Rows of `columns`, as many for each view, added up in f64.
fn added_up(rows: &[f32], columns: usize, views: usize) -> Vec<Vec<f64>> {
    let of_a_view = |rows: &[f32]| {
        let mut sums = vec![0.0; columns];
        for row in rows.chunks_exact(columns) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
        sums
    };
    rows.chunks_exact(rows.len() / views)
        .map(of_a_view)
        .collect()
}

fn through_pool(
    pool: &Pool,
    batch: Batch,
    source: Source<'_>,
    output: &[f32],
    mut gradient: Buffer,
) -> Gradient {
    let pixels = pool.height * pool.width;
    let each = output.len() / batch.images;
    let shared = Shared::new(&mut gradient);
    by_image(source, batch, pixels, pool.channels, |image, rows| {
        let mut input = Buffer::stale(pixels * pool.channels);
        source.rows(image * pixels, pixels, &mut input);
        let output = &output[image * each..(image + 1) * each];
        // SAFETY: a part for each image.
        let gradient = unsafe { shared.part(image * each, each) };
        pool.backward(&input, output, gradient, rows);
    })
}

/// What a unit has given and the gradient of it.
struct Own<'w> {
    values: Buffer,
    norms: Norms,
    weights: Option<&'w Weights>,
    dz: Buffer,
    sums: Vec<Vec<f64>>,
}

impl Own<'_> {
    /// How the gradient goes through the normalisation of the view that `pixel` belongs to.
    fn norm_gradient<'f>(&'f self, factors: &'f [Factors], pixel: usize) -> NormGradient<'f> {
        let norm = self.norms.at(pixel);
        let factors = &factors[self.norms.view(pixel)];
        NormGradient {
            mean: &norm.mean,
            scale: &norm.scale,
            slope: &factors.slope,
            offset: &factors.offset,
        }
    }
}

/// The factors of [`NormGradient`] for a view.
struct Factors {
    slope: Vec<f32>,
    offset: Vec<f32>,
}

impl Unit {
    fn backward(
        &self,
        batch: Batch,
        source: Source<'_>,
        own: Own<'_>,
        gradients: &mut [f32],
    ) -> Option<Gradient> {
        let convolution = &self.convolution;
        let pixels = batch.images * convolution.height * convolution.width;
        let factors = self.norm_gradient(&own, gradients);
        let chunks = self.chunks(batch);
        let weights = own.weights.filter(|weights| weights.has_backward());
        let wanted = weights.is_some();
        let mut sink = Sink::new(source, convolution, [pixels, chunks.len()], wanted);
        let groups = self.groups(batch.images, chunks.len());
        let mut sums: Vec<Buffer> = groups
            .iter()
            .map(|_| Buffer::stale(convolution.gradient_len()))
            .collect();
        let shared_sums = Shared::new(&mut sums);
        let shared = sink.shared();
        for_each(
            groups.len(),
            || (convolution.scratch(true), Vec::new()),
            |group, (scratch, offsets)| {
                // SAFETY: a part for each group.
                let sums = &mut unsafe { shared_sums.part(group, 1) }[0];
                for number in groups[group].clone() {
                    let chunk = chunks[number];
                    source.fill(convolution.place_input(chunk, scratch));
                    let placed = convolution.place_gradient(chunk, scratch, wanted);
                    let norm = own.norm_gradient(&factors, placed.first);
                    let stored = norm.mean.len();
                    let part = placed.first * stored..(placed.first + placed.rows) * stored;
                    let (dz, y) = (&own.dz[part.clone()], &own.values[part]);
                    through_norm(dz, y, norm, placed.buffer, Layout::at(placed.offsets));
                    let fresh = number == groups[group].start;
                    convolution.backward(chunk, weights, scratch, (sums, fresh));
                    if wanted {
                        let layout = convolution.input_gradient_layout(chunk, offsets);
                        let pixels = convolution.input_chunk(chunk);
                        // SAFETY: each chunk is worked on once, and each pixel comes with one.
                        unsafe { shared.take(number, pixels, &scratch.input_gradient, layout) };
                    }
                }
            },
        );
        let first = self.first_parameter;
        let kernel = &mut gradients[first..first + convolution.weight_len()];
        convolution.collect_gradient(&sums, kernel);
        wanted.then(|| sink.finish(batch.views))
    }

    /// The chunks of each sum of weight gradients.
    fn groups(&self, images: usize, chunks: usize) -> Vec<Range<usize>> {
        let [fewest, most] = SUMS;
        let fit = SUM_BYTES / (self.convolution.gradient_len() * size_of::<f32>());
        let sums = images
            .div_ceil(IMAGES_TO_A_SUM)
            .min(fit.clamp(fewest, most))
            .max(threads())
            .min(chunks);
        (0..sums)
            .map(|sum| sum * chunks / sums..(sum + 1) * chunks / sums)
            .collect()
    }

    /// Writes the gradients of scales and shifts, and gives what each view's gradient before
    /// normalisation is made with.
    fn norm_gradient(&self, own: &Own<'_>, gradients: &mut [f32]) -> Vec<Factors> {
        let channels = self.channels();
        let first = self.first_parameter + self.convolution.weight_len();
        let count = own.norms.pixels as f64;
        let mut totals = vec![0.0; 2 * channels];
        let views = own.norms.views.iter().zip(&own.sums).map(|(norm, sums)| {
            let stored = norm.mean.len();
            let mut factors = Factors {
                slope: vec![0.0; stored],
                offset: vec![0.0; stored],
            };
            for channel in 0..channels {
                let (plain, product) = (sums[channel], sums[stored + channel]);
                let inverse = f64::from(norm.inverse[channel]);
                let scale = f64::from(norm.scale[channel]);
                totals[channel] += product * inverse;
                totals[channels + channel] += plain;
                factors.slope[channel] = (-scale * inverse * inverse * product / count) as f32;
                factors.offset[channel] = (-scale * plain / count) as f32;
            }
            factors
        });
        let views = views.collect();
        for (gradient, total) in gradients[first..].iter_mut().zip(totals) {
            *gradient = total as f32;
        }
        views
    }
}

/// Where the gradient of a unit's input goes.
struct Sink<'a> {
    source: Source<'a>,
    stored: usize,
    values: Buffer,
    sums: Buffer,
    far: bool,
}

/// A [`Sink`] that several threads fill.
struct SharedSink<'a, 's> {
    source: Source<'a>,
    stored: usize,
    values: Shared<'s, f32>,
    sums: Shared<'s, f32>,
    far: bool,
}

impl<'a> Sink<'a> {
    fn new(
        source: Source<'a>,
        convolution: &Convolution,
        [pixels, chunks]: [usize; 2],
        wanted: bool,
    ) -> Self {
        let stored = crate::simd::padded(convolution.channels_in);
        let is_unit = matches!(source, Source::Unit { .. });
        Self {
            source,
            stored,
            values: Buffer::stale(if wanted { pixels * stored } else { 0 }),
            sums: Buffer::stale(if is_unit { chunks * 2 * stored } else { 0 }),
            far: pixels * stored * size_of::<f32>() > FAR_BYTES,
        }
    }

    fn shared(&mut self) -> SharedSink<'a, '_> {
        SharedSink {
            source: self.source,
            stored: self.stored,
            values: Shared::new(&mut self.values),
            sums: Shared::new(&mut self.sums),
            far: self.far,
        }
    }

    fn finish(self, views: usize) -> Gradient {
        match self.source {
            Source::Unit { .. } => Gradient::Unit {
                sums: added_up(&self.sums, 2 * self.stored, views),
                values: self.values,
            },
            _ => Gradient::Plain(self.values),
        }
    }
}

impl SharedSink<'_, '_> {
    /// Takes the gradient of the activated input that comes with chunk `number`.
    ///
    /// # Safety
    /// No other thread brings the same chunk, or one of the same pixels.
    unsafe fn take(&self, number: usize, chunk: Chunk, gradient: &[f32], layout: Layout<'_>) {
        let stored = self.stored;
        let part = chunk.first * stored..(chunk.first + chunk.rows) * stored;
        // SAFETY: a chunk's part is its own, by the caller's promise.
        let values = unsafe { self.values.part(part.start, part.len()) };
        match self.source {
            Source::Unit {
                values: y, norms, ..
            } => {
                // SAFETY: as above.
                let sums = unsafe { self.sums.part(number * 2 * stored, 2 * stored) };
                through_relu(
                    gradient,
                    layout,
                    &y[part],
                    norms.at(chunk.first).affine(),
                    values,
                    sums,
                    self.far,
                );
            }
            _ => layout.copy(gradient, values, stored),
        }
    }
}
