//! The kernels of normalisation by views. Rows are the pixels of a batch, channels last; a thread has
//! some consecutive channels, a vector of them, and sums go over rows in a fixed order, so that a
//! result is the same every time.

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, cubecl::ir::FloatKind};

use super::{Normed, ViewNormBackend};

/// Added to the variance before the square root.
const EPSILON: f32 = super::super::norm::EPSILON as f32;
/// Weight of a view in the running statistics.
const MOMENTUM: f32 = super::super::norm::MOMENTUM as f32;
/// Most consecutive channels that a thread has; no vector of every device holds more.
const LANES: usize = 4;
/// Parts that the rows of a view are summed in at first, at most.
const PARTS: usize = 1024;
/// Parts that those are summed up to, before all are.
const FEWER_PARTS: usize = 32;

/// Where a thread of a sum over rows is: view, part of its rows and vector of channels; and where in the
/// sums of all parts, `[views, parts, 2, channels]`, its first one goes.
#[cube]
fn place_of(position: usize, parts: usize, channels: usize) -> (usize, usize, usize, usize) {
    let channel = position % channels;
    let part = position / channels % parts;
    let view = position / (channels * parts);
    let place = (view * parts + part) * 2 * channels + channel;
    (view, part, channel, place)
}

/// Sums over parts of the rows of a view of what they are off its first row, and of its square.
#[cube(launch)]
fn sum_parts<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    sums: &mut Tensor<Vector<f32, N>>,
    rows: usize,
    pitch: usize,
    parts: usize,
    channels: usize,
    threads: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= threads {
        terminate!();
    }
    let (view, part, channel, place) = place_of(ABSOLUTE_POS, parts, channels);
    let first = view * rows * pitch + channel;
    let shift = Vector::<f32, N>::cast_from(input[first]);
    let mut plain = Vector::<f32, N>::new(0.0f32);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    for row in part * rows / parts..(part + 1) * rows / parts {
        let off = Vector::<f32, N>::cast_from(input[first + row * pitch]) - shift;
        plain += off;
        squares += off * off;
    }
    sums[place] = plain;
    sums[place + channels] = squares;
}

/// Sums of consecutive parts of `[views, parts, width]`, to `[views, fewer, width]`.
#[cube(launch)]
fn fold<N: Size>(
    sums: &Tensor<Vector<f32, N>>,
    out: &mut Tensor<Vector<f32, N>>,
    parts: usize,
    fewer: usize,
    width: usize,
    threads: usize,
) {
    if ABSOLUTE_POS >= threads {
        terminate!();
    }
    let column = ABSOLUTE_POS % width;
    let part = ABSOLUTE_POS / width % fewer;
    let view = ABSOLUTE_POS / (width * fewer);
    let first = view * parts * width + column;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for from in part * parts / fewer..(part + 1) * parts / fewer {
        sum += sums[first + from * width];
    }
    out[ABSOLUTE_POS] = sum;
}

/// Means and biased variances of each view from the sums of [`sum_parts`], and the running ones moved
/// towards those of the views in turn.
#[cube(launch)]
fn moments<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    sums: &Tensor<Vector<f32, N>>,
    running_mean: &Tensor<Vector<f32, N>>,
    running_variance: &Tensor<Vector<f32, N>>,
    statistics: &mut Tensor<Vector<f32, N>>,
    moved_mean: &mut Tensor<Vector<f32, N>>,
    moved_variance: &mut Tensor<Vector<f32, N>>,
    views: usize,
    rows: usize,
    pitch: usize,
    channels: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= channels {
        terminate!();
    }
    let channel = ABSOLUTE_POS;
    let count = f32::cast_from(rows);
    let unbiased = count / max(count - 1.0f32, 1.0f32);
    let kept = Vector::<f32, N>::new(1.0f32 - MOMENTUM);
    let mut mean = running_mean[channel];
    let mut spread = running_variance[channel];
    for view in 0..views {
        let place = view * 2 * channels + channel;
        let off = sums[place] / Vector::<f32, N>::new(count);
        let shift = Vector::<f32, N>::cast_from(input[view * rows * pitch + channel]);
        let variance = sums[place + channels] / Vector::<f32, N>::new(count) - off * off;
        let variance = max(variance, Vector::<f32, N>::new(0.0f32));
        statistics[place] = shift + off;
        statistics[place + channels] = variance;
        mean = mean * kept + (shift + off) * Vector::<f32, N>::new(MOMENTUM);
        spread = spread * kept + variance * Vector::<f32, N>::new(MOMENTUM * unbiased);
    }
    moved_mean[channel] = mean;
    moved_variance[channel] = spread;
}

