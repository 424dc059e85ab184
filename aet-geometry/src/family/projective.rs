//! The projective family, as in the released code of AET (arXiv 1901.04596, section 5.1): the
//! corners of the image are scaled, turned and moved, and the homography follows from them.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::homography::Homography;
use crate::scalar::{Matrix, Scalar};

pub(super) const NAME: &str = "projective";

const TARGET_NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Draws before the corners are left unmoved. The default ranges never need a second one.
const MOST_DRAWS: usize = 100;

/// The corners of the image are scaled about `(width/2 + 0.5, height/2 + 0.5)` (half a pixel off
/// the middle, as released), turned by `k * 90` degrees (each takes the place of the one `k`
/// further on), and each coordinate of each corner is then moved by a whole number of pixels. Scale,
/// `k` and each of the eight numbers are drawn uniformly, ends included.
/// [`Sampled::source_from_output`] maps these corners to those of the image: (0, 0), (width, 0),
/// (width, height), (0, height).
///
/// The target is `(coefficients - mean) / std` of the eight coefficients `a, b, c, d, e, f, g, h`
/// of that homography, row by row, with 1 at the bottom right.
///
/// Every transformation drawn has the four corners in front of its horizon, and so the whole image.
/// A draw that has not (a corner lies beyond the line between its neighbours, or the homography has
/// no such form) is drawn afresh from the start, which leaves the distribution as it was within the
/// draws that count. This cannot happen while `corner_shift`, after rounding to whole pixels, is
/// below a quarter of the smallest scale: the defaults have 0.125 against 0.2. After 100 failed
/// draws in a row the corners are only scaled and turned.
///
/// # Mean and standard deviation
///
/// Released for 32 px: mean (0, 0, 16, 0, 0, 16, 0, 0), standard deviation (1, 1, 20, 1, 1, 20,
/// 0.015, 0.015). The same transformation of an image `s` times as large has `c` and `f`, which are
/// in pixels, `s` times as large, and `g` and `h`, which are per pixel, `1/s` times. These numbers
/// are rescaled so for another side; on an image that is not square, `c` and `g` go with the width,
/// `f` and `h` with the height, `b` with width over height and `d` with height over width. For 224
/// px this gives the released mean up to the last two (6.4e-5 there), but other standard deviations
/// (140 for `c` against 118, 2.1e-3 for `g` against 7.75e-4), so the released ones are in
/// [`RELEASED_MEAN_224`](Self::RELEASED_MEAN_224) and
/// [`RELEASED_STD_224`](Self::RELEASED_STD_224) and have to be asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Projective {
    /// Smallest and largest scale of the corners: `[0.8, 1.2]`.
    pub scale: [f64; 2],
    /// Largest move of a corner along an axis, as a fraction of that side of the image, rounded to
    /// whole pixels: 0.125, which is 4 of 32 and 28 of 224.
    pub corner_shift: f64,
    /// Whether it is also turned by 0 to 3 quarter turns: true.
    pub quarter_turns: bool,
    /// Mean of each coefficient; by default that of 32 px rescaled to the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_mean: Option<[f64; 8]>,
    /// Standard deviation of each coefficient; by default that of 32 px rescaled to the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_std: Option<[f64; 8]>,
}

impl Default for Projective {
    fn default() -> Self {
        Self {
            scale: [0.8, 1.2],
            corner_shift: 0.125,
            quarter_turns: true,
            target_mean: None,
            target_std: None,
        }
    }
}

impl Projective {
    /// Mean of the coefficients at 32 px, as released for CIFAR-10.
    pub const RELEASED_MEAN_32: [f64; 8] = [0.0, 0.0, 16.0, 0.0, 0.0, 16.0, 0.0, 0.0];
    /// Standard deviation of the coefficients at 32 px, as released for CIFAR-10.
    pub const RELEASED_STD_32: [f64; 8] = [1.0, 1.0, 20.0, 1.0, 1.0, 20.0, 0.015, 0.015];
    /// Mean of the coefficients at 224 px, as released for ImageNet.
    pub const RELEASED_MEAN_224: [f64; 8] = [0.0, 0.0, 112.0, 0.0, 0.0, 112.0, 6.4e-5, 6.4e-5];
    /// Standard deviation of the coefficients at 224 px, as released for ImageNet.
    pub const RELEASED_STD_224: [f64; 8] = [0.75, 0.75, 118.0, 0.75, 0.75, 118.0, 7.75e-4, 7.75e-4];

