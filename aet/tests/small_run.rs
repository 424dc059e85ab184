//! A run on a few shapes with the real binary, and every command on it.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;

use arrow_array::{Array, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use support::{aet, printed};

const SMALL: &[&str] = &[
    "pretrain",
    "--json",
    "--set=data.shapes.train=64",
    "--set=data.shapes.test=32",
    "--set=backbone.blocks=3",
    "--set=backbone.width=0.1",
    "--set=training.batch_size=16",
    "--set=training.log_every=1",
    "--set=evaluation.probes=[{method={kind='knn'}},{method={kind='fc'},training={epochs=2}}]",
];

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let text = printed(folder, arguments);
    serde_json::from_str(&text).unwrap()
}

/// A folder with the finished run `small`, made once for all tests.
fn finished() -> &'static (tempfile::TempDir, Value) {
    static FINISHED: OnceLock<(tempfile::TempDir, Value)> = OnceLock::new();
    FINISHED.get_or_init(|| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let arguments = [SMALL, &["--epochs", "1", "--name", "small"]].concat();
        let result = json(folder.path(), &arguments);
        (folder, result)
    })
}

#[test]
fn a_run_ends_with_both_encoders_probed_and_its_files_written() {
    let (folder, result) = finished();
    assert_eq!(result["steps"], 4);
    assert!(result["train_loss"].as_f64().unwrap().is_finite());
    let probes = result["probes"].as_array().unwrap();
    assert_eq!(probes.len(), 2);
    for probe in probes {
        for encoder in ["trained", "random"] {
            let error = probe[encoder]["error"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&error));
        }
    }
    let run = folder.path().join("runs/small");
    for file in [
        "run.toml",
        "metrics.jsonl",
        "encoder.safetensors",
        "report.html",
    ] {
        assert!(run.join(file).is_file(), "{file}");
    }
}

#[test]
fn what_takes_memory_is_told_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let more = [
        "--epochs=1",
        "--memory-report",
        "--set=training.gradient_accumulation=2",
    ];
    let output = aet(folder.path(), &[SMALL, &more].concat());
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    for part in [
        "weights",
        "gradients",
        "optimiser state",
        "views of a part of a batch",
        "at most",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    // So few steps are worth a line too.
    assert!(log.contains("4 steps in all, too few"), "{log}");
}

#[test]
fn a_task_that_was_not_learnt_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let log = |more: &[&str]| {
        let output = aet(folder.path(), &[SMALL, &["--epochs=1"], more].concat());
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{log}");
        log
    };
    // Steps at such a rate go too far.
    let (fast, blur) = ("--set=schedule.rate=0.5", "--set=transformation.kind=blur");
    for statistics in ["running", "batch"] {
        let statistics = format!("--set=evaluation.statistics={statistics}");
        let log = log(&[fast, blur, &statistics]);
        assert!(log.contains("no better than mean 0."), "{log}");
        let has_advice = log.contains("--set evaluation.statistics=batch");
        assert_eq!(has_advice, statistics.ends_with("running"), "{log}");
    }
}

#[test]
fn the_report_loads_nothing_from_elsewhere() {
    let (folder, _) = finished();
    let page = std::fs::read_to_string(folder.path().join("runs/small/report.html")).unwrap();
    for part in [
        "<svg",
        "data:image/png;base64,",
        "backbone",
        "trained",
        "random",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for part in ["http://", "https://", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(part), "{part}");
    }
}

/// The other objectives in small, with the key of what their pictures measure.
const OTHERS: [(&str, &str, &[&str]); 3] = [
    (
        "denoising",
        "mse",
        &["--set=objective={kind='aed',code=32,channels=8,noise=0.1}"],
    ),
    (
        "variational",
        "mse",
        &["--set=objective={kind='aed',code=32,channels=8,variational=true}"],
    ),
    ("turning", "turn_accuracy", &["--set=objective.kind=rotnet"]),
];

