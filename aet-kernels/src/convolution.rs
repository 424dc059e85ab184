//! A convolution of stride 1 that keeps the image's size, a chunk of pixels at a time: forward, and
//! backward to its weights and its input.
//!
//! Three ways, chosen by shape: 1x1 kernels are plain products of rows; kernels of 3 and 5 with
//! enough channels go through Winograd's transforms, whole images at a time; everything else is a
//! product whose rows are the pixels' neighbourhoods, a strip of an image at a time.

use std::sync::OnceLock;

use crate::buffer::Buffer;
use crate::product::{
    Panels, Rows, SLACK, multiply, multiply_transposed, write_row, write_transposed,
};
use crate::rows::Layout;
use crate::simd::{padded, run};
use crate::winograd::{
    Planes, Tiling, input_tiles, input_tiles_back, kernel_matrix, output_rows, output_rows_back,
    tile_side,
};
use crate::workers::{Shared, for_each};

/// Rows that a product is done for at a time, so that its operands stay in the second-level cache.
const BLOCK_ROWS: usize = 128;
/// Tiles that a product is done for at a time, so that the transformed weights are not read too
/// often.
const BLOCK_TILES: usize = 64;
/// Channels on both sides from which on Winograd's transforms pay.
const WINOGRAD_CHANNELS: usize = 8;

/// How a convolution is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// A product of rows of channels; kernels of 1.
    Pointwise,
    /// A product of rows of neighbourhoods.
    Direct,
    /// Winograd's minimal filtering; kernels of 3 and 5.
    Winograd,
}

/// Whether Winograd's transforms are used where they can be; `AET_WINOGRAD=off` in the environment
/// turns them off, to see what their rounding does.
fn winograd_is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var("AET_WINOGRAD").as_deref() != Ok("off"))
}

/// A convolution with odd kernel, stride 1 and as much padding as keeps the size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convolution {
    /// Side of the kernel.
    pub side: usize,
    /// Height of the image, in pixels.
    pub height: usize,
    /// Width of the image, in pixels.
    pub width: usize,
    /// Channels in.
    pub channels_in: usize,
    /// Channels out.
    pub channels_out: usize,
    /// Channels in as they are stored; padding is zero.
    pub stored_in: usize,
    /// How it is done.
    pub algorithm: Algorithm,
}

/// Some consecutive pixels of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// First pixel, counted over the batch.
    pub first: usize,
    /// Pixels.
    pub rows: usize,
}

/// Weights laid out for the products.
#[derive(Debug)]
pub struct Weights {
    /// `[depth, channels out]`, for each transformed value in turn.
    forward: Buffer,
    /// For the gradient of the input.
    backward: Option<Buffer>,
}

impl Weights {
    /// Whether the gradient of the input can be had with them.
    pub fn has_backward(&self) -> bool {
        self.backward.is_some()
    }
}

/// What a thread works in.
#[derive(Debug)]
pub struct Scratch {
    /// The activated input, as the algorithm wants it.
    pub input: Buffer,
    /// The output, or its gradient: rows [`Convolution::out_stride`] apart.
    pub output: Buffer,
    /// The gradient of the input.
    pub input_gradient: Buffer,
    tiles_in: Buffer,
    tiles_out: Buffer,
    offsets: Vec<u32>,
    other_offsets: Vec<u32>,
}

/// From one row to the next of a block: an odd number of cache lines, so that rows do not all fall
/// into the same few sets of the cache.
fn block_stride(channels: usize) -> usize {
    (channels.div_ceil(16) | 1) * 16
}

impl Convolution {
    /// A convolution of images whose channels are stored as `stored_in` (`channels_in`, or more).
    pub fn new(
        side: usize,
        [height, width]: [usize; 2],
        [channels_in, channels_out]: [usize; 2],
        stored_in: usize,
    ) -> Self {
        let enough = channels_in.min(channels_out) >= WINOGRAD_CHANNELS;
        let algorithm = match side {
            1 => Algorithm::Pointwise,
            3 | 5 if enough && stored_in == padded(channels_in) && winograd_is_on() => {
                Algorithm::Winograd
            }
            _ => Algorithm::Direct,
        };
        Self {
            side,
            height,
            width,
            channels_in,
            channels_out,
            stored_in,
            algorithm,
        }
    }