    /// Mean and standard deviation of the coefficients on an image of `height` x `width` pixels.
    pub fn target_statistics(&self, height: usize, width: usize) -> ([f64; 8], [f64; 8]) {
        let (w, h) = (width.max(1) as f64, height.max(1) as f64);
        let (x, y) = (w / 32.0, h / 32.0);
        let sizes = [1.0, w / h, x, h / w, 1.0, y, 1.0 / x, 1.0 / y];
        let rescaled = |released: [f64; 8]| std::array::from_fn(|i| released[i] * sizes[i]);
        (
            self.target_mean
                .unwrap_or_else(|| rescaled(Self::RELEASED_MEAN_32)),
            self.target_std
                .unwrap_or_else(|| rescaled(Self::RELEASED_STD_32)),
        )
    }

    /// One draw of the numbers that say where the corners go.
    fn corners<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Corners {
        let scale = draw::uniform(rng, self.scale[0], self.scale[1]);
        let turns = match self.quarter_turns {
            true => draw::index(rng, 4) as usize,
            false => 0,
        };
        let most_px = [width, height].map(|side| (self.corner_shift * side as f64).round() as u32);
        let shifts_px = std::array::from_fn(|_| most_px.map(|most| draw::whole(rng, most)));
        Corners {
            scale,
            turns,
            shifts_px,
        }
    }

    fn draw<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Homography {
        for _ in 0..MOST_DRAWS {
            let corners = self.corners(rng, height, width);
            if let Some(map) = corners.source_from_output(height, width) {
                return map;
            }
        }
        let unmoved = Corners {
            shifts_px: [[0.0; 2]; 4],
            ..self.corners(rng, height, width)
        };
        unmoved
            .source_from_output(height, width)
            .unwrap_or(Homography::IDENTITY)
    }

    /// The target that belongs to a homography.
    fn target(&self, source_from_output: &Homography, height: usize, width: usize) -> Vec<f32> {
        let coefficients = source_from_output.coefficients();
        let (mean, std) = self.target_statistics(height, width);
        let mut target = vec![0.0; 8];
        for (i, value) in target.iter_mut().enumerate() {
            *value = ((coefficients[i] - mean[i]) / std[i]) as f32;
        }
        target
    }
}

/// Where the corners of an image go.
#[derive(Debug, Clone, Copy)]
struct Corners {
    scale: f64,
    turns: usize,
    /// How far (x, y) each corner is moved after that.
    shifts_px: [[f64; 2]; 4],
}

impl Corners {
    /// The map from where the corners have gone to where they were, if there is one with all four
    /// in front of its horizon.
    fn source_from_output(&self, height: usize, width: usize) -> Option<Homography> {
        let (width, height) = (width as f64, height as f64);
        let (x, y) = (width / 2.0 + 0.5, height / 2.0 + 0.5);
        let image = [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]];
        let moved: [[f64; 2]; 4] = std::array::from_fn(|i| {
            let corner = image[(i + self.turns) % 4];
            [
                (corner[0] - x) * self.scale + x + self.shifts_px[i][0],
                (corner[1] - y) * self.scale + y + self.shifts_px[i][1],
            ]
        });
        let map = Homography::from_point_pairs(&moved, &image).ok()?;
        let in_front = moved.iter().all(|&corner| map.apply(corner).is_some());
        in_front.then_some(map)
    }
}

