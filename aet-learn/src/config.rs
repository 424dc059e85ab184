//! The description of an experiment: what TOML and `--set` say ([`ExperimentConfig`]), and the
//! checked form that alone starts work ([`Experiment`]).

use std::ops::Deref;

use aet_data::{Augment, DecodeOptions, LoadOptions, Normalisation, OnError, ShapesConfig};
use aet_geometry::{Family, Projective, TransformationFamily};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::backbone::{BackboneConfig, find_tap};
use crate::border::BorderMode;
use crate::error::ConfigError;
use crate::objective::ObjectiveConfig;
use crate::optim::OptimizerConfig;
use crate::precision::Precision;
use crate::probe::ProbeConfig;
use crate::schedule::ScheduleConfig;

/// Everything that decides what a run computes. Each field is a table or a key of the TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig {
    /// What the experiment is for, in a line.
    #[serde(default)]
    pub description: String,
    /// Seed of everything random in the run.
    #[serde(default)]
    pub seed: u64,
    /// The images.
    #[serde(default)]
    pub data: DataConfig,
    /// Random changes made to an image before its views are made of it.
    #[serde(default)]
    pub augment: Augment,
    /// The family that transformations are sampled from, by the objectives that sample any.
    #[serde(default = "default_family")]
    pub transformation: Family,
    /// How a transformed image is sampled.
    #[serde(default)]
    pub warp: WarpConfig,
    /// The encoder.
    #[serde(default)]
    pub backbone: BackboneConfig,
    /// What the encoder is trained for.
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// The learning rate over the run.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// Length, batches and checkpoints of the run.
    #[serde(default)]
    pub training: TrainingConfig,
    /// How the encoder is judged during and after the run.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
}

fn default_family() -> Family {
    Family::Projective(Projective::default())
}

/// The images of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `shapes`, or the path of a data set.
    pub path: String,
    /// Height and width of what the encoder sees of an image, in pixels; absent, images are taken as
    /// they are and all have to be of one size.
    pub image_size: Option<[usize; 2]>,
    /// Whether images are decoded once and held in memory, or decoded whenever they are read.
    pub access: Access,
    /// With `access = "auto"`, the most memory that decoded images may take, in MiB: sets that take
    /// more are decoded whenever they are read.
    pub memory_mib: u64,
    /// What happens with images that cannot be read or decoded.
    pub on_error: OnBroken,
    /// With `on_error = "skip"`, the largest share of a set that may be left out before the run
    /// stops.
    pub most_skipped: f64,
    /// Limits of decoding, and whether noted orientations are followed.
    pub decode: DecodeOptions,
    /// Share of the training images set aside for evaluation where the data has no test split.
    pub hold_out: f64,
    /// Mean and standard deviation of the channels, taken off and divided by.
    pub normalisation: Normalisation,
    /// Size and seed of the built-in set, used when `path = "shapes"`.
    pub shapes: ShapesConfig,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: "shapes".into(),
            image_size: None,
            access: Access::Auto,
            memory_mib: 4096,
            on_error: OnBroken::Skip,
            most_skipped: 0.1,
            decode: DecodeOptions::default(),
            hold_out: 0.1,
            normalisation: Normalisation::default(),
            shapes: ShapesConfig::default(),
        }
    }
}

/// Where the decoded images of a set are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// In memory if they take no more than `memory_mib`, otherwise nowhere.
    #[default]
    Auto,
    /// In memory.
    Memory,
    /// Nowhere: an image is decoded whenever it is read.
    Stream,
}

/// What happens with images that cannot be read or decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBroken {
    /// They are left out, counted, and listed in `skipped.jsonl` of the run.
    #[default]
    Skip,
    /// The first of them ends the work.
    Fail,
}

