//! What every objective has to do, and what each of them computes.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use aet_data::{ImageSet, Normalisation};
use aet_learn::Device;
use aet_learn::batch::Batch;
use aet_learn::config::{Experiment, ExperimentConfig, Statistics};
use aet_learn::evaluate::{evaluation_batches, pretext_loss};
use aet_learn::generator::{GENERATOR_FILE, GeneratorShape, LocalGenerator};
use aet_learn::matrix::{corner_positions_px, normalised_matrix_entries};
use aet_learn::model::{Model, fresh_model};
use aet_learn::objective::{OBJECTIVES, Objective, Trivial, divergence_from_normal};
use aet_learn::optim::{SgdConfig, step};
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::state::{
    NamedTensors, host_values, named_tensors, read_safetensors, to_safetensors, with_named_tensors,
};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use support::{first_batch, open};
use tempfile::TempDir;

/// Every objective in every form.
const EVERY: &[&str] = &[
    "{kind = \"aet\"}",
    "{kind = \"aet\", loss = \"matrix\"}",
    "{kind = \"aet\", loss = \"corners\"}",
    "{kind = \"aet\", loss = \"image\"}",
    "{kind = \"aet\", loss = \"image\", distance = \"absolute\"}",
    "{kind = \"aet\", loss = \"image\", distance = \"features\"}",
    "{kind = \"aet\", hidden = 24}",
    "{kind = \"avt\"}",
    "{kind = \"avt\", hidden = 24}",
    "{kind = \"ensemble\"}",
    "{kind = \"ensemble\", members = [{transformation = {kind = \"blur\"}, weight = 0.5}, {transformation = {kind = \"elastic\"}}, {transformation = {kind = \"affine\"}}]}",
    "{kind = \"aed\", code = 48, channels = 8}",
    "{kind = \"aed\", code = 48, channels = 8, noise = 0.1}",
    "{kind = \"aed\", code = 48, channels = 8, variational = true}",
    "{kind = \"aed\", code = 48, channels = 8, noise = 0.2, variational = true}",
    "{kind = \"rotnet\"}",
    "{kind = \"lgan\", axes = 3, code = 12, channels = 4, jacobian_axes = 2, jacobian_images = 4, jacobian_step = 0.1}",
    "{kind = \"lgan\", axes = 3, channels = 4, residual = true, jacobian_step = 0.1}",
    "{kind = \"generated\", generator = \"GENERATOR\"}",
    "{kind = \"generated\", generator = \"GENERATOR\", hidden = 24}",
];

/// A generator with random weights.
fn generator_folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let shape = GeneratorShape {
            axes: 3,
            sigma: 3.0,
            code: 12,
            channels: 4,
            residual: true,
            image_size: [32, 32],
        };
        let made = LocalGenerator::new(shape, &Normalisation::default(), 9, &Device::flex());
        let path = folder.path().join(GENERATOR_FILE);
        std::fs::write(path, made.to_bytes().unwrap()).unwrap();
        folder
    });
    folder.path()
}

const TOML: &str = r#"
seed = 5
[data]
path = "shapes"
[data.shapes]
train = 64
test = 40
[augment]
crop_padding = 4
horizontal_flip = true
[transformation]
kind = "projective"
[backbone]
kind = "nin"
blocks = 3
width = 0.1
[schedule]
kind = "one-cycle"
rate = 0.1
[training]
epochs = 3
batch_size = 16
"#;

fn config(changes: &[&str]) -> ExperimentConfig {
    let changes: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
    ExperimentConfig::parse(TOML, "test", &changes).unwrap()
}

fn experiment(objective: &str) -> Experiment {
    let folder = generator_folder().to_string_lossy();
    let objective = format!("objective={}", objective.replace("GENERATOR", &folder));
    config(&[&objective]).resolve().unwrap()
}

/// A batch of `count` training images.
fn batch(experiment: &Experiment, count: usize, device: &Device) -> Batch {
    Batch::from_host(first_batch(experiment, count), device)
}

