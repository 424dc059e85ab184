//! Features of images as Parquet: one row an image, with `path` (text), `label` (whole number or
//! null) and `embedding` (a list of 32-bit floats of one length). [`mod@write`] makes a file or a folder
//! of shards, [`mod@read`] reads either, a block at a time; [`neighbours`] is what a search found in them.

pub mod neighbours;
pub mod read;
pub mod write;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// The column of where an image came from.
pub const PATH: &str = "path";
/// The column of its class.
pub const LABEL: &str = "label";
/// The column of its features.
pub const EMBEDDING: &str = "embedding";
/// The ending of shards in a folder.
pub const EXTENSION: &str = "parquet";

/// One number of an embedding.
fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

/// The columns of features of `dim` numbers.
fn schema(dim: i32) -> Arc<Schema> {
    let embedding = DataType::FixedSizeList(item(), dim);
    Arc::new(Schema::new(vec![
        Field::new(PATH, DataType::Utf8, false),
        Field::new(LABEL, DataType::Int64, true),
        Field::new(EMBEDDING, embedding, false),
    ]))
}

/// How result files are written: Zstandard, and no dictionary for floats, which hardly repeat.
/// `floats` is the column of lists of them.
pub fn properties(
    floats: &str,
) -> anyhow::Result<parquet::file::properties::WriterPropertiesBuilder> {
    let level = ZstdLevel::try_new(1)?;
    let leaf = ["list", "item"].map(String::from);
    let path = [vec![floats.to_string()], leaf.to_vec()].concat();
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_column_dictionary_enabled(ColumnPath::new(path), false))
}
