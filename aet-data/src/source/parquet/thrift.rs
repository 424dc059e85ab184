//! Thrift's compact protocol, as far as it takes to walk over a struct: [`walk`].
//!
//! The parquet crate (seen at 60.1) passes over a list of a field that it does not know element by
//! element, and takes no bytes for a boolean: six bytes can keep it busy for 2^31 steps. Here the
//! elements of all lists are counted first.
//!
//! Source: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

/// Structs and lists within each other; the parquet crate goes as deep.
const DEEPEST: usize = 64;

/// Why bytes cannot be walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They end within the struct.
    Short,
    /// They are no struct.
    Malformed,
    /// Its lists claim more elements than there are bytes.
    Claim,
}

/// A struct that was walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walked {
    /// Bytes that it takes.
    pub(super) length: usize,
    /// The whole number in the field that was asked for.
    pub(super) value: Option<i64>,
}

/// Walks over the struct at the start of `bytes`, and notes the number in its field `field`.
pub(super) fn walk(bytes: &[u8], field: i16) -> Result<Walked, Flaw> {
    let mut walk = Walk {
        bytes,
        at: 0,
        elements: 0,
    };
    let (mut id, mut value) = (0_i16, None);
    while let Some((kind, step)) = walk.field()? {
        id = match step {
            0 => i16::try_from(walk.number()?).map_err(|_| Flaw::Malformed)?,
            step => id.checked_add(step).ok_or(Flaw::Malformed)?,
        };
        match kind {
            I16 | I32 | I64 if id == field => value = Some(walk.number()?),
            kind => walk.skip(kind, DEEPEST)?,
        }
    }
    Ok(Walked {
        length: walk.at,
        value,
    })
}

const BOOLEAN: [u8; 2] = [1, 2];
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LISTS: [u8; 2] = [9, 10];
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Of all lists and maps.
    elements: u64,
}

impl Walk<'_> {
    fn byte(&mut self) -> Result<u8, Flaw> {
        let byte = *self.bytes.get(self.at).ok_or(Flaw::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn pass(&mut self, count: u64) -> Result<(), Flaw> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count))
            .filter(|end| *end <= self.bytes.len());
        self.at = end.ok_or(Flaw::Short)?;
        Ok(())
    }

    fn unsigned(&mut self) -> Result<u64, Flaw> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Flaw::Malformed)
    }

    /// A whole number, whose sign is its last bit.
    fn number(&mut self) -> Result<i64, Flaw> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Type of the next field of a struct and by how much its number is larger than the one before;
    /// 0 where the number follows. None at the end of the struct.
    fn field(&mut self) -> Result<Option<(u8, i16)>, Flaw> {
        let head = self.byte()?;
        let kind = head & 0xf;
        Ok((kind != 0).then_some((kind, i16::from(head >> 4))))
    }

    /// Counts the elements of a list or map.
    fn claim(&mut self, elements: u64) -> Result<(), Flaw> {
        self.elements = self.elements.saturating_add(elements);
        match self.elements > self.bytes.len() as u64 {
            true => Err(Flaw::Claim),
            false => Ok(()),
        }
    }

    /// Passes over a value of type `kind`.
    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Flaw> {
        let depth = depth.checked_sub(1).ok_or(Flaw::Malformed)?;
        match kind {
            kind if BOOLEAN.contains(&kind) => Ok(()),
            BYTE => self.pass(1),
            I16 | I32 | I64 => self.unsigned().map(|_| ()),
            DOUBLE => self.pass(8),
            UUID => self.pass(16),
            BINARY => {
                let length = self.unsigned()?;
                self.pass(length)
            }
            STRUCT => {
                while let Some((kind, step)) = self.field()? {
                    if step == 0 {
                        self.number()?;
                    }
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
            kind if LISTS.contains(&kind) => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.unsigned()?,
                    count => u64::from(count),
                };
                self.claim(count)?;
                (0..count).try_for_each(|_| self.skip(head & 0xf, depth))
            }
            MAP => {
                let count = self.unsigned()?;
                if count == 0 {
                    return Ok(());
                }
                self.claim(count)?;
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.skip(kinds >> 4, depth)?;
                    self.skip(kinds & 0xf, depth)
                })
            }
            _ => Err(Flaw::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of 300 in field 3, a text, a struct of a double, a list of two bytes.
    const STRUCT_OF_ALL: &[u8] = &[
        0x35, 0xd8, 0x04, 0x18, 2, b'a', b'b', 0x1c, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x19, 0x23,
        7, 8, 0,
    ];

    #[test]
    fn a_struct_is_passed_over_and_its_field_is_found() {
        let with_more = [STRUCT_OF_ALL, b"more"].concat();
        for bytes in [STRUCT_OF_ALL, &with_more] {
            let walked = walk(bytes, 3).unwrap_or_else(|flaw| panic!("{flaw:?}"));
            assert_eq!(
                (walked.length, walked.value),
                (STRUCT_OF_ALL.len(), Some(300))
            );
        }
        assert_eq!(walk(STRUCT_OF_ALL, 2).map(|walked| walked.value), Ok(None));
    }

    #[test]
    fn a_struct_that_is_cut_short_is_short() {
        for end in 0..STRUCT_OF_ALL.len() {
            assert_eq!(walk(&STRUCT_OF_ALL[..end], 3), Err(Flaw::Short), "{end}");
        }
    }

    #[test]
    fn lists_that_take_no_bytes_are_counted() {
        // 2^28 booleans, and twice as many as there are bytes.
        assert_eq!(
            walk(&[0x19, 0xf1, 0xff, 0xff, 0xff, 0x7f, 0], 3),
            Err(Flaw::Claim)
        );
        assert_eq!(walk(&[0x19, 0x31, 0x19, 0x31, 0x00], 3), Err(Flaw::Claim));
        assert_eq!(
            walk(&[0x19, 0x31, 0x00], 3).map(|walked| walked.length),
            Ok(3)
        );
    }

    #[test]
    fn structs_without_end_in_each_other_are_malformed() {
        assert_eq!(walk(&[0x1c; 100], 3), Err(Flaw::Malformed));
        assert_eq!(walk(&[0x1f, 0], 3), Err(Flaw::Malformed));
    }
}