fn figures(model: &Model, batch: &Batch) -> (f64, Vec<(&'static str, f64)>) {
    let output = model.objective.loss(&model.encoder, batch);
    let parts = output.parts.into_iter();
    let parts = parts.map(|(name, value)| (name, f64::from(host_values(value)[0])));
    (f64::from(host_values(output.loss)[0]), parts.collect())
}

#[test]
fn every_objective_of_the_list_is_tested_under_its_name() {
    let listed: BTreeSet<&str> = OBJECTIVES.iter().map(|(name, _)| *name).collect();
    let names = EVERY.iter().map(|text| experiment(text).objective.name());
    assert_eq!(names.collect::<BTreeSet<_>>(), listed);
    for (name, _) in OBJECTIVES {
        let kind = format!("objective.kind={name}");
        assert_eq!(config(&[&kind]).objective.name(), *name);
    }
}

#[test]
fn thirty_two_images_are_learnt_by_every_objective() {
    let device = Device::flex().autodiff();
    for text in EVERY {
        let experiment = experiment(text);
        let batch = batch(&experiment, 32, &device);
        let mut model = fresh_model(&experiment, [32, 32], &device).unwrap();
        let mut optimizer = experiment.optimizer.init();
        let mut losses: Vec<f32> = Vec::new();
        // A single loss goes up and down with the rate; the mean over some steps does not.
        let mean_of_ten = |losses: &[f32]| match losses.len() {
            ..10 => f32::INFINITY,
            count => losses[count - 10..].iter().sum::<f32>() / 10.0,
        };
        // Of the distance of images a part is left where they were interpolated, or a surrogate is
        // not what was done.
        let enough = match text {
            _ if text.contains("elastic") => 0.85,
            _ if text.contains("image") => 0.8,
            _ => 0.6,
        };
        while losses.len() < 150
            && losses
                .first()
                .is_none_or(|first| mean_of_ten(&losses) >= enough * first)
        {
            let output = model.objective.loss(&model.encoder, &batch);
            losses.push(output.loss.clone().into_scalar::<f32>());
            model = step(&mut optimizer, 0.02, model, &output.loss);
        }
        let (first, last) = (losses[0], mean_of_ten(&losses));
        println!("{text}: {first} to {last} in {} steps", losses.len());
        assert!(last < enough * first, "{text}: {losses:?}");
    }
}

#[test]
fn every_weight_of_every_objective_gets_a_finite_gradient() {
    let device = Device::flex().autodiff();
    for text in EVERY {
        let experiment = experiment(text);
        let mut model = fresh_model(&experiment, [32, 32], &device).unwrap();
        let before = named_tensors(&model);
        let config = SgdConfig {
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        };
        // Some weights take no gradient while those after them are still 0, and a scale that is
        // normalised away takes none while its shift is 0.
        for _ in 0..3 {
            let batch = batch(&experiment, 16, &device);
            let output = model.objective.loss(&model.encoder, &batch);
            model = step(&mut config.init(), 0.05, model, &output.loss);
        }
        for (name, tensor) in named_tensors(&model) {
            assert!(tensor.values.iter().all(|v| v.is_finite()), "{text} {name}");
            // Whoever regresses what a generator did leaves it as it is.
            let is_to_move = !(text.contains("generated") && name.contains("generator"));
            let has_moved = before[&name] != tensor;
            assert_eq!(has_moved, is_to_move, "{text}: {name}");
        }
    }
}

#[test]
fn decoders_that_compare_images_begin_near_an_anchor_and_stay_within_bounds() {
    let device = Device::flex();
    let surrogate = |kind: &str, surrogate: &str| {
        format!("transformation={{kind = \"{kind}\", surrogate = {{kind = \"{surrogate}\"}}}}")
    };
    // The anchor that happens to be the likeliest is a turn of which the images know nothing yet, if
    // there are several.
    let (near, spread) = (0.9..1.1, 0.7..1.3);
    let near_alone = "transformation={kind=\"projective\",quarter_turns=false}";
    for (transformation, expected) in [
        ("transformation.kind=projective".to_owned(), &spread),
        ("transformation.kind=affine".to_owned(), &spread),
        (near_alone.to_owned(), &near),
        ("transformation.kind=convolution".to_owned(), &spread),
        (surrogate("elastic", "thin-plate"), &spread),
        (surrogate("local-shuffle", "projective"), &near),
        (surrogate("texture", "convolution"), &spread),
    ] {
        let experiment = config(&["objective.loss=image", &transformation]);
        let experiment = experiment.resolve().unwrap();
        let mut model = fresh_model(&experiment, [32, 32], &device).unwrap();
        let batch = batch(&experiment, 32, &device);
        let (_, parts) = figures(&model, &batch);
        let ratio = |parts: &[(&str, f64)]| {
            let named = parts.iter().find(|(name, _)| *name == "image_ratio");
            named.unwrap().1
        };
        let begun = ratio(&parts);
        assert!(expected.contains(&begun), "{transformation}: {begun}");
        let Objective::Aet(aet) = &mut model.objective else {
            panic!("the objective is aet");
        };
        aet.weight = Param::from_tensor(aet.weight.val() * 1e6);
        let far = host_values(model.objective.predict(&model.encoder, &batch));
        assert!(
            far.iter().all(|value| value.abs() <= 4.0),
            "{transformation}"
        );
        let (_, parts) = figures(&model, &batch);
        assert!(ratio(&parts).is_finite(), "{transformation}");
    }
}

#[test]
fn gradients_of_every_decoder_are_the_slopes_of_its_loss() {
    let device = Device::flex().autodiff();
    let still = SgdConfig {
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
    };
    for text in EVERY {
        let experiment = experiment(text);
        let batch = batch(&experiment, 16, &device);
        let model = fresh_model(&experiment, [32, 32], &device).unwrap();
        let mut weights = named_tensors(&model);
        // Interpolation has kinks in the centres of pixels, where the identity reads.
        if text.contains("image") || text.contains("elastic") {
            let biases = weights
                .iter_mut()
                .filter(|(name, _)| name.starts_with("objective.") && name.ends_with("bias"));
            for (at, value) in biases.flat_map(|(_, tensor)| tensor.values.iter_mut().enumerate()) {
                *value += 0.03 + 0.01 * (at % 5) as f32;
            }
        }
        let model = with_named_tensors(model, &weights).unwrap();
        let fresh = model.clone();
        let loss_of = |weights: &NamedTensors| {
            let model = fresh_model(&experiment, [32, 32], &device).unwrap();
            let model = with_named_tensors(model, weights).unwrap();
            figures(&model, &batch).0
        };
        let output = model.objective.loss(&model.encoder, &batch);
        let stepped = named_tensors(&step(&mut still.init(), 1.0, model, &output.loss));
        let decoder = weights
            .iter()
            .filter(|(name, _)| name.starts_with("objective.") && !name.contains("running"));
        for (name, tensor) in decoder {
            let gradient = tensor.values.iter().zip(&stepped[name].values);
            let gradient: Vec<f32> = gradient.map(|(before, after)| before - after).collect();
            let length = gradient
                .iter()
                .map(|g| f64::from(*g).powi(2))
                .sum::<f64>()
                .sqrt();
            // A loss has seven digits: what hardly moves it cannot be measured so.
            if length < 1e-3 {
                continue;
            }
            let moved = |by: f64| {
                let mut weights = weights.clone();
                let values = &mut weights.get_mut(name).unwrap().values;
                for (value, slope) in values.iter_mut().zip(&gradient) {
                    *value += (by * f64::from(*slope) / length) as f32;
                }
                loss_of(&weights)
            };
            // Interpolation and absolute values have kinks that a step passes; those of a generator
            // with random weights are dense.
            let (by, allowed) = match text {
                _ if text.contains("image") || text.contains("elastic") => (0.001, 0.1),
                _ if text.contains("lgan") => (0.0003, 0.1),
                _ => (0.005, 0.03),
            };
            // No further than what changes the loss by a five-hundredth.
            let by = f64::min(by, 0.002 * figures(&fresh, &batch).0 / length);
            let found = (moved(by) - moved(-by)) / (2.0 * by);
            let error = (found - length).abs();
            assert!(
                error < allowed * length + 1e-4,
                "{text} {name}: {found} {length}"
            );
        }
    }
}

#[test]
fn weights_that_were_saved_give_the_same_loss_and_answers() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    for text in EVERY {
        let experiment = experiment(text);
        let batch = batch(&experiment, 16, &device);
        let model = fresh_model(&experiment, [32, 32], &device).unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, to_safetensors(&named_tensors(&model), None).unwrap()).unwrap();
        let mut other = experiment.clone().into_config();
        other.seed = 99;
        let other = fresh_model(&other.resolve().unwrap(), [32, 32], &device).unwrap();
        assert!(figures(&other, &batch) != figures(&model, &batch), "{text}");
        let loaded = with_named_tensors(other, &read_safetensors(&path).unwrap()).unwrap();
        assert_eq!(figures(&loaded, &batch), figures(&model, &batch), "{text}");
        let answers = |model: &Model| host_values(model.objective.predict(&model.encoder, &batch));
        assert_eq!(answers(&loaded), answers(&model), "{text}");
    }
}

