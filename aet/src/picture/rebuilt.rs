//! Images beside what an auto-encoder of data rebuilds of them.

use aet_data::HostBatch;
use aet_learn::evaluate::evaluation_batches;

use super::pairs::{caption, image_of, predict, view_of_row};
use super::strips::{Strip, Tile, draw_strips};
use super::{Figure, Subject, TaskPicture};

/// Draws the images of `subject`, what the encoder sees of them where that is something else, and,
/// given a model, what it rebuilds.
///
/// # Errors
/// When the loader fails.
pub fn draw(subject: &Subject<'_>, title: &str) -> anyhow::Result<TaskPicture> {
    let mut strips = Vec::with_capacity(subject.images.len());
    let mut errors = Vec::new();
    for batch in evaluation_batches(subject.experiment, subject.images, 64)? {
        let batch = batch?;
        let rebuilt = subject
            .model
            .map(|(model, device)| predict(model, batch.clone(), device));
        for row in 0..batch.indices.len() {
            let item: usize = batch.view_shape[1..].iter().product();
            let rebuilt = rebuilt.as_ref().map(|v| &v[row * item..(row + 1) * item]);
            if let (Some(rebuilt), Some(clean)) = (rebuilt, batch.views.last()) {
                let clean = &clean[row * item..(row + 1) * item];
                let squares = rebuilt
                    .iter()
                    .zip(clean)
                    .map(|(r, c)| f64::from(r - c).powi(2));
                errors.push(squares.sum::<f64>() / item as f64);
            }
            strips.push(strip(subject, &batch, row, rebuilt)?);
        }
    }
    let mse = (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64);
    let is_noisy = strips.first().is_some_and(|strip| {
        let rebuilt = usize::from(mse.is_some());
        strip.tiles.len() > 1 + rebuilt
    });
    let seen = if is_noisy {
        ", what the encoder sees"
    } else {
        ""
    };
    let told = if mse.is_some() {
        ", what is rebuilt"
    } else {
        ""
    };
    let says = format!("from the left: the original{seen}{told}");
    let error = mse.map_or_else(String::new, |mse| {
        format!(" The mean squared error of these normalised pixels is {mse:.4}.")
    });
    Ok(TaskPicture {
        image: draw_strips(&strips, title, &says),
        heading: "Images, original and rebuilt",
        says: format!("{says}.{error}"),
        figure: Figure {
            key: "mse",
            value: mse,
            line: mse.map(|mse| {
                format!("pixels   rebuilt with a mean squared error of {mse:.4}, normalised")
            }),
        },
    })
}

fn strip(
    subject: &Subject<'_>,
    batch: &HostBatch,
    row: usize,
    rebuilt: Option<&[f32]>,
) -> anyhow::Result<Strip> {
    let experiment = subject.experiment;
    let tile = |image, label: &str| Tile {
        image,
        label: label.into(),
        is_right: None,
    };
    let last = batch.views.len() - 1;
    let mut tiles = vec![tile(view_of_row(experiment, batch, last, row)?, "original")];
    if last > 0 {
        tiles.push(tile(view_of_row(experiment, batch, 0, row)?, "seen"));
    }
    if let Some(values) = rebuilt {
        let [_, _, height, width] = batch.view_shape;
        let image = image_of(values, [height, width], &experiment.data.normalisation)?;
        tiles.push(tile(image, "rebuilt"));
    }
    Ok(Strip {
        caption: caption(subject.images, batch.indices[row], subject.numbers),
        tiles,
    })
}
