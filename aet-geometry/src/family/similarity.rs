//! The similarity family: rotation, translation and scale. [`Affine`](super::Affine) without shear.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::motion::{Motion, shift_px, turned};
use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::scalar::{Matrix, Scalar};

pub(super) const NAME: &str = "similarity";

/// The content of the image is rotated and scaled about the middle `(width/2, height/2)`, then
/// shifted; angle, shift along each axis and scale are drawn uniformly, each on its own.
///
/// The target is the cosine and the sine of the rotation, the shift along x and y over the largest
/// possible (`translation * side`), and the scale rescaled to [-1, 1]. The ranges default to those
/// of [`Affine`](super::Affine), which has its centre half a pixel off and whole-pixel shifts for
/// the sake of its published numbers; this family has neither.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Similarity {
    /// Largest rotation either way, in degrees: 180.
    pub rotation_deg: f64,
    /// Largest shift along an axis, as a fraction of that side of the image: 0.2.
    pub translation: f64,
    /// Smallest and largest scale: `[0.7, 1.3]`.
    pub scale: [f64; 2],
}

impl Default for Similarity {
    fn default() -> Self {
        Self {
            rotation_deg: 180.0,
            translation: 0.2,
            scale: [0.7, 1.3],
        }
    }
}

impl TransformationFamily for Similarity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&[
            "cos_rotation",
            "sin_rotation",
            "x_shift",
            "y_shift",
            "scale",
        ])
    }

    fn tanh_decoder(&self) -> bool {
        true
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let size = [height, width];
        let (motion, [cos, sin, x, y]) =
            Motion::sample(rng, self.rotation_deg, self.translation, size);
        let scale = draw::uniform(rng, self.scale[0], self.scale[1]);
        let target = [cos, sin, x, y, check::to_unit(scale, self.scale)];
        Sampled::warp(Motion { scale, ..motion }.source_from_output(size), &target)
    }

    fn matrix<S: Scalar>(&self, target: &[S], size: [usize; 2]) -> Matrix<S> {
        let [cos, sin, x, y, scale] = check::components(target);
        let motion = Motion {
            direction: [cos, sin],
            scale: check::from_unit(scale, self.scale),
            shift_px: shift_px([x, y], self.translation, size),
        };
        motion.source_from_output(size)
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![1.0, 0.0, 0.0, 0.0, check::unit_of(1.0, self.scale)?])
    }

    fn anchors(&self, size: [usize; 2]) -> Vec<Vec<f32>> {
        turned(self.identity_target(size), self.rotation_deg, 8)
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "rotation_deg", self.rotation_deg, [0.0, 180.0])?;
        check::within(NAME, "translation", self.translation, [0.0, 1.0])?;
        check::scales(NAME, "scale", self.scale)
    }
}
