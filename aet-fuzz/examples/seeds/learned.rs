//! Weights, generators and states of optimisers.

use std::ops::ControlFlow;

use aet_data::Normalisation;
use aet_learn::Device;
use aet_learn::config::{Experiment, ExperimentConfig};
use aet_learn::data::Datasets;
use aet_learn::generator::{GeneratorShape, LocalGenerator};
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::state::{HostTensor, NamedTensors, named_tensors, to_safetensors};
use aet_learn::train::train;
use tempfile::TempDir;

use super::Seed;
use super::damage::{instead, of_any_file, seed};

/// The experiment of the run that the targets put files into, one step of it.
const EXPERIMENT: &str = r#"
[data.shapes]
train = 2
test = 2
[backbone]
kind = "nin"
blocks = 3
width = 0.05
[training]
epochs = 1
batch_size = 2
workers = 0
"#;

fn experiment() -> Experiment {
    let config = ExperimentConfig::parse(EXPERIMENT, "seeds", &[]).unwrap();
    config.resolve().unwrap()
}

/// A file of safetensors with this header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        data,
    ]
    .concat()
}

/// A header of one tensor.
fn header(kind: &str, shape: &str, offsets: &str) -> String {
    format!("{{\"a\":{{\"dtype\":\"{kind}\",\"shape\":[{shape}],\"data_offsets\":[{offsets}]}}}}")
}

/// An encoder before training.
fn encoder() -> Vec<u8> {
    let encoder = experiment().backbone.init(1, &Device::flex());
    to_safetensors(&named_tensors(&encoder), None).unwrap()
}

/// The state of the optimiser after a step.
fn state_after_a_step() -> Vec<u8> {
    let (folder, experiment) = (TempDir::new().unwrap(), experiment());
    let info = RunInfo {
        image_size: [32; 2],
        ..RunInfo::default()
    };
    let run = RunDirectory::create(folder.path(), &experiment, info).unwrap();
    let (data, augment) = (&experiment.data, &experiment.augment);
    let datasets = Datasets::open(data, augment, 1, &|_, _| ()).unwrap();
    let watcher = &mut |_: &_| ControlFlow::Continue(());
    train(&run, &datasets, &[Device::flex()], watcher).unwrap();
    std::fs::read(run.checkpoints().join("0000000001/optimizer.bpk")).unwrap()
}

/// Seeds of weights.
pub fn weights() -> Vec<Seed> {
    let tensor = |shape: &[usize]| HostTensor {
        shape: shape.to_vec(),
        values: (0..shape.iter().product())
            .map(|at: usize| at as f32 - 1.5)
            .collect(),
    };
    let named = |names: &[(&str, &[usize])]| -> NamedTensors {
        let each = names.iter();
        each.map(|(name, shape)| ((*name).to_owned(), tensor(shape)))
            .collect()
    };
    let two = named(&[("a", &[2, 3]), ("b.weight", &[4])]);
    let valid = to_safetensors(&two, Some("{\"format\":\"aet encoder 1\"}".into())).unwrap();
    let one = |kind: &str, shape: &str, offsets: &str| file(&header(kind, shape, offsets), &[0; 8]);
    let mut seeds = vec![
        seed("encoder", encoder()),
        seed("described", valid.clone()),
        seed("bare", to_safetensors(&two, None).unwrap()),
        seed(
            "no-tensor",
            to_safetensors(&NamedTensors::new(), None).unwrap(),
        ),
        seed("of-no-dimension", one("F32", "", "0,4")),
        seed("of-no-number", file(&header("F32", "0,7", "0,0"), &[])),
        seed(
            "no-number-is-one",
            file(&header("F32", "1", "0,4"), &f32::NAN.to_le_bytes()),
        ),
        seed("half-precision", one("F16", "4", "0,8")),
        seed("double-precision", one("F64", "1", "0,8")),
        seed("shape-largest", one("F32", "18446744073709551615,2", "0,8")),
        seed("offsets-fall", one("F32", "2", "8,0")),
        seed("offsets-outside", one("F32", "2", "8,16")),
        seed(
            "offsets-with-a-gap",
            file(&header("F32", "1", "4,8"), &[0; 8]),
        ),
        seed("header-longest", [255; 16]),
        seed("header-no-json", file("{\"a\":", &[])),
        seed(
            "header-no-text",
            [&2u64.to_le_bytes()[..], b"\xff\xfe"].concat(),
        ),
    ];
    seeds.extend(of_any_file(&valid));
    seeds
}

/// Seeds of generators.
pub fn generator() -> Vec<Seed> {
    let shape = GeneratorShape {
        axes: 2,
        sigma: 0.5,
        code: 3,
        channels: 1,
        residual: true,
        image_size: [2, 3],
    };
    let made = LocalGenerator::new(shape, &Normalisation::default(), 1, &Device::flex());
    let valid = made.to_bytes().unwrap();
    let with = |old: &str, new: &str| {
        let length: [u8; 8] = valid[..8].try_into().unwrap();
        let (header, data) = valid[8..].split_at(u64::from_le_bytes(length) as usize);
        let changed = instead(header, old.as_bytes(), new.as_bytes());
        file(&String::from_utf8(changed).unwrap(), data)
    };
    let mut seeds = vec![
        seed("residual", valid.clone()),
        seed("axes-0", with("\\\"axes\\\":2", "\\\"axes\\\":0")),
        seed("axes-above-code", with("\\\"axes\\\":2", "\\\"axes\\\":4")),
        seed("code-other", with("\\\"code\\\":3", "\\\"code\\\":4")),
        seed(
            "channels-0",
            with("\\\"channels\\\":1", "\\\"channels\\\":0"),
        ),
        seed(
            "channels-other",
            with("\\\"channels\\\":1", "\\\"channels\\\":3"),
        ),
        seed(
            "code-largest",
            with("\\\"code\\\":3", "\\\"code\\\":18446744073709551615"),
        ),
        seed(
            "channels-largest",
            with(
                "\\\"channels\\\":1",
                "\\\"channels\\\":18446744073709551615",
            ),
        ),
        seed("sides-largest", with("[2,3]", "[18446744073709551615,4]")),
        seed("sides-0", with("[2,3]", "[0,0]")),
        seed("sides-other", with("[2,3]", "[9,4]")),
        seed(
            "sigma-negative",
            with("\\\"sigma\\\":0.5", "\\\"sigma\\\":-0.5"),
        ),
        seed(
            "of-something-else",
            with("aet generator 1", "aet encoder 1"),
        ),
        seed("description-no-json", with("{\\\"format", "{{\\\"format")),
    ];
    seeds.extend(of_any_file(&valid));
    seeds
}

/// Seeds of states of optimisers. The tensors of one are written in another order every time, so
/// that the one that is kept stays.
pub fn optimizer() -> Vec<Seed> {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/optimizer/after-a-step");
    let fresh = experiment().optimizer.init().into_bytes().unwrap().to_vec();
    let trained = std::fs::read(kept).unwrap_or_else(|_| state_after_a_step());
    let mut seeds = vec![
        seed("fresh", fresh.clone()),
        seed("after-a-step", trained.clone()),
        seed("after-a-step-cut", &trained[..4096.min(trained.len())]),
    ];
    seeds.extend(of_any_file(&fresh));
    seeds
}