impl DataConfig {
    /// How images are taken into a set, with `workers` threads, for items that are cropped as `augment`
    /// says.
    pub fn load_options(&self, augment: &Augment, workers: usize) -> LoadOptions {
        LoadOptions {
            size: self.image_size,
            shorter_side: augment.resize,
            zooms: augment.resized_crop.is_some(),
            workers: workers.max(1),
            decode: self.decode,
            on_error: match self.on_error {
                OnBroken::Skip => OnError::Skip {
                    most: self.most_skipped,
                },
                OnBroken::Fail => OnError::Fail,
            },
        }
    }
}

/// How a transformed image is sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarpConfig {
    /// What comes where a transformation reads from outside the image: `fill`, one colour; `reflect`,
    /// the image mirrored; or `crop`, where the encoder is shown only the centred part of both views
    /// that is read from inside. Objectives that transform nothing by families ignore it.
    pub border: BorderMode,
    /// The colour, where `border = "fill"`.
    pub fill: [u8; 3],
}

impl Default for WarpConfig {
    fn default() -> Self {
        Self {
            border: BorderMode::Fill,
            fill: [128; 3],
        }
    }
}

/// Length, batches and checkpoints of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images in a batch, of each of which the objective takes its views: pairs for `aet`.
    pub batch_size: usize,
    /// Equal parts in which a batch goes through the network one after the other, their gradients
    /// added up before the step (gradient accumulation): so many times less memory. Batch
    /// normalisation takes the statistics of each part.
    pub gradient_accumulation: usize,
    /// Whether batch normalisation takes its statistics over the parts of all devices (synchronised
    /// batch normalisation) or over each device's own. The running statistics are those of the first.
    pub sync_batch_norm: bool,
    /// What the encoder's convolutions are done in: `float32`, `bfloat16` or `float16` (mixed
    /// precision), where the device can. Weights, batch normalisation and loss are float32.
    pub precision: Precision,
    /// Where views are made of images.
    pub views: ViewsMade,
    /// Threads that make batches; 0 makes them in the training thread.
    pub workers: usize,
    /// Steps between two logged records.
    pub log_every: u64,
    /// Steps between two checkpoints; one is also written after every epoch.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, the newest ones.
    pub keep_checkpoints: usize,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: 512,
            gradient_accumulation: 1,
            sync_batch_norm: false,
            precision: Precision::default(),
            views: ViewsMade::default(),
            workers: 2,
            log_every: 20,
            checkpoint_every: 500,
            keep_checkpoints: 2,
        }
    }
}

/// Where views are made of images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViewsMade {
    /// On the device where that is no CPU, its memory has room for all images, and all that is done to
    /// them is shifting, mirroring and homographies; else by the loader.
    #[default]
    Auto,
    /// By the loader, on the processor.
    Host,
    /// On the device, whatever it is; refused where that cannot be.
    Device,
}

/// What batch normalisation uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistics {
    /// Its running statistics, which mix those of all views, as wherever features are read.
    #[default]
    Running,
    /// Those of the batch, for each view by itself, as in training. A family that changes the
    /// statistics of images, such as blur, is told far better so.
    Batch,
}

/// How the encoder is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Epochs between two measurements of the pretext loss on the test images; 0 for never.
    pub pretext_every: u64,
    /// What batch normalisation uses while the pretext loss is measured.
    pub statistics: Statistics,
    /// Epochs between two runs of the `online` probes on the network under training; 0 for never.
    /// They leave the training as it is, to the bit.
    pub eval_every: u64,
    /// The probes that are run during training: those of protocol `quick` unless said otherwise.
    pub online: Vec<ProbeConfig>,
    /// The probes that are run at the end, on the trained and on a random encoder.
    pub probes: Vec<ProbeConfig>,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            pretext_every: 1,
            statistics: Statistics::Running,
            eval_every: 0,
            online: ProbeConfig::online(),
            probes: ProbeConfig::standard(),
        }
    }
}

/// A checked experiment. It can only be had from [`ExperimentConfig::resolve`].
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment(ExperimentConfig);

impl Deref for Experiment {
    type Target = ExperimentConfig;

    fn deref(&self) -> &ExperimentConfig {
        &self.0
    }
}

