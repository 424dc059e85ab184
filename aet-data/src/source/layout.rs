//! [`Layout`]: where the bytes of an image's pixels lie in a file of raw pixels.

use aet_geometry::RgbImage;

use super::positioned::PositionedFile;
use crate::error::DataError;

/// Height and width in pixels, and the distance in bytes from a pixel to the next one down, to the
/// next one to the right, and from one channel to the next (0 repeats a grey channel).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) channel: usize,
}

impl Layout {
    /// `[3, height, width]`: planes, row by row.
    pub(super) fn planes([height, width]: [usize; 2]) -> Self {
        Self {
            height,
            width,
            row: width,
            column: 1,
            channel: height * width,
        }
    }

    /// `[3, width, height]`: planes, column by column, as MATLAB writes them.
    pub(super) fn planes_by_column([height, width]: [usize; 2]) -> Self {
        Self {
            row: 1,
            column: height,
            ..Self::planes([height, width])
        }
    }

    /// `[height, width, 3]`: what an [`RgbImage`] holds.
    pub(super) fn pixels([height, width]: [usize; 2]) -> Self {
        Self {
            height,
            width,
            row: width * 3,
            column: 3,
            channel: 1,
        }
    }

    /// `[height, width]`: one grey channel.
    pub(super) fn grey([height, width]: [usize; 2]) -> Self {
        Self {
            channel: 0,
            ..Self::planes([height, width])
        }
    }

    /// Bytes of one image.
    pub(super) fn bytes(&self) -> usize {
        let channels = if self.channel == 0 { 1 } else { 3 };
        self.height * self.width * channels
    }

    /// Image `index` of those that lie in `file` one after the other from the byte `start` on.
    ///
    /// # Errors
    /// When the file ends before the image does, or cannot be read.
    pub(super) fn read(
        &self,
        file: &PositionedFile,
        start: u64,
        index: usize,
    ) -> Result<RgbImage, DataError> {
        let length = self.bytes() as u64;
        let bytes = file.read(start + index as u64 * length, length)?;
        let image = self.image(bytes);
        image.map_err(|problem| DataError::malformed(file.path(), problem))
    }

    /// The image in `bytes`, which are as many as [`bytes`](Self::bytes) says.
    ///
    /// # Errors
    /// When the image has no pixels.
    pub(super) fn image(&self, bytes: Vec<u8>) -> Result<RgbImage, String> {
        debug_assert_eq!(bytes.len(), self.bytes());
        let pixels = if *self == Self::pixels([self.height, self.width]) {
            bytes
        } else {
            let mut pixels = Vec::with_capacity(self.height * self.width * 3);
            for row in 0..self.height {
                for column in 0..self.width {
                    let at = row * self.row + column * self.column;
                    pixels.extend([0, 1, 2].map(|channel| bytes[at + channel * self.channel]));
                }
            }
            pixels
        };
        RgbImage::new(self.height, self.width, pixels).map_err(|error| error.to_string())
    }
}
