//! Parquet files.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, StringArray};
use tempfile::TempDir;

use super::Seed;
use super::damage::{instead, of_any_file, over, seed};
use super::images::PIXEL;
use super::support::{Table, huggingface, write_columns};

/// The file that `write` makes.
fn written(write: impl FnOnce(&std::path::Path)) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train.parquet");
    write(&path);
    std::fs::read(path).unwrap()
}

/// Two images of a pixel.
fn table() -> Table {
    Table {
        images: vec![Some(PIXEL.to_vec()); 2],
        ..Table::of(2)
    }
}

fn of(table: Table) -> Vec<u8> {
    written(|path| table.write(path))
}

fn columns(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    written(|path| write_columns(path, columns, None, 2))
}

/// Seeds of Parquet files.
pub fn parquet() -> Vec<Seed> {
    let valid = of(table());
    let labels = |labels: Vec<Option<i64>>| {
        of(Table {
            labels: Some(("label", labels)),
            ..table()
        })
    };
    let metadata = |text: &str| {
        of(Table {
            metadata: Some(text.to_owned()),
            ..table()
        })
    };
    let paths = |paths: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(paths)) };
    let pixel: ArrayRef = Arc::new(BinaryArray::from(vec![PIXEL]));
    let footer_at = valid.len() - 8;
    let mut seeds = vec![
        seed("two-images", valid.clone()),
        seed(
            "two-groups",
            of(Table {
                rows_per_group: 1,
                ..table()
            }),
        ),
        seed(
            "plain-bytes",
            of(Table {
                plain_bytes: true,
                ..table()
            }),
        ),
        seed(
            "no-labels",
            of(Table {
                labels: None,
                metadata: None,
                ..table()
            }),
        ),
        seed(
            "labels-without-names",
            of(Table {
                metadata: None,
                ..table()
            }),
        ),
        seed(
            "an-image-missing",
            of(Table {
                images: vec![None; 2],
                ..table()
            }),
        ),
        seed("a-label-missing", labels(vec![Some(-1), None])),
        seed("label-largest", labels(vec![Some(i64::MAX), Some(3)])),
        seed(
            "paths",
            columns(vec![("path", paths(vec!["some.gif", "../some.gif"]))]),
        ),
        seed(
            "paths-absolute",
            columns(vec![("file_name", paths(vec!["/some.gif", ""]))]),
        ),
        seed(
            "labels-of-text",
            columns(vec![("img", pixel.clone()), ("label", paths(vec!["ant"]))]),
        ),
        seed(
            "labels-alone",
            columns(vec![("label", Arc::new(Int64Array::from(vec![1])))]),
        ),
        seed(
            "images-of-numbers",
            columns(vec![("img", Arc::new(Int64Array::from(vec![1])))]),
        ),
        seed("no-rows", columns(vec![("img", pixel.slice(0, 0))])),
        seed(
            "names-no-list",
            metadata(&huggingface("label", &[]).replace("[]", "3")),
        ),
        seed("metadata-no-json", metadata("{\"info\": ")),
        seed("footer-longest", over(&valid, footer_at, &[255; 4])),
        seed("footer-empty", over(&valid, footer_at, &[0; 4])),
        seed("a-page-damaged", instead(&valid, &PIXEL[..6], &[255; 6])),
    ];
    seeds.extend(of_any_file(&valid));
    seeds
}
