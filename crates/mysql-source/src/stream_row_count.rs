//! How many rows a row event of any table has, without reading their values: positions count the changes of tables that
//! are not captured, too.

use crate::cursor::Cursor;
use crate::decode_error::{DecodeError, DecodeErrorKind, DecodeResult};
use crate::rows_event::RowsEvent;
use crate::table_map::{ColumnLayout, bit, column_type as t};

/// The rows (not images) of an event. Fails on types whose length is not known, and on bytes that end too early.
pub(crate) fn count_rows(layouts: &[ColumnLayout], event: &RowsEvent<'_>) -> DecodeResult<u64> {
    let mut cursor = Cursor::new(event.rows);
    let mut rows = 0u64;
    while !cursor.is_empty() {
        skip_image(layouts, event.first_image, &mut cursor)?;
        if event.kind.images_per_row() == 2 {
            skip_image(layouts, event.second_image, &mut cursor)?;
        }
        rows = rows.saturating_add(1);
    }
    Ok(rows)
}

fn skip_image(layouts: &[ColumnLayout], present: &[u8], cursor: &mut Cursor<'_>) -> DecodeResult<()> {
    let columns = (0..layouts.len()).filter(|&i| bit(present, i)).count();
    if columns == 0 && cursor.is_empty() {
        return Err(DecodeError::truncated("a row image", cursor.offset()));
    }
    let nulls = cursor.take(columns.div_ceil(8))?;
    let mut nth = 0;
    for (i, layout) in layouts.iter().enumerate() {
        if !bit(present, i) {
            continue;
        }
        if !bit(nulls, nth) {
            skip_value(*layout, cursor)?;
        }
        nth += 1;
    }
    // An image of no bytes would be counted for ever.
    if nulls.is_empty() { Err(DecodeError::truncated("a row image", cursor.offset())) } else { Ok(()) }
}

fn skip_value(layout: ColumnLayout, cursor: &mut Cursor<'_>) -> DecodeResult<()> {
    let parameter = usize::from(layout.parameter);
    let fraction = parameter.div_ceil(2);
    let fixed = match layout.column_type {
        t::NULL => 0,
        t::TINY | t::YEAR => 1,
        t::SHORT => 2,
        t::INT24 | t::DATE | t::NEWDATE | t::TIME => 3,
        t::LONG | t::FLOAT | t::TIMESTAMP => 4,
        t::LONGLONG | t::DOUBLE | t::DATETIME => 8,
        t::TIME2 => 3 + fraction,
        t::TIMESTAMP2 => 4 + fraction,
        t::DATETIME2 => 5 + fraction,
        t::BIT => parameter.div_ceil(8),
        t::ENUM | t::SET => parameter,
        t::NEWDECIMAL => {
            let (precision, scale) = (parameter >> 8, parameter & 0xff);
            decimal_bytes(precision.saturating_sub(scale)) + decimal_bytes(scale)
        }
        t::VARCHAR | t::VAR_STRING | t::STRING | t::MARIADB_VARCHAR_COMPRESSED => {
            return skip_long(cursor, if parameter > 255 { 2 } else { 1 });
        }
        t::TINY_BLOB
        | t::BLOB
        | t::MEDIUM_BLOB
        | t::LONG_BLOB
        | t::GEOMETRY
        | t::JSON
        | t::VECTOR
        | t::MARIADB_BLOB_COMPRESSED => return skip_long(cursor, parameter),
        other => {
            let message = format!("the length of values of column type {other} is not known");
            return Err(DecodeError::new(DecodeErrorKind::UnsupportedType, message));
        }
    };
    cursor.take(fixed).map(|_| ())
}

/// Bytes of a packed half of a DECIMAL: nine digits in four bytes.
fn decimal_bytes(digits: usize) -> usize {
    const LEFTOVER: [usize; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
    digits / 9 * 4 + LEFTOVER.get(digits % 9).copied().unwrap_or(4)
}

fn skip_long(cursor: &mut Cursor<'_>, length_bytes: usize) -> DecodeResult<()> {
    let length = cursor.take(length_bytes)?.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b));
    cursor.take(length).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::rows_event::RowsKind;

    fn layout(column_type: u8, parameter: u16) -> ColumnLayout {
        ColumnLayout { column_type, parameter, nullable: true }
    }

    fn event<'a>(kind: RowsKind, present: &'a [u8], rows: &'a [u8]) -> RowsEvent<'a> {
        RowsEvent { kind, table_id: 1, statement_end: true, column_count: 3, first_image: present, second_image: present, rows }
    }

    #[test]
    fn rows_are_counted_over_values_of_any_length_and_nulls() {
        let layouts = [layout(t::LONG, 0), layout(t::VARCHAR, 300), layout(t::NEWDECIMAL, 10 << 8 | 2)];
        let one = [&[0u8][..], &[1, 0, 0, 0], &[2, 0, b'h', b'i'], &[0; 5]].concat();
        let two = [&[0b010u8][..], &[2, 0, 0, 0], &[0; 5]].concat();
        let rows = [one.clone(), two.clone(), one.clone(), two].concat();
        assert_eq!(count_rows(&layouts, &event(RowsKind::Insert, &[0b111], &rows)).unwrap(), 4);
        assert_eq!(count_rows(&layouts, &event(RowsKind::Update, &[0b111], &rows)).unwrap(), 2);
        assert!(count_rows(&layouts, &event(RowsKind::Insert, &[0b111], &one[..8])).is_err());
    }

    #[test]
    fn columns_that_are_not_logged_take_no_bytes() {
        let layouts = [layout(t::LONG, 0), layout(t::BLOB, 2), layout(t::TINY, 0)];
        let rows = [0u8, 1, 0, 0, 0, 9, 0, 2, 0, 0, 0, 9];
        assert_eq!(count_rows(&layouts, &event(RowsKind::Delete, &[0b101], &rows)).unwrap(), 2);
    }

    #[test]
    fn an_event_of_no_columns_ends() {
        assert!(count_rows(&[], &event(RowsKind::Insert, &[], &[1, 2])).is_err());
    }
}
