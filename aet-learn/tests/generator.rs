//! The local generator: its derivative, its file, and the two players that train it.
#![allow(clippy::unwrap_used, missing_docs)]

use aet_data::Normalisation;
use aet_data::random::{Purpose, fill_normal, generator};
use aet_learn::Device;
use aet_learn::batch::Batch;
use aet_learn::config::ExperimentConfig;
use aet_learn::generator::{GENERATOR_FILE, GeneratorShape, LocalGenerator};
use aet_learn::model::fresh_model;
use aet_learn::optim::SgdConfig;
use aet_learn::recovery::recovery;
use aet_learn::state::{NamedTensors, host_values, named_tensors, with_named_tensors};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

const AXES: usize = 3;

fn shape(residual: bool, image_size: [usize; 2]) -> GeneratorShape {
    GeneratorShape {
        axes: AXES,
        sigma: 3.0,
        code: 7,
        channels: 4,
        residual,
        image_size,
    }
}

fn fresh(residual: bool, image_size: [usize; 2], device: &Device) -> LocalGenerator {
    let shape = shape(residual, image_size);
    LocalGenerator::new(shape, &Normalisation::default(), 3, device)
}

/// Normalised images without structure.
fn images(count: usize, [height, width]: [usize; 2], device: &Device) -> Tensor<4> {
    let mut values = vec![0.0; count * 3 * height * width];
    fill_normal(&mut generator(7, 0, 0, Purpose::Noise), &mut values);
    Tensor::from_data(TensorData::new(values, [count, 3, height, width]), device)
}

/// All axes of each image, `[count, axes, axes]`.
fn all_axes(count: usize, device: &Device) -> Tensor<3> {
    let identity: Vec<f32> = (0..AXES * AXES)
        .map(|at| f32::from(u8::from(at % (AXES + 1) == 0)))
        .collect();
    let one = Tensor::<3>::from_data(TensorData::new(identity, [1, AXES, AXES]), device);
    one.repeat_dim(0, count)
}

#[test]
fn the_gram_matrix_is_that_of_the_derivative_by_z() {
    let device = Device::flex().autodiff();
    let size = [4, 6];
    for residual in [false, true] {
        let net = fresh(residual, size, &device);
        let origin = || net.origin(images(1, size, &device));
        let gram = net.jacobian_gram(&origin(), all_axes(1, &device), 0.01);
        let gram = host_values(gram);
        // The whole of J, a row for each number of the image, by the chain rule.
        let pixels = 3 * size[0] * size[1];
        let mut jacobian = Vec::with_capacity(pixels * AXES);
        for pixel in 0..pixels {
            let z = Tensor::<2>::zeros([1, AXES], &device).require_grad();
            let image = net.chart(origin(), z.clone()).reshape([pixels]);
            let gradients = image.narrow(0, pixel, 1).backward();
            jacobian.extend(host_values(z.grad(&gradients).unwrap()));
        }
        for (at, found) in gram.iter().enumerate() {
            let (a, b) = (at / AXES, at % AXES);
            let rows = jacobian.chunks_exact(AXES);
            let expected: f32 = rows.map(|row| row[a] * row[b]).sum();
            assert!(
                (found - expected).abs() < 0.01 * (1.0 + expected.abs()),
                "residual {residual}, entry {at}: {found} {expected}"
            );
        }
    }
}

