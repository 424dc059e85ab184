//! Crop and flip against a naive reference.
#![allow(clippy::unwrap_used)]

use aet_data::Augment;
use aet_data::augment::AugmentChoice;
use aet_data::random::{Purpose, generator};
use aet_geometry::RgbImage;
use proptest::prelude::*;
use rand::Rng;

/// Pixel by pixel: the padded image is looked up at the shifted place, from the right if flipped.
fn reference(image: &RgbImage, choice: AugmentChoice) -> RgbImage {
    let (height, width) = (image.height(), image.width());
    let mut pixels = Vec::new();
    for row in 0..height as isize {
        for column in 0..width as isize {
            let column = if choice.flipped {
                width as isize - 1 - column
            } else {
                column
            };
            let (row, column) = (row + choice.shift_down, column + choice.shift_right);
            let inside =
                (0..height as isize).contains(&row) && (0..width as isize).contains(&column);
            pixels.extend(if inside {
                image.pixel(row as usize, column as usize)
            } else {
                [0; 3]
            });
        }
    }
    RgbImage::new(height, width, pixels).unwrap()
}

fn noise(height: usize, width: usize, seed: u64) -> RgbImage {
    let mut image = RgbImage::filled(height, width, [0; 3]);
    generator(seed, 0, 0, Purpose::Noise).fill_bytes(image.pixels_mut());
    image
}

proptest! {
    #[test]
    fn crop_and_flip_equal_the_reference(
        height in 0_usize..9,
        width in 0_usize..9,
        shift_down in -11_isize..12,
        shift_right in -11_isize..12,
        flipped: bool,
        seed: u64,
    ) {
        let image = noise(height, width, seed);
        let choice = AugmentChoice { shift_down, shift_right, flipped };
        // What was in the output before must not show.
        let mut output = RgbImage::filled(height, width, [77; 3]);
        choice.apply_into(image.view(), output.view_mut());
        prop_assert_eq!(output, reference(&image, choice));
    }

    #[test]
    fn choices_stay_in_range_and_apply_as_drawn(padding in 0_usize..6, flip: bool, seed: u64) {
        let augment = Augment { crop_padding: padding, horizontal_flip: flip };
        let choice = augment.choose(&mut generator(seed, 0, 0, Purpose::Augment));
        prop_assert!(choice.shift_down.unsigned_abs() <= padding);
        prop_assert!(choice.shift_right.unsigned_abs() <= padding);
        prop_assert!(flip || !choice.flipped);
        let image = noise(6, 7, seed);
        let mut output = RgbImage::filled(6, 7, [77; 3]);
        let mut rng = generator(seed, 0, 0, Purpose::Augment);
        augment.apply_into(image.view(), &mut rng, output.view_mut());
        prop_assert_eq!(output, reference(&image, choice));
    }
}

#[test]
fn every_place_and_side_comes_equally_often() {
    let augment = Augment {
        crop_padding: 2,
        horizontal_flip: true,
    };
    let mut seen = std::collections::HashMap::new();
    for index in 0..10_000 {
        let choice = augment.choose(&mut generator(1, 0, index, Purpose::Augment));
        let key = (choice.shift_down, choice.shift_right, choice.flipped);
        *seen.entry(key).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 50);
    assert!(
        seen.values().all(|count| (130..275).contains(count)),
        "{seen:?}"
    );
}

#[test]
#[should_panic(expected = "as large as its image")]
fn an_output_of_another_size_is_the_callers_bug() {
    let image = noise(4, 4, 1);
    let mut output = RgbImage::filled(4, 5, [0; 3]);
    let choice = AugmentChoice {
        shift_down: 0,
        shift_right: 0,
        flipped: false,
    };
    choice.apply_into(image.view(), output.view_mut());
}
