//! How many multiply-adds a second a device reaches in what it is best at, a large product of matrices:
//! what the floor of a step is worked out from.

use std::time::Instant;

use burn::tensor::{Device, Distribution, FloatDType, Tensor};

use crate::precision::Precision;

/// Seconds that a product has to take to be measured.
const ENOUGH: f64 = 0.02;
/// Largest side of a matrix.
const MOST: usize = 8192;
/// Products that are measured; the fastest counts.
const TRIES: usize = 5;

/// Multiply-adds a second of `device` in this precision, measured now, when nothing else runs on it; none
/// where it fails.
pub fn multiply_adds_per_second(device: &Device, precision: Precision) -> Option<f64> {
    let device = device.clone().without_autodiff();
    let dtype = precision.reduced().unwrap_or(FloatDType::F32);
    let mut side = 256;
    loop {
        let matrix = Tensor::<2>::random([side, side], Distribution::Uniform(-1.0, 1.0), &device);
        let matrix = matrix.cast(dtype);
        let seconds = || {
            device.sync().ok()?;
            let start = Instant::now();
            let product = matrix.clone().matmul(matrix.clone());
            device.flush().ok()?;
            device.sync().ok()?;
            let seconds = start.elapsed().as_secs_f64();
            drop(product);
            Some(seconds)
        };
        // The first product of a size may be compiled or tuned.
        seconds()?;
        let mut fastest = seconds()?;
        if fastest < ENOUGH && side < MOST {
            side *= 2;
            continue;
        }
        for _ in 1..TRIES {
            fastest = fastest.min(seconds()?);
        }
        return Some((side as f64).powi(3) / fastest);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_a_processor_is_one_that_processors_have() {
        let rate = multiply_adds_per_second(&Device::flex(), Precision::Float32).unwrap();
        assert!((1e8..1e15).contains(&rate), "{rate}");
    }
}
