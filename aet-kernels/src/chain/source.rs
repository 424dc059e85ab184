//! What a stage reads.

use crate::convolution::Placed;
use crate::rows::{Affine, Layout, activate};

/// Values of a plane that are taken at a time: those of a cache line, so that it is read or written once.
const LINE: usize = 16;

/// Batch normalisation of a batch, per channel as stored, and what it is clipped at; padding has scale and
/// shift 0.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub mean: Vec<f32>,
    /// One over the deviation.
    pub inverse: Vec<f32>,
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
    pub floor: f32,
}

impl Norm {
    pub fn affine(&self) -> Affine<'_> {
        Affine {
            mean: &self.mean,
            scale: &self.scale,
            shift: &self.shift,
            floor: self.floor,
        }
    }
}

/// The normalisations of a batch, one for each of its views.
#[derive(Debug, Clone)]
pub(super) struct Norms {
    pub views: Vec<Norm>,
    /// Of one view.
    pub pixels: usize,
}

impl Norms {
    /// That of the view which `pixel`, counted over the batch, belongs to.
    pub fn at(&self, pixel: usize) -> &Norm {
        &self.views[self.view(pixel)]
    }

    /// The view that `pixel` belongs to.
    pub fn view(&self, pixel: usize) -> usize {
        pixel / self.pixels
    }
}

/// Where a stage's input comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// Images `[batch, channels, height, width]`.
    Images {
        values: &'a [f32],
        channels: usize,
        /// Of one image.
        pixels: usize,
    },
    /// Rows of channels, one a pixel.
    Plain { values: &'a [f32], channels: usize },
    /// A unit's convolution, still to be normalised and clipped.
    Unit {
        values: &'a [f32],
        channels: usize,
        norms: &'a Norms,
    },
}

impl Source<'_> {
    /// Puts the pixels asked for where they are wanted.
    pub fn fill(&self, placed: Placed<'_>) {
        let layout = Layout::at(placed.offsets);
        self.write(placed.first, placed.rows, placed.buffer, layout);
    }

    /// Puts `rows` pixels of one view, from `first` on, into `out`, laid out as `layout` says.
    pub fn write(&self, first: usize, rows: usize, out: &mut [f32], layout: Layout<'_>) {
        match *self {
            Self::Images {
                values,
                channels,
                pixels,
            } => {
                let mut row = 0;
                while row < rows {
                    let (image, pixel) = ((first + row) / pixels, (first + row) % pixels);
                    // Neighbours in the planes, which share cache lines.
                    let count = LINE.min(rows - row).min(pixels - pixel);
                    let mut places = [0; LINE];
                    for (place, row) in places.iter_mut().zip(row..row + count) {
                        *place = layout.place(row);
                    }
                    for channel in 0..channels {
                        let plane =
                            &values[(image * channels + channel) * pixels + pixel..][..count];
                        for (place, value) in places.iter().zip(plane) {
                            out[place + channel] = *value;
                        }
                    }
                    row += count;
                }
            }
            Self::Plain { values, channels } => {
                let values = &values[first * channels..(first + rows) * channels];
                for (row, values) in values.chunks_exact(channels).enumerate() {
                    out[layout.place(row)..][..channels].copy_from_slice(values);
                }
            }
            Self::Unit {
                values,
                channels,
                norms,
            } => {
                let values = &values[first * channels..(first + rows) * channels];
                activate(values, channels, norms.at(first).affine(), out, layout);
            }
        }
    }

    /// Channels of a pixel as they are stored.
    pub fn channels(&self) -> usize {
        match *self {
            Self::Images { channels, .. }
            | Self::Plain { channels, .. }
            | Self::Unit { channels, .. } => channels,
        }
    }

    /// Puts `rows` pixels of one view, from `first` on, into `out`, one after the other.
    pub fn rows(&self, first: usize, rows: usize, out: &mut [f32]) {
        self.write(first, rows, out, Layout::dense(self.channels()));
    }
}

/// `[pixels, stored]` to `[channels, pixels]`.
pub(super) fn to_planes(rows: &[f32], stored: usize, planes: &mut [f32]) {
    let pixels = rows.len() / stored;
    let channels = planes.len() / pixels;
    for (block, rows) in rows.chunks(LINE * stored).enumerate() {
        let first = block * LINE;
        for channel in 0..channels {
            let plane = &mut planes[channel * pixels + first..];
            for (value, row) in plane.iter_mut().zip(rows.chunks_exact(stored)) {
                *value = row[channel];
            }
        }
    }
}

/// `[channels, pixels]` to `[pixels, stored]`, the padding 0.
pub(super) fn from_planes(planes: &[f32], pixels: usize, stored: usize, rows: &mut [f32]) {
    let channels = planes.len() / pixels;
    for (block, rows) in rows.chunks_mut(LINE * stored).enumerate() {
        let first = block * LINE;
        for channel in 0..channels {
            let plane = &planes[channel * pixels + first..];
            for (row, value) in rows.chunks_exact_mut(stored).zip(plane) {
                row[channel] = *value;
            }
        }
        for row in rows.chunks_exact_mut(stored) {
            row[channels..].fill(0.0);
        }
    }
}
