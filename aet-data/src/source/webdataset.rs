//! WebDataset: tar archives (shards), plain or compressed by gzip. Members whose names agree up to
//! the first dot of the file name are one sample: the image by its extension, and its label from
//! `.cls`, a number as text, or from a whole number at `label`, `cls` or `class` of `.json`. Other
//! members are passed over; so is everything that is no regular file. Names are labels to tell
//! members apart and nothing more: nothing is ever written by them.
//!
//! Every shard is gone through once when the set is opened, past the data, into an index of where
//! each image lies. A plain shard is then read in any order. One that is compressed is unpacked when
//! one of its images is first asked for, into a file without a name in the folder for temporary
//! files, and the last few of these are kept, so a reader in random order should follow
//! [`blocks`](Source::blocks): a block is a shard.
//!
//! A shard that is damaged or cut short keeps the images before the damage. One more image, which
//! cannot be read, stands for all that came after: it is left out, counted and listed, or ends the
//! run, as broken images do.

mod archive;
mod samples;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use rayon::prelude::*;

use self::archive::{PackedTape, PlainTape, walk};
use self::samples::{Grouping, Samples};
use super::positioned::{PositionedFile, open_regular};
use super::recent::Recent;
use super::shards::{self, Shards, is_named_after};
use super::unpack::{Unpacking, unpack};
use super::{Blocks, Payload, RawSample, Source, Split, check_index, image_file, numbered_classes};
use crate::error::DataError;

/// Name of the format.
pub const FORMAT: &str = "webdataset";

/// Plain shards that are kept open.
const OPEN_SHARDS: usize = 64;
/// Unpacked shards that are kept, if nothing else is said.
const UNPACKED_SHARDS: usize = 4;

/// Whether a file is a shard, by its name.
pub(crate) fn is_shard(name: &str) -> bool {
    name.ends_with(".tar") || is_packed(name)
}

fn is_packed(name: &str) -> bool {
    name.ends_with(".tar.gz") || name.ends_with(".tgz")
}

/// The shards in `folder`, which holds `names`, if there are any. Archives that lie beside a set are
/// what it came in, not shards.
pub(super) fn find(folder: &Path, names: &[String]) -> Result<Option<Shards>, DataError> {
    match names.iter().any(|name| is_shard(name)) && are_beside_a_set(folder, names) {
        true => shards::find(folder, &[], is_shard),
        false => shards::find(folder, names, is_shard),
    }
}

/// Whether the archives in `folder` lie beside folders named for a split, or, where no archive is
/// named for one, beside images or any folders.
fn are_beside_a_set(folder: &Path, names: &[String]) -> bool {
    let splits = || {
        let splits = [Split::Train, Split::Test].into_iter();
        splits.flat_map(Split::names_on_disk)
    };
    let (archives, others): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| is_shard(name));
    let named = splits().any(|split| archives.iter().any(|name| is_named_after(name, split)));
    others.iter().any(|name| match named {
        true => splits().any(|split| name == split) && folder.join(name).is_dir(),
        false => samples::is_image(name) || folder.join(name).is_dir(),
    })
}

/// Images in one or more shards, in the order of the shards and their members.
pub struct WebDatasetSource {
    shards: Vec<Shard>,
    len: usize,
    class_names: Vec<String>,
    plain: Recent<usize, PositionedFile>,
    unpacked: Recent<usize, PositionedFile>,
}

struct Shard {
    path: PathBuf,
    packed: bool,
    /// Index of its first image in the set.
    first: usize,
    samples: Samples,
}

