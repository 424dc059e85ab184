//! [`RgbImage`] and its borrowed forms [`RgbView`] and [`RgbViewMut`]: the one image type of the
//! host side of the data path.

use thiserror::Error;

/// The pixel buffer handed to [`RgbImage::new`] does not match the stated size.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("an RGB image of {height}x{width} pixels takes {expected} bytes, not {found}")]
pub struct ImageSizeError {
    /// Stated height in pixels.
    pub height: usize,
    /// Stated width in pixels.
    pub width: usize,
    /// Bytes that this size takes.
    pub expected: usize,
    /// Bytes that were given.
    pub found: usize,
}

/// An 8-bit RGB image, row-major `[height, width, 3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

impl RgbImage {
    /// Wraps `pixels`, laid out `[height, width, 3]`.
    ///
    /// # Errors
    /// When `pixels` does not hold exactly `height * width * 3` bytes.
    pub fn new(height: usize, width: usize, pixels: Vec<u8>) -> Result<Self, ImageSizeError> {
        check_size(height, width, pixels.len())?;
        Ok(Self {
            height,
            width,
            pixels,
        })
    }

    /// An image of one colour.
    pub fn filled(height: usize, width: usize, colour: [u8; 3]) -> Self {
        Self {
            height,
            width,
            pixels: colour.repeat(height * width),
        }
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The whole image, borrowed.
    pub fn view(&self) -> RgbView<'_> {
        RgbView {
            height: self.height,
            width: self.width,
            pixels: &self.pixels,
        }
    }

    /// The whole image, borrowed to be written.
    pub fn view_mut(&mut self) -> RgbViewMut<'_> {
        RgbViewMut {
            height: self.height,
            width: self.width,
            pixels: &mut self.pixels,
        }
    }

    /// All bytes, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All bytes, to be written, `[height, width, 3]`.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Gives the buffer back, `[height, width, 3]`.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The colour at (`row`, `column`).
    ///
    /// # Panics
    /// When the position lies outside the image.
    pub fn pixel(&self, row: usize, column: usize) -> [u8; 3] {
        self.view().pixel(row, column)
    }
}

/// A borrowed 8-bit RGB image, row-major `[height, width, 3]`, without gaps between rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RgbView<'a> {
    height: usize,
    width: usize,
    pixels: &'a [u8],
}

impl<'a> RgbView<'a> {
    /// Views `pixels`, laid out `[height, width, 3]`.
    ///
    /// # Errors
    /// When `pixels` does not hold exactly `height * width * 3` bytes.
    pub fn new(height: usize, width: usize, pixels: &'a [u8]) -> Result<Self, ImageSizeError> {
        check_size(height, width, pixels.len())?;
        Ok(Self {
            height,
            width,
            pixels,
        })
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All bytes, `[height, width, 3]`.
    pub fn pixels(&self) -> &'a [u8] {
        self.pixels
    }

    /// The colour at (`row`, `column`).
    ///
    /// # Panics
    /// When the position lies outside the image.
    pub fn pixel(&self, row: usize, column: usize) -> [u8; 3] {
        assert!(row < self.height && column < self.width);
        let at = (row * self.width + column) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// A copy that owns its pixels.
    pub fn to_image(&self) -> RgbImage {
        RgbImage {
            height: self.height,
            width: self.width,
            pixels: self.pixels.to_vec(),
        }
    }
}

/// A borrowed 8-bit RGB image to be written, row-major `[height, width, 3]`, without gaps between
/// rows.
#[derive(Debug, PartialEq, Eq)]
pub struct RgbViewMut<'a> {
    height: usize,
    width: usize,
    pixels: &'a mut [u8],
}

impl<'a> RgbViewMut<'a> {
    /// Views `pixels`, laid out `[height, width, 3]`.
    ///
    /// # Errors
    /// When `pixels` does not hold exactly `height * width * 3` bytes.
    pub fn new(height: usize, width: usize, pixels: &'a mut [u8]) -> Result<Self, ImageSizeError> {
        check_size(height, width, pixels.len())?;
        Ok(Self {
            height,
            width,
            pixels,
        })
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All bytes, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        self.pixels
    }

    /// All bytes, to be written, `[height, width, 3]`.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        self.pixels
    }

    /// The same pixels, to be read.
    pub fn as_view(&self) -> RgbView<'_> {
        RgbView {
            height: self.height,
            width: self.width,
            pixels: self.pixels,
        }
    }
}

fn check_size(height: usize, width: usize, found: usize) -> Result<(), ImageSizeError> {
    let expected = height.saturating_mul(width).saturating_mul(3);
    if found == expected {
        return Ok(());
    }
    Err(ImageSizeError {
        height,
        width,
        expected,
        found,
    })
}
