//! Going through a tar archive, from header to header: [`walk`].
//!
//! The `tar` crate reads headers and PAX records; the steps from one to the next are here, because
//! its own take an archive that is cut short for a whole one and give no limit to long names.

use std::io::{self, Read};

use tar::{EntryType, Header, PaxExtensions};

use crate::source::positioned::PositionedFile;

const BLOCK: u64 = 512;
/// Names and PAX records of more bytes are taken for damage.
const MOST_BYTES: u64 = 1 << 20;

/// Something that is read from front to end, with parts left out.
pub(super) trait Tape: Read {
    /// Passes over `amount` bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` when there are not as many.
    fn skip(&mut self, amount: u64) -> io::Result<()>;

    /// Passes over all that is left, if that can find an error.
    fn finish(&mut self) -> io::Result<()>;
}

/// A file; what is passed over is not read.
pub(super) struct PlainTape {
    file: PositionedFile,
    at: u64,
}

impl PlainTape {
    pub(super) fn new(file: PositionedFile) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for PlainTape {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.file.len().saturating_sub(self.at);
        let count = left.min(bytes.len() as u64) as usize;
        self.file.fill(self.at, &mut bytes[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Tape for PlainTape {
    fn skip(&mut self, amount: u64) -> io::Result<()> {
        match self.at.checked_add(amount) {
            Some(at) if at <= self.file.len() => self.at = at,
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream; what is passed over is read and forgotten, and so is its end, for the checksum there.
pub(super) struct PackedTape<R>(pub(super) R);

impl<R: Read> Read for PackedTape<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl<R: Read> Tape for PackedTape<R> {
    fn skip(&mut self, amount: u64) -> io::Result<()> {
        let passed = io::copy(&mut (&mut self.0).take(amount), &mut io::sink())?;
        match passed == amount {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        io::copy(&mut self.0, &mut io::sink()).map(|_| ())
    }
}

/// A regular file in an archive.
pub(super) struct Member {
    /// As written; what is no UTF-8 is replaced.
    pub(super) name: String,
    /// Where its data starts in the archive.
    pub(super) offset: u64,
    /// Bytes of data.
    pub(super) length: u64,
}

/// Where an archive cannot be followed any further.
pub(super) struct Damage {
    /// What lies before this byte is whole.
    pub(super) at: u64,
    pub(super) problem: String,
}

/// Gives every regular file of the archive on `tape` to `visit`, with a reader of its data.
///
/// # Errors
/// When the archive is damaged or cut short; `visit` may have seen the member whose data is.
pub(super) fn walk<T: Tape>(
    tape: T,
    visit: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Damage> {
    let mut walk = Walk {
        tape,
        at: 0,
        long_name: None,
        pax_size: None,
        last: None,
    };
    loop {
        let at = walk.at;
        match walk.step(visit) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                let what = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "the archive is cut short".to_owned(),
                    _ => format!("this is no tar archive, or a damaged one: {error}"),
                };
                let last = match walk.last {
                    Some(last) => format!("the last whole member is {last}"),
                    None => "no member is whole".to_owned(),
                };
                let problem = format!("after byte {at}: {what}; {last}; fetch or copy it again");
                return Err(Damage { at, problem });
            }
        }
    }
}

struct Walk<T> {
    tape: T,
    /// Where the next header starts.
    at: u64,
    /// What headers said of the next member.
    long_name: Option<Vec<u8>>,
    pax_size: Option<u64>,
    last: Option<String>,
}

impl<T: Tape> Walk<T> {
    /// Goes past one header and its data. Gives false at the end.
    fn step(
        &mut self,
        visit: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<bool> {
        let block = self.block()?;
        if block.iter().all(|&byte| byte == 0) {
            self.finish()?;
            return Ok(false);
        }
        let header = Header::from_byte_slice(&block);
        check(header)?;
        let length = header.entry_size()?;
        match header.entry_type() {
            EntryType::GNULongName => self.long_name = Some(self.text(length)?),
            EntryType::XHeader => self.pax(length)?,
            EntryType::GNULongLink | EntryType::XGlobalHeader => self.skip(length)?,
            kind => {
                if let (EntryType::GNUSparse, Some(gnu)) = (kind, header.as_gnu()) {
                    self.skip_sparse_map(gnu.is_extended())?;
                }
                let length = match self.pax_size.take().unwrap_or(length) {
                    // A size may be noted for these, but data there is none.
                    _ if is_without_data(kind) => 0,
                    length => length,
                };
                let name = self.long_name.take();
                let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
                let member = Member {
                    name: String::from_utf8_lossy(&name).into_owned(),
                    offset: self.at,
                    length,
                };
                match kind {
                    EntryType::Regular | EntryType::Continuous => self.member(&member, visit)?,
                    _ => self.skip(length)?,
                }
                self.last = Some(member.name);
            }
        }
        Ok(true)
    }

    fn block(&mut self) -> io::Result<[u8; BLOCK as usize]> {
        let mut block = [0; BLOCK as usize];
        self.tape.read_exact(&mut block)?;
        self.at = self.after(BLOCK)?;
        Ok(block)
    }

    fn after(&self, amount: u64) -> io::Result<u64> {
        let too_long = || io::Error::other("a size that no file has");
        self.at.checked_add(amount).ok_or_else(too_long)
    }

    /// Passes over data and what fills its last block.
    fn skip(&mut self, length: u64) -> io::Result<()> {
        self.skip_rest(length, length)
    }

    /// Passes over the last `left` bytes of data, and what fills its last block.
    fn skip_rest(&mut self, length: u64, left: u64) -> io::Result<()> {
        let end = self.after(length)?.checked_next_multiple_of(BLOCK);
        let end = end.ok_or_else(|| io::Error::other("a size that no file has"))?;
        self.tape.skip(end - self.at - (length - left))?;
        self.at = end;
        Ok(())
    }

    fn member(
        &mut self,
        member: &Member,
        visit: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut data = (&mut self.tape).take(member.length);
        visit(member, &mut data)?;
        let left = data.limit();
        self.skip_rest(member.length, left)
    }

    /// The data of a header that describes the next member.
    fn text(&mut self, length: u64) -> io::Result<Vec<u8>> {
        if length > MOST_BYTES {
            return Err(io::Error::other(format!("a name of {length} bytes")));
        }
        let mut text = vec![0; length as usize];
        self.tape.read_exact(&mut text)?;
        self.skip_rest(length, 0)?;
        while text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    fn pax(&mut self, length: u64) -> io::Result<()> {
        let text = self.text(length)?;
        for record in PaxExtensions::new(&text) {
            let record = record?;
            match record.key_bytes() {
                b"path" => self.long_name = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|value| value.parse().ok());
                    let no_size = || io::Error::other("a PAX size that is no number");
                    self.pax_size = Some(size.ok_or_else(no_size)?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The blocks between the header of a file with holes and its data.
    fn skip_sparse_map(&mut self, mut extended: bool) -> io::Result<()> {
        while extended {
            extended = self.block()?[504] != 0;
        }
        Ok(())
    }

    /// After an empty block comes another one, and then anything.
    fn finish(&mut self) -> io::Result<()> {
        let mut block = Vec::new();
        (&mut self.tape).take(BLOCK).read_to_end(&mut block)?;
        if !block.is_empty() && block.len() < BLOCK as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.tape.finish()
    }
}

fn is_without_data(kind: EntryType) -> bool {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    matches!(kind, Link | Symlink | Char | Block | Directory | Fifo)
}

/// Compares the sum of a header with the one in it, which counts as blanks.
fn check(header: &Header) -> io::Result<()> {
    let bytes = header.as_bytes();
    let sum: u32 = (bytes[..148].iter().chain(&bytes[156..]))
        .map(|&byte| u32::from(byte))
        .sum();
    match header.cksum()? == sum + 8 * u32::from(b' ') {
        true => Ok(()),
        false => Err(io::Error::other("the checksum of a header is wrong")),
    }
}
