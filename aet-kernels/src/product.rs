//! Products of tall matrices with small ones, the arithmetic under every convolution.
//!
//! The left operand is read where it lies, one value at a time, and spread over a vector; rows are
//! given by their offsets, so a row may be a pixel's neighbourhood in an image ([`Rows`]). The right
//! operand is packed once in panels of two vectors ([`Panels`]).

#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers: an iterator's closure is not inlined into code for other instructions"
)]

use pulp::{Simd, WithSimd};

use crate::simd::{lanes, load, prefetch, run, store};

/// Vectors in a full panel.
pub(crate) const PANEL: usize = 2;

/// Rows of a left operand. Value `(s, l)` of row `r` is `data[offsets[r] + s * stride + l]`, with
/// `s` below `segments` and `l` below `segment`; a row of a plain matrix is one segment.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Where the values are.
    pub data: &'a [f32],
    /// Where each row starts.
    pub offsets: &'a [u32],
    /// Runs of consecutive values that a row is made of.
    pub segments: usize,
    /// Values in a run.
    pub segment: usize,
    /// From the start of one run to that of the next.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows of a matrix of `columns`, one at each of `offsets`.
    pub fn plain(data: &'a [f32], offsets: &'a [u32], columns: usize) -> Self {
        Self {
            data,
            offsets,
            segments: 1,
            segment: columns,
            stride: columns,
        }
    }

    /// Values in a row.
    pub fn depth(&self) -> usize {
        self.segments * self.segment
    }

    /// Panics unless every value, and `slack` values behind each run, lie in the data.
    pub(crate) fn check(&self, slack: usize) {
        // `max` of an iterator is not vectorised, and a tile has few products for each row.
        let last = self
            .offsets
            .iter()
            .fold(0, |last, offset| (*offset).max(last));
        let end = last as usize + (self.segments - 1) * self.stride + self.segment + slack;
        assert!(end <= self.data.len(), "a row ends behind its data");
    }
}

/// Copies row number `row` into the packed `matrix` of `depth` rows ([`Panels`]); `values` are a whole
/// number of vectors.
pub fn write_row(matrix: &mut [f32], depth: usize, row: usize, values: &[f32]) {
    let full = PANEL * lanes();
    let mut start = 0;
    for part in values.chunks(full) {
        let place = start * depth + row * part.len();
        matrix[place..place + part.len()].copy_from_slice(part);
        start += part.len();
    }
}

/// Writes the transpose of `rows` into the packed `matrix` of `depth` rows, from row `first` on: row
/// `r` of `rows` becomes column `r`; columns beyond them become 0.
pub(crate) fn write_transposed<'r>(
    matrix: &mut [f32],
    [depth, columns]: [usize; 2],
    first: usize,
    rows: impl Iterator<Item = &'r [f32]>,
) {
    let full = PANEL * lanes();
    let mut rows = rows;
    for start in (0..columns).step_by(full) {
        let width = full.min(columns - start);
        let panel: Vec<&[f32]> = rows.by_ref().take(width).collect();
        let height = panel.first().map_or(depth - first, |row| row.len());
        let matrix = &mut matrix[start * depth + first * width..][..height * width];
        for (r, out) in matrix.chunks_exact_mut(width).enumerate() {
            out[panel.len()..].fill(0.0);
            for (out, row) in out.iter_mut().zip(&panel) {
                *out = row[r];
            }
        }
    }
}

/// A right operand, packed: its columns, in whole vectors, are cut into panels of two vectors (the
/// last may have fewer), and the panels lie one after the other, each row by row.
#[derive(Debug, Clone, Copy)]
pub struct Panels<'a> {
    /// Rows.
    pub depth: usize,
    /// Columns, padding included.
    pub columns: usize,
    /// `[depth, columns]` in panels.
    pub values: &'a [f32],
}

