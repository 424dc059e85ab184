//! What holds for every backbone: its taps, its files, its gradients, its views, its frozen features,
//! and that an objective can be learnt with it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use aet_data::random::{Purpose, generator, unit};
use aet_data::{EpochPlan, ImageSet, Loader, Location, Order, ShapesConfig, Share, Split};
use aet_learn::Device;
use aet_learn::backbone::{BACKBONES, BackboneConfig, Encoder};
use aet_learn::batch::Batch;
use aet_learn::config::{Experiment, ExperimentConfig};
use aet_learn::embed::{ExtractOptions, Pooling, extract};
use aet_learn::model::fresh_model;
use aet_learn::optim::step;
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::state::{
    host_values, named_tensors, read_safetensors, to_safetensors, with_named_tensors,
};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

/// Every backbone, small, as TOML; and the side of images that it takes, in pixels.
const SMALL: &[(&str, usize)] = &[
    ("{kind = \"nin\", blocks = 3, width = 0.05}", 16),
    ("{kind = \"alexnet\", width = 0.04}", 64),
    (
        "{kind = \"resnet\", depth = 18, stem = \"cifar\", width = 0.13}",
        16,
    ),
    (
        "{kind = \"resnet\", depth = 50, stem = \"imagenet\", width = 0.13}",
        32,
    ),
];

fn experiment(backbone: &str, side: usize) -> Experiment {
    let text = format!(
        "backbone = {backbone}\n[data]\npath = \"shapes\"\nimage_size = [{side}, {side}]\n\
         [data.shapes]\ntrain = 32\ntest = 8\n[transformation]\nkind = \"projective\"\n"
    );
    let config = ExperimentConfig::parse(&text, "test", &[]).unwrap();
    config.resolve().unwrap()
}

/// Every small backbone with the side of its images.
fn every() -> Vec<(BackboneConfig, usize)> {
    let small = SMALL.iter();
    small
        .map(|(text, side)| (experiment(text, *side).backbone.clone(), *side))
        .collect()
}

fn images(count: usize, side: usize, seed: u64, device: &Device) -> Tensor<4> {
    let mut rng = generator(seed, 0, 0, Purpose::Init);
    let values: Vec<f32> = (0..count * 3 * side * side)
        .map(|_| 2.0 * unit(&mut rng) as f32 - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(values, [count, 3, side, side]), device)
}

fn shapes(side: usize) -> Arc<ImageSet> {
    let config = ShapesConfig {
        train: 32,
        test: 8,
        ..ShapesConfig::default()
    };
    let source = aet_data::open(&Location::Shapes(config), Split::Train).unwrap();
    Arc::new(ImageSet::load(source.as_ref(), Some([side; 2]), 1, &|_, _| {}).unwrap())
}

#[test]
fn every_kind_is_among_the_small_ones_and_in_the_list() {
    let kinds: Vec<&str> = BACKBONES.iter().map(|(kind, _)| *kind).collect();
    for kind in &kinds {
        let tag = format!("kind = \"{kind}\"");
        assert!(SMALL.iter().any(|(text, _)| text.contains(&tag)), "{kind}");
    }
    let error = ExperimentConfig::parse(
        "[transformation]\nkind = \"projective\"\n",
        "test",
        &["backbone.kind=vgg".into()],
    );
    let message = error.unwrap_err().to_string();
    for kind in kinds {
        assert!(message.contains(&format!("`{kind}`")), "{message}");
    }
}

#[test]
fn features_at_every_tap_have_the_channels_that_it_names() {
    let device = Device::flex();
    for (config, side) in every() {
        let encoder = config.init(3, &device);
        assert_eq!(encoder.taps, config.taps());
        assert!(encoder.tap(config.probe_tap()).is_ok());
        for tap in &encoder.taps {
            let features = encoder.forward(images(2, side, 1, &device), tap);
            let [batch, channels, height, width] = features.dims();
            assert_eq!([batch, channels], [2, tap.channels], "{config:?}");
            assert!(height == width && height <= side, "{config:?}");
        }
    }
}

#[test]
fn an_encoder_from_a_file_gives_the_same_features() {
    let (device, folder) = (Device::flex(), tempfile::tempdir().unwrap());
    let path = folder.path().join("encoder.safetensors");
    for (config, side) in every() {
        let encoder = config.init(3, &device);
        let bytes = to_safetensors(&named_tensors(&encoder), None).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let other = config.init(4, &device);
        let features = |encoder: &Encoder| {
            let images = images(2, side, 1, &device);
            host_values(encoder.forward(images, encoder.last_tap()))
        };
        assert!(features(&encoder) != features(&other), "{config:?}");
        let loaded = with_named_tensors(other, &read_safetensors(&path).unwrap()).unwrap();
        assert!(features(&encoder) == features(&loaded), "{config:?}");
    }
}

/// Names of the parameters without a gradient, with one that is not finite, or with all zero.
struct Faulty<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    parameters: usize,
    faulty: Vec<String>,
}

