//! Normalisation: u8 `[height, width, 3]` to f32 `[3, height, width]`, minus the mean, over the
//! standard deviation of each channel.

use aet_geometry::RgbView;
use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// Mean and standard deviation of each channel, on pixels scaled to `[0, 1]`; the default is that
/// of CIFAR-10.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Normalisation {
    /// Mean of red, green and blue.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue.
    pub std: [f32; 3],
}

impl Default for Normalisation {
    fn default() -> Self {
        Self {
            mean: [0.4914, 0.4822, 0.4465],
            std: [0.2023, 0.1994, 0.2010],
        }
    }
}

impl Normalisation {
    /// No change of scale but to `[0, 1]`.
    pub const UNIT: Self = Self {
        mean: [0.0; 3],
        std: [1.0; 3],
    };

    /// Checks that the numbers can be used.
    ///
    /// # Errors
    /// When a mean is not finite, or a standard deviation is not above 0.
    pub fn validate(&self) -> Result<(), DataError> {
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            let found = format!("{:?}", self.mean);
            return Err(DataError::invalid(
                "normalisation.mean",
                found,
                "finite numbers",
            ));
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            let found = format!("{:?}", self.std);
            return Err(DataError::invalid(
                "normalisation.std",
                found,
                "numbers above 0",
            ));
        }
        Ok(())
    }

    /// The numbers that [`Normaliser::apply_into`] works with.
    pub fn prepare(&self) -> Normaliser {
        Normaliser {
            scale: self.std.map(|std| 1.0 / (255.0 * std)),
            offset: std::array::from_fn(|channel| -self.mean[channel] / self.std[channel]),
        }
    }
}

/// A [`Normalisation`] as one multiplication and one addition: `byte * scale + offset`, each
/// rounded, so that all machines give the same bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Normaliser {
    scale: [f32; 3],
    offset: [f32; 3],
}

impl Normaliser {
    /// Writes the normalised `image` as `[3, height, width]` into `output`.
    ///
    /// # Panics
    /// When `output` does not hold `3 * height * width` values.
    pub fn apply_into(&self, image: RgbView<'_>, output: &mut [f32]) {
        let plane = image.height() * image.width();
        assert_eq!(
            output.len(),
            3 * plane,
            "a view takes 3 x height x width values"
        );
        let (reds, rest) = output.split_at_mut(plane);
        let (greens, blues) = rest.split_at_mut(plane);
        let mut planes = [reds, greens, blues];
        let done = self.apply_fast(image.pixels(), &mut planes);
        self.apply(image.pixels(), &mut planes, done);
    }

    /// Normalises as many pixels from the first on as SIMD can, and gives their number.
    fn apply_fast(&self, pixels: &[u8], planes: &mut [&mut [f32]; 3]) -> usize {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, and that is all that the function asks for.
            return unsafe { avx2::apply(self, pixels, planes) };
        }
        let _ = (pixels, planes);
        0
    }

    /// Normalises the pixels from `first` on.
    fn apply(&self, pixels: &[u8], planes: &mut [&mut [f32]; 3], first: usize) {
        for (channel, plane) in planes.iter_mut().enumerate() {
            let (scale, offset) = (self.scale[channel], self.offset[channel]);
            let bytes = pixels[3 * first..].iter().skip(channel).step_by(3);
            for (value, byte) in plane[first..].iter_mut().zip(bytes) {
                *value = f32::from(*byte) * scale + offset;
            }
        }
    }
}