impl ExperimentConfig {
    /// Reads TOML and applies `overrides`, each `key=value` with dots between the parts of the key
    /// and the value in TOML's notation (a bare word is taken as a string).
    ///
    /// An override of a `kind` drops the other keys of its table, which belong to the old kind, but for
    /// those that other overrides set.
    ///
    /// # Errors
    /// When the text is not TOML, a key is unknown or a value is of the wrong type; the message is
    /// one line with the `origin` in front.
    pub fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let fail = |origin: &str, error: toml::de::Error| ConfigError::Toml {
            origin: origin.to_string(),
            message: one_line(error.message()),
        };
        let mut table: Table = text.parse().map_err(|error| fail(origin, error))?;
        apply_overrides(&mut table, overrides)?;
        name_default_kinds(&mut table);
        Value::Table(table)
            .try_into()
            .map_err(|error| fail(origin, error))
    }

    /// Checks every range and name.
    ///
    /// # Errors
    /// The first thing that is impossible, with its key, range and value.
    pub fn resolve(mut self) -> Result<Experiment, ConfigError> {
        self.transformation.validate()?;
        self.objective.settle(&self.transformation);
        self.objective.validate(&self.transformation)?;
        self.backbone.validate()?;
        self.optimizer.validate()?;
        self.training.validate()?;
        self.schedule.validate(self.training.epochs)?;
        if !(0.0..1.0).contains(&self.data.hold_out) {
            return Err(ConfigError::range(
                "data.hold_out",
                "at least 0 and less than 1",
                self.data.hold_out,
            ));
        }
        self.augment.validate(self.data.image_size)?;
        if !(0.0..=1.0).contains(&self.data.most_skipped) {
            let range = "a share from 0 to 1";
            return Err(ConfigError::range(
                "data.most_skipped",
                range,
                self.data.most_skipped,
            ));
        }
        if let Some(size) = self.data.image_size
            && !size.iter().all(|side| (8..=4096).contains(side))
        {
            let size = format!("{size:?}");
            return Err(ConfigError::range(
                "data.image_size",
                "two numbers from 8 to 4096",
                size,
            ));
        }
        if let Some(size) = self.data.image_size {
            self.backbone.check_image_size(size)?;
            self.objective.check_image_size(size)?;
        }
        if !self.data.normalisation.std.iter().all(|std| *std > 0.0) {
            let std = format!("{:?}", self.data.normalisation.std);
            return Err(ConfigError::range(
                "data.normalisation.std",
                "three numbers above 0",
                std,
            ));
        }
        let taps = self.backbone.taps();
        let evaluation = &mut self.evaluation;
        for probe in evaluation.probes.iter_mut().chain(&mut evaluation.online) {
            probe.settle_tap(&self.backbone);
        }
        for probe in self.evaluation.probes.iter().chain(&self.evaluation.online) {
            probe.validate()?;
            find_tap(&taps, &probe.tap)?;
        }
        Ok(Experiment(self))
    }
}

impl Experiment {
    /// The experiment as TOML, every value spelt out.
    ///
    /// # Errors
    /// When a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(&self.0).map_err(|error| ConfigError::Toml {
            origin: "run.toml".into(),
            message: one_line(&error.to_string()),
        })
    }

    /// The description behind it, to be changed and checked again.
    pub fn into_config(self) -> ExperimentConfig {
        self.0
    }
}

