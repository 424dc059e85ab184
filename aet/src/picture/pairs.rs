//! Pairs to look at: drawn by the loader that training uses, put back into pixels, with the
//! transformation in truth and as a model predicts it.

use std::sync::Arc;

use aet_data::{HostBatch, ImageSet, Normalisation};
use aet_geometry::{Family, Homography, TransformationFamily, Window};
use aet_learn::Device;
use aet_learn::batch::Batch;
use aet_learn::config::Experiment;
use aet_learn::evaluate::evaluation_batches;
use aet_learn::model::Model;
use aet_learn::objective::ObjectiveConfig;
use aet_learn::state::host_values;
use anyhow::Context;
use image::RgbImage;

/// One pair.
#[derive(Debug, Clone)]
pub struct PairSample {
    /// The image x.
    pub original: RgbImage,
    /// Its transformed copy t(x).
    pub transformed: RgbImage,
    /// Where in x each point of t(x) is read from.
    pub truth: Option<Homography>,
    /// The same as the model tells it.
    pub predicted: Option<Homography>,
    /// Index in the set, and class name where there is one.
    pub caption: String,
}

/// Some pairs of a set.
#[derive(Debug, Clone)]
pub struct PairSamples {
    /// The pairs.
    pub pairs: Vec<PairSample>,
    /// The part of both views that the encoder is shown; none for the whole.
    pub window: Option<Window>,
    /// Whether a model made predictions.
    pub has_predictions: bool,
}

/// Pairs of all `images`, with transformations from the seed of the experiment and, given a model,
/// its predictions. `numbers` are what the images are called in captions.
///
/// # Errors
/// When the loader fails.
pub fn sample_pairs(
    experiment: &Experiment,
    images: &Arc<ImageSet>,
    numbers: &[usize],
    model: Option<(&Model, &Device)>,
) -> anyhow::Result<PairSamples> {
    let shown = Shown::of(experiment);
    let mut pairs = Vec::with_capacity(images.len());
    for batch in evaluation_batches(experiment, images, 64)? {
        let batch = batch?;
        let predictions = model.map(|(model, device)| predict(model, batch.clone(), device));
        for row in 0..batch.indices.len() {
            let caption = caption(images, batch.indices[row], numbers);
            let mut pair = pair_of_row((experiment, &shown), &batch, row, caption)?;
            if let Some(values) = &predictions {
                let answers = values.len() / batch.indices.len();
                let family = shown.family.answer();
                let start = row * answers + shown.answer_start;
                let target = &values[start..start + family.target_len()];
                pair.predicted = map_of(family, target, &pair.original);
            }
            pairs.push(pair);
        }
    }
    Ok(PairSamples {
        pairs,
        window: experiment.framing([images.height(), images.width()]).window,
        has_predictions: model.is_some(),
    })
}

impl PairSamples {
    /// The mean distance, in pixels of the image, between where a corner of the copy lies on the
    /// original and where the model says that it lies, as a median over the pairs; none without
    /// predictions.
    ///
    /// It is measured on the original, since a model that knows nothing answers the mean of all
    /// transformations, which takes the whole copy to one point and has no inverse.
    pub fn corner_error_px(&self) -> Option<f64> {
        let mut errors: Vec<f64> = self.pairs.iter().filter_map(corner_error_px).collect();
        errors.sort_by(f64::total_cmp);
        errors.get(errors.len() / 2).copied()
    }
}

fn corner_error_px(pair: &PairSample) -> Option<f64> {
    let (truth, predicted) = (pair.truth?, pair.predicted?);
    let mut sum = 0.0;
    for corner in corners(&pair.original) {
        let ([x, y], [u, v]) = (truth.apply(corner)?, predicted.apply(corner)?);
        sum += (x - u).hypot(y - v);
    }
    Some(sum / 4.0)
}

/// The corners of an image, from the top left one clockwise.
pub fn corners(image: &RgbImage) -> [[f64; 2]; 4] {
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]]
}

