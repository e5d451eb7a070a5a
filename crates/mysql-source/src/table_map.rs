//! The table map event: which table the following row events mean, and how its columns lie in them.

use crate::cursor::Cursor;
use crate::decode_error::{DecodeError, DecodeErrorKind, DecodeResult};

/// The server's column types, as in a table map.
pub mod column_type {
    #![allow(missing_docs, reason = "the names are the server's own")]
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    pub const TYPED_ARRAY: u8 = 20;
    pub const MARIADB_BLOB_COMPRESSED: u8 = 140;
    pub const MARIADB_VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// How one column lies in row images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnLayout {
    /// One of [`column_type`]; ENUM and SET are told apart from STRING.
    pub column_type: u8,
    /// The type's parameter: bytes of a length field, digits of a fraction, greatest length in bytes, bits, or
    /// precision and scale (`precision << 8 | scale`).
    pub parameter: u16,
    /// May be NULL.
    pub nullable: bool,
}

/// A table map event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMapEvent<'a> {
    /// The number by which row events call the table. It means nothing beyond its log file.
    pub table_id: u64,
    /// The database.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
    types: &'a [u8],
    layout: &'a [u8],
    nullable: &'a [u8],
    optional: &'a [u8],
}

impl<'a> TableMapEvent<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> DecodeResult<Self> {
        let mut c = Cursor::new(body);
        let table_id = c.u48()?;
        c.u16()?;
        let (database, table) = (c.short_string_z()?, c.short_string_z()?);
        let columns = c.length()?;
        let types = c.take(columns)?;
        let layout_len = c.length()?;
        let layout = c.take(layout_len)?;
        let nullable = c.take(columns.div_ceil(8))?;
        Ok(Self { table_id, database, table, types, layout, nullable, optional: c.take_rest() })
    }

    /// How many columns the table has.
    pub fn column_count(&self) -> usize {
        self.types.len()
    }

    /// The bytes that describe columns: two events with equal bytes (and the same table) have the same layout.
    pub fn fingerprint(&self) -> [&'a [u8]; 4] {
        [self.types, self.layout, self.nullable, self.optional]
    }

    /// How each column lies in row images. Fails on a type that the server does not document.
    pub fn columns(&self) -> DecodeResult<Vec<ColumnLayout>> {
        let mut c = Cursor::new(self.layout);
        let mut columns = Vec::with_capacity(self.types.len());
        for (i, &raw) in self.types.iter().enumerate() {
            let nullable = bit(self.nullable, i);
            let (column_type, parameter) = parameter(raw, &mut c)?;
            columns.push(ColumnLayout { column_type, parameter, nullable });
        }
        Ok(columns)
    }

    /// What `binlog_row_metadata` adds (everything with FULL, signedness and geometry types with MINIMAL).
    pub fn metadata(&self) -> DecodeResult<TableMetadata<'a>> {
        TableMetadata::parse(self.optional)
    }
}

fn parameter(raw: u8, c: &mut Cursor<'_>) -> DecodeResult<(u8, u16)> {
    use column_type as t;
    Ok(match raw {
        t::FLOAT
        | t::DOUBLE
        | t::TIMESTAMP2
        | t::DATETIME2
        | t::TIME2
        | t::TINY_BLOB
        | t::MEDIUM_BLOB
        | t::LONG_BLOB
        | t::BLOB
        | t::GEOMETRY
        | t::JSON
        | t::VECTOR
        | t::MARIADB_BLOB_COMPRESSED => (raw, u16::from(c.u8()?)),
        t::VARCHAR | t::VAR_STRING | t::MARIADB_VARCHAR_COMPRESSED => (raw, c.u16()?),
        t::BIT => {
            let (bits, bytes) = (u16::from(c.u8()?), u16::from(c.u8()?));
            (raw, bytes.saturating_mul(8).saturating_add(bits))
        }
        t::NEWDECIMAL => (raw, u16::from_be_bytes(c.array()?)),
        // The high byte is the real type; of CHAR and BINARY it also holds bits 8 and 9 of the length, inverted.
        t::STRING | t::ENUM | t::SET => {
            let (high, low) = (c.u8()?, c.u8()?);
            if high & 0x30 == 0x30 {
                (high, u16::from(low))
            } else {
                (high | 0x30, u16::from(low) | (u16::from((high & 0x30) ^ 0x30) << 4))
            }
        }
        t::TINY
        | t::SHORT
        | t::LONG
        | t::LONGLONG
        | t::INT24
        | t::NULL
        | t::TIMESTAMP
        | t::DATE
        | t::TIME
        | t::DATETIME
        | t::YEAR
        | t::NEWDATE => (raw, 0),
        other => {
            let message = format!("column type {other} of a table map is not known");
            return Err(DecodeError::new(DecodeErrorKind::UnsupportedType, message));
        }
    })
}

