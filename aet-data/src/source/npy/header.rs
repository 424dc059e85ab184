//! The header of a NumPy array on disk: `\x93NUMPY`, a version, a length, and a Python dictionary
//! of `descr` (the type), `fortran_order` and `shape`; then the numbers.

use crate::error::DataError;
use crate::source::positioned::PositionedFile;

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy itself reads no longer ones.
const MOST_BYTES: u64 = 10_000;

/// Type of a number, with its width in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Signed(usize),
    Unsigned(usize),
    /// Width in bytes of what is no whole number.
    Other(usize),
}

/// What an array is made of.
#[derive(Debug)]
pub(super) struct Header {
    /// As written, such as `<i8`.
    pub(super) descr: String,
    pub(super) number: Number,
    pub(super) big_endian: bool,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
    /// Where the numbers start, in bytes.
    pub(super) start: u64,
}

impl Header {
    /// Reads the header of `file`, and checks that the file is as long as it says.
    pub(super) fn read(file: &PositionedFile) -> Result<Self, DataError> {
        let fail = |problem: String| DataError::malformed(file.path(), problem);
        let prefix = file.read(0, 12.min(file.len()))?;
        let Some([major, _minor, length @ ..]) = prefix.strip_prefix(MAGIC) else {
            return Err(fail(
                "this is no NumPy array: it does not start with \\x93NUMPY; save it with numpy.save"
                    .into(),
            ));
        };
        let (text_at, length) = match (major, length) {
            (1, &[low, high, ..]) => (10, u64::from(u16::from_le_bytes([low, high]))),
            (2 | 3, &[a, b, c, d]) => (12, u64::from(u32::from_le_bytes([a, b, c, d]))),
            (1..=3, _) => return Err(fail("it is cut short within its header".into())),
            _ => {
                let problem =
                    format!("version {major} of the format is not known; save it with numpy.save");
                return Err(fail(problem));
            }
        };
        if length > MOST_BYTES || text_at + length > file.len() {
            let problem = format!("a header of {length} bytes: it is damaged or cut short");
            return Err(fail(problem));
        }
        let text = file.read(text_at, length)?;
        let text = String::from_utf8_lossy(&text);
        let header = Self::parse(&text, text_at + length).ok_or_else(|| {
            fail(format!(
                "a header that is not understood: {}; save images as uint8 and labels as whole \
                 numbers",
                text.trim()
            ))
        })?;
        match header.bytes() {
            Some(bytes) if header.start.checked_add(bytes) == Some(file.len()) => Ok(header),
            _ => Err(fail(format!(
                "{} bytes after the header do not make {:?} numbers of type {}; \
                 the file is truncated or damaged",
                file.len() - header.start,
                header.shape,
                header.descr,
            ))),
        }
    }

    fn parse(text: &str, start: u64) -> Option<Self> {
        let descr = value_of(text, "descr")?.strip_prefix(['\'', '"'])?;
        let descr = &descr[..descr.find(['\'', '"'])?];
        let fortran_order = value_of(text, "fortran_order")?.starts_with("True");
        let shape = value_of(text, "shape")?.strip_prefix('(')?;
        let shape = (shape[..shape.find(')')?].split(','))
            .map(str::trim)
            .filter(|length| !length.is_empty())
            .map(|length| length.parse().ok())
            .collect::<Option<Vec<usize>>>()?;
        let (order, kind) = match descr.chars().next()? {
            order @ ('<' | '>' | '|' | '=') => (order, &descr[1..]),
            _ => ('|', descr),
        };
        let width = kind.get(1..)?.parse().ok();
        let number = match (kind.chars().next()?, width?) {
            ('i', width @ (1 | 2 | 4 | 8)) => Number::Signed(width),
            ('u', width @ (1 | 2 | 4 | 8)) => Number::Unsigned(width),
            (_, width) => Number::Other(width),
        };
        Some(Self {
            descr: descr.to_owned(),
            number,
            big_endian: order == '>',
            fortran_order,
            shape,
            start,
        })
    }

    /// Bytes of all numbers.
    fn bytes(&self) -> Option<u64> {
        let (Number::Signed(width) | Number::Unsigned(width) | Number::Other(width)) = self.number;
        let lengths = self.shape.iter();
        let bytes = lengths.copied().try_fold(width, usize::checked_mul)?;
        u64::try_from(bytes).ok()
    }
}

/// What follows the key in a Python dictionary.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let after = (quoted.iter()).find_map(|key| Some(&text[text.find(key)? + key.len()..]))?;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

impl Number {
    /// The numbers in `bytes`, if they are whole ones; what an `i64` cannot hold is its largest.
    pub(super) fn read_all(self, bytes: &[u8], big_endian: bool) -> Option<Vec<i64>> {
        let (Self::Signed(width) | Self::Unsigned(width)) = self else {
            return None;
        };
        let number = |bytes: &[u8]| {
            let join = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
            let unsigned = match big_endian {
                true => bytes.iter().fold(0, join),
                false => bytes.iter().rev().fold(0, join),
            };
            let unused = 64 - 8 * width as u32;
            match self {
                Self::Signed(_) => (unsigned << unused) as i64 >> unused,
                _ => i64::try_from(unsigned).unwrap_or(i64::MAX),
            }
        };
        Some(bytes.chunks_exact(width).map(number).collect())
    }
}
