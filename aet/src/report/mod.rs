//! The report of a run, `report.html`: one file without anything loaded from elsewhere.

mod chart;
mod curves;
mod page;

use std::sync::Arc;

use aet_data::random::{Purpose, generator, permutation};
use aet_learn::Device;
use aet_learn::data::Datasets;
use aet_learn::probe::Comparison;
use aet_learn::run_dir::RunDirectory;

use crate::output::write_whole;
use crate::picture::{GridStyle, draw_grid, png, sample_pairs};

/// Pairs in the picture of the report.
const PAIRS: usize = 8;

/// What the page is made of.
struct Material<'a> {
    run: &'a RunDirectory,
    comparisons: &'a [Comparison],
    curves: curves::Curves,
    /// The images, in words.
    images: String,
    /// A PNG of pairs with the model's predictions, and what it shows.
    picture: Vec<u8>,
    picture_says: String,
}

/// Writes `report.html` into the folder of `run`, which is finished.
///
/// # Errors
/// When the model cannot be loaded or the disk refuses.
pub fn write(
    run: &RunDirectory,
    datasets: &Datasets,
    comparisons: &[Comparison],
    device: &Device,
) -> anyhow::Result<()> {
    let experiment = run.experiment();
    let (images, kind) = match &datasets.test {
        Some(test) => (test, "test"),
        None => (&datasets.train, "training"),
    };
    let mut rng = generator(experiment.seed, 0, 0, Purpose::Subset);
    let mut chosen = permutation(&mut rng, images.len());
    chosen.truncate(PAIRS);
    let subset = Arc::new(images.subset(&chosen));
    let model = run.load_model(device)?;
    let samples = sample_pairs(experiment, &subset, &chosen, Some((&model, device)))?;
    let style = GridStyle {
        title: format!("{}: {kind} images", experiment.transformation.name()),
        columns: 2,
    };
    let error = samples.corner_error_px().map_or_else(String::new, |error| {
        format!(
            " On the original, the predicted corners lie {error:.1} px from the true ones (median over these pairs; images are {}x{} px).",
            images.height(),
            images.width()
        )
    });
    let picture_says = format!(
        "{} {kind} images and their transformed copies. Lines show the transformation, dashes what encoder and decoder tell of it: on the original, where the copy was taken from; on the copy, where the original went.{error}",
        samples.pairs.len()
    );
    let material = Material {
        run,
        comparisons,
        curves: curves::Curves::of(&run.metrics()?),
        images: images_in_words(datasets),
        picture: png(&draw_grid(&samples, &style))?,
        picture_says,
    };
    write_whole(&run.file("report.html"), page::page(&material)?.as_bytes())
}

fn images_in_words(datasets: &Datasets) -> String {
    let test = match (&datasets.test, datasets.held_out) {
        (None, _) => "none for testing".to_string(),
        (Some(test), true) => format!("{} held out for testing", test.len()),
        (Some(test), false) => format!("{} for testing", test.len()),
    };
    format!(
        "{}, {} to train on, {test}, {}x{} px",
        datasets.format,
        datasets.train.len(),
        datasets.train.height(),
        datasets.train.width()
    )
}
