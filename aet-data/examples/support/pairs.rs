//! Pairs as examples make them: projective transformations of images, and of photographs.

use std::error::Error;
use std::sync::Arc;

use aet_data::{Augment, ImageSet, LoadOptions, Normalisation, PairPipeline, Source};
use aet_geometry::Family;

/// Pairs of images that are augmented by `augment`.
pub fn pairs(augment: Augment) -> Result<Arc<PairPipeline>, Box<dyn Error>> {
    Ok(Arc::new(PairPipeline {
        augment,
        family: Family::default_of("projective")?,
        border: [128; 3].into(),
        normalisation: Normalisation::default(),
    }))
}

/// Pairs of 224x224, of photographs that are decoded when they are read: shorter side to 256, crop,
/// flip.
pub fn photographs(
    source: Arc<dyn Source>,
) -> Result<(Arc<ImageSet>, Arc<PairPipeline>), Box<dyn Error>> {
    let options = LoadOptions {
        size: Some([224, 224]),
        shorter_side: Some(256),
        ..LoadOptions::default()
    };
    let augment = Augment {
        resize: Some(256),
        horizontal_flip: true,
        ..Augment::none()
    };
    Ok((
        Arc::new(ImageSet::stream(source, &options)?),
        pairs(augment)?,
    ))
}
