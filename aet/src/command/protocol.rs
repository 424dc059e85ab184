//! `aet probe RUN --protocol NAME`: carries a protocol out on a run, keeps what it found in the
//! run's folder `protocols`, and prints the table.

use std::path::{Path, PathBuf};

use aet_learn::data::Datasets;
use aet_learn::protocol::{Progress, Protocol, ProtocolRecord, ProtocolRun, Subject};
use aet_learn::run_dir::RunDirectory;
use aet_learn::{Device, LearnError};
use anyhow::Context;
use serde_json::json;

use super::REVISION;
use crate::failure::usage;
use crate::machine;
use crate::output::{print, print_json};
use crate::progress::{Advance, note};
use crate::scoreboard::Scoreboard;
use crate::verdict::obstacle;

/// What is asked for.
pub struct Request<'a> {
    /// The run that is judged.
    pub run: &'a RunDirectory,
    /// The protocol.
    pub protocol: &'a Protocol,
    /// The images.
    pub datasets: &'a Datasets,
    /// The command, for the record.
    pub command: String,
    /// What computes.
    pub device: &'a Device,
    /// Whether to print JSON.
    pub json: bool,
}

/// Carries the protocol out, or goes on with it, and prints what it found.
///
/// # Errors
/// When the images lack labels, a probe cannot be run, or the disk refuses.
pub fn run(request: &Request<'_>) -> anyhow::Result<()> {
    let Request {
        run,
        protocol,
        datasets,
        device,
        ..
    } = request;
    if let Some(obstacle) = obstacle(&datasets.train, datasets.test.as_ref()) {
        return Err(usage(format!("no protocol can run: {obstacle}")));
    }
    let test = datasets.test.as_ref().context("there are no test images")?;
    let trained = run.load_encoder(device)?;
    let folder = run.file("protocols");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(format!("{}.json", protocol.name()));
    let fresh = ProtocolRecord::new(protocol, subject(request)?);
    let mut record = earlier(&path, &fresh)?.unwrap_or(fresh);
    for line in record.remarks() {
        note(&line);
    }
    let work = folder.join(protocol.name());
    std::fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    let protocol_run = ProtocolRun {
        protocol,
        trained: &trained,
        backbone: &run.experiment().backbone,
        train: &datasets.train,
        test,
        normalisation: &run.experiment().data.normalisation,
        workers: run.experiment().training.workers,
        folder: &work,
    };
    let mut view = View::new();
    let save = &mut |record: &ProtocolRecord| -> Result<(), LearnError> { record.write(&path) };
    protocol_run.complete(&mut record, save, &mut |progress| view.show(progress))?;
    drop(view);
    show(request, &record, &path)
}

/// What is judged, and on what.
fn subject(request: &Request<'_>) -> anyhow::Result<Subject> {
    let (run, datasets) = (request.run, request.datasets);
    let experiment = run.experiment();
    let progress = run.progress()?.unwrap_or_default();
    let test = datasets.test.as_ref().context("there are no test images")?;
    let train = &datasets.train;
    let print_of =
        |set: &aet_data::ImageSet| set.fingerprint().map(|print| format!("{print:016x}"));
    Ok(Subject {
        run: run.name(),
        preset: run.info().preset.clone(),
        seed: experiment.seed,
        method: experiment.method(),
        backbone: experiment.backbone.clone(),
        epochs: progress.epoch,
        step: progress.step,
        revision: REVISION.into(),
        command: request.command.clone(),
        machine: machine::running(request.device),
        day: machine::day(machine::now()),
        data: datasets.format.clone(),
        train_images: train.len(),
        test_images: test.len(),
        classes: train.class_names.len(),
        image_size: [train.height(), train.width()],
        fingerprints: [print_of(train)?, print_of(test)?],
    })
}

/// The record in `path` if it can be gone on with. One of something else is put aside under a
/// number: nothing that was found is lost.
fn earlier(path: &Path, fresh: &ProtocolRecord) -> anyhow::Result<Option<ProtocolRecord>> {
    if !path.exists() {
        return Ok(None);
    }
    let record = ProtocolRecord::read(path)?;
    if record.continues(fresh) {
        if !record.pieces.is_empty() {
            let done = crate::table::counted(record.pieces.len() as u64, "piece");
            note(&format!("{done} found before in {}", path.display()));
        }
        return Ok(Some(record));
    }
    let aside = (1..)
        .map(|number| path.with_extension(format!("{number}.json")))
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| PathBuf::from("protocol.json"));
    std::fs::rename(path, &aside)
        .with_context(|| format!("cannot put {} aside", path.display()))?;
    note(&format!(
        "an earlier record, of another protocol, run or data, is now {}",
        aside.display()
    ));
    Ok(None)
}

/// Shows how far the protocol is.
struct View {
    advance: Option<(usize, Advance)>,
}

impl View {
    fn new() -> Self {
        Self { advance: None }
    }

    fn show(&mut self, progress: &Progress) {
        let current = self.advance.as_ref().map(|(piece, _)| *piece);
        if current != Some(progress.piece) {
            // The old bar goes before the new one comes.
            self.advance = None;
            let what = format!(
                "{}/{} {}",
                progress.piece + 1,
                progress.pieces,
                progress.what
            );
            self.advance = Some((progress.piece, Advance::new(what)));
        }
        if let Some((_, advance)) = &self.advance {
            advance.to_share(progress.share);
        }
    }
}

fn show(request: &Request<'_>, record: &ProtocolRecord, path: &Path) -> anyhow::Result<()> {
    let board = Scoreboard::of(&[record]);
    if request.json {
        return print_json(&json!({
            "run": request.run.path(), "protocol": record.protocol, "record": path,
            "reductions": record.reductions, "remarks": record.remarks(), "rows": board.json(),
        }));
    }
    let mut text = format!(
        "Protocol {} on run {}: test error in per cent, after the last epoch, with a 95% interval \
         over test images\n\n{}\n",
        record.protocol,
        request.run.name(),
        board.grid().to_text()
    );
    for line in record.remarks() {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str(&format!("record  {}", path.display()));
    print(&text)
}
