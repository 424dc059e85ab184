//! Each layer alone against its definition in f64, over random shapes.
#![allow(clippy::unwrap_used, missing_docs)]

mod reference;

use aet_kernels::buffer::Buffer;
use aet_kernels::convolution::{Algorithm, Convolution, Window};
use aet_kernels::simd::lanes;
use proptest::prelude::*;
use reference::{Images, each_product, relative, uniform};

/// A convolution of a batch, and what its definition gives.
struct Case {
    convolution: Convolution,
    batch: usize,
    input: Vec<f32>,
    kernel: Vec<f32>,
    gradient: Vec<f32>,
}

impl Case {
    fn new(
        window: Window,
        size: [usize; 2],
        channels: [usize; 2],
        batch: usize,
        exact: bool,
        seed: u64,
    ) -> Self {
        let stored = match exact {
            true => channels[0],
            false => channels[0].next_multiple_of(lanes()),
        };
        let convolution = Convolution::new(window, size, channels, stored);
        let pixels = |[height, width]: [usize; 2]| batch * height * width;
        Self {
            input: uniform(pixels(size) * channels[0], seed),
            kernel: uniform(convolution.weight_len(), seed + 1),
            gradient: uniform(pixels(convolution.output()) * channels[1], seed + 2),
            convolution,
            batch,
        }
    }

    fn shape(&self, channels: usize, [height, width]: [usize; 2]) -> [usize; 4] {
        [self.batch, channels, height, width]
    }

    /// Output, gradient of kernel and, if it is wanted, of input, by planes.
    fn run(&self, wanted: bool) -> [Vec<f32>; 3] {
        let conv = &self.convolution;
        let (inputs, outputs) = (conv.channels_in, conv.channels_out);
        let weights = conv.prepare(&self.kernel, None, wanted);
        let mut scratch = conv.scratch(true);
        let mut sums: Vec<Buffer> = Vec::new();
        let mut out = vec![0.0; self.gradient.len()];
        let mut back = vec![0.0; self.input.len()];
        let place = |pixels: usize, channels: usize, pixel: usize, c: usize| {
            (pixel / pixels * channels + c) * pixels + pixel % pixels
        };
        let (pixels_in, pixels_out) = (conv.height * conv.width, conv.output().iter().product());
        let input_at = |pixel, c| place(pixels_in, inputs, pixel, c);
        let output_at = |pixel, c| place(pixels_out, outputs, pixel, c);
        for (number, chunk) in conv.chunks(self.batch).into_iter().enumerate() {
            let placed = conv.place_input(chunk, &mut scratch);
            for (row, offset) in placed.offsets.iter().enumerate() {
                for c in 0..conv.stored_in {
                    placed.buffer[*offset as usize + c] = match c < inputs {
                        true => self.input[input_at(placed.first + row, c)],
                        false => 0.0,
                    };
                }
            }
            conv.forward(chunk, &weights, &mut scratch);
            for row in 0..chunk.rows {
                for c in 0..outputs {
                    out[output_at(chunk.first + row, c)] =
                        scratch.output[row * conv.out_stride() + c];
                }
            }
            let placed = conv.place_gradient(chunk, &mut scratch, wanted);
            for (row, offset) in placed.offsets.iter().enumerate() {
                for c in 0..conv.stored_out() {
                    placed.buffer[*offset as usize + c] = match c < outputs {
                        true => self.gradient[output_at(placed.first + row, c)],
                        false => 0.0,
                    };
                }
            }
            let fresh = number < 2;
            if fresh {
                sums.push(Buffer::stale(conv.gradient_len()));
            }
            let sum = &mut sums[number % 2];
            conv.backward(chunk, Some(&weights), &mut scratch, (sum, fresh));
            if !wanted {
                continue;
            }
            let mut offsets = Vec::new();
            let layout = conv.input_gradient_layout(chunk, &mut offsets);
            let stored = inputs.next_multiple_of(lanes());
            let own = conv.input_chunk(chunk);
            let mut rows = vec![0.0; own.rows * stored];
            layout.copy(&scratch.input_gradient, &mut rows, stored);
            for row in 0..own.rows {
                for c in 0..inputs {
                    // Each pixel comes once.
                    back[input_at(own.first + row, c)] += rows[row * stored + c];
                }
            }
        }
        let mut kernel = vec![0.0; self.kernel.len()];
        conv.collect_gradient(&sums, &mut kernel);
        [out, kernel, back]
    }

    /// The same in f64.
    fn expected(&self) -> [Vec<f64>; 3] {
        let conv = &self.convolution;
        let size = [conv.height, conv.width];
        let input = Images::of(self.shape(conv.channels_in, size), &self.input);
        let shape = self.shape(conv.channels_out, conv.output());
        let gradient = Images::of(shape, &self.gradient);
        let mut out = vec![0.0; gradient.values.len()];
        let mut kernel = vec![0.0; self.kernel.len()];
        let mut back = vec![0.0; input.values.len()];
        each_product(
            input.shape,
            conv.channels_out,
            conv.window,
            |from, k, to| {
                out[to] += input.values[from] * f64::from(self.kernel[k]);
                kernel[k] += input.values[from] * gradient.values[to];
                back[from] += gradient.values[to] * f64::from(self.kernel[k]);
            },
        );
        [out, kernel, back]
    }