impl ModuleVisitor for Faulty<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() {
            return;
        }
        self.parameters += 1;
        let values = value.grad(self.gradients).map(host_values);
        let sound = |values: Vec<f32>| {
            values.iter().all(|value| value.is_finite()) && values.iter().any(|value| *value != 0.0)
        };
        if !values.is_some_and(sound) {
            self.faulty.push(self.path.join("."));
        }
    }
}

#[test]
fn every_parameter_has_a_finite_gradient() {
    let device = Device::flex().autodiff();
    for (config, side) in every() {
        let encoder = config.init(3, &device);
        let features = encoder.forward(images(4, side, 1, &device), encoder.last_tap());
        let cotangent = Tensor::random(
            features.dims(),
            burn::tensor::Distribution::Normal(0.0, 1.0),
            &device,
        );
        let mut visitor = Faulty {
            gradients: &(features * cotangent).sum().backward(),
            path: Vec::new(),
            parameters: 0,
            faulty: Vec::new(),
        };
        encoder.visit(&mut visitor);
        assert!(visitor.parameters >= 15, "{config:?}");
        assert_eq!(visitor.faulty, Vec::<String>::new(), "{config:?}");
    }
}

#[test]
fn views_in_one_pass_are_those_of_a_pass_each() {
    let device = Device::flex().autodiff();
    for (config, side) in every() {
        let views = [1, 2].map(|seed| images(4, side, seed, &device));
        let (together, apart) = (config.init(3, &device), config.init(3, &device));
        let tap = together.last_tap();
        let found = together.forward_views(Tensor::cat(views.to_vec(), 0), 2, tap);
        let expected = Tensor::cat(views.map(|view| apart.forward(view, tap)).to_vec(), 0);
        let largest = host_values(expected.clone().abs().max())[0];
        let difference = host_values((found - expected).abs().max())[0];
        assert!(difference < 1e-4 * largest, "{config:?}: {difference}");
        let (found, expected) = (named_tensors(&together), named_tensors(&apart));
        for (name, tensor) in &expected {
            let pairs = tensor.values.iter().zip(&found[name].values);
            let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-4, "{name} of {config:?}: {difference}");
        }
    }
}

#[test]
fn reading_frozen_features_changes_nothing() {
    for (config, side) in every() {
        let encoder = config.init(3, &Device::flex().autodiff());
        let before = named_tensors(&encoder);
        for tap in &encoder.taps {
            let options = ExtractOptions {
                pooling: Pooling::MaxGrid(2),
                workers: 0,
                ..ExtractOptions::default()
            };
            let bank = extract(&encoder, tap, &shapes(side), &options, &mut |_, _| ()).unwrap();
            assert_eq!(bank.shape, [tap.channels, 2, 2], "{config:?}");
            assert_eq!(bank.len(), 32);
        }
        assert!(before == named_tensors(&encoder), "{config:?}");
    }
}

#[test]
fn thirty_two_images_are_learnt() {
    let device = Device::flex().autodiff();
    for (text, side) in SMALL {
        let experiment = experiment(text, *side);
        let plan = EpochPlan {
            seed: 1,
            epoch: 0,
            batch_size: 32,
            order: Order::Shuffled,
            drop_last: true,
            first_step: 0,
            share: Share::WHOLE,
        };
        let pairs = experiment.training_pipeline();
        let batch = Loader::epoch(shapes(*side), pairs, plan, 0).unwrap().next();
        let batch = Batch::from_host(batch.unwrap().unwrap(), &device);
        let mut model = fresh_model(&experiment, [*side; 2], &device).unwrap();
        let mut optimizer = experiment.optimizer.init();
        let mut losses: Vec<f32> = Vec::new();
        // A single loss goes up and down with the rate; the mean over some steps does not.
        let mean_of_ten = |losses: &[f32]| match losses.len() {
            ..10 => f32::INFINITY,
            count => losses[count - 10..].iter().sum::<f32>() / 10.0,
        };
        while losses.len() < 80
            && losses
                .first()
                .is_none_or(|first| mean_of_ten(&losses) >= 0.6 * first)
        {
            let output = model.objective.loss(&model.encoder, &batch);
            losses.push(output.loss.clone().into_scalar::<f32>());
            model = step(&mut optimizer, 0.02, model, &output.loss);
        }
        let (first, last) = (losses[0], mean_of_ten(&losses));
        println!("{text}: {first} to {last} in {} steps", losses.len());
        assert!(last < 0.6 * first, "{text}: {losses:?}");
    }
}

#[test]
fn images_too_small_for_the_pools_are_refused_where_their_size_is_known() {
    let fits = experiment("{kind = \"alexnet\", width = 0.04}", 63);
    let mut config = fits.clone().into_config();
    config.data.image_size = Some([62, 100]);
    let message = config.clone().resolve().unwrap_err().to_string();
    assert!(message.contains("at least 63"), "{message}");
    // The images of a data set of one size have no size in the configuration.
    config.data.image_size = None;
    let folder = tempfile::tempdir().unwrap();
    let info = RunInfo {
        image_size: [32, 32],
        ..RunInfo::default()
    };
    let run = RunDirectory::create(folder.path(), &config.resolve().unwrap(), info);
    let message = run.unwrap_err().to_string();
    assert!(message.contains("at least 63"), "{message}");
}