    /// Channels out as they are stored.
    pub fn stored_out(&self) -> usize {
        padded(self.channels_out)
    }

    /// From one row of the output block to the next.
    pub fn out_stride(&self) -> usize {
        match self.algorithm {
            // Its gradient is read as neighbourhoods, without gaps.
            Algorithm::Direct => self.stored_out(),
            _ => block_stride(self.stored_out()),
        }
    }

    /// Number of weights.
    pub fn weight_len(&self) -> usize {
        self.channels_out * self.channels_in * self.side * self.side
    }

    /// Multiply-adds for one image: by definition, and as they are done, transforms and padding of
    /// channels left out.
    pub fn multiply_adds(&self) -> [usize; 2] {
        let defined = self.weight_len() * self.pixels();
        let done = match self.algorithm {
            Algorithm::Winograd => {
                let tiling = self.tiling(1);
                self.channels_in * self.channels_out * tiling.tiles() * tiling.products()
            }
            _ => defined,
        };
        [defined, done]
    }

    fn pad(&self) -> usize {
        self.side / 2
    }

    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Rows of an image in a strip.
    fn strip(&self) -> usize {
        (BLOCK_ROWS / self.width).clamp(1, self.height)
    }

    /// Images in a chunk of whole images.
    fn images(&self) -> usize {
        let tiles = self.tiling(1).tiles();
        BLOCK_TILES.div_ceil(tiles)
    }

    fn tiling(&self, images: usize) -> Tiling {
        Tiling {
            side: self.side,
            images,
            height: self.height,
            width: self.width,
        }
    }

    /// The chunks that a batch is worked on in.
    pub fn chunks(&self, batch: usize) -> Vec<Chunk> {
        let pixels = self.pixels();
        let cut = |total: usize, rows: usize, start: usize| {
            (0..total).step_by(rows).map(move |first| Chunk {
                first: start + first,
                rows: rows.min(total - first),
            })
        };
        match self.algorithm {
            Algorithm::Pointwise => cut(batch * pixels, BLOCK_ROWS, 0).collect(),
            Algorithm::Winograd => cut(batch * pixels, self.images() * pixels, 0).collect(),
            Algorithm::Direct => (0..batch)
                .flat_map(|image| cut(pixels, self.strip() * self.width, image * pixels))
                .collect(),
        }
    }

    /// Pixels in the largest chunk.
    fn chunk_rows(&self) -> usize {
        match self.algorithm {
            Algorithm::Pointwise => BLOCK_ROWS,
            Algorithm::Winograd => self.images() * self.pixels(),
            Algorithm::Direct => self.strip() * self.width,
        }
    }

    /// Height and width of the bordered input of a chunk, and images in it.
    fn bordered(&self) -> [usize; 3] {
        match self.algorithm {
            Algorithm::Winograd => {
                let [height, width] = self.tiling(1).padded();
                [self.images(), height, width]
            }
            _ => [
                1,
                self.strip() + 2 * self.pad(),
                self.width + 2 * self.pad(),
            ],
        }
    }

    /// Planes of the transformed input and output of `images`.
    fn planes(&self, images: usize) -> [Planes; 2] {
        let tiles = self.tiling(images).tiles();
        [self.stored_in, self.stored_out()].map(|channels| Planes::new(tiles, channels))
    }

