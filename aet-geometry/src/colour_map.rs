//! Affine maps of colours: what the filters `hueRotate` and `saturate` of SVG do (Filter Effects
//! Module, section 9.6), and contrast and brightness, as one 3x4 matrix.

use crate::image::{RgbView, RgbViewMut};

/// Share of red, green and blue in the luma of a colour (ITU-R BT.709, as in SVG filters).
const LUMA: [f64; 3] = [0.2126, 0.7152, 0.0722];

/// The middle grey that contrast leaves as it is.
const MIDDLE: f64 = 127.5;

/// A map of colours: `output = linear * input + offset`, in values from 0 to 255. Maps that follow
/// each other are one map, so that values are rounded and cut off once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourMap {
    linear: [[f64; 3]; 3],
    offset: [f64; 3],
}

impl ColourMap {
    /// The map that multiplies every value by `factor`.
    pub fn brightness(factor: f64) -> Self {
        Self::diagonal(factor, 0.0)
    }

    /// The map that multiplies the distance of every value from the middle grey by `factor`.
    pub fn contrast(factor: f64) -> Self {
        Self::diagonal(factor, MIDDLE * (1.0 - factor))
    }

    /// The map that multiplies the distance of every colour from the grey of the same luma by
    /// `factor`; 0 leaves greys alone.
    pub fn saturation(factor: f64) -> Self {
        let grey = 1.0 - factor;
        let linear = |row: usize, column: usize| {
            grey * LUMA[column] + if row == column { factor } else { 0.0 }
        };
        Self {
            linear: std::array::from_fn(|row| std::array::from_fn(|column| linear(row, column))),
            offset: [0.0; 3],
        }
    }

    /// The map that turns colours about the axis of greys by `angle_rad`, from red towards green,
    /// keeping their luma.
    pub fn hue(angle_rad: f64) -> Self {
        let (sin, cos) = angle_rad.sin_cos();
        let [r, g, b] = LUMA;
        // Along cos: from the grey to the colour; along sin: square to both, without luma.
        let across = [[-r, -g, 1.0 - b], [0.143, 0.140, -0.283], [r - 1.0, g, b]];
        let linear = |row: usize, column: usize| {
            let own = if row == column { 1.0 } else { 0.0 };
            LUMA[column] + cos * (own - LUMA[column]) + sin * across[row][column]
        };
        Self {
            linear: std::array::from_fn(|row| std::array::from_fn(|column| linear(row, column))),
            offset: [0.0; 3],
        }
    }

    /// This map, and then `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let row = |row: usize| next.linear[row];
        Self {
            linear: std::array::from_fn(|r| {
                std::array::from_fn(|c| (0..3).map(|k| row(r)[k] * self.linear[k][c]).sum())
            }),
            offset: std::array::from_fn(|r| {
                let moved: f64 = (0..3).map(|k| row(r)[k] * self.offset[k]).sum();
                moved + next.offset[r]
            }),
        }
    }

    fn diagonal(factor: f64, offset: f64) -> Self {
        Self {
            linear: std::array::from_fn(|row| {
                std::array::from_fn(|column| if row == column { factor } else { 0.0 })
            }),
            offset: [offset; 3],
        }
    }

    /// The map of every pixel of `source`, rounded and cut off at 0 and 255. Sizes are equal.
    pub(crate) fn apply_into(&self, source: RgbView<'_>, mut output: RgbViewMut<'_>) {
        let linear = self.linear.map(|row| row.map(|value| value as f32));
        let offset = self.offset.map(|value| value as f32 + 0.5);
        let pixels = source.pixels().chunks_exact(3);
        for (pixel, mapped) in pixels.zip(output.pixels_mut().chunks_exact_mut(3)) {
            let [r, g, b] = [0, 1, 2].map(|channel| f32::from(pixel[channel]));
            for channel in 0..3 {
                let [x, y, z] = linear[channel];
                let value = x * r + y * g + z * b + offset[channel];
                // A conversion to whole numbers cuts off at both ends.
                mapped[channel] = value as u8;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::image::RgbImage;

    fn mapped(map: ColourMap, colour: [u8; 3]) -> [u8; 3] {
        let image = RgbImage::new(1, 1, colour.to_vec()).unwrap();
        let mut output = RgbImage::filled(1, 1, [0; 3]);
        map.apply_into(image.view(), output.view_mut());
        output.pixel(0, 0)
    }

    fn luma(colour: [u8; 3]) -> f64 {
        (0..3).map(|i| LUMA[i] * f64::from(colour[i])).sum()
    }

    #[test]
    fn nothing_to_do_leaves_every_colour() {
        let none = ColourMap::hue(0.0)
            .then(&ColourMap::saturation(1.0))
            .then(&ColourMap::contrast(1.0))
            .then(&ColourMap::brightness(1.0));
        for colour in [[0, 0, 0], [255, 255, 255], [3, 97, 201], [254, 1, 128]] {
            assert_eq!(mapped(none, colour), colour);
        }
    }

    #[test]
    fn brightness_multiplies_and_contrast_keeps_the_middle() {
        assert_eq!(
            mapped(ColourMap::brightness(0.5), [10, 100, 201]),
            [5, 50, 101]
        );
        assert_eq!(
            mapped(ColourMap::brightness(2.0), [10, 100, 201]),
            [20, 200, 255]
        );
        let twice = ColourMap::contrast(2.0);
        assert_eq!(mapped(twice, [127, 128, 130]), [127, 129, 133]);
        assert_eq!(mapped(twice, [10, 250, 0]), [0, 255, 0]);
        assert_eq!(mapped(ColourMap::contrast(0.0), [3, 99, 255]), [128; 3]);
    }

    #[test]
    fn without_saturation_colours_are_their_luma() {
        let grey = mapped(ColourMap::saturation(0.0), [200, 40, 90]);
        assert_eq!(grey, [(luma([200, 40, 90])).round() as u8; 3]);
    }

    #[test]
    fn turning_the_hue_keeps_greys_and_luma_and_comes_back() {
        for degrees in [20.0_f64, 90.0, 240.0] {
            let turn = ColourMap::hue(degrees.to_radians());
            assert_eq!(mapped(turn, [77; 3]), [77; 3]);
            let colour = [120, 110, 100];
            let turned = mapped(turn, colour);
            assert_ne!(turned, colour);
            assert!((luma(turned) - luma(colour)).abs() < 1.0, "{turned:?}");
            let back = turn.then(&ColourMap::hue(-degrees.to_radians()));
            for (found, expected) in mapped(back, colour).iter().zip(colour) {
                assert!(found.abs_diff(expected) <= 1, "{degrees}");
            }
        }
    }
}
