//! Drawing on an RGB image: smooth lines, dots, text, pasted images.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// A colour, red, green, blue.
pub type Colour = [u8; 3];

/// A rectangle in canvas pixels: left, top, right, bottom.
#[derive(Debug, Clone, Copy)]
pub struct Clip(pub [f32; 4]);

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    /// Its colour.
    pub colour: Colour,
    /// Its width in canvas pixels.
    pub width: f32,
    /// Lengths of dash and gap in canvas pixels; none for a solid line.
    pub dash: Option<[f32; 2]>,
}

/// How text is set.
#[derive(Debug, Clone, Copy)]
pub struct Font {
    /// Its colour.
    pub colour: Colour,
    /// Whether it is bold.
    pub bold: bool,
    /// 16 or 20 pixels high.
    pub large: bool,
}

/// An image under the brush.
pub struct Canvas {
    image: RgbImage,
}

impl Font {
    fn raster(self) -> (FontWeight, RasterHeight) {
        let weight = if self.bold {
            FontWeight::Bold
        } else {
            FontWeight::Regular
        };
        let height = if self.large {
            RasterHeight::Size20
        } else {
            RasterHeight::Size16
        };
        (weight, height)
    }

    /// Width of one letter in pixels.
    pub fn letter_width(self) -> u32 {
        let (weight, height) = self.raster();
        get_raster_width(weight, height) as u32
    }
}

impl Canvas {
    /// A canvas of one colour.
    pub fn new(width: u32, height: u32, colour: Colour) -> Self {
        Self {
            image: RgbImage::from_pixel(width, height, Rgb(colour)),
        }
    }

    /// The finished image.
    pub fn into_image(self) -> RgbImage {
        self.image
    }

    /// The whole canvas.
    pub fn bounds(&self) -> Clip {
        Clip([
            0.0,
            0.0,
            self.image.width() as f32,
            self.image.height() as f32,
        ])
    }

    /// Fills `area` with a colour.
    pub fn fill(&mut self, area: Clip, colour: Colour) {
        self.shade(area, area, colour, |_, _| 1.0);
    }

    /// Puts `picture` with its top left corner at (`left`, `top`).
    pub fn paste(&mut self, picture: &RgbImage, left: u32, top: u32) {
        image::imageops::replace(&mut self.image, picture, i64::from(left), i64::from(top));
    }

    /// Draws the straight line between two points, inside `clip` only.
    pub fn line(&mut self, ends: [[f32; 2]; 2], stroke: Stroke, clip: Clip) {
        let [[x0, y0], [x1, y1]] = ends;
        let (dx, dy) = (x1 - x0, y1 - y0);
        let length = dx.hypot(dy);
        if !(length > 0.0 && length.is_finite()) {
            return;
        }
        let half = stroke.width / 2.0;
        let reach = half + 1.0;
        let area = Clip([
            x0.min(x1) - reach,
            y0.min(y1) - reach,
            x0.max(x1) + reach,
            y0.max(y1) + reach,
        ]);
        self.shade(area, clip, stroke.colour, |x, y| {
            let along = ((x - x0) * dx + (y - y0) * dy) / length;
            let mut nearest = along.clamp(0.0, length);
            if let Some([dash, gap]) = stroke.dash {
                let start = (nearest / (dash + gap)).floor() * (dash + gap);
                if nearest - start > dash + gap / 2.0 {
                    nearest = start + dash + gap;
                } else {
                    nearest = nearest.min(start + dash);
                }
                nearest = nearest.min(length);
            }
            let (px, py) = (x0 + dx * nearest / length, y0 + dy * nearest / length);
            half + 0.5 - (x - px).hypot(y - py)
        });
    }

    /// Draws a filled disc, inside `clip` only.
    pub fn dot(&mut self, centre: [f32; 2], radius: f32, colour: Colour, clip: Clip) {
        let [cx, cy] = centre;
        let reach = radius + 1.0;
        let area = Clip([cx - reach, cy - reach, cx + reach, cy + reach]);
        self.shade(area, clip, colour, |x, y| {
            radius + 0.5 - (x - cx).hypot(y - cy)
        });
    }

