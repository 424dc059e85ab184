//! [`PositionedFile`]: reads of any place in a file, from any thread.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::image_file::kind_of;
use crate::error::DataError;

/// Opens the file at `path`, links followed, which must be a regular one: a pipe or a device could
/// keep a reader waiting for ever.
pub(super) fn open_regular(path: &Path) -> Result<File, DataError> {
    let metadata = std::fs::metadata(path).map_err(|error| DataError::io(path, error))?;
    if !metadata.is_file() {
        let kind = kind_of(metadata.file_type());
        let problem = format!("this is no regular file, but {kind}; move it away");
        return Err(DataError::malformed(path, problem));
    }
    File::open(path).map_err(|error| DataError::io(path, error))
}

/// An open file of known length. A read names its place, so that threads share one file.
#[derive(Debug)]
pub(super) struct PositionedFile {
    path: PathBuf,
    len: u64,
    #[cfg(unix)]
    file: File,
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
}

impl PositionedFile {
    /// Opens the file at `path`, which must be a regular one ([`open_regular`]).
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        Self::new(open_regular(path)?, path)
    }

    /// An open file; `path` goes into errors.
    pub(super) fn new(file: File, path: &Path) -> Result<Self, DataError> {
        let metadata = file
            .metadata()
            .map_err(|error| DataError::io(path, error))?;
        Ok(Self {
            path: path.to_path_buf(),
            len: metadata.len(),
            #[cfg(unix)]
            file,
            #[cfg(not(unix))]
            file: std::sync::Mutex::new(file),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes when it was opened.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// `length` bytes from `offset` on. Nothing is allocated for what lies outside the file.
    pub(super) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, DataError> {
        let end = offset.checked_add(length);
        let length = usize::try_from(length).ok();
        let (Some(length), true) = (length, end.is_some_and(|end| end <= self.len)) else {
            let problem = format!(
                "it ends at byte {}, before the {length:?} bytes from byte {offset} on",
                self.len
            );
            return Err(DataError::malformed(&self.path, problem));
        };
        let mut bytes = vec![0; length];
        self.fill(offset, &mut bytes)
            .map_err(|error| DataError::io(&self.path, error))?;
        Ok(bytes)
    }

    /// Fills `bytes` from `offset` on.
    #[cfg(unix)]
    pub(super) fn fill(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset)
    }

    /// Fills `bytes` from `offset` on.
    #[cfg(not(unix))]
    pub(super) fn fill(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek};
        let lock = self.file.lock();
        let mut file = lock.unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(io::SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}
