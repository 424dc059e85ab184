//! Several devices give what one gives: workers of half a batch, with synchronised batch normalisation,
//! come to the weights of one worker of the whole batch. Here the devices are the CPU, more than once.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::ops::ControlFlow;
use std::path::Path;

use aet_data::{HostBatch, Loader};
use aet_learn::Device;
use aet_learn::batch::Batch;
use aet_learn::config::Experiment;
use aet_learn::model::fresh_model;
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::state::{NamedTensors, host_values, named_tensors};
use aet_learn::step::update;
use aet_learn::train::{Event, Outcome, train};
use support::open;

const TOML: &str = r#"
seed = 5
[data]
path = "shapes"
image_size = [16, 16]
[data.shapes]
train = 48
test = 16
[transformation]
kind = "projective"
[backbone]
kind = "nin"
blocks = 3
width = 0.05
[schedule]
kind = "constant"
rate = 0.05
[training]
epochs = 2
batch_size = 12
log_every = 1
checkpoint_every = 3
"#;

fn experiment(changes: &[&str]) -> Experiment {
    support::experiment(TOML, changes)
}

/// The first `count` batches of the first epoch.
fn batches(experiment: &Experiment, count: usize) -> Vec<HostBatch> {
    let plan = support::plan(experiment.training.batch_size);
    let images = open(experiment).train;
    let batches = Loader::epoch(images, experiment.training_pipeline(), plan, 0).unwrap();
    batches.take(count).map(|batch| batch.unwrap()).collect()
}

/// Weights, running statistics and the losses of the last player, after `steps` steps on `workers`.
fn after(
    experiment: &Experiment,
    workers: usize,
    sync: bool,
    steps: usize,
) -> (NamedTensors, Vec<f32>) {
    let devices = vec![Device::flex().autodiff(); workers];
    let size = experiment.data.image_size.unwrap();
    let mut model = fresh_model(experiment, size, &devices[0]).unwrap();
    let mut optimizer = experiment.optimizer.init();
    let losses = batches(experiment, steps).into_iter().map(|batch| {
        let turns = Batch::divide(batch, &devices, experiment.training.gradient_accumulation);
        let mut outputs = update(&mut model, &mut optimizer, 0.05, &turns, sync, &mut None);
        outputs.pop().unwrap().loss.into_scalar::<f32>()
    });
    let losses = losses.collect();
    (named_tensors(&model), losses)
}

/// The largest difference of any tensor, over the largest value of that tensor; and its name.
fn difference(found: &NamedTensors, expected: &NamedTensors) -> (f32, String) {
    assert_eq!(found.len(), expected.len());
    let each = expected.iter().map(|(name, expected)| {
        let largest = expected
            .values
            .iter()
            .fold(1e-3_f32, |most, value| most.max(value.abs()));
        let pairs = found[name].values.iter().zip(&expected.values);
        let most = pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        (most / largest, name.clone())
    });
    each.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn parts_are_the_items_of_the_batch_in_order() {
    let experiment = experiment(&[]);
    let batch = batches(&experiment, 1).remove(0);
    let device = Device::flex();
    let whole = Batch::from_host(batch.clone(), &device);
    let turns = Batch::divide(batch, &[device.clone(), device], 3);
    assert_eq!((turns.len(), turns[0].len(), turns[0][0].len()), (3, 2, 2));
    let joined = |values: fn(&Batch) -> Vec<f32>| -> Vec<f32> {
        turns.iter().flatten().flat_map(values).collect()
    };
    assert_eq!(
        joined(|part| host_values(part.target.clone())),
        host_values(whole.target)
    );
    assert_eq!(
        joined(|part| host_values(part.views[1].clone())),
        host_values(whole.views[1].clone())
    );
}

#[test]
fn synchronised_workers_come_to_the_weights_of_one() {
    let backbones = [
        "backbone.blocks=3",
        "backbone={kind=\"resnet\",depth=18,stem=\"cifar\",width=0.13}",
    ];
    let objectives = [
        "objective.loss=parameters",
        "objective={kind=\"rotnet\"}",
        "objective={kind=\"aed\",code=24,channels=4,noise=0.1}",
    ];
    let pairs = objectives.map(|objective| [backbones[0], objective]);
    for changes in pairs.into_iter().chain([[backbones[1], objectives[0]]]) {
        let experiment = experiment(&changes);
        // One step: in later ones, what the last digits decide (the side of a ReLU) makes a difference.
        // So it does between one worker, on the fused operations, and several, on Burn's.
        let (expected, losses) = after(&experiment, 1, false, 1);
        let (two, two_losses) = after(&experiment, 2, true, 1);
        let (three, three_losses) = after(&experiment, 3, true, 1);
        let (apart, _) = after(&experiment, 2, false, 1);
        for (name, found, expected, allowed) in [
            ("two to one", &two, &expected, 5e-2),
            ("three to one", &three, &expected, 5e-2),
            ("two to three", &two, &three, 1e-4),
        ] {
            let (off, tensor) = difference(found, expected);
            println!("{changes:?}, {name}: {tensor} off by {off:.1e}");
            assert!(off < allowed, "{changes:?}, {name}: {tensor} off by {off}");
        }
        for loss in [two_losses[0], three_losses[0]] {
            assert!((loss - losses[0]).abs() < 1e-4 * losses[0].abs());
        }
        let (off, tensor) = difference(&apart, &expected);
        println!("{changes:?}, statistics apart: {tensor} off by {off:.1e}");
        assert!(
            off > 0.5,
            "statistics of each worker make a difference: {off}"
        );
    }
}

#[test]
fn workers_give_the_same_bits_every_time() {
    let experiment = experiment(&["training.gradient_accumulation=2"]);
    for sync in [false, true] {
        assert!(after(&experiment, 3, sync, 2) == after(&experiment, 3, sync, 2));
    }
}

fn run_in(folder: &Path, experiment: &Experiment) -> RunDirectory {
    let info = RunInfo {
        image_size: [16, 16],
        ..RunInfo::default()
    };
    RunDirectory::create(folder, experiment, info).unwrap()
}

/// Trains on `workers` until `steps` are done, or to the end, and then gives the weights.
fn go_on(run: &RunDirectory, workers: usize, steps: u64) -> Option<NamedTensors> {
    let datasets = open(run.experiment());
    let watcher = &mut |event: &Event| match event {
        Event::Step { step, .. } if *step >= steps => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    match train(run, &datasets, &vec![Device::flex(); workers], watcher).unwrap() {
        Outcome::Finished(model) => Some(named_tensors(&*model)),
        Outcome::Stopped => None,
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = experiment(&["training.sync_batch_norm=true", "schedule.rate=0.002"]);
    let expected = go_on(&run_in(&folder.path().join("one"), &experiment), 1, 100).unwrap();
    let run = run_in(&folder.path().join("many"), &experiment);
    assert!(go_on(&run, 2, 2).is_none());
    assert!(go_on(&run, 3, 5).is_none());
    let found = go_on(&run, 1, 100).unwrap();
    let (off, name) = difference(&found, &expected);
    assert!(off < 5e-3, "{name} off by {off}");
}

#[test]
fn a_batch_that_workers_cannot_share_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_in(&folder.path().join("run"), &experiment(&[]));
    let datasets = open(run.experiment());
    let watcher = &mut |_: &Event| ControlFlow::Continue(());
    let refused = train(&run, &datasets, &vec![Device::flex(); 5], watcher).unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("1 on 5 device(s)") && refused.contains("divides"),
        "{refused}"
    );
}
