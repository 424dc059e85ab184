//! Pictures of pairs: originals, their transformed copies, and where the original's square went,
//! in truth and as an encoder tells it.

mod canvas;
mod grid;
mod pairs;

pub use grid::{GridStyle, draw_grid};
pub use pairs::sample_pairs;

use std::io::Cursor;

use anyhow::Context;
use image::{ImageFormat, RgbImage};

/// The bytes of a PNG file of `picture`.
///
/// # Errors
/// When it cannot be encoded.
pub fn png(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .context("cannot encode the picture as PNG")?;
    Ok(bytes.into_inner())
}
