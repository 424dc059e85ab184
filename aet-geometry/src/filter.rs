//! Filters: every pixel becomes a weighted sum of those around it.

use crate::image::{RgbView, RgbViewMut};

/// A square filter with an odd side.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    side: usize,
    weights: Vec<f32>,
}

impl Filter {
    /// The filter with `side * side` weights, row by row.
    ///
    /// # Panics
    /// When the side is even or there are not as many weights.
    pub fn new(side: usize, weights: Vec<f32>) -> Self {
        assert!(side % 2 == 1, "the side of a filter is odd");
        assert_eq!(weights.len(), side * side, "weights of a filter");
        Self { side, weights }
    }

    /// Filters every channel of `source` into `output`, of the same size; the border is repeated
    /// outwards, sums are rounded and cut off at 0 and 255.
    pub(crate) fn apply_into(&self, source: RgbView<'_>, mut output: RgbViewMut<'_>) {
        let (height, width) = (source.height(), source.width());
        let reach = self.side / 2;
        let clamped = |at: usize, count: usize| at.saturating_sub(reach).min(count - 1);
        for (place, pixel) in output.pixels_mut().chunks_exact_mut(3).enumerate() {
            let (row, column) = (place / width, place % width);
            let mut sums = [0.5_f32; 3];
            for (index, weight) in self.weights.iter().enumerate() {
                let from_row = clamped(row + index / self.side, height);
                let from_column = clamped(column + index % self.side, width);
                let value = source.pixel(from_row, from_column);
                for (sum, value) in sums.iter_mut().zip(value) {
                    *sum += weight * f32::from(value);
                }
            }
            for (value, sum) in pixel.iter_mut().zip(sums) {
                *value = sum as u8;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::image::RgbImage;

    #[test]
    fn weights_reach_the_pixels_around_and_repeat_the_border() {
        let image = RgbImage::new(2, 3, (0..18).map(|v| v * 10).collect()).unwrap();
        let mut weights = vec![0.0; 9];
        (weights[3], weights[4]) = (0.5, 0.25); // the pixel to the left, and the pixel itself
        let mut output = RgbImage::filled(2, 3, [0; 3]);
        Filter::new(3, weights).apply_into(image.view(), output.view_mut());
        assert_eq!(output.pixel(0, 1), [8, 15, 23]); // 0.25 * 30 + 0.5 * 0, rounded
        assert_eq!(output.pixel(1, 0), [68, 75, 83]); // 0.75 * 90, with nothing on the left
    }
}