/// One over the deviation.
#[cube]
fn inverse<N: Size>(variance: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0f32);
    one / (variance + Vector::<f32, N>::new(EPSILON)).sqrt()
}

/// Every value normalised, scaled, shifted and, if `rectified`, clipped.
#[cube(launch)]
fn normalise<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    statistics: &Tensor<Vector<f32, N>>,
    gamma: &Tensor<Vector<f32, N>>,
    beta: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<F, N>>,
    rows: usize,
    pitch: usize,
    channels: usize,
    threads: usize,
    #[comptime] rectified: bool,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= threads {
        terminate!();
    }
    let channel = ABSOLUTE_POS % channels;
    let row = ABSOLUTE_POS / channels;
    let place = row / rows * 2 * channels + channel;
    let scale = gamma[channel] * inverse::<N>(statistics[place + channels]);
    let off = Vector::<f32, N>::cast_from(input[row * pitch + channel]) - statistics[place];
    let mut value = off * scale + beta[channel];
    if rectified {
        value = max(value, Vector::<f32, N>::new(0.0f32));
    }
    output[ABSOLUTE_POS] = Vector::<F, N>::cast_from(value);
}

/// The normalised value, and the gradient after scale and shift: 0 where the ReLU clipped.
#[cube]
fn through_relu<N: Size>(
    off: Vector<f32, N>,
    gradient: Vector<f32, N>,
    gamma: Vector<f32, N>,
    beta: Vector<f32, N>,
    inverse: Vector<f32, N>,
    #[comptime] rectified: bool,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let normalised = off * inverse;
    let mut own = gradient;
    if rectified {
        let zero = Vector::<f32, N>::new(0.0f32);
        let alive = (normalised * gamma + beta).greater_than(&zero);
        own = select_many(alive, gradient, zero);
    }
    (normalised, own)
}

/// Sums over parts of the rows of a view of the gradient after scale and shift, and of it times the
/// normalised input.
#[cube(launch)]
fn sum_gradient_parts<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    gradient: &Tensor<Vector<F, N>>,
    statistics: &Tensor<Vector<f32, N>>,
    gamma: &Tensor<Vector<f32, N>>,
    beta: &Tensor<Vector<f32, N>>,
    sums: &mut Tensor<Vector<f32, N>>,
    rows: usize,
    pitch: usize,
    gradient_pitch: usize,
    parts: usize,
    channels: usize,
    threads: usize,
    #[comptime] rectified: bool,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= threads {
        terminate!();
    }
    let (view, part, channel, place) = place_of(ABSOLUTE_POS, parts, channels);
    let at = view * 2 * channels + channel;
    let (mean, own_gamma, own_beta) = (statistics[at], gamma[channel], beta[channel]);
    let inverse = inverse::<N>(statistics[at + channels]);
    let mut plain = Vector::<f32, N>::new(0.0f32);
    let mut products = Vector::<f32, N>::new(0.0f32);
    for own in part * rows / parts..(part + 1) * rows / parts {
        let row = view * rows + own;
        let off = Vector::<f32, N>::cast_from(input[row * pitch + channel]) - mean;
        let given = Vector::<f32, N>::cast_from(gradient[row * gradient_pitch + channel]);
        let (normalised, own) =
            through_relu::<N>(off, given, own_gamma, own_beta, inverse, rectified);
        plain += own;
        products += own * normalised;
    }
    sums[place] = plain;
    sums[place + channels] = products;
}

/// The gradient of the input (Ioffe and Szegedy 2015, section 3).
#[cube(launch)]
fn through_norm<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    gradient: &Tensor<Vector<F, N>>,
    statistics: &Tensor<Vector<f32, N>>,
    gamma: &Tensor<Vector<f32, N>>,
    beta: &Tensor<Vector<f32, N>>,
    sums: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<F, N>>,
    rows: usize,
    pitch: usize,
    gradient_pitch: usize,
    channels: usize,
    threads: usize,
    #[comptime] rectified: bool,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= threads {
        terminate!();
    }
    let channel = ABSOLUTE_POS % channels;
    let row = ABSOLUTE_POS / channels;
    let place = row / rows * 2 * channels + channel;
    let inverse = inverse::<N>(statistics[place + channels]);
    let off = Vector::<f32, N>::cast_from(input[row * pitch + channel]) - statistics[place];
    let given = Vector::<f32, N>::cast_from(gradient[row * gradient_pitch + channel]);
    let (normalised, own) = through_relu::<N>(
        off,
        given,
        gamma[channel],
        beta[channel],
        inverse,
        rectified,
    );
    let count = Vector::<f32, N>::new(f32::cast_from(rows));
    let rest = (sums[place] + normalised * sums[place + channels]) / count;
    let value = gamma[channel] * inverse * (own - rest);
    output[ABSOLUTE_POS] = Vector::<F, N>::cast_from(value);
}

