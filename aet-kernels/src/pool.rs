//! Pooling of one image `[height, width, channels]`, forward and backward.

use crate::simd::run;

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

    fn share(&self) -> f32 {
        1.0 / (self.size * self.size) as f32
    }

    /// Pools `input` into `output`.
    pub fn forward(&self, input: &[f32], output: &mut [f32]) {
        let channels = self.channels;
        run(|| match self.kind {
            PoolKind::Max => {
                output.fill(f32::NEG_INFINITY);
                self.each(|out, from| {
                    let out = &mut output[out * channels..][..channels];
                    for (out, value) in out.iter_mut().zip(&input[from * channels..]) {
                        *out = if *value > *out { *value } else { *out };
                    }
                });
            }
            PoolKind::Average => {
                output.fill(0.0);
                let share = self.share();
                self.each(|out, from| {
                    let out = &mut output[out * channels..][..channels];
                    for (out, value) in out.iter_mut().zip(&input[from * channels..]) {
                        *out += share * value;
                    }
                });
            }
        });
    }

    /// The gradient of the input from `gradient`, that of the output, which is used up. Of equal
    /// maxima the first takes it.
    pub fn backward(
        &self,
        input: &[f32],
        output: &[f32],
        gradient: &mut [f32],
        input_gradient: &mut [f32],
    ) {
        let channels = self.channels;
        input_gradient.fill(0.0);
        run(|| match self.kind {
            PoolKind::Max => self.each(|out, from| {
                let (out, from) = (out * channels, from * channels);
                let maxima = &output[out..out + channels];
                let values = &input[from..from + channels];
                let left = &mut gradient[out..out + channels];
                let sums = &mut input_gradient[from..from + channels];
                let pairs = sums.iter_mut().zip(left);
                for ((sum, left), (value, maximum)) in pairs.zip(values.iter().zip(maxima)) {
                    let hit = value == maximum;
                    let taken = if hit { *left } else { 0.0 };
                    *sum += taken;
                    *left -= taken;
                }
            }),
            PoolKind::Average => {
                let share = self.share();
                self.each(|out, from| {
                    let sums = &mut input_gradient[from * channels..][..channels];
                    for (sum, value) in sums.iter_mut().zip(&gradient[out * channels..]) {
                        *sum += share * value;
                    }
                });
            }
        });
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
            channels: 1,
        }
    }

    const INPUT: [f32; 20] = [
        1., 9., 2., 4., //
        3., 5., 5., 0., //
        8., 5., 7., 6., //
        1., 1., 2., 2., //
        0., 3., 0., 4.,
    ];

    #[test]
    fn maxima_and_means_are_those_of_the_windows() {
        let mut output = [0.0; 6];
        assert_eq!(pool(PoolKind::Max).output(), [3, 2]);
        pool(PoolKind::Max).forward(&INPUT, &mut output);
        assert_eq!(output, [9., 9., 8., 7., 3., 4.]);
        pool(PoolKind::Average).forward(&INPUT, &mut output);
        let sums = [18., 25., 23., 33., 5., 12.];
        for (mean, sum) in output.iter().zip(sums) {
            assert!((mean - sum / 9.0).abs() < 1e-6, "{mean} {sum}");
        }
    }

    #[test]
    fn gradients_go_to_the_first_maximum_or_to_all_of_a_window() {
        let mut output = [0.0; 6];
        pool(PoolKind::Max).forward(&INPUT, &mut output);
        let mut back = [0.0; 20];
        pool(PoolKind::Max).backward(&INPUT, &output, &mut [1., 2., 4., 8., 16., 32.], &mut back);
        let mut expected = [0.0; 20];
        [
            expected[1],
            expected[8],
            expected[10],
            expected[17],
            expected[19],
        ] = [3., 4., 8., 16., 32.];
        assert_eq!(back, expected);
        pool(PoolKind::Average).backward(&INPUT, &output, &mut [9.0; 6], &mut back);
        assert_eq!(back[0], 1.0);
        assert_eq!(back[5], 4.0);
    }
}
