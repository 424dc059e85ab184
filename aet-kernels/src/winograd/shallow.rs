//! Minimal filtering of images of one channel or three, such as colours: each product of a tile is a
//! sum over so few channels that it is made in registers and goes straight into the outputs.
//!
//! A row of tiles is worked on at a time. Its input lies by phase: the pixels whose column is 0, 1,
//! 2 or 3 modulo 4, one phase after the other, so that what the tiles of a row have in the same
//! place of theirs are neighbours, and one vector transforms several tiles.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers: an iterator's closure is not inlined into code for other instructions"
)]

use pulp::{Simd, WithSimd};

use super::line::{input, output, output_back};
use super::{OUTPUTS, tile_side};
use crate::simd::{lanes, load, run, store};

/// Tiles whose gradients are transformed before they are summed up.
const BLOCK: usize = 8;
/// Values that may be read behind a run: a vector of any instruction set.
const SLACK: usize = 16;

/// A row of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileRow {
    /// Side of the kernel, 3 or 5.
    pub side: usize,
    /// Width of the image, in pixels.
    pub width: usize,
    /// Channels in, 1 or 3.
    pub channels: usize,
}

/// Rows of pixels of the output, or its gradient.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'o> {
    /// Where each pixel of the row of tiles begins, row by row; as many as are in the image.
    pub offsets: &'o [u32],
    /// Channels, in whole vectors.
    pub channels: usize,
}

impl TileRow {
    /// Whether images of so many channels are worked on in this way.
    pub fn applies(side: usize, channels: usize) -> bool {
        matches!(side, 3 | 5) && matches!(channels, 1 | 3)
    }

    /// Tiles.
    fn tiles(&self) -> usize {
        self.width.div_ceil(OUTPUTS)
    }

    fn products(&self) -> usize {
        tile_side(self.side).pow(2)
    }

    /// From one phase to the next.
    fn phase(&self) -> usize {
        (self.tiles() + 1) * self.channels
    }

    /// From one row of pixels to the next.
    fn line(&self) -> usize {
        OUTPUTS * self.phase()
    }

    /// Values of a bordered input of `down` rows of tiles.
    pub fn input_len(&self, down: usize) -> usize {
        (down * OUTPUTS + self.side - 1) * self.line() + SLACK
    }

    /// Where the pixel in row `y` and column `x` of a bordered input begins.
    pub fn place(&self, y: usize, x: usize) -> usize {
        y * self.line() + x % OUTPUTS * self.phase() + x / OUTPUTS * self.channels
    }

    /// From one transformed value of the tiles to the next.
    fn pitch(&self) -> usize {
        (self.tiles() * self.channels).next_multiple_of(lanes())
    }

    /// Values of the transformed tiles.
    pub fn tiles_len(&self) -> usize {
        self.products() * self.pitch()
    }

    /// Values that [`sum_gradient`](Self::sum_gradient) works in.
    pub fn gradient_len(&self) -> usize {
        self.products() * BLOCK * lanes()
    }

    /// Lays transformed `kernels` (`[channels in, products, columns]`) out for
    /// [`forward`](Self::forward): `[vectors, products, channels in, lanes]`.
    pub fn pack(&self, kernels: &[f32], columns: usize, packed: &mut [f32]) {
        let (products, lanes) = (self.products(), lanes());
        for (place, out) in packed.chunks_exact_mut(lanes).enumerate() {
            let channel = place % self.channels;
            let product = place / self.channels % products;
            let vector = place / self.channels / products;
            let start = (channel * products + product) * columns + vector * lanes;
            out.copy_from_slice(&kernels[start..start + lanes]);
        }
    }

    /// Transforms the tiles of row `number` of a bordered `input`.
    pub fn input_tiles(&self, input: &[f32], number: usize, tiles: &mut [f32]) {
        let first = number * OUTPUTS * self.line();
        assert!(first + self.input_len(1) <= input.len() && self.tiles_len() <= tiles.len());
        self.run(Work::Input {
            input: input[first..].as_ptr(),
            tiles: tiles.as_mut_ptr(),
        });
    }

    /// The output of transformed `tiles`.
    pub fn forward(&self, tiles: &[f32], weights: &[f32], pixels: Pixels<'_>, out: &mut [f32]) {
        pixels.check(self, out.len());
        let count = self.products() * self.channels * pixels.channels;
        assert!(self.tiles_len() <= tiles.len() && count <= weights.len());
        self.run(Work::Forward {
            tiles,
            weights,
            pixels,
            out: out.as_mut_ptr(),
        });
    }

