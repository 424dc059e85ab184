//! Frozen features and probes, on small sets.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use aet_data::random::{Purpose, below, generator, permutation, unit};
use aet_data::{Augment, ImageSet, Location, Normalisation, ShapesConfig, Split};
use aet_learn::Device;
use aet_learn::backbone::{BackboneConfig, Encoder, NinConfig};
use aet_learn::embed::{ExtractOptions, FeatureBank, Pooling, extract};
use aet_learn::probe::classifier::{Classifier, Head, Learner};
use aet_learn::probe::fc::FcHead;
use aet_learn::probe::fit::{Lesson, fit};
use aet_learn::probe::knn::{self, Neighbour};
use aet_learn::probe::stream::Stream;
use aet_learn::probe::{
    ConvConfig, FcConfig, HeadTraining, KnnConfig, Marks, ProbeConfig, ProbeData, ProbeMethod,
    ProbeResult, compare, run_probe, run_probes,
};
use aet_learn::state::named_tensors;

fn shapes(split: Split, count: usize) -> Arc<ImageSet> {
    let config = ShapesConfig {
        train: count,
        test: count,
        ..ShapesConfig::default()
    };
    let source = aet_data::open(&Location::Shapes(config), split).unwrap();
    Arc::new(ImageSet::load(source.as_ref(), None, 1, &|_, _| {}).unwrap())
}

fn encoder(device: &Device) -> Encoder {
    let config = NinConfig {
        blocks: 3,
        width: 0.1,
    };
    BackboneConfig::Nin(config).init(5, device)
}

struct Images {
    train: Arc<ImageSet>,
    test: Arc<ImageSet>,
    normalisation: Normalisation,
    augment: Augment,
}

impl Images {
    fn shapes(train: usize, test: usize) -> Self {
        Self {
            train: shapes(Split::Train, train),
            test: shapes(Split::Test, test),
            normalisation: Normalisation::default(),
            augment: Augment {
                crop_padding: 4,
                horizontal_flip: true,
                ..Augment::none()
            },
        }
    }

    fn data(&self) -> ProbeData<'_> {
        ProbeData {
            train: &self.train,
            test: &self.test,
            normalisation: &self.normalisation,
            augment: &self.augment,
            workers: 1,
            seed: 3,
        }
    }
}

fn probe(pooling: Pooling, method: ProbeMethod) -> ProbeConfig {
    ProbeConfig {
        tap: "block2".into(),
        pooling,
        ..ProbeConfig::of(method)
    }
}

fn training(epochs: u64) -> HeadTraining {
    HeadTraining {
        epochs,
        batch_size: 32,
        ..HeadTraining::default()
    }
}

/// A probe of this many fully-connected layers on averaged features.
fn fc(layers: usize, epochs: u64) -> ProbeConfig {
    let config = FcConfig {
        layers,
        ..FcConfig::default()
    };
    ProbeConfig {
        training: training(epochs),
        ..probe(Pooling::Average, ProbeMethod::Fc(config))
    }
}

fn numbers(count: usize, index: u64) -> Vec<f32> {
    let mut rng = generator(11, 0, index, Purpose::Noise);
    (0..count).map(|_| unit(&mut rng) as f32 - 0.4).collect()
}

fn bank(features: Vec<f32>, dim: usize) -> FeatureBank {
    FeatureBank {
        features,
        dim,
        shape: [dim, 1, 1],
    }
}

/// Everything of a result but the time that it took.
fn found(result: &ProbeResult) -> ProbeResult {
    assert_ne!(result.marks, Marks::default());
    ProbeResult {
        seconds: 0.0,
        ..result.clone()
    }
}

fn read(encoder: &Encoder, set: &Arc<ImageSet>, options: &ExtractOptions) -> FeatureBank {
    let tap = encoder.tap("block2").unwrap();
    extract(encoder, tap, set, options, &mut |_, _| ()).unwrap()
}

