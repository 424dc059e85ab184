//! What transformations without parameters have in common: a surrogate family, whose parameters the
//! decoder answers with, so that what the surrogate makes of an image comes near to what the
//! transformation made of it (AET, section 3.4).

use super::{Family, FamilyError, Projective, TransformationFamily};

/// The usual surrogate: a projective transformation.
pub(super) fn projective() -> Box<Family> {
    Box::new(Family::Projective(Projective::default()))
}

/// A surrogate has parameters and does nothing but move points.
pub(super) fn validate(family: &'static str, surrogate: &Family) -> Result<(), FamilyError> {
    surrogate.validate()?;
    if surrogate.changes_values() || surrogate.surrogate().is_some() {
        return Err(FamilyError::Range {
            family,
            field: "surrogate",
            allowed: "a family with parameters that moves points and changes no values".into(),
            found: surrogate.name().into(),
        });
    }
    Ok(())
}
