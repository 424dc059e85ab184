//! `aet embed`: features of every image of a set, as a Parquet file or a folder of them. Only a few
//! hundred decoded images are in memory at a time.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use aet_data::{DataError, ImageSet, LoadOptions, SkipLog, Source, Split};
use aet_learn::backbone::{Encoder, Tap};
use aet_learn::embed::{ExtractOptions, Pooling, extract};
use aet_learn::run_dir::RunDirectory;
use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::RunsArgs;
use super::choice::SplitName;
use super::device::DeviceArgs;
use super::shard::Shard;
use crate::failure::usage;
use crate::features::write::{FeatureFile, ShardFolder};
use crate::output::{draft_beside, keep_draft, print, print_json};
use crate::progress::{Advance, note_skipped};
use crate::run_place;

/// Images whose features are computed and written at a time, at most: one row group.
const ROW_GROUP: usize = 1024;
/// Bytes of decoded images at a time, at most, but for one image; those of the next row group are
/// decoded meanwhile.
const CHUNK_BYTES: usize = 64 << 20;

/// Write the features of every image as Parquet
///
/// One row an image, in the order of the set: `path` (text), `label` (whole number, or null) and
/// `embedding` (a list of 32-bit floats of one length). Images are decoded as they are needed, so
/// that a set may be larger than memory. A file appears when it is complete; with --shard-rows, those
/// that are complete are kept when the work is interrupted, and --resume goes on behind them. Images
/// that cannot be used are left out and counted, unless the run says `data.on_error = "fail"`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet embed smoke shapes                          writes smoke-train.parquet
  aet embed smoke cifar10/ --split test --out test.parquet
  aet embed smoke photos/ --out photos-features --shard-rows 100000
  aet embed smoke photos/ --out photos-features --shard-rows 100000 --resume
  aet embed smoke photos/ --out photos-features --shard-rows 100000 --shard 3/8
  aet embed smoke cifar10/ --random               the same network before training, to compare")]
pub struct EmbedArgs {
    /// A run: its name, or the path of its folder
    run: String,
    /// Images: a folder, a list, an archive or any other format of `aet list`, or `shapes`
    data: String,
    /// File to write, or folder with --shard-rows [default: RUN-SPLIT.parquet, or RUN-SPLIT]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a folder of files of so many rows each: part-00000.parquet and so on
    #[arg(long, value_name = "N")]
    shard_rows: Option<usize>,
    /// Embed share I of N of the images, so that N processes do them all; with --shard-rows they
    /// write into one folder
    #[arg(long, value_name = "I/N", default_value_t)]
    shard: Shard,
    /// Keep the complete files that an interrupted run with the same arguments left
    #[arg(long, requires = "shard_rows")]
    resume: bool,
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
    #[command(flatten)]
    device: DeviceArgs,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

/// Writes the features.
///
/// # Errors
/// When run, tap, images or folder are not there, or the disk refuses.
pub fn run(args: EmbedArgs) -> anyhow::Result<()> {
    if args.shard_rows == Some(0) {
        return Err(usage("--shard-rows is at least 1"));
    }
    let run = run_place::open(&args.run, &args.runs.runs)?;
    let split = Split::from(args.split).name();
    let ending = if args.shard_rows.is_some() {
        ""
    } else {
        ".parquet"
    };
    let share = match args.shard_rows {
        None => args.shard.suffix(),
        Some(_) => String::new(),
    };
    let default_out = || PathBuf::from(format!("{}-{split}{share}{ending}", run.name()));
    let out = args.out.clone().unwrap_or_else(default_out);
    let embedding = Embedding::open(&args, &run)?;
    let total = embedding.source.len();
    let mut work = Work {
        embedding: &embedding,
        images: 0..0,
        advance: Advance::new("embedding"),
        dim: 0,
        embedded: 0,
        done: 0,
        started: Instant::now(),
    };
    match args.shard_rows {
        None => {
            work.images = args.shard.of(total);
            if work.images.is_empty() && total > 0 {
                let message = format!("--shard {} of {total} images is empty", args.shard);
                return Err(usage(message));
            }
            work.file(&out, work.images.clone())?;
        }
        Some(rows) => {
            let parts = args.shard.of(total.div_ceil(rows));
            work.images = total.min(parts.start * rows)..total.min(parts.end * rows);
            work.parts(&ShardFolder::open(&out, &parts, args.resume)?, parts, rows)?;
        }
    }
    work.show(&out, args.json)
}

/// What is embedded, and how.
struct Embedding {
    source: Box<dyn Source>,
    /// How they are read.
    load: LoadOptions,
    /// Those that were left out so far.
    skips: Arc<SkipLog>,
    /// Height and width that the run was trained on.
    size: [usize; 2],
    encoder: Encoder,
    tap: Tap,
    options: ExtractOptions,
    /// All of that in words, to know one embedding from another.
    origin: String,
}

impl Embedding {
    fn open(args: &EmbedArgs, run: &RunDirectory) -> anyhow::Result<Self> {
        let device = args.device.open()?;
        let encoder = if args.random {
            run.random_encoder(&device)
        } else {
            run.load_encoder(&device)?
        };
        let tap = match &args.tap {
            Some(name) => encoder.tap(name)?.clone(),
            None => encoder.last_tap().clone(),
        };
        let mut config = run.experiment().data.clone();
        config.path.clone_from(&args.data);
        let split = Split::from(args.split);
        let options = ExtractOptions {
            normalisation: run.experiment().data.normalisation.clone(),
            framing: run.experiment().augment.still(),
            pooling: args.pooling,
            batch_size: 256,
            workers: run.experiment().training.workers,
        };
        let origin = json!({
            "run": run.name(),
            "started": run.info().started,
            "random": args.random,
            "data": args.data,
            "split": split.name(),
            "tap": tap.name,
            "pooling": options.pooling.to_string(),
        });
        let size = run.info().image_size;
        let load = LoadOptions {
            size: Some(size),
            ..config.load_options(&options.framing, options.workers)
        };
        let source = aet_data::open(&aet_learn::data::location(&config), split)?;
        Ok(Self {
            skips: Arc::new(SkipLog::new(load.on_error, source.len())),
            source,
            size,
            load,
            encoder,
            tap,
            options,
            origin: origin.to_string(),
        })
    }

