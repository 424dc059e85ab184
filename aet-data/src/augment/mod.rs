//! Augmentation: what is done to an image before it is transformed, so that both views of a pair
//! share it. It is also where an image of another size becomes an item's.
//!
//! In this order, each step only where it is on: a part of the image is brought to the item's size
//! ([`Region`]); the crop with padding and the flip, one gather of whole rows; the colours.

pub mod crop;
pub mod flip;
pub mod resized_crop;

use aet_geometry::{Border, Colour, RgbImage, RgbView, RgbViewMut, TransformationFamily};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::random::{below, unit};
use crate::resample::{Region, Resampler};
pub use resized_crop::ResizedCrop;

/// Which augmentations are on. The default is all off: an image of another size than the item's is
/// scaled until it just covers that size, and its middle is taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Rows and columns of black put around the image before a crop of the image's own size is
    /// taken from it at a uniformly random place; 0 = off. CIFAR recipes use 4.
    pub crop_padding: usize,
    /// Mirror every other image, at random, left to right.
    pub horizontal_flip: bool,
    /// Pixels that the shorter side is scaled to before a crop of the item's size is taken; ImageNet
    /// recipes use 256 for items of 224x224.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Where that crop is taken.
    #[serde(skip_serializing_if = "CropPlace::is_random")]
    pub crop_place: CropPlace,
    /// Take a part of random area and proportions instead, and bring it to the item's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resized_crop: Option<ResizedCrop>,
    /// Change colours at random: the ranges of hue, saturation, contrast and brightness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Colour>,
}

/// Where a crop is taken from an image that was resized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CropPlace {
    /// Anywhere, uniformly.
    #[default]
    Random,
    /// In the middle.
    Centre,
}

impl CropPlace {
    fn is_random(&self) -> bool {
        *self == Self::Random
    }
}

/// Memory that augmentation works in, used again from image to image.
#[derive(Debug, Clone)]
pub struct AugmentBuffers {
    resampler: Resampler,
    framed: RgbImage,
    moved: RgbImage,
}

impl Default for AugmentBuffers {
    fn default() -> Self {
        let none = || RgbImage::filled(0, 0, [0; 3]);
        Self {
            resampler: Resampler::default(),
            framed: none(),
            moved: none(),
        }
    }
}

/// The choices of crop and flip, made before any pixel is touched.
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

    /// What is left of it where nothing may be random: for evaluation and embedding.
    pub fn still(&self) -> Self {
        Self {
            resize: self.resize,
            crop_place: CropPlace::Centre,
            ..Self::none()
        }
    }

    /// Checks what goes together, for items of `size` (height, width) where that is known.
    ///
    /// # Errors
    /// When a range is impossible, or a crop would be larger than the resized image.
    pub fn validate(&self, size: Option<[usize; 2]>) -> Result<(), DataError> {
        if let Some(crop) = &self.resized_crop {
            crop.validate()?;
        }
        if let Some(jitter) = &self.jitter {
            let invalid = |error: aet_geometry::FamilyError| {
                DataError::invalid("augment.jitter", error, "ranges as in family colour")
            };
            jitter.validate().map_err(invalid)?;
        }
        let Some(shorter_side) = self.resize else {
            return Ok(());
        };
        let Some([height, width]) = size else {
            let allowed = "left out unless data.image_size says what is cropped";
            return Err(DataError::invalid("augment.resize", shorter_side, allowed));
        };
        if shorter_side < height.max(width) || shorter_side > 1 << 16 {
            let allowed = format!(
                "at least the longer side of data.image_size, {}, and at most 65536",
                height.max(width)
            );
            return Err(DataError::invalid("augment.resize", shorter_side, allowed));
        }
        Ok(())
    }

    /// Whether an image of `image_size` (height, width) becomes an item of `item_size` as it is.
    pub fn leaves(&self, image_size: [usize; 2], item_size: [usize; 2]) -> bool {
        image_size == item_size && self.resized_crop.is_none() && !self.moves() && !self.recolours()
    }

    /// Whether the image is shifted or mirrored.
    fn moves(&self) -> bool {
        self.crop_padding > 0 || self.horizontal_flip
    }

    fn recolours(&self) -> bool {
        self.jitter.is_some()
    }

    /// Draws the choices of crop and flip for one image. Only what is on takes random numbers.
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

    /// The part of an image that becomes an item, both by height and width; none for all of it as it
    /// is.
    fn region<R: Rng + ?Sized>(
        &self,
        rng: &mut R,
        image_size: [usize; 2],
        item_size: [usize; 2],
    ) -> Option<Region> {
        if let Some(crop) = &self.resized_crop {
            return Some(crop.choose(rng, image_size));
        }
        if image_size == item_size {
            return None;
        }
        let Some(shorter_side) = self.resize else {
            return Some(Region::centre(image_size, item_size));
        };
        let place = match self.crop_place {
            CropPlace::Random => [unit(rng), unit(rng)],
            CropPlace::Centre => [0.5; 2],
        };
        Some(Region::of_crop(image_size, shorter_side, item_size, place))
    }

    /// Augments `image`, of any size, into `output`, which has the size of an item.
    ///
    /// # Errors
    /// When the image cannot be resampled.
    pub fn apply_into<R: Rng + ?Sized>(
        &self,
        image: RgbView<'_>,
        rng: &mut R,
        buffers: &mut AugmentBuffers,
        mut output: RgbViewMut<'_>,
    ) -> Result<(), String> {
        let size = [output.height(), output.width()];
        let AugmentBuffers {
            resampler,
            framed,
            moved,
        } = buffers;
        let mut now = image;
        let region = self.region(rng, [image.height(), image.width()], size);
        if let Some(region) = region {
            if !self.moves() && !self.recolours() {
                return frame(resampler, now, region, output);
            }
            frame(resampler, now, region, sized(framed, size))?;
            now = framed.view();
        }
        if self.moves() {
            let choice = self.choose(rng);
            if !self.recolours() {
                choice.apply_into(now, output);
                return Ok(());
            }
            choice.apply_into(now, sized(moved, size));
            now = moved.view();
        }
        match &self.jitter {
            Some(jitter) => {
                let change = jitter.sample(rng, size[0], size[1]).transformation;
                change.apply_into(now, output, Border::Fill([0; 3]));
            }
            None => output.pixels_mut().copy_from_slice(now.pixels()),
        }
        Ok(())
    }
}

fn frame(
    resampler: &mut Resampler,
    image: RgbView<'_>,
    region: Region,
    output: RgbViewMut<'_>,
) -> Result<(), String> {
    (resampler.frame_into(image, region, output)).map_err(|error| error.to_string())
}

/// `image` at `size`, with any content.
fn sized(image: &mut RgbImage, size: [usize; 2]) -> RgbViewMut<'_> {
    if [image.height(), image.width()] != size {
        *image = RgbImage::filled(size[0], size[1], [0; 3]);
    }
    image.view_mut()
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
