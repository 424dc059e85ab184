//! Thin-plate splines through control points that are moved at random.

use std::sync::Arc;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::field::Field;
use crate::spline::SplineBasis;
use crate::transformation::{Step, Transformation};

pub(super) const NAME: &str = "thin-plate";

/// Control points on an even grid from corner to corner are each read from a place moved along x and
/// y, uniformly; between them the field is a thin-plate spline. See [`SplineBasis`].
///
/// The target is the moves of the points, row by row, x and y of each over the largest possible:
/// from -1 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThinPlate {
    /// Control points along a side: 3.
    pub points: usize,
    /// Largest move of a point along an axis, as a fraction of that side of the image: 0.15.
    pub shift: f64,
}

impl Default for ThinPlate {
    fn default() -> Self {
        Self {
            points: 3,
            shift: 0.15,
        }
    }
}

impl ThinPlate {
    fn field(&self, target: &[f64], height: usize, width: usize) -> Field {
        let basis = SplineBasis::of(self.points, height, width);
        let (x, y) = (self.shift * width as f64, self.shift * height as f64);
        Field::from_fn(height, width, |row, column| {
            let at = (row * width + column) * basis.points();
            let weights = &basis.weights()[at..at + basis.points()];
            let mut moved = [0.0; 2];
            for (weight, point) in weights.iter().zip(target.chunks_exact(2)) {
                moved[0] += f64::from(*weight) * point[0];
                moved[1] += f64::from(*weight) * point[1];
            }
            [
                column as f64 + 0.5 + x * moved[0],
                row as f64 + 0.5 + y * moved[1],
            ]
        })
    }
}

impl TransformationFamily for ThinPlate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        let rows = (1..=self.points).flat_map(|row| (1..=self.points).map(move |c| (row, c)));
        rows.flat_map(|(row, column)| ["x", "y"].map(|axis| format!("{axis}_shift_{row}_{column}")))
            .collect()
    }

    fn target_len(&self) -> usize {
        2 * self.points * self.points
    }

    fn tanh_decoder(&self) -> bool {
        true
    }

    fn is_homography(&self) -> bool {
        false
    }

    fn spline(&self, [height, width]: [usize; 2]) -> Option<(Arc<SplineBasis>, f64)> {
        Some((SplineBasis::of(self.points, height, width), self.shift))
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let target: Vec<f64> = (0..self.target_len())
            .map(|_| draw::uniform(rng, -1.0, 1.0))
            .collect();
        Sampled {
            transformation: Step::Field(self.field(&target, height, width)).into(),
            target: target.iter().map(|value| *value as f32).collect(),
        }
    }

    fn transformation(
        &self,
        target: &[f32],
        height: usize,
        width: usize,
    ) -> Result<Transformation, FamilyError> {
        let target = check::target(self, target)?;
        Ok(Step::Field(self.field(&target, height, width)).into())
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        Some(vec![0.0; self.target_len()])
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "points", self.points as f64, [2.0, 10.0])?;
        // Beyond half the way to its neighbour a point may pass it, and the image fold over.
        let most = 0.5 / (self.points - 1) as f64;
        check::within(NAME, "shift", self.shift, [0.0, most])
    }
}
