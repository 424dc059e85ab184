//! Elastic transformations: smooth random displacement fields (Simard, Steinkraus and Platt, ICDAR
//! 2003).

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Family, FamilyError, Sampled, TransformationFamily, check, draw, surrogate};
use crate::blur::{blur_plane, kept_by_blur};
use crate::field::Field;
use crate::transformation::Step;

pub(super) const NAME: &str = "elastic";

/// Each pixel is read from a place moved along x and y by noise that is drawn for every pixel,
/// uniformly, and blurred by a Gaussian. There are no parameters to regress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Elastic {
    /// Standard deviation of a displacement, as a fraction of that side of the image: 0.06.
    pub strength: f64,
    /// Standard deviation of the Gaussian, as a fraction of the shorter side: 0.12.
    pub smoothness: f64,
    /// The family whose parameters the decoder answers with: thin-plate.
    pub surrogate: Box<Family>,
}

impl Default for Elastic {
    fn default() -> Self {
        Self {
            strength: 0.06,
            smoothness: 0.12,
            surrogate: surrogate::thin_plate(),
        }
    }
}

impl TransformationFamily for Elastic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn surrogate(&self) -> Option<&Family> {
        Some(&self.surrogate)
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let sigma_px = self.smoothness * height.min(width) as f64;
        // Uniform noise on [-1, 1] has a deviation of 1 / sqrt(3), of which blurring leaves a part.
        let unit = 3.0_f64.sqrt() / kept_by_blur(sigma_px);
        let mut plane = |side: usize| -> Vec<f32> {
            let mut noise: Vec<f32> = (0..height * width)
                .map(|_| draw::uniform(rng, -1.0, 1.0) as f32)
                .collect();
            blur_plane(&mut noise, [height, width], sigma_px);
            let size = (unit * self.strength * side as f64) as f32;
            noise.iter_mut().for_each(|value| *value *= size);
            noise
        };
        let (across, down) = (plane(width), plane(height));
        let field = Field::from_fn(height, width, |row, column| {
            let at = row * width + column;
            [
                column as f64 + 0.5 + f64::from(across[at]),
                row as f64 + 0.5 + f64::from(down[at]),
            ]
        });
        Sampled {
            transformation: Step::Field(field).into(),
            target: Vec::new(),
        }
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "strength", self.strength, [0.0, 0.5])?;
        check::within(NAME, "smoothness", self.smoothness, [0.01, 1.0])?;
        surrogate::validate(NAME, &self.surrogate)
    }
}
