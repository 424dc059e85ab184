//! `aet probe`: judges the features of a run beside those of a random encoder.

use aet_learn::Device;
use aet_learn::data::Datasets;
use aet_learn::probe::{
    Comparison, ConvConfig, FcConfig, KnnConfig, LogisticConfig, Pooling, ProbeConfig, ProbeData,
    ProbeMethod,
};
use aet_learn::run_dir::RunDirectory;
use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::device::DeviceArgs;
use super::{RunsArgs, protocol, read_images};
use crate::failure::usage;
use crate::output::{print, print_json, write_whole};
use crate::protocols;
use crate::run_place;
use crate::verdict::{judge, obstacle, verdict_json, verdict_table};

/// Judge the features of a run, beside a random encoder
///
/// Without --probe, the probes of the run's experiment. The encoder stays as it is; only the probe
/// is trained, on the training images, and judged on the test images. The table shows the error
/// after the last epoch; the best epoch was chosen by looking at the test images and stands apart.
/// Each result is also written to the folder `probes` of the run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet probe smoke
  aet probe smoke --probe knn --neighbours 5 --weighted
  aet probe smoke --probe 1fc --probe 3fc --tap block3 --epochs 50
  aet probe smoke --probe conv --data cifar10/
  aet probe check --protocol cifar10-paper         every probe of the paper, with both bounds
  aet probe check --protocol cifar10-paper --set training.epochs=40 --set seeds=[1]

