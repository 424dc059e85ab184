//! Mixed precision: convolutions of 16 bits give nearly the losses and gradients of float32, everything
//! that is kept is float32, and steps whose gradients leave the range of float16 are left out.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use aet_learn::Device;
use aet_learn::batch::Batch;
use aet_learn::config::Experiment;
use aet_learn::model::{Model, fresh_model};
use aet_learn::precision::{LossScale, Precision};
use aet_learn::state::{HostTensor, NamedTensors, named_tensors};
use aet_learn::step::update;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use support::{first_batch, gradients_by_name};

const TOML: &str = r#"
seed = 5
[data]
path = "shapes"
image_size = [32, 32]
[data.shapes]
train = 48
test = 16
[transformation]
kind = "projective"
[backbone]
kind = "nin"
blocks = 3
width = 0.1
[schedule]
kind = "constant"
rate = 0.05
[training]
epochs = 1
batch_size = 16
"#;

fn experiment(changes: &[&str]) -> Experiment {
    support::experiment(TOML, changes)
}

/// A fresh model on the CPU, and the first batch.
fn start(experiment: &Experiment) -> (Model, Batch) {
    let device = Device::flex().autodiff();
    let size = experiment.data.image_size.unwrap();
    let mut model = fresh_model(experiment, size, &device).unwrap();
    model.encoder.precision = experiment.training.precision;
    let batch = first_batch(experiment, experiment.training.batch_size);
    (model, Batch::from_host(batch, &device))
}

/// The loss of the first batch and the gradients of all parameters.
fn loss_and_gradients(experiment: &Experiment) -> (f32, NamedTensors) {
    let (model, batch) = start(experiment);
    let loss = model.objective.loss(&model.encoder, &batch).loss;
    let gradients = gradients_by_name(&model, &loss.backward());
    (loss.into_scalar::<f32>(), gradients)
}

/// The cosine of the angle between all gradients, as vectors.
fn cosine(found: &NamedTensors, expected: &NamedTensors) -> f64 {
    assert_eq!(found.len(), expected.len());
    let product = |one: &NamedTensors, other: &NamedTensors| -> f64 {
        let of_a_tensor = |(name, tensor): (&String, &HostTensor)| {
            let pairs = tensor.values.iter().zip(&other[name].values);
            pairs.fold(0.0, |sum, (one, other)| {
                sum + f64::from(*one) * f64::from(*other)
            })
        };
        one.iter().map(of_a_tensor).sum()
    };
    product(found, expected) / (product(found, found) * product(expected, expected)).sqrt()
}

#[test]
fn losses_and_gradients_are_nearly_those_of_float32() {
    for backbone in [
        "backbone={kind=\"nin\",blocks=3,width=0.1}",
        "backbone={kind=\"resnet\",depth=18,stem=\"cifar\",width=0.13}",
    ] {
        let (expected, expected_gradients) = loss_and_gradients(&experiment(&[backbone]));
        for (precision, loss_bound, cosine_bound) in
            [("bfloat16", 2e-2, 0.95), ("float16", 4e-3, 0.99)]
        {
            let precision = format!("training.precision=\"{precision}\"");
            let (loss, gradients) = loss_and_gradients(&experiment(&[backbone, &precision]));
            let off = f64::from((loss - expected).abs() / expected);
            let cosine = cosine(&gradients, &expected_gradients);
            println!("{backbone}, {precision}: loss off by {off:.1e}, cosine {cosine:.5}");
            assert!(loss != expected, "{precision} changes nothing");
            assert!(off < loss_bound, "{precision}: {loss} for {expected}");
            assert!(cosine > cosine_bound, "{precision}: cosine {cosine}");
        }
    }
}

/// Asserts that every parameter is float32.
struct AllFloat32;

impl ModuleVisitor for AllFloat32 {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        assert_eq!(parameter.val().dtype(), DType::F32);
    }
}

#[test]
fn weights_and_features_outside_of_training_stay_float32() {
    let experiment = experiment(&["training.precision=\"bfloat16\""]);
    let (mut model, batch) = start(&experiment);
    let mut optimizer = experiment.optimizer.init();
    let before = named_tensors(&model);
    update(
        &mut model,
        &mut optimizer,
        0.05,
        &[vec![batch.clone()]],
        false,
        &mut None,
    );
    model.visit(&mut AllFloat32);
    assert!(named_tensors(&model) != before);
    // Off autodiff there is no difference left.
    let mut frozen = model.valid().encoder;
    let images = Tensor::ones([2, 3, 32, 32], &Device::flex());
    let features = |encoder: &aet_learn::backbone::Encoder| {
        let features = encoder.forward(images.clone(), encoder.last_tap());
        assert_eq!(features.dtype(), DType::F32);
        aet_learn::state::host_values(features)
    };
    let found = features(&frozen);
    frozen.precision = Precision::Float32;
    assert_eq!(found, features(&frozen));
}

#[test]
fn a_step_whose_gradients_overflow_is_left_out_and_halves_the_loss_scale() {
    let experiment = experiment(&["training.precision=\"float16\""]);
    let (mut model, batch) = start(&experiment);
    let mut optimizer = experiment.optimizer.init();
    // The encoder's gradients of a loss times 2^24 are far above 65,504.
    let mut scale = Some(LossScale {
        factor: 16_777_216.0,
        finite_steps: 7,
    });
    let parameters = |model: &Model| {
        let mut all = named_tensors(model);
        all.retain(|name, _| !name.contains("running"));
        all
    };
    let before = parameters(&model);
    let turns = [vec![batch]];
    let mut step = |model: &mut Model, scale: &mut Option<LossScale>| {
        let mut outputs = update(model, &mut optimizer, 0.05, &turns, false, scale);
        outputs.pop().unwrap().loss.into_scalar::<f32>()
    };
    let loss = step(&mut model, &mut scale);
    assert!(loss.is_finite());
    assert!(parameters(&model) == before);
    let halved = LossScale {
        factor: 8_388_608.0,
        finite_steps: 0,
    };
    assert_eq!(scale, Some(halved));
    // It comes down to where gradients fit, and the model learns.
    for _ in 0..20 {
        step(&mut model, &mut scale);
    }
    assert!(parameters(&model) != before);
    assert!(scale.unwrap().finite_steps > 0);
    assert!(step(&mut model, &mut None) < loss);
}
