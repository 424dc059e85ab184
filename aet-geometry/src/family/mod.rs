//! Transformation families: what a transformation is drawn from, the target that a decoder regresses
//! for it, and the way back from a target to the transformation.
//!
//! A family is one file here and one row in [`Family`].

mod affine;
mod check;
mod draw;
mod euclidean;
mod projective;
mod rigid;
mod rotation;
mod similarity;

use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::homography::Homography;

pub use affine::Affine;
pub use euclidean::Euclidean;
pub use projective::Projective;
pub use rotation::Rotation;
pub use similarity::Similarity;

/// A transformation drawn from a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Where in the source image each point of the transformed image is read from, in pixels.
    pub source_from_output: Homography,
    /// What the decoder is to predict, normalised, `[target_len]`.
    pub target: Vec<f32>,
}

/// Why a family, or a target for one, was refused.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum FamilyError {
    /// A range of the family is impossible.
    #[error("{family} family: `{field}` must be {allowed}, not {found}")]
    Range {
        /// Name of the family.
        family: &'static str,
        /// Name of the field.
        field: &'static str,
        /// What the field may be.
        allowed: String,
        /// What it is.
        found: String,
    },
    /// A target has the wrong number of components.
    #[error("{family} family: a target has {expected} components, not {found}")]
    TargetLength {
        /// Name of the family.
        family: &'static str,
        /// Components of a target of this family.
        expected: usize,
        /// Components given.
        found: usize,
    },
    /// A component of a target is NaN or infinite.
    #[error("{family} family: target component `{component}` is {found}, not a finite number")]
    TargetNotFinite {
        /// Name of the family.
        family: &'static str,
        /// Name of the component.
        component: &'static str,
        /// Its value.
        found: f32,
    },
    /// There is no family of this name.
    #[error("no transformation family is called {found:?}; there are {known}")]
    UnknownKind {
        /// The name that was asked for.
        found: String,
        /// The names that exist, separated by commas.
        known: String,
    },
}

/// What every family can do.
pub trait TransformationFamily {
    /// Name in configurations and on the command line, such as `"projective"`.
    fn name(&self) -> &'static str;

    /// One name per component of the target.
    fn target_names(&self) -> Vec<&'static str>;

    /// Number of components of the target.
    fn target_len(&self) -> usize {
        self.target_names().len()
    }

    /// Whether the decoder of this family ends in tanh: its targets lie in [-1, 1].
    fn tanh_decoder(&self) -> bool;

    /// Draws a transformation for an image of `height` x `width` pixels.
    ///
    /// What is drawn depends on the generator's output alone. Never panics; ranges that
    /// [`validate`](Self::validate) refuses give meaningless transformations.
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled;

    /// The transformation that a target, `[target_len]`, stands for, on an image of `height` x
    /// `width` pixels. The way back from [`Sampled::target`], up to rounding.
    ///
    /// Takes what a decoder predicts too: numbers outside the family's ranges are extrapolated,
    /// and a (cosine, sine) pair off the unit circle is read as its direction. The result may then
    /// be singular; warping through it is still defined.
    ///
    /// # Errors
    /// When the target has the wrong length or a component that is not finite.
    fn source_from_output(
        &self,
        target: &[f32],
        height: usize,
        width: usize,
    ) -> Result<Homography, FamilyError>;

    /// Checks that the ranges are possible.
    ///
    /// # Errors
    /// [`FamilyError::Range`] naming the first field that is not, what it may be and what it is.
    fn validate(&self) -> Result<(), FamilyError>;
}