    /// Memory for a thread; `backward` includes what gradients need.
    pub fn scratch(&self, backward: bool) -> Scratch {
        let [images, height, width] = self.bordered();
        let bordered = images * height * width;
        let rows = self.chunk_rows();
        let if_backward = |len: usize| Buffer::stale(if backward { len } else { 0 });
        let (input, output, input_gradient) = match self.algorithm {
            Algorithm::Pointwise => {
                let stride = block_stride(self.stored_in);
                let input = Buffer::stale(rows * stride + SLACK);
                (input, rows * self.out_stride(), if_backward(rows * stride))
            }
            Algorithm::Winograd => {
                let values = bordered * self.stored_in;
                let input = Buffer::zeros(values);
                (input, rows * self.out_stride(), if_backward(values))
            }
            Algorithm::Direct => {
                let input = Buffer::stale(bordered * self.stored_in + SLACK);
                let output = bordered.max(rows) * self.out_stride();
                let stride = block_stride(padded(self.channels_in));
                (input, output, if_backward(rows * stride))
            }
        };
        let [tiles_in, tiles_out] = match self.algorithm {
            Algorithm::Winograd => self
                .planes(images)
                .map(|planes| planes.len(self.tiling(1).products())),
            _ => [0, 0],
        };
        Scratch {
            input,
            output: Buffer::stale(output),
            input_gradient,
            tiles_in: Buffer::stale(tiles_in),
            tiles_out: Buffer::stale(tiles_out),
            offsets: Vec::new(),
            other_offsets: Vec::new(),
        }
    }

