//! Writing the neighbours that a search found, as Parquet.

use std::fs::File;
use std::sync::Arc;

use aet_learn::probe::knn::Neighbour;
use anyhow::Context;
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use super::properties;

/// A file of neighbours being written: a row for each query, with `neighbours` (their rows, nearest
/// first), `similarities` (of each) and `vote` (a class, or null).
pub struct NeighbourFile {
    writer: ArrowWriter<File>,
    schema: Arc<Schema>,
    count: i32,
}

impl NeighbourFile {
    /// Neighbours that go to `file`, `count` for each query.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn new(file: File, count: usize) -> anyhow::Result<Self> {
        let count = i32::try_from(count).context("that many neighbours do not fit a row")?;
        let list = |name: &str, item: DataType| {
            let item = Arc::new(Field::new("item", item, false));
            Field::new(name, DataType::FixedSizeList(item, count), false)
        };
        let schema = Arc::new(Schema::new(vec![
            list("neighbours", DataType::Int64),
            list("similarities", DataType::Float32),
            Field::new("vote", DataType::Int64, true),
        ]));
        let properties = properties("similarities")?.build();
        Ok(Self {
            writer: ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?,
            schema,
            count,
        })
    }

    /// Writes what was found for the next queries, and what the neighbours vote for.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, found: &[Vec<Neighbour>], votes: &[Option<u32>]) -> anyhow::Result<()> {
        let all = || found.iter().flatten();
        let rows: Int64Array = all().map(|near| Some(near.index as i64)).collect();
        let similarities: Float32Array = all().map(|near| Some(near.similarity)).collect();
        let list = |column: usize, values: ArrayRef| -> anyhow::Result<ArrayRef> {
            let DataType::FixedSizeList(item, _) = self.schema.field(column).data_type() else {
                anyhow::bail!("column {column} is no list");
            };
            let list = FixedSizeListArray::try_new(Arc::clone(item), self.count, values, None)?;
            Ok(Arc::new(list))
        };
        let votes: Int64Array = votes.iter().map(|vote| vote.map(i64::from)).collect();
        let columns = vec![
            list(0, Arc::new(rows))?,
            list(1, Arc::new(similarities))?,
            Arc::new(votes),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.writer.write(&batch)?;
        self.writer.flush()?;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn close(self) -> anyhow::Result<()> {
        self.writer.close()?;
        Ok(())
    }
}
