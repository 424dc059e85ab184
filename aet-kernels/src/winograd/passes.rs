//! The passes between images and transformed tiles.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers: an iterator's closure is not inlined into code for other instructions"
)]

use pulp::{Simd, WithSimd};

use super::line::{input, input_back, output, output_back};
use super::{OUTPUTS, Planes, Tiling};
use crate::simd::{load, run, store};

/// The four passes between images and transformed tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Bordered images to `B^T d B`.
    Input,
    /// The gradient of that, added to bordered images.
    InputBack,
    /// Products to dense rows of pixels, `A^T m A`.
    Output,
    /// The gradient of that, to products.
    OutputBack,
}

/// Transforms bordered images `[images, padded height, padded width, channels]`.
pub fn input_tiles(tiling: Tiling, images: &[f32], planes: Planes, tiles: &mut [f32]) {
    let [height, width] = tiling.padded();
    assert!(images.len() >= tiling.images * height * width * planes.channels);
    // SAFETY: this pass only reads the images.
    unsafe {
        transform(
            Pass::Input,
            tiling,
            images.as_ptr().cast_mut(),
            planes,
            tiles.as_mut_ptr(),
            tiles.len(),
        )
    };
}

/// Adds the gradient of the images to `images`, from that of their transformed tiles.
pub fn input_tiles_back(tiling: Tiling, tiles: &[f32], planes: Planes, images: &mut [f32]) {
    let [height, width] = tiling.padded();
    assert!(images.len() >= tiling.images * height * width * planes.channels);
    // SAFETY: this pass only reads the tiles.
    unsafe {
        transform(
            Pass::InputBack,
            tiling,
            images.as_mut_ptr(),
            planes,
            tiles.as_ptr().cast_mut(),
            tiles.len(),
        )
    };
}

/// Rows of pixels `stride` apart, from the products of their tiles.
pub fn output_rows(tiling: Tiling, tiles: &[f32], planes: Planes, rows: &mut [f32], stride: usize) {
    check_rows(tiling, planes, rows.len(), stride);
    // SAFETY: this pass only reads the tiles; the rows have been checked.
    unsafe {
        transform_rows(
            Pass::Output,
            tiling,
            rows.as_mut_ptr(),
            stride,
            planes,
            tiles.as_ptr().cast_mut(),
            tiles.len(),
        )
    };
}

/// The gradient of the products, from that of rows of pixels `stride` apart.
pub fn output_rows_back(
    tiling: Tiling,
    rows: &[f32],
    stride: usize,
    planes: Planes,
    tiles: &mut [f32],
) {
    check_rows(tiling, planes, rows.len(), stride);
    // SAFETY: this pass only reads the rows, which have been checked.
    unsafe {
        transform_rows(
            Pass::OutputBack,
            tiling,
            rows.as_ptr().cast_mut(),
            stride,
            planes,
            tiles.as_mut_ptr(),
            tiles.len(),
        )
    };
}

fn check_rows(tiling: Tiling, planes: Planes, len: usize, stride: usize) {
    let rows = tiling.images * tiling.height * tiling.width;
    assert!(planes.channels <= stride && len >= (rows - 1) * stride + planes.channels);
}

/// As [`transform_rows`], for bordered images.
unsafe fn transform(
    pass: Pass,
    tiling: Tiling,
    images: *mut f32,
    planes: Planes,
    tiles: *mut f32,
    len: usize,
) {
    // SAFETY: by the caller's promise.
    unsafe { transform_rows(pass, tiling, images, planes.channels, planes, tiles, len) };
}

/// Runs a pass.
///
/// # Safety
/// `pixels` are those of the pass, of the shape of `tiling`, written to if the pass does.
unsafe fn transform_rows(
    pass: Pass,
    tiling: Tiling,
    pixels: *mut f32,
    stride: usize,
    planes: Planes,
    tiles: *mut f32,
    len: usize,
) {
    assert!(planes.channels <= planes.row && tiling.tiles() * planes.row <= planes.plane);
    assert!(tiling.products() * planes.plane <= len);
    let task = Transform {
        pass,
        tiling,
        padded: tiling.padded(),
        pixels,
        stride,
        planes,
        tiles,
    };
    match tiling.side {
        3 => run(ForSide::<2, 6>(task)),
        5 => run(ForSide::<3, 8>(task)),
        side => unreachable!("no transform for kernels of {side}"),
    }
}

#[derive(Clone, Copy)]
struct Transform {
    pass: Pass,
    tiling: Tiling,
    /// Height and width of a bordered image.
    padded: [usize; 2],
    pixels: *mut f32,
    stride: usize,
    planes: Planes,
    tiles: *mut f32,
}

struct ForSide<const P: usize, const N: usize>(Transform);

impl<const P: usize, const N: usize> WithSimd for ForSide<P, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let task = self.0;
        for tile in 0..task.tiling.tiles() {
            let place = task.tiling.place(tile);
            // SAFETY: `transform_rows` has checked the shapes.
            unsafe {
                let products = task.tiles.add(tile * task.planes.row);
                for channel in (0..task.planes.channels).step_by(S::F32_LANES) {
                    let products = products.add(channel);
                    match task.pass {
                        Pass::Input => task.input::<S, P, N>(simd, place, channel, products),
                        Pass::InputBack => {
                            task.input_back::<S, P, N>(simd, place, channel, products)
                        }
                        Pass::Output => task.output::<S, P, N>(simd, place, channel, products),
                        Pass::OutputBack => {
                            task.output_back::<S, P, N>(simd, place, channel, products)
                        }
                    }
                }
            }
        }
    }
}

