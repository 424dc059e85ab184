//! A chunk of a batch forward, and backward to the weights and the input.

use std::ops::Range;

use super::{Algorithm, Chunk, Convolution, Scratch, Strip, Weights, Window, block_stride};
use crate::buffer::Buffer;
use crate::product::{Rows, multiply, multiply_transposed};
use crate::rows::Layout;
use crate::simd::padded;
use crate::winograd::{
    OUTPUTS, Pixels, input_tiles, input_tiles_back, output_rows, output_rows_back,
};

/// The pixels `first..first + rows` of a batch, and where each goes in a buffer.
#[derive(Debug)]
pub struct Placed<'s> {
    /// First pixel, counted over the batch.
    pub first: usize,
    /// Pixels.
    pub rows: usize,
    /// Where they go.
    pub buffer: &'s mut [f32],
    /// The place of each in it.
    pub offsets: &'s [u32],
}

impl Convolution {
    /// The pixels of the input that a chunk reads, and where each goes in [`Scratch::input`]; the
    /// border around them is 0 after this.
    pub fn place_input<'s>(&self, chunk: Chunk, scratch: &'s mut Scratch) -> Placed<'s> {
        let offsets = &mut scratch.offsets;
        offsets.clear();
        let (first, rows) = match self.algorithm {
            Algorithm::Pointwise => {
                let stride = block_stride(self.stored_in);
                spaced(chunk.rows, stride, offsets);
                (chunk.first, chunk.rows)
            }
            Algorithm::Winograd => {
                self.whole_images(chunk, self.stored_in, offsets);
                (chunk.first, chunk.rows)
            }
            Algorithm::Direct => {
                scratch.input.fill(0.0);
                let width = self.bordered_width();
                let place = |y, x| (y * width + x) * self.stored_in;
                self.halo(chunk, offsets, place)
            }
            Algorithm::Shallow => {
                scratch.input.fill(0.0);
                let row = self.tile_row();
                self.halo(chunk, offsets, |y, x| row.place(y, x))
            }
        };
        Placed {
            first,
            rows,
            buffer: &mut scratch.input,
            offsets,
        }
    }

    /// Offsets of the pixels of whole images in their bordered form.
    fn whole_images(&self, chunk: Chunk, channels: usize, offsets: &mut Vec<u32>) {
        let [_, height, width] = self.bordered();
        let pad = self.window.padding;
        for image in 0..chunk.rows / self.pixels() {
            for y in 0..self.height {
                let line = ((image * height + y + pad) * width + pad) * channels;
                offsets.extend((0..self.width).map(|x| (line + x * channels) as u32));
            }
        }
    }

    /// The pixels of the input that a strip reads, and their offsets in the bordered strip, whose pixel
    /// in row `y` and column `x` is at `place(y, x)`.
    fn halo(
        &self,
        chunk: Chunk,
        offsets: &mut Vec<u32>,
        place: impl Fn(usize, usize) -> usize,
    ) -> (usize, usize) {
        let Window {
            side,
            stride,
            padding,
        } = self.window;
        let Strip {
            first,
            images,
            rows,
        } = self.strip_of(chunk);
        let [_, height, _] = self.bordered();
        let top = rows.start * stride;
        let from = top.saturating_sub(padding);
        // Of several images all rows, as they lie one after the other, whether they are read or not.
        let to = match images {
            1 => ((rows.end - 1) * stride + side - padding).min(self.height),
            _ => self.height,
        };
        for image in 0..images {
            for y in from..to {
                let y = image * height + y + padding - top;
                offsets.extend((0..self.width).map(|x| place(y, x + padding) as u32));
            }
        }
        let start = (first * self.height + from) * self.width;
        (start, images * (to - from) * self.width)
    }

    /// Rows of the product: the neighbourhoods of a chunk's pixels in a bordered strip of the input, or
    /// its rows.
    fn rows<'s>(&self, chunk: Chunk, data: &'s [f32], offsets: &'s mut Vec<u32>) -> Rows<'s> {
        offsets.clear();
        let channels = self.stored_in;
        if self.algorithm == Algorithm::Pointwise {
            spaced(chunk.rows, block_stride(channels), offsets);
            return Rows::plain(data, offsets, channels);
        }
        let Window { side, stride, .. } = self.window;
        let strip = self.strip_of(chunk);
        let ([_, height, width], [_, width_out]) = (self.bordered(), self.output());
        for image in 0..strip.images {
            for y in 0..strip.rows.len() {
                let line = (image * height + y * stride) * width;
                offsets.extend((0..width_out).map(|x| ((line + x * stride) * channels) as u32));
            }
        }
        Rows {
            data,
            offsets,
            segments: side,
            segment: side * channels,
            stride: width * channels,
        }
    }

    /// Convolves [`Scratch::input`] into [`Scratch::output`].
    pub fn forward(&self, chunk: Chunk, weights: &Weights, scratch: &mut Scratch) {
        match self.algorithm {
            Algorithm::Winograd => self.forward_winograd(chunk, weights, scratch),
            Algorithm::Shallow => self.forward_shallow(chunk, weights, scratch),
            _ => self.forward_product(chunk, weights, scratch),
        }
    }

    fn forward_product(&self, chunk: Chunk, weights: &Weights, scratch: &mut Scratch) {
        let Scratch {
            input,
            offsets,
            output,
            ..
        } = scratch;
        let rows = self.rows(chunk, input, offsets);
        for panels in self.panels(&weights.forward, false) {
            multiply(rows, panels, output, self.out_stride());
        }
    }

    fn forward_winograd(&self, chunk: Chunk, weights: &Weights, scratch: &mut Scratch) {
        let tiling = self.tiling(chunk.rows / self.pixels());
        let [planes_in, planes_out] = self.planes(tiling.images);
        input_tiles(tiling, &scratch.input, planes_in, &mut scratch.tiles_in);
        spaced(tiling.tiles(), planes_in.row, &mut scratch.offsets);
        for (product, panels) in self.panels(&weights.forward, false).enumerate() {
            let tiles = &scratch.tiles_in[product * planes_in.plane..];
            let rows = Rows::plain(tiles, &scratch.offsets, planes_in.channels);
            let out = &mut scratch.tiles_out[product * planes_out.plane..];
            multiply(rows, panels, out, planes_out.row);
        }
        output_rows(
            tiling,
            &scratch.tiles_out,
            planes_out,
            &mut scratch.output,
            self.out_stride(),
        );
    }

    fn forward_shallow(&self, chunk: Chunk, weights: &Weights, scratch: &mut Scratch) {
        let row = self.tile_row();
        spaced(chunk.rows, self.out_stride(), &mut scratch.offsets);
        let rows = scratch.offsets.chunks(OUTPUTS * self.width);
        for (number, offsets) in rows.enumerate() {
            row.input_tiles(&scratch.input, number, &mut scratch.tiles_in);
            let channels = self.stored_out();
            let pixels = Pixels { offsets, channels };
            let out = &mut scratch.output;
            row.forward(&scratch.tiles_in, &weights.forward, pixels, out);
        }
    }

    /// A 1x1 convolution of rows `stride` apart, to rows [`out_stride`](Self::out_stride) apart.
    ///
    /// # Panics
    /// When the kernel is larger.
    pub fn forward_rows(&self, rows: &[f32], stride: usize, weights: &Weights, out: &mut [f32]) {
        assert_eq!(self.algorithm, Algorithm::Pointwise);
        let mut offsets = Vec::new();
        spaced(rows.len() / stride, stride, &mut offsets);
        let rows = Rows::plain(rows, &offsets, self.stored_in);
        for panels in self.panels(&weights.forward, false) {
            multiply(rows, panels, out, self.out_stride());
        }
    }

    /// The pixels whose output gradient a chunk needs, and where each goes in [`Scratch::output`]:
    /// its own, and if the `input_gradient` is wanted, those around them that are reached.
    pub fn place_gradient<'s>(
        &self,
        chunk: Chunk,
        scratch: &'s mut Scratch,
        input_gradient: bool,
    ) -> Placed<'s> {
        let stride = self.out_stride();
        let offsets = &mut scratch.offsets;
        offsets.clear();
        let (first, rows) = match self.algorithm {
            Algorithm::Direct | Algorithm::Shallow if input_gradient => {
                scratch.output.fill(0.0);
                self.reached(chunk, offsets)
            }
            _ => {
                spaced(chunk.rows, stride, offsets);
                (chunk.first, chunk.rows)
            }
        };
        Placed {
            first,
            rows,
            buffer: &mut scratch.output,
            offsets,
        }
    }

    /// The pixels of the output that are reached by those of the input that come with a strip, and their
    /// offsets in the grid of both reaches.
    fn reached(&self, chunk: Chunk, offsets: &mut Vec<u32>) -> (usize, usize) {
        let strip = self.strip_of(chunk);
        let [lines, columns] = self.reaches(&strip);
        let [height, width] = self.output();
        let rows = lines.reached();
        self.grid_places(&strip, rows.clone(), offsets);
        debug_assert_eq!(columns.reached(), 0..width);
        let first = (strip.first * height + rows.start) * width;
        (first, strip.images * rows.len() * width)
    }

    /// Where the outputs in `rows` of every image of a strip are in the grid of both reaches.
    fn grid_places(&self, strip: &Strip, rows: Range<usize>, offsets: &mut Vec<u32>) {
        let stride = self.out_stride();
        let ([_, width], [lines, columns]) = (self.output(), self.reaches(strip));
        let (height, grid_width) = (lines.len(), columns.len());
        for image in 0..strip.images {
            for y in rows.clone() {
                let line = (image * height + lines.place(y)) * grid_width;
                let places = (0..width).map(|x| line + columns.place(x));
                offsets.extend(places.map(|place| (place * stride) as u32));
            }
        }
    }

    /// Adds the gradient of the weights to `sums` ([`gradient_len`](Self::gradient_len) values; written
    /// over if this is the `fresh` chunk of a sum), and
    /// puts that of the input into [`Scratch::input_gradient`] where `weights` are given, from
    /// [`Scratch::input`] and the gradient in [`Scratch::output`].
    pub fn backward(
        &self,
        chunk: Chunk,
        weights: Option<&Weights>,
        scratch: &mut Scratch,
        (sums, fresh): (&mut [f32], bool),
    ) {
        let backward = weights.and_then(|weights| weights.backward.as_ref());
        match self.algorithm {
            Algorithm::Winograd => self.backward_winograd(chunk, backward, scratch, (sums, fresh)),
            Algorithm::Shallow => self.backward_shallow(chunk, backward, scratch, (sums, fresh)),
            _ => self.backward_rows(chunk, backward, scratch, (sums, fresh)),
        }
    }

    fn backward_winograd(
        &self,
        chunk: Chunk,
        weights: Option<&Buffer>,
        scratch: &mut Scratch,
        (sums, fresh): (&mut [f32], bool),
    ) {
        let tiling = self.tiling(chunk.rows / self.pixels());
        let [planes_in, planes_out] = self.planes(tiling.images);
        input_tiles(tiling, &scratch.input, planes_in, &mut scratch.tiles_in);
        output_rows_back(
            tiling,
            &scratch.output,
            self.out_stride(),
            planes_out,
            &mut scratch.tiles_out,
        );
        spaced(tiling.tiles(), planes_in.row, &mut scratch.offsets);
        spaced(tiling.tiles(), planes_out.row, &mut scratch.other_offsets);
        let size = planes_in.channels * planes_out.channels;
        for product in 0..tiling.products() {
            let tiles = &scratch.tiles_in[product * planes_in.plane..];
            let rows = Rows::plain(tiles, &scratch.offsets, planes_in.channels);
            let tiles = &scratch.tiles_out[product * planes_out.plane..];
            let gradient = Rows::plain(tiles, &scratch.other_offsets, planes_out.channels);
            let sums = &mut sums[product * size..(product + 1) * size];
            multiply_transposed(rows, gradient, sums, fresh);
        }
        let Some(weights) = weights else { return };
        for (product, panels) in self.panels(weights, true).enumerate() {
            let gradient = &scratch.tiles_out[product * planes_out.plane..];
            let rows = Rows::plain(gradient, &scratch.other_offsets, planes_out.channels);
            let out = &mut scratch.tiles_in[product * planes_in.plane..];
            multiply(rows, panels, out, planes_in.row);
        }
        scratch.input_gradient.fill(0.0);
        input_tiles_back(
            tiling,
            &scratch.tiles_in,
            planes_in,
            &mut scratch.input_gradient,
        );
    }

    fn backward_shallow(
        &self,
        chunk: Chunk,
        weights: Option<&Buffer>,
        scratch: &mut Scratch,
        (sums, fresh): (&mut [f32], bool),
    ) {
        let row = self.tile_row();
        self.own_gradients(chunk, weights.is_some(), &mut scratch.other_offsets);
        let rows = scratch.other_offsets.chunks(OUTPUTS * self.width);
        for (number, offsets) in rows.enumerate() {
            row.input_tiles(&scratch.input, number, &mut scratch.tiles_in);
            let channels = self.stored_out();
            let gradient = (&scratch.output[..], Pixels { offsets, channels });
            let fresh = fresh && number == 0;
            row.sum_gradient(
                &scratch.tiles_in,
                gradient,
                &mut scratch.tiles_out,
                (sums, fresh),
            );
        }
        if let Some(weights) = weights {
            self.directly().input_gradient(chunk, weights, scratch);
        }
    }

    /// Where the gradients of a chunk's own pixels are in [`Scratch::output`]: one after the other, or in
    /// the grid of what is reached.
    fn own_gradients(&self, chunk: Chunk, grid: bool, offsets: &mut Vec<u32>) {
        let stride = self.out_stride();
        if !grid || self.algorithm == Algorithm::Pointwise {
            return spaced(chunk.rows, stride, offsets);
        }
        offsets.clear();
        let strip = self.strip_of(chunk);
        self.grid_places(&strip, strip.rows.clone(), offsets);
    }

    fn backward_rows(
        &self,
        chunk: Chunk,
        weights: Option<&Buffer>,
        scratch: &mut Scratch,
        (sums, fresh): (&mut [f32], bool),
    ) {
        let Scratch {
            input,
            output,
            offsets,
            other_offsets,
            ..
        } = scratch;
        let rows = self.rows(chunk, input, offsets);
        self.own_gradients(chunk, weights.is_some(), other_offsets);
        let gradient = Rows::plain(output, other_offsets, self.stored_out());
        multiply_transposed(rows, gradient, sums, fresh);
        if let Some(weights) = weights {
            self.input_gradient(chunk, weights, scratch);
        }
    }

    /// The gradient of the input as products of rows: the pixels of each class meet the same taps of
    /// neighbouring outputs.
    fn input_gradient(&self, chunk: Chunk, weights: &Buffer, scratch: &mut Scratch) {
        let Scratch {
            output,
            input_gradient,
            offsets,
            ..
        } = scratch;
        let row = block_stride(padded(self.channels_in));
        let stride = self.out_stride();
        if self.algorithm == Algorithm::Pointwise {
            spaced(chunk.rows, stride, offsets);
            let rows = Rows::plain(output, offsets, self.stored_out());
            for panels in self.panels(weights, true) {
                multiply(rows, panels, input_gradient, row);
            }
            return;
        }
        let strip = self.strip_of(chunk);
        let [lines, columns] = self.reaches(&strip);
        let (height, width) = (lines.len(), columns.len());
        let mut first = 0;
        for (class, panels) in self.class_panels(weights) {
            offsets.clear();
            for image in 0..strip.images {
                for (_, y) in lines.of_remainder(class[0]) {
                    let line = (image * height + y) * width;
                    let places = columns.of_remainder(class[1]);
                    offsets.extend(places.map(|(_, x)| ((line + x) * stride) as u32));
                }
            }
            let out = &mut input_gradient[first * row..];
            first += offsets.len();
            let [segments, taps] = class.map(|remainder| self.window.taps(remainder));
            if segments * taps == 0 {
                // Pixels that the stride steps over.
                out[..offsets.len() * row].fill(0.0);
                continue;
            }
            let rows = Rows {
                data: output,
                offsets,
                segments,
                segment: taps * self.stored_out(),
                stride: width * stride,
            };
            multiply(rows, panels, out, row);
        }
    }

    /// Where the gradient of the chunk's input ([`input_chunk`](Self::input_chunk)) lies in
    /// [`Scratch::input_gradient`].
    pub fn input_gradient_layout<'s>(&self, chunk: Chunk, offsets: &'s mut Vec<u32>) -> Layout<'s> {
        offsets.clear();
        let row = block_stride(padded(self.channels_in));
        match self.algorithm {
            Algorithm::Winograd => {
                self.whole_images(chunk, self.stored_in, offsets);
                Layout::at(offsets)
            }
            _ if self.window.stride == 1 => Layout::dense(row),
            _ => {
                let strip = self.strip_of(chunk);
                let [lines, columns] = self.reaches(&strip);
                let height = lines.pixels.len();
                offsets.resize(strip.images * height * self.width, 0);
                let mut place = 0;
                for class in self.window.classes() {
                    for image in 0..strip.images {
                        for (y, _) in lines.of_remainder(class[0]) {
                            for (x, _) in columns.of_remainder(class[1]) {
                                offsets[(image * height + y) * self.width + x] = place as u32;
                                place += row;
                            }
                        }
                    }
                }
                Layout::at(offsets)
            }
        }
    }
}

/// Offsets of `count` rows, `stride` apart.
fn spaced(count: usize, stride: usize, offsets: &mut Vec<u32>) {
    offsets.clear();
    offsets.extend((0..count).map(|row| (row * stride) as u32));
}