    /// The pixels of the input that a chunk reads, and where each goes in [`Scratch::input`]; the
    /// border around them is 0 after this.
    pub fn place_input<'s>(&self, chunk: Chunk, scratch: &'s mut Scratch) -> Placed<'s> {
        let offsets = &mut scratch.offsets;
        offsets.clear();
        let (first, rows) = match self.algorithm {
            Algorithm::Pointwise => {
                let stride = block_stride(self.stored_in);
                offsets.extend((0..chunk.rows).map(|row| (row * stride) as u32));
                (chunk.first, chunk.rows)
            }
            Algorithm::Winograd => {
                self.whole_images(chunk, self.stored_in, offsets);
                (chunk.first, chunk.rows)
            }
            Algorithm::Direct => {
                scratch.input.fill(0.0);
                self.halo(chunk, self.stored_in, offsets)
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
        let pad = self.pad();
        for image in 0..chunk.rows / self.pixels() {
            for y in 0..self.height {
                let line = ((image * height + y + pad) * width + pad) * channels;
                offsets.extend((0..self.width).map(|x| (line + x * channels) as u32));
            }
        }
    }

    /// The pixels of a strip with those around it that are in the image, and their offsets in the
    /// bordered strip.
    fn halo(&self, chunk: Chunk, channels: usize, offsets: &mut Vec<u32>) -> (usize, usize) {
        let pad = self.pad();
        let image = chunk.first / self.pixels() * self.height;
        let top = chunk.first / self.width - image;
        let from = top.saturating_sub(pad);
        let to = (top + chunk.rows / self.width + pad).min(self.height);
        let width = self.width + 2 * pad;
        for y in from..to {
            let line = ((y + pad - top) * width + pad) * channels;
            offsets.extend((0..self.width).map(|x| (line + x * channels) as u32));
        }
        ((image + from) * self.width, (to - from) * self.width)
    }

    /// Rows of the product: the neighbourhoods of a chunk's pixels in a bordered strip, or its rows.
    fn rows<'s>(
        &self,
        chunk: Chunk,
        channels: usize,
        stride: usize,
        data: &'s [f32],
        offsets: &'s mut Vec<u32>,
    ) -> Rows<'s> {
        offsets.clear();
        if self.side == 1 {
            offsets.extend((0..chunk.rows).map(|row| (row * stride) as u32));
            return Rows::plain(data, offsets, channels);
        }
        let width = self.width + 2 * self.pad();
        for y in 0..chunk.rows / self.width {
            let line = y * width;
            offsets.extend((0..self.width).map(|x| ((line + x) * stride) as u32));
        }
        Rows {
            data,
            offsets,
            segments: self.side,
            segment: self.side * channels,
            stride: width * stride,
        }
    }

    /// Convolves [`Scratch::input`] into [`Scratch::output`].
    pub fn forward(&self, chunk: Chunk, weights: &Weights, scratch: &mut Scratch) {
        let stride = self.out_stride();
        if self.algorithm == Algorithm::Winograd {
            let tiling = self.tiling(chunk.rows / self.pixels());
            let [planes_in, planes_out] = self.planes(tiling.images);
            input_tiles(tiling, &scratch.input, planes_in, &mut scratch.tiles_in);
            tile_offsets(tiling, planes_in, &mut scratch.offsets);
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
                stride,
            );
            return;
        }
        let input_stride = match self.algorithm {
            Algorithm::Pointwise => block_stride(self.stored_in),
            _ => self.stored_in,
        };
        let Scratch {
            input,
            offsets,
            output,
            ..
        } = scratch;
        let rows = self.rows(chunk, self.stored_in, input_stride, input, offsets);
        for panels in self.panels(&weights.forward, false) {
            multiply(rows, panels, output, stride);
        }
    }

    /// A 1x1 convolution of rows `stride` apart, to rows [`out_stride`](Self::out_stride) apart.
    ///
    /// # Panics
    /// When the kernel is larger.
    pub fn forward_rows(&self, rows: &[f32], stride: usize, weights: &Weights, out: &mut [f32]) {
        assert_eq!(self.algorithm, Algorithm::Pointwise);
        let offsets: Vec<u32> = (0..rows.len() / stride)
            .map(|r| (r * stride) as u32)
            .collect();
        let rows = Rows::plain(rows, &offsets, self.stored_in);
        for panels in self.panels(&weights.forward, false) {
            multiply(rows, panels, out, self.out_stride());
        }
    }

    /// The pixels whose output gradient a chunk needs, and where each goes in [`Scratch::output`].
    pub fn place_gradient<'s>(&self, chunk: Chunk, scratch: &'s mut Scratch) -> Placed<'s> {
        let stride = self.out_stride();
        let offsets = &mut scratch.offsets;
        offsets.clear();
        let (first, rows) = match self.algorithm {
            Algorithm::Direct => {
                scratch.output.fill(0.0);
                self.halo(chunk, stride, offsets)
            }
            _ => {
                offsets.extend((0..chunk.rows).map(|row| (row * stride) as u32));
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
        tile_offsets(tiling, planes_in, &mut scratch.offsets);
        tile_offsets(tiling, planes_out, &mut scratch.other_offsets);
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

    fn backward_rows(
        &self,
        chunk: Chunk,
        weights: Option<&Buffer>,
        scratch: &mut Scratch,
        (sums, fresh): (&mut [f32], bool),
    ) {
        let out_stride = self.out_stride();
        let input_stride = match self.algorithm {
            Algorithm::Pointwise => block_stride(self.stored_in),
            _ => self.stored_in,
        };
        let Scratch {
            input,
            output,
            input_gradient,
            offsets,
            other_offsets,
            ..
        } = scratch;
        let rows = self.rows(chunk, self.stored_in, input_stride, input, offsets);
        other_offsets.clear();
        // With a border, the gradient's own pixel is in the middle of its neighbourhood.
        let [width, pad] = [self.width + 2 * self.pad(), self.pad()];
        other_offsets.extend((0..chunk.rows).map(|row| match self.side {
            1 => row * out_stride,
            _ => ((row / self.width + pad) * width + row % self.width + pad) * out_stride,
        } as u32));
        let gradient = Rows::plain(output, other_offsets, self.stored_out());
        multiply_transposed(rows, gradient, sums, fresh);
        let Some(weights) = weights else { return };
        let rows = self.rows(chunk, self.stored_out(), out_stride, output, offsets);
        let stride = block_stride(padded(self.channels_in));
        for panels in self.panels(weights, true) {
            multiply(rows, panels, input_gradient, stride);
        }
    }

    /// Where the gradient of the chunk's input lies in [`Scratch::input_gradient`].
    pub fn input_gradient_layout<'s>(&self, chunk: Chunk, offsets: &'s mut Vec<u32>) -> Layout<'s> {
        match self.algorithm {
            Algorithm::Winograd => {
                offsets.clear();
                self.whole_images(chunk, self.stored_in, offsets);
                Layout::at(offsets)
            }
            _ => Layout::dense(block_stride(padded(self.channels_in))),
        }
    }

    /// Rows of the packed weights, forward or backward.
    fn depth(&self, backward: bool) -> usize {
        let channels = if backward {
            self.stored_out()
        } else {
            self.stored_in
        };
        match self.algorithm {
            Algorithm::Direct => self.taps() * channels,
            _ => channels,
        }
    }

    /// Products of a tile; 1 without Winograd.
    fn products(&self) -> usize {
        match self.algorithm {
            Algorithm::Winograd => tile_side(self.side).pow(2),
            _ => 1,
        }
    }

    fn panels<'w>(&self, weights: &'w Buffer, backward: bool) -> impl Iterator<Item = Panels<'w>> {
        let depth = self.depth(backward);
        let columns = padded(if backward {
            self.channels_in
        } else {
            self.channels_out
        });
        weights
            .chunks_exact(depth * columns)
            .map(move |values| Panels {
                depth,
                columns,
                values,
            })
    }

    /// Lays out `weights`, `[channels out, channels in, side, side]`, each output channel times its
    /// `scale` if there is one; with those for the gradient of the input if `backward`.
    pub fn prepare(&self, weights: &[f32], scale: Option<&[f32]>, backward: bool) -> Weights {
        assert_eq!(weights.len(), self.weight_len());
        let columns_out = self.stored_out();
        let (taps, values) = (self.taps(), self.values());
        let transform = self.transform();
        // `[channels in, values, stored out]`
        let mut kernels = Buffer::stale(self.channels_in * values * columns_out);
        let shared = Shared::new(&mut kernels);
        for_each(
            self.channels_in,
            || Buffer::stale(taps * columns_out),
            |channel, own| {
                // SAFETY: a part for each channel.
                let part =
                    unsafe { shared.part(channel * values * columns_out, values * columns_out) };
                self.gather(weights, scale, channel, own);
                match &transform {
                    Some(matrix) => sandwich(matrix, own, columns_out, part),
                    None => part.copy_from_slice(own),
                }
            },
        );
        Weights {
            forward: self.pack(&kernels, false),
            backward: backward.then(|| self.pack(&kernels, true)),
        }
    }

    /// Numbers in a kernel.
    fn taps(&self) -> usize {
        self.side * self.side
    }

    /// Numbers in a kernel as it is multiplied with.
    fn values(&self) -> usize {
        match self.algorithm {
            Algorithm::Winograd => tile_side(self.side).pow(2),
            _ => self.taps(),
        }
    }

    /// The matrix on both sides of a kernel, for Winograd.
    fn transform(&self) -> Option<Vec<Vec<f32>>> {
        (self.algorithm == Algorithm::Winograd).then(|| {
            let matrix = kernel_matrix(self.side);
            let single = |row: &Vec<f64>| row.iter().map(|v| *v as f32).collect();
            matrix.iter().map(single).collect()
        })
    }

    /// The kernels of an input channel, `[side, side, stored out]`.
    fn gather(&self, weights: &[f32], scale: Option<&[f32]>, channel: usize, kernels: &mut [f32]) {
        let (taps, columns) = (self.taps(), self.stored_out());
        kernels.fill(0.0);
        for out in 0..self.channels_out {
            let scale = scale.map_or(1.0, |scale| scale[out]);
            let start = (out * self.channels_in + channel) * taps;
            for (tap, weight) in weights[start..start + taps].iter().enumerate() {
                kernels[tap * columns + out] = weight * scale;
            }
        }
    }

    /// `kernels`, `[channels in, values, stored out]`, as the right operand of products: forward
    /// `[stored in, stored out]` for each value, backward the other way round with the kernel
    /// turned by half a turn; for the direct way, those of all values below each other.
    fn pack(&self, kernels: &[f32], backward: bool) -> Buffer {
        let depth = self.depth(backward);
        let stored_out = self.stored_out();
        let columns = if backward {
            padded(self.channels_in)
        } else {
            stored_out
        };
        let mut packed = Buffer::stale(self.products() * depth * columns);
        let shared = Shared::new(&mut packed);
        let values = self.values();
        let each = values / self.products();
        let kernel = |channel: usize, value: usize| {
            let start = (channel * values + value) * stored_out;
            &kernels[start..start + stored_out]
        };
        let nothing = vec![0.0; stored_out];
        for_each(
            self.products(),
            || (),
            |product, ()| {
                // SAFETY: a part for each product.
                let matrix = unsafe { shared.part(product * depth * columns, depth * columns) };
                for tap in 0..each {
                    if backward {
                        let turned = product + each - 1 - tap;
                        let rows = (0..self.channels_in).map(|channel| kernel(channel, turned));
                        write_transposed(matrix, [depth, columns], tap * stored_out, rows);
                    } else {
                        for channel in 0..self.stored_in {
                            let row = match channel < self.channels_in {
                                true => kernel(channel, product + tap),
                                false => &nothing,
                            };
                            write_row(matrix, depth, tap * self.stored_in + channel, row);
                        }
                    }
                }
            },
        );
        packed
    }

    /// The gradient of the weights, `[channels out, channels in, side, side]`, from what several
    /// threads have summed up, always added in the same order.
    pub fn collect_gradient(&self, groups: &[Buffer], gradient: &mut [f32]) {
        assert_eq!(gradient.len(), self.weight_len());
        let (taps, values, columns) = (self.taps(), self.values(), self.stored_out());
        let transform = self.transform().map(transposed);
        let mut kernels = Buffer::stale(self.channels_in * taps * columns);
        let shared = Shared::new(&mut kernels);
        for_each(
            self.channels_in,
            || Buffer::stale(values * columns),
            |channel, own| {
                for (value, sum) in own.chunks_exact_mut(columns).enumerate() {
                    let start = (value * self.stored_in + channel) * columns;
                    sum.copy_from_slice(&groups[0][start..start + columns]);
                    for group in &groups[1..] {
                        for (sum, more) in sum.iter_mut().zip(&group[start..]) {
                            *sum += more;
                        }
                    }
                }
                // SAFETY: a part for each channel.
                let part = unsafe { shared.part(channel * taps * columns, taps * columns) };
                match &transform {
                    Some(matrix) => sandwich(matrix, own, columns, part),
                    None => part.copy_from_slice(own),
                }
            },
        );
        let each = self.channels_in * taps;
        let shared = Shared::new(gradient);
        for_each(
            self.channels_out.div_ceil(16),
            || (),
            |block, ()| {
                let outs = block * 16..self.channels_out.min(block * 16 + 16);
                // SAFETY: a part for each block.
                let part = unsafe { shared.part(outs.start * each, outs.len() * each) };
                for place in 0..each {
                    let row = &kernels[place * columns..][outs.clone()];
                    for (out, value) in row.iter().enumerate() {
                        part[out * each + place] = *value;
                    }
                }
            },
        );
    }

    /// Values that the gradient of the weights is summed in.
    pub fn gradient_len(&self) -> usize {
        self.values() * self.stored_in * self.stored_out()
    }
}

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