#[test]
fn other_objectives_run_to_their_report_and_pictures() {
    let folder = tempfile::tempdir().unwrap();
    for (name, figure, objective) in OTHERS {
        let arguments = [SMALL, objective, &["--epochs", "2", "--name", name]].concat();
        let result = json(folder.path(), &arguments);
        assert_eq!(result["steps"], 8, "{name}");
        assert!(
            result["test_metric"].as_f64().unwrap().is_finite(),
            "{name}"
        );
        assert_eq!(result["probes"].as_array().unwrap().len(), 2);
        let page = folder.path().join("runs").join(name).join("report.html");
        let page = std::fs::read_to_string(page).unwrap();
        for part in ["pretext task", "test metric", "data:image/png;base64,"] {
            assert!(page.contains(part), "{name}: {part}");
        }
        let out = format!("{name}.png");
        let picture = ["inspect", "shapes", "--count", "5", "--json", "--out", &out];
        let with_model = json(folder.path(), &[&picture[..], &["--run", name]].concat());
        assert!(with_model[figure].as_f64().unwrap() >= 0.0, "{with_model}");
        let drawn = image::open(folder.path().join(&out)).unwrap();
        assert!(drawn.width() >= 500 && drawn.height() > 400, "{drawn:?}");
        if ["aed", "rotnet"]
            .iter()
            .any(|kind| objective[0].contains(kind))
        {
            let arguments = ["inspect", "shapes", "--shortcuts", "--run", name];
            let refused = aet(folder.path(), &arguments);
            assert_eq!(refused.status.code(), Some(2), "{name}");
        }
        let without = json(folder.path(), &[&picture[..], objective].concat());
        assert!(without[figure].is_null(), "{without}");
        image::open(folder.path().join(&out)).unwrap();
    }
}

#[test]
fn resuming_a_finished_run_shows_its_table_again() {
    let (folder, result) = finished();
    let again = ["pretrain", "--resume", "--name", "small"];
    let output = aet(folder.path(), &again);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("finished already"));
    let table = String::from_utf8(output.stdout).unwrap();
    for part in ["kNN", "1-FC", "trained error %", "random error %", "ratio"] {
        assert!(table.contains(part), "{table}");
    }
    let as_json = json(folder.path(), &[&again[..], &["--json"]].concat());
    assert_eq!(as_json["probes"], result["probes"]);
}

