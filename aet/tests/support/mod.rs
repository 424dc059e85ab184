//! The real binary, as tests run it.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::Path;
use std::process::{Command, Output};

/// What the binary does with `arguments` in `folder`.
pub fn aet(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aet"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// What it prints to stdout, having ended well.
pub fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = aet(folder, arguments);
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {log}");
    String::from_utf8(output.stdout).unwrap()
}
