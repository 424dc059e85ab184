//! Reading features, a block of rows at a time, from a file or a folder of shards.

use std::collections::VecDeque;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use aet_data::DataError;
use aet_learn::embed::FeatureBank;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, Float32Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use super::{EMBEDDING, EXTENSION, LABEL};

/// Features on disk, whose footers were read.
#[derive(Debug)]
pub struct FeatureShards {
    /// The file or folder that was named.
    pub path: PathBuf,
    /// Rows of all shards.
    pub rows: usize,
    /// Numbers in a row.
    pub dim: usize,
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
}

/// Consecutive rows.
#[derive(Debug)]
pub struct Block {
    features: Float32Array,
    /// The class of each; None where a row has none.
    pub labels: Option<Vec<u32>>,
}

impl Block {
    /// `[rows, dim]`.
    pub fn features(&self) -> &[f32] {
        self.features.values()
    }
}

impl FeatureShards {
    /// Opens the file at `path`, or all files of Parquet in that folder in the order of their names.
    ///
    /// # Errors
    /// When there is none, a footer is damaged, a column is missing or of another type, or files
    /// differ in the length of their embeddings.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let mut shards = Vec::new();
        let (mut rows, mut dim) = (0, None);
        for file in files(path)? {
            let opened = File::open(&file).map_err(|source| io(&file, source))?;
            let metadata = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new())
                .map_err(|source| broken(&file, source))?;
            let found = dimension(&metadata, &file)?;
            label_column(&metadata, &file)?;
            if let Some(first) = dim.filter(|first| *first != found) {
                let problem = format!("embeddings of {found} numbers after some of {first}");
                return Err(malformed(&file, problem));
            }
            dim = Some(found);
            let count = metadata.metadata().file_metadata().num_rows();
            rows +=
                usize::try_from(count).map_err(|_| malformed(&file, "less than 0 rows".into()))?;
            shards.push(Shard {
                path: file,
                metadata,
            });
        }
        match dim {
            Some(dim) if rows > 0 => Ok(Self {
                path: path.to_path_buf(),
                rows,
                dim,
                shards,
            }),
            _ => Err(malformed(path, "no row of embeddings in it".into())),
        }
    }

    /// The rows, at most `rows` at a time; a block does not go over the end of a shard.
    pub fn blocks(&self, rows: usize) -> Blocks<'_> {
        Blocks {
            dim: self.dim,
            rows,
            waiting: self.shards.iter().collect(),
            reading: None,
        }
    }

    /// All rows, and their labels if every one has one.
    ///
    /// # Errors
    /// As a block.
    pub fn read_all(&self) -> Result<(FeatureBank, Option<Vec<u32>>), DataError> {
        let mut features = Vec::with_capacity(self.rows * self.dim);
        let mut labels = Some(Vec::with_capacity(self.rows));
        for block in self.blocks(8192) {
            let block = block?;
            features.extend_from_slice(block.features());
            extend(&mut labels, block.labels);
        }
        let bank = FeatureBank {
            features,
            dim: self.dim,
            shape: [self.dim, 1, 1],
        };
        Ok((bank, labels))
    }
}

/// Adds the labels of a block to `labels`, which are None once one is missing.
pub fn extend(labels: &mut Option<Vec<u32>>, more: Option<Vec<u32>>) {
    match (&mut *labels, more) {
        (Some(all), Some(more)) => all.extend(more),
        _ => *labels = None,
    }
}

