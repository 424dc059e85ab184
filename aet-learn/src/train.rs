//! The training loop, the only one.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use aet_data::{
    EpochPlan, HostBatch, ImageSet, ItemPipeline, Loader, Order, Share, steps_per_epoch,
};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde_json::{Map, Value, json};

use crate::batch::Batch;
use crate::checkpoint::{self, Progress, TrainState};
use crate::config::Experiment;
use crate::data::Datasets;
use crate::error::LearnError;
use crate::evaluate::{PretextLoss, pretext_loss};
use crate::model::{Model, fresh_model};
use crate::objective::ObjectiveOutput;
use crate::probe::{ProbeData, ProbeResult, run_probes};
use crate::resident::{self, Resident, views_of};
use crate::run_dir::RunDirectory;
use crate::step::update;

/// Share of the training images that probes during training are judged on.
const ONLINE_VALIDATION: f64 = 0.1;

/// What happens during a run, for whoever watches it.
#[derive(Debug, Clone)]
pub enum Event {
    /// Training starts, or goes on from a checkpoint.
    Started {
        /// Steps that were done before.
        step: u64,
        /// Steps of the whole run.
        steps_total: u64,
        /// Epochs of the whole run.
        epochs: u64,
    },
    /// Some steps were done; sent every `log_every` steps.
    Step {
        /// Steps done so far.
        step: u64,
        /// Steps of the whole run.
        steps_total: u64,
        /// The epoch under way, counted from 0.
        epoch: u64,
        /// Mean training loss since the last such event.
        loss: f64,
        /// The learning rate of the last of these steps.
        rate: f64,
        /// Pairs, or images where the objective takes no pairs, per second since the last such event.
        pairs_per_second: f64,
        /// Means of the objective's other figures since the last such event, by name.
        parts: Vec<(&'static str, f64)>,
    },
    /// An epoch was finished.
    Epoch {
        /// Which, counted from 0.
        epoch: u64,
        /// Mean training loss over it.
        train_loss: f64,
        /// How well the pretext task is done on the test images, where it was measured.
        test: Option<PretextLoss>,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps done so far.
        step: u64,
    },
    /// A probe was run on the training network.
    Probe {
        /// The epoch after which it ran, counted from 0.
        epoch: u64,
        /// What it found.
        result: Box<ProbeResult>,
    },
}

/// How a call of [`train`] ended.
#[derive(Debug)]
pub enum Outcome {
    /// All epochs are done; the model is frozen, off autodiff.
    Finished(Box<Model>),
    /// The watcher asked to stop; a checkpoint holds everything.
    Stopped,
}

/// Told of every [`Event`]; answering `Break` stops the run after a checkpoint.
pub type Watcher<'a> = &'a mut dyn FnMut(&Event) -> ControlFlow<()>;

/// Trains the model of `run` to its end, from its newest checkpoint if it has one. The caller holds
/// the run's lock. Each batch is divided among `devices`; weights are kept on the first of them.
///
/// # Errors
/// When the images are fewer than a batch, a batch cannot be divided among the devices, the loss is no
/// longer a number, a checkpoint does not fit, or the disk refuses.
pub fn train(
    run: &RunDirectory,
    datasets: &Datasets,
    devices: &[Device],
    watcher: Watcher<'_>,
) -> Result<Outcome, LearnError> {
    let mut training = Training::start(run, datasets, devices)?;
    let _ = watcher(&Event::Started {
        step: training.state.progress.step,
        steps_total: training.steps_total(),
        epochs: training.experiment.training.epochs,
    });
    while training.state.progress.epoch < training.experiment.training.epochs {
        if training.epoch(watcher)?.is_break() {
            return Ok(Outcome::Stopped);
        }
    }
    let model = training.state.model.valid();
    run.save_products(&model)?;
    Ok(Outcome::Finished(Box::new(model)))
}

/// A run under way.
struct Training<'a> {
    run: &'a RunDirectory,
    experiment: &'a Experiment,
    datasets: &'a Datasets,
    /// With autodiff; the first one keeps the weights.
    devices: Vec<Device>,
    pipeline: Arc<dyn ItemPipeline>,
    /// The images on each device, where views are made there; the pipeline is a plan then.
    residents: Vec<Resident>,
    steps_per_epoch: u64,
    state: TrainState<Model>,
    window: Window,
    online: Option<OnlineImages>,
    /// Images whose leaving out is written down already.
    skipped: usize,
}