#[test]
fn evaluation_gives_the_metric_beside_that_of_a_trivial_answer() {
    for text in EVERY {
        let experiment = experiment(text);
        let model = fresh_model(&experiment, [32, 32], &Device::flex().autodiff()).unwrap();
        let test = open(&experiment).test.unwrap();
        let found = pretext_loss(&model, &experiment, &test).unwrap();
        assert_eq!(found, pretext_loss(&model, &experiment, &test).unwrap());
        assert!(
            found.loss.is_finite() && found.metric().is_finite(),
            "{text}"
        );
        let expected = trivial_metric(&experiment, &test);
        assert!(
            (found.trivial_metric - expected).abs() < 1e-4 * expected,
            "{text}: {} {expected}",
            found.trivial_metric
        );
    }
}

/// The variance of what is to be told, by its definition.
fn trivial_metric(experiment: &Experiment, images: &Arc<ImageSet>) -> f64 {
    match experiment.objective.yardstick().trivial {
        Trivial::Chance(_) => return 0.25,
        Trivial::Identity => return 1.0,
        Trivial::Still(axes) => return 1.0 / axes as f64,
        Trivial::MeanAnswer => return mean_answer(experiment, images),
        Trivial::MeanTarget | Trivial::MeanImage => {}
    }
    let batch = evaluation_batches(experiment, images, 40).unwrap().next();
    let batch = batch.unwrap().unwrap();
    let values = match experiment.objective.name() {
        "aet" | "avt" | "ensemble" | "generated" => batch.targets.clone(),
        _ => batch.views.last().unwrap().clone(),
    };
    let length = values.len() / 40;
    let mut sum = 0.0;
    for component in 0..length {
        let column = || values.iter().skip(component).step_by(length);
        let mean = column().map(|v| f64::from(*v)).sum::<f64>() / 40.0;
        sum += column()
            .map(|v| (f64::from(*v) - mean).powi(2))
            .sum::<f64>()
            / 40.0;
    }
    sum / length as f64
}

