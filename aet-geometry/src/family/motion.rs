//! The map that the rigid and affine families share: a linear part about the middle of the image,
//! then a translation.

use std::f64::consts::TAU;

use rand::Rng;

use super::draw;
use crate::scalar::{Matrix, Scalar};

/// A similarity of an image, as the way its content moves.
#[derive(Debug, Clone)]
pub(super) struct Motion<S> {
    /// (cosine, sine) of the rotation, of any length but read as a direction.
    pub(super) direction: [S; 2],
    /// Magnification of the content.
    pub(super) scale: S,
    /// Shift (x, y) in pixels.
    pub(super) shift_px: [S; 2],
}

impl Motion<f64> {
    /// Draws a rotation and a shift at scale 1, on an image of `[height, width]` pixels, and their
    /// four target components: cosine, sine, and the shift along x and y from -1 to 1.
    pub(super) fn sample<R: Rng + ?Sized>(
        rng: &mut R,
        rotation_deg: f64,
        translation: f64,
        size: [usize; 2],
    ) -> (Self, [f64; 4]) {
        let most_rotation = rotation_deg.to_radians();
        let (sin, cos) = draw::uniform(rng, -most_rotation, most_rotation).sin_cos();
        let (shift_px, shift) = draw_shift(rng, translation, size);
        let motion = Self {
            direction: [cos, sin],
            scale: 1.0,
            shift_px,
        };
        (motion, [cos, sin, shift[0], shift[1]])
    }
}

impl<S: Scalar> Motion<S> {
    /// The inverse map, which says where the moved image is read from. Written out, so that a
    /// quarter turn has exact zeros.
    pub(super) fn source_from_output(self, [height, width]: [usize; 2]) -> Matrix<S> {
        let [cos, sin] = self.direction;
        let [cos, sin] = S::direction(cos, sin);
        let [a, b] = [cos / self.scale.clone(), sin / self.scale];
        let middle = [width as f64 / 2.0, height as f64 / 2.0];
        let linear = [[a.clone(), b.clone()], [-b, a]];
        about(middle, linear, self.shift_px)
    }
}

/// `identity`, a target that begins with the cosine and sine of a rotation, and the same after each of
/// `steps` on the circle that a range of `rotation_deg` either way takes in; none without it.
pub(super) fn turned(identity: Option<Vec<f32>>, rotation_deg: f64, steps: u64) -> Vec<Vec<f32>> {
    let Some(identity) = identity else {
        return Vec::new();
    };
    let degrees = |step: u64| 360.0 * step.min(steps - step) as f64 / steps as f64;
    let within = (0..steps).filter(|step| degrees(*step) <= rotation_deg);
    let after = within.map(|step| {
        let mut target = identity.clone();
        target[..2].copy_from_slice(&direction_of(step, steps).map(|value| value as f32));
        target
    });
    after.collect()
}

/// (cosine, sine) of `step` of `steps` on the circle, exact at the quarter turns.
pub(super) fn direction_of(step: u64, steps: u64) -> [f64; 2] {
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

/// A shift along x and y, each uniform within `translation` of its side: in pixels, and as a share
/// of the largest, from -1 to 1. A range of one number has nothing to tell: its share is 0, not a
/// random sign.
pub(super) fn draw_shift<R: Rng + ?Sized>(
    rng: &mut R,
    translation: f64,
    [height, width]: [usize; 2],
) -> ([f64; 2], [f64; 2]) {
    let most_px = [width, height].map(|side| translation * side as f64);
    let shift = most_px.map(|most| {
        let share = draw::uniform(rng, -1.0, 1.0);
        if most > 0.0 { share } else { 0.0 }
    });
    ([shift[0] * most_px[0], shift[1] * most_px[1]], shift)
}

/// The shift in pixels that shares of the largest stand for.
pub(super) fn shift_px<S: Scalar>(
    [x, y]: [S; 2],
    translation: f64,
    [height, width]: [usize; 2],
) -> [S; 2] {
    [
        x.times(translation * width as f64),
        y.times(translation * height as f64),
    ]
}

/// Where the moved image is read from, when its content was moved by the inverse of `linear` about
/// `centre` and then shifted.
pub(super) fn about<S: Scalar>(
    centre: [f64; 2],
    linear: [[S; 2]; 2],
    shift_px: [S; 2],
) -> Matrix<S> {
    let [x, y] = shift_px;
    let zero = x.constant(0.0);
    let one = x.constant(1.0);
    let (x, y) = (x.plus(centre[0]), y.plus(centre[1]));
    let [[a, b], [d, e]] = linear;
    let read = |p: &S, q: &S, middle: f64| {
        x.constant(middle) - p.clone() * x.clone() - q.clone() * y.clone()
    };
    let (c, f) = (read(&a, &b, centre[0]), read(&d, &e, centre[1]));
    [[a, b, c], [d, e, f], [zero.clone(), zero, one]]
}
