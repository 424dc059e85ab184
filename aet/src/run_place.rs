//! Where runs live: names and paths of run directories.

use std::path::{Path, PathBuf};

use aet_learn::run_dir::RunDirectory;

use crate::failure::usage;
use crate::preset::did_you_mean;

/// The run that a user means by `run`: a path, or a name in the folder `runs`.
///
/// # Errors
/// A usage error that lists the runs there are.
pub fn open(run: &str, runs: &Path) -> anyhow::Result<RunDirectory> {
    for place in [PathBuf::from(run), runs.join(run)] {
        if exists(&place) {
            return Ok(RunDirectory::open(&place)?);
        }
    }
    let names = names_in(runs);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let known = match names.as_slice() {
        [] => format!(
            "there are none in {} yet (aet pretrain makes one)",
            runs.display()
        ),
        names => format!("runs in {} are {}", runs.display(), names.join(", ")),
    };
    Err(usage(format!(
        "there is no run {run:?}{}; {known}",
        did_you_mean(run, &names)
    )))
}

/// Whether a run lives at `place`.
pub fn exists(place: &Path) -> bool {
    place.join("run.toml").is_file()
}

/// `name`, or the first of `name-2`, `name-3`, ... that nothing in `runs` is called.
pub fn next_free(name: &str, runs: &Path) -> String {
    let mut candidate = name.to_string();
    let mut number = 2;
    while runs.join(&candidate).exists() {
        candidate = format!("{name}-{number}");
        number += 1;
    }
    candidate
}

/// The newest of `name`, `name-2`, `name-3`, ... without a gap: the one that `--resume` means when
/// it is given no name.
pub fn newest(name: &str, runs: &Path) -> Option<String> {
    let mut newest = exists(&runs.join(name)).then(|| name.to_string())?;
    for number in 2.. {
        let candidate = format!("{name}-{number}");
        if !exists(&runs.join(&candidate)) {
            break;
        }
        newest = candidate;
    }
    Some(newest)
}

/// Refuses names that would leave the folder of runs.
///
/// # Errors
/// A usage error.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = !name.is_empty()
        && !name.starts_with(['.', '-'])
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control);
    if plain {
        return Ok(());
    }
    Err(usage(format!(
        "{name:?} cannot name a run: a name has no slash and starts with neither a dot nor a dash (--runs chooses the folder)"
    )))
}

/// Names of the runs in `runs`, sorted.
fn names_in(runs: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| exists(&entry.path()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("run.toml"), "").unwrap();
        }
        folder
    }

    #[test]
    fn the_next_free_name_comes_after_those_taken() {
        let folder = folder_with(&["smoke", "smoke-2", "smoke-4"]);
        assert_eq!(next_free("smoke", folder.path()), "smoke-3");
        assert_eq!(next_free("shapes", folder.path()), "shapes");
        assert_eq!(newest("smoke", folder.path()).unwrap(), "smoke-2");
        assert_eq!(newest("shapes", folder.path()), None);
    }

    #[test]
    fn a_missing_run_names_those_that_there_are() {
        let folder = folder_with(&["smoke", "shapes"]);
        let message = open("smoek", folder.path()).unwrap_err().to_string();
        assert!(message.contains("did you mean \"smoke\"?"), "{message}");
        assert!(message.contains("shapes, smoke"), "{message}");
    }

    #[test]
    fn names_stay_in_the_folder_of_runs() {
        for name in ["", "..", "a/b", "-x", "a\\b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("smoke-2.b_c").is_ok());
    }
}