/// Any of the families, as chosen in a configuration: `{ "kind": "affine", "shear_deg": 15.0 }`,
/// where what is left out has its released value.
///
/// ```
/// use aet_geometry::{Family, RgbImage, warp};
/// use rand::SeedableRng;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let family: Family = serde_json::from_str(r#"{ "kind": "projective", "corner_shift": 0.1 }"#)?;
/// family.validate()?;
///
/// let image = RgbImage::new(2, 3, (0..18).map(|v| v * 14).collect())?;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
/// let sampled = family.sample(&mut rng, 2, 3);
/// let transformed = warp(&image, &sampled.source_from_output, 2, 3, [128; 3]);
/// assert_eq!(sampled.target.len(), family.target_len());
///
/// // And back, from what a decoder predicts to the transformation.
/// let source_from_output = family.source_from_output(&sampled.target, 2, 3)?;
/// let again = warp(&image, &source_from_output, 2, 3, [128; 3]);
/// assert_eq!(again.height(), transformed.height());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Family {
    /// See [`Affine`].
    Affine(Affine),
    /// See [`Projective`].
    Projective(Projective),
    /// See [`Rotation`].
    Rotation(Rotation),
    /// See [`Euclidean`].
    Euclidean(Euclidean),
    /// See [`Similarity`].
    Similarity(Similarity),
}

/// Calls a method of whichever family it is.
macro_rules! of_family {
    ($family:expr, $inner:ident => $call:expr) => {
        match $family {
            Family::Affine($inner) => $call,
            Family::Projective($inner) => $call,
            Family::Rotation($inner) => $call,
            Family::Euclidean($inner) => $call,
            Family::Similarity($inner) => $call,
        }
    };
}

impl Family {
    /// Every family: its name and what it is, in one line.
    pub const KINDS: &'static [(&'static str, &'static str)] = &[
        (
            affine::NAME,
            "rotation, translation, scale and shear (AET-affine)",
        ),
        (
            projective::NAME,
            "scale, quarter turns and moved corners (AET-project)",
        ),
        (
            rotation::NAME,
            "equally spaced rotations, by default the four quarter turns (RotNet)",
        ),
        (euclidean::NAME, "rotation and translation"),
        (similarity::NAME, "rotation, translation and scale"),
    ];

    /// The family of this name with its default ranges.
    ///
    /// # Errors
    /// [`FamilyError::UnknownKind`] when none of [`KINDS`](Self::KINDS) has this name.
    pub fn default_of(kind: &str) -> Result<Self, FamilyError> {
        match kind {
            affine::NAME => Ok(Self::Affine(Affine::default())),
            projective::NAME => Ok(Self::Projective(Projective::default())),
            rotation::NAME => Ok(Self::Rotation(Rotation::default())),
            euclidean::NAME => Ok(Self::Euclidean(Euclidean::default())),
            similarity::NAME => Ok(Self::Similarity(Similarity::default())),
            _ => Err(FamilyError::UnknownKind {
                found: kind.to_owned(),
                known: Self::KINDS
                    .iter()
                    .map(|(name, _)| *name)
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// See [`TransformationFamily::name`].
    pub fn name(&self) -> &'static str {
        of_family!(self, family => family.name())
    }

    /// See [`TransformationFamily::target_names`].
    pub fn target_names(&self) -> Vec<&'static str> {
        of_family!(self, family => family.target_names())
    }

    /// See [`TransformationFamily::target_len`].
    pub fn target_len(&self) -> usize {
        of_family!(self, family => family.target_len())
    }

    /// See [`TransformationFamily::tanh_decoder`].
    pub fn tanh_decoder(&self) -> bool {
        of_family!(self, family => family.tanh_decoder())
    }

    /// See [`TransformationFamily::sample`].
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        of_family!(self, family => family.sample(rng, height, width))
    }

    /// See [`TransformationFamily::source_from_output`].
    ///
    /// # Errors
    /// When the target has the wrong length or a component that is not finite.
    pub fn source_from_output(
        &self,
        target: &[f32],
        height: usize,
        width: usize,
    ) -> Result<Homography, FamilyError> {
        of_family!(self, family => family.source_from_output(target, height, width))
    }

    /// See [`TransformationFamily::validate`].
    ///
    /// # Errors
    /// [`FamilyError::Range`] naming the first field that is impossible.
    pub fn validate(&self) -> Result<(), FamilyError> {
        of_family!(self, family => family.validate())
    }
}
