//! What is to be done to images, as numbers: for whoever holds the images and makes the views by
//! itself, as an accelerator does.

use aet_geometry::{Family, RgbView, TransformationFamily};

use super::{ItemContext, ItemPipeline};
use crate::augment::Augment;
use crate::normalise::Normalisation;
use crate::random::Purpose;

/// Pairs as numbers: an item has no views, and its target is that of the pairs' own pipeline with what
/// makes the views behind it. The draws are the same.
///
/// Behind the targets of the families come the crop's [`SHIFTS`](Self::SHIFTS): how far down and to the
/// right it starts, in pixels, and 1 where it is mirrored left to right, else 0. Then, for each family,
/// `source_from_output` in pixels, row by row, [`MATRIX`](Self::MATRIX) numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct PairPlan {
    pub(super) augment: Augment,
    pub(super) families: Vec<Family>,
    /// The colour of what is read from outside the image.
    pub fill: [u8; 3],
    /// Applied to all views.
    pub normalisation: Normalisation,
}

impl PairPlan {
    /// Numbers of the crop.
    pub const SHIFTS: usize = 3;
    /// Numbers of a matrix.
    pub const MATRIX: usize = 9;

    /// How many transformed copies an item has.
    pub fn copies(&self) -> usize {
        self.families.len()
    }

    /// Numbers in the targets of the families.
    pub fn families_len(&self) -> usize {
        self.families.iter().map(Family::target_len).sum()
    }
}

impl ItemPipeline for PairPlan {
    fn views(&self) -> usize {
        0
    }

    fn target_len(&self) -> usize {
        self.families_len() + Self::SHIFTS + self.copies() * Self::MATRIX
    }

    fn make(
        &self,
        image: RgbView<'_>,
        context: &mut ItemContext,
        _views: &mut [&mut [f32]],
        target: &mut [f32],
    ) -> Result<(), String> {
        let [height, width] = context.item_size(image);
        if [height, width] != [image.height(), image.width()] {
            return Err("an image of another size than its item has no plan".into());
        }
        let (targets, rest) = target.split_at_mut(self.families_len());
        let (shifts, matrices) = rest.split_at_mut(Self::SHIFTS);
        let choice = self
            .augment
            .choose(&mut context.generator(Purpose::Augment));
        let flipped = f32::from(u8::from(choice.flipped));
        shifts.copy_from_slice(&[choice.shift_down as f32, choice.shift_right as f32, flipped]);
        let mut rng = context.generator(Purpose::Transform);
        let mut targets = targets;
        let matrices = matrices.chunks_exact_mut(Self::MATRIX);
        for (family, matrix) in self.families.iter().zip(matrices) {
            let sampled = family.sample(&mut rng, height, width);
            let (own, others) = targets.split_at_mut(sampled.target.len());
            own.copy_from_slice(&sampled.target);
            targets = others;
            let map = sampled.source_from_output();
            let map = map.ok_or("a transformation that is no homography has no plan")?;
            for (number, entry) in matrix.iter_mut().zip(map.rows().as_flattened()) {
                *number = *entry as f32;
            }
        }
        Ok(())
    }
}
