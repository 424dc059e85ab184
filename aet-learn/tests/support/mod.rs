//! What several tests set up: experiments, their images and batches, and gradients by name.
#![allow(clippy::unwrap_used, dead_code)]

use aet_data::{EpochPlan, HostBatch, Loader, Order, Share};
use aet_learn::config::{Experiment, ExperimentConfig};
use aet_learn::data::Datasets;
use aet_learn::state::{HostTensor, NamedTensors, host_values};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// The experiment of `toml` with `changes`, as `--set` takes them.
pub fn experiment(toml: &str, changes: &[&str]) -> Experiment {
    let changes: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
    let config = ExperimentConfig::parse(toml, "test", &changes).unwrap();
    config.resolve().unwrap()
}

/// The images of an experiment.
pub fn open(experiment: &Experiment) -> Datasets {
    let (data, seed) = (&experiment.data, experiment.seed);
    Datasets::open(data, &experiment.augment, seed, &|_, _| ()).unwrap()
}

/// A first epoch of full batches, shuffled.
pub fn plan(batch_size: usize) -> EpochPlan {
    EpochPlan {
        seed: 1,
        epoch: 0,
        batch_size,
        order: Order::Shuffled,
        drop_last: true,
        first_step: 0,
        share: Share::WHOLE,
    }
}

/// The first batch of `size` training images.
pub fn first_batch(experiment: &Experiment, size: usize) -> HostBatch {
    let pipeline = experiment.training_pipeline();
    let batches = Loader::epoch(open(experiment).train, pipeline, plan(size), 0);
    batches.unwrap().next().unwrap().unwrap()
}

/// Gradients by the names of their parameters.
struct ByName<'a> {
    path: Vec<String>,
    gradients: &'a Gradients,
    found: NamedTensors,
}

impl ModuleVisitor for ByName<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let shape = gradient.dims().to_vec();
            let values = host_values(gradient);
            let name = self.path.join(".");
            self.found.insert(name, HostTensor { shape, values });
        }
    }
}

/// The gradients of the parameters of `module`, by name.
pub fn gradients_by_name<M: Module>(module: &M, gradients: &Gradients) -> NamedTensors {
    let mut visitor = ByName {
        path: Vec::new(),
        gradients,
        found: NamedTensors::new(),
    };
    module.visit(&mut visitor);
    visitor.found
}
