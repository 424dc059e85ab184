//! Protocols: nothing is chosen by test labels, a protocol goes on where it stopped, bounds stand
//! beside the encoder.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use aet_data::random::{Purpose, generator, permutation};
use aet_data::{Augment, ImageSet, Location, Normalisation, ShapesConfig, Split};
use aet_learn::backbone::{BackboneConfig, Encoder, NinConfig};
use aet_learn::probe::{ProbeConfig, ProbeData, ProbeResult, SplitPlan, Study, divide, examine};
use aet_learn::protocol::{EncoderKind, Protocol, ProtocolRecord, ProtocolRun, Subject};
use aet_learn::{Device, LearnError};

/// Generated shapes; `first` seeds them.
fn images(count: usize, first: u64) -> Arc<ImageSet> {
    let config = ShapesConfig {
        train: count,
        test: 10,
        seed: first,
    };
    let source = aet_data::open(&Location::Shapes(config), Split::Train).unwrap();
    Arc::new(ImageSet::load(source.as_ref(), None, 1, &|_, _| {}).unwrap())
}

fn backbone() -> BackboneConfig {
    BackboneConfig::Nin(NinConfig {
        blocks: 3,
        width: 0.05,
    })
}

fn encoder() -> Encoder {
    backbone().init(5, &Device::flex())
}

/// `set` with its labels dealt out anew.
fn relabelled(set: &ImageSet, seed: u64) -> Arc<ImageSet> {
    let order = permutation(&mut generator(seed, 0, 0, Purpose::Noise), set.len());
    let mut changed = set.clone();
    changed.labels = order.iter().map(|index| set.labels[*index]).collect();
    Arc::new(changed)
}

/// Probes that leave something open: each kind of choice that there is.
fn open_probes() -> Vec<ProbeConfig> {
    let text = r#"
        [[probes]]
        tap = "block2"
        method = { kind = "knn" }
        choose = { neighbours = [1, 2, 3, 5, 10, 20, 40] }
        [[probes]]
        tap = "block2"
        method = { kind = "fc", layers = 1 }
        training = { epochs = 6, batch_size = 16 }
        choose = { rate = [0.3, 0.1, 0.03, 0.01], stopping = "validation" }
        [[probes]]
        tap = "block2"
        method = { kind = "logistic" }
        choose = { c = [0.001, 0.01, 0.1, 1.0, 10.0] }
    "#;
    let protocol = Protocol::parse("open", text, &[], &backbone()).unwrap();
    protocol.probes.clone()
}

/// What probes chose, as text.
fn choices(results: &[ProbeResult]) -> Vec<String> {
    results
        .iter()
        .map(|result| format!("{:?}", result.chosen.as_ref().unwrap()))
        .collect()
}

/// What is chosen with `test` as test images; `tamper` may change what is known while choosing.
fn chosen(
    train: &Arc<ImageSet>,
    test: &Arc<ImageSet>,
    tamper: impl Fn(&mut Study, usize),
) -> Vec<String> {
    let (normalisation, augment) = (Normalisation::default(), Augment::none());
    let data = ProbeData {
        train,
        test,
        normalisation: &normalisation,
        augment: &augment,
        workers: 1,
        seed: 2,
    };
    let plan = SplitPlan {
        labels_per_class: None,
        validation: 0.3,
        seed: 2,
    };
    let (mut study, sealed) = divide(&data, &plan).unwrap();
    tamper(&mut study, train.len());
    let labels = (&study, &sealed);
    choices(&examine(&encoder(), &open_probes(), &data, labels, &mut |_| ()).unwrap())
}

/// Whether any choice changes when the test labels are dealt out anew.
fn choices_follow_test_labels(look: impl Fn(&Arc<ImageSet>) -> Vec<String>) -> bool {
    let test = images(90, 31);
    let expected = look(&test);
    (0..6).any(|seed| look(&relabelled(&test, seed)) != expected)
}

#[test]
fn no_choice_depends_on_test_labels() {
    let train = images(120, 30);
    assert!(!choices_follow_test_labels(|test| chosen(
        &train,
        test,
        |_, _| ()
    )));
}