A protocol is a TOML file (`aet list` shows those that there are; a path gives one's own). What it
finds is kept after every piece, so that the same command goes on after an interruption.")]
pub struct ProbeArgs {
    /// A run: its name, or the path of its folder
    run: String,
    /// Protocol to carry out: a name, or the path of a .toml file
    #[arg(long, value_name = "PROTOCOL", conflicts_with_all = ["probes", "tap", "pooling", "neighbours", "epochs", "weighted"])]
    protocol: Option<String>,
    /// Change one key of the protocol, such as training.epochs=40; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "protocol")]
    changes: Vec<String>,
    /// Labelled images [default: those of the run]
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// Place in the encoder to read features at, such as block2 [default: that of the probe]
    #[arg(long)]
    tap: Option<String>,
    /// Mean over each feature map (average), the full maps (full), or an N x N grid of each map's
    /// means or maxima (average-N, max-N) [default: that of the probe]
    #[arg(long)]
    pooling: Option<Pooling>,
    /// Probe to run; may be repeated [default: those of the run's experiment]
    #[arg(long = "probe", value_name = "PROBE", value_enum)]
    probes: Vec<ProbeName>,
    /// Neighbours that vote in knn
    #[arg(long, value_name = "K")]
    neighbours: Option<usize>,
    /// Passes over the training images, for probes that are trained
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Weigh the votes of knn by similarity
    #[arg(long)]
    weighted: bool,
    #[command(flatten)]
    runs: RunsArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// The probes by their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProbeName {
    /// Nearest neighbours by cosine similarity
    Knn,
    /// Logistic regression, solved to its optimum
    Logistic,
    /// One fully-connected layer (a linear probe)
    #[value(name = "1fc")]
    OneFc,
    /// Two fully-connected layers
    #[value(name = "2fc")]
    TwoFc,
    /// Three fully-connected layers
    #[value(name = "3fc")]
    ThreeFc,
    /// A convolutional block, on full maps
    Conv,
}

/// Runs the probes.
///
/// # Errors
/// When run, tap or images are not there, the images have no labels, or the disk refuses.
pub fn run(args: ProbeArgs) -> anyhow::Result<()> {
    let device = args.device.open()?;
    let run = run_place::open(&args.run, &args.runs.runs)?;
    if let Some(name) = &args.protocol {
        return carry_out(name, &args, &run, &device);
    }
    let probes = probes_of(&args, &run)?;
    let datasets = open_images(&args, &run)?;
    if let Some(obstacle) = obstacle(&datasets.train, datasets.test.as_ref()) {
        return Err(usage(format!("no probe can run: {obstacle}")));
    }
    let test = datasets.test.as_ref().context("there are no test images")?;
    let data = ProbeData::of(run.experiment(), &datasets.train, test);
    let comparisons = judge(&run, &probes, &data, &device)?;
    for (probe, comparison) in probes.iter().zip(&comparisons) {
        write_result(&run, probe, comparison, args.data.as_deref())?;
    }
    show(&run, &comparisons, args.json)
}

/// Carries a protocol out.
fn carry_out(
    name: &str,
    args: &ProbeArgs,
    run: &RunDirectory,
    device: &Device,
) -> anyhow::Result<()> {
    let found = protocols::find(name, &args.changes, &run.experiment().backbone)?;
    let datasets = open_images(args, run)?;
    let mut command = format!("aet probe RUN --protocol {name}");
    for change in &args.changes {
        command.push_str(&format!(" --set {change}"));
    }
    protocol::run(&protocol::Request {
        run,
        protocol: &found,
        datasets: &datasets,
        command,
        device,
        json: args.json,
    })
}

/// The probes that the command line asks for, checked.
fn probes_of(args: &ProbeArgs, run: &RunDirectory) -> anyhow::Result<Vec<ProbeConfig>> {
    let mut probes: Vec<ProbeConfig> = match args.probes.as_slice() {
        [] => run.experiment().evaluation.probes.clone(),
        names => names.iter().map(|name| name.standard()).collect(),
    };
    for probe in &mut probes {
        if let Some(tap) = &args.tap {
            probe.tap.clone_from(tap);
        }
        if let Some(pooling) = args.pooling {
            probe.pooling = pooling;
        }
        adjust(probe, args);
        probe.validate()?;
    }
    let mut config = run.experiment().clone().into_config();
    config.evaluation.probes = probes;
    Ok(config.resolve()?.evaluation.probes.clone())
}

/// Applies the options that fit the probe.
fn adjust(probe: &mut ProbeConfig, args: &ProbeArgs) {
    if let ProbeMethod::Knn(knn) = &mut probe.method {
        knn.neighbours = args.neighbours.unwrap_or(knn.neighbours);
        knn.weighted |= args.weighted;
    }
    if probe.method.is_trained() {
        probe.training.epochs = args.epochs.unwrap_or(probe.training.epochs);
    }
}

impl ProbeName {
    /// The probe as it is by default.
    fn standard(self) -> ProbeConfig {
        let fc = |layers| {
            ProbeMethod::Fc(FcConfig {
                layers,
                ..FcConfig::default()
            })
        };
        ProbeConfig::of(match self {
            Self::Knn => ProbeMethod::Knn(KnnConfig::default()),
            Self::Logistic => ProbeMethod::Logistic(LogisticConfig::default()),
            Self::OneFc => fc(1),
            Self::TwoFc => fc(2),
            Self::ThreeFc => fc(3),
            Self::Conv => ProbeMethod::Conv(ConvConfig::default()),
        })
    }
}

/// The images to judge on, in the size that the run was trained on.
fn open_images(args: &ProbeArgs, run: &RunDirectory) -> anyhow::Result<Datasets> {
    let mut config = run.experiment().data.clone();
    if let Some(data) = &args.data {
        config.path.clone_from(data);
    }
    config.image_size = Some(run.info().image_size);
    read_images(&config, run.experiment())
}

/// Writes what one probe found to the folder `probes` of the run.
fn write_result(
    run: &RunDirectory,
    probe: &ProbeConfig,
    comparison: &Comparison,
    data: Option<&str>,
) -> anyhow::Result<()> {
    let folder = run.file("probes");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let mut record = verdict_json(comparison);
    record["probe"] = json!(probe);
    record["data"] = json!(data.unwrap_or(&run.experiment().data.path));
    record["step"] = json!(run.progress()?.map(|progress| progress.step));
    let path = folder.join(format!("{}.json", file_name(&probe.label())));
    write_whole(&path, format!("{record:#}\n").as_bytes())
}

/// `label` in lower case, with dashes for what does not belong into a file name.
fn file_name(label: &str) -> String {
    let dashed = label
        .to_lowercase()
        .replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

fn show(run: &RunDirectory, comparisons: &[Comparison], json: bool) -> anyhow::Result<()> {
    if json {
        let probes: Vec<Value> = comparisons.iter().map(verdict_json).collect();
        return print_json(&json!({ "run": run.path(), "probes": probes }));
    }
    print(&format!(
        "Test error of probes on run {}, beside a random encoder\n\n{}",
        run.name(),
        verdict_table(comparisons)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_file_names() {
        assert_eq!(
            file_name("kNN K=10 block2 average"),
            "knn-k-10-block2-average"
        );
    }
}
