//! What is done to an image: steps, one after the other.

use crate::blur::gaussian_blur;
use crate::border::Border;
use crate::colour_map::ColourMap;
use crate::field::Field;
use crate::filter::Filter;
use crate::homography::Homography;
use crate::image::{RgbImage, RgbView, RgbViewMut};

/// One thing that is done to an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Points move: each is read from where this map, `source_from_output`, takes it.
    Warp(Homography),
    /// Points move, each pixel on its own.
    Field(Field),
    /// Colours change.
    Colour(ColourMap),
    /// Values mix with those around them; a width below 0 is 0.
    Blur {
        /// Standard deviation, in pixels.
        sigma_px: f64,
    },
    /// Values become weighted sums of those around them.
    Filter(Filter),
}

/// Steps that are done one after the other; none leaves an image as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transformation {
    steps: Vec<Step>,
}

impl From<Step> for Transformation {
    fn from(step: Step) -> Self {
        Self { steps: vec![step] }
    }
}

impl From<Homography> for Transformation {
    fn from(source_from_output: Homography) -> Self {
        Step::Warp(source_from_output).into()
    }
}

impl From<ColourMap> for Transformation {
    fn from(map: ColourMap) -> Self {
        Step::Colour(map).into()
    }
}

impl Transformation {
    /// The steps, in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Adds what `next` does. Warps that come to stand side by side become one.
    pub fn then(&mut self, next: Self) {
        for step in next.steps {
            match (self.steps.last_mut(), step) {
                (Some(Step::Warp(before)), Step::Warp(after)) => *before = before.compose(&after),
                (_, step) => self.steps.push(step),
            }
        }
    }

    /// Where in the source image each point of the transformed image is read from, in pixels: the
    /// identity where nothing moves, none where points move otherwise than by a homography.
    pub fn source_from_output(&self) -> Option<Homography> {
        let mut whole = Homography::IDENTITY;
        for step in &self.steps {
            match step {
                Step::Warp(map) => whole = whole.compose(map),
                Step::Field(_) => return None,
                Step::Colour(_) | Step::Blur { .. } | Step::Filter(_) => {}
            }
        }
        Some(whole)
    }

    /// Whether each pixel of a transformed image of `height` x `width` pixels is read from inside the
    /// image alone, row by row. Only steps that move points count: colours, blurs and filters read
    /// nothing from outside.
    pub fn reads_inside(&self, height: usize, width: usize) -> Vec<bool> {
        let mut seen = RgbImage::filled(height, width, [255; 3]);
        let moving = |step: &&Step| matches!(step, Step::Warp(_) | Step::Field(_));
        for step in self.steps.iter().filter(moving) {
            let before = seen.clone();
            step.apply(before.view(), &mut seen.view_mut(), Border::Fill([0; 3]));
        }
        let pixels = seen.pixels().chunks_exact(3);
        pixels.map(|pixel| pixel[0] == 255).collect()
    }

    /// `source` transformed, in its size; `border` is what warps read from outside, a colour or
    /// another [`Border`].
    pub fn apply(&self, source: RgbView<'_>, border: impl Into<Border>) -> RgbImage {
        let mut output = RgbImage::filled(source.height(), source.width(), [0; 3]);
        self.apply_into(source, output.view_mut(), border.into());
        output
    }

    /// As [`apply`](Self::apply), into pixels that are already there.
    ///
    /// # Panics
    /// When `output` has another size than `source`.
    pub fn apply_into(&self, source: RgbView<'_>, mut output: RgbViewMut<'_>, border: Border) {
        let size = |height, width| [height, width];
        assert_eq!(
            size(source.height(), source.width()),
            size(output.height(), output.width()),
            "a transformation keeps the size of an image"
        );
        let Some((first, rest)) = self.steps.split_first() else {
            output.pixels_mut().copy_from_slice(source.pixels());
            return;
        };
        first.apply(source, &mut output, border);
        for step in rest {
            let before = output.as_view().to_image();
            step.apply(before.view(), &mut output, border);
        }
    }
}

impl Step {
    fn apply(&self, source: RgbView<'_>, output: &mut RgbViewMut<'_>, border: Border) {
        let (height, width) = (output.height(), output.width());
        let Ok(whole) = RgbViewMut::new(height, width, output.pixels_mut()) else {
            return;
        };
        match self {
            Self::Warp(map) => border.warp_into(source, map, whole),
            Self::Field(field) => field.warp_into(source, whole, border),
            Self::Colour(map) => map.apply_into(source, whole),
            Self::Blur { sigma_px } => gaussian_blur(source, *sigma_px, whole),
            Self::Filter(filter) => filter.apply_into(source, whole),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn picture() -> RgbImage {
        let pixels = (0..4 * 6 * 3).map(|i| (i * 37 % 251) as u8).collect();
        RgbImage::new(4, 6, pixels).unwrap()
    }

    #[test]
    fn no_step_changes_nothing() {
        let image = picture();
        let nothing = Transformation::default();
        assert_eq!(nothing.apply(image.view(), [9; 3]), image);
        assert_eq!(nothing.source_from_output(), Some(Homography::IDENTITY));
    }

    #[test]
    fn steps_are_done_in_their_order_and_warps_side_by_side_once() {
        let image = picture();
        let right = Homography::translation(-2.0, 0.0);
        let turn = Homography::rotation(std::f64::consts::PI).about([3.0, 2.0]);
        let mut all = Transformation::from(right);
        all.then(turn.into());
        assert_eq!(all.steps().len(), 1);
        all.then(ColourMap::brightness(0.5).into());
        all.then(Homography::IDENTITY.into());
        assert_eq!(all.steps().len(), 3);
        let once = Transformation::from(right).apply(image.view(), [8; 3]);
        let twice = Transformation::from(turn).apply(once.view(), [8; 3]);
        let expected = Transformation::from(ColourMap::brightness(0.5)).apply(twice.view(), [8; 3]);
        assert_eq!(all.apply(image.view(), [8; 3]), expected);
        // Shifted right and turned round: the first pixel of the source is the fourth from the end.
        let moved = all.source_from_output().unwrap().apply([3.5, 3.5]).unwrap();
        assert!((moved[0] - 0.5).abs() < 1e-9 && (moved[1] - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_pixel_reads_inside_where_no_step_that_moves_takes_it_out() {
        let mut all = Transformation::from(ColourMap::brightness(0.1));
        all.then(Homography::translation(-2.0, 1.0).into());
        all.then(Step::Blur { sigma_px: 1.5 }.into());
        let inside = all.reads_inside(4, 6);
        for (at, inside) in inside.into_iter().enumerate() {
            assert_eq!(inside, at / 6 < 3 && at % 6 >= 2, "{at}");
        }
        let grey = Transformation::from(ColourMap::contrast(0.2));
        assert!(grey.reads_inside(4, 6).into_iter().all(|inside| inside));
    }
}
