//! The map that the rotation, Euclidean and similarity families share: rotate and scale about the
//! middle of the image, then translate.

use rand::Rng;

use super::draw;
use crate::homography::Homography;

/// A similarity of an image, as the way its content moves.
pub(super) struct Motion {
    /// (cosine, sine) of the rotation, of any length but read as a direction.
    pub(super) direction: [f64; 2],
    /// Magnification of the content.
    pub(super) scale: f64,
    /// Shift (x, y) in pixels.
    pub(super) shift_px: [f64; 2],
}

impl Motion {
    /// Draws a rotation and a shift at scale 1, on an image of `[height, width]` pixels, and their
    /// four target components: cosine, sine, and the shift along x and y from -1 to 1.
    pub(super) fn sample<R: Rng + ?Sized>(
        rng: &mut R,
        rotation_deg: f64,
        translation: f64,
        [height, width]: [usize; 2],
    ) -> (Self, [f64; 4]) {
        let most_rotation = rotation_deg.to_radians();
        let (sin, cos) = draw::uniform(rng, -most_rotation, most_rotation).sin_cos();
        let most_px = [width, height].map(|side| translation * side as f64);
        // A range of one number has nothing to tell: its component is 0, not a random sign.
        let shift = most_px.map(|most| {
            let share = draw::uniform(rng, -1.0, 1.0);
            if most > 0.0 { share } else { 0.0 }
        });
        let motion = Self {
            direction: [cos, sin],
            scale: 1.0,
            shift_px: [shift[0] * most_px[0], shift[1] * most_px[1]],
        };
        (motion, [cos, sin, shift[0], shift[1]])
    }

    /// The inverse map, which says where the moved image is read from. Written out, so that a
    /// quarter turn has exact zeros.
    pub(super) fn source_from_output(&self, height: usize, width: usize) -> Homography {
        let [cos, sin] = on_unit_circle(self.direction);
        let centre = [width as f64 / 2.0, height as f64 / 2.0];
        let [x, y] = [centre[0] + self.shift_px[0], centre[1] + self.shift_px[1]];
        let [a, b] = [cos / self.scale, sin / self.scale];
        Homography::from_rows([
            [a, b, centre[0] - a * x - b * y],
            [-b, a, centre[1] + b * x - a * y],
            [0.0, 0.0, 1.0],
        ])
    }
}

/// The direction of a (cosine, sine) pair, as a pair on the unit circle: what `atan2` would read
/// from it. No direction, (0, 0), is read as no rotation.
pub(super) fn on_unit_circle([cos, sin]: [f64; 2]) -> [f64; 2] {
    let length = cos.hypot(sin);
    if length > 0.0 {
        [cos / length, sin / length]
    } else {
        [1.0, 0.0]
    }
}
