//! Pooling of one image `[height, width, channels]`, forward and backward.

use pulp::{Simd, WithSimd};

use crate::simd::{lanes, load, run, store};

/// What becomes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// Its maximum.
    Max,
    /// Its mean, with the padding counted.
    Average,
}

/// Pooling with square windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// What becomes of a window.
    pub kind: PoolKind,
    /// Side of the window.
    pub size: usize,
    /// From one window to the next.
    pub stride: usize,
    /// Border around the image, less than the window.
    pub padding: usize,
    /// Height of the input, in pixels.
    pub height: usize,
    /// Width of the input, in pixels.
    pub width: usize,
    /// Channels as they are stored.
    pub channels: usize,
}

impl Pool {
    /// Height and width of the output, in pixels.
    pub fn output(&self) -> [usize; 2] {
        [self.height, self.width]
            .map(|side| (side + 2 * self.padding).saturating_sub(self.size) / self.stride + 1)
    }

    /// Calls `visit` with the output pixel and an input pixel of its window, for all of them, windows
    /// row by row.
    #[inline(always)]
    fn each(&self, mut visit: impl FnMut(usize, usize)) {
        let [down, across] = self.output();
        let inside = |place: usize, side: usize| {
            let first = place * self.stride;
            first.max(self.padding) - self.padding
                ..(first + self.size).min(side + self.padding) - self.padding
        };
        for y in 0..down {
            for x in 0..across {
                for from_y in inside(y, self.height) {
                    for from_x in inside(x, self.width) {
                        visit(y * across + x, from_y * self.width + from_x);
                    }
                }
            }
        }
    }

    fn check(&self, input: usize, output: usize) {
        let [height, width] = self.output();
        assert!(self.channels.is_multiple_of(lanes()));
        assert!(input >= self.height * self.width * self.channels);
        assert!(output >= height * width * self.channels);
    }

    /// Pools `input` into `output`.
    ///
    /// # Panics
    /// When they are too short, or channels are not whole vectors.
    pub fn forward(&self, input: &[f32], output: &mut [f32]) {
        self.check(input.len(), output.len());
        output.fill(match self.kind {
            PoolKind::Max => f32::NEG_INFINITY,
            PoolKind::Average => 0.0,
        });
        run(Forward {
            pool: self,
            input,
            output,
        });
    }

    /// The gradient of the input from `gradient`, that of the output, which is used up. Of equal
    /// maxima the first takes it.
    ///
    /// # Panics
    /// When a slice is too short, or channels are not whole vectors.
    pub fn backward(
        &self,
        input: &[f32],
        output: &[f32],
        gradient: &mut [f32],
        input_gradient: &mut [f32],
    ) {
        self.check(input.len(), output.len());
        self.check(input_gradient.len(), gradient.len());
        input_gradient.fill(0.0);
        run(Backward {
            pool: self,
            input,
            output,
            gradient,
            input_gradient,
        });
    }
}

/// One over the values of a window, padding counted.
fn share<S: Simd>(simd: S, pool: &Pool) -> S::f32s {
    simd.splat_f32s(1.0 / (pool.size * pool.size) as f32)
}

struct Forward<'a> {
    pool: &'a Pool,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.pool.channels;
        let share = share(simd, self.pool);
        self.pool.each(
            #[inline(always)]
            |out, from| {
                for channel in (0..channels).step_by(S::F32_LANES) {
                    // SAFETY: pixels are in their images, which `forward` has checked.
                    unsafe {
                        let out = self.output.as_mut_ptr().add(out * channels + channel);
                        let value = load(simd, self.input.as_ptr().add(from * channels + channel));
                        let old = load(simd, out);
                        let new = match self.pool.kind {
                            PoolKind::Max => simd.max_f32s(old, value),
                            PoolKind::Average => simd.mul_add_e_f32s(share, value, old),
                        };
                        store(simd, out, new);
                    }
                }
            },
        );
    }
}

