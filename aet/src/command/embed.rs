//! `aet embed`: features of every image of a set, as a Parquet file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aet_data::{ImageSet, Split};
use aet_learn::Device;
use aet_learn::backbone::{Encoder, Tap};
use aet_learn::embed::{ExtractOptions, FeatureBank, Pooling, extract};
use aet_learn::run_dir::RunDirectory;
use anyhow::Context;
use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use clap::Args;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::RunsArgs;
use super::choice::SplitName;
use crate::output::{draft_beside, keep_draft, print, print_json};
use crate::progress::Advance;
use crate::run_place;

/// Images whose features are computed and written at a time: one row group.
const ROW_GROUP: usize = 1024;

/// Write the features of every image as Parquet
///
/// One row an image, in the order of the set: `path` (text), `label` (whole number, or null) and
/// `embedding` (a list of 32-bit floats of one length). The file appears when it is complete.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet embed smoke shapes                          writes smoke-train.parquet
  aet embed smoke cifar10/ --split test --out test.parquet
  aet embed smoke cifar10/ --random               the same network before training, to compare")]
pub struct EmbedArgs {
    /// A run: its name, or the path of its folder
    run: String,
    /// Images: a Parquet file or folder, CIFAR binary folder, image folder, or `shapes`
    data: String,
    /// File to write [default: RUN-SPLIT.parquet]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Place in the encoder to read features at, such as block2 [default: the last]
    #[arg(long)]
    tap: Option<String>,
    /// Mean over each feature map (average), the full maps (full), or an N x N grid of each map's
    /// means or maxima (average-N, max-N)
    #[arg(long, default_value_t = Pooling::Average)]
    pooling: Pooling,
    /// Part of the data
    #[arg(long, value_enum, default_value_t = SplitName::Train)]
    split: SplitName,
    /// Use the random weights that the run started from
    #[arg(long)]
    random: bool,
    #[command(flatten)]
    runs: RunsArgs,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

/// Writes the features.
///
/// # Errors
/// When run, tap, images or folder are not there, or the disk refuses.
pub fn run(args: EmbedArgs) -> anyhow::Result<()> {
    let device = Device::flex();
    let run = run_place::open(&args.run, &args.runs.runs)?;
    let encoder = if args.random {
        run.random_encoder(&device)
    } else {
        run.load_encoder(&device)?
    };
    let tap = match &args.tap {
        Some(name) => encoder.tap(name)?.clone(),
        None => encoder.last_tap().clone(),
    };
    let split = Split::from(args.split).name();
    let default_out = || PathBuf::from(format!("{}-{split}.parquet", run.name()));
    let out = args.out.clone().unwrap_or_else(default_out);
    let draft = draft_beside(&out)?;
    let images = open_images(&run, &args.data, args.split.into())?;
    let embedding = Embedding {
        encoder,
        tap,
        options: ExtractOptions {
            normalisation: run.experiment().data.normalisation.clone(),
            pooling: args.pooling,
            batch_size: 256,
            workers: run.experiment().training.workers,
        },
    };
    let file = draft.reopen().context("cannot write the draft")?;
    let dim = embedding.write(&images, file)?;
    keep_draft(draft, &out)?;
    show(&out, &images, dim, args.json)
}

/// The images to embed, in the size that the run was trained on.
fn open_images(run: &RunDirectory, data: &str, split: Split) -> anyhow::Result<Arc<ImageSet>> {
    let mut config = run.experiment().data.clone();
    config.path = data.into();
    let source = aet_data::open(&aet_learn::data::location(&config), split)?;
    let advance = Advance::new("reading images");
    let workers = run.experiment().training.workers.max(1);
    let images = ImageSet::load(
        source.as_ref(),
        Some(run.info().image_size),
        workers,
        &|done, total| advance.to(done, total),
    )?;
    Ok(Arc::new(images))
}

fn show(out: &Path, images: &ImageSet, dim: usize, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&json!({ "file": out, "rows": images.len(), "dimension": dim }));
    }
    print(&format!(
        "{}  {} rows of {dim} numbers",
        out.display(),
        images.len()
    ))
}

/// Where and how features are read.
struct Embedding {
    encoder: Encoder,
    tap: Tap,
    options: ExtractOptions,
}

impl Embedding {
    /// Writes the features of `images` to `file`, a row group at a time; gives their dimension.
    fn write(&self, images: &Arc<ImageSet>, file: File) -> anyhow::Result<usize> {
        let advance = Advance::new("embedding");
        let mut writer: Option<ArrowWriter<File>> = None;
        let mut file = Some(file);
        let mut dim = 0;
        for start in (0..images.len()).step_by(ROW_GROUP) {
            let rows: Vec<usize> = (start..images.len().min(start + ROW_GROUP)).collect();
            let bank = self.features(images, &rows)?;
            dim = bank.dim;
            let batch = record_batch(images, &rows, bank)?;
            if let Some(file) = file.take() {
                writer = Some(ArrowWriter::try_new(
                    file,
                    batch.schema(),
                    Some(properties()?),
                )?);
            }
            if let Some(writer) = &mut writer {
                writer.write(&batch)?;
                writer.flush()?;
            }
            advance.to(start + rows.len(), images.len());
        }
        if let Some(writer) = writer {
            writer.close()?;
        }
        Ok(dim)
    }

    fn features(&self, images: &Arc<ImageSet>, rows: &[usize]) -> anyhow::Result<FeatureBank> {
        let part = Arc::new(images.subset(rows));
        let bank = extract(
            &self.encoder,
            &self.tap,
            &part,
            &self.options,
            &mut |_, _| (),
        )?;
        Ok(bank)
    }
}

fn properties() -> anyhow::Result<WriterProperties> {
    let level = ZstdLevel::try_new(1)?;
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .build())
}

/// Rows of the file: path, label and embedding of the images `rows`, whose features are `bank`.
fn record_batch(
    images: &ImageSet,
    rows: &[usize],
    bank: FeatureBank,
) -> anyhow::Result<RecordBatch> {
    let dim = i32::try_from(bank.dim).context("features of that many numbers do not fit a row")?;
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let schema = Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("label", DataType::Int64, true),
        Field::new(
            "embedding",
            DataType::FixedSizeList(item.clone(), dim),
            false,
        ),
    ]);
    let paths: StringArray = rows.iter().map(|&row| Some(images.name(row))).collect();
    let labels: Int64Array = rows
        .iter()
        .map(|&row| images.label(row).map(i64::from))
        .collect();
    let values = Arc::new(Float32Array::from(bank.features));
    let embedding = FixedSizeListArray::try_new(item, dim, values, None)?;
    let columns: Vec<ArrayRef> = vec![Arc::new(paths), Arc::new(labels), Arc::new(embedding)];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}
