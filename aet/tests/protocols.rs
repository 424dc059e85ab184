//! Protocols with the real binary: carried out, gone on with, compared and put into a table.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use support::{aet, printed as text};

fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let output = aet(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A folder with runs `one` and `two` that protocol `quick` was carried out on.
fn judged() -> &'static tempfile::TempDir {
    static JUDGED: OnceLock<tempfile::TempDir> = OnceLock::new();
    JUDGED.get_or_init(|| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for (name, seed) in [("one", "1"), ("two", "2")] {
            let small = [
                "pretrain",
                "--set=data.shapes.train=64",
                "--set=data.shapes.test=32",
                "--set=backbone.width=0.1",
                "--set=training.batch_size=16",
                "--set=evaluation.eval_every=1",
                "--set=evaluation.probes=[{method={kind='knn'}}]",
                "--epochs=1",
            ];
            let own = ["--name", name, "--seed", seed];
            text(folder.path(), &[&small[..], &own].concat());
            text(folder.path(), &["probe", name, "--protocol", "quick"]);
        }
        folder
    })
}

#[test]
fn a_protocol_prints_a_table_with_both_bounds_and_keeps_a_record() {
    let folder = judged().path();
    let found = text(folder, &["probe", "one", "--protocol", "quick"]);
    for word in [
        "random",
        "trained",
        "supervised",
        "kNN K=10",
        "logistic",
        "[",
    ] {
        assert!(found.contains(word), "{word}: {found}");
    }
    assert!(folder.join("runs/one/protocols/quick.json").is_file());
}

#[test]
fn a_changed_protocol_says_so_and_loses_no_earlier_record() {
    let folder = judged().path();
    let changed = ["probe", "two", "--protocol", "per-block"];
    let set = ["--set=training.epochs=1", "--set=training.batch_size=32"];
    let first = text(folder, &[&changed[..], &set].concat());
    assert!(first.contains("training.epochs 1 instead of 20"), "{first}");
    let again = [&changed[..], &set[..1]].concat();
    let output = aet(folder, &again);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("per-block.1.json"), "{log}");
    assert!(folder.join("runs/two/protocols/per-block.1.json").is_file());
}

#[test]
fn a_table_without_an_upper_bound_says_how_to_get_it() {
    let folder = judged().path();
    let fewer = "--set=encoders=[\"random\",\"trained\"]";
    let found = text(
        folder,
        &[
            "probe",
            "one",
            "--protocol",
            "per-block",
            "--set=training.epochs=1",
            fewer,
        ],
    );
    assert!(found.contains("no upper bound: --set"), "{found}");
}

#[test]
fn two_runs_are_compared_image_by_image() {
    let folder = judged().path();
    let found = text(
        folder,
        &["compare", "one", "two", "--protocol=quick", "--json"],
    );
    let found: Value = serde_json::from_str(&found).unwrap();
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let p = row["p_value"].as_f64().unwrap();
        assert!(p > 0.0 && p <= 1.0);
        let only = [&row["only_first"], &row["only_second"]].map(|n| n.as_f64().unwrap());
        let difference = row["difference"].as_f64().unwrap();
        assert!(((only[1] - only[0]) / 32.0 - difference).abs() < 1e-9);
    }
    let none = refusal(folder, &["compare", "one", "two", "--protocol=finetune"]);
    assert!(none.contains("share no result"), "{none}");
}

#[test]
fn runs_of_one_experiment_become_one_table() {
    let folder = judged().path();
    let document = folder.join("tables.md");
    let marks = "# Tables\n<!-- aet table: begin -->\nold\n<!-- aet table: end -->\nafter\n";
    std::fs::write(&document, marks).unwrap();
    let into = ["table", "--protocol=quick", "--into", "tables.md"];
    text(folder, &into);
    let rendered = std::fs::read_to_string(&document).unwrap();
    assert!(rendered.starts_with("# Tables\n") && rendered.ends_with("after\n"));
    assert!(!rendered.contains("old"));
    assert_eq!(rendered.matches("### quick").count(), 1, "{rendered}");
    assert!(
        rendered.contains("one (seed 1), two (seed 2)"),
        "{rendered}"
    );
    assert!(rendered.contains(" ± "), "{rendered}");
    assert!(rendered.contains("the whole network"), "{rendered}");
    std::fs::write(&document, "nothing").unwrap();
    let message = refusal(folder, &into);
    assert!(message.contains("lacks the lines"), "{message}");
}

#[test]
fn methods_of_pretraining_stand_side_by_side() {
    let folder = judged().path();
    let marks = "<!-- aet table: begin -->\nkept\n<!-- aet table: end -->\n\
                 <!-- aet table side: begin -->\nold\n<!-- aet table side: end -->\n";
    std::fs::write(folder.join("sides.md"), marks).unwrap();
    let quick = ["table", "--protocol=quick", "--methods"];
    text(
        folder,
        &[&quick[..], &["--into=sides.md", "--mark=side"]].concat(),
    );
    let rendered = std::fs::read_to_string(folder.join("sides.md")).unwrap();
    assert!(
        rendered.contains("kept") && !rendered.contains("old"),
        "{rendered}"
    );
    let rows = rendered.lines().filter(|line| line.starts_with("| "));
    let names: Vec<&str> = rows
        .map(|row| row.split('|').nth(1).unwrap().trim())
        .collect();
    let expected = [
        "pretraining",
        "---",
        "random encoder",
        "aet projective",
        "the encoder trained from labels",
    ];
    assert_eq!(names, expected, "{rendered}");
    let json: Value =
        serde_json::from_str(&text(folder, &[&quick[..], &["--json"]].concat())).unwrap();
    let row = &json["tables"][0]["rows"][1];
    assert_eq!(row["runs"].as_array().unwrap().len(), 2, "{row}");
}

#[test]
fn requests_that_cannot_be_met_say_what_can() {
    let folder = judged().path();
    let near = refusal(folder, &["probe", "one", "--protocol", "cifar10-papers"]);
    assert!(near.contains("did you mean \"cifar10-paper\"?"), "{near}");
    let key = refusal(
        folder,
        &["probe", "one", "--protocol=quick", "--set=sedes=[1]"],
    );
    assert!(key.contains("sedes"), "{key}");
    let empty = refusal(folder, &["table", "nowhere"]);
    assert!(empty.contains("there is no nowhere"), "{empty}");
}

/// Probes during training are judged on training images that were set aside.
#[test]
fn probes_during_training_are_logged_as_of_validation_images() {
    let log = std::fs::read_to_string(judged().path().join("runs/one/metrics.jsonl")).unwrap();
    let probes: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|record: &Value| record["event"] == "probe")
        .collect();
    let of = |split: &str| probes.iter().filter(|p| p["split"] == split).count();
    assert_eq!((of("validation"), of("test")), (2, 2));
}
