//! One update of the weights: each player of the objective moves what is its own, against gradients
//! that are added up over parts of the batch. Parts of one turn are worked on at the same time by
//! replicas of the model on several devices (data parallelism), turns follow each other (gradient
//! accumulation). Weights and the optimiser's state are on the first device; the others are given the
//! weights for each step, and their gradients are moved to the first one and added in the order of the
//! devices, so that a step does not depend on which of them is faster.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};

use crate::batch::Batch;
use crate::model::Model;
use crate::objective::{ObjectiveOutput, Player};
use crate::precision::LossScale;
use crate::replica;

/// Updates `model` at learning rate `rate` from the parts of a batch, which are as long as each other:
/// for each turn one part a device, the model's own first. Where `sharing`, batch normalisation takes
/// its statistics over the parts of a turn, else over each part. With a loss scale, a player whose
/// gradients are not all finite does not move. Gives the means over the parts of what each player was
/// told, off the gradient.
///
/// # Panics
/// When there is no part.
pub fn update(
    model: &mut Model,
    optimizer: &mut ModuleOptimizer,
    rate: f64,
    turns: &[Vec<Batch>],
    sharing: bool,
    loss_scale: &mut Option<LossScale>,
) -> Vec<ObjectiveOutput> {
    let players = model.objective.players(&model.encoder);
    let factor = loss_scale.as_ref().map(|scale| scale.factor);
    let mut all_finite = true;
    let mut outputs = Vec::with_capacity(players.len());
    for (place, player) in players.into_iter().enumerate() {
        let replicas = replicas_of(model, &turns[0]);
        let mut gradients = GradientsAccumulator::new();
        let mut of_parts = Vec::new();
        for parts in turns {
            let found = replica::run(parts.len(), sharing, |number| {
                let replica = &replicas[number];
                replica
                    .objective
                    .player_loss(place, &replica.encoder, &parts[number])
            });
            let share = factor.unwrap_or(1.0) / (turns.len() * parts.len()) as f64;
            add_gradients(&mut gradients, &found, share, &replicas, &player);
            of_parts.extend(found.into_iter().map(without_autodiff));
        }
        let home = of_parts[0].loss.device();
        let gradients = match loss_scale {
            Some(scale) => scale.unscaled(gradients.grads(), model),
            None => Some(gradients.grads()),
        };
        match gradients {
            Some(gradients) => {
                *model = optimizer.step(rate * player.rate, model.clone(), gradients);
            }
            None => all_finite = false,
        }
        let here = of_parts.into_iter().map(|output| output.moved_to(&home));
        outputs.push(mean(here.collect()));
    }
    if let Some(scale) = loss_scale {
        scale.follow(all_finite);
    }
    outputs
}

/// The model on the device of each part; on the first it is the model itself, whose running statistics
/// follow. (A fork by itself shares its running statistics with what it is a fork of; what comes back
/// from validation has its own.)
fn replicas_of(model: &Model, parts: &[Batch]) -> Vec<Model> {
    let others = parts[1..].iter();
    let others = others.map(|part| model.valid().train().fork(&part.target.device().autodiff()));
    std::iter::once(model.clone()).chain(others).collect()
}

/// Adds the gradients of `share` of the losses that `outputs` tell of.
fn add_gradients(
    sum: &mut GradientsAccumulator<Model>,
    outputs: &[ObjectiveOutput],
    share: f64,
    replicas: &[Model],
    player: &Player,
) {
    let home = outputs[0].loss.device();
    let losses = outputs.iter();
    let losses = losses.map(|output| output.loss.clone().to_device(&home));
    let Some(loss) = losses.reduce(|sum, next| sum + next) else {
        return;
    };
    let mut gradients = times(loss, share).backward();
    for replica in replicas {
        let its = match &player.parameters {
            None => GradientsParams::from_module(&mut gradients, replica),
            Some(own) => GradientsParams::from_params(&mut gradients, replica, own),
        };
        let its = match replicas.len() {
            1 => its,
            _ => its.to_device(&home.clone().without_autodiff(), replica),
        };
        sum.accumulate(replica, its);
    }
}

/// `value` times `factor`; as it is where that changes nothing.
fn times(value: Tensor<1>, factor: f64) -> Tensor<1> {
    match factor {
        1.0 => value,
        _ => value * factor,
    }
}

impl ObjectiveOutput {
    /// The figures on `device`.
    fn moved_to(self, device: &Device) -> Self {
        let parts = self.parts.into_iter();
        Self {
            loss: self.loss.to_device(device),
            parts: parts
                .map(|(name, value)| (name, value.to_device(device)))
                .collect(),
        }
    }
}

/// The figures without what they were made from.
fn without_autodiff(output: ObjectiveOutput) -> ObjectiveOutput {
    let parts = output.parts.into_iter();
    ObjectiveOutput {
        loss: output.loss.without_autodiff(),
        parts: parts
            .map(|(name, value)| (name, value.without_autodiff()))
            .collect(),
    }
}

/// The mean of each figure; the outputs have the same ones.
fn mean(outputs: Vec<ObjectiveOutput>) -> ObjectiveOutput {
    let share = 1.0 / outputs.len() as f64;
    let sum = outputs.into_iter().reduce(|sum, next| ObjectiveOutput {
        loss: sum.loss + next.loss,
        parts: (sum.parts.into_iter().zip(next.parts))
            .map(|((name, value), (_, next))| (name, value + next))
            .collect(),
    });
    let sum = sum.expect("a batch has at least one part");
    ObjectiveOutput {
        loss: times(sum.loss, share),
        parts: (sum.parts.into_iter())
            .map(|(name, value)| (name, times(value, share)))
            .collect(),
    }
}
