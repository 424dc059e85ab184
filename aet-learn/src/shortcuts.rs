//! Whether a trained encoder and decoder do the pretext task by what warps leave behind (a border's
//! fill, the blur of interpolation) and not by what images show: the same evaluation with one thing
//! changed at a time.

use std::sync::Arc;

use aet_data::{Alteration, AlteredPipeline, ImageSet};
use aet_geometry::{TransformationFamily, WindowFit};
use burn::tensor::{Tensor, TensorData};

use crate::batch::Batch;
use crate::border::BorderMode;
use crate::config::Experiment;
use crate::error::{ConfigError, LearnError};
use crate::evaluate::{BATCH_SIZE, PretextLoss, batches_of, judged, loss_over};
use crate::model::Model;
use crate::objective::{Trivial, Yardstick};

/// What is changed; everything else, transformations included, stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Images,
    /// Every image is its mean colour.
    Constant,
    /// Every image is noise with its means and deviations.
    Noise,
    /// What is read from outside is mirrored.
    BordersReflected,
    /// The encoder is shown only the window that is read from inside.
    BordersCropped,
    /// The original goes through interpolation too: half a pixel on and back, along both axes.
    OriginalResampled,
    /// The copy is the original after that, and the truth is the identity.
    IdentityResampled,
}

impl Condition {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Images,
        Self::Constant,
        Self::Noise,
        Self::BordersReflected,
        Self::BordersCropped,
        Self::OriginalResampled,
        Self::IdentityResampled,
    ];

    /// Its name in tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Constant => "constant",
            Self::Noise => "noise",
            Self::BordersReflected => "borders reflected",
            Self::BordersCropped => "borders cropped",
            Self::OriginalResampled => "original resampled",
            Self::IdentityResampled => "identity resampled",
        }
    }
}

/// How well the task is done under a condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShortcutRow {
    /// The condition.
    pub condition: Condition,
    /// The figure that the yardstick names.
    pub metric: f64,
    /// The same of the trivial answer, on transformed images also where the truth is the identity.
    pub trivial: f64,
    /// How far corners are off on average, in pixels; none where that is not measured.
    pub corner_px: Option<f64>,
}

impl ShortcutRow {
    /// The metric over that of the trivial answer; none where the latter makes no error.
    pub fn ratio(&self) -> Option<f64> {
        (self.trivial > 0.0).then(|| self.metric / self.trivial)
    }
}

/// The figures under all conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Shortcuts {
    /// What the metric is, and what it is held against.
    pub yardstick: Yardstick,
    /// How many images were evaluated.
    pub images: usize,
    /// One row for each condition that could be evaluated, in their order.
    pub rows: Vec<ShortcutRow>,
    /// The others, and why not.
    pub left_out: Vec<(Condition, String)>,
    /// The window that `borders cropped` shows; none where nothing moves.
    pub window: Option<WindowFit>,
}

impl Shortcuts {
    /// Whether the metric is a ratio to the trivial answer already.
    pub fn is_ratio(&self) -> bool {
        self.yardstick.trivial == Trivial::Identity
    }

    /// The row of a condition, where there is one.
    pub fn row(&self, condition: Condition) -> Option<&ShortcutRow> {
        self.rows.iter().find(|row| row.condition == condition)
    }
}

/// Evaluates `model`, frozen, on `images` under every condition, by the statistics that
/// `evaluation.statistics` names. `progress` is told the share that is done.
///
/// # Errors
/// When the objective has no transformed copies, or the images cannot be loaded.
pub fn examine(
    model: &Model,
    experiment: &Experiment,
    images: &Arc<ImageSet>,
    progress: &mut dyn FnMut(f64),
) -> Result<Shortcuts, LearnError> {
    if experiment.families().is_empty() {
        let range = "\"aet\", \"avt\" or another objective with transformed copies, to look for shortcuts in them";
        let found = format!("\"{}\"", experiment.objective.name());
        return Err(ConfigError::range("objective.kind", range, found).into());
    }
    let examination = Examination::of(model, experiment, images)?;
    let mut found = Shortcuts {
        yardstick: experiment.objective.yardstick(),
        images: images.len(),
        rows: Vec::new(),
        left_out: Vec::new(),
        window: examination.window,
    };
    for (place, condition) in Condition::ALL.into_iter().enumerate() {
        match examination.obstacle(condition) {
            Some(reason) => found.left_out.push((condition, reason)),
            None => {
                let measured = examination.measure(condition)?;
                found.add(condition, &measured);
            }
        }
        progress((place + 1) as f64 / Condition::ALL.len() as f64);
    }
    Ok(found)
}

