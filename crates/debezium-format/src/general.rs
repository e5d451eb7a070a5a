//! The general path: any JSON event of the table, whatever its layout. It judges what is right; the fast path only repeats it.

use crate::base64_text;
use crate::columns::{ColumnBuffer, Data};
use crate::decimal;
use crate::error::{ErrorKind, Fault};
use crate::flat::FlatMarks;
use crate::reader::Reader;
use crate::time_text;
use crate::wire::Wire;
use cdc_core::{Op, TableSchema};
use std::str;

/// What one column needs to be read.
pub(crate) struct ColumnPlan {
    pub wire: Wire,
    pub nullable: bool,
}

/// The rows of a batch that is being filled.
pub(crate) struct Rows {
    pub columns: Vec<ColumnBuffer>,
    /// The number of whole rows.
    pub count: u32,
}

impl Rows {
    /// Back to the last whole row.
    pub fn rollback(&mut self) {
        for column in &mut self.columns {
            column.truncate(self.count as usize);
        }
    }
}

/// What an event is besides its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Event { op: Op, source_ts_us: i64 },
    Tombstone,
    Truncate,
}

/// Buffers that the general path uses again and again.
#[derive(Default)]
pub(crate) struct Scratch {
    pub text: Vec<u8>,
    pub bytes: Vec<u8>,
    /// For each column, the number of the row in which it was last seen.
    seen: Vec<u64>,
    row: u64,
    /// Hash-free check for doubled keys of `source`: where they lie.
    keys: Vec<(usize, usize)>,
}

type Result<T> = std::result::Result<T, Fault>;

/// How a table's events are laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventForm {
    /// Each value carries its schema.
    pub schemas: bool,
    /// There is no envelope; these columns say what it would.
    pub flat: Option<FlatMarks>,
}

/// Reads one event. On an error `rows` may hold part of a row: the caller rolls back. The second value of an error is a column.
pub(crate) fn read_event(
    value: &[u8],
    form: EventForm,
    schema: &TableSchema,
    plans: &[ColumnPlan],
    rows: &mut Rows,
    scratch: &mut Scratch,
) -> std::result::Result<Outcome, (Fault, Option<usize>)> {
    let mut column = None;
    let outcome = read_wrapped(value, form, schema, plans, rows, scratch, &mut column);
    outcome.map_err(|fault| (fault, column))
}

fn read_wrapped(
    value: &[u8],
    form: EventForm,
    schema: &TableSchema,
    plans: &[ColumnPlan],
    rows: &mut Rows,
    scratch: &mut Scratch,
    column: &mut Option<usize>,
) -> Result<Outcome> {
    let mut reader = Reader::new(value, 0);
    if reader.null()? {
        reader.end()?;
        return Ok(Outcome::Tombstone);
    }
    let mut read_payload = |reader: &mut Reader<'_>, scratch: &mut Scratch| match form.flat {
        None => read_envelope(reader, schema, plans, rows, scratch, column),
        Some(marks) => {
            reader.peek();
            let at = reader.pos();
            read_row(reader, schema, plans, rows, scratch, column)?;
            marks.outcome(rows).map_err(|fault| Fault { at, ..fault })
        }
    };
    if !form.schemas {
        let outcome = read_payload(&mut reader, scratch)?;
        reader.end()?;
        return Ok(outcome);
    }
    let Some(payload) = payload_of(&mut reader, scratch)? else {
        return Err(Fault::schema(reader.pos(), "no payload, although schemas are expected (schemas.enable)"));
    };
    let mut inner = reader.at(payload);
    if inner.null()? {
        return Ok(Outcome::Tombstone);
    }
    read_payload(&mut inner, scratch)
}

/// Where the envelope of a value begins; `None` if there is none.
pub(crate) fn payload_start(value: &[u8], schemas: bool, scratch: &mut Scratch) -> Option<usize> {
    let mut reader = Reader::new(value, 0);
    if schemas { payload_of(&mut reader, scratch).ok()? } else { reader.peek().map(|_| reader.pos()) }
}