/// `out = a b`: row `r` of the product goes to `out[r * stride..]`.
///
/// # Panics
/// When shapes do not fit each other or their data.
pub fn multiply(a: Rows<'_>, b: Panels<'_>, out: &mut [f32], stride: usize) {
    let rows = a.offsets.len();
    if rows == 0 {
        return;
    }
    a.check(0);
    assert_eq!(a.depth(), b.depth);
    assert!(b.values.len() >= b.depth * b.columns && b.columns.is_multiple_of(lanes()));
    assert!(b.columns <= stride && out.len() >= (rows - 1) * stride + b.columns);
    run(Multiply { a, b, out, stride });
}

struct Multiply<'a> {
    a: Rows<'a>,
    b: Panels<'a>,
    out: &'a mut [f32],
    stride: usize,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut column = 0;
        while column < self.b.columns {
            let vectors = ((self.b.columns - column) / S::F32_LANES).min(PANEL);
            let b = self.b;
            let panel = &b.values[column * b.depth..];
            // SAFETY: `multiply` has checked every shape.
            unsafe {
                match vectors {
                    1 => self.panel::<S, 12, 4, 1>(simd, panel, column),
                    _ => self.panel::<S, 6, 2, 2>(simd, panel, column),
                }
            }
            column += vectors * S::F32_LANES;
        }
    }
}

impl Multiply<'_> {
    /// All rows times one panel of `V` vectors: `R` rows at a time, the rest `L` at a time.
    #[inline(always)]
    unsafe fn panel<S: Simd, const R: usize, const L: usize, const V: usize>(
        &mut self,
        simd: S,
        panel: &[f32],
        column: usize,
    ) {
        let rows = self.a.offsets.len();
        let mut first = 0;
        // SAFETY: by the caller's promise.
        unsafe {
            while first + R <= rows {
                self.tile::<S, R, V>(simd, panel, first, column);
                first += R;
            }
            while first < rows {
                self.tile::<S, L, V>(simd, panel, first, column);
                first += L;
            }
        }
    }

    /// `R` rows from `first` on times one panel. Where there are fewer, the last row is done again,
    /// and its results are written again.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        panel: &[f32],
        first: usize,
        column: usize,
    ) {
        let rows = self.a.offsets.len();
        // SAFETY: rows, panel and result lie in their data, as `multiply` has checked.
        unsafe {
            let sums = tile_sums::<S, R, V>(simd, self.a, panel, first);
            let out = self.out.as_mut_ptr();
            for r in 0..R {
                let row = (first + r).min(rows - 1);
                for v in 0..V {
                    let place = row * self.stride + column + v * S::F32_LANES;
                    store(simd, out.add(place), sums[r][v]);
                }
            }
        }
    }
}

/// The products of `R` rows of `a`, from `first` on, and one panel of `V` vectors. Where there are
/// fewer rows, the last one is done again. Every sum goes along the row in order, so that it does not
/// depend on the tile that it is in.
///
/// # Safety
/// There is a row, all rows lie in their data, and the panel is as deep as they are.
#[inline(always)]
pub(crate) unsafe fn tile_sums<S: Simd, const R: usize, const V: usize>(
    simd: S,
    a: Rows<'_>,
    panel: &[f32],
    first: usize,
) -> [[S::f32s; V]; R] {
    let rows = a.offsets.len();
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; V]; R];
    let mut right = panel.as_ptr();
    // SAFETY: by the caller's promise.
    unsafe {
        let mut left = [a.data.as_ptr(); R];
        for r in 0..R {
            left[r] = left[r].add(a.offsets[(first + r).min(rows - 1)] as usize);
        }
        for segment in 0..a.segments {
            let from = segment * a.stride;
            for l in from..from + a.segment {
                let mut b = [zero; V];
                for v in 0..V {
                    b[v] = load(simd, right.add(v * S::F32_LANES));
                }
                for r in 0..R {
                    let value = simd.splat_f32s(*left[r].add(l));
                    for v in 0..V {
                        sums[r][v] = simd.mul_add_e_f32s(value, b[v], sums[r][v]);
                    }
                }
                right = right.add(V * S::F32_LANES);
            }
        }
    }
    sums
}