#[test]
fn reading_features_leaves_an_encoder_on_autodiff_untouched() {
    let encoder = encoder(&Device::flex().autodiff());
    let before = named_tensors(&encoder);
    let set = shapes(Split::Train, 60);
    for pooling in [Pooling::Average, Pooling::Full] {
        let options = ExtractOptions {
            pooling,
            ..ExtractOptions::default()
        };
        assert_eq!(read(&encoder, &set, &options).len(), 60);
    }
    let after = named_tensors(&encoder);
    assert!(before.keys().any(|name| name.contains("running_var")));
    assert_eq!(before, after);
}

#[test]
fn features_do_not_depend_on_autodiff_workers_or_batches() {
    let set = shapes(Split::Train, 50);
    let device = Device::flex();
    let options = |batch_size, workers| ExtractOptions {
        pooling: Pooling::Full,
        batch_size,
        workers,
        ..ExtractOptions::default()
    };
    let expected = read(&encoder(&device), &set, &options(16, 0));
    assert_eq!(expected.shape, [19, 8, 8]);
    assert_eq!(expected.dim, 19 * 64);
    for workers in [1, 3] {
        assert_eq!(
            read(&encoder(&device), &set, &options(16, workers)),
            expected
        );
    }
    let tracked = encoder(&device.clone().autodiff());
    assert_eq!(read(&tracked, &set, &options(16, 1)), expected);
    for batch_size in [1, 7, 50, 999] {
        let other = read(&encoder(&device), &set, &options(batch_size, 1));
        assert_eq!(other.shape, expected.shape);
        let pairs = other.features.iter().zip(&expected.features);
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-4, "batches of {batch_size}: {difference}");
    }
}

#[test]
fn averaged_features_are_the_means_of_full_ones() {
    let set = shapes(Split::Test, 10);
    let encoder = encoder(&Device::flex());
    let read = |pooling| {
        let options = ExtractOptions {
            pooling,
            ..ExtractOptions::default()
        };
        read(&encoder, &set, &options)
    };
    let (full, average) = (read(Pooling::Full), read(Pooling::Average));
    assert_eq!((average.shape, average.dim), ([19, 1, 1], 19));
    for (map, mean) in full.features.chunks_exact(64).zip(&average.features) {
        assert!((map.iter().sum::<f32>() / 64.0 - mean).abs() < 1e-5);
    }
}

