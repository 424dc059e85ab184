//! How near the two products come to what the machine can do, on shapes of the network-in-network:
//!
//! ```sh
//! RAYON_NUM_THREADS=1 cargo run --release -p aet-kernels --example product_rate
//! ```

use std::time::Instant;

use aet_kernels::buffer::Buffer;
use aet_kernels::peak::multiply_adds_per_second;
use aet_kernels::product::{Panels, Rows, SLACK, multiply, multiply_transposed};
use aet_kernels::simd::padded;

/// Rows, depth and columns of a product, and between how many of that shape it goes round, so that not
/// all of it stays in the nearest cache.
const SHAPES: [([usize; 3], usize); 5] = [
    ([128, 192, 160], 1),
    ([128, 160, 96], 1),
    ([64, 96, 192], 64),
    ([64, 192, 96], 64),
    ([64, 192, 192], 36),
];

fn main() {
    let peak = multiply_adds_per_second();
    println!("peak {:.1} G multiply-adds/s", peak / 1e9);
    for (shape, around) in SHAPES {
        let [rows, depth, columns] = shape;
        let columns = padded(columns);
        let stride = columns + 16;
        let values = |count: usize| {
            let mut buffer = Buffer::stale(count);
            for (at, value) in buffer.iter_mut().enumerate() {
                *value = (at % 17) as f32 * 0.1 - 0.8;
            }
            buffer
        };
        let left = values(around * rows * depth + SLACK);
        let right = values(around * depth * columns);
        let mut out = Buffer::zeros(around * rows * stride);
        let mut gradient = Buffer::zeros(around * depth * columns);
        let offsets: Vec<u32> = (0..rows).map(|row| (row * depth) as u32).collect();
        let places: Vec<u32> = (0..rows).map(|row| (row * stride) as u32).collect();
        let mut best = [f64::INFINITY; 2];
        for _ in 0..30 {
            for (which, best) in best.iter_mut().enumerate() {
                let repeats = (1 << 28) / (rows * depth * columns * around) + 1;
                let start = Instant::now();
                for turn in 0..repeats * around {
                    let at = turn % around;
                    let a = Rows::plain(&left[at * rows * depth..], &offsets, depth);
                    if which == 0 {
                        let panels = Panels {
                            depth,
                            columns,
                            values: &right[at * depth * columns..],
                        };
                        multiply(a, panels, &mut out[at * rows * stride..], stride);
                    } else {
                        let b = Rows::plain(&out[at * rows * stride..], &places, columns);
                        let sums = &mut gradient[at * depth * columns..];
                        multiply_transposed(a, b, sums, false);
                    }
                }
                let done = (repeats * around * rows * depth * columns) as f64;
                *best = best.min(start.elapsed().as_secs_f64() / done);
            }
        }
        let share = best.map(|seconds| 1.0 / seconds / peak);
        println!(
            "{rows:4} x {depth:4} x {columns:4}, {around:2} around: product {:.2}, transposed {:.2} of the peak",
            share[0], share[1]
        );
    }
}
