//! Facts about homographies, over random ones.
#![allow(clippy::unwrap_used)]

use aet_geometry::{Homography, HomographyError};
use proptest::prelude::*;

/// Four corners of a convex quadrilateral about a 100x80 rectangle somewhere.
fn quadrilateral() -> impl Strategy<Value = [[f64; 2]; 4]> {
    let moves = proptest::array::uniform4(proptest::array::uniform2(-18.0..18.0));
    (moves, -300.0..300.0, -300.0..300.0, 0.1..10.0).prop_map(|(moves, x, y, size)| {
        let corners = [[0.0, 0.0], [100.0, 0.0], [100.0, 80.0], [0.0, 80.0]];
        std::array::from_fn(|i| {
            [
                (corners[i][0] + moves[i][0]) * size + x,
                (corners[i][1] + moves[i][1]) * size + y,
            ]
        })
    })
}

/// A homography that has all of [0, 100] x [0, 80] in front of its horizon.
fn homography() -> impl Strategy<Value = Homography> {
    let linear = (0.3..3.0, -3.0..3.0, -1.0..1.0, -50.0..50.0, -50.0..50.0);
    (linear, -0.003..0.003, -0.003..0.003).prop_map(|((scale, angle, shear, x, y), g, h)| {
        let perspective = Homography::from_coefficients([1.0, shear, 0.0, 0.0, 1.0, 0.0, g, h]);
        Homography::translation(x, y)
            * Homography::scaling(scale, 1.5 * scale)
            * Homography::rotation(angle)
            * perspective
    })
}

fn point() -> impl Strategy<Value = [f64; 2]> {
    [0.0..100.0, 0.0..80.0]
}

fn assert_near(found: [f64; 2], expected: [f64; 2], within: f64) -> Result<(), TestCaseError> {
    let off = (found[0] - expected[0]).hypot(found[1] - expected[1]);
    prop_assert!(off <= within, "{found:?} for {expected:?}");
    Ok(())
}

proptest! {
    #[test]
    fn a_map_and_its_inverse_undo_each_other(map in homography(), at in point()) {
        let inverse = map.inverse().unwrap();
        let to = map.apply(at).unwrap();
        assert_near(inverse.apply(to).unwrap(), at, 1e-8)?;
        assert_near((inverse * map).apply(at).unwrap(), at, 1e-8)?;
        assert_near((map * inverse).apply(to).unwrap(), to, 1e-8)?;
    }

    #[test]
    fn composing_is_applying_one_after_the_other(
        first in homography(), second in homography(), at in point(),
    ) {
        if let Some(expected) = first.apply(at).and_then(|middle| second.apply(middle)) {
            let size = 1.0 + expected[0].abs() + expected[1].abs();
            assert_near((second * first).apply(at).unwrap(), expected, 1e-9 * size * size)?;
        }
    }

    #[test]
    fn composing_does_not_care_for_brackets(
        a in homography(), b in homography(), c in homography(),
    ) {
        let (left, right) = (((a * b) * c).rows(), (a * (b * c)).rows());
        for (left, right) in left.iter().flatten().zip(right.iter().flatten()) {
            prop_assert!((left - right).abs() <= 1e-10 * (1.0 + left.abs()));
        }
    }

    #[test]
    fn point_pairs_are_mapped_to_each_other(from in quadrilateral(), to in quadrilateral()) {
        // The origin, far away, may lie on or behind the horizon, where the form with 1 at the
        // bottom right has front and back swapped; then the points map without the sign.
        if let Ok(map) = Homography::from_point_pairs(&from, &to) {
            let [first, second, third] = map.rows();
            for (&[x, y], &to) in from.iter().zip(&to) {
                let dot = |row: [f64; 3]| row[0] * x + row[1] * y + row[2];
                let at = [dot(first) / dot(third), dot(second) / dot(third)];
                assert_near(at, to, 1e-6)?;
            }
        }
    }

    #[test]
    fn a_homography_is_found_again_from_four_points(map in homography()) {
        let from = [[0.0, 0.0], [100.0, 3.0], [90.0, 80.0], [-2.0, 70.0]];
        let to = from.map(|at| map.apply(at).unwrap());
        let found = Homography::from_point_pairs(&from, &to).unwrap();
        let pairs = found.coefficients().into_iter().zip(map.coefficients());
        for (found, expected) in pairs {
            prop_assert!((found - expected).abs() <= 1e-8 * (1.0 + expected.abs()));
        }
    }

    #[test]
    fn any_numbers_are_taken_without_a_panic(rows in any::<[[f64; 3]; 3]>(), at in any::<[f64; 2]>()) {
        let map = Homography::from_rows(rows);
        if let Some(to) = map.apply(at) {
            prop_assert!(to[0].is_finite() && to[1].is_finite());
        }
        if let Ok(inverse) = map.inverse() {
            prop_assert!(inverse.rows().iter().flatten().all(|value| value.is_finite()));
        }
        let _ = map.coefficients();
    }
}

