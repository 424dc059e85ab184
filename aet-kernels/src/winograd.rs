//! Winograd's minimal filtering in two dimensions, F(4x4, 3x3) and F(4x4, 5x5) (Lavin and Gray 2016,
//! section 4): a tile of 4x4 outputs costs 36 or 64 products in place of 144 or 400.
//!
//! With the points 0, +-a for each pair, and infinity, a row of outputs is
//! `A^T [(G g) * (B^T d)]`. Rows of a pair share their even and odd halves, so a transform of a
//! column of 8 costs 24 multiply-adds. Backwards, each matrix is used the other way up, which makes
//! the gradients those of the same algorithm.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers: an iterator's closure is not inlined into code for other instructions"
)]

use pulp::{Simd, WithSimd};

use crate::simd::{load, run, store};

/// Outputs of a tile, along a side.
pub const OUTPUTS: usize = 4;

/// The constants of F(4, 2 P - 1): `P` pairs of points.
struct Points<const P: usize>;

impl<const P: usize> Points<P> {
    /// The points above 0; the kernel of 3 uses the first two.
    const PAIRS: [f32; 3] = [1.0, 2.0, 0.5];

    /// Coefficients 2q of the product of `x^2 - a^2` over all pairs but `left_out`.
    const fn product(left_out: usize) -> [f32; 4] {
        let mut result = [1.0, 0.0, 0.0, 0.0];
        let mut pair = 0;
        while pair < P {
            if pair != left_out {
                let square = Self::PAIRS[pair] * Self::PAIRS[pair];
                let mut q = 3;
                while q > 0 {
                    result[q] = result[q - 1] - square * result[q];
                    q -= 1;
                }
                result[0] *= -square;
            }
            pair += 1;
        }
        result
    }

    /// Over all pairs.
    const ALL: [f32; 4] = Self::product(P);
    /// Over all but one.
    const OTHERS: [[f32; 4]; 3] = [Self::product(0), Self::product(1), Self::product(2)];
}

/// Values along a side of an input tile for kernels of `side`.
pub const fn tile_side(side: usize) -> usize {
    OUTPUTS + side - 1
}

/// `G`, `[tile, side]`: the kernel's polynomial at every point, over the product of the point's
/// distances to the others.
pub fn kernel_matrix(side: usize) -> Vec<Vec<f64>> {
    let pairs = side.div_ceil(2);
    let mut points = vec![0.0];
    for pair in &Points::<3>::PAIRS[..pairs] {
        points.extend([f64::from(*pair), -f64::from(*pair)]);
    }
    let mut rows: Vec<Vec<f64>> = points
        .iter()
        .map(|point| {
            let others = points.iter().filter(|other| *other != point);
            let distance: f64 = others.map(|other| point - other).product();
            (0..side as i32).map(|k| point.powi(k) / distance).collect()
        })
        .collect();
    rows.push(
        (0..side)
            .map(|k| f64::from(u8::from(k + 1 == side)))
            .collect(),
    );
    rows
}

/// `B^T x`, from `N = 2 P + 2` inputs to as many products.
#[inline(always)]
fn input<S: Simd, const P: usize, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let mut out = [simd.splat_f32s(0.0); N];
    let (mut zero, mut infinity) = (x[2 * P], x[2 * P + 1]);
    for q in 0..P {
        let factor = simd.splat_f32s(Points::<P>::ALL[q]);
        zero = simd.mul_add_e_f32s(factor, x[2 * q], zero);
        infinity = simd.mul_add_e_f32s(factor, x[2 * q + 1], infinity);
    }
    out[0] = zero;
    out[N - 1] = infinity;
    for pair in 0..P {
        let (mut even, mut odd) = (x[2 * P], x[2 * P - 1]);
        for q in 0..P - 1 {
            let factor = simd.splat_f32s(Points::<P>::OTHERS[pair][q]);
            even = simd.mul_add_e_f32s(factor, x[2 + 2 * q], even);
            odd = simd.mul_add_e_f32s(factor, x[1 + 2 * q], odd);
        }
        let a = Points::<P>::PAIRS[pair];
        out[1 + 2 * pair] = simd.mul_add_e_f32s(simd.splat_f32s(a), odd, even);
        out[2 + 2 * pair] = simd.mul_add_e_f32s(simd.splat_f32s(-a), odd, even);
    }
    out
}

