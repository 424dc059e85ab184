//! Multinomial logistic regression on frozen features, solved to its end by L-BFGS: the linear probe
//! whose result depends on no learning rate, schedule or order of images.
//!
//! It is that of scikit-learn's `StandardScaler` and `LogisticRegression`: the least
//! `sum of cross-entropies + |W|^2 / (2 C)`, intercepts free of charge, on features brought to mean 0
//! and deviation 1 over the training images. With two classes scikit-learn charges for one vector of
//! weights where there are two here, which is the same as half of `C`; so it is done here too.
//!
//! The products are those of the kernels, on the CPU, in f32; losses and gradients are summed in f64
//! over fixed groups of rows, in their order, so that a result does not depend on the number of
//! threads.

mod objective;

use burn::module::{Module, Param};
use burn::optim::{GradientsParams, LBFGSConfig, LineSearchFn};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::objective::Scaling;
use self::objective::{Logits, Objective, ROWS, Work};
use super::labels::Labelled;
use crate::embed::FeatureBank;
use crate::error::{ConfigError, LearnError};

/// Steps that L-BFGS remembers, as in scikit-learn.
const HISTORY: usize = 10;

/// Logistic regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogisticConfig {
    /// C, how little large weights cost, above 0.
    pub c: f64,
    /// Steps of the solver, at most; at least 1.
    pub iterations: usize,
    /// The solver stops when no part of the gradient of the mean loss is larger; above 0.
    pub tolerance: f64,
    /// Whether features are brought to mean 0 and deviation 1 over the training images.
    pub standardise: bool,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        Self {
            c: 1.0,
            iterations: 1000,
            tolerance: 1e-4,
            standardise: true,
        }
    }
}

impl LogisticConfig {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_above_zero("probes.method.c", self.c)?;
        ConfigError::check_above_zero("probes.method.tolerance", self.tolerance)?;
        if self.iterations == 0 {
            let key = "probes.method.iterations";
            return Err(ConfigError::range(key, "at least 1", self.iterations));
        }
        Ok(())
    }

    /// Its name in tables and logs, such as `logistic C=1`.
    pub fn label(&self) -> String {
        format!("logistic C={}", self.c)
    }
}

/// Fitted logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticModel {
    /// `[dim, classes]`, for features that are standardised.
    pub weights: Vec<f32>,
    /// `[classes]`.
    pub intercepts: Vec<f32>,
    /// What features are standardised with.
    pub scaling: Scaling,
    /// Number of classes.
    pub classes: usize,
    /// Times that the loss and its gradient were computed.
    pub evaluations: usize,
    /// Whether the gradient came below the tolerance.
    pub converged: bool,
}

/// The share of the `test` images whose class the regression on the `train` images misses.
///
/// # Errors
/// As [`fit`].
pub fn error_share(
    config: &LogisticConfig,
    train: Labelled<'_>,
    test: Labelled<'_>,
    classes: usize,
    progress: &mut dyn FnMut(f32),
) -> Result<f64, LearnError> {
    let model = fit(config, train, classes, progress)?;
    let predictions = model.predict(test.features)?;
    let pairs = predictions.iter().zip(test.labels);
    let wrong = pairs.filter(|(predicted, label)| predicted != label);
    Ok(wrong.count() as f64 / test.labels.len().max(1) as f64)
}

/// Fits the regression of `train`, whose labels are below `classes`. `progress` is called with the
/// share of the allowed steps that is done.
///
/// Beside the features, it has 8 gradients in f64 and, for every thread, 256 rows in use.
///
/// # Errors
/// When there is no image, fewer than two classes, or a label that is none of them.
pub fn fit(
    config: &LogisticConfig,
    train: Labelled<'_>,
    classes: usize,
    progress: &mut dyn FnMut(f32),
) -> Result<LogisticModel, LearnError> {
    config.validate()?;
    check(train, classes)?;
    let bank = train.features;
    let scaling = match config.standardise {
        true => Scaling::of(bank),
        false => Scaling::none(bank.dim),
    };
    let charged = if classes == 2 { 2.0 } else { 1.0 };
    let objective = Objective {
        train,
        classes,
        scaling: &scaling,
        charge: charged / (config.c * bank.len() as f64),
    };
    let start = vec![0.0; (bank.dim + 1) * classes];
    let solution = minimise(config, start, &objective, progress);
    let (weights, intercepts) = solution.values.split_at(bank.dim * classes);
    Ok(LogisticModel {
        weights: weights.to_vec(),
        intercepts: intercepts.to_vec(),
        classes,
        evaluations: solution.evaluations,
        converged: solution.converged,
        scaling,
    })
}

