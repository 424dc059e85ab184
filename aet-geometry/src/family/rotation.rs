//! The rotation family: equally spaced angles, by default the quarter turns of RotNet (arXiv
//! 1803.07728), with the angle regressed instead of classified.

use std::f64::consts::TAU;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rigid::Motion;
use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::homography::Homography;

pub(super) const NAME: &str = "rotation";

const TARGET_NAMES: [&str; 2] = ["cos_rotation", "sin_rotation"];

/// Rotation by `k * 360 / steps` degrees, each `k` in `0..steps` as likely, about the middle of the
/// image `(width/2, height/2)`, clockwise as seen. On a square image a quarter turn moves pixels
/// onto pixels.
///
/// The target is the cosine and the sine of the angle, as for the rotation within [`Affine`]: an
/// angle itself would jump where it wraps round, and the four quarter turns lie equally far from
/// their neighbours. The components reach -1 and 1, which tanh cannot, so the decoder has none.
///
/// [`Affine`]: super::Affine
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// Number of angles on the full circle: 4, the quarter turns.
    pub steps: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { steps: 4 }
    }
}

impl TransformationFamily for Rotation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<&'static str> {
        TARGET_NAMES.to_vec()
    }

    fn target_len(&self) -> usize {
        TARGET_NAMES.len()
    }

    fn tanh_decoder(&self) -> bool {
        false
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let steps = u64::from(self.steps.max(1));
        let direction = direction_of(draw::index(rng, steps), steps);
        let motion = Motion {
            direction,
            scale: 1.0,
            shift_px: [0.0; 2],
        };
        Sampled {
            source_from_output: motion.source_from_output(height, width),
            target: direction.map(|value| value as f32).to_vec(),
        }
    }

    fn source_from_output(
        &self,
        target: &[f32],
        height: usize,
        width: usize,
    ) -> Result<Homography, FamilyError> {
        let direction = check::target(self, target)?;
        let motion = Motion {
            direction,
            scale: 1.0,
            shift_px: [0.0; 2],
        };
        Ok(motion.source_from_output(height, width))
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "steps", f64::from(self.steps), [2.0, 360.0])
    }
}

/// (cosine, sine) of `step` of `steps` on the circle, exact at the quarter turns.
fn direction_of(step: u64, steps: u64) -> [f64; 2] {
    match step * 4 {
        0 => [1.0, 0.0],
        four if four == steps => [0.0, 1.0],
        four if four == 2 * steps => [-1.0, 0.0],
        four if four == 3 * steps => [0.0, -1.0],
        _ => {
            let (sin, cos) = (TAU * step as f64 / steps as f64).sin_cos();
            [cos, sin]
        }
    }
}
