//! Batch normalisation of the views of a batch, with its ReLU, as one operation on accelerators.
//!
//! Burn's own layer reads and writes a layer's output many times, and turns it from the layout that
//! convolutions give (channels last) to another and back. Here it is read twice and written once
//! forward, and backward both it and its gradient are read twice, in that layout and in the type that
//! convolutions give, with statistics and arithmetic in float32.

mod kernels;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, DispatchTensorKind, TensorMetadata,
    backend_extension,
};
use burn::tensor::{DType, Shape, Slice, Tensor};

use super::fused;
use super::norm::{BatchNorm, set_running};
use crate::replica;

/// What normalisation gives: the output, statistics of the views, and the running mean and variance.
type Normed<B> = (
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
);

/// The operations that a backend needs for normalisation by views.
#[backend_extension(Autodiff, Cube, Fusion)]
pub trait ViewNormBackend: Backend {
    /// `input`, `[batch, channels, height, width]`, each of the `views` equal parts of the batch normalised
    /// with its own statistics, and clipped at 0 if `rectified`; the statistics, `[views, 2, channels]`:
    /// means, then biased variances; and the running mean and variance, moved towards those of the views
    /// in turn.
    #[fusion(meta = |input, gamma, _, mean, variance, views, _| {
        (input.clone(), statistics_of(gamma, *views), mean.clone(), variance.clone())
    })]
    fn view_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_variance: FloatTensor<Self>,
        views: usize,
        rectified: bool,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );

    /// The gradient of the input from that of the output; and for each view the sums of the gradient
    /// after scale and shift, and of it times the normalised input, `[views, 2, channels]`.
    #[fusion(meta = |input, _, gamma, _, statistics, _| {
        (input.clone(), statistics_of(gamma, statistics.shape.dims::<3>()[0]))
    })]
    fn view_norm_backward(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        rectified: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// What two numbers for each view and channel look like.
fn statistics_of(gamma: &TensorSpec, views: usize) -> TensorSpec {
    let [channels] = gamma.shape.dims();
    TensorSpec::new(Shape::new([views, 2, channels]), DType::F32)
}

/// What the backward pass starts from.
#[derive(Debug, Clone)]
struct Kept<B: Backend> {
    input: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    statistics: FloatTensor<B>,
    rectified: bool,
}

#[derive(Debug)]
struct ViewNormBackward;

impl<B: ViewNormBackend> Backward<B, 3> for ViewNormBackward {
    type State = Kept<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [input_node, gamma_node, beta_node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let Kept {
            input,
            gamma,
            beta,
            statistics,
            rectified,
        } = ops.state;
        let shape = gamma.shape();
        let (input, sums) =
            B::view_norm_backward(input, gradient, gamma, beta, statistics, rectified);
        let sums = B::float_sum_dim(sums, 0);
        let row = |row: usize| {
            let rows = [Slice::from(..), Slice::from(row..row + 1), Slice::from(..)];
            B::float_reshape(B::float_slice(sums.clone(), &rows), shape.clone())
        };
        if let Some(node) = input_node {
            gradients.register::<B>(node.id, input);
        }
        if let Some(node) = beta_node {
            gradients.register::<B>(node.id, row(0));
        }
        if let Some(node) = gamma_node {
            gradients.register::<B>(node.id, row(1));
        }
    }
}

impl<B: ViewNormBackend, C: CheckpointStrategy> ViewNormBackend for Autodiff<B, C> {
    fn view_norm(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_variance: FloatTensor<Self>,
        views: usize,
        rectified: bool,
    ) -> Normed<Self> {
        let nodes = [input.node(), gamma.node(), beta.node()];
        let prepared = ViewNormBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let [input, gamma, beta] = [input, gamma, beta].map(|tensor| tensor.into_primitive());
        let [mean, variance] = [running_mean, running_variance].map(Self::inner);
        let (output, statistics, mean, variance) = B::view_norm(
            input.clone(),
            gamma.clone(),
            beta.clone(),
            mean,
            variance,
            views,
            rectified,
        );
        let output = match prepared {
            OpsKind::Tracked(prepared) => {
                let kept = Kept {
                    input,
                    gamma,
                    beta,
                    statistics: statistics.clone(),
                    rectified,
                };
                prepared.finish(kept, output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        };
        let [statistics, mean, variance] = [statistics, mean, variance].map(Self::from_inner);
        (output, statistics, mean, variance)
    }

    fn view_norm_backward(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        rectified: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [input, gradient, gamma, beta, statistics] =
            [input, gradient, gamma, beta, statistics].map(Self::inner);
        let (input, sums) =
            B::view_norm_backward(input, gradient, gamma, beta, statistics, rectified);
        (Self::from_inner(input), Self::from_inner(sums))
    }
}

/// Whether `input` can go through [`forward`]: in training, on an accelerator of this machine, and
/// where statistics are not shared with other devices. `AET_FUSED=off` in the environment turns it off.
pub(super) fn applies(input: &Tensor<4>) -> bool {
    if !input.device().is_autodiff() || replica::is_sharing() || !fused::is_on() {
        return false;
    }
    match input.clone().into_dispatch().kind {
        DispatchTensorKind::Autodiff(inner) => matches!(*inner, DispatchTensorKind::Cube(_)),
        _ => false,
    }
}

/// `input`, `[batch, channels, height, width]` of any float type, after `norm` in training and, if
/// `rectified`, a ReLU, each of the `views` equal parts of the batch with its own statistics, which move
/// the running ones in turn.
pub(super) fn forward(
    norm: &BatchNorm,
    input: Tensor<4>,
    views: usize,
    rectified: bool,
) -> Tensor<4> {
    let parameters = [&norm.gamma, &norm.beta].map(|parameter| parameter.val().into_dispatch());
    let running = [&norm.running_mean, &norm.running_var];
    let old = running.map(|statistic| statistic.value_sync().into_dispatch());
    let ([gamma, beta], [mean, variance]) = (parameters, old);
    let input = input.into_dispatch();
    let (output, _, mean, variance) =
        Dispatch::view_norm(input, gamma, beta, mean, variance, views, rectified);
    for (statistic, moved) in running.into_iter().zip([mean, variance]) {
        set_running(statistic, Tensor::from_dispatch(moved));
    }
    Tensor::from_dispatch(output)
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::tensor::{Device, FloatDType, TensorData};
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::device::DeviceName;
    use crate::precision::Precision;

    /// Output, gradients of input, scale and shift, and running statistics.
    fn run(
        input: &TensorData,
        (views, rectified): (usize, bool),
        reduced: Option<FloatDType>,
        device: &Device,
    ) -> [Vec<f32>; 6] {
        let device = device.clone().autodiff();
        let [_, channels, _, _] = input.shape().dims();
        let norm = BatchNorm::new(channels, &device);
        let norm = BatchNorm {
            gamma: Param::from_tensor(Tensor::full([channels], 1.5, &device)),
            beta: Param::from_tensor(Tensor::full([channels], 0.25, &device)),
            ..norm
        };
        let input = Tensor::<4>::from_data(input.clone(), &device).require_grad();
        let own = match reduced {
            Some(reduced) => input.clone().cast(reduced),
            None => input.clone(),
        };
        assert_eq!(applies(&own), !crate::device::is_cpu(&device));
        let output = norm.forward_views(own, views, rectified, reduced);
        let output = output.cast(FloatDType::F32);
        // Weights that differ from value to value.
        let weights = (output.clone().detach() * 3.0 + input.clone().detach()).sin();
        let gradients = (output.clone() * weights).sum().backward();
        let values = |tensor: TensorData| tensor.try_to_vec::<f32>().expect("float32");
        let gradient_of = |tensor: Option<TensorData>| values(tensor.expect("a gradient"));
        [
            values(output.into_data()),
            gradient_of(input.grad(&gradients).map(|tensor| tensor.into_data())),
            gradient_of(
                norm.gamma
                    .val()
                    .grad(&gradients)
                    .map(|tensor| tensor.into_data()),
            ),
            gradient_of(
                norm.beta
                    .val()
                    .grad(&gradients)
                    .map(|tensor| tensor.into_data()),
            ),
            values(norm.running_mean.value_sync().into_data()),
            values(norm.running_var.value_sync().into_data()),
        ]
    }

    #[test]
    fn it_is_that_of_the_cpu_for_every_shape() {
        let name = std::env::var("AET_TEST_DEVICE").unwrap_or("wgpu".into());
        let device = match name.parse::<DeviceName>().map(|name| name.open()) {
            Ok(Ok(device)) => device,
            other => {
                println!("skipped: {other:?}");
                return;
            }
        };
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for (shape, views, rectified) in [
            ([4, 8, 5, 3], 2, true),
            ([6, 5, 3, 2], 3, true),
            ([4, 6, 40, 40], 1, false),
            ([8, 12, 1, 1], 2, true),
            ([6, 1, 1, 7], 1, false),
            ([2, 3, 1, 1], 2, false),
        ] {
            let count = shape.iter().product();
            // Far from 0, as sums of squares would suffer from that.
            let values: Vec<f32> = (0..count).map(|_| rng.random_range(9.0..11.0)).collect();
            let input = TensorData::new(values, shape);
            let float16 = Precision::Float16
                .is_there(&device)
                .then_some(FloatDType::F16);
            for reduced in [None].into_iter().chain(float16.map(Some)) {
                let task = (views, rectified);
                let expected = run(&input, task, reduced, &Device::flex());
                let found = run(&input, task, reduced, &device);
                let tolerance = if reduced.is_some() { 2e-2 } else { 2e-4 };
                for (what, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    assert_eq!(found.len(), expected.len());
                    // Gradients of scales are sums of values of about 1.
                    let largest = expected.iter().fold(1.0_f32, |most, v| most.max(v.abs()));
                    for (found, expected) in found.iter().zip(expected) {
                        assert!(
                            (found - expected).abs() < tolerance * largest,
                            "{shape:?}, {reduced:?}, number {what}: {found} for {expected}"
                        );
                    }
                }
            }
        }
    }
}
