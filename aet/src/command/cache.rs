//! `aet cache`: decodes a set once, into files that are mapped into memory from then on.

use std::path::{Path, PathBuf};

use aet_data::source::decoded::{Written, file_of, write};
use aet_data::{LoadOptions, OnError, Source, Split};
use aet_learn::config::DataConfig;
use aet_learn::data::location;
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use crate::failure::usage;
use crate::output::{print, print_json};
use crate::progress::{Advance, note_skipped};

/// Decode a set once, for repeated epochs
///
/// Every image is decoded, brought to one size (or, with --shorter-side, kept in its proportions so
/// that crops can be taken from it) and written as it is in memory, with its label and name: a
/// folder with train.aetset and test.aetset. Named in the place of the data, such a folder is mapped
/// into memory: runs start at once, and the system holds as much of it in memory as there is room
/// for. Images that cannot be used are left out and listed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet cache photos/ --size 64 --out photos-64
  aet pretrain photos-64
  aet cache imagenet/ --shorter-side 256 --size 224 --out imagenet-256
  aet pretrain imagenet-256 --set augment.resize=256 --set data.image_size=[224,224]

A file takes 3 bytes for every pixel: 1,000 images of 64x64 take 12 MB, of 256x256 197 MB.")]
pub struct CacheArgs {
    /// Images: a folder, archive, Parquet file or any other format of `aet list`
    data: String,
    /// Folder to write
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Height and width of an item in pixels, or one number for both [default: that of all images]
    #[arg(long, value_name = "N", num_args = 1..=2)]
    size: Vec<usize>,
    /// Pixels of the shorter side that images are kept at, for augment.resize
    #[arg(long, value_name = "N", requires = "size")]
    shorter_side: Option<usize>,
    /// Largest share of images that may be left out because they cannot be used
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    most_skipped: f64,
    /// Most pixels that an image may have
    #[arg(long, value_name = "N")]
    max_pixels: Option<u64>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

impl CacheArgs {
    fn options(&self) -> anyhow::Result<LoadOptions> {
        let size = match *self.size.as_slice() {
            [] => None,
            [side] => Some([side, side]),
            [height, width, ..] => Some([height, width]),
        };
        if size.is_some_and(|size| size.contains(&0)) || self.shorter_side == Some(0) {
            return Err(usage("--size and --shorter-side are at least 1"));
        }
        if !(0.0..=1.0).contains(&self.most_skipped) {
            return Err(usage("--most-skipped is a share from 0 to 1"));
        }
        let mut options = LoadOptions {
            size,
            shorter_side: self.shorter_side,
            workers: rayon::current_num_threads(),
            on_error: OnError::Skip {
                most: self.most_skipped,
            },
            ..LoadOptions::default()
        };
        if let Some(most) = self.max_pixels {
            options.decode.max_pixels = most;
        }
        Ok(options)
    }
}

/// Writes the files.
///
/// # Errors
/// When the images cannot be read, too many of them are broken, or the disk refuses.
pub fn run(args: CacheArgs) -> anyhow::Result<()> {
    let options = args.options()?;
    let mut config = DataConfig::default();
    config.path.clone_from(&args.data);
    let location = location(&config);
    let train = aet_data::open(&location, Split::Train)?;
    let test = match aet_data::open(&location, Split::Test) {
        Ok(test) => Some(test),
        Err(error) if error.is_no_split() => None,
        Err(error) => return Err(error.into()),
    };
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    let mut written = Vec::new();
    let sources = [(Split::Train, Some(train)), (Split::Test, test)];
    for (split, source) in sources {
        if let Some(source) = source {
            let path = file_of(&args.out, split);
            let found = write_split(source.as_ref(), &options, &path)?;
            written.push((split, path, found));
        }
    }
    show(&written, args.json)
}

fn write_split(source: &dyn Source, options: &LoadOptions, path: &Path) -> anyhow::Result<Written> {
    let advance = Advance::new("decoding");
    let written = write(source, options, path, &mut |done, total| {
        advance.to(done, total);
    });
    drop(advance);
    let written = written?;
    note_skipped(&written.skipped);
    Ok(written)
}

fn show(written: &[(Split, PathBuf, Written)], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let files = written.iter().map(|(split, path, found)| {
            json!({
                "split": split.name(), "file": path, "images": found.count, "size": found.size,
                "bytes": found.bytes, "skipped": found.skipped,
            })
        });
        return print_json(&Value::Array(files.collect()));
    }
    let lines = written.iter().map(|(split, path, found)| {
        let [height, width] = found.size;
        format!(
            "{}  {}  {} images of {height}x{width}, {:.1} MB, {} left out",
            split.name(),
            path.display(),
            found.count,
            found.bytes as f64 / 1e6,
            found.skipped.len()
        )
    });
    print(&lines.collect::<Vec<_>>().join("\n"))
}