/// How far the mean of all targets is from each of them, as a matrix or by its corners.
fn mean_answer(experiment: &Experiment, images: &Arc<ImageSet>) -> f64 {
    let batch = evaluation_batches(experiment, images, 40).unwrap().next();
    let batch = batch.unwrap().unwrap();
    let length = batch.target_len;
    let mean = (0..length).map(|component| {
        let column = batch.targets.iter().skip(component).step_by(length);
        column.map(|value| f64::from(*value)).sum::<f64>() / 40.0
    });
    let mean: Vec<f32> = mean.map(|value| value as f32).collect();
    let of = |target: &[f32]| {
        let row = TensorData::new(target.to_vec(), [1, target.len()]);
        Tensor::<2>::from_data(row, &Device::flex())
    };
    let family = &experiment.transformation;
    let (corners, entries) = (
        |target: &[f32]| host_values(corner_positions_px(family, of(target), [32, 32])),
        |target: &[f32]| host_values(normalised_matrix_entries(family, of(target), [32, 32])),
    );
    let errors = batch.targets.chunks_exact(length).map(|target| {
        let pair = match experiment.objective.yardstick().metric {
            "corner_px" => [corners(target), corners(&mean)],
            _ => [entries(target), entries(&mean)],
        };
        let off = pair[0].iter().zip(&pair[1]);
        let off: Vec<f64> = off.map(|(a, b)| f64::from(a - b)).collect();
        match experiment.objective.yardstick().metric {
            "corner_px" => {
                off.chunks_exact(2)
                    .map(|at| at[0].hypot(at[1]))
                    .sum::<f64>()
                    / 4.0
            }
            _ => off.iter().map(|off| off * off).sum::<f64>() / off.len() as f64,
        }
    });
    errors.sum::<f64>() / 40.0
}

