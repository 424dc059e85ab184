//! Random texture filters.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Family, FamilyError, Sampled, TransformationFamily, check, draw, surrogate};
use crate::filter::Filter;
use crate::transformation::Step;

pub(super) const NAME: &str = "texture";

/// Every channel is filtered by a square filter drawn at random: the identity plus `strength` times
/// uniform noise of mean 0 and length 1, so that an area of one colour stays as it is. There are no
/// parameters to regress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Texture {
    /// Side of the filter, in pixels, an odd number: 5.
    pub side_px: usize,
    /// How much noise there is: 1.
    pub strength: f64,
    /// The family whose parameters the decoder answers with: projective.
    pub surrogate: Box<Family>,
}

impl Default for Texture {
    fn default() -> Self {
        Self {
            side_px: 5,
            strength: 1.0,
            surrogate: surrogate::projective(),
        }
    }
}

impl TransformationFamily for Texture {
    fn name(&self) -> &'static str {
        NAME
    }

    fn moves(&self) -> bool {
        false
    }

    fn surrogate(&self) -> Option<&Family> {
        Some(&self.surrogate)
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, _height: usize, _width: usize) -> Sampled {
        let side = self.side_px.clamp(1, 63) | 1;
        let count = side * side;
        let noise: Vec<f64> = (0..count).map(|_| draw::uniform(rng, -1.0, 1.0)).collect();
        let mean = noise.iter().sum::<f64>() / count as f64;
        let length = noise.iter().map(|v| (v - mean).powi(2)).sum::<f64>().sqrt();
        let weight = |(place, value): (usize, &f64)| {
            let identity = if place == count / 2 { 1.0 } else { 0.0 };
            (identity + self.strength * (value - mean) / length.max(1e-9)) as f32
        };
        let filter = Filter::new(side, noise.iter().enumerate().map(weight).collect());
        Sampled {
            transformation: Step::Filter(filter).into(),
            target: Vec::new(),
        }
    }

    fn validate(&self) -> Result<(), FamilyError> {
        if !(3..=31).contains(&self.side_px) || self.side_px.is_multiple_of(2) {
            return Err(FamilyError::Range {
                family: NAME,
                field: "side_px",
                allowed: "an odd number from 3 to 31".into(),
                found: self.side_px.to_string(),
            });
        }
        check::within(NAME, "strength", self.strength, [0.0, 10.0])?;
        surrogate::validate(NAME, &self.surrogate)
    }
}
