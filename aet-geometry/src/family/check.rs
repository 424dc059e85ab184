//! Checks that the families share: of their ranges, and of the targets they are given.

use super::{FamilyError, TransformationFamily};

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

/// A range of scales: `[low, high]` with 0.01 <= low <= high <= 100.
pub(super) fn scales(family: &'static str, found: [f64; 2]) -> Result<(), FamilyError> {
    let [low, high] = found;
    if low >= 0.01 && low <= high && high <= 100.0 {
        return Ok(());
    }
    Err(FamilyError::Range {
        family,
        field: "scale",
        allowed: "[low, high] with 0.01 <= low <= high <= 100".to_owned(),
        found: format!("{found:?}"),
    })
}

/// The target as `LEN` finite numbers.
pub(super) fn target<const LEN: usize>(
    family: &impl TransformationFamily,
    target: &[f32],
) -> Result<[f64; LEN], FamilyError> {
    let numbers: &[f32; LEN] = target.try_into().map_err(|_| FamilyError::TargetLength {
        family: family.name(),
        expected: LEN,
        found: target.len(),
    })?;
    if let Some(at) = numbers.iter().position(|value| !value.is_finite()) {
        return Err(FamilyError::TargetNotFinite {
            family: family.name(),
            component: family.target_names()[at],
            found: numbers[at],
        });
    }
    Ok(numbers.map(f64::from))
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
pub(super) fn from_unit(unit: f64, [low, high]: [f64; 2]) -> f64 {
    low + (unit + 1.0) / 2.0 * (high - low)
}
