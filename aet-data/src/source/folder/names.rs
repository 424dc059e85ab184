//! Names of files and folders as bytes: which are images, which are passed over, and many of them
//! in one block of memory.
//!
//! On Unix a name is the bytes that the system gives, UTF-8 or not. Elsewhere it is UTF-8, and a
//! name that has no such form cannot be read back.

use std::borrow::Cow;
use std::ffi::OsStr;

/// Extensions of images, in lower case.
pub(super) const EXTENSIONS: [&str; 10] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "tif", "tiff", "gif",
];

/// What systems and programs leave in folders of images, beside hidden files.
const PASSED_OVER: [&str; 6] = [
    "__MACOSX",
    "@eaDir",
    "Thumbs.db",
    "lost+found",
    "$RECYCLE.BIN",
    "System Volume Information",
];

/// Whether a file of this name is taken for an image.
pub(super) fn is_image(name: &[u8]) -> bool {
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else {
        return false;
    };
    let extension = &name[dot + 1..];
    (EXTENSIONS.iter()).any(|known| known.as_bytes().eq_ignore_ascii_case(extension))
}

/// Whether a file or folder of this name is no part of a set.
pub(super) fn is_passed_over(name: &[u8]) -> bool {
    name.starts_with(b".") || PASSED_OVER.iter().any(|known| known.as_bytes() == name)
}

/// The name as text; bytes that are no UTF-8 are written `\xff`, so that two names stay two.
pub(super) fn text(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) => text.to_owned(),
        Err(_) => name.escape_ascii().to_string(),
    }
}

/// The bytes of a name.
#[cfg(unix)]
pub(super) fn bytes_of(name: &OsStr) -> Cow<'_, [u8]> {
    Cow::Borrowed(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

/// The bytes of a name.
#[cfg(not(unix))]
pub(super) fn bytes_of(name: &OsStr) -> Cow<'_, [u8]> {
    match name.to_string_lossy() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The name that [`bytes_of`] took apart.
#[cfg(unix)]
pub(super) fn name_of(bytes: &[u8]) -> Cow<'_, OsStr> {
    Cow::Borrowed(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

/// The name that [`bytes_of`] took apart.
#[cfg(not(unix))]
pub(super) fn name_of(bytes: &[u8]) -> Cow<'_, OsStr> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => Cow::Borrowed(OsStr::new(text)),
        Cow::Owned(text) => Cow::Owned(text.into()),
    }
}

/// Every how many names the place of one is remembered.
const STRIDE: usize = 8;

/// Many names in one block, each ended by a zero byte.
#[derive(Debug)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where every eighth name begins.
    starts: Vec<usize>,
    count: usize,
}

impl Names {
    /// Takes a block over; `None` if something in it cannot be the name of a file in a folder.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        let (mut starts, mut count, mut start) = (Vec::new(), 0, 0);
        for name in bytes.split_inclusive(|&byte| byte == 0) {
            if !name.strip_suffix(&[0]).is_some_and(is_plain) {
                return None;
            }
            if count % STRIDE == 0 {
                starts.push(start);
            }
            start += name.len();
            count += 1;
        }
        Some(Self {
            bytes,
            starts,
            count,
        })
    }

    /// Number of names.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Name `index`.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let start = *self.starts.get(index / STRIDE)?;
        let mut names = self.bytes.get(start..)?.split(|&byte| byte == 0);
        // After the last zero, `split` gives one more, empty, which is no name.
        names.nth(index % STRIDE).filter(|name| !name.is_empty())
    }

    /// The block.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether a name leads to something in the folder itself.
fn is_plain(name: &[u8]) -> bool {
    let parts = |&byte: &u8| byte == b'/' || (cfg!(windows) && matches!(byte, b'\\' | b':'));
    !(name.is_empty() || name == b"." || name == b".." || name.iter().any(parts))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_name_of_a_block_is_found_again() {
        let names: Vec<String> = (0..100).map(|at| format!("{}.jpg", at * at * at)).collect();
        let block: String = names.iter().map(|name| format!("{name}\0")).collect();
        let block = Names::new(block.into_bytes()).unwrap();
        assert_eq!(block.len(), 100);
        for (at, name) in names.iter().enumerate() {
            assert_eq!(block.get(at), Some(name.as_bytes()));
        }
        assert_eq!((block.get(100), block.get(108)), (None, None));
    }

    #[test]
    fn names_that_lead_out_of_their_folder_are_refused() {
        for bad in [
            "a",
            "\0",
            "a\0\0",
            "..\0",
            ".\0",
            "a/b\0",
            "ok\0../b\0",
            "/\0",
        ] {
            assert!(Names::new(bad.into()).is_none(), "{bad:?}");
        }
        assert_eq!(Names::new(Vec::new()).unwrap().len(), 0);
    }

    #[test]
    fn images_are_told_by_their_extension_in_any_case() {
        for image in [
            "a.jpg", "a.JPEG", "a.Jpe", "a.jfif", "a.b.png", "a.WebP", "a.bmp", "a.TIF",
        ] {
            assert!(is_image(image.as_bytes()), "{image}");
        }
        for other in ["jpg", "a.txt", "a.jpg.zip", "a.", "", "a.jpg ", "a.jp"] {
            assert!(!is_image(other.as_bytes()), "{other}");
        }
        assert!(is_passed_over(b"._a.jpg") && is_passed_over(b"@eaDir") && !is_passed_over(b"a.b"));
    }

    #[test]
    fn names_that_are_no_text_stay_apart_as_text() {
        assert_eq!(text("hörn\n".as_bytes()), "hörn\n");
        assert_eq!(text(b"a\xff"), "a\\xff");
        assert_ne!(text(b"a\xff"), text(b"a\xfe"));
    }
}
