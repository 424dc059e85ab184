//! Image transformations for Auto-Encoding Transformations (AET, arXiv 1901.04596).
//!
//! - [`Family`]: draws a transformation and the target that a decoder regresses for it, and turns a
//!   target back into the transformation.
//! - [`Transformation`]: what is done to an image, step by step: a warp through a [`Homography`], a
//!   [`Field`], a [`ColourMap`], a Gaussian blur, a [`Filter`].
//! - [`Homography`]: a 3x3 matrix in `f64` over continuous pixels.
//! - [`warp`](fn@warp()): reads an [`RgbImage`] through a homography, bilinearly, as Pillow does.
//!
//! A new family is one file in `src/family/` and one row in each list of `src/family/mod.rs`; the
//! contract tests in `tests/families.rs` then cover it.

pub mod blur;
pub mod border;
pub mod colour_map;
pub mod family;
pub mod field;
pub mod filter;
pub mod homography;
pub mod image;
pub mod scalar;
pub mod spline;
pub mod transformation;
pub mod warp;
pub mod window;

pub use border::Border;
pub use colour_map::ColourMap;
pub use family::{
    Affine, Blur, Colour, Compose, Convolution, Dihedral, Elastic, Euclidean, Family, FamilyError,
    KernelBasis, LocalShuffle, Projective, Rotation, Sampled, Scaling, Shear, Similarity, Texture,
    ThinPlate, TransformationFamily, Translation,
};
pub use field::Field;
pub use filter::Filter;
pub use homography::{Homography, HomographyError};
pub use image::{ImageSizeError, RgbImage, RgbView, RgbViewMut};
pub use scalar::Scalar;
pub use spline::SplineBasis;
pub use transformation::{Step, Transformation};
pub use warp::{warp, warp_into};
pub use window::{Window, WindowFit};