impl TransformationFamily for Projective {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&TARGET_NAMES)
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let source_from_output = self.draw(rng, height, width);
        Sampled {
            target: self.target(&source_from_output, height, width),
            transformation: source_from_output.into(),
        }
    }

    fn matrix<S: Scalar>(&self, target: &[S], [height, width]: [usize; 2]) -> Matrix<S> {
        let target: [S; 8] = check::components(target);
        let (mean, std) = self.target_statistics(height, width);
        let one = target[0].constant(1.0);
        let mut index = 0;
        let [a, b, c, d, e, f, g, h] = target.map(|value| {
            let coefficient = value.times(std[index]).plus(mean[index]);
            index += 1;
            coefficient
        });
        [[a, b, c], [d, e, f], [g, h, one]]
    }

    fn identity_target(&self, [height, width]: [usize; 2]) -> Option<Vec<f32>> {
        Some(self.target(&Homography::IDENTITY, height, width))
    }

    fn anchors(&self, size: [usize; 2]) -> Vec<Vec<f32>> {
        let [height, width] = size;
        let turns = if self.quarter_turns { 1..4 } else { 1..1 };
        let turned = turns.filter_map(|turns| {
            let corners = Corners {
                scale: 1.0,
                turns,
                shifts_px: [[0.0; 2]; 4],
            };
            corners.source_from_output(height, width)
        });
        let maps = std::iter::once(Homography::IDENTITY).chain(turned);
        maps.map(|map| self.target(&map, height, width)).collect()
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::scales(NAME, "scale", self.scale)?;
        // Beyond half the smallest side a corner may pass the middle of the image.
        check::within(
            NAME,
            "corner_shift",
            self.corner_shift,
            [0.0, self.scale[0] / 2.0],
        )?;
        let refuse = |field, allowed: &str, found: [f64; 8]| {
            Err(FamilyError::Range {
                family: NAME,
                field,
                allowed: allowed.to_owned(),
                found: format!("{found:?}"),
            })
        };
        if let Some(mean) = self.target_mean
            && !mean.iter().all(|value| value.is_finite())
        {
            return refuse("target_mean", "eight finite numbers", mean);
        }
        if let Some(std) = self.target_std
            && !std.iter().all(|value| value.is_finite() && *value > 0.0)
        {
            return refuse("target_std", "eight finite numbers above 0", std);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        height: usize,
        width: usize,
        scale: f64,
        turns: usize,
        shifts: [[f64; 2]; 4],
        matrix: [f64; 8],
        target: Option<[f64; 8]>,
        released_224_target: Option<[f64; 8]>,
    }

    #[derive(Deserialize)]
    struct Goldens {
        projective: Vec<Golden>,
    }

    fn assert_near(found: &[f32], expected: &[f64; 8]) {
        for (found, expected) in found.iter().zip(expected) {
            let off = (f64::from(*found) - expected).abs();
            assert!(off < 1e-6, "{found} for {expected}");
        }
    }

    /// Expected numbers from `tests/golden/make_golden.py`, which solves the eight equations.
    #[test]
    fn matrices_and_targets_are_those_of_the_released_recipe() {
        let goldens: Goldens =
            serde_json::from_str(include_str!("../../tests/golden/families.json")).unwrap();
        assert_eq!(goldens.projective.len(), 24);
        let at_224 = Projective {
            target_mean: Some(Projective::RELEASED_MEAN_224),
            target_std: Some(Projective::RELEASED_STD_224),
            ..Projective::default()
        };
        for golden in &goldens.projective {
            let corners = Corners {
                scale: golden.scale,
                turns: golden.turns,
                shifts_px: golden.shifts,
            };
            let (height, width) = (golden.height, golden.width);
            let map = corners.source_from_output(height, width).unwrap();
            for (found, expected) in map.coefficients().iter().zip(&golden.matrix) {
                assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
            }
            if let Some(expected) = &golden.target {
                assert_near(&Projective::default().target(&map, height, width), expected);
            }
            if let Some(expected) = &golden.released_224_target {
                assert_near(&at_224.target(&map, height, width), expected);
            }
        }
    }

    #[test]
    fn corner_shifts_reach_both_ends_and_turns_all_four() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut shifts, mut turns) = ([0_u32; 9], [0_u32; 4]);
        for _ in 0..1000 {
            let corners = Projective::default().corners(&mut rng, 32, 32);
            assert!((0.8..=1.2).contains(&corners.scale));
            turns[corners.turns] += 1;
            for shift in corners.shifts_px.iter().flatten() {
                shifts[(shift + 4.0) as usize] += 1;
            }
        }
        // 8000 / 9 = 889 and 1000 / 4 = 250, give or take four standard deviations.
        assert!(
            shifts.iter().all(|count| (776..1002).contains(count)),
            "{shifts:?}"
        );
        assert!(
            turns.iter().all(|count| (195..305).contains(count)),
            "{turns:?}"
        );
    }

    #[test]
    fn quarter_turns_can_be_left_out() {
        let family = Projective {
            quarter_turns: false,
            ..Projective::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let turns = (0..200).map(|_| family.corners(&mut rng, 32, 32).turns);
        assert_eq!(turns.max(), Some(0));
    }

    #[test]
    fn the_largest_side_of_the_released_shifts_is_28_of_224() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let most = (0..300)
            .flat_map(|_| Projective::default().corners(&mut rng, 224, 224).shifts_px)
            .flatten()
            .fold(0.0, f64::max);
        assert_eq!(most, 28.0);
    }

    #[test]
    fn corners_folded_over_are_refused() {
        let folded = Corners {
            scale: 1.0,
            turns: 0,
            shifts_px: [[30.0, 30.0], [0.0; 2], [0.0; 2], [0.0; 2]],
        };
        assert_eq!(folded.source_from_output(32, 32), None);
    }

    #[test]
    fn impossible_ranges_still_give_a_finite_map() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for scale in [[f64::NAN; 2], [0.0, 0.0]] {
            let family = Projective {
                scale,
                ..Projective::default()
            };
            let sampled = family.sample(&mut rng, 32, 32);
            assert!(sampled.target.iter().all(|value| value.is_finite()));
        }
    }
}
