//! The nearest-neighbour search, in queries a second, and the training of a 1-FC probe, in images a
//! second, on random features of the size that CIFAR-10 gives at width 0.25 (48 averaged channels).
//!
//! `AET_BENCH_SCALE` scales the number of images; 1 is 50,000 to search and 10,000 queries. The default
//! is 0.1.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use aet_data::random::{Purpose, below, generator, unit};
use aet_learn::Device;
use aet_learn::backbone::BackboneConfig;
use aet_learn::embed::FeatureBank;
use aet_learn::probe::classifier::{Classifier, Head, Learner};
use aet_learn::probe::fc::FcHead;
use aet_learn::probe::fit::{Lesson, fit};
use aet_learn::probe::stream::Stream;
use aet_learn::probe::{FcConfig, HeadTraining, Pooling, knn};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const DIM: usize = 48;
const CLASSES: usize = 10;

fn count(full: usize) -> usize {
    let scale = std::env::var("AET_BENCH_SCALE").map_or(0.1, |text| text.parse().unwrap());
    (full as f64 * scale) as usize
}

fn bank(count: usize, index: u64) -> FeatureBank {
    let mut rng = generator(1, 0, index, Purpose::Noise);
    FeatureBank {
        features: (0..count * DIM).map(|_| unit(&mut rng) as f32).collect(),
        dim: DIM,
        shape: [DIM, 1, 1],
    }
}

fn labels(count: usize, index: u64) -> Vec<u32> {
    let mut rng = generator(1, 1, index, Purpose::Noise);
    (0..count)
        .map(|_| below(&mut rng, CLASSES) as u32)
        .collect()
}

fn search(criterion: &mut Criterion) {
    let (searched, queries) = (bank(count(50_000), 0), bank(count(10_000), 1));
    let mut group = criterion.benchmark_group("knn");
    group.sample_size(10);
    group.throughput(Throughput::Elements(queries.len() as u64));
    group.bench_function(format!("10 of {}", searched.len()), |bencher| {
        bencher.iter(|| knn::nearest(black_box(&searched), &queries, 10, &mut |_| ()).unwrap());
    });
}

fn train(criterion: &mut Criterion) {
    let (train, test) = (bank(count(50_000), 2), bank(count(10_000), 3));
    let train_labels = labels(train.len(), 2);
    let device = Device::flex();
    let (config, tap) = (
        FcConfig::default(),
        BackboneConfig::default().taps().remove(0),
    );
    let training = HeadTraining {
        epochs: 1,
        ..HeadTraining::default()
    };
    let places: Vec<usize> = (0..train.len()).collect();
    let stream = |bank| Stream::Bank {
        bank,
        places: &places[..FeatureBank::len(bank)],
        device: device.clone(),
    };
    let lesson = Lesson {
        learnt: stream(&train),
        labels: &train_labels,
        judged: stream(&test),
        seed: 1,
    };
    let mut group = criterion.benchmark_group("1-FC epoch");
    group.sample_size(10);
    group.throughput(Throughput::Elements(train.len() as u64));
    group.bench_function(format!("{} images", train.len()), |bencher| {
        bencher.iter(|| {
            let mut rng = generator(1, 0, 0, Purpose::Probe);
            let tracked = device.clone().autodiff();
            let head = FcHead::new(&config, train.shape, CLASSES, &mut rng, &tracked);
            let classifier = Classifier::frozen(Head::Fc(head), &tap, Pooling::Full);
            let mut learners = [Learner::new(classifier, &training, CLASSES)];
            fit(&mut learners, &lesson, &mut |_| (), &mut |_| ()).unwrap();
        });
    });
}

criterion_group!(benches, search, train);
criterion_main!(benches);
