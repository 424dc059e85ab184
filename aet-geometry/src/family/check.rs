//! Checks that the families share: of their ranges, and of the targets they are given.

use super::{FamilyError, TransformationFamily};
use crate::scalar::Scalar;

/// The number `found` lies in `low..=high`.
pub(super) fn within(
    family: &'static str,
    field: &'static str,
    found: f64,
    [low, high]: [f64; 2],
) -> Result<(), FamilyError> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(FamilyError::Range {
        family,
        field,
        allowed: format!("from {low} to {high}"),
        found: found.to_string(),
    })
}

/// A range of factors: `[low, high]` with 0.01 <= low <= high <= 100.
pub(super) fn scales(
    family: &'static str,
    field: &'static str,
    found: [f64; 2],
) -> Result<(), FamilyError> {
    let [low, high] = found;
    if low >= 0.01 && low <= high && high <= 100.0 {
        return Ok(());
    }
    Err(FamilyError::Range {
        family,
        field,
        allowed: "[low, high] with 0.01 <= low <= high <= 100".to_owned(),
        found: format!("{found:?}"),
    })
}

/// The target as finite numbers, as many as the family has components.
pub(super) fn target(
    family: &impl TransformationFamily,
    target: &[f32],
) -> Result<Vec<f64>, FamilyError> {
    if target.len() != family.target_len() {
        return Err(FamilyError::TargetLength {
            family: family.name(),
            expected: family.target_len(),
            found: target.len(),
        });
    }
    if let Some(at) = target.iter().position(|value| !value.is_finite()) {
        return Err(FamilyError::TargetNotFinite {
            family: family.name(),
            component: family.target_names().swap_remove(at),
            found: target[at],
        });
    }
    Ok(target.iter().map(|value| f64::from(*value)).collect())
}

/// The components of a target whose length is known.
///
/// # Panics
/// When there are not `LEN`.
pub(super) fn components<S: Scalar, const LEN: usize>(target: &[S]) -> [S; LEN] {
    assert_eq!(
        target.len(),
        LEN,
        "a target of this family has {LEN} components"
    );
    std::array::from_fn(|index| target[index].clone())
}

/// Names of components.
pub(super) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// As [`to_unit`], of a value within its range; none otherwise.
pub(super) fn unit_of(value: f64, range: [f64; 2]) -> Option<f32> {
    let [low, high] = range;
    (low..=high)
        .contains(&value)
        .then(|| to_unit(value, range) as f32)
}

/// Where `value` lies in `[low, high]`, as -1 to 1; 0 when the range is one number.
pub(super) fn to_unit(value: f64, [low, high]: [f64; 2]) -> f64 {
    if high > low {
        (value - low) / (high - low) * 2.0 - 1.0
    } else {
        0.0
    }
}

/// The way back from [`to_unit`].
pub(super) fn from_unit<S: Scalar>(unit: S, [low, high]: [f64; 2]) -> S {
    unit.plus(1.0).times(0.5).times(high - low).plus(low)
}
