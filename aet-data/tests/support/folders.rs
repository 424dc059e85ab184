//! Folders of files that each hold their own name, listed anew or by a kept listing.

use std::path::Path;

use aet_data::source::folder::{FolderOptions, FolderSource};
use aet_data::{Payload, Source};
use tempfile::TempDir;

use super::write;

/// No kept listing.
pub fn plain() -> FolderOptions {
    FolderOptions {
        index_folder: None,
        ..FolderOptions::default()
    }
}

pub fn list(root: &Path) -> FolderSource {
    FolderSource::with_options(root, None, &plain()).unwrap()
}

/// A folder in which each file holds its own name.
pub fn tree(names: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in names {
        write(&folder.path().join(name), name.as_bytes());
    }
    folder
}

/// What each image holds, and its label.
pub fn contents(source: &FolderSource) -> Vec<(String, Option<u32>)> {
    let content = |index| {
        let sample = source.read(index).unwrap();
        let Payload::Encoded(bytes) = sample.payload else {
            panic!("decoded");
        };
        (String::from_utf8(bytes).unwrap(), sample.label)
    };
    let contents: Vec<_> = (0..source.len()).map(content).collect();
    let labels: Vec<Option<u32>> = contents.iter().map(|(_, label)| *label).collect();
    assert_eq!(source.labels().unwrap(), labels);
    contents
}

pub fn names(source: &FolderSource) -> Vec<String> {
    contents(source).into_iter().map(|(name, _)| name).collect()
}
