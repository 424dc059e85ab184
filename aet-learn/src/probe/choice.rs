//! What a probe leaves open, to be chosen on validation images: the number of neighbours, a rate, a
//! penalty, when to stop.

use serde::{Deserialize, Serialize};

use super::{ProbeConfig, ProbeMethod};
use crate::error::ConfigError;

/// The values that are chosen among, for each key that is left open; an empty list leaves it as it
/// is. With several keys, every combination is tried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Choice {
    /// K of `knn`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<usize>,
    /// Inverse strength of the penalty of `logistic`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub c: Vec<f64>,
    /// Learning rate of what is trained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate: Vec<f64>,
    /// Weight decay of what is trained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weight_decay: Vec<f64>,
    /// The epoch whose state counts.
    pub stopping: Stopping,
}

/// The epoch whose state counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopping {
    /// The last.
    #[default]
    Last,
    /// The one after which the validation error was lowest, the first of equals.
    Validation,
}

/// One of the probes that are chosen among.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What sets it apart, such as `K=5` or `rate=0.03`; empty where there is no other.
    pub name: String,
    /// The probe with nothing left open.
    pub probe: ProbeConfig,
}

impl Choice {
    /// Refuses lists that do not fit `method`.
    ///
    /// # Errors
    /// Names the key.
    pub fn validate(&self, method: &ProbeMethod) -> Result<(), ConfigError> {
        let trained = method.is_trained();
        let knn = matches!(method, ProbeMethod::Knn(_));
        let logistic = matches!(method, ProbeMethod::Logistic(_));
        let stopping = self.stopping != Stopping::Last;
        let misplaced = [
            ("probes.choose.neighbours", !self.neighbours.is_empty(), knn),
            ("probes.choose.c", !self.c.is_empty(), logistic),
            ("probes.choose.rate", !self.rate.is_empty(), trained),
            (
                "probes.choose.weight_decay",
                !self.weight_decay.is_empty(),
                trained,
            ),
            ("probes.choose.stopping", stopping, trained),
        ];
        for (key, given, fits) in misplaced {
            if given && !fits {
                let method = method.kind();
                let range = "left out, since the probe's method has no such thing";
                return Err(ConfigError::range(key, range, method));
            }
        }
        Ok(())
    }
}

impl ProbeConfig {
    /// The probes that this one leaves open, at least one.
    pub fn candidates(&self) -> Vec<Candidate> {
        let mut open = vec![Candidate {
            name: String::new(),
            probe: Self {
                choose: Choice {
                    stopping: self.choose.stopping,
                    ..Choice::default()
                },
                ..self.clone()
            },
        }];
        open = vary(open, "K", &self.choose.neighbours, |probe, k| {
            if let ProbeMethod::Knn(knn) = &mut probe.method {
                knn.neighbours = *k;
            }
        });
        open = vary(open, "C", &self.choose.c, |probe, c| {
            if let ProbeMethod::Logistic(logistic) = &mut probe.method {
                logistic.c = *c;
            }
        });
        open = vary(open, "rate", &self.choose.rate, |probe, rate| {
            probe.training.rate = *rate;
        });
        vary(
            open,
            "weight_decay",
            &self.choose.weight_decay,
            |probe, decay| {
                probe.training.weight_decay = *decay;
            },
        )
    }

    /// Whether anything is left open, so that validation images are needed.
    pub fn chooses(&self) -> bool {
        self.choose.stopping == Stopping::Validation || self.candidates().len() > 1
    }
}

/// Each of `open` with each of `values` set by `set`; as they are where there is no value.
fn vary<T: std::fmt::Display>(
    open: Vec<Candidate>,
    key: &str,
    values: &[T],
    set: impl Fn(&mut ProbeConfig, &T),
) -> Vec<Candidate> {
    if values.is_empty() {
        return open;
    }
    let mut varied = Vec::with_capacity(open.len() * values.len());
    for candidate in open {
        for value in values {
            let mut next = candidate.clone();
            set(&mut next.probe, value);
            if values.len() > 1 {
                let space = if next.name.is_empty() { "" } else { " " };
                next.name.push_str(&format!("{space}{key}={value}"));
            }
            varied.push(next);
        }
    }
    varied
}

/// Which candidate, and which of its epochs, has the lowest of `errors`, the validation errors of
/// each candidate after each epoch; the first of equals. With [`Stopping::Last`] only last epochs
/// count. A method without epochs has one error.
pub fn pick(errors: &[Vec<f64>], stopping: Stopping) -> (usize, usize) {
    let mut best = (
        0,
        errors
            .first()
            .map_or(0, |first| first.len().saturating_sub(1)),
    );
    let mut lowest = f64::INFINITY;
    for (candidate, errors) in errors.iter().enumerate() {
        let first = match stopping {
            Stopping::Last => errors.len().saturating_sub(1),
            Stopping::Validation => 0,
        };
        for (epoch, error) in errors.iter().enumerate().skip(first) {
            if *error < lowest {
                lowest = *error;
                best = (candidate, epoch);
            }
        }
    }
    best
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::probe::FcConfig;

    #[test]
    fn every_combination_is_a_candidate_with_a_name_of_its_own() {
        let mut probe = ProbeConfig::of(ProbeMethod::Fc(FcConfig::default()));
        assert_eq!(probe.candidates().len(), 1);
        assert!(!probe.chooses());
        probe.choose.rate = vec![0.1, 0.02];
        probe.choose.weight_decay = vec![5e-4, 0.0, 0.01];
        let names: Vec<String> = probe.candidates().into_iter().map(|c| c.name).collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[1], "rate=0.1 weight_decay=0");
        assert!(probe.chooses());
        assert!(probe.candidates().iter().all(|c| !c.probe.chooses()));
    }

    #[test]
    fn the_lowest_validation_error_wins_and_the_first_of_equals() {
        let errors = [
            vec![0.5, 0.2, 0.4],
            vec![0.6, 0.3, 0.3],
            vec![0.9, 0.2, 0.3],
        ];
        assert_eq!(pick(&errors, Stopping::Last), (1, 2));
        assert_eq!(pick(&errors, Stopping::Validation), (0, 1));
        assert_eq!(pick(&[vec![0.7]], Stopping::Last), (0, 0));
    }

    #[test]
    fn stopping_alone_needs_validation_images() {
        let mut probe = ProbeConfig::of(ProbeMethod::Fc(FcConfig::default()));
        probe.choose.stopping = Stopping::Validation;
        assert!(probe.chooses());
    }

    #[test]
    fn what_a_method_does_not_have_cannot_be_chosen() {
        let mut probe = ProbeConfig::of(ProbeMethod::Fc(FcConfig::default()));
        probe.choose.neighbours = vec![1, 5];
        let message = probe.validate().unwrap_err().to_string();
        assert!(message.contains("probes.choose.neighbours"), "{message}");
    }
}
