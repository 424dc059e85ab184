//! Decoding an image to RGB, and bringing it to a size.
//!
//! Decoding is that of the `image` crate (JPEG through zune-jpeg). Grey is repeated in all three
//! channels, palettes are looked up, 16 bits are scaled to 8, and an alpha channel is dropped, so
//! that transparent pixels show the colour stored for them, as with Pillow's `convert("RGB")`.
//! An orientation noted beside the pixels (EXIF) is not followed, as in torchvision.

use aet_geometry::RgbImage;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use image::error::{DecodingError, ImageFormatHint};
use image::{ImageError, ImageFormat};

use crate::error::DataError;
use crate::source::Payload;

/// The pixels of image `index`; `name` goes into the error.
///
/// # Errors
/// When the encoded image is broken.
pub fn decode(payload: Payload, index: usize, name: &str) -> Result<RgbImage, DataError> {
    let encoded = match payload {
        Payload::Pixels(image) => return Ok(image),
        Payload::Encoded(encoded) => encoded,
    };
    let fail = |source| DataError::Decode {
        index,
        name: name.to_owned(),
        source,
    };
    if is_cut_short(&encoded) {
        let jpeg = ImageFormatHint::Exact(ImageFormat::Jpeg);
        let problem = "the file ends before the image does";
        return Err(fail(ImageError::Decoding(DecodingError::new(
            jpeg, problem,
        ))));
    }
    let decoded = image::load_from_memory(&encoded).map_err(fail)?;
    let rgb = decoded.into_rgb8();
    let (width, height) = rgb.dimensions();
    let image = RgbImage::new(height as usize, width as usize, rgb.into_raw());
    image.map_err(|error| resize_error(index, name, &error))
}

/// Whether `encoded` is a JPEG file without an end. The decoder would fill the missing part with
/// grey, without a word. After the last start of a scan (FF DA) comes an end of image (FF D9) in a
/// whole file: neither pair of bytes can be part of the data between them.
fn is_cut_short(encoded: &[u8]) -> bool {
    if !encoded.starts_with(&[0xff, 0xd8, 0xff]) {
        return false;
    }
    let mut pairs = encoded.windows(2).rev();
    let last = pairs.find(|pair| matches!(pair, [0xff, 0xd9 | 0xda]));
    last != Some(&[0xff, 0xd9])
}

/// Brings `image` to `size` (height, width): scales it until it just covers that size, keeping its
/// proportions, and cuts the middle out. An image of that size stays as it is.
///
/// The scaling is antialiased bilinear, the filter that Pillow and torchvision use when they make
/// an image smaller. It is done by `fast_image_resize`, which has SIMD kernels for it (several
/// times the speed of `image`'s own), and cuts and scales in one go.
///
/// # Errors
/// When the image or `size` has no pixels.
pub fn fit(
    image: RgbImage,
    [height, width]: [usize; 2],
    index: usize,
    name: &str,
) -> Result<RgbImage, DataError> {
    if [image.height(), image.width()] == [height, width] {
        return Ok(image);
    }
    let fail = |error: &dyn std::fmt::Display| resize_error(index, name, error);
    let as_u32 = |length: usize| u32::try_from(length).map_err(|error| fail(&error));
    let source = ImageRef::new(
        as_u32(image.width())?,
        as_u32(image.height())?,
        image.pixels(),
        PixelType::U8x3,
    )
    .map_err(|error| fail(&error))?;
    let mut scaled = Image::new(as_u32(width)?, as_u32(height)?, PixelType::U8x3);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .fit_into_destination(None);
    Resizer::new()
        .resize(&source, &mut scaled, &options)
        .map_err(|error| fail(&error))?;
    RgbImage::new(height, width, scaled.into_vec()).map_err(|error| fail(&error))
}

fn resize_error(index: usize, name: &str, error: &dyn std::fmt::Display) -> DataError {
    DataError::Resize {
        index,
        name: name.to_owned(),
        problem: error.to_string(),
    }
}
