//! The records of protocols that runs keep in their folder `protocols`.

use std::path::{Path, PathBuf};

use aet_learn::protocol::ProtocolRecord;
use anyhow::Context;

use crate::run_place;

/// Every record at `place`: a record itself, a folder of records, a run, or a folder of runs; in the
/// order of their paths.
///
/// # Errors
/// When a folder or a record cannot be read.
pub fn records_at(place: &Path) -> anyhow::Result<Vec<ProtocolRecord>> {
    let mut paths = Vec::new();
    collect(place, &mut paths)?;
    paths.sort();
    paths
        .iter()
        .map(|path| Ok(ProtocolRecord::read(path)?))
        .collect()
}

/// Adds the paths of the records at `place`.
fn collect(place: &Path, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if place.is_file() {
        paths.push(place.to_path_buf());
        return Ok(());
    }
    if run_place::exists(place) {
        let folder = place.join("protocols");
        return match folder.is_dir() {
            true => collect(&folder, paths),
            false => Ok(()),
        };
    }
    let cannot = || format!("cannot read {}", place.display());
    for entry in std::fs::read_dir(place).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if run_place::exists(&path) {
            collect(&path, paths)?;
        } else if is_record(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

/// Whether `path` is named as a record is; those that were put aside are not.
fn is_record(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".json");
    let put_aside = |stem: &str| {
        stem.rsplit_once('.')
            .is_some_and(|(_, number)| number.parse::<u64>().is_ok())
    };
    path.is_file() && stem.is_some_and(|stem| !put_aside(stem))
}