#[test]
fn a_rotation_turns_from_x_to_y_about_its_centre() {
    let turn = Homography::rotation(std::f64::consts::FRAC_PI_2).about([10.0, 20.0]);
    let [x, y] = turn.apply([13.0, 21.0]).unwrap();
    assert!((x - 9.0).abs() < 1e-12 && (y - 23.0).abs() < 1e-12);
    assert!(turn.is_affine());
}

#[test]
fn a_product_does_its_right_side_first() {
    let map = Homography::translation(5.0, -3.0) * Homography::scaling(2.0, 4.0);
    assert_eq!(map.apply([1.5, 0.5]), Some([8.0, -1.0]));
    assert_eq!(Homography::IDENTITY * map, map);
}

#[test]
fn points_on_and_behind_the_horizon_go_nowhere() {
    let map = Homography::from_coefficients([1.0, 0.2, 3.0, 0.1, 1.0, 4.0, -0.1, 0.0]);
    assert!(!map.is_affine());
    assert!(map.apply([9.0, 2.0]).is_some());
    assert_eq!(map.apply([10.0, 2.0]), None);
    assert_eq!(map.apply([11.0, 2.0]), None);
    assert_eq!(map.apply([f64::NAN, 2.0]), None);
    // The inverse has the same side in front.
    let inverse = map.inverse().unwrap();
    let [x, y] = inverse.apply(map.apply([9.0, 2.0]).unwrap()).unwrap();
    assert!((x - 9.0).abs() < 1e-9 && (y - 2.0).abs() < 1e-9);
}

#[test]
fn coefficients_leave_out_the_scale_of_the_matrix() {
    let rows = [[2.0, 4.0, 6.0], [8.0, 10.0, 13.0], [0.5, 0.25, 2.0]];
    let coefficients = Homography::from_rows(rows).coefficients();
    assert_eq!(coefficients, [1.0, 2.0, 3.0, 4.0, 5.0, 6.5, 0.25, 0.125]);
    assert_eq!(
        Homography::from_coefficients(coefficients).coefficients(),
        coefficients
    );
}

#[test]
fn singular_matrices_have_no_inverse() {
    let rank_two = Homography::from_rows([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]]);
    let error = rank_two.inverse().unwrap_err();
    assert!(matches!(error, HomographyError::Singular { .. }));
    assert!(error.to_string().contains("no inverse"), "{error}");
    assert!(Homography::scaling(f64::NAN, 1.0).inverse().is_err());
    assert!(Homography::scaling(0.0, 3.0).inverse().is_err());
    // Small is not singular.
    assert!(Homography::scaling(1e-9, 1e-9).inverse().is_ok());
}

#[test]
fn degenerate_points_are_refused() {
    let good = [[0.0, 0.0], [7.0, 0.0], [7.0, 5.0], [0.0, 5.0]];
    let on_a_line = [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [4.0, 1.0]];
    let coinciding = [[1.0, 2.0], [3.0, 9.0], [1.0, 2.0], [5.0, 5.0]];
    for bad in [on_a_line, coinciding] {
        for (from, to) in [(&bad, &good), (&good, &bad)] {
            let error = Homography::from_point_pairs(from, to).unwrap_err();
            assert!(matches!(error, HomographyError::DegeneratePoints { .. }));
        }
    }
    let mut missing = good;
    missing[2][1] = f64::NAN;
    let error = Homography::from_point_pairs(&good, &missing);
    assert_eq!(error, Err(HomographyError::NotFinite));
}

#[test]
fn a_map_that_takes_the_origin_to_infinity_is_refused() {
    let from = [[1.0, 1.0], [2.0, 1.0], [2.0, 3.0], [1.0, 3.0]];
    // (x, y) -> (y / x, 1 / x).
    let to = from.map(|[x, y]| [y / x, 1.0 / x]);
    let error = Homography::from_point_pairs(&from, &to).unwrap_err();
    assert!(error.to_string().contains("origin"), "{error}");
}
