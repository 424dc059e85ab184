//! What becomes of one item of a set: [`ItemPipeline`], and one implementation for each kind of
//! views that a pretext task asks for.

mod altered;
mod plan;
mod rebuild;
mod turns;

use aet_geometry::{Border, Family, RgbImage, RgbView, TransformationFamily};

pub use altered::{Alteration, AlteredPipeline};
pub use plan::PairPlan;
pub use rebuild::RebuildPipeline;
pub use turns::QuarterTurnPipeline;

use crate::augment::{Augment, AugmentBuffers};
use crate::normalise::Normalisation;
use crate::random::{ItemRng, Purpose, generator};

/// Which item is being made, and the memory that is used again from item to item.
#[derive(Debug, Clone)]
pub struct ItemContext {
    seed: u64,
    epoch: u64,
    index: usize,
    /// Height and width of an item; none for that of its image.
    item_size: Option<[usize; 2]>,
    images: [RgbImage; 2],
    buffers: AugmentBuffers,
}

impl ItemContext {
    /// The context of item `index` of `epoch` in a run with `seed`.
    pub fn new(seed: u64, epoch: u64, index: usize) -> Self {
        Self {
            seed,
            epoch,
            index,
            item_size: None,
            images: std::array::from_fn(|_| RgbImage::filled(0, 0, [0; 3])),
            buffers: AugmentBuffers::default(),
        }
    }

    /// Moves on to another item, keeping the memory.
    pub fn set_index(&mut self, index: usize) {
        self.index = index;
    }

    /// Index of the item in its set.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The generator of this item for `purpose`; the same one however often it is asked for.
    pub fn generator(&self, purpose: Purpose) -> ItemRng {
        generator(self.seed, self.epoch, self.index as u64, purpose)
    }

    /// Says that items have this height and width, whatever the size of their images; otherwise an
    /// item has that of its image.
    pub fn set_item_size(&mut self, size: [usize; 2]) {
        self.item_size = Some(size);
    }

    /// Height and width of the item made of `image`.
    pub fn item_size(&self, image: RgbView<'_>) -> [usize; 2] {
        (self.item_size).unwrap_or([image.height(), image.width()])
    }

    /// `image` augmented and at the size of an item, and a second image of that size with any
    /// content, to work in. The draws are those of [`Purpose::Augment`].
    ///
    /// # Errors
    /// When the image cannot be brought to that size.
    pub fn augmented<'a>(
        &'a mut self,
        augment: &Augment,
        image: RgbView<'a>,
    ) -> Result<(RgbView<'a>, &'a mut RgbImage), String> {
        let size = self.item_size(image);
        let mut rng = self.generator(Purpose::Augment);
        for image in &mut self.images {
            if [image.height(), image.width()] != size {
                *image = RgbImage::filled(size[0], size[1], [0; 3]);
            }
        }
        let [augmented, other] = &mut self.images;
        if augment.leaves([image.height(), image.width()], size) {
            return Ok((image, other));
        }
        augment.apply_into(image, &mut rng, &mut self.buffers, augmented.view_mut())?;
        Ok((augmented.view(), other))
    }
}

/// What one item of the set becomes in a batch; one implementation a pretext task.
pub trait ItemPipeline: Send + Sync {
    /// Images made of one item: pairs give 2.
    fn views(&self) -> usize;

    /// Numbers in the target of one item; 0 = no target.
    fn target_len(&self) -> usize;

    /// Height and width of a view, in pixels, for items of `height` x `width`.
    fn view_size(&self, height: usize, width: usize) -> [usize; 2] {
        [height, width]
    }

    /// The same items as numbers, for whoever makes the views by itself; none where that cannot be.
    fn plan(&self) -> Option<PairPlan> {
        None
    }

    /// Makes the views, each normalised f32 `[3, height, width]`, and the target of one item.
    ///
    /// `views` holds [`views`](Self::views) slices, `target` [`target_len`](Self::target_len)
    /// numbers; all of them are to be written. Random choices come from
    /// [`ItemContext::generator`] only, so that they depend on seed, epoch and index alone.
    ///
    /// # Errors
    /// What is wrong with the image, when nothing can be made of it.
    fn make(
        &self,
        image: RgbView<'_>,
        context: &mut ItemContext,
        views: &mut [&mut [f32]],
        target: &mut [f32],
    ) -> Result<(), String>;
}

/// Pairs for auto-encoding transformations: the augmented image x, its transform t(x), and the
/// normalised target of t.
#[derive(Debug, Clone)]
pub struct PairPipeline {
    /// What both views share.
    pub augment: Augment,
    /// What t is sampled from.
    pub family: Family,
    /// What t reads from outside the image.
    pub border: Border,
    /// Applied to both views.
    pub normalisation: Normalisation,
}

