//! Folders of images: what is listed and in which order, labels, and trees made to do harm.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use aet_data::source::folder::{FolderOptions, FolderSource};
use aet_data::{DataError, Source, Split, open};
use proptest::prelude::*;
use support::folders::{contents, list, names, plain, tree};
use support::{at, full_message, write};
use tempfile::TempDir;

/// The message of what reading an image ends in, which must be about that image.
fn image_failure(source: &FolderSource, index: usize) -> String {
    let error = source.read(index).unwrap_err();
    assert!(error.is_about_one_image(), "{error:?}");
    full_message(&error)
}

/// All images below `folder`, found the simple way.
fn images_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort_by_key(|path| path.file_name().unwrap().as_encoded_bytes().to_vec());
    let below = |path: PathBuf| match path.is_dir() {
        true => images_below(&path),
        false => vec![path],
    };
    paths.into_iter().flat_map(below).collect()
}

#[test]
fn images_of_all_extensions_are_listed_and_nothing_else() {
    let images = [
        "a.jpg", "b.JPEG", "c.jpe", "d.Jfif", "e.png", "f.webp", "g.bmp", "h.tif", "i.TIFF",
        "j.gif",
    ];
    let folder = tree(&images);
    for other in [
        ".a.jpg",
        "._a.jpg",
        ".git/a.jpg",
        "__MACOSX/a.jpg",
        "@eaDir/a.jpg",
        "Thumbs.db",
        "a.txt",
        "jpg",
        "lost+found/a.jpg",
    ] {
        write(&folder.path().join(other), b"other");
    }
    assert_eq!(names(&list(folder.path())), images);
}

#[test]
fn sub_folders_are_classes_however_deep_their_images_lie() {
    let folder = tree(&[
        "b/x/y/z/1.jpg",
        "b/2.jpg",
        "a/10.jpg",
        "a/9.jpg",
        "empty/note.txt",
    ]);
    let source = list(folder.path());
    assert_eq!(source.class_names(), ["a", "b"]);
    let expected = [
        ("a/10.jpg", Some(0)),
        ("a/9.jpg", Some(0)),
        ("b/2.jpg", Some(1)),
        ("b/x/y/z/1.jpg", Some(1)),
    ];
    let expected = expected.map(|(name, label)| (name.to_owned(), label));
    assert_eq!(contents(&source), expected);
}

#[test]
fn images_beside_folders_make_a_set_without_labels() {
    let all = ["2019/1.jpg", "2020/2.jpg", "3.jpg"];
    let folder = tree(&all);
    let source = list(folder.path());
    assert_eq!(names(&source), all);
    assert_eq!(source.labels().unwrap(), [None; 3]);
    assert!(source.class_names().is_empty());

    let classes = ["2019".to_owned(), "2020".to_owned()];
    let with = |classes| FolderSource::with_options(folder.path(), Some(classes), &plain());
    let error = with(&classes[..]).unwrap_err().to_string();
    assert!(
        error.contains("3.jpg") && error.contains("move it"),
        "{error}"
    );
    assert_eq!(with(&[]).unwrap().labels().unwrap(), [None; 3]);
}

#[test]
fn a_test_split_has_labels_only_where_its_training_split_has() {
    let folder = tree(&["train/a/1.jpg", "train/b/1.jpg", "test/b/1.jpg"]);
    let labels = || {
        open(&at(folder.path()), Split::Test)
            .unwrap()
            .labels()
            .unwrap()
    };
    assert_eq!(labels(), [Some(1)]);
    write(&folder.path().join("train/loose.jpg"), b"loose");
    assert_eq!(labels(), [None]);
}

