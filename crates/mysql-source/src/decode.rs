//! Decoding row images: a plan compiled once from a table map event and a schema, then applied to every row event.

#[cfg(test)]
pub(crate) mod recorded_tests;

use crate::charset::{self, Charset};
use crate::cursor::Cursor;
use crate::decimal::DecimalLayout;
use crate::decode_buffers::{ColumnBuffer, RowBuffers, Values};
use crate::decode_error::{DecodeError, DecodeErrorKind, DecodeResult};
use crate::rows_event::{RowsEvent, all_set};
use crate::table_map::{ColumnLayout, TableMapEvent, TableMetadata, bit, column_type as t};
use crate::{geometry, inet, json, temporal};
use cdc_core::{Column, LogicalType, TableSchema};
use std::fmt::Write as _;
use std::sync::Arc;

/// How to decode the row events of one table version.
///
/// It is only made if the server's table map agrees with the known schema: column count, types, and with
/// `binlog_row_metadata=FULL` also names, character sets and ENUM and SET values. Keep it as long as
/// [`TableMapEvent::fingerprint`] and the schema stay the same.
#[derive(Debug)]
pub struct RowPlan {
    schema: Arc<TableSchema>,
    columns: Vec<ColumnPlan>,
}

/// How one column lies in a row image, and what becomes of it.
#[derive(Debug)]
enum ColumnPlan {
    Int8,
    UInt8,
    Int16,
    UInt16,
    Int24,
    UInt24,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Float,
    Double,
    Decimal(DecimalLayout),
    DecimalText(DecimalLayout),
    Boolean,
    Bits { bytes: usize },
    Utf8 { length_bytes: u8 },
    Text { length_bytes: u8, charset: Charset },
    Bytes { length_bytes: u8 },
    PaddedBytes { length_bytes: u8, length: usize },
    Date,
    Time { digits: u16 },
    DecimalTime,
    DateTime { digits: u16 },
    DecimalDateTime,
    Timestamp { digits: u16 },
    PlainTimestamp,
    Year,
    Enum { bytes: usize, values: Vec<String> },
    Set { bytes: usize, values: Vec<String> },
    Json { length_bytes: u8 },
    Geometry { length_bytes: u8 },
    Vector { length_bytes: u8 },
    Uuid { length_bytes: u8 },
    Inet { length_bytes: u8, v6: bool },
}

impl RowPlan {
    /// A plan for rows of the table that `map` describes, of which `schema` is the known version.
    ///
    /// Fails with [`DecodeErrorKind::LayoutMismatch`] if the two do not agree (a change of the table was not seen), and with
    /// [`DecodeErrorKind::UnsupportedType`].
    pub fn new(map: &TableMapEvent<'_>, schema: Arc<TableSchema>) -> DecodeResult<Self> {
        let layouts = map.columns()?;
        if layouts.len() != schema.columns.len() {
            let message = format!(
                "{}.{} has {} columns in the binary log, {} in the known schema (version {}): the table was changed in a way \
                 that was not seen",
                map.database,
                map.table,
                layouts.len(),
                schema.columns.len(),
                schema.version
            );
            return Err(DecodeError::new(DecodeErrorKind::LayoutMismatch, message));
        }
        let metadata = map.metadata()?;
        let mut numbers = Numbers {
            years_too: years_are_numeric(&layouts, &schema, &metadata),
            shapes_too: shapes_have_collations(&layouts, &schema, &metadata),
            ..Numbers::default()
        };
        let columns = layouts
            .iter()
            .zip(&schema.columns)
            .enumerate()
            .map(|(i, (layout, column))| {
                check_metadata(i, *layout, column, &metadata, &mut numbers)
                    .and_then(|()| column_plan(*layout, column))
                    .map_err(|e| e.within(format_args!("{}.{} column {}", map.database, map.table, column.name)))
            })
            .collect::<DecodeResult<_>>()?;
        Ok(Self { schema, columns })
    }

