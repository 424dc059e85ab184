//! Hugging Face Parquet: a column `img` or `image` of encoded images, as a struct of `bytes` and
//! `path`, as plain bytes, or as text, or a column `path` or `file_name` of text; and a column
//! `label`, `labels` or `fine_label` of whole numbers, or none. Class names come from the metadata
//! key `huggingface`, where they are there.
//!
//! Text, and the `path` of an image without `bytes`, is the path of a file, relative to the folder
//! of the Parquet file. One that leads out of that folder (`..`, or absolute) is not followed.
//!
//! A split may lie in any number of files (shards). Row groups are decoded when one of their rows
//! is first asked for, and the last few are kept, so that a set larger than memory can be read.

mod claims;
mod columns;
mod format;
mod group;
mod shard;
mod thrift;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use self::group::{Group, Image};
use self::shard::Shard;
use super::recent::Recent;
use super::shards::{self, Shards};
use super::{
    Blocks, MOST_CLASSES, Payload, RawSample, Source, check_index, image_file, numbered_classes,
};
use crate::error::DataError;

/// Name of the format.
pub const FORMAT: &str = "parquet";

const EXTENSION: &str = ".parquet";

/// Decoded row groups that are kept: enough for the workers of a loading, which read neighbouring
/// rows.
const KEPT_GROUPS: usize = 4;

/// The shards in `folder`, which holds `names`, if there are any.
pub(super) fn find(folder: &Path, names: &[String]) -> Result<Option<Shards>, DataError> {
    shards::find(folder, names, |name| name.ends_with(EXTENSION))
}

/// Images in one or more Parquet files, in the order of the files and their rows.
pub struct ParquetSource {
    shards: Vec<Shard>,
    len: usize,
    class_names: Vec<String>,
    groups: Recent<Place, Group>,
}

/// Shard, and row group in it.
type Place = (usize, usize);

impl ParquetSource {
    /// Reads the footers of the files at `paths`.
    ///
    /// # Errors
    /// When a file is missing, truncated or no Parquet file, has no column of images, or names
    /// other classes than the first one; when there is no row in any of them.
    pub fn new(paths: &[PathBuf]) -> Result<Self, DataError> {
        let mut shards: Vec<Shard> = Vec::with_capacity(paths.len());
        let mut len = 0;
        for path in paths {
            let shard = Shard::open(path, len)?;
            len += shard.rows();
            if let Some(first) = shards
                .first()
                .filter(|first| first.classes != shard.classes)
            {
                let problem = format!(
                    "its classes are not those of {}, another file of the set",
                    first.path.display()
                );
                return Err(DataError::malformed(path, problem));
            }
            shards.push(shard);
        }
        if len == 0 {
            let path = paths.first().cloned().unwrap_or_default();
            return Err(DataError::Empty { path });
        }
        let class_names = match shards[0].classes.clone() {
            Some(names) => names,
            None => numbered(&shards)?,
        };
        Ok(Self {
            shards,
            len,
            class_names,
            groups: Recent::new(KEPT_GROUPS),
        })
    }

    /// A row group, from those that are kept or from its file.
    fn group(&self, place: Place) -> Result<Arc<Group>, DataError> {
        let read = || self.shards[place.0].read_group(place.1);
        self.groups.get(place, read)
    }
}

impl Source for ParquetSource {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        check_index(index, self.len)?;
        let after = self.shards.partition_point(|shard| shard.first <= index);
        let shard = &self.shards[after - 1];
        let row = index - shard.first;
        let number = shard.group_starts.partition_point(|&start| start <= row) - 1;
        let group = self.group((after - 1, number))?;
        let row_in_group = row - shard.group_starts[number];
        let fail = |problem: String| DataError::ParquetRow {
            path: shard.path.clone(),
            row_group: number,
            row,
            problem,
        };
        let label = group
            .label(row_in_group, self.class_names.len())
            .map_err(fail)?;
        let bytes = match group.image(row_in_group).map_err(fail)? {
            Image::Bytes(bytes) => bytes.to_vec(),
            Image::Path(path) => read_beside(&shard.path, path).map_err(fail)?,
        };
        Ok(RawSample {
            name: format!("{}, row {row}", shard.path.display()),
            payload: Payload::Encoded(bytes),
            label,
        })
    }

    /// Reads the columns of labels alone.
    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        // What a footer says of its rows is no reason to take memory for them.
        let mut labels = Vec::new();
        for shard in &self.shards {
            for number in 0..shard.group_starts.len() - 1 {
                labels.extend(shard.labels(number, self.class_names.len())?);
            }
        }
        Ok(labels)
    }

    fn blocks(&self) -> Option<Blocks> {
        let groups = |shard: &Shard| {
            let first = shard.first;
            let ends = shard.group_starts.windows(2);
            ends.map(|pair| first + pair[0]..first + pair[1])
                .filter(|rows| !rows.is_empty())
                .collect::<Vec<_>>()
        };
        Some(Blocks {
            ranges: self.shards.iter().flat_map(groups).collect(),
            at_once: KEPT_GROUPS / 2,
        })
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}

/// The file at `path`, which a row of `table` names.
fn read_beside(table: &Path, path: &str) -> Result<Vec<u8>, String> {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.is_empty() || !Path::new(path).components().all(inside) {
        return Err(format!(
            "path {path:?} is not followed out of the folder of the file"
        ));
    }
    let file = table.parent().unwrap_or(Path::new("")).join(path);
    image_file::read(&file, image_file::MOST_BYTES)
        .map_err(|problem| format!("{}: {problem}", file.display()))
}

/// Numbers in the place of class names, from the labels themselves.
fn numbered(shards: &[Shard]) -> Result<Vec<String>, DataError> {
    let mut most = None;
    for shard in shards {
        for number in 0..shard.group_starts.len() - 1 {
            let labels = shard.labels(number, MOST_CLASSES)?;
            most = most.max(labels.into_iter().flatten().max());
        }
    }
    Ok(numbered_classes(most.into_iter()))
}
