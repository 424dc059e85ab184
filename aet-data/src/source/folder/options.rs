//! How a folder of images is listed and read, and where a user's caches lie.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::source::image_file::MOST_BYTES;

/// How a folder of images is listed and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderOptions {
    /// Where the listings of large folders are kept; `None` keeps none.
    pub index_folder: Option<PathBuf>,
    /// From how many images on a listing is kept.
    pub index_from: usize,
    /// A listing is kept if none of its folders changed for this long before, because a change in
    /// the same step of the file system's clock could not be seen later.
    pub settle: Duration,
    /// The largest image file that is read, in bytes.
    pub max_file_bytes: u64,
}

impl Default for FolderOptions {
    /// Listings of 10,000 images and more, in `folders` of the user's [`cache_folder`]; 3 seconds;
    /// 1 GiB.
    fn default() -> Self {
        Self {
            index_folder: cache_folder().map(|folder| folder.join("folders")),
            index_from: 10_000,
            settle: Duration::from_secs(3),
            max_file_bytes: MOST_BYTES,
        }
    }
}

/// The user's folder for what can be made again: `AET_CACHE_DIR` of the environment if it is set
/// (set to nothing, there is none); else `aet` in `XDG_CACHE_HOME`, in `.cache` of the home folder,
/// in `Library/Caches` of it on macOS, or in `LOCALAPPDATA` on Windows.
pub fn cache_folder() -> Option<PathBuf> {
    cache_folder_in(|name| std::env::var_os(name), std::env::home_dir())
}

fn cache_folder_in(
    variable: impl Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    if let Some(chosen) = variable("AET_CACHE_DIR") {
        return Some(PathBuf::from(chosen)).filter(|path| !path.as_os_str().is_empty());
    }
    // A relative path would mean another folder in every working directory.
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = home.filter(|path| path.is_absolute());
    let caches = match std::env::consts::OS {
        "windows" => absolute("LOCALAPPDATA"),
        "macos" => absolute("XDG_CACHE_HOME").or(home.map(|home| home.join("Library/Caches"))),
        _ => absolute("XDG_CACHE_HOME").or(home.map(|home| home.join(".cache"))),
    };
    caches.map(|caches| caches.join("aet"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], home: Option<&str>) -> Option<PathBuf> {
        let variable = |name: &str| {
            let mut all = variables.iter();
            all.find_map(|(known, value)| (*known == name).then(|| OsString::from(value)))
        };
        cache_folder_in(variable, home.map(PathBuf::from))
    }

    #[test]
    fn the_environment_says_where_caches_lie() {
        let home = Some("/home/ann");
        let xdg = ("XDG_CACHE_HOME", "/fast");
        let expected = |path: &str| Some(PathBuf::from(path));
        assert_eq!(found(&[], home), expected("/home/ann/.cache/aet"));
        assert_eq!(found(&[xdg], home), expected("/fast/aet"));
        assert_eq!(
            found(&[xdg, ("AET_CACHE_DIR", "mine")], home),
            expected("mine")
        );
        assert_eq!(found(&[xdg, ("AET_CACHE_DIR", "")], home), None);
        let relative = ("XDG_CACHE_HOME", "fast");
        assert_eq!(found(&[relative], home), expected("/home/ann/.cache/aet"));
        assert_eq!(found(&[], None), None);
    }
}