    /// The schema version of the rows.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Appends the images of all rows of `event` to `buffers`, an update's old image just before its new one, and returns how
    /// many rows (not images) it has.
    ///
    /// Fails with the byte offset in the event's rows on bytes that end too early or make no value, and with
    /// [`DecodeErrorKind::PartialImage`] if images lack columns. After an error nothing of the event is left in `buffers`.
    pub fn decode(&self, event: &RowsEvent<'_>, buffers: &mut RowBuffers) -> DecodeResult<usize> {
        let n = self.columns.len();
        if event.column_count != n || buffers.columns.len() != n {
            let message = format!("a row event of {} has {} columns instead of {n}", self.schema.table, event.column_count);
            return Err(DecodeError::new(DecodeErrorKind::LayoutMismatch, message));
        }
        let images = event.kind.images_per_row();
        if !all_set(event.first_image, n) || (images == 2 && !all_set(event.second_image, n)) {
            let message = format!(
                "a row of {} was logged without all of its columns: set binlog_row_image=FULL on the server and in all sessions",
                self.schema.table
            );
            return Err(DecodeError::new(DecodeErrorKind::PartialImage, message));
        }
        let mut cursor = Cursor::new(event.rows);
        let mut scratch = String::new();
        let mut decoded = 0usize;
        while !cursor.is_empty() {
            if let Err(e) = self.image(&mut cursor, buffers, &mut scratch) {
                buffers.roll_back();
                return Err(e.within(&self.schema.table));
            }
            decoded = decoded.saturating_add(1);
        }
        if !decoded.is_multiple_of(images) {
            buffers.roll_back();
            return Err(DecodeError::truncated("an update's row", event.rows.len()).within(&self.schema.table));
        }
        buffers.appended(decoded);
        Ok(decoded / images)
    }

    #[inline]
    fn image(&self, cursor: &mut Cursor<'_>, buffers: &mut RowBuffers, scratch: &mut String) -> DecodeResult<()> {
        let nulls = cursor.take(self.columns.len().div_ceil(8))?;
        for (i, (plan, buffer)) in self.columns.iter().zip(&mut buffers.columns).enumerate() {
            let start = *cursor;
            let result = if bit(nulls, i) { buffer.push_null() } else { plan.value(cursor, buffer, scratch) };
            if let Err(e) = result {
                return Err(self.at_column(e, i, start.offset()));
            }
        }
        Ok(())
    }

    #[cold]
    fn at_column(&self, error: DecodeError, i: usize, offset: usize) -> DecodeError {
        error.at(offset).within(self.schema.columns.get(i).map_or("?", |c| c.name.as_str()))
    }
}