impl Shortcuts {
    fn add(&mut self, condition: Condition, measured: &PretextLoss) {
        let metric = measured.metric();
        if !metric.is_finite() {
            let reason = "the copies are the originals, so that there is no distance to compare";
            self.left_out.push((condition, reason.into()));
            return;
        }
        // The identity has no spread of its own to be held against.
        let trivial = match (condition, self.row(Condition::Images)) {
            (Condition::IdentityResampled, Some(reference)) => reference.trivial,
            _ => measured.trivial_metric,
        };
        let corner = measured.parts.iter().find(|(name, _)| *name == "corner_px");
        self.rows.push(ShortcutRow {
            condition,
            metric,
            trivial,
            corner_px: corner.map(|(_, value)| *value),
        });
    }
}

/// A model with what it is examined on.
struct Examination<'a> {
    model: &'a Model,
    experiment: &'a Experiment,
    images: &'a Arc<ImageSet>,
    /// The experiment with other borders.
    reflected: Experiment,
    cropped: Experiment,
    /// What `cropped` shows, where anything moves.
    window: Option<WindowFit>,
    /// The identity's target, of all families side by side.
    identity: Option<Vec<f32>>,
}

impl<'a> Examination<'a> {
    fn of(
        model: &'a Model,
        experiment: &'a Experiment,
        images: &'a Arc<ImageSet>,
    ) -> Result<Self, LearnError> {
        let size = [images.height(), images.width()];
        let with_border = |border: BorderMode| {
            let mut config = experiment.clone().into_config();
            config.warp.border = border;
            config.resolve()
        };
        let families = experiment.families();
        let cropped = with_border(BorderMode::Crop)?;
        let moves = families.iter().any(|family| family.moves());
        let with_targets = families.iter().filter(|family| family.target_len() > 0);
        let identity: Option<Vec<Vec<f32>>> = with_targets
            .map(|family| family.identity_target(size))
            .collect();
        Ok(Self {
            model,
            experiment,
            images,
            reflected: with_border(BorderMode::Reflect)?,
            window: cropped.window(size).filter(|_| moves),
            cropped,
            identity: identity.map(|targets| targets.concat()),
        })
    }

    fn image_size(&self) -> [usize; 2] {
        [self.images.height(), self.images.width()]
    }

    /// Why nothing can be said under a condition, where that is so.
    fn obstacle(&self, condition: Condition) -> Option<String> {
        let border = self.experiment.warp.border;
        match (condition, self.window) {
            (Condition::BordersReflected | Condition::BordersCropped, None) => {
                Some("the transformations move nothing, and read nothing from outside".into())
            }
            (Condition::BordersReflected, _) if border != BorderMode::Fill => {
                Some("the run mirrors borders as it is".into())
            }
            (Condition::BordersCropped, _) if border == BorderMode::Crop => {
                Some("the run crops borders as it is".into())
            }
            (Condition::BordersCropped, Some(fit)) => self.window_obstacle(&fit),
            (Condition::IdentityResampled, _) if self.identity.is_none() => {
                Some("the identity is none of the family's transformations".into())
            }
            (Condition::IdentityResampled, _) if self.judges_images() => {
                Some("the distance between images says nothing of an image that stays".into())
            }
            _ => None,
        }
    }