/// `out += a^T b` over the rows of both, or `out = a^T b` if `fresh`: `out` is `[depth, columns]`. The
/// rows of `b` are one segment each, a whole number of vectors.
///
/// Up to [`SLACK`] values behind every run of `a` are read, and have to be there.
///
/// # Panics
/// When shapes do not fit each other or their data.
pub fn multiply_transposed(a: Rows<'_>, b: Rows<'_>, out: &mut [f32], fresh: bool) {
    a.check(SLACK);
    b.check(0);
    assert!(b.segments == 1 && a.offsets.len() == b.offsets.len());
    let columns = b.segment;
    assert!(columns.is_multiple_of(lanes()) && out.len() >= a.depth() * columns);
    run(MultiplyTransposed { a, b, out, fresh });
}

/// Values that [`multiply_transposed`] reads behind a run.
pub const SLACK: usize = DEPTHS - 1;
/// Rows of the result that are summed at a time.
const DEPTHS: usize = 6;

struct MultiplyTransposed<'a> {
    a: Rows<'a>,
    b: Rows<'a>,
    out: &'a mut [f32],
    fresh: bool,
}

impl WithSimd for MultiplyTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.b.segment;
        let mut column = 0;
        while column < columns {
            let vectors = ((columns - column) / S::F32_LANES).min(PANEL);
            // SAFETY: `multiply_transposed` has checked every shape.
            unsafe {
                match vectors {
                    1 => self.panel::<S, 1>(simd, column),
                    _ => self.panel::<S, 2>(simd, column),
                }
            }
            column += vectors * S::F32_LANES;
        }
    }
}

