//! A run from its request to its report, for the commands that train: `aet pretrain` and `aet
//! train-generator`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aet_data::steps_per_epoch;
use aet_learn::Device;
use aet_learn::config::{Experiment, Statistics};
use aet_learn::data::Datasets;
use aet_learn::evaluate::PretextLoss;
use aet_learn::generator::GENERATOR_FILE;
use aet_learn::memory::holdings;
use aet_learn::objective::{Trivial, Yardstick};
use aet_learn::probe::{Comparison, ProbeData};
use aet_learn::recovery::recovery;
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::train::{Event, Outcome, train};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::device::TrainingDevices;
use super::{REVISION, RunsArgs, read_images};
use crate::failure::usage;
use crate::interrupt;
use crate::memory::{held_text, used_text};
use crate::output::{print, print_json};
use crate::preset::Request;
use crate::progress::{TrainingView, note};
use crate::recovered::{logged_recovery, recovery_text};
use crate::report;
use crate::run_place;
use crate::table::counted;
use crate::verdict::{judge, log_verdicts, logged_verdicts, obstacle, verdict_json, verdict_table};

/// What a command that trains is asked for.
#[derive(Debug, Args)]
pub struct TrainingArgs {
    /// Images: a folder, a list, an archive or any other format of `aet list`, or `shapes`
    data: Option<String>,
    /// Experiment to start from; `aet list` names them
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// TOML file whose keys go over the preset's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the run [default: that of the preset or file, with a number when it is taken]
    #[arg(long, value_name = "RUN")]
    name: Option<String>,
    #[command(flatten)]
    runs: RunsArgs,
    #[command(flatten)]
    device: TrainingDevices,
    /// Change one key of the experiment, such as training.epochs=10; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Go on with a run that was interrupted
    #[arg(long, conflicts_with_all = ["config", "changes", "seed", "epochs"])]
    resume: bool,
    /// Seed of everything random
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Passes over the images
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Say what takes memory, before training and after it
    #[arg(long)]
    memory_report: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// A command that trains.
#[derive(Debug, Clone, Copy)]
pub struct Trainer {
    /// Its name.
    pub command: &'static str,
    /// The preset that it starts from unless told otherwise.
    pub preset: &'static str,
    /// Refuses experiments that are another command's.
    pub accepts: fn(&Experiment) -> anyhow::Result<()>,
}

impl Trainer {
    /// The preset that is asked for.
    fn preset<'a>(&self, args: &'a TrainingArgs) -> &'a str {
        args.preset.as_deref().unwrap_or(self.preset)
    }

    /// The name of a run that is given none.
    fn base_name(&self, args: &TrainingArgs) -> String {
        let stem = args.config.as_deref().and_then(Path::file_stem);
        match (&args.preset, stem) {
            (None, Some(stem)) => stem.to_string_lossy().into_owned(),
            _ => self.preset(args).into(),
        }
    }
}

/// Trains and judges.
///
/// # Errors
/// When the request cannot be met, the images cannot be read, training fails or the disk refuses.
pub fn run(trainer: Trainer, args: TrainingArgs) -> anyhow::Result<()> {
    let devices = args.device.open()?;
    let (run, datasets) = if args.resume {
        resume(trainer, &args)?
    } else {
        start(trainer, &args, &devices)?
    };
    let _lock = run.lock()?;
    let logged = logged_verdicts(&run.metrics()?);
    let judged = !logged.is_empty() && logged.len() == run.experiment().evaluation.probes.len();
    if judged && run.is_finished()? {
        note(&format!("run {} is finished already", run.path().display()));
        return show(&run, &logged, args.json);
    }
    let datasets = match datasets {
        Some(datasets) => datasets,
        None => open_datasets(run.experiment(), args.data.as_deref())?,
    };
    if run.is_finished()? {
        note(&format!(
            "run {} has done all its epochs",
            run.path().display()
        ));
    } else {
        if args.memory_report {
            let held = holdings(run.experiment(), &datasets.train, &devices)?;
            note(&format!("memory that training holds\n{}", held_text(&held)));
        }
        train_to_the_end(trainer, &run, &datasets, &devices)?;
        if args.memory_report {
            note(&format!("memory after training\n{}", used_text(&devices)));
        }
    }
    let datasets = datasets.without_skipped();
    let device = &devices[0];
    let verdicts = judge_run(&run, &datasets, device)?;
    log_recovery(&run, &datasets, device)?;
    report::write(&run, &datasets, &verdicts, device)?;
    show(&run, &verdicts, args.json)
}

