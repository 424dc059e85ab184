//! Pictures of what a pretext task makes of images, and of what a model answers: pairs with where the
//! original's square went, images with what was rebuilt of them, quarter turns with what they were
//! taken for.

mod axes;
mod canvas;
mod grid;
mod pairs;
mod rebuilt;
mod strips;
mod turns;

use std::io::Cursor;
use std::sync::Arc;

use aet_data::ImageSet;
use aet_learn::Device;
use aet_learn::config::Experiment;
use aet_learn::model::Model;
use aet_learn::objective::ObjectiveConfig;
use anyhow::Context;
use image::{ImageFormat, RgbImage};

use grid::{GridStyle, draw_grid};
use pairs::sample_pairs;

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Says what becomes of the images.
    pub experiment: &'a Experiment,
    /// The images, all of which are drawn.
    pub images: &'a Arc<ImageSet>,
    /// What they are called in captions.
    pub numbers: &'a [usize],
    /// Whose answers are drawn, if anyone's.
    pub model: Option<(&'a Model, &'a Device)>,
}

/// A picture of a pretext task.
#[derive(Debug)]
pub struct TaskPicture {
    /// The picture.
    pub image: RgbImage,
    /// What it is of, as a heading.
    pub heading: &'static str,
    /// What it shows, to follow upon how many images those are and which.
    pub says: String,
    /// How well the model did on the images in it.
    pub figure: Figure,
}

/// How well a model did on the images of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its name in JSON.
    pub key: &'static str,
    /// Its value; none without a model.
    pub value: Option<f64>,
    /// The same as a line for people.
    pub line: Option<String>,
}

/// Draws what the experiment's pretext task makes of images, `columns` of them in a row (one for the
/// tasks that have many views), under `title`.
///
/// # Errors
/// When the task cannot be set on the images.
pub fn draw_task(
    subject: &Subject<'_>,
    title: String,
    columns: usize,
) -> anyhow::Result<TaskPicture> {
    match subject.experiment.objective {
        ObjectiveConfig::Aet(_) | ObjectiveConfig::Avt(_) | ObjectiveConfig::Ensemble(_) => {
            draw_pairs(subject, GridStyle { title, columns })
        }
        ObjectiveConfig::Aed(_) => rebuilt::draw(subject, &title),
        ObjectiveConfig::RotNet(_) => turns::draw(subject, &title),
        ObjectiveConfig::Lgan(_) | ObjectiveConfig::Generated(_) => axes::draw(subject, &title),
    }
}

fn draw_pairs(subject: &Subject<'_>, style: GridStyle) -> anyhow::Result<TaskPicture> {
    let Subject {
        experiment,
        images,
        numbers,
        model,
    } = *subject;
    let samples = sample_pairs(experiment, images, numbers, model)?;
    let corner_error = samples.corner_error_px();
    let error = corner_error.map_or_else(String::new, |error| {
        format!(
            " On the original, the predicted corners lie {error:.1} px from the true ones (median over these pairs; images are {}x{} px).",
            images.height(),
            images.width()
        )
    });
    let says = format!(
        "originals and their transformed copies. Lines show the transformation, dashes what encoder and decoder tell of it: on the original, where the copy was taken from; on the copy, where the original went.{error}"
    );
    Ok(TaskPicture {
        image: draw_grid(&samples, &style),
        heading: "Transformations, true and predicted",
        says,
        figure: Figure {
            key: "median_corner_error_px",
            value: corner_error,
            line: corner_error.map(|error| {
                format!("corners  predicted {error:.1} px from the truth on the original (median over the pairs)")
            }),
        },
    })
}

/// The bytes of a PNG file of `picture`.
///
/// # Errors
/// When it cannot be encoded.
pub fn png(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .context("cannot encode the picture as PNG")?;
    Ok(bytes.into_inner())
}
