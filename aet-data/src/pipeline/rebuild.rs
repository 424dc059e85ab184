//! Images to be rebuilt by an auto-encoder of data: plain, or with noise on what the encoder sees
//! (Vincent et al., ICML 2008), and with the draws that a variational code needs.

use aet_geometry::RgbView;

use super::{ItemContext, ItemPipeline, ViewPipeline};
use crate::random::{Purpose, fill_normal};

/// The augmented image, to be rebuilt.
///
/// Without noise there is one view. With noise there are two, the noisy image and the clean one; so
/// the last view is always what is to be rebuilt, the first what the encoder sees. The target of an
/// item is no answer: it holds `draws` independent draws of N(0, 1).
#[derive(Debug, Clone)]
pub struct RebuildPipeline {
    /// Makes the clean image.
    pub view: ViewPipeline,
    /// Standard deviation of the Gaussian noise that is added to every channel of every pixel, in
    /// units of the pixel value from 0 to 1; 0 for none. The sum is not clipped.
    pub noise: f64,
    /// Numbers drawn for each item.
    pub draws: usize,
}

impl RebuildPipeline {
    fn is_noisy(&self) -> bool {
        self.noise > 0.0
    }
}

impl ItemPipeline for RebuildPipeline {
    fn views(&self) -> usize {
        if self.is_noisy() { 2 } else { 1 }
    }

    fn target_len(&self) -> usize {
        self.draws
    }

    fn make(
        &self,
        image: RgbView<'_>,
        context: &mut ItemContext,
        views: &mut [&mut [f32]],
        target: &mut [f32],
    ) -> Result<(), String> {
        let mut rng = context.generator(Purpose::Noise);
        self.view.make(image, context, &mut views[..1], &mut [])?;
        if let (true, [noisy, clean]) = (self.is_noisy(), &mut *views) {
            clean.copy_from_slice(noisy);
            fill_normal(&mut rng, noisy);
            let plane = clean.len() / 3;
            for (channel, std) in self.view.normalisation.std.iter().enumerate() {
                let sigma = self.noise as f32 / std;
                let pixels = channel * plane..(channel + 1) * plane;
                for (value, pixel) in noisy[pixels.clone()].iter_mut().zip(&clean[pixels]) {
                    *value = pixel + sigma * *value;
                }
            }
        }
        fill_normal(&mut rng, target);
        Ok(())
    }
}