    /// What the features of the images `range` are made of, to know them again.
    fn origin_of(&self, range: &Range<usize>) -> String {
        format!("{} images {}..{}", self.origin, range.start, range.end)
    }

    /// The images of `range` that can be used.
    fn decode(&self, range: Range<usize>) -> Result<Decoded, DataError> {
        let source = self.source.as_ref();
        Ok(Decoded {
            read: range.len(),
            images: ImageSet::load_part(source, range, &self.load, &self.skips)?,
        })
    }

    /// The images of `range` in chunks that fit memory.
    fn chunks(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let image = self.size[0] * self.size[1] * 3;
        let step = (CHUNK_BYTES / image.max(1)).clamp(1, ROW_GROUP);
        let end = range.end;
        range
            .step_by(step)
            .map(move |start| start..end.min(start + step))
    }
}

/// Some neighbouring images.
struct Decoded {
    /// None where nothing can be used.
    images: Option<ImageSet>,
    /// How many were read.
    read: usize,
}

/// The work so far.
struct Work<'a> {
    embedding: &'a Embedding,
    /// Those that this process embeds.
    images: Range<usize>,
    advance: Advance,
    dim: usize,
    /// Images whose features were written.
    embedded: usize,
    /// Images that were read, those that were left out among them.
    done: usize,
    started: Instant,
}

impl Work<'_> {
    /// Every one of the `parts` of `rows` images that is not in `folder` yet.
    fn parts(
        &mut self,
        folder: &ShardFolder,
        parts: Range<usize>,
        rows: usize,
    ) -> anyhow::Result<()> {
        let total = self.embedding.source.len();
        for number in parts {
            let start = number * rows;
            let range = start..total.min(start + rows);
            match folder.finished(number, &self.embedding.origin_of(&range))? {
                Some(dim) => self.dim = dim,
                None => self.file(&folder.path(number), range)?,
            }
        }
        Ok(())
    }

    /// The images `range` as one file.
    fn file(&mut self, out: &Path, range: Range<usize>) -> anyhow::Result<()> {
        let draft = draft_beside(out)?;
        let file = draft.reopen().context("cannot write the draft")?;
        let mut file = FeatureFile::new(file, &self.embedding.origin_of(&range));
        let mut chunks = self.embedding.chunks(range).peekable();
        let mut decoded = match chunks.next() {
            Some(first) => Some(self.embedding.decode(first)?),
            None => None,
        };
        while let Some(ready) = decoded {
            decoded = self.write_and_decode(ready, chunks.next(), &mut file)?;
        }
        file.close()?;
        keep_draft(draft, out)
    }

    /// Writes the features of the images that are `ready` while the `next` ones are decoded.
    fn write_and_decode(
        &mut self,
        ready: Decoded,
        next: Option<Range<usize>>,
        file: &mut FeatureFile<File>,
    ) -> anyhow::Result<Option<Decoded>> {
        let embedding = self.embedding;
        self.done += ready.read;
        let Some(images) = ready.images.map(Arc::new) else {
            return Ok(next.map(|range| embedding.decode(range)).transpose()?);
        };
        let (bank, next) = std::thread::scope(|scope| {
            let next = next.map(|range| scope.spawn(|| embedding.decode(range)));
            let (encoder, tap) = (&embedding.encoder, &embedding.tap);
            let bank = extract(encoder, tap, &images, &embedding.options, &mut |_, _| ());
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join();
            (bank, next.map(join))
        });
        let bank = bank?;
        self.dim = bank.dim;
        file.write(&images, bank)?;
        self.embedded += images.len();
        self.advance.to(self.done, self.images.len());
        match next {
            None => Ok(None),
            Some(Ok(decoded)) => Ok(Some(decoded?)),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }

    fn show(self, out: &Path, json: bool) -> anyhow::Result<()> {
        let skipped = self.embedding.skips.list();
        let (rows, dim) = (self.images.len() - skipped.len(), self.dim);
        note_skipped(&skipped);
        if !json {
            let out = out.display();
            return print(&format!("{out}  {rows} rows of {dim} numbers"));
        }
        let seconds = self.started.elapsed().as_secs_f64();
        print_json(&json!({
            "file": out,
            "rows": rows,
            "dimension": dim,
            "embedded": self.embedded,
            "skipped": skipped,
            "seconds": seconds,
            "images_per_second": self.embedded as f64 / seconds,
            "peak_memory_mib": crate::memory::peak_mib(),
        }))
    }
}
