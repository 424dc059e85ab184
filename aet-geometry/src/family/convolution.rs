//! Convolution with a random kernel, its weights regressed.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::filter::Filter;
use crate::transformation::{Step, Transformation};

pub(super) const NAME: &str = "convolution";

/// Every channel is convolved with a square kernel drawn at random: the identity plus `strength` times
/// uniform noise of mean 0 and length 1, so that an area of one colour stays as it is.
///
/// The target is the noise, row by row, times the side of the kernel: each component has a deviation
/// of 1. What a decoder answers is read less its mean, so that every answer keeps areas of one colour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Convolution {
    /// Side of the kernel, in pixels, an odd number: 5.
    pub side_px: usize,
    /// How much noise there is: 1.
    pub strength: f64,
}

impl Default for Convolution {
    fn default() -> Self {
        Self {
            side_px: 5,
            strength: 1.0,
        }
    }
}

/// The weights of a kernel as a linear function of a target: the identity plus `scale` times what the
/// target has over its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelBasis {
    /// Side of the kernel, in pixels.
    pub side_px: usize,
    /// What a weight has for a unit of its component.
    pub scale: f64,
}

impl Convolution {
    fn kernel(&self, target: &[f64]) -> Filter {
        let basis = self.basis();
        let count = target.len();
        let mean = target.iter().sum::<f64>() / count as f64;
        let weight = |(place, value): (usize, &f64)| {
            let identity = if place == count / 2 { 1.0 } else { 0.0 };
            (identity + basis.scale * (value - mean)) as f32
        };
        let weights = target.iter().enumerate().map(weight).collect();
        Filter::new(basis.side_px, weights)
    }

    /// Checks the ranges for `family`, which draws the same kernels.
    pub(super) fn validate_as(&self, family: &'static str) -> Result<(), FamilyError> {
        if !(3..=31).contains(&self.side_px) || self.side_px.is_multiple_of(2) {
            return Err(FamilyError::Range {
                family,
                field: "side_px",
                allowed: "an odd number from 3 to 31".into(),
                found: self.side_px.to_string(),
            });
        }
        check::within(family, "strength", self.strength, [0.0, 10.0])
    }

    fn basis(&self) -> KernelBasis {
        let side_px = self.side_px.clamp(1, 63) | 1;
        KernelBasis {
            side_px,
            scale: self.strength / side_px as f64,
        }
    }
}

impl TransformationFamily for Convolution {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        let side = self.basis().side_px;
        let rows = (1..=side).flat_map(|row| (1..=side).map(move |column| (row, column)));
        rows.map(|(row, column)| format!("weight_{row}_{column}"))
            .collect()
    }

    fn moves(&self) -> bool {
        false
    }

    fn convolution(&self) -> Option<KernelBasis> {
        Some(self.basis())
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, _height: usize, _width: usize) -> Sampled {
        let side = self.basis().side_px;
        let noise: Vec<f64> = (0..side * side)
            .map(|_| draw::uniform(rng, -1.0, 1.0))
            .collect();
        let mean = noise.iter().sum::<f64>() / noise.len() as f64;
        let length = noise.iter().map(|v| (v - mean).powi(2)).sum::<f64>().sqrt();
        let unit = side as f64 / length.max(1e-9);
        let target: Vec<f64> = noise.iter().map(|value| unit * (value - mean)).collect();
        Sampled {
            transformation: Step::Filter(self.kernel(&target)).into(),
            target: target.iter().map(|value| *value as f32).collect(),
        }
    }

    fn transformation(
        &self,
        target: &[f32],
        _height: usize,
        _width: usize,
    ) -> Result<Transformation, FamilyError> {
        let target = check::target(self, target)?;
        Ok(Step::Filter(self.kernel(&target)).into())
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![0.0; self.target_len()])
    }

    fn validate(&self) -> Result<(), FamilyError> {
        self.validate_as(NAME)
    }
}