    /// Adds the gradient of the transformed weights to `sums` (`[products, channels in, channels]`),
    /// or writes it there if `fresh`, from transformed `tiles` and the `gradient` of their output.
    pub fn sum_gradient(
        &self,
        tiles: &[f32],
        (gradient, pixels): (&[f32], Pixels<'_>),
        scratch: &mut [f32],
        (sums, fresh): (&mut [f32], bool),
    ) {
        pixels.check(self, gradient.len());
        let count = self.products() * self.channels * pixels.channels;
        assert!(self.tiles_len() <= tiles.len() && count <= sums.len());
        assert!(self.gradient_len() <= scratch.len());
        self.run(Work::Gradient {
            tiles,
            gradient,
            pixels,
            scratch: scratch.as_mut_ptr(),
            sums: sums.as_mut_ptr(),
            fresh,
        });
    }

    fn run(&self, work: Work<'_>) {
        let row = *self;
        match (self.side, self.channels) {
            (3, 1) => run(Task::<2, 6, 1> { row, work }),
            (3, 3) => run(Task::<2, 6, 3> { row, work }),
            (5, 1) => run(Task::<3, 8, 1> { row, work }),
            (5, 3) => run(Task::<3, 8, 3> { row, work }),
            (side, channels) => {
                unreachable!("no tiles of {channels} channels for kernels of {side}")
            }
        }
    }
}

impl Pixels<'_> {
    /// Panics unless all pixels lie in `len` values, in whole rows of the image.
    fn check(&self, row: &TileRow, len: usize) {
        let last = self
            .offsets
            .iter()
            .fold(0, |last, offset| (*offset).max(last));
        assert!(last as usize + self.channels <= len && self.channels.is_multiple_of(lanes()));
        assert!(self.offsets.len().is_multiple_of(row.width));
        assert!((1..=OUTPUTS).contains(&(self.offsets.len() / row.width)));
    }
}

/// What is done with a row of tiles.
enum Work<'w> {
    Input {
        input: *const f32,
        tiles: *mut f32,
    },
    Forward {
        tiles: &'w [f32],
        weights: &'w [f32],
        pixels: Pixels<'w>,
        out: *mut f32,
    },
    Gradient {
        tiles: &'w [f32],
        gradient: &'w [f32],
        pixels: Pixels<'w>,
        scratch: *mut f32,
        sums: *mut f32,
        fresh: bool,
    },
}

/// [`Work`] for tiles of `N` x `N` inputs of `C` channels, with `P` pairs of points.
struct Task<'w, const P: usize, const N: usize, const C: usize> {
    row: TileRow,
    work: Work<'w>,
}

impl<const P: usize, const N: usize, const C: usize> WithSimd for Task<'_, P, N, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let row = self.row;
        // SAFETY: the methods of `TileRow` have checked all lengths.
        unsafe {
            match self.work {
                Work::Input { input, tiles } => {
                    for lane in (0..row.pitch()).step_by(S::F32_LANES) {
                        row.input::<S, P, N>(simd, input.add(lane), tiles.add(lane));
                    }
                }
                Work::Forward {
                    tiles,
                    weights,
                    pixels,
                    out,
                } => {
                    let each = N * N * C * S::F32_LANES;
                    for vector in 0..pixels.channels / S::F32_LANES {
                        let weights = weights.as_ptr().add(vector * each);
                        let out = out.add(vector * S::F32_LANES);
                        for tile in 0..row.tiles() {
                            let values = tiles.as_ptr().add(tile * C);
                            let lines = row.lines::<S, P, N, C>(simd, values, weights);
                            row.outputs::<S, P, N>(simd, lines, (pixels.offsets, tile), out);
                        }
                    }
                }
                Work::Gradient {
                    tiles,
                    gradient,
                    pixels,
                    scratch,
                    sums,
                    fresh,
                } => {
                    for channel in (0..pixels.channels).step_by(S::F32_LANES) {
                        let gradient = gradient.as_ptr().add(channel);
                        for first in (0..row.tiles()).step_by(BLOCK) {
                            let block = [first, BLOCK.min(row.tiles() - first)];
                            for tile in 0..block[1] {
                                let place = (pixels.offsets, first + tile);
                                let out = scratch.add(tile * S::F32_LANES);
                                row.products_back::<S, P, N>(simd, gradient, place, out);
                            }
                            let values = tiles.as_ptr().add(first * C);
                            let fresh = fresh && first == 0;
                            let sums = (sums.add(channel), pixels.channels);
                            row.add_up::<S, N, C>(simd, (values, block[1]), scratch, sums, fresh);
                        }
                    }
                }
            }
        }
    }
}

impl TileRow {
    /// Transforms as many tiles and channels as a vector holds.
    #[inline(always)]
    unsafe fn input<S: Simd, const P: usize, const N: usize>(
        &self,
        simd: S,
        from: *const f32,
        tiles: *mut f32,
    ) {
        let (phase, line, pitch) = (self.phase(), self.line(), self.pitch());
        let zero = simd.splat_f32s(0.0);
        let mut columns = [[zero; N]; N];
        // SAFETY: by the caller's promise.
        unsafe {
            for x in 0..N {
                let from = from.add(x % OUTPUTS * phase + x / OUTPUTS * self.channels);
                let mut column = [zero; N];
                for y in 0..N {
                    column[y] = load(simd, from.add(y * line));
                }
                let column = input::<S, P, N>(simd, column);
                for y in 0..N {
                    columns[y][x] = column[y];
                }
            }
            for y in 0..N {
                let values = input::<S, P, N>(simd, columns[y]);
                for x in 0..N {
                    store(simd, tiles.add((y * N + x) * pitch), values[x]);
                }
            }
        }
    }

