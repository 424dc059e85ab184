//! Decoded images that `aet cache` wrote.

use std::path::Path;

use aet_data::source::decoded;
use aet_data::{LoadOptions, Location, Split};
use serde_json::{Value, json};

use super::Outcome::Refused;
use super::{Case, write_good};
use crate::support::write;

const FILE: &str = "train.aetset";

/// Writes a good file of decoded images, and gives its bytes.
fn whole(folder: &Path) -> Result<Vec<u8>, String> {
    let images = folder.join("images");
    write_good(&images);
    let fail = |error: aet_data::DataError| error.to_string();
    let source = aet_data::open(&Location::Path(images), Split::Train).map_err(fail)?;
    let path = folder.join(FILE);
    let options = LoadOptions::default();
    decoded::write(source.as_ref(), &options, &path, &mut |_, _| ()).map_err(fail)?;
    std::fs::read(path).map_err(|error| error.to_string())
}

/// Writes that file as `change` changes it.
fn changed(folder: &Path, change: fn(&mut Vec<u8>)) -> Result<(), String> {
    let mut bytes = whole(folder)?;
    change(&mut bytes);
    write(&folder.join(FILE), &bytes);
    Ok(())
}

/// Writes that file with another value of a key of its header.
fn with_header(folder: &Path, changes: &[(&str, Value)]) -> Result<(), String> {
    let mut bytes = whole(folder)?;
    let place = bytes[8..16].iter().rev();
    let at = place.fold(0, |at, byte| at << 8 | usize::from(*byte));
    let mut header: Value =
        serde_json::from_slice(&bytes[at..]).map_err(|error| error.to_string())?;
    for (key, value) in changes {
        header[*key] = value.clone();
    }
    bytes.truncate(at);
    bytes.extend(header.to_string().bytes());
    write(&folder.join(FILE), &bytes);
    Ok(())
}

pub fn cases() -> Vec<Case> {
    const CUT: &str = "train.aetset: the file is cut short, or was not written to its end; make it \
                       again with `aet cache`";
    vec![
        Case::set(
            "cache-empty",
            "a file of decoded images of no bytes",
            ("", |folder| changed(folder, Vec::clear)),
            Refused(CUT),
        ),
        Case::set(
            "cache-cut-short",
            "the first half of a file of decoded images",
            ("", |folder| {
                changed(folder, |bytes| bytes.truncate(bytes.len() / 2))
            }),
            Refused(CUT),
        ),
        Case::set(
            "cache-not-written-to-its-end",
            "a file of decoded images of which only the pixels were written",
            ("", |folder| changed(folder, |bytes| bytes[..16].fill(0))),
            Refused(
                "train.aetset: this is no decoded set of this version; make it again with \
                 `aet cache`",
            ),
        ),
        Case::set(
            "cache-of-another-version",
            "a file of decoded images of version 9",
            ("", |folder| changed(folder, |bytes| bytes[7] = 9)),
            Refused(
                "train.aetset: this is no decoded set of this version; make it again with \
                 `aet cache`",
            ),
        ),
        Case::set(
            "cache-header-past-the-end",
            "a file of decoded images whose header lies behind its end",
            ("", |folder| {
                changed(folder, |bytes| bytes[8..16].fill(0xff))
            }),
            Refused(CUT),
        ),
        Case::set(
            "cache-count-without-end",
            "a header that claims 2^60 images",
            ("", |folder| {
                with_header(folder, &[("count", json!(1_u64 << 60))])
            }),
            Refused(CUT),
        ),
        Case::set(
            "cache-count-too-small",
            "a header that claims 9 of 10 images",
            ("", |folder| with_header(folder, &[("count", json!(9))])),
            Refused(
                "train.aetset: its pixels are not as many as its images have; make it again with \
                 `aet cache`",
            ),
        ),
        Case::set(
            "cache-pixels-past-the-end",
            "a header that claims 2^63 bytes of pixels",
            ("", |folder| {
                with_header(folder, &[("pixel_bytes", json!(1_u64 << 63))])
            }),
            Refused(CUT),
        ),
        Case::set(
            "cache-images-without-end",
            "a header of images of 2^40 x 2^40 pixels",
            ("", |folder| {
                let size = json!([1_u64 << 40, 1_u64 << 40]);
                with_header(folder, &[("same", size.clone()), ("size", size)])
            }),
            Refused(
                "train.aetset: its items are of 1099511627776x1099511627776 pixels (height x \
                 width), a size that no image has; make it again with \
                 `aet cache`",
            ),
        ),
        Case::set(
            "cache-items-without-end",
            "a header of items of 2^40 x 2^40 pixels, made of images of 5x7",
            ("", |folder| {
                let size = json!([1_u64 << 40, 1_u64 << 40]);
                with_header(folder, &[("size", size)])
            }),
            Refused(
                "train.aetset: its items are of 1099511627776x1099511627776 pixels (height x \
                 width), a size that no image has; make it again with `aet cache`",
            ),
        ),
        Case::set(
            "cache-without-pixels",
            "a header of images of 0x0 pixels",
            ("", |folder| {
                let size = json!([0, 0]);
                let changes = [
                    ("same", size.clone()),
                    ("size", size),
                    ("pixel_bytes", json!(0)),
                ];
                with_header(folder, &changes)
            }),
            Refused(
                "train.aetset: its items are of 0x0 pixels (height x width), a size that no image has; \
                 make it again with `aet cache`",
            ),
        ),
        Case::set(
            "cache-label-out-of-range",
            "a label that is none of the classes",
            ("", |folder| {
                with_header(folder, &[("class_names", json!(["a"]))])?;
                let path = folder.join(FILE);
                let mut bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
                let labels = 4096 + 10 * 5 * 7 * 3;
                bytes[labels] = 1;
                bytes[labels + 1..labels + 4].fill(0);
                write(&path, &bytes);
                Ok(())
            }),
            Refused("train.aetset: a label is none of its 1 classes; make it again with"),
        ),
    ]
}
