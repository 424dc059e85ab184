//! Which columns of a Parquet file hold images and labels, and what its classes are called.

use std::path::Path;

use arrow_schema::{DataType, Schema};

use crate::error::DataError;

const IMAGE_COLUMNS: [&str; 2] = ["img", "image"];
const LABEL_COLUMNS: [&str; 3] = ["label", "labels", "fine_label"];

/// The column of images, and the leaf in it that holds their bytes.
pub(super) fn image_column(
    schema: &Schema,
    path: &Path,
) -> Result<(&'static str, String), DataError> {
    let found = (IMAGE_COLUMNS.into_iter())
        .find_map(|name| Some((name, schema.field_with_name(name).ok()?.data_type())));
    match found {
        Some((name, DataType::Binary | DataType::LargeBinary)) => Ok((name, name.to_owned())),
        Some((name, DataType::Struct(fields))) => {
            let bytes = fields.find("bytes").map(|(_, field)| field.data_type());
            match bytes {
                Some(DataType::Binary | DataType::LargeBinary) => {
                    Ok((name, format!("{name}.bytes")))
                }
                _ => Err(DataError::malformed(
                    path,
                    format!("column `{name}` has no field `bytes` of binary type"),
                )),
            }
        }
        Some((name, other)) => Err(DataError::malformed(
            path,
            format!("column `{name}` is {other}, not a struct of `bytes` and `path`"),
        )),
        None => Err(DataError::malformed(
            path,
            format!(
                "no column of images: looked for {}, found {}",
                IMAGE_COLUMNS.join(", "),
                column_names(schema)
            ),
        )),
    }
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