/// The same check on a leak that was put there on purpose: the test images, with their labels, are
/// slipped in as validation images. The check above has to see it.
#[test]
fn a_deliberate_leak_of_test_labels_into_selection_is_caught() {
    let train = images(120, 30);
    let leaky = |test: &Arc<ImageSet>| {
        let pixels = [&train, test].map(|set| {
            let images = (0..set.len()).map(|index| set.image(index).pixels());
            images.collect::<Vec<_>>().concat()
        });
        let labels = [train.labels.clone(), test.labels.clone()].concat();
        let mut both = ImageSet::new(train.size(), pixels.concat(), labels).unwrap();
        both.class_names.clone_from(&train.class_names);
        chosen(&Arc::new(both), test, |study, count| {
            study.validation = (count - test.len()..count).collect();
            study.fitted = (0..count - test.len()).collect();
        })
    };
    assert!(choices_follow_test_labels(leaky));
}

const PROTOCOL: &str = r#"
    description = "small"
    seeds = [1, 2]
    labels_per_class = [4, 8]
    validation = 0.25
    encoders = ["random", "trained", "supervised"]
    [augment]
    horizontal_flip = true
    [training]
    epochs = 2
    batch_size = 16
    augment = true
    images_per_epoch = 80
    [supervised]
    tap = "block2"
    pooling = "full"
    method = { kind = "conv" }
    [[probes]]
    tap = "block2"
    pooling = "full"
    method = { kind = "conv" }
    choose = { rate = [0.1, 0.02] }
    [[probes]]
    tap = "block1"
    method = { kind = "knn", neighbours = 3 }
    [[probes]]
    method = { kind = "fc", layers = 1 }
    thaw = true
"#;

fn subject() -> Subject {
    Subject {
        run: "run".into(),
        preset: "none".into(),
        seed: 5,
        method: "none".into(),
        backbone: backbone(),
        epochs: 0,
        step: 0,
        revision: String::new(),
        command: String::new(),
        machine: String::new(),
        day: String::new(),
        data: "shapes".into(),
        train_images: 200,
        test_images: 60,
        classes: 10,
        image_size: [32, 32],
        fingerprints: Default::default(),
    }
}

/// A record without the times that everything took.
fn timeless(record: &ProtocolRecord) -> ProtocolRecord {
    let mut record = record.clone();
    for piece in &mut record.pieces {
        piece.seconds = 0.0;
        for result in &mut piece.results {
            result.result.seconds = 0.0;
        }
    }
    record
}

/// Carries the protocol out in `folder`, from the record there; stops after `pieces`.
fn carry_out(folder: &Path, pieces: usize) -> ProtocolRecord {
    let protocol = Protocol::parse("small", PROTOCOL, &[], &backbone()).unwrap();
    let (train, test) = (images(200, 30), images(60, 31));
    let trained = encoder();
    let path = folder.join("small.json");
    let mut record = match path.exists() {
        true => ProtocolRecord::read(&path).unwrap(),
        false => ProtocolRecord::new(&protocol, subject()),
    };
    assert!(record.continues(&ProtocolRecord::new(&protocol, subject())));
    let run = ProtocolRun {
        protocol: &protocol,
        trained: &trained,
        backbone: &backbone(),
        train: &train,
        test: &test,
        normalisation: &Normalisation::default(),
        workers: 1,
        folder,
    };
    let stopped = run.complete(
        &mut record,
        &mut |record| {
            record.write(&path)?;
            match record.pieces.len() == pieces {
                true => Err(LearnError::Probe {
                    message: "stop".into(),
                }),
                false => Ok(()),
            }
        },
        &mut |_| (),
    );
    assert_eq!(stopped.is_err(), record.pieces.len() == pieces);
    ProtocolRecord::read(&path).unwrap()
}