impl ColumnPlan {
    /// Reads one value and appends it.
    #[inline]
    fn value(&self, c: &mut Cursor<'_>, column: &mut ColumnBuffer, scratch: &mut String) -> DecodeResult<()> {
        match (self, &mut column.values) {
            (Self::Int8, Values::Int32(v)) => v.push(i32::from(c.u8()? as i8)),
            (Self::UInt8, Values::Int32(v)) => v.push(i32::from(c.u8()?)),
            (Self::Int16, Values::Int32(v)) => v.push(i32::from(c.u16()? as i16)),
            (Self::UInt16, Values::Int32(v)) => v.push(i32::from(c.u16()?)),
            (Self::Int24, Values::Int32(v)) => v.push(((c.u24()? << 8) as i32) >> 8),
            (Self::UInt24, Values::Int32(v)) => v.push(c.u24()? as i32),
            (Self::Int32, Values::Int32(v)) => v.push(c.u32()? as i32),
            (Self::UInt32, Values::Int64(v)) => v.push(i64::from(c.u32()?)),
            (Self::Int64, Values::Int64(v)) => v.push(c.u64()? as i64),
            (Self::UInt64, Values::Decimal(v)) => v.push(i128::from(c.u64()?)),
            (Self::Float, Values::Float(v)) => v.push(f32::from_le_bytes(c.array()?)),
            (Self::Double, Values::Double(v)) => v.push(f64::from_le_bytes(c.array()?)),
            (Self::Decimal(layout), Values::Decimal(v)) => {
                let raw = c.take(layout.bytes())?;
                v.push(layout.unscaled(raw).ok_or_else(|| DecodeError::invalid("its bytes are not a decimal"))?);
            }
            (Self::DecimalText(layout), Values::Text(v)) => {
                let raw = c.take(layout.bytes())?;
                v.push_with(|out| layout.text(raw, out).ok_or_else(|| DecodeError::invalid("its bytes are not a decimal")))?;
            }
            (Self::Boolean, Values::Boolean(v)) => v.push(c.u8()? & 1 != 0),
            (Self::Bits { bytes }, Values::Binary(v)) => {
                let raw = c.take(*bytes)?;
                v.push_with(|out| {
                    out.extend(raw.iter().rev());
                    Ok(())
                })?;
            }
            (Self::Utf8 { length_bytes }, Values::Text(v)) => {
                let raw = prefixed(c, *length_bytes)?;
                if let Err(e) = std::str::from_utf8(raw) {
                    return Err(not_utf8(e));
                }
                v.push(raw)?;
            }
            (Self::Text { length_bytes, charset }, Values::Text(v)) => {
                let raw = prefixed(c, *length_bytes)?;
                scratch.clear();
                charset.decode_into(raw, scratch)?;
                v.push(scratch.as_bytes())?;
            }
            (Self::Bytes { length_bytes }, Values::Binary(v)) => v.push(prefixed(c, *length_bytes)?)?,
            (Self::PaddedBytes { length_bytes, length }, Values::Binary(v)) => {
                let raw = prefixed(c, *length_bytes)?;
                v.push_with(|out| {
                    out.extend_from_slice(raw);
                    out.resize(out.len().saturating_add(length.saturating_sub(raw.len())), 0);
                    Ok(())
                })?;
            }
            (Self::Date, Values::Date(v)) => match temporal::packed_date(c.u24()?) {
                Some(days) => v.push(days),
                None => return column.push_mapped_date(),
            },
            (Self::Time { digits }, Values::Int64(v)) => {
                let raw = c.big_endian(3 + temporal::fraction_bytes(*digits))?;
                v.push(temporal::packed_time(*digits, raw).ok_or_else(|| DecodeError::invalid("its bytes are not a time"))?);
            }
            (Self::DecimalTime, Values::Int64(v)) => v.push(temporal::decimal_time(c.u24()?)),
            (Self::DateTime { digits }, Values::Int64(v)) => {
                let raw = c.big_endian(5)?;
                let fraction = c.big_endian(temporal::fraction_bytes(*digits))?;
                match temporal::packed_datetime(raw, temporal::fraction_micros(*digits, fraction)) {
                    Some(us) => v.push(us),
                    None => return column.push_mapped_date(),
                }
            }
            (Self::DecimalDateTime, Values::Int64(v)) => match temporal::decimal_datetime(c.u64()?) {
                Some(us) => v.push(us),
                None => return column.push_mapped_date(),
            },
            (Self::Timestamp { digits }, Values::Int64(v)) => {
                let seconds = c.big_endian(4)?;
                let fraction = c.big_endian(temporal::fraction_bytes(*digits))?;
                let micros = i64::from(temporal::fraction_micros(*digits, fraction));
                if micros > 999_999 {
                    return Err(DecodeError::invalid("its fraction is not below a second"));
                }
                if seconds == 0 && micros == 0 {
                    return column.push_mapped_date();
                }
                v.push((seconds as i64) * 1_000_000 + micros);
            }
            // Before 5.6: seconds, low byte first.
            (Self::PlainTimestamp, Values::Int64(v)) => match c.u32()? {
                0 => return column.push_mapped_date(),
                seconds => v.push(i64::from(seconds) * 1_000_000),
            },
            (Self::Year, Values::Int32(v)) => v.push(match c.u8()? {
                0 => 0,
                year => 1900 + i32::from(year),
            }),
            (Self::Enum { bytes, values }, Values::Text(v)) => match c.little_endian(*bytes)? {
                0 => v.push(&[])?,
                index => match usize::try_from(index).ok().and_then(|i| values.get(i.checked_sub(1)?)) {
                    Some(value) => v.push(value.as_bytes())?,
                    None => return Err(unknown_member("ENUM", index, values.len())),
                },
            },
            (Self::Set { bytes, values }, Values::Text(v)) => {
                let members = c.little_endian(*bytes)?;
                v.push_with(|out| {
                    for i in (0..64).filter(|i| members >> i & 1 != 0) {
                        let Some(value) = values.get(i) else { return Err(unknown_member("SET", members, values.len())) };
                        if members & ((1 << i) - 1) != 0 {
                            out.push(b',');
                        }
                        out.extend_from_slice(value.as_bytes());
                    }
                    Ok(())
                })?;
            }
            (Self::Json { length_bytes }, Values::Text(v)) => {
                let raw = prefixed(c, *length_bytes)?;
                v.push_with(|out| json::print(raw, out))?;
            }
            (Self::Geometry { length_bytes }, Values::Geometry { wkb, srid }) => {
                let (system, shape) = geometry::split(prefixed(c, *length_bytes)?)?;
                wkb.push(shape)?;
                srid.push(system);
            }
            (Self::Vector { length_bytes }, Values::Vector { ends, floats }) => {
                push_vector(prefixed(c, *length_bytes)?, ends, floats)?;
            }
            (Self::Uuid { length_bytes }, Values::Uuid(v)) => v.push(stored_uuid(&fixed(prefixed(c, *length_bytes)?)?)),
            (Self::Inet { length_bytes, v6 }, Values::Text(v)) => {
                let raw = prefixed(c, *length_bytes)?;
                scratch.clear();
                let written = if *v6 {
                    inet::print_v6(fixed(raw)?, scratch)
                } else {
                    write!(scratch, "{}", std::net::Ipv4Addr::from(fixed::<4>(raw)?))
                };
                written.map_err(|_| DecodeError::invalid("its address cannot be written"))?;
                v.push(scratch.as_bytes())?;
            }
            _ => return Err(DecodeError::invalid("the plan and the buffers are of different schema versions")),
        }
        column.valid();
        Ok(())
    }
}

