//! Parquet: columns, shards, labels, damage.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use aet_data::{Split, open};
use arrow_array::{ArrayRef, BinaryArray, Int64Array, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields};
use support::{Table, at, failure, marked, open_and_load, png, write};
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
        (
            vec![("picture", bytes())],
            "looked for img, image, path, file_name, found picture",
        ),
        (vec![("path", bytes())], "column `path` is Binary"),
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

/// A column of text.
fn texts(texts: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

/// A struct of `bytes` and `path`; the last row is null as a whole.
fn bytes_and_paths(bytes: &[Option<&[u8]>], paths: &[Option<&str>]) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ]);
    let valid = (0..paths.len()).map(|row| row + 1 < paths.len());
    let columns = vec![
        Arc::new(BinaryArray::from(bytes.to_vec())) as ArrayRef,
        texts(paths),
    ];
    Arc::new(StructArray::new(fields, columns, Some(valid.collect())))
}

#[test]
fn images_are_read_from_the_paths_of_a_column_of_text() {
    for column in ["img", "image", "path", "file_name"] {
        let folder = TempDir::new().unwrap();
        let table = folder.path().join("data/train-00000.parquet");
        for number in 0..2 {
            let image = folder.path().join(format!("data/deep/{number}.png"));
            write(&image, &png(&marked(5, 7, number)));
        }
        let paths = texts(&[Some("deep/0.png"), Some("./deep/1.png")]);
        let labels = Arc::new(Int64Array::from(vec![4, 2])) as ArrayRef;
        support::write_columns(&table, vec![(column, paths), ("label", labels)], None, 10);
        let set = open_and_load(folder.path(), Split::Train).unwrap();
        assert_eq!(set.labels, [Some(4), Some(2)], "{column}");
        assert_eq!(set.image(1).to_image(), marked(5, 7, 1), "{column}");
    }
}

#[test]
fn the_path_of_an_image_without_bytes_stays_inside_the_folder() {
    let folder = TempDir::new().unwrap();
    let inside = folder.path().join("set/1.png");
    let outside = folder.path().join("outside.png");
    write(&inside, &png(&marked(5, 7, 1)));
    write(&outside, &png(&marked(5, 7, 2)));
    let absolute = outside.to_str().unwrap();
    let bytes = png(&marked(5, 7, 0));
    let table = folder.path().join("set/a.parquet");
    let paths = [
        Some("not looked at"),
        Some("1.png"),
        Some("../outside.png"),
        Some(absolute),
        Some("missing.png"),
        Some(""),
        None,
        None,
    ];
    let mut column = [None; 8];
    column[0] = Some(bytes.as_slice());
    let images = bytes_and_paths(&column, &paths);
    support::write_columns(&table, vec![("image", images)], None, 3);
    let source = open(&at(&table), Split::Train).unwrap();
    for index in 0..2 {
        let sample = source.read(index).unwrap();
        let image = aet_data::decode::decode(sample.payload, index, &sample.name).unwrap();
        assert_eq!(image, marked(5, 7, index));
    }
    let expected = [
        "not followed",
        "not followed",
        "cannot be read",
        "not followed",
        "neither",
        "neither",
    ];
    for (index, expected) in (2..).zip(expected) {
        let error = source.read(index).unwrap_err();
        assert!(error.is_about_one_image());
        let message = error.to_string();
        let place = format!(
            "a.parquet, row group {}, row {index} of the file",
            index / 3
        );
        assert!(
            message.contains(expected) && message.contains(&place),
            "{message}"
        );
    }
    assert_eq!(source.labels().unwrap(), [None; 8]);
}

#[test]
fn splits_are_found_in_sub_folders_as_in_repositories() {
    let layouts = [
        ["data/train-0.parquet", "data/test-0.parquet"],
        ["train/0000.parquet", "validation/0000.parquet"],
        ["plain_text/train-0.parquet", "plain_text/test-0.parquet"],
        ["default/train/0000.parquet", "default/test/0000.parquet"],
    ];
    for [train, test] in layouts {
        let folder = TempDir::new().unwrap();
        write(&folder.path().join("README.md"), b"about it");
        for (count, file) in [(3, train), (2, test)] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            Table::of(count).write(&path);
        }
        let len = |split| open(&at(folder.path()), split).unwrap().len();
        assert_eq!((len(Split::Train), len(Split::Test)), (3, 2), "{train}");
    }
}

#[test]
fn a_label_that_is_no_class_hides_no_other_image() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let mut table = Table::of(4);
    table.labels = Some(("label", vec![Some(1), Some(1 << 40), Some(-7), None]));
    table.metadata = None;
    table.write(&path);
    let source = open(&at(&path), Split::Train).unwrap();
    assert_eq!(source.labels().unwrap(), [Some(1), None, None, None]);
    assert_eq!(source.class_names(), ["0", "1"]);
    for index in [1, 2] {
        assert!(source.read(index).unwrap_err().is_about_one_image());
    }
}
