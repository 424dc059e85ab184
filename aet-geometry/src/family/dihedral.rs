//! The dihedral family: flips and quarter turns, the symmetries of a square.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::motion::{about, direction_of, turned};
use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::scalar::{Matrix, Scalar};

pub(super) const NAME: &str = "dihedral";

/// The image is mirrored left to right or not, and then turned by `k * 90` degrees clockwise as
/// seen, about the middle `(width/2, height/2)`; all eight are as likely. On a square image pixels
/// move onto pixels, so that nothing is interpolated and no border shows.
///
/// The target is the cosine and the sine of the turn, and -1 for mirrored or 1 for not. The
/// components reach -1 and 1, which tanh cannot, so the decoder has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dihedral {
    /// Whether images are mirrored too: true. Without it there are the four quarter turns.
    pub flip: bool,
}

impl Default for Dihedral {
    fn default() -> Self {
        Self { flip: true }
    }
}

impl TransformationFamily for Dihedral {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&["cos_rotation", "sin_rotation", "mirrored"])
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let drawn = draw::index(rng, 8);
        let [cos, sin] = direction_of(drawn % 4, 4);
        let target = [cos, sin, if drawn >= 4 && self.flip { -1.0 } else { 1.0 }];
        Sampled::warp(self.matrix(&target, [height, width]), &target)
    }

    fn matrix<S: Scalar>(&self, target: &[S], [height, width]: [usize; 2]) -> Matrix<S> {
        let [cos, sin, mirrored] = check::components(target);
        let zero = cos.constant(0.0);
        let [cos, sin] = S::direction(cos, sin);
        let linear = [
            [cos.clone() * mirrored.clone(), sin.clone() * mirrored],
            [-sin, cos],
        ];
        let middle = [width as f64 / 2.0, height as f64 / 2.0];
        about(middle, linear, [zero.clone(), zero])
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![1.0, 0.0, 1.0])
    }

    fn anchors(&self, size: [usize; 2]) -> Vec<Vec<f32>> {
        let mut all = turned(self.identity_target(size), 180.0, 4);
        if self.flip {
            let mirrored = all.clone().into_iter();
            all.extend(mirrored.map(|target| vec![target[0], target[1], -1.0]));
        }
        all
    }

    fn validate(&self) -> Result<(), FamilyError> {
        Ok(())
    }
}
