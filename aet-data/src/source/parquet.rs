//! Hugging Face Parquet: a column `img` or `image` of encoded images, as a struct of `bytes` and
//! `path` or as plain bytes, and a column `label`, `labels` or `fine_label` of whole numbers, or
//! none. Class names come from the metadata key `huggingface`, where they are there.
//!
//! A split may lie in any number of files (shards). Row groups are decoded when one of their rows
//! is first asked for, and the last few are kept, so that a set larger than memory can be read.

mod columns;

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use self::columns::{class_names, image_column, label_column};
use super::{Blocks, Payload, RawSample, Source, Split, no_split, numbered_classes};
use crate::error::DataError;

/// Name of the format.
pub const FORMAT: &str = "parquet";

const EXTENSION: &str = ".parquet";

/// Decoded row groups that are kept: enough for the workers of a loading, which read neighbouring
/// rows.
const KEPT_GROUPS: usize = 4;

/// Whether a folder with these file names is one of Parquet files.
pub(crate) fn matches(names: &[String]) -> bool {
    names.iter().any(|name| name.ends_with(EXTENSION))
}

/// Opens the shards of `split` in `folder`, which holds the files `names`. Where no file is named
/// after a split, all of them are training images.
pub(crate) fn open(
    folder: &Path,
    names: &[String],
    split: Split,
) -> Result<Box<dyn Source>, DataError> {
    let files = || names.iter().filter(|name| name.ends_with(EXTENSION));
    let named = |split_name: &'static str| {
        let belongs = move |name: &&String| {
            (name.strip_prefix(split_name))
                .is_some_and(|rest| rest.starts_with(|next: char| !next.is_alphanumeric()))
        };
        let mut found = files().filter(belongs).peekable();
        found.peek().is_some().then(|| found.collect::<Vec<_>>())
    };
    let wanted = split.names_on_disk().iter().copied().find_map(named);
    let no_file_is_named_after_a_split = || {
        let mut all_names = [Split::Train, Split::Test]
            .into_iter()
            .flat_map(Split::names_on_disk);
        all_names.all(|name| named(name).is_none())
    };
    let shards = match wanted {
        Some(shards) => shards,
        None if split == Split::Train && no_file_is_named_after_a_split() => files().collect(),
        None => return Err(no_split(folder, split)),
    };
    let paths: Vec<PathBuf> = shards.iter().map(|name| folder.join(name)).collect();
    Ok(Box::new(ParquetSource::new(&paths)?))
}

/// Images in one or more Parquet files, in the order of the files and their rows.
pub struct ParquetSource {
    shards: Vec<Shard>,
    len: usize,
    class_names: Vec<String>,
    /// The row groups read last, newest in front.
    kept: Mutex<VecDeque<(Place, Arc<Group>)>>,
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
            kept: Mutex::new(VecDeque::with_capacity(KEPT_GROUPS + 1)),
        })
    }

    /// A row group, from those that are kept or from its file. One thread at a time decodes, the
    /// others wait for it: they are most likely after the same group.
    fn group(&self, place: Place) -> Result<Arc<Group>, DataError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, group)) = kept.iter().find(|(known, _)| *known == place) {
            return Ok(Arc::clone(group));
        }
        let group = Arc::new(self.shards[place.0].read_group(place.1)?);
        kept.push_front((place, Arc::clone(&group)));
        kept.truncate(KEPT_GROUPS);
        Ok(group)
    }
}

impl Source for ParquetSource {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        if index >= self.len {
            let len = self.len;
            return Err(DataError::OutOfRange { index, len });
        }
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
        let bytes = group.bytes(row_in_group).map_err(fail)?;
        let label = group
            .label(row_in_group, self.class_names.len())
            .map_err(fail)?;
        Ok(RawSample {
            name: format!("{}, row {row}", shard.path.display()),
            payload: Payload::Encoded(bytes),
            label,
        })
    }

    /// Reads the columns of labels alone.
    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        let mut labels = Vec::with_capacity(self.len);
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

/// One file.
struct Shard {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    /// Index of its first row in the set.
    first: usize,
    /// First row of every row group that has any; one more entry, the number of rows, at the end.
    group_starts: Vec<usize>,
    image_column: &'static str,
    image_leaf: String,
    label_column: Option<&'static str>,
    classes: Option<Vec<String>>,
}

