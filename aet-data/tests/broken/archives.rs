//! WebDataset: archives that are cut short, damaged, or made to do harm.

use std::path::Path;

use tar::EntryType;

use super::Outcome::{Read, Refused, Skipped, TooMany};
use super::{Case, GOOD, good_image};
use crate::support::{gzip, sample, tar, tar_member, write};

const FILE: &str = "train.tar";
const PACKED: &str = "train.tar.gz";
/// Of [`cut`], where nothing whole is left of the sample more.
const CUT_BEHIND_GOOD: &str = "image 10 (train.tar, the rest): after byte 20480: the archive is cut \
                               short; the last whole member is some/0009.png";

pub fn cases() -> Vec<Case> {
    [damage(), members(), labels()]
        .into_iter()
        .flatten()
        .collect()
}

/// [`GOOD`] samples, and then these members.
fn with(more: &[(&str, &[u8])]) -> Vec<u8> {
    let mut members: Vec<(String, Vec<u8>)> = (0..GOOD).flat_map(sample).collect();
    members.extend(
        more.iter()
            .map(|(name, data)| ((*name).to_owned(), data.to_vec())),
    );
    tar(&members)
}

/// A sample more than [`GOOD`], of which so many bytes are left: of its label's member, and then of
/// its image's.
fn cut(left: usize) -> Vec<u8> {
    let good = with(&[]).len() - 1024;
    let one_more: Vec<(String, Vec<u8>)> = (0..=GOOD).flat_map(sample).collect();
    tar(&one_more)[..good + left].to_vec()
}

/// [`GOOD`] samples, and then blocks of any kind.
fn with_blocks(blocks: &[u8]) -> Vec<u8> {
    let mut bytes = with(&[]);
    bytes.truncate(bytes.len() - 1024);
    [&bytes, blocks, &[0; 1024]].concat()
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), String> {
    write(&folder.join(name), bytes);
    Ok(())
}

