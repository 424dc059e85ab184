//! The Euclidean family: rotation and translation. [`Similarity`](super::Similarity) at scale 1.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::motion::{Motion, shift_px, turned};
use super::{FamilyError, Sampled, TransformationFamily, check};
use crate::scalar::{Matrix, Scalar};

pub(super) const NAME: &str = "euclidean";

/// The content of the image is rotated about the middle `(width/2, height/2)`, then shifted; the
/// angle and the shift along each axis are drawn uniformly, each on its own.
///
/// The target is the cosine and the sine of the rotation, and the shift along x and y over the
/// largest possible (`translation * side`): all within [-1, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Euclidean {
    /// Largest rotation either way, in degrees: 180.
    pub rotation_deg: f64,
    /// Largest shift along an axis, as a fraction of that side of the image: 0.2.
    pub translation: f64,
}

impl Default for Euclidean {
    fn default() -> Self {
        Self {
            rotation_deg: 180.0,
            translation: 0.2,
        }
    }
}

impl TransformationFamily for Euclidean {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&["cos_rotation", "sin_rotation", "x_shift", "y_shift"])
    }

    fn tanh_decoder(&self) -> bool {
        true
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let size = [height, width];
        let (motion, target) = Motion::sample(rng, self.rotation_deg, self.translation, size);
        Sampled::warp(motion.source_from_output(size), &target)
    }

    fn matrix<S: Scalar>(&self, target: &[S], size: [usize; 2]) -> Matrix<S> {
        let [cos, sin, x, y] = check::components(target);
        let motion = Motion {
            scale: cos.constant(1.0),
            direction: [cos, sin],
            shift_px: shift_px([x, y], self.translation, size),
        };
        motion.source_from_output(size)
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![1.0, 0.0, 0.0, 0.0])
    }

    fn anchors(&self, size: [usize; 2]) -> Vec<Vec<f32>> {
        turned(self.identity_target(size), self.rotation_deg, 8)
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "rotation_deg", self.rotation_deg, [0.0, 180.0])?;
        check::within(NAME, "translation", self.translation, [0.0, 1.0])
    }
}