#[test]
fn a_protocol_that_was_stopped_goes_on_and_ends_the_same() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = carry_out(whole.path(), usize::MAX);
    // Two seeds, two numbers of labels; random, trained, the network with labels, its features.
    assert_eq!(expected.pieces.len(), 2 * 2 * 4);
    carry_out(parts.path(), 3);
    carry_out(parts.path(), 7);
    let found = carry_out(parts.path(), usize::MAX);
    assert_eq!(timeless(&found), timeless(&expected));
}

#[test]
fn the_bounds_stand_beside_the_encoder_with_their_own_results() {
    let folder = tempfile::tempdir().unwrap();
    let record = carry_out(folder.path(), usize::MAX);
    for (encoder, whole, results) in [
        (EncoderKind::Random, false, 3),
        (EncoderKind::Trained, false, 3),
        (EncoderKind::Supervised, true, 1),
        (EncoderKind::Supervised, false, 3),
    ] {
        let piece = record.piece(1, Some(8), encoder, whole).unwrap();
        assert_eq!(piece.results.len(), results);
        for result in &piece.results {
            assert_eq!(result.result.marks.0.len(), 60);
            assert!((result.result.marks.error() - result.result.error).abs() < 1e-12);
        }
    }
    let errors = |encoder| {
        let piece = record.piece(1, Some(8), encoder, false).unwrap();
        piece.results[0].result.errors_per_epoch.clone()
    };
    assert_ne!(errors(EncoderKind::Random), errors(EncoderKind::Supervised));
}

#[test]
fn a_thawed_encoder_learns_and_the_given_one_stays_as_it_is() {
    let before = aet_learn::state::named_tensors(&encoder());
    let folder = tempfile::tempdir().unwrap();
    let record = carry_out(folder.path(), usize::MAX);
    let piece = record
        .piece(1, Some(8), EncoderKind::Trained, false)
        .unwrap();
    assert!(piece.results[2].result.thawed);
    assert_eq!(piece.results[2].result.epochs, Some(2));
    assert_eq!(before, aet_learn::state::named_tensors(&encoder()));
    let file = folder.path().join("supervised-seed1-8.safetensors");
    let weights = aet_learn::state::read_safetensors(&file).unwrap();
    let random = aet_learn::state::named_tensors(&backbone().init(1, &Device::flex()));
    assert!(weights.keys().eq(random.keys()));
    let changed = |block: &str| {
        let mut kernels = weights.iter().filter(|(name, _)| {
            name.contains(&format!("blocks.{block}.")) && name.ends_with(".conv")
        });
        kernels.all(|(name, tensor)| *tensor != random[name])
    };
    // The tap lies behind the second block.
    assert!(changed("0") && changed("1") && !changed("2"));
}

#[test]
fn a_damaged_or_foreign_record_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.json");
    std::fs::write(&path, "{\"format\": 3").unwrap();
    let message = ProtocolRecord::read(&path).unwrap_err().to_string();
    assert!(message.contains("small.json is damaged"), "{message}");
}

#[test]
fn a_record_names_other_data_changes_and_missing_bounds() {
    let claim =
        "[data]\nname = \"Shapes\"\nclasses = 10\ntrain = 200\ntest = 60\nimage_size = [32, 32]\n";
    let remarks = |change: &str, train_images: usize| {
        let text = format!("{PROTOCOL}{claim}");
        let changes = [change.to_string()];
        let protocol = Protocol::parse("small", &text, &changes, &backbone()).unwrap();
        let subject = Subject {
            train_images,
            ..subject()
        };
        ProtocolRecord::new(&protocol, subject).remarks()
    };
    assert!(remarks("validation=0.25", 200).is_empty());
    let less = remarks("training.epochs=1", 190);
    assert_eq!(less.len(), 2);
    assert!(less[0].ends_with("training.epochs 1 instead of 2"));
    assert!(less[1].contains("Shapes has 200 training") && less[1].contains("these are 190"));
    let lower = remarks("encoders=[\"trained\",\"supervised\"]", 200);
    assert!(lower[1].starts_with("no lower bound"), "{lower:?}");
    let upper = remarks("encoders=[\"random\",\"trained\"]", 200);
    assert!(upper[1].starts_with("no upper bound"), "{upper:?}");
}