fn damage() -> Vec<Case> {
    vec![
        Case::set(
            "tar-cut-in-header",
            "an archive that is cut short within the header of a member",
            ("", |folder| file(folder, FILE, &cut(100))),
            Skipped(GOOD, CUT_BEHIND_GOOD),
        ),
        Case::set(
            "tar-cut-in-image",
            "an archive that is cut short within an image",
            ("", |folder| file(folder, FILE, &cut(1024 + 512 + 20))),
            Skipped(
                GOOD,
                "image 10 (train.tar, the rest): after byte 21504: the archive is cut short; the last \
                 whole member is some/0010.cls",
            ),
        ),
        Case::set(
            "tar-cut-behind-members",
            "an archive without the empty blocks of its end",
            ("", |folder| file(folder, FILE, &cut(0))),
            Skipped(GOOD, CUT_BEHIND_GOOD),
        ),
        Case::set(
            "tar-cut-before-label",
            "an archive that is cut short between an image and its label",
            ("", |folder| {
                let data = good_image(1);
                let header = tar_member("x.png", data.len() as u64, EntryType::Regular, &data);
                file(folder, FILE, &[&cut(0), header.as_slice()].concat())
            }),
            Skipped(
                GOOD,
                "image 10 (train.tar, the rest): after byte …: the archive is cut short; the last whole \
                 member is x.png",
            ),
        ),
        Case::set(
            "tar-cut-in-first-image",
            "an archive that is cut short within its first image",
            ("", |folder| file(folder, FILE, &with(&[])[..512 * 3 + 20])),
            Refused(
                "train.tar: after byte 1024: the archive is cut short; the last whole member is \
                 some/0000.cls",
            ),
        ),
        Case::set(
            "tar-empty",
            "an archive of no bytes",
            ("", |folder| file(folder, FILE, b"")),
            Refused("train.tar: after byte 0: the archive is cut short; no member is whole"),
        ),
        Case::set(
            "tar-of-nothing",
            "a whole archive without members",
            ("", |folder| file(folder, FILE, &tar(&[]))),
            Refused("train.tar holds no image"),
        ),
        Case::set(
            "tar-of-noise",
            "text named `.tar`",
            ("", |folder| file(folder, FILE, &b"no archive ".repeat(200))),
            Refused("train.tar: after byte 0: this is no tar archive, or a damaged one: "),
        ),
        Case::set(
            "tar-wrong-sum",
            "a flipped bit in the header of a member",
            ("", |folder| {
                let mut bytes = cut(2048);
                bytes[20480 + 3] ^= 1;
                file(folder, FILE, &bytes)
            }),
            Skipped(
                GOOD,
                "image 10 (train.tar, the rest): after byte 20480: this is no tar archive, or a damaged \
                 one: the checksum of a header is wrong; the last whole member is some/0009.png",
            ),
        ),
        Case::set(
            "tar-member-without-end",
            "a member that claims 2^60 bytes",
            ("", |folder| {
                let lies = tar_member("lies.png", 1 << 60, EntryType::Regular, b"abc");
                file(folder, FILE, &with_blocks(&lies))
            }),
            Skipped(
                GOOD,
                "image 10 (train.tar, the rest): after byte 20480: the archive is cut short; the last \
                 whole",
            ),
        ),
        Case::set(
            "tar-name-without-end",
            "a name of 1 GiB",
            ("", |folder| {
                let name = tar_member("name", 1 << 30, EntryType::GNULongName, b"abc");
                file(folder, FILE, &with_blocks(&name))
            }),
            Skipped(
                GOOD,
                "image 10 (train.tar, the rest): after byte 20480: …: a name of 1073741824 bytes; the \
                 last whole",
            ),
        ),
        Case::set(
            "gzip-cut-short",
            "the first half of a compressed archive",
            ("", |folder| {
                let packed = gzip(&with(&[]));
                file(folder, PACKED, &packed[..packed.len() / 2])
            }),
            TooMany(
                "1 of … images cannot be used, …: image … (train.tar.gz, the rest): after byte …: the \
                 archive is cut short; the last whole member",
            ),
        ),
        Case::set(
            "gzip-wrong-sum",
            "a compressed archive with a wrong checksum at its end",
            ("", |folder| {
                let mut packed = gzip(&with(&[]));
                let at = packed.len() - 6;
                packed[at] ^= 1;
                file(folder, PACKED, &packed)
            }),
            Skipped(
                GOOD,
                "image 10 (train.tar.gz, the rest): after byte …: this is no tar archive, or a damaged \
                 one: ",
            ),
        ),
        Case::set(
            "gzip-of-nothing",
            "text named `.tar.gz`",
            ("", |folder| file(folder, PACKED, b"no archive")),
            Refused(
                "train.tar.gz: after byte 0: this is no tar archive, or a damaged one: …; no member is \
                 whole; fetch or copy it again",
            ),
        ),
        Case::set(
            "gzip-without-end",
            "a compressed archive of 400 kB that unpacks to 400 MiB of zeros",
            ("", |folder| {
                let header = tar_member("zeros.png", 400 << 20, EntryType::Regular, &[]);
                let zeros = gzip(&vec![0; 1 << 20]);
                file(folder, PACKED, &[gzip(&header), zeros.repeat(400)].concat())
            }),
            Refused(
                "train.tar.gz: after byte 0: …: it unpacks to more than 100 times its size; no \
                 member is whole",
            ),
        ),
    ]
}

