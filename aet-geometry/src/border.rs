//! What a warp reads from outside an image.

use crate::homography::Homography;
use crate::image::{RgbImage, RgbView, RgbViewMut};
use crate::warp::warp_into;

/// The grey that is read where even the mirrored image ends.
const BEYOND: [u8; 3] = [128; 3];

/// What a warp reads from outside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// One colour, as released. Its outline tells where the image went.
    Fill([u8; 3]),
    /// The image mirrored at its sides, once in every direction; grey beyond that.
    Reflect,
}

impl From<[u8; 3]> for Border {
    fn from(colour: [u8; 3]) -> Self {
        Self::Fill(colour)
    }
}

impl Border {
    /// As [`warp_into`], with this border.
    pub(crate) fn warp_into(self, source: RgbView<'_>, map: &Homography, output: RgbViewMut<'_>) {
        match self {
            Self::Fill(colour) => warp_into(source, map, output, colour),
            Self::Reflect => {
                let (height, width) = (source.height(), source.width());
                let middle = Homography::translation(width as f64, height as f64);
                let around = mirrored(source);
                warp_into(around.view(), &middle.compose(map), output, BEYOND);
            }
        }
    }

    /// The place of the image that a place in the plane is read from; none where it has a colour of
    /// its own, which stands beside.
    pub(crate) fn place(self, [x, y]: [f32; 2], size: [f32; 2]) -> Result<[f32; 2], [u8; 3]> {
        let [width, height] = size;
        let inside = |x: f32, y: f32| x >= 0.0 && x < width && y >= 0.0 && y < height;
        match self {
            _ if inside(x, y) => Ok([x, y]),
            Self::Fill(colour) => Err(colour),
            Self::Reflect => {
                let fold = |value: f32, side: f32| match value {
                    low if low < 0.0 => -low,
                    high if high >= side => (2.0 * side - high).min(side * (1.0 - f32::EPSILON)),
                    within => within,
                };
                let (x, y) = (fold(x, width), fold(y, height));
                if inside(x, y) {
                    Ok([x, y])
                } else {
                    Err(BEYOND)
                }
            }
        }
    }
}

/// Three by three images, the middle one as it is and those around it mirrored at its sides.
fn mirrored(source: RgbView<'_>) -> RgbImage {
    let (height, width) = (source.height(), source.width());
    let fold = |at: usize, side: usize| match at / side {
        0 => side - 1 - at,
        1 => at - side,
        _ => 3 * side - 1 - at,
    };
    let mut around = RgbImage::filled(3 * height, 3 * width, [0; 3]);
    let line = 3 * 3 * width;
    if line == 0 {
        return around;
    }
    for (row, pixels) in around.pixels_mut().chunks_exact_mut(line).enumerate() {
        let from = fold(row, height);
        for (column, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(&source.pixel(from, fold(column, width)));
        }
    }
    around
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::field::Field;
    use crate::transformation::{Step, Transformation};

    fn picture() -> RgbImage {
        RgbImage::new(3, 4, (0..36).map(|v| v * 7).collect()).unwrap()
    }

    #[test]
    fn the_image_is_mirrored_at_its_sides_with_its_last_pixels_twice() {
        let image = picture();
        let right = Transformation::from(Homography::translation(-2.0, 0.0));
        let moved = right.apply(image.view(), Border::Reflect);
        for row in 0..3 {
            for (column, from) in [(0, 1), (1, 0), (2, 0), (3, 1)] {
                assert_eq!(moved.pixel(row, column), image.pixel(row, from), "{column}");
            }
        }
        let filled = right.apply(image.view(), [9; 3]);
        assert_eq!(filled.pixel(0, 1), [9; 3]);
    }

    #[test]
    fn beyond_one_reflection_there_is_grey() {
        let far = Transformation::from(Homography::translation(-9.0, 0.0));
        let moved = far.apply(picture().view(), Border::Reflect);
        assert_eq!(moved.pixel(1, 0), BEYOND);
    }

    #[test]
    fn a_field_reads_the_same_border_as_a_homography() {
        let image = picture();
        let map = Homography::rotation(0.7).about([2.0, 1.0]);
        let by_map = Transformation::from(map).apply(image.view(), Border::Reflect);
        let field = Field::from_fn(3, 4, |row, column| {
            map.apply([column as f64 + 0.5, row as f64 + 0.5]).unwrap()
        });
        let by_field =
            Transformation::from(Step::Field(field)).apply(image.view(), Border::Reflect);
        for (one, other) in by_map.pixels().iter().zip(by_field.pixels()) {
            assert!(one.abs_diff(*other) <= 1, "{one} {other}");
        }
    }
}
