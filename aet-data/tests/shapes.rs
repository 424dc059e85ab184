//! The generated images: pinned bytes, disjoint splits, and how hard they are.
#![allow(clippy::unwrap_used)]

mod support;

use aet_data::{ImageSet, Location, ShapesConfig, Split, open};
use support::pixels_of;

fn load(config: &ShapesConfig, split: Split) -> ImageSet {
    let source = open(&Location::Shapes(config.clone()), split).unwrap();
    ImageSet::load(source.as_ref(), None, 2, &|_, _| {}).unwrap()
}

fn sizes(train: usize, test: usize) -> ShapesConfig {
    ShapesConfig {
        train,
        test,
        ..ShapesConfig::default()
    }
}

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Not from elsewhere: these are the images of the first version, and a change to them is a change
/// of the benchmark.
#[test]
fn the_bytes_of_the_images_are_pinned() {
    let train = load(&sizes(20, 0), Split::Train);
    let test = load(&sizes(0, 20), Split::Test);
    let found = [checksum(&pixels_of(&train)), checksum(&pixels_of(&test))];
    assert_eq!(
        found,
        [0x519a_120b_53cf_17a6, 0x99d5_3c92_0662_c226],
        "{found:#x?}"
    );
}

#[test]
fn images_do_not_depend_on_how_many_there_are() {
    let few = load(&sizes(10, 5), Split::Train);
    let many = load(&sizes(30, 5), Split::Train);
    let pixels = pixels_of(&few);
    assert_eq!(pixels, pixels_of(&many)[..pixels.len()]);
    assert_eq!(few.label(7), Some(7));
    assert_eq!(few.class_names.len(), 10);
    let other = load(
        &ShapesConfig {
            seed: 1,
            ..sizes(10, 5)
        },
        Split::Train,
    );
    assert_ne!(pixels, pixels_of(&other));
}

#[test]
fn training_and_test_images_are_disjoint() {
    let train = load(&sizes(500, 500), Split::Train);
    let test = load(&sizes(500, 500), Split::Test);
    let seen: std::collections::HashSet<&[u8]> =
        (0..500).map(|index| train.image(index).pixels()).collect();
    assert_eq!(seen.len(), 500);
    assert!((0..500).all(|index| !seen.contains(test.image(index).pixels())));
}

/// Share of `test` whose nearest image of `train`, by `features`, has another label.
fn nearest_neighbour_error<F>(train: &ImageSet, test: &ImageSet, features: F) -> f64
where
    F: Fn(&ImageSet, usize) -> Vec<f32>,
{
    let bank: Vec<Vec<f32>> = (0..train.len())
        .map(|index| features(train, index))
        .collect();
    let wrong = (0..test.len()).filter(|&index| {
        let query = features(test, index);
        let distance = |other: &Vec<f32>| -> f32 {
            query
                .iter()
                .zip(other)
                .map(|(a, b)| (a - b) * (a - b))
                .sum()
        };
        let nearest = (0..bank.len())
            .min_by(|&one, &other| distance(&bank[one]).total_cmp(&distance(&bank[other])));
        train.label(nearest.unwrap()) != test.label(index)
    });
    wrong.count() as f64 / test.len() as f64
}

#[test]
fn neither_pixels_nor_mean_colours_tell_the_class() {
    let train = load(&sizes(2_000, 200), Split::Train);
    let test = load(&sizes(2_000, 200), Split::Test);
    let pixels = |set: &ImageSet, index: usize| -> Vec<f32> {
        set.image(index)
            .pixels()
            .iter()
            .map(|&value| f32::from(value))
            .collect()
    };
    let error = nearest_neighbour_error(&train, &test, pixels);
    println!("1-NN error on pixels: {error}");
    assert!(error > 0.5, "{error}");
    // Chance is 0.9.
    let mean = |set: &ImageSet, index: usize| -> Vec<f32> {
        let values = pixels(set, index);
        let channel = |at: usize| values.iter().skip(at).step_by(3).sum::<f32>() / 1024.0;
        vec![channel(0), channel(1), channel(2)]
    };
    let error = nearest_neighbour_error(&train, &test, mean);
    println!("1-NN error on mean colours: {error}");
    assert!(error > 0.83, "{error}");
}
