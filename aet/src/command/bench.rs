//! `aet bench`: how fast this machine trains and embeds, by the very code that does it, beside what
//! its arithmetic allows.

use std::ops::ControlFlow;
use std::time::Instant;

use aet_learn::Device;
use aet_learn::backbone::MultiplyAdds;
use aet_learn::data::Datasets;
use aet_learn::device::is_cpu;
use aet_learn::embed::{ExtractOptions, extract};
use aet_learn::model::fresh_model;
use aet_learn::precision::Precision;
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::train::{Event, train};
use aet_learn::{peak, rate, simd};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::REVISION;
use super::device::TrainingDevices;
use crate::failure::usage;
use crate::memory::peak_mib;
use crate::output::{print, print_json};
use crate::preset::Request;
use crate::table::text_list;

/// Measure how fast this machine trains and embeds
///
/// The work is that of a preset, by default the released CIFAR-10 encoder, at a width of your choice,
/// on generated images: the same loop, loader and kernels that a run uses.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet bench step --batch 64                     pairs per second of training
  aet bench step --batch 64 --threads 1 --json
  aet bench step --preset photos-resnet18-cpu --width 0.25 --batch 32
  aet bench step --batch 512 --device vulkan --precision bfloat16
  aet bench embed --width 0.25                  images per second of embedding")]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The training step: loader, both views, loss, backward pass, optimiser
    Step(StepArgs),
    /// Frozen features of the last block, averaged over the image
    Embed(WorkArgs),
}

#[derive(Debug, Args)]
struct StepArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// What convolutions are done in: float32, bfloat16 or float16
    #[arg(long, value_name = "NAME", default_value = Precision::default().name())]
    precision: String,
}

#[derive(Debug, Args)]
struct WorkArgs {
    /// Whose encoder and objective; the images are generated, of the preset's size
    #[arg(long, value_name = "NAME", default_value = "cifar10-nin-projective")]
    preset: String,
    /// Pairs or images in a batch
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch: usize,
    /// Multiplier of the encoder's channels
    #[arg(long, value_name = "W", default_value_t = 1.0)]
    width: f64,
    /// Batches that are counted
    #[arg(long, value_name = "N", default_value_t = 8)]
    steps: usize,
    /// Batches before them that are not
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup: usize,
    #[command(flatten)]
    device: TrainingDevices,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
///
/// # Errors
/// When the request cannot be met, or the disk refuses the run that is measured.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let (work, precision, unit) = match &args.what {
        What::Step(step) => (&step.work, step.precision.as_str(), "pairs_per_second"),
        What::Embed(work) => (work, Precision::default().name(), "images_per_second"),
    };
    if work.steps == 0 {
        return Err(usage("--steps is at least 1"));
    }
    let bench = Bench::new(work, precision)?;
    let mut rates = match &args.what {
        What::Step(_) => bench.step_rates()?,
        What::Embed(_) => bench.embed_rates()?,
    };
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    let floor = bench.floor(matches!(args.what, What::Step(_)));
    let mut facts = json!({
        unit: rounded(median),
        "slowest": rounded(rates[0]),
        "fastest": rounded(rates[rates.len() - 1]),
        "preset": work.preset,
        "batch": work.batch,
        "width": work.width,
        "precision": precision,
        "steps": work.steps,
        "device": bench.run.info().device,
        "threads": rayon::current_num_threads(),
        "instruction_set": simd::instruction_set(),
        "version": REVISION,
    });
    if let Some(floor) = floor {
        facts["peak_gflop_per_second"] = rounded(floor.peak * 2e-9).into();
        facts["floor"] = rounded(floor.done).into();
        facts["floor_by_definition"] = rounded(floor.defined).into();
        facts["share_of_floor"] = rounded(median / floor.done).into();
    }
    if let Some(mebibytes) = peak_mib() {
        facts["peak_memory_mib"] = rounded(mebibytes).into();
    }
    if work.json {
        return print_json(&facts);
    }
    print(&text_list(&lines(&facts)))
}

/// Four significant digits.
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// The facts, a line each.
fn lines(facts: &Value) -> Vec<(String, String)> {
    let entries = facts.as_object().into_iter().flatten();
    entries
        .map(|(name, value)| {
            let text = value.as_str().map_or(value.to_string(), str::to_string);
            (name.replace('_', " "), text)
        })
        .collect()
}

/// Images or pairs a second that the arithmetic allows.
struct Floor {
    /// Multiply-adds a second of this machine.
    peak: f64,
    /// With the multiply-adds that are done.
    done: f64,
    /// With those of the convolutions' definition.
    defined: f64,
}

