//! `aet knn`, `aet linear` and the shards of `aet embed`, with the real binary.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use support::{aet, printed};

const DIM: usize = 20;

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let text = printed(folder, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap()
}

/// Asserts that `arguments` end with `code` and one line that holds all `parts`.
fn assert_fails(folder: &Path, arguments: &[&str], code: i32, parts: &[&str]) {
    let output = aet(folder, arguments);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    for part in parts {
        assert!(line.contains(part), "{arguments:?} says {line}");
    }
}

/// Row `index` of made-up features of three classes, which lie apart in the first numbers.
fn row(index: usize) -> ([f32; DIM], i64) {
    let class = index % 3;
    let mut values = [0.0; DIM];
    for (place, value) in values.iter_mut().enumerate() {
        let noise = ((index * DIM + place) as f32 * 12.9898).sin() * 43_758.547;
        *value = noise - noise.floor() - 0.5 + if place == class { 0.8 } else { 0.0 };
    }
    (values, class as i64)
}

/// Writes the rows `range` as `aet embed` would, with labels where `labelled`.
fn write(path: &Path, range: std::ops::Range<usize>, labelled: bool) {
    let rows: Vec<_> = range.map(row).collect();
    let names: StringArray = rows.iter().map(|_| Some("made up")).collect();
    let labels: Int64Array = rows.iter().map(|row| labelled.then_some(row.1)).collect();
    let values: Vec<f32> = rows.iter().flat_map(|row| row.0).collect();
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let values = Arc::new(Float32Array::from(values));
    let lists = FixedSizeListArray::try_new(item, DIM as i32, values, None).unwrap();
    let columns: [(&str, ArrayRef, bool); 3] = [
        ("path", Arc::new(names), false),
        ("label", Arc::new(labels), true),
        ("embedding", Arc::new(lists), false),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None);
    let writer = writer.as_mut().unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

/// All rows of a file as one batch.
fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mut reader = reader.with_batch_size(1 << 20).build().unwrap();
    reader.next().unwrap().unwrap()
}

fn lists<T: arrow_array::types::ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
) -> Vec<T::Native> {
    let lists = batch.column_by_name(name).unwrap().as_fixed_size_list();
    lists.values().as_primitive::<T>().values().to_vec()
}

/// A folder with 3000 rows in shards, and the same in one file.
fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shards = folder.path().join("shards");
    std::fs::create_dir(&shards).unwrap();
    for (number, start) in (0..3000).step_by(700).enumerate() {
        let path = shards.join(format!("part-{number:05}.parquet"));
        write(&path, start..3000.min(start + 700), true);
    }
    write(&folder.path().join("whole.parquet"), 0..3000, true);
    write(&folder.path().join("other.parquet"), 3000..3300, true);
    folder
}

#[test]
fn a_search_in_little_memory_finds_the_same() {
    let folder = made();
    let search = |searched: &str, limit: &str, out: &str| {
        let arguments = ["knn", searched, "whole.parquet", "--neighbours", "50"];
        let more = ["--memory-limit", limit, "--out", out];
        let facts = json(folder.path(), &[&arguments[..], &more].concat());
        (facts, read(&folder.path().join(out)))
    };
    let (once, all) = search("whole.parquet", "1GiB", "one.parquet");
    let (often, parts) = search("shards", "97MiB", "two.parquet");
    assert_eq!(once["passes"], 1);
    assert!(often["passes"].as_u64().unwrap() > 2, "{often}");
    assert_eq!(parts, all);
    assert_eq!(once["error"], often["error"]);
    let nearest = lists::<Int64Type>(&all, "neighbours");
    let itself = nearest.chunks_exact(50).enumerate();
    assert!(
        itself
            .into_iter()
            .all(|(query, near)| near[0] == query as i64)
    );
    let similarities = lists::<Float32Type>(&all, "similarities");
    for row in similarities.chunks_exact(50) {
        assert!((row[0] - 1.0).abs() < 1e-6 && row.is_sorted_by(|a, b| a >= b));
    }
}

