//! [`Store`]: where the pixels of a set are: in memory, in a file that is mapped into memory, or in
//! their source, to be decoded whenever they are read.

use std::fmt;
use std::sync::Arc;

use aet_geometry::{RgbImage, RgbView};
use memmap2::Mmap;

use crate::decode::{DecodeOptions, decode_into};
use crate::error::DataError;
use crate::source::Source;

/// Pixels of images, one after the other, u8 `[height, width, 3]` each.
#[derive(Clone)]
pub enum Pixels {
    /// In memory.
    Memory(Arc<Vec<u8>>),
    /// In a file; the system reads what is used and lets go of it under pressure.
    Mapped {
        /// The whole file.
        map: Arc<Mmap>,
        /// Where the pixels start in it, in bytes.
        start: usize,
    },
}

impl Pixels {
    /// All of them.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Mapped { map, start } => map.get(*start..).unwrap_or_default(),
        }
    }
}

/// Where an image lies among the pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// All have this height and width.
    Same([usize; 2]),
    /// The first byte, height and width of each.
    Each(Vec<(usize, [usize; 2])>),
}

/// Decoded images that are kept.
#[derive(Clone)]
pub struct Kept {
    /// Their pixels.
    pub pixels: Pixels,
    /// Which of the pixels are whose.
    pub places: Places,
}

impl Kept {
    /// Height and width of image `row`, and its first byte.
    fn place(&self, row: usize) -> Option<(usize, [usize; 2])> {
        match &self.places {
            Places::Same(size) => Some((row.checked_mul(bytes_of(*size))?, *size)),
            Places::Each(places) => places.get(row).copied(),
        }
    }

    fn len(&self) -> usize {
        match &self.places {
            Places::Same(size) => self.pixels.bytes().len() / bytes_of(*size).max(1),
            Places::Each(places) => places.len(),
        }
    }

    /// Image `row`, if it is there.
    pub fn image(&self, row: usize) -> Option<RgbView<'_>> {
        let (start, size) = self.place(row)?;
        let pixels = self
            .pixels
            .bytes()
            .get(start..start.checked_add(bytes_of(size))?)?;
        RgbView::new(size[0], size[1], pixels).ok()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.pixels {
            Pixels::Memory(_) => "in memory",
            Pixels::Mapped { .. } => "mapped",
        };
        write!(
            formatter,
            "{} bytes of pixels {kind}",
            self.pixels.bytes().len()
        )
    }
}

/// Bytes of an image of a height and width.
pub(crate) fn bytes_of([height, width]: [usize; 2]) -> usize {
    height.saturating_mul(width).saturating_mul(3)
}

/// Images that are decoded whenever they are read.
#[derive(Clone)]
pub struct Streamed {
    /// Where they come from.
    pub source: Arc<dyn Source>,
    /// How they are decoded.
    pub decode: DecodeOptions,
}

impl fmt::Debug for Streamed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}, decoded when read", self.source.as_ref())
    }
}

/// Where the pixels of a set are.
#[derive(Debug, Clone)]
pub enum Store {
    /// Decoded once.
    Kept(Kept),
    /// Decoded again and again.
    Streamed(Streamed),
}

impl Store {
    /// Image `row`; one that has to be decoded goes into `buffer`.
    ///
    /// # Errors
    /// When it cannot be read or decoded, or is not there.
    pub fn read<'a>(
        &'a self,
        row: usize,
        buffer: &'a mut RgbImage,
    ) -> Result<RgbView<'a>, DataError> {
        match self {
            Self::Kept(kept) => {
                let outside = || DataError::OutOfRange {
                    index: row,
                    len: kept.len(),
                };
                kept.image(row).ok_or_else(outside)
            }
            Self::Streamed(Streamed { source, decode }) => {
                let sample = source.read(row)?;
                decode_into(sample.payload, row, &sample.name, decode, buffer)?;
                Ok(buffer.view())
            }
        }
    }
}
