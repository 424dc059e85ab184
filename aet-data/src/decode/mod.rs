//! Decoding an image to RGB, within limits, and bringing it to a size.
//!
//! [`decode_with`] reads JPEG, PNG, WebP, BMP, TIFF and GIF, of an animation the first frame and of
//! several pages the first. What a file is, its first bytes tell, not its name. JPEG goes straight
//! to RGB by zune-jpeg (`jpeg.rs`) or, with the cargo feature `libjpeg-turbo`, by that library
//! (`turbo.rs`); the others go through the `image` crate (`codecs.rs`), but for TIFF of palette colours
//! (`palette.rs`).
//!
//! Grey is repeated in all three channels, palettes are looked up, 16 bits are scaled to 8, CMYK is
//! converted without a profile (in JPEG it counts as inverted, as Adobe writes it), and an alpha
//! channel is dropped, so that transparent pixels show the colour stored for them. All of that is
//! what Pillow's `convert("RGB")` gives. An orientation noted beside the pixels (EXIF) is followed,
//! unless [`DecodeOptions`] say otherwise.

mod codecs;
mod jpeg;
mod kind;
mod palette;
#[cfg(feature = "libjpeg-turbo")]
mod turbo;

use aet_geometry::RgbImage;
use image::metadata::Orientation;
use image::{DynamicImage, ImageError, ImageFormat};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::resample::{Region, Resampler};
use crate::source::Payload;
use kind::Kind;

/// How images are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecodeOptions {
    /// Most pixels (height x width) that an image may have. The header of a small file can claim
    /// any size; it is held against this before there is memory for the pixels.
    pub max_pixels: u64,
    /// Whether an image is turned and mirrored as its EXIF or TIFF orientation says, so that it
    /// shows as a viewer shows it.
    pub follow_orientation: bool,
    /// The least height and width that is of use: where the codec can (JPEG with the cargo feature
    /// `libjpeg-turbo`), a larger image is decoded at a half, a quarter or an eighth of its scale, as
    /// long as twice that is left. None for the full scale. No setting: what items are made of decides,
    /// see [`LoadOptions`](crate::LoadOptions).
    #[serde(skip)]
    pub cover: Option<[usize; 2]>,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            follow_orientation: true,
            cover: None,
        }
    }
}

/// Why an image gives no pixels.
enum Problem {
    /// What its decoder says.
    Codec(ImageError),
    /// What is seen before or beside decoding, and what to do about it.
    Seen(String),
}

impl Problem {
    fn cut_short() -> Self {
        Self::Seen("the file ends before the image does; fetch or copy it again".to_owned())
    }

    /// The error about image `index`, called `name`.
    fn of(self, index: usize, name: &str) -> DataError {
        let name = name.to_owned();
        match self {
            Self::Codec(source) => DataError::Decode {
                index,
                name,
                source,
            },
            Self::Seen(problem) => DataError::Image {
                index,
                name,
                problem,
            },
        }
    }
}

/// The pixels of image `index`, with the default [`DecodeOptions`]; `name` goes into the error.
///
/// # Errors
/// As [`decode_with`].
pub fn decode(payload: Payload, index: usize, name: &str) -> Result<RgbImage, DataError> {
    decode_with(payload, index, name, &DecodeOptions::default())
}

/// The pixels of image `index`; `name` goes into the error.
///
/// # Errors
/// When the bytes are no image of a format that is read (the message says what they look like),
/// the image is broken or cut short, has no pixels, or more than `options` allow.
pub fn decode_with(
    payload: Payload,
    index: usize,
    name: &str,
    options: &DecodeOptions,
) -> Result<RgbImage, DataError> {
    let mut image = RgbImage::filled(0, 0, [0; 3]);
    decode_into(payload, index, name, options, &mut image)?;
    Ok(image)
}

