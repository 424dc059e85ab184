//! TIFF of palette colours, which the decoders do not know. Called an image in grey, such a file gives
//! the numbers of its colours ([`numbers`]); they are looked up here ([`decode`]).

use std::io::Cursor;

use aet_geometry::RgbImage;
use image::error::{
    DecodingError, ImageFormatHint, LimitError, LimitErrorKind, UnsupportedError,
    UnsupportedErrorKind,
};
use image::metadata::Orientation;
use image::{DynamicImage, ImageError, ImageFormat};
use tiff::decoder::{Decoder, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::codecs::explained;
use super::{DecodeOptions, Problem, upright};

/// Of TIFF 6.0: the tag PhotometricInterpretation, its values for grey and for palette colours, and the
/// type of both.
const INTERPRETATION: u16 = 262;
const GREY: u16 = 1;
const PALETTE: u16 = 3;
const SHORT: u16 = 3;

/// A copy of a TIFF file of palette colours that calls itself one of grey; none of any other file.
pub(super) fn numbers(encoded: &[u8]) -> Option<Vec<u8>> {
    let endian = Endian::of(encoded)?;
    let at = endian.interpretation_at(encoded)?;
    if endian.number(encoded, at, 2)? != u64::from(PALETTE) {
        return None;
    }
    let mut copy = encoded.to_vec();
    let grey = match endian {
        Endian::Little => GREY.to_le_bytes(),
        Endian::Big => GREY.to_be_bytes(),
    };
    copy[at..at + 2].copy_from_slice(&grey);
    Some(copy)
}

/// Height and width of what [`numbers`] gives.
pub(super) fn size_of(numbers: &[u8]) -> Result<[usize; 2], Problem> {
    let mut decoder = Decoder::new(Cursor::new(numbers)).map_err(problem)?;
    let (width, height) = decoder.dimensions().map_err(problem)?;
    Ok([height as usize, width as usize])
}

/// The pixels of what [`numbers`] gives.
pub(super) fn decode(numbers: &[u8], options: &DecodeOptions) -> Result<RgbImage, Problem> {
    let mut decoder = Decoder::new(Cursor::new(numbers)).map_err(problem)?;
    let (width, height) = decoder.dimensions().map_err(problem)?;
    options.check_size(height.into(), width.into())?;
    let bits = match decoder.colortype().map_err(problem)? {
        ColorType::Gray(bits @ (1 | 2 | 4 | 8)) => bits,
        other => {
            let problem =
                format!("a TIFF file of palette colours, but {other:?}; convert it to PNG");
            return Err(Problem::Seen(problem));
        }
    };
    let colours = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(problem)?;
    let needed = 3 << bits;
    if colours.len() != needed {
        let problem = format!(
            "it has {} numbers for its colours, where pixels of {bits} bits need {needed}",
            colours.len()
        );
        return Err(Problem::Seen(problem));
    }
    let orientation = options
        .follow_orientation
        .then(|| decoder.find_tag_unsigned(Tag::Orientation).ok().flatten())
        .flatten()
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms);
    let mut limits = Limits::default();
    // Of one byte a pixel at most.
    let bytes = u64::from(width) * u64::from(height);
    limits.decoding_buffer_size = usize::try_from(bytes)
        .unwrap_or(usize::MAX)
        .max(limits.decoding_buffer_size);
    let mut decoder = decoder.with_limits(limits);
    let layout = decoder.image_buffer_layout().map_err(problem)?;
    let mut packed = vec![0; layout.len];
    decoder.read_image_bytes(&mut packed).map_err(problem)?;
    let row_bytes = (width as usize * usize::from(bits)).div_ceil(8);
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for row in packed.chunks_exact(row_bytes).take(height as usize) {
        for column in 0..width as usize {
            let number = number_at(row, column, bits);
            let channels = colours.chunks_exact(1 << bits);
            pixels.extend(channels.map(|channel| (channel[number] >> 8) as u8));
        }
    }
    let image = image::RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| Problem::Seen("its size and its pixels do not match".to_owned()))?;
    upright(DynamicImage::ImageRgb8(image), orientation)
}

/// The number of pixel `column` of a row in which each takes so many bits, the first one the highest.
fn number_at(row: &[u8], column: usize, bits: u8) -> usize {
    let bits = usize::from(bits);
    let first = column * bits;
    let shift = 8 - bits - first % 8;
    usize::from(row[first / 8]) >> shift & ((1 << bits) - 1)
}

fn problem(error: TiffError) -> Problem {
    let hint = || ImageFormatHint::Exact(ImageFormat::Tiff);
    explained(match error {
        TiffError::IoError(error) => ImageError::IoError(error),
        TiffError::LimitsExceeded => {
            ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory))
        }
        TiffError::UnsupportedError(error) => {
            let kind = UnsupportedErrorKind::GenericFeature(error.to_string());
            ImageError::Unsupported(UnsupportedError::from_format_and_kind(hint(), kind))
        }
        error => ImageError::Decoding(DecodingError::new(hint(), error)),
    })
}

/// The order of the bytes of a number.
#[derive(Clone, Copy)]
enum Endian {
    Little,
    Big,
}

impl Endian {
    fn of(encoded: &[u8]) -> Option<Self> {
        match encoded.get(..2)? {
            b"II" => Some(Self::Little),
            b"MM" => Some(Self::Big),
            _ => None,
        }
    }

    /// The number in the `length` bytes from `at`.
    fn number(self, encoded: &[u8], at: usize, length: usize) -> Option<u64> {
        let bytes = encoded.get(at..at.checked_add(length)?)?;
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self {
            Self::Little => bytes.iter().rev().fold(0, join),
            Self::Big => bytes.iter().fold(0, join),
        })
    }

    /// Where the first directory says how pixels are to be taken, in a TIFF or BigTIFF file.
    fn interpretation_at(self, encoded: &[u8]) -> Option<usize> {
        let at = |at: usize, length: usize| usize::try_from(self.number(encoded, at, length)?).ok();
        // Where the directory is, and how long its count, an entry, and an entry without its value are.
        let (directory, count_bytes, entry_bytes, value_at) = match self.number(encoded, 2, 2)? {
            42 => (at(4, 4)?, 2, 12, 8),
            43 => (at(8, 8)?, 8, 20, 12),
            _ => return None,
        };
        let entries = at(directory, count_bytes)?;
        let first = directory.checked_add(count_bytes)?;
        (0..entries)
            .map_while(|entry| first.checked_add(entry.checked_mul(entry_bytes)?))
            .take_while(|entry| *entry < encoded.len())
            .find(|&entry| at(entry, 2) == Some(usize::from(INTERPRETATION)))
            .filter(|&entry| at(entry + 2, 2) == Some(usize::from(SHORT)))
            .map(|entry| entry + value_at)
    }
}
