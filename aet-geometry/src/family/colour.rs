//! The colour family: hue, saturation, contrast and brightness, regressed as parameters.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{FamilyError, Sampled, TransformationFamily, check, draw};
use crate::colour_map::ColourMap;
use crate::transformation::Transformation;

pub(super) const NAME: &str = "colour";

/// Colours are turned by a hue angle, then brought away from or nearer to their grey (saturation),
/// from or to the middle grey (contrast), and multiplied (brightness), each by an amount drawn
/// uniformly; values are cut off at black and white once, at the end. See [`ColourMap`].
///
/// The target is each of the four rescaled from its range to [-1, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Colour {
    /// Largest turn of the hue either way, in degrees: 45.
    pub hue_deg: f64,
    /// Smallest and largest factor of saturation: `[0.4, 1.6]`.
    pub saturation: [f64; 2],
    /// Smallest and largest factor of contrast: `[0.6, 1.4]`.
    pub contrast: [f64; 2],
    /// Smallest and largest factor of brightness: `[0.6, 1.4]`.
    pub brightness: [f64; 2],
}

impl Default for Colour {
    fn default() -> Self {
        Self {
            hue_deg: 45.0,
            saturation: [0.4, 1.6],
            contrast: [0.6, 1.4],
            brightness: [0.6, 1.4],
        }
    }
}

impl Colour {
    fn ranges(&self) -> [[f64; 2]; 4] {
        let hue = [-self.hue_deg, self.hue_deg];
        [hue, self.saturation, self.contrast, self.brightness]
    }

    fn map([hue_deg, saturation, contrast, brightness]: [f64; 4]) -> ColourMap {
        ColourMap::hue(hue_deg.to_radians())
            .then(&ColourMap::saturation(saturation))
            .then(&ColourMap::contrast(contrast))
            .then(&ColourMap::brightness(brightness))
    }
}

impl TransformationFamily for Colour {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        check::names(&["hue", "saturation", "contrast", "brightness"])
    }

    fn tanh_decoder(&self) -> bool {
        true
    }

    fn moves(&self) -> bool {
        false
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, _height: usize, _width: usize) -> Sampled {
        let ranges = self.ranges();
        let drawn = ranges.map(|[low, high]| draw::uniform(rng, low, high));
        let target = [0, 1, 2, 3].map(|i| check::to_unit(drawn[i], ranges[i]) as f32);
        Sampled {
            transformation: Self::map(drawn).into(),
            target: target.to_vec(),
        }
    }

    fn transformation(
        &self,
        target: &[f32],
        _height: usize,
        _width: usize,
    ) -> Result<Transformation, FamilyError> {
        let target = check::target(self, target)?;
        let ranges = self.ranges();
        let amounts = [0, 1, 2, 3].map(|i| check::from_unit(target[i], ranges[i]));
        Ok(Self::map(amounts).into())
    }

    fn identity_target(&self, _size: [usize; 2]) -> Option<Vec<f32>> {
        let [hue, factors @ ..] = self.ranges();
        let mut target = vec![check::unit_of(0.0, hue)?];
        for range in factors {
            target.push(check::unit_of(1.0, range)?);
        }
        Some(target)
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "hue_deg", self.hue_deg, [0.0, 180.0])?;
        check::scales(NAME, "saturation", self.saturation)?;
        check::scales(NAME, "contrast", self.contrast)?;
        check::scales(NAME, "brightness", self.brightness)
    }
}
