//! What the real binary says to requests that cannot be met: one line on stderr, exit code 2.

#![allow(clippy::unwrap_used)]

mod support;

use support::aet;

/// Runs `arguments` in an empty folder; gives the one line on stderr.
fn refused(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = aet(folder.path(), arguments);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{arguments:?}: {line}");
    assert!(line.starts_with("error: "), "{line}");
    assert!(output.stdout.is_empty());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{arguments:?} left {left:?}");
    line
}

fn assert_says(arguments: &[&str], parts: &[&str]) {
    let line = refused(arguments);
    for part in parts {
        assert!(
            line.contains(part),
            "{arguments:?} says {line}, without {part:?}"
        );
    }
}

#[test]
fn unknown_presets_are_answered_with_the_known_ones() {
    assert_says(
        &["pretrain", "--preset", "smokey"],
        &[
            "\"smokey\"",
            "did you mean \"smoke\"?",
            "cifar10-nin-projective-cpu",
        ],
    );
}

#[test]
fn unknown_keys_are_named() {
    assert_says(
        &["pretrain", "--set", "training.epoch=3"],
        &["epoch", "epochs"],
    );
    assert_says(&["pretrain", "--set", "trainin.epochs=3"], &["trainin"]);
    assert_says(&["pretrain", "--set", "epochs"], &["key=value"]);
}

#[test]
fn values_of_the_wrong_type_are_named() {
    assert_says(&["pretrain", "--set", "training.epochs=many"], &["many"]);
    assert_says(
        &["pretrain", "--set", "transformation.kind=bent"],
        &["bent", "projective"],
    );
}

#[test]
fn impossible_ranges_give_range_and_value() {
    let cases: [(&str, &[&str]); 5] = [
        ("training.epochs=0", &["training.epochs = 0", "at least 1"]),
        ("backbone.blocks=9", &["backbone.blocks = 9", "3 to 5"]),
        ("schedule.rate=-1", &["schedule.rate = -1", "above 0"]),
        ("data.hold_out=1.5", &["data.hold_out = 1.5"]),
        ("transformation.scale=[1.2,0.8]", &["scale", "1.2"]),
    ];
    for (change, parts) in cases {
        assert_says(&["pretrain", "--set", change], parts);
    }
}

#[test]
fn tasks_that_cannot_be_set_on_the_images_are_refused() {
    let oblong = "--set=data.image_size=[32,40]";
    assert_says(
        &["pretrain", "--set=objective.kind=rotnet", oblong],
        &["square", "[32, 40]"],
    );
    assert_says(
        &["inspect", "shapes", "--set=objective.kind=rotnet", oblong],
        &["square", "[32, 40]"],
    );
    assert_says(
        &[
            "pretrain",
            "--set=data.shapes.train=200",
            "--set=warp.border=crop",
            "--set=transformation={kind='translation',translation=0.9}",
        ],
        &["warp.border", "\"crop\"", "reflect"],
    );
    assert_says(&["pretrain", "--set=warp.border=wrap"], &["wrap", "crop"]);
    assert_says(&["inspect", "shapes", "--shortcuts"], &["--run"]);
    assert_says(&["inspect", "shapes", "--count=401"], &["401", "400"]);
    assert_says(
        &["pretrain", "--set=objective={kind='aed',noise=2.0}"],
        &["objective.noise = 2", "0 to 1"],
    );
    assert_says(
        &["pretrain", "--set=objective.hidden=0"],
        &["objective.hidden = 0", "1 to 65536"],
    );
}

#[test]
fn missing_paths_are_named() {
    assert_says(&["pretrain", "no/such/folder"], &["no/such/folder"]);
    assert_says(&["inspect", "no/such/folder"], &["no/such/folder"]);
    assert_says(&["pretrain", "--config", "mine.toml"], &["mine.toml"]);
    assert_says(
        &["pretrain", "--preset", "cifar10-nin-affine"],
        &[
            "needs images",
            "aet pretrain DATA --preset cifar10-nin-affine",
        ],
    );
}

#[test]
fn missing_runs_are_named() {
    assert_says(&["probe", "nothing"], &["\"nothing\"", "runs"]);
    assert_says(&["embed", "nothing", "shapes"], &["\"nothing\""]);
    assert_says(&["inspect", "shapes", "--run", "nothing"], &["\"nothing\""]);
    assert_says(
        &["pretrain", "--resume", "--name", "nothing"],
        &["\"nothing\""],
    );
}

#[test]
fn folders_without_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no image").unwrap();
    let output = aet(folder.path(), &["pretrain", "."]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
}

#[test]
fn a_broken_command_line_is_answered_in_one_line() {
    assert_says(&["pretrain", "--prest", "smoke"], &["--prest", "--preset"]);
    assert_says(&["embed", "smoke"], &["DATA"]);
    assert_says(&["fly"], &["fly"]);
    assert_says(&[], &["--help"]);
    assert_says(
        &["pretrain", "--resume", "--seed", "3"],
        &["--resume", "--seed"],
    );
    assert_says(&["pretrain", "--name", "../elsewhere"], &["../elsewhere"]);
}

#[test]
fn an_output_in_a_missing_folder_is_refused() {
    assert_says(
        &[
            "inspect",
            "shapes",
            "--count",
            "1",
            "--set",
            "data.shapes.train=8",
            "--out",
            "none/x.png",
        ],
        &["none"],
    );
}
