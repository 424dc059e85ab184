//! How a probe's head is trained: stochastic gradient descent with Nesterov momentum 0.9 and a rate
//! that falls in steps.

use burn::optim::ModuleOptimizer;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::optim::SgdConfig;
use crate::schedule::ScheduleConfig;

/// How a head is trained: stochastic gradient descent with Nesterov momentum 0.9.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeadTraining {
    /// Epochs, at least 1; the published CIFAR-10 probes have 200.
    pub epochs: u64,
    /// Images in a batch, at least 2.
    pub batch_size: usize,
    /// Learning rate at the start, above 0.
    pub rate: f64,
    /// Shares of the epochs after each of which the rate is multiplied by `factor`, rising, from 0
    /// to 1.
    pub milestones: Vec<f64>,
    /// What the rate is multiplied by at each milestone, above 0 and at most 1.
    pub factor: f64,
    /// Pull of every weight towards 0, at least 0.
    pub weight_decay: f64,
    /// Whether training images are augmented, and so embedded again, in every epoch, as published;
    /// without it their features are read once.
    pub augment: bool,
    /// Images in an epoch, for few labels: the labelled images are gone through as often as comes
    /// nearest to it, at least once. Absent, an epoch is once through them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_epoch: Option<usize>,
}

impl Default for HeadTraining {
    /// The published recipe, with 40 epochs in place of 200 and without augmentation.
    fn default() -> Self {
        Self {
            epochs: 40,
            batch_size: 128,
            rate: 0.1,
            milestones: vec![0.5, 0.75],
            factor: 0.1,
            weight_decay: 5e-4,
            augment: false,
            images_per_epoch: None,
        }
    }
}

impl HeadTraining {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |key, range, value: String| Err(ConfigError::range(key, range, value));
        if self.epochs == 0 {
            return refuse("probes.training.epochs", "at least 1", "0".into());
        }
        if self.batch_size < 2 {
            let range = "at least 2 (batch normalisation needs more than one image)";
            return refuse(
                "probes.training.batch_size",
                range,
                self.batch_size.to_string(),
            );
        }
        ConfigError::check_above_zero("probes.training.rate", self.rate)?;
        let rising = self.milestones.is_sorted_by(|a, b| a < b);
        if !(rising && self.milestones.iter().all(|m| (0.0..=1.0).contains(m))) {
            return refuse(
                "probes.training.milestones",
                "rising shares of the epochs from 0 to 1",
                format!("{:?}", self.milestones),
            );
        }
        if !(self.factor > 0.0 && self.factor <= 1.0) {
            let range = "above 0 and at most 1";
            return refuse("probes.training.factor", range, self.factor.to_string());
        }
        ConfigError::check_at_least_zero("probes.training.weight_decay", self.weight_decay)?;
        if self.images_per_epoch == Some(0) {
            return refuse("probes.training.images_per_epoch", "at least 1", "0".into());
        }
        Ok(())
    }

    /// Times that `images` labelled images are gone through in an epoch.
    pub fn passes(&self, images: usize) -> u64 {
        let wanted = self.images_per_epoch.unwrap_or(images);
        ((wanted as f64 / images.max(1) as f64).round() as u64).max(1)
    }

    /// The learning rate over the epochs.
    pub(super) fn schedule(&self) -> ScheduleConfig {
        let epoch = |share: &f64| (share * self.epochs as f64).ceil() as u64;
        ScheduleConfig::Steps {
            rate: self.rate,
            milestones: self.milestones.iter().map(epoch).collect(),
            factors: (1..=self.milestones.len() as i32)
                .map(|passed| self.factor.powi(passed))
                .collect(),
            linear_from: None,
        }
    }

    pub(super) fn optimizer(&self) -> ModuleOptimizer {
        SgdConfig {
            weight_decay: self.weight_decay,
            ..SgdConfig::default()
        }
        .init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_epochs_have_the_published_rates() {
        let training = HeadTraining {
            epochs: 200,
            ..HeadTraining::default()
        };
        let rate = |epoch: u64| training.schedule().rate(epoch * 391 + 5, 391, 200);
        for (epoch, expected) in [(0, 0.1), (99, 0.1), (100, 0.01), (149, 0.01), (150, 0.001)] {
            assert!((rate(epoch) - expected).abs() < 1e-12, "epoch {epoch}");
        }
    }

    #[test]
    fn a_single_epoch_keeps_its_rate() {
        let training = HeadTraining {
            epochs: 1,
            ..HeadTraining::default()
        };
        assert_eq!(training.schedule().rate(3, 4, 1), 0.1);
    }

    #[test]
    fn few_images_are_gone_through_until_an_epoch_is_full() {
        let training = HeadTraining {
            images_per_epoch: Some(50_000),
            ..HeadTraining::default()
        };
        let passes = [200, 1_000, 40_000, 50_000, 60_000].map(|images| training.passes(images));
        assert_eq!(passes, [250, 50, 1, 1, 1]);
        assert_eq!(HeadTraining::default().passes(200), 1);
    }

    #[test]
    fn milestones_outside_the_epochs_or_falling_are_refused() {
        for milestones in [vec![0.5, 1.5], vec![0.75, 0.5], vec![-0.1], vec![f64::NAN]] {
            let training = HeadTraining {
                milestones,
                ..HeadTraining::default()
            };
            assert!(training.validate().is_err(), "{:?}", training.milestones);
        }
        assert!(HeadTraining::default().validate().is_ok());
    }
}
