//! JPEG, by zune-jpeg, straight to RGB: without the copy of the file and the second and third look
//! at its headers that `image`'s wrapper of the same decoder takes. With the cargo feature
//! `libjpeg-turbo`, the coded data of what zune-jpeg accepts goes to that library (`turbo.rs`).

use aet_geometry::RgbImage;
use image::error::{DecodingError, ImageFormatHint};
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageError, ImageFormat};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

#[cfg(feature = "libjpeg-turbo")]
use super::turbo;
use super::{DecodeOptions, Problem, upright};

/// The largest side that a JPEG header can name.
const LARGEST_SIDE: usize = 65_535;

/// The pixels of a JPEG file. What follows its end of image, such as the second picture of a
/// camera, is left alone. They are in the memory of `spare`: new memory for each photograph costs the
/// system as much as a twentieth of decoding it.
pub(super) fn decode(
    encoded: &[u8],
    options: &DecodeOptions,
    spare: Vec<u8>,
) -> Result<RgbImage, Problem> {
    let lenient = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(LARGEST_SIDE)
        .set_max_height(LARGEST_SIDE)
        .set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(encoded), lenient);
    decoder
        .decode_headers()
        .map_err(|error| broken(encoded, error))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    options.check_size(height as u64, width as u64)?;
    if !has_end(encoded) {
        return Err(Problem::cut_short());
    }
    if let Some(ColorSpace::MultiBand(bands)) = decoder.input_colorspace() {
        let problem = format!("a JPEG of {bands} components, where 1, 3 and 4 have a meaning");
        return Err(Problem::Seen(problem));
    }
    let orientation = decoder
        .exif()
        .filter(|_| options.follow_orientation)
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);
    let mut pixels = spare;
    #[cfg(feature = "libjpeg-turbo")]
    if let Some(size) = turbo::decode(encoded, options.cover, &mut pixels) {
        return turned(size, pixels, orientation);
    }
    // Stray bytes between headers do no harm. In the coded data, the decoder would leave the rest
    // of the image grey where it meets nonsense, without a word, unless it is strict.
    decoder.set_options(lenient.set_strict_mode(true));
    pixels.clear();
    pixels.resize(decoder.output_buffer_size().unwrap_or_default(), 0);
    decoder
        .decode_into(&mut pixels)
        .map_err(|error| broken(encoded, error))?;
    turned([height, width], pixels, orientation)
}

/// The image of these pixels, the right way up.
fn turned(
    [height, width]: [usize; 2],
    pixels: Vec<u8>,
    orientation: Orientation,
) -> Result<RgbImage, Problem> {
    if orientation == Orientation::NoTransforms {
        return RgbImage::new(height, width, pixels)
            .map_err(|error| Problem::Seen(error.to_string()));
    }
    // No JPEG has sides above u16.
    let turned = ImageBuffer::from_raw(width as u32, height as u32, pixels)
        .ok_or_else(|| Problem::Seen("its size and its pixels do not match".to_owned()))?;
    upright(DynamicImage::ImageRgb8(turned), orientation)
}

fn broken(encoded: &[u8], error: DecodeErrors) -> Problem {
    if let Some(kind) = unread_kind(encoded) {
        return Problem::Seen(format!(
            "this is {kind}, which aet does not read; convert it to PNG"
        ));
    }
    if !has_end(encoded) {
        return Problem::cut_short();
    }
    let jpeg = ImageFormatHint::Exact(ImageFormat::Jpeg);
    Problem::Codec(ImageError::Decoding(DecodingError::new(jpeg, error)))
}

/// What the frame of a JPEG file is, if it is of a kind that the decoder does not know; what the
/// decoder itself says then is about something else.
fn unread_kind(encoded: &[u8]) -> Option<&'static str> {
    let mut at = 2;
    loop {
        let &[0xff, marker, high, low] = encoded.get(at..at + 4)? else {
            return None;
        };
        match marker {
            0xc3 => return Some("a lossless JPEG"),
            0xc5..=0xc7 => return Some("a hierarchical JPEG"),
            0xc9..=0xcb | 0xcd..=0xcf => return Some("a JPEG of arithmetic coding"),
            // The other frames, and coded data.
            0xc0..=0xc2 | 0xda => return None,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
}

/// Whether the image in a JPEG file has an end (FF D9); the decoder would fill what is missing
/// with grey. Segments are stepped over by their lengths, because one may hold a thumbnail with an
/// end of its own; in coded data FF is followed by 0 or is a marker.
fn has_end(encoded: &[u8]) -> bool {
    if encoded.ends_with(&[0xff, 0xd9]) {
        // The end of the image, or of one that follows it: there is no other way to end so.
        return true;
    }
    let mut at = 2;
    while let Some(step) = encoded
        .get(at..)
        .and_then(|rest| rest.iter().position(|&byte| byte == 0xff))
    {
        at += step;
        at += match encoded.get(at + 1) {
            None => return false,
            Some(0xd9) => return true,
            Some(0xff) => 1,
            Some(0x00 | 0x01 | 0xd0..=0xd8) => 2,
            Some(_) => {
                let Some(&[high, low]) = encoded.get(at + 2..at + 4) else {
                    return false;
                };
                2 + usize::from(u16::from_be_bytes([high, low])).max(2)
            }
        };
    }
    false
}
