//! AlexNet, the residual networks and adaptive pooling against PyTorch and torchvision. The expected
//! numbers come from `parity/make_backbones.py`.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::path::Path;

use aet_learn::Device;
use aet_learn::backbone::{AlexNetConfig, BackboneConfig, Encoder, ResNetConfig, Stem};
use aet_learn::embed::Pooling;
use aet_learn::state::{
    HostTensor, NamedTensors, host_values, named_tensors, read_safetensors, with_named_tensors,
};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use support::gradients_by_name;

fn fixture(name: &str) -> NamedTensors {
    let path = format!("tests/parity/{name}_parity.safetensors");
    read_safetensors(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn resnet(depth: usize, stem: Stem, width: f64) -> BackboneConfig {
    BackboneConfig::ResNet(ResNetConfig { depth, stem, width })
}

/// The networks of the script, each with the file and the name that it has there.
fn cases() -> Vec<(&'static str, &'static str, BackboneConfig)> {
    let alexnet = BackboneConfig::AlexNet(AlexNetConfig { width: 1.0 / 24.0 });
    let resnet18 = |stem| resnet(18, stem, 1.0 / 12.0);
    let resnet50 = |stem| resnet(50, stem, 1.0 / 16.0);
    vec![
        ("alexnet", "alexnet", alexnet),
        ("resnet18", "resnet18.cifar", resnet18(Stem::Cifar)),
        ("resnet18", "resnet18.imagenet", resnet18(Stem::Imagenet)),
        ("resnet50", "resnet50.cifar", resnet50(Stem::Cifar)),
        ("resnet50", "resnet50.imagenet", resnet50(Stem::Imagenet)),
    ]
}

/// What the script calls one of our tensors: `network.ResNet.stages.0.1.units.0.conv` is
/// `layer1.1.conv1.weight` there, `network.AlexNet.convolutions.0.conv` is `conv.0.weight`.
fn script_name(ours: &str) -> String {
    let parts: Vec<&str> = ours.split('.').collect();
    let leaf = match parts[parts.len() - 1] {
        "conv" | "weight" | "gamma" => "weight",
        "beta" => "bias",
        statistic => statistic,
    };
    let norm = parts.contains(&"norm");
    let number = |text: &str| text.parse::<usize>().unwrap();
    match parts[2..] {
        ["convolutions", place, ..] if norm => format!("conv_norm.{place}.{leaf}"),
        ["convolutions", place, ..] => format!("conv.{place}.{leaf}"),
        ["dense", place, ..] if norm => format!("fc_norm.{place}.{leaf}"),
        ["dense", place, ..] => format!("fc.{place}.{leaf}"),
        ["stem", ..] if norm => format!("bn1.{leaf}"),
        ["stem", ..] => format!("conv1.{leaf}"),
        ["stages", stage, block, "shortcut", ..] => {
            let (stage, place) = (number(stage) + 1, usize::from(norm));
            format!("layer{stage}.{block}.downsample.{place}.{leaf}")
        }
        ["stages", stage, block, ref rest @ ..] => {
            let place = match rest {
                ["units", place, ..] => format!("{}", number(place) + 1),
                _ => "last".into(),
            };
            let kind = if norm { "bn" } else { "conv" };
            format!("layer{}.{block}.{kind}{place}.{leaf}", number(stage) + 1)
        }
        _ => panic!("{ours} is not known"),
    }
}

/// [`script_name`] with the number of a block's last convolution, which depends on the depth.
fn name_of(ours: &str, case: &str) -> String {
    let number = if case.contains("50") { "3" } else { "2" };
    script_name(ours).replace("last", number)
}

/// The tensors of one case, without its name in front.
fn of_case(fixture: &NamedTensors, case: &str) -> NamedTensors {
    let own = fixture.iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix(case)?.strip_prefix('.')?;
        Some((name.to_string(), tensor.clone()))
    });
    own.collect()
}

/// Our encoder with the script's weights.
fn encoder(
    tensors: &NamedTensors,
    case: &str,
    config: &BackboneConfig,
    device: &Device,
) -> Encoder {
    let encoder = config.init(0, device);
    let mut ours = NamedTensors::new();
    for (name, own) in named_tensors(&encoder) {
        let mut tensor = tensors[&format!("weights.{}", name_of(&name, case))].clone();
        // PyTorch's linear layers have [outputs, inputs].
        if name.contains("dense") && own.shape.len() == 2 {
            tensor = transposed(&tensor);
        }
        ours.insert(name, tensor);
    }
    let stored = tensors.keys().filter(|name| name.starts_with("weights."));
    assert_eq!(stored.count(), ours.len(), "{case}");
    with_named_tensors(encoder, &ours).unwrap()
}

fn transposed(tensor: &HostTensor) -> HostTensor {
    let [rows, columns] = tensor.shape[..] else {
        panic!("only a matrix can be transposed");
    };
    let values = (0..columns).flat_map(|column| (0..rows).map(move |row| (row, column)));
    HostTensor {
        shape: vec![columns, rows],
        values: values
            .map(|(row, column)| tensor.values[row * columns + column])
            .collect(),
    }
}