impl Transform {
    /// The first pixel of a tile's input in its bordered image, and the length of an image row.
    #[inline(always)]
    unsafe fn bordered(&self, [image, y, x]: [usize; 3], channel: usize) -> (*mut f32, usize) {
        let [height, width] = self.padded;
        let pixel = (image * height + y) * width + x;
        // SAFETY: in the bordered images.
        (
            unsafe { self.pixels.add(pixel * self.stride + channel) },
            width * self.stride,
        )
    }

    #[inline(always)]
    unsafe fn input<S: Simd, const P: usize, const N: usize>(
        &self,
        simd: S,
        place: [usize; 3],
        channel: usize,
        products: *mut f32,
    ) {
        // SAFETY: by `transform_rows`.
        unsafe {
            let (start, row) = self.bordered(place, channel);
            let mut columns = [[simd.splat_f32s(0.0); N]; N];
            for x in 0..N {
                let mut column = [simd.splat_f32s(0.0); N];
                for y in 0..N {
                    column[y] = load(simd, start.add(y * row + x * self.stride));
                }
                let column = input::<S, P, N>(simd, column);
                for y in 0..N {
                    columns[y][x] = column[y];
                }
            }
            for (y, line) in columns.into_iter().enumerate() {
                let line = input::<S, P, N>(simd, line);
                for (x, value) in line.into_iter().enumerate() {
                    store(simd, products.add((y * N + x) * self.planes.plane), value);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn input_back<S: Simd, const P: usize, const N: usize>(
        &self,
        simd: S,
        place: [usize; 3],
        channel: usize,
        products: *const f32,
    ) {
        // SAFETY: by `transform_rows`.
        unsafe {
            let (start, row) = self.bordered(place, channel);
            let mut columns = [[simd.splat_f32s(0.0); N]; N];
            for y in 0..N {
                let mut line = [simd.splat_f32s(0.0); N];
                for x in 0..N {
                    line[x] = load(simd, products.add((y * N + x) * self.planes.plane));
                }
                columns[y] = input_back::<S, P, N>(simd, line);
            }
            for x in 0..N {
                let mut column = [simd.splat_f32s(0.0); N];
                for y in 0..N {
                    column[y] = columns[y][x];
                }
                let column = input_back::<S, P, N>(simd, column);
                for (y, value) in column.into_iter().enumerate() {
                    let pixel = start.add(y * row + x * self.stride);
                    store(simd, pixel, simd.add_f32s(load(simd, pixel), value));
                }
            }
        }
    }

    /// The first pixel of a tile's output, and how many of its rows and columns are in the image.
    #[inline(always)]
    unsafe fn dense(&self, [image, y, x]: [usize; 3], channel: usize) -> (*mut f32, [usize; 2]) {
        let Tiling { height, width, .. } = self.tiling;
        let pixel = (image * height + y) * width + x;
        // SAFETY: in the rows.
        let start = unsafe { self.pixels.add(pixel * self.stride + channel) };
        (start, [(height - y).min(OUTPUTS), (width - x).min(OUTPUTS)])
    }

    #[inline(always)]
    unsafe fn output<S: Simd, const P: usize, const N: usize>(
        &self,
        simd: S,
        place: [usize; 3],
        channel: usize,
        products: *const f32,
    ) {
        // SAFETY: by `transform_rows`.
        unsafe {
            let (start, [inside_y, inside_x]) = self.dense(place, channel);
            let mut lines = [[simd.splat_f32s(0.0); OUTPUTS]; N];
            for y in 0..N {
                let mut line = [simd.splat_f32s(0.0); N];
                for x in 0..N {
                    line[x] = load(simd, products.add((y * N + x) * self.planes.plane));
                }
                lines[y] = output::<S, P, N>(simd, line);
            }
            for x in 0..inside_x {
                let mut column = [simd.splat_f32s(0.0); N];
                for y in 0..N {
                    column[y] = lines[y][x];
                }
                let column = output::<S, P, N>(simd, column);
                for (y, value) in column.into_iter().enumerate().take(inside_y) {
                    let pixel = y * self.tiling.width + x;
                    store(simd, start.add(pixel * self.stride), value);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn output_back<S: Simd, const P: usize, const N: usize>(
        &self,
        simd: S,
        place: [usize; 3],
        channel: usize,
        products: *mut f32,
    ) {
        // SAFETY: by `transform_rows`.
        unsafe {
            let (start, [inside_y, inside_x]) = self.dense(place, channel);
            let zero = simd.splat_f32s(0.0);
            let mut lines = [[zero; OUTPUTS]; N];
            for x in 0..OUTPUTS {
                let mut column = [zero; OUTPUTS];
                if x < inside_x {
                    for (y, value) in column.iter_mut().enumerate().take(inside_y) {
                        let pixel = y * self.tiling.width + x;
                        *value = load(simd, start.add(pixel * self.stride));
                    }
                }
                let column: [S::f32s; N] = output_back::<S, P, N>(simd, column);
                for y in 0..N {
                    lines[y][x] = column[y];
                }
            }
            for (y, line) in lines.into_iter().enumerate() {
                let line: [S::f32s; N] = output_back::<S, P, N>(simd, line);
                for (x, value) in line.into_iter().enumerate() {
                    store(simd, products.add((y * N + x) * self.planes.plane), value);
                }
            }
        }
    }
}
