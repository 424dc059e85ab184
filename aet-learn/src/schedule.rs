//! The learning rate over a run.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// A learning-rate schedule; the tag is its name in TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The same rate throughout.
    Constant {
        /// The learning rate.
        rate: f64,
    },
    /// A rate that is multiplied at milestones, then falls linearly to 0 (AET's released CIFAR-10
    /// schedule).
    Steps {
        /// The learning rate of the first epoch.
        rate: f64,
        /// Epochs (counted from 0) from which the rate is `rate` times the factor of that place.
        milestones: Vec<u64>,
        /// The factors, one for every milestone.
        factors: Vec<f64>,
        /// Epoch from which the rate falls linearly, reaching 0 after the last epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        linear_from: Option<u64>,
    },
    /// A rate that is multiplied by the same factor after every epoch.
    Exponential {
        /// The learning rate of the first epoch.
        rate: f64,
        /// What it is multiplied by after an epoch, above 0 and at most 1.
        factor: f64,
    },
    /// Half a cosine from the rate to 0, after a linear warm-up.
    Cosine {
        /// The highest learning rate.
        rate: f64,
        /// Share of the run spent rising from 0.
        #[serde(default)]
        warmup: f64,
    },
    /// A linear rise and a linear fall (Smith and Topin 2018), for short runs.
    OneCycle {
        /// The highest learning rate.
        rate: f64,
        /// Share of the run after which the highest rate is reached.
        #[serde(default = "default_peak")]
        peak: f64,
        /// First and last rate, as a share of the highest.
        #[serde(default = "default_ends")]
        ends: [f64; 2],
    },
}

/// Every schedule, with a line on each.
pub const SCHEDULES: &[(&str, &str)] = &[
    ("constant", "the same learning rate throughout"),
    (
        "steps",
        "multiplied at milestones, then linearly to 0: AET's released CIFAR-10 schedule",
    ),
    ("exponential", "multiplied by a factor after every epoch"),
    ("cosine", "half a cosine to 0 after a warm-up"),
    ("one-cycle", "a linear rise and fall, for short runs"),
];

fn default_peak() -> f64 {
    0.25
}

fn default_ends() -> [f64; 2] {
    [0.1, 0.0]
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::OneCycle {
            rate: 0.1,
            peak: default_peak(),
            ends: default_ends(),
        }
    }
}

impl ScheduleConfig {
    /// The highest rate.
    pub fn peak_rate(&self) -> f64 {
        match self {
            Self::Constant { rate }
            | Self::Steps { rate, .. }
            | Self::Exponential { rate, .. }
            | Self::Cosine { rate, .. }
            | Self::OneCycle { rate, .. } => *rate,
        }
    }

    /// Refuses rates and milestones that cannot be, for a run of `epochs`.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self, epochs: u64) -> Result<(), ConfigError> {
        let rate = self.peak_rate();
        ConfigError::check_above_zero("schedule.rate", rate)?;
        match self {
            Self::Constant { .. } => Ok(()),
            Self::Exponential { factor, .. } => {
                if *factor > 0.0 && *factor <= 1.0 {
                    return Ok(());
                }
                let range = "above 0 and at most 1";
                Err(ConfigError::range("schedule.factor", range, *factor))
            }
            Self::Cosine { warmup, .. } => share("schedule.warmup", *warmup),
            Self::OneCycle { peak, ends, .. } => {
                share("schedule.peak", *peak)?;
                ends.iter().try_for_each(|end| share("schedule.ends", *end))
            }
            Self::Steps {
                milestones,
                factors,
                linear_from,
                ..
            } => validate_steps(milestones, factors, linear_from.map(|from| (from, epochs))),
        }
    }

    /// The rate of step `step` of a run of `epochs` with `steps_per_epoch` steps each. Schedules by
    /// epoch keep their rate within an epoch, except the linear tail, which falls every epoch as
    /// released.
    pub fn rate(&self, step: u64, steps_per_epoch: u64, epochs: u64) -> f64 {
        let epoch = step / steps_per_epoch.max(1);
        let progress = step as f64 / (steps_per_epoch * epochs).max(1) as f64;
        match self {
            Self::Constant { rate } => *rate,
            Self::Steps {
                rate,
                milestones,
                factors,
                linear_from,
            } => {
                let at = |epoch: u64| {
                    let passed = milestones.iter().filter(|m| **m <= epoch).count();
                    rate * passed.checked_sub(1).map_or(1.0, |last| factors[last])
                };
                match linear_from {
                    Some(from) if epoch >= *from => {
                        at(*from) * (epochs - epoch.min(epochs)) as f64 / (epochs - from) as f64
                    }
                    _ => at(epoch),
                }
            }
            Self::Exponential { rate, factor } => rate * factor.powf(epoch as f64),
            Self::Cosine { rate, warmup } => {
                if progress < *warmup {
                    return rate * progress / warmup;
                }
                let fall = (progress - warmup) / (1.0 - warmup).max(f64::MIN_POSITIVE);
                rate * 0.5 * (1.0 + (PI * fall).cos())
            }
            Self::OneCycle { rate, peak, ends } => {
                if progress < *peak {
                    return rate * (ends[0] + (1.0 - ends[0]) * progress / peak);
                }
                let fall = (progress - peak) / (1.0 - peak).max(f64::MIN_POSITIVE);
                rate * (1.0 + (ends[1] - 1.0) * fall)
            }
        }
    }
}

