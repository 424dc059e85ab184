//! [`Place`]: the temporary folder of a target, made once a process.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

/// A folder that is in memory on Linux.
const IN_MEMORY: &str = "/dev/shm";

/// A folder that is made and furnished when it is first asked for, for one thread at a time.
pub(crate) struct Place {
    furnish: fn(&Path),
    folder: Mutex<Option<TempDir>>,
}

impl Place {
    /// A folder in which `furnish` puts what stays the same from one input to the next.
    pub(crate) const fn new(furnish: fn(&Path)) -> Self {
        Self {
            furnish,
            folder: Mutex::new(None),
        }
    }

    /// An empty folder.
    pub(crate) const fn empty() -> Self {
        Self::new(|_| ())
    }

    /// What `work` makes of the folder.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Path) -> T) -> T {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = folder.get_or_insert_with(|| {
            let made = made().expect("a temporary folder can be made");
            (self.furnish)(made.path());
            made
        });
        work(folder.path())
    }
}

fn made() -> std::io::Result<TempDir> {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("aet-fuzz-");
        builder
    };
    match Path::new(IN_MEMORY).is_dir() {
        true => builder().tempdir_in(IN_MEMORY),
        false => builder().tempdir(),
    }
}
