//! The shear family.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::motion::about;
use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::scalar::{Matrix, Scalar};

pub(super) const NAME: &str = "shear";

/// Rows of the image slide along x, the further from the middle the more: the content moves by
/// `x + y tan b` about `(width/2, height/2)`, where the angle `b` is drawn uniformly.
///
/// The target is `b` over the largest, from -1 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shear {
    /// Largest shear either way, in degrees: 40.
    pub shear_deg: f64,
}

impl Default for Shear {
    fn default() -> Self {
        Self { shear_deg: 40.0 }
    }
}

impl TransformationFamily for Shear {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&["shear"])
    }

    fn tanh_decoder(&self) -> bool {
        true
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let share = draw::uniform(rng, -1.0, 1.0);
        // A range of one number has nothing to tell.
        let target = [if self.shear_deg > 0.0 { share } else { 0.0 }];
        Sampled::warp(self.matrix(&target, [height, width]), &target)
    }

    fn matrix<S: Scalar>(&self, target: &[S], [height, width]: [usize; 2]) -> Matrix<S> {
        let [share] = check::components(target);
        let (zero, one) = (share.constant(0.0), share.constant(1.0));
        let angle = share.times(self.shear_deg.to_radians());
        let slope = angle.clone().sin() / angle.cos();
        let middle = [width as f64 / 2.0, height as f64 / 2.0];
        let linear = [[one.clone(), -slope], [zero.clone(), one]];
        about(middle, linear, [zero.clone(), zero])
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![0.0])
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "shear_deg", self.shear_deg, [0.0, 80.0])
    }
}
