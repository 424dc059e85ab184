//! The part of an image that becomes an item: [`Region`], and [`Resampler`], which brings one to
//! the size of an item.

use std::fmt;

use aet_geometry::{RgbView, RgbViewMut};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use thiserror::Error;

/// A rectangle of an image, in pixels, in continuous coordinates: the image spans
/// `[0, height] x [0, width]`, and the centre of its first pixel is at 0.5, 0.5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Upper edge.
    pub top: f64,
    /// Left edge.
    pub left: f64,
    /// Height.
    pub height: f64,
    /// Width.
    pub width: f64,
}

impl Region {
    /// All of an image of `size` (height, width).
    pub fn whole([height, width]: [usize; 2]) -> Self {
        Self {
            top: 0.0,
            left: 0.0,
            height: height as f64,
            width: width as f64,
        }
    }

    /// The largest region of an image of size `source` that has the proportions of `output` (both
    /// height, width), in the middle.
    pub fn centre(source: [usize; 2], output: [usize; 2]) -> Self {
        Self::largest(source, output, [0.5; 2])
    }

    /// What of an image of size `source` is left when its shorter side is brought to
    /// `shorter_side`, keeping the proportions, and `crop` is cut out of the result. All sizes are
    /// height, width. `place` says where the crop lies, from 0 to 1 down and right: 0.5, 0.5 is the
    /// middle.
    ///
    /// Resizing and cropping are those of torchvision: the longer side is rounded down, and the
    /// crop lies at whole pixels of the resized image, rounded to the nearest (a half to the even
    /// one). A resized image that is smaller than the crop is made larger until it just covers it.
    pub fn of_crop(
        source: [usize; 2],
        shorter_side: usize,
        crop: [usize; 2],
        place: [f64; 2],
    ) -> Self {
        let resized = resized(source, shorter_side);
        if resized[0] < crop[0] || resized[1] < crop[1] {
            return Self::largest(source, crop, place);
        }
        let along = |axis: usize| {
            let scale = source[axis] as f64 / resized[axis] as f64;
            let slack = (resized[axis] - crop[axis]) as f64;
            let offset = (place[axis].clamp(0.0, 1.0) * slack).round_ties_even();
            (offset * scale, crop[axis] as f64 * scale)
        };
        let ((top, height), (left, width)) = (along(0), along(1));
        Self {
            top,
            left,
            height,
            width,
        }
    }

    fn largest(source: [usize; 2], output: [usize; 2], place: [f64; 2]) -> Self {
        let scale = |axis: usize| source[axis] as f64 / output[axis] as f64;
        let scale = scale(0).min(scale(1));
        let along = |axis: usize| {
            let length = (output[axis] as f64 * scale).min(source[axis] as f64);
            let slack = source[axis] as f64 - length;
            (place[axis].clamp(0.0, 1.0) * slack, length)
        };
        let ((top, height), (left, width)) = (along(0), along(1));
        Self {
            top,
            left,
            height,
            width,
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            top,
            left,
            height,
            width,
        } = self;
        write!(formatter, "{height}x{width} at {top}, {left}")
    }
}

/// The size (height, width) of an image of size `source` whose shorter side is brought to
/// `shorter_side`; the longer one is rounded down, as in torchvision.
pub(crate) fn resized(source: [usize; 2], shorter_side: usize) -> [usize; 2] {
    let [height, width] = source.map(|length| length as f64);
    let long = (shorter_side as f64 * height.max(width) / height.min(width)) as usize;
    if source[0] <= source[1] {
        [shorter_side, long]
    } else {
        [long, shorter_side]
    }
}

/// Why a region cannot be resampled.
#[derive(Debug, Error, Clone, PartialEq)]
#[non_exhaustive]
pub enum ResampleError {
    /// There are no pixels on one side.
    #[error(
        "{}x{} pixels (height x width) cannot become {}x{}",
        source_size[0], source_size[1], output_size[0], output_size[1]
    )]
    Empty {
        /// Height and width of the image.
        source_size: [usize; 2],
        /// Height and width of the output.
        output_size: [usize; 2],
    },
    /// The region does not lie in the image.
    #[error(
        "the region {region} (height x width at top, left) does not lie in an image of {}x{}",
        source_size[0], source_size[1]
    )]
    Outside {
        /// The region.
        region: Region,
        /// Height and width of the image.
        source_size: [usize; 2],
    },
    /// The resampler refuses.
    #[error("{0}")]
    Refused(String),
}

