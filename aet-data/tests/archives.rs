//! WebDataset: which members are a sample, labels, shards, and hostile archives.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use aet_data::source::webdataset::WebDatasetSource;
use aet_data::{Source, Split, open};
use support::{
    at, failure, gzip, load, marked, open_and_load, png, sample, tar, tar_member, write,
};
use tar::EntryType;
use tempfile::TempDir;

fn member(name: &str, data: &[u8]) -> (String, Vec<u8>) {
    (name.to_owned(), data.to_vec())
}

fn image(number: usize) -> Vec<u8> {
    png(&marked(5, 7, number))
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

/// Fails in the same way plain and compressed.
fn message_of(folder: &Path, bytes: &[u8]) -> String {
    let path = folder.join("some.tar");
    write(&path, bytes);
    let plain = failure(&path, Split::Train);
    let packed = folder.join("some.tar.gz");
    write(&packed, &gzip(bytes));
    let unpacked = failure(&packed, Split::Train);
    assert_eq!(
        plain.replace("some.tar", ""),
        unpacked.replace("some.tar.gz", "")
    );
    assert!(plain.contains("some.tar"), "{plain}");
    plain
}

#[test]
fn members_of_one_stem_are_a_sample_and_others_are_passed_over() {
    let folder = TempDir::new().unwrap();
    let members = [
        member("readme.txt", b"none"),
        member("a/1.json", br#"{"label": 3, "text": "x"}"#),
        member("a/1.PNG", &image(0)),
        member("a/1.seg.png", b"no image"),
        member("a/2.png", &image(1)),
        member("b/2.png", &image(2)),
        member("b/2.jpg", b"the second image of a sample"),
        member("b/2.json", br#"{"class": 7}"#),
        member("b/2.cls", b" 5\n"),
        member("a/2.json", br#"{"cls": "cat", "class": 1}"#),
        member("a/._3.png", b"what a Mac leaves"),
        member("a/4.cls", b"9"),
        member(&format!("{}/deep.jpeg", "long".repeat(60)), &image(3)),
        member("a/5.json", b"no json"),
        member("a/5.png", &image(4)),
    ];
    for (name, bytes) in [("x.tar", tar(&members)), ("y.tgz", gzip(&tar(&members)))] {
        let path = folder.path().join(name);
        write(&path, &bytes);
        let set = open_and_load(&path, Split::Train).unwrap();
        assert_eq!(
            set.labels,
            [Some(3), Some(1), Some(5), None, None],
            "{name}"
        );
        assert_eq!(set.class_names.len(), 6);
        for number in 0..5 {
            assert_eq!(set.image(number).to_image(), marked(5, 7, number), "{name}");
        }
        assert!(set.name(3).contains(&"long".repeat(60)), "{}", set.name(3));
    }
}

#[test]
fn pax_records_give_names_and_sizes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.tar");
    let data = image(0);
    let record = |key: &str, value: &str| {
        let rest = format!(" {key}={value}\n");
        let length = (rest.len()..).find(|length| length.to_string().len() + rest.len() == *length);
        format!("{}{rest}", length.unwrap())
    };
    let records = record("path", "long/name.of.png") + &record("size", &data.len().to_string());
    let global = record("path", "of/no.png");
    let bytes = archive(&[
        tar_member(
            "g",
            global.len() as u64,
            EntryType::XGlobalHeader,
            global.as_bytes(),
        ),
        tar_member(
            "x",
            records.len() as u64,
            EntryType::XHeader,
            records.as_bytes(),
        ),
        tar_member("short.png", 0, EntryType::Regular, &data),
        tar_member("next.png", data.len() as u64, EntryType::Regular, &data),
    ]);
    write(&path, &bytes);
    let source = open(&at(&path), Split::Train).unwrap();
    // `name.of.png` has the extension `of.png`, so only the second is an image.
    assert_eq!(source.len(), 1);
    assert!(source.read(0).unwrap().name.ends_with("next.png"));
    assert_eq!(
        load(source.as_ref()).unwrap().image(0).to_image(),
        marked(5, 7, 0)
    );
}

#[test]
fn a_label_that_cannot_be_used_is_about_its_image_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.tar");
    let mut members = Vec::new();
    let texts = [
        "2",
        "-1",
        "x",
        "",
        "99999999999",
        "1048576",
        &"7".repeat(500),
    ];
    for (at, text) in texts.iter().enumerate() {
        members.push(member(&format!("{at}.png"), &image(at)));
        members.push(member(&format!("{at}.cls"), text.as_bytes()));
    }
    members.push(member("j.png", &image(7)));
    members.push(member("j.json", br#"{"label": -3}"#));
    write(&path, &tar(&members));
    let source = open(&at(&path), Split::Train).unwrap();
    let mut labels = vec![None; 8];
    labels[0] = Some(2);
    assert_eq!(source.labels().unwrap(), labels);
    assert_eq!(source.class_names(), ["0", "1", "2"]);
    for index in 1..8 {
        let error = source.read(index).unwrap_err();
        assert!(error.is_about_one_image(), "{error}");
        let message = error.to_string();
        assert!(
            message.contains("x.tar") && message.contains("label "),
            "{message}"
        );
        assert!(message.len() < 400, "{message}");
    }
}

#[test]
fn what_is_no_regular_file_is_passed_over() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.tar");
    let data = image(1);
    let size = data.len() as u64;
    let kinds = [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Directory,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
    ];
    let mut members: Vec<Vec<u8>> = (kinds.into_iter().enumerate())
        // Some writers note a size, but there is no data.
        .map(|(at, kind)| tar_member(&format!("{at}.png"), 700, kind, &[]))
        .collect();
    members.push(tar_member("sparse.png", size, EntryType::GNUSparse, &data));
    members.push(tar_member(
        "/etc/passwd.png",
        size,
        EntryType::Regular,
        &data,
    ));
    members.push(tar_member("../../up.png", size, EntryType::Regular, &data));
    write(&path, &archive(&members));
    let set = open_and_load(&path, Split::Train).unwrap();
    assert_eq!(set.len(), 2);
    assert!(set.name(0).ends_with("/etc/passwd.png") && set.name(1).ends_with("../../up.png"));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn sizes_and_checksums_that_lie_are_errors_that_name_the_place() {
    let folder = TempDir::new().unwrap();
    let whole = tar_member("whole.txt", 3, EntryType::Regular, b"abc");
    for size in [2_000, 1 << 40, u64::MAX >> 1, u64::MAX] {
        let lies = tar_member("lies.png", size, EntryType::Regular, b"abc");
        let message = message_of(folder.path(), &archive(&[whole.clone(), lies]));
        assert!(message.contains("after byte 1024"), "{message}");
        assert!(
            message.contains("the last whole member is whole.txt"),
            "{message}"
        );
    }
    for kind in [EntryType::GNULongName, EntryType::XHeader] {
        let name = tar_member("name", 1 << 30, kind, b"abc");
        let message = message_of(folder.path(), &archive(&[name]));
        assert!(message.contains("a name of 1073741824 bytes"), "{message}");
    }
    let records = b"18 size=no number\n";
    let pax = tar_member("x", records.len() as u64, EntryType::XHeader, records);
    let message = message_of(folder.path(), &archive(&[pax, whole.clone()]));
    assert!(message.contains("PAX size"), "{message}");
    let mut damaged = archive(&[whole.clone(), whole.clone()]);
    damaged[1024 + 3] ^= 1;
    let message = message_of(folder.path(), &damaged);
    assert!(
        message.contains("after byte 1024") && message.contains("checksum"),
        "{message}"
    );
}

/// Opens an archive of samples that is cut short or damaged; holds the whole images against those
/// that were written, and gives their number and what stands for the rest.
fn damaged(path: &Path, written: usize) -> (usize, String) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let source = match open(&at(path), Split::Train) {
        Ok(source) => source,
        Err(error) => return (0, error.to_string()),
    };
    let whole = source.len() - 1;
    assert!(whole <= written, "{whole} images");
    for number in 0..whole {
        let sample = source.read(number).unwrap();
        assert_eq!(sample.label, Some(number as u32));
        let decoded = aet_data::decode::decode(sample.payload, number, &sample.name).unwrap();
        assert_eq!(decoded, marked(5, 7, number));
    }
    let error = source.read(whole).unwrap_err().to_string();
    assert!(error.contains(&format!("{name}, the rest")), "{error}");
    (whole, error)
}

#[test]
fn an_archive_cut_anywhere_keeps_what_is_whole_and_names_the_rest() {
    let folder = TempDir::new().unwrap();
    let members: Vec<_> = (0..2).flat_map(sample).collect();
    let bytes = tar(&members);
    let path = folder.path().join("cut.tar");
    // The last block of the end is not missed.
    for kept in (0..=bytes.len() - 1024)
        .step_by(37)
        .chain([bytes.len() - 511, bytes.len() - 1])
    {
        write(&path, &bytes[..kept]);
        let (whole, error) = damaged(&path, 2);
        assert_eq!(whole, (kept / 2048).min(2), "{kept}: {error}");
        assert!(
            error.contains("cut.tar") && error.contains("cut short"),
            "{kept}: {error}"
        );
    }
    let packed = gzip(&bytes);
    let path = folder.path().join("cut.tgz");
    for kept in (0..packed.len()).step_by(3) {
        write(&path, &packed[..kept]);
        let (_, error) = damaged(&path, 2);
        assert!(error.contains("cut.tgz"), "{kept}: {error}");
    }
}

#[test]
fn damage_anywhere_ends_in_no_panic() {
    let folder = TempDir::new().unwrap();
    let members: Vec<_> = (0..2).flat_map(sample).collect();
    let bytes = tar(&members);
    for (name, bytes) in [("x.tar", bytes.clone()), ("x.tgz", gzip(&bytes))] {
        let path = folder.path().join(name);
        for place in (0..bytes.len()).step_by(if name == "x.tar" { 11 } else { 2 }) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0xa5;
            write(&path, &damaged);
            // Some damage goes unseen; none may end in a panic.
            let _ = open_and_load(&path, Split::Train);
        }
    }
}

#[test]
fn shards_are_blocks_and_few_of_them_are_kept_unpacked() {
    let folder = TempDir::new().unwrap();
    let mut paths = Vec::new();
    for shard in 0..5 {
        let members: Vec<_> = (shard * 2..shard * 2 + 2).flat_map(sample).collect();
        let path = folder.path().join(format!("{shard}.tar.gz"));
        write(&path, &gzip(&tar(&members)));
        paths.push(path);
    }
    write(&folder.path().join("9.tar"), &archive(&[]));
    paths.push(folder.path().join("9.tar"));
    for kept in [0, 1, 3] {
        let source = WebDatasetSource::new(&paths).unwrap().keep_unpacked(kept);
        let expected: Vec<_> = (0..5).map(|at| at * 2..at * 2 + 2).collect();
        assert_eq!(source.blocks().unwrap().ranges, expected);
        // Any order, from several threads.
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let source = &source;
                scope.spawn(move || {
                    for step in 0..20 {
                        let index = (step * 7 + thread * 3) % 10;
                        let sample = source.read(index).unwrap();
                        assert_eq!(sample.label, Some(index as u32));
                        assert!(sample.name.ends_with(&format!("some/{index:04}.png")));
                    }
                });
            }
        });
    }
    let set = open_and_load(folder.path(), Split::Train).unwrap();
    assert_eq!(set.len(), 10);
    assert!(
        open(&at(folder.path()), Split::Test)
            .unwrap_err()
            .is_no_split()
    );
}

