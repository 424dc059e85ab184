//! Augmentation: what is done to an image before it is transformed, so that both views of a pair
//! share it.
//!
//! Crop and flip are one gather of whole rows ([`Augment::apply_into`]): nothing is padded or
//! copied twice, and nothing is allocated.

pub mod crop;
pub mod flip;

use aet_geometry::{RgbView, RgbViewMut};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::random::below;

/// Which augmentations are on. The default is all off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Rows and columns of black put around the image before a crop of the image's own size is
    /// taken from it at a uniformly random place; 0 = off. CIFAR recipes use 4.
    pub crop_padding: usize,
    /// Mirror every other image, at random, left to right.
    pub horizontal_flip: bool,
}

/// The choices of one augmentation, made before any pixel is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AugmentChoice {
    /// How far down the crop starts, relative to the image, in pixels: `-padding..=padding`.
    pub shift_down: isize,
    /// How far to the right the crop starts, relative to the image, in pixels.
    pub shift_right: isize,
    /// Whether the crop is mirrored left to right.
    pub flipped: bool,
}

impl Augment {
    /// No augmentation.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether an image always comes out as it went in.
    pub fn is_identity(&self) -> bool {
        self.crop_padding == 0 && !self.horizontal_flip
    }

    /// Draws the choices for one image. Only what is on takes random numbers.
    pub fn choose<R: Rng + ?Sized>(&self, rng: &mut R) -> AugmentChoice {
        let mut shift = || match self.crop_padding {
            0 => 0,
            padding => below(rng, 2 * padding + 1) as isize - padding as isize,
        };
        AugmentChoice {
            shift_down: shift(),
            shift_right: shift(),
            flipped: self.horizontal_flip && below(rng, 2) == 1,
        }
    }

    /// Augments `image` into `output`, which has the same size.
    ///
    /// # Panics
    /// When the sizes differ.
    pub fn apply_into<R: Rng + ?Sized>(
        &self,
        image: RgbView<'_>,
        rng: &mut R,
        output: RgbViewMut<'_>,
    ) {
        self.choose(rng).apply_into(image, output);
    }
}

impl AugmentChoice {
    /// Writes the chosen crop of `image`, mirrored if chosen, into `output` of the same size.
    /// What lies outside the image is black.
    ///
    /// # Panics
    /// When the sizes differ.
    pub fn apply_into(&self, image: RgbView<'_>, output: RgbViewMut<'_>) {
        crop::crop_into(
            image,
            [self.shift_down, self.shift_right],
            self.flipped,
            output,
        );
    }
}
