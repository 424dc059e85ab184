//! [`Kind`]: what the first bytes of a file say it is, whatever its name.

use image::ImageFormat;

/// What a file is.
pub(super) enum Kind {
    /// JPEG.
    Jpeg,
    /// A format of [`codecs`](super::codecs).
    Coded(ImageFormat),
    /// Something that is not read: the words for it.
    Other(String),
}

/// Formats that are read: where their first bytes lie, which these are, and the format.
const READ: &[(usize, &[u8], ImageFormat)] = &[
    (0, b"\xff\xd8\xff", ImageFormat::Jpeg),
    (0, b"\x89PNG\r\n\x1a\n", ImageFormat::Png),
    (8, b"WEBP", ImageFormat::WebP),
    (0, b"BM", ImageFormat::Bmp),
    (0, b"II*\0", ImageFormat::Tiff),
    (0, b"MM\0*", ImageFormat::Tiff),
    (0, b"II+\0", ImageFormat::Tiff),
    (0, b"MM\0+", ImageFormat::Tiff),
    (0, b"GIF87a", ImageFormat::Gif),
    (0, b"GIF89a", ImageFormat::Gif),
];

/// Pictures that are not read, and what else is found among them: where their bytes lie, which
/// these are, and the name.
const PICTURES: &[(usize, &[u8], &str)] = &[
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypcrx ", "a raw file of a camera"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"qoif", "QOI"),
    (0, b"\0\0\x01\0", "an icon (ICO)"),
    (0, b"DDS ", "DDS"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
];

/// What holds no picture to convert.
const OTHERS: &[(usize, &[u8], &str)] = &[
    (4, b"ftyp", "a video (MP4 or QuickTime)"),
    (4, b"moov", "a video (QuickTime)"),
    (0, b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)"),
    (8, b"AVI ", "a video (AVI)"),
    (8, b"WAVE", "sound (WAV)"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "compressed by gzip"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"\x93NUMPY", "an array of NumPy"),
    (0, b"PAR1", "a Parquet file"),
];

/// Bytes that are looked at for words.
const HEAD: usize = 1024;

impl Kind {
    /// What `bytes`, a whole file, are.
    pub(super) fn of(bytes: &[u8]) -> Self {
        match named(bytes, READ) {
            Some(ImageFormat::Jpeg) => Self::Jpeg,
            Some(format) => Self::Coded(format),
            None => Self::Other(words_for(bytes)),
        }
    }
}

fn named<T: Copy>(bytes: &[u8], table: &[(usize, &[u8], T)]) -> Option<T> {
    let fits = |(at, magic, _): &&(usize, &[u8], T)| {
        (bytes.get(*at..)).is_some_and(|rest| rest.starts_with(magic))
    };
    table.iter().find(fits).map(|&(_, _, name)| name)
}

fn words_for(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "the file is empty".to_owned();
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return "the file holds nothing but zeros; fetch or copy it again".to_owned();
    }
    let text = text_at_start(bytes);
    let svg = text.as_ref().is_some_and(|text| text.contains("<svg"));
    if let Some(name) = named(bytes, PICTURES).or(svg.then_some("SVG")) {
        return format!("this is {name}, which aet does not read; convert it to JPEG or PNG");
    }
    let name = named(bytes, OTHERS).or_else(|| text.as_deref().map(kind_of_text));
    match name {
        Some(name) => format!("this is {name}, not an image"),
        None => "this is no image of a format that aet reads (JPEG, PNG, WebP, BMP, TIFF, GIF)"
            .to_owned(),
    }
}

/// The first bytes in lower case, if they are text.
fn text_at_start(bytes: &[u8]) -> Option<String> {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut in two at the end of what is looked at.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let printed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.chars().all(printed).then(|| text.to_lowercase())
}

fn kind_of_text(text: &str) -> &'static str {
    if text.starts_with("version https://git-lfs") {
        "a pointer of Git LFS (`git lfs pull` fetches the file)"
    } else if text.starts_with("<!doctype html") || text.contains("<html") {
        "HTML (a page in the place of a download?)"
    } else {
        "text"
    }
}
