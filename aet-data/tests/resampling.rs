//! Regions of images, against Pillow and against resizing before cropping.
#![allow(clippy::unwrap_used)]

use aet_data::{Region, ResampleError, Resampler};
use aet_geometry::RgbImage;
use serde::Deserialize;

/// A case of `fixtures/resampling`.
#[derive(Deserialize)]
struct Case {
    source: [usize; 2],
    shorter_side: usize,
    crop: [usize; 2],
    place: [f64; 2],
    rgb: String,
}

/// The image of `fixtures/resampling/make.py`.
fn picture([height, width]: [usize; 2]) -> RgbImage {
    let mut state = 7_u64;
    let pixel = |at: usize| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        let (row, column, channel) = (at / 3 / width, at / 3 % width, at % 3);
        ((row * 3 + column * (channel + 1)) % 160) as u8 + ((state >> 16) % 90) as u8
    };
    let pixels = (0..height * width * 3).map(pixel).collect();
    RgbImage::new(height, width, pixels).unwrap()
}

fn cases() -> Vec<Case> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/resampling/expected.json"
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn framed(image: &RgbImage, region: Region, [height, width]: [usize; 2]) -> RgbImage {
    let mut output = RgbImage::filled(height, width, [9; 3]);
    let mut resampler = Resampler::default();
    (resampler.frame_into(image.view(), region, output.view_mut())).unwrap();
    output
}

fn largest_difference(left: &[u8], right: &[u8]) -> u8 {
    assert_eq!(left.len(), right.len());
    let pairs = left.iter().zip(right);
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn a_crop_of_a_resized_image_is_that_of_pillow() {
    for case in cases() {
        let region = Region::of_crop(case.source, case.shorter_side, case.crop, case.place);
        let image = framed(&picture(case.source), region, case.crop);
        let byte = |at: usize| u8::from_str_radix(&case.rgb[at..at + 2], 16).unwrap();
        let expected: Vec<u8> = (0..case.rgb.len()).step_by(2).map(byte).collect();
        let most = largest_difference(image.pixels(), &expected);
        println!("{:?} to {:?}: at most {most}", case.source, case.crop);
        assert!(most <= 1, "{:?} to {:?}: {most}", case.source, case.crop);
    }
}

#[test]
fn one_pass_over_a_region_equals_resizing_then_cropping() {
    for case in cases() {
        let image = picture(case.source);
        let [height, width] = case.source;
        let long = case.shorter_side * height.max(width) / height.min(width);
        let resized = if height < width {
            [case.shorter_side, long]
        } else {
            [long, case.shorter_side]
        };
        let first = framed(&image, Region::whole(case.source), resized);
        let offset = |axis: usize| {
            (case.place[axis] * (resized[axis] - case.crop[axis]) as f64).round_ties_even()
        };
        let cut = Region {
            top: offset(0),
            left: offset(1),
            height: case.crop[0] as f64,
            width: case.crop[1] as f64,
        };
        let two_passes = framed(&first, cut, case.crop);
        let region = Region::of_crop(case.source, case.shorter_side, case.crop, case.place);
        let one_pass = framed(&image, region, case.crop);
        let most = largest_difference(one_pass.pixels(), two_passes.pixels());
        assert!(most <= 1, "{:?} to {:?}: {most}", case.source, case.crop);
    }
}

#[test]
fn a_region_of_whole_pixels_is_copied() {
    let image = picture([11, 13]);
    let region = Region {
        top: 2.0,
        left: 5.0,
        height: 6.0,
        width: 7.0,
    };
    let part = framed(&image, region, [6, 7]);
    for row in 0..6 {
        for column in 0..7 {
            assert_eq!(part.pixel(row, column), image.pixel(row + 2, column + 5));
        }
    }
    assert_eq!(framed(&image, Region::whole([11, 13]), [11, 13]), image);
}

#[test]
fn the_middle_of_a_wide_image_has_all_of_its_height() {
    let region = Region::centre([30, 50], [10, 10]);
    let expected = Region {
        top: 0.0,
        left: 10.0,
        height: 30.0,
        width: 30.0,
    };
    assert_eq!(region, expected);
    let region = Region::centre([50, 30], [4, 3]);
    assert_eq!([region.top, region.height, region.width], [5.0, 40.0, 30.0]);
}

#[test]
fn a_crop_lies_at_whole_pixels_of_the_resized_image() {
    // 100x150 to 50x75; a crop of 40x40 leaves 10 and 35, of which 0.3 are 3 and 10.5, so 10.
    let region = Region::of_crop([100, 150], 50, [40, 40], [0.3, 0.3]);
    assert_eq!([region.top, region.left], [6.0, 20.0]);
    assert_eq!([region.height, region.width], [80.0, 80.0]);
}

#[test]
fn a_crop_larger_than_the_resized_image_takes_what_just_covers_it() {
    let region = Region::of_crop([100, 150], 20, [40, 40], [0.5, 1.0]);
    assert_eq!([region.top, region.left], [0.0, 50.0]);
    assert_eq!([region.height, region.width], [100.0, 100.0]);
}

#[test]
fn every_region_of_a_crop_lies_in_its_image() {
    let mut resampler = Resampler::default();
    for source in [[1, 1], [3, 997], [641, 479], [7, 5]] {
        let image = picture(source);
        for shorter_side in [1, 17, 224] {
            for crop in [[1, 1], [16, 17], [224, 192]] {
                for place in [[0.0, 1.0], [0.37, 0.91], [1.0, 1.0]] {
                    let region = Region::of_crop(source, shorter_side, crop, place);
                    let mut output = RgbImage::filled(crop[0], crop[1], [0; 3]);
                    let result = resampler.frame_into(image.view(), region, output.view_mut());
                    assert_eq!(
                        result,
                        Ok(()),
                        "{source:?} {shorter_side} {crop:?} {place:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_region_outside_its_image_and_images_without_pixels_are_errors() {
    let image = picture([5, 7]);
    let mut output = RgbImage::filled(3, 3, [0; 3]);
    let mut try_region = |top, left, height, width| {
        let region = Region {
            top,
            left,
            height,
            width,
        };
        Resampler::default().frame_into(image.view(), region, output.view_mut())
    };
    for [top, left, height, width] in [
        [-1.0, 0.0, 3.0, 3.0],
        [0.0, 5.0, 3.0, 3.0],
        [0.0, 0.0, 6.0, 3.0],
        [0.0, 0.0, 0.0, 3.0],
        [f64::NAN, 0.0, 3.0, 3.0],
        [0.0, 0.0, 3.0, f64::INFINITY],
    ] {
        let error = try_region(top, left, height, width).unwrap_err();
        assert!(matches!(error, ResampleError::Outside { .. }), "{error}");
        assert!(error.to_string().contains("image of 5x7"), "{error}");
    }
    let nothing = RgbImage::filled(0, 4, [0; 3]);
    let error = Resampler::default()
        .frame_into(nothing.view(), Region::whole([0, 4]), output.view_mut())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "0x4 pixels (height x width) cannot become 3x3"
    );
}