#[test]
fn the_vote_is_held_against_the_labels_where_all_are_there() {
    let folder = made();
    let facts = json(folder.path(), &["knn", "shards", "other.parquet"]);
    let error = facts["error"].as_f64().unwrap();
    assert!((0.0..0.2).contains(&error), "{error}");
    assert_eq!(
        (&facts["searched"], &facts["queries"]),
        (&3000.into(), &300.into())
    );
    assert!(facts["gflop_per_second"].as_f64().unwrap() > 0.0);
    write(&folder.path().join("unknown.parquet"), 0..30, false);
    let facts = json(
        folder.path(),
        &["knn", "shards", "unknown.parquet", "--weighted"],
    );
    assert!(facts["error"].is_null());
    let output = aet(folder.path(), &["knn", "shards", "unknown.parquet"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("not every row has a label"));
}

#[test]
fn impossible_searches_are_refused() {
    let folder = made();
    let path = folder.path();
    let knn = |more: &[&'static str]| [&["knn", "whole.parquet", "other.parquet"], more].concat();
    let low = knn(&["--memory-limit", "20MiB"]);
    assert_fails(path, &low, 2, &["--memory-limit 20MiB", "at least 97MiB"]);
    let unknown = knn(&["--memory-limit", "lots"]);
    assert_fails(path, &unknown, 2, &["lots", "2GiB"]);
    let many = knn(&["--neighbours", "3001"]);
    assert_fails(path, &many, 2, &["3001", "3000 rows"]);
    assert_fails(path, &knn(&["--neighbours", "0"]), 2, &["at least 1"]);
    assert_fails(path, &["knn", "none", "other.parquet"], 2, &["none"]);
    std::fs::create_dir(path.join("empty")).unwrap();
    assert_fails(path, &["knn", "empty", "other.parquet"], 2, &["empty"]);
    assert!(!path.join("neighbours.parquet").exists());
}

#[test]
fn damaged_and_foreign_files_are_named() {
    let folder = made();
    let path = folder.path();
    std::fs::write(path.join("text.parquet"), "no Parquet at all").unwrap();
    assert_fails(
        path,
        &["knn", "text.parquet", "other.parquet"],
        1,
        &["text.parquet"],
    );
    let whole = std::fs::read(path.join("whole.parquet")).unwrap();
    let mut bent = whole.clone();
    bent[200..whole.len() / 2].fill(0xaa);
    std::fs::write(path.join("bent.parquet"), bent).unwrap();
    let output = aet(path, &["knn", "bent.parquet", "other.parquet"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("error: bent.parquet: cannot be decoded"),
        "{said}"
    );
    std::fs::write(path.join("short.parquet"), &whole[..whole.len() / 2]).unwrap();
    assert_fails(
        path,
        &["knn", "short.parquet", "other.parquet"],
        1,
        &["short.parquet"],
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let field = Field::new("number", DataType::Int64, false);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema, vec![numbers]).unwrap();
    let file = File::create(path.join("numbers.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let parts = ["numbers.parquet", "embedding", "number"];
    assert_fails(
        path,
        &["knn", "whole.parquet", "numbers.parquet"],
        1,
        &parts,
    );
}

#[test]
fn a_regression_tells_classes_that_lie_apart() {
    let folder = made();
    let arguments = [
        "linear",
        "shards",
        "other.parquet",
        "--out",
        "classes.parquet",
    ];
    let facts = json(folder.path(), &arguments);
    assert_eq!(
        (&facts["classes"], &facts["converged"]),
        (&3.into(), &true.into())
    );
    let error = facts["error"].as_f64().unwrap();
    let batch = read(&folder.path().join("classes.parquet"));
    let predictions = batch.column(0).as_primitive::<Int64Type>().values();
    let wrong = (predictions.iter().zip(3000..)).filter(|(class, index)| **class != row(*index).1);
    assert_eq!(wrong.count() as f64 / 300.0, error);
    assert!(error < 0.1, "{error}");
    write(&folder.path().join("unknown.parquet"), 0..30, false);
    let unknown = ["linear", "unknown.parquet", "other.parquet"];
    assert_fails(folder.path(), &unknown, 2, &["unknown.parquet", "label"]);
    let impossible = ["linear", "shards", "other.parquet", "--c=-1"];
    assert_fails(folder.path(), &impossible, 2, &["-1", "above 0"]);
}

#[test]
fn shards_hold_what_one_file_holds_and_are_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let pretrain = [
        "pretrain",
        "--name=small",
        "--epochs=1",
        "--set=data.shapes.train=70",
        "--set=data.shapes.test=16",
        "--set=backbone.blocks=3",
        "--set=backbone.width=0.1",
        "--set=training.batch_size=16",
        "--set=evaluation.probes=[]",
    ];
    json(path, &pretrain);
    let embed = ["embed", "small", "shapes", "--out"];
    json(path, &[&embed[..], &["one.parquet"]].concat());
    let shards = [&embed[..], &["many", "--shard-rows", "32"]].concat();
    assert_eq!(json(path, &shards)["embedded"], 70);
    let part = |number: usize| path.join(format!("many/part-{number:05}.parquet"));
    let whole = read(&path.join("one.parquet"));
    for (number, rows) in [32, 32, 6].into_iter().enumerate() {
        assert_eq!(read(&part(number)), whole.slice(32 * number, rows));
    }
    assert_fails(path, &shards, 2, &["many", "--resume"]);
    std::fs::remove_file(part(1)).unwrap();
    std::fs::write(path.join("many/.aet-draft-left"), "half").unwrap();
    let kept = std::fs::metadata(part(0)).unwrap().modified().unwrap();
    let resumed = [&shards[..], &["--resume"]].concat();
    assert_eq!(json(path, &resumed)["embedded"], 32);
    assert_eq!(read(&part(1)), whole.slice(32, 32));
    assert_eq!(
        std::fs::metadata(part(0)).unwrap().modified().unwrap(),
        kept
    );
    assert_eq!(std::fs::read_dir(path.join("many")).unwrap().count(), 3);
    let other = [&resumed[..], &["--tap", "block1"]].concat();
    assert_fails(path, &other, 2, &["part-00000.parquet", "no part of this"]);
    let alone = [&embed[..], &["x.parquet", "--resume"]].concat();
    assert_fails(path, &alone, 2, &["--shard-rows"]);
    shares_of_two_processes_make_up_the_whole(path, &embed, &whole);
}

/// Two processes, each with its share, leave what one leaves, and spare what is the other's.
fn shares_of_two_processes_make_up_the_whole(path: &Path, embed: &[&str], whole: &RecordBatch) {
    let share = |arguments: &[&str]| json(path, &[embed, arguments].concat());
    let parts = ["both", "--shard-rows", "32", "--shard"];
    assert_eq!(share(&[&parts[..], &["2/2"]].concat())["rows"], 38);
    let draft = path.join("both/.aet-draft-part-00001.parquet-x");
    std::fs::write(&draft, "half, by the other process").unwrap();
    assert_eq!(
        share(&[&parts[..], &["1/2", "--resume"]].concat())["rows"],
        32
    );
    assert!(draft.exists());
    for (number, rows) in [32, 32, 6].into_iter().enumerate() {
        let part = path.join(format!("both/part-{number:05}.parquet"));
        assert_eq!(read(&part), whole.slice(32 * number, rows));
    }
    let again = [embed, &parts, &["2/2"]].concat();
    assert_fails(path, &again, 2, &["part-0000", "--resume"]);
    assert_eq!(share(&["third.parquet", "--shard=3/3"])["rows"], 24);
    assert_eq!(read(&path.join("third.parquet")), whole.slice(46, 24));
    let outside = [embed, &["x.parquet", "--shard=4/3"]].concat();
    assert_fails(path, &outside, 2, &["4/3", "from 1 to N"]);
}
