//! The K items with the largest inner products to each of many queries, found exactly.
//!
//! Items are packed in panels of two vectors of items each ([`product`](crate::product)). A panel that
//! fits the first cache meets all queries of a block that fits the second. Products of a few queries
//! and a panel stay in registers, where they are held against the least product that still counts for
//! their query; they are written down only if one of them is above it, which becomes rare after the
//! first items. So nearly all the time is that of the product, 2 x queries x items x dim operations.
//!
//! A product is summed along the row in order wherever it is computed, and of equal ones that of the
//! lower index is the nearer; nothing depends on blocks or threads.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers: an iterator's closure is not inlined into code for other instructions"
)]

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::product::{PANEL, Rows, tile_sums, write_transposed};
use crate::simd::{bits, lanes, run, store};

/// Bytes of items that are packed at a time, at most, but for one panel.
const PACKED_BYTES: usize = 64 << 20;
/// Bytes of queries and their candidates in a block, at most, but for [`QUERY_STEP`] of them: half of a second cache.
const BLOCK_BYTES: usize = 1 << 20;
/// Queries in a block are a multiple of this, which is one of the rows of a tile.
const QUERY_STEP: usize = 24;
/// Candidates that a query can have beside the best so far, at least.
const LEAST_ROOM: usize = 16;
/// Values in the widest panel.
const WIDEST: usize = 2 * 16;

/// A search under way: queries, and the best of the items that were visited.
///
/// ```
/// use aet_kernels::nearest::Nearest;
///
/// let items = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]];
/// let mut search = Nearest::new(vec![0.0, 1.0], 2, 2);
/// search.visit(3, |item, row| row.copy_from_slice(&items[item]));
/// assert_eq!(search.finish(), [[(2, 1.0), (1, 0.8)]]);
/// ```
#[derive(Debug)]
pub struct Nearest {
    /// `[queries, dim]`.
    queries: Vec<f32>,
    dim: usize,
    count: usize,
    best: Vec<Best>,
    visited: usize,
}

impl Nearest {
    /// A search for the `count` nearest to each of `queries`, `[queries, dim]`.
    ///
    /// # Panics
    /// When `dim` is 0, or the last query is shorter than the others.
    pub fn new(queries: Vec<f32>, dim: usize, count: usize) -> Self {
        assert!(dim > 0 && queries.len().is_multiple_of(dim));
        let best = (0..queries.len() / dim).map(|_| Best::new(count)).collect();
        Self {
            queries,
            dim,
            count,
            best,
            visited: 0,
        }
    }

    /// Bytes that a search for `count` items has in use for each query of `dim` values.
    pub fn bytes_per_query(dim: usize, count: usize) -> usize {
        dim * size_of::<f32>() + size_of::<Best>() + Best::room(count) * size_of::<u64>()
    }

    /// Bytes that a visit of `items` of `dim` values has in use, beside small change for each thread.
    pub fn bytes_of_visit(dim: usize, items: usize) -> usize {
        let panel = PANEL * lanes();
        let row = dim * size_of::<f32>();
        let all = items.next_multiple_of(panel) * row;
        all.min(PACKED_BYTES.max(panel * row))
    }

    /// Looks at the next `items`; `write` writes number `item` of them, below `items`, into a row of
    /// `dim` values. A product that is not a number is never near.
    ///
    /// # Panics
    /// When more than 2^32 items are visited.
    pub fn visit(&mut self, items: usize, write: impl Fn(usize, &mut [f32]) + Sync) {
        if self.count == 0 || self.best.is_empty() {
            return;
        }
        let panel = PANEL * lanes();
        let step = (PACKED_BYTES / (4 * self.dim) / panel * panel).max(panel);
        for start in (0..items).step_by(step) {
            let block = step.min(items - start);
            let packed = self.pack(block, |item, row| write(start + item, row));
            self.look(&packed, block);
            self.visited += block;
        }
    }