/// Offsets of the rows of tiles.
fn tile_offsets(tiling: Tiling, planes: Planes, offsets: &mut Vec<u32>) {
    offsets.clear();
    offsets.extend((0..tiling.tiles()).map(|tile| (tile * planes.row) as u32));
}

/// `out = m k m^T` for square matrices of rows of `columns`: `m` is `[n, s]`, `k` `[s, s, columns]`,
/// `out` `[n, n, columns]`.
fn sandwich(m: &[Vec<f32>], k: &[f32], columns: usize, out: &mut [f32]) {
    let (n, s) = (m.len(), m[0].len());
    let mut middle = vec![0.0; n * s * columns];
    run(|| {
        for (i, factors) in m.iter().enumerate() {
            for b in 0..s {
                let sum = &mut middle[(i * s + b) * columns..][..columns];
                for (a, factor) in factors.iter().enumerate() {
                    add_scaled(sum, &k[(a * s + b) * columns..][..columns], *factor);
                }
            }
        }
        for (i, line) in middle.chunks_exact(s * columns).enumerate() {
            for (j, factors) in m.iter().enumerate() {
                let sum = &mut out[(i * n + j) * columns..][..columns];
                sum.fill(0.0);
                for (b, factor) in factors.iter().enumerate() {
                    add_scaled(sum, &line[b * columns..][..columns], *factor);
                }
            }
        }
    });
}

#[inline(always)]
fn add_scaled(sum: &mut [f32], values: &[f32], factor: f32) {
    if factor != 0.0 {
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += factor * value;
        }
    }
}

fn transposed(matrix: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    (0..matrix[0].len())
        .map(|column| matrix.iter().map(|row| row[column]).collect())
        .collect()
}