fn tensor(host: &HostTensor, device: &Device) -> Tensor<4> {
    let data = TensorData::new(host.values.clone(), host.shape.clone());
    Tensor::from_data(data, device)
}

/// Asserts that `found` starts with the values of `expected`, to `tolerance` of their largest.
fn assert_close(name: &str, found: &[f32], expected: &HostTensor, tolerance: f32) {
    assert!(found.len() >= expected.values.len(), "{name}: too few");
    let largest = expected.values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    assert!(largest > 0.0, "{name}: the expected values are all zero");
    let pairs = found.iter().zip(&expected.values);
    let difference = pairs.fold(0.0_f32, |m, (f, e)| m.max((f - e).abs()));
    assert!(
        difference <= tolerance * largest,
        "{name}: off by {difference}, the largest value being {largest}"
    );
}

#[test]
fn features_in_training_and_evaluation_match_at_every_tap() {
    for (file, case, config) in cases() {
        let tensors = of_case(&fixture(file), case);
        let plain = Device::flex();
        for (input, prefix, device) in [
            ("x", "train", &plain.clone().autodiff()),
            ("x", "eval", &plain),
            ("other.x", "other", &plain),
        ] {
            for tap in config.taps() {
                // A fresh one each time: a training forward moves the running statistics.
                let encoder = encoder(&tensors, case, &config, device);
                let images = tensor(&tensors[input], device);
                let features = encoder.forward(images.clone(), &tap);
                let expected = &tensors[&format!("{prefix}.{}", tap.name)];
                assert_eq!(features.dims()[1..], expected.shape[1..], "{case}");
                let name = format!("{case} {prefix} {}", tap.name);
                assert_close(&name, &host_values(features), expected, 1e-4);
                let by_parts = self::encoder(&tensors, case, &config, device)
                    .forward_by_parts(images, 1, &tap);
                assert_close(&name, &host_values(by_parts), expected, 1e-4);
            }
        }
    }
}

#[test]
fn gradients_and_running_statistics_match() {
    let device = Device::flex().autodiff();
    for (file, case, config) in cases() {
        let tensors = of_case(&fixture(file), case);
        let encoder = encoder(&tensors, case, &config, &device);
        let features = encoder.forward(tensor(&tensors["x"], &device), encoder.last_tap());
        let cotangent = &tensors["cotangent"];
        let loss = (features * tensor(cotangent, &device)).sum();
        let (mut gradients, mut statistics) = (0, 0);
        for (name, mut gradient) in gradients_by_name(&encoder, &loss.backward()) {
            if name.contains("dense") && gradient.shape.len() == 2 {
                gradient = transposed(&gradient);
            }
            let name = name_of(&name, case);
            if let Some(expected) = tensors.get(&format!("grad.{name}")) {
                assert_eq!(gradient.shape, expected.shape, "{case} {name}");
                let place = format!("{case} gradient of {name}");
                assert_close(&place, &gradient.values, expected, 1e-3);
                gradients += 1;
            }
        }
        for (name, found) in named_tensors(&encoder.valid()) {
            let name = name_of(&name, case);
            if let Some(expected) = tensors.get(&format!("after.{name}")) {
                let place = format!("{case} {name} after a step");
                assert_close(&place, &found.values, expected, 1e-4);
                statistics += 1;
            }
        }
        let stored = |kind: &str| tensors.keys().filter(|name| name.starts_with(kind)).count();
        assert!(gradients >= 7 && gradients == stored("grad."), "{case}");
        assert!(statistics >= 14 && statistics == stored("after."), "{case}");
    }
}

/// Parameters as `make_backbones.py --count` prints them: of torchvision's networks without `fc`, and
/// of the released AlexNet, whose 1,152 biases of convolutions we leave out.
#[test]
fn full_networks_have_as_many_parameters_as_the_published_ones() {
    let alexnet = BackboneConfig::AlexNet(AlexNetConfig::default());
    for (config, expected) in [
        (alexnet, 57_014_336 - 1_152),
        (resnet(18, Stem::Imagenet, 1.0), 11_176_512),
        (resnet(34, Stem::Imagenet, 1.0), 21_284_672),
        (resnet(50, Stem::Imagenet, 1.0), 23_508_032),
    ] {
        let mut count = Count(0);
        config.init(1, &Device::flex().autodiff()).visit(&mut count);
        assert_eq!(count.0, expected, "{config:?}");
    }
}

/// Counts what is trained.
struct Count(usize);

impl ModuleVisitor for Count {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            self.0 += value.shape().num_elements();
        }
    }
}

#[test]
fn adaptive_pooling_matches_on_odd_sizes_and_upwards() {
    let (fixture, device) = (fixture("pooling"), Device::flex());
    let mut compared = 0;
    for (name, expected) in &fixture {
        let (size, pooling) = name.split_once('.').unwrap();
        let Ok(pooling) = pooling.parse::<Pooling>() else {
            continue;
        };
        let features = tensor(&fixture[&format!("{size}.x")], &device);
        let found = pooling.apply(features);
        assert_eq!(found.dims()[..], expected.shape[..], "{name}");
        assert_close(name, &host_values(found), expected, 1e-6);
        compared += 1;
    }
    assert_eq!(compared, 3 * 4 * 2);
}
