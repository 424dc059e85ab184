//! Forward with running statistics: batch normalisation is folded into the weights, nothing is kept,
//! and units of 1x1 run on a block of rows right after the unit before them.

use super::source::{Source, to_planes};
use super::{Chain, EPSILON, Form, Stage, Unit};
use crate::buffer::Buffer;
use crate::convolution::{Algorithm, Weights};
use crate::rows::shift_and_clip;
use crate::workers::{Shared, for_each, threads};

/// Images that a thread takes through the chain at a time.
const IMAGES: usize = 16;

/// The units of a chain with normalisation folded into their weights; none for pools.
pub(super) type Folded = Vec<Option<FoldedUnit>>;

/// A unit with normalisation folded into its weights.
#[derive(Debug)]
pub(super) struct FoldedUnit {
    weights: Weights,
    /// `[stored]`.
    shift: Vec<f32>,
}

impl Unit {
    fn fold(&self, parameters: &[f32], statistics: &[f32]) -> FoldedUnit {
        let channels = self.channels();
        let own = &statistics[self.first_statistic..][..2 * channels];
        let (means, variances) = own.split_at(channels);
        let [scales, shifts] = self.norm(parameters);
        let scale: Vec<f32> = variances
            .iter()
            .zip(scales)
            .map(|(variance, scale)| scale / (variance + EPSILON).sqrt())
            .collect();
        let mut shift: Vec<f32> = (0..channels)
            .map(|channel| shifts[channel] - means[channel] * scale[channel])
            .collect();
        shift.resize(self.convolution.stored_out(), 0.0);
        let kernel = self.kernel(parameters);
        FoldedUnit {
            weights: self.convolution.prepare(kernel, Some(&scale), false),
            shift,
        }
    }
}

impl Chain {
    /// Features of `images`, both of the chain's forms, normalised with running `statistics`.
    ///
    /// # Panics
    /// When the slices are not of the sizes that the chain asks for.
    pub fn frozen_features(
        &self,
        images: &[f32],
        parameters: &[f32],
        statistics: &[f32],
    ) -> Vec<f32> {
        assert_eq!(parameters.len(), self.parameters());
        assert_eq!(statistics.len(), self.statistics());
        let units = self.frozen.of(&[parameters, statistics], || {
            let folded = self.stages.iter().map(|stage| match stage {
                Stage::Unit(unit) => Some(unit.fold(parameters, statistics)),
                Stage::Pool(_) => None,
            });
            folded.collect()
        });
        Frozen {
            chain: self,
            units: &units,
        }
        .features(images)
    }
}

/// A chain with its folded units.
struct Frozen<'c> {
    chain: &'c Chain,
    units: &'c Folded,
}

