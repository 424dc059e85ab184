//! Batch normalisation as PyTorch does it (Ioffe and Szegedy 2015): the running variance is the
//! unbiased one, which Burn's own layer does not keep, and evaluation mode uses the running
//! statistics.

use burn::module::{Module, Param, RunningState};
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};

/// Added to the variance before the square root, as in PyTorch.
const EPSILON: f64 = 1e-5;
/// Weight of a new batch in the running statistics, as in PyTorch.
const MOMENTUM: f64 = 0.1;

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
        let [batch, _, height, width] = input.dims();
        let result = batch_norm_train(input, self.gamma.val(), self.beta.val(), EPSILON);
        self.follow(result.mean, result.variance, batch * height * width);
        result.output
    }

    /// [`forward`](Self::forward) for a batch of `views` equal parts, one after the other: in training
    /// each is normalised with its own statistics, and moves the running ones in its turn.
    pub(super) fn forward_views(&self, input: Tensor<4>, views: usize) -> Tensor<4> {
        if views == 1 || !input.device().is_autodiff() {
            return self.forward(input);
        }
        let parts = input.chunk(views, 0).into_iter();
        Tensor::cat(parts.map(|part| self.forward(part)).collect(), 0)
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

/// Moves a running statistic towards that of the batch, times `correction`.
fn blend(running: &RunningState<Tensor<1>>, batch: Tensor<1>, correction: f64) {
    let old = running.value_sync().mul_scalar(1.0 - MOMENTUM);
    let new = batch.detach().mul_scalar(MOMENTUM * correction);
    running.update((old + new).detach());
    // An update is only noted until the next reading; a checkpoint in between has to hold it.
    running.value_sync();
}
