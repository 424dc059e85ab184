//! Random numbers that depend on what they are for, never on who asks first.
//!
//! Every random choice takes its own generator, made from (run seed, epoch, item index,
//! [`Purpose`]). So a batch is the same with any number of workers, and a resumed run sees what an
//! unbroken one would have seen.
//!
//! The generator is ChaCha with 8 rounds from `rand_chacha`, which promises the same numbers on
//! every platform and in every version. The four values are its 256-bit key, eight little-endian
//! bytes each, so that no hash has to be trusted to tell neighbouring items apart; the first
//! number costs about a tenth of a microsecond.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What random numbers are drawn for. The discriminants are part of the recorded results: add new
/// ones at the end, never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
#[non_exhaustive]
pub enum Purpose {
    /// Crop, flip and whatever else is done to an image before it is transformed.
    Augment = 1,
    /// Sampling the transformation of one item.
    Transform = 2,
    /// The order of the items in an epoch.
    Shuffle = 3,
    /// Initial weights.
    Init = 4,
    /// The built-in generated images.
    Shapes = 5,
    /// Probes on frozen features.
    Probe = 6,
    /// Choosing which items are held out for testing.
    HoldOut = 7,
    /// Noise added to features, codes or images.
    Noise = 8,
    /// Choosing a subset of labelled items.
    Subset = 9,
    /// Which image stands in for one that cannot be used.
    Substitute = 10,
}

/// The generator of one item and purpose; see the page of this module.
pub type ItemRng = ChaCha8Rng;

/// The generator for one purpose at one item of one epoch.
///
/// ```
/// use aet_data::random::{Purpose, generator};
/// use rand::Rng;
/// let mut first = generator(7, 0, 42, Purpose::Augment);
/// let mut again = generator(7, 0, 42, Purpose::Augment);
/// assert_eq!(first.next_u64(), again.next_u64());
/// let mut other = generator(7, 0, 42, Purpose::Transform);
/// assert_ne!(first.next_u64(), other.next_u64());
/// ```
pub fn generator(seed: u64, epoch: u64, index: u64, purpose: Purpose) -> ItemRng {
    let mut key = [0; 32];
    for (bytes, value) in key
        .chunks_exact_mut(8)
        .zip([seed, epoch, index, purpose as u64])
    {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    ItemRng::from_seed(key)
}

/// A whole number in `0..bound`, from the upper half of a 64 x 64 bit product.
///
/// Written out here, and not taken from a library, so that shuffles and crops stay the same
/// numbers for ever. The bias is below `bound / 2^64`. A `bound` of 0 gives 0.
pub fn below<R: Rng + ?Sized>(rng: &mut R, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// A number in `[0, 1)` with 53 random bits.
pub fn unit<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Fills `values` with independent draws of N(0, 1), two from each pair of uniform numbers (Box and
/// Muller 1958). Written out here, with `libm`, so that they stay the same numbers for ever and
/// everywhere.
pub fn fill_normal<R: Rng + ?Sized>(rng: &mut R, values: &mut [f32]) {
    for pair in values.chunks_mut(2) {
        // Above 0, so that the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - unit(rng)));
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * unit(rng));
        for (value, direction) in pair.iter_mut().zip([cos, sin]) {
            *value = (radius * direction) as f32;
        }
    }
}

/// A permutation of `0..count` (Fisher and Yates), by `rng`.
pub fn permutation<R: Rng + ?Sized>(rng: &mut R, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, below(rng, last + 1));
    }
    order
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn generators_of_neighbours_differ() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..3 {
            for epoch in 0..3 {
                for index in 0..3 {
                    for purpose in [Purpose::Augment, Purpose::Transform, Purpose::Shuffle] {
                        seen.insert(generator(seed, epoch, index, purpose).next_u64());
                    }
                }
            }
        }
        assert_eq!(seen.len(), 81);
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut rng = generator(1, 2, 3, Purpose::Shuffle);
        let mut seen = [0; 7];
        for _ in 0..7_000 {
            seen[below(&mut rng, 7)] += 1;
        }
        assert!(
            seen.iter().all(|&count| (850..1150).contains(&count)),
            "{seen:?}"
        );
        assert_eq!(below(&mut rng, 0), 0);
        assert_eq!(below(&mut rng, 1), 0);
    }

    #[test]
    fn unit_stays_in_its_range_with_the_right_mean() {
        let mut rng = generator(1, 2, 3, Purpose::Noise);
        let numbers: Vec<f64> = (0..10_000).map(|_| unit(&mut rng)).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
    }

    #[test]
    fn normal_draws_have_the_moments_of_the_normal_distribution() {
        let mut values = vec![0.0; 20_001];
        fill_normal(&mut generator(1, 2, 3, Purpose::Noise), &mut values);
        let moment = |power: i32| {
            let powers = values.iter().map(|value| f64::from(*value).powi(power));
            powers.sum::<f64>() / values.len() as f64
        };
        for (power, expected, tolerance) in [(1, 0.0, 0.03), (2, 1.0, 0.04), (4, 3.0, 0.3)] {
            let found = moment(power);
            assert!((found - expected).abs() < tolerance, "{power}: {found}");
        }
        let neighbours = values.windows(2).map(|pair| f64::from(pair[0] * pair[1]));
        assert!((neighbours.sum::<f64>() / 20_000.0).abs() < 0.03);
        assert!(values.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = permutation(&mut generator(1, 0, 0, Purpose::Shuffle), 100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
        assert!(permutation(&mut generator(1, 0, 0, Purpose::Shuffle), 0).is_empty());
    }
}