    fn errors(&self) -> [f64; 3] {
        let (found, expected) = (self.run(true), self.expected());
        let [out, kernel, _] = self.run(false);
        assert!(out == found[0] && kernel == found[1]);
        std::array::from_fn(|part| relative(&found[part], &expected[part]))
    }
}

proptest! {
    #[test]
    fn outputs_and_gradients_of_any_shape_equal_those_in_f64(
        side in prop::sample::select(vec![1_usize, 3, 5, 7]),
        height in 1_usize..19, width in 1_usize..23,
        inputs in 1_usize..33, outputs in 1_usize..41,
        batch in 1_usize..5, exact: bool, seed in 0_u64..1_000_000,
    ) {
        let window = Window::same(side);
        let case = Case::new(window, [height, width], [inputs, outputs], batch, exact, seed);
        for (part, error) in ["output", "kernel", "input"].iter().zip(case.errors()) {
            prop_assert!(error < 1e-4, "{part} of {:?} is off by {error}", case.convolution);
        }
    }
}

proptest! {
    #[test]
    fn strides_and_paddings_of_any_kind_equal_those_in_f64(
        side in prop::sample::select(vec![1_usize, 3, 5, 7, 11]),
        stride in 1_usize..5, padding in 0_usize..6,
        height in 1_usize..29, width in 1_usize..37,
        inputs in 1_usize..19, outputs in 1_usize..21,
        batch in 1_usize..4, exact: bool, seed in 0_u64..1_000_000,
    ) {
        let padding = padding.min(side / 2);
        let window = Window { side, stride, padding };
        // Room for one output at least.
        let size = [height, width].map(|length| length.max(side - 2 * padding));
        let case = Case::new(window, size, [inputs, outputs], batch, exact, seed);
        for (part, error) in ["output", "kernel", "input"].iter().zip(case.errors()) {
            prop_assert!(error < 1e-4, "{part} of {:?} is off by {error}", case.convolution);
        }
    }
}

/// The layers of the encoder at a quarter of its width, and what rounding costs in each.
#[test]
fn rounding_of_the_encoders_layers() {
    for (side, size, channels) in [
        (5, 32, [3, 48]),
        (1, 32, [48, 40]),
        (5, 16, [24, 48]),
        (3, 8, [48, 48]),
    ] {
        let case = Case::new(
            Window::same(side),
            [size; 2],
            channels,
            4,
            channels[0] == 3,
            7,
        );
        let [out, kernel, back] = case.errors();
        let way = case.convolution.algorithm;
        println!(
            "{side}x{side} {channels:?} at {size}: {way:?} output {out:.1e} kernel {kernel:.1e} input {back:.1e}"
        );
        assert!(out.max(kernel).max(back) < 2e-5);
        assert_eq!(way == Algorithm::Winograd, side > 1 && channels[0] > 3);
    }
}

#[test]
fn images_of_one_channel_or_three_are_convolved_in_registers() {
    for (side, inputs) in [(3, 1), (3, 3), (5, 1), (5, 3)] {
        for size in [[1, 1], [3, 5], [4, 4], [9, 13], [6, 70], [33, 30]] {
            let case = Case::new(Window::same(side), size, [inputs, 9], 2, true, 4);
            assert_eq!(case.convolution.algorithm, Algorithm::Shallow);
            for error in case.errors() {
                assert!(error < 2e-5, "{side} {inputs} {size:?}: {error}");
            }
        }
    }
}

#[test]
fn small_images_are_convolved_several_at_a_time() {
    let window = |side, stride, padding| Window {
        side,
        stride,
        padding,
    };
    for (window, size) in [
        // No row of tiles would be full.
        (window(3, 1, 1), [2, 2]),
        (window(3, 2, 1), [4, 4]),
        // The last row and columns of the input are not read.
        (window(3, 3, 0), [10, 11]),
        (window(1, 2, 0), [5, 4]),
        (window(7, 2, 3), [9, 6]),
    ] {
        let case = Case::new(window, size, [16, 24], 37, false, 5);
        assert_eq!(case.convolution.algorithm, Algorithm::Direct);
        let images = case.convolution.chunks(37)[0].rows
            / case.convolution.output().iter().product::<usize>();
        assert!(images > 1);
        for error in case.errors() {
            assert!(error < 2e-5, "{window:?} {size:?}: {error}");
        }
    }
}

#[test]
fn large_images_and_few_channels_are_convolved_without_transforms() {
    let way =
        |size, channels| Convolution::new(Window::same(3), size, channels, channels[0]).algorithm;
    let lanes = lanes().max(8);
    assert_eq!(way([128, 128], [lanes, 32]), Algorithm::Winograd);
    assert_eq!(way([129, 128], [lanes, 32]), Algorithm::Direct);
    assert_eq!(way([8, 8], [3, 32]), Algorithm::Shallow);
    assert_eq!(way([8, 8], [4, 32]), Algorithm::Direct);
    let case = Case::new(Window::same(3), [129, 128], [lanes, lanes], 1, false, 3);
    let error = case.errors().into_iter().fold(0.0, f64::max);
    assert!(error < 1e-4, "{error}");
}
