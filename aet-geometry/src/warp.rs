//! Applies a [`Homography`] to an image: bilinear sampling with a fill colour, as Pillow does it.
//!
//! Positions are computed in `f64`, then rounded to 1/16384 of a pixel; the four weights are whole
//! numbers of 1/16384 that sum to one, and the weighted sum is cut off to 8 bits as in Pillow. The
//! sums are in integers, so that the path for AVX2 and the one for any processor give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

use crate::homography::{HORIZON_RELATIVE, Homography};
use crate::image::{RgbImage, RgbView, RgbViewMut};

/// Bits after the point of a sampling position and of a weight. 14 is the most that lets a weight
/// of 1 fit the signed 16 bits of the multiply-add instructions.
const BITS: u32 = 14;
/// A whole pixel, or a weight of 1.
const ONE: i32 = 1 << BITS;
/// Added to a number from 0 to 2^51, leaves it, rounded to the nearest whole number (the even one
/// of two), in the low bits of the sum.
const ROUNDING: f64 = (1_u64 << 52) as f64;

/// Reads an image of `output_height` x `output_width` pixels out of `source` through
/// `source_from_output`, bilinearly, with `fill` where it reads from outside the source.
///
/// The same as Pillow's `source.transform((output_width, output_height), PERSPECTIVE,
/// source_from_output.coefficients(), BILINEAR, fillcolor=fill)`, also in that values are cut off
/// and not rounded, but for
/// - rounding: 1 level at most, on about three pixels in a thousand (`tests/golden.rs`);
/// - points on or behind the horizon, which get `fill`, where Pillow divides through and shows the
///   mirrored other side.
///
/// Maps may be anything, singular or not finite included: a point whose position in the source is
/// not a number in range gets `fill`. A source without pixels gives `fill` everywhere.
///
/// ```
/// use aet_geometry::{Homography, RgbImage, warp};
/// # fn main() -> Result<(), aet_geometry::ImageSizeError> {
/// let image = RgbImage::new(1, 2, vec![0, 0, 0, 200, 100, 50])?;
///
/// // Each output point is read from half a pixel further right.
/// let source_from_output = Homography::translation(0.5, 0.0);
/// let moved = warp(&image, &source_from_output, 1, 3, [9, 9, 9]);
///
/// assert_eq!(moved.pixel(0, 0), [100, 50, 25]); // between the two pixels
/// assert_eq!(moved.pixel(0, 1), [9, 9, 9]); // read from x = 2, where the image ends
/// # Ok(())
/// # }
/// ```
pub fn warp(
    source: &RgbImage,
    source_from_output: &Homography,
    output_height: usize,
    output_width: usize,
    fill: [u8; 3],
) -> RgbImage {
    let mut output = RgbImage::filled(output_height, output_width, fill);
    warp_into(source.view(), source_from_output, output.view_mut(), fill);
    output
}

/// As [`warp`], into pixels that are already there; allocates nothing.
///
/// Output pixel (row i, column j) takes the value of the source at
/// `source_from_output.apply([j + 0.5, i + 0.5])`. A value at (x, y) with `0 <= x < width` and
/// `0 <= y < height` is interpolated between the four pixel centres around it, the pixels at the
/// border being repeated outwards; any other is `fill`.
pub fn warp_into(
    source: RgbView<'_>,
    source_from_output: &Homography,
    mut output: RgbViewMut<'_>,
    fill: [u8; 3],
) {
    if source.pixels().is_empty() || output.pixels().is_empty() {
        portable::fill_all(output.pixels_mut(), fill);
        return;
    }
    let map = Map::new(source, source_from_output, &output);
    #[cfg(target_arch = "x86_64")]
    if avx2::suits(source, &output) {
        // SAFETY: `suits` has seen that the processor has AVX2.
        unsafe { avx2::warp::<false>(source, &map, output, fill) };
        return;
    }
    portable::warp(source, &map, output, fill);
}

