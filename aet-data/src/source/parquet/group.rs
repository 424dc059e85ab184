//! The columns of one row group, row by row: [`Group`].

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use crate::source::class_of;

/// The columns of one row group.
pub(super) struct Group {
    pub(super) bytes: Option<ArrayRef>,
    pub(super) paths: Option<ArrayRef>,
    pub(super) labels: Option<ArrayRef>,
}

/// An encoded image, or where it is.
pub(super) enum Image<'a> {
    Bytes(&'a [u8]),
    Path(&'a str),
}

impl Group {
    /// The bytes of a row, or its path if it has none.
    pub(super) fn image(&self, row: usize) -> Result<Image<'_>, String> {
        let valid = |column: &&ArrayRef| column.is_valid(row);
        if let Some(bytes) = self.bytes.as_ref().filter(valid) {
            return match bytes.data_type() {
                DataType::Binary => Ok(Image::Bytes(bytes.as_binary::<i32>().value(row))),
                DataType::LargeBinary => Ok(Image::Bytes(bytes.as_binary::<i64>().value(row))),
                DataType::BinaryView => Ok(Image::Bytes(bytes.as_binary_view().value(row))),
                other => Err(format!("images of type {other} cannot be read")),
            };
        }
        if let Some(paths) = self.paths.as_ref().filter(valid) {
            return match paths.data_type() {
                DataType::Utf8 => Ok(Image::Path(paths.as_string::<i32>().value(row))),
                DataType::LargeUtf8 => Ok(Image::Path(paths.as_string::<i64>().value(row))),
                DataType::Utf8View => Ok(Image::Path(paths.as_string_view().value(row))),
                other => Err(format!("paths of type {other} cannot be read")),
            };
        }
        Err("there is neither an image in it nor the path of one".to_owned())
    }

    /// A null and a -1 stand for no label.
    pub(super) fn label(&self, row: usize, classes: usize) -> Result<Option<u32>, String> {
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
        class_of(label, classes)
    }
}
