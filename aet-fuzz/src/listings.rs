//! What says which images there are: lists, annotations, kept listings.

use std::path::{Component, Path};

use aet_data::source::folder::{FolderOptions, FolderSource, Listed};
use aet_data::{DataError, Source};
use twox_hash::XxHash64;

use crate::images::PIXEL;
use crate::parts::put;
use crate::place::Place;
use crate::sets;

/// A list of paths, with some of the images that it may name.
pub(crate) fn list(input: &[u8]) {
    static PLACE: Place = Place::new(|folder| images(folder, &["0.gif", "one/1 a.gif"]));
    PLACE.with(|folder| {
        let path = folder.join("train.txt");
        put(&path, Some(input));
        sets::check(&path);
    });
}

/// The labels of validation images.
pub(crate) fn annotations(input: &[u8]) {
    static PLACE: Place = Place::new(|folder| images(folder, &["images/0.gif", "images/1.gif"]));
    PLACE.with(|folder| {
        put(&folder.join("val_annotations.txt"), Some(input));
        let options = FolderOptions {
            index_folder: None,
            ..FolderOptions::default()
        };
        let classes = [String::from("ant"), String::from("bee")];
        for classes in [None, Some(&classes[..])] {
            sets::check_source(|| opened(FolderSource::with_options(folder, classes, &options)));
        }
    });
}

/// Images below the root that kept listings are of.
const IMAGES: [&str; 4] = ["a/0.gif", "a/deep/1.gif", "a/deep/2.gif", "b/3.gif"];
/// Folders that listings may name.
const FOLDERS: [&str; 4] = ["", "a", "a/deep", "b"];
/// The first bytes of a listing.
const MAGIC: &[u8] = b"aetlist\x01";
/// The first byte of an input that is a whole file.
const WHOLE: u8 = 0xff;

/// A kept listing of a folder. The input begins with the number of folders and for each a byte that
/// says whose state is noted for it; root, states and hash are put in, as no input can hold those.
pub(crate) fn index(input: &[u8]) {
    static PLACE: Place = Place::new(|folder| images(&folder.join("set"), &IMAGES));
    PLACE.with(|folder| {
        let root = folder.join("set");
        let options = FolderOptions {
            index_folder: Some(folder.join("cache")),
            // No listing is written.
            index_from: usize::MAX,
            ..FolderOptions::default()
        };
        let canonical = std::fs::canonicalize(&root).expect("the root is there");
        let canonical = canonical.to_string_lossy();
        let name = format!("{:016x}.index", XxHash64::oneshot(0, canonical.as_bytes()));
        std::fs::create_dir_all(folder.join("cache")).expect("a folder can be made");
        let file = folder.join("cache").join(name);
        put(&file, Some(&listing(input, &root, canonical.as_bytes())));
        sets::check_source(|| {
            let source = FolderSource::with_options(&root, None, &options)?;
            check_listed(&source, &root);
            opened(Ok(source))
        });
    });
}

fn opened(source: Result<FolderSource, DataError>) -> Result<Box<dyn Source>, DataError> {
    Ok(Box::new(source?))
}

/// A listing tells of nothing outside its root; without one, all images are found.
fn check_listed(source: &FolderSource, root: &Path) {
    if *source.listed() != Listed::FromIndex {
        assert_eq!(source.len(), IMAGES.len());
        return;
    }
    for sample in (0..source.len().min(IMAGES.len())).flat_map(|index| source.read(index)) {
        let path = Path::new(&sample.name);
        assert!(path.starts_with(root), "{path:?} lies outside {root:?}");
        let climbs = path.components().any(|part| part == Component::ParentDir);
        assert!(!climbs, "{path:?} leads out of its folder");
    }
}

/// The file that `input` stands for.
fn listing(input: &[u8], root: &Path, canonical: &[u8]) -> Vec<u8> {
    let Some((&count, rest)) = input.split_first() else {
        return Vec::new();
    };
    if count == WHOLE {
        return rest.to_vec();
    }
    let (choices, rest) = rest.split_at(usize::from(count).min(rest.len()));
    let state = |choice: &u8| state_of(&root.join(FOLDERS.get(usize::from(*choice))?));
    let states: Vec<Option<State>> = choices.iter().map(state).collect();
    let head = postcard::to_stdvec(&(canonical, states)).expect("memory takes all that is written");
    let body = [&head, rest].concat();
    let hash = XxHash64::oneshot(0, &body).to_le_bytes();
    [MAGIC, &hash, &body].concat()
}

/// When a folder was modified, when it was changed, and its number in the file system.
type State = (i64, i64, u64);

#[cfg(unix)]
fn state_of(folder: &Path) -> Option<State> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(folder).ok()?;
    let time = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
    Some((
        time(metadata.mtime(), metadata.mtime_nsec()),
        time(metadata.ctime(), metadata.ctime_nsec()),
        metadata.ino(),
    ))
}

#[cfg(not(unix))]
fn state_of(_folder: &Path) -> Option<State> {
    None
}

/// Puts images with these names into `folder`.
fn images(folder: &Path, names: &[&str]) {
    for path in names.iter().map(|name| folder.join(name)) {
        let made = path.parent().map(std::fs::create_dir_all);
        made.transpose().expect("a folder can be made");
        put(&path, Some(PIXEL));
    }
}