pub(super) fn caption(images: &ImageSet, index: usize, numbers: &[usize]) -> String {
    let number = numbers.get(index).copied().unwrap_or(index);
    let class = images.label(index).and_then(|label| {
        let name = images.class_names.get(label as usize);
        name.filter(|name| !name.is_empty())
            .cloned()
            .or_else(|| Some(format!("class {label}")))
    });
    class.map_or_else(
        || format!("#{number}"),
        |class| format!("#{number} {class}"),
    )
}

/// What the decoder answers for a batch, row by row.
pub(super) fn predict(model: &Model, batch: HostBatch, device: &Device) -> Vec<f32> {
    let batch = Batch::from_host(batch, device);
    host_values(model.objective.predict(&model.encoder, &batch))
}

/// Which of the transformations of an item is shown: the only one, or of an ensemble the first that
/// moves points by a homography.
struct Shown {
    family: Family,
    view: usize,
    /// Where its target begins among those of an item.
    target_start: usize,
    /// Where its answer begins among those of a model.
    answer_start: usize,
}

impl Shown {
    fn of(experiment: &Experiment) -> Self {
        let families: Vec<&Family> = match &experiment.objective {
            ObjectiveConfig::Ensemble(config) => config
                .members
                .iter()
                .map(|member| &member.transformation)
                .collect(),
            _ => vec![&experiment.transformation],
        };
        let place = families.iter().position(|family| family.is_homography());
        let place = place.unwrap_or(0);
        let before = &families[..place];
        Self {
            family: families[place].clone(),
            view: place + 1,
            target_start: before.iter().map(|family| family.target_len()).sum(),
            answer_start: before
                .iter()
                .map(|family| family.answer().target_len())
                .sum(),
        }
    }
}

fn pair_of_row(
    (experiment, shown): (&Experiment, &Shown),
    batch: &HostBatch,
    row: usize,
    caption: String,
) -> anyhow::Result<PairSample> {
    let pixels = |view: usize| view_of_row(experiment, batch, view, row);
    let original = pixels(0)?;
    let start = row * batch.target_len + shown.target_start;
    let target = &batch.targets[start..start + shown.family.target_len()];
    Ok(PairSample {
        truth: map_of(&shown.family, target, &original),
        transformed: pixels(shown.view)?,
        original,
        predicted: None,
        caption,
    })
}

/// The pixels of one view of an item.
pub(super) fn view_of_row(
    experiment: &Experiment,
    batch: &HostBatch,
    view: usize,
    row: usize,
) -> anyhow::Result<RgbImage> {
    let [_, channels, height, width] = batch.view_shape;
    let item = channels * height * width;
    let values = &batch.views[view][row * item..(row + 1) * item];
    image_of(values, [height, width], &experiment.data.normalisation)
}

/// The map from the copy to the original that `target` stands for; none where points do not
/// move by a homography.
fn map_of(family: &Family, target: &[f32], image: &RgbImage) -> Option<Homography> {
    if !family.is_homography() {
        return None;
    }
    let (height, width) = (image.height() as usize, image.width() as usize);
    let map = family.source_from_output(target, height, width);
    map.ok().flatten()
}

/// The pixels that were normalised to `values`, `[3, height, width]`.
pub(super) fn image_of(
    values: &[f32],
    size: [usize; 2],
    normalisation: &Normalisation,
) -> anyhow::Result<RgbImage> {
    let [height, width] = size;
    let plane = height * width;
    let byte = |channel: usize, at: usize| {
        let unit =
            values[channel * plane + at] * normalisation.std[channel] + normalisation.mean[channel];
        (255.0 * unit).round().clamp(0.0, 255.0) as u8
    };
    let pixels = (0..plane)
        .flat_map(|at| [byte(0, at), byte(1, at), byte(2, at)])
        .collect();
    RgbImage::from_raw(width as u32, height as u32, pixels).context("an image of impossible size")
}
