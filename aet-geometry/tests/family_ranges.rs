//! The ranges of the transformation families: their defaults, and which are refused.
#![allow(clippy::unwrap_used)]

use aet_geometry::{
    Affine, Euclidean, Family, Homography, Projective, Rotation, Similarity, TransformationFamily,
};
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

#[test]
fn left_out_fields_have_their_released_values() {
    for family in families() {
        let bare = format!("{{ \"kind\": \"{}\" }}", family.name());
        assert_eq!(serde_json::from_str::<Family>(&bare).unwrap(), family);
        let text = serde_json::to_string(&family).unwrap();
        assert_eq!(serde_json::from_str::<Family>(&text).unwrap(), family);
        let unknown = format!("{{ \"kind\": \"{}\", \"swirl\": 1 }}", family.name());
        let error = serde_json::from_str::<Family>(&unknown)
            .unwrap_err()
            .to_string();
        assert!(error.contains("swirl"), "{error}");
    }
    let released = Affine {
        rotation_deg: 180.0,
        translation: 0.2,
        scale: [0.7, 1.3],
        shear_deg: 30.0,
    };
    assert_eq!(Affine::default(), released);
    let projective = Projective::default();
    assert_eq!(
        (projective.scale, projective.corner_shift),
        ([0.8, 1.2], 0.125)
    );
    let family: Family =
        serde_json::from_str(r#"{ "kind": "affine", "shear_deg": 15.0 }"#).unwrap();
    assert_eq!(
        family,
        Family::Affine(Affine {
            shear_deg: 15.0,
            ..released
        })
    );
}

/// Asserts that `family` is refused with one line that has `parts` in it.
fn assert_refused(family: Family, parts: [&str; 2]) {
    let message = family.validate().unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert!(!message.contains('\n'));
    // Nothing panics all the same.
    let sampled = family.sample(&mut generator(1), 16, 24);
    assert_eq!(sampled.target.len(), family.target_len());
}

#[test]
fn impossible_ranges_are_refused_with_range_and_value() {
    for value in [-1.0, 181.0, f64::NAN, f64::INFINITY] {
        let parts = ["`rotation_deg` must be from 0 to 180", &value.to_string()];
        assert_refused(
            Family::Affine(Affine {
                rotation_deg: value,
                ..Affine::default()
            }),
            parts,
        );
        assert_refused(
            Family::Euclidean(Euclidean {
                rotation_deg: value,
                ..Euclidean::default()
            }),
            parts,
        );
        let similarity = Similarity {
            rotation_deg: value,
            ..Similarity::default()
        };
        assert_refused(Family::Similarity(similarity), parts);
    }
    for value in [-0.1, 1.5, f64::NAN] {
        let parts = ["`translation` must be from 0 to 1", &value.to_string()];
        assert_refused(
            Family::Affine(Affine {
                translation: value,
                ..Affine::default()
            }),
            parts,
        );
        let euclidean = Euclidean {
            translation: value,
            ..Euclidean::default()
        };
        assert_refused(Family::Euclidean(euclidean), parts);
        let similarity = Similarity {
            translation: value,
            ..Similarity::default()
        };
        assert_refused(Family::Similarity(similarity), parts);
    }
    for scale in [
        [0.0, 1.0],
        [-1.0, 1.0],
        [1.3, 0.7],
        [f64::NAN, 1.0],
        [1.0, f64::INFINITY],
    ] {
        let value = format!("{scale:?}");
        let parts = [
            "`scale` must be [low, high] with 0.01 <= low <= high",
            value.as_str(),
        ];
        assert_refused(
            Family::Affine(Affine {
                scale,
                ..Affine::default()
            }),
            parts,
        );
        assert_refused(
            Family::Projective(Projective {
                scale,
                ..Projective::default()
            }),
            parts,
        );
        assert_refused(
            Family::Similarity(Similarity {
                scale,
                ..Similarity::default()
            }),
            parts,
        );
    }
    let affine = Affine {
        shear_deg: 90.0,
        ..Affine::default()
    };
    assert_refused(
        Family::Affine(affine),
        ["`shear_deg` must be from 0 to 89", "90"],
    );
    for steps in [0, 1, 361] {
        let value = steps.to_string();
        assert_refused(
            Family::Rotation(Rotation {
                steps: Some(steps),
                ..Rotation::default()
            }),
            ["from 2 to 360", &value],
        );
    }
}

#[test]
fn impossible_corners_and_statistics_are_refused() {
    let default = Projective::default;
    let corner_shift = Projective {
        corner_shift: 0.5,
        ..default()
    };
    assert_refused(
        Family::Projective(corner_shift),
        ["`corner_shift` must be from 0 to 0.4", "0.5"],
    );
    let target_std = Some([1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    let family = Family::Projective(Projective {
        target_std,
        ..default()
    });
    assert_refused(
        family,
        [
            "`target_std` must be eight finite numbers above 0",
            "1.0, 0.0",
        ],
    );
    let target_mean = Some([f64::NAN; 8]);
    let family = Family::Projective(Projective {
        target_mean,
        ..default()
    });
    assert_refused(
        family,
        ["`target_mean` must be eight finite numbers", "NaN"],
    );
}

#[test]
fn ranges_of_one_number_give_targets_of_zero() {
    let affine = Affine {
        rotation_deg: 0.0,
        translation: 0.0,
        scale: [1.0, 1.0],
        shear_deg: 0.0,
    };
    let sampled = affine.sample(&mut generator(2), 32, 32);
    assert_eq!(sampled.target, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(sampled.source_from_output(), Some(Homography::IDENTITY));
    let euclidean = Euclidean {
        rotation_deg: 0.0,
        translation: 0.0,
    };
    let sampled = euclidean.sample(&mut generator(2), 32, 32);
    assert_eq!(sampled.target, [1.0, 0.0, 0.0, 0.0]);
}