/// Refuses a share outside [0, 1].
fn share(key: &'static str, value: f64) -> Result<(), ConfigError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::range(key, "0 to 1", value))
}

fn validate_steps(
    milestones: &[u64],
    factors: &[f64],
    tail: Option<(u64, u64)>,
) -> Result<(), ConfigError> {
    if milestones.len() != factors.len() {
        let range = "one for every milestone";
        return Err(ConfigError::range(
            "schedule.factors",
            range,
            format!("{factors:?}"),
        ));
    }
    if milestones.windows(2).any(|pair| pair[0] >= pair[1]) {
        let range = "epochs in rising order";
        return Err(ConfigError::range(
            "schedule.milestones",
            range,
            format!("{milestones:?}"),
        ));
    }
    match tail {
        Some((from, epochs)) if from >= epochs => Err(ConfigError::range(
            "schedule.linear_from",
            "before the last epoch (training.epochs)",
            from,
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released() -> ScheduleConfig {
        ScheduleConfig::Steps {
            rate: 0.1,
            milestones: vec![240, 480, 640, 800],
            factors: vec![0.2, 0.04, 0.008, 0.0016],
            linear_from: Some(1000),
        }
    }

    #[test]
    fn released_schedule_has_its_published_rates() {
        let rate = |epoch: u64| released().rate(epoch * 97 + 3, 97, 1500);
        for (epoch, expected) in [
            (0, 0.1),
            (239, 0.1),
            (240, 0.02),
            (480, 0.004),
            (640, 0.0008),
            (999, 0.00016),
            (1000, 0.00016),
            (1250, 0.00008),
            (1499, 0.00016 / 500.0),
        ] {
            assert!((rate(epoch) - expected).abs() < 1e-12, "epoch {epoch}");
        }
    }

    #[test]
    fn one_cycle_rises_to_its_peak_and_falls_to_its_end() {
        let schedule = ScheduleConfig::default();
        let rates: Vec<f64> = (0..=100).map(|s| schedule.rate(s, 10, 10)).collect();
        assert!((rates[0] - 0.01).abs() < 1e-12);
        assert!((rates[25] - 0.1).abs() < 1e-12);
        assert!(rates[..25].is_sorted());
        assert!(rates[25..].is_sorted_by(|a, b| a > b));
        assert!(rates[100].abs() < 1e-12);
    }

    #[test]
    fn cosine_warms_up_and_reaches_zero() {
        let schedule = ScheduleConfig::Cosine {
            rate: 2.0,
            warmup: 0.1,
        };
        assert_eq!(schedule.rate(0, 10, 10), 0.0);
        assert!((schedule.rate(10, 10, 10) - 2.0).abs() < 1e-12);
        assert!((schedule.rate(55, 10, 10) - 1.0).abs() < 1e-9);
        assert!(schedule.rate(100, 10, 10).abs() < 1e-12);
    }

    #[test]
    fn impossible_milestones_are_refused() {
        let schedule = |milestones: Vec<u64>, factors: Vec<f64>, linear_from| {
            ScheduleConfig::Steps {
                rate: 0.1,
                milestones,
                factors,
                linear_from,
            }
            .validate(100)
        };
        assert!(schedule(vec![10, 20], vec![0.2, 0.04], Some(50)).is_ok());
        assert!(schedule(vec![10, 20], vec![0.2], None).is_err());
        assert!(schedule(vec![20, 10], vec![0.2, 0.04], None).is_err());
        assert!(schedule(vec![10], vec![0.2], Some(100)).is_err());
    }
}
