//! Thrift's compact protocol, as far as it takes to walk over a struct: [`walk`].
//!
//! The parquet crate (seen at 60.1) passes over a list of a field that it does not know element by
//! element, and takes no bytes for a boolean: six bytes can keep it busy for 2^31 steps. Here the
//! elements of all lists are counted first, by the same steps; and since it reads a field that it knows
//! without a look at its type, fields have to be of the types that [`Shape`] says.
//!
//! Source: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

/// Structs and lists within each other; the parquet crate goes as deep.
const DEEPEST: usize = 64;

/// Why bytes cannot be walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They end within the struct.
    Short,
    /// They are no struct of that shape.
    Malformed,
    /// Its lists claim more elements than there are bytes.
    Claim,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A truth, a number or a text, by the type in the protocol.
    Is(u8),
    /// A list of such.
    ListOf(&'static Shape),
    /// A struct of these fields, by their numbers. Others are passed over whatever they are.
    Fields(&'static [(i16, Shape)]),
}

/// A struct that was walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walked {
    /// Bytes that it takes.
    pub(super) length: usize,
    /// The whole number of 32 bits in the field that was asked for.
    pub(super) value: Option<i32>,
}

/// Walks over the struct of `fields` at the start of `bytes`, and notes the number at `path`: in the field
/// of the first number, or in the struct there, in the field of the second.
pub(super) fn walk(
    bytes: &[u8],
    fields: &'static [(i16, Shape)],
    path: &[i16],
) -> Result<Walked, Flaw> {
    let mut walk = Walk {
        bytes,
        at: 0,
        elements: 0,
    };
    let mut value = None;
    walk.fields(fields, path, DEEPEST, &mut value)?;
    Ok(Walked {
        length: walk.at,
        value,
    })
}

/// Types in the protocol; of a truth there are two.
pub(super) const BOOLEAN: u8 = 1;
const BOOLEAN_FALSE: u8 = 2;
pub(super) const BYTE: u8 = 3;
pub(super) const I16: u8 = 4;
pub(super) const I32: u8 = 5;
pub(super) const I64: u8 = 6;
pub(super) const DOUBLE: u8 = 7;
pub(super) const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

