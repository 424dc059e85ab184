//! The warp for any processor, pixel by pixel. What it gives is what the other path must give.

use super::{BITS, Map, ONE, ROUNDING};
use crate::border::mirrored;
use crate::image::{RgbView, RgbViewMut};

/// Writes `fill` to every pixel.
pub(super) fn fill_all(pixels: &mut [u8], fill: [u8; 3]) {
    for pixel in pixels.chunks_exact_mut(3) {
        pixel.copy_from_slice(&fill);
    }
}

/// Warps all of `output`. Neither image is empty.
pub(super) fn warp(source: RgbView<'_>, map: &Map, output: RgbViewMut<'_>, fill: [u8; 3]) {
    let [width, height] = map.size;
    each_pixel(source, map, output, fill, |[u, v]| {
        (u >= 0.0 && u < width && v >= 0.0 && v < height).then_some([u, v])
    });
}

/// The same of a source that is mirrored at its sides, with `nowhere` on and behind the horizon.
pub(super) fn warp_mirrored(
    source: RgbView<'_>,
    map: &Map,
    output: RgbViewMut<'_>,
    nowhere: [u8; 3],
) {
    let [width, height] = map.size;
    each_pixel(source, map, output, nowhere, |[u, v]| {
        (u.is_finite() && v.is_finite()).then(|| [mirrored(u, width), mirrored(v, height)])
    });
}

/// Writes to each pixel the source at what `place` makes of its position, or `otherwise`.
#[inline(always)]
fn each_pixel(
    source: RgbView<'_>,
    map: &Map,
    mut output: RgbViewMut<'_>,
    otherwise: [u8; 3],
    place: impl Fn([f64; 2]) -> Option<[f64; 2]>,
) {
    let row_bytes = output.width() * 3;
    for (i, row) in output.pixels_mut().chunks_exact_mut(row_bytes).enumerate() {
        let starts = map.row_starts(i as f64 + 0.5);
        for (j, pixel) in row.chunks_exact_mut(3).enumerate() {
            let at = position(map, starts, j as f64 + 0.5).and_then(&place);
            let colour = at.map_or(otherwise, |at| sample(source, at));
            pixel.copy_from_slice(&colour);
        }
    }
}

/// Where in the source's plane the output point at `x` is read from, in units of 1/[`ONE`] pixel, or
/// nothing on or behind the horizon.
#[inline(always)]
fn position(map: &Map, starts: [f64; 3], x: f64) -> Option<[f64; 2]> {
    let [u, v, w] = std::array::from_fn(|k| map.rows[k][0] * x + starts[k]);
    let inverse = 1.0 / w;
    (w > map.horizon).then_some([u * inverse, v * inverse])
}

/// The source at `at`, in units of 1/[`ONE`] pixel, which lies inside it.
#[inline(always)]
fn sample(source: RgbView<'_>, at: [f64; 2]) -> [u8; 3] {
    let (height, width) = (source.height(), source.width());
    let (column, right) = neighbour(at[0], width);
    let (row, down) = neighbour(at[1], height);
    let both = (right * down + ONE / 2) >> BITS;
    let weights = [ONE - right - down + both, right - both, down - both, both];
    let x_step = if width > 1 { 3 } else { 0 };
    let y_step = if height > 1 { width * 3 } else { 0 };
    let first = (row * width + column) * 3;
    let pixels = source.pixels();
    let [a, b, c, d] = [0, x_step, y_step, y_step + x_step].map(|step| {
        let at = first + step;
        &pixels[at..at + 3]
    });
    std::array::from_fn(|channel| {
        let values = [a, b, c, d].map(|pixel| i32::from(pixel[channel]));
        let sum: i32 = (0..4).map(|k| weights[k] * values[k]).sum();
        (sum >> BITS) as u8
    })
}

/// The first of the two pixels whose centres are around coordinate `at` on a side of `size` pixels,
/// and the weight of the second, from 0 to [`ONE`].
#[inline(always)]
fn neighbour(at: f64, size: usize) -> (usize, i32) {
    let from_centre = at - f64::from(ONE / 2);
    let last = (size - 1) as f64 * f64::from(ONE);
    let bits = (from_centre.max(0.0).min(last) + ROUNDING).to_bits();
    let fixed = bits & ((1 << 52) - 1);
    let first = (fixed >> BITS).min(size.saturating_sub(2) as u64);
    (first as usize, (fixed - (first << BITS)) as i32)
}