impl Shard {
    fn open(path: &Path, first: usize) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|error| DataError::io(path, error))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| broken(path, None, error))?;
        let schema = metadata.schema();
        let (image_column, image_leaf) = image_column(schema, path)?;
        let label_column = label_column(schema, path)?;
        let classes = match label_column {
            Some(column) => class_names(schema, column, path)?,
            None => None,
        };
        let mut group_starts = vec![0];
        let mut rows = 0;
        for group in metadata.metadata().row_groups() {
            let count = usize::try_from(group.num_rows())
                .map_err(|_| DataError::malformed(path, "a row group of less than 0 rows"))?;
            rows += count;
            group_starts.push(rows);
        }
        Ok(Self {
            path: path.to_path_buf(),
            metadata,
            first,
            group_starts,
            image_column,
            image_leaf,
            label_column,
            classes,
        })
    }

    fn rows(&self) -> usize {
        self.group_starts.last().copied().unwrap_or(0)
    }

    fn rows_of(&self, group: usize) -> usize {
        self.group_starts[group + 1] - self.group_starts[group]
    }

    /// The labels of one row group; `None` also for one that is none of `classes`.
    fn labels(&self, number: usize, classes: usize) -> Result<Vec<Option<u32>>, DataError> {
        let rows = self.rows_of(number);
        let Some(column) = self.label_column.filter(|_| rows > 0) else {
            return Ok(vec![None; rows]);
        };
        let batch = self.read_columns(number, [column])?;
        let group = Group {
            images: batch.column(0).clone(),
            labels: Some(batch.column(0).clone()),
        };
        Ok((0..rows)
            .map(|row| group.label(row, classes).unwrap_or(None))
            .collect())
    }

    fn read_group(&self, number: usize) -> Result<Group, DataError> {
        let leaves = [Some(self.image_leaf.as_str()), self.label_column];
        let batch = self.read_columns(number, leaves.into_iter().flatten())?;
        let missing = || {
            let problem = format!("row group {number} lacks a column that the footer names");
            DataError::malformed(&self.path, problem)
        };
        let column = batch
            .column_by_name(self.image_column)
            .ok_or_else(missing)?;
        let images = match column.as_struct_opt() {
            Some(fields) => fields.column_by_name("bytes").ok_or_else(missing)?.clone(),
            None => column.clone(),
        };
        let labels = match self.label_column {
            Some(name) => Some(batch.column_by_name(name).ok_or_else(missing)?.clone()),
            None => None,
        };
        Ok(Group { images, labels })
    }

    /// One row group of the given leaf columns, as one batch.
    fn read_columns<'a>(
        &self,
        number: usize,
        leaves: impl IntoIterator<Item = &'a str>,
    ) -> Result<RecordBatch, DataError> {
        let fail = |error: ParquetError| broken(&self.path, Some(number), error);
        let file = File::open(&self.path).map_err(|error| DataError::io(&self.path, error))?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let columns = ProjectionMask::columns(builder.parquet_schema(), leaves);
        let mut batches = builder
            .with_row_groups(vec![number])
            .with_projection(columns)
            .with_batch_size(self.rows_of(number).max(1))
            .build()
            .map_err(fail)?;
        match batches.next() {
            Some(Ok(batch)) if batch.num_rows() == self.rows_of(number) => Ok(batch),
            Some(Err(error)) => Err(fail(error.into())),
            _ => Err(fail(ParquetError::EOF("fewer rows than stated".to_owned()))),
        }
    }
}

/// The columns of one row group.
struct Group {
    images: ArrayRef,
    labels: Option<ArrayRef>,
}

impl Group {
    fn bytes(&self, row: usize) -> Result<Vec<u8>, String> {
        if self.images.is_null(row) {
            return Err("there is no image in it, or only the path of one".to_owned());
        }
        let bytes = match self.images.data_type() {
            DataType::Binary => self.images.as_binary::<i32>().value(row),
            DataType::LargeBinary => self.images.as_binary::<i64>().value(row),
            other => return Err(format!("images of type {other} cannot be read")),
        };
        Ok(bytes.to_vec())
    }

    /// A null and a -1 stand for no label.
    fn label(&self, row: usize, classes: usize) -> Result<Option<u32>, String> {
        let Some(labels) = self.labels.as_ref().filter(|labels| labels.is_valid(row)) else {
            return Ok(None);
        };
        let label = match labels.data_type() {
            DataType::Int8 => labels.as_primitive::<Int8Type>().value(row).into(),
            DataType::Int16 => labels.as_primitive::<Int16Type>().value(row).into(),
            DataType::Int32 => labels.as_primitive::<Int32Type>().value(row).into(),
            DataType::Int64 => labels.as_primitive::<Int64Type>().value(row),
            DataType::UInt8 => labels.as_primitive::<UInt8Type>().value(row).into(),
            DataType::UInt16 => labels.as_primitive::<UInt16Type>().value(row).into(),
            DataType::UInt32 => labels.as_primitive::<UInt32Type>().value(row).into(),
            DataType::UInt64 => (labels.as_primitive::<UInt64Type>().value(row))
                .try_into()
                .unwrap_or(i64::MAX),
            other => return Err(format!("labels of type {other} cannot be read")),
        };
        match u32::try_from(label) {
            Ok(label) if (label as usize) < classes => Ok(Some(label)),
            Err(_) if label == -1 => Ok(None),
            _ => Err(format!("label {label} is none of the {classes} classes")),
        }
    }
}

/// Numbers in the place of class names, from the labels themselves.
fn numbered(shards: &[Shard]) -> Result<Vec<String>, DataError> {
    let mut most = None;
    for shard in shards {
        let Some(column) = shard.label_column else {
            continue;
        };
        for number in 0..shard.group_starts.len() - 1 {
            if shard.rows_of(number) == 0 {
                continue;
            }
            let batch = shard.read_columns(number, [column])?;
            let group = Group {
                images: batch.column(0).clone(),
                labels: Some(batch.column(0).clone()),
            };
            for row in 0..batch.num_rows() {
                let fail = |problem| DataError::ParquetRow {
                    path: shard.path.clone(),
                    row_group: number,
                    row: shard.group_starts[number] + row,
                    problem,
                };
                most = most.max(group.label(row, MOST_CLASSES).map_err(fail)?);
            }
        }
    }
    Ok(numbered_classes(most.into_iter()))
}

/// Labels from here on are taken for a mistake where no class names say otherwise.
const MOST_CLASSES: usize = 1 << 20;

fn broken(path: &Path, row_group: Option<usize>, source: ParquetError) -> DataError {
    DataError::Parquet {
        path: path.to_path_buf(),
        row_group,
        source,
    }
}
