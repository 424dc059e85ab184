//! Lists of images.

use std::path::Path;

use super::Outcome::{Read, Refused, Skipped};
use super::{Case, GOOD, sparse, write_good};
use crate::support::write;

/// Good images, and a list `train.txt` of them with labels, with `more` behind it.
fn list(folder: &Path, more: &[u8]) -> Result<(), String> {
    write_good(folder);
    let lines = (0..GOOD).map(|number| format!("good-{number}.png {}\n", number % 3));
    let text = lines.collect::<String>().into_bytes();
    write(&folder.join("train.txt"), &[&text, more].concat());
    Ok(())
}

pub fn cases() -> Vec<Case> {
    [images(), labels(), texts()]
        .into_iter()
        .flatten()
        .collect()
}

fn images() -> Vec<Case> {
    vec![
        Case::set(
            "list-of-a-missing-file",
            "a line for an image that is not there",
            ("", |folder| list(folder, b"gone.png 1\n")),
            Skipped(
                GOOD,
                "image 10 (gone.png): cannot be read: it is gone, or a link to nothing",
            ),
        ),
        Case::set(
            "list-of-a-folder",
            "a line for a folder",
            ("", |folder| {
                write_good(&folder.join("deep"));
                list(folder, b"deep 1\n")
            }),
            Skipped(
                GOOD,
                "image 10 (deep): is no regular file, but a folder; move it away",
            ),
        ),
        Case::set(
            "list-of-an-empty-file",
            "a line for a file of no bytes",
            ("", |folder| {
                write(&folder.join("empty.png"), b"");
                list(folder, b"empty.png 1\n")
            }),
            Skipped(
                GOOD,
                "image 10 (empty.png): the file is empty; remove it, or get it again",
            ),
        ),
        Case::set(
            "list-of-outside-files",
            "paths that lead out of the folder of the list, by `..` and from the root",
            ("lists/train.txt", |folder| {
                write_good(folder);
                let inside = |number: usize| format!("../good-{number}.png {number}\n");
                let mut text: String = (0..GOOD - 1).map(inside).collect();
                text += &format!("{} 0\n", folder.join("good-9.png").display());
                write(&folder.join("lists/train.txt"), text.as_bytes());
                Ok(())
            }),
            Read(GOOD, "a list is the user's own and may name any file"),
        ),
        Case::set(
            "list-of-a-path-without-end",
            "a path of 5,000 bytes",
            ("", |folder| {
                let path = "long/".repeat(1000);
                list(folder, format!("{path}1.png 1\n").as_bytes())
            }),
            Skipped(GOOD, "image 10 (long/long/…): cannot be read: "),
        ),
        Case::set(
            "list-with-the-same-line-twice",
            "an image that is named twice",
            ("", |folder| list(folder, b"good-3.png 0\n")),
            Read(GOOD + 1, "an image may come more than once"),
        ),
    ]
}

fn labels() -> Vec<Case> {
    vec![
        Case::set(
            "list-without-a-label",
            "a line without a label, where the others have one",
            ("", |folder| list(folder, b"good-3.png\n")),
            Refused("train.txt: line 11: no whole number as label after the path, unlike line 1"),
        ),
        Case::set(
            "list-with-one-label",
            "a line with a label, where the others have none",
            ("list.txt", |folder| {
                write_good(folder);
                write(&folder.join("list.txt"), b"good-0.png\ngood-1.png 1\n");
                Ok(())
            }),
            Refused("list.txt: line 2: a label after the path, unlike line 1"),
        ),
        Case::set(
            "list-with-a-label-below-0",
            "a label of -2",
            ("", |folder| list(folder, b"good-3.png -2\n")),
            Refused("train.txt: line 11: label -2 is none of the 1048576 classes"),
        ),
        Case::set(
            "list-with-a-label-too-large",
            "a label of 20 digits",
            ("", |folder| {
                list(folder, b"good-3.png 99999999999999999999\n")
            }),
            Refused("train.txt: line 11: label 99999999999999999999 is out of range"),
        ),
        Case::set(
            "list-with-a-word-for-a-label",
            "a class name in the place of a label",
            ("", |folder| list(folder, b"good-3.png cat\n")),
            Refused("train.txt: line 11: no whole number as label after the path, unlike line 1"),
        ),
    ]
}

fn texts() -> Vec<Case> {
    vec![
        Case::set(
            "empty-list",
            "a list of no bytes",
            ("list.txt", |folder| {
                write(&folder.join("list.txt"), b"");
                Ok(())
            }),
            Refused("list.txt holds no image"),
        ),
        Case::set(
            "list-of-comments",
            "a list of comments and empty lines",
            ("list.csv", |folder| {
                write(&folder.join("list.csv"), b"path,label\n# none yet\n\n");
                Ok(())
            }),
            Refused("list.csv holds no image"),
        ),
        Case::set(
            "binary-list",
            "bytes that are no UTF-8 in a list",
            ("", |folder| list(folder, b"\xff\xfe\x91.png 1\n")),
            Refused("train.txt: line 11: this is no text in UTF-8"),
        ),
        Case::set(
            "list-with-zero-bytes",
            "a zero byte in a list",
            ("", |folder| list(folder, b"good\0.png 1\n")),
            Refused("train.txt: line 11: this is no text"),
        ),
        Case::set(
            "list-of-3-gib-of-zeros",
            "a list of 3 GiB of zero bytes",
            ("list.txt", |folder| {
                sparse(&folder.join("list.txt"), b"", 3 << 30)
            }),
            Refused("list.txt: line 1: this is no text"),
        ),
        Case::set(
            "list-of-5-gib",
            "a list of 5 GiB",
            ("list.txt", |folder| {
                sparse(&folder.join("list.txt"), b"a.png 1\n", 5 << 30)
            }),
            Refused("list.txt: a list of 4 GiB or more; split it"),
        ),
        Case::set(
            "list-of-another-system",
            "a byte order mark, and lines that end as on Windows",
            ("list.txt", |folder| {
                write_good(folder);
                let lines = (0..GOOD).map(|number| format!("good-{number}.png,{number}\r\n"));
                let text = "\u{feff}".to_owned() + &lines.collect::<String>();
                write(&folder.join("list.txt"), text.as_bytes());
                Ok(())
            }),
            Read(GOOD, "both are passed over"),
        ),
    ]
}