impl TrainingConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("training.epochs", self.epochs),
            ("training.log_every", self.log_every),
            ("training.checkpoint_every", self.checkpoint_every),
            ("training.keep_checkpoints", self.keep_checkpoints as u64),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(ConfigError::range(key, "at least 1", value));
            }
        }
        if self.batch_size < 2 {
            let range = "at least 2 (batch normalisation needs more than one image)";
            return Err(ConfigError::range(
                "training.batch_size",
                range,
                self.batch_size,
            ));
        }
        self.check_division(1)
    }

    /// Refuses devices that a batch cannot be divided among, or that lack the precision.
    ///
    /// # Errors
    /// Names the key and what can be.
    pub fn check_devices(&self, devices: &[Device]) -> Result<(), ConfigError> {
        self.check_division(devices.len())?;
        devices
            .iter()
            .try_for_each(|device| self.precision.check(device))
    }

    /// Refuses a batch that cannot be divided among `devices`.
    fn check_division(&self, devices: usize) -> Result<(), ConfigError> {
        let parts = self.gradient_accumulation * devices;
        if parts > 0 && self.batch_size.is_multiple_of(parts) && self.batch_size / parts >= 2 {
            return Ok(());
        }
        Err(ConfigError::range(
            "training.gradient_accumulation",
            "a number that, times the number of devices, divides training.batch_size into parts of at \
             least 2 images",
            format!("{} on {devices} device(s)", self.gradient_accumulation),
        ))
    }
}

/// What a table is of that names no kind, so that `--set objective.loss=matrix` is enough.
const DEFAULT_KINDS: [(&str, &str); 4] = [
    ("backbone", "nin"),
    ("objective", "aet"),
    ("optimizer", "sgd"),
    ("schedule", "one-cycle"),
];

/// Gives the tables of an experiment that name no kind the usual one.
pub(crate) fn name_default_kinds(experiment: &mut Table) {
    for (name, kind) in DEFAULT_KINDS {
        if let Some(Value::Table(table)) = experiment.get_mut(name) {
            table.entry("kind").or_insert_with(|| kind.into());
        }
    }
}

/// Sets dotted keys of `table`, each `key=value`, one after the other. A new `kind` drops what belongs to
/// the old one, but not what an override before it has set.
pub(crate) fn apply_overrides(table: &mut Table, overrides: &[String]) -> Result<(), ConfigError> {
    for (place, change) in overrides.iter().enumerate() {
        apply_override(table, change)?;
        let key = change.split('=').next().unwrap_or_default().trim();
        let Some(own) = key.strip_suffix("kind").filter(|own| own.ends_with('.')) else {
            continue;
        };
        let earlier = overrides[..place].iter().filter(|earlier| {
            let rest = earlier.trim_start().strip_prefix(own);
            rest.is_some_and(|rest| !rest.starts_with("kind"))
        });
        // All over again, as they may name kinds further down.
        apply_overrides(table, &earlier.cloned().collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Sets one dotted key of `table`; a whole number among the parts is a place in a list.
fn apply_override(table: &mut Table, change: &str) -> Result<(), ConfigError> {
    let fail = |message: String| ConfigError::Toml {
        origin: format!("--set {change}"),
        message,
    };
    let (key, text) = change
        .split_once('=')
        .ok_or_else(|| fail("expected key=value, such as training.epochs=10".into()))?;
    let value = parse_value(text.trim());
    let mut parts: Vec<&str> = key.trim().split('.').collect();
    let Some(last) = parts.pop().filter(|last| !last.is_empty()) else {
        return Err(fail("the key is empty".into()));
    };
    let mut place = table;
    let mut parts = parts.into_iter();
    while let Some(part) = parts.next() {
        let next = place
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()));
        let next = match next {
            Value::Array(items) => {
                let count = items.len();
                let index = parts.next().and_then(|index| index.parse::<usize>().ok());
                index
                    .and_then(|index| items.get_mut(index))
                    .ok_or_else(|| {
                        fail(format!(
                            "{part} has {count} entries, counted from 0; name one"
                        ))
                    })?
            }
            next => next,
        };
        place = next
            .as_table_mut()
            .ok_or_else(|| fail(format!("{part} is a value, not a table")))?;
    }
    if last == "kind" && place.get("kind") != Some(&value) {
        place.clear();
    }
    place.insert(last.to_string(), value);
    Ok(())
}

/// TOML's reading of `text`, or the text itself as a string.
fn parse_value(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_string()))
}

/// `message` with line breaks turned into spaces.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
