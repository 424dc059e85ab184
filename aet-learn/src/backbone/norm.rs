//! Batch normalisation as PyTorch does it (Ioffe and Szegedy 2015): the running variance is the
//! unbiased one, which Burn's own layer does not keep, and evaluation mode uses the running
//! statistics.

use burn::module::{Module, Param, RunningState};
use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, FloatDType, Tensor};

use crate::replica;

/// Added to the variance before the square root, as in PyTorch.
pub(super) const EPSILON: f64 = 1e-5;
/// Weight of a new batch in the running statistics, as in PyTorch.
pub(super) const MOMENTUM: f64 = 0.1;

/// Batch normalisation over `[batch, channels, height, width]`, per channel.
///
/// On an autodiff device it normalises with the statistics of the batch and updates the running
/// ones; off it, it uses the running ones and changes nothing.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub beta: Param<Tensor<1>>,
    /// Running mean, `[channels]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Running unbiased variance, `[channels]`.
    pub running_var: RunningState<Tensor<1>>,
}

impl BatchNorm {
    /// Scale 1, shift 0, running statistics of a standard normal.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            gamma: Param::from_tensor(Tensor::ones([channels], device)),
            beta: Param::from_tensor(Tensor::zeros([channels], device)),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
        }
    }

    /// Normalises `[batch, channels, height, width]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        if !input.device().is_autodiff() {
            return batch_norm(
                input,
                self.gamma.val(),
                self.beta.val(),
                self.running_mean.value_sync(),
                self.running_var.value_sync(),
                EPSILON,
            );
        }
        if replica::is_sharing() {
            return self.synchronised(input);
        }
        let [batch, _, height, width] = input.dims();
        let result = batch_norm_train(input, self.gamma.val(), self.beta.val(), EPSILON);
        self.follow(result.mean, result.variance, batch * height * width);
        result.output
    }

    /// Normalises with the statistics of the whole batch, of which every replica has an equal part.
    fn synchronised(&self, input: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = input.dims();
        let device = input.device();
        let by_channel = input.clone().swap_dims(0, 1);
        let by_channel: Tensor<2> = by_channel.reshape([channels, batch * height * width]);
        let (variance, mean) = by_channel.var_mean_bias(1);
        let flat = |value: Tensor<2>| value.reshape([channels]);
        let own = Tensor::cat(vec![flat(mean), flat(variance)], 0);
        let all: Vec<Tensor<1>> = replica::exchange(own)
            .into_iter()
            .map(|statistics| statistics.to_device(&device))
            .collect();
        let count = all.len();
        let part = |statistics: &Tensor<1>, start| statistics.clone().narrow(0, start, channels);
        let mean_of = |parts: Vec<Tensor<1>>| {
            let sum = parts.into_iter().reduce(|sum, next| sum + next);
            sum.map(|sum| sum / count as f64)
        };
        let means: Vec<_> = all.iter().map(|own| part(own, 0)).collect();
        let mean = mean_of(means.clone()).expect("at least one replica");
        let squares = all.iter().zip(means).map(|(own, its)| {
            let away = its - mean.clone();
            part(own, channels) + away.clone() * away
        });
        let variance = mean_of(squares.collect()).expect("at least one replica");
        let everywhere = |value: Tensor<1>| value.reshape([1, channels, 1, 1]);
        let scale = (variance.clone() + EPSILON).sqrt().recip() * self.gamma.val();
        let output =
            (input - everywhere(mean.clone())) * everywhere(scale) + everywhere(self.beta.val());
        self.follow(mean, variance, count * batch * height * width);
        output
    }

    /// [`forward`](Self::forward) for a batch of `views` equal parts, one after the other, with a ReLU
    /// after it if `rectified`: in training each part is normalised with its own statistics, and moves
    /// the running ones in its turn. Where there is a `reduced` type, values come and go in it.
    pub(super) fn forward_views(
        &self,
        input: Tensor<4>,
        views: usize,
        rectified: bool,
        reduced: Option<FloatDType>,
    ) -> Tensor<4> {
        #[cfg(feature = "cube")]
        if super::device_norm::applies(&input) {
            return super::device_norm::forward(self, input, views, rectified);
        }
        let input = match reduced {
            Some(_) => input.cast(FloatDType::F32),
            None => input,
        };
        let output = if views == 1 || !input.device().is_autodiff() {
            self.forward(input)
        } else {
            let parts = input.chunk(views, 0).into_iter();
            Tensor::cat(parts.map(|part| self.forward(part)).collect(), 0)
        };
        let output = match reduced {
            Some(reduced) => output.cast(reduced),
            None => output,
        };
        if rectified { relu(output) } else { output }
    }

    /// Moves the running statistics towards the mean and the biased variance, `[channels]`, of a
    /// batch with `count` values for each channel.
    pub(super) fn follow(&self, mean: Tensor<1>, variance: Tensor<1>, count: usize) {
        let count = count as f64;
        let unbiased = count / (count - 1.0).max(1.0);
        blend(&self.running_mean, mean, 1.0);
        blend(&self.running_var, variance, unbiased);
    }
}

/// Moves a running statistic towards that of a batch times `correction`.
fn blend(running: &RunningState<Tensor<1>>, batch: Tensor<1>, correction: f64) {
    let old = running.value_sync();
    let moved = old.mul_scalar(1.0 - MOMENTUM) + batch.detach().mul_scalar(MOMENTUM * correction);
    set_running(running, moved);
}

/// Sets a running statistic.
pub(super) fn set_running(running: &RunningState<Tensor<1>>, value: Tensor<1>) {
    running.update(value.detach());
    // An update is only noted until the next reading; a checkpoint in between has to hold it.
    running.value_sync();
}
