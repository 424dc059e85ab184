//! `aet train-generator`: trains the local generator that makes GAN-induced transformations.

use aet_learn::config::Experiment;
use aet_learn::objective::ObjectiveConfig;
use clap::Args;

use super::training::{Trainer, TrainingArgs, run as train};
use crate::failure::usage;

/// Train a local generator G(x, z), for GAN-induced transformations
///
/// The generator makes images around an image x: G(x, 0) is x, and each axis of z moves it in a
/// direction of its own. It is trained against a discriminator, which is the encoder of the run.
/// Takes a preset (`generator` unless told otherwise), then the keys of a file given by --config,
/// then those given by --set; the later one wins. The run goes to a folder of its own, with the
/// generator (generator.safetensors), the discriminator (encoder.safetensors), checkpoints, and a
/// report with a picture of what each axis of z does.
///
/// The weights of locality, G(x, 0) = x, and of orthonormal axes at x are objective.locality and
/// objective.orthonormality; both terms are logged.
///
/// Ctrl-C stops after a checkpoint; --resume goes on as if nothing had happened.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet train-generator                                    preset `generator` on generated shapes
  aet train-generator cifar10/ --preset cifar10-lgan-cpu --name lgan
  aet inspect cifar10/ --run lgan --split test           G(x, z) along each axis of z
  aet pretrain cifar10/ --preset cifar10-nin-projective-cpu \\
      --set 'objective={kind=\"generated\",generator=\"runs/lgan\"}'")]
pub struct TrainGeneratorArgs {
    #[command(flatten)]
    training: TrainingArgs,
}

/// Trains a generator.
///
/// # Errors
/// When the request cannot be met, the images cannot be read, training fails or the disk refuses.
pub fn run(args: TrainGeneratorArgs) -> anyhow::Result<()> {
    let trainer = Trainer {
        command: "train-generator",
        preset: "generator",
        accepts: is_generator,
    };
    train(trainer, args.training)
}

fn is_generator(experiment: &Experiment) -> anyhow::Result<()> {
    match &experiment.objective {
        ObjectiveConfig::Lgan(_) => Ok(()),
        other => Err(usage(format!(
            "objective.kind = \"{}\" trains no generator: it has to be \"lgan\", or the command `aet pretrain`",
            other.name()
        ))),
    }
}