/// Where the payload of `{"schema":..,"payload":..}` begins; the whole value is checked.
fn payload_of(reader: &mut Reader<'_>, scratch: &mut Scratch) -> Result<Option<usize>> {
    reader.expect(b'{', "an event that is no object")?;
    let (mut schema, mut payload, mut first) = (false, None, true);
    loop {
        let at = reader.pos();
        let Some(key) = reader.key(&mut first, &mut scratch.text)? else { break };
        let doubled = match key {
            b"schema" => std::mem::replace(&mut schema, true),
            b"payload" => {
                reader.peek();
                payload.replace(reader.pos()).is_some()
            }
            other => {
                let what = format!("{:?} beside schema and payload", String::from_utf8_lossy(other));
                return Err(Fault::schema(at, what));
            }
        };
        if doubled {
            return Err(Fault::schema(at, "schema or payload twice"));
        }
        reader.skip(&mut scratch.text)?;
    }
    reader.end()?;
    Ok(payload)
}

/// One image of the row: absent, null, or an object that begins at an offset.
#[derive(Clone, Copy, PartialEq)]
enum Image {
    Absent,
    Null,
    At(usize),
}

fn read_envelope(
    reader: &mut Reader<'_>,
    schema: &TableSchema,
    plans: &[ColumnPlan],
    rows: &mut Rows,
    scratch: &mut Scratch,
    column: &mut Option<usize>,
) -> Result<Outcome> {
    let start = reader.pos();
    reader.expect(b'{', "an event that is no object")?;
    let (mut before, mut after) = (Image::Absent, Image::Absent);
    let (mut op, mut source) = (None, None);
    let mut first = true;
    let mut keys = std::mem::take(&mut scratch.keys);
    keys.clear();
    loop {
        reader.peek();
        let at = reader.pos();
        let Some(key) = reader.key(&mut first, &mut scratch.text)? else { break };
        match key {
            b"before" | b"after" => {
                let image = if key == b"before" { &mut before } else { &mut after };
                if *image != Image::Absent {
                    return Err(Fault::schema(at, "a row image twice"));
                }
                reader.peek();
                let from = reader.pos();
                *image = if reader.rest().starts_with(b"{") { Image::At(from) } else { Image::Null };
                if *image == Image::Null && !reader.null()? {
                    return Err(Fault::schema(from, "a row image that is no object"));
                }
                if *image != Image::Null {
                    reader.skip(&mut scratch.text)?;
                }
            }
            b"op" => {
                let text = reader.string(&mut scratch.text)?;
                let &[letter] = text else { return Err(Fault::schema(at, "an op that is no letter")) };
                if op.replace((letter, at)).is_some() {
                    return Err(Fault::schema(at, "op twice"));
                }
            }
            b"source" => {
                if source.is_some() {
                    return Err(Fault::schema(at, "source twice"));
                }
                source = Some(read_source(reader, scratch)?);
            }
            _ => {
                keys.push((at, reader.pos()));
                reader.skip(&mut scratch.text)?;
            }
        }
    }
    refuse_doubled(reader, &mut keys)?;
    scratch.keys = keys;
    let Some((letter, at)) = op else { return Err(Fault::schema(start, "no op: not an envelope of Debezium")) };
    if letter == b't' {
        return Ok(Outcome::Truncate);
    }
    let Some(op) = Op::from_letter(letter) else {
        return Err(Fault::schema(at, "an op that is none of r, c, u, d, t"));
    };
    let Some(source_ts_us) = source else { return Err(Fault::schema(start, "no source: not an envelope of Debezium")) };
    let (image, missing) = match op {
        Op::Delete => (before, "a delete without the row before"),
        _ => (after, "no row after"),
    };
    let Image::At(from) = image else { return Err(Fault::schema(start, missing)) };
    if op == Op::Delete && matches!(after, Image::At(_)) {
        return Err(Fault::schema(start, "a delete with a row after"));
    }
    read_row(&mut reader.at(from), schema, plans, rows, scratch, column)?;
    Ok(Outcome::Event { op, source_ts_us })
}

