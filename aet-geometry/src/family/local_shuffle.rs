//! Local shuffling: pixels change places within small windows.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Family, FamilyError, Sampled, TransformationFamily, check, draw, surrogate};
use crate::field::Field;
use crate::transformation::Step;

pub(super) const NAME: &str = "local-shuffle";

/// The image is cut into square windows from its upper left corner, and the pixels within each are
/// put into an order drawn at random. There are no parameters to regress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalShuffle {
    /// Side of a window, in pixels: 3.
    pub window_px: usize,
    /// The family whose parameters the decoder answers with: convolution.
    pub surrogate: Box<Family>,
}

impl Default for LocalShuffle {
    fn default() -> Self {
        Self {
            window_px: 3,
            surrogate: surrogate::convolution(),
        }
    }
}

impl TransformationFamily for LocalShuffle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn surrogate(&self) -> Option<&Family> {
        Some(&self.surrogate)
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let window = self.window_px.max(1);
        let mut sources: Vec<usize> = (0..height * width).collect();
        for top in (0..height).step_by(window) {
            for left in (0..width).step_by(window) {
                let (bottom, right) = ((top + window).min(height), (left + window).min(width));
                let places: Vec<usize> = (top..bottom)
                    .flat_map(|row| (left..right).map(move |column| row * width + column))
                    .collect();
                for last in (1..places.len()).rev() {
                    let other = draw::index(rng, last as u64 + 1) as usize;
                    sources.swap(places[last], places[other]);
                }
            }
        }
        let field = Field::from_fn(height, width, |row, column| {
            let from = sources[row * width + column];
            [(from % width) as f64 + 0.5, (from / width) as f64 + 0.5]
        });
        Sampled {
            transformation: Step::Field(field).into(),
            target: Vec::new(),
        }
    }

    fn validate(&self) -> Result<(), FamilyError> {
        check::within(NAME, "window_px", self.window_px as f64, [2.0, 64.0])?;
        surrogate::validate(NAME, &self.surrogate)
    }
}
