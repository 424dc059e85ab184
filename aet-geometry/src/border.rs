//! What a warp reads from outside an image.

use crate::homography::Homography;
use crate::image::{RgbView, RgbViewMut};
use crate::warp::{warp_into, warp_mirrored_into};

/// The grey of what is read from nowhere: on or behind a horizon, where there is no place to mirror.
const NOWHERE: [u8; 3] = [128; 3];

/// What a warp reads from outside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// One colour, as released. Its outline tells where the image went.
    Fill([u8; 3]),
    /// The image mirrored at its sides, again and again; grey on and behind a horizon.
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
            Self::Reflect => warp_mirrored_into(source, map, output, NOWHERE),
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
            Self::Reflect if !(x.is_finite() && y.is_finite()) => Err(NOWHERE),
            Self::Reflect => {
                let [x, y] = [(x, width), (y, height)]
                    .map(|(at, side)| mirrored(f64::from(at), f64::from(side)) as f32);
                Ok([x, y])
            }
        }
    }
}

/// Where between 0 and `side` the position `at` comes to lie when the axis is folded at both.
pub(crate) fn mirrored(at: f64, side: f64) -> f64 {
    if (0.0..side).contains(&at) {
        return at;
    }
    let there_and_back = 2.0 * side;
    let along = at - there_and_back * (at / there_and_back).floor();
    (side - (along - side).abs()).clamp(0.0, side)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::field::Field;
    use crate::image::RgbImage;
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
    fn what_lies_beyond_the_mirrored_image_is_mirrored_again() {
        let image = picture();
        // Nine to the right on a width of 4: the first column is read from -8.5, one period on.
        let far = Transformation::from(Homography::translation(-9.0, 0.0));
        let moved = far.apply(image.view(), Border::Reflect);
        for (column, from) in [(0, 0), (1, 0), (2, 1), (3, 2)] {
            assert_eq!(moved.pixel(1, column), image.pixel(1, from), "{column}");
        }
    }

    #[test]
    fn what_is_read_from_behind_a_horizon_is_grey_and_the_inside_as_with_a_fill() {
        let image = picture();
        let map = Homography::from_rows([[1.0, 0.1, 0.3], [0.0, 1.0, 0.0], [-0.4, 0.0, 1.0]]);
        let by_map = Transformation::from(map);
        let reflected = by_map.apply(image.view(), Border::Reflect);
        assert_eq!(reflected.pixel(0, 3), NOWHERE);
        let filled = by_map.apply(image.view(), [0; 3]);
        let inside = by_map.reads_inside(3, 4);
        assert!(inside.contains(&true) && inside.contains(&false));
        for (at, inside) in inside.into_iter().enumerate() {
            let same = reflected.pixel(at / 4, at % 4) == filled.pixel(at / 4, at % 4);
            assert!(same || !inside, "{at}");
        }
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
