//! Crop and flip against a naive reference; images of any size become items; colours.
#![allow(clippy::unwrap_used)]

use aet_data::augment::AugmentChoice;
use aet_data::random::{Purpose, generator};
use aet_data::{Augment, AugmentBuffers, CropPlace, ResizedCrop};
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
        let augment = Augment {
            crop_padding: padding,
            horizontal_flip: flip,
            ..Augment::none()
        };
        let choice = augment.choose(&mut generator(seed, 0, 0, Purpose::Augment));
        prop_assert!(choice.shift_down.unsigned_abs() <= padding);
        prop_assert!(choice.shift_right.unsigned_abs() <= padding);
        prop_assert!(flip || !choice.flipped);
        let image = noise(6, 7, seed);
        let mut output = RgbImage::filled(6, 7, [77; 3]);
        let mut rng = generator(seed, 0, 0, Purpose::Augment);
        let mut buffers = AugmentBuffers::default();
        augment.apply_into(image.view(), &mut rng, &mut buffers, output.view_mut()).unwrap();
        prop_assert_eq!(output, reference(&image, choice));
    }
}

#[test]
fn every_place_and_side_comes_equally_often() {
    let augment = Augment {
        crop_padding: 2,
        horizontal_flip: true,
        ..Augment::none()
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

/// A smooth picture: the red of a pixel is its column, the green its row.
fn gradient(height: usize, width: usize) -> RgbImage {
    let pixels = (0..height * width).flat_map(|at| [(at % width) as u8, (at / width) as u8, 77]);
    RgbImage::new(height, width, pixels.collect()).unwrap()
}

fn item(augment: &Augment, image: &RgbImage, seed: u64, size: [usize; 2]) -> RgbImage {
    let mut output = RgbImage::filled(size[0], size[1], [9; 3]);
    let mut rng = generator(seed, 0, 0, Purpose::Augment);
    let mut buffers = AugmentBuffers::default();
    augment
        .apply_into(image.view(), &mut rng, &mut buffers, output.view_mut())
        .unwrap();
    output
}

#[test]
fn a_larger_image_becomes_an_item_by_its_middle() {
    let image = gradient(100, 160);
    let found = item(&Augment::none(), &image, 1, [50, 50]);
    // Columns 30 to 130, two for one.
    for (row, column) in [(0, 0), (20, 7), (49, 49)] {
        let [red, green, blue] = found.pixel(row, column);
        let expected = [30 + 2 * column, 2 * row];
        assert!(red.abs_diff(expected[0] as u8) <= 1, "{red} {expected:?}");
        assert!(
            green.abs_diff(expected[1] as u8) <= 1,
            "{green} {expected:?}"
        );
        assert_eq!(blue, 77);
    }
}

#[test]
fn resize_and_crop_take_the_middle_when_still_and_any_place_in_training() {
    let image = gradient(100, 160);
    let augment = Augment {
        resize: Some(50),
        ..Augment::none()
    };
    let size = [40, 40];
    // Resized to 50x80; the middle 40x40 begins at row 5 and column 20 of it.
    let middle = item(&augment.still(), &image, 1, size);
    assert!(
        middle.pixel(0, 0)[0].abs_diff(40) <= 1,
        "{:?}",
        middle.pixel(0, 0)
    );
    assert!(
        middle.pixel(0, 0)[1].abs_diff(10) <= 1,
        "{:?}",
        middle.pixel(0, 0)
    );
    assert_eq!(
        middle,
        item(&augment.still(), &image, 2, size),
        "nothing is random"
    );
    let firsts = (0..200).map(|seed| item(&augment, &image, seed, size).pixel(0, 0));
    let firsts: Vec<[u8; 3]> = firsts.collect();
    let columns = || firsts.iter().map(|pixel| pixel[0]);
    let rows = || firsts.iter().map(|pixel| pixel[1]);
    assert!(columns().min().unwrap() <= 2 && columns().max().unwrap() >= 78);
    assert!(rows().min().unwrap() <= 2 && rows().max().unwrap() >= 18);
    let fixed = Augment {
        crop_place: CropPlace::Centre,
        ..augment
    };
    assert_eq!(middle, item(&fixed, &image, 3, size));
}

#[test]
fn all_steps_follow_each_other() {
    let image = gradient(90, 120);
    let framed = Augment {
        resized_crop: Some(ResizedCrop {
            scale: [0.3, 0.5],
            ..ResizedCrop::default()
        }),
        ..Augment::none()
    };
    let flipped = Augment {
        horizontal_flip: true,
        ..framed.clone()
    };
    let coloured = Augment {
        jitter: Some(aet_geometry::Colour::default()),
        ..flipped.clone()
    };
    let mut mirrored = 0;
    for seed in 0..20 {
        let plain = item(&framed, &image, seed, [30, 40]);
        let moved = item(&flipped, &image, seed, [30, 40]);
        // The crop is drawn before the flip, so that both take the same part.
        if moved != plain {
            mirrored += 1;
            assert_eq!(moved.pixel(3, 39), plain.pixel(3, 0));
        }
        let changed = item(&coloured, &image, seed, [30, 40]);
        assert_ne!(changed, moved, "seed {seed}");
        assert_eq!(changed, item(&coloured, &image, seed, [30, 40]));
    }
    assert!((4..17).contains(&mirrored), "{mirrored}");
}

#[test]
fn what_does_not_go_together_is_named() {
    let resize = |resize| Augment {
        resize: Some(resize),
        ..Augment::none()
    };
    resize(256).validate(Some([224, 224])).unwrap();
    for (augment, size, part) in [
        (resize(200), Some([224, 160]), "224"),
        (resize(256), None, "data.image_size"),
    ] {
        let message = augment.validate(size).unwrap_err().to_string();
        assert!(
            message.contains("augment.resize") && message.contains(part),
            "{message}"
        );
    }
}
