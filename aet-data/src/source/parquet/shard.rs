//! One file of Parquet: its footer, and its row groups.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;

use super::claims::{check_footer, check_pages};
use super::columns::{ImageColumn, class_names, image_column, label_column};
use super::group::Group;
use crate::error::DataError;
use crate::source::positioned::{PositionedFile, open_regular};

/// One file.
pub(super) struct Shard {
    pub(super) path: PathBuf,
    metadata: ArrowReaderMetadata,
    /// Index of its first row in the set.
    pub(super) first: usize,
    /// First row of every row group that has any; one more entry, the number of rows, at the end.
    pub(super) group_starts: Vec<usize>,
    images: ImageColumn,
    label_column: Option<&'static str>,
    pub(super) classes: Option<Vec<String>>,
}

/// Rows of a group from here on are taken for damage: a group is read as a whole.
const MOST_ROWS: usize = 1 << 24;
/// Groups of fewer rows are not worth a look at their columns.
const FEW_ROWS: i64 = 1 << 16;

impl Shard {
    pub(super) fn open(path: &Path, first: usize) -> Result<Self, DataError> {
        check_footer(&PositionedFile::open(path)?)?;
        let file = open_regular(path)?;
        let load = || ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let metadata = guarded(load).map_err(|error| broken(path, None, error))?;
        let schema = metadata.schema();
        let images = image_column(schema, path)?;
        let label_column = label_column(schema, path)?;
        let classes = match label_column {
            Some(column) => class_names(schema, column, path)?,
            None => None,
        };
        let mut group_starts = vec![0];
        let mut rows = 0;
        for (number, group) in metadata.metadata().row_groups().iter().enumerate() {
            check_rows(number, group).map_err(|problem| DataError::malformed(path, problem))?;
            let count = usize::try_from(group.num_rows()).ok();
            let count = count.filter(|count| *count <= MOST_ROWS);
            let after = count.and_then(|count| first.checked_add(rows)?.checked_add(count));
            let problem =
                "a row group of a number of rows that no file has; fetch or copy it again";
            rows = after.ok_or_else(|| DataError::malformed(path, problem))? - first;
            group_starts.push(rows);
        }
        Ok(Self {
            path: path.to_path_buf(),
            metadata,
            first,
            group_starts,
            images,
            label_column,
            classes,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.group_starts.last().copied().unwrap_or(0)
    }

    fn rows_of(&self, group: usize) -> usize {
        self.group_starts[group + 1] - self.group_starts[group]
    }

    /// The labels of one row group; `None` also for one that is none of `classes`.
    pub(super) fn labels(
        &self,
        number: usize,
        classes: usize,
    ) -> Result<Vec<Option<u32>>, DataError> {
        let rows = self.rows_of(number);
        let Some(column) = self.label_column.filter(|_| rows > 0) else {
            return Ok(vec![None; rows]);
        };
        let batch = self.read_columns(number, [column])?;
        let group = Group {
            bytes: None,
            paths: None,
            labels: Some(batch.column(0).clone()),
        };
        Ok((0..rows)
            .map(|row| group.label(row, classes).unwrap_or(None))
            .collect())
    }

    pub(super) fn read_group(&self, number: usize) -> Result<Group, DataError> {
        let images = &self.images;
        let leaves = [
            images.bytes.as_deref(),
            images.path.as_deref(),
            self.label_column,
        ];
        let batch = self.read_columns(number, leaves.into_iter().flatten())?;
        let missing = || {
            let problem = format!("row group {number} lacks a column that the footer names");
            DataError::malformed(&self.path, problem)
        };
        let column = |leaf: Option<&str>| match leaf {
            Some(leaf) => leaf_of(&batch, leaf).map(Some).ok_or_else(missing),
            None => Ok(None),
        };
        Ok(Group {
            bytes: column(images.bytes.as_deref())?,
            paths: column(images.path.as_deref())?,
            labels: column(self.label_column)?,
        })
    }

    /// One row group of the given leaf columns, as one batch.
    fn read_columns<'a>(
        &self,
        number: usize,
        leaves: impl IntoIterator<Item = &'a str>,
    ) -> Result<RecordBatch, DataError> {
        let fail = |error: ParquetError| broken(&self.path, Some(number), error);
        let file = open_regular(&self.path)?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let columns = ProjectionMask::columns(builder.parquet_schema(), leaves);
        let positioned = PositionedFile::open(&self.path)?;
        let chunks = self.metadata.metadata().row_group(number).columns();
        for (_, chunk) in (chunks.iter().enumerate()).filter(|(at, _)| columns.leaf_included(*at)) {
            check_pages(&positioned, chunk)?;
        }
        let read = || {
            let mut batches = builder
                .with_row_groups(vec![number])
                .with_projection(columns)
                .with_batch_size(self.rows_of(number).max(1))
                .build()?;
            match batches.next() {
                Some(Ok(batch)) if batch.num_rows() == self.rows_of(number) => Ok(batch),
                Some(Err(error)) => Err(error.into()),
                _ => Err(ParquetError::EOF("fewer rows than stated".to_owned())),
            }
        };
        guarded(read).map_err(fail)
    }
}

/// Holds the rows that a large group claims against the values of its columns, before there is memory
/// for as many.
fn check_rows(number: usize, group: &RowGroupMetaData) -> Result<(), String> {
    let rows = group.num_rows();
    let short = (group.columns().iter()).find(|column| column.num_values() < rows);
    match short {
        Some(column) if (FEW_ROWS..=MOST_ROWS as i64).contains(&rows) => Err(format!(
            "row group {number} is of {rows} rows, but column `{}` of {} values; fetch or copy it \
             again",
            column.column_path().string(),
            column.num_values()
        )),
        _ => Ok(()),
    }
}

/// A column, or a field of a struct (`image.bytes`).
fn leaf_of(batch: &RecordBatch, leaf: &str) -> Option<ArrayRef> {
    match leaf.split_once('.') {
        Some((column, field)) => {
            let fields = batch.column_by_name(column)?.as_struct_opt()?;
            fields.column_by_name(field).cloned()
        }
        None => batch.column_by_name(leaf).cloned(),
    }
}

/// What `read` gives. On damaged pages the reader of the parquet crate can panic (seen at 60.1: a
/// division by zero); that is an error of the file here.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let problem = "its pages are damaged beyond what the reader checks";
        Err(ParquetError::General(problem.to_owned()))
    })
}

fn broken(path: &Path, row_group: Option<usize>, source: ParquetError) -> DataError {
    DataError::Parquet {
        path: path.to_path_buf(),
        row_group,
        source,
    }
}