/// Makes a new run.
fn start(
    trainer: Trainer,
    args: &TrainingArgs,
    devices: &[Device],
) -> anyhow::Result<(RunDirectory, Option<Datasets>)> {
    let experiment = experiment_of(trainer, args)?;
    (trainer.accepts)(&experiment)?;
    experiment.training.check_devices(devices)?;
    if experiment.data.path.is_empty() {
        let (command, preset) = (trainer.command, trainer.preset(args));
        return Err(usage(format!(
            "preset {preset} needs images: aet {command} DATA --preset {preset}"
        )));
    }
    let name = match &args.name {
        Some(name) => {
            run_place::check_name(name)?;
            let place = args.runs.runs.join(name);
            if run_place::exists(&place) {
                return Err(usage(format!(
                    "run {} is there already; continue it with --resume or give another --name",
                    place.display()
                )));
            }
            name.clone()
        }
        None => run_place::next_free(&trainer.base_name(args), &args.runs.runs),
    };
    let datasets = open_datasets(&experiment, None)?;
    let (images, batch) = (datasets.train.len(), experiment.training.batch_size);
    if images < batch {
        return Err(usage(format!(
            "training.batch_size = {batch} is impossible: it has to be at most {images}, the number of training images"
        )));
    }
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let info = RunInfo {
        preset: trainer.preset(args).into(),
        revision: REVISION.into(),
        device: args.device.description(devices),
        started: started.as_secs(),
        image_size: [datasets.train.height(), datasets.train.width()],
    };
    let run = RunDirectory::create(&args.runs.runs.join(name), &experiment, info)?;
    Ok((run, Some(datasets)))
}

/// The experiment that the command line describes.
fn experiment_of(trainer: Trainer, args: &TrainingArgs) -> anyhow::Result<Experiment> {
    let mut changes = args.changes.clone();
    if let Some(data) = &args.data {
        changes.push(format!("data.path={}", Value::from(lasting_path(data)?)));
    }
    changes.extend(args.seed.map(|seed| format!("seed={seed}")));
    changes.extend(
        args.epochs
            .map(|epochs| format!("training.epochs={epochs}")),
    );
    Request {
        preset: trainer.preset(args),
        config: args.config.as_deref(),
        changes: &changes,
    }
    .resolve()
}

/// `data` so that it is found from any folder.
fn lasting_path(data: &str) -> anyhow::Result<String> {
    if data == "shapes" {
        return Ok(data.into());
    }
    let path = std::path::absolute(data).with_context(|| format!("cannot read {data:?}"))?;
    Ok(path.to_string_lossy().into_owned())
}

/// Opens the run to go on with.
fn resume(
    trainer: Trainer,
    args: &TrainingArgs,
) -> anyhow::Result<(RunDirectory, Option<Datasets>)> {
    let runs = &args.runs.runs;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => {
            let base = trainer.base_name(args);
            run_place::newest(&base, runs).unwrap_or(base)
        }
    };
    let run = run_place::open(&name, runs)?;
    (trainer.accepts)(run.experiment())?;
    Ok((run, None))
}

/// Decodes the images of `experiment`, from `data` if given.
fn open_datasets(experiment: &Experiment, data: Option<&str>) -> anyhow::Result<Datasets> {
    let mut config = experiment.data.clone();
    if let Some(data) = data {
        config.path = data.into();
    }
    read_images(&config, experiment)
}