/// The images of the probes during training.
struct OnlineImages {
    learnt: Arc<ImageSet>,
    validation: Arc<ImageSet>,
}

impl OnlineImages {
    /// Divides the training images.
    fn of(experiment: &Experiment, train: &ImageSet) -> Result<Self, LearnError> {
        if !train.labelled() {
            return Err(LearnError::Probe {
                message: "evaluation.eval_every needs labelled images; set it to 0 for these"
                    .into(),
            });
        }
        let (learnt, validation) =
            aet_data::hold_out(train.len(), ONLINE_VALIDATION, experiment.seed);
        Ok(Self {
            learnt: Arc::new(train.subset(&learnt)),
            validation: Arc::new(train.subset(&validation)),
        })
    }
}

/// The steps since the last logged record. Figures stay on the device until they are needed.
struct Window {
    losses: Vec<Tensor<1>>,
    /// By name, in the order of the objective.
    parts: Vec<(&'static str, Vec<Tensor<1>>)>,
    since: Instant,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            losses: Vec::new(),
            parts: Vec::new(),
            since: Instant::now(),
        }
    }
}

impl Window {
    /// Adds the players' figures; the loss of a step is that of its last player.
    fn add(&mut self, outputs: Vec<ObjectiveOutput>) {
        let last = outputs.last().map(|output| output.loss.clone());
        self.losses.extend(last);
        for (name, value) in outputs.into_iter().flat_map(|output| output.parts) {
            match self.parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => self.parts.push((name, vec![value])),
            }
        }
    }
}

/// The sum of some single numbers.
fn sum_of(values: Vec<Tensor<1>>) -> f64 {
    let values = values.into_iter();
    values
        .map(|value| f64::from(value.into_scalar::<f32>()))
        .sum()
}

impl<'a> Training<'a> {
    fn start(
        run: &'a RunDirectory,
        datasets: &'a Datasets,
        devices: &[Device],
    ) -> Result<Self, LearnError> {
        let experiment = run.experiment();
        experiment.training.check_devices(devices)?;
        let devices: Vec<Device> = devices.iter().map(|one| one.clone().autodiff()).collect();
        let steps = steps_per_epoch(datasets.train.len(), experiment.training.batch_size, true);
        if steps == 0 {
            return Err(LearnError::Run {
                path: run.path().to_path_buf(),
                message: format!(
                    "{} training images do not fill a batch of {}; lower training.batch_size",
                    datasets.train.len(),
                    experiment.training.batch_size
                ),
            });
        }
        let image_size = [datasets.train.height(), datasets.train.width()];
        let mut state = TrainState {
            model: fresh_model(experiment, image_size, &devices[0])?,
            optimizer: experiment.optimizer.init(),
            progress: Progress {
                loss_scale: experiment.training.precision.loss_scale(),
                ..Progress::default()
            },
        };
        if let Some(newest) = checkpoint::list(&run.checkpoints())?.last() {
            state = checkpoint::load(newest, state)?;
        }
        state.model.encoder.precision = experiment.training.precision;
        run.rewind_metrics(state.progress.step)?;
        let (pipeline, residents) = views_of(experiment, &datasets.train, &devices)?;
        let online = (experiment.evaluation.eval_every > 0)
            .then(|| OnlineImages::of(experiment, &datasets.train))
            .transpose()?;
        Ok(Self {
            run,
            experiment,
            datasets,
            devices,
            pipeline,
            residents,
            steps_per_epoch: steps as u64,
            state,
            window: Window::default(),
            online,
            skipped: 0,
        })
    }

