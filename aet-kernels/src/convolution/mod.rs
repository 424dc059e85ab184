//! A convolution, a chunk of pixels at a time: forward, and backward to its weights and its input.
//!
//! Four ways, chosen by shape: 1x1 kernels are plain products of rows; kernels of 3 and 5 with
//! enough channels, on images that are not large, go through Winograd's transforms, whole images at
//! a time, and images of one channel or three a strip at a time; everything else, and whatever changes
//! the size of images, is a product whose rows are the pixels' neighbourhoods, a strip of an image at a
//! time.

mod passes;
mod weights;
mod window;

use std::ops::Range;
use std::sync::OnceLock;

pub use passes::Placed;
pub use weights::Weights;
pub use window::Window;

use crate::buffer::Buffer;
use crate::product::SLACK;
use crate::simd::padded;
use crate::winograd::{OUTPUTS, Planes, TileRow, Tiling};
use window::Reach;

/// Rows that a product is done for at a time, so that its operands stay in the second-level cache.
const BLOCK_ROWS: usize = 128;
/// Tiles that a product is done for at a time, so that the transformed weights are not read too
/// often.
const BLOCK_TILES: usize = 64;
/// Channels on both sides from which on Winograd's transforms pay.
const WINOGRAD_CHANNELS: usize = 8;

/// Tiles of an image up to which all of them are transformed at once; beyond, they would no longer be
/// in any cache, and take memory by the hundred megabytes.
const WINOGRAD_TILES: usize = 1024;

/// How a convolution is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// A product of rows of channels; kernels of 1.
    Pointwise,
    /// A product of rows of neighbourhoods.
    Direct,
    /// Winograd's minimal filtering; kernels of 3 and 5.
    Winograd,
    /// The same with products in registers; images of one channel or three. The gradient of the
    /// input, which training does not ask for, goes the direct way.
    Shallow,
}

/// Whether Winograd's transforms are used where they can be; `AET_WINOGRAD=off` in the environment
/// turns them off, to see what their rounding does.
fn winograd_is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var("AET_WINOGRAD").as_deref() != Ok("off"))
}

/// Whether Winograd's transforms save a third of the products or more; on images that fill little of a
/// tile they do not.
fn saves(side: usize, [height, width]: [usize; 2]) -> bool {
    let tiling = Tiling {
        side,
        images: 1,
        height,
        width,
    };
    let (done, defined) = (
        tiling.tiles() * tiling.products(),
        side * side * height * width,
    );
    3 * done <= 2 * defined
}

/// A convolution of images of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convolution {
    /// Kernel, stride and padding.
    pub window: Window,
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

/// Some consecutive pixels of a batch, of its output unless another is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// First pixel, counted over the batch.
    pub first: usize,
    /// Pixels.
    pub rows: usize,
}

/// Some rows of the output of an image, or all of several images.
#[derive(Debug, Clone)]
struct Strip {
    /// Number of the first image.
    first: usize,
    images: usize,
    /// The rows of each.
    rows: Range<usize>,
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
    ///
    /// # Panics
    /// When the window does not fit the images.
    pub fn new(
        window: Window,
        [height, width]: [usize; 2],
        [channels_in, channels_out]: [usize; 2],
        stored_in: usize,
    ) -> Self {
        assert!(window.fits([height, width]));
        let side = window.side;
        let tiles = height.div_ceil(OUTPUTS) * width.div_ceil(OUTPUTS);
        let enough = channels_in.min(channels_out) >= WINOGRAD_CHANNELS && tiles <= WINOGRAD_TILES;
        let algorithm = match side {
            _ if !window.keeps_size() => Algorithm::Direct,
            1 => Algorithm::Pointwise,
            3 | 5
                if enough
                    && saves(side, [height, width])
                    && stored_in == padded(channels_in)
                    && winograd_is_on() =>
            {
                Algorithm::Winograd
            }
            _ if stored_in == channels_in
                && TileRow::applies(side, channels_in)
                && winograd_is_on() =>
            {
                Algorithm::Shallow
            }
            _ => Algorithm::Direct,
        };
        Self {
            window,
            height,
            width,
            channels_in,
            channels_out,
            stored_in,
            algorithm,
        }
    }

