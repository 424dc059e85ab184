//! Random resized crop: a part of the image of random area and proportions, brought to the size of an
//! item (Szegedy et al., CVPR 2015, section 6; the draws are those of torchvision).

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::random::{below, unit};
use crate::resample::Region;

/// Parts that are drawn before the middle is taken instead.
const TRIES: usize = 10;

/// How large the part is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResizedCrop {
    /// Smallest and largest share of the image's area: `[0.08, 1]`.
    pub scale: [f64; 2],
    /// Smallest and largest width over height, drawn on a logarithmic scale: `[3/4, 4/3]`.
    pub ratio: [f64; 2],
}

impl Default for ResizedCrop {
    fn default() -> Self {
        Self {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
        }
    }
}

impl ResizedCrop {
    /// Checks the ranges.
    ///
    /// # Errors
    /// When they are not two rising numbers above 0, or a share is above 1.
    pub fn validate(&self) -> Result<(), DataError> {
        let rising = |[low, high]: [f64; 2]| low > 0.0 && low <= high && high.is_finite();
        if !rising(self.scale) || self.scale[1] > 1.0 {
            let found = format!("{:?}", self.scale);
            let allowed = "two rising numbers above 0 and up to 1";
            return Err(DataError::invalid(
                "augment.resized_crop.scale",
                found,
                allowed,
            ));
        }
        if !rising(self.ratio) {
            let found = format!("{:?}", self.ratio);
            let allowed = "two rising numbers above 0";
            return Err(DataError::invalid(
                "augment.resized_crop.ratio",
                found,
                allowed,
            ));
        }
        Ok(())
    }

    /// A part of an image of a height and width, in whole pixels.
    pub fn choose<R: Rng + ?Sized>(&self, rng: &mut R, [height, width]: [usize; 2]) -> Region {
        let area = (height * width) as f64;
        let logs = self.ratio.map(libm::log);
        for _ in 0..TRIES {
            let part = area * (self.scale[0] + (self.scale[1] - self.scale[0]) * unit(rng));
            let ratio = libm::exp(logs[0] + (logs[1] - logs[0]) * unit(rng));
            let columns = libm::round(libm::sqrt(part * ratio)) as usize;
            let rows = libm::round(libm::sqrt(part / ratio)) as usize;
            if (1..=height).contains(&rows) && (1..=width).contains(&columns) {
                return Region {
                    top: below(rng, height - rows + 1) as f64,
                    left: below(rng, width - columns + 1) as f64,
                    height: rows as f64,
                    width: columns as f64,
                };
            }
        }
        self.middle([height as f64, width as f64])
    }

    /// The largest centred part with the nearest allowed proportions.
    fn middle(&self, [height, width]: [f64; 2]) -> Region {
        let ratio = (width / height).clamp(self.ratio[0], self.ratio[1]);
        let (rows, columns) = (height.min(width / ratio), width.min(height * ratio));
        Region {
            top: (height - rows) / 2.0,
            left: (width - columns) / 2.0,
            height: rows,
            width: columns,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::{Purpose, generator};

    #[test]
    fn parts_have_the_areas_and_proportions_that_were_asked_for() {
        let crop = ResizedCrop::default();
        let mut rng = generator(3, 0, 0, Purpose::Augment);
        let mut shares = Vec::new();
        for _ in 0..2_000 {
            let region = crop.choose(&mut rng, [300, 400]);
            let (height, width) = (region.height, region.width);
            assert!(region.top >= 0.0 && region.top + height <= 300.0);
            assert!(region.left >= 0.0 && region.left + width <= 400.0);
            let ratio = width / height;
            assert!((0.72..1.39).contains(&ratio), "{ratio}");
            shares.push(height * width / 120_000.0);
        }
        assert!(shares.iter().all(|share| (0.078..=1.0).contains(share)));
        let mean = shares.iter().sum::<f64>() / 2_000.0;
        // Large parts of the wrong proportions do not fit and are drawn again.
        assert!((0.42..0.54).contains(&mean), "{mean}");
    }

    #[test]
    fn an_image_that_no_part_fits_gives_its_middle() {
        let crop = ResizedCrop {
            scale: [1.0, 1.0],
            ratio: [1.0, 1.0],
        };
        let mut rng = generator(3, 0, 0, Purpose::Augment);
        let region = crop.choose(&mut rng, [30, 90]);
        assert_eq!((region.top, region.left), (0.0, 30.0));
        assert_eq!((region.height, region.width), (30.0, 30.0));
    }

    #[test]
    fn ranges_are_checked() {
        let wrong = [
            ([0.0, 1.0], [0.75, 1.3]),
            ([0.5, 1.1], [0.75, 1.3]),
            ([0.5, 0.4], [0.75, 1.3]),
            ([0.5, 1.0], [1.3, 0.75]),
            ([0.5, 1.0], [f64::NAN, 1.0]),
        ];
        for (scale, ratio) in wrong {
            assert!(ResizedCrop { scale, ratio }.validate().is_err());
        }
        ResizedCrop::default().validate().unwrap();
    }
}
