//! Parquet: columns, shards, labels, damage.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use aet_data::{Split, open};
use arrow_array::{ArrayRef, BinaryArray, Int64Array};
use support::{Table, at, failure, marked, open_and_load, png};
use tempfile::TempDir;

#[test]
fn damaged_parquet_pages_give_errors_and_no_panic() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train.parquet");
    Table::of(4).write(&path);
    let bytes = std::fs::read(&path).unwrap();
    for place in (4..bytes.len() - 8).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x5a;
        std::fs::write(&path, &damaged).unwrap();
        // Some damage goes unseen; none may end in a panic.
        if let Err(error) = open_and_load(&path, Split::Train) {
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn parquet_names_the_row_of_a_missing_image() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train.parquet");
    let mut table = Table::of(5);
    table.images[3] = None;
    table.write(&path);
    let message = failure(&path, Split::Train);
    assert!(
        message.contains("train.parquet, row group 1, row 3 of the file"),
        "{message}"
    );
}

#[test]
fn parquet_names_the_row_of_a_label_without_class() {
    for label in [3, -2, i64::MAX] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("train.parquet");
        let mut table = Table::of(5);
        table.labels.as_mut().unwrap().1[4] = Some(label);
        table.write(&path);
        let message = failure(&path, Split::Train);
        assert!(message.contains("row group 2, row 4"), "{message}");
        assert!(message.contains(&format!("label {label}")), "{message}");
    }
}

#[test]
fn parquet_names_what_its_columns_lack() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let numbers = || Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef;
    let bytes = || Arc::new(BinaryArray::from(vec![b"x".as_ref(), b"y"])) as ArrayRef;
    let cases = [
        (vec![("picture", bytes())], "found picture"),
        (vec![("img", numbers())], "column `img` is Int64"),
        (
            vec![("img", bytes()), ("label", bytes())],
            "labels are whole numbers",
        ),
    ];
    for (columns, expected) in cases {
        support::write_columns(&path, columns, None, 10);
        let message = failure(&path, Split::Train);
        assert!(
            message.contains(expected) && message.contains("a.parquet"),
            "{message}"
        );
    }
    for metadata in [
        "no json",
        r#"{"info":{"features":{"label":{"names":[1]}}}}"#,
    ] {
        let mut table = Table::of(2);
        table.metadata = Some(metadata.to_owned());
        table.write(&path);
        let message = failure(&path, Split::Train);
        assert!(message.contains("huggingface"), "{message}");
    }
}

#[test]
fn parquet_reads_shards_in_order_and_wants_one_list_of_classes() {
    let folder = TempDir::new().unwrap();
    for shard in 0..3 {
        let mut table = Table::of(5);
        table.images[0] = Some(png(&marked(5, 7, 100 + shard)));
        table.write(
            &folder
                .path()
                .join(format!("train-0000{shard}-of-00003.parquet")),
        );
    }
    let set = open_and_load(folder.path(), Split::Train).unwrap();
    assert_eq!(set.len(), 15);
    for shard in 0..3 {
        assert_eq!(set.image(shard * 5).to_image(), marked(5, 7, 100 + shard));
        assert_eq!(set.image(shard * 5 + 4).to_image(), marked(5, 7, 4));
    }
    let mut table = Table::of(1);
    table.metadata = Some(support::huggingface("label", &["x", "y", "z"]));
    table.write(&folder.path().join("train-00009.parquet"));
    let message = failure(folder.path(), Split::Train);
    assert!(message.contains("train-00009.parquet"), "{message}");
}

#[test]
fn parquet_takes_other_columns_and_rows_without_label() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("0000.parquet");
    let mut table = Table::of(4);
    table.image_column = "image";
    table.plain_bytes = true;
    table.labels = Some(("fine_label", vec![Some(1), None, Some(-1), Some(2)]));
    table.metadata = None;
    table.write(&path);
    for place in [folder.path(), path.as_path()] {
        let set = open_and_load(place, Split::Train).unwrap();
        assert_eq!(set.labels, [Some(1), None, None, Some(2)]);
        assert_eq!(set.class_names, ["0", "1", "2"]);
        assert!(!set.labelled());
        let error = open(&at(place), Split::Test).unwrap_err();
        assert!(error.is_no_split(), "{error}");
    }
    let mut table = Table::of(4);
    table.labels = None;
    table.write(&path);
    let set = open_and_load(&path, Split::Train).unwrap();
    assert_eq!(set.labels, [None; 4]);
    assert!(set.class_names.is_empty());
}

#[test]
fn parquet_without_rows_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train.parquet");
    Table::of(0).write(&path);
    assert!(failure(&path, Split::Train).contains("holds no image"));
}