/// Refuses two equal keys among the spans `(from, to)` of an object's keys; `to` is behind the colon.
fn refuse_doubled(reader: &Reader<'_>, keys: &mut [(usize, usize)]) -> Result<()> {
    let text = |&(from, to): &(usize, usize)| {
        let text = reader.slice(from, to);
        text.iter().position(|&b| b == b'"').and_then(|quote| text.get(quote..)).unwrap_or(text)
    };
    keys.sort_unstable_by(|a, b| text(a).cmp(text(b)));
    let doubled = keys.array_windows().find(|[a, b]| text(a) == text(b));
    doubled.map_or(Ok(()), |[_, b]| Err(Fault::schema(b.0, "a key twice in one object")))
}

/// Reads the time of a `source` block, in microseconds: `ts_us`, else `ts_ms`.
fn read_source(reader: &mut Reader<'_>, scratch: &mut Scratch) -> Result<i64> {
    let start = reader.pos();
    reader.expect(b'{', "a source that is no object")?;
    let mut keys = Vec::new();
    // Where the two times are, if they are not null. The one that is not needed is not looked at.
    let (mut micros, mut millis) = (None, None);
    let mut first = true;
    loop {
        reader.peek();
        let at = reader.pos();
        let Some(key) = reader.key(&mut first, &mut scratch.text)? else { break };
        let time = match key {
            b"ts_us" => Some(&mut micros),
            b"ts_ms" => Some(&mut millis),
            _ => None,
        };
        keys.push((at, reader.pos()));
        if let Some(time) = time {
            *time = (reader.peek() != Some(b'n')).then(|| reader.pos());
        }
        reader.skip(&mut scratch.text)?;
    }
    refuse_doubled(reader, &mut keys)?;
    let (at, scale) = match (micros, millis) {
        (Some(at), _) => (at, 1),
        (None, Some(at)) => (at, 1000),
        (None, None) => return Err(Fault::schema(start, "a source without ts_us and ts_ms")),
    };
    let time = integer(&mut reader.at(at))?.and_then(|time| time.checked_mul(scale));
    time.ok_or_else(|| Fault::schema(at, "a source time that is no whole number"))
}

fn read_row(
    reader: &mut Reader<'_>,
    schema: &TableSchema,
    plans: &[ColumnPlan],
    rows: &mut Rows,
    scratch: &mut Scratch,
    column: &mut Option<usize>,
) -> Result<()> {
    let start = reader.pos();
    scratch.seen.resize(plans.len(), 0);
    scratch.row = scratch.row.wrapping_add(1);
    reader.expect(b'{', "a row that is no object")?;
    let (mut first, mut expected) = (true, 0);
    loop {
        let at = reader.pos();
        *column = None;
        let Some(key) = reader.key(&mut first, &mut scratch.text)? else { break };
        let named = |i: usize| schema.columns.get(i).is_some_and(|c| c.name.as_bytes() == key);
        let index = if named(expected) { Some(expected) } else { (0..plans.len()).find(|&i| named(i)) };
        let Some(index) = index else {
            let what = format!("column {:?} is not in schema version {}", String::from_utf8_lossy(key), schema.version);
            return Err(Fault::schema(at, what));
        };
        expected = index.saturating_add(1);
        *column = Some(index);
        let seen = scratch.seen.get_mut(index).map(|seen| std::mem::replace(seen, scratch.row));
        if seen == Some(scratch.row) {
            return Err(Fault::schema(at, "the column twice in one row"));
        }
        if let (Some(plan), Some(buffer)) = (plans.get(index), rows.columns.get_mut(index)) {
            read_column(reader, plan, buffer, rows.count, &mut scratch.text, &mut scratch.bytes)?;
        }
    }
    for (index, (plan, buffer)) in plans.iter().zip(&mut rows.columns).enumerate() {
        if scratch.seen.get(index) != Some(&scratch.row) {
            *column = Some(index);
            if !plan.nullable {
                return Err(Fault::schema(start, "the column is missing, and may not be null"));
            }
            buffer.push_null(rows.count).ok_or_else(|| Fault::full(start))?;
        }
    }
    *column = None;
    Ok(())
}

