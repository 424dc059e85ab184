//! Image transformations for Auto-Encoding Transformations (AET, arXiv 1901.04596).
//!
//! - [`Family`]: draws a transformation and the target that a decoder regresses for it, and turns a
//!   target back into the transformation.
//! - [`Homography`]: the transformation itself, a 3x3 matrix in `f64` over continuous pixels.
//! - [`warp`](fn@warp()): reads an [`RgbImage`] through a homography, bilinearly, as Pillow does.
//!
//! A new family is one file in `src/family/` and one row in each list of `src/family/mod.rs`; the
//! contract tests in `tests/families.rs` then cover it.

pub mod family;
pub mod homography;
pub mod image;
pub mod warp;

pub use family::{
    Affine, Euclidean, Family, FamilyError, Projective, Rotation, Sampled, Similarity,
    TransformationFamily,
};
pub use homography::{Homography, HomographyError};
pub use image::{ImageSizeError, RgbImage, RgbView, RgbViewMut};
pub use warp::{warp, warp_into};