    /// The products of a tile, transformed along their lines.
    #[inline(always)]
    unsafe fn lines<S: Simd, const P: usize, const N: usize, const C: usize>(
        &self,
        simd: S,
        values: *const f32,
        weights: *const f32,
    ) -> [[S::f32s; OUTPUTS]; N] {
        let pitch = self.pitch();
        let zero = simd.splat_f32s(0.0);
        let mut lines = [[zero; OUTPUTS]; N];
        for y in 0..N {
            let mut line = [zero; N];
            for x in 0..N {
                let product = y * N + x;
                let mut sum = zero;
                for c in 0..C {
                    // SAFETY: by the caller's promise.
                    let (value, weight) = unsafe {
                        (
                            *values.add(product * pitch + c),
                            load(simd, weights.add((product * C + c) * S::F32_LANES)),
                        )
                    };
                    sum = simd.mul_add_e_f32s(simd.splat_f32s(value), weight, sum);
                }
                line[x] = sum;
            }
            lines[y] = output::<S, P, N>(simd, line);
        }
        lines
    }

    /// Writes the outputs of `tile` that are in the image.
    #[inline(always)]
    unsafe fn outputs<S: Simd, const P: usize, const N: usize>(
        &self,
        simd: S,
        lines: [[S::f32s; OUTPUTS]; N],
        (offsets, tile): (&[u32], usize),
        out: *mut f32,
    ) {
        let zero = simd.splat_f32s(0.0);
        let inside_x = (self.width - tile * OUTPUTS).min(OUTPUTS);
        let inside_y = offsets.len() / self.width;
        for x in 0..inside_x {
            let mut column = [zero; N];
            for y in 0..N {
                column[y] = lines[y][x];
            }
            let column = output::<S, P, N>(simd, column);
            for y in 0..inside_y {
                // SAFETY: the pixel is in the image, and by the caller's promise in the output.
                unsafe {
                    let offset = *offsets.get_unchecked(y * self.width + tile * OUTPUTS + x);
                    store(simd, out.add(offset as usize), column[y]);
                }
            }
        }
    }

    /// The gradient of the products of `tile`, `BLOCK` vectors apart.
    #[inline(always)]
    unsafe fn products_back<S: Simd, const P: usize, const N: usize>(
        &self,
        simd: S,
        gradient: *const f32,
        (offsets, tile): (&[u32], usize),
        products: *mut f32,
    ) {
        let zero = simd.splat_f32s(0.0);
        let inside_x = (self.width - tile * OUTPUTS).min(OUTPUTS);
        let inside_y = offsets.len() / self.width;
        let mut lines = [[zero; OUTPUTS]; N];
        for x in 0..inside_x {
            let mut column = [zero; OUTPUTS];
            for y in 0..inside_y {
                // SAFETY: the pixel is in the image, and by the caller's promise in the gradient.
                unsafe {
                    let offset = *offsets.get_unchecked(y * self.width + tile * OUTPUTS + x);
                    column[y] = load(simd, gradient.add(offset as usize));
                }
            }
            let column: [S::f32s; N] = output_back::<S, P, N>(simd, column);
            for y in 0..N {
                lines[y][x] = column[y];
            }
        }
        for y in 0..N {
            let line: [S::f32s; N] = output_back::<S, P, N>(simd, lines[y]);
            for x in 0..N {
                let place = (y * N + x) * BLOCK * S::F32_LANES;
                // SAFETY: by the caller's promise.
                unsafe { store(simd, products.add(place), line[x]) };
            }
        }
    }

    /// Adds up the products of the values of some tiles and the gradients in `scratch`, two
    /// transformed values at a time.
    #[inline(always)]
    unsafe fn add_up<S: Simd, const N: usize, const C: usize>(
        &self,
        simd: S,
        (values, tiles): (*const f32, usize),
        scratch: *const f32,
        (sums, columns): (*mut f32, usize),
        fresh: bool,
    ) {
        let pitch = self.pitch();
        let zero = simd.splat_f32s(0.0);
        for product in (0..N * N).step_by(2) {
            let mut own = [[zero; C]; 2];
            // SAFETY: by the caller's promise.
            unsafe {
                if !fresh {
                    for p in 0..2 {
                        for c in 0..C {
                            let place = ((product + p) * C + c) * columns;
                            own[p][c] = load(simd, sums.add(place));
                        }
                    }
                }
                for tile in 0..tiles {
                    for p in 0..2 {
                        let place = ((product + p) * BLOCK + tile) * S::F32_LANES;
                        let gradient = load(simd, scratch.add(place));
                        for c in 0..C {
                            let value = *values.add((product + p) * pitch + tile * C + c);
                            let value = simd.splat_f32s(value);
                            own[p][c] = simd.mul_add_e_f32s(value, gradient, own[p][c]);
                        }
                    }
                }
                for p in 0..2 {
                    for c in 0..C {
                        let place = ((product + p) * C + c) * columns;
                        store(simd, sums.add(place), own[p][c]);
                    }
                }
            }
        }
    }
}