    fn steps_total(&self) -> u64 {
        self.steps_per_epoch * self.experiment.training.epochs
    }

    /// Finishes the epoch under way.
    fn epoch(&mut self, watcher: Watcher<'_>) -> Result<ControlFlow<()>, LearnError> {
        let plan = EpochPlan {
            seed: self.experiment.seed,
            epoch: self.state.progress.epoch,
            batch_size: self.experiment.training.batch_size,
            order: Order::Shuffled,
            drop_last: true,
            first_step: self.state.progress.step_in_epoch as usize,
            share: Share::WHOLE,
        };
        let batches = Loader::epoch(
            Arc::clone(&self.datasets.train),
            self.pipeline.clone(),
            plan,
            self.experiment.training.workers,
        )?;
        self.window = Window::default();
        for batch in batches {
            let rate = self.step(batch?);
            if self.after_step(rate, watcher)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.end_epoch(watcher)
    }

    /// One update of the weights; gives the learning rate that it used.
    fn step(&mut self, batch: HostBatch) -> f64 {
        let TrainState {
            model,
            optimizer,
            progress,
        } = &mut self.state;
        let rate = self.experiment.schedule.rate(
            progress.step,
            self.steps_per_epoch,
            self.experiment.training.epochs,
        );
        let training = &self.experiment.training;
        let (turns, devices) = (training.gradient_accumulation, &self.devices);
        let mut turns = match self.residents.as_slice() {
            [] => Batch::divide(batch, devices, turns),
            residents => resident::divide(&batch, residents, devices, turns),
        };
        for part in turns.iter_mut().flatten() {
            part.epochs_done = Some(progress.step as f64 / self.steps_per_epoch as f64);
        }
        let outputs = update(
            model,
            optimizer,
            rate,
            &turns,
            training.sync_batch_norm,
            &mut progress.loss_scale,
        );
        progress.step += 1;
        progress.step_in_epoch += 1;
        self.window.add(outputs);
        rate
    }

    /// Logs and saves when it is time to.
    fn after_step(
        &mut self,
        rate: f64,
        watcher: Watcher<'_>,
    ) -> Result<ControlFlow<()>, LearnError> {
        let training = &self.experiment.training;
        let progress = &self.state.progress;
        let last_of_epoch = progress.step_in_epoch == self.steps_per_epoch;
        let save = progress.step.is_multiple_of(training.checkpoint_every) && !last_of_epoch;
        let mut flow = ControlFlow::Continue(());
        if progress.step.is_multiple_of(training.log_every) || last_of_epoch || save {
            flow = self.log_step(rate, watcher)?;
        }
        // At the end of an epoch its own checkpoint follows.
        if save || (flow.is_break() && !last_of_epoch) {
            self.save(watcher)?;
        }
        Ok(if last_of_epoch {
            ControlFlow::Continue(())
        } else {
            flow
        })
    }

    /// Reads the losses of the window back, logs their mean, and opens a new window.
    fn log_step(&mut self, rate: f64, watcher: Watcher<'_>) -> Result<ControlFlow<()>, LearnError> {
        let window = std::mem::take(&mut self.window);
        let progress = &mut self.state.progress;
        let count = window.losses.len();
        let mut sum = 0.0;
        for loss in window.losses {
            let loss = f64::from(loss.into_scalar::<f32>());
            if !loss.is_finite() {
                let step = progress.step;
                return Err(LearnError::Diverged { loss, step });
            }
            sum += loss;
        }
        let part_means = window.parts.into_iter().map(|(name, values)| {
            let count = values.len() as f64;
            (name, sum_of(values) / count)
        });
        let parts: Vec<(&'static str, f64)> = part_means.collect();
        let seconds = window.since.elapsed().as_secs_f64();
        progress.loss_sum += sum;
        progress.seconds += seconds;
        let loss = sum / count.max(1) as f64;
        let pairs = count * self.experiment.training.batch_size;
        let pairs_per_second = pairs as f64 / seconds.max(1e-9);
        let mut record = json!({
            "event": "step", "step": progress.step, "epoch": progress.epoch, "loss": loss,
            "rate": rate, "pairs_per_second": pairs_per_second, "seconds": progress.seconds,
            "parts": parts.iter().map(|(name, value)| ((*name).into(), json!(value)))
                .collect::<Map<String, Value>>(),
        });
        if let Some(scale) = &progress.loss_scale {
            record["loss_scale"] = json!(scale.factor);
        }
        self.run.log(&record)?;
        Ok(watcher(&Event::Step {
            step: progress.step,
            steps_total: self.steps_per_epoch * self.experiment.training.epochs,
            epoch: progress.epoch,
            loss,
            rate,
            pairs_per_second,
            parts,
        }))
    }

    /// Evaluates what is due, moves on to the next epoch, and saves.
    fn end_epoch(&mut self, watcher: Watcher<'_>) -> Result<ControlFlow<()>, LearnError> {
        let epoch = self.state.progress.epoch;
        let train_loss = self.state.progress.loss_sum / self.steps_per_epoch as f64;
        let due = |every: u64| every > 0 && (epoch + 1).is_multiple_of(every);
        let evaluation = &self.experiment.evaluation;
        let mut test = None;
        if let (Some(images), true) = (&self.datasets.test, due(evaluation.pretext_every)) {
            test = Some(pretext_loss(&self.state.model, self.experiment, images)?);
        }
        let mut record = json!({
            "event": "epoch", "step": self.state.progress.step, "epoch": epoch,
            "train_loss": train_loss, "seconds": self.state.progress.seconds,
        });
        let yardstick = self.experiment.objective.yardstick();
        for (key, value) in PretextLoss::record(yardstick, test.as_ref()) {
            record[key] = value;
        }
        self.run.log(&record)?;
        let mut flow = watcher(&Event::Epoch {
            epoch,
            train_loss,
            test,
        });
        if due(evaluation.eval_every) && flow.is_continue() {
            flow = self.probe(watcher)?;
        }
        let progress = &mut self.state.progress;
        progress.epoch += 1;
        progress.step_in_epoch = 0;
        progress.loss_sum = 0.0;
        self.save(watcher)?;
        Ok(flow)
    }

    /// Runs the online probes on the network as it is. They are judged on training images whose
    /// labels they do not learn from, so that whoever looks at the curves and stops a run has not
    /// chosen by the test images.
    fn probe(&self, watcher: Watcher<'_>) -> Result<ControlFlow<()>, LearnError> {
        let Some(OnlineImages { learnt, validation }) = &self.online else {
            return Ok(ControlFlow::Continue(()));
        };
        let epoch = self.state.progress.epoch;
        let encoder = self.state.model.encoder.valid();
        let data = ProbeData::of(self.experiment, learnt, validation);
        let mut flow = ControlFlow::Continue(());
        let probes = &self.experiment.evaluation.online;
        for result in run_probes(&encoder, probes, &data, &mut |_| ())? {
            self.run.log(&json!({
                "event": "probe", "step": self.state.progress.step, "epoch": epoch,
                "encoder": "trained", "split": "validation", "result": &result,
            }))?;
            let result = Box::new(result);
            flow = watcher(&Event::Probe { epoch, result });
        }
        Ok(flow)
    }

    fn save(&mut self, watcher: Watcher<'_>) -> Result<(), LearnError> {
        let skipped: usize = self.datasets.skips().map(|(_, log)| log.len()).sum();
        if skipped > self.skipped {
            self.run.write_skipped(self.datasets)?;
            self.skipped = skipped;
        }
        let keep = self.experiment.training.keep_checkpoints;
        checkpoint::save(&self.run.checkpoints(), &self.state, keep)?;
        let step = self.state.progress.step;
        let _ = watcher(&Event::Checkpoint { step });
        Ok(())
    }
}
