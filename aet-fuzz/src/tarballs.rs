//! Shards of WebDataset.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::parts::put;
use crate::place::Place;
use crate::sets;

/// The first bytes of gzip.
const MARK: &[u8] = b"\x1f\x8b";

/// A plain archive.
pub(crate) fn plain(input: &[u8]) {
    static PLACE: Place = Place::empty();
    PLACE.with(|folder| shard(&folder.join("train-0.tar"), input));
}

/// A compressed archive. What does not begin as one is compressed first, since a checksum guards
/// all that is.
pub(crate) fn packed(input: &[u8]) {
    static PLACE: Place = Place::empty();
    let packed = match input.starts_with(MARK) {
        true => input.to_vec(),
        false => gzip(input),
    };
    PLACE.with(|folder| shard(&folder.join("train-0.tar.gz"), &packed));
}

fn shard(path: &Path, bytes: &[u8]) {
    put(path, Some(bytes));
    sets::check(path);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::none());
    let packed = packer.write_all(bytes).and_then(|()| packer.finish());
    packed.expect("memory takes all that is written")
}
