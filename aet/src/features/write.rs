//! Writing features: a file, or a folder of shards that are each complete or not there.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aet_data::ImageSet;
use aet_learn::embed::FeatureBank;
use anyhow::Context;
use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::KeyValue;

use super::{EMBEDDING, EXTENSION, item, properties, schema};
use crate::failure::usage;
use crate::output::DRAFT_PREFIX;

/// The key of the file's metadata that says what was embedded and how.
const ORIGIN: &str = "aet.embedding";

/// A file of features being written, a row group at a time.
pub struct FeatureFile<W: Write + Send> {
    file: Option<W>,
    writer: Option<ArrowWriter<W>>,
    origin: String,
}

impl<W: Write + Send> FeatureFile<W> {
    /// Features that go to `file`, with `origin` in its metadata.
    pub fn new(file: W, origin: &str) -> Self {
        Self {
            file: Some(file),
            writer: None,
            origin: origin.into(),
        }
    }

    /// Writes the images of a set, whose features are `bank`, as one row group.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, images: &ImageSet, bank: FeatureBank) -> anyhow::Result<()> {
        let batch = record_batch(images, bank)?;
        if let Some(file) = self.file.take() {
            let origin = KeyValue::new(ORIGIN.to_string(), self.origin.clone());
            let properties = properties(EMBEDDING)?
                .set_key_value_metadata(Some(vec![origin]))
                .build();
            let writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
            self.writer = Some(writer);
        }
        if let Some(writer) = &mut self.writer {
            writer.write(&batch)?;
            writer.flush()?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn close(self) -> anyhow::Result<()> {
        if let Some(writer) = self.writer {
            writer.close()?;
        }
        Ok(())
    }
}

/// Rows of the file: path, label and embedding of `images`, whose features are `bank`.
fn record_batch(images: &ImageSet, bank: FeatureBank) -> anyhow::Result<RecordBatch> {
    let dim = i32::try_from(bank.dim).context("features of that many numbers do not fit a row")?;
    let paths: StringArray = images.names.iter().map(Some).collect();
    let labels = images.labels.iter().map(|label| label.map(i64::from));
    let labels: Int64Array = labels.collect();
    let values = Arc::new(Float32Array::from(bank.features));
    let embedding = FixedSizeListArray::try_new(item(), dim, values, None)?;
    let columns: Vec<ArrayRef> = vec![Arc::new(paths), Arc::new(labels), Arc::new(embedding)];
    Ok(RecordBatch::try_new(schema(dim), columns)?)
}

/// What names of shards begin with; their numbers follow.
const PART: &str = "part-";

/// The number of the shard that `name` begins with.
fn number_of(name: &str) -> Option<usize> {
    let rest = name.strip_prefix(PART)?;
    rest.split_once('.')?.0.parse().ok()
}

/// The folder that shards are written to, and which of them are there already.
pub struct ShardFolder {
    folder: PathBuf,
}

impl ShardFolder {
    /// Opens `folder`, or makes it, for the shards `own`; others may be another process's. With
    /// `resume`, drafts that an interrupted run left of them go away.
    ///
    /// # Errors
    /// When it cannot be made, or holds one of them, or no shards at all, and `resume` is false.
    pub fn open(folder: &Path, own: &Range<usize>, resume: bool) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write into {}", folder.display());
        if folder.is_file() {
            let folder = folder.display();
            return Err(usage(format!(
                "cannot write shards into {folder}: it is a file"
            )));
        }
        std::fs::create_dir_all(folder).with_context(cannot)?;
        for entry in std::fs::read_dir(folder).with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let foreign = |name| number_of(name).is_some_and(|number| !own.contains(&number));
            if path.extension().is_some_and(|found| found == EXTENSION)
                && !name.starts_with(DRAFT_PREFIX)
                && !foreign(&name)
                && !resume
            {
                return Err(usage(format!(
                    "{} holds {name} already; go on with --resume, or choose another --out",
                    folder.display()
                )));
            }
            let draft = name.strip_prefix(DRAFT_PREFIX);
            if draft.is_some_and(|of| !foreign(of)) && resume {
                std::fs::remove_file(&path).with_context(cannot)?;
            }
        }
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// Where shard `number` goes.
    pub fn path(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{PART}{number:05}.{EXTENSION}"))
    }

    /// The length of the embeddings of shard `number`, if it is there, of `rows` rows and `origin`.
    ///
    /// # Errors
    /// When there is another one in its place.
    pub fn finished(&self, number: usize, origin: &str) -> anyhow::Result<Option<usize>> {
        let path = self.path(number);
        if !path.exists() {
            return Ok(None);
        }
        let cannot = || format!("cannot read {}", path.display());
        let file = File::open(&path).with_context(cannot)?;
        let metadata =
            ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).with_context(cannot)?;
        let facts = metadata.metadata().file_metadata();
        let pairs = facts.key_value_metadata().into_iter().flatten();
        let found = pairs
            .filter(|pair| pair.key == ORIGIN)
            .find_map(|pair| pair.value.clone());
        if found.as_deref() != Some(origin) {
            return Err(usage(format!(
                "{} is no part of this embedding (another run, tap, data or --shard-rows); choose \
                 another --out",
                path.display()
            )));
        }
        Ok(super::read::dimension(&metadata, &path).ok())
    }
}
