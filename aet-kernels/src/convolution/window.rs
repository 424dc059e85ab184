//! The window of a convolution ([`Window`]), and which of its outputs the pixels of an input reach
//! ([`Reach`]).

use std::ops::Range;

/// Side, stride and padding of a convolution, the same along both axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Side of the kernel, odd.
    pub side: usize,
    /// From one output to the next, in pixels of the input.
    pub stride: usize,
    /// Border of zeros around the input, at most half of the side.
    pub padding: usize,
}

impl Window {
    /// Stride 1, and as much padding as keeps the size of images.
    pub const fn same(side: usize) -> Self {
        Self {
            side,
            stride: 1,
            padding: side / 2,
        }
    }

    /// Whether the output is as large as the input.
    pub fn keeps_size(&self) -> bool {
        *self == Self::same(self.side)
    }

    /// Whether it can be convolved with on images of a height and width.
    pub fn fits(&self, size: [usize; 2]) -> bool {
        let within = |length: usize| length + 2 * self.padding >= self.side;
        self.side % 2 == 1
            && self.stride > 0
            && self.padding <= self.side / 2
            && size.into_iter().all(within)
    }

    /// Outputs along an axis of `length` pixels.
    pub fn outputs(&self, length: usize) -> usize {
        (length + 2 * self.padding - self.side) / self.stride + 1
    }

    /// The taps that meet the pixels whose place, with the padding before it, leaves this remainder
    /// when it is divided by the stride: `remainder`, `remainder + stride`, and so on.
    pub(super) fn taps(&self, remainder: usize) -> usize {
        self.side.saturating_sub(remainder).div_ceil(self.stride)
    }

    /// The classes of pixels, which are met by the same taps: pairs of remainders, down and right.
    pub(super) fn classes(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let stride = self.stride;
        (0..stride * stride).map(move |class| [class / stride, class % stride])
    }
}

/// Some consecutive pixels of the input along an axis, and the outputs that they reach, in a grid
/// that has room for those beyond the border.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    pub window: Window,
    /// The pixels; at least one.
    pub pixels: Range<usize>,
    /// Outputs along the axis.
    pub outputs: usize,
}

impl Reach {
    /// The quotient by the stride of the place of a pixel with the padding before it: the highest
    /// output that the pixel would reach.
    fn highest(&self, pixel: usize) -> usize {
        (pixel + self.window.padding) / self.window.stride
    }

    /// The outputs that are reached.
    pub fn reached(&self) -> Range<usize> {
        let Window {
            side,
            stride,
            padding,
        } = self.window;
        let first = (self.pixels.start + padding + 1)
            .saturating_sub(side)
            .div_ceil(stride);
        first..(self.highest(self.pixels.end - 1) + 1).min(self.outputs)
    }

    /// The length of the grid.
    pub fn len(&self) -> usize {
        self.highest(self.pixels.end - 1) - self.highest(self.pixels.start) + self.window.taps(0)
    }

    /// The place in the grid of an output that is reached.
    pub fn place(&self, output: usize) -> usize {
        output + self.window.taps(0) - 1 - self.highest(self.pixels.start)
    }

    /// The pixels of a remainder, counted from the first, each with the place of the lowest output
    /// that it reaches.
    pub fn of_remainder(&self, remainder: usize) -> impl Iterator<Item = (usize, usize)> {
        let Window {
            stride, padding, ..
        } = self.window;
        let first = self.pixels.start;
        let skipped = (remainder + stride - (first + padding) % stride) % stride;
        let shift = self.window.taps(0) - self.window.taps(remainder);
        (first + skipped..self.pixels.end)
            .step_by(stride)
            .map(move |pixel| {
                let place = self.highest(pixel) - self.highest(first) + shift;
                (pixel - first, place)
            })
    }
}