/// The same with 256-bit registers.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::Normaliser;

    /// Pixels at a time.
    const BLOCK: usize = 16;

    /// Where in 48 bytes of pixels the 16 values of a channel lie, for each third of them; 0x80
    /// makes a 0 of what lies in another third.
    const PLACES: [[[u8; BLOCK]; 3]; 3] = {
        let mut places = [[[0x80; BLOCK]; 3]; 3];
        let mut at = 0;
        while at < 3 * BLOCK {
            places[at % 3][at / BLOCK][at / 3] = (at % BLOCK) as u8;
            at += 1;
        }
        places
    };

    /// Normalises whole blocks of pixels, and gives the number of pixels in them.
    #[target_feature(enable = "avx2")]
    pub fn apply(normaliser: &Normaliser, pixels: &[u8], planes: &mut [&mut [f32]; 3]) -> usize {
        let (blocks, _) = pixels.as_chunks::<{ 3 * BLOCK }>();
        let places = PLACES.map(|thirds| thirds.map(|bytes| load(bytes)));
        let scales = normaliser.scale.map(|scale| _mm256_set1_ps(scale));
        let offsets = normaliser.offset.map(|offset| _mm256_set1_ps(offset));
        for (number, block) in blocks.iter().enumerate() {
            let (thirds, _) = block.as_chunks::<BLOCK>();
            let thirds = [load(thirds[0]), load(thirds[1]), load(thirds[2])];
            for channel in 0..3 {
                let part = |third: usize| _mm_shuffle_epi8(thirds[third], places[channel][third]);
                let bytes = _mm_or_si128(_mm_or_si128(part(0), part(1)), part(2));
                let written = &mut planes[channel][number * BLOCK..][..BLOCK];
                let (low, high) = written.split_at_mut(BLOCK / 2);
                let scale = |eight: __m128i| {
                    let values = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight));
                    _mm256_add_ps(_mm256_mul_ps(values, scales[channel]), offsets[channel])
                };
                store(low, scale(bytes));
                store(high, scale(_mm_unpackhi_epi64(bytes, bytes)));
            }
        }
        blocks.len() * BLOCK
    }

    #[target_feature(enable = "avx2")]
    fn load(bytes: [u8; BLOCK]) -> __m128i {
        // SAFETY: 16 bytes are read from an array of 16 bytes; no alignment is asked for.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    fn store(output: &mut [f32], values: __m256) {
        assert!(output.len() >= 8);
        // SAFETY: there is room for 8 values; no alignment is asked for.
        unsafe { _mm256_storeu_ps(output.as_mut_ptr(), values) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use aet_geometry::RgbImage;

    /// Sizes around a block of SIMD; every byte in every channel.
    #[test]
    fn each_channel_goes_to_its_plane_with_its_own_numbers() {
        let normalisation = Normalisation {
            mean: [0.5, 0.25, 0.0],
            std: [0.5, 0.25, 2.0],
        };
        for plane in [0, 1, 15, 16, 17, 300] {
            let pixels = (0..plane * 3).map(|at| (at * 7 % 256) as u8).collect();
            let image = RgbImage::new(1, plane, pixels).unwrap();
            let mut output = vec![9.0; plane * 3];
            let normaliser = normalisation.prepare();
            normaliser.apply_into(image.view(), &mut output);
            for (at, found) in output.iter().enumerate() {
                let (channel, column) = (at / plane, at % plane);
                let byte = f64::from(image.pixel(0, column)[channel]);
                let mean = f64::from(normalisation.mean[channel]);
                let expected = (byte / 255.0 - mean) / f64::from(normalisation.std[channel]);
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-6,
                    "{channel}, {column}"
                );
            }
            let mut portable = vec![9.0; plane * 3];
            let (reds, rest) = portable.split_at_mut(plane);
            let (greens, blues) = rest.split_at_mut(plane);
            normaliser.apply(image.pixels(), &mut [reds, greens, blues], 0);
            assert_eq!(output, portable, "the same bits with and without AVX2");
        }
    }

    #[test]
    fn bad_numbers_are_named() {
        let broken = Normalisation {
            std: [0.2, 0.0, 0.2],
            ..Normalisation::default()
        };
        let message = broken.validate().unwrap_err().to_string();
        assert!(message.contains("normalisation.std"), "{message}");
        let broken = Normalisation {
            mean: [f32::NAN, 0.0, 0.2],
            ..Normalisation::default()
        };
        assert!(broken.validate().is_err());
        assert!(Normalisation::default().validate().is_ok());
    }
}
