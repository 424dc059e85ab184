//! What no encoder can go below where a family without parameters is answered with a surrogate: the
//! distance between t(x) and the image of the best surrogate, over that of the identity. The best one is
//! found for each image by itself, by gradient descent on its parameters with t(x) at hand.
//!
//! ```sh
//! cargo run --release -p aet-learn --example surrogate_floor -- path/to/cifar10
//! ```

use std::error::Error;

use aet_data::{EpochPlan, Loader, Order, Share};
use aet_geometry::TransformationFamily;
use aet_learn::Device;
use aet_learn::batch::Batch;
use aet_learn::config::ExperimentConfig;
use aet_learn::data::Datasets;
use aet_learn::objective::Distance;
use aet_learn::optim::{AdamConfig, step};
use aet_learn::transform::transform_batch;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

/// Images that the figures are means over, steps of descent for each, and its first rate, which falls
/// to nothing along a line.
const IMAGES: usize = 128;
const STEPS: usize = 300;
const RATE: f64 = 0.05;

/// The surrogates that `scripts/family_table.py` trains with.
const FAMILIES: [&str; 7] = [
    r#"{kind="elastic",surrogate={kind="projective"}}"#,
    r#"{kind="elastic",surrogate={kind="thin-plate"}}"#,
    r#"{kind="elastic",surrogate={kind="thin-plate",points=5,shift=0.12}}"#,
    r#"{kind="local-shuffle",surrogate={kind="projective"}}"#,
    r#"{kind="local-shuffle",surrogate={kind="convolution"}}"#,
    r#"{kind="texture",surrogate={kind="projective"}}"#,
    r#"{kind="texture",surrogate={kind="convolution"}}"#,
];

/// The parameters of a surrogate for every image, `[batch, target length]`.
#[derive(Module, Debug)]
struct Surrogates {
    targets: Param<Tensor<2>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or("shapes".into());
    println!("| family | surrogate's distance over the identity's, at best |\n|---|---:|");
    for family in FAMILIES {
        println!("| {family} | {:.2} |", floor(&path, family)?);
    }
    Ok(())
}

/// The floor of a family, as TOML, on held-out images of the set at `path`.
fn floor(path: &str, family: &str) -> Result<f64, Box<dyn Error>> {
    let changes = [format!("transformation={family}")];
    let toml = format!("seed = 1\n[data]\npath = {path:?}\n[data.shapes]\ntest = {IMAGES}");
    let experiment = ExperimentConfig::parse(&toml, "example", &changes)?.resolve()?;
    let data = Datasets::open(&experiment.data, &experiment.augment, 1, &|_, _| ())?;
    let images = data.test.ok_or("the set has no test images")?;
    let plan = EpochPlan {
        seed: 1,
        epoch: 0,
        batch_size: IMAGES.min(images.len()),
        order: Order::Sequential,
        drop_last: true,
        first_step: 0,
        share: Share::WHOLE,
    };
    let size = [images.height(), images.width()];
    let mut batches = Loader::epoch(images, experiment.training_pipeline(), plan, 0)?;
    let batch = batches.next().ok_or("no batch")??;
    let device = Device::flex().autodiff();
    let batch = Batch::from_host(batch, &device);
    let [original, transformed] = [0, 1].map(|view| batch.views[view].clone());

    let surrogate = experiment.transformation.answer();
    let identity = surrogate.identity_target(size).ok_or("no identity")?;
    let start = TensorData::new(identity.repeat(batch.len()), [batch.len(), identity.len()]);
    let mut surrogates = Surrogates {
        targets: Param::from_tensor(Tensor::from_data(start, &device)),
    };
    let outside = experiment.framing(size).outside;
    let distances = |surrogates: &Surrogates| {
        let targets = surrogates.targets.val();
        let made = transform_batch(surrogate, original.clone(), targets, outside);
        Distance::Squared.between(made, transformed.clone())
    };
    let of_identity = distances(&surrogates).detach();
    let mut best = of_identity.clone();
    let mut optimizer = AdamConfig::default().init();
    for number in 0..STEPS {
        let found = distances(&surrogates);
        best = best.min_pair(found.clone().detach());
        let rate = RATE * (1.0 - number as f64 / STEPS as f64);
        surrogates = step(&mut optimizer, rate, surrogates, &found.sum());
    }
    let [best, of_identity] = [best, of_identity].map(|all| all.sum().into_scalar::<f32>());
    Ok(f64::from(best / of_identity))
}
