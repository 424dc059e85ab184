//! Facts about warps and image views.
#![allow(clippy::unwrap_used)]

use std::f64::consts::FRAC_PI_2;

use aet_geometry::{Homography, RgbImage, RgbView, RgbViewMut, warp, warp_into};
use proptest::prelude::*;

const FILL: [u8; 3] = [9, 99, 200];

/// A random image of 1 to `most` pixels either way.
fn image(most: usize) -> impl Strategy<Value = RgbImage> {
    (1..=most, 1..=most).prop_flat_map(|(height, width)| {
        proptest::collection::vec(any::<u8>(), height * width * 3)
            .prop_map(move |pixels| RgbImage::new(height, width, pixels).unwrap())
    })
}

fn from_pixels(height: usize, width: usize, at: impl Fn(usize, usize) -> [u8; 3]) -> RgbImage {
    let pixels = (0..height * width)
        .flat_map(|k| at(k / width, k % width))
        .collect();
    RgbImage::new(height, width, pixels).unwrap()
}

fn same_size(source: &RgbImage, map: &Homography) -> RgbImage {
    warp(source, map, source.height(), source.width(), FILL)
}

proptest! {
    #[test]
    fn the_identity_changes_nothing(source in image(23)) {
        prop_assert_eq!(same_size(&source, &Homography::IDENTITY), source);
    }

    #[test]
    fn the_scale_of_the_matrix_does_not_matter(source in image(23), scale in 1e-3..1e3) {
        let rows = Homography::IDENTITY.rows().map(|row| row.map(|value| value * scale));
        prop_assert_eq!(same_size(&source, &Homography::from_rows(rows)), source);
    }

    #[test]
    fn quarter_turns_move_whole_pixels(source in image(23), turns in 0..4_usize) {
        let (height, width) = (source.height(), source.width());
        let (rows, columns) = if turns % 2 == 1 { (width, height) } else { (height, width) };
        // The image turned about its own centre, then moved to the centre of the output.
        let output_from_source = Homography::translation(columns as f64 / 2.0, rows as f64 / 2.0)
            * Homography::rotation(turns as f64 * FRAC_PI_2)
            * Homography::translation(width as f64 / -2.0, height as f64 / -2.0);
        let found = warp(&source, &output_from_source.inverse().unwrap(), rows, columns, FILL);
        let expected = from_pixels(rows, columns, |i, j| match turns {
            0 => source.pixel(i, j),
            1 => source.pixel(height - 1 - j, i),
            2 => source.pixel(height - 1 - i, width - 1 - j),
            _ => source.pixel(j, width - 1 - i),
        });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn whole_shifts_move_whole_pixels(source in image(23), x in -30..30_isize, y in -30..30_isize) {
        let found = same_size(&source, &Homography::translation(x as f64, y as f64));
        let expected = from_pixels(source.height(), source.width(), |i, j| {
            match (i.checked_add_signed(y), j.checked_add_signed(x)) {
                (Some(i), Some(j)) if i < source.height() && j < source.width() => source.pixel(i, j),
                _ => FILL,
            }
        });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn reading_from_outside_gives_the_fill(source in image(23), side in 0..4) {
        let (height, width) = (source.height() as f64, source.width() as f64);
        let (x, y) = [(-width, 0.0), (width, 0.0), (0.0, -height), (0.0, height)][side as usize];
        let found = same_size(&source, &Homography::translation(x, y));
        prop_assert_eq!(found, RgbImage::filled(source.height(), source.width(), FILL));
    }

    #[test]
    fn any_matrix_on_any_size_gives_an_image(
        source in image(12), rows in 0..12_usize, columns in 0..20_usize,
        matrix in any::<[[f64; 3]; 3]>(),
    ) {
        let found = warp(&source, &Homography::from_rows(matrix), rows, columns, FILL);
        prop_assert_eq!((found.height(), found.width()), (rows, columns));
    }

    #[test]
    fn every_pixel_is_the_fill_or_within_its_neighbours(source in image(12), angle in -3.0..3.0) {
        let centre = [source.width() as f64 / 2.0, source.height() as f64 / 2.0];
        let map = Homography::rotation(angle).about(centre) * Homography::scaling(0.7, 0.9);
        let found = warp(&source, &map, 9, 17, FILL);
        for i in 0..9 {
            for j in 0..17 {
                let [x, y] = map.apply([j as f64 + 0.5, i as f64 + 0.5]).unwrap();
                let around = |at: f64, size: usize| {
                    let first = (at - 0.5).floor();
                    [first, first + 1.0].map(|k| (k.max(0.0) as usize).min(size - 1))
                };
                let (rows, columns) = (around(y, source.height()), around(x, source.width()));
                if x < 0.0 || y < 0.0 || x >= source.width() as f64 || y >= source.height() as f64 {
                    prop_assert_eq!(found.pixel(i, j), FILL);
                    continue;
                }
                for channel in 0..3 {
                    let values = rows.map(|r| columns.map(|c| source.pixel(r, c)[channel]));
                    let values = values.as_flattened();
                    let value = found.pixel(i, j)[channel];
                    // One level of room: a position within 1/32768 pixel of a centre is rounded.
                    prop_assert!(value.saturating_add(1) >= *values.iter().min().unwrap());
                    prop_assert!(value.saturating_sub(1) <= *values.iter().max().unwrap());
                }
            }
        }
    }
}

#[test]
fn matrices_that_are_not_finite_give_the_fill() {
    let source = from_pixels(11, 13, |i, j| [i as u8 * 20, j as u8 * 15, 77]);
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for row in 0..3 {
            let mut rows = Homography::IDENTITY.rows();
            rows[row] = [wrong; 3];
            let found = same_size(&source, &Homography::from_rows(rows));
            assert_eq!(
                found,
                RgbImage::filled(11, 13, FILL),
                "{wrong} in row {row}"
            );
        }
    }
    let zero = Homography::from_rows([[0.0; 3]; 3]);
    assert_eq!(same_size(&source, &zero), RgbImage::filled(11, 13, FILL));
}

#[test]
fn behind_the_horizon_is_the_fill() {
    let source = from_pixels(16, 16, |i, j| [i as u8 * 16, j as u8 * 16, 40]);
    // The third coordinate is 1 - x/8: the right half of the output lies behind.
    let map = Homography::from_coefficients([-1.0, 0.0, 9.0, 0.0, 0.5, 1.0, -0.125, 0.0]);
    let found = same_size(&source, &map);
    for i in 0..16 {
        assert_ne!(found.pixel(i, 7), source.pixel(0, 0));
        for j in 8..16 {
            assert_eq!(found.pixel(i, j), FILL);
        }
    }
    // An affine map with a negative third coordinate is behind everywhere.
    let rows = Homography::IDENTITY
        .rows()
        .map(|row| row.map(|value| -value));
    let found = same_size(&source, &Homography::from_rows(rows));
    assert_eq!(found, RgbImage::filled(16, 16, FILL));
}

#[test]
fn images_without_pixels_are_taken() {
    let empty = RgbImage::new(0, 5, vec![]).unwrap();
    let found = warp(&empty, &Homography::IDENTITY, 3, 9, FILL);
    assert_eq!(found, RgbImage::filled(3, 9, FILL));
    let source = from_pixels(3, 9, |i, j| [i as u8, j as u8, 1]);
    assert!(
        warp(&source, &Homography::IDENTITY, 0, 9, FILL)
            .pixels()
            .is_empty()
    );
    assert!(
        warp(&source, &Homography::IDENTITY, 9, 0, FILL)
            .pixels()
            .is_empty()
    );
}

#[test]
fn a_single_pixel_is_spread_over_its_whole_square() {
    let source = RgbImage::new(1, 1, vec![10, 20, 30]).unwrap();
    let found = warp(&source, &Homography::scaling(0.1, 0.1), 12, 12, FILL);
    assert_eq!(found.pixel(9, 9), [10, 20, 30]);
    assert_eq!(found.pixel(10, 9), FILL);
}

#[test]
fn sides_beyond_65536_pixels_are_read_in_place() {
    let width = 70_000;
    let source = from_pixels(2, width, |i, j| [(j % 251) as u8, (j / 251) as u8, i as u8]);
    let found = warp(
        &source,
        &Homography::translation(69_980.0, 0.0),
        2,
        24,
        FILL,
    );
    for j in 0..20 {
        assert_eq!(found.pixel(1, j), source.pixel(1, 69_980 + j));
    }
    assert_eq!(found.pixel(1, 20), FILL);
}

#[test]
fn views_check_their_size_and_show_the_same_pixels() {
    let mut source = from_pixels(2, 3, |i, j| [i as u8, j as u8, 5]);
    let error = RgbView::new(2, 3, &source.pixels()[1..]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an RGB image of 2x3 pixels takes 18 bytes, not 17"
    );
    assert!(RgbView::new(usize::MAX, usize::MAX, &[]).is_err());
    assert!(RgbViewMut::new(2, 2, source.pixels_mut()).is_err());
    assert!(RgbImage::new(1, 1, vec![0; 4]).is_err());

    let copy = source.view().to_image();
    assert_eq!(copy, source);
    assert_eq!(source.view().pixel(1, 2), [1, 2, 5]);
    let mut bytes = vec![0; 18];
    let output = RgbViewMut::new(2, 3, &mut bytes).unwrap();
    assert_eq!((output.height(), output.width()), (2, 3));
    assert_eq!(output.as_view().pixels(), output.pixels());
    warp_into(copy.view(), &Homography::IDENTITY, output, FILL);
    assert_eq!(bytes, source.clone().into_pixels());
    source.view_mut().pixels_mut()[0] = 44;
    assert_eq!(source.pixel(0, 0), [44, 0, 5]);
}
