//! Which files of a folder belong to which split, for formats that keep a split in any number of
//! files (shards).

use std::path::{Path, PathBuf};

use super::{Split, file_names, no_split};
use crate::error::DataError;

/// Whether a file is a shard, by its name.
type IsShard = fn(&str) -> bool;

/// So many entries of a folder are looked at to tell whether it is one of shards.
const LOOKED_AT: usize = 1_000;
/// A folder with more in it than this is not searched for its only sub-folder.
const MOST_BESIDE: usize = 32;

/// The shards of a set, sorted by name.
#[derive(Debug, Default)]
pub(super) struct Shards {
    train: Vec<PathBuf>,
    test: Vec<PathBuf>,
}

impl Shards {
    /// The shards of `split` of the set in `folder`.
    pub(super) fn of(self, folder: &Path, split: Split) -> Result<Vec<PathBuf>, DataError> {
        let shards = match split {
            Split::Train => self.train,
            Split::Test => self.test,
        };
        match shards.is_empty() {
            true => Err(no_split(folder, split)),
            false => Ok(shards),
        }
    }

    fn found(self) -> Option<Self> {
        Some(self).filter(|shards| !shards.train.is_empty() || !shards.test.is_empty())
    }
}

/// The shards of the set in `folder`, which holds the files `names`: those in it, else those in
/// its `train/` and `test/`, else those in its `data/` or its only sub-folder, in the same ways.
pub(super) fn find(
    folder: &Path,
    names: &[String],
    is_shard: IsShard,
) -> Result<Option<Shards>, DataError> {
    if let Some(found) = find_here(folder, names, is_shard)? {
        return Ok(Some(found));
    }
    match folder_below(folder, names) {
        Some(below) if holds_shards(&below, is_shard) => {
            find_here(&below, &file_names(&below)?, is_shard)
        }
        Some(below) => find_here(&below, &[], is_shard),
        None => Ok(None),
    }
}

fn find_here(
    folder: &Path,
    names: &[String],
    is_shard: IsShard,
) -> Result<Option<Shards>, DataError> {
    if names.iter().any(|name| is_shard(name)) {
        return Ok(by_name(folder, names, is_shard).found());
    }
    let shards = Shards {
        train: in_subfolder(folder, is_shard, Split::Train)?,
        test: in_subfolder(folder, is_shard, Split::Test)?,
    };
    Ok(shards.found())
}

/// Shards are named after their split; where none is, all of them are training images.
fn by_name(folder: &Path, names: &[String], is_shard: IsShard) -> Shards {
    let named = |split: Split| {
        let with = |split_name: &&str| {
            let belongs = |name: &&String| is_shard(name) && is_named_after(name, split_name);
            let found = names.iter().filter(belongs).map(|name| folder.join(name));
            Some(found.collect::<Vec<_>>()).filter(|found| !found.is_empty())
        };
        (split.names_on_disk().iter())
            .find_map(with)
            .unwrap_or_default()
    };
    let (mut train, test) = (named(Split::Train), named(Split::Test));
    if train.is_empty() && test.is_empty() {
        let all = names.iter().filter(|name| is_shard(name));
        train = all.map(|name| folder.join(name)).collect();
    }
    Shards { train, test }
}

/// Whether `name` is that of a split and something that is no letter or digit.
pub(super) fn is_named_after(name: &str, split_name: &str) -> bool {
    (name.strip_prefix(split_name))
        .is_some_and(|rest| rest.starts_with(|next: char| !next.is_alphanumeric()))
}

fn in_subfolder(folder: &Path, is_shard: IsShard, split: Split) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = split.names_on_disk().iter().map(|name| folder.join(name));
    let Some(path) = paths.find(|path| holds_shards(path, is_shard)) else {
        return Ok(Vec::new());
    };
    let names = file_names(&path)?;
    let shards = names.iter().filter(|name| is_shard(name));
    Ok(shards.map(|name| path.join(name)).collect())
}

/// Whether there is a shard among the first entries of a folder. (There may be a million images in
/// it, so not all of them are looked at.)
fn holds_shards(path: &Path, is_shard: IsShard) -> bool {
    std::fs::read_dir(path).is_ok_and(|entries| {
        let mut names = (entries.take(LOOKED_AT).flatten()).map(|entry| entry.file_name());
        names.any(|name| name.to_str().is_some_and(is_shard))
    })
}

/// `data/`, as in the repositories of Hugging Face, or the only sub-folder.
fn folder_below(folder: &Path, names: &[String]) -> Option<PathBuf> {
    let data = folder.join("data");
    if names.iter().any(|name| name == "data") && data.is_dir() {
        return Some(data);
    }
    if names.len() > MOST_BESIDE {
        return None;
    }
    let mut below = (names.iter().map(|name| folder.join(name))).filter(|path| path.is_dir());
    let first = below.next()?;
    below.next().is_none().then_some(first)
}