/// The rows of a batch: pixels by channels.
struct Rows {
    /// `[batch, height, width, channels]`, each row `pitch` vectors after the one before.
    tensor: CubeTensor,
    /// Vectors from one row to the next.
    pitch: usize,
}

/// The shape of a problem.
#[derive(Clone, Copy)]
struct Plan {
    views: usize,
    /// Of a view.
    rows: usize,
    /// Vectors of channels.
    channels: usize,
    /// Channels in a vector.
    lanes: usize,
    dtype: DType,
}

impl Plan {
    /// For `input`, `[batch, channels, height, width]`.
    fn new(input: &CubeTensor, views: usize) -> Self {
        let [batch, channels, height, width] = input.meta.shape().dims();
        let lanes = (1..=LANES)
            .rev()
            .find(|lanes| lanes.is_power_of_two() && channels.is_multiple_of(*lanes))
            .unwrap_or(1);
        Self {
            views,
            rows: batch / views * height * width,
            channels: channels / lanes,
            lanes,
            dtype: input.dtype,
        }
    }

    fn element(&self) -> ElemType {
        ElemType::Float(match self.dtype {
            DType::F16 => FloatKind::F16,
            DType::BF16 => FloatKind::BF16,
            _ => FloatKind::F32,
        })
    }

    /// Parts that sums begin with.
    fn parts(&self) -> usize {
        self.rows.min(PARTS)
    }

    /// The rows of `[batch, channels, height, width]`, as they lie if channels are last.
    fn rows_of(&self, tensor: CubeTensor) -> Rows {
        let tensor = permute_nchw_to_nhwc(tensor);
        if let Some(pitch) = pitch(&tensor).filter(|pitch| pitch.is_multiple_of(self.lanes)) {
            let pitch = pitch / self.lanes;
            return Rows { tensor, pitch };
        }
        Rows {
            tensor: into_contiguous(tensor),
            pitch: self.channels,
        }
    }

    /// Memory for the rows of a batch like `input`.
    fn empty_rows(&self, input: &Rows) -> CubeTensor {
        let shape = input.tensor.meta.shape().clone();
        self.empty(input, shape, self.dtype)
    }

    /// Memory for two numbers for each view, part and channel.
    fn empty_sums(&self, input: &Rows, parts: usize) -> CubeTensor {
        let channels = self.channels * self.lanes;
        let shape = match parts {
            1 => Shape::new([self.views, 2, channels]),
            _ => Shape::new([self.views, parts, 2, channels]),
        };
        self.empty(input, shape, DType::F32)
    }

    fn empty(&self, like: &Rows, shape: Shape, dtype: DType) -> CubeTensor {
        let Rows { tensor, .. } = like;
        empty_device_contiguous_dtype(tensor.client.clone(), tensor.device.clone(), shape, dtype)
    }

    /// Sums of the `sums` of all parts: two for each view and channel.
    fn folded(&self, input: &Rows, sums: CubeTensor) -> CubeTensor {
        let (mut sums, mut parts) = (sums, self.parts());
        while parts > 1 {
            let fewer = if parts > FEWER_PARTS { FEWER_PARTS } else { 1 };
            let out = self.empty_sums(input, fewer);
            let width = 2 * self.channels;
            let threads = self.views * fewer * width;
            let (count, dim) = launch_size(&out, threads);
            fold::launch(
                &out.client,
                count,
                dim,
                self.lanes,
                sums.into_tensor_arg(),
                out.clone().into_tensor_arg(),
                parts,
                fewer,
                width,
                threads,
            );
            (sums, parts) = (out, fewer);
        }
        sums
    }
}

/// Values from one pixel of `[batch, height, width, channels]` to the next, where channels lie one after
/// the other and all pixels are equally far apart.
fn pitch(tensor: &CubeTensor) -> Option<usize> {
    let shape: [usize; 4] = tensor.meta.shape().dims();
    let strides = tensor.meta.strides();
    if shape[3] > 1 && strides[3] != 1 {
        return None;
    }
    let (mut pitch, mut inner) = (None, 1);
    // The stride of an axis of one pixel says nothing.
    for axis in [2, 1, 0].into_iter().filter(|axis| shape[*axis] > 1) {
        let pitch = *pitch.get_or_insert(strides[axis]);
        if strides[axis] != inner * pitch {
            return None;
        }
        inner *= shape[axis];
    }
    Some(pitch.unwrap_or(shape[3]))
}

