//! Displacement fields: where each pixel of an image is read from, pixel by pixel.

use crate::border::Border;
use crate::image::{RgbView, RgbViewMut};

/// Where each pixel of a transformed image is read from in the source, (x, y) in pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    height: usize,
    width: usize,
    sources: Vec<[f32; 2]>,
}

impl Field {
    /// The field of an image of `height` x `width` pixels that reads the pixel of row i and column j
    /// from `source_of(i, j)`.
    pub fn from_fn(
        height: usize,
        width: usize,
        mut source_of: impl FnMut(usize, usize) -> [f64; 2],
    ) -> Self {
        let places = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        Self {
            height,
            width,
            sources: places
                .map(|(row, column)| source_of(row, column).map(|value| value as f32))
                .collect(),
        }
    }

    /// Where the pixel of a row and a column is read from.
    ///
    /// # Panics
    /// When it is outside the image.
    pub fn source(&self, row: usize, column: usize) -> [f32; 2] {
        assert!(row < self.height && column < self.width, "no such pixel");
        self.sources[row * self.width + column]
    }

    /// Reads `output` out of `source` through the field, bilinearly and rounded. A value at (x, y)
    /// with `0 <= x < width` and `0 <= y < height` is interpolated between the four pixel centres
    /// around it, those at the sides being repeated outwards; any other is the border's.
    ///
    /// # Panics
    /// When the output has another size than the field.
    pub(crate) fn warp_into(
        &self,
        source: RgbView<'_>,
        mut output: RgbViewMut<'_>,
        border: Border,
    ) {
        let size = [output.height(), output.width()];
        assert_eq!(size, [self.height, self.width], "a field is of one size");
        let size = [source.width() as f32, source.height() as f32];
        let pixels = output.pixels_mut().chunks_exact_mut(3);
        for (pixel, place) in pixels.zip(&self.sources) {
            let [x, y] = match border.place(*place, size) {
                Ok(place) => place,
                Err(colour) => {
                    pixel.copy_from_slice(&colour);
                    continue;
                }
            };
            let (columns, across) = neighbours(x, source.width());
            let (rows, down) = neighbours(y, source.height());
            let corners = [
                source.pixel(rows[0], columns[0]),
                source.pixel(rows[0], columns[1]),
                source.pixel(rows[1], columns[0]),
                source.pixel(rows[1], columns[1]),
            ];
            for (channel, value) in pixel.iter_mut().enumerate() {
                let [a, b, c, d] = corners.map(|corner| f32::from(corner[channel]));
                let (above, below) = (a + (b - a) * across, c + (d - c) * across);
                *value = (above + (below - above) * down + 0.5) as u8;
            }
        }
    }
}

/// The pixels on both sides of a position along one axis, and how far it lies towards the second.
fn neighbours(position: f32, count: usize) -> ([usize; 2], f32) {
    let centred = position - 0.5;
    let first = centred.floor();
    let last = count as isize - 1;
    let at = |offset: isize| (first as isize + offset).clamp(0, last) as usize;
    ([at(0), at(1)], centred - first)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::homography::Homography;
    use crate::image::RgbImage;
    use crate::warp::warp;

    #[test]
    fn the_field_of_a_homography_warps_as_the_homography() {
        let pixels = (0..9 * 7 * 3).map(|i| (i * 53 % 256) as u8).collect();
        let image = RgbImage::new(9, 7, pixels).unwrap();
        let map = Homography::rotation(0.4).about([3.0, 5.0]) * Homography::scaling(0.9, 1.2);
        let field = Field::from_fn(9, 7, |row, column| {
            map.apply([column as f64 + 0.5, row as f64 + 0.5]).unwrap()
        });
        let mut output = RgbImage::filled(9, 7, [0; 3]);
        field.warp_into(image.view(), output.view_mut(), [9, 8, 7].into());
        let expected = warp(&image, &map, 9, 7, [9, 8, 7]);
        for (found, expected) in output.pixels().iter().zip(expected.pixels()) {
            // The one rounds, the other cuts off.
            assert!(found.abs_diff(*expected) <= 1, "{found} {expected}");
        }
    }
}
