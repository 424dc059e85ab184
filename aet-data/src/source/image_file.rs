//! One encoded image in a file of its own, which nobody vouches for: its path is found in a folder, or
//! a list or a table gives it.

use std::fs::{File, FileType};
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::error::DataError;

/// A file of more bytes is no image.
pub(super) const MOST_BYTES: u64 = 1 << 30;

/// The bytes of the regular file at `path`, links followed. Pipes, sockets and devices are not
/// opened, as that alone can wait for ever.
///
/// # Errors
/// What is wrong: no regular file, none or more than `most` bytes, or what the system says.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!("cannot be read: it is gone, or a link to nothing ({error})")
        }
        _ => format!("cannot be read: {error}"),
    })?;
    if !metadata.is_file() {
        let kind = kind_of(metadata.file_type());
        return Err(format!("is no regular file, but {kind}; move it away"));
    }
    let bytes = metadata.len();
    if bytes == 0 {
        return Err("the file is empty; remove it, or get it again".to_owned());
    }
    let too_large = || format!("has {bytes} bytes, but at most {most} are read; make it smaller");
    if bytes > most {
        return Err(too_large());
    }
    let size = usize::try_from(bytes).map_err(|_| too_large())?;
    let mut content = Vec::new();
    let reserved = content.try_reserve_exact(size);
    reserved.map_err(|_| format!("has {bytes} bytes, more than there is memory for"))?;
    content.resize(size, 0);
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut content));
    read.map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => "became shorter while it was read; try again".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    Ok(content)
}

/// The error about image `index`, which is the file at `path`.
pub(super) fn problem(index: usize, path: &Path, problem: String) -> DataError {
    DataError::Image {
        index,
        name: path.display().to_string(),
        problem,
    }
}

/// What a file is that is no regular one.
#[cfg(unix)]
pub(super) fn kind_of(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// What a file is that is no regular one.
#[cfg(not(unix))]
pub(super) fn kind_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else {
        "a device"
    }
}
