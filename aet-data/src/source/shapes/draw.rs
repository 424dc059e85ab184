//! Random numbers in ranges, for the generated images.

use rand::Rng;

use crate::random::{ItemRng, below, unit};

/// A number in `[low, high)`.
pub fn between(rng: &mut ItemRng, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(rng)
}

/// A whole number in `0..bound`.
pub fn whole(rng: &mut ItemRng, bound: usize) -> usize {
    below(rng, bound)
}

/// 64 random bits.
pub fn bits(rng: &mut ItemRng) -> u64 {
    rng.next_u64()
}

/// Whether something of probability `share` happens.
pub fn chance(rng: &mut ItemRng, share: f64) -> bool {
    unit(rng) < share
}
