//! How much of each component of the target a model tells on images that it did not learn from, and
//! where it answers with a distribution, how well its variances are calibrated.

use std::sync::Arc;

use aet_data::{HostBatch, ImageSet, hold_out};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::config::Experiment;
use crate::error::LearnError;
use crate::evaluate::{evaluation_batches, judged};
use crate::model::Model;
use crate::state::host_values;

/// Images evaluated at a time.
const BATCH_SIZE: usize = 250;
/// Share of the images that scales of standard deviations are fitted on; they are judged on the rest.
const FITTED_SHARE: f64 = 0.5;

/// Half-widths, in standard deviations, of the Gaussian intervals that hold 50, 90 and 95% of all
/// values.
pub(crate) const INTERVALS: [f64; 3] = [
    0.674_489_750_196_081_7,
    1.644_853_626_951_472_2,
    1.959_963_984_540_054,
];

/// What a model tells of the targets of some images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// How many images.
    pub images: usize,
    /// Component by component.
    pub components: Vec<Recovered>,
    /// Of its variances, where it answers with some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// How much of one component is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovered {
    /// The component.
    pub name: String,
    /// R^2: 1 less the mean squared error over the variance of the component. 1 is all of it, 0 as
    /// much as the mean tells, and less than 0 less than that.
    pub r2: f64,
}

/// How well predicted standard deviations fit the errors, as predicted and with the scale that makes
/// them most likely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Images that the scales were fitted on.
    pub fitted_on: usize,
    /// Other images, on which coverage was measured.
    pub measured_on: usize,
    /// For each component, what its predicted standard deviation is to be multiplied by.
    pub scales: Vec<f64>,
    /// Shares of errors inside the intervals that should hold 50, 90 and 95% of them, as predicted.
    pub predicted: [f64; 3],
    /// The same with scaled standard deviations.
    pub scaled: [f64; 3],
}

/// What `model`, frozen, tells of the targets of `images`, by the statistics that
/// `evaluation.statistics` names; none where its objective regresses no numbers.
///
/// # Errors
/// When the images cannot be loaded, or the task cannot be set on them.
pub fn recovery(
    model: &Model,
    experiment: &Experiment,
    images: &Arc<ImageSet>,
) -> Result<Option<Recovery>, LearnError> {
    let names = experiment.target_names();
    if names.is_empty() || images.is_empty() {
        return Ok(None);
    }
    let model = judged(model, experiment, [images.height(), images.width()])?;
    let mut answers = Answers::default();
    for batch in evaluation_batches(experiment, images, BATCH_SIZE)? {
        let batch = batch?;
        answers.add(&model, batch);
    }
    let length = names.len();
    let r2 = answers.r2(length);
    let components = names.into_iter().zip(r2);
    Ok(Some(Recovery {
        images: answers.targets.len() / length,
        components: components
            .map(|(name, r2)| Recovered { name, r2 })
            .collect(),
        calibration: answers.calibration(length, experiment.seed),
    }))
}

/// Targets and answers, image by image, `[images, components]` each.
#[derive(Default)]
struct Answers {
    targets: Vec<f32>,
    means: Vec<f32>,
    /// Empty where no variances are predicted.
    log_variances: Vec<f32>,
}

impl Answers {
    fn add(&mut self, model: &Model, batch: HostBatch) {
        self.targets.extend(&batch.targets);
        let batch = Batch::from_host(batch, &model.encoder.device());
        match model.objective.distribution(&model.encoder, &batch) {
            Some([mean, log_variance]) => {
                self.means.extend(host_values(mean));
                self.log_variances.extend(host_values(log_variance));
            }
            None => {
                let answer = model.objective.expect(&model.encoder, &batch);
                self.means.extend(host_values(answer));
            }
        }
    }

    /// R^2 of each component.
    fn r2(&self, length: usize) -> Vec<f64> {
        let images = (self.targets.len() / length) as f64;
        (0..length)
            .map(|component| {
                let of = |values: &[f32]| -> Vec<f64> {
                    let all = values.iter().skip(component).step_by(length);
                    all.map(|value| f64::from(*value)).collect()
                };
                let (targets, answers) = (of(&self.targets), of(&self.means));
                let mean = targets.iter().sum::<f64>() / images;
                let total: f64 = targets.iter().map(|t| (t - mean).powi(2)).sum();
                let left = targets.iter().zip(answers).map(|(t, a)| (t - a).powi(2));
                1.0 - left.sum::<f64>() / total.max(f64::MIN_POSITIVE)
            })
            .collect()
    }

