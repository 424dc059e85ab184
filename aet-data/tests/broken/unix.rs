//! What only Unix has: links, pipes, sockets, names that are no text, and files that may not be read.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use super::Outcome::{Read, Refused, Skipped};
use super::{Case, GOOD, good_image, write_good};
use crate::support::{Table, gzip, sample, tar, write};

pub fn cases() -> Vec<Case> {
    [links(), no_files(), names()]
        .into_iter()
        .flatten()
        .collect()
}

fn linked(target: impl AsRef<Path>, link: &Path) -> Result<(), String> {
    symlink(target, link).map_err(|error| error.to_string())
}

fn pipe(path: &Path) -> Result<(), String> {
    let made = Command::new("mkfifo").arg(path).status();
    match made.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err("mkfifo is not there".to_owned()),
    }
}

fn links() -> Vec<Case> {
    const GONE: &str = "image 0 (broken.jpg): cannot be read: it is gone, or a link to nothing";
    vec![
        Case::set(
            "link-to-nothing",
            "a link to a file that is gone",
            ("", |folder| {
                write_good(folder);
                linked("nowhere.jpg", &folder.join("broken.jpg"))
            }),
            Skipped(GOOD, GONE),
        ),
        Case::set(
            "link-to-itself",
            "a link to itself, named as an image",
            ("", |folder| {
                write_good(folder);
                linked("broken.jpg", &folder.join("broken.jpg"))
            }),
            Skipped(GOOD, "image 0 (broken.jpg): cannot be read: "),
        ),
        Case::set(
            "link-cycle",
            "a folder with links to itself and to the one above",
            ("", |folder| {
                write_good(&folder.join("one"));
                linked(".", &folder.join("again"))?;
                linked("..", &folder.join("one/up"))
            }),
            Read(GOOD, "a folder counts once, where it really lies"),
        ),
        Case::set(
            "link-to-a-device",
            "a link to a device that never ends",
            ("", |folder| {
                write_good(folder);
                linked("/dev/zero", &folder.join("broken.jpg"))
            }),
            Skipped(
                GOOD,
                "image 0 (broken.jpg): is no regular file, but a device; move it away",
            ),
        ),
    ]
}

fn no_files() -> Vec<Case> {
    vec![
        Case::set(
            "pipe-named-jpg",
            "a named pipe, at which a reader would wait for ever",
            ("", |folder| {
                write_good(folder);
                pipe(&folder.join("broken.jpg"))
            }),
            Skipped(
                GOOD,
                "image 0 (broken.jpg): is no regular file, but a pipe; move it away",
            ),
        ),
        Case::set(
            "socket-named-jpg",
            "a socket named as an image",
            ("", |folder| {
                write_good(folder);
                // The path of a socket may have a hundred bytes or so.
                let bound = UnixListener::bind(folder.join("broken.jpg"));
                bound.map(|_| ()).map_err(|error| error.to_string())
            }),
            Skipped(
                GOOD,
                "image 0 (broken.jpg): is no regular file, but a socket; move it away",
            ),
        ),
        Case::set(
            "pipe-in-the-place-of-a-set",
            "a named pipe in the place of the folder",
            ("pipe", |folder| pipe(&folder.join("pipe"))),
            Refused("pipe: this is no regular file, but a pipe"),
        ),
        Case::set(
            "pipe-named-parquet",
            "a named pipe as a shard of Parquet",
            ("", |folder| {
                Table::of(GOOD).write(&folder.join("train-0.parquet"));
                pipe(&folder.join("train-1.parquet"))
            }),
            Refused("train-1.parquet: this is no regular file, but a pipe"),
        ),
        Case::set(
            "pipe-named-tgz",
            "a named pipe as a compressed shard of WebDataset",
            ("", |folder| {
                write(&folder.join("train-0.tgz"), &gzip(&tar(&sample(1))));
                pipe(&folder.join("train-1.tgz"))
            }),
            Refused("train-1.tgz: this is no regular file, but a pipe"),
        ),
        Case::set(
            "pipe-named-tar",
            "a named pipe as a shard of WebDataset",
            ("", |folder| {
                write(&folder.join("train-0.tar"), &tar(&sample(1)));
                pipe(&folder.join("train-1.tar"))
            }),
            Refused("train-1.tar: this is no regular file, but a pipe"),
        ),
        Case::set(
            "pipe-named-as-a-batch",
            "a named pipe as a batch of CIFAR-10",
            ("", |folder| pipe(&folder.join("data_batch_1.bin"))),
            Refused("data_batch_1.bin: this is no regular file, but a pipe"),
        ),
        Case::set(
            "pipe-named-as-a-list",
            "a named pipe as a list of images",
            ("", |folder| pipe(&folder.join("train.txt"))),
            Refused("train.txt: this is no regular file, but a pipe"),
        ),
    ]
}

fn names() -> Vec<Case> {
    vec![
        Case::set(
            "names-that-are-no-text",
            "names of bytes that are no UTF-8, and with line breaks",
            ("", |folder| {
                let class = folder.join(OsStr::from_bytes(b"h\xf6rn\n"));
                fs::create_dir_all(&class).map_err(|error| error.to_string())?;
                let file = class.join(OsStr::from_bytes(b"\xff\xfe .png"));
                fs::write(file, good_image(1)).map_err(|error| error.to_string())?;
                write_good(&class);
                Ok(())
            }),
            Read(GOOD + 1, "a name is the bytes that the system gives"),
        ),
        Case::set(
            "file-that-may-not-be-read",
            "an image that this user may not read",
            ("", |folder| {
                write_good(folder);
                let path = folder.join("broken.png");
                write(&path, &good_image(0));
                lock(&path)
            }),
            Skipped(
                GOOD,
                "image 0 (broken.png): cannot be read: Permission denied",
            ),
        ),
        Case::set(
            "set-that-may-not-be-read",
            "a file of CIFAR-10 that this user may not read",
            ("", |folder| {
                let path = folder.join("data_batch_1.bin");
                write(&path, &[0; 3073]);
                lock(&path)
            }),
            Refused("cannot read data_batch_1.bin: Permission denied"),
        ),
    ]
}

/// Takes all permissions from a file.
fn lock(path: &Path) -> Result<(), String> {
    let mode = Permissions::from_mode(0o000);
    fs::set_permissions(path, mode).map_err(|error| error.to_string())?;
    match fs::File::open(path) {
        Ok(_) => Err("this user may read everything".to_owned()),
        Err(_) => Ok(()),
    }
}