fn check(train: Labelled<'_>, classes: usize) -> Result<(), LearnError> {
    let fail = |message: String| Err(LearnError::Probe { message });
    let images = train.features.len();
    if images == 0 || images != train.labels.len() {
        return fail(format!(
            "logistic regression needs a label for every image, and there are {} for {images}",
            train.labels.len()
        ));
    }
    if classes < 2 {
        return fail("logistic regression needs at least 2 classes".into());
    }
    match train
        .labels
        .iter()
        .find(|label| **label as usize >= classes)
    {
        Some(label) => fail(format!("label {label} is none of {classes} classes")),
        None => Ok(()),
    }
}

impl LogisticModel {
    /// The likeliest class of every image of `bank`; of equally likely ones the lowest.
    ///
    /// # Errors
    /// When the features are not as many numbers as those of the training images.
    pub fn predict(&self, bank: &FeatureBank) -> Result<Vec<u32>, LearnError> {
        let dim = self.scaling.means.len();
        if bank.dim != dim {
            let message = format!(
                "a regression on features of {dim} numbers cannot judge features of {}",
                bank.dim
            );
            return Err(LearnError::Probe { message });
        }
        let values = [&self.weights[..], &self.intercepts[..]].concat();
        let logits = Logits::new(&values, &self.scaling, self.classes);
        let chunks = bank.features.par_chunks(ROWS * dim);
        let predict = |chunk: &[f32]| {
            let mut work = Work::new(&logits);
            logits.write(chunk, &mut work);
            let rows = work.outputs.chunks_exact(logits.columns);
            let rows = rows.take(chunk.len() / dim);
            rows.map(|row| first_largest(&row[..self.classes]))
                .collect::<Vec<u32>>()
        };
        let predictions: Vec<Vec<u32>> = chunks.map(predict).collect();
        Ok(predictions.concat())
    }
}

fn first_largest(values: &[f32]) -> u32 {
    let mut best = 0;
    for (place, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = place;
        }
    }
    best as u32
}

/// What the solver holds: all weights and intercepts in one line.
#[derive(Module, Debug)]
struct Unknowns {
    values: Param<Tensor<1>>,
}

/// Where the solver ended.
struct Solution {
    values: Vec<f32>,
    evaluations: usize,
    converged: bool,
}

/// The least value of `objective` from `start` on, by Burn's L-BFGS with a line search (strong Wolfe
/// conditions) on the CPU. Its own sums are in one order up to 4 million unknowns.
fn minimise(
    config: &LogisticConfig,
    start: Vec<f32>,
    objective: &Objective<'_>,
    progress: &mut dyn FnMut(f32),
) -> Solution {
    let device = Device::flex();
    let count = start.len();
    // The solver asks for a parameter on autodiff; nothing is differentiated.
    let tracked = device.clone().autodiff();
    let unknowns = Unknowns {
        values: Param::from_tensor(Tensor::from_data(TensorData::new(start, [count]), &tracked)),
    };
    let most = 2 * config.iterations + 10;
    let mut solver = LBFGSConfig::new()
        .with_max_iter(config.iterations)
        .with_max_eval(Some(most))
        .with_history_size(HISTORY)
        .with_tolerance_grad(config.tolerance)
        .with_tolerance_change(1e-12)
        .with_line_search_fn(LineSearchFn::StrongWolfe)
        .init();
    let mut evaluations = 0;
    let (unknowns, _) = solver.step(1.0, unknowns, |unknowns: Unknowns| {
        let id = unknowns.values.id;
        let (loss, gradient) = objective.loss_and_gradient(&values_of(unknowns));
        evaluations += 1;
        progress((evaluations as f32 / config.iterations as f32).min(1.0));
        let gradient: Vec<f32> = gradient.into_iter().map(|part| part as f32).collect();
        let gradient = Tensor::<1>::from_data(TensorData::new(gradient, [count]), &device);
        let mut gradients = GradientsParams::new();
        gradients.register(id, gradient);
        (loss, gradients)
    });
    let values = values_of(unknowns);
    let (_, gradient) = objective.loss_and_gradient(&values);
    let largest = gradient
        .iter()
        .fold(0.0_f64, |most, part| most.max(part.abs()));
    Solution {
        values,
        evaluations: evaluations + 1,
        converged: largest <= config.tolerance,
    }
}

fn values_of(unknowns: Unknowns) -> Vec<f32> {
    crate::state::host_values(unknowns.values.val())
}
