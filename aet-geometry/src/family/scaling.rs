//! The scaling family.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::motion::Motion;
use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::scalar::{Matrix, Scalar};

pub(super) const NAME: &str = "scaling";

/// The content of the image is magnified about the middle `(width/2, height/2)` by a factor that is
/// drawn uniformly.
///
/// The target is the factor rescaled from its range to [-1, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scaling {
    /// Smallest and largest factor: `[0.5, 1.5]`.
    pub scale: [f64; 2],
}

impl Default for Scaling {
    fn default() -> Self {
        Self { scale: [0.5, 1.5] }
    }
}

impl TransformationFamily for Scaling {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&["scale"])
    }

    fn tanh_decoder(&self) -> bool {
        true
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let scale = draw::uniform(rng, self.scale[0], self.scale[1]);
        let target = [check::to_unit(scale, self.scale)];
        Sampled::warp(self.matrix(&target, [height, width]), &target)
    }

    fn matrix<S: Scalar>(&self, target: &[S], size: [usize; 2]) -> Matrix<S> {
        let [scale] = check::components(target);
        let (zero, one) = (scale.constant(0.0), scale.constant(1.0));
        let motion = Motion {
            direction: [one, zero.clone()],
            scale: check::from_unit(scale, self.scale),
            shift_px: [zero.clone(), zero],
        };
        motion.source_from_output(size)
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![check::unit_of(1.0, self.scale)?])
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::scales(NAME, "scale", self.scale)
    }
}
