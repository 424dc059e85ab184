//! A device beside the CPU gives what the CPU gives: features, losses, gradients, a short run. The
//! device is that of `AET_TEST_DEVICE`, `wgpu` if it is not set, and may be a software driver; where it
//! is not there the tests say so and pass.
#![cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use aet_data::{ItemPipeline, Loader};
use aet_learn::Device;
use aet_learn::batch::Batch;
use aet_learn::config::Experiment;
use aet_learn::device::{DeviceName, part};
use aet_learn::embed::{ExtractOptions, extract};
use aet_learn::model::{Model, fresh_model};
use aet_learn::precision::Precision;
use aet_learn::resident::{Resident, divide};
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::state::{NamedTensors, host_values, named_tensors, with_named_tensors};
use aet_learn::train::{Event, Outcome, train};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Tensor, TensorData};
use support::{first_batch, gradients_by_name, open};

/// Largest difference that sums in another order may make, over the largest value.
const ROUNDING: f32 = 1e-4;

/// The device to be held against the CPU.
fn device() -> Option<Device> {
    let name = std::env::var("AET_TEST_DEVICE").unwrap_or("wgpu".into());
    match name.parse::<DeviceName>().unwrap().open() {
        Ok(device) => {
            println!("{name} is {}", part(&device).unwrap_or_default());
            Some(device)
        }
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

fn experiment(changes: &[&str]) -> Experiment {
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
batch_size = 8
log_every = 1
"#;
    support::experiment(TOML, changes)
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

/// The largest difference over the largest value, which counts as at least `least`.
fn relative(found: &[f32], expected: &[f32], least: f32) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    let difference = pairs.fold(0.0_f32, |most, (found, expected)| {
        most.max((found - expected).abs())
    });
    difference / largest(expected).max(least)
}

/// The loss of the first batch, and the gradients of all parameters.
fn loss_and_gradients(
    experiment: &Experiment,
    weights: &NamedTensors,
    device: &Device,
) -> (f32, BTreeMap<String, Vec<f32>>) {
    let device = device.clone().autodiff();
    let batch = Batch::from_host(first_batch(experiment, 8), &device);
    let size = experiment.data.image_size.unwrap();
    let mut model = fresh_model(experiment, size, &device).unwrap();
    model.encoder.precision = experiment.training.precision;
    let model = with_named_tensors(model, weights).unwrap();
    let output = model.objective.loss(&model.encoder, &batch);
    let gradients = output.loss.backward();
    let by_name = gradients_by_name(&model, &gradients).into_iter();
    let by_name = by_name
        .map(|(name, gradient)| (name, gradient.values))
        .collect();
    (output.loss.into_scalar::<f32>(), by_name)
}

/// Asserts that losses and gradients of an experiment are those of the CPU, from the same weights.
fn assert_agrees(changes: &[&str], device: &Device) {
    let experiment = experiment(changes);
    let cpu = Device::flex();
    let size = experiment.data.image_size.unwrap();
    let weights = named_tensors(&fresh_model(&experiment, size, &cpu).unwrap());
    let (expected, expected_gradients) = loss_and_gradients(&experiment, &weights, &cpu);
    let (loss, gradients) = loss_and_gradients(&experiment, &weights, device);
    let off = (loss - expected).abs() / expected.abs();
    assert!(off < ROUNDING, "{changes:?}: loss {loss} for {expected}");
    assert_eq!(gradients.len(), expected_gradients.len());
    let mut worst = 0.0_f32;
    // Where a normalisation follows, a shift or a scale makes no difference and its gradient is nothing
    // but rounding.
    let all = expected_gradients.values().map(|values| largest(values));
    let least = 1e-2 * all.fold(0.0, f32::max);
    for (name, expected) in &expected_gradients {
        let off = relative(&gradients[name], expected, least);
        assert!(off < 20.0 * ROUNDING, "{changes:?}: {name} is off by {off}");
        worst = worst.max(off);
    }
    println!("{changes:?}: loss off by {off:.1e}, gradients by {worst:.1e}");
}

#[test]
fn losses_and_gradients_of_every_backbone_are_those_of_the_cpu() {
    let Some(device) = device() else { return };
    assert_agrees(&[], &device);
    assert_agrees(
        &["backbone={kind=\"resnet\",depth=18,stem=\"cifar\",width=0.13}"],
        &device,
    );
    let alexnet = "backbone={kind=\"alexnet\",width=0.04}";
    assert_agrees(&[alexnet, "data.image_size=[64,64]"], &device);
}

#[test]
fn mixed_precision_is_near_the_cpu_or_refused_in_one_line() {
    let Some(device) = device() else { return };
    let cpu = Device::flex();
    let plain = experiment(&[]);
    let size = plain.data.image_size.unwrap();
    let weights = named_tensors(&fresh_model(&plain, size, &cpu).unwrap());
    let (expected, _) = loss_and_gradients(&plain, &weights, &cpu);
    for (precision, name) in Precision::ALL {
        if !precision.is_there(&device) {
            let refused = precision.check(&device).unwrap_err().to_string();
            println!("{refused}");
            assert!(refused.contains(name) && refused.contains("which has float32"));
            continue;
        }
        let experiment = experiment(&[&format!("training.precision=\"{name}\"")]);
        let (loss, gradients) = loss_and_gradients(&experiment, &weights, &device);
        let off = (loss - expected).abs() / expected;
        println!("{name}: loss off by {off:.1e}");
        assert!(off < 2e-2, "{name}: {loss} for {expected}");
        // Those of the encoder too, which came through convolutions of 16 bits.
        let all_finite = gradients.values().flatten().all(|value| value.is_finite());
        assert!(all_finite && gradients.values().all(|values| largest(values) > 0.0));
    }
}

#[test]
fn losses_and_gradients_of_every_objective_are_those_of_the_cpu() {
    let Some(device) = device() else { return };
    for objective in [
        "objective.loss=matrix",
        "objective.loss=corners",
        "objective.loss=image",
        "objective={kind=\"aed\",code=24,channels=4,noise=0.1}",
        "objective={kind=\"rotnet\"}",
        "objective={kind=\"avt\"}",
        "objective={kind=\"ensemble\"}",
    ] {
        assert_agrees(&[objective], &device);
    }
    let spline = [
        "transformation={kind=\"thin-plate\"}",
        "objective.loss=image",
    ];
    assert_agrees(&spline, &device);
}

#[test]
fn frozen_features_are_those_of_the_cpu() {
    let Some(device) = device() else { return };
    let experiment = experiment(&[]);
    let images = open(&experiment).test.unwrap();
    let features = |device: &Device, weights: Option<&NamedTensors>| {
        let model = fresh_model(&experiment, [16, 16], device).unwrap();
        let model = match weights {
            Some(weights) => with_named_tensors(model, weights).unwrap(),
            None => model,
        };
        let encoder = &model.encoder;
        let options = ExtractOptions::default();
        let bank = extract(
            encoder,
            encoder.last_tap(),
            &images,
            &options,
            &mut |_, _| (),
        );
        (bank.unwrap().features, named_tensors(&model))
    };
    let (expected, weights) = features(&Device::flex(), None);
    let (found, _) = features(&device, Some(&weights));
    let off = relative(&found, &expected, 1e-6);
    println!("features are off by {off:.1e}");
    assert!(off < ROUNDING, "{off}");
}

fn run_in(folder: &Path, experiment: &Experiment) -> RunDirectory {
    let info = RunInfo {
        image_size: [16, 16],
        ..RunInfo::default()
    };
    RunDirectory::create(folder, experiment, info).unwrap()
}

/// Trains until `steps` are done, or to the end; gives the losses of all steps so far.
fn losses_of(run: &RunDirectory, device: &Device, steps: u64) -> (Option<Model>, Vec<f64>) {
    let datasets = open(run.experiment());
    let watcher = &mut |event: &Event| match event {
        Event::Step { step, .. } if *step >= steps => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let model = match train(run, &datasets, std::slice::from_ref(device), watcher).unwrap() {
        Outcome::Finished(model) => Some(*model),
        Outcome::Stopped => None,
    };
    let records = run.metrics().unwrap();
    let steps = records.iter().filter(|record| record["event"] == "step");
    let losses = steps.map(|record| record["loss"].as_f64().unwrap());
    (model, losses.collect())
}

#[test]
fn a_run_follows_that_of_the_cpu_and_goes_on_on_either_device() {
    let Some(device) = device() else { return };
    let folder = tempfile::tempdir().unwrap();
    // What the last digits decide (the side of a ReLU, a level of a view) makes a difference that grows
    // with each step, the more the higher the rate.
    let experiment = experiment(&["schedule.rate=0.005", "training.views=host"]);
    let cpu = Device::flex();
    let (_, expected) = losses_of(&run_in(&folder.path().join("cpu"), &experiment), &cpu, 100);
    let here = run_in(&folder.path().join("here"), &experiment);
    let (model, found) = losses_of(&here, &device, 100);
    assert!(model.is_some() && here.is_finished().unwrap());
    let moved = run_in(&folder.path().join("moved"), &experiment);
    losses_of(&moved, &cpu, 4);
    losses_of(&moved, &device, 8);
    let (_, mixed) = losses_of(&moved, &cpu, 100);
    for (name, losses) in [("device", &found), ("both", &mixed)] {
        assert_eq!(losses.len(), expected.len(), "{name}");
        for (step, (loss, expected)) in losses.iter().zip(&expected).enumerate() {
            let off = (loss - expected).abs() / expected;
            println!("{name}, step {step}: {loss:.6} for {expected:.6}");
            assert!(off < 1e-2, "{name}, step {step}: {loss} for {expected}");
        }
    }
}

/// The gradient of a weighted sum of what adaptive average pooling gives, by its definition: output i of
/// n reads inputs from floor(i side / n) up to ceil((i + 1) side / n).
fn pooling_gradient(side: usize, outputs: usize, weights: &[f32]) -> Vec<f32> {
    let window = |at: usize| at * side / outputs..((at + 1) * side).div_ceil(outputs);
    let mut gradient = vec![0.0; side * side];
    for row in 0..outputs {
        for column in 0..outputs {
            let (rows, columns) = (window(row), window(column));
            let share = weights[row * outputs + column] / (rows.len() * columns.len()) as f32;
            for y in rows {
                for x in columns.clone() {
                    gradient[y * side + x] += share;
                }
            }
        }
    }
    gradient
}

#[test]
fn the_gradient_of_adaptive_pooling_is_that_of_its_definition() {
    for device in [Some(Device::flex()), device()].into_iter().flatten() {
        let device = device.autodiff();
        for (side, outputs) in [(4, 2), (5, 3), (4, 6), (1, 6), (3, 7)] {
            let count = outputs * outputs;
            let weights: Vec<f32> = (0..count).map(|at| (at as f32 * 1.7).sin()).collect();
            let data = TensorData::new(weights.clone(), [1, 1, outputs, outputs]);
            let input = Tensor::<4>::ones([1, 1, side, side], &device).require_grad();
            let pooled = adaptive_avg_pool2d(input.clone(), [outputs, outputs]);
            let sum = (pooled * Tensor::from_data(data, &device)).sum();
            let found = host_values(input.grad(&sum.backward()).unwrap());
            let off = relative(&found, &pooling_gradient(side, outputs, &weights), 1e-6);
            println!("{device:?}, {side} to {outputs}: off by {off:.1e}");
            assert!(
                off < ROUNDING,
                "{device:?}, {side} to {outputs}: off by {off}"
            );
        }
    }
}

#[test]
fn views_made_on_the_device_are_those_of_the_loader() {
    let Some(device) = device() else { return };
    let ensemble = "objective={kind=\"ensemble\",members=[{transformation={kind=\"affine\"}},\
                    {transformation={kind=\"dihedral\"}}]}";
    for change in ["transformation.kind=projective", ensemble] {
        let augment = "augment={crop_padding=2,horizontal_flip=true}";
        let experiment = experiment(&[augment, change]);
        let images = open(&experiment).train;
        let plan = experiment.training_pipeline().plan().unwrap();
        let resident = Resident::load(&images, plan.clone(), &device).unwrap();
        let batch = |pipeline: Arc<dyn ItemPipeline>| {
            let plan = support::plan(24);
            let batches = Loader::epoch(Arc::clone(&images), pipeline, plan, 0);
            batches.unwrap().next().unwrap().unwrap()
        };
        let expected = Batch::from_host(batch(experiment.training_pipeline()), &Device::flex());
        let found = divide(
            &batch(Arc::new(plan)),
            &[resident],
            std::slice::from_ref(&device),
            1,
        );
        let found = &found[0][0];
        assert_eq!(
            host_values(found.target.clone()),
            host_values(expected.target.clone())
        );
        assert_eq!(found.views.len(), expected.views.len());
        // One level of 256, normalised.
        let level = 1.0 / (255.0 * 0.1994);
        let pairs = found.views.iter().zip(&expected.views);
        for (view, (found, expected)) in pairs.enumerate() {
            let allowed = if view == 0 { 1e-5 } else { 1.01 * level };
            let (values, expected) = (host_values(found.clone()), host_values(expected.clone()));
            let off = values.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let share = off.clone().filter(|off| *off > 1e-3).count() as f32 / values.len() as f32;
            let most = off.fold(0.0_f32, f32::max);
            println!(
                "{change}, view {view}: {:.2}% off, by {most} at most",
                100.0 * share
            );
            assert!(
                most < allowed && share < 0.02,
                "{change}, view {view}: {most}, {share}"
            );
        }
    }
}
