//! The affine family, as in the released code of AET (arXiv 1901.04596, section 5.1): the
//! `RandomAffine` of torchvision before it had a second shear.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::motion::{about, shift_px, turned};
use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::scalar::{Matrix, Scalar};

pub(super) const NAME: &str = "affine";

const TARGET_NAMES: [&str; 6] = [
    "cos_rotation",
    "sin_rotation",
    "x_shift",
    "y_shift",
    "scale",
    "shear",
];

/// Rotation by `a`, shear by `b`, scale `s` and translation, each drawn on its own and uniformly.
/// The content of the image moves by
///
/// ```text
/// T(centre) T(translation) [ s cos a   -s sin(a + b) ] T(-centre)
///                          [ s sin a    s cos(a + b) ]
/// ```
///
/// about the centre `(width/2 + 0.5, height/2 + 0.5)`, half a pixel off the middle as released;
/// [`Sampled::source_from_output`] is the inverse.
///
/// The target is `cos a`, `sin a`, the shift along x and y over the largest possible
/// (`translation * side`), and `s` and `b` rescaled from their ranges to [-1, 1]: all within
/// [-1, 1]. A component whose range is a single number is 0.
///
/// Shifts are rounded to whole pixels, as released. Where rounding would lift a shift over
/// `translation * side` (never at 32 px), it is the whole number below instead, so that the target
/// stays within [-1, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Affine {
    /// Largest rotation either way, in degrees: 180.
    pub rotation_deg: f64,
    /// Largest shift along an axis, as a fraction of that side of the image: 0.2.
    pub translation: f64,
    /// Smallest and largest scale: `[0.7, 1.3]`.
    pub scale: [f64; 2],
    /// Largest shear either way, in degrees: 30.
    pub shear_deg: f64,
}

impl Default for Affine {
    fn default() -> Self {
        Self {
            rotation_deg: 180.0,
            translation: 0.2,
            scale: [0.7, 1.3],
            shear_deg: 30.0,
        }
    }
}

impl Affine {
    fn shear_range(&self) -> [f64; 2] {
        let most = self.shear_deg.to_radians();
        [-most, most]
    }

    /// The motion with the target that belongs to it.
    fn sampled(&self, motion: &Motion, height: usize, width: usize) -> Sampled {
        let (sin, cos) = motion.rotation_rad.sin_cos();
        let most_px = self.most_shift_px(height, width);
        let target = [
            cos,
            sin,
            check::to_unit(motion.shift_px[0], [-most_px[0], most_px[0]]),
            check::to_unit(motion.shift_px[1], [-most_px[1], most_px[1]]),
            check::to_unit(motion.scale, self.scale),
            check::to_unit(motion.shear_rad, self.shear_range()),
        ];
        Sampled::warp(motion.parts().matrix([height, width]), &target)
    }

    fn most_shift_px(&self, height: usize, width: usize) -> [f64; 2] {
        [width, height].map(|side| self.translation * side as f64)
    }
}

impl TransformationFamily for Affine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&TARGET_NAMES)
    }

    fn tanh_decoder(&self) -> bool {
        true
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let most_rotation = self.rotation_deg.to_radians();
        let rotation_rad = draw::uniform(rng, -most_rotation, most_rotation);
        let most_px = self.most_shift_px(height, width);
        let shift_px = most_px.map(|most| whole_shift(draw::uniform(rng, -most, most), most));
        let scale = draw::uniform(rng, self.scale[0], self.scale[1]);
        let shear_range = self.shear_range();
        let shear_rad = draw::uniform(rng, shear_range[0], shear_range[1]);
        let motion = Motion {
            rotation_rad,
            shift_px,
            scale,
            shear_rad,
        };
        self.sampled(&motion, height, width)
    }

    fn matrix<S: Scalar>(&self, target: &[S], size: [usize; 2]) -> Matrix<S> {
        let [cos, sin, x, y, scale, shear] = check::components(target);
        let [cos, sin] = S::direction(cos, sin);
        let shear = shear.times(self.shear_deg.to_radians());
        let (shear_cos, shear_sin) = (shear.clone().cos(), shear.sin());
        let parts = Parts {
            sheared: [
                cos.clone() * shear_cos.clone() - sin.clone() * shear_sin.clone(),
                sin.clone() * shear_cos.clone() + cos.clone() * shear_sin,
            ],
            direction: [cos, sin],
            area: check::from_unit(scale, self.scale) * shear_cos,
            shift_px: shift_px([x, y], self.translation, size),
        };
        parts.matrix(size)
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        let scale = check::unit_of(1.0, self.scale)?;
        Some(vec![1.0, 0.0, 0.0, 0.0, scale, 0.0])
    }

    fn anchors(&self, size: [usize; 2]) -> Vec<Vec<f32>> {
        turned(self.identity_target(size), self.rotation_deg, 8)
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "rotation_deg", self.rotation_deg, [0.0, 180.0])?;
        check::within(NAME, "translation", self.translation, [0.0, 1.0])?;
        check::scales(NAME, "scale", self.scale)?;
        check::within(NAME, "shear_deg", self.shear_deg, [0.0, 89.0])
    }
}

