//! What a checkpoint holds beside the weights.

use std::path::{Path, PathBuf};

use aet_learn::Device;
use aet_learn::backbone::Encoder;
use aet_learn::checkpoint::{self, Progress, TrainState};
use aet_learn::state::{named_tensors, read_safetensors};

use crate::claims::{same, told};
use crate::parts::put;
use crate::place::Place;
use crate::runs::{furnish, opened};

/// `progress.json`. What is written again is read as the same.
pub(crate) fn progress(input: &[u8]) {
    static PLACE: Place = Place::empty();
    PLACE.with(|folder| {
        let path = folder.join("progress.json");
        put(&path, Some(input));
        let Ok(read) = told(checkpoint::read_progress(folder)) else {
            return;
        };
        let written = serde_json::to_vec(&read).expect("memory takes all that is written");
        put(&path, Some(&written));
        // In words, since a sum that is no number is not equal to itself.
        let words = |progress: &Progress| format!("{progress:?}");
        let again = told(checkpoint::read_progress(folder)).map(|progress| words(&progress));
        same(&Ok(words(&read)), &again);
    });
}

/// `optimizer.bpk`, beside the weights of an encoder. It changes none of them, and what is written
/// again can be read. (It has the tensors in another order then, and gaps of other lengths.)
pub(crate) fn optimizer(input: &[u8]) {
    static PLACE: Place = Place::new(furnish_checkpoint);
    PLACE.with(|folder| {
        let place = place(folder);
        put(&place.join("optimizer.bpk"), Some(input));
        let load = || told(checkpoint::load(&place, fresh(folder)));
        let Ok(read) = load() else { return };
        let weights = told(read_safetensors(&place.join("model.safetensors")));
        same(&weights, &Ok(named_tensors(&read.model)));
        let written = told(read.optimizer.into_bytes()).expect("a state can be written");
        put(&place.join("optimizer.bpk"), Some(&written));
        load().expect("a state that was written can be read");
    });
}

/// The checkpoint in the run at `folder`.
fn place(folder: &Path) -> PathBuf {
    folder.join("checkpoints").join("0000000000")
}

/// An encoder and an optimiser before the first step, for the run at `folder`.
fn fresh(folder: &Path) -> TrainState<Encoder> {
    let run = opened(folder);
    let experiment = run.experiment();
    TrainState {
        model: experiment.backbone.init(experiment.seed, &Device::flex()),
        optimizer: experiment.optimizer.init(),
        progress: Progress::default(),
    }
}

/// Makes `folder` a run with a checkpoint of before the first step.
fn furnish_checkpoint(folder: &Path) {
    furnish(folder);
    let saved = checkpoint::save(&folder.join("checkpoints"), &fresh(folder), 1);
    assert_eq!(saved.expect("a checkpoint can be saved"), place(folder));
}
