//! The real sets, where they are there: counts, classes, and the same pictures in two formats.
#![allow(clippy::unwrap_used)]

mod support;

use aet_data::{ImageSet, Location, Source, Split, open};
use support::{pixels_of, real_data};

const CIFAR_CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

fn source(path: std::path::PathBuf, split: Split) -> Box<dyn Source> {
    open(&Location::Path(path), split).unwrap()
}

fn load(source: &dyn Source, size: Option<[usize; 2]>) -> ImageSet {
    ImageSet::load(source, size, 2, &|_, _| {}).unwrap()
}

#[test]
fn cifar_in_parquet_has_all_images_in_ten_equal_classes() {
    let Some(path) = real_data("cifar10") else {
        return;
    };
    assert_eq!(source(path.clone(), Split::Train).len(), 50_000);
    let test = source(path, Split::Test);
    assert_eq!(test.class_names(), CIFAR_CLASSES);
    let set = load(test.as_ref(), None);
    assert_eq!((set.len(), set.height(), set.width()), (10_000, 32, 32));
    let mut counts = [0; 10];
    for index in 0..set.len() {
        counts[set.label(index).unwrap() as usize] += 1;
    }
    assert_eq!(counts, [1_000; 10]);
}

#[test]
fn cifar_binary_batches_of_few_records_are_read() {
    let Some(path) = real_data("cifar10-lossless") else {
        return;
    };
    assert!(
        open(&Location::Path(path.clone()), Split::Test)
            .unwrap_err()
            .is_no_split()
    );
    let train = source(path, Split::Train);
    assert_eq!(train.class_names(), CIFAR_CLASSES);
    let set = load(train.as_ref(), None);
    assert_eq!(set.len(), 5 * 1_017);
    let pixels = pixels_of(&set);
    // Published means of CIFAR-10 are .4914, .4822, .4465.
    for (channel, expected) in [0.4914, 0.4822, 0.4465].into_iter().enumerate() {
        let values = pixels.iter().skip(channel).step_by(3);
        let sum: u64 = values.map(|&value| u64::from(value)).sum();
        let mean = sum as f64 / (pixels.len() / 3) as f64 / 255.0;
        assert!((mean - expected).abs() < 0.01, "{channel}: {mean}");
    }
    // The first image of the first batch is a frog, the second a truck.
    assert_eq!([set.label(0), set.label(1)], [Some(6), Some(9)]);
    assert_eq!(set.image(0).pixel(0, 0), [59, 62, 63]);
}

#[test]
fn tiny_imagenet_is_read_with_its_annotations() {
    let Some(path) = real_data("tiny-imagenet-20") else {
        return;
    };
    let train = source(path.clone(), Split::Train);
    assert_eq!((train.len(), train.class_names().len()), (10_000, 20));
    let test = source(path, Split::Test);
    assert_eq!(test.class_names(), train.class_names());
    let set = load(test.as_ref(), None);
    assert_eq!((set.len(), set.height(), set.width()), (1_000, 64, 64));
    for class in 0..20 {
        assert_eq!(
            set.labels
                .iter()
                .filter(|label| **label == Some(class))
                .count(),
            50
        );
    }
}

#[test]
fn photographs_are_brought_to_one_size() {
    let Some(path) = real_data("photos") else {
        return;
    };
    let photos = source(path, Split::Train);
    assert_eq!((photos.len(), photos.class_names().len()), (200, 200));
    let error = ImageSet::load(photos.as_ref(), None, 2, &|_, _| {}).unwrap_err();
    assert!(
        error.to_string().contains("images differ in size"),
        "{error}"
    );
    let set = load(photos.as_ref(), Some([64, 64]));
    assert_eq!((set.len(), set.height(), set.width()), (200, 64, 64));
}