/// The nearest whole number to `shift` that is at most `most` either way.
fn whole_shift(shift: f64, most: f64) -> f64 {
    let largest = most.floor();
    shift.round().max(-largest).min(largest)
}

/// An affine motion of an image's content.
struct Motion {
    rotation_rad: f64,
    shift_px: [f64; 2],
    scale: f64,
    shear_rad: f64,
}

impl Motion {
    fn parts(&self) -> Parts<f64> {
        let (sin, cos) = self.rotation_rad.sin_cos();
        let (sheared_sin, sheared_cos) = (self.rotation_rad + self.shear_rad).sin_cos();
        Parts {
            direction: [cos, sin],
            sheared: [sheared_cos, sheared_sin],
            area: self.scale * (sheared_cos * cos + sheared_sin * sin),
            shift_px: self.shift_px,
        }
    }
}

/// What the matrix of a motion is made of.
struct Parts<S> {
    /// (cosine, sine) of the rotation.
    direction: [S; 2],
    /// (cosine, sine) of rotation and shear together.
    sheared: [S; 2],
    /// Scale times the cosine of the shear.
    area: S,
    shift_px: [S; 2],
}

impl<S: Scalar> Parts<S> {
    /// The inverse of the motion, written out as torchvision does.
    fn matrix(self, [height, width]: [usize; 2]) -> Matrix<S> {
        let centre = [width as f64 / 2.0 + 0.5, height as f64 / 2.0 + 0.5];
        let ([cos, sin], [sheared_cos, sheared_sin]) = (self.direction, self.sheared);
        let size = self.area.constant(1.0) / self.area;
        let linear = [
            [size.clone() * sheared_cos, size.clone() * sheared_sin],
            [-(size.clone() * sin), size * cos],
        ];
        about(centre, linear, self.shift_px)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        height: usize,
        width: usize,
        rotation: f64,
        shift: [f64; 2],
        scale: f64,
        shear: f64,
        matrix: [f64; 6],
        target: [f64; 6],
    }

    #[derive(Deserialize)]
    struct Goldens {
        affine: Vec<Golden>,
    }

    /// Expected numbers from `tests/golden/make_golden.py`.
    #[test]
    fn matrices_and_targets_are_those_of_the_released_formula() {
        let goldens: Goldens =
            serde_json::from_str(include_str!("../../tests/golden/families.json")).unwrap();
        assert_eq!(goldens.affine.len(), 24);
        for golden in &goldens.affine {
            let motion = Motion {
                rotation_rad: golden.rotation.to_radians(),
                shift_px: golden.shift,
                scale: golden.scale,
                shear_rad: golden.shear.to_radians(),
            };
            let sampled = Affine::default().sampled(&motion, golden.height, golden.width);
            let found = sampled.source_from_output().unwrap().coefficients();
            for (found, expected) in found.iter().zip(&golden.matrix) {
                assert!((found - expected).abs() < 1e-10, "{found} for {expected}");
            }
            for (found, expected) in sampled.target.iter().zip(&golden.target) {
                let off = (f64::from(*found) - expected).abs();
                assert!(off < 1e-7, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn shifts_are_whole_pixels_and_never_pass_the_largest() {
        let mut ends = [false; 2];
        for step in -640..=640 {
            let shift = whole_shift(f64::from(step) / 100.0, 6.4);
            assert_eq!(shift.fract(), 0.0);
            ends[0] |= shift == -6.0;
            ends[1] |= shift == 6.0;
        }
        assert_eq!(ends, [true; 2]);
        // 0.2 of 28 pixels is 5.6, which would round to 6 and give a target of 1.07.
        assert_eq!(whole_shift(5.55, 5.6), 5.0);
        assert_eq!(whole_shift(-5.55, 5.6), -5.0);
        assert_eq!(whole_shift(0.7, 0.8), 0.0);
    }
}
