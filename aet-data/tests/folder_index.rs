//! Kept listings of folders, which must never tell anything but what a fresh one would.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aet_data::Source;
use aet_data::source::folder::{FolderOptions, FolderSource, Listed};
use proptest::prelude::*;
use support::folders::{contents, list, names, tree};
use support::write;
use tempfile::TempDir;

/// A set whose listing is kept whatever its size and age.
struct Kept {
    folder: TempDir,
    options: FolderOptions,
}

impl Kept {
    fn new(names: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let options = FolderOptions {
            index_folder: Some(folder.path().join("cache")),
            index_from: 1,
            settle: Duration::ZERO,
            ..FolderOptions::default()
        };
        let kept = Self { folder, options };
        for name in names {
            write(&kept.root().join(name), name.as_bytes());
        }
        kept.wait();
        kept
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("set")
    }

    /// Lets the clock of the file system take a step.
    fn wait(&self) {
        std::thread::sleep(Duration::from_millis(30));
    }

    fn open(&self) -> FolderSource {
        FolderSource::with_options(&self.root(), None, &self.options).unwrap()
    }

    /// Opens the set, which must be what a fresh listing says.
    fn open_checked(&self) -> FolderSource {
        let source = self.open();
        let fresh = list(&self.root());
        assert_eq!(contents(&source), contents(&fresh));
        assert_eq!(source.class_names(), fresh.class_names());
        source
    }

    fn expect_from_index(&self) {
        assert_eq!(*self.open_checked().listed(), Listed::FromIndex);
    }

    fn expect_anew(&self) -> FolderSource {
        self.wait();
        let source = self.open_checked();
        assert!(matches!(source.listed(), Listed::Anew { .. }));
        source
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.options.index_folder.as_ref().unwrap());
        let paths = entries.into_iter().flatten();
        paths.map(|entry| entry.unwrap().path()).collect()
    }

    /// The one file with the listing.
    fn file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

const SMALL: [&str; 5] = [
    "a/1.jpg",
    "a/deep/er/2.jpg",
    "a/x.png",
    "b/3.jpg",
    "b/deep/4.jpg",
];

#[test]
fn a_kept_listing_is_used_until_a_folder_changes() {
    let kept = Kept::new(&SMALL);
    let path = |name: &str| kept.root().join(name);
    let changes: [(&str, &dyn Fn()); 8] = [
        ("first", &|| {}),
        ("added", &|| write(&path("a/deep/er/0.jpg"), b"added")),
        ("removed", &|| fs::remove_file(path("b/3.jpg")).unwrap()),
        ("renamed", &|| {
            fs::rename(path("a/x.png"), path("a/y.png")).unwrap()
        }),
        ("new folder", &|| write(&path("c/5.jpg"), b"class")),
        ("moved folder", &|| {
            fs::rename(path("b/deep"), path("b/deeper")).unwrap()
        }),
        ("replaced folder", &|| {
            write(&path("new/6.jpg"), b"new");
            fs::remove_dir_all(path("a/deep/er")).unwrap();
            fs::rename(path("new"), path("a/deep/er")).unwrap();
        }),
        ("touched", &|| {
            let folder = fs::File::open(path("a/deep")).unwrap();
            let earlier = std::time::SystemTime::now() - Duration::from_secs(1000);
            folder.set_modified(earlier).unwrap();
        }),
    ];
    for (what, change) in changes {
        change();
        let source = kept.expect_anew();
        assert!(!source.is_empty(), "{what}");
        kept.expect_from_index();
        kept.expect_from_index();
    }
    // What is in a file is no matter of the listing.
    write(&path("c/5.jpg"), b"other bytes");
    kept.expect_from_index();
}