#[test]
fn a_small_archive_that_unpacks_without_end_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bomb.tgz");
    // One member of 3 GiB of zeros, which gzip makes a thousand times smaller; a file may be of
    // several parts.
    let header = tar_member("zeros.png", 3 << 30, EntryType::Regular, &[]);
    let zeros = gzip(&vec![0; 1 << 20]);
    let parts = [gzip(&header), zeros.repeat(3 << 10)];
    write(&path, &parts.concat());
    let error = open(&at(&path), Split::Train).unwrap_err().to_string();
    assert!(
        error.contains("bomb.tgz") && error.contains("100 times"),
        "{error}"
    );
}

#[test]
fn an_archive_without_images_holds_no_image() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.tar");
    write(&path, &tar(&[member("1.cls", b"1"), member("2.txt", b"x")]));
    assert!(failure(&path, Split::Train).contains("holds no image"));
}

#[test]
fn archives_beside_the_set_they_hold_are_no_shards() {
    let folder = TempDir::new().unwrap();
    let members: Vec<_> = (0..2).flat_map(sample).collect();
    let format = || open(&at(folder.path()), Split::Train).unwrap().format();
    write(
        &folder.path().join("downloaded.tar.gz"),
        &gzip(&tar(&members)),
    );
    assert_eq!(format(), "webdataset");
    write(&folder.path().join("ant/1.png"), &image(1));
    assert_eq!(format(), "image-folder");
    write(&folder.path().join("train.tar"), &tar(&members));
    assert_eq!(format(), "webdataset");
    write(&folder.path().join("train/ant/1.png"), &image(1));
    assert_eq!(format(), "image-folder");
    write(&folder.path().join("train/0.tar"), &tar(&members));
    assert_eq!(format(), "webdataset");
}
