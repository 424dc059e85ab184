//! Draws from a generator's raw 64-bit words, so that what a seed gives is fixed by this file and
//! the generator alone, on every platform and with every version of `rand`.

use rand::Rng;

/// Uniform on `[low, high]`, in steps of 2^-53 of the span.
pub(super) fn uniform<R: Rng + ?Sized>(rng: &mut R, low: f64, high: f64) -> f64 {
    let share = (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64);
    low + (high - low) * share
}

/// A whole number, uniform on `-most..=most`, both ends included; the bias is below 2^-31.
pub(super) fn whole<R: Rng + ?Sized>(rng: &mut R, most: u32) -> f64 {
    let count = 2 * u64::from(most) + 1;
    index(rng, count) as f64 - f64::from(most)
}

/// A whole number, uniform on `0..count`; `count` is at least 1 and at most 2^33.
pub(super) fn index<R: Rng + ?Sized>(rng: &mut R, count: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(count)) >> 64) as u64
}
