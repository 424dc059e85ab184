//! One encoded image in a file of its own, whose path a list or a table gives.

use std::path::Path;

use crate::error::DataError;

/// A file of more bytes is no image.
pub(super) const MOST_BYTES: u64 = 1 << 30;

/// The bytes of the file at `path`.
///
/// # Errors
/// What is wrong with it, in words that follow its path.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("cannot be read: {error}");
    let metadata = std::fs::metadata(path).map_err(fail)?;
    if !metadata.is_file() {
        return Err("this is no regular file".to_owned());
    }
    if metadata.len() > MOST_BYTES {
        return Err(format!(
            "{} bytes are too many for an image",
            metadata.len()
        ));
    }
    std::fs::read(path).map_err(fail)
}

/// The error about image `index`, which is the file at `path`.
pub(super) fn problem(index: usize, path: &Path, problem: String) -> DataError {
    DataError::Image {
        index,
        name: path.display().to_string(),
        problem,
    }
}
