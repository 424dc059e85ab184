//! A run as it is opened, and the small one that single files are put into.

use std::path::Path;

use aet_learn::config::ExperimentConfig;
use aet_learn::run_dir::{RunDirectory, RunInfo};

use crate::claims::{same, told};
use crate::parts::put;
use crate::place::Place;

/// A small network.
const EXPERIMENT: &str = "[backbone]\nkind = \"nin\"\nblocks = 3\nwidth = 0.05\n";

/// Makes `folder` a run in which nothing was done yet.
pub(crate) fn furnish(folder: &Path) {
    let experiment = ExperimentConfig::parse(EXPERIMENT, "the small run", &[]);
    let experiment = experiment.and_then(ExperimentConfig::resolve);
    let experiment = experiment.expect("the small experiment is one");
    let info = RunInfo {
        image_size: [32; 2],
        ..RunInfo::default()
    };
    RunDirectory::create(folder, &experiment, info).expect("a run can be made");
}

/// The run that [`furnish`] made of `folder`.
pub(crate) fn opened(folder: &Path) -> RunDirectory {
    RunDirectory::open(folder).expect("the small run is one")
}

/// `run.toml`. A run that is made with what it says is the same.
pub(crate) fn run_file(input: &[u8]) {
    static PLACE: Place = Place::empty();
    PLACE.with(|folder| {
        put(&folder.join("run.toml"), Some(input));
        let Ok(run) = told(RunDirectory::open(folder)) else {
            return;
        };
        assert!(!run.name().is_empty());
        assert_eq!(told(run.progress()), Ok(None));
        let copy = folder.join("copy");
        put(&copy.join("run.toml"), None);
        let made = RunDirectory::create(&copy, run.experiment(), run.info().clone());
        if told(made).is_err() {
            return;
        }
        let copy = told(RunDirectory::open(&copy)).expect("a run that was made can be opened");
        same(copy.info(), run.info());
        same(copy.experiment(), run.experiment());
    });
}
