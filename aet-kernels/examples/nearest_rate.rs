//! The rate of the exact search on random rows, beside the floor of its product.
//!
//! usage: nearest_rate [queries] [items] [dim] [count]

use std::time::Instant;

use aet_kernels::nearest::Nearest;
use aet_kernels::peak::multiply_adds_per_second;
use rand::{RngExt, SeedableRng};

fn rows(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn main() {
    let number = |place, default| {
        let text = std::env::args().nth(place);
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (queries, items) = (number(1, 10_000), number(2, 50_000));
    let (dim, count) = (number(3, 192), number(4, 10));
    let (asked, all) = (rows(queries * dim, 1), rows(items * dim, 2));
    for _ in 0..5 {
        let start = Instant::now();
        let mut search = Nearest::new(asked.clone(), dim, count);
        search.visit(items, |item, row| {
            row.copy_from_slice(&all[item * dim..(item + 1) * dim]);
        });
        let found = search.finish();
        let seconds = start.elapsed().as_secs_f64();
        let floor = (queries * items * dim) as f64 / multiply_adds_per_second();
        println!(
            "{seconds:.3} s, floor {floor:.3} s, share {:.2}, first {:?}",
            floor / seconds,
            found.first().and_then(|near| near.first())
        );
    }
}