/// The bytes after a little-endian length of 1 to 4 bytes.
#[inline]
fn prefixed<'a>(c: &mut Cursor<'a>, length_bytes: u8) -> DecodeResult<&'a [u8]> {
    let length = match length_bytes {
        1 => usize::from(c.u8()?),
        2 => usize::from(c.u16()?),
        3 => c.u24()? as usize,
        _ => c.u32()? as usize,
    };
    c.take(length)
}

/// Appends a vector of little-endian floats.
pub(crate) fn push_vector(raw: &[u8], ends: &mut Vec<i32>, floats: &mut Vec<f32>) -> DecodeResult<()> {
    let (values, rest) = raw.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(DecodeError::invalid(format!("a vector has {} bytes", raw.len())));
    }
    let end = floats.len().checked_add(values.len()).and_then(|n| i32::try_from(n).ok());
    let Some(end) = end else {
        return Err(DecodeError::new(DecodeErrorKind::TooLarge, "the vectors of a batch have more than 2^31 floats"));
    };
    floats.extend(values.iter().map(|&b| f32::from_le_bytes(b)));
    ends.push(end);
    Ok(())
}

/// Bytes of a fixed length, of which the server leaves out zeros at the end.
fn fixed<const N: usize>(raw: &[u8]) -> DecodeResult<[u8; N]> {
    let mut out = [0; N];
    match out.get_mut(..raw.len()) {
        Some(start) => start.copy_from_slice(raw),
        None => return Err(DecodeError::invalid(format!("it has {} bytes instead of {N}", raw.len()))),
    }
    Ok(out)
}

/// MariaDB stores the parts of time-based UUIDs (RFC 4122 versions 1 to 5) in the opposite order, so that they sort by time.
fn stored_uuid(stored: &[u8; 16]) -> [u8; 16] {
    let s = stored;
    // Swapped: node, clock sequence, time high and version, time mid, time low.
    let swapped = [s[12], s[13], s[14], s[15], s[10], s[11], s[8], s[9], s[6], s[7], s[0], s[1], s[2], s[3], s[4], s[5]];
    let version = swapped[6] >> 4;
    let rfc_variant = swapped[8] & 0x80 != 0;
    if (1..=5).contains(&version) && rfc_variant { swapped } else { *stored }
}

#[cold]
fn not_utf8(error: std::str::Utf8Error) -> DecodeError {
    DecodeError::invalid(format!("the value is not UTF-8 text from its byte {} on", error.valid_up_to()))
}

