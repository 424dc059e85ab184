//! How many multiply-adds a second this machine does when nothing else limits it: the floor that
//! every measured time is held against.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

use crate::simd::{lanes, run};
use crate::workers::{for_each, threads};

/// Sums that are under way at a time; enough to hide the latency of a multiply-add.
const SUMS: usize = 12;
/// Multiply-adds of each sum between two looks at the clock.
const ROUNDS: usize = 100_000;

struct Rounds;

impl WithSimd for Rounds {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat_f32s(black_box(0.999_f32));
        let mut sums = [simd.splat_f32s(black_box(1.0_f32)); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, factor);
            }
        }
        sums.iter().map(|sum| simd.reduce_sum_f32s(*sum)).sum()
    }
}

/// Multiply-adds of f32 a second, over all threads of the pool, in the best of several trials.
pub fn multiply_adds_per_second() -> f64 {
    let trial = || {
        let start = Instant::now();
        let rounds = 20;
        for_each(
            threads(),
            || (),
            |_, ()| {
                for _ in 0..rounds {
                    black_box(run(Rounds));
                }
            },
        );
        let each = rounds * ROUNDS * SUMS * lanes();
        (each * threads()) as f64 / start.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
    };
    (0..5).map(|_| trial()).fold(0.0, f64::max)
}
