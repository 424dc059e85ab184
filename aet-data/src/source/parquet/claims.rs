//! What a Parquet file claims of itself, held against its bytes before the parquet crate reads them:
//! [`check_footer`], [`check_pages`].

use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;

use super::format::{FILE_METADATA, PAGE_HEADER};
use super::thrift::{Flaw, Walked, walk};
use crate::error::DataError;
use crate::source::positioned::PositionedFile;

/// Ends every file, after the length of the footer.
const MAGIC: &[u8] = b"PAR1";
/// The field of a page's header that has the bytes of the page.
const PAGE_SIZE: &[i16] = &[3];
/// The same before it was compressed.
const UNPACKED_SIZE: &[i16] = &[2];
/// Of the values of a dictionary.
const DICTIONARY_COUNT: &[i16] = &[7, 1];
/// Bytes that hold nearly every header of a page.
const HEADER: u64 = 1 << 12;

/// Walks over the footer. Where there is none, the parquet crate says so.
///
/// # Errors
/// When it is none, or has lists of more elements than it has bytes.
pub(super) fn check_footer(file: &PositionedFile) -> Result<(), DataError> {
    let Some(end) = file.len().checked_sub(8) else {
        return Ok(());
    };
    let tail = file.read(end, 8)?;
    let (length, magic) = tail.split_at(4);
    let length = length
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    match end.checked_sub(length) {
        Some(start) if magic == MAGIC => {
            let walked = walk(&file.read(start, length)?, FILE_METADATA, &[]);
            judge(file, "its footer", walked).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// Walks over the headers of a column's pages, up to one that is cut short. The last may end behind the
/// column, as the parquet crate reads on there.
///
/// # Errors
/// When one is none, has lists of more elements than it has bytes, or is of a dictionary that has.
pub(super) fn check_pages(
    file: &PositionedFile,
    column: &ColumnChunkMetaData,
) -> Result<(), DataError> {
    let start = column.dictionary_page_offset();
    let start = u64::try_from(start.unwrap_or_else(|| column.data_page_offset()));
    let length = u64::try_from(column.compressed_size());
    let (Ok(start), Ok(length)) = (start, length) else {
        return Ok(());
    };
    let end = start.saturating_add(length).min(file.len());
    // Without compression, nobody holds the size before it against the bytes.
    let values_size = match column.compression() {
        Compression::UNCOMPRESSED => PAGE_SIZE,
        _ => UNPACKED_SIZE,
    };
    let mut at = start;
    while at < end {
        let (bytes, walked) = header_at(file, at)?;
        if walked == Err(Flaw::Short) {
            break;
        }
        let length = judge(file, "the header of a page", walked)?.length as u64;
        let number = |path: &[i16]| {
            let walked = walk(&bytes, PAGE_HEADER, path);
            judge(file, "the header of a page", walked).map(|walked| walked.value)
        };
        // A value takes a byte at least, and as much memory as all of its kind from the start.
        let (count, room) = (number(DICTIONARY_COUNT)?, number(values_size)?);
        if count.unwrap_or(0) > room.unwrap_or(0) {
            let problem = "broken Parquet file; fetch or copy it again: a dictionary claims more values \
                           than it has bytes";
            return Err(DataError::malformed(file.path(), problem.to_owned()));
        }
        let size = number(PAGE_SIZE)?.and_then(|size| u64::try_from(size).ok());
        let next = at.checked_add(length);
        let next = next.and_then(|next| next.checked_add(size?));
        at = next.unwrap_or(end);
    }
    Ok(())
}

/// The header of a page from byte `at` on: some bytes from there, and what comes of walking over them.
fn header_at(file: &PositionedFile, at: u64) -> Result<(Vec<u8>, Result<Walked, Flaw>), DataError> {
    let most = file.len() - at;
    let mut room = HEADER;
    loop {
        let bytes = file.read(at, room.min(most))?;
        match walk(&bytes, PAGE_HEADER, &[]) {
            Err(Flaw::Short) if room < most => room = room.saturating_mul(8),
            walked => return Ok((bytes, walked)),
        }
    }
}

fn judge(
    file: &PositionedFile,
    what: &str,
    walked: Result<Walked, Flaw>,
) -> Result<Walked, DataError> {
    walked.map_err(|flaw| {
        let flaw = match flaw {
            Flaw::Short => "ends before its last field does",
            Flaw::Malformed => "is damaged",
            Flaw::Claim => "claims lists of more elements than it has bytes",
        };
        let problem = format!("broken Parquet file; fetch or copy it again: {what} {flaw}");
        DataError::malformed(file.path(), problem)
    })
}