/// Cosine similarities in f64, one pair at a time.
fn all_similarities(searched: &FeatureBank, query: &[f32]) -> Vec<(f64, usize)> {
    let length = |row: &[f32]| {
        row.iter()
            .map(|v| f64::from(*v).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let mut all: Vec<(f64, usize)> = (0..searched.len())
        .map(|index| {
            let row = searched.row(index);
            let products = row
                .iter()
                .zip(query)
                .map(|(a, b)| f64::from(*a) * f64::from(*b));
            (products.sum::<f64>() / length(row) / length(query), index)
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all
}

#[test]
fn nearest_neighbours_are_those_of_a_search_one_by_one() {
    // More rows than one block of searched features (4096) and one of queries (512).
    let (searched, queries) = (
        bank(numbers(5000 * 12, 0), 12),
        bank(numbers(600 * 12, 1), 12),
    );
    let found = knn::nearest(&searched, &queries, 7, &mut |_| ()).unwrap();
    assert_eq!(found.len(), 600);
    for (query, neighbours) in found.iter().enumerate() {
        let expected = all_similarities(&searched, queries.row(query));
        assert_eq!(neighbours.len(), 7);
        for (place, (neighbour, (similarity, index))) in
            neighbours.iter().zip(&expected).enumerate()
        {
            assert!((f64::from(neighbour.similarity) - similarity).abs() < 1e-6);
            // Where the next one is nearer than rounding, either order is right.
            let clear = expected[place].0 - expected[place + 1].0 > 1e-6
                && (place == 0 || expected[place - 1].0 - expected[place].0 > 1e-6);
            assert!(
                !clear || neighbour.index == *index,
                "query {query} place {place}"
            );
        }
    }
}

#[test]
fn equally_near_neighbours_come_in_the_order_of_the_set() {
    let row = [0.3, -0.2, 0.9];
    let searched = bank(row.repeat(5000), 3);
    let found = knn::nearest(&searched, &bank(row.to_vec(), 3), 3, &mut |_| ()).unwrap();
    let indices: Vec<usize> = found[0].iter().map(|n: &Neighbour| n.index).collect();
    assert_eq!(indices, [0, 1, 2]);
}

#[test]
fn errors_of_both_votes_are_those_of_a_vote_one_by_one() {
    let (searched, queries) = (bank(numbers(400 * 6, 2), 6), bank(numbers(150 * 6, 3), 6));
    let class = |row: &[f32]| u32::from(row[0] > 0.1) + 2 * u32::from(row[1] + row[2] > 0.2);
    let labels = |bank: &FeatureBank| -> Vec<u32> {
        (0..bank.len())
            .map(|index| class(bank.row(index)))
            .collect()
    };
    let (train_labels, test_labels) = (labels(&searched), labels(&queries));
    for (weighted, neighbours) in [(false, 1), (false, 10), (true, 10), (true, 200)] {
        let config = KnnConfig {
            neighbours,
            weighted,
            ..KnnConfig::default()
        };
        let mut wrong = 0;
        for (query, label) in test_labels.iter().enumerate() {
            let near = all_similarities(&searched, queries.row(query));
            let mut votes = [(0.0, 0.0); 4];
            for (similarity, index) in &near[..neighbours] {
                let vote = &mut votes[train_labels[*index] as usize];
                vote.0 += if weighted {
                    (similarity / 0.07).exp()
                } else {
                    1.0
                };
                vote.1 += similarity;
            }
            let winner = (0..4)
                .rev()
                .max_by(|a, b| votes[*a].partial_cmp(&votes[*b]).unwrap());
            wrong += usize::from(winner.unwrap() != *label as usize);
        }
        let found = knn::nearest(&searched, &queries, neighbours, &mut |_| ()).unwrap();
        let voted = found
            .iter()
            .zip(&test_labels)
            .filter(|(near, label)| knn::vote(&config, near, &train_labels) != **label)
            .count();
        assert_eq!(voted, wrong, "{}", config.neighbours);
        assert!(wrong > 0, "a set that is too easy tells nothing");
    }
}

#[test]
fn more_neighbours_than_images_are_refused() {
    let searched = bank(numbers(30, 4), 3);
    let result = knn::nearest(&searched, &searched, 11, &mut |_| ());
    assert!(result.unwrap_err().to_string().contains("only 10 images"));
}

/// Three clusters that a plane can part, far from the origin and of unequal scale.
fn clusters(count: usize, index: u64) -> (FeatureBank, Vec<u32>) {
    let noise = numbers(count * 4, index);
    let labels: Vec<u32> = (0..count).map(|item| item as u32 % 3).collect();
    let mut features = Vec::new();
    for (row, label) in noise.chunks_exact(4).zip(&labels) {
        let place = |class| if *label == class { 1.5 } else { 0.0 };
        features.extend([row[0] + place(0) + 7.0, row[1] + place(1) - 3.0]);
        features.extend([5.0 * (row[2] + place(2)), 0.01 * row[3]]);
    }
    (bank(features, 4), labels)
}

/// Test errors after each epoch of a head on clusters.
fn fit_head(
    (layers, epochs): (usize, u64),
    (train, labels): (&FeatureBank, &[u32]),
    (test, truth): (&FeatureBank, &[u32]),
    seed: u64,
) -> Vec<f64> {
    let device = Device::flex();
    let config = FcConfig {
        layers,
        ..FcConfig::default()
    };
    let mut rng = generator(seed, 0, 0, Purpose::Probe);
    let tracked = device.clone().autodiff();
    let head = Head::Fc(FcHead::new(&config, train.shape, 3, &mut rng, &tracked));
    let encoder = encoder(&device);
    let classifier = Classifier::frozen(head, encoder.last_tap(), Pooling::Full);
    let places: Vec<usize> = (0..train.len().max(test.len())).collect();
    let lesson = Lesson {
        learnt: Stream::Bank {
            bank: train,
            places: &places[..train.len()],
            device: device.clone(),
        },
        labels,
        judged: Stream::Bank {
            bank: test,
            places: &places[..test.len()],
            device,
        },
        seed,
    };
    let mut errors = Vec::new();
    let mut learners = [Learner::new(classifier, &training(epochs), 3)];
    let answered = &mut |answers: aet_learn::probe::fit::Answers| {
        let wrong = answers.classes.iter().zip(truth).filter(|(a, b)| a != b);
        errors.push(wrong.count() as f64 / truth.len() as f64);
    };
    fit(&mut learners, &lesson, answered, &mut |_| ()).unwrap();
    errors
}

#[test]
fn separable_features_are_told_apart_without_error() {
    let ((train, train_labels), (test, test_labels)) = (clusters(300, 6), clusters(120, 7));
    for layers in 1..=3 {
        let (learnt, judged) = ((&train, &train_labels[..]), (&test, &test_labels[..]));
        let errors = fit_head((layers, 20), learnt, judged, 1);
        assert_eq!(errors.len(), 20);
        assert_eq!(errors.last(), Some(&0.0), "{layers} layers: {errors:?}");
    }
}

#[test]
fn shuffled_labels_are_not_learnt() {
    let (train, mut labels) = clusters(300, 6);
    let order = permutation(&mut generator(1, 0, 0, Purpose::Noise), 300);
    labels = order.iter().map(|item| labels[*item]).collect();
    let (test, test_labels) = clusters(120, 7);
    let errors = fit_head((1, 4), (&train, &labels), (&test, &test_labels), 1);
    assert!(*errors.last().unwrap() > 0.3, "{errors:?}");
}

#[test]
fn a_last_batch_of_one_image_is_left_out() {
    let (train, labels) = clusters(65, 6);
    let errors = fit_head((1, 2), (&train, &labels), (&train, &labels), 1);
    assert!(errors.iter().all(|error| error.is_finite()));
}

#[test]
fn probes_of_one_seed_agree_bit_for_bit_and_leave_the_encoder_alone() {
    let images = Images::shapes(200, 100);
    let encoder = encoder(&Device::flex().autodiff());
    let before = named_tensors(&encoder);
    let augmented = |layers, pooling| {
        let mut probe = fc(layers, 2);
        probe.training.augment = true;
        ProbeConfig { pooling, ..probe }
    };
    let mut thawed = fc(1, 2);
    thawed.thaw = true;
    // The third and the fourth are taught side by side, of one stream but different pooling.
    let probes = [
        probe(Pooling::Average, ProbeMethod::Knn(KnnConfig::default())),
        fc(2, 3),
        augmented(1, Pooling::Average),
        augmented(2, Pooling::Full),
        thawed,
    ];
    let data = images.data();
    let mut shares = Vec::new();
    let first = run_probes(&encoder, &probes, &data, &mut |share| shares.push(share)).unwrap();
    assert!(shares.is_sorted() && (shares.last().unwrap() - 1.0).abs() < 1e-6);
    let other_workers = ProbeData { workers: 3, ..data };
    for (probe, expected) in probes.iter().zip(&first) {
        let again = run_probe(&encoder, probe, &other_workers, &mut |_| ()).unwrap();
        assert_eq!(found(&again), found(expected));
    }
    let other_seed = ProbeData { seed: 4, ..data };
    let other = run_probe(&encoder, &probes[1], &other_seed, &mut |_| ()).unwrap();
    assert_ne!(other.errors_per_epoch, first[1].errors_per_epoch);
    assert_eq!(before, named_tensors(&encoder));
}

#[test]
fn a_result_names_its_last_and_its_best_epoch_apart() {
    let images = Images::shapes(200, 100);
    let encoder = encoder(&Device::flex());
    let probe = fc(1, 5);
    let result = run_probe(&encoder, &probe, &images.data(), &mut |_| ()).unwrap();
    assert_eq!(result.probe, "1-FC block2 average");
    assert_eq!(result.epochs, Some(5));
    assert_eq!(result.errors_per_epoch.len(), 5);
    assert_eq!(Some(&result.error), result.errors_per_epoch.last());
    let best = result.errors_per_epoch[result.best_epoch.unwrap() as usize];
    assert_eq!(result.best_error, Some(best));
    assert_eq!(result.marks.0.len(), 100);
    assert_eq!(result.marks.error(), result.error);
    assert!(
        result
            .errors_per_epoch
            .iter()
            .all(|e| (best..=1.0).contains(e))
    );
}

#[test]
fn the_error_of_a_conv_probe_falls() {
    // Ten classes of stripes: their width and direction are the class, their colours are not.
    let stripes = |count: usize, first: u64| {
        let mut pixels = Vec::new();
        for index in 0..count {
            let class = index % 10;
            let mut rng = generator(9, 0, first + index as u64, Purpose::Shapes);
            let [dark, bright] = [0, 1].map(|part| 120 * part + below(&mut rng, 120));
            let (start, width) = (below(&mut rng, 32), 2 + class / 2 * 2);
            for at in 0..32 * 32 {
                let along = if class % 2 == 0 { at / 32 } else { at % 32 };
                let lit = (along + start) / width % 2 == 1;
                pixels.extend([if lit { bright } else { dark } as u8; 3]);
            }
        }
        let labels = (0..count).map(|index| Some(index as u32 % 10)).collect();
        Arc::new(ImageSet::new([32, 32], pixels, labels).unwrap())
    };
    let images = Images {
        train: stripes(300, 0),
        test: stripes(150, 1_000),
        ..Images::shapes(10, 10)
    };
    let encoder = encoder(&Device::flex());
    let probe = ProbeConfig {
        training: training(8),
        ..probe(Pooling::Full, ProbeMethod::Conv(ConvConfig::default()))
    };
    let result = run_probe(&encoder, &probe, &images.data(), &mut |_| ()).unwrap();
    assert_eq!(result.probe, "conv block2 full");
    assert!(result.error < 0.6, "{:?}", result.errors_per_epoch);
    assert!(result.error < result.errors_per_epoch[0]);
}

#[test]
fn trained_and_random_encoders_are_judged_side_by_side() {
    let images = Images::shapes(120, 60);
    let random = encoder(&Device::flex());
    let other = BackboneConfig::Nin(NinConfig {
        blocks: 3,
        width: 0.1,
    })
    .init(6, &Device::flex());
    let probes = [
        probe(Pooling::Average, ProbeMethod::Knn(KnnConfig::default())),
        ProbeConfig {
            pooling: Pooling::Full,
            ..fc(1, 2)
        },
    ];
    let data = images.data();
    let compared = compare(&other, &random, &probes, &data, &mut |_| ()).unwrap();
    assert_eq!(compared.len(), 2);
    for (probe, pair) in probes.iter().zip(&compared) {
        assert_eq!(
            (&pair.trained.probe, &pair.random.probe),
            (&probe.label(), &probe.label())
        );
        let alone = run_probe(&random, probe, &data, &mut |_| ()).unwrap();
        assert_eq!(found(&alone), found(&pair.random));
    }
}

fn refusal(images: &Images) -> String {
    let encoder = encoder(&Device::flex());
    let probe = &probe(Pooling::Average, ProbeMethod::Knn(KnnConfig::default()));
    let result = run_probe(&encoder, probe, &images.data(), &mut |_| ());
    result.unwrap_err().to_string()
}

#[test]
fn images_without_labels_are_refused_with_a_way_out() {
    let mut images = Images::shapes(40, 20);
    let mut train = images.train.as_ref().clone();
    train.labels[7] = None;
    images.train = Arc::new(train);
    let message = refusal(&images);
    assert!(
        message.contains("1 of 40 training images have no label"),
        "{message}"
    );
    assert!(message.contains("evaluation.probes = []"), "{message}");
}

#[test]
fn sets_of_other_classes_are_refused() {
    let mut images = Images::shapes(40, 20);
    let mut test = images.test.as_ref().clone();
    test.class_names.push("another".into());
    images.test = Arc::new(test.clone());
    assert!(refusal(&images).contains("10 classes but the test images 11"));
    test.class_names.pop();
    test.class_names.swap(0, 1);
    images.test = Arc::new(test);
    assert!(refusal(&images).contains("class 0 is"));
}

#[test]
fn impossible_probes_are_refused_with_their_range() {
    let refused = |probe: ProbeConfig| probe.validate().unwrap_err().to_string();
    let knn = |config| refused(probe(Pooling::Average, ProbeMethod::Knn(config)));
    let fc = |config| refused(probe(Pooling::Average, ProbeMethod::Fc(config)));
    let none = KnnConfig {
        neighbours: 0,
        ..KnnConfig::default()
    };
    assert!(knn(none).contains("neighbours = 0 is impossible: it has to be at least 1"));
    let cold = KnnConfig {
        temperature: 0.0,
        ..KnnConfig::default()
    };
    assert!(knn(cold).contains("temperature"));
    let change = |change: fn(&mut FcConfig)| {
        let mut config = FcConfig::default();
        change(&mut config);
        fc(config)
    };
    assert!(change(|config| config.layers = 4).contains("layers = 4"));
    assert!(change(|config| config.layers = 0).contains("1 to 3"));
    assert!(change(|config| config.hidden = 0).contains("hidden"));
    let trained = |change: fn(&mut HeadTraining)| {
        let mut probe = probe(Pooling::Average, ProbeMethod::Fc(FcConfig::default()));
        change(&mut probe.training);
        refused(probe)
    };
    assert!(trained(|training| training.epochs = 0).contains("epochs"));
    assert!(trained(|training| training.rate = f64::NAN).contains("rate"));
    assert!(trained(|training| training.batch_size = 1).contains("batch_size"));
    assert!(trained(|training| training.factor = 0.0).contains("factor"));
    let thawed = ProbeConfig {
        thaw: true,
        ..probe(Pooling::Average, ProbeMethod::Knn(KnnConfig::default()))
    };
    assert!(refused(thawed).contains("thaw"));
    let conv = ProbeMethod::Conv(ConvConfig::default());
    assert!(refused(probe(Pooling::Average, conv.clone())).contains("full"));
    assert!(probe(Pooling::Full, conv).validate().is_ok());
    assert!(
        ProbeConfig::standard()
            .iter()
            .all(|probe| probe.validate().is_ok())
    );
}

#[test]
fn a_probe_is_read_from_json_with_defaults_and_unknown_keys_are_refused() {
    let read = |text: &str| serde_json::from_str::<ProbeConfig>(text);
    let probe =
        read(r#"{"method": {"kind": "fc", "layers": 3}, "training": {"epochs": 200}}"#).unwrap();
    assert_eq!(probe.label(), "3-FC default average");
    let published = HeadTraining {
        epochs: 200,
        ..HeadTraining::default()
    };
    assert_eq!(probe.training, published);
    let text = serde_json::to_string(&probe).unwrap();
    assert_eq!(read(&text).unwrap(), probe);
    let unknown = read(r#"{"method": {"kind": "knn", "neigbours": 3}}"#);
    assert!(unknown.unwrap_err().to_string().contains("neigbours"));
    assert!(read(r#"{"method": {"kind": "svm"}}"#).is_err());
}
