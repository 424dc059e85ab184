//! `aet inspect`: what is in a set of images, and a picture of what a pretext task makes of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aet_data::decode::size_of;
use aet_data::random::{Purpose, generator, permutation};
use aet_data::{DataError, ImageSet, LoadOptions, OnError, RawSample, Skipped, Source, Split};
use aet_learn::config::Experiment;
use aet_learn::data::location;
use aet_learn::run_dir::RunDirectory;
use clap::Args;
use serde_json::{Value, json};

use super::choice::SplitName;
use super::device::DeviceArgs;
use super::{RunsArgs, shortcuts};
use crate::failure::usage;
use crate::output::{print, print_json, write_whole};
use crate::picture::{Figure, Subject, draw_task, png};
use crate::preset::{DEFAULT, Request};
use crate::progress::{Advance, note, note_skipped};
use crate::run_place;
use crate::table::{Align, text_table};

/// Height and width at which images of mixed sizes are drawn.
const COMMON_SIZE: [usize; 2] = [96, 96];

/// Images that are drawn unless said otherwise, and the most that are.
const DEFAULT_COUNT: u64 = 12;
const MOST_DRAWN: u64 = 400;

/// Images whose headers are read, at most.
const LOOKED_AT: usize = 20_000;

/// Rows of the table of classes before the rest is summed up.
const CLASSES_SHOWN: usize = 20;

/// Show what is in a set of images, and draw what a pretext task makes of it
///
/// Prints format, count, sizes and classes, and writes a PNG: originals, each with the outline of
/// the part that its transformed copy shows, and the copies, with the outline of the original as
/// the transformation moved it. With --run, the transformation that the run's encoder and decoder
/// predict is drawn over both. For the objective aed the picture has originals and what a run
/// rebuilds of them, for rotnet the four quarter turns and what a run takes them for.
///
/// With --shortcuts, no picture is drawn: a table says how well the run does its task when one thing
/// at a time is taken away, to see by what it is done. A run that does it on images of one colour
/// reads the border's fill; one that fails when the original is made as soft as its copy reads the
/// blur of interpolation. Each figure stands beside that of an answer that takes no look at the
/// images, and suspicious rows are explained.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet inspect shapes
  aet inspect cifar10/ --count 24 --out pairs.png
  aet inspect cifar10/ --set transformation.kind=affine
  aet inspect cifar10/ --set objective.kind=rotnet
  aet inspect cifar10/ --split test --run check   with the predictions of run `check`
  aet inspect cifar10/ --shortcuts --run check    by what run `check` tells transformations")]
pub struct InspectArgs {
    /// Images: a folder, a list, an archive or any other format of `aet list`, or `shapes`
    data: String,
    /// A run whose predictions are drawn too: its name, or the path of its folder
    #[arg(long, conflicts_with_all = ["preset", "changes"])]
    run: Option<String>,
    /// Print a table that says by what the run does its task, in place of a picture
    #[arg(long, requires = "run")]
    shortcuts: bool,
    /// Number of images that are drawn, up to 400, or evaluated [default: 12, or 2000 with --shortcuts]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(super) count: Option<u64>,
    /// File to write
    #[arg(
        long,
        value_name = "FILE",
        default_value = "inspect.png",
        conflicts_with = "shortcuts"
    )]
    out: PathBuf,
    /// Seed that chooses images and transformations [default: that of the run or preset]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Part of the data [default: train, or test with --shortcuts]
    #[arg(long, value_enum)]
    pub(super) split: Option<SplitName>,
    /// Experiment whose pretext task is drawn [default: smoke]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Change one key of the experiment, such as transformation.kind=affine; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    changes: Vec<String>,
    #[command(flatten)]
    runs: RunsArgs,
    #[command(flatten)]
    pub(super) device: DeviceArgs,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(super) json: bool,
}

impl InspectArgs {
    /// The part of the data that is drawn.
    fn split(&self) -> SplitName {
        self.split.unwrap_or(SplitName::Train)
    }
}

