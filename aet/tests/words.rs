//! What the real binary prints without working: help, version, the list.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn aet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aet"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = aet(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_of_every_command_has_examples() {
    for command in ["pretrain", "probe", "embed", "inspect", "list", "devices"] {
        let help = stdout(&[command, "--help"]);
        assert!(help.contains(&format!("  aet {command}")), "{help}");
        assert!(help.contains("--json"), "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
        assert!(stdout(&["--help"]).contains(command));
    }
}

#[test]
fn the_version_names_the_revision() {
    assert!(stdout(&["--version"]).starts_with(&format!("aet {} (", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_list_has_every_kind_and_every_preset() {
    let text = stdout(&["list"]);
    let json: Value = serde_json::from_str(&stdout(&["list", "--json"])).unwrap();
    let kinds = [
        "presets",
        "formats",
        "families",
        "backbones",
        "objectives",
        "optimizers",
        "schedules",
        "probes",
    ];
    for kind in kinds {
        let members = json[kind].as_array().unwrap();
        assert!(!members.is_empty(), "{kind}");
        for member in members {
            let (name, line) = (
                member["name"].as_str().unwrap(),
                member["line"].as_str().unwrap(),
            );
            assert!(text.contains(name) && line.len() > 10, "{name}: {line}");
        }
    }
    let presets = json["presets"].as_array().unwrap();
    assert!(
        presets
            .iter()
            .any(|preset| preset["name"] == "cifar10-nin-projective-cpu")
    );
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aet"))
        .args(["list", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn devices_are_listed_and_those_that_are_not_there_are_refused() {
    let listed: Value = serde_json::from_str(&stdout(&["devices", "--json"])).unwrap();
    assert_eq!(listed["devices"][0]["name"], "cpu");
    assert!(!listed["devices"][0]["part"].as_str().unwrap().is_empty());
    let absent = listed["without"].as_array().unwrap();
    assert!(!absent.is_empty(), "no machine has them all");
    let names = absent.iter().map(|row| row["name"].as_str().unwrap());
    for device in names.chain(["cpu:1", "wgpu:99", "gpu", "remote:ws://nowhere"]) {
        let output = aet(&["pretrain", "--device", device]);
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{device}: {line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains(device.split(':').next().unwrap()), "{line}");
    }
}