/// Reads a value or null into a column.
pub(crate) fn read_column(
    reader: &mut Reader<'_>,
    plan: &ColumnPlan,
    buffer: &mut ColumnBuffer,
    row: u32,
    text: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    if reader.null()? {
        let at = reader.pos();
        if !plan.nullable {
            return Err(Fault::value(at, "null in a column that may not be null"));
        }
        return buffer.push_null(row).ok_or_else(|| Fault::full(at));
    }
    read_value(reader, plan.wire, buffer, row, text, bytes)
}

/// A whole number; `None` if another kind of value is next, or it has a fraction, an exponent, or does not fit.
fn integer(reader: &mut Reader<'_>) -> Result<Option<i64>> {
    let Some(number) = reader.number()? else { return Ok(None) };
    let digits = number != b"-0" && number.iter().all(|b| b.is_ascii_digit() || *b == b'-');
    Ok(str::from_utf8(number).ok().filter(|_| digits).and_then(|n| n.parse().ok()))
}

pub(crate) fn read_value(
    reader: &mut Reader<'_>,
    wire: Wire,
    buffer: &mut ColumnBuffer,
    row: u32,
    text: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    reader.peek();
    let at = reader.pos();
    let wrong = |what| Fault::value(at, what);
    let full = || Fault::full(at);
    match (wire, &mut buffer.data) {
        (Wire::Boolean, Data::Boolean(values)) => {
            values.append(reader.boolean()?.ok_or_else(|| wrong("no boolean"))?);
        }
        (Wire::Int32 { min, max }, Data::Int32(values)) => {
            let value = integer(reader)?.and_then(|v| i32::try_from(v).ok()).filter(|v| (min..=max).contains(v));
            values.push(value.ok_or_else(|| wrong("no whole number of the column's range"))?);
        }
        (Wire::Days, Data::Int32(values)) => {
            let value = integer(reader)?.and_then(|v| i32::try_from(v).ok());
            values.push(value.ok_or_else(|| wrong("no number of days"))?);
        }
        (Wire::DayText, Data::Int32(values)) => {
            let value = time_text::parse_day(string(reader, text)?);
            values.push(value.ok_or_else(|| wrong("no ISO day in UTC"))?);
        }
        (Wire::Int64 { min, max }, Data::Int64(values)) => {
            let value = integer(reader)?.filter(|v| (min..=max).contains(v));
            values.push(value.ok_or_else(|| wrong("no whole number of the column's range"))?);
        }
        (Wire::Micros, Data::Int64(values)) => {
            values.push(integer(reader)?.ok_or_else(|| wrong("no number of microseconds"))?);
        }
        (Wire::Millis, Data::Int64(values)) => {
            let value = integer(reader)?.and_then(|v| v.checked_mul(1000));
            values.push(value.ok_or_else(|| wrong("no number of milliseconds"))?);
        }
        (Wire::Nanos, Data::Int64(values)) => {
            let value = integer(reader)?.filter(|v| v % 1000 == 0).map(|v| v / 1000);
            values.push(value.ok_or_else(|| wrong("no number of nanoseconds that is one of whole microseconds"))?);
        }
        (Wire::TimeText, Data::Int64(values)) => {
            let value = time_text::parse_time(string(reader, text)?);
            values.push(value.ok_or_else(|| wrong("no ISO time of day in UTC with at most microseconds"))?);
        }
        (Wire::Instant, Data::Int64(values)) => {
            let value = time_text::parse_instant(string(reader, text)?);
            values.push(value.ok_or_else(|| wrong("no instant with at most microseconds"))?);
        }
        (Wire::WrappedU64, Data::Decimal(values)) => {
            let value = integer(reader)?.ok_or_else(|| wrong("no whole number of 64 bits"))?;
            values.push(i128::from(value.cast_unsigned()));
        }
        (Wire::ExactU64, Data::Decimal(values)) => {
            let value = base64_text::decode_integer(string(reader, text)?).filter(|&v| u64::try_from(v).is_ok());
            values.push(value.ok_or_else(|| wrong("no base64 of an unsigned number of 64 bits"))?);
        }
        (Wire::Decimal { precision, .. }, Data::Decimal(values)) => {
            let value = base64_text::decode_integer(string(reader, text)?).filter(|&v| decimal::fits(v, precision));
            values.push(value.ok_or_else(|| wrong("no base64 of a number of the column's precision"))?);
        }
        (Wire::DecimalText { precision, scale }, Data::Decimal(values)) => {
            let value = decimal::parse_text(string(reader, text)?, precision, scale);
            values.push(value.ok_or_else(|| wrong("no number of the column's precision and scale"))?);
        }
        (Wire::WideDecimal { precision, scale }, Data::Text(values)) => {
            bytes.clear();
            let done = base64_text::decode(string(reader, text)?, bytes)
                .and_then(|()| decimal::write_text_of_bytes(&mut values.data, bytes, precision, scale));
            done.ok_or_else(|| wrong("no base64 of a number of the column's precision"))?;
            values.end().ok_or_else(full)?;
        }
        (Wire::WideDecimalText { precision, scale }, Data::Text(values)) => {
            let done = decimal::normalize_text(&mut values.data, string(reader, text)?, precision, scale);
            done.ok_or_else(|| wrong("no number of the column's precision and scale"))?;
            values.end().ok_or_else(full)?;
        }
        (Wire::Float | Wire::FloatAsDouble, Data::Float(values)) => {
            let value = number(reader, text)?.and_then(|n| n.parse::<f32>().ok().filter(|v| v.is_finite() || names_infinity(n)));
            values.push(value.ok_or_else(|| wrong("no number that a 32-bit float can hold"))?);
        }
        (Wire::Double, Data::Double(values)) => {
            let value = number(reader, text)?.and_then(|n| n.parse::<f64>().ok().filter(|v| v.is_finite() || names_infinity(n)));
            values.push(value.ok_or_else(|| wrong("no number that a 64-bit float can hold"))?);
        }
        (Wire::Text, Data::Text(values)) => values.push(string(reader, text)?).ok_or_else(full)?,
        (Wire::Bytes, Data::Bytes(values)) => {
            base64_text::decode(string(reader, text)?, &mut values.data).ok_or_else(|| wrong("no base64"))?;
            values.end().ok_or_else(full)?;
        }
        (Wire::UrlBase64, Data::Bytes(values)) => {
            let plain: Option<Vec<u8>> = string(reader, text)?.iter().map(|&letter| base64_text::from_url_safe(letter)).collect();
            plain.and_then(|plain| base64_text::decode(&plain, &mut values.data)).ok_or_else(|| wrong("no URL-safe base64"))?;
            values.end().ok_or_else(full)?;
        }
        (Wire::Hex, Data::Bytes(values)) => {
            decode_hex(string(reader, text)?, &mut values.data).ok_or_else(|| wrong("no pairs of hexadecimal digits"))?;
            values.end().ok_or_else(full)?;
        }
        (Wire::Bits { bytes: length }, Data::Bytes(values)) => {
            let before = values.data.len();
            base64_text::decode(string(reader, text)?, &mut values.data).ok_or_else(|| wrong("no base64"))?;
            if values.data.len() - before != length as usize {
                return Err(wrong("not as many bits as the column has"));
            }
            values.end().ok_or_else(full)?;
        }
        (Wire::Uuid, Data::Uuid(values)) => {
            values.push(parse_uuid(string(reader, text)?).ok_or_else(|| wrong("no UUID"))?);
        }
        (Wire::Geometry { .. }, Data::Geometry { .. }) => read_geometry(reader, buffer, row, text)?,
        (Wire::Vector, Data::Vector { ends, elements }) => {
            reader.expect(b'[', "no array")?;
            let mut first = true;
            while reader.element(&mut first)? {
                let at = reader.pos();
                let value =
                    number(reader, text)?.and_then(|n| n.parse::<f32>().ok().filter(|v| v.is_finite() || names_infinity(n)));
                elements.push(value.ok_or_else(|| Fault::value(at, "no number that a 32-bit float can hold"))?);
            }
            ends.push(i32::try_from(elements.len()).map_err(|_| full())?);
        }
        _ => {
            return Err(Fault {
                kind: ErrorKind::Configuration,
                at,
                what: "a column buffer of another type: a defect, please report it".into(),
            });
        }
    }
    Ok(())
}

