//! Shards of WebDataset.

use tar::{EntryType, Header};

use super::Seed;
use super::damage::{of_any_file, over, seed};
use super::images::PIXEL;
use super::support::{gzip, sample, tar};

/// The empty block that ends an archive. Most have two, but one will do.
const END: [u8; 512] = [0; 512];
const SIZE_AT: usize = 124;
const CHECKSUM_AT: usize = 148;

/// A member of any kind and name.
fn member(kind: EntryType, name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(data.len() as u64);
    header.set_cksum();
    let mut bytes = [header.as_bytes(), data].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &[u8], data: &[u8]) -> Vec<u8> {
    member(EntryType::Regular, name, data)
}

fn image(name: &[u8]) -> Vec<u8> {
    file(name, PIXEL)
}

fn archive(members: &[&[u8]]) -> Vec<u8> {
    [&members.concat()[..], &END].concat()
}

/// An image whose header has `size` in the place of its size.
fn of_size(size: [u8; 12]) -> Vec<u8> {
    let bytes = over(&image(b"a.gif"), SIZE_AT, &size);
    let mut header = Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&bytes[..512]);
    header.set_cksum();
    archive(&[header.as_bytes(), &bytes[512..]])
}

/// A PAX record before an image.
fn with_record(record: &[u8]) -> Vec<u8> {
    archive(&[
        &member(EntryType::XHeader, b"pax", record),
        &image(b"a.gif"),
    ])
}

/// Seeds of plain archives.
pub fn plain() -> Vec<Seed> {
    let valid = tar(&sample(1));
    let labelled = |name: &[u8], label: &[u8]| archive(&[&image(b"a.gif"), &file(name, label)]);
    let long_name = [&b"deep/".repeat(60)[..], b"a.gif\0"].concat();
    let mut seeds = vec![
        seed("a-sample", valid.clone()),
        seed("label-in-json", labelled(b"a.json", b"{\"label\": 7}")),
        seed("label-no-number", labelled(b"a.cls", b"seven")),
        seed("label-largest", labelled(b"a.cls", b"9223372036854775807")),
        seed(
            "name-climbs",
            archive(&[&image(b"../../a.gif"), &image(b"/b.gif")]),
        ),
        seed(
            "name-no-text",
            archive(&[
                &image(b"\xff\xfe/\xc3.gif"),
                &image(b".gif"),
                &image(b"\xff.gif"),
            ]),
        ),
        seed(
            "name-long",
            archive(&[
                &member(EntryType::GNULongName, b"././@LongLink", &long_name),
                &image(b"a.gif"),
            ]),
        ),
        seed(
            "name-of-no-file",
            archive(&[&member(EntryType::GNULongName, b"l", b"b.gif")]),
        ),
        seed("pax-path", with_record(b"15 path=b/c.gif\n")),
        seed("pax-size", with_record(b"11 size=35\n")),
        seed(
            "pax-size-largest",
            with_record(b"29 size=18446744073709551615\n"),
        ),
        seed("pax-broken", with_record(b"99999 path=b.gif\n")),
        seed(
            "links",
            archive(&[
                &member(EntryType::Symlink, b"a.gif", b""),
                &member(EntryType::Link, b"b.gif", PIXEL),
            ]),
        ),
        seed(
            "folders",
            archive(&[
                &member(EntryType::Directory, b"a.gif/", b""),
                &image(b"a.gif/b.gif"),
            ]),
        ),
        seed(
            "sparse",
            archive(&[
                &member(EntryType::GNUSparse, b"a.gif", PIXEL),
                &image(b"b.gif"),
            ]),
        ),
        seed("size-largest", of_size(*b"77777777777\0")),
        seed("size-of-256", of_size([0xff; 12])),
        seed(
            "size-of-256-largest",
            of_size([
                0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ]),
        ),
        seed("checksum-wrong", over(&valid, CHECKSUM_AT, b"000000")),
        seed("no-end", image(b"a.gif")),
        seed("no-image", archive(&[&file(b"a.txt", b"text")])),
    ];
    seeds.extend(of_any_file(&archive(&[&image(b"a.gif")])));
    seeds
}

/// Seeds of compressed archives.
pub fn packed() -> Vec<Seed> {
    let one = archive(&[&image(b"a.gif"), &file(b"a.cls", b"1")]);
    let packed = gzip(&one);
    let length_at = packed.len() - 4;
    let mut seeds = vec![
        seed("packed", packed.clone()),
        seed("plain", one.clone()),
        seed(
            "label-first",
            archive(&[&file(b"a.cls", b"1"), &image(b"a.gif")]),
        ),
        seed("no-end", image(b"a.gif")),
        seed(
            "in-two-streams",
            [gzip(&one[..700]), gzip(&one[700..])].concat(),
        ),
        seed("text-behind", [&packed[..], b"behind"].concat()),
        seed("length-wrong", over(&packed, length_at, &[255; 4])),
        seed("checksum-wrong", over(&packed, length_at - 4, &[255; 4])),
        seed("zeros", gzip(&vec![0; 1 << 20])),
        seed("of-nothing", gzip(&[])),
    ];
    seeds.extend(of_any_file(&packed));
    seeds
}
