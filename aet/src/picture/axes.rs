//! A local generator's G(x, z) with z moved along one axis after the other.

use aet_data::HostBatch;
use aet_learn::evaluate::evaluation_batches;

use super::pairs::{caption, image_of, view_of_row};
use super::strips::{Strip, Tile, draw_strips};
use super::{Figure, Subject, TaskPicture};

/// Where z is moved to along an axis, in standard deviations.
const PLACES: [f32; 5] = [-2.0, -1.0, 0.0, 1.0, 2.0];
/// Most axes that are drawn of an image.
const MOST_AXES: usize = 12;
/// Most strips in a picture, but for the axes of a single image.
const MOST_STRIPS: usize = 24;

/// Draws, of as many images of `subject` as there is room for, G(x, z) along each axis of z, a row
/// each; without a model the images themselves.
///
/// # Errors
/// When the loader fails.
pub fn draw(subject: &Subject<'_>, title: &str) -> anyhow::Result<TaskPicture> {
    let mut strips = Vec::new();
    let mut error = Mean::default();
    let drawer = subject
        .model
        .and_then(|(model, device)| Some((model.objective.generator()?, device)));
    for batch in evaluation_batches(subject.experiment, subject.images, 64)? {
        let batch = batch?;
        for row in 0..batch.indices.len() {
            let Some((generator, device)) = drawer else {
                let tiles = vec![original(subject, &batch, row)?];
                let caption = caption(subject.images, batch.indices[row], subject.numbers);
                strips.push(Strip { caption, tiles });
                continue;
            };
            let axes = generator.shape().axes.min(MOST_AXES);
            if !strips.is_empty() && strips.len() + axes > MOST_STRIPS {
                break;
            }
            let item: usize = batch.view_shape[1..].iter().product();
            let image = &batch.views[0][row * item..(row + 1) * item];
            let moved = generator.along_axes(image, axes, &PLACES, device);
            error.add(&moved, image);
            strips.extend(image_strips(subject, &batch, row, &moved)?);
        }
    }
    let deviations = drawer.map(|(generator, _)| generator.shape().sigma);
    let says = match deviations {
        None => "images that a local generator is to be trained on".to_string(),
        Some(sigma) => format!(
            "each row: x, then G(x, z) along one axis of z, in deviations (of {sigma}); 0 is G(x, 0)"
        ),
    };
    let mse = error.value();
    let told = mse.map_or_else(String::new, |mse| {
        format!(" G(x, 0) differs from x by a mean squared error of {mse:.4}, normalised.")
    });
    Ok(TaskPicture {
        image: draw_strips(&strips, title, &says),
        heading: "The local generator along the axes of z",
        says: format!("{says}.{told}"),
        figure: Figure {
            key: "mse",
            value: mse,
            line: mse
                .map(|mse| format!("G(x, 0)  has a mean squared error of {mse:.4}, normalised")),
        },
    })
}

fn original(subject: &Subject<'_>, batch: &HostBatch, row: usize) -> anyhow::Result<Tile> {
    Ok(Tile {
        image: view_of_row(subject.experiment, batch, 0, row)?,
        label: "x".into(),
        is_right: None,
    })
}

/// The strips of one image, a row for each axis; `moved` holds its images in the order of the axes
/// and, within one, of [`PLACES`].
fn image_strips(
    subject: &Subject<'_>,
    batch: &HostBatch,
    row: usize,
    moved: &[Vec<f32>],
) -> anyhow::Result<Vec<Strip>> {
    let name = caption(subject.images, batch.indices[row], subject.numbers);
    let [_, _, height, width] = batch.view_shape;
    let normalisation = &subject.experiment.data.normalisation;
    let mut strips = Vec::new();
    for (axis, images) in moved.chunks_exact(PLACES.len()).enumerate() {
        let mut tiles = vec![original(subject, batch, row)?];
        for (values, place) in images.iter().zip(PLACES) {
            tiles.push(Tile {
                image: image_of(values, [height, width], normalisation)?,
                label: format!("{place:+}").replace("+0", "0"),
                is_right: None,
            });
        }
        strips.push(Strip {
            caption: format!("{name}, z{}", axis + 1),
            tiles,
        });
    }
    Ok(strips)
}

/// The mean squared error of G(x, 0) over the images that are drawn.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    /// Adds an image, given its copies in the order of [`PLACES`].
    fn add(&mut self, moved: &[Vec<f32>], image: &[f32]) {
        let Some(found) = moved.get(PLACES.len() / 2) else {
            return;
        };
        let squares = found.iter().zip(image);
        let sum: f64 = squares.map(|(f, t)| f64::from(f - t).powi(2)).sum();
        self.sum += sum / image.len() as f64;
        self.count += 1;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}