/// A string; another kind of value is a wrong value, not broken JSON.
fn string<'s, 'a: 's>(reader: &mut Reader<'a>, text: &'s mut Vec<u8>) -> Result<&'s [u8]> {
    match reader.peek() {
        Some(b'"') | None => reader.string(text),
        Some(_) => Err(Fault::value(reader.pos(), "no string")),
    }
}

/// A number's text, or one of the three that JSON has none for and that Jackson quotes.
fn number<'s, 'a: 's>(reader: &mut Reader<'a>, text: &'s mut Vec<u8>) -> Result<Option<&'s str>> {
    if reader.peek() == Some(b'"') {
        let name = str::from_utf8(reader.string(text)?).ok();
        return Ok(name.filter(|n| matches!(*n, "NaN" | "Infinity" | "-Infinity")));
    }
    Ok(reader.number()?.and_then(|n| str::from_utf8(n).ok()))
}

fn names_infinity(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}

fn read_geometry(reader: &mut Reader<'_>, buffer: &mut ColumnBuffer, row: u32, text: &mut Vec<u8>) -> Result<()> {
    let start = reader.pos();
    if reader.peek() != Some(b'{') {
        return Err(Fault::value(start, "no shape"));
    }
    reader.take(b'{');
    let (mut has_wkb, mut known, mut first) = (false, None, true);
    let mut seen = 0_u8;
    loop {
        let at = reader.pos();
        let Some(key) = reader.key(&mut first, text)? else { break };
        let bit = match key {
            b"wkb" => 1,
            b"srid" => 2,
            b"x" => 4,
            b"y" => 8,
            _ => return Err(Fault::value(at, "a shape has x, y, wkb and srid only")),
        };
        if seen & bit != 0 {
            return Err(Fault::value(at, "a shape with a key twice"));
        }
        seen |= bit;
        let at = reader.pos();
        match (bit, &mut buffer.data) {
            (1, Data::Geometry { wkb, .. }) if !reader.null()? => {
                base64_text::decode(string(reader, text)?, &mut wkb.data).ok_or_else(|| Fault::value(at, "no base64"))?;
                wkb.end().ok_or_else(|| Fault::full(at))?;
                has_wkb = true;
            }
            (2, _) if !reader.null()? => {
                let value = integer(reader)?.and_then(|v| i32::try_from(v).ok());
                known = Some(value.ok_or_else(|| Fault::value(at, "no spatial reference system"))?);
            }
            (4 | 8, _) => reader.skip(text)?,
            _ => {}
        }
    }
    if !has_wkb {
        return Err(Fault::value(start, "a shape without wkb"));
    }
    if let Data::Geometry { srid, .. } = &mut buffer.data {
        srid.push(known.unwrap_or(0));
    }
    if known.is_none() {
        buffer.without_srid(row);
    }
    Ok(())
}

/// Appends the bytes of hexadecimal digits; what is appended on `None` goes with the row.
fn decode_hex(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = text.as_chunks::<2>();
    for pair in pairs {
        let [high, low] = pair.map(|digit| (digit as char).to_digit(16));
        out.push(((high? << 4) | low?) as u8);
    }
    rest.is_empty().then_some(())
}

fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.try_into().ok()?;
    let mut uuid = [0; 16];
    let mut digits = 0_usize;
    for (i, &byte) in text.iter().enumerate() {
        if matches!(i, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = (byte as char).to_digit(16)? as u8;
        let half = uuid.get_mut(digits / 2)?;
        *half = (*half << 4) | digit;
        digits += 1;
    }
    Some(uuid)
}
