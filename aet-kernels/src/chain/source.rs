//! What a stage reads.

use crate::convolution::Placed;
use crate::rows::{Affine, Layout, activate};

/// Batch normalisation of a batch, per channel as stored; padding has scale and shift 0.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub mean: Vec<f32>,
    /// One over the deviation.
    pub inverse: Vec<f32>,
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

impl Norm {
    pub fn affine(&self) -> Affine<'_> {
        Affine {
            mean: &self.mean,
            scale: &self.scale,
            shift: &self.shift,
        }
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
        norm: &'a Norm,
    },
}

impl Source<'_> {
    /// Puts the pixels asked for where they are wanted.
    pub fn fill(&self, placed: Placed<'_>) {
        let Placed {
            first,
            rows,
            buffer,
            offsets,
        } = placed;
        match *self {
            Self::Images {
                values,
                channels,
                pixels,
            } => {
                for (row, offset) in offsets.iter().enumerate() {
                    let pixel = first + row;
                    let start = pixel / pixels * channels * pixels + pixel % pixels;
                    for channel in 0..channels {
                        buffer[*offset as usize + channel] = values[start + channel * pixels];
                    }
                }
            }
            Self::Plain { values, channels } => {
                let values = &values[first * channels..(first + rows) * channels];
                for (row, offset) in values.chunks_exact(channels).zip(offsets) {
                    buffer[*offset as usize..][..channels].copy_from_slice(row);
                }
            }
            Self::Unit {
                values,
                channels,
                norm,
            } => {
                let values = &values[first * channels..(first + rows) * channels];
                activate(values, channels, norm.affine(), buffer, Layout::at(offsets));
            }
        }
    }
}

impl Source<'_> {
    /// Puts `rows` pixels from `first` on into `out`, one after the other.
    ///
    /// # Panics
    /// For images, which are read by neighbourhoods only.
    pub fn rows(&self, first: usize, rows: usize, out: &mut [f32]) {
        match *self {
            Self::Images { .. } => unreachable!("a pool or the end of a chain follows a unit"),
            Self::Plain { values, channels } => {
                out.copy_from_slice(&values[first * channels..(first + rows) * channels]);
            }
            Self::Unit {
                values,
                channels,
                norm,
            } => {
                let values = &values[first * channels..(first + rows) * channels];
                activate(
                    values,
                    channels,
                    norm.affine(),
                    out,
                    Layout::dense(channels),
                );
            }
        }
    }
}

/// `[pixels, stored]` to `[channels, pixels]`.
pub(super) fn to_planes(rows: &[f32], stored: usize, planes: &mut [f32]) {
    let pixels = rows.len() / stored;
    for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
        for (pixel, value) in plane.iter_mut().enumerate() {
            *value = rows[pixel * stored + channel];
        }
    }
}

/// `[channels, pixels]` to `[pixels, stored]`, the padding 0.
pub(super) fn from_planes(planes: &[f32], pixels: usize, stored: usize, rows: &mut [f32]) {
    rows.fill(0.0);
    for (channel, plane) in planes.chunks_exact(pixels).enumerate() {
        for (pixel, value) in plane.iter().enumerate() {
            rows[pixel * stored + channel] = *value;
        }
    }
}