impl Frozen<'_> {
    fn features(&self, images: &[f32]) -> Vec<f32> {
        let batch = self.chain.batch(images, 1).images;
        let each_in = images.len() / batch;
        let each_out = self.chain.features_len();
        let mut features = vec![0.0; batch * each_out];
        let shared = Shared::new(&mut features);
        let group = batch.div_ceil(threads()).clamp(1, IMAGES);
        for_each(
            batch.div_ceil(group),
            || (),
            |number, ()| {
                let first = number * group;
                let count = group.min(batch - first);
                let images = &images[first * each_in..(first + count) * each_in];
                // SAFETY: a part for each group.
                let out = unsafe { shared.part(first * each_out, count * each_out) };
                self.group(images, count, out);
            },
        );
        features
    }

    /// Takes a few images through the chain.
    fn group(&self, images: &[f32], count: usize, features: &mut [f32]) {
        let stages = &self.chain.stages;
        let mut now = Buffer::stale(0);
        let mut place = 0;
        while place < stages.len() {
            let source = match place {
                0 => self.chain.images(images),
                _ => Source::Plain {
                    values: &now,
                    channels: stages[place - 1].output()[2],
                },
            };
            let (next, end) = self.run(place, count, source);
            now = next;
            place = end;
        }
        if self.chain.forms[1] == Form::Rows {
            return features.copy_from_slice(&now);
        }
        let [_, _, stored] = stages[stages.len() - 1].output();
        let rows = now.chunks_exact(now.len() / count);
        for (rows, planes) in rows.zip(features.chunks_exact_mut(features.len() / count)) {
            to_planes(rows, stored, planes);
        }
    }

    /// A pool, or a unit with the units of 1x1 that follow it: the rows that come out, and the next
    /// stage.
    fn run(&self, place: usize, count: usize, source: Source<'_>) -> (Buffer, usize) {
        let stages = &self.chain.stages;
        let head = match &stages[place] {
            Stage::Unit(unit) => unit,
            Stage::Pool(pool) => {
                let mut out = Buffer::stale(count * stages[place].output_len());
                let (pixels, each) = (pool.height * pool.width, out.len() / count);
                let mut input = Buffer::stale(pixels * pool.channels);
                for (image, out) in out.chunks_exact_mut(each).enumerate() {
                    source.rows(image * pixels, pixels, &mut input);
                    pool.forward(&input, out);
                }
                return (out, place + 1);
            }
        };
        let follows = |stage: &&Stage| match stage {
            Stage::Unit(unit) => unit.convolution.algorithm == Algorithm::Pointwise,
            Stage::Pool(_) => false,
        };
        let followers = stages[place + 1..].iter().take_while(follows).count();
        let end = place + 1 + followers;
        let mut out = Buffer::stale(count * stages[end - 1].output_len());
        let convolution = &head.convolution;
        let mut scratch = convolution.scratch(false);
        let Some(own) = &self.units[place] else {
            return (out, end);
        };
        let stored = stages[end - 1].output()[2];
        for chunk in convolution.chunks(count) {
            source.fill(convolution.place_input(chunk, &mut scratch));
            convolution.forward(chunk, &own.weights, &mut scratch);
            let stride = convolution.out_stride();
            let rows = &mut scratch.output[..chunk.rows * stride];
            shift_and_clip(rows, stride, &own.shift, head.floor());
            let out = &mut out[chunk.first * stored..(chunk.first + chunk.rows) * stored];
            self.follow(place + 1..end, rows, stride, out);
        }
        (out, end)
    }

    /// The units of 1x1 numbered `places` on rows that are in the cache, to dense rows of `out`.
    fn follow(&self, places: std::ops::Range<usize>, rows: &[f32], stride: usize, out: &mut [f32]) {
        const BLOCK: usize = 128;
        let units: Vec<(&Unit, &FoldedUnit)> = places
            .filter_map(
                |place| match (&self.chain.stages[place], &self.units[place]) {
                    (Stage::Unit(unit), Some(frozen)) => Some((unit, frozen)),
                    _ => None,
                },
            )
            .collect();
        let count = rows.len() / stride;
        let stored = out.len() / count;
        let blocks = rows.chunks(BLOCK * stride);
        for (rows, out) in blocks.zip(out.chunks_mut(BLOCK * stored)) {
            let count = rows.len() / stride;
            let mut now: Option<(Buffer, usize)> = None;
            for (unit, frozen) in &units {
                let (input, stride) = now.as_ref().map_or((rows, stride), |(b, s)| (&b[..], *s));
                let out_stride = unit.convolution.out_stride();
                let mut next = Buffer::stale(count * out_stride);
                unit.convolution
                    .forward_rows(input, stride, &frozen.weights, &mut next);
                shift_and_clip(&mut next, out_stride, &frozen.shift, unit.floor());
                now = Some((next, out_stride));
            }
            let (last, stride) = now.as_ref().map_or((rows, stride), |(b, s)| (&b[..], *s));
            for (row, out) in last.chunks(stride).zip(out.chunks_exact_mut(stored)) {
                out.copy_from_slice(&row[..stored]);
            }
        }
    }
}