/// Brings regions of images to the size of an item; it keeps its memory from image to image.
///
/// Resampling is antialiased bilinear, the filter that Pillow and torchvision use when they make an
/// image smaller. It is done by `fast_image_resize`, which has SIMD kernels for it, and takes a
/// region whose edges lie anywhere, so that cutting and scaling are one pass. At the edges of a
/// region the filter reads what lies beside it in the image, as if the image had been resized
/// before it was cut.
#[derive(Debug, Clone, Default)]
pub struct Resampler {
    resizer: Resizer,
}

/// How far a region may reach out of the image by rounding, in pixels.
const ROUNDING: f64 = 1e-6;

impl Resampler {
    /// Fills `output` with `region` of `image`. A region of whole pixels that has the size of the
    /// output is copied.
    ///
    /// # Errors
    /// When the image or the output has no pixels, or the region reaches out of the image.
    pub fn frame_into(
        &mut self,
        image: RgbView<'_>,
        region: Region,
        mut output: RgbViewMut<'_>,
    ) -> Result<(), ResampleError> {
        let source_size = [image.height(), image.width()];
        let output_size = [output.height(), output.width()];
        if source_size.contains(&0) || output_size.contains(&0) {
            return Err(ResampleError::Empty {
                source_size,
                output_size,
            });
        }
        let inside = |start, length, size: usize| inside(start, length, size as f64);
        let (Some((top, height)), Some((left, width))) = (
            inside(region.top, region.height, source_size[0]),
            inside(region.left, region.width, source_size[1]),
        ) else {
            return Err(ResampleError::Outside {
                region,
                source_size,
            });
        };
        let whole = top.fract() == 0.0 && left.fract() == 0.0;
        if whole && [height, width] == output_size.map(|length| length as f64) {
            copy(image, [top as usize, left as usize], &mut output);
            return Ok(());
        }
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(left, top, width, height);
        self.resize(image, &options, output)
    }

    fn resize(
        &mut self,
        image: RgbView<'_>,
        options: &ResizeOptions,
        mut output: RgbViewMut<'_>,
    ) -> Result<(), ResampleError> {
        let refused = |error: &dyn fmt::Display| ResampleError::Refused(error.to_string());
        let as_u32 = |length: usize| u32::try_from(length).map_err(|error| refused(&error));
        let [height, width] = [as_u32(image.height())?, as_u32(image.width())?];
        let source = ImageRef::new(width, height, image.pixels(), PixelType::U8x3)
            .map_err(|error| refused(&error))?;
        let [height, width] = [as_u32(output.height())?, as_u32(output.width())?];
        let pixels = output.pixels_mut();
        let mut scaled = Image::from_slice_u8(width, height, pixels, PixelType::U8x3)
            .map_err(|error| refused(&error))?;
        (self.resizer)
            .resize(&source, &mut scaled, options)
            .map_err(|error| refused(&error))
    }
}

/// The part from `start` of that `length` (rounded to whole pixels where it is as good as whole),
/// if it lies in `0..size`.
fn inside(start: f64, length: f64, size: f64) -> Option<(f64, f64)> {
    let settle = |value: f64| {
        let near = value.round();
        if (value - near).abs() < ROUNDING {
            near
        } else {
            value
        }
    };
    let (start, mut length) = (settle(start), settle(length));
    // Comparisons with what is not a number are false.
    let lies = start >= 0.0 && length > 0.0 && start + length <= size + ROUNDING;
    length = length.min(size - start);
    while lies && start + length > size {
        length = length.next_down();
    }
    lies.then_some((start, length))
}

fn copy(image: RgbView<'_>, [top, left]: [usize; 2], output: &mut RgbViewMut<'_>) {
    let row_bytes = output.width() * 3;
    let from = image.pixels().chunks_exact(image.width() * 3).skip(top);
    for (to, from) in output.pixels_mut().chunks_exact_mut(row_bytes).zip(from) {
        to.copy_from_slice(&from[left * 3..][..row_bytes]);
    }
}