struct Backward<'a> {
    pool: &'a Pool,
    input: &'a [f32],
    output: &'a [f32],
    gradient: &'a mut [f32],
    input_gradient: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.pool.channels;
        let share = share(simd, self.pool);
        let zero = simd.splat_f32s(0.0);
        self.pool.each(
            #[inline(always)]
            |out, from| {
                for channel in (0..channels).step_by(S::F32_LANES) {
                    let (out, from) = (out * channels + channel, from * channels + channel);
                    // SAFETY: pixels are in their images, which `backward` has checked.
                    unsafe {
                        let left_place = self.gradient.as_mut_ptr().add(out);
                        let sum = self.input_gradient.as_mut_ptr().add(from);
                        let left = load(simd, left_place);
                        let taken = match self.pool.kind {
                            PoolKind::Max => {
                                let value = load(simd, self.input.as_ptr().add(from));
                                let maximum = load(simd, self.output.as_ptr().add(out));
                                let hit = simd.equal_f32s(value, maximum);
                                let taken = simd.select_f32s(hit, left, zero);
                                store(simd, left_place, simd.sub_f32s(left, taken));
                                taken
                            }
                            PoolKind::Average => simd.mul_f32s(share, left),
                        };
                        store(simd, sum, simd.add_f32s(load(simd, sum), taken));
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(kind: PoolKind) -> Pool {
        Pool {
            kind,
            size: 3,
            stride: 2,
            padding: 1,
            height: 5,
            width: 4,
            channels: lanes(),
        }
    }

    const INPUT: [f32; 20] = [
        1., 9., 2., 4., //
        3., 5., 5., 0., //
        8., 5., 7., 6., //
        1., 1., 2., 2., //
        0., 3., 0., 4.,
    ];

    /// Every value once for each channel.
    fn spread(values: &[f32]) -> Vec<f32> {
        let repeated = values.iter().flat_map(|v| std::iter::repeat_n(*v, lanes()));
        repeated.collect()
    }

    fn close(found: &[f32], expected: &[f32]) -> bool {
        let expected = spread(expected);
        let near = |(f, e): (&f32, &f32)| (f - e).abs() < 1e-6;
        found.len() == expected.len() && found.iter().zip(&expected).all(near)
    }

    #[test]
    fn maxima_and_means_are_those_of_the_windows() {
        let mut output = spread(&[0.0; 6]);
        assert_eq!(pool(PoolKind::Max).output(), [3, 2]);
        pool(PoolKind::Max).forward(&spread(&INPUT), &mut output);
        assert!(close(&output, &[9., 9., 8., 7., 3., 4.]), "{output:?}");
        pool(PoolKind::Average).forward(&spread(&INPUT), &mut output);
        let means = [18., 25., 23., 33., 5., 12.].map(|sum| sum / 9.0);
        assert!(close(&output, &means), "{output:?}");
    }

    #[test]
    fn gradients_go_to_the_first_maximum_or_to_all_of_a_window() {
        let input = spread(&INPUT);
        let mut output = spread(&[0.0; 6]);
        let mut back = spread(&[0.0; 20]);
        pool(PoolKind::Max).forward(&input, &mut output);
        let mut gradient = spread(&[1., 2., 4., 8., 16., 32.]);
        pool(PoolKind::Max).backward(&input, &output, &mut gradient, &mut back);
        let mut expected = [0.0; 20];
        expected[1] = 3.0;
        expected[8] = 4.0;
        expected[10] = 8.0;
        expected[17] = 16.0;
        expected[19] = 32.0;
        assert!(close(&back, &expected), "{back:?}");
        let mut gradient = spread(&[9.0; 6]);
        pool(PoolKind::Average).backward(&input, &output, &mut gradient, &mut back);
        assert_eq!([back[0], back[5 * lanes()]], [1.0, 4.0]);
    }
}