/// As [`decode_with`], into an image whose memory is used again where it can be; it is of no use after
/// an error.
///
/// # Errors
/// As [`decode_with`].
pub fn decode_into(
    payload: Payload,
    index: usize,
    name: &str,
    options: &DecodeOptions,
    image: &mut RgbImage,
) -> Result<(), DataError> {
    let encoded = match payload {
        Payload::Pixels(pixels) => {
            *image = pixels;
            return Ok(());
        }
        Payload::Encoded(encoded) => encoded,
    };
    let spare = std::mem::replace(image, RgbImage::filled(0, 0, [0; 3])).into_pixels();
    *image = pixels_of(&encoded, options, spare).map_err(|problem| problem.of(index, name))?;
    Ok(())
}

/// Height and width of image `index` by its header, before it is turned; `name` goes into the error.
///
/// # Errors
/// When the bytes are no image of a format that is read, or its header is broken.
pub fn size_of(payload: &Payload, index: usize, name: &str) -> Result<[usize; 2], DataError> {
    let size = match payload {
        Payload::Pixels(image) => Ok([image.height(), image.width()]),
        Payload::Encoded(encoded) => match Kind::of(encoded) {
            Kind::Jpeg => codecs::size_of(encoded, ImageFormat::Jpeg),
            Kind::Coded(format) => codecs::size_of(encoded, format),
            Kind::Other(problem) => Err(Problem::Seen(problem)),
        },
    };
    size.map_err(|problem| problem.of(index, name))
}

/// The pixels, in the memory of `spare` if they are a photograph's.
fn pixels_of(encoded: &[u8], options: &DecodeOptions, spare: Vec<u8>) -> Result<RgbImage, Problem> {
    match Kind::of(encoded) {
        Kind::Jpeg => jpeg::decode(encoded, options, spare),
        Kind::Coded(format) => codecs::decode(encoded, format, options),
        Kind::Other(problem) => Err(Problem::Seen(problem)),
    }
}

impl DecodeOptions {
    /// Whether an image of `height` x `width` pixels is one that may be decoded.
    fn check_size(&self, height: u64, width: u64) -> Result<(), Problem> {
        let limit = self.max_pixels;
        let problem = match height.checked_mul(width) {
            Some(0) => format!("it is {height}x{width} (height x width), so it has no pixels"),
            Some(pixels) if pixels <= limit => return Ok(()),
            _ => format!(
                "it is {height}x{width} (height x width), more than the {limit} pixels that \
                 max_pixels allows; raise max_pixels if this is a true image"
            ),
        };
        Err(Problem::Seen(problem))
    }
}

/// The end of all decoding: 8-bit RGB, the right way up.
fn upright(mut image: DynamicImage, orientation: Orientation) -> Result<RgbImage, Problem> {
    image = DynamicImage::ImageRgb8(image.into_rgb8());
    image.apply_orientation(orientation);
    let rgb = image.into_rgb8();
    let (width, height) = rgb.dimensions();
    RgbImage::new(height as usize, width as usize, rgb.into_raw())
        .map_err(|error| Problem::Seen(error.to_string()))
}

/// Brings `image` to `size` (height, width): scales it until it just covers that size, keeping its
/// proportions, and cuts the middle out ([`Region::centre`]). An image of that size stays as it is.
///
/// The scaling is antialiased bilinear; see [`Resampler`].
///
/// # Errors
/// When the image or `size` has no pixels.
pub fn fit(
    image: RgbImage,
    [height, width]: [usize; 2],
    index: usize,
    name: &str,
) -> Result<RgbImage, DataError> {
    let region = Region::centre([image.height(), image.width()], [height, width]);
    let mut resampler = Resampler::default();
    scaled(
        &mut resampler,
        image,
        (region, [height, width]),
        (index, name),
    )
}

/// `region` of image `index`, called `name`, at `size` (height, width); an image of that size stays
/// as it is.
pub(crate) fn scaled(
    resampler: &mut Resampler,
    image: RgbImage,
    (region, [height, width]): (Region, [usize; 2]),
    (index, name): (usize, &str),
) -> Result<RgbImage, DataError> {
    if [image.height(), image.width()] == [height, width] {
        return Ok(image);
    }
    let mut output = RgbImage::filled(height, width, [0; 3]);
    (resampler.frame_into(image.view(), region, output.view_mut())).map_err(|error| {
        DataError::Resize {
            index,
            name: name.to_owned(),
            problem: error.to_string(),
        }
    })?;
    Ok(output)
}