impl Shape {
    /// Whether a value of type `kind` may be of this shape.
    fn takes(self, kind: u8) -> bool {
        match self {
            Self::Is(BOOLEAN) => matches!(kind, BOOLEAN | BOOLEAN_FALSE),
            Self::Is(is) => kind == is,
            Self::ListOf(_) => kind == LIST,
            Self::Fields(_) => kind == STRUCT,
        }
    }
}

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

    /// Bits past the 64th fall on the first again, as in the parquet crate.
    fn unsigned(&mut self) -> Result<u64, Flaw> {
        let (mut value, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return Ok(value);
            }
            shift = (shift + 7) % 64;
        }
    }

    /// A whole number, whose sign is its last bit.
    fn number(&mut self) -> Result<i64, Flaw> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Type and shape of the next field of a struct of `fields`, whose number goes to `id`. None at the
    /// end of the struct.
    fn field(
        &mut self,
        id: &mut i16,
        fields: &'static [(i16, Shape)],
    ) -> Result<Option<(u8, Option<Shape>)>, Flaw> {
        let head = self.byte()?;
        let kind = head & 0xf;
        if kind == 0 {
            return Ok(None);
        }
        *id = match head >> 4 {
            0 => self.number()? as i16,
            step => id.checked_add(i16::from(step)).ok_or(Flaw::Malformed)?,
        };
        let shape = fields.iter().find(|(known, _)| known == id);
        match shape.map(|(_, shape)| *shape) {
            Some(shape) if !shape.takes(kind) => Err(Flaw::Malformed),
            shape => Ok(Some((kind, shape))),
        }
    }

    /// Passes over the fields of a struct; the number at `path` goes to `value`.
    fn fields(
        &mut self,
        fields: &'static [(i16, Shape)],
        path: &[i16],
        depth: usize,
        value: &mut Option<i32>,
    ) -> Result<(), Flaw> {
        let mut id = 0;
        while let Some((kind, shape)) = self.field(&mut id, fields)? {
            match (kind, shape, path) {
                // Of a larger one the parquet crate takes the lower bits.
                (I32, _, [last]) if id == *last => *value = Some(self.number()? as i32),
                (STRUCT, Some(Shape::Fields(fields)), [first, rest @ ..]) if id == *first => {
                    let depth = depth.checked_sub(1).ok_or(Flaw::Malformed)?;
                    self.fields(fields, rest, depth, value)?;
                }
                _ => self.skip(kind, shape, depth)?,
            }
        }
        Ok(())
    }

    /// Counts the elements of a list or map.
    fn claim(&mut self, elements: u64) -> Result<(), Flaw> {
        self.elements = self.elements.saturating_add(elements);
        match self.elements > self.bytes.len() as u64 {
            true => Err(Flaw::Claim),
            false => Ok(()),
        }
    }

    /// Passes over a value of type `kind`, which `shape` takes.
    fn skip(&mut self, kind: u8, shape: Option<Shape>, depth: usize) -> Result<(), Flaw> {
        let depth = depth.checked_sub(1).ok_or(Flaw::Malformed)?;
        match kind {
            BOOLEAN | BOOLEAN_FALSE => Ok(()),
            BYTE => self.pass(1),
            I16 | I32 | I64 => self.unsigned().map(|_| ()),
            DOUBLE => self.pass(8),
            UUID => self.pass(16),
            BINARY => {
                let length = self.unsigned()?;
                self.pass(length)
            }
            STRUCT => {
                let fields = match shape {
                    Some(Shape::Fields(fields)) => fields,
                    _ => &[],
                };
                self.fields(fields, &[], depth, &mut None)
            }
            LIST | SET => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.unsigned()?,
                    count => u64::from(count),
                };
                self.claim(count)?;
                let shape = match shape {
                    Some(Shape::ListOf(shape)) => Some(*shape),
                    _ => None,
                };
                if count > 0 && shape.is_some_and(|shape| !shape.takes(head & 0xf)) {
                    return Err(Flaw::Malformed);
                }
                (0..count).try_for_each(|_| self.skip(head & 0xf, shape, depth))
            }
            MAP => {
                let count = self.unsigned()?;
                if count == 0 {
                    return Ok(());
                }
                self.claim(count)?;
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.skip(kinds >> 4, None, depth)?;
                    self.skip(kinds & 0xf, None, depth)
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
    const FIELDS: &[(i16, Shape)] = &[
        (3, Shape::Is(I32)),
        (4, Shape::Is(BINARY)),
        (5, Shape::Fields(&[(1, Shape::Is(DOUBLE))])),
        (6, Shape::ListOf(&Shape::Is(BYTE))),
    ];

    #[test]
    fn a_struct_is_passed_over_and_its_field_is_found() {
        let with_more = [STRUCT_OF_ALL, b"more"].concat();
        for bytes in [STRUCT_OF_ALL, &with_more] {
            let walked = walk(bytes, FIELDS, &[3]).unwrap_or_else(|flaw| panic!("{flaw:?}"));
            let found = (walked.length, walked.value);
            assert_eq!(found, (STRUCT_OF_ALL.len(), Some(300)));
        }
        assert_eq!(
            walk(STRUCT_OF_ALL, FIELDS, &[2]).map(|walked| walked.value),
            Ok(None)
        );
        assert!(walk(STRUCT_OF_ALL, &[], &[3]).is_ok());
    }

    #[test]
    fn a_number_in_a_struct_within_is_found() {
        const WITHIN: &[(i16, Shape)] = &[(2, Shape::Fields(&[(1, Shape::Is(I32))]))];
        // In field 2 a struct with 7 in field 1; 9 in field 3.
        let bytes = [0x2c, 0x15, 14, 0, 0x15, 18, 0];
        for (path, expected) in [
            (&[2, 1][..], Some(7)),
            (&[3], Some(9)),
            (&[2], None),
            (&[3, 1], None),
        ] {
            assert_eq!(
                walk(&bytes, WITHIN, path).map(|walked| walked.value),
                Ok(expected)
            );
        }
    }

    #[test]
    fn of_a_number_the_lower_bits_count() {
        // 2^32 + 5 in field 3.
        let bytes = [0x35, 0x8a, 0x80, 0x80, 0x80, 0x20, 0];
        assert_eq!(
            walk(&bytes, &[], &[3]).map(|walked| walked.value),
            Ok(Some(5))
        );
    }

    #[test]
    fn a_struct_that_is_cut_short_is_short() {
        for end in 0..STRUCT_OF_ALL.len() {
            assert_eq!(
                walk(&STRUCT_OF_ALL[..end], FIELDS, &[3]),
                Err(Flaw::Short),
                "{end}"
            );
        }
    }

    #[test]
    fn lists_that_take_no_bytes_are_counted() {
        // 2^28 booleans, and more than there are bytes.
        let many = [0x19, 0xf1, 0xff, 0xff, 0xff, 0x7f, 0];
        assert_eq!(walk(&many, &[], &[3]), Err(Flaw::Claim));
        assert_eq!(
            walk(&[0x19, 0x31, 0x19, 0x31, 0x00], &[], &[3]),
            Err(Flaw::Claim)
        );
        assert_eq!(
            walk(&[0x19, 0x31, 0x00], &[], &[3]).map(|walked| walked.length),
            Ok(3)
        );
    }

    #[test]
    fn fields_of_other_types_are_malformed() {
        const OTHERS: [&[(i16, Shape)]; 4] = [
            &[(3, Shape::Is(BINARY))],
            &[(4, Shape::Is(I32))],
            &[(5, Shape::Fields(&[(1, Shape::Is(BYTE))]))],
            &[(6, Shape::ListOf(&Shape::Is(I32)))],
        ];
        for fields in OTHERS {
            assert_eq!(
                walk(STRUCT_OF_ALL, fields, &[3]),
                Err(Flaw::Malformed),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn structs_without_end_in_each_other_are_malformed() {
        assert_eq!(walk(&[0x1c; 100], &[], &[3]), Err(Flaw::Malformed));
        assert_eq!(walk(&[0x1f, 0], &[], &[3]), Err(Flaw::Malformed));
    }
}