impl PairPipeline {
    fn copies(&self) -> Copies<'_> {
        Copies {
            augment: &self.augment,
            families: std::slice::from_ref(&self.family),
            border: self.border,
            normalisation: &self.normalisation,
        }
    }
}

impl ItemPipeline for PairPipeline {
    fn views(&self) -> usize {
        2
    }

    fn target_len(&self) -> usize {
        self.family.target_len()
    }

    fn plan(&self) -> Option<PairPlan> {
        self.copies().plan()
    }

    fn make(
        &self,
        image: RgbView<'_>,
        context: &mut ItemContext,
        views: &mut [&mut [f32]],
        target: &mut [f32],
    ) -> Result<(), String> {
        self.copies().make(image, context, views, target)
    }
}

/// Several transformed copies of one image: the augmented image x, and for each family its t(x); the
/// target is that of each family, side by side.
#[derive(Debug, Clone)]
pub struct EnsemblePipeline {
    /// What all views share.
    pub augment: Augment,
    /// What the transformations are sampled from, one each.
    pub families: Vec<Family>,
    /// What they read from outside the image.
    pub border: Border,
    /// Applied to all views.
    pub normalisation: Normalisation,
}

impl EnsemblePipeline {
    fn copies(&self) -> Copies<'_> {
        Copies {
            augment: &self.augment,
            families: &self.families,
            border: self.border,
            normalisation: &self.normalisation,
        }
    }
}

impl ItemPipeline for EnsemblePipeline {
    fn views(&self) -> usize {
        1 + self.families.len()
    }

    fn target_len(&self) -> usize {
        let lengths = self.families.iter().map(TransformationFamily::target_len);
        lengths.sum()
    }

    fn plan(&self) -> Option<PairPlan> {
        self.copies().plan()
    }

    fn make(
        &self,
        image: RgbView<'_>,
        context: &mut ItemContext,
        views: &mut [&mut [f32]],
        target: &mut [f32],
    ) -> Result<(), String> {
        self.copies().make(image, context, views, target)
    }
}

/// An augmented image and a transformed copy of it for each family.
struct Copies<'a> {
    augment: &'a Augment,
    families: &'a [Family],
    border: Border,
    normalisation: &'a Normalisation,
}

impl Copies<'_> {
    /// The same as numbers; none where more is done than shifting and mirroring images of the items' own
    /// size, and homographies of them with one colour around them.
    fn plan(&self) -> Option<PairPlan> {
        let Border::Fill(fill) = self.border else {
            return None;
        };
        let plain = self.augment.resized_crop.is_none() && self.augment.jitter.is_none();
        let moves_alone = |family: &Family| family.is_homography() && !family.changes_values();
        (plain && self.families.iter().all(moves_alone)).then(|| PairPlan {
            augment: self.augment.clone(),
            families: self.families.to_vec(),
            fill,
            normalisation: self.normalisation.clone(),
        })
    }

    fn make(
        &self,
        image: RgbView<'_>,
        context: &mut ItemContext,
        views: &mut [&mut [f32]],
        target: &mut [f32],
    ) -> Result<(), String> {
        let [height, width] = context.item_size(image);
        let mut transform_rng = context.generator(Purpose::Transform);
        let (original, warped) = context.augmented(self.augment, image)?;
        let normaliser = self.normalisation.prepare();
        normaliser.apply_into(original, views[0]);
        let mut rest = target;
        for (family, view) in self.families.iter().zip(&mut views[1..]) {
            let sampled = family.sample(&mut transform_rng, height, width);
            let transformation = &sampled.transformation;
            transformation.apply_into(original, warped.view_mut(), self.border);
            normaliser.apply_into(warped.view(), view);
            let (own, others) = rest.split_at_mut(sampled.target.len());
            own.copy_from_slice(&sampled.target);
            rest = others;
        }
        Ok(())
    }
}

/// One augmented view and no target: for probes and embedding.
#[derive(Debug, Clone)]
pub struct ViewPipeline {
    /// With the default one, images stay as they are.
    pub augment: Augment,
    /// Applied to the view.
    pub normalisation: Normalisation,
}

impl ItemPipeline for ViewPipeline {
    fn views(&self) -> usize {
        1
    }

    fn target_len(&self) -> usize {
        0
    }

    fn make(
        &self,
        image: RgbView<'_>,
        context: &mut ItemContext,
        views: &mut [&mut [f32]],
        _target: &mut [f32],
    ) -> Result<(), String> {
        let normaliser = self.normalisation.prepare();
        let (augmented, _) = context.augmented(&self.augment, image)?;
        normaliser.apply_into(augmented, views[0]);
        Ok(())
    }
}
