//! Checkpoints: everything that a run needs to go on as if it had never stopped. A checkpoint is a
//! folder, written under a temporary name, flushed, then renamed, so that a crash at any instant
//! leaves the last good one.

use std::fs::{self, File};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::LearnError;
use crate::precision::LossScale;
use crate::state::{named_tensors, read_safetensors, to_safetensors, with_named_tensors};

/// Where a run stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps that are done, over the whole run; it fixes the schedule's position.
    pub step: u64,
    /// The epoch that is under way, counted from 0.
    pub epoch: u64,
    /// Steps that are done in it; it fixes the position in the data order.
    pub step_in_epoch: u64,
    /// Sum of the losses of those steps.
    #[serde(serialize_with = "write_exact", deserialize_with = "read_exact")]
    pub loss_sum: f64,
    /// Seconds spent training so far.
    pub seconds: f64,
    /// Where loss scaling stands; none where there is none.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
}

/// Writes a number as text, because reading one from JSON may miss its last digit.
fn write_exact<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn read_exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        /// As earlier versions wrote it.
        Number(f64),
    }
    match Written::deserialize(deserializer)? {
        Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Written::Number(number) => Ok(number),
    }
}

/// What a checkpoint holds beside [`Progress`].
pub struct TrainState<M: Module> {
    /// The trained modules, on the training device.
    pub model: M,
    /// The optimiser with its state.
    pub optimizer: ModuleOptimizer,
    /// Where the run stands.
    pub progress: Progress,
}

/// Writes `state` to `folder/<step>` and removes all but the `keep` newest checkpoints.
///
/// # Errors
/// When the disk refuses; the earlier checkpoints are then still there.
pub fn save<M: Module>(
    folder: &Path,
    state: &TrainState<M>,
    keep: usize,
) -> Result<PathBuf, LearnError> {
    let name = format!("{:010}", state.progress.step);
    let (draft, place) = (folder.join(format!(".draft-{name}")), folder.join(name));
    if place.exists() {
        return Ok(place);
    }
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(|e| LearnError::io("remove", &draft, e))?;
    }
    fs::create_dir_all(&draft).map_err(|e| LearnError::io("create", &draft, e))?;
    let weights = to_safetensors(&named_tensors(&state.model), None)?;
    write_flushed(&draft.join("model.safetensors"), &weights)?;
    let optimizer = state.optimizer.into_bytes().map_err(|error| {
        let message = error.to_string();
        LearnError::Weights { message }
    })?;
    write_flushed(&draft.join("optimizer.bpk"), &optimizer)?;
    let progress = serde_json::to_vec_pretty(&state.progress)
        .map_err(|e| LearnError::io("write", &draft, e.into()))?;
    write_flushed(&draft.join("progress.json"), &progress)?;
    flush_folder(&draft)?;
    fs::rename(&draft, &place).map_err(|e| LearnError::io("rename", &draft, e))?;
    flush_folder(folder)?;
    let all = list(folder)?;
    for old in &all[..all.len().saturating_sub(keep)] {
        fs::remove_dir_all(old).map_err(|e| LearnError::io("remove", old, e))?;
    }
    Ok(place)
}

/// The checkpoints in `folder`, oldest first.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, LearnError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(|e| LearnError::io("read", folder, e))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| LearnError::io("read", folder, e))?;
        let name = entry.file_name();
        if name.to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the checkpoint at `place` into `fresh`, a state as at the start of a run.
///
/// # Errors
/// When a file is missing or damaged, or the weights do not fit.
pub fn load<M: Module>(place: &Path, fresh: TrainState<M>) -> Result<TrainState<M>, LearnError> {
    let path = place.join("model.safetensors");
    let model = with_named_tensors(fresh.model, &read_safetensors(&path)?)?;
    let path = place.join("optimizer.bpk");
    let bytes = fs::read(&path).map_err(|e| LearnError::io("read", &path, e))?;
    let optimizer = with_state(fresh.optimizer, bytes)
        .map_err(|message| LearnError::Damaged { path, message })?;
    Ok(TrainState {
        model,
        optimizer,
        progress: read_progress(place)?,
    })
}

/// `optimizer` with the state in `bytes`. A tensor in it that belongs to no parameter makes Burn panic
/// (seen at 0.22.1); here, that is damage of the file.
fn with_state(optimizer: ModuleOptimizer, bytes: Vec<u8>) -> Result<ModuleOptimizer, String> {
    let read = || optimizer.from_bytes(Bytes::from_bytes_vec(bytes));
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("a tensor in it belongs to no parameter".to_owned()),
    }
}

/// Where the run stood at the checkpoint at `place`.
///
/// # Errors
/// When the file is missing or damaged.
pub fn read_progress(place: &Path) -> Result<Progress, LearnError> {
    let path = place.join("progress.json");
    let text = fs::read(&path).map_err(|e| LearnError::io("read", &path, e))?;
    serde_json::from_slice(&text).map_err(|error| LearnError::Damaged {
        path,
        message: error.to_string(),
    })
}

/// Writes a file and waits until the disk has it.
pub(crate) fn write_flushed(path: &Path, bytes: &[u8]) -> Result<(), LearnError> {
    File::create(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|e| LearnError::io("write", path, e))
}

/// Replaces a file in one step: written under another name, flushed, renamed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), LearnError> {
    let draft = path.with_extension("draft");
    write_flushed(&draft, bytes)?;
    fs::rename(&draft, path).map_err(|e| LearnError::io("rename", &draft, e))?;
    match path.parent() {
        Some(parent) => flush_folder(parent),
        None => Ok(()),
    }
}

/// Waits until the disk has the names in a folder.
fn flush_folder(folder: &Path) -> Result<(), LearnError> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|e| LearnError::io("flush", folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::Precision;

    #[test]
    fn a_sum_of_losses_is_read_as_it_was_written() {
        let mut sum = 0.1_f64;
        for _ in 0..2000 {
            sum = f64::from_bits(sum.to_bits() + 0x1234_5678_9abc);
            let written = Progress {
                loss_scale: Precision::Float16.loss_scale(),
                loss_sum: sum,
                ..Progress::default()
            };
            let text = serde_json::to_string(&written).unwrap_or_default();
            assert_eq!(serde_json::from_str::<Progress>(&text).ok(), Some(written));
        }
        let earlier = r#"{"step":1,"epoch":0,"step_in_epoch":1,"loss_sum":0.5,"seconds":2.0}"#;
        let read = serde_json::from_str::<Progress>(earlier).map(|p| p.loss_sum);
        assert_eq!(read.ok(), Some(0.5));
    }
}
