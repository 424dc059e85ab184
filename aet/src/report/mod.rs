//! The report of a run, `report.html`: one file without anything loaded from elsewhere.

mod chart;
mod curves;
mod page;

use std::sync::Arc;

use aet_data::random::{Purpose, generator, permutation};
use aet_learn::Device;
use aet_learn::data::Datasets;
use aet_learn::probe::Comparison;
use aet_learn::recovery::Recovery;
use aet_learn::run_dir::RunDirectory;

use crate::output::write_whole;
use crate::picture::{Subject, draw_task, png};
use crate::recovered::logged_recovery;

/// Images in the picture of the report.
const PICTURED: usize = 8;

/// What the page is made of.
struct Material<'a> {
    run: &'a RunDirectory,
    comparisons: &'a [Comparison],
    recovered: Option<Recovery>,
    curves: curves::Curves,
    /// The images, in words.
    images: String,
    /// A PNG of what the pretext task makes of some images, with the model's answers.
    picture: Vec<u8>,
    /// Its heading, and what it shows.
    picture_heading: &'static str,
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
    chosen.truncate(PICTURED);
    let subset = Arc::new(images.subset(&chosen));
    let model = run.load_model(device)?;
    let subject = Subject {
        experiment,
        images: &subset,
        numbers: &chosen,
        model: Some((&model, device)),
    };
    let title = format!("{}: {kind} images", experiment.task());
    let picture = draw_task(&subject, title, 2)?;
    let metrics = run.metrics()?;
    let material = Material {
        run,
        comparisons,
        recovered: logged_recovery(&metrics),
        curves: curves::Curves::of(&metrics),
        images: images_in_words(datasets),
        picture: png(&picture.image)?,
        picture_heading: picture.heading,
        picture_says: format!("{} {kind} images: {}", subset.len(), picture.says),
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
