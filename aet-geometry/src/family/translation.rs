//! The translation family.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::motion::{about, draw_shift, shift_px};
use super::{FamilyError, Sampled, TransformationFamily, check};
use crate::scalar::{Matrix, Scalar};

pub(super) const NAME: &str = "translation";

/// The content of the image is shifted along x and y, each uniformly and on its own.
///
/// The target is the shift along x and y over the largest possible (`translation * side`): from -1
/// to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Translation {
    /// Largest shift along an axis, as a fraction of that side of the image: 0.3.
    pub translation: f64,
}

impl Default for Translation {
    fn default() -> Self {
        Self { translation: 0.3 }
    }
}

impl TransformationFamily for Translation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&["x_shift", "y_shift"])
    }

    fn tanh_decoder(&self) -> bool {
        true
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let (_, target) = draw_shift(rng, self.translation, [height, width]);
        Sampled::warp(self.matrix(&target, [height, width]), &target)
    }

    fn matrix<S: Scalar>(&self, target: &[S], size: [usize; 2]) -> Matrix<S> {
        let [x, y] = check::components(target);
        let (zero, one) = (x.constant(0.0), x.constant(1.0));
        let linear = [[one.clone(), zero.clone()], [zero, one]];
        about([0.0; 2], linear, shift_px([x, y], self.translation, size))
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![0.0; 2])
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "translation", self.translation, [0.0, 1.0])
    }
}
