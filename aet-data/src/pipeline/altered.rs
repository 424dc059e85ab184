//! Images with their content taken away, to see what a pretext task can be told by without it.

use std::sync::Arc;

use aet_geometry::{RgbImage, RgbView};

use super::{ItemContext, ItemPipeline};
use crate::augment::Augment;
use crate::random::{Purpose, fill_normal};

/// What is left of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alteration {
    /// Its mean colour, everywhere.
    Constant,
    /// Independent draws for every channel of every pixel, with the mean and the standard deviation
    /// of that channel, rounded and cut off at 0 and 255.
    Noise,
}

/// Another pipeline on altered images, at the size of an item. The draws are those of [`Purpose::Noise`].
pub struct AlteredPipeline {
    /// What becomes of an altered image.
    pub inner: Arc<dyn ItemPipeline>,
    /// What becomes of an image before that.
    pub alteration: Alteration,
}

impl ItemPipeline for AlteredPipeline {
    fn views(&self) -> usize {
        self.inner.views()
    }

    fn target_len(&self) -> usize {
        self.inner.target_len()
    }

    fn view_size(&self, height: usize, width: usize) -> [usize; 2] {
        self.inner.view_size(height, width)
    }

    fn make(
        &self,
        image: RgbView<'_>,
        context: &mut ItemContext,
        views: &mut [&mut [f32]],
        target: &mut [f32],
    ) -> Result<(), String> {
        let (image, _) = context.augmented(&Augment::none(), image)?;
        let image = image.to_image();
        let altered = match self.alteration {
            Alteration::Constant => {
                let colour = moments(image.view()).map(|[mean, _]| mean.round() as u8);
                RgbImage::filled(image.height(), image.width(), colour)
            }
            Alteration::Noise => noise_like(image.view(), context),
        };
        self.inner.make(altered.view(), context, views, target)
    }
}

/// Mean and standard deviation of each channel.
fn moments(image: RgbView<'_>) -> [[f64; 2]; 3] {
    let count = (image.height() * image.width()).max(1) as f64;
    std::array::from_fn(|channel| {
        let values = image.pixels().iter().skip(channel).step_by(3);
        let (sum, squares) = values.fold((0.0, 0.0), |(sum, squares), value| {
            let value = f64::from(*value);
            (sum + value, squares + value * value)
        });
        let mean = sum / count;
        [mean, (squares / count - mean * mean).max(0.0).sqrt()]
    })
}

fn noise_like(image: RgbView<'_>, context: &ItemContext) -> RgbImage {
    let moments = moments(image);
    let mut draws = vec![0.0; image.pixels().len()];
    fill_normal(&mut context.generator(Purpose::Noise), &mut draws);
    let mut noise = RgbImage::filled(image.height(), image.width(), [0; 3]);
    for (at, (value, draw)) in noise.pixels_mut().iter_mut().zip(&draws).enumerate() {
        let [mean, deviation] = moments[at % 3];
        let drawn = mean + deviation * f64::from(*draw);
        *value = drawn.round().clamp(0.0, 255.0) as u8;
    }
    noise
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::normalise::Normalisation;
    use crate::pipeline::ViewPipeline;

    const SIZE: [usize; 2] = [40, 60];

    /// A gradient in each channel, of another mean and width.
    fn picture() -> RgbImage {
        let [height, width] = SIZE;
        let pixels = (0..height * width).flat_map(|at| {
            let (row, column) = (at / width, at % width);
            [60 + row, 100 + column, 150].map(|value| value as u8)
        });
        RgbImage::new(height, width, pixels.collect()).unwrap()
    }

    /// What is left of the picture as item `index`, in values from 0 to 255, channel by channel.
    fn altered(alteration: Alteration, index: usize) -> Vec<Vec<f64>> {
        let normalisation = Normalisation {
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let pipeline = AlteredPipeline {
            inner: Arc::new(ViewPipeline {
                augment: Augment::none(),
                normalisation,
            }),
            alteration,
        };
        let mut view = vec![0.0; 3 * SIZE[0] * SIZE[1]];
        let mut context = ItemContext::new(5, 0, index);
        let image = picture();
        pipeline
            .make(image.view(), &mut context, &mut [&mut view], &mut [])
            .unwrap();
        let planes = view.chunks_exact(SIZE[0] * SIZE[1]);
        planes
            .map(|plane| plane.iter().map(|v| f64::from(*v) * 255.0).collect())
            .collect()
    }

    #[test]
    fn a_constant_view_has_the_mean_colour_everywhere() {
        let expected = moments(picture().view()).map(|[mean, _]| mean);
        for (plane, mean) in altered(Alteration::Constant, 0).iter().zip(expected) {
            assert!(plane.iter().all(|value| (value - plane[0]).abs() < 1e-4));
            assert!((plane[0] - mean).abs() <= 0.51, "{} {mean}", plane[0]);
        }
    }

    #[test]
    fn noise_has_the_mean_and_the_deviation_of_every_channel_and_no_neighbours() {
        let planes = altered(Alteration::Noise, 0);
        for (plane, [mean, deviation]) in planes.iter().zip(moments(picture().view())) {
            let count = plane.len() as f64;
            let found = plane.iter().sum::<f64>() / count;
            let centred: Vec<f64> = plane.iter().map(|value| value - found).collect();
            let variance = centred.iter().map(|v| v * v).sum::<f64>() / count;
            assert!((found - mean).abs() < 1.5, "{found} {mean}");
            assert!((variance.sqrt() - deviation).abs() < 1.0, "{variance}");
            let pairs = centred.windows(2).map(|pair| pair[0] * pair[1]);
            let neighbours = pairs.sum::<f64>() / count;
            assert!(neighbours.abs() <= 0.08 * variance, "{neighbours}");
        }
        assert_eq!(planes, altered(Alteration::Noise, 0));
        assert_ne!(planes, altered(Alteration::Noise, 1));
    }
}
