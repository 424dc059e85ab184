//! `aet linear`: logistic regression on embeddings in Parquet files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use aet_learn::probe::{Labelled, LogisticConfig, LogisticModel, logistic};
use anyhow::Context;
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use clap::Args;
use parquet::arrow::ArrowWriter;
use serde_json::json;

use crate::failure::usage;
use crate::features::properties;
use crate::features::read::FeatureShards;
use crate::memory::peak_mib;
use crate::output::{draft_beside, keep_draft, print, print_json};
use crate::progress::Advance;
use crate::table::text_list;

/// Judge embeddings by logistic regression
///
/// TRAIN and TEST are files of `aet embed`, or folders of them, with a label in every row. The
/// regression is that of scikit-learn: the least sum of cross-entropies + |W|^2 / (2 C), on features
/// brought to mean 0 and deviation 1 over TRAIN, solved to its end. Both sides are held in memory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet linear train.parquet test.parquet
  aet linear train.parquet test.parquet --c 0.1 --out predictions.parquet
  aet linear train.parquet test.parquet --as-they-are --json")]
pub struct LinearArgs {
    /// Embeddings to learn from: a Parquet file, or a folder of them
    train: PathBuf,
    /// Embeddings to be judged on
    test: PathBuf,
    /// How little large weights cost
    #[arg(long, value_name = "C", default_value_t = LogisticConfig::default().c)]
    c: f64,
    /// Steps of the solver, at most
    #[arg(long, value_name = "N", default_value_t = LogisticConfig::default().iterations)]
    iterations: usize,
    /// Largest part of the gradient at which the solver stops
    #[arg(long, value_name = "T", default_value_t = LogisticConfig::default().tolerance)]
    tolerance: f64,
    /// Leave the features as they are, instead of bringing them to mean 0 and deviation 1
    #[arg(long)]
    as_they_are: bool,
    /// File to write: the predicted class of each row of TEST
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Fits, predicts and prints.
///
/// # Errors
/// When a file is not there or damaged, labels are missing, or the disk refuses.
pub fn run(args: &LinearArgs) -> anyhow::Result<()> {
    let config = LogisticConfig {
        c: args.c,
        iterations: args.iterations,
        tolerance: args.tolerance,
        standardise: !args.as_they_are,
    };
    config.validate()?;
    let (train, test) = (
        FeatureShards::open(&args.train)?,
        FeatureShards::open(&args.test)?,
    );
    if train.dim != test.dim {
        return Err(usage(format!(
            "embeddings of {} numbers in {} cannot be compared with those of {} in {}",
            train.dim,
            train.path.display(),
            test.dim,
            test.path.display()
        )));
    }
    let draft = args.out.as_deref().map(draft_beside).transpose()?;
    let (bank, labels) = labelled(&train)?;
    let (judged, truth) = labelled(&test)?;
    let task = Labelled {
        features: &bank,
        labels: &labels,
    };
    let classes = labels.iter().max().map_or(0, |most| *most as usize + 1);
    let start = Instant::now();
    let advance = Advance::new("fitting");
    let model = logistic::fit(&config, task, classes, &mut |share| advance.to_share(share))?;
    drop(advance);
    let seconds = start.elapsed().as_secs_f64();
    let predictions = model.predict(&judged)?;
    if let (Some(draft), Some(out)) = (draft, &args.out) {
        let file = draft.reopen().context("cannot write the draft")?;
        write(file, &predictions)?;
        keep_draft(draft, out)?;
    }
    let pairs = predictions.iter().zip(&truth);
    let wrong = pairs.filter(|(predicted, label)| predicted != label);
    let error = wrong.count() as f64 / truth.len() as f64;
    show(args, &model, [bank.len(), judged.len()], [error, seconds])
}

/// Tells the error and the seconds of the fit, of so many rows to learn from and to be judged on.
fn show(
    args: &LinearArgs,
    model: &LogisticModel,
    [train, test]: [usize; 2],
    [error, seconds]: [f64; 2],
) -> anyhow::Result<()> {
    if args.json {
        return print_json(&json!({
            "train": train,
            "test": test,
            "dimension": model.scaling.means.len(),
            "classes": model.classes,
            "c": args.c,
            "error": error,
            "evaluations": model.evaluations,
            "converged": model.converged,
            "fit_seconds": seconds,
            "threads": rayon::current_num_threads(),
            "peak_memory_mib": peak_mib(),
            "file": args.out,
        }));
    }
    let ended = match model.converged {
        true => "",
        false => " (the tolerance was not reached; raise --iterations)",
    };
    let mut lines = vec![
        ("error".into(), format!("{:.2} %", 100.0 * error)),
        (
            "evaluations".into(),
            format!("{}{ended}", model.evaluations),
        ),
        ("seconds".into(), format!("{seconds:.2}")),
    ];
    if let Some(out) = &args.out {
        lines.push(("file".into(), out.display().to_string()));
    }
    print(&text_list(&lines))
}

/// All of `shards`, every row with its label.
fn labelled(shards: &FeatureShards) -> anyhow::Result<(aet_learn::embed::FeatureBank, Vec<u32>)> {
    let (bank, labels) = shards.read_all()?;
    let without = || {
        usage(format!(
            "{} has rows without a label",
            shards.path.display()
        ))
    };
    Ok((bank, labels.ok_or_else(without)?))
}

fn write(file: std::fs::File, predictions: &[u32]) -> anyhow::Result<()> {
    let field = Field::new("prediction", DataType::Int64, false);
    let schema = Arc::new(Schema::new(vec![field]));
    let column: Int64Array = predictions
        .iter()
        .map(|class| Some(i64::from(*class)))
        .collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)])?;
    let properties = properties("none")?.build();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