    /// Scales fitted on one half of the images and judged on the other.
    fn calibration(&self, length: usize, seed: u64) -> Option<Calibration> {
        if self.log_variances.is_empty() {
            return None;
        }
        // Squared errors over predicted variances.
        let squares: Vec<f64> = (self.targets.iter().zip(&self.means))
            .zip(&self.log_variances)
            .map(|((target, mean), log)| {
                f64::from(target - mean).powi(2) * (-f64::from(*log)).exp()
            })
            .collect();
        let (measured, fitted) = hold_out(squares.len() / length, FITTED_SHARE, seed);
        if measured.is_empty() || fitted.is_empty() {
            return None;
        }
        let scales: Vec<f64> = (0..length)
            .map(|component| {
                let of = fitted
                    .iter()
                    .map(|image| squares[image * length + component]);
                (of.sum::<f64>() / fitted.len() as f64).sqrt()
            })
            .collect();
        let coverage = |scales: &dyn Fn(usize) -> f64| {
            INTERVALS.map(|half_width| {
                let inside = measured.iter().flat_map(|image| {
                    let row = &squares[image * length..(image + 1) * length];
                    let inside = row.iter().enumerate();
                    inside.map(|(at, square)| *square < (half_width * scales(at)).powi(2))
                });
                let count = inside.filter(|inside| *inside).count();
                count as f64 / (measured.len() * length) as f64
            })
        };
        Some(Calibration {
            fitted_on: fitted.len(),
            measured_on: measured.len(),
            predicted: coverage(&|_| 1.0),
            scaled: coverage(&|component| scales[component]),
            scales,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aet_data::random::{Purpose, fill_normal, generator};

    use super::*;

    /// Answers to `images` targets of 2 components, the first told with an error of 0.5, the second
    /// not at all, with standard deviations predicted as `predicted`.
    fn answers(images: usize, predicted: [f32; 2]) -> Answers {
        let mut rng = generator(3, 0, 0, Purpose::Noise);
        let mut targets = vec![0.0; 2 * images];
        fill_normal(&mut rng, &mut targets);
        let mut errors = vec![0.0; 2 * images];
        fill_normal(&mut rng, &mut errors);
        let pairs = targets.iter().zip(&errors).enumerate();
        let means = pairs.map(|(at, (target, error))| match at % 2 {
            0 => target + 0.5 * error,
            _ => 0.0,
        });
        Answers {
            means: means.collect(),
            log_variances: (0..2 * images)
                .map(|at| 2.0 * predicted[at % 2].ln())
                .collect(),
            targets,
        }
    }

    #[test]
    fn what_is_told_of_each_component_is_its_share_of_the_variance() {
        let r2 = answers(20_000, [0.5, 1.0]).r2(2);
        assert!((r2[0] - 0.75).abs() < 0.02, "{r2:?}");
        assert!(r2[1].abs() < 0.02, "{r2:?}");
    }

    #[test]
    fn scales_of_wrong_deviations_are_found_and_mend_the_coverage() {
        let calibration = answers(20_000, [1.0, 0.25]).calibration(2, 1).unwrap();
        assert_eq!(calibration.fitted_on + calibration.measured_on, 20_000);
        assert!((calibration.scales[0] - 0.5).abs() < 0.02);
        assert!((calibration.scales[1] - 4.0).abs() < 0.1);
        for (share, expected) in calibration.scaled.iter().zip([0.5, 0.9, 0.95]) {
            assert!((share - expected).abs() < 0.01, "{calibration:?}");
        }
        assert!((calibration.predicted[1] - 0.9).abs() > 0.05);
    }

    #[test]
    fn right_deviations_are_left_as_they_are() {
        let calibration = answers(20_000, [0.5, 1.0]).calibration(2, 1).unwrap();
        for scale in &calibration.scales {
            assert!((scale - 1.0).abs() < 0.03, "{calibration:?}");
        }
        assert!((calibration.predicted[0] - 0.5).abs() < 0.01);
    }
}