#[cold]
fn unknown_member(of: &str, number: u64, count: usize) -> DecodeError {
    let message =
        format!("the value has number {number} of an {of} that has {count}: the table was changed in a way that was not seen");
    DecodeError::new(DecodeErrorKind::LayoutMismatch, message)
}

/// Counts columns of a kind, as the optional metadata does.
#[derive(Default)]
struct Numbers {
    /// Years are among the numeric columns.
    years_too: bool,
    /// Shapes are among the columns that have a collation.
    shapes_too: bool,
    numeric: usize,
    text: usize,
    enum_or_set: usize,
    enums: usize,
    sets: usize,
}

/// True if the server counts years among the numeric columns: MariaDB does, MySQL does not, and the event does not say whose it is. They
/// are counted if the known schema fits only then.
fn years_are_numeric(layouts: &[ColumnLayout], schema: &TableSchema, metadata: &TableMetadata<'_>) -> bool {
    let fits = |years_too: bool| {
        let mut numeric = 0usize;
        layouts.iter().zip(&schema.columns).all(|(layout, column)| {
            let year = layout.column_type == t::YEAR;
            if !(is_numeric(layout.column_type) || (years_too && year)) {
                return true;
            }
            let told = metadata.unsigned(numeric);
            numeric = numeric.saturating_add(1);
            match (&column.logical_type, told) {
                (LogicalType::Integer { unsigned, .. }, Some(told)) => told == *unsigned,
                (_, Some(told)) => told || !year,
                (_, None) => true,
            }
        })
    };
    layouts.iter().any(|l| l.column_type == t::YEAR) && !fits(false) && fits(true)
}

/// True if the server counts shapes among the columns that have a collation, as MariaDB does (`binary`) and MySQL does not: decided as for years.
fn shapes_have_collations(layouts: &[ColumnLayout], schema: &TableSchema, metadata: &TableMetadata<'_>) -> bool {
    let fits = |shapes_too: bool| {
        let mut text = 0usize;
        layouts.iter().zip(&schema.columns).all(|(layout, column)| {
            let shape = layout.column_type == t::GEOMETRY;
            if !(has_collation(layout.column_type) || (shapes_too && shape)) {
                return true;
            }
            let told = collation(&metadata.collations, text);
            text = text.saturating_add(1);
            match (told, &column.native.charset) {
                (Some(told), _) if shape => told == "binary",
                (Some(told), Some(known)) if column.logical_type == LogicalType::String => told == normal_charset(known),
                _ => true,
            }
        })
    };
    layouts.iter().any(|l| l.column_type == t::GEOMETRY) && !fits(false) && fits(true)
}

fn has_collation(column_type: u8) -> bool {
    is_blob(column_type) || is_string(column_type) || column_type == t::VECTOR
}

fn is_blob(column_type: u8) -> bool {
    matches!(column_type, t::TINY_BLOB | t::MEDIUM_BLOB | t::LONG_BLOB | t::BLOB)
}

fn is_string(column_type: u8) -> bool {
    matches!(column_type, t::STRING | t::VARCHAR | t::VAR_STRING)
}

fn is_numeric(column_type: u8) -> bool {
    matches!(column_type, t::TINY | t::SHORT | t::INT24 | t::LONG | t::LONGLONG | t::NEWDECIMAL | t::FLOAT | t::DOUBLE)
}

