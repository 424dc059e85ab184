//! The loss of logistic regression and its gradient, a chunk of images at a time.

use std::ops::Range;

use aet_kernels::product::{Panels, Rows, SLACK, multiply, multiply_transposed, write_row};
use aet_kernels::simd::padded;
use rayon::prelude::*;

use crate::embed::FeatureBank;
use crate::probe::labels::Labelled;

/// Images whose features are standardised at a time: as many as the second cache holds.
pub(super) const ROWS: usize = 256;
/// Sums of gradients that are made independently of each other.
const GROUPS: usize = 8;
/// Mean and inverse deviation of each feature, `[dim]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// What is taken off.
    pub means: Vec<f64>,
    /// What it is then multiplied by.
    pub factors: Vec<f64>,
}

impl Scaling {
    /// Leaves features as they are.
    pub(super) fn none(dim: usize) -> Self {
        Self {
            means: vec![0.0; dim],
            factors: vec![1.0; dim],
        }
    }

    /// To mean 0 and deviation 1 over the images of `bank`; a feature that is always the same is
    /// only moved.
    pub(super) fn of(bank: &FeatureBank) -> Self {
        let rows = || bank.features.chunks_exact(bank.dim);
        let mean_of = |part: &dyn Fn(usize, f64) -> f64| {
            let mut sums = vec![0.0; bank.dim];
            for row in rows() {
                for (place, (sum, value)) in sums.iter_mut().zip(row).enumerate() {
                    *sum += part(place, f64::from(*value));
                }
            }
            let count = bank.len() as f64;
            sums.into_iter()
                .map(|sum| sum / count)
                .collect::<Vec<f64>>()
        };
        let means = mean_of(&|_, value| value);
        let variances = mean_of(&|place, value| (value - means[place]).powi(2));
        let factor = |variance: f64| match variance > 0.0 {
            true => 1.0 / variance.sqrt(),
            false => 1.0,
        };
        Self {
            factors: variances.into_iter().map(factor).collect(),
            means,
        }
    }

    fn write(&self, rows: &[f32], out: &mut [f32]) {
        let dim = self.means.len();
        for (row, out) in rows.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
            let facts = self.means.iter().zip(&self.factors);
            for ((out, value), (mean, factor)) in out.iter_mut().zip(row).zip(facts) {
                *out = ((f64::from(*value) - mean) * factor) as f32;
            }
        }
    }
}

/// Weights, laid out for products with rows of standardised features.
pub(super) struct Logits<'a> {
    scaling: &'a Scaling,
    intercepts: Vec<f32>,
    packed: Vec<f32>,
    /// Classes, padded to whole vectors.
    pub columns: usize,
}

/// Room for one chunk of rows.
pub(super) struct Work {
    /// Standardised features, `[rows, dim]`, and some slack.
    inputs: Vec<f32>,
    /// `[rows, columns]`.
    pub outputs: Vec<f32>,
}

impl Work {
    pub fn new(logits: &Logits<'_>) -> Self {
        Self {
            inputs: vec![0.0; ROWS * logits.dim() + SLACK],
            outputs: vec![0.0; ROWS * logits.columns],
        }
    }
}

impl<'a> Logits<'a> {
    /// `values` are weights `[dim, classes]` and intercepts `[classes]`.
    pub fn new(values: &[f32], scaling: &'a Scaling, classes: usize) -> Self {
        let dim = scaling.means.len();
        let columns = padded(classes);
        let (weights, intercepts) = values.split_at(dim * classes);
        let mut packed = vec![0.0; dim * columns];
        let mut line = vec![0.0; columns];
        for (row, weights) in weights.chunks_exact(classes).enumerate() {
            line[..classes].copy_from_slice(weights);
            write_row(&mut packed, dim, row, &line);
        }
        Self {
            scaling,
            intercepts: intercepts.to_vec(),
            packed,
            columns,
        }
    }

    fn dim(&self) -> usize {
        self.scaling.means.len()
    }

    /// The logits of `rows`, at most [`ROWS`] of them.
    pub fn write(&self, rows: &[f32], work: &mut Work) {
        let dim = self.dim();
        self.scaling.write(rows, &mut work.inputs);
        let starts = starts(rows.len() / dim, dim);
        let panels = Panels {
            depth: dim,
            columns: self.columns,
            values: &self.packed,
        };
        let inputs = Rows::plain(&work.inputs, &starts, dim);
        multiply(inputs, panels, &mut work.outputs, self.columns);
        let outputs = work.outputs.chunks_exact_mut(self.columns);
        for row in outputs.take(starts.len()) {
            for (logit, intercept) in row.iter_mut().zip(&self.intercepts) {
                *logit += intercept;
            }
        }
    }
}

