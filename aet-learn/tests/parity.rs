//! The network, its loss, its gradients and an optimiser's steps against PyTorch. The expected
//! numbers come from `parity/make_parity.py`.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use aet_data::Normalisation;
use aet_geometry::Family;
use aet_learn::Device;
use aet_learn::backbone::{BackboneConfig, NinConfig};
use aet_learn::batch::Batch;
use aet_learn::border::Framing;
use aet_learn::model::Model;
use aet_learn::objective::{AetConfig, Objective, ObjectiveConfig, Reduction, Task};
use aet_learn::optim::{self, SgdConfig};
use aet_learn::state::{
    HostTensor, NamedTensors, host_values, named_tensors, read_safetensors, with_named_tensors,
    with_stable_ids,
};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use support::gradients_by_name;

/// What the fixture holds, by the names of its script.
fn fixture() -> NamedTensors {
    let path = "tests/parity/nin_parity.safetensors";
    read_safetensors(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The script's name for one of our tensors: `encoder.network.Nin.blocks.0.units.1.conv` is
/// `encoder.block1.unit2.conv.weight` there.
fn script_name(ours: &str, affine: bool) -> String {
    let parts: Vec<&str> = ours.split('.').collect();
    let number_after = |word: &str| -> Option<usize> {
        let place = parts.iter().position(|part| *part == word)?;
        parts[place + 1].parse().ok().map(|n: usize| n + 1)
    };
    match (number_after("blocks"), number_after("units")) {
        (Some(block), Some(unit)) => {
            let tail = match parts[parts.len() - 1] {
                "conv" => "conv.weight".to_string(),
                other => format!("norm.{other}"),
            };
            format!("encoder.block{block}.unit{unit}.{tail}")
        }
        _ => {
            let prefix = if affine { "affine." } else { "" };
            format!("{prefix}decoder.{}", parts[parts.len() - 1])
        }
    }
}

/// Our model with the script's weights.
fn model(fixture: &NamedTensors, affine: bool, device: &Device) -> Model {
    let backbone = BackboneConfig::Nin(NinConfig {
        blocks: 4,
        width: 0.125,
    });
    let encoder = backbone.init(0, device);
    let family = Family::default_of(if affine { "affine" } else { "projective" }).unwrap();
    let task = Task {
        normalisation: &Normalisation::default(),
        family: &family,
        image_size: [32, 32],
        channels: encoder.last_tap().channels,
        framing: Framing::filled([0.0; 3]),
    };
    let objective = ObjectiveConfig::Aet(AetConfig {
        reduction: Reduction::HalfSum,
        ..AetConfig::default()
    })
    .init(&task, 0, device)
    .unwrap();
    let model = with_stable_ids(Model { encoder, objective });
    let weights = named_tensors(&model)
        .into_keys()
        .map(|name| {
            let tensor = fixture[&script_name(&name, affine)].clone();
            (name, tensor)
        })
        .collect();
    with_named_tensors(model, &weights).unwrap()
}

fn tensor<const D: usize>(host: &HostTensor, device: &Device) -> Tensor<D> {
    let data = TensorData::new(host.values.clone(), host.shape.clone());
    Tensor::from_data(data, device)
}

fn batch(fixture: &NamedTensors, target: &str, device: &Device) -> Batch {
    Batch {
        views: vec![tensor(&fixture["x"], device), tensor(&fixture["y"], device)],
        target: tensor(&fixture[target], device),
        epochs_done: None,
    }
}

/// Asserts that `found` starts with the values of `expected`, to `tolerance` of their largest.
fn assert_close(name: &str, found: &[f32], expected: &HostTensor, tolerance: f32) {
    assert!(
        found.len() >= expected.values.len(),
        "{name}: too few values"
    );
    let largest = expected.values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    assert!(largest > 0.0, "{name}: the expected values are all zero");
    let difference = found
        .iter()
        .zip(&expected.values)
        .fold(0.0_f32, |m, (f, e)| m.max((f - e).abs()));
    assert!(
        difference <= tolerance * largest,
        "{name}: off by {difference}, the largest value being {largest}"
    );
}

/// Gradients by the script's names.
fn gradients(model: &Model, loss: &Tensor<1>, affine: bool) -> BTreeMap<String, Vec<f32>> {
    let by_name = gradients_by_name(model, &loss.backward()).into_iter();
    by_name
        .map(|(name, gradient)| (script_name(&name, affine), gradient.values))
        .collect()
}

#[test]
fn training_features_match_pytorch_at_every_tap() {
    let (fixture, device) = (fixture(), Device::flex().autodiff());
    for view in ["x", "y"] {
        for tap in &model(&fixture, false, &device).encoder.taps {
            // A fresh model each time: a training forward moves the running statistics.
            let model = model(&fixture, false, &device);
            let features = model.encoder.forward(tensor(&fixture[view], &device), tap);
            let name = format!("train.{view}.{}", tap.name);
            assert_close(&name, &host_values(features), &fixture[&name], 2e-5);
        }
    }
}

#[test]
fn evaluation_features_match_pytorch_at_every_tap_and_odd_size() {
    let (fixture, device) = (fixture(), Device::flex());
    let model = model(&fixture, false, &device);
    for (input, prefix) in [
        ("x", "eval.x"),
        ("odd.x", "odd"),
        ("odd_second.x", "odd_second"),
    ] {
        for tap in &model.encoder.taps {
            let features = model.encoder.forward(tensor(&fixture[input], &device), tap);
            let name = format!("{prefix}.{}", tap.name);
            let shape = features.dims();
            assert_eq!(shape[1..], fixture[&name].shape[1..], "{name}");
            assert_close(&name, &host_values(features), &fixture[&name], 2e-5);
        }
    }
}

#[test]
fn predictions_and_losses_match_pytorch_in_both_modes() {
    let fixture = fixture();
    let cases = [
        ("train", false, true),
        ("eval", false, false),
        ("affine", true, true),
        ("affine.eval", true, false),
    ];
    for (prefix, affine, training) in cases {
        let device = if training {
            Device::flex().autodiff()
        } else {
            Device::flex()
        };
        let target = if affine { "affine.target" } else { "target" };
        let batch = batch(&fixture, target, &device);
        let predictor = model(&fixture, affine, &device);
        let prediction = predictor.objective.predict(&predictor.encoder, &batch);
        let name = format!("{prefix}.prediction");
        assert_close(&name, &host_values(prediction), &fixture[&name], 2e-5);
        let model = model(&fixture, affine, &device);
        let output = model.objective.loss(&model.encoder, &batch);
        let name = format!("{prefix}.loss");
        assert_close(&name, &host_values(output.loss), &fixture[&name], 1e-5);
        let name = format!("{prefix}.mse");
        let mse = host_values(output.parts[0].1.clone());
        assert_close(&name, &mse, &fixture[&name], 1e-5);
    }
}

#[test]
fn gradients_of_the_first_and_last_layers_match_pytorch() {
    let (fixture, device) = (fixture(), Device::flex().autodiff());
    for (affine, prefix, target) in [
        (false, "grad.", "target"),
        (true, "affine.grad.", "affine.target"),
    ] {
        let model = model(&fixture, affine, &device);
        let loss = model
            .objective
            .loss(&model.encoder, &batch(&fixture, target, &device))
            .loss;
        let found = gradients(&model, &loss, affine);
        let expected: Vec<&String> = fixture.keys().filter(|n| n.starts_with(prefix)).collect();
        assert!(!expected.is_empty());
        for name in expected {
            let ours = match name.strip_prefix("affine.grad.") {
                Some(rest) => format!("affine.{rest}"),
                None => name.replace("grad.", ""),
            };
            assert_close(name, &found[&ours], &fixture[name], 1e-4);
        }
    }
}

#[test]
fn running_statistics_after_both_views_match_pytorch() {
    let (fixture, device) = (fixture(), Device::flex().autodiff());
    let model = model(&fixture, false, &device);
    model
        .objective
        .loss(&model.encoder, &batch(&fixture, "target", &device));
    let mut compared = 0;
    for (name, tensor) in named_tensors(&model.valid()) {
        if name.contains("running") {
            let name = format!("after.{}", script_name(&name, false));
            assert_close(&name, &tensor.values, &fixture[&name], 5e-6);
            compared += 1;
        }
    }
    assert_eq!(compared, 24);
}

#[test]
fn two_optimiser_steps_match_pytorch() {
    let (fixture, device) = (fixture(), Device::flex().autodiff());
    let mut model = model(&fixture, false, &device);
    let batch = batch(&fixture, "target", &device);
    let mut optimizer = SgdConfig::default().init();
    let mut losses = Vec::new();
    for _ in 0..2 {
        let loss = model.objective.loss(&model.encoder, &batch).loss;
        losses.extend(host_values(loss.clone()));
        model = optim::step(&mut optimizer, 0.1, model, &loss);
    }
    let last = model.objective.loss(&model.encoder, &batch).loss;
    losses.extend(host_values(last));
    assert_close("sgd.loss", &losses, &fixture["sgd.loss"], 2e-3);
    let mut compared = 0;
    for (name, tensor) in named_tensors(&model) {
        if let Some(expected) = fixture.get(&format!("sgd.{}", script_name(&name, false))) {
            assert_close(&name, &tensor.values, expected, 2e-3);
            compared += 1;
        }
    }
    assert_eq!(compared, 3);
}

#[test]
fn the_released_reduction_is_a_quarter_of_the_papers_for_eight_components() {
    let (fixture, device) = (fixture(), Device::flex());
    let paper = model(&fixture, false, &device);
    assert!(matches!(paper.objective, Objective::Aet(_)));
    let batch = batch(&fixture, "target", &device);
    let output = paper.objective.loss(&paper.encoder, &batch);
    let (loss, mse) = (
        host_values(output.loss)[0],
        host_values(output.parts[0].1.clone())[0],
    );
    assert!((loss - 4.0 * mse).abs() < 1e-5 * loss);
}