impl WebDatasetSource {
    /// Goes through the shards at `paths`, several at a time.
    ///
    /// # Errors
    /// When a shard cannot be read, is no archive, or is damaged before its first image is whole (the
    /// message names the byte and the last whole member), or when there is no image in any of them.
    /// An image whose label cannot be used is an error when it is read, and so is what stands for the
    /// part of a shard behind its damage.
    pub fn new(paths: &[PathBuf]) -> Result<Self, DataError> {
        let indexed: Vec<_> = paths.par_iter().map(|path| index(path)).collect();
        let mut shards = Vec::with_capacity(paths.len());
        let mut len = 0;
        for (path, samples) in paths.iter().zip(indexed) {
            let samples = samples?;
            let first = len;
            len += samples.len();
            shards.push(Shard {
                path: path.clone(),
                packed: is_packed(&path.to_string_lossy()),
                first,
                samples,
            });
        }
        if len == 0 {
            let path = paths.first().cloned().unwrap_or_default();
            return Err(DataError::Empty { path });
        }
        let labels = shards.iter().flat_map(|shard| shard.samples.labels());
        Ok(Self {
            class_names: numbered_classes(labels.flatten()),
            shards,
            len,
            plain: Recent::new(OPEN_SHARDS),
            unpacked: Recent::new(UNPACKED_SHARDS),
        })
    }

    /// Keeps the last `count` unpacked shards instead of 4 (at least one). Each takes the room of
    /// its whole contents in the folder for temporary files.
    pub fn keep_unpacked(mut self, count: usize) -> Self {
        self.unpacked = Recent::new(count);
        self
    }

    fn file(&self, number: usize) -> Result<Arc<PositionedFile>, DataError> {
        let shard = &self.shards[number];
        let path = shard.path.as_path();
        match shard.packed {
            false => self.plain.get(number, || PositionedFile::open(path)),
            true => (self.unpacked).get(number, || {
                let whole = shard.samples.whole.unwrap_or(u64::MAX);
                unpack(&mut gunzip(path)?.take(whole), path)
            }),
        }
    }
}

impl Source for WebDatasetSource {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        check_index(index, self.len)?;
        let number = self.shards.partition_point(|shard| shard.first <= index) - 1;
        let shard = &self.shards[number];
        let sample = shard.samples.get(index - shard.first);
        let name = format!("{}, {}", shard.path.display(), sample.name);
        let fail = |name: &str, problem: String| DataError::Image {
            index,
            name: name.to_owned(),
            problem,
        };
        let label = sample.label.map_err(|problem| fail(&name, problem))?;
        if sample.length > image_file::MOST_BYTES {
            let problem = format!("{} bytes are too many for an image", sample.length);
            return Err(fail(&name, problem));
        }
        let bytes = self.file(number)?.read(sample.offset, sample.length)?;
        Ok(RawSample {
            name,
            payload: Payload::Encoded(bytes),
            label,
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        let labels = self.shards.iter().flat_map(|shard| shard.samples.labels());
        Ok(labels.collect())
    }

    fn blocks(&self) -> Option<Blocks> {
        let block = |shard: &Shard| shard.first..shard.first + shard.samples.len();
        let blocks = self.shards.iter().map(block);
        Some(Blocks {
            ranges: blocks.filter(|block| !block.is_empty()).collect(),
            at_once: UNPACKED_SHARDS / 2,
        })
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}

/// Where the images of one shard lie.
fn index(path: &Path) -> Result<Samples, DataError> {
    let mut grouping = Grouping::default();
    let mut visit = |member: &archive::Member, data: &mut dyn Read| grouping.add(member, data);
    let walked = match is_packed(&path.to_string_lossy()) {
        false => walk(PlainTape::new(PositionedFile::open(path)?), &mut visit),
        true => walk(PackedTape(gunzip(path)?), &mut visit),
    };
    let Err(damage) = walked else {
        return Ok(grouping.finish());
    };
    let samples = grouping.finish_damaged(&damage);
    samples.ok_or_else(|| DataError::malformed(path, damage.problem))
}

/// What a compressed shard unpacks to.
fn gunzip(path: &Path) -> Result<Unpacking<MultiGzDecoder<BufReader<File>>>, DataError> {
    let file = open_regular(path)?;
    let metadata = file.metadata();
    let packed = metadata.map_err(|error| DataError::io(path, error))?.len();
    let reader = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file));
    Ok(Unpacking::new(reader, packed))
}
