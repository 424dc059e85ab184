//! What a checkpoint holds beside the weights.

use std::path::{Path, PathBuf};

use aet_learn::Device;
use aet_learn::checkpoint::{self, Progress, TrainState};
use aet_learn::model::fresh_model;
use aet_learn::state::named_tensors;

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

/// `optimizer.bpk`. It changes no weight.
pub(crate) fn optimizer(input: &[u8]) {
    static PLACE: Place = Place::new(furnish_checkpoint);
    PLACE.with(|folder| {
        let run = opened(folder);
        put(&place(folder).join("optimizer.bpk"), Some(input));
        if let Ok(model) = told(run.load_model(&Device::flex())) {
            let path = place(folder).join("model.safetensors");
            let weights = told(aet_learn::state::read_safetensors(&path));
            same(&weights, &Ok(named_tensors(&model)));
        }
    });
}

/// The checkpoint in the run at `folder`.
fn place(folder: &Path) -> PathBuf {
    folder.join("checkpoints").join("0000000000")
}

/// Makes `folder` a run with a checkpoint of before the first step.
fn furnish_checkpoint(folder: &Path) {
    furnish(folder);
    let run = opened(folder);
    let experiment = run.experiment();
    let device = Device::flex().autodiff();
    let model = fresh_model(experiment, run.info().image_size, &device);
    let state = TrainState {
        model: model.expect("the small model can be made"),
        optimizer: experiment.optimizer.init(),
        progress: Progress::default(),
    };
    let saved = checkpoint::save(&run.checkpoints(), &state, 1);
    assert_eq!(saved.expect("a checkpoint can be saved"), place(folder));
}
