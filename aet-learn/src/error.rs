//! The errors of this crate: [`ConfigError`] for what a user asked for and cannot be had,
//! [`LearnError`] for what goes wrong while working.

use std::path::{Path, PathBuf};

use aet_data::DataError;
use thiserror::Error;

/// An experiment that cannot be run as it is written.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A value outside its range.
    #[error("{key} = {value} is impossible: it has to be {range}")]
    Range {
        /// The key, as it is written in TOML and after `--set`.
        key: &'static str,
        /// The values that are possible, in words.
        range: &'static str,
        /// The value that was found.
        value: String,
    },
    /// A name that stands for nothing.
    #[error("{key} = \"{value}\" is not known; known are {known}")]
    Unknown {
        /// The key.
        key: &'static str,
        /// The value that was found.
        value: String,
        /// The names that are known.
        known: String,
    },
    /// A precision that a device cannot calculate in.
    #[error("training.precision = \"{precision}\" cannot be had on this device, which has {there}")]
    Precision {
        /// The one that was asked for.
        precision: &'static str,
        /// Those that are there.
        there: String,
    },
    /// TOML that cannot be read, an unknown key, or a value of the wrong type.
    #[error("{origin}: {message}")]
    Toml {
        /// Where the text came from: a preset, a file, or `--set`.
        origin: String,
        /// What the parser says, in one line.
        message: String,
    },
    /// Values that the data path refuses.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A transformation family whose ranges cannot be.
    #[error("transformation: {source}")]
    Family {
        /// What the family says.
        #[from]
        source: aet_geometry::FamilyError,
    },
}

impl ConfigError {
    /// A value outside its range.
    pub fn range(key: &'static str, range: &'static str, value: impl ToString) -> Self {
        Self::Range {
            key,
            range,
            value: value.to_string(),
        }
    }

    /// Refuses a number that is not above 0, or not finite.
    pub(crate) fn check_above_zero(key: &'static str, value: f64) -> Result<(), Self> {
        match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(Self::range(key, "above 0", value)),
        }
    }

    /// Refuses a number that is less than 0, or not finite.
    pub(crate) fn check_at_least_zero(key: &'static str, value: f64) -> Result<(), Self> {
        match value >= 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(Self::range(key, "at least 0", value)),
        }
    }
}

/// Something that went wrong while training, saving, loading or probing.
#[derive(Debug, Error)]
pub enum LearnError {
    /// The experiment cannot be run as it is written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The images could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried: "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file of a run that does not say what it should.
    #[error("{path} is damaged: {message}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// Weights that do not fit the network.
    #[error("weights do not fit the network: {message}")]
    Weights {
        /// Which tensor, and how it differs.
        message: String,
    },
    /// A run directory that cannot be used as asked.
    #[error("run {path}: {message}", path = path.display())]
    Run {
        /// The run directory.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The loss is no longer a number.
    #[error("the loss became {loss} at step {step}; a lower learning rate usually helps")]
    Diverged {
        /// The value.
        loss: f64,
        /// The step, counted from 0 over the run.
        step: u64,
    },
    /// A device that is not there.
    #[error("no device {device}: {message}")]
    NoDevice {
        /// Its name.
        device: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A server of devices that cannot go on.
    #[error("cannot serve: {message}")]
    Serve {
        /// Why.
        message: String,
    },
    /// A probe that cannot be run on this data.
    #[error("{message}")]
    Probe {
        /// What is missing, and what to do.
        message: String,
    },
}

impl LearnError {
    /// A failed file operation.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}
