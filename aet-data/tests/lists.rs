//! Lists of images: what a line may be, what it may not, and where images are looked for.
#![allow(clippy::unwrap_used)]

mod support;

use aet_data::{Split, open};
use support::{at, failure, full_message, marked, open_and_load, png, write};
use tempfile::TempDir;

#[test]
fn a_line_is_a_path_and_a_label_in_any_of_the_usual_ways() {
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    for (number, name) in ["a.png", "b c.png", "deep/d 4.png", "e,f.png", "g.png"]
        .iter()
        .enumerate()
    {
        write(&place(name), &png(&marked(5, 7, number)));
    }
    let absolute = place("g.png");
    let text = format!(
        "\u{feff}path,label\r\n# a comment\r\n\r\na.png,3\r\nb c.png 0\r\n  deep/d 4.png\t12 \r\n\
         e,f.png , 1\r\n{} -1",
        absolute.display()
    );
    let list = place("anything.lst");
    write(&list, text.as_bytes());
    let set = open_and_load(&list, Split::Train).unwrap();
    assert_eq!(set.labels, [Some(3), Some(0), Some(12), Some(1), None]);
    assert_eq!(set.class_names.len(), 13);
    for number in 0..5 {
        assert_eq!(set.image(number).to_image(), marked(5, 7, number));
    }
    write(&list, b"a.png\nb c.png\ndeep/d 4.png");
    let set = open_and_load(&list, Split::Train).unwrap();
    assert_eq!(set.labels, [None; 3]);
    assert!(set.class_names.is_empty());
}

#[test]
fn bad_lines_are_named_by_their_number() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("list.txt");
    let cases: [(&[u8], &str); 7] = [
        (b"a.png 1\n\nb.png\n", "line 3: no whole number as label"),
        (b"a.png 1\nb.png x\n", "line 2: no whole number as label"),
        (
            b"a.png\nb.png 1\n",
            "line 2: a label after the path, unlike line 1",
        ),
        (
            b"path label\n# x\na.png\n",
            "line 3: no whole number as label after the path, unlike line 1",
        ),
        (b"a.png 1\nb.png -2\n", "line 2: label -2"),
        (
            b"a.png 1\nb.png 99999999999999999999\n",
            "line 2: label 99999999999999999999",
        ),
        (
            b"a.png 1\nb.png 2\n\xff\xfe.png 3\n",
            "line 3: this is no text in UTF-8",
        ),
    ];
    for (text, expected) in cases {
        write(&list, text);
        let message = failure(&list, Split::Train);
        assert!(
            message.contains(expected) && message.contains("list.txt"),
            "{message}"
        );
    }
    for empty in ["", "\n\n", "# only a comment\n", "\u{feff}", "path,label\n"] {
        write(&list, empty.as_bytes());
        assert!(failure(&list, Split::Train).contains("holds no image"));
    }
}

#[test]
fn an_image_that_is_missing_is_found_when_it_is_read() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("list.csv");
    write(&folder.path().join("b.png"), &png(&marked(5, 7, 1)));
    std::fs::create_dir(folder.path().join("c.png")).unwrap();
    write(&list, b"a.png,0\nb.png,1\nc.png,2\n");
    let source = open(&at(&list), Split::Train).unwrap();
    assert_eq!(source.labels().unwrap(), [Some(0), Some(1), Some(2)]);
    assert_eq!(source.read(1).unwrap().label, Some(1));
    for (index, name, reason) in [
        (0, "a.png", "cannot be read"),
        (2, "c.png", "no regular file"),
    ] {
        let error = source.read(index).unwrap_err();
        let message = full_message(&error);
        assert!(error.is_about_one_image());
        assert!(
            message.contains(name) && message.contains(reason),
            "{message}"
        );
    }
}

#[test]
fn a_folder_of_lists_gives_way_to_sub_folders_of_splits() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("images/a.png"), &png(&marked(5, 7, 1)));
    write(
        &folder.path().join("train_places205.csv"),
        b"images/a.png 1\n",
    );
    write(
        &folder.path().join("val_places205.csv"),
        b"images/a.png 2\n",
    );
    let format = |split| open(&at(folder.path()), split).map(|source| source.format());
    assert_eq!(format(Split::Train).unwrap(), "file-list");
    assert_eq!(
        open_and_load(folder.path(), Split::Test).unwrap().labels,
        [Some(2)]
    );
    write(&folder.path().join("train/b.png"), &png(&marked(5, 7, 1)));
    assert_eq!(format(Split::Train).unwrap(), "image-folder");
    assert!(format(Split::Test).unwrap_err().is_no_split());
}

#[test]
fn text_beside_images_makes_no_list() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("a.png"), &png(&marked(5, 7, 1)));
    for name in [
        "train_notes.txt",
        "words.txt",
        "training.csv",
        "val_annotations.txt.bak",
    ] {
        write(&folder.path().join(name), b"no list\n");
    }
    let source = open(&at(folder.path()), Split::Train).unwrap();
    assert_eq!((source.format(), source.len()), ("image-folder", 1));
}