    /// Height and width of the output, in pixels.
    pub fn output(&self) -> [usize; 2] {
        [self.height, self.width].map(|length| self.window.outputs(length))
    }

    /// Channels out as they are stored.
    pub fn stored_out(&self) -> usize {
        padded(self.channels_out)
    }

    /// From one row of the output block to the next.
    pub fn out_stride(&self) -> usize {
        match self.algorithm {
            // Its gradient is read as neighbourhoods, without gaps.
            Algorithm::Direct | Algorithm::Shallow => self.stored_out(),
            _ => block_stride(self.stored_out()),
        }
    }

    /// Number of weights.
    pub fn weight_len(&self) -> usize {
        self.channels_out * self.channels_in * self.taps()
    }

    /// Multiply-adds for one image: by definition, and as they are done, transforms and padding of
    /// channels left out.
    pub fn multiply_adds(&self) -> [usize; 2] {
        let defined = self.weight_len() * self.pixels_out();
        let done = match self.algorithm {
            Algorithm::Winograd | Algorithm::Shallow => {
                let tiling = self.tiling(1);
                self.channels_in * self.channels_out * tiling.tiles() * tiling.products()
            }
            _ => defined,
        };
        [defined, done]
    }

    /// Of an image with its border, in pixels.
    fn bordered_width(&self) -> usize {
        self.width + 2 * self.window.padding
    }

    fn pixels(&self) -> usize {
        self.height * self.width
    }

    fn pixels_out(&self) -> usize {
        self.output().iter().product()
    }

    /// Rows of the output of an image in a strip.
    fn strip(&self) -> usize {
        let [height, width] = self.output();
        let rows = match self.algorithm {
            Algorithm::Shallow => (BLOCK_ROWS / width).next_multiple_of(OUTPUTS).max(OUTPUTS),
            _ => (BLOCK_ROWS / width).max(1),
        };
        rows.min(height)
    }

    fn tile_row(&self) -> TileRow {
        TileRow {
            side: self.window.side,
            width: self.width,
            channels: self.channels_in,
        }
    }

    /// The same convolution, done the direct way.
    fn directly(&self) -> Self {
        Self {
            algorithm: Algorithm::Direct,
            ..self.clone()
        }
    }

    /// Images in a chunk of whole images.
    fn images(&self) -> usize {
        let tiles = self.tiling(1).tiles();
        BLOCK_TILES.div_ceil(tiles)
    }

    fn tiling(&self, images: usize) -> Tiling {
        Tiling {
            side: self.window.side,
            images,
            height: self.height,
            width: self.width,
        }
    }

    /// The chunks that a batch is worked on in.
    pub fn chunks(&self, batch: usize) -> Vec<Chunk> {
        let pixels = self.pixels_out();
        let cut = |total: usize, rows: usize, start: usize| {
            (0..total).step_by(rows).map(move |first| Chunk {
                first: start + first,
                rows: rows.min(total - first),
            })
        };
        match self.algorithm {
            Algorithm::Pointwise => cut(batch * pixels, BLOCK_ROWS, 0).collect(),
            Algorithm::Winograd => cut(batch * pixels, self.images() * pixels, 0).collect(),
            Algorithm::Direct if self.strip_images() > 1 => {
                cut(batch * pixels, self.strip_pixels(), 0).collect()
            }
            Algorithm::Direct | Algorithm::Shallow => (0..batch)
                .flat_map(|image| cut(pixels, self.strip_pixels(), image * pixels))
                .collect(),
        }
    }