/// Where `count` rows of `length` start.
fn starts(count: usize, length: usize) -> Vec<u32> {
    (0..count).map(|row| (row * length) as u32).collect()
}

/// The mean loss, and what the weights cost.
pub(super) struct Objective<'a> {
    pub train: Labelled<'a>,
    pub classes: usize,
    pub scaling: &'a Scaling,
    /// Cost of a weight's square, twice.
    pub charge: f64,
}

impl Objective<'_> {
    /// Loss, and gradient in the layout of `values`: weights `[dim, classes]`, then intercepts.
    pub fn loss_and_gradient(&self, values: &[f32]) -> (f64, Vec<f64>) {
        let logits = Logits::new(values, self.scaling, self.classes);
        let images = self.train.labels.len();
        let chunks = images.div_ceil(ROWS);
        let sums: Vec<(f64, Vec<f64>)> = (0..GROUPS)
            .into_par_iter()
            .map(|group| {
                let mine = group * chunks / GROUPS..(group + 1) * chunks / GROUPS;
                self.sum(&logits, mine.start * ROWS..images.min(mine.end * ROWS))
            })
            .collect();
        let (mut loss, mut gradient) = (0.0, vec![0.0; values.len()]);
        for (part, parts) in sums {
            loss += part;
            for (sum, part) in gradient.iter_mut().zip(parts) {
                *sum += part;
            }
        }
        loss /= images as f64;
        gradient.iter_mut().for_each(|sum| *sum /= images as f64);
        let weights = logits.dim() * self.classes;
        for (sum, weight) in gradient.iter_mut().zip(values).take(weights) {
            let weight = f64::from(*weight);
            loss += 0.5 * self.charge * weight * weight;
            *sum += self.charge * weight;
        }
        (loss, gradient)
    }

    /// Sums of the loss and its gradient over the images `rows`.
    fn sum(&self, logits: &Logits<'_>, rows: Range<usize>) -> (f64, Vec<f64>) {
        let (dim, classes, columns) = (logits.dim(), self.classes, logits.columns);
        let mut work = Work::new(logits);
        let mut product = vec![0.0; dim * columns];
        let (mut loss, mut gradient) = (0.0, vec![0.0; (dim + 1) * classes]);
        for start in rows.clone().step_by(ROWS) {
            let end = rows.end.min(start + ROWS);
            let features = &self.train.features.features[start * dim..end * dim];
            logits.write(features, &mut work);
            let outputs = work.outputs.chunks_exact_mut(columns);
            for (row, label) in outputs.zip(&self.train.labels[start..end]) {
                loss += to_errors(row, classes, *label as usize);
                let sums = gradient[dim * classes..].iter_mut();
                sums.zip(&*row)
                    .for_each(|(sum, error)| *sum += f64::from(*error));
            }
            let (ins, outs) = (starts(end - start, dim), starts(end - start, columns));
            let inputs = Rows::plain(&work.inputs, &ins, dim);
            let errors = Rows::plain(&work.outputs, &outs, columns);
            multiply_transposed(inputs, errors, &mut product, true);
            let sums = gradient.chunks_exact_mut(classes);
            for (sums, parts) in sums.zip(product.chunks_exact(columns)) {
                for (sum, part) in sums.iter_mut().zip(parts) {
                    *sum += f64::from(*part);
                }
            }
        }
        (loss, gradient)
    }
}

/// Turns the logits of an image into probabilities less the truth; gives the cross-entropy.
fn to_errors(row: &mut [f32], classes: usize, label: usize) -> f64 {
    let (logits, padding) = row.split_at_mut(classes);
    padding.fill(0.0);
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |logit: f32| f64::from(logit - most).exp();
    let sum: f64 = logits.iter().map(|logit| exponential(*logit)).sum();
    let loss = sum.ln() - f64::from(logits[label] - most);
    for logit in logits.iter_mut() {
        *logit = (exponential(*logit) / sum) as f32;
    }
    logits[label] -= 1.0;
    loss
}