    /// The nearest items of each query with their products, nearest first: `count` of them, or fewer
    /// where fewer were visited.
    pub fn finish(self) -> Vec<Vec<(usize, f32)>> {
        let count = self.count;
        let best = self.best.into_par_iter();
        best.map(|best| best.sorted(count)).collect()
    }

    /// `items` in full panels; the last is filled up with zeros.
    fn pack(&self, items: usize, write: impl Fn(usize, &mut [f32]) + Sync) -> Buffer {
        let (dim, panel) = (self.dim, PANEL * lanes());
        let mut packed = Buffer::stale(items.next_multiple_of(panel) * dim);
        let panels = packed.par_chunks_mut(panel * dim).enumerate();
        panels.for_each_init(
            || vec![0.0; panel * dim],
            |rows, (number, out)| {
                let first = number * panel;
                let there = panel.min(items - first);
                for (item, row) in rows.chunks_exact_mut(dim).take(there).enumerate() {
                    write(first + item, row);
                }
                let rows = rows.chunks_exact(dim).take(there);
                write_transposed(out, [dim, panel], 0, rows);
            },
        );
        packed
    }

    /// Holds all queries against `items` packed ones.
    fn look(&mut self, packed: &[f32], items: usize) {
        let (dim, first) = (self.dim, self.visited);
        assert!(u32::try_from(first + items).is_ok(), "more than 2^32 items");
        let step = self.queries_in_block();
        let blocks = self.queries.par_chunks(step * dim);
        let blocks = blocks.zip(self.best.par_chunks_mut(step)).with_max_len(1);
        blocks.for_each(|(queries, best)| {
            let offsets: Vec<u32> = (0..best.len()).map(|row| (row * dim) as u32).collect();
            let queries = Rows::plain(queries, &offsets, dim);
            queries.check(0);
            run(Look {
                queries,
                packed,
                items,
                first,
                best,
            });
        });
    }

    /// Queries in a block: few enough for the cache, and for every thread to get several blocks.
    fn queries_in_block(&self) -> usize {
        let fit = BLOCK_BYTES / Self::bytes_per_query(self.dim, self.count);
        let share = self.best.len().div_ceil(4 * rayon::current_num_threads());
        fit.min(share).max(1).next_multiple_of(QUERY_STEP)
    }
}

/// A block of queries against packed items.
struct Look<'a> {
    /// All in their data, one for each of `best`.
    queries: Rows<'a>,
    /// Full panels.
    packed: &'a [f32],
    items: usize,
    /// Index of the first item.
    first: usize,
    best: &'a mut [Best],
}

impl WithSimd for Look<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let size = self.queries.depth() * PANEL * S::F32_LANES;
        for (number, panel) in self.packed.chunks_exact(size).enumerate() {
            let start = number * PANEL * S::F32_LANES;
            // Sums of 8 rows leave room for their factors in 32 registers, of 6 rows in 16.
            if const { S::REGISTER_COUNT >= 32 } {
                self.panel::<S, 8, 2>(simd, panel, start);
            } else {
                self.panel::<S, 6, 2>(simd, panel, start);
            }
        }
    }
}