/// `B x`, the transpose of [`input`].
#[inline(always)]
fn input_back<S: Simd, const P: usize, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let mut out = [simd.splat_f32s(0.0); N];
    out[2 * P] = x[0];
    out[2 * P + 1] = x[N - 1];
    for q in 0..P {
        let factor = simd.splat_f32s(Points::<P>::ALL[q]);
        out[2 * q] = simd.mul_add_e_f32s(factor, x[0], out[2 * q]);
        out[2 * q + 1] = simd.mul_add_e_f32s(factor, x[N - 1], out[2 * q + 1]);
    }
    for pair in 0..P {
        let a = simd.splat_f32s(Points::<P>::PAIRS[pair]);
        let (plus, minus) = (x[1 + 2 * pair], x[2 + 2 * pair]);
        let even = simd.add_f32s(plus, minus);
        let odd = simd.mul_f32s(a, simd.sub_f32s(plus, minus));
        out[2 * P] = simd.add_f32s(out[2 * P], even);
        out[2 * P - 1] = simd.add_f32s(out[2 * P - 1], odd);
        for q in 0..P - 1 {
            let factor = simd.splat_f32s(Points::<P>::OTHERS[pair][q]);
            out[2 + 2 * q] = simd.mul_add_e_f32s(factor, even, out[2 + 2 * q]);
            out[1 + 2 * q] = simd.mul_add_e_f32s(factor, odd, out[1 + 2 * q]);
        }
    }
    out
}

/// `A^T x`, from products to outputs.
#[inline(always)]
fn output<S: Simd, const P: usize, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; OUTPUTS] {
    let mut out = [x[0], simd.splat_f32s(0.0), simd.splat_f32s(0.0), x[N - 1]];
    for pair in 0..P {
        let a = Points::<P>::PAIRS[pair];
        let (plus, minus) = (x[1 + 2 * pair], x[2 + 2 * pair]);
        let even = simd.add_f32s(plus, minus);
        let odd = simd.sub_f32s(plus, minus);
        out[0] = simd.add_f32s(out[0], even);
        out[1] = simd.mul_add_e_f32s(simd.splat_f32s(a), odd, out[1]);
        out[2] = simd.mul_add_e_f32s(simd.splat_f32s(a * a), even, out[2]);
        out[3] = simd.mul_add_e_f32s(simd.splat_f32s(a * a * a), odd, out[3]);
    }
    out
}

/// `A x`, the transpose of [`output`].
#[inline(always)]
fn output_back<S: Simd, const P: usize, const N: usize>(
    simd: S,
    x: [S::f32s; OUTPUTS],
) -> [S::f32s; N] {
    let mut out = [x[0]; N];
    out[N - 1] = x[3];
    for pair in 0..P {
        let a = Points::<P>::PAIRS[pair];
        let even = simd.mul_add_e_f32s(simd.splat_f32s(a * a), x[2], x[0]);
        let odd = simd.mul_add_e_f32s(simd.splat_f32s(a * a), x[3], x[1]);
        out[1 + 2 * pair] = simd.mul_add_e_f32s(simd.splat_f32s(a), odd, even);
        out[2 + 2 * pair] = simd.mul_add_e_f32s(simd.splat_f32s(-a), odd, even);
    }
    out
}

/// Where the tiles of some images lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Side of the kernel, 3 or 5.
    pub side: usize,
    /// Images.
    pub images: usize,
    /// Height of an image, in pixels.
    pub height: usize,
    /// Width of an image, in pixels.
    pub width: usize,
}

impl Tiling {
    /// Tiles of an image, down and across.
    pub fn grid(&self) -> [usize; 2] {
        [self.height.div_ceil(OUTPUTS), self.width.div_ceil(OUTPUTS)]
    }

    /// Tiles of all images.
    pub fn tiles(&self) -> usize {
        self.images * self.grid().iter().product::<usize>()
    }

    /// Products of a tile.
    pub fn products(&self) -> usize {
        tile_side(self.side).pow(2)
    }

    /// Height and width of an image with its border, so that every tile has all its inputs.
    pub fn padded(&self) -> [usize; 2] {
        self.grid().map(|tiles| tiles * OUTPUTS + self.side - 1)
    }

    /// Tile number `tile`: its image, and the row and column of its first pixel.
    fn place(&self, tile: usize) -> [usize; 3] {
        let [down, across] = self.grid();
        let in_image = tile % (down * across);
        [
            tile / (down * across),
            in_image / across * OUTPUTS,
            in_image % across * OUTPUTS,
        ]
    }
}

/// Transformed tiles: value `f` of tile `t` is at `f * plane + t * row`, `channels` of it.
#[derive(Debug, Clone, Copy)]
pub struct Planes {
    /// From one value to the next.
    pub plane: usize,
    /// From one tile to the next.
    pub row: usize,
    /// Channels, in whole vectors.
    pub channels: usize,
}

impl Planes {
    /// For `tiles` of `channels`; lengths are odd numbers of cache lines, so that equal places in
    /// neighbouring rows and planes do not fall into one cache set.
    pub fn new(tiles: usize, channels: usize) -> Self {
        let odd_lines = |values: usize| (values.div_ceil(16) | 1) * 16;
        let row = odd_lines(channels);
        Self {
            plane: odd_lines(tiles * row),
            row,
            channels,
        }
    }

    /// Values that `planes` of them take up, with room behind for
    /// [`multiply_transposed`](crate::product::multiply_transposed).
    pub fn len(&self, planes: usize) -> usize {
        planes * self.plane + 16
    }
}

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
        let [height, width] = self.tiling.padded();
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