#[test]
fn a_taken_name_is_refused_and_a_missing_name_is_numbered() {
    let folder = tempfile::tempdir().unwrap();
    let short = [SMALL, &["--epochs", "1", "--set=evaluation.probes=[]"]].concat();
    let first = json(folder.path(), &short);
    let second = json(folder.path(), &short);
    assert_eq!(first["run"], "runs/smoke");
    assert_eq!(second["run"], "runs/smoke-2");
    let output = aet(folder.path(), &[&short[..], &["--name", "smoke"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(
        line.contains("--resume") && line.contains("--name"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn probes_are_written_into_the_run() {
    let (folder, _) = finished();
    let probe = [
        "probe",
        "small",
        "--probe",
        "knn",
        "--neighbours",
        "3",
        "--probe",
        "2fc",
    ];
    let result = json(
        folder.path(),
        &[&probe[..], &["--epochs", "2", "--tap", "block1", "--json"]].concat(),
    );
    assert_eq!(result["probes"].as_array().unwrap().len(), 2);
    assert_eq!(result["probes"][1]["trained"]["tap"], "block1");
    let files: Vec<_> = std::fs::read_dir(folder.path().join("runs/small/probes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() >= 2);
    for file in files {
        let record: Value = serde_json::from_reader(File::open(file).unwrap()).unwrap();
        assert!(record["trained"]["error"].is_number());
        assert!(record["random"]["error"].is_number());
    }
    let missing = aet(folder.path(), &["probe", "small", "--tap", "block9"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("block1"));
}

fn read_parquet(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

#[test]
fn embeddings_come_back_from_their_file() {
    let (folder, _) = finished();
    let out = folder.path().join("features.parquet");
    let result = json(
        folder.path(),
        &[
            "embed",
            "small",
            "shapes",
            "--split",
            "test",
            "--tap",
            "block2",
            "--out",
            "features.parquet",
            "--json",
        ],
    );
    let batches = read_parquet(&out);
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!((rows, result["rows"].as_u64()), (32, Some(32)));
    let column = |name: &str| batches[0].column_by_name(name).unwrap().clone();
    let paths = column("path");
    let paths = paths.as_any().downcast_ref::<StringArray>().unwrap();
    assert!(!paths.value(0).is_empty());
    let labels = column("label");
    let labels = labels.as_any().downcast_ref::<Int64Array>().unwrap();
    assert!(labels.iter().all(|label| (0..10).contains(&label.unwrap())));
    let embedding = column("embedding");
    let embedding = embedding
        .as_any()
        .downcast_ref::<FixedSizeListArray>()
        .unwrap();
    assert_eq!(
        embedding.value_length() as u64,
        result["dimension"].as_u64().unwrap()
    );
    let values = embedding
        .values()
        .as_any()
        .downcast_ref::<Float32Array>()
        .unwrap();
    assert!(values.values().iter().all(|value| value.is_finite()));
    assert!(
        values
            .values()
            .iter()
            .any(|value| *value != values.value(0))
    );
}

#[test]
fn trained_and_random_embeddings_differ() {
    let (folder, _) = finished();
    let embed = |more: &[&str], out: &str| {
        let fixed = [
            "embed",
            "small",
            "shapes",
            "--split=test",
            "--json",
            "--out",
            out,
        ];
        json(folder.path(), &[&fixed[..], more].concat());
        read_parquet(&folder.path().join(out))
    };
    let trained = embed(&[], "trained.parquet");
    let random = embed(&["--random"], "random.parquet");
    assert_eq!(trained[0].column(1), random[0].column(1));
    assert_ne!(trained[0].column(2), random[0].column(2));
}

#[test]
fn a_run_with_cropped_borders_says_what_its_encoder_sees() {
    let folder = tempfile::tempdir().unwrap();
    let crop = "--set=warp.border=crop";
    let arguments = [SMALL, &["--epochs", "1", "--name", "crop", crop]].concat();
    let output = aet(folder.path(), &arguments);
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("the middle 20x20 of 32x32 px"), "{log}");
    let page = std::fs::read_to_string(folder.path().join("runs/crop/report.html")).unwrap();
    assert!(page.contains("the encoder shown the middle 20x20 px"));
    let picture = ["inspect", "shapes", "--run", "crop", "--json"];
    let drawn = json(folder.path(), &picture);
    assert!(drawn["median_corner_error_px"].as_f64().unwrap() > 0.0);
    let table = [
        "inspect",
        "shapes",
        "--shortcuts",
        "--run",
        "crop",
        "--json",
    ];
    let table = json(folder.path(), &[&table[..], &["--count", "30"]].concat());
    assert_eq!(table["images"], 30);
    assert_eq!(table["left_out"][1]["condition"], "borders cropped");
}

#[test]
fn shortcuts_are_told_as_a_table_and_in_json() {
    let (folder, _) = finished();
    let arguments = ["inspect", "shapes", "--shortcuts", "--run", "small"];
    let text = printed(folder.path(), &arguments);
    for part in [
        "run small on 32 test images of 32x32 px",
        "of mean",
        "corners off, px",
        "constant",
        "noise",
        "borders reflected",
        "borders cropped to the middle 20x20 px",
        "original resampled",
        "identity resampled",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let result = json(folder.path(), &[&arguments[..], &["--json"]].concat());
    let rows = result["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    for row in rows {
        assert!(row["metric"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["corner_px"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert!(!result["readings"].as_array().unwrap().is_empty());
}

#[test]
fn inspect_draws_a_picture_that_decodes() {
    let (folder, _) = finished();
    let result = json(
        folder.path(),
        &[
            "inspect", "shapes", "--run", "small", "--count", "5", "--out", "grid.png", "--json",
        ],
    );
    assert_eq!(result["classes"].as_array().unwrap().len(), 10);
    assert_eq!(result["sizes"][0]["height"], 32);
    assert!(result["median_corner_error_px"].as_f64().unwrap() > 0.0);
    let picture = image::open(folder.path().join("grid.png")).unwrap();
    assert!(
        picture.width() > 900 && picture.height() > 400,
        "{picture:?}"
    );
}
