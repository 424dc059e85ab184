//! The formats that the `image` crate decodes: PNG, WebP, BMP, TIFF (but for palette colours) and GIF.

use std::io::Cursor;

use aet_geometry::RgbImage;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::{DecodeOptions, Problem, palette, upright};

/// What a decoder may take in any case, for tables, metadata and rows.
const SPARE_BYTES: u64 = 1 << 26;

/// The pixels of a file of this format.
pub(super) fn decode(
    encoded: &[u8],
    format: ImageFormat,
    options: &DecodeOptions,
) -> Result<RgbImage, Problem> {
    if format == ImageFormat::WebP && !chunks_lie_inside(encoded) {
        return Err(Problem::cut_short());
    }
    if format == ImageFormat::Tiff
        && let Some(numbers) = palette::numbers(encoded)
    {
        return palette::decode(&numbers, options);
    }
    let mut reader = ImageReader::with_format(Cursor::new(encoded), format);
    reader.limits(memory(SPARE_BYTES));
    let mut decoder = reader.into_decoder().map_err(explained)?;
    let (width, height) = decoder.dimensions();
    options.check_size(height.into(), width.into())?;
    // As much as the pixels take, for what a decoder holds beside them.
    let most = decoder.total_bytes().saturating_mul(2);
    decoder
        .set_limits(memory(most.saturating_add(SPARE_BYTES)))
        .map_err(explained)?;
    // An EXIF block that cannot be read says nothing.
    let orientation = (options.follow_orientation)
        .then(|| decoder.orientation().ok())
        .flatten()
        .unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(explained)?;
    upright(image, orientation)
}

/// Height and width of a file of this format, by its header.
pub(super) fn size_of(encoded: &[u8], format: ImageFormat) -> Result<[usize; 2], Problem> {
    if format == ImageFormat::Tiff
        && let Some(numbers) = palette::numbers(encoded)
    {
        return palette::size_of(&numbers);
    }
    let mut reader = ImageReader::with_format(Cursor::new(encoded), format);
    reader.limits(memory(SPARE_BYTES));
    let (width, height) = reader.into_dimensions().map_err(explained)?;
    Ok([height as usize, width as usize])
}

fn memory(bytes: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

/// The words for what a decoder says.
pub(super) fn explained(error: ImageError) -> Problem {
    match error {
        ImageError::Limits(_) => Problem::Seen(
            "decoding it takes far more memory than its size explains; it is broken, or made to \
             do harm"
                .to_owned(),
        ),
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Problem::cut_short()
        }
        ImageError::Unsupported(error) => Problem::Seen(format!("{error}; convert it to PNG")),
        error => Problem::Codec(error),
    }
}

/// Whether all chunks of a WebP file, and what its header says it holds, lie inside the file. The
/// decoder takes as much memory as a chunk of metadata claims to need.
fn chunks_lie_inside(encoded: &[u8]) -> bool {
    let word = |at: usize| -> Option<usize> {
        let bytes = encoded.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let Some(end) = word(4).and_then(|length| length.checked_add(8)) else {
        return false;
    };
    let mut at = 12;
    while at < end {
        // A chunk is a name, a length, and its bytes; the one of padding may be missing at the end.
        let Some(next) = word(at + 4).and_then(|length| (at + 8).checked_add(length)) else {
            return false;
        };
        if next > encoded.len() {
            return false;
        }
        at = next + next % 2;
    }
    true
}
