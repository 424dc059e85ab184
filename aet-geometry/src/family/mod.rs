//! Transformation families: what a transformation is drawn from, the target that a decoder regresses
//! for it, and the way back from a target to the transformation.
//!
//! A family is one file here and one row in [`Family`].

mod affine;
mod blur;
mod check;
mod colour;
mod compose;
mod convolution;
mod dihedral;
mod draw;
mod elastic;
mod euclidean;
mod local_shuffle;
mod motion;
mod projective;
mod rotation;
mod scaling;
mod shear;
mod similarity;
mod surrogate;
mod texture;
mod thin_plate;
mod translation;

use std::sync::Arc;

use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::homography::Homography;
use crate::scalar::{Matrix, Scalar, identity};
use crate::spline::SplineBasis;
use crate::transformation::Transformation;

pub use affine::Affine;
pub use blur::Blur;
pub use colour::Colour;
pub use compose::Compose;
pub use convolution::{Convolution, KernelBasis};
pub use dihedral::Dihedral;
pub use elastic::Elastic;
pub use euclidean::Euclidean;
pub use local_shuffle::LocalShuffle;
pub use projective::Projective;
pub use rotation::Rotation;
pub use scaling::Scaling;
pub use shear::Shear;
pub use similarity::Similarity;
pub use texture::Texture;
pub use thin_plate::ThinPlate;
pub use translation::Translation;

/// A transformation drawn from a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// What is done to the image.
    pub transformation: Transformation,
    /// What the decoder is to predict, normalised, `[target_len]`.
    pub target: Vec<f32>,
}

impl Sampled {
    /// The warp by `source_from_output`, with its target.
    fn warp(source_from_output: Matrix<f64>, target: &[f64]) -> Self {
        Self {
            transformation: Homography::from_rows(source_from_output).into(),
            target: target.iter().map(|value| *value as f32).collect(),
        }
    }

    /// Where in the source image each point of the transformed image is read from, in pixels; see
    /// [`Transformation::source_from_output`].
    pub fn source_from_output(&self) -> Option<Homography> {
        self.transformation.source_from_output()
    }
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
        component: String,
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

/// What every family can do. One that moves points writes down [`matrix`](Self::matrix), and has
/// the rest of what geometry needs: the way back from a target, losses on matrix entries and
/// corners, and a warp that gradients flow through. One that changes values instead writes down
/// [`transformation`](Self::transformation) and [`moves`](Self::moves).
pub trait TransformationFamily {
    /// Name in configurations and on the command line, such as `"projective"`.
    fn name(&self) -> &'static str;

    /// One name per component of the target; none where there is a [`surrogate`](Self::surrogate).
    fn target_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// Number of components of the target.
    fn target_len(&self) -> usize {
        self.target_names().len()
    }

    /// Whether the decoder of this family ends in tanh: its targets lie in [-1, 1].
    fn tanh_decoder(&self) -> bool {
        false
    }

    /// Whether its transformations move points.
    fn moves(&self) -> bool {
        true
    }

    /// Whether its transformations move points by a homography, the one that
    /// [`matrix`](Self::matrix) gives.
    fn is_homography(&self) -> bool {
        self.moves() && self.surrogate().is_none()
    }

    /// The thin-plate spline that a target gives the control points of, for images of `size`
    /// (height, width), and the largest move of a point as a fraction of its side; none for other
    /// families.
    fn spline(&self, _size: [usize; 2]) -> Option<(Arc<SplineBasis>, f64)> {
        None
    }

    /// The kernel that a target gives the weights of; none for other families.
    fn convolution(&self) -> Option<KernelBasis> {
        None
    }

    /// The family whose parameters a decoder answers with in place of its own; some where
    /// transformations have no parameters, and a target no components.
    fn surrogate(&self) -> Option<&Family> {
        None
    }

    /// Whether its transformations change values other than by moving them.
    fn changes_values(&self) -> bool {
        !self.moves()
    }

    /// Whether gradients can flow through what it does to an image into its target: it moves points and
    /// changes no values, or is a convolution.
    fn is_differentiable(&self) -> bool {
        let moves_alone = self.surrogate().is_none() && !self.changes_values();
        moves_alone || self.convolution().is_some()
    }

    /// Draws a transformation for an image of `height` x `width` pixels.
    ///
    /// What is drawn depends on the generator's output alone. Never panics; ranges that
    /// [`validate`](Self::validate) refuses give meaningless transformations.
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled;