#[test]
fn a_very_deep_tree_is_listed() {
    let folder = TempDir::new().unwrap();
    let deep: PathBuf = (0..500).map(|_| "d").collect();
    write(&folder.path().join(&deep).join("1.jpg"), b"deep");
    assert_eq!(names(&list(folder.path())), ["deep"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_order_is_that_of_a_simple_walk(
        paths in prop::collection::btree_set("([a-c.-]{1,3}/){0,4}[a-c]{1,2}", 1..40),
    ) {
        let folder = TempDir::new().unwrap();
        for path in paths {
            let hidden = path.split('/').any(|part| part.starts_with('.'));
            if !hidden {
                write(&folder.path().join(format!("{path}.jpg")), b"image");
            }
        }
        let expected = images_below(folder.path());
        prop_assume!(!expected.is_empty());
        let source = list(folder.path());
        let found: Vec<PathBuf> = (0..source.len())
            .map(|index| PathBuf::from(source.read(index).unwrap().name))
            .collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn an_image_that_is_gone_empty_or_too_large_is_an_error_about_that_image() {
    let folder = tree(&["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]);
    let options = FolderOptions {
        max_file_bytes: 5,
        ..plain()
    };
    let source = FolderSource::with_options(folder.path(), None, &options).unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::remove_file(path("1.jpg")).unwrap();
    fs::write(path("2.jpg"), b"").unwrap();
    fs::write(path("3.jpg"), b"123456").unwrap();
    fs::remove_file(path("4.jpg")).unwrap();
    fs::create_dir(path("4.jpg")).unwrap();
    let problems = [
        "it is gone",
        "is empty",
        "has 6 bytes, but at most 5",
        "but a folder",
    ];
    for (index, problem) in problems.into_iter().enumerate() {
        let message = image_failure(&source, index);
        let name = format!("{}.jpg", index + 1);
        assert!(
            message.contains(problem) && message.contains(&name),
            "{message}"
        );
    }
    assert!(source.read(4).is_ok());
    let outside = source.read(5).unwrap_err();
    assert!(matches!(
        outside,
        DataError::OutOfRange { index: 5, len: 5 }
    ));
}

#[cfg(unix)]
mod on_unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn cycles_end_and_a_folder_counts_once_where_it_really_lies() {
        let folder = tree(&["b/deep/1.jpg", "b/2.jpg", "c/3.jpg"]);
        let root = folder.path();
        symlink(root, root.join("a")).unwrap();
        symlink("..", root.join("b/up")).unwrap();
        symlink("../../b", root.join("b/deep/around")).unwrap();
        symlink(root.join("b/deep"), root.join("aa")).unwrap();
        symlink("itself", root.join("itself")).unwrap();
        let source = list(root);
        assert_eq!(source.class_names(), ["b", "c"]);
        assert_eq!(names(&source), ["b/2.jpg", "b/deep/1.jpg", "c/3.jpg"]);
    }

    #[test]
    fn linked_folders_and_images_outside_are_part_of_the_set() {
        let store = tree(&["x/1.jpg", "y/2.jpg", "3.jpg"]);
        let folder = tree(&["real/4.jpg"]);
        for (target, name) in [
            ("x", "first"),
            ("y", "second"),
            ("x", "third"),
            ("3.jpg", "real/l.jpg"),
        ] {
            symlink(store.path().join(target), folder.path().join(name)).unwrap();
        }
        let source = list(folder.path());
        assert_eq!(source.class_names(), ["first", "real", "second"]);
        assert_eq!(
            names(&source),
            ["x/1.jpg", "real/4.jpg", "3.jpg", "y/2.jpg"]
        );
    }

    #[test]
    fn links_to_nothing_are_passed_over_unless_they_are_named_as_images() {
        let folder = tree(&["1.jpg"]);
        symlink("nowhere", folder.path().join("0.jpg")).unwrap();
        symlink("nowhere", folder.path().join("else")).unwrap();
        symlink("loop.png", folder.path().join("loop.png")).unwrap();
        let source = list(folder.path());
        assert_eq!(source.len(), 3);
        assert!(image_failure(&source, 0).contains("link to nothing"));
        assert!(source.read(1).is_ok());
        assert!(image_failure(&source, 2).contains("loop.png"));
    }

    #[test]
    fn pipes_and_sockets_are_never_opened() {
        let folder = tree(&["c.jpg"]);
        let made = Command::new("mkfifo")
            .arg(folder.path().join("a.jpg"))
            .status();
        if !made.is_ok_and(|status| status.success()) {
            println!("skipped: mkfifo is not there");
            return;
        }
        let _socket = UnixListener::bind(folder.path().join("b.jpg")).unwrap();
        symlink("/dev/zero", folder.path().join("d.jpg")).unwrap();
        let source = list(folder.path());
        assert!(image_failure(&source, 0).contains("a pipe"));
        assert!(image_failure(&source, 1).contains("a socket"));
        assert!(source.read(2).is_ok());
        assert!(image_failure(&source, 3).contains("a device"));
    }

    #[test]
    fn names_that_are_no_text_or_hold_newlines_are_read() {
        let folder = TempDir::new().unwrap();
        let classes: [&[u8]; 3] = [b"one\ntwo", b"h\xf6rn", b"h\xf7rn"];
        for class in classes {
            let path = folder.path().join(OsStr::from_bytes(class));
            write(
                &path.join(OsStr::from_bytes(b"\xff\xfe .jpg")),
                class.escape_ascii().to_string().as_bytes(),
            );
        }
        let source = list(folder.path());
        assert_eq!(source.class_names(), ["h\\xf6rn", "h\\xf7rn", "one\ntwo"]);
        assert_eq!(names(&source), ["h\\xf6rn", "h\\xf7rn", "one\\ntwo"]);
        assert_eq!(source.labels().unwrap(), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn what_may_not_be_read_is_named() {
        let folder = tree(&["a/1.jpg", "a/2.jpg", "locked/3.jpg"]);
        let lock = |name: &str, mode| {
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode))
        };
        lock("a/2.jpg", 0o000).unwrap();
        if fs::read(folder.path().join("a/2.jpg")).is_ok() {
            println!("skipped: this user may read everything");
            return;
        }
        let source = list(folder.path());
        assert!(source.read(0).is_ok());
        assert!(image_failure(&source, 1).contains("2.jpg"));
        lock("locked", 0o000).unwrap();
        let error = FolderSource::with_options(folder.path(), None, &plain()).unwrap_err();
        lock("locked", 0o700).unwrap();
        assert!(error.to_string().contains("locked"), "{error}");
        assert!(!error.is_about_one_image());
    }
}
