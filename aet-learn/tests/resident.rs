//! Views that are made on the device are those that the loader makes.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use aet_data::{EpochPlan, HostBatch, ImageSet, ItemPipeline, Loader};
use aet_learn::Device;
use aet_learn::batch::Batch;
use aet_learn::config::Experiment;
use aet_learn::resident::{Resident, divide};
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::state::host_values;
use aet_learn::train::{Event, Outcome, train};
use support::open;

const TOML: &str = r#"
seed = 5
[data]
path = "shapes"
[data.shapes]
train = 48
test = 16
[augment]
crop_padding = 4
horizontal_flip = true
[transformation]
kind = "projective"
[backbone]
kind = "nin"
blocks = 3
width = 0.05
[schedule]
kind = "constant"
rate = 0.005
[training]
epochs = 2
batch_size = 12
log_every = 1
checkpoint_every = 3
"#;

fn experiment(changes: &[&str]) -> Experiment {
    support::experiment(TOML, changes)
}

fn batch(images: &Arc<ImageSet>, pipeline: Arc<dyn ItemPipeline>) -> HostBatch {
    let plan = EpochPlan {
        epoch: 3,
        first_step: 1,
        ..support::plan(24)
    };
    let mut batches = Loader::epoch(Arc::clone(images), pipeline, plan, 2).unwrap();
    batches.next().unwrap().unwrap()
}

/// Levels of 256 from normalised values, `[batch, 3, height * width]`.
fn levels(values: &[f32], experiment: &Experiment) -> Vec<f32> {
    let normalisation = &experiment.data.normalisation;
    let plane = 32 * 32;
    let channel = |at: usize| at / plane % 3;
    let values = values.iter().enumerate();
    values
        .map(|(at, value)| {
            let (mean, std) = (
                normalisation.mean[channel(at)],
                normalisation.std[channel(at)],
            );
            255.0 * (value * std + mean)
        })
        .collect()
}

#[test]
fn views_and_targets_are_those_of_the_loader() {
    for change in [
        "transformation={kind=\"projective\"}",
        "transformation={kind=\"affine\"}",
        "transformation={kind=\"dihedral\"}",
        "transformation={kind=\"translation\"}",
        "augment={crop_padding=0,horizontal_flip=false}",
        "augment={crop_padding=0,horizontal_flip=true}",
        "objective={kind=\"ensemble\",members=[{transformation={kind=\"affine\"}},{transformation={kind=\"rotation\"}}]}",
    ] {
        let experiment = experiment(&[change]);
        let images = open(&experiment).train;
        let pipeline = experiment.training_pipeline();
        let plan = pipeline.plan().unwrap();
        let expected = Batch::from_host(batch(&images, pipeline), &Device::flex());
        let device = Device::flex();
        let resident = Resident::load(&images, plan.clone(), &device).unwrap();
        let planned = batch(&images, Arc::new(plan));
        let turns = divide(&planned, &[resident], std::slice::from_ref(&device), 2);
        assert_eq!((turns.len(), turns[0].len()), (2, 1), "{change}");
        let parts: Vec<&Batch> = turns.iter().flatten().collect();
        let targets: Vec<f32> = (parts.iter())
            .flat_map(|part| host_values(part.target.clone()))
            .collect();
        assert_eq!(targets, host_values(expected.target.clone()), "{change}");
        for view in 0..expected.views.len() {
            let found: Vec<f32> = (parts.iter())
                .flat_map(|part| host_values(part.views[view].clone()))
                .collect();
            let expected = host_values(expected.views[view].clone());
            let (found, expected) = (levels(&found, &experiment), levels(&expected, &experiment));
            let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let off = differences.clone().filter(|off| *off > 0.01).count();
            let share = off as f64 / found.len() as f64;
            let most = differences.fold(0.0_f32, f32::max);
            println!(
                "{change}: view {view}: {:.3}% off, by {most} at most",
                100.0 * share
            );
            let [share_allowed, most_allowed] = [[0.0, 0.01], [0.02, 1.01]][view.min(1)];
            assert!(share <= share_allowed, "{change}: view {view}: {share}");
            assert!(most < most_allowed as f32, "{change}: view {view}: {most}");
        }
    }
}

#[test]
fn what_cannot_be_made_there_has_no_plan() {
    for change in [
        "transformation={kind=\"colour\"}",
        "transformation={kind=\"elastic\"}",
        "warp.border=reflect",
        "augment={resized_crop={}}",
        "objective={kind=\"rotnet\"}",
    ] {
        let experiment = experiment(&[change]);
        assert!(experiment.training_pipeline().plan().is_none(), "{change}");
    }
}

#[test]
fn a_run_follows_that_of_the_loader_and_goes_on_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let losses = |name: &str, change: &str, stops: &[u64], workers: usize| {
        let experiment = experiment(&[change]);
        let info = RunInfo {
            image_size: [32, 32],
            ..RunInfo::default()
        };
        let path = folder.path().join(name);
        let run = RunDirectory::create(&path, &experiment, info).unwrap();
        for stop in stops.iter().copied().chain([u64::MAX]) {
            let watcher = &mut |event: &Event| match event {
                Event::Step { step, .. } if *step >= stop => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            let datasets = open(run.experiment());
            let outcome = train(&run, &datasets, &vec![Device::flex(); workers], watcher);
            assert_eq!(
                matches!(outcome.unwrap(), Outcome::Finished(_)),
                stop == u64::MAX
            );
        }
        let records = run.metrics().unwrap();
        let steps = records.iter().filter(|record| record["event"] == "step");
        steps
            .map(|record| record["loss"].as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    let host = losses("host", "training.views=host", &[], 1);
    let device = losses("device", "training.views=device", &[], 1);
    assert_eq!(host.len(), 8);
    for (found, expected) in device.iter().zip(&host) {
        assert!(
            (found - expected).abs() < 0.02 * expected,
            "{device:?} for {host:?}"
        );
    }
    assert_ne!(device, host, "one of the two is made elsewhere");
    assert_eq!(
        losses("resumed", "training.views=device", &[2, 5], 1),
        device
    );
    let two = losses("two", "training.views=device", &[], 2);
    assert_eq!(two.len(), 8);
    assert_eq!(losses("auto", "training.views=auto", &[], 1), host);
}

#[test]
fn a_task_without_a_plan_is_refused_where_the_device_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = experiment(&["training.views=device", "warp.border=reflect"]);
    let run =
        RunDirectory::create(&folder.path().join("run"), &experiment, RunInfo::default()).unwrap();
    let datasets = open(&experiment);
    let watcher = &mut |_: &Event| ControlFlow::Continue(());
    let refused = train(&run, &datasets, &[Device::flex()], watcher)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("training.views"), "{refused}");
}
