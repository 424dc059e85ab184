//! The search for the largest inner products against one by one sums in f64.
#![allow(clippy::unwrap_used)]

use aet_kernels::nearest::Nearest;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};

/// Rows of whole numbers, so that every product is exact and many are equal.
fn coarse(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|_| rng.random_range(-2_i8..3).into())
        .collect()
}

/// Random rows, whose products are all different.
fn fine(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// All items by their product with `query`, nearest first.
fn by_product(items: &[f32], query: &[f32]) -> Vec<(usize, f64)> {
    let products = items.chunks_exact(query.len()).map(|item| {
        let products = item.iter().zip(query);
        // A sum from 0 on makes the two zeros equal.
        products.fold(0.0, |sum, (a, b)| sum + f64::from(*a) * f64::from(*b))
    });
    let mut all: Vec<(usize, f64)> = products.enumerate().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

/// What rounding can do to the product of `a` and `b`, summed in order in f32: half a unit in the last
/// place of each value and of each sum so far.
fn rounding(a: &[f32], b: &[f32]) -> f64 {
    let (mut sum, mut sizes) = (0.0_f64, 0.0);
    for (a, b) in a.iter().zip(b) {
        let product = f64::from(*a) * f64::from(*b);
        sum += product;
        sizes += product.abs() + sum.abs();
    }
    // Sums in f32 are not those in f64, which takes a little more.
    1.01 * sizes * f64::from(f32::EPSILON) / 2.0
}

/// The search over `items` in blocks of `block` items.
fn search(
    items: &[f32],
    queries: &[f32],
    [dim, count, block]: [usize; 3],
) -> Vec<Vec<(usize, f32)>> {
    let mut search = Nearest::new(queries.to_vec(), dim, count);
    for block in items.chunks(block * dim) {
        search.visit(block.len() / dim, |item, row| {
            row.copy_from_slice(&block[item * dim..(item + 1) * dim]);
        });
    }
    search.finish()
}

proptest! {
    #[test]
    fn the_nearest_are_those_of_exact_products(
        dim in 1_usize..300, items in 1_usize..400, queries in 1_usize..60,
        count in 1_usize..50, block in 1_usize..500, seed in 0_u64..1000,
    ) {
        let (all, asked) = (coarse(items * dim, seed), coarse(queries * dim, seed + 1000));
        let found = search(&all, &asked, [dim, count, block]);
        prop_assert_eq!(found.len(), queries);
        for (query, found) in asked.chunks_exact(dim).zip(found) {
            let expected = by_product(&all, query);
            let expected: Vec<(usize, f32)> = expected
                .into_iter()
                .take(count)
                .map(|(index, product)| (index, product as f32))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn products_are_those_in_f64_but_for_rounding(
        dim in 1_usize..300, items in 1_usize..400, count in 1_usize..50, seed in 0_u64..1000,
    ) {
        let (all, query) = (fine(items * dim, seed), fine(dim, seed + 1000));
        let found = search(&all, &query, [dim, count, items]).remove(0);
        let expected = by_product(&all, &query);
        prop_assert_eq!(found.len(), count.min(items));
        // Where products change places by rounding, those at one place differ by no more than the
        // products that are furthest from theirs in f64.
        let off = all.chunks_exact(dim).map(|item| rounding(item, &query)).fold(0.0, f64::max);
        for ((_, product), (_, wanted)) in found.iter().zip(&expected) {
            let error = (f64::from(*product) - wanted).abs();
            prop_assert!(error <= off, "{product} for {wanted}, more than {off} off");
        }
    }
}

#[test]
fn threads_and_blocks_change_nothing() {
    let (dim, items, queries) = (37, 5000, 301);
    let (all, asked) = (fine(items * dim, 1), fine(queries * dim, 2));
    let with = |threads: usize, count: usize, block: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        pool.install(|| search(&all, &asked, [dim, count, block]))
    };
    for count in [1, 10, 200] {
        let one = with(1, count, items);
        for (threads, block) in [(2, items), (3, 777), (7, 1)] {
            assert_eq!(with(threads, count, block), one, "{threads} threads");
        }
    }
}

#[test]
fn products_that_are_no_numbers_are_never_near() {
    let mut search = Nearest::new(vec![1.0, -0.0, 2.0, 3.0], 2, 3);
    let items = [[f32::NAN, 1.0], [-1.0, 1.0], [0.0, 0.0], [-0.0, 0.0]];
    search.visit(4, |item, row| row.copy_from_slice(&items[item]));
    let found = search.finish();
    assert_eq!(found[0], [(2, 0.0), (3, 0.0), (1, -1.0)]);
    assert_eq!(found[1], [(1, 1.0), (2, 0.0), (3, 0.0)]);
}

#[test]
fn searches_for_nothing_find_nothing() {
    let mut none = Nearest::new(vec![1.0; 6], 3, 0);
    none.visit(2, |_, row| row.fill(1.0));
    assert_eq!(none.finish(), vec![Vec::new(), Vec::new()]);
    let mut none = Nearest::new(Vec::new(), 3, 2);
    none.visit(2, |_, row| row.fill(1.0));
    assert!(none.finish().is_empty());
    assert_eq!(Nearest::new(vec![1.0; 3], 3, 2).finish(), vec![Vec::new()]);
}