/// Compares what the server tells beyond the layout with the known schema.
fn check_metadata(
    i: usize,
    layout: ColumnLayout,
    column: &Column,
    metadata: &TableMetadata<'_>,
    n: &mut Numbers,
) -> DecodeResult<()> {
    let mismatch = |what: String| Err(DecodeError::new(DecodeErrorKind::LayoutMismatch, what));
    if let Some(names) = &metadata.names
        && names.get(i).is_none_or(|name| *name != column.name)
    {
        return mismatch(format!("it is called {} in the binary log", names.get(i).copied().unwrap_or("nothing")));
    }
    let next = |n: &mut usize| std::mem::replace(n, n.saturating_add(1));
    match layout.column_type {
        t::YEAR if n.years_too => n.numeric = n.numeric.saturating_add(1),
        numeric if is_numeric(numeric) => {
            let told = metadata.unsigned(next(&mut n.numeric));
            if let (Some(told), LogicalType::Integer { unsigned, .. }) = (told, &column.logical_type)
                && told != *unsigned
            {
                return mismatch(format!("it is {} in the binary log", if told { "unsigned" } else { "signed" }));
            }
        }
        t::GEOMETRY if n.shapes_too => n.text = n.text.saturating_add(1),
        text if has_collation(text) => {
            let told = collation(&metadata.collations, next(&mut n.text));
            if let (Some(told), LogicalType::String, Some(known)) = (told, &column.logical_type, &column.native.charset)
                && told != normal_charset(known)
            {
                return mismatch(format!("its character set is {told} in the binary log, {known} in the known schema"));
            }
        }
        t::ENUM | t::SET => {
            let charset = collation(&metadata.enum_collations, next(&mut n.enum_or_set)).and_then(Charset::by_name);
            let (lists, which) = match layout.column_type {
                t::ENUM => (&metadata.enum_values, next(&mut n.enums)),
                _ => (&metadata.set_values, next(&mut n.sets)),
            };
            let told = lists.as_ref().and_then(|lists| lists.get(which));
            if let (Some(told), Some(charset), LogicalType::Enum { values } | LogicalType::Set { values }) =
                (told, charset, &column.logical_type)
            {
                let same = |(told, known): (&&[u8], &String)| {
                    let mut text = String::new();
                    charset.decode_into(told, &mut text).is_ok() && text == *known
                };
                if told.len() != values.len() || !told.iter().zip(values).all(same) {
                    return mismatch("its list of values is another one in the binary log".to_owned());
                }
            }
        }
        _ => {}
    }
    Ok(())
}

pub(crate) fn collation(collations: &Option<crate::table_map::Collations>, n: usize) -> Option<&'static str> {
    collations.as_ref().and_then(|c| c.get(n)).and_then(|id| u16::try_from(id).ok()).and_then(charset::name_of_collation_id)
}

fn normal_charset(name: &str) -> &str {
    if name == "utf8" { "utf8mb3" } else { name }
}

