//! Compressed data that is read in any order: unpacked once into a file without a name, which is
//! gone when it is closed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::positioned::PositionedFile;
use crate::error::DataError;

/// Data that unpacks to more than this many times its size (and [`FREE`] bytes) is taken for a
/// trap: images hardly shrink at all.
const MOST_TIMES: u64 = 100;
const FREE: u64 = 1 << 26;

/// How many bytes `packed` bytes may unpack to.
pub(super) fn most_unpacked(packed: u64) -> u64 {
    packed.saturating_mul(MOST_TIMES).saturating_add(FREE)
}

/// A reader of unpacked bytes that fails where they grow past all reason.
pub(super) struct Unpacking<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Unpacking<R> {
    /// `reader` unpacks `packed` bytes.
    pub(super) fn new(reader: R, packed: u64) -> Self {
        Self {
            reader,
            left: most_unpacked(packed),
        }
    }
}

impl<R: Read> Read for Unpacking<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(bytes)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!(
                "it unpacks to more than {MOST_TIMES} times its size"
            ))
        })?;
        Ok(count)
    }
}

/// Writes all that `reader` gives to a file without a name in the folder for temporary files
/// (`TMPDIR`). `path` goes into errors.
///
/// # Errors
/// When the data is damaged ([`DataError::Malformed`]), or there is no room for it.
pub(super) fn unpack(reader: &mut dyn Read, path: &Path) -> Result<PositionedFile, DataError> {
    let no_room = |error: io::Error| {
        let folder = std::env::temp_dir();
        let problem = format!("cannot unpack it into {}: {error}", folder.display());
        DataError::io(path, io::Error::new(error.kind(), problem))
    };
    let mut file: File = tempfile::tempfile().map_err(no_room)?;
    let mut bytes = vec![0; 1 << 17];
    loop {
        let count = match reader.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let problem = format!("its compressed data is damaged or cut short: {error}");
                return Err(DataError::malformed(path, problem));
            }
        };
        file.write_all(&bytes[..count]).map_err(no_room)?;
    }
    PositionedFile::new(file, path)
}