#[test]
fn the_loss_can_be_measured_with_the_statistics_of_each_batch_and_leaves_the_running_ones() {
    let running = experiment("{kind = \"aet\"}");
    let mut config = running.clone().into_config();
    config.evaluation.statistics = Statistics::Batch;
    let batchwise = config.resolve().unwrap();
    let model = fresh_model(&running, [32, 32], &Device::flex().autodiff()).unwrap();
    let test = open(&running).test.unwrap();
    let before = named_tensors(&model);
    let found = pretext_loss(&model, &batchwise, &test).unwrap();
    assert_eq!(named_tensors(&model), before);
    let frozen = pretext_loss(&model, &running, &test).unwrap();
    assert_ne!(found.loss, frozen.loss);
    let batch = evaluation_batches(&running, &test, 250).unwrap().next();
    let batch = Batch::from_host(batch.unwrap().unwrap(), &model.encoder.device());
    let expected = model
        .objective
        .loss(&model.encoder, &batch)
        .loss
        .into_scalar::<f32>();
    assert!(
        (found.loss - f64::from(expected)).abs() < 1e-5,
        "{} {expected}",
        found.loss
    );
}

#[test]
fn the_keys_of_aet_records_are_those_of_earlier_versions() {
    let experiment = experiment("{kind = \"aet\"}");
    let model = fresh_model(&experiment, [32, 32], &Device::flex().autodiff()).unwrap();
    let test = open(&experiment).test.unwrap();
    let found = pretext_loss(&model, &experiment, &test).unwrap();
    let yardstick = experiment.objective.yardstick();
    let record = aet_learn::evaluate::PretextLoss::record(yardstick, Some(&found));
    let keys: Vec<&str> = record.iter().map(|(key, _)| key.as_str()).collect();
    let expected = [
        "metric",
        "trivial",
        "test_loss",
        "test_mse",
        "test_mse_of_mean",
        "test_corner_px",
    ];
    assert_eq!(keys, expected);
    assert_eq!(record[2].1, record[3].1);
}

#[test]
fn the_divergence_from_the_normal_distribution_is_that_of_the_closed_form() {
    let device = Device::flex();
    // By numerical integration of p ln(p / q), as the formula under test is the closed form.
    let integral = |mean: f64, log_variance: f64| {
        let deviation = (0.5 * log_variance).exp();
        let steps = 40_000;
        let width = 24.0 * deviation / f64::from(steps);
        (0..steps)
            .map(|at| {
                let x = mean - 12.0 * deviation + (f64::from(at) + 0.5) * width;
                let log_p = -0.5 * ((x - mean) / deviation).powi(2) - deviation.ln();
                let p = log_p.exp() / std::f64::consts::TAU.sqrt();
                p * (log_p + 0.5 * x * x) * width
            })
            .sum::<f64>()
    };
    let (means, log_variances) = (
        [0.5, -1.5, 0.0, 2.0, 0.25, -0.5],
        [0.2, -1.0, 1.5, 0.0, -3.0, 0.7],
    );
    let terms = means
        .iter()
        .zip(log_variances)
        .map(|(m, v)| integral(*m, v));
    let expected = terms.sum::<f64>() / 2.0;
    let tensor = |values: [f64; 6]| {
        let values = values.map(|value| value as f32).to_vec();
        Tensor::<2>::from_data(TensorData::new(values, [2, 3]), &device)
    };
    let found = divergence_from_normal(tensor(means), tensor(log_variances));
    let found = f64::from(host_values(found)[0]);
    assert!((found - expected).abs() < 1e-4, "{found} {expected}");
}