    /// Images in a strip: one, unless they are so small that all of several are worked on at once.
    fn strip_images(&self) -> usize {
        match self.algorithm {
            Algorithm::Direct => (BLOCK_ROWS / self.pixels_out()).max(1),
            _ => 1,
        }
    }

    /// Pixels of the output in a strip.
    fn strip_pixels(&self) -> usize {
        let [_, width] = self.output();
        self.strip_images() * self.strip() * width
    }

    /// Pixels in the largest chunk.
    fn chunk_rows(&self) -> usize {
        match self.algorithm {
            Algorithm::Pointwise => BLOCK_ROWS,
            Algorithm::Winograd => self.images() * self.pixels(),
            Algorithm::Direct | Algorithm::Shallow => self.strip_pixels(),
        }
    }

    /// The images and rows of its output that a chunk is.
    fn strip_of(&self, chunk: Chunk) -> Strip {
        let [height, width] = self.output();
        let (top, rows) = (chunk.first / width, chunk.rows / width);
        let images = rows.div_ceil(height);
        Strip {
            first: top / height,
            images,
            rows: top % height..top % height + rows / images,
        }
    }

    /// The pixels of the input whose gradient comes with a chunk; each comes with one.
    pub fn input_chunk(&self, chunk: Chunk) -> Chunk {
        if self.window.keeps_size() {
            return chunk;
        }
        let strip = self.strip_of(chunk);
        let [lines, _] = self.reaches(&strip);
        Chunk {
            first: strip.first * self.pixels() + lines.pixels.start * self.width,
            rows: strip.images * lines.pixels.len() * self.width,
        }
    }

    /// Rows and columns of the input whose gradient comes with a strip.
    fn reaches(&self, strip: &Strip) -> [Reach; 2] {
        let [height, width] = self.output();
        let stride = self.window.stride;
        let end = match strip.rows.end == height {
            true => self.height,
            false => strip.rows.end * stride,
        };
        let reach = |pixels, outputs| Reach {
            window: self.window,
            pixels,
            outputs,
        };
        [
            reach(strip.rows.start * stride..end, height),
            reach(0..self.width, width),
        ]
    }

    /// Height and width of the bordered input of a chunk, and images in it.
    fn bordered(&self) -> [usize; 3] {
        match self.algorithm {
            Algorithm::Winograd => {
                let [height, width] = self.tiling(1).padded();
                [self.images(), height, width]
            }
            _ => {
                let Window {
                    side,
                    stride,
                    padding,
                } = self.window;
                let height = match self.strip_images() {
                    1 => (self.strip() - 1) * stride + side,
                    _ => self.height + 2 * padding,
                };
                [self.strip_images(), height, self.bordered_width()]
            }
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
            Algorithm::Direct | Algorithm::Shallow => {
                let input = Buffer::stale(match self.algorithm {
                    Algorithm::Shallow => self.tile_row().input_len(self.strip().div_ceil(OUTPUTS)),
                    _ => bordered * self.stored_in + SLACK,
                });
                let (mut outputs, mut inputs) = (rows, 0);
                if backward {
                    for chunk in self.chunks(self.strip_images()) {
                        let strip = self.strip_of(chunk);
                        let [lines, columns] = self.reaches(&strip);
                        outputs = outputs.max(strip.images * lines.len() * columns.len());
                        inputs = inputs.max(self.input_chunk(chunk).rows);
                    }
                }
                let stride = block_stride(padded(self.channels_in));
                let input_gradient = if_backward(inputs * stride);
                (input, outputs * self.out_stride(), input_gradient)
            }
        };
        let [tiles_in, tiles_out] = match self.algorithm {
            Algorithm::Winograd => self
                .planes(images)
                .map(|planes| planes.len(self.tiling(1).products())),
            Algorithm::Shallow => [
                self.tile_row().tiles_len(),
                if backward {
                    self.tile_row().gradient_len()
                } else {
                    0
                },
            ],
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
}