#[test]
fn the_gradient_of_the_orthonormality_of_oblong_images_is_its_slope() {
    let device = Device::flex().autodiff();
    let size = [12, 20];
    for residual in [false, true] {
        let net = fresh(residual, size, &device);
        let loss_of = |net: &LocalGenerator| {
            let origin = net.origin(images(4, size, &device));
            let directions = all_axes(4, &device);
            let gram = net.jacobian_gram(&origin, directions.clone(), 0.05);
            (gram - directions).square().mean()
        };
        let weights = named_tensors(&net);
        let still = SgdConfig {
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        };
        let loss = loss_of(&net);
        let stepped = aet_learn::optim::step(&mut still.init(), 1.0, net.clone(), &loss);
        let stepped = named_tensors(&stepped);
        let gradient: NamedTensors = weights
            .iter()
            .map(|(name, tensor)| {
                let mut slope = tensor.clone();
                for (value, after) in slope.values.iter_mut().zip(&stepped[name].values) {
                    *value -= after;
                }
                (name.clone(), slope)
            })
            .collect();
        let squares = gradient.values().flat_map(|tensor| &tensor.values);
        let length = squares.map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!(length > 1e-3, "residual {residual}: {length}");
        let moved = |by: f64| {
            let mut weights = weights.clone();
            for (name, tensor) in &mut weights {
                for (value, slope) in tensor.values.iter_mut().zip(&gradient[name].values) {
                    *value += (by * f64::from(*slope) / length) as f32;
                }
            }
            let net = with_named_tensors(net.clone(), &weights).unwrap();
            f64::from(host_values(loss_of(&net))[0])
        };
        // So far that the loss changes by about a five-hundredth.
        let by = 0.002 * f64::from(host_values(loss)[0]) / length;
        let found = (moved(by) - moved(-by)) / (2.0 * by);
        assert!(
            (found - length).abs() < 0.01 * length,
            "residual {residual}: {found} {length}"
        );
    }
}

#[test]
fn a_residual_generator_leaves_images_alone_at_the_origin_and_moves_them_elsewhere() {
    let device = Device::flex();
    let size = [9, 14];
    let net = fresh(true, size, &device);
    // Values that pixels have, short of black and white.
    let x = images(2, size, &device).tanh() * 0.9;
    let normalised = net.from_unit(x.clone());
    let still = net.generate(normalised.clone(), Tensor::zeros([2, AXES], &device));
    let off = (net.to_unit(still) - x.clone()).abs().max();
    assert!(off.into_scalar::<f32>() < 1e-5);
    let moved = net.generate(normalised, Tensor::ones([2, AXES], &device) * 3.0);
    let off = (net.to_unit(moved) - x).abs().max();
    assert!(off.into_scalar::<f32>() > 0.1);
}

#[test]
fn an_image_is_made_the_same_whatever_is_beside_it() {
    let device = Device::flex();
    let size = [16, 16];
    let net = fresh(false, size, &device);
    let (x, z) = (images(3, size, &device), Tensor::ones([3, AXES], &device));
    let together = net.generate(x.clone(), z.clone()).narrow(0, 1, 1);
    let alone = net.generate(x.narrow(0, 1, 1), z.narrow(0, 1, 1));
    let off = (together - alone).abs().max().into_scalar::<f32>();
    assert!(off < 1e-5, "{off}");
}

#[test]
fn along_an_axis_the_image_is_that_of_z_on_it() {
    let device = Device::flex();
    let size = [8, 10];
    let net = fresh(true, size, &device);
    let x = images(1, size, &device);
    let made = net.along_axes(&host_values(x.clone()), AXES, &[0.0, 1.5], &device);
    assert_eq!(made.len(), 2 * AXES);
    let z = Tensor::from_data(TensorData::new(vec![0.0, 4.5, 0.0], [1, AXES]), &device);
    let expected = host_values(net.generate(x, z));
    for (found, expected) in made[3].iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4);
    }
    assert_eq!(made[0], made[2]);
}

#[test]
fn a_generator_file_gives_the_generator_back_and_others_are_refused() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let size = [10, 12];
    let net = fresh(true, size, &device);
    let path = folder.path().join(GENERATOR_FILE);
    std::fs::write(&path, net.to_bytes().unwrap()).unwrap();
    for place in [folder.path(), path.as_path()] {
        let read = LocalGenerator::open(place, &Normalisation::default(), &device).unwrap();
        assert_eq!(read.shape(), shape(true, size));
        assert!(named_tensors(&read) == named_tensors(&net));
    }
    let other = folder.path().join("encoder.safetensors");
    let bytes = aet_learn::state::to_safetensors(&named_tensors(&net), None).unwrap();
    std::fs::write(&other, bytes).unwrap();
    let refusal = LocalGenerator::open(&other, &Normalisation::default(), &device);
    let message = refusal.unwrap_err().to_string();
    assert!(message.contains("encoder.safetensors"), "{message}");
    assert!(message.contains("aet train-generator"), "{message}");
    std::fs::write(&other, b"short").unwrap();
    assert!(LocalGenerator::open(&other, &Normalisation::default(), &device).is_err());
}

