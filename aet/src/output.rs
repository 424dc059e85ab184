//! Results on stdout, and files that appear whole or not at all.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::failure::usage;

/// How the names of unfinished files begin.
pub const DRAFT_PREFIX: &str = ".aet-draft-";

/// Writes `text` and a line break to stdout.
///
/// # Errors
/// The plain `io::Error` when stdout is closed, which [`crate::failure::exit_code`] knows.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
    stdout.flush()?;
    Ok(())
}

/// Writes `value` to stdout, indented.
///
/// # Errors
/// When stdout is closed.
pub fn print_json(value: &Value) -> anyhow::Result<()> {
    print(&format!("{value:#}"))
}

/// Writes clap's `--help` or `--version` to stdout.
///
/// # Errors
/// When stdout is closed.
pub fn print_help(help: &clap::Error) -> anyhow::Result<()> {
    help.print()?;
    Ok(())
}

/// Writes `bytes` to `path` under a temporary name beside it, then renames.
///
/// # Errors
/// When the folder is missing (usage) or the disk refuses.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut draft = draft_beside(path)?;
    draft
        .write_all(bytes)
        .with_context(|| format!("cannot write {}", path.display()))?;
    keep_draft(draft, path)
}

/// A file in the folder of `path`, named after [`DRAFT_PREFIX`] and it; it goes away unless [`keep_draft`] is called.
///
/// # Errors
/// When the folder is missing (usage) or the disk refuses.
pub fn draft_beside(path: &Path) -> anyhow::Result<tempfile::NamedTempFile> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(usage(format!(
            "cannot write {}: there is no folder {}",
            path.display(),
            folder.display()
        )));
    }
    if path.is_dir() {
        return Err(usage(format!(
            "cannot write {}: it is a folder",
            path.display()
        )));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!("{DRAFT_PREFIX}{name}-"))
        .tempfile_in(folder)
        .with_context(|| format!("cannot write into {}", folder.display()))
}

/// Flushes `draft` and gives it the name `path`.
///
/// # Errors
/// When the disk refuses.
pub fn keep_draft(draft: tempfile::NamedTempFile, path: &Path) -> anyhow::Result<()> {
    open_to_readers(&draft)
        .and_then(|()| draft.as_file().sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    draft
        .persist(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// A temporary file is for its owner alone; a result is for whoever the folder is open to.
fn open_to_readers(draft: &tempfile::NamedTempFile) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(0o644);
        draft.as_file().set_permissions(permissions)?;
    }
    #[cfg(not(unix))]
    let _ = draft;
    Ok(())
}