/// Prints the tables and draws the picture.
///
/// # Errors
/// When run, images or folder are not there, an image is broken, or the disk refuses.
pub fn run(args: InspectArgs) -> anyhow::Result<()> {
    let device = args.device.open()?;
    let run = match &args.run {
        Some(run) => Some(run_place::open(run, &args.runs.runs)?),
        None => None,
    };
    let experiment = experiment_of(&args, run.as_ref())?;
    if let (true, Some(run)) = (args.shortcuts, &run) {
        return shortcuts::run(&args, run, &experiment);
    }
    let count = args.count.unwrap_or(DEFAULT_COUNT);
    if count > MOST_DRAWN {
        let message = format!("--count {count} is impossible: up to {MOST_DRAWN} images are drawn");
        return Err(usage(message));
    }
    let source = aet_data::open(&location(&experiment.data), args.split().into())?;
    let survey = Survey::of(source.as_ref())?;

    let mut rng = generator(experiment.seed, 0, 0, Purpose::Subset);
    let mut chosen = permutation(&mut rng, source.len());
    chosen.truncate(count as usize);
    let size = match &run {
        Some(run) => Some(run.info().image_size),
        None => experiment.data.image_size.or_else(|| survey.common_size()),
    };
    let images = load_chosen(source.as_ref(), &chosen, size, &experiment)?;
    let chosen = without_skipped(chosen, &images);
    let model = match &run {
        Some(run) => Some(run.load_model(&device)?),
        None => None,
    };
    let model = model.as_ref().map(|model| (model, &device));
    let subject = Subject {
        experiment: &experiment,
        images: &images,
        numbers: &chosen,
        model,
    };
    let picture = draw_task(&subject, title(&args, &experiment, run.as_ref()), 3)?;
    write_whole(&args.out, &png(&picture.image)?)?;
    show(&args, &survey, &picture.figure)
}

/// The experiment that says how images are read and transformed.
fn experiment_of(args: &InspectArgs, run: Option<&RunDirectory>) -> anyhow::Result<Experiment> {
    let base = match run {
        Some(run) => run.experiment().clone(),
        None => Request {
            preset: args.preset.as_deref().unwrap_or(DEFAULT),
            config: None,
            changes: &args.changes,
        }
        .resolve()?,
    };
    let mut config = base.into_config();
    config.data.path.clone_from(&args.data);
    config.seed = args.seed.unwrap_or(config.seed);
    Ok(config.resolve()?)
}

fn title(args: &InspectArgs, experiment: &Experiment, run: Option<&RunDirectory>) -> String {
    let name = Path::new(&args.data)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| args.data.clone());
    let by = run.map_or_else(String::new, |run| format!(", run {}", run.name()));
    format!(
        "{name} ({}): {}{by}",
        Split::from(args.split()).name(),
        experiment.task()
    )
}

/// The chosen images, decoded.
pub(super) fn load_chosen(
    source: &dyn Source,
    chosen: &[usize],
    size: Option<[usize; 2]>,
    experiment: &Experiment,
) -> anyhow::Result<Arc<ImageSet>> {
    let part = Chosen { source, chosen };
    let options = LoadOptions {
        size,
        on_error: OnError::Skip { most: 1.0 },
        ..(experiment.data).load_options(&experiment.augment, experiment.training.workers)
    };
    let images = ImageSet::load_range(&part, 0..chosen.len(), &options, &|_, _| ())?;
    note_skipped(&images.skips().list());
    Ok(Arc::new(images))
}

/// The numbers of those of the `chosen` images that could be used.
fn without_skipped(chosen: Vec<usize>, images: &ImageSet) -> Vec<usize> {
    let places = chosen.into_iter().enumerate();
    let used = places.filter(|(place, _)| !images.skips().contains(*place));
    used.map(|(_, number)| number).collect()
}

/// Some items of a source.
#[derive(Debug)]
struct Chosen<'a> {
    source: &'a dyn Source,
    chosen: &'a [usize],
}

impl Source for Chosen<'_> {
    fn len(&self) -> usize {
        self.chosen.len()
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        let len = self.len();
        let place = self
            .chosen
            .get(index)
            .ok_or(DataError::OutOfRange { index, len })?;
        self.source.read(*place)
    }

    fn class_names(&self) -> &[String] {
        self.source.class_names()
    }

    fn format(&self) -> &'static str {
        self.source.format()
    }
}

/// What is in a source.
struct Survey {
    format: &'static str,
    count: usize,
    /// Images whose headers were read.
    looked_at: usize,
    /// Those among them that have none.
    broken: Vec<Skipped>,
    /// Images of each height and width, of those that were looked at.
    sizes: BTreeMap<[usize; 2], usize>,
    /// Images of each label.
    classes: BTreeMap<Option<u32>, usize>,
    class_names: Vec<String>,
}

