//! Gaussian blur, by rows and then by columns.

use crate::image::{RgbView, RgbViewMut};

/// Standard deviations from the middle to where the Gaussian is cut off.
const REACH: f64 = 3.0;

/// Writes `source` into `output`, of the same size, blurred by a Gaussian of standard deviation
/// `sigma_px` pixels that is cut off after three of them; the pixels at the border are repeated
/// outwards. A width that is 0, negative or not a number copies.
pub fn gaussian_blur(source: RgbView<'_>, sigma_px: f64, mut output: RgbViewMut<'_>) {
    let weights = weights(sigma_px);
    let size = [source.height(), source.width()];
    if weights.len() == 1 || source.pixels().is_empty() {
        output.pixels_mut().copy_from_slice(source.pixels());
        return;
    }
    let mut values: Vec<f32> = source.pixels().iter().copied().map(f32::from).collect();
    blur_values(&mut values, size, 3, &weights);
    for (pixel, value) in output.pixels_mut().iter_mut().zip(values) {
        *pixel = (value + 0.5) as u8;
    }
}

/// As [`gaussian_blur`], of a plane of `[height, width]` values, in place.
pub(crate) fn blur_plane(values: &mut [f32], size: [usize; 2], sigma_px: f64) {
    let weights = weights(sigma_px);
    if weights.len() > 1 && !values.is_empty() {
        blur_values(values, size, 1, &weights);
    }
}

/// What blurring in both directions leaves of the standard deviation of independent noise, away from
/// the border.
pub(crate) fn kept_by_blur(sigma_px: f64) -> f64 {
    let squares = weights(sigma_px).into_iter().map(|w| f64::from(w).powi(2));
    squares.sum()
}

/// Blurs values of `[height, width, channels]` by rows, then by columns.
fn blur_values(values: &mut [f32], [height, width]: [usize; 2], channels: usize, weights: &[f32]) {
    let reach = weights.len() / 2;
    let clamped = |at: usize, side: usize| at.saturating_sub(reach).min(side - 1);
    let line = channels * width;
    let mut rows = vec![0.0_f32; values.len()];
    for (row, blurred) in values.chunks_exact(line).zip(rows.chunks_exact_mut(line)) {
        for (column, sums) in blurred.chunks_exact_mut(channels).enumerate() {
            for (offset, weight) in weights.iter().enumerate() {
                let at = channels * clamped(column + offset, width);
                for (sum, value) in sums.iter_mut().zip(&row[at..at + channels]) {
                    *sum += weight * value;
                }
            }
        }
    }
    for (row, sums) in values.chunks_exact_mut(line).enumerate() {
        sums.fill(0.0);
        for (offset, weight) in weights.iter().enumerate() {
            let at = line * clamped(row + offset, height);
            for (sum, value) in sums.iter_mut().zip(&rows[at..at + line]) {
                *sum += weight * value;
            }
        }
    }
}

/// The weights of a Gaussian around its middle, an odd number that sum to 1.
fn weights(sigma_px: f64) -> Vec<f32> {
    // Far narrower than a pixel, all weight is on the middle.
    if !(sigma_px > 0.1 && sigma_px.is_finite()) {
        return vec![1.0];
    }
    let reach = (REACH * sigma_px).ceil();
    let count = 2 * reach as usize + 1;
    let heights: Vec<f64> = (0..count)
        .map(|index| (-0.5 * ((index as f64 - reach) / sigma_px).powi(2)).exp())
        .collect();
    let sum: f64 = heights.iter().sum();
    heights.iter().map(|height| (height / sum) as f32).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::image::RgbImage;

    fn blurred(image: &RgbImage, sigma_px: f64) -> RgbImage {
        let mut output = RgbImage::filled(image.height(), image.width(), [1, 2, 3]);
        gaussian_blur(image.view(), sigma_px, output.view_mut());
        output
    }

    #[test]
    fn a_point_becomes_the_gaussian_in_both_directions() {
        let mut image = RgbImage::filled(15, 13, [0; 3]);
        let middle = 3 * (7 * 13 + 6);
        image.pixels_mut()[middle..middle + 3].copy_from_slice(&[255, 100, 0]);
        let output = blurred(&image, 1.5);
        let profile = |d: f64| (-0.5 * (d / 1.5).powi(2)).exp();
        let sum: f64 = (-5..=5).map(|d| profile(f64::from(d))).sum();
        for (row, column) in (0..15).flat_map(|row| (0..13).map(move |column| (row, column))) {
            let (y, x) = (row as f64 - 7.0, column as f64 - 6.0);
            let share = if x.abs() <= 5.0 && y.abs() <= 5.0 {
                profile(x) * profile(y) / (sum * sum)
            } else {
                0.0
            };
            let expected = [255.0 * share, 100.0 * share, 0.0];
            for (found, expected) in output.pixel(row, column).iter().zip(expected) {
                assert!(
                    (f64::from(*found) - expected).abs() <= 0.51,
                    "{row} {column}"
                );
            }
        }
    }

    #[test]
    fn one_colour_stays_and_no_width_copies() {
        let flat = RgbImage::filled(5, 3, [9, 200, 255]);
        assert_eq!(blurred(&flat, 4.0), flat);
        let image = RgbImage::new(2, 2, (0..12).map(|v| v * 20).collect()).unwrap();
        for sigma in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(blurred(&image, sigma), image);
        }
        let none = RgbImage::filled(0, 4, [0; 3]);
        assert_eq!(blurred(&none, 2.0), none);
    }
}