    /// Writes `text` with its top left corner at (`left`, `top`); gives the position after it.
    pub fn text(&mut self, text: &str, left: u32, top: u32, font: Font) -> u32 {
        let (weight, height) = font.raster();
        let mut at = left;
        for letter in text.chars() {
            let raster =
                get_raster(letter, weight, height).or_else(|| get_raster('?', weight, height));
            for (row, line) in raster.iter().flat_map(|r| r.raster()).enumerate() {
                for (column, &cover) in line.iter().enumerate() {
                    let (x, y) = (at + column as u32, top + row as u32);
                    self.blend(x, y, font.colour, f32::from(cover) / 255.0);
                }
            }
            at += font.letter_width();
        }
        at
    }

    /// Blends `colour` into every pixel of `area` within `clip`, by the cover that the function
    /// gives at its centre (below 0 is none, above 1 is all).
    fn shade(&mut self, area: Clip, clip: Clip, colour: Colour, cover: impl Fn(f32, f32) -> f32) {
        let Clip([left, top, right, bottom]) = area.within(clip).within(self.bounds());
        for y in top.floor() as u32..bottom.ceil().max(0.0) as u32 {
            for x in left.floor() as u32..right.ceil().max(0.0) as u32 {
                let cover = cover(x as f32 + 0.5, y as f32 + 0.5);
                self.blend(x, y, colour, cover.clamp(0.0, 1.0));
            }
        }
    }

    fn blend(&mut self, x: u32, y: u32, colour: Colour, cover: f32) {
        let Some(pixel) = self.image.get_pixel_mut_checked(x, y) else {
            return;
        };
        for (old, new) in pixel.0.iter_mut().zip(colour) {
            let mixed = f32::from(*old) + (f32::from(new) - f32::from(*old)) * cover;
            *old = mixed.round() as u8;
        }
    }
}

impl Clip {
    fn within(self, other: Self) -> Self {
        let ([l, t, r, b], [left, top, right, bottom]) = (self.0, other.0);
        Self([l.max(left), t.max(top), r.min(right), b.min(bottom)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Colour = [255; 3];

    fn stroke(dash: Option<[f32; 2]>) -> Stroke {
        Stroke {
            colour: [200, 0, 0],
            width: 2.0,
            dash,
        }
    }

    #[test]
    fn a_line_covers_its_width_and_stays_in_its_clip() {
        let mut canvas = Canvas::new(20, 10, WHITE);
        let clip = Clip([0.0, 0.0, 12.0, 10.0]);
        canvas.line([[2.0, 5.0], [18.0, 5.0]], stroke(None), clip);
        let image = canvas.into_image();
        assert_eq!(image.get_pixel(8, 4).0, [200, 0, 0]);
        assert_eq!(image.get_pixel(8, 5).0, [200, 0, 0]);
        assert_eq!(image.get_pixel(8, 2).0, WHITE);
        assert_eq!(image.get_pixel(15, 5).0, WHITE);
    }

    #[test]
    fn dashes_leave_gaps() {
        let mut canvas = Canvas::new(40, 10, WHITE);
        let clip = canvas.bounds();
        canvas.line([[0.0, 5.0], [40.0, 5.0]], stroke(Some([8.0, 8.0])), clip);
        let image = canvas.into_image();
        assert_eq!(image.get_pixel(4, 5).0, [200, 0, 0]);
        assert_eq!(image.get_pixel(12, 5).0, WHITE);
        assert_eq!(image.get_pixel(20, 5).0, [200, 0, 0]);
    }

    #[test]
    fn lines_far_outside_do_no_harm() {
        let mut canvas = Canvas::new(8, 8, WHITE);
        let clip = canvas.bounds();
        canvas.line([[-1e9, -50.0], [1e9, -50.0]], stroke(None), clip);
        canvas.line([[f32::NAN, 0.0], [4.0, 4.0]], stroke(None), clip);
        assert!(canvas.into_image().pixels().all(|pixel| pixel.0 == WHITE));
    }
}