fn members() -> Vec<Case> {
    vec![
        Case::set(
            "tar-names-upwards",
            "members named `../../up.png` and `/etc/passwd.png`",
            ("", |folder| {
                let data = good_image(1);
                let size = data.len() as u64;
                let up = tar_member("../../up.png", size, EntryType::Regular, &data);
                let root = tar_member("/etc/passwd.png", size, EntryType::Regular, &data);
                file(folder, FILE, &with_blocks(&[up, root].concat()))
            }),
            Read(
                GOOD + 2,
                "names tell members apart; nothing is written by them",
            ),
        ),
        Case::set(
            "tar-links-and-devices",
            "links, a device, a pipe and a folder named as images",
            ("", |folder| {
                use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
                let kinds = [Symlink, Link, Directory, Char, Block, Fifo];
                let blocks = kinds.map(|kind| tar_member("odd.png", 700, kind, &[]));
                file(folder, FILE, &with_blocks(&blocks.concat()))
            }),
            Read(GOOD, "what is no regular file is passed over"),
        ),
        Case::set(
            "tar-file-with-holes",
            "a sparse member",
            ("", |folder| {
                let data = good_image(1);
                let size = data.len() as u64;
                let sparse = tar_member("sparse.png", size, EntryType::GNUSparse, &data);
                file(folder, FILE, &with_blocks(&sparse))
            }),
            Read(GOOD, "what is no regular file is passed over"),
        ),
        Case::set(
            "tar-label-without-image",
            "a sample of a label alone",
            ("", |folder| {
                file(folder, FILE, &with(&[("some/9999.cls", b"1")]))
            }),
            Read(GOOD, "a sample without an image is passed over"),
        ),
        Case::set(
            "tar-two-images-of-a-sample",
            "a sample of two images",
            ("", |folder| {
                let image = good_image(1);
                let members: [(&str, &[u8]); 2] = [("x.png", &image), ("x.jpg", b"no image")];
                file(folder, FILE, &with(&members))
            }),
            Read(GOOD + 1, "the first image of a sample is its image"),
        ),
        Case::set(
            "tar-empty-image",
            "a member of no bytes",
            ("", |folder| {
                file(folder, FILE, &with(&[("empty.png", b"")]))
            }),
            Skipped(GOOD, "image 10 (train.tar, empty.png): the file is empty"),
        ),
        Case::set(
            "tar-truncated-image",
            "a whole member that holds half an image",
            ("", |folder| {
                let image = good_image(1);
                let half = &image[..image.len() / 2];
                file(folder, FILE, &with(&[("half.png", half)]))
            }),
            Skipped(
                GOOD,
                "image 10 (train.tar, half.png): the file ends before the image does",
            ),
        ),
    ]
}

/// One more sample, with this label.
fn labelled(folder: &Path, label: (&str, &[u8])) -> Result<(), String> {
    file(
        folder,
        FILE,
        &with(&[("some/x.png", &good_image(1)), label]),
    )
}

fn labels() -> Vec<Case> {
    vec![
        Case::set(
            "tar-label-of-words",
            "a `.cls` that is no number",
            ("", |folder| labelled(folder, ("some/x.cls", b"cat"))),
            Skipped(
                GOOD,
                "image 10 (train.tar, some/x.png): label \"cat\" is no whole number",
            ),
        ),
        Case::set(
            "tar-label-below-0",
            "a `.cls` of -3",
            ("", |folder| labelled(folder, ("some/x.cls", b"-3"))),
            Skipped(
                GOOD,
                "image 10 (train.tar, some/x.png): label -3 is none of the 1048576 classes",
            ),
        ),
        Case::set(
            "tar-label-too-large",
            "a label of 1048576 in a `.json`",
            ("", |folder| {
                labelled(folder, ("some/x.json", br#"{"label": 1048576}"#))
            }),
            Skipped(
                GOOD,
                "image 10 (train.tar, some/x.png): label 1048576 is none of the 1048576 classes",
            ),
        ),
        Case::set(
            "tar-broken-json",
            "a `.json` that is none",
            ("", |folder| {
                labelled(folder, ("some/x.json", b"{\"label\": 1"))
            }),
            Read(GOOD + 1, "the image has no label"),
        ),
        Case::set(
            "tar-deep-json",
            "a `.json` of 100,000 brackets in each other",
            ("", |folder| {
                labelled(folder, ("some/x.json", &b"[".repeat(100_000)))
            }),
            Read(GOOD + 1, "the image has no label"),
        ),
    ]
}
