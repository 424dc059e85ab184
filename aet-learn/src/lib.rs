//! Encoders, objectives, the training loop, checkpoints, embedding and probes.
//!
//! The straight line through this crate: a [`config::Experiment`] opens its images
//! ([`data::Datasets`]) and its run directory ([`run_dir::RunDirectory`]); [`train::train`] moves
//! batches ([`batch`]) through the encoder ([`backbone`]) and the objective ([`objective`]) and
//! writes checkpoints ([`checkpoint`]); [`embed`] reads frozen features and [`probe`] judges them.

pub mod backbone;
pub mod batch;
pub mod border;
pub mod checkpoint;
pub mod config;
pub mod data;
mod deconvolution;
pub mod device;
pub mod embed;
pub mod error;
pub mod evaluate;
pub mod generator;
pub mod matrix;
pub mod memory;
pub mod model;
pub mod objective;
pub mod optim;
pub mod pooling;
pub mod precision;
pub mod probe;
pub mod protocol;
pub mod rate;
pub mod recovery;
mod replica;
pub mod resident;
pub mod run_dir;
pub mod schedule;
#[cfg(feature = "remote")]
pub mod serve;
pub mod shortcuts;
pub mod state;
pub mod statistics;
pub mod step;
pub mod train;
pub mod transform;

pub use aet_kernels::{peak, simd};
pub use burn::tensor::Device;
pub use error::{ConfigError, LearnError};
