//! The contract of every transformation family; a new one is covered by being listed.
#![allow(clippy::unwrap_used)]

use std::f64::consts::{FRAC_PI_4, SQRT_2};

use aet_geometry::{
    Compose, Family, FamilyError, Homography, Projective, RgbImage, Rotation, Scaling, Step,
    TransformationFamily, Translation,
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn families() -> Vec<Family> {
    let kinds = Family::KINDS.iter();
    kinds
        .map(|(kind, _)| Family::default_of(kind).unwrap())
        .collect()
}

fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Whether both maps take the corners and the middle of the image to the same places, to `within`
/// of the larger side.
fn assert_same(a: &Homography, b: &Homography, size: [usize; 2], within: f64) {
    let [height, width] = size.map(|side| side as f64);
    let points = [
        [0.0, 0.0],
        [width, 0.0],
        [width, height],
        [0.0, height],
        [width / 3.0, height / 2.0],
    ];
    for point in points {
        // A corner may be behind the horizon, for both.
        let (Some(a), Some(b)) = (a.apply(point), b.apply(point)) else {
            continue;
        };
        let far = a[0].abs().max(a[1].abs()).max(height.max(width));
        let off = (a[0] - b[0]).hypot(a[1] - b[1]);
        // Far away, near the horizon, the rounding of the target is magnified.
        assert!(
            off <= within * far * (far / height.max(width)),
            "{a:?} and {b:?} at {point:?}"
        );
    }
}

#[test]
fn the_target_of_the_identity_stands_for_what_changes_nothing() {
    let value = |i: usize| (i * 37 % 251) as u8;
    let image = RgbImage::new(24, 40, (0..24 * 40 * 3).map(value).collect()).unwrap();
    for family in families() {
        let Some(target) = family.identity_target([24, 40]) else {
            assert!(family.surrogate().is_some(), "{}", family.name());
            continue;
        };
        let same = family.transformation(&target, 24, 40).unwrap();
        let changed = same.apply(image.view(), [0; 3]);
        for (found, expected) in changed.pixels().iter().zip(image.pixels()) {
            assert!(found.abs_diff(*expected) <= 1, "{}", family.name());
        }
    }
    let larger = Family::Scaling(Scaling { scale: [1.1, 1.5] });
    assert_eq!(larger.identity_target([24, 40]), None);
}

/// Corners of a square image come to lie on eighths of the circle through them, in another order for
/// each anchor.
#[test]
fn anchors_are_the_identity_and_the_turns_and_flips_of_a_family() {
    let side = 32.0;
    let corners = [[0.0, 0.0], [side, 0.0], [side, side], [0.0, side]];
    let near: Family =
        serde_json::from_str(r#"{ "kind": "projective", "quarter_turns": false }"#).unwrap();
    let half: Family =
        serde_json::from_str(r#"{ "kind": "affine", "rotation_deg": 100 }"#).unwrap();
    let little: Family =
        serde_json::from_str(r#"{ "kind": "similarity", "rotation_deg": 30 }"#).unwrap();
    for family in families().iter().chain([&near, &half, &little]) {
        let anchors = family.anchors([32, 32]);
        let identity = family.identity_target([32, 32]);
        assert_eq!(anchors.first(), identity.as_ref(), "{}", family.name());
        let expected = match family {
            Family::Projective(projective) if !projective.quarter_turns => 1,
            Family::Affine(affine) if affine.rotation_deg < 180.0 => 5,
            Family::Similarity(similarity) if similarity.rotation_deg < 90.0 => 1,
            Family::Dihedral(_) => 8,
            Family::Projective(_) => 4,
            Family::Compose(_) | Family::Affine(_) | Family::Rotation(_) => 8,
            Family::Euclidean(_) | Family::Similarity(_) => 8,
            _ => usize::from(identity.is_some()),
        };
        assert_eq!(anchors.len(), expected, "{}", family.name());
        let mut orders: Vec<Vec<i64>> = Vec::new();
        for anchor in anchors.iter().filter(|_| family.is_homography()) {
            let map = family.source_from_output(anchor, 32, 32).unwrap().unwrap();
            let eighth = |corner| {
                let found = map.apply(corner).unwrap();
                let [x, y] = found.map(|place| place - side / 2.0);
                // The released middle is half a pixel off, so that a turn is a pixel off.
                assert!((x.hypot(y) - side / SQRT_2).abs() < 1.5, "{family:?}");
                (y.atan2(x) / FRAC_PI_4).round().rem_euclid(8.0) as i64
            };
            orders.push(corners.map(eighth).to_vec());
        }
        let count = orders.len();
        orders.sort();
        orders.dedup();
        assert_eq!(orders.len(), count, "{}", family.name());
    }
}

proptest! {
    #[test]
    fn the_target_says_which_transformation_it_was(
        seed in any::<u64>(), height in 8..300_usize, width in 8..300_usize,
    ) {
        for family in families() {
            let sampled = family.sample(&mut generator(seed), height, width);
            let again = family.source_from_output(&sampled.target, height, width).unwrap();
            let (Some(drawn), Some(again)) = (sampled.source_from_output(), again) else {
                prop_assert!(!family.is_homography() && family.moves());
                continue;
            };
            assert_same(&drawn, &again, [height, width], 2e-6);
        }
    }

    #[test]
    fn an_image_is_the_same_by_what_was_drawn_and_by_its_target(
        seed in any::<u64>(), height in 8..60_usize, width in 8..60_usize,
    ) {
        // Smooth, so that a rounded position changes little.
        let value = |i: usize| {
            let (x, y) = ((i / 3 % width) as f64, (i / 3 / width) as f64);
            (127.0 + 60.0 * (x / 9.0 + (i % 3) as f64).sin() + 50.0 * (y / 7.0).cos()) as u8
        };
        let image = RgbImage::new(height, width, (0..height * width * 3).map(value).collect()).unwrap();
        for family in families().into_iter().filter(|family| family.surrogate().is_none()) {
            let sampled = family.sample(&mut generator(seed), height, width);
            let again = family.transformation(&sampled.target, height, width).unwrap();
            let (one, other) = (sampled.transformation.apply(image.view(), [0; 3]), again.apply(image.view(), [0; 3]));
            let off = one.pixels().iter().zip(other.pixels()).filter(|(a, b)| a.abs_diff(**b) > 2);
            // A pixel at the border may fall on either side of it.
            prop_assert!(off.count() <= image.pixels().len() / 50, "{}", family.name());
        }
    }

    #[test]
    fn families_that_do_not_move_leave_every_point(seed in any::<u64>()) {
        for family in families() {
            let sampled = family.sample(&mut generator(seed), 20, 30);
            if !family.moves() {
                prop_assert!(family.changes_values());
                prop_assert_eq!(sampled.source_from_output(), Some(Homography::IDENTITY));
            }
        }
    }

    #[test]
    fn what_is_drawn_depends_on_the_seed_alone(seed in any::<u64>()) {
        for family in families() {
            let (mut first, mut second) = (generator(seed), generator(seed));
            for _ in 0..3 {
                prop_assert_eq!(family.sample(&mut first, 32, 48), family.sample(&mut second, 32, 48));
            }
            // Eight transformations come again soon.
            if family.name() != "dihedral" {
                let other = family.sample(&mut generator(seed ^ 1), 32, 48);
                prop_assert_ne!(family.sample(&mut generator(seed), 32, 48), other);
            }
        }
    }

    #[test]
    fn everything_drawn_is_finite_and_invertible(
        seed in any::<u64>(), height in 1..300_usize, width in 1..300_usize,
    ) {
        for family in families() {
            let sampled = family.sample(&mut generator(seed), height, width);
            prop_assert_eq!(sampled.target.len(), family.target_len());
            prop_assert!(sampled.target.iter().all(|value| value.is_finite()));
            let Some(source_from_output) = sampled.source_from_output() else {
                continue;
            };
            let output_from_source = source_from_output.inverse().unwrap();
            // The whole image is in front: so are its corners.
            for x in [0.0, width as f64] {
                for y in [0.0, height as f64] {
                    prop_assert!(output_from_source.apply([x, y]).is_some());
                }
            }
            if family.tanh_decoder() {
                prop_assert!(sampled.target.iter().all(|value| value.abs() <= 1.0));
            }
        }
    }

    #[test]
    fn any_finite_target_is_read(seed in any::<u64>(), size in -30.0..30.0_f32) {
        for family in families() {
            let target: Vec<f32> = (0..family.target_len())
                .map(|i| size * ((seed >> i) & 7) as f32 - 1.0)
                .collect();
            prop_assert!(family.source_from_output(&target, 32, 48).is_ok());
        }
    }
}

#[test]
fn names_lengths_and_kinds_agree() {
    for (family, (kind, line)) in families().iter().zip(Family::KINDS) {
        assert_eq!(family.name(), *kind);
        assert!(!line.is_empty());
        let names = family.target_names();
        assert_eq!(names.len(), family.target_len());
        let mut distinct = names.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(family.validate(), Ok(()));
    }
    let lengths: Vec<_> = families()
        .iter()
        .map(TransformationFamily::target_len)
        .collect();
    assert_eq!(
        lengths,
        [6, 8, 2, 4, 5, 2, 1, 1, 3, 4, 1, 25, 9, 18, 0, 0, 0]
    );
    let error = Family::default_of("swirl").unwrap_err().to_string();
    let known = "affine, projective, rotation, euclidean, similarity, translation, scaling, \
        shear, dihedral, colour, blur, convolution, compose, thin-plate, elastic, local-shuffle, \
        texture";
    assert_eq!(
        error,
        format!("no transformation family is called \"swirl\"; there are {known}")
    );
}

#[test]
fn wrong_targets_are_refused_with_what_is_wrong() {
    for family in families() {
        let len = family.target_len();
        let error = family
            .source_from_output(&vec![0.0; len + 1], 32, 32)
            .unwrap_err();
        let text = format!(
            "{} family: a target has {len} components, not {}",
            family.name(),
            len + 1
        );
        assert_eq!(error.to_string(), text);
        if len == 0 {
            continue;
        }
        let mut target = vec![0.25; len];
        target[len - 1] = f32::NAN;
        let error = family.source_from_output(&target, 32, 32).unwrap_err();
        assert!(
            matches!(error, FamilyError::TargetNotFinite { component, .. }
            if component == family.target_names()[len - 1])
        );
    }
}

#[test]
fn a_direction_off_the_unit_circle_is_read_as_its_angle() {
    for family in families() {
        if family
            .target_names()
            .first()
            .is_none_or(|name| name != "cos_rotation")
        {
            continue;
        }
        let mut target = vec![0.1; family.target_len()];
        (target[0], target[1]) = (0.6, -0.8);
        let map = |target: &[f32]| family.source_from_output(target, 32, 32).unwrap().unwrap();
        let expected = map(&target);
        (target[0], target[1]) = (0.3, -0.4);
        let found = map(&target);
        assert_same(&found, &expected, [32, 32], 1e-6);
        (target[0], target[1]) = (0.0, 0.0);
        let none = map(&target);
        (target[0], target[1]) = (1.0, 0.0);
        assert_same(&none, &map(&target), [32, 32], 1e-9);
    }
}

#[test]
fn quarter_turns_are_exact_and_come_equally_often() {
    let mut counts = [0; 4];
    let mut rng = generator(3);
    for _ in 0..400 {
        let quarter = Rotation {
            steps: Some(4),
            ..Rotation::default()
        };
        let sampled = quarter.sample(&mut rng, 32, 32);
        let turns = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]];
        counts[turns
            .iter()
            .position(|turn| sampled.target == turn)
            .unwrap()] += 1;
        assert!(
            sampled
                .source_from_output()
                .unwrap()
                .rows()
                .iter()
                .flatten()
                .all(|v| v.fract() == 0.0)
        );
    }
    assert!(
        counts.iter().all(|count| (60..140).contains(count)),
        "{counts:?}"
    );
    // Eight steps have the diagonals too.
    let eighth = Rotation {
        steps: Some(8),
        ..Rotation::default()
    };
    let angles: Vec<_> = (0..50)
        .map(|_| eighth.sample(&mut rng, 32, 32).target)
        .collect();
    assert!(
        angles
            .iter()
            .any(|target| (target[0].abs() - 0.5_f32.sqrt()).abs() < 1e-6)
    );
}

#[test]
fn wide_corner_shifts_are_drawn_again_until_they_are_in_front() {
    let wide = Projective {
        corner_shift: 0.4,
        ..Projective::default()
    };
    assert_eq!(wide.validate(), Ok(()));
    let mut rng = generator(4);
    for _ in 0..2000 {
        let sampled = wide.sample(&mut rng, 32, 32);
        let map = sampled.source_from_output().unwrap();
        let output_from_source = map.inverse().unwrap();
        for corner in [[0.0, 0.0], [32.0, 0.0], [32.0, 32.0], [0.0, 32.0]] {
            assert!(output_from_source.apply(corner).is_some());
        }
    }
}

#[test]
fn images_of_no_size_are_survived() {
    for family in families() {
        for (height, width) in [(0, 0), (0, 7), (7, 0), (1, 1)] {
            let sampled = family.sample(&mut generator(5), height, width);
            assert!(
                sampled.target.iter().all(|value| value.is_finite()),
                "{sampled:?}"
            );
        }
    }
}

#[test]
fn default_statistics_scale_with_the_image() {
    let (mean, std) = Projective::default().target_statistics(32, 32);
    assert_eq!(
        (mean, std),
        (Projective::RELEASED_MEAN_32, Projective::RELEASED_STD_32)
    );
    let (mean, std) = Projective::default().target_statistics(224, 64);
    assert_eq!(mean, [0.0, 0.0, 32.0, 0.0, 0.0, 112.0, 0.0, 0.0]);
    assert_eq!((std[2], std[5], std[6]), (40.0, 140.0, 0.0075));
    // The same transformation, of an image seven times as large, has the same target.
    let family = Family::Projective(Projective::default());
    let small = family.sample(&mut generator(6), 32, 32);
    let larger = Homography::scaling(7.0, 7.0);
    let map = larger * small.source_from_output().unwrap() * larger.inverse().unwrap();
    let again = family
        .source_from_output(&small.target, 224, 224)
        .unwrap()
        .unwrap();
    assert_same(&map, &again, [224, 224], 1e-6);
}

#[test]
fn a_composition_does_its_parts_in_their_order() {
    let shift = Translation { translation: 0.5 };
    let turn = Rotation {
        steps: Some(4),
        ..Rotation::default()
    };
    let parts = vec![Family::Translation(shift), Family::Rotation(turn)];
    let family = Family::Compose(Compose { families: parts });
    assert_eq!(
        family.target_names(),
        [
            "1.translation.x_shift",
            "1.translation.y_shift",
            "2.rotation.cos_rotation",
            "2.rotation.sin_rotation"
        ]
    );
    // Half a side to the right, then a quarter turn clockwise: what was in the middle is read below it.
    let map = family
        .source_from_output(&[1.0, 0.0, 0.0, 1.0], 40, 40)
        .unwrap()
        .unwrap();
    let middle = map.apply([20.0, 40.0]).unwrap();
    assert!(
        (middle[0] - 20.0).abs() < 1e-9 && (middle[1] - 20.0).abs() < 1e-9,
        "{middle:?}"
    );
    let nothing = Family::Compose(Compose { families: vec![] });
    let message = nothing.validate().unwrap_err().to_string();
    assert!(
        message.contains("`families` must be at least one family"),
        "{message}"
    );
    let nested = r#"{ "kind": "compose", "families": [{ "kind": "blur" }, { "kind": "shear", "shear_deg": 95 }] }"#;
    let inner = serde_json::from_str::<Family>(nested)
        .unwrap()
        .validate()
        .unwrap_err();
    assert!(
        inner.to_string().contains("shear family: `shear_deg`"),
        "{inner}"
    );
}

#[test]
fn elastic_displacements_have_the_strength_that_was_asked_for() {
    let family = Family::default_of("elastic").unwrap();
    let mut rng = generator(9);
    let [mut sum, mut count] = [0.0_f64; 2];
    for _ in 0..60 {
        let sampled = family.sample(&mut rng, 40, 60);
        let [Step::Field(field)] = sampled.transformation.steps() else {
            panic!("an elastic transformation is a field");
        };
        // Away from the border, where repeated noise is blurred less.
        for (row, column) in (15..25).flat_map(|row| (15..45).map(move |column| (row, column))) {
            let [x, y] = field.source(row, column).map(f64::from);
            sum += ((x - column as f64 - 0.5) / 60.0).powi(2)
                + ((y - row as f64 - 0.5) / 40.0).powi(2);
            count += 2.0;
        }
    }
    let deviation = (sum / count).sqrt();
    assert!((deviation - 0.06).abs() < 0.008, "{deviation}");
}

#[test]
fn shuffled_pixels_stay_within_their_windows_and_none_is_lost() {
    let family = Family::default_of("local-shuffle").unwrap();
    let pixels = (0..7 * 8).flat_map(|i| [i as u8, 0, 255]).collect();
    let image = RgbImage::new(7, 8, pixels).unwrap();
    let shuffled = family
        .sample(&mut generator(2), 7, 8)
        .transformation
        .apply(image.view(), [9; 3]);
    assert_ne!(shuffled, image);
    for (top, left) in [(0, 0), (3, 0), (3, 3), (6, 6)] {
        let window = |image: &RgbImage| {
            let rows = (top..(top + 3).min(7))
                .flat_map(|row| (left..(left + 3).min(8)).map(move |c| (row, c)));
            let mut values: Vec<_> = rows.map(|(row, column)| image.pixel(row, column)).collect();
            values.sort_unstable();
            values
        };
        assert_eq!(window(&shuffled), window(&image));
    }
}

#[test]
fn surrogates_and_filters_that_cannot_be_are_refused() {
    for (text, part) in [
        (
            r#"{ "kind": "elastic", "surrogate": { "kind": "colour" } }"#,
            "`surrogate` must be a family with parameters",
        ),
        (
            r#"{ "kind": "texture", "surrogate": { "kind": "elastic" } }"#,
            "`surrogate` must be",
        ),
        (
            r#"{ "kind": "texture", "side_px": 4 }"#,
            "`side_px` must be an odd number from 3 to 31, not 4",
        ),
        (
            r#"{ "kind": "local-shuffle", "window_px": 1 }"#,
            "`window_px` must be from 2 to 64",
        ),
        (
            r#"{ "kind": "thin-plate", "shift": 0.3 }"#,
            "`shift` must be from 0 to 0.25",
        ),
        (
            r#"{ "kind": "compose", "families": [{ "kind": "texture" }] }"#,
            "families with parameters",
        ),
    ] {
        let message = serde_json::from_str::<Family>(text)
            .unwrap()
            .validate()
            .unwrap_err()
            .to_string();
        assert!(message.contains(part), "{text}: {message}");
    }
}

/// Runs and checkpoints of the past rely on it: drawing in another order is a breaking change. The
/// numbers are this crate's own, of when the test was written.
#[test]
fn a_seed_keeps_giving_the_same_transformations() {
    let expected: [&[f32]; 17] = [
        &[-0.547467, -0.836827, -0.625, 0.46875, 0.453483, 0.202518],
        &[
            1.328461, 0.149502, -1.113183, 0.124096, 1.08735, -1.057808, 0.169441, -0.017217,
        ],
        &[-0.547467, -0.836827],
        &[-0.547467, -0.836827, -0.664021, 0.408552],
        &[-0.547467, -0.836827, -0.664021, 0.408552, 0.453483],
        &[-0.684408, -0.664021],
        &[-0.684408],
        &[-0.684408],
        &[0.0, 1.0, 1.0],
        &[-0.684408, -0.664021, 0.408552, 0.453483],
        &[-0.684408],
        &[-0.912432],
        &[
            -0.684408, -0.664021, 0.408552, 0.453483, 0.804342, 0.594167, -0.281271, -0.833881,
            0.69858,
        ],
        &[
            -0.684408, -0.664021, 0.408552, 0.453483, 0.202518, -0.281271, -0.833881, 0.69858,
        ],
        &[],
        &[],
        &[],
    ];
    assert_eq!(expected.len(), Family::KINDS.len());
    for (family, expected) in families().iter().zip(expected) {
        let found = family.sample(&mut generator(7), 32, 48).target;
        let begins = matches!(family.name(), "thin-plate" | "convolution");
        assert!(found.len() == expected.len() || begins);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }
}
