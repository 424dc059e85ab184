//! Random texture filters.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Convolution, Family, FamilyError, Sampled, TransformationFamily, surrogate};

pub(super) const NAME: &str = "texture";

/// Every channel is filtered by a kernel drawn at random as [`Convolution`]'s are, but nothing is told
/// of it: there are no parameters to regress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Texture {
    /// Side of the kernel, in pixels, an odd number: 5.
    pub side_px: usize,
    /// How much noise there is in it: 1.
    pub strength: f64,
    /// The family whose parameters the decoder answers with: convolution.
    pub surrogate: Box<Family>,
}

impl Default for Texture {
    fn default() -> Self {
        let Convolution { side_px, strength } = Convolution::default();
        Self {
            side_px,
            strength,
            surrogate: surrogate::convolution(),
        }
    }
}

impl Texture {
    fn filters(&self) -> Convolution {
        Convolution {
            side_px: self.side_px,
            strength: self.strength,
        }
    }
}

impl TransformationFamily for Texture {
    fn name(&self) -> &'static str {
        NAME
    }

    fn moves(&self) -> bool {
        false
    }

    fn surrogate(&self) -> Option<&Family> {
        Some(&self.surrogate)
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        Sampled {
            target: Vec::new(),
            ..self.filters().sample(rng, height, width)
        }
    }

    fn validate(&self) -> Result<(), FamilyError> {
        self.filters().validate_as(NAME)?;
        surrogate::validate(NAME, &self.surrogate)
    }
}