/// The blocks of some features, in order.
pub struct Blocks<'a> {
    dim: usize,
    rows: usize,
    waiting: VecDeque<&'a Shard>,
    reading: Option<(&'a Shard, ParquetRecordBatchReader)>,
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((shard, reader)) = &mut self.reading {
                let path = &shard.path;
                let fail = |why: String| malformed(path, format!("cannot be decoded: {why}"));
                // The decoder answers some kinds of damage with a panic.
                let read = AssertUnwindSafe(|| reader.next());
                let Ok(next) = std::panic::catch_unwind(read) else {
                    self.reading = None;
                    return Some(Err(fail("it is damaged".into())));
                };
                match next {
                    Some(Ok(batch)) if batch.num_rows() == 0 => continue,
                    Some(Ok(batch)) => return Some(block(&batch, self.dim, path)),
                    Some(Err(source)) => return Some(Err(fail(source.to_string()))),
                    None => self.reading = None,
                }
            }
            let shard = self.waiting.pop_front()?;
            match shard.reader(self.rows) {
                Ok(reader) => self.reading = Some((shard, reader)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Shard {
    fn reader(&self, rows: usize) -> Result<ParquetRecordBatchReader, DataError> {
        let file = File::open(&self.path).map_err(|source| io(&self.path, source))?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let schema = builder.parquet_schema();
        let wanted = schema.root_schema().get_fields().iter().enumerate();
        let roots: Vec<usize> = wanted
            .filter(|(_, field)| [LABEL, EMBEDDING].contains(&field.name()))
            .map(|(place, _)| place)
            .collect();
        let columns = ProjectionMask::roots(schema, roots);
        builder
            .with_projection(columns)
            .with_batch_size(rows)
            .build()
            .map_err(|source| broken(&self.path, source))
    }
}

/// The embeddings and labels of `batch`, whose columns were checked.
fn block(batch: &RecordBatch, dim: usize, path: &Path) -> Result<Block, DataError> {
    let missing = || malformed(path, format!("lacks the column {EMBEDDING}"));
    let column = batch.column_by_name(EMBEDDING).ok_or_else(missing)?;
    let lists = column.as_fixed_size_list_opt().ok_or_else(missing)?;
    let features = lists.values().as_primitive_opt::<Float32Type>();
    let features = features.ok_or_else(missing)?.clone();
    if lists.null_count() + features.null_count() > 0 || features.len() != batch.num_rows() * dim {
        let problem = format!("a row without {EMBEDDING}, or with a part of one");
        return Err(malformed(path, problem));
    }
    if features.values().iter().any(|value| !value.is_finite()) {
        let problem = format!("a number in {EMBEDDING} is not finite");
        return Err(malformed(path, problem));
    }
    let labels = match batch.column_by_name(LABEL) {
        Some(column) if column.null_count() == 0 => {
            let values = column.as_primitive::<Int64Type>().values().iter();
            let fail = |label: i64| malformed(path, format!("{LABEL} {label} is no class"));
            let labels = values.map(|label| u32::try_from(*label).map_err(|_| fail(*label)));
            Some(labels.collect::<Result<Vec<u32>, DataError>>()?)
        }
        _ => None,
    };
    Ok(Block { features, labels })
}

/// The length of the embeddings of a file.
pub fn dimension(metadata: &ArrowReaderMetadata, path: &Path) -> Result<usize, DataError> {
    let names = |fields: &arrow_schema::Fields| {
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        names.join(", ")
    };
    let fields = metadata.schema().fields();
    match metadata.schema().field_with_name(EMBEDDING) {
        Ok(field) => match field.data_type() {
            DataType::FixedSizeList(item, dim)
                if *item.data_type() == DataType::Float32 && *dim > 0 =>
            {
                Ok(*dim as usize)
            }
            other => Err(malformed(
                path,
                format!("the column {EMBEDDING} is {other}, not lists of f32 of one length"),
            )),
        },
        Err(_) => Err(malformed(
            path,
            format!("lacks the column {EMBEDDING}; it has {}", names(fields)),
        )),
    }
}

/// Refuses labels that are no whole numbers of 64 bits; there may be none.
fn label_column(metadata: &ArrowReaderMetadata, path: &Path) -> Result<(), DataError> {
    match metadata.schema().field_with_name(LABEL) {
        Ok(field) if *field.data_type() != DataType::Int64 => Err(malformed(
            path,
            format!("the column {LABEL} is {}, not Int64", field.data_type()),
        )),
        _ => Ok(()),
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = std::fs::read_dir(path).map_err(|source| io(path, source))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|source| io(path, source))?.path();
        if file.extension().is_some_and(|found| found == EXTENSION) {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(DataError::UnknownFormat {
            path: path.to_path_buf(),
            expected: "files of embeddings (*.parquet)".into(),
        }),
        false => Ok(files),
    }
}

fn io(path: &Path, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_path_buf(),
        source,
    }
}

fn broken(path: &Path, source: parquet::errors::ParquetError) -> DataError {
    DataError::Parquet {
        path: path.to_path_buf(),
        row_group: None,
        source,
    }
}

fn malformed(path: &Path, problem: String) -> DataError {
    DataError::Malformed {
        path: path.to_path_buf(),
        problem,
    }
}
