//! The variables of a MATLAB file, version 5 to 7 (little-endian): as far as arrays of numbers go.
//!
//! A file is 128 bytes of header, then elements: a tag of type and length, then data. An element is
//! an array or a compressed array. An array is made of elements itself: flags, shape, name, data.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::error::DataError;
use crate::source::positioned::open_regular;
use crate::source::unpack::{Unpacking, most_unpacked};

/// Type of data: one byte without sign.
pub(super) const UINT8: u32 = 2;

const HEADER: u64 = 128;
const ARRAY: u32 = 14;
const COMPRESSED: u32 = 15;
/// Shapes and names of more bytes are taken for damage.
const MOST_BYTES: u32 = 256;

/// What an array is called and made of.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    /// Type of data.
    pub(super) kind: u32,
    /// Bytes of data.
    pub(super) bytes: u64,
    /// Where the data lies in the file, if it is not compressed.
    pub(super) offset: Option<u64>,
}

/// Gives every array of the file at `path` to `visit`, with a reader of its data.
pub(super) fn read(
    path: &Path,
    visit: &mut dyn FnMut(&Variable, &mut dyn Read) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let fail = |error| DataError::io(path, error);
    let mut file = open_regular(path)?;
    let len = file.metadata().map_err(fail)?.len();
    check_header(&mut file).map_err(|problem| DataError::malformed(path, problem))?;
    let mut at = HEADER;
    while at < len {
        let broken = |error: io::Error| {
            let problem =
                format!("byte {at}: damaged or cut short; fetch or copy it again: {error}");
            DataError::malformed(path, problem)
        };
        file.seek(SeekFrom::Start(at)).map_err(fail)?;
        let (kind, bytes) = tag(&mut file).map_err(broken)?;
        let end = at + 8 + u64::from(bytes);
        if end > len {
            let problem = format!("an element of {bytes} bytes ends past the file's {len}");
            return Err(broken(io::Error::other(problem)));
        }
        let mut element = BufReader::new((&file).take(u64::from(bytes)));
        match kind {
            ARRAY => {
                let mut array = Counted(element, at + 8);
                let (mut variable, small) = variable(&mut array).map_err(broken)?;
                variable.offset = Some(array.1).filter(|_| small.is_none());
                give(&variable, small, &mut array, visit)?;
            }
            COMPRESSED => {
                let unpacked = ZlibDecoder::new(&mut element);
                let mut array = Unpacking::new(unpacked, u64::from(bytes));
                tag(&mut array).map_err(broken)?;
                let (variable, small) = variable(&mut array).map_err(broken)?;
                let most = most_unpacked(u64::from(bytes));
                if variable.bytes > most {
                    let (name, claimed) = (&variable.name, variable.bytes);
                    let problem = format!(
                        "`{name}` claims {claimed} bytes, more than the {most} that {bytes} \
                         compressed bytes may unpack to"
                    );
                    return Err(broken(io::Error::other(problem)));
                }
                give(&variable, small, &mut array, visit)?;
            }
            _ => {}
        }
        at = end;
    }
    Ok(())
}

fn give(
    variable: &Variable,
    small: Option<Vec<u8>>,
    array: &mut dyn Read,
    visit: &mut dyn FnMut(&Variable, &mut dyn Read) -> Result<(), DataError>,
) -> Result<(), DataError> {
    match small {
        Some(bytes) => visit(variable, &mut Cursor::new(bytes)),
        None => visit(variable, &mut array.take(variable.bytes)),
    }
}

/// A reader that knows its place in the file.
struct Counted<R>(R, u64);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(bytes)?;
        self.1 += count as u64;
        Ok(count)
    }
}

fn check_header(file: &mut File) -> Result<(), String> {
    let mut header = [0; HEADER as usize];
    file.read_exact(&mut header)
        .map_err(|_| "it is too short for a MATLAB file".to_owned())?;
    if header.starts_with(b"MATLAB 7.3") {
        return Err("MATLAB files of version 7.3 (HDF5) are not read; save it with -v7".to_owned());
    }
    match header[124..] {
        [0, 1, b'I', b'M'] => Ok(()),
        _ => Err("this is no MATLAB file of version 5 to 7, little-endian".to_owned()),
    }
}

/// Type and length.
fn tag(reader: &mut dyn Read) -> io::Result<(u32, u32)> {
    Ok((number(reader)?, number(reader)?))
}

fn number(reader: &mut dyn Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Flags, shape, name and the tag of the data, which is given too where it lies within the tag.
fn variable(reader: &mut dyn Read) -> io::Result<(Variable, Option<Vec<u8>>)> {
    element(reader)?;
    let shape = element(reader)?;
    let name = element(reader)?;
    let shape = (shape.chunks_exact(4))
        .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into());
    let (kind, bytes, small) = any_tag(reader)?;
    let variable = Variable {
        name: String::from_utf8_lossy(&name).into_owned(),
        shape: shape.collect(),
        kind,
        bytes: bytes.into(),
        offset: None,
    };
    Ok((variable, small))
}

/// A tag, and its data where that is at most 4 bytes, which then lie in the tag itself.
fn any_tag(reader: &mut dyn Read) -> io::Result<(u32, u32, Option<Vec<u8>>)> {
    let first = number(reader)?;
    let small = first >> 16;
    if small == 0 {
        return Ok((first, number(reader)?, None));
    }
    let bytes = number(reader)?.to_le_bytes();
    match bytes.get(..small as usize) {
        Some(data) => Ok((first & 0xffff, small, Some(data.to_vec()))),
        None => Err(io::Error::other("a short element of more than 4 bytes")),
    }
}

/// The data of a small element, and the padding after it to a multiple of 8 bytes.
fn element(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let (_, bytes, small) = any_tag(reader)?;
    if let Some(data) = small {
        return Ok(data);
    }
    if bytes > MOST_BYTES {
        let problem = format!("a shape or name of {bytes} bytes");
        return Err(io::Error::other(problem));
    }
    let mut data = vec![0; bytes.next_multiple_of(8) as usize];
    reader.read_exact(&mut data)?;
    data.truncate(bytes as usize);
    Ok(data)
}

/// The `count` numbers of a variable, which must be whole.
pub(super) fn numbers(
    variable: &Variable,
    count: u64,
    data: &mut dyn Read,
) -> Result<Vec<i64>, String> {
    let width = match variable.kind {
        1 | UINT8 => 1,
        3 | 4 => 2,
        5 | 6 => 4,
        9 | 12 | 13 => 8,
        other => return Err(format!("data of type {other} cannot be read as labels")),
    };
    if Some(variable.bytes) != count.checked_mul(width) {
        let bytes = variable.bytes;
        return Err(format!(
            "{bytes} bytes for {count} numbers of {width} bytes"
        ));
    }
    let mut bytes = Vec::new();
    let fail = |error: io::Error| format!("damaged or cut short: {error}");
    data.take(variable.bytes)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 != variable.bytes {
        return Err("damaged or cut short".to_owned());
    }
    let number = |bytes: &[u8]| {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(wide);
        match variable.kind {
            1 => unsigned as u8 as i8 as i64,
            3 => unsigned as u16 as i16 as i64,
            5 => unsigned as u32 as i32 as i64,
            // A fraction becomes a number that is no label.
            9 => Some(f64::from_bits(unsigned))
                .filter(|value| value.fract() == 0.0)
                .map_or(i64::MIN, |value| value as i64),
            12 => unsigned as i64,
            _ => i64::try_from(unsigned).unwrap_or(i64::MAX),
        }
    };
    Ok(bytes.chunks_exact(width as usize).map(number).collect())
}
