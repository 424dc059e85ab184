//! A local generator with the real binary: trained, drawn, and used for pretraining.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::{aet, printed};

const SMALL: &[&str] = &[
    "--set=data.shapes.train=64",
    "--set=data.shapes.test=32",
    "--set=backbone.width=0.1",
    "--set=training.batch_size=16",
    "--set=training.log_every=1",
    "--epochs=1",
];

#[test]
fn a_generator_is_trained_drawn_and_told_by_an_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sizes = ["--set=objective.axes=2", "--set=objective.channels=2"];
    let train = [&["train-generator", "--name", "made"][..], SMALL, &sizes].concat();
    let text = printed(folder, &train);
    assert!(text.contains("generator.safetensors"), "{text}");
    let run = folder.join("runs/made");
    for file in [
        "generator.safetensors",
        "encoder.safetensors",
        "report.html",
    ] {
        assert!(run.join(file).is_file(), "{file}");
    }
    let log = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let step: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    for part in ["locality", "orthonormality", "adversarial", "d_loss"] {
        assert!(step["parts"][part].is_number(), "{part}: {step}");
    }
    let inspect = ["inspect", "shapes", "--run", "made", "--count=1"];
    let text = printed(folder, &inspect);
    assert!(text.contains("G(x, 0)"), "{text}");
    // A row for each axis, beside the heading.
    let picture = image::open(folder.join("inspect.png")).unwrap();
    assert!(picture.height() > 2 * 112 && picture.width() > 6 * 112);

    let objective = "--set=objective={kind='generated',generator='runs/made'}";
    let pretrain = [
        &["pretrain", "--name", "told", "--json", objective][..],
        SMALL,
    ]
    .concat();
    let result: Value = serde_json::from_str(&printed(folder, &pretrain)).unwrap();
    let components = result["recovery"]["components"].as_array().unwrap();
    assert_eq!(components.len(), 2);
    assert_eq!(components[0]["name"], "z1");
    let report = std::fs::read_to_string(folder.join("runs/told/report.html")).unwrap();
    assert!(report.contains("What is told of the target"));
}

#[test]
fn only_generators_are_trained_by_their_command() {
    let folder = tempfile::tempdir().unwrap();
    let output = aet(folder.path(), &["train-generator", "--preset=smoke"]);
    assert_eq!(output.status.code(), Some(2));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(
        log.contains("objective.kind") && log.contains("aet pretrain"),
        "{log}"
    );
    let missing = "--set=objective={kind='generated',generator='nowhere'}";
    let output = aet(folder.path(), &["pretrain", missing]);
    assert_eq!(output.status.code(), Some(2));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(
        log.contains("nowhere") && log.contains("aet train-generator"),
        "{log}"
    );
}