const TOML: &str = r#"
seed = 5
[data]
path = "shapes"
[data.shapes]
train = 64
test = 40
[backbone]
kind = "nin"
blocks = 3
width = 0.1
"#;

fn config(objective: &str) -> ExperimentConfig {
    let change = format!("objective={objective}");
    ExperimentConfig::parse(TOML, "test", &[change]).unwrap()
}

#[test]
fn each_player_moves_its_own_weights_only() {
    let device = Device::flex().autodiff();
    let objective = "{kind=\"lgan\", axes=3, code=7, channels=4, jacobian_images=2}";
    let experiment = config(objective).resolve().unwrap();
    let model = fresh_model(&experiment, [32, 32], &device).unwrap();
    let mut draws = vec![0.0; 8 * 6];
    fill_normal(&mut generator(1, 0, 0, Purpose::Noise), &mut draws);
    let batch = Batch {
        views: vec![images(8, [32, 32], &device)],
        target: Tensor::from_data(TensorData::new(draws, [8, 6]), &device),
        epochs_done: None,
    };
    let players = model.objective.players(&model.encoder);
    assert_eq!(players.len(), 2);
    let before = named_tensors(&model);
    for (place, player) in players.into_iter().enumerate() {
        let output = model.objective.player_loss(place, &model.encoder, &batch);
        let its = player.parameters.unwrap();
        let mut optimizer = SgdConfig::default().init();
        let mut gradients = output.loss.backward();
        let gradients = GradientsParams::from_params(&mut gradients, &model, &its);
        let after = optimizer.step(0.1, model.clone(), gradients);
        for (name, tensor) in named_tensors(&after) {
            // Running statistics follow every batch that goes through.
            if name.contains("running") {
                continue;
            }
            let is_its = name.contains("generator") == (place == 1);
            assert_eq!(before[&name] != tensor, is_its, "player {place}: {name}");
        }
    }
}

#[test]
fn what_is_told_of_z_has_a_name_for_each_axis() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let net = fresh(true, [32, 32], &device);
    std::fs::write(folder.path().join(GENERATOR_FILE), net.to_bytes().unwrap()).unwrap();
    let objective = format!("{{kind=\"generated\", generator={:?}}}", folder.path());
    let experiment = config(&objective).resolve().unwrap();
    let model = fresh_model(&experiment, [32, 32], &device).unwrap();
    let data =
        aet_learn::data::Datasets::open(&experiment.data, &experiment.augment, 1, &|_, _| ())
            .unwrap();
    let found = recovery(&model, &experiment, &data.test.unwrap()).unwrap();
    let components = found.unwrap().components;
    let names: Vec<&str> = components.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["z1", "z2", "z3"]);
    assert!(components.iter().all(|c| c.r2.is_finite() && c.r2 < 1.0));
}

#[test]
fn a_generator_that_is_missing_or_of_another_size_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let objective = format!("{{kind=\"generated\", generator={:?}}}", folder.path());
    let message = config(&objective).resolve().unwrap_err().to_string();
    assert!(message.contains("objective.generator"), "{message}");
    assert!(message.contains("aet train-generator"), "{message}");
    let device = Device::flex();
    let net = fresh(false, [16, 24], &device);
    std::fs::write(folder.path().join(GENERATOR_FILE), net.to_bytes().unwrap()).unwrap();
    let experiment = config(&objective).resolve().unwrap();
    let refusal = fresh_model(&experiment, [32, 32], &device);
    let message = refusal.err().unwrap().to_string();
    assert!(
        message.contains("16x24") && message.contains("32x32"),
        "{message}"
    );
}