    fn window_obstacle(&self, fit: &WindowFit) -> Option<String> {
        let size = fit.window.size();
        let [height, width] = size;
        if size == self.image_size() {
            return Some("all copies are read from inside the image".into());
        }
        let refused = self.experiment.backbone.check_image_size(size).is_err();
        refused.then(|| format!("the encoder takes no images as small as {height}x{width}"))
    }

    fn judges_images(&self) -> bool {
        self.experiment.objective.yardstick().trivial == Trivial::Identity
    }

    fn measure(&self, condition: Condition) -> Result<PretextLoss, LearnError> {
        let experiment = match condition {
            Condition::BordersReflected => &self.reflected,
            Condition::BordersCropped => &self.cropped,
            _ => self.experiment,
        };
        let plain = experiment.evaluation_pipeline();
        let altered = |alteration| {
            Arc::new(AlteredPipeline {
                inner: Arc::clone(&plain),
                alteration,
            })
        };
        let pipeline = match condition {
            Condition::Constant => altered(Alteration::Constant),
            Condition::Noise => altered(Alteration::Noise),
            _ => plain,
        };
        let mut model = judged(self.model, experiment, self.image_size())?;
        let framing = experiment.framing(self.image_size());
        model.objective = model.objective.framed(framing);
        let batches = || batches_of(pipeline.clone(), experiment, self.images, BATCH_SIZE);
        let yardstick = experiment.objective.yardstick();
        loss_over(&model, yardstick, &batches, |batch| {
            self.changed(condition, batch)
        })
    }

    /// What becomes of a batch on the device.
    fn changed(&self, condition: Condition, mut batch: Batch) -> Batch {
        match (condition, &self.identity) {
            (Condition::OriginalResampled, _) => {
                batch.views[0] = resampled(batch.views[0].clone());
                batch
            }
            (Condition::IdentityResampled, Some(identity)) => {
                let copy = resampled(batch.views[0].clone());
                for view in &mut batch.views[1..] {
                    *view = copy.clone();
                }
                let row = TensorData::new(identity.clone(), [1, identity.len()]);
                let row = Tensor::<2>::from_data(row, &batch.target.device());
                batch.target = row.repeat_dim(0, batch.len());
                batch
            }
            _ => batch,
        }
    }
}

/// Images `[batch, channels, height, width]` moved by half a pixel along both axes and back,
/// bilinearly, their outermost pixels being repeated outwards.
pub fn resampled(images: Tensor<4>) -> Tensor<4> {
    [2, 3].into_iter().fold(images, |images, axis| {
        let side = images.dims()[axis];
        let first = images.clone().narrow(axis, 0, 1);
        let last = images.clone().narrow(axis, side - 1, 1);
        let before = Tensor::cat(vec![first, images.clone()], axis);
        let after = Tensor::cat(vec![images, last], axis);
        let between = (before + after) * 0.5;
        (between.clone().narrow(axis, 0, side) + between.narrow(axis, 1, side)) * 0.5
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::state::host_values;

    #[test]
    fn resampling_spreads_a_point_over_its_neighbours_and_keeps_a_plane() {
        let device = Device::flex();
        let mut point = vec![0.0_f32; 2 * 4 * 5];
        point[2 * 5 + 1] = 16.0;
        // The second channel is the plane 3 * column + row.
        for at in 0..20 {
            point[20 + at] = (3 * (at % 5) + at / 5) as f32;
        }
        let images = TensorData::new(point.clone(), [1, 2, 4, 5]);
        let found = host_values(resampled(Tensor::from_data(images, &device)));
        let kernel = [1.0, 2.0, 1.0];
        for (at, value) in found[..20].iter().enumerate() {
            let (row, column) = (at / 5, at % 5);
            let inside = (1..4).contains(&row) && column < 3;
            let expected = if inside {
                kernel[row - 1] * kernel[column]
            } else {
                0.0
            };
            assert_eq!(*value, expected, "{row} {column}");
        }
        for row in 1..3 {
            for column in 1..4 {
                let at = 20 + row * 5 + column;
                assert!((found[at] - point[at]).abs() < 1e-5);
            }
        }
    }
}
