//! The row events: which rows of which table were inserted, updated or deleted.

use crate::cursor::Cursor;
use crate::decode_error::{DecodeError, DecodeResult};

/// What a row event did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowsKind {
    /// One image a row: the new one.
    Insert,
    /// Two images a row: the old one, then the new one.
    Update,
    /// One image a row: the old one.
    Delete,
}

impl RowsKind {
    /// Images of one row.
    pub fn images_per_row(self) -> usize {
        if self == Self::Update { 2 } else { 1 }
    }
}

/// A row event; its rows are not looked at yet (see [`RowPlan::decode`](crate::RowPlan::decode)).
#[derive(Debug, Clone, Copy)]
pub struct RowsEvent<'a> {
    /// What it did.
    pub kind: RowsKind,
    /// The table, as the last table map event with this number says.
    pub table_id: u64,
    /// The last row event of its statement: table numbers end here.
    pub statement_end: bool,
    /// How many columns the table has.
    pub column_count: usize,
    /// Which columns the (first) image has, one bit each.
    pub first_image: &'a [u8],
    /// Which columns the second image of an update has.
    pub second_image: &'a [u8],
    /// The rows.
    pub rows: &'a [u8],
}

impl<'a> RowsEvent<'a> {
    pub(crate) fn parse(kind: RowsKind, v2: bool, body: &'a [u8]) -> DecodeResult<Self> {
        const STATEMENT_END: u16 = 1;
        let mut c = Cursor::new(body);
        let table_id = c.u48()?;
        let flags = c.u16()?;
        if v2 {
            let offset = c.offset();
            let extra = usize::from(c.u16()?);
            let Some(extra) = extra.checked_sub(2) else {
                return Err(DecodeError::invalid("the extra information of a row event is shorter than its length").at(offset));
            };
            c.take(extra)?;
        }
        let column_count = c.length()?;
        let bitmap = column_count.div_ceil(8);
        let first_image = c.take(bitmap)?;
        let second_image = if kind == RowsKind::Update { c.take(bitmap)? } else { &[] };
        Ok(Self {
            kind,
            table_id,
            statement_end: flags & STATEMENT_END != 0,
            column_count,
            first_image,
            second_image,
            rows: c.take_rest(),
        })
    }
}

/// True if all of the first `n` bits are set.
pub(crate) fn all_set(bitmap: &[u8], n: usize) -> bool {
    let (whole, rest) = (n / 8, n % 8);
    let mask = (1u16 << rest).wrapping_sub(1) as u8;
    bitmap.get(..whole).is_some_and(|b| b.iter().all(|&b| b == 0xff))
        && (rest == 0 || bitmap.get(whole).is_some_and(|b| b & mask == mask))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn extra_information_of_version_2_is_stepped_over() {
        let body = [7, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0xaa, 0xbb, 3, 0b111, 9, 9];
        let e = RowsEvent::parse(RowsKind::Insert, true, &body).unwrap();
        assert_eq!((e.table_id, e.statement_end, e.column_count, e.rows), (7, true, 3, &[9u8, 9][..]));
        let body = [7, 0, 0, 0, 0, 0, 0, 0, 3, 0b111, 0b101, 9];
        let e = RowsEvent::parse(RowsKind::Update, false, &body).unwrap();
        assert_eq!((e.statement_end, e.first_image, e.second_image, e.rows), (false, &[7u8][..], &[5u8][..], &[9u8][..]));
    }

    #[test]
    fn bits_beyond_the_columns_do_not_count() {
        assert!(all_set(&[0xff, 0b0000_0111], 11));
        assert!(!all_set(&[0xff, 0b0000_0101], 11));
        assert!(!all_set(&[0xff], 11));
        assert!(all_set(&[], 0));
        assert!(all_set(&[0xff], 8));
    }
}
