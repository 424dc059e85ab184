//! Pairs per second of the network-in-network encoder alone: two views forward and backward.
//!
//! usage: nin_step [BATCH] [WIDTH] [STEPS]
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use aet_kernels::chain::{Chain, Layer};
use aet_kernels::pool::PoolKind;
use rand::{RngExt, SeedableRng};

fn main() {
    let arguments: Vec<f64> = std::env::args()
        .skip(1)
        .map(|a| a.parse().unwrap())
        .collect();
    let argument = |place: usize, default: f64| arguments.get(place).copied().unwrap_or(default);
    let (batch, width, steps) = (
        argument(0, 64.0) as usize,
        argument(1, 1.0),
        argument(2, 5.0) as usize,
    );
    let w = |c: usize| ((c as f64 * width).round() as usize).max(8);
    let unit = |side, channels| Layer::unit(side, w(channels));
    let pool = |kind| Layer::Pool {
        kind,
        size: 3,
        stride: 2,
        padding: 1,
    };
    let layers = [
        unit(5, 192),
        unit(1, 160),
        unit(1, 96),
        pool(PoolKind::Max),
        unit(5, 192),
        unit(1, 192),
        unit(1, 192),
        pool(PoolKind::Average),
        unit(3, 192),
        unit(1, 192),
        unit(1, 192),
        unit(3, 192),
        unit(1, 192),
        unit(1, 192),
    ];
    let chain = Chain::new([3, 32, 32], &layers).unwrap();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut values =
        |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let (images, parameters) = (values(2 * batch * 3072), values(chain.parameters()));
    let mut rates = Vec::new();
    for _ in 0..steps + 1 {
        let start = Instant::now();
        let mut parts = [0.0; 2];
        let (features, _, trace) = chain.forward(&images, 2, &parameters, false);
        parts[0] = start.elapsed().as_secs_f64();
        std::hint::black_box(chain.backward(&images, trace, &features));
        let all = start.elapsed().as_secs_f64();
        parts[1] = all - parts[0];
        rates.push((batch as f64 / all, parts));
    }
    rates.remove(0);
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (rate, parts) = rates[rates.len() / 2];
    let statistics = vec![1.0; chain.statistics()];
    chain.frozen_features(&images, &parameters, &statistics);
    let start = Instant::now();
    std::hint::black_box(chain.frozen_features(&images, &parameters, &statistics));
    let frozen_rate = 2.0 * batch as f64 / start.elapsed().as_secs_f64();
    println!(
        "batch {batch} width {width}: {rate:.1} pairs/s (forward {:.3} s, backward {:.3} s); frozen {frozen_rate:.0} images/s",
        parts[0], parts[1]
    );
}