#[test]
fn small_folders_leave_nothing_in_the_cache() {
    let mut kept = Kept::new(&SMALL);
    kept.options.index_from = 6;
    kept.open();
    assert!(kept.files().is_empty());
    write(&kept.root().join("b/5.jpg"), b"sixth");
    kept.expect_anew();
    kept.expect_from_index();
    fs::remove_file(kept.root().join("b/5.jpg")).unwrap();
    kept.expect_anew();
    assert!(kept.files().is_empty());
}

#[test]
fn a_listing_of_a_folder_that_has_just_changed_is_not_kept() {
    let mut kept = Kept::new(&SMALL);
    kept.options.settle = FolderOptions::default().settle;
    let source = kept.expect_anew();
    let Listed::Anew { note } = source.listed() else {
        panic!("kept");
    };
    assert!(note.contains("changed just before"), "{note}");
    kept.expect_anew();
}

#[test]
fn a_cache_that_cannot_be_written_is_no_error() {
    let mut kept = Kept::new(&SMALL);
    let file = kept.folder.path().join("file");
    fs::write(&file, b"no folder").unwrap();
    kept.options.index_folder = Some(file);
    let source = kept.expect_anew();
    let Listed::Anew { note } = source.listed() else {
        panic!("kept");
    };
    assert!(note.contains("no index was written"), "{note}");
}

#[test]
fn a_set_that_moved_is_listed_again() {
    let kept = Kept::new(&SMALL);
    kept.expect_anew();
    let other = kept.folder.path().join("other");
    fs::rename(kept.root(), &other).unwrap();
    let open = || FolderSource::with_options(&other, None, &kept.options).unwrap();
    assert!(matches!(open().listed(), Listed::Anew { .. }));
    assert_eq!(*open().listed(), Listed::FromIndex);
    assert_eq!(kept.files().len(), 2);
}

#[test]
fn a_listing_cut_short_at_any_length_is_made_again() {
    let kept = Kept::new(&SMALL);
    kept.expect_anew();
    let whole = fs::read(kept.file()).unwrap();
    for length in (0..whole.len()).step_by(7) {
        fs::write(kept.file(), &whole[..length]).unwrap();
        assert!(matches!(kept.open_checked().listed(), Listed::Anew { .. }));
        assert_eq!(fs::read(kept.file()).unwrap(), whole);
    }
    kept.expect_from_index();
}

#[cfg(unix)]
#[test]
fn what_a_link_leads_to_is_watched_by_a_kept_listing() {
    use std::os::unix::fs::symlink;

    let (kept, stores) = (
        Kept::new(&["a/1.jpg", "b/2.jpg"]),
        tree(&["x/3.jpg", "y/4.jpg"]),
    );
    let link = |target: &str| {
        let current = stores.path().join("current");
        let _ = fs::remove_file(&current);
        symlink(target, current).unwrap();
        kept.wait();
    };
    for name in ["c", "d"] {
        symlink(stores.path().join("current"), kept.root().join(name)).unwrap();
    }
    symlink(stores.path().join("later"), kept.root().join("e")).unwrap();
    link("x");
    kept.expect_anew();
    kept.expect_from_index();
    link("y");
    kept.expect_anew();
    kept.expect_from_index();
    fs::rename(stores.path().join("x"), stores.path().join("later")).unwrap();
    let source = kept.expect_anew();
    assert_eq!(names(&source), ["a/1.jpg", "b/2.jpg", "y/4.jpg", "x/3.jpg"]);
    kept.expect_from_index();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_damaged_listing_is_made_again(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..5),
    ) {
        let kept = Kept::new(&SMALL);
        kept.open();
        let whole = fs::read(kept.file()).unwrap();
        let mut damaged = whole.clone();
        for (place, flip) in flips {
            let place = place.index(damaged.len());
            damaged[place] ^= flip;
        }
        fs::write(kept.file(), &damaged).unwrap();
        let source = kept.open_checked();
        prop_assert_eq!(*source.listed() == Listed::FromIndex, damaged == whole);
        kept.expect_from_index();
    }
}