impl MultiplyTransposed<'_> {
    /// All rows of the result, `V` vectors of each from `column` on.
    #[inline(always)]
    unsafe fn panel<S: Simd, const V: usize>(&mut self, simd: S, column: usize) {
        let segment = self.a.segment;
        for run in 0..self.a.segments {
            let mut l = 0;
            while l < segment {
                let there = [run * self.a.stride + l, run * segment + l];
                // SAFETY: by the caller's promise.
                unsafe { self.tile::<S, V>(simd, there, DEPTHS.min(segment - l), column) };
                l += DEPTHS;
            }
        }
    }

    /// [`DEPTHS`] rows of the result, of which `kept` are wanted: number `row` on, from values of `a` that
    /// are `from` behind the start of its rows.
    #[inline(always)]
    unsafe fn tile<S: Simd, const V: usize>(
        &mut self,
        simd: S,
        [from, row]: [usize; 2],
        kept: usize,
        column: usize,
    ) {
        let (a, b, fresh) = (self.a, self.b, self.fresh);
        let zero = simd.splat_f32s(0.0);
        let mut sums = [[zero; V]; DEPTHS];
        // SAFETY: rows with the slack behind them, `b` and the result lie in their data, as
        // `multiply_transposed` has checked.
        unsafe {
            let out = self.out.as_mut_ptr().add(row * b.segment + column);
            if !fresh {
                for d in 0..kept {
                    prefetch(&*out.add(d * b.segment));
                }
            }
            let left = a.data.as_ptr().add(from);
            let right = b.data.as_ptr().add(column);
            for r in 0..a.offsets.len() {
                let left = left.add(*a.offsets.get_unchecked(r) as usize);
                let right = right.add(*b.offsets.get_unchecked(r) as usize);
                let mut values = [zero; V];
                for v in 0..V {
                    values[v] = load(simd, right.add(v * S::F32_LANES));
                }
                for d in 0..DEPTHS {
                    let value = simd.splat_f32s(*left.add(d));
                    for v in 0..V {
                        sums[d][v] = simd.mul_add_e_f32s(value, values[v], sums[d][v]);
                    }
                }
            }
            for d in 0..kept {
                for v in 0..V {
                    let place = out.add(d * b.segment + v * S::F32_LANES);
                    let old = if fresh { zero } else { load(simd, place) };
                    store(simd, place, simd.add_f32s(old, sums[d][v]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, RngExt, SeedableRng};

    fn values(count: usize, rng: &mut impl Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// A case: rows of `segments` runs in some data, and a matrix to multiply with.
    struct Case {
        data: Vec<f32>,
        offsets: Vec<u32>,
        shape: [usize; 3],
        b: Vec<f32>,
        columns: usize,
    }

    impl Case {
        fn new([rows, segments, segment, vectors]: [usize; 4], seed: u64) -> Self {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let columns = vectors * lanes();
            let stride = segment + 2;
            let data = values(rows * 3 + segments * stride + segment + SLACK, &mut rng);
            Self {
                data,
                offsets: (0..rows).map(|row| 3 * row as u32).collect(),
                shape: [segments, segment, stride],
                b: values(rows.max(segments * segment) * columns, &mut rng),
                columns,
            }
        }

        fn rows(&self) -> Rows<'_> {
            let [segments, segment, stride] = self.shape;
            Rows {
                data: &self.data,
                offsets: &self.offsets,
                segments,
                segment,
                stride,
            }
        }

        /// Value `k` of row `r`.
        fn left(&self, r: usize, k: usize) -> f64 {
            let [_, segment, stride] = self.shape;
            let place = self.offsets[r] as usize + k / segment * stride + k % segment;
            f64::from(self.data[place])
        }
    }

    proptest! {
        #[test]
        fn products_equal_those_in_f64(
            rows in 1_usize..30, segments in 1_usize..4, segment in 1_usize..20,
            vectors in 1_usize..8, seed in 0_u64..1000,
        ) {
            let case = Case::new([rows, segments, segment, vectors], seed);
            let (depth, columns) = (segments * segment, case.columns);
            let mut packed = vec![0.0; depth * columns];
            for (row, values) in case.b.chunks_exact(columns).take(depth).enumerate() {
                write_row(&mut packed, depth, row, values);
            }
            let mut out = vec![9.0; rows * (columns + 1)];
            let panels = Panels { depth, columns, values: &packed };
            multiply(case.rows(), panels, &mut out, columns + 1);
            let mut other = vec![0.0; depth * columns];
            let turned: Vec<f32> = (0..columns * depth)
                .map(|at| case.b[at % depth * columns + at / depth])
                .collect();
            write_transposed(&mut other, [depth, columns], 0, turned.chunks_exact(depth));
            prop_assert_eq!(&other, &packed);
            for r in 0..rows {
                for n in 0..columns {
                    let sum: f64 = (0..depth)
                        .map(|k| case.left(r, k) * f64::from(case.b[k * columns + n]))
                        .sum();
                    prop_assert!((f64::from(out[r * (columns + 1) + n]) - sum).abs() < 1e-4);
                }
                prop_assert_eq!(out[r * (columns + 1) + columns], 9.0);
            }
        }

        #[test]
        fn transposed_products_equal_those_in_f64(
            rows in 1_usize..30, segments in 1_usize..4, segment in 1_usize..20,
            vectors in 1_usize..8, seed in 0_u64..1000,
        ) {
            let case = Case::new([rows, segments, segment, vectors], seed);
            let (depth, columns) = (segments * segment, case.columns);
            let mut out = vec![1.0; depth * columns];
            let offsets: Vec<u32> = (0..rows).map(|row| (row * columns) as u32).collect();
            multiply_transposed(case.rows(), Rows::plain(&case.b, &offsets, columns), &mut out, false);
            for k in 0..depth {
                for n in 0..columns {
                    let sum: f64 = (0..rows)
                        .map(|r| case.left(r, k) * f64::from(case.b[r * columns + n]))
                        .sum();
                    prop_assert!((f64::from(out[k * columns + n]) - 1.0 - sum).abs() < 1e-4);
                }
            }
        }
    }
}
