//! Winograd's minimal filtering in two dimensions, F(4x4, 3x3) and F(4x4, 5x5) (Lavin and Gray 2016,
//! section 4): a tile of 4x4 outputs costs 36 or 64 products in place of 144 or 400.
//!
//! With the points 0, +-a for each pair, and infinity, a row of outputs is
//! `A^T [(G g) * (B^T d)]`. Rows of a pair share their even and odd halves, so a transform of a
//! column of 8 costs 24 multiply-adds. Backwards, each matrix is used the other way up, which makes
//! the gradients those of the same algorithm.

mod line;
mod passes;
mod shallow;

pub use line::kernel_matrix;
pub use passes::{input_tiles, input_tiles_back, output_rows, output_rows_back};
pub use shallow::{Pixels, TileRow};

/// Outputs of a tile, along a side.
pub const OUTPUTS: usize = 4;

/// Values along a side of an input tile for kernels of `side`.
pub const fn tile_side(side: usize) -> usize {
    OUTPUTS + side - 1
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