impl Look<'_> {
    /// All queries against one panel, `R` at a time and the rest `L` at a time.
    #[inline(always)]
    fn panel<S: Simd, const R: usize, const L: usize>(
        &mut self,
        simd: S,
        panel: &[f32],
        start: usize,
    ) {
        let mut row = 0;
        while row + R <= self.best.len() {
            self.tile::<S, R>(simd, panel, [row, start]);
            row += R;
        }
        while row < self.best.len() {
            self.tile::<S, L>(simd, panel, [row, start]);
            row += L;
        }
    }

    /// `R` queries from `row` on against the panel of the items from `start` on.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, panel: &[f32], [row, start]: [usize; 2]) {
        // SAFETY: the rows were checked, there is one for each of `best`, and the panel is full.
        let sums = unsafe { tile_sums::<S, R, PANEL>(simd, self.queries, panel, row) };
        let last = self.best.len() - 1;
        let never = simd.less_than_f32s(sums[0][0], simd.splat_f32s(f32::NEG_INFINITY));
        let (mut above, mut any) = ([[never; PANEL]; R], never);
        for r in 0..R {
            let bound = simd.splat_f32s(self.best[(row + r).min(last)].bound);
            for v in 0..PANEL {
                above[r][v] = simd.greater_than_f32s(sums[r][v], bound);
                any = simd.or_m32s(any, above[r][v]);
            }
        }
        if simd.first_true_m32s(any) >= S::F32_LANES {
            return;
        }
        // Only loops of a fixed length leave the sums in registers until here.
        let mut values = [[0.0; WIDEST]; R];
        let mut which = [0; R];
        for r in 0..R {
            for v in 0..PANEL {
                which[r] |= bits(simd, above[r][v]) << (v * S::F32_LANES);
                let place = &mut values[r][v * S::F32_LANES..(v + 1) * S::F32_LANES];
                // SAFETY: the place is as long as a vector.
                unsafe { store(simd, place.as_mut_ptr(), sums[r][v]) };
            }
        }
        // Behind the last item there are zeros, which are none.
        let there = (PANEL * S::F32_LANES).min(self.items - start);
        let items = u32::MAX >> (32 - there);
        let first = self.first + start;
        for ((best, which), values) in self.best[row..].iter_mut().zip(which).zip(&values) {
            best.take(which & items, values, first);
        }
    }
}

/// The best items of one query so far, and candidates to be.
#[derive(Debug)]
struct Best {
    /// Only products above it count.
    bound: f32,
    /// Product and index of the candidates ([`key`]), in any order.
    keys: Vec<u64>,
    count: usize,
}

impl Best {
    fn new(count: usize) -> Self {
        Self {
            bound: f32::NEG_INFINITY,
            keys: Vec::with_capacity(Self::room(count)),
            count,
        }
    }

    /// Candidates that are kept before the best of them are chosen.
    fn room(count: usize) -> usize {
        count + count.max(LEAST_ROOM)
    }

    /// Takes note of those products whose bit is set in `which`, with the items from `first` on.
    #[inline(never)]
    fn take(&mut self, mut which: u32, products: &[f32; WIDEST], first: usize) {
        while which != 0 {
            let place = which.trailing_zeros() as usize;
            which &= which - 1;
            // An earlier one may have raised the bound.
            if products[place] > self.bound {
                self.keys.push(key(products[place], first + place));
                if self.keys.len() == Self::room(self.count) {
                    self.choose();
                }
            }
        }
    }

    /// Leaves only the best, and raises the bound to the least of them. Later items have a higher
    /// index, so that of equal products the first is kept.
    fn choose(&mut self) {
        let (_, last, _) = self.keys.select_nth_unstable(self.count - 1);
        self.bound = value(*last).1;
        self.keys.truncate(self.count);
    }

    fn sorted(mut self, count: usize) -> Vec<(usize, f32)> {
        self.keys.sort_unstable();
        self.keys.truncate(count);
        self.keys.into_iter().map(value).collect()
    }
}

/// A number that is the lower the nearer the item is: a larger product, then a lower index.
fn key(product: f32, index: usize) -> u64 {
    // Adding 0 makes the two zeros equal.
    let bits = (product + 0.0).to_bits();
    let rising = if bits >> 31 == 0 {
        bits | 1 << 31
    } else {
        !bits
    };
    u64::from(!rising) << 32 | index as u64
}

/// Index and product of a [`key`].
fn value(key: u64) -> (usize, f32) {
    let rising = !((key >> 32) as u32);
    let bits = if rising >> 31 == 1 {
        rising ^ 1 << 31
    } else {
        !rising
    };
    ((key & u64::from(u32::MAX)) as usize, f32::from_bits(bits))
}
