//! The blur family: Gaussian blur, its width regressed.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::transformation::{Step, Transformation};

pub(super) const NAME: &str = "blur";

/// The image is blurred by a Gaussian whose standard deviation is drawn uniformly. See
/// [`gaussian_blur`](crate::blur::gaussian_blur).
///
/// The target is the standard deviation rescaled from its range to [-1, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blur {
    /// Smallest and largest standard deviation, in pixels: `[0, 2]`.
    pub sigma_px: [f64; 2],
}

impl Default for Blur {
    fn default() -> Self {
        Self {
            sigma_px: [0.0, 2.0],
        }
    }
}

impl TransformationFamily for Blur {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&["sigma"])
    }

    fn tanh_decoder(&self) -> bool {
        true
    }

    fn moves(&self) -> bool {
        false
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, _height: usize, _width: usize) -> Sampled {
        let sigma_px = draw::uniform(rng, self.sigma_px[0], self.sigma_px[1]);
        Sampled {
            transformation: Step::Blur { sigma_px }.into(),
            target: vec![check::to_unit(sigma_px, self.sigma_px) as f32],
        }
    }

    fn transformation(
        &self,
        target: &[f32],
        _height: usize,
        _width: usize,
    ) -> Result<Transformation, FamilyError> {
        let target = check::target(self, target)?;
        let sigma_px = check::from_unit(target[0], self.sigma_px);
        Ok(Step::Blur { sigma_px }.into())
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![check::unit_of(0.0, self.sigma_px)?])
    }

    fn validate(&self) -> Result<(), FamilyError> {
        let [low, high] = self.sigma_px;
        if low >= 0.0 && low <= high && high <= 100.0 {
            return Ok(());
        }
        Err(FamilyError::Range {
            family: NAME,
            field: "sigma_px",
            allowed: "[low, high] with 0 <= low <= high <= 100".into(),
            found: format!("{:?}", self.sigma_px),
        })
    }
}