    /// `source_from_output`, in pixels, of the transformation that `target`, `[target_len]`, stands
    /// for, on an image of `size` (height, width); the identity where nothing moves.
    ///
    /// # Panics
    /// When the target has another length, or none.
    fn matrix<S: Scalar>(&self, target: &[S], _size: [usize; 2]) -> Matrix<S> {
        identity(&target[0])
    }

    /// The transformation that a target, `[target_len]`, stands for, on an image of `height` x
    /// `width` pixels. The way back from [`Sampled::target`], up to rounding; a target without
    /// components stands for nothing that is done.
    ///
    /// Takes what a decoder predicts too: numbers outside the family's ranges are extrapolated,
    /// and a (cosine, sine) pair off the unit circle is read as its direction. The result may then
    /// be singular; warping through it is still defined.
    ///
    /// # Errors
    /// When the target has the wrong length or a component that is not finite.
    fn transformation(
        &self,
        target: &[f32],
        height: usize,
        width: usize,
    ) -> Result<Transformation, FamilyError>
    where
        Self: Sized,
    {
        let target = check::target(self, target)?;
        if target.is_empty() {
            return Ok(Transformation::default());
        }
        Ok(Homography::from_rows(self.matrix(&target, [height, width])).into())
    }

    /// The target of the transformation that changes nothing, for images of `size` (height, width);
    /// none where the ranges leave it out, or a target stands for nothing.
    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        None
    }

    /// Targets, for images of `size` (height, width), so far apart that a search that follows gradients
    /// of an image does not come from one to the next: the identity first, then what quarter turns and
    /// flips the family has, or eighths of a turn where it turns by any angle; none where it leaves the
    /// identity out.
    fn anchors(&self, size: [usize; 2]) -> Vec<Vec<f32>> {
        self.identity_target(size).into_iter().collect()
    }

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
/// use aet_geometry::{Family, RgbImage, TransformationFamily};
/// use rand::SeedableRng;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let family: Family = serde_json::from_str(r#"{ "kind": "projective", "corner_shift": 0.1 }"#)?;
/// family.validate()?;
///
/// let image = RgbImage::new(2, 3, (0..18).map(|v| v * 14).collect())?;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
/// let sampled = family.sample(&mut rng, 2, 3);
/// let transformed = sampled.transformation.apply(image.view(), [128; 3]);
/// assert_eq!(sampled.target.len(), family.target_len());
///
/// // And back, from what a decoder predicts to the transformation.
/// let again = family.transformation(&sampled.target, 2, 3)?;
/// assert_eq!(again.apply(image.view(), [128; 3]), transformed);
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
    /// See [`Translation`].
    Translation(Translation),
    /// See [`Scaling`].
    Scaling(Scaling),
    /// See [`Shear`].
    Shear(Shear),
    /// See [`Dihedral`].
    Dihedral(Dihedral),
    /// See [`Colour`].
    Colour(Colour),
    /// See [`Blur`].
    Blur(Blur),
    /// See [`Convolution`].
    Convolution(Convolution),
    /// See [`Compose`].
    Compose(Compose),
    /// See [`ThinPlate`].
    ThinPlate(ThinPlate),
    /// See [`Elastic`].
    Elastic(Elastic),
    /// See [`LocalShuffle`].
    LocalShuffle(LocalShuffle),
    /// See [`Texture`].
    Texture(Texture),
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
            Family::Translation($inner) => $call,
            Family::Scaling($inner) => $call,
            Family::Shear($inner) => $call,
            Family::Dihedral($inner) => $call,
            Family::Colour($inner) => $call,
            Family::Blur($inner) => $call,
            Family::Convolution($inner) => $call,
            Family::Compose($inner) => $call,
            Family::ThinPlate($inner) => $call,
            Family::Elastic($inner) => $call,
            Family::LocalShuffle($inner) => $call,
            Family::Texture($inner) => $call,
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
            "rotation by any angle, or by equally spaced ones",
        ),
        (euclidean::NAME, "rotation and translation"),
        (similarity::NAME, "rotation, translation and scale"),
        (translation::NAME, "shifts along both axes"),
        (scaling::NAME, "magnification about the middle"),
        (shear::NAME, "rows that slide along x"),
        (
            dihedral::NAME,
            "flips and quarter turns, the eight symmetries of a square",
        ),
        (colour::NAME, "hue, saturation, contrast and brightness"),
        (blur::NAME, "Gaussian blur"),
        (
            convolution::NAME,
            "a random kernel; the target is its weights",
        ),
        (
            compose::NAME,
            "one family after the other; the target is theirs side by side",
        ),
        (
            thin_plate::NAME,
            "thin-plate spline through control points that are moved",
        ),
        (
            elastic::NAME,
            "smooth random displacements, without parameters",
        ),
        (
            local_shuffle::NAME,
            "pixels change places within small windows, without parameters",
        ),
        (texture::NAME, "a random kernel, without parameters"),
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
            translation::NAME => Ok(Self::Translation(Translation::default())),
            scaling::NAME => Ok(Self::Scaling(Scaling::default())),
            shear::NAME => Ok(Self::Shear(Shear::default())),
            dihedral::NAME => Ok(Self::Dihedral(Dihedral::default())),
            colour::NAME => Ok(Self::Colour(Colour::default())),
            blur::NAME => Ok(Self::Blur(Blur::default())),
            convolution::NAME => Ok(Self::Convolution(Convolution::default())),
            compose::NAME => Ok(Self::Compose(Compose::default())),
            thin_plate::NAME => Ok(Self::ThinPlate(ThinPlate::default())),
            elastic::NAME => Ok(Self::Elastic(Elastic::default())),
            local_shuffle::NAME => Ok(Self::LocalShuffle(LocalShuffle::default())),
            texture::NAME => Ok(Self::Texture(Texture::default())),
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

    /// Its name, as [`TransformationFamily::name`].
    pub fn name(&self) -> &'static str {
        TransformationFamily::name(self)
    }

    /// Where the image is read from under the transformation that `target` stands for; see
    /// [`TransformationFamily::transformation`] and [`Transformation::source_from_output`].
    ///
    /// # Errors
    /// When the target has the wrong length or a component that is not finite.
    pub fn source_from_output(
        &self,
        target: &[f32],
        height: usize,
        width: usize,
    ) -> Result<Option<Homography>, FamilyError> {
        let transformation = self.transformation(target, height, width)?;
        Ok(transformation.source_from_output())
    }

    /// The family whose parameters a decoder answers with: the surrogate, or the family itself.
    pub fn answer(&self) -> &Self {
        self.surrogate().unwrap_or(self)
    }
}

