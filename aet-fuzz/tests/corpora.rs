//! Every input of the corpora goes through its target, on any compiler.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aet_fuzz::TARGETS;

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of what is in a folder, without extensions.
fn stems(folder: &Path) -> BTreeSet<String> {
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries(folder).iter().map(stem).collect()
}

fn target_names() -> BTreeSet<String> {
    let names = TARGETS.iter().map(|target| target.name.to_owned());
    names.collect()
}

#[test]
fn each_target_has_a_corpus_and_each_corpus_a_target() {
    assert_eq!(stems(&root().join("corpus")), target_names());
    for name in target_names() {
        assert!(!entries(&root().join("corpus").join(name)).is_empty());
    }
}

#[test]
fn each_target_is_fuzzed_and_described() {
    assert_eq!(stems(&root().join("fuzz/fuzz_targets")), target_names());
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let page = std::fs::read_to_string(root().join("../docs/fuzzing.md")).unwrap();
    for name in target_names() {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
        let path = root().join(format!("fuzz/fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("aet_fuzz::run(\"{name}\", bytes)")));
    }
}

#[test]
fn every_input_ends_in_values_or_an_error() {
    for target in TARGETS {
        aet_fuzz::run(target.name, b"");
        for path in entries(&root().join("corpus").join(target.name)) {
            println!("{}", path.display());
            aet_fuzz::run(target.name, &std::fs::read(&path).unwrap());
        }
    }
}
