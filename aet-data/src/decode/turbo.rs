//! The coded data of JPEG by libjpeg-turbo (cargo feature `libjpeg-turbo`): faster than zune-jpeg, and
//! at a reduced scale where less is enough.

use turbojpeg::{
    Colorspace, DecompressHeader, Decompressor, Image, PixelFormat, Result, ScalingFactor,
};

/// Scans of a progressive file; more are made to do harm.
const MOST_SCANS: u32 = 500;
/// A reduced image has at least so many times the rows and columns that are asked for, so that the
/// antialiased resampling that follows decides how the result looks.
const SPARE: usize = 2;

/// Fills `pixels` and gives their height and width: of the whole image, at the smallest scale that
/// still has twice the sides of `cover` (height, width; either way up).
///
/// None for whatever the library refuses or only warns of, and for inks: zune-jpeg has the last word,
/// so that both builds accept the same files and say the same of the others.
pub(super) fn decode(
    encoded: &[u8],
    cover: Option<[usize; 2]>,
    pixels: &mut Vec<u8>,
) -> Option<[usize; 2]> {
    try_decode(encoded, cover, pixels).ok().flatten()
}

fn try_decode(
    encoded: &[u8],
    cover: Option<[usize; 2]>,
    pixels: &mut Vec<u8>,
) -> Result<Option<[usize; 2]>> {
    let mut decompressor = Decompressor::new()?;
    decompressor.set_scan_limit(MOST_SCANS)?;
    let header = decompressor.read_header(encoded)?;
    if matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
        return Ok(None);
    }
    let scale = cover.map_or(ScalingFactor::ONE, |cover| scale_of(&header, cover));
    decompressor.set_scaling_factor(scale)?;
    let DecompressHeader { width, height, .. } = header.scaled(scale);
    pixels.clear();
    pixels.resize(height * width * 3, 0);
    let output = Image {
        pixels: pixels.as_mut_slice(),
        width,
        pitch: width * 3,
        height,
        format: PixelFormat::RGB,
    };
    decompressor.decompress(encoded, output)?;
    Ok(Some([height, width]))
}

/// The smallest scale at which the image has `SPARE` times the longer side of `cover` both ways.
fn scale_of(header: &DecompressHeader, cover: [usize; 2]) -> ScalingFactor {
    let least = cover[0].max(cover[1]).saturating_mul(SPARE);
    let scales = [
        ScalingFactor::ONE_EIGHTH,
        ScalingFactor::ONE_QUARTER,
        ScalingFactor::ONE_HALF,
    ];
    let enough = |scale: &ScalingFactor| scale.scale(header.width.min(header.height)) >= least;
    let smallest = scales.into_iter().find(enough);
    smallest.unwrap_or(ScalingFactor::ONE)
}