impl TransformationFamily for Family {
    fn name(&self) -> &'static str {
        of_family!(self, family => family.name())
    }

    fn target_names(&self) -> Vec<String> {
        of_family!(self, family => family.target_names())
    }

    fn target_len(&self) -> usize {
        of_family!(self, family => family.target_len())
    }

    fn tanh_decoder(&self) -> bool {
        of_family!(self, family => family.tanh_decoder())
    }

    fn moves(&self) -> bool {
        of_family!(self, family => family.moves())
    }

    fn is_homography(&self) -> bool {
        of_family!(self, family => family.is_homography())
    }

    fn spline(&self, size: [usize; 2]) -> Option<(Arc<SplineBasis>, f64)> {
        of_family!(self, family => family.spline(size))
    }

    fn convolution(&self) -> Option<KernelBasis> {
        of_family!(self, family => family.convolution())
    }

    fn surrogate(&self) -> Option<&Family> {
        of_family!(self, family => family.surrogate())
    }

    fn changes_values(&self) -> bool {
        of_family!(self, family => family.changes_values())
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        of_family!(self, family => family.sample(rng, height, width))
    }

    fn matrix<S: Scalar>(&self, target: &[S], size: [usize; 2]) -> Matrix<S> {
        of_family!(self, family => family.matrix(target, size))
    }

    fn transformation(
        &self,
        target: &[f32],
        height: usize,
        width: usize,
    ) -> Result<Transformation, FamilyError> {
        of_family!(self, family => family.transformation(target, height, width))
    }

    fn identity_target(&self, size: [usize; 2]) -> Option<Vec<f32>> {
        of_family!(self, family => family.identity_target(size))
    }

    fn anchors(&self, size: [usize; 2]) -> Vec<Vec<f32>> {
        of_family!(self, family => family.anchors(size))
    }

    fn validate(&self) -> Result<(), FamilyError> {
        of_family!(self, family => family.validate())
    }
}
