//! The commands, one file each, and the command line that chooses among them.

mod bench;
mod cache;
mod choice;
mod compare;
mod device;
mod devices;
mod embed;
mod inspect;
mod knn;
mod linear;
mod list;
mod pretrain;
mod probe;
mod protocol;
mod serve;
mod shard;
mod shortcuts;
mod table;
mod train_generator;
mod training;

use std::path::PathBuf;

use aet_data::Skipped;
use aet_learn::config::{DataConfig, Experiment};
use aet_learn::data::Datasets;
use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::failure::usage;
use crate::progress::{Advance, note_skipped};

/// Version and source revision of this binary.
pub const REVISION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("AET_REVISION"), ")");

/// Pretrain image encoders without labels by Auto-Encoding Transformations.
///
/// An encoder sees an image and a transformed copy of it, and learns by telling the
/// transformation from the features of the two.
#[derive(Debug, Parser)]
#[command(
    name = "aet",
    version = REVISION,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = false,
    after_help = "Examples:
  aet pretrain                              a small run on generated shapes, in minutes
  aet inspect path/to/images                what is in a data set, as a table and a picture
  aet pretrain path/to/images --epochs 20   the same training on your images
  aet probe smoke                           how good the features of run `smoke` are
  aet probe smoke --protocol quick          the same by a protocol, kept for tables
  aet embed smoke path/to/images            features of every image, as Parquet
  aet knn train.parquet test.parquet        nearest neighbours of such features, and their vote

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 failed, 2 usage.
The environment variable AET_LOG sets the level of the log (error, warn, info, debug, trace)."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Threads that compute and load [default: one for each core]
    #[arg(long, value_name = "N", global = true)]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Pretrain(pretrain::PretrainArgs),
    TrainGenerator(train_generator::TrainGeneratorArgs),
    Probe(probe::ProbeArgs),
    Compare(compare::CompareArgs),
    Table(table::TableArgs),
    Embed(embed::EmbedArgs),
    Cache(cache::CacheArgs),
    Knn(knn::KnnArgs),
    Linear(linear::LinearArgs),
    Inspect(inspect::InspectArgs),
    List(list::ListArgs),
    Devices(devices::DevicesArgs),
    Serve(serve::ServeArgs),
    Bench(bench::BenchArgs),
}

/// Stack of a thread: as much as a main thread has.
const STACK_BYTES: usize = 8 << 20;

/// Where runs are kept; shared by the commands that use runs.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Folder in which runs are kept by name
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// The images that `config` names, read as `experiment` reads them; says what was left out.
fn read_images(config: &DataConfig, experiment: &Experiment) -> anyhow::Result<Datasets> {
    let advance = Advance::new("reading images");
    let (augment, seed) = (&experiment.augment, experiment.seed);
    let datasets = Datasets::open(config, augment, seed, &|done, total| {
        advance.to(done, total);
    })?;
    let skipped: Vec<Skipped> = datasets.skips().flat_map(|(_, log)| log.list()).collect();
    note_skipped(&skipped);
    Ok(datasets)
}

/// Does what the command line asks for.
///
/// # Errors
/// Whatever the command fails with.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let mut pool = rayon::ThreadPoolBuilder::new().stack_size(STACK_BYTES);
    if let Some(threads) = cli.threads {
        if !(1..=1024).contains(&threads) {
            let message = format!("--threads {threads} is impossible: it is from 1 to 1024");
            return Err(usage(message));
        }
        pool = pool.num_threads(threads);
    }
    // The command itself runs on a thread of the pool, which so has as many as were asked for, and
    // works along instead of waiting for others to be woken.
    let pool = pool.build().context("cannot start the threads")?;
    pool.install(|| device::guarded(|| dispatch(cli.command)))
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Pretrain(args) => pretrain::run(args),
        Command::TrainGenerator(args) => train_generator::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Compare(args) => compare::run(&args),
        Command::Table(args) => table::run(&args),
        Command::Embed(args) => embed::run(args),
        Command::Cache(args) => cache::run(args),
        Command::Knn(args) => knn::run(&args),
        Command::Linear(args) => linear::run(&args),
        Command::Inspect(args) => inspect::run(args),
        Command::List(args) => list::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