impl Survey {
    /// Reads all labels, and the headers of up to [`LOOKED_AT`] images, which lie evenly in the set.
    fn of(source: &dyn Source) -> anyhow::Result<Self> {
        let advance = Advance::new("reading images");
        let mut survey = Self {
            format: source.format(),
            count: source.len(),
            looked_at: 0,
            broken: Vec::new(),
            sizes: BTreeMap::new(),
            classes: BTreeMap::new(),
            class_names: source.class_names().to_vec(),
        };
        for label in source.labels()? {
            *survey.classes.entry(label).or_default() += 1;
        }
        let stride = source.len().div_ceil(LOOKED_AT).max(1);
        for index in (0..source.len()).step_by(stride) {
            survey.looked_at += 1;
            let size = match source.read(index) {
                Ok(sample) => size_of(&sample.payload, index, &sample.name)
                    .map_err(|error| format!("{:#}", anyhow::Error::from(error))),
                Err(error) if error.is_about_one_image() => Err(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            match size {
                Ok(size) => *survey.sizes.entry(size).or_default() += 1,
                Err(error) => survey.broken.push(Skipped { index, error }),
            }
            advance.to(index + 1, source.len());
        }
        note_skipped(&survey.broken);
        Ok(survey)
    }

    /// The size to draw at when sizes differ; none when they do not.
    fn common_size(&self) -> Option<[usize; 2]> {
        if self.sizes.len() < 2 {
            return None;
        }
        let [height, width] = COMMON_SIZE;
        note(&format!(
            "images differ in size; drawn at {height}x{width} (--set data.image_size=[h,w] for another size)"
        ));
        Some(COMMON_SIZE)
    }

    fn class_name(&self, label: Option<u32>) -> String {
        let Some(label) = label else {
            return "no label".into();
        };
        let name = self
            .class_names
            .get(label as usize)
            .filter(|name| !name.is_empty());
        name.cloned().unwrap_or_else(|| format!("class {label}"))
    }

    fn sizes_text(&self) -> String {
        let text = |size: &[usize; 2]| format!("{}x{}", size[0], size[1]);
        match (self.sizes.first_key_value(), self.sizes.len()) {
            (Some((size, _)), 1) => format!("{} (height x width)", text(size)),
            (None, _) => "none".into(),
            (_, kinds) => {
                let most = self.sizes.iter().max_by_key(|(_, count)| **count);
                let most = most.map_or_else(String::new, |(size, count)| {
                    format!(", most often {} ({count} images)", text(size))
                });
                let range = |side: usize| {
                    let sides = || self.sizes.keys().map(move |size| size[side]);
                    (sides().min().unwrap_or(0), sides().max().unwrap_or(0))
                };
                let ((low, high), (narrow, wide)) = (range(0), range(1));
                format!("{kinds} sizes, {low}-{high} x {narrow}-{wide} (height x width){most}")
            }
        }
    }

    fn classes_text(&self) -> String {
        let share =
            |count: usize| format!("{:.1}", 100.0 * count as f64 / self.count.max(1) as f64);
        let mut rows: Vec<Vec<String>> = self
            .classes
            .iter()
            .take(CLASSES_SHOWN)
            .map(|(label, count)| {
                let number = label.map_or_else(|| "-".into(), |label| label.to_string());
                vec![
                    number,
                    self.class_name(*label),
                    count.to_string(),
                    share(*count),
                ]
            })
            .collect();
        let rest: Vec<usize> = self.classes.values().skip(CLASSES_SHOWN).copied().collect();
        if !rest.is_empty() {
            let count: usize = rest.iter().sum();
            let name = format!("({} more classes)", rest.len());
            rows.push(vec![String::new(), name, count.to_string(), share(count)]);
        }
        let headings = [
            ("label", Align::Right),
            ("class", Align::Left),
            ("images", Align::Right),
            ("%", Align::Right),
        ];
        text_table(&headings, &rows)
    }

    fn to_json(&self) -> Value {
        let sizes: Vec<Value> = self
            .sizes
            .iter()
            .map(|([height, width], count)| {
                json!({ "height": height, "width": width, "images": count })
            })
            .collect();
        let classes: Vec<Value> = self
            .classes
            .iter()
            .map(|(label, count)| {
                json!({ "label": label, "class": self.class_name(*label), "images": count })
            })
            .collect();
        json!({
            "format": self.format, "images": self.count, "looked_at": self.looked_at,
            "broken": self.broken, "sizes": sizes, "classes": classes,
        })
    }
}

fn show(args: &InspectArgs, survey: &Survey, figure: &Figure) -> anyhow::Result<()> {
    if args.json {
        let mut object = survey.to_json();
        object["picture"] = json!(args.out);
        object[figure.key] = json!(figure.value);
        return print_json(&object);
    }
    let told = (figure.line.as_ref()).map_or_else(String::new, |line| format!("{line}\n"));
    print(&format!(
        "format   {}\nsplit    {}\nimages   {}\nbroken   {} of {} looked at\nsizes    {}\npicture  {}\n{told}\n{}",
        survey.format,
        Split::from(args.split()).name(),
        survey.count,
        survey.broken.len(),
        survey.looked_at,
        survey.sizes_text(),
        args.out.display(),
        survey.classes_text()
    ))
}