#[test]
fn the_loss_of_a_variational_code_is_the_error_and_the_weighted_divergence() {
    let experiment = experiment(
        "{kind = \"aed\", code = 20, channels = 8, variational = true, kl_weight = 50.0, kl_warmup_epochs = 4.0}",
    );
    let device = Device::flex();
    let model = fresh_model(&experiment, [32, 32], &device).unwrap();
    let mut batch = batch(&experiment, 16, &device);
    for (epochs_done, weight) in [
        (Some(0.0), 0.0),
        (Some(1.0), 12.5),
        (Some(7.0), 50.0),
        (None, 50.0),
    ] {
        batch.epochs_done = epochs_done;
        let (loss, parts) = figures(&model, &batch);
        let [("mse", mse), ("kl", kl)] = parts[..] else {
            panic!("{parts:?}");
        };
        assert!(kl > 0.1, "{kl}");
        let expected = mse + weight * 2.0 / 3072.0 * kl;
        assert!(
            (loss - expected).abs() < 1e-5 * expected,
            "{loss} {expected}"
        );
    }
}

#[test]
fn a_denoised_image_is_held_against_the_clean_one() {
    let experiment = experiment("{kind = \"aed\", code = 20, channels = 8, noise = 0.3}");
    let device = Device::flex();
    let model = fresh_model(&experiment, [32, 32], &device).unwrap();
    let batch = batch(&experiment, 16, &device);
    let rebuilt = host_values(model.objective.predict(&model.encoder, &batch));
    let error_of = |view: usize| {
        let pixels = host_values(batch.views[view].clone());
        let squares = rebuilt
            .iter()
            .zip(&pixels)
            .map(|(r, p)| f64::from(r - p).powi(2));
        squares.sum::<f64>() / pixels.len() as f64
    };
    let (_, parts) = figures(&model, &batch);
    assert!((parts[0].1 - error_of(1)).abs() < 1e-5 * error_of(1));
    assert!((parts[0].1 - error_of(0)).abs() > 0.1);
}

#[test]
fn images_of_any_size_are_rebuilt_at_their_size() {
    let device = Device::flex();
    for (backbone, size) in [
        ("{kind = \"nin\", blocks = 3, width = 0.05}", [17, 28]),
        ("{kind = \"nin\", blocks = 3, width = 0.05}", [9, 8]),
        ("{kind = \"alexnet\", width = 0.04}", [63, 70]),
        (
            "{kind = \"resnet\", width = 0.05, stem = \"cifar\"}",
            [33, 20],
        ),
    ] {
        let changes = [
            "objective={kind=\"aed\",code=12,channels=4}".to_string(),
            format!("backbone={backbone}"),
            format!("data.image_size={size:?}"),
        ];
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let experiment = config(&changes).resolve().unwrap();
        let model = fresh_model(&experiment, size, &device).unwrap();
        let batch = batch(&experiment, 4, &device);
        let Objective::Aed(aed) = &model.objective else {
            panic!("{backbone}");
        };
        let rebuilt = aed.rebuild(&model.encoder, &batch);
        assert_eq!(rebuilt.dims(), [4, 3, size[0], size[1]], "{backbone}");
        assert!(host_values(rebuilt).iter().all(|value| value.is_finite()));
    }
}

#[test]
fn the_loss_of_turns_is_the_cross_entropy_of_their_scores() {
    let experiment = experiment("{kind = \"rotnet\"}");
    let device = Device::flex();
    let model = fresh_model(&experiment, [32, 32], &device).unwrap();
    let batch = batch(&experiment, 6, &device);
    let scores = host_values(model.objective.predict(&model.encoder, &batch));
    assert_eq!(scores.len(), 24 * 4);
    let (mut entropy, mut hits) = (0.0, 0);
    for (row, scores) in scores.chunks_exact(4).enumerate() {
        let truth = row / 6;
        let sum: f64 = scores.iter().map(|score| f64::from(*score).exp()).sum();
        entropy -= (f64::from(scores[truth]).exp() / sum).ln();
        hits += usize::from(scores.iter().all(|score| scores[truth] >= *score));
    }
    let (loss, parts) = figures(&model, &batch);
    assert!((loss - entropy / 24.0).abs() < 1e-5, "{loss} {entropy}");
    assert_eq!(parts.len(), 1);
    assert!((parts[0].1 - hits as f64 / 24.0).abs() < 1e-6, "{parts:?}");
}

