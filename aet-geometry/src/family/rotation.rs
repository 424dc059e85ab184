//! The rotation family: any angle, or equally spaced ones such as the quarter turns of RotNet (arXiv
//! 1803.07728), with the angle regressed instead of classified.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::motion::{Motion, direction_of, turned};
use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::scalar::{Matrix, Scalar};

pub(super) const NAME: &str = "rotation";

/// Rotation about the middle of the image `(width/2, height/2)`, clockwise as seen, by an angle that
/// is drawn uniformly: from a range, or with `steps` from `k * 360 / steps` degrees, each `k` in
/// `0..steps` as likely. On a square image a quarter turn moves pixels onto pixels.
///
/// The target is the cosine and the sine of the angle, as for the rotation within [`Affine`]: an
/// angle itself would jump where it wraps round, and the four quarter turns lie equally far from
/// their neighbours. The components reach -1 and 1, which tanh cannot, so the decoder has none.
///
/// [`Affine`]: super::Affine
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// Largest rotation either way, in degrees: 180.
    pub rotation_deg: f64,
    /// Number of angles on the full circle, in place of the range; absent for any angle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            rotation_deg: 180.0,
            steps: None,
        }
    }
}

impl TransformationFamily for Rotation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&["cos_rotation", "sin_rotation"])
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let direction = match self.steps {
            Some(steps) => {
                let steps = u64::from(steps.max(1));
                direction_of(draw::index(rng, steps), steps)
            }
            None => {
                let most = self.rotation_deg.to_radians();
                let (sin, cos) = draw::uniform(rng, -most, most).sin_cos();
                [cos, sin]
            }
        };
        Sampled::warp(self.matrix(&direction, [height, width]), &direction)
    }

    fn matrix<S: Scalar>(&self, target: &[S], size: [usize; 2]) -> Matrix<S> {
        let [cos, sin] = check::components(target);
        let (zero, one) = (cos.constant(0.0), cos.constant(1.0));
        let motion = Motion {
            direction: [cos, sin],
            scale: one,
            shift_px: [zero.clone(), zero],
        };
        motion.source_from_output(size)
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![1.0, 0.0])
    }

    fn anchors(&self, size: [usize; 2]) -> Vec<Vec<f32>> {
        let (most, steps) = match self.steps {
            Some(_) => (180.0, 4),
            None => (self.rotation_deg, 8),
        };
        turned(self.identity_target(size), most, steps)
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "rotation_deg", self.rotation_deg, [0.0, 180.0])?;
        match self.steps {
            Some(steps) => check::within(NAME, "steps", f64::from(steps), [2.0, 360.0]),
            None => Ok(()),
        }
    }
}