fn column_plan(layout: ColumnLayout, column: &Column) -> DecodeResult<ColumnPlan> {
    use LogicalType as L;
    let p = layout.parameter;
    let string_length_bytes = if p > 255 { 2 } else { 1 };
    let blob_length_bytes = p.clamp(1, 4) as u8;
    let (is_blob, is_string) = (is_blob(layout.column_type), is_string(layout.column_type));
    let length_bytes = if is_blob { blob_length_bytes } else { string_length_bytes };
    if layout.nullable && !column.nullable {
        let message =
            "it may be NULL in the binary log, but not in the known schema: the table was changed in a way that was not seen";
        return Err(DecodeError::new(DecodeErrorKind::LayoutMismatch, message));
    }
    let plan = match (&column.logical_type, layout.column_type) {
        (L::Integer { bits: 8, unsigned: false }, t::TINY) => ColumnPlan::Int8,
        (L::Integer { bits: 8, unsigned: true }, t::TINY) => ColumnPlan::UInt8,
        (L::Integer { bits: 16, unsigned: false }, t::SHORT) => ColumnPlan::Int16,
        (L::Integer { bits: 16, unsigned: true }, t::SHORT) => ColumnPlan::UInt16,
        (L::Integer { bits: 24, unsigned: false }, t::INT24) => ColumnPlan::Int24,
        (L::Integer { bits: 24, unsigned: true }, t::INT24) => ColumnPlan::UInt24,
        (L::Integer { bits: 32, unsigned: false }, t::LONG) => ColumnPlan::Int32,
        (L::Integer { bits: 32, unsigned: true }, t::LONG) => ColumnPlan::UInt32,
        (L::Integer { bits: 64, unsigned: false }, t::LONGLONG) => ColumnPlan::Int64,
        (L::Integer { bits: 64, unsigned: true }, t::LONGLONG) => ColumnPlan::UInt64,
        (L::Float, t::FLOAT) => ColumnPlan::Float,
        (L::Double, t::DOUBLE) => ColumnPlan::Double,
        (L::Decimal { precision, scale }, t::NEWDECIMAL) if p == u16::from(*precision) << 8 | u16::from(*scale) => {
            match DecimalLayout::new(*precision, *scale) {
                Some(layout) if *precision <= 38 => ColumnPlan::Decimal(layout),
                Some(layout) => ColumnPlan::DecimalText(layout),
                None => return Err(mismatch(layout, column)),
            }
        }
        (L::Boolean, t::BIT) if p == 1 => ColumnPlan::Boolean,
        (L::Bits { length }, t::BIT) if p == u16::from(*length) => ColumnPlan::Bits { bytes: usize::from(p.div_ceil(8)) },
        (L::String, _) if is_string || is_blob => {
            let name = column.native.charset.as_deref().unwrap_or("utf8mb4");
            match Charset::by_name(name) {
                Some(Charset::Utf8) => ColumnPlan::Utf8 { length_bytes },
                Some(charset) => ColumnPlan::Text { length_bytes, charset },
                None => {
                    let message = format!("the character set {name} is not supported");
                    return Err(DecodeError::new(DecodeErrorKind::UnsupportedType, message));
                }
            }
        }
        (L::Binary, t::STRING) => ColumnPlan::PaddedBytes { length_bytes, length: usize::from(p) },
        (L::Binary, _) if is_string || is_blob => ColumnPlan::Bytes { length_bytes },
        (L::Date, t::DATE | t::NEWDATE) => ColumnPlan::Date,
        (L::Time { fraction }, t::TIME2) if p == u16::from(*fraction) && p <= 6 => ColumnPlan::Time { digits: p },
        (L::Time { fraction: 0 }, t::TIME) => ColumnPlan::DecimalTime,
        (L::Timestamp { fraction }, t::DATETIME2) if p == u16::from(*fraction) && p <= 6 => ColumnPlan::DateTime { digits: p },
        (L::Timestamp { fraction: 0 }, t::DATETIME) => ColumnPlan::DecimalDateTime,
        (L::TimestampTz { fraction }, t::TIMESTAMP2) if p == u16::from(*fraction) && p <= 6 => {
            ColumnPlan::Timestamp { digits: p }
        }
        (L::TimestampTz { fraction: 0 }, t::TIMESTAMP) => ColumnPlan::PlainTimestamp,
        (L::Year, t::YEAR) => ColumnPlan::Year,
        (L::Enum { values }, t::ENUM) if (1..=2).contains(&p) => {
            ColumnPlan::Enum { bytes: usize::from(p), values: values.clone() }
        }
        (L::Set { values }, t::SET) if (1..=8).contains(&p) => ColumnPlan::Set { bytes: usize::from(p), values: values.clone() },
        (L::Json, t::JSON) => ColumnPlan::Json { length_bytes: blob_length_bytes },
        (L::Geometry { .. }, t::GEOMETRY) => ColumnPlan::Geometry { length_bytes: blob_length_bytes },
        (L::Vector, t::VECTOR) => ColumnPlan::Vector { length_bytes: blob_length_bytes },
        (L::Uuid, t::STRING) => ColumnPlan::Uuid { length_bytes: string_length_bytes },
        (L::Inet { v6 }, t::STRING) => ColumnPlan::Inet { length_bytes: string_length_bytes, v6: *v6 },
        (_, t::MARIADB_BLOB_COMPRESSED | t::MARIADB_VARCHAR_COMPRESSED) => {
            let message = "COMPRESSED columns are not supported: ALTER TABLE ... MODIFY it without COMPRESSED";
            return Err(DecodeError::new(DecodeErrorKind::UnsupportedType, message));
        }
        _ => return Err(mismatch(layout, column)),
    };
    Ok(plan)
}

#[cold]
fn mismatch(layout: ColumnLayout, column: &Column) -> DecodeError {
    let message = format!(
        "it has type {} with parameter {} in the binary log, but is {} in the known schema: the table was changed in a way that \
         was not seen",
        layout.column_type, layout.parameter, column.native.declaration
    );
    DecodeError::new(DecodeErrorKind::LayoutMismatch, message)
}