/// An experiment to be measured.
struct Bench<'a> {
    work: &'a WorkArgs,
    run: RunDirectory,
    datasets: Datasets,
    devices: Vec<Device>,
    /// Goes away with everything in it.
    _folder: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn new(work: &'a WorkArgs, precision: &str) -> anyhow::Result<Self> {
        let images = work.batch * (work.steps + work.warmup);
        let changes = [
            "data.path=shapes".to_string(),
            format!("data.shapes.train={images}"),
            "data.shapes.test=10".into(),
            format!("backbone.width={}", work.width),
            "schedule.kind=constant".into(),
            "schedule.rate=0.01".into(),
            format!("training.batch_size={}", work.batch),
            format!("training.precision={precision}"),
            "training.epochs=1".into(),
            "training.log_every=1".into(),
            "evaluation.pretext_every=0".into(),
        ];
        let devices = work.device.open()?;
        let experiment = Request {
            preset: &work.preset,
            config: None,
            changes: &changes,
        }
        .resolve()?;
        let (data, seed) = (&experiment.data, experiment.seed);
        let datasets = Datasets::open(data, &experiment.augment, seed, &|_, _| ())?;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let info = RunInfo {
            preset: work.preset.clone(),
            revision: REVISION.into(),
            device: work.device.description(&devices),
            started: 0,
            image_size: [datasets.train.height(), datasets.train.width()],
        };
        Ok(Self {
            work,
            run: RunDirectory::create(&folder.path().join("bench"), &experiment, info)?,
            datasets,
            devices,
            _folder: folder,
        })
    }

    /// Pairs per second of every counted step.
    fn step_rates(&self) -> anyhow::Result<Vec<f64>> {
        let mut rates = Vec::new();
        train(&self.run, &self.datasets, &self.devices, &mut |event| {
            if let Event::Step {
                pairs_per_second, ..
            } = event
            {
                rates.push(*pairs_per_second);
            }
            ControlFlow::Continue(())
        })?;
        Ok(rates.split_off(self.work.warmup))
    }

    /// Images per second of every counted pass over the set.
    fn embed_rates(&self) -> anyhow::Result<Vec<f64>> {
        let set = &self.datasets.train;
        let size = [set.height(), set.width()];
        let encoder = fresh_model(self.run.experiment(), size, &self.devices[0])?.encoder;
        let options = ExtractOptions {
            batch_size: self.work.batch,
            ..ExtractOptions::default()
        };
        let mut rates = Vec::new();
        for pass in 0..6 {
            let start = Instant::now();
            let bank = extract(&encoder, encoder.last_tap(), set, &options, &mut |_, _| ())?;
            if pass > 0 {
                rates.push(bank.len() as f64 / start.elapsed().as_secs_f64());
            }
        }
        Ok(rates)
    }

    fn floor(&self, step: bool) -> Option<Floor> {
        let set = &self.datasets.train;
        let size = [set.height(), set.width()];
        let encoder = fresh_model(self.run.experiment(), size, &self.devices[0])
            .ok()?
            .encoder;
        let work = encoder.multiply_adds(size)?;
        let precision = self.run.experiment().training.precision;
        if !is_cpu(&self.devices[0]) || precision != Precision::Float32 {
            return self.floor_of_devices(&work, step, precision);
        }
        let peak = peak::multiply_adds_per_second();
        // A pair is two images.
        let [done, defined] = match step {
            true => [2 * work.training_done, 2 * work.training],
            false => [work.forward_done, work.forward],
        };
        Some(Floor {
            peak,
            done: peak / done as f64,
            defined: peak / defined as f64,
        })
    }
}

impl Bench<'_> {
    /// Of devices that do what convolutions are defined by, in this precision.
    fn floor_of_devices(
        &self,
        work: &MultiplyAdds,
        step: bool,
        precision: Precision,
    ) -> Option<Floor> {
        let devices = self.devices.iter();
        let rates = devices.map(|device| rate::multiply_adds_per_second(device, precision));
        let peak = rates.sum::<Option<f64>>()?;
        let defined = match step {
            true => 2 * work.training,
            false => work.forward,
        };
        let defined = peak / defined as f64;
        Some(Floor {
            peak,
            done: defined,
            defined,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_digits() {
        assert_eq!(rounded(1234.56), 1235.0);
        assert_eq!(rounded(0.012_345_6), 0.01235);
        assert_eq!(rounded(0.0), 0.0);
    }
}