fn train_to_the_end(
    trainer: Trainer,
    run: &RunDirectory,
    datasets: &Datasets,
    devices: &[Device],
) -> anyhow::Result<()> {
    let experiment = run.experiment();
    note(&format!(
        "run {}: {} {} images of {}x{}, {}, {}",
        run.path().display(),
        datasets.train.len(),
        datasets.format,
        datasets.train.height(),
        datasets.train.width(),
        experiment.task(),
        counted(experiment.training.epochs, "epoch"),
    ));
    if let Some(window) = window_in_words(run) {
        note(&format!("run {}: {window}", run.path().display()));
    }
    if let Some(advice) = few_steps(experiment, datasets.train.len()) {
        note(&format!("run {}: {advice}", run.path().display()));
    }
    let mut view = TrainingView::new(experiment.objective.items());
    let watch = interrupt::watch();
    let mut last_test = None;
    let outcome = train(run, datasets, devices, &mut |event| {
        if let Event::Epoch { test, .. } = event {
            last_test.clone_from(test);
        }
        view.on(event);
        if watch.is_asked_to_stop() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    drop(view);
    if let Outcome::Finished(_) = outcome {
        let statistics = experiment.evaluation.statistics;
        if let Some(advice) = last_test.and_then(|test| unlearnt(&test, statistics)) {
            note(&format!("run {}: {advice}", run.path().display()));
        }
        return Ok(());
    }
    let step = run.progress()?.unwrap_or_default().step;
    bail!(
        "stopped at step {step}; go on with {}",
        resume_command(trainer, run)
    );
}

/// Steps below which little is learnt, and those that are advised then.
const FEW_STEPS: [u64; 2] = [200, 1000];

/// Advice where `images` make so few steps that the encoder will hardly learn from them.
fn few_steps(experiment: &Experiment, images: usize) -> Option<String> {
    let training = &experiment.training;
    let each = steps_per_epoch(images, training.batch_size, true) as u64;
    let (steps, [few, enough]) = (each * training.epochs, FEW_STEPS);
    (each > 0 && steps < few).then(|| {
        format!(
            "{} in all, too few to learn much; --epochs {} makes {enough}",
            counted(steps, "step"),
            enough.div_ceil(each)
        )
    })
}

/// Advice where test images are answered for no better than without features.
fn unlearnt(test: &PretextLoss, statistics: Statistics) -> Option<String> {
    let Yardstick { metric, trivial } = test.yardstick;
    // These tasks are not set by pairs of views.
    let is_alone = matches!(trivial, Trivial::MeanImage | Trivial::Still(_));
    let other_cause = match statistics {
        Statistics::Running if !is_alone => {
            "; or, where the training loss says that it was, images differ from their copies in their \
             statistics, which --set evaluation.statistics=batch keeps apart"
        }
        _ => "",
    };
    (!test.beats_trivial()).then(|| {
        format!(
            "test {metric} {:.4} is no better than {} {:.4}, so the task was not learnt{other_cause}",
            test.metric(),
            trivial.name(),
            test.trivial_metric
        )
    })
}

/// What the encoder is shown where borders are cropped.
fn window_in_words(run: &RunDirectory) -> Option<String> {
    let size = run.info().image_size;
    let fit = run.experiment().window(size)?;
    Some(format!(
        "warp.border = \"crop\" shows the encoder the middle {}x{} of {}x{} px of both views",
        fit.window.height, fit.window.width, size[0], size[1]
    ))
}

/// The command that goes on with `run`.
fn resume_command(trainer: Trainer, run: &RunDirectory) -> String {
    let runs = run.path().parent().unwrap_or(Path::new("."));
    let elsewhere = if runs == Path::new("runs") {
        String::new()
    } else {
        format!(" --runs {}", runs.display())
    };
    let command = trainer.command;
    format!("aet {command} --resume --name {}{elsewhere}", run.name())
}

/// Runs the experiment's probes on the trained and on a random encoder, and logs what they found.
fn judge_run(
    run: &RunDirectory,
    datasets: &Datasets,
    device: &Device,
) -> anyhow::Result<Vec<Comparison>> {
    let probes = &run.experiment().evaluation.probes;
    if let Some(obstacle) = obstacle(&datasets.train, datasets.test.as_ref()) {
        note(&format!("no probes: {obstacle}"));
        return Ok(Vec::new());
    }
    let Some(test) = &datasets.test else {
        return Ok(Vec::new());
    };
    let data = ProbeData::of(run.experiment(), &datasets.train, test);
    let verdicts = judge(run, probes, &data, device)?;
    log_verdicts(run, &verdicts)?;
    Ok(verdicts)
}

/// Measures what is told of the target of the test images, and logs it.
fn log_recovery(run: &RunDirectory, datasets: &Datasets, device: &Device) -> anyhow::Result<()> {
    let Some(test) = &datasets.test else {
        return Ok(());
    };
    let model = run.load_model(device)?;
    if let Some(found) = recovery(&model, run.experiment(), test)? {
        let step = run.progress()?.unwrap_or_default().step;
        run.log(&json!({ "event": "recovery", "step": step, "result": &found }))?;
    }
    Ok(())
}

/// Prints the end of the run.
fn show(run: &RunDirectory, verdicts: &[Comparison], json: bool) -> anyhow::Result<()> {
    let metrics = run.metrics()?;
    let last = metrics
        .iter()
        .rev()
        .find(|record| record["event"] == "epoch");
    let last = last.cloned().unwrap_or(Value::Null);
    let recovered = logged_recovery(&metrics);
    let (encoder, report) = (run.file("encoder.safetensors"), run.file("report.html"));
    if json {
        return print_json(&json!({
            "run": run.path(),
            "preset": run.info().preset,
            "seed": run.experiment().seed,
            "epochs": run.experiment().training.epochs,
            "steps": last["step"],
            "seconds": last["seconds"],
            "train_loss": last["train_loss"],
            "test_loss": last["test_loss"],
            "metric": last["metric"],
            "test_metric": last[format!("test_{}", last["metric"].as_str().unwrap_or("mse"))],
            "recovery": recovered,
            "probes": verdicts.iter().map(verdict_json).collect::<Vec<_>>(),
            "encoder": encoder,
            "report": report,
        }));
    }
    let mut text = String::new();
    if !verdicts.is_empty() {
        text.push_str(&format!(
            "Test error after {} of pretraining, beside a random encoder\n\n{}\n",
            counted(run.experiment().training.epochs, "epoch"),
            verdict_table(verdicts)
        ));
    }
    if let Some(recovered) = &recovered {
        text.push_str(&format!("{}\n", recovery_text(recovered)));
    }
    let generator = run.file(GENERATOR_FILE);
    if generator.exists() {
        text.push_str(&format!("generator  {}\n", generator.display()));
    }
    text.push_str(&format!(
        "encoder  {}\nreport   {}",
        encoder.display(),
        report.display()
    ));
    print(&text)
}
