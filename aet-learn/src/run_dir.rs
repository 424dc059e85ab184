//! The run directory: what a run was asked to do (`run.toml`), what it measured
//! (`metrics.jsonl`), where it stands (`checkpoints/`), and its product (`encoder.safetensors`).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use aet_data::Skipped;
use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::backbone::Encoder;
use crate::checkpoint::{self, Progress, TrainState};
use crate::config::{Experiment, ExperimentConfig, name_default_kinds};
use crate::data::Datasets;
use crate::error::LearnError;
use crate::generator::GENERATOR_FILE;
use crate::model::{Model, fresh_model};
use crate::state::{named_tensors, read_safetensors, to_safetensors, with_named_tensors};

/// Lists the images that a run left out.
pub const SKIPPED_FILE: &str = "skipped.jsonl";

/// Where a run came from; kept beside its experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunInfo {
    /// The preset that it started from.
    pub preset: String,
    /// Version and source revision of the program.
    pub revision: String,
    /// The device that it was started on.
    pub device: String,
    /// When it was started, in seconds since 1970.
    pub started: u64,
    /// Height and width of the images as trained on, in pixels.
    pub image_size: [usize; 2],
}

/// The contents of `run.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunFile {
    run: RunInfo,
    experiment: ExperimentConfig,
}

/// An open run directory.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    info: RunInfo,
    experiment: Experiment,
}

