//! Which columns of a Parquet file hold images and labels, and what its classes are called.

use std::path::Path;

use arrow_schema::{DataType, Schema};

use crate::error::DataError;

/// Columns of images, or of their paths.
const IMAGE_COLUMNS: [&str; 2] = ["img", "image"];
/// Columns of the paths of images.
const PATH_COLUMNS: [&str; 2] = ["path", "file_name"];
const LABEL_COLUMNS: [&str; 3] = ["label", "labels", "fine_label"];

/// The leaves of a file that images are in: their bytes, their paths, or both.
#[derive(Debug)]
pub(super) struct ImageColumn {
    pub(super) bytes: Option<String>,
    pub(super) path: Option<String>,
}

/// The column of images.
pub(super) fn image_column(schema: &Schema, path: &Path) -> Result<ImageColumn, DataError> {
    let found = (IMAGE_COLUMNS.into_iter().chain(PATH_COLUMNS))
        .find_map(|name| Some((name, schema.field_with_name(name).ok()?.data_type())));
    let fail = |problem: String| Err(DataError::malformed(path, problem));
    let Some((name, kind)) = found else {
        let looked_for = [IMAGE_COLUMNS, PATH_COLUMNS].concat().join(", ");
        let found = column_names(schema);
        return fail(format!(
            "no column of images: looked for {looked_for}, found {found}"
        ));
    };
    let field = |field: &str, suits: fn(&DataType) -> bool| match kind {
        DataType::Struct(fields) => (fields.find(field))
            .filter(|(_, field)| suits(field.data_type()))
            .map(|_| format!("{name}.{field}")),
        _ => None,
    };
    let column = match kind {
        kind if is_text(kind) => ImageColumn {
            bytes: None,
            path: Some(name.to_owned()),
        },
        kind if is_binary(kind) && IMAGE_COLUMNS.contains(&name) => ImageColumn {
            bytes: Some(name.to_owned()),
            path: None,
        },
        _ => ImageColumn {
            bytes: field("bytes", is_binary),
            path: field("path", is_text),
        },
    };
    match (&column, kind) {
        (
            ImageColumn {
                bytes: None,
                path: None,
            },
            DataType::Struct(_),
        ) => fail(format!(
            "column `{name}` has neither a field `bytes` of binary type nor one `path` of text"
        )),
        (
            ImageColumn {
                bytes: None,
                path: None,
            },
            other,
        ) => fail(format!(
            "column `{name}` is {other}, not a struct of `bytes` and `path`, bytes, or the text \
             of a path"
        )),
        _ => Ok(column),
    }
}

fn is_binary(kind: &DataType) -> bool {
    use DataType::{Binary, BinaryView, LargeBinary};
    matches!(kind, Binary | LargeBinary | BinaryView)
}

fn is_text(kind: &DataType) -> bool {
    use DataType::{LargeUtf8, Utf8, Utf8View};
    matches!(kind, Utf8 | LargeUtf8 | Utf8View)
}

/// The column of labels, if there is one.
pub(super) fn label_column(
    schema: &Schema,
    path: &Path,
) -> Result<Option<&'static str>, DataError> {
    let found = (LABEL_COLUMNS.into_iter())
        .find_map(|name| Some((name, schema.field_with_name(name).ok()?.data_type())));
    match found {
        Some((name, kind)) if kind.is_integer() => Ok(Some(name)),
        Some((name, kind)) => Err(DataError::malformed(
            path,
            format!("column `{name}` is {kind}, but labels are whole numbers"),
        )),
        None => Ok(None),
    }
}

fn column_names(schema: &Schema) -> String {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    names.join(", ")
}

/// Class names from the metadata key `huggingface`: `info.features.<column>.names`.
pub(super) fn class_names(
    schema: &Schema,
    column: &str,
    path: &Path,
) -> Result<Option<Vec<String>>, DataError> {
    let Some(text) = schema.metadata().get("huggingface") else {
        return Ok(None);
    };
    let fail = |problem: String| {
        DataError::malformed(path, format!("metadata key `huggingface`: {problem}"))
    };
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
    let names = &json["info"]["features"][column]["names"];
    if names.is_null() {
        return Ok(None);
    }
    let names: Option<Vec<String>> = names.as_array().and_then(|names| {
        let texts = names.iter().map(|name| name.as_str().map(str::to_owned));
        texts.collect()
    });
    match names {
        Some(names) => Ok(Some(names)),
        None => Err(fail(format!(
            "the names of `{column}` are no list of texts"
        ))),
    }
}
