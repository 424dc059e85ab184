//! `aet pretrain`: trains an encoder, judges it beside a random one, and writes the report.

use clap::Args;

use super::training::{Trainer, TrainingArgs, run as train};
use crate::preset::DEFAULT;

/// Pretrain an encoder and show what it learnt
///
/// Takes a preset (`smoke` unless told otherwise), then the keys of a file given by --config, then
/// those given by --set; the later one wins. The run goes to a folder of its own: its configuration
/// (run.toml), what it measured (metrics.jsonl), checkpoints, the encoder (encoder.safetensors) and
/// a report (report.html).
///
/// Ctrl-C stops after a checkpoint; --resume goes on as if nothing had happened.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet pretrain                                     preset `smoke` on generated shapes
  aet pretrain photos/ --set data.image_size=[64,64] --epochs 20
  aet pretrain cifar10/ --preset cifar10-nin-projective-cpu --name check
  aet pretrain --set transformation.kind=affine --set backbone.width=0.5
  aet pretrain --set objective.kind=rotnet         another pretext task; `aet list` names them
  aet pretrain --set 'objective={kind=\"generated\",generator=\"runs/generator\"}'
                                                   with the generator of `aet train-generator`
  aet pretrain --resume --name check               goes on after an interruption

`aet list` shows the presets; run.toml of any run shows every key.")]
pub struct PretrainArgs {
    #[command(flatten)]
    training: TrainingArgs,
}

/// Trains and judges an encoder.
///
/// # Errors
/// When the request cannot be met, the images cannot be read, training fails or the disk refuses.
pub fn run(args: PretrainArgs) -> anyhow::Result<()> {
    let trainer = Trainer {
        command: "pretrain",
        preset: DEFAULT,
        accepts: |_| Ok(()),
    };
    train(trainer, args.training)
}
