//! Lists, annotations and kept listings.

use super::Seed;
use super::damage::seed;

/// Seeds of lists.
pub fn list() -> Vec<Seed> {
    vec![
        seed("labelled", "0.gif 0\none/1 a.gif 1\n"),
        seed("commas", "path,label\n0.gif,0\none/1 a.gif,2\n"),
        seed("tabs", "0.gif\t0\r\none/1 a.gif\t-1\r\n"),
        seed("paths-alone", "# images\n\n0.gif\none/1 a.gif"),
        seed("byte-order-mark", "\u{feff}0.gif 0\n"),
        seed("absolute", "/nowhere/0.gif 0\n"),
        seed("climbs", "../../0.gif 0\n./one/../0.gif 0\n"),
        seed("a-folder", "one 0\n. 1\n"),
        seed("label-largest", "0.gif 1048575\n"),
        seed("label-out-of-range", "0.gif 1048576\n"),
        seed("label-of-many-digits", "0.gif 99999999999999999999999\n"),
        seed("label-of-signs", "0.gif +1\n0.gif --1\n"),
        seed("label-missing", "0.gif 0\n0.gif\n"),
        seed("heading-alone", "image label\n"),
        seed("wide-blanks", "\u{3000}0.gif\u{2003}1\u{a0}\n"),
        seed("zero-byte", "0.gif\0 0\n"),
        seed("no-text", b"0.gif 0\n\xff\xfe 1\n"),
        seed("empty", ""),
    ]
}

/// Seeds of annotations.
pub fn annotations() -> Vec<Seed> {
    vec![
        seed("both", "0.gif\tant\t0\t0\t9\t9\n1.gif\tbee\t0\t0\t9\t9\n"),
        seed("another-class", "0.gif\tant\n1.gif\tcat\n"),
        seed("an-image-missing", "0.gif\tant\n"),
        seed("an-image-twice", "0.gif\tant\n0.gif\tbee\n1.gif\tbee\n"),
        seed("no-image-of-it", "0.gif\tant\n1.gif\tbee\n2.gif\tbee\n"),
        seed("blanks-for-tabs", "0.gif ant\n"),
        seed("an-empty-line", "0.gif\tant\n\n1.gif\tbee\n"),
        seed("an-empty-class", "0.gif\t\n1.gif\tbee\n"),
        seed("line-ends-of-windows", "0.gif\tant\r\n1.gif\tbee\r\n"),
        seed("no-text", b"0.gif\t\xff\n"),
        seed("empty", ""),
    ]
}

/// A listing: folders whose states are noted, folders around folders, their names, runs of images
/// (folder, end), names of images.
type Listing<'a> = (
    &'a [u8],
    &'a [usize],
    &'a [u8],
    &'a [(usize, usize)],
    &'a [u8],
);

/// The listing as the target `index` takes it.
fn listed((states, parents, folders, runs, images): Listing<'_>) -> Vec<u8> {
    let head = postcard::to_stdvec(&(parents, folders, runs)).unwrap();
    [&[states.len() as u8], states, &head, images].concat()
}

/// Seeds of kept listings.
pub fn index() -> Vec<Seed> {
    let (states, folders, images) = (
        [0, 1, 2, 3],
        b"a\0deep\0b\0",
        b"0.gif\x001.gif\x002.gif\x003.gif\0",
    );
    let (parents, runs) = ([0, 1, 0], [(1, 1), (2, 3), (3, 4)]);
    let valid = listed((&states, &parents, folders, &runs, images));
    let with_folders = |folders| listed((&states, &parents, folders, &runs, images));
    let with_parents = |parents| listed((&states, parents, folders, &runs, images));
    let with_runs = |runs| listed((&states, &parents, folders, runs, images));
    let with_images = |images| listed((&states, &parents, folders, &runs, images));
    vec![
        seed("all-images", valid.clone()),
        seed(
            "a-folder-changed",
            listed((&[0, 1, 9, 3], &parents, folders, &runs, images)),
        ),
        seed(
            "a-state-missing",
            listed((&[0, 1, 2], &parents, folders, &runs, images)),
        ),
        seed(
            "root-alone",
            listed((&[0], &[], b"", &[(0, 1)], b"0.gif\0")),
        ),
        seed("no-image", listed((&[0], &[], b"", &[], b""))),
        seed("a-folder-climbs", with_folders(b"a\0..\0b\0")),
        seed("a-folder-is-absolute", with_folders(b"/\0deep\0b\0")),
        seed("a-folder-has-no-name", with_folders(b"a\0\0b\0")),
        seed("a-folder-is-no-text", with_folders(b"a\0\xff\xfe\0b\0")),
        seed("a-parent-comes-later", with_parents(&[1, 1, 0])),
        seed("a-parent-is-unknown", with_parents(&[0, usize::MAX, 0])),
        seed("runs-fall", with_runs(&[(1, 3), (2, 1), (3, 4)])),
        seed(
            "a-run-is-too-long",
            with_runs(&[(1, 1), (2, 3), (3, usize::MAX)]),
        ),
        seed("a-run-of-no-folder", with_runs(&[(1, 1), (2, 3), (4, 4)])),
        seed(
            "an-image-climbs",
            with_images(b"../../0.gif\x001.gif\x002.gif\x003.gif\0"),
        ),
        seed(
            "an-image-is-absolute",
            with_images(b"/0.gif\x001.gif\x002.gif\x003.gif\0"),
        ),
        seed(
            "an-image-has-no-name",
            with_images(b"\x001.gif\x002.gif\x003.gif\0"),
        ),
        seed(
            "an-image-missing",
            with_images(b"0.gif\x001.gif\x002.gif\0"),
        ),
        seed(
            "a-name-without-end",
            with_images(b"0.gif\x001.gif\x002.gif\x003.gif"),
        ),
        seed("cut-in-half", &valid[..valid.len() / 2]),
        seed("hash-wrong", b"\xffaetlist\x010123456789"),
        seed("another-version", b"\xffaetlist\x020123456789"),
    ]
}
