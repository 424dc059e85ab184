//! What tells whether a folder is the one that was listed, and has the same files.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// State of a folder: adding, removing or renaming something in it changes `modified` and
/// `changed`, and another folder in its place has another `inode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// When its entries last changed, in nanoseconds since 1970.
    modified: i64,
    /// As `modified`, but no program can set it back; 0 where the system has no such time.
    changed: i64,
    /// Its number in the file system; 0 where the system has none.
    inode: u64,
}

impl Stamp {
    /// The state of the folder at `path`; `None` if there is none. Links are followed.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok();
        metadata
            .filter(Metadata::is_dir)
            .map(|found| Self::of(&found))
    }

    /// The state that `metadata` tells.
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let time = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000) + rest;
        Self {
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// The state that `metadata` tells.
    #[cfg(not(unix))]
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().map_or(i64::MAX, nanoseconds),
            changed: 0,
            inode: 0,
        }
    }

    /// Whether the last change came `settle` before `time` or earlier. A clock has steps, of up to
    /// 2 seconds on some file systems, and a change in the same step as the listing leaves the
    /// stamp as it was.
    pub(super) fn is_settled(&self, time: SystemTime, settle: Duration) -> bool {
        let settle = i64::try_from(settle.as_nanos()).unwrap_or(i64::MAX);
        self.modified.max(self.changed) < nanoseconds(time).saturating_sub(settle)
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// What is the same for two paths to one folder.
#[cfg(unix)]
pub(super) type Identity = (u64, u64);

/// What is the same for two paths to one folder.
#[cfg(not(unix))]
pub(super) type Identity = std::path::PathBuf;

/// State and identity of the folder at `path`, links followed.
pub(super) fn examine(path: &Path) -> io::Result<(Stamp, Identity)> {
    let metadata = std::fs::metadata(path)?;
    #[cfg(unix)]
    let identity = {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    };
    #[cfg(not(unix))]
    let identity = std::fs::canonicalize(path)?;
    Ok((Stamp::of(&metadata), identity))
}
