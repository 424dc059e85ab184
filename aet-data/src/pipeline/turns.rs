//! All quarter turns of an image (Gidaris, Singh and Komodakis, ICLR 2018, section 3.1).

use aet_geometry::RgbView;

use super::{ItemContext, ItemPipeline, ViewPipeline};

/// The augmented image, turned by 0, 90, 180 and 270 degrees counter-clockwise: view k by k quarter
/// turns, pixel by pixel, without resampling. There is no target, as the number of the view is the
/// answer.
#[derive(Debug, Clone)]
pub struct QuarterTurnPipeline {
    /// Makes the image that is turned.
    pub view: ViewPipeline,
}

impl ItemPipeline for QuarterTurnPipeline {
    fn views(&self) -> usize {
        4
    }

    fn target_len(&self) -> usize {
        0
    }

    /// # Panics
    /// When the item is not square: its quarter turns would not be of one size.
    fn make(
        &self,
        image: RgbView<'_>,
        context: &mut ItemContext,
        views: &mut [&mut [f32]],
        _target: &mut [f32],
    ) -> Result<(), String> {
        let [side, width] = context.item_size(image);
        assert_eq!(side, width, "quarter turns need square images");
        self.view.make(image, context, &mut views[..1], &mut [])?;
        for turns in 1..views.len() {
            let (before, after) = views.split_at_mut(turns);
            turn_planes(before[turns - 1], after[0], side);
        }
        Ok(())
    }
}

/// Turns every plane `[side, side]` of `source` by 90 degrees counter-clockwise: what was the last
/// column becomes the first row.
fn turn_planes(source: &[f32], turned: &mut [f32], side: usize) {
    let planes = source.chunks_exact((side * side).max(1));
    for (source, turned) in planes.zip(turned.chunks_exact_mut((side * side).max(1))) {
        for (row, values) in turned.chunks_exact_mut(side).enumerate() {
            let column = source[side - 1 - row..].iter().step_by(side);
            for (value, read) in values.iter_mut().zip(column) {
                *value = *read;
            }
        }
    }
}
