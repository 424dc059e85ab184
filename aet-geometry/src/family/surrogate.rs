//! What transformations without parameters have in common: a surrogate family, whose parameters the
//! decoder answers with, so that what the surrogate makes of an image comes near to what the
//! transformation made of it (AET, section 3.4).

use super::{Convolution, Family, FamilyError, ThinPlate, TransformationFamily};

/// The surrogate of what moves points: a thin-plate spline.
pub(super) fn thin_plate() -> Box<Family> {
    Box::new(Family::ThinPlate(ThinPlate::default()))
}

/// The surrogate of what mixes pixels that are near each other, which no smooth motion comes near to:
/// a convolution.
pub(super) fn convolution() -> Box<Family> {
    Box::new(Family::Convolution(Convolution::default()))
}

/// A surrogate has parameters, and gradients flow through what it does.
pub(super) fn validate(family: &'static str, surrogate: &Family) -> Result<(), FamilyError> {
    surrogate.validate()?;
    if !surrogate.is_differentiable() {
        return Err(FamilyError::Range {
            family,
            field: "surrogate",
            allowed:
                "a family with parameters that moves points and changes no values, or convolution"
                    .into(),
            found: surrogate.name().into(),
        });
    }
    Ok(())
}