/// Bit `i` of a bitmap, least significant first; false beyond its end.
#[inline]
pub(crate) fn bit(bitmap: &[u8], i: usize) -> bool {
    bitmap.get(i / 8).is_some_and(|b| b >> (i % 8) & 1 != 0)
}

/// What the server tells of columns beyond their layout; each part may be absent. Read with
/// [`TableMapEvent::metadata`] once per table version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableMetadata<'a> {
    signedness: Option<&'a [u8]>,
    /// The columns' names.
    pub names: Option<Vec<&'a str>>,
    /// The collation ids of the character columns, in their order: text, BLOB, BINARY.
    pub collations: Option<Collations>,
    /// The collation ids of the ENUM and SET columns, in their order.
    pub enum_collations: Option<Collations>,
    /// The values of each ENUM column, in the column's character set.
    pub enum_values: Option<Vec<Vec<&'a [u8]>>>,
    /// The values of each SET column.
    pub set_values: Option<Vec<Vec<&'a [u8]>>>,
    /// The primary key's columns, by index.
    pub primary_key: Option<Vec<usize>>,
    /// The types of the GEOMETRY columns.
    pub geometry_types: Option<Vec<u64>>,
}

/// Collation ids: a common one, and exceptions; or one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collations {
    /// The common one, and index among these columns and id of the others.
    Default(u64, Vec<(usize, u64)>),
    /// One for each.
    Each(Vec<u64>),
}

impl Collations {
    /// The collation id of the n-th of these columns.
    pub fn get(&self, n: usize) -> Option<u64> {
        match self {
            Self::Default(common, others) => {
                Some(others.iter().find(|&&(i, _)| i == n).map_or(*common, |&(_, collation)| collation))
            }
            Self::Each(each) => each.get(n).copied(),
        }
    }
}

impl<'a> TableMetadata<'a> {
    fn parse(bytes: &'a [u8]) -> DecodeResult<Self> {
        let mut out = Self::default();
        let mut c = Cursor::new(bytes);
        while !c.is_empty() {
            let kind = c.u8()?;
            let length = c.length()?;
            let mut field = Cursor::new(c.take(length)?);
            match kind {
                1 => out.signedness = Some(field.take_rest()),
                2 => out.collations = Some(default_collations(&mut field)?),
                3 => out.collations = Some(Collations::Each(numbers(&mut field)?)),
                4 => out.names = Some(texts(&mut field)?),
                5 => out.set_values = Some(value_lists(&mut field)?),
                6 => out.enum_values = Some(value_lists(&mut field)?),
                7 => out.geometry_types = Some(numbers(&mut field)?),
                8 => out.primary_key = Some(indices(&numbers(&mut field)?)),
                9 => out.primary_key = Some(indices(&numbers(&mut field)?.into_iter().step_by(2).collect::<Vec<_>>())),
                10 => out.enum_collations = Some(default_collations(&mut field)?),
                11 => out.enum_collations = Some(Collations::Each(numbers(&mut field)?)),
                // Visibility, vector dimensions, what newer servers add: nothing that rows need.
                _ => {}
            }
        }
        Ok(out)
    }

