//! Every parser of aet as a function of any bytes: [`TARGETS`].
//!
//! A target writes its input as a file of a set of images or of a run, opens it as a user of the
//! libraries does, and reads all of it. Whatever the bytes are, that has to end in values or in an
//! error. It must not panic, and more must hold: an error says something, what is read is read
//! again the same, and what is written again reads as the same values.
//!
//! The fuzz targets in `fuzz/` run these functions under libFuzzer, and a test runs them on the
//! inputs in `corpus/`. `docs/fuzzing.md` says how, and how a target is added.

mod arrays;
mod checkpoints;
mod claims;
mod configs;
mod images;
mod listings;
mod panics;
mod parts;
mod place;
mod records;
mod runs;
mod sets;
mod tables;
mod tarballs;
mod weights;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub use panics::keep_quiet;
pub use parts::{NEXT_FILE, joined};

/// A parser, and the function that runs it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of the fuzz target and of the folder of its corpus.
    pub name: &'static str,
    /// What the bytes are taken for, in a line.
    pub about: &'static str,
    /// Parses the bytes.
    ///
    /// # Panics
    /// When something does not hold that has to.
    pub check: fn(&[u8]),
}

/// All targets. A new one is a row here, a file in `fuzz/fuzz_targets/`, and a folder in `corpus/`.
pub const TARGETS: &[Target] = &[
    Target {
        name: "tar",
        about: "a shard of WebDataset",
        check: tarballs::plain,
    },
    Target {
        name: "tar_gz",
        about: "a shard of WebDataset, by gzip; bytes without its mark are compressed first",
        check: tarballs::packed,
    },
    Target {
        name: "parquet",
        about: "a Parquet file of images",
        check: tables::parquet,
    },
    Target {
        name: "image",
        about: "an image file: JPEG, PNG, WebP, BMP, TIFF or GIF, with its orientation",
        check: images::encoded,
    },
    Target {
        name: "svhn",
        about: "a MATLAB file of SVHN",
        check: arrays::svhn,
    },
    Target {
        name: "npy",
        about: "a NumPy array of images, and one of labels",
        check: arrays::npy,
    },
    Target {
        name: "decoded",
        about: "a decoded set, `.aetset`",
        check: images::decoded,
    },
    Target {
        name: "weights",
        about: "a safetensors file, as the product of a run",
        check: weights::encoder,
    },
    Target {
        name: "generator",
        about: "a safetensors file of a local generator",
        check: weights::generator,
    },
    Target {
        name: "optimizer",
        about: "the state of the optimiser in a checkpoint",
        check: checkpoints::optimizer,
    },
    Target {
        name: "index",
        about: "the kept listing of a folder, behind its hash and the states of its folders",
        check: listings::index,
    },
    Target {
        name: "list",
        about: "a text file of paths and labels",
        check: listings::list,
    },
    Target {
        name: "annotations",
        about: "the labels of Tiny-ImageNet's validation images",
        check: listings::annotations,
    },
    Target {
        name: "experiment",
        about: "an experiment in TOML, and changes to it",
        check: configs::experiment,
    },
    Target {
        name: "protocol",
        about: "a protocol in TOML, and changes to it",
        check: configs::protocol,
    },
    Target {
        name: "run_file",
        about: "`run.toml` of a run",
        check: runs::run_file,
    },
    Target {
        name: "record",
        about: "what a protocol found, in JSON",
        check: records::protocol,
    },
    Target {
        name: "metrics",
        about: "`metrics.jsonl` of a run",
        check: records::metrics,
    },
    Target {
        name: "progress",
        about: "where a checkpoint stands, `progress.json`",
        check: checkpoints::progress,
    },
    Target {
        name: "cifar10",
        about: "a CIFAR-10 file, and the names of its classes",
        check: arrays::cifar10,
    },
    Target {
        name: "cifar100",
        about: "a CIFAR-100 file, and the names of its classes",
        check: arrays::cifar100,
    },
    Target {
        name: "stl",
        about: "STL-10: images, labels, names of classes",
        check: arrays::stl,
    },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs the target `name` on `bytes`.
///
/// # Panics
/// When there is no such target, and when something does not hold that has to; the message and its
/// place are then on stderr.
pub fn run(name: &str, bytes: &[u8]) {
    let target = target(name).expect("the target is one of TARGETS");
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.check)(bytes)));
    if let Err(panic) = outcome {
        eprintln!("{name}: {}", panics::last());
        resume_unwind(panic);
    }
}