/// As [`warp_into`], with the source mirrored at its sides, again and again, where it is read from
/// outside; what is read from nowhere (on or behind the horizon, or a position that is not finite)
/// is `nowhere`.
pub(crate) fn warp_mirrored_into(
    source: RgbView<'_>,
    source_from_output: &Homography,
    mut output: RgbViewMut<'_>,
    nowhere: [u8; 3],
) {
    if source.pixels().is_empty() || output.pixels().is_empty() {
        portable::fill_all(output.pixels_mut(), nowhere);
        return;
    }
    let map = Map::new(source, source_from_output, &output);
    #[cfg(target_arch = "x86_64")]
    if avx2::suits(source, &output) {
        // SAFETY: `suits` has seen that the processor has AVX2.
        unsafe { avx2::warp::<true>(source, &map, output, nowhere) };
        return;
    }
    portable::warp_mirrored(source, &map, output, nowhere);
}

/// The map in the form that the inner loops take, with the bounds that go with the source.
#[derive(Debug, Clone, Copy)]
struct Map {
    /// From an output point to source coordinates in units of 1/[`ONE`] pixel.
    rows: [[f64; 3]; 3],
    /// Third homogeneous coordinates up to here lie on or behind the horizon.
    horizon: f64,
    /// (Width, height) of the source, in the same units.
    size: [f64; 2],
}

impl Map {
    fn new(source: RgbView<'_>, map: &Homography, output: &RgbViewMut<'_>) -> Self {
        let [first, second, third] = map.rows();
        let [g, h, i] = third;
        let most = g.abs() * output.width() as f64 + h.abs() * output.height() as f64 + i.abs();
        let one = f64::from(ONE);
        Self {
            rows: [first.map(|v| v * one), second.map(|v| v * one), third],
            horizon: HORIZON_RELATIVE * most,
            size: [source.width() as f64 * one, source.height() as f64 * one],
        }
    }

    /// The parts of the three homogeneous coordinates that a row of pixels has in common.
    #[inline(always)]
    fn row_starts(&self, y: f64) -> [f64; 3] {
        let [u, v, w] = &self.rows;
        [u[1] * y + u[2], v[1] * y + v[2], w[1] * y + w[2]]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{Family, TransformationFamily};

    fn noise(rng: &mut ChaCha8Rng, height: usize, width: usize) -> RgbImage {
        let mut pixels = vec![0; height * width * 3];
        rng.fill_bytes(&mut pixels);
        RgbImage::new(height, width, pixels).unwrap()
    }

    /// A matrix of one of several sorts, from what a family gives to nonsense.
    fn matrix(rng: &mut ChaCha8Rng, height: usize, width: usize) -> Homography {
        let sort = rng.random_range(0..Family::KINDS.len() + 8);
        if let Some((kind, _)) = Family::KINDS.get(sort) {
            let family = Family::default_of(kind).unwrap();
            let sampled = family.sample(rng, height, width);
            return sampled.source_from_output().unwrap_or(Homography::IDENTITY);
        }
        let size = [1.0, 0.03, 1e200][(sort - Family::KINDS.len()) % 3];
        Homography::from_rows(std::array::from_fn(|_| {
            std::array::from_fn(|_| match rng.random_range(0..40_u32) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2..6 => 0.0,
                _ => rng.random_range(-size..size),
            })
        }))
    }

    #[test]
    fn both_paths_give_the_same_bits() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for _ in 0..3000 {
            let (height, width) = (rng.random_range(2..40), rng.random_range(2..40));
            let source = noise(&mut rng, height, width);
            let (rows, columns) = (rng.random_range(1..40), rng.random_range(8..40));
            let map = matrix(&mut rng, height, width);
            let fill = [7, 130, 255];

            let dispatched = warp(&source, &map, rows, columns, fill);
            let mut output = RgbImage::filled(rows, columns, [1, 2, 3]);
            let inner = Map::new(source.view(), &map, &output.view_mut());
            portable::warp(source.view(), &inner, output.view_mut(), fill);
            assert_eq!(dispatched, output, "{map:?}");

            let mut mirrored = RgbImage::filled(rows, columns, [4, 5, 6]);
            warp_mirrored_into(source.view(), &map, mirrored.view_mut(), fill);
            portable::warp_mirrored(source.view(), &inner, output.view_mut(), fill);
            assert_eq!(mirrored, output, "mirrored: {map:?}");
        }
    }
}