#[test]
fn all_turns_are_normalised_with_the_statistics_of_one_batch() {
    let experiment = experiment("{kind = \"rotnet\"}");
    let device = Device::flex().autodiff();
    let model = fresh_model(&experiment, [32, 32], &device).unwrap();
    let batch = batch(&experiment, 8, &device);
    model.objective.loss(&model.encoder, &batch);
    let together = fresh_model(&experiment, [32, 32], &device).unwrap();
    let tap = together.encoder.last_tap();
    let views = Tensor::cat(batch.views.clone(), 0);
    together.encoder.forward_views(views, 1, tap);
    let found = named_tensors(&model.encoder.valid());
    assert!(found == named_tensors(&together.encoder.valid()));
}

fn refusal(objective: &str) -> String {
    let objective = format!("objective={objective}");
    let message = config(&[&objective]).resolve().unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn settings_that_cannot_be_are_refused_with_key_range_and_value() {
    for (objective, parts) in [
        (
            "{kind=\"aed\",code=0}",
            ["objective.code = 0", "at least 1"],
        ),
        (
            "{kind=\"aed\",channels=0}",
            ["objective.channels = 0", "1 to 1024"],
        ),
        (
            "{kind=\"aed\",noise=-0.1}",
            ["objective.noise = -0.1", "0 to 1"],
        ),
        (
            "{kind=\"aed\",noise=nan}",
            ["objective.noise = NaN", "0 to 1"],
        ),
        (
            "{kind=\"aed\",kl_weight=-1.0}",
            ["objective.kl_weight = -1", "at least 0"],
        ),
        (
            "{kind=\"aed\",kl_warmup_epochs=inf}",
            ["objective.kl_warmup_epochs = inf", "at least 0"],
        ),
    ] {
        let message = refusal(objective);
        for part in parts {
            assert!(message.contains(part), "{objective}: {message}");
        }
    }
    let unknown =
        ExperimentConfig::parse(TOML, "t", &["objective={kind=\"rotnet\",turns=8}".into()]);
    assert!(unknown.unwrap_err().to_string().contains("turns"));
}

#[test]
fn images_that_a_task_cannot_be_set_on_are_refused_where_their_size_is_known() {
    for (objective, size, parts) in [
        ("{kind=\"rotnet\"}", [32, 40], ["square", "[32, 40]"]),
        (
            "{kind=\"aed\",code=192}",
            [8, 8],
            ["objective.code = 192", "8x8"],
        ),
    ] {
        let objective = format!("objective={objective}");
        let mut config = config(&[&objective]);
        config.data.image_size = Some(size);
        let refused = config.clone().resolve().unwrap_err().to_string();
        // The images of a data set of one size have no size in the configuration.
        config.data.image_size = None;
        let experiment = config.resolve().unwrap();
        let info = RunInfo {
            image_size: size,
            ..RunInfo::default()
        };
        let run = RunDirectory::create(Path::new("nowhere"), &experiment, info);
        for message in [refused, run.unwrap_err().to_string()] {
            for part in parts {
                assert!(message.contains(part), "{message}");
            }
        }
        let pixels = vec![7; size[0] * size[1] * 3];
        let set = Arc::new(ImageSet::new(size, pixels, vec![None]).unwrap());
        assert!(evaluation_batches(&experiment, &set, 4).is_err());
    }
}

/// One of the turns is near the truth from the start, and the energy finds it.
#[test]
fn a_candidate_is_near_every_transformation_that_turns() {
    let device = Device::flex();
    for kind in ["projective", "dihedral"] {
        let change = format!("transformation.kind={kind}");
        let experiment = config(&["objective.loss=image", &change]);
        let experiment = experiment.resolve().unwrap();
        let batch = batch(&experiment, 64, &device);
        let model = fresh_model(&experiment, [32, 32], &device).unwrap();
        let (loss, parts) = figures(&model, &batch);
        // No turn of an image is near the copy of another one.
        let mut of_others = batch.clone();
        of_others.views[1] = batch.views[1].clone().roll_dim(1, 0);
        let (lost, _) = figures(&model, &of_others);
        println!("{kind}: {loss} {lost} {parts:?}");
        assert!(loss < 0.9 * lost, "{kind}: {loss} {lost}");
    }
}