/// Held while a process writes to a run; letting go of it unlocks the run.
#[derive(Debug)]
pub struct RunLock(#[allow(dead_code)] File);

impl RunDirectory {
    /// Makes the folder `path` for a new run.
    ///
    /// # Errors
    /// When there is a run in it already, its encoder or objective cannot take images of that size or
    /// the window of them, or the disk refuses.
    pub fn create(path: &Path, experiment: &Experiment, info: RunInfo) -> Result<Self, LearnError> {
        experiment.backbone.check_image_size(info.image_size)?;
        experiment.objective.check_image_size(info.image_size)?;
        experiment.check_window(info.image_size)?;
        let run = Self {
            path: path.to_path_buf(),
            info,
            experiment: experiment.clone(),
        };
        if run.file("run.toml").exists() {
            return Err(
                run.refuse("is there already; continue it with --resume or give another --name")
            );
        }
        fs::create_dir_all(run.checkpoints())
            .map_err(|e| LearnError::io("create", &run.checkpoints(), e))?;
        let file = RunFile {
            run: run.info.clone(),
            experiment: experiment.clone().into_config(),
        };
        let text = toml::to_string(&file).map_err(|error| run.refuse(&error.to_string()))?;
        checkpoint::replace(&run.file("run.toml"), text.as_bytes())?;
        Ok(run)
    }

    /// Opens the run at `path`.
    ///
    /// # Errors
    /// When there is no run, or its `run.toml` is damaged.
    pub fn open(path: &Path) -> Result<Self, LearnError> {
        let file = path.join("run.toml");
        if !file.exists() {
            return Err(LearnError::Run {
                path: path.to_path_buf(),
                message: "there is no run here (no run.toml)".into(),
            });
        }
        let text = fs::read_to_string(&file).map_err(|e| LearnError::io("read", &file, e))?;
        let damaged = |error: toml::de::Error| LearnError::Damaged {
            path: file.clone(),
            message: error.message().to_string(),
        };
        let mut table: toml::Table = text.parse().map_err(damaged)?;
        if let Some(toml::Value::Table(experiment)) = table.get_mut("experiment") {
            name_default_kinds(experiment);
        }
        let RunFile { run, experiment } = table.try_into().map_err(damaged)?;
        Ok(Self {
            path: path.to_path_buf(),
            info: run,
            experiment: experiment.resolve()?,
        })
    }

    /// Keeps other processes out of the run until the lock is let go of, also by a crash.
    ///
    /// # Errors
    /// When another process holds it.
    pub fn lock(&self) -> Result<RunLock, LearnError> {
        let path = self.file("lock");
        let file = File::create(&path).map_err(|e| LearnError::io("create", &path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(RunLock(file)),
            Err(TryLockError::WouldBlock) => {
                Err(self.refuse("another process is working on it; wait for it or stop it"))
            }
            Err(TryLockError::Error(e)) => Err(LearnError::io("lock", &path, e)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Where it came from.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// What it computes.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Whether the run has done all its epochs.
    ///
    /// # Errors
    /// When the newest checkpoint cannot be read.
    pub fn is_finished(&self) -> Result<bool, LearnError> {
        let done = self
            .progress()?
            .is_some_and(|p| p.epoch >= self.experiment.training.epochs);
        Ok(done && self.file("encoder.safetensors").exists())
    }

    /// Where the newest checkpoint stands.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn progress(&self) -> Result<Option<Progress>, LearnError> {
        match checkpoint::list(&self.checkpoints())?.last() {
            Some(place) => checkpoint::read_progress(place).map(Some),
            None => Ok(None),
        }
    }

    /// Everything that was logged, in order.
    ///
    /// # Errors
    /// When the file cannot be read, or a line before the last is not JSON.
    pub fn metrics(&self) -> Result<Vec<Value>, LearnError> {
        let lines = self.metric_lines()?;
        Ok(lines.into_iter().map(|(_, record)| record).collect())
    }

    /// Everything that was logged, each as it is written and as it is read.
    fn metric_lines(&self) -> Result<Vec<(String, Value)>, LearnError> {
        let path = self.file("metrics.jsonl");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).map_err(|e| LearnError::io("read", &path, e))?;
        let mut records = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(record) => records.push((line.to_string(), record)),
                // A crash can leave the last line half written.
                Err(_) if index + 1 == text.lines().count() => break,
                Err(error) => {
                    return Err(LearnError::Damaged {
                        path,
                        message: format!("line {}: {error}", index + 1),
                    });
                }
            }
        }
        Ok(records)
    }

    /// Adds a record to `metrics.jsonl`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn log(&self, record: &Value) -> Result<(), LearnError> {
        let path = self.file("metrics.jsonl");
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{record}\n").as_bytes()))
            .map_err(|e| LearnError::io("write", &path, e))
    }

    /// Writes `skipped.jsonl`, a line for every image that was left out: its split, its index in it,
    /// and what is wrong with it. There is no file where none was.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_skipped(&self, datasets: &Datasets) -> Result<(), LearnError> {
        let mut lines = String::new();
        for (split, log) in datasets.skips() {
            for Skipped { index, error } in log.list() {
                let line = json!({ "split": split, "index": index, "error": error });
                lines.push_str(&format!("{line}\n"));
            }
        }
        match lines.is_empty() {
            true => Ok(()),
            false => checkpoint::replace(&self.file(SKIPPED_FILE), lines.as_bytes()),
        }
    }

    /// Drops the records of steps after `step`, which a resumed run does again. The others stay as
    /// they are written: numbers that are read and written again can change in their last digit.
    pub(crate) fn rewind_metrics(&self, step: u64) -> Result<(), LearnError> {
        let kept: String = self
            .metric_lines()?
            .into_iter()
            .filter(|(_, record)| record["step"].as_u64().is_some_and(|at| at <= step))
            .map(|(line, _)| format!("{line}\n"))
            .collect();
        checkpoint::replace(&self.file("metrics.jsonl"), kept.as_bytes())
    }

    /// Writes the products: `encoder.safetensors`, the encoder's weights and running statistics, with
    /// what is needed to build and feed it in the header; and `generator.safetensors` where the
    /// objective has a local generator, trained in this run or before.
    pub(crate) fn save_products(&self, model: &Model) -> Result<(), LearnError> {
        if let Some(generator) = model.objective.generator() {
            checkpoint::replace(&self.file(GENERATOR_FILE), &generator.to_bytes()?)?;
        }
        let description = json!({
            "format": "aet encoder 1",
            "backbone": self.experiment.backbone,
            "normalisation": self.experiment.data.normalisation,
            "image_size": self.info.image_size,
        });
        let bytes = to_safetensors(
            &named_tensors(&model.encoder),
            Some(description.to_string()),
        )?;
        checkpoint::replace(&self.file("encoder.safetensors"), &bytes)
    }

    /// The trained encoder and decoder, frozen: from the newest checkpoint.
    ///
    /// # Errors
    /// When there is no checkpoint yet, or it is damaged.
    pub fn load_model(&self, device: &Device) -> Result<Model, LearnError> {
        let device = device.clone().autodiff();
        let fresh = TrainState {
            model: fresh_model(&self.experiment, self.info.image_size, &device)?,
            optimizer: self.experiment.optimizer.init(),
            progress: Progress::default(),
        };
        match checkpoint::list(&self.checkpoints())?.last() {
            Some(place) => Ok(checkpoint::load(place, fresh)?.model.valid()),
            None => Err(self.refuse("there is no checkpoint in it yet")),
        }
    }

    /// The trained encoder, frozen, off autodiff: the product, or where the run is not finished the
    /// newest checkpoint.
    ///
    /// # Errors
    /// When there is neither, or it is damaged.
    pub fn load_encoder(&self, device: &Device) -> Result<Encoder, LearnError> {
        let product = self.file("encoder.safetensors");
        if !product.exists() {
            return Ok(self.load_model(device)?.encoder);
        }
        let encoder = self.random_encoder(device);
        with_named_tensors(encoder, &read_safetensors(&product)?)
    }

    /// The same network with the random weights that training started from, frozen.
    pub fn random_encoder(&self, device: &Device) -> Encoder {
        self.experiment
            .backbone
            .init(self.experiment.seed, &device.clone().without_autodiff())
    }

    fn refuse(&self, message: &str) -> LearnError {
        LearnError::Run {
            path: self.path.clone(),
            message: message.into(),
        }
    }
}