    /// Whether the n-th numeric column is unsigned, if the server says so.
    pub fn unsigned(&self, n: usize) -> Option<bool> {
        let bits = self.signedness?;
        bits.get(n / 8).map(|b| b << (n % 8) & 0x80 != 0)
    }
}

fn numbers(c: &mut Cursor<'_>) -> DecodeResult<Vec<u64>> {
    let mut out = Vec::new();
    while !c.is_empty() {
        out.push(c.length_encoded()?);
    }
    Ok(out)
}

fn indices(numbers: &[u64]) -> Vec<usize> {
    numbers.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect()
}

fn default_collations(c: &mut Cursor<'_>) -> DecodeResult<Collations> {
    let common = c.length_encoded()?;
    let mut others = Vec::new();
    while !c.is_empty() {
        others.push((c.length()?, c.length_encoded()?));
    }
    Ok(Collations::Default(common, others))
}

fn texts<'a>(c: &mut Cursor<'a>) -> DecodeResult<Vec<&'a str>> {
    let mut out = Vec::new();
    while !c.is_empty() {
        let n = c.length()?;
        let text = c.take(n)?;
        out.push(std::str::from_utf8(text).map_err(|_| DecodeError::invalid("a column's name is not UTF-8"))?);
    }
    Ok(out)
}

fn value_lists<'a>(c: &mut Cursor<'a>) -> DecodeResult<Vec<Vec<&'a [u8]>>> {
    let mut out = Vec::new();
    while !c.is_empty() {
        let count = c.length()?;
        let mut values = Vec::new();
        for _ in 0..count {
            let n = c.length()?;
            values.push(c.take(n)?);
        }
        out.push(values);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn map(types: &[u8], layout: &[u8], optional: &[u8]) -> Vec<u8> {
        let mut b = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, b'd', b'b', 0, 1, b't', 0, types.len() as u8];
        b.extend(types);
        b.push(layout.len() as u8);
        b.extend(layout);
        b.extend(vec![0b10; types.len().div_ceil(8)]);
        b.extend(optional);
        b
    }

    #[test]
    fn lengths_of_char_columns_above_255_bytes_hide_in_the_type_byte() {
        use column_type as t;
        let b = map(&[t::STRING, t::STRING, t::STRING, t::NEWDECIMAL, t::BIT], &[254, 40, 206, 252, 247, 1, 12, 2, 4, 1], &[]);
        let event = TableMapEvent::parse(&b).unwrap();
        assert_eq!((event.table_id, event.database, event.table), (9, "db", "t"));
        let columns: Vec<_> = event.columns().unwrap().iter().map(|c| (c.column_type, c.parameter, c.nullable)).collect();
        let expected =
            [(t::STRING, 40, false), (t::STRING, 1020, true), (t::ENUM, 1, false), (t::NEWDECIMAL, 12 << 8 | 2, false)];
        assert_eq!(columns, [&expected[..], &[(t::BIT, 12, false)]].concat());
    }

    #[test]
    fn metadata_of_every_kind_is_read() {
        let optional = [
            &[1, 1, 0b1010_0000][..],
            &[2, 3, 45, 1, 8],
            &[4, 5, 1, b'a', 2, b'b', b'c'],
            &[6, 6, 2, 1, b'x', 1, b'y', 0],
            &[8, 2, 0, 1],
            &[99, 1, 7],
        ]
        .concat();
        let b = map(&[1, 1, 1], &[], &optional);
        let m = TableMapEvent::parse(&b).unwrap().metadata().unwrap();
        assert_eq!([m.unsigned(0), m.unsigned(1), m.unsigned(2), m.unsigned(8)], [Some(true), Some(false), Some(true), None]);
        assert_eq!(m.names, Some(vec!["a", "bc"]));
        let collations = m.collations.unwrap();
        assert_eq!([collations.get(0), collations.get(1)], [Some(45), Some(8)]);
        assert_eq!(m.enum_values, Some(vec![vec![&b"x"[..], b"y"], vec![]]));
        assert_eq!(m.primary_key, Some(vec![0, 1]));
    }
}