fn launch_size(tensor: &CubeTensor, threads: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&tensor.client, threads);
    let count = calculate_cube_count_elemwise(&tensor.client, threads, dim);
    (count, dim)
}

impl ViewNormBackend for CubeBackend {
    fn view_norm(
        input: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        running_mean: CubeTensor,
        running_variance: CubeTensor,
        views: usize,
        rectified: bool,
    ) -> Normed<Self> {
        let plan = Plan::new(&input, views);
        let input = plan.rows_of(input);
        let [gamma, beta] = [gamma, beta].map(into_contiguous);
        let [running_mean, running_variance] =
            [running_mean, running_variance].map(into_contiguous);
        let sums = plan.empty_sums(&input, plan.parts());
        let threads = views * plan.parts() * plan.channels;
        let (count, dim) = launch_size(&sums, threads);
        sum_parts::launch(
            &sums.client,
            count,
            dim,
            plan.lanes,
            input.tensor.clone().into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            plan.rows,
            input.pitch,
            plan.parts(),
            plan.channels,
            threads,
            plan.element(),
        );
        let sums = plan.folded(&input, sums);
        let statistics = plan.empty_sums(&input, 1);
        let channels = || Shape::new([plan.channels * plan.lanes]);
        let [moved_mean, moved_variance] =
            [channels(), channels()].map(|shape| plan.empty(&input, shape, DType::F32));
        let (count, dim) = launch_size(&statistics, plan.channels);
        moments::launch(
            &statistics.client,
            count,
            dim,
            plan.lanes,
            input.tensor.clone().into_tensor_arg(),
            sums.into_tensor_arg(),
            running_mean.into_tensor_arg(),
            running_variance.into_tensor_arg(),
            statistics.clone().into_tensor_arg(),
            moved_mean.clone().into_tensor_arg(),
            moved_variance.clone().into_tensor_arg(),
            views,
            plan.rows,
            input.pitch,
            plan.channels,
            plan.element(),
        );
        let output = plan.empty_rows(&input);
        let threads = views * plan.rows * plan.channels;
        let (count, dim) = launch_size(&output, threads);
        normalise::launch(
            &output.client,
            count,
            dim,
            plan.lanes,
            input.tensor.into_tensor_arg(),
            statistics.clone().into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            plan.rows,
            input.pitch,
            plan.channels,
            threads,
            rectified,
            plan.element(),
        );
        let output = permute_nhwc_to_nchw(output);
        (output, statistics, moved_mean, moved_variance)
    }

    fn view_norm_backward(
        input: CubeTensor,
        gradient: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        statistics: CubeTensor,
        rectified: bool,
    ) -> (CubeTensor, CubeTensor) {
        let [views, _, _] = statistics.meta.shape().dims();
        let plan = Plan::new(&input, views);
        let [input, gradient] = [input, gradient].map(|tensor| plan.rows_of(tensor));
        let [gamma, beta, statistics] = [gamma, beta, statistics].map(into_contiguous);
        let sums = plan.empty_sums(&input, plan.parts());
        let threads = views * plan.parts() * plan.channels;
        let (count, dim) = launch_size(&sums, threads);
        sum_gradient_parts::launch(
            &sums.client,
            count,
            dim,
            plan.lanes,
            input.tensor.clone().into_tensor_arg(),
            gradient.tensor.clone().into_tensor_arg(),
            statistics.clone().into_tensor_arg(),
            gamma.clone().into_tensor_arg(),
            beta.clone().into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            plan.rows,
            input.pitch,
            gradient.pitch,
            plan.parts(),
            plan.channels,
            threads,
            rectified,
            plan.element(),
        );
        let sums = plan.folded(&input, sums);
        let output = plan.empty_rows(&input);
        let threads = views * plan.rows * plan.channels;
        let (count, dim) = launch_size(&output, threads);
        through_norm::launch(
            &output.client,
            count,
            dim,
            plan.lanes,
            input.tensor.into_tensor_arg(),
            gradient.tensor.into_tensor_arg(),
            statistics.into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            output.clone().into_tensor_arg(),
            plan.rows,
            input.pitch,
            gradient.pitch,
            plan.channels,
            threads,
            rectified,
            plan.element(),
        );
        (permute_nhwc_to_nchw(output), sums)
    }
}
