//! The fast path. Events of one table under one schema version have the same bytes between their values: a plan holds those bytes
//! once, and a record is read by comparing a run of them, reading the value behind it in place, comparing the next run, and so on.
//!
//! A plan never decides that a record is wrong. Whatever it does not expect ends it, and the general path reads the record again
//! from the start. One thing only is left unchecked: the bytes of a `before` image that nobody reads (of an update) are stepped over.

use crate::base64_text;
use crate::columns::Data;
use crate::decimal;
use crate::flat::FlatMarks;
use crate::general::{ColumnPlan, Outcome, Rows, Scratch, read_value};
use crate::reader::Reader;
use crate::scan::{integer, plain_text, skip_integer, unsigned};
use crate::time_text;
use crate::wire::Wire;
use cdc_core::{Op, TableSchema};
use memchr::memmem::Finder;
use std::collections::BTreeSet;
use std::str;

/// What comes between the two images when both are there. A bare quote cannot be inside a JSON string, so it is structure.
const BETWEEN: &[u8] = b"},\"after\":";

/// A record with more values than this teaches no plan.
const MAX_LEAVES: usize = 8_192;

/// One run of expected bytes, then one value.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// The run: its 16-byte words, which follow those of the step before, and its length in bytes.
    words: u32,
    length: u32,
    /// The column that the value goes into, if it goes into one.
    column: u32,
    nullable: bool,
    slot: Slot,
}

/// What to do with a value.
#[derive(Debug, Clone, Copy)]
enum Slot {
    /// A whole number between two bounds.
    Integer { min: i64, max: i64, into: Integer },
    /// A string.
    String(Holds),
    /// `true` or `false`.
    Boolean,
    /// A number for a `double` column.
    Double,
    /// A value of a form that is rare or has none that is fast.
    Other(Wire),
    /// `op`.
    Op,
    /// Nobody's.
    Skip,
    /// No value: the run is the last.
    End,
}

/// Where a whole number goes.
#[derive(Debug, Clone, Copy)]
enum Integer {
    Int32,
    Int64,
    Millis,
    WrappedU64,
    /// `source.ts_us`.
    SourceMicros,
    /// `source.ts_ms`, where there are no microseconds.
    SourceMillis,
}

/// What a string holds.
#[derive(Debug, Clone, Copy)]
enum Holds {
    Text,
    Decimal { precision: u8 },
    ExactU64,
    Instant,
}

impl Slot {
    fn of(wire: Wire) -> Self {
        let integer = |into| Self::Integer { min: i64::MIN, max: i64::MAX, into };
        match wire {
            Wire::Int32 { min, max } => Self::Integer { min: min.into(), max: max.into(), into: Integer::Int32 },
            Wire::Days => Self::Integer { min: i32::MIN.into(), max: i32::MAX.into(), into: Integer::Int32 },
            Wire::Int64 { min, max } => Self::Integer { min, max, into: Integer::Int64 },
            Wire::Micros => integer(Integer::Int64),
            Wire::Millis => integer(Integer::Millis),
            Wire::WrappedU64 => integer(Integer::WrappedU64),
            Wire::Text => Self::String(Holds::Text),
            Wire::ExactU64 => Self::String(Holds::ExactU64),
            Wire::Decimal { precision, .. } => Self::String(Holds::Decimal { precision }),
            Wire::Instant => Self::String(Holds::Instant),
            Wire::Boolean => Self::Boolean,
            Wire::Double => Self::Double,
            other => Self::Other(other),
        }
    }
}

/// Steps, and their runs of bytes: expected bytes and mask, 16 at a time.
#[derive(Debug, Default)]
struct Section {
    steps: Vec<Step>,
    words: Vec<[u128; 2]>,
}

impl Section {
    fn push(&mut self, run: &[u8], column: u32, nullable: bool, slot: Slot) -> Option<()> {
        for chunk in run.chunks(16) {
            let (mut word, mut mask) = ([0; 16], [0; 16]);
            word.get_mut(..chunk.len())?.copy_from_slice(chunk);
            mask.get_mut(..chunk.len())?.fill(0xff);
            self.words.push([u128::from_le_bytes(word), u128::from_le_bytes(mask)]);
        }
        let words = u32::try_from(run.len().div_ceil(16)).ok()?;
        self.steps.push(Step { words, length: u32::try_from(run.len()).ok()?, column, nullable, slot });
        Some(())
    }
}

/// One layout of records.
#[derive(Debug)]
pub(crate) struct Plan {
    /// All bytes before the envelope: the embedded schema.
    prefix: Vec<u8>,
    row: Section,
    tail: Section,
    /// Columns that the layout lacks: null.
    absent: Vec<u32>,
    between: Finder<'static>,
    /// The leaves of the record that the plan was learnt from, by path, and those found to vary.
    leaves: Vec<(String, Vec<u8>)>,
    varying: BTreeSet<String>,
    /// There is no envelope: the row is the value, and these columns say the rest.
    flat: Option<FlatMarks>,
}

/// A value in a record.
struct Leaf {
    path: String,
    from: usize,
    to: usize,
}

impl Plan {
    /// Compiles a plan from a record that the general path has accepted. If `older`, a plan of the same layout, is given, values that
    /// differ are no longer expected to be equal.
    pub fn learn(value: &[u8], payload: usize, schema: &TableSchema, columns: &[ColumnPlan], older: &[Plan]) -> Option<Self> {
        if schema.columns.iter().any(|c| c.name == "after") || columns.is_empty() {
            return None;
        }
        let mut leaves = Vec::new();
        collect(&mut Reader::new(value, payload), "", &mut leaves)?;
        let after = leaves.iter().position(|leaf| leaf.path == "after" || leaf.path.starts_with("after."))?;
        let image = if leaves.get(after)?.path == "after" { "before." } else { "after." };
        let mut plan = Self {
            prefix: value.get(..payload)?.to_vec(),
            row: Section::default(),
            tail: Section::default(),
            absent: Vec::new(),
            between: Finder::new(BETWEEN),
            leaves: leaves
                .iter()
                .filter(|leaf| !leaf.path.starts_with("before") && !leaf.path.starts_with("after"))
                .map(|leaf| (leaf.path.clone(), value.get(leaf.from..leaf.to).unwrap_or_default().to_vec()))
                .collect(),
            varying: BTreeSet::new(),
            flat: None,
        };
        for older in older {
            if !older.same_layout(&plan) {
                continue;
            }
            plan.varying.extend(older.varying.iter().cloned());
            let differing = older.leaves.iter().zip(&plan.leaves).filter(|(old, new)| old.1 != new.1);
            plan.varying.extend(differing.map(|(old, _)| old.0.clone()));
        }

        let row: Vec<&Leaf> = leaves.iter().filter(|leaf| leaf.path.starts_with(image)).collect();
        let open = value.get(..row.first()?.from)?.iter().rposition(|&b| b == b'{')?;
        let mut at = open;
        let mut present = vec![false; columns.len()];
        for leaf in row {
            let name = leaf.path.get(image.len()..)?;
            let index = schema.columns.iter().position(|c| c.name == name)?;
            *present.get_mut(index)? = true;
            let column = columns.get(index)?;
            plan.row.push(value.get(at..leaf.from)?, u32::try_from(index).ok()?, column.nullable, Slot::of(column.wire))?;
            at = leaf.to;
        }
        let close = at.checked_add(1)?;
        plan.row.push(value.get(at..close).filter(|b| *b == b"}")?, 0, false, Slot::End)?;
        plan.absent = (0_u32..).zip(&present).filter(|(_, present)| !**present).map(|(i, _)| i).collect();

        let mut at = match image {
            "after." => close,
            _ => leaves.get(after)?.to,
        };
        let micros = leaves.iter().any(|l| l.path == "source.ts_us" && value.get(l.from) != Some(&b'n'));
        let tail_from = at;
        for leaf in leaves.iter().filter(|leaf| leaf.from > tail_from) {
            let text = value.get(leaf.from..leaf.to)?;
            let slot = match leaf.path.as_str() {
                "source.ts_us" if micros => Slot::Integer { min: i64::MIN, max: i64::MAX, into: Integer::SourceMicros },
                "source.ts_ms" if !micros => Slot::Integer { min: i64::MIN, max: i64::MAX, into: Integer::SourceMillis },
                "op" => Slot::Op,
                path if plan.varying.contains(path) || usually_varies(path, text) => Slot::Skip,
                _ => continue,
            };
            plan.tail.push(value.get(at..leaf.from)?, 0, false, slot)?;
            at = leaf.to;
        }
        plan.tail.push(value.get(at..)?, 0, false, Slot::End)?;
        Some(plan)
    }

    /// Compiles a plan from a record of a row without an envelope.
    pub fn learn_flat(
        value: &[u8],
        payload: usize,
        schema: &TableSchema,
        columns: &[ColumnPlan],
        marks: FlatMarks,
    ) -> Option<Self> {
        let mut plan = Self {
            prefix: value.get(..payload)?.to_vec(),
            row: Section::default(),
            tail: Section::default(),
            absent: Vec::new(),
            between: Finder::new(BETWEEN),
            leaves: Vec::new(),
            varying: BTreeSet::new(),
            flat: Some(marks),
        };
        let mut reader = Reader::new(value, payload);
        let (mut name, mut scratch) = (Vec::new(), Vec::new());
        let (mut at, mut first) = (payload, true);
        let mut present = vec![false; columns.len()];
        reader.expect(b'{', "").ok()?;
        while let Some(key) = reader.key(&mut first, &mut name).ok()? {
            let index = schema.columns.iter().position(|c| c.name.as_bytes() == key)?;
            *present.get_mut(index)? = true;
            let column = columns.get(index)?;
            reader.peek();
            let from = reader.pos();
            plan.row.push(value.get(at..from)?, u32::try_from(index).ok()?, column.nullable, Slot::of(column.wire))?;
            reader.skip(&mut scratch).ok()?;
            at = reader.pos();
        }
        plan.row.push(value.get(at..)?, 0, false, Slot::End)?;
        plan.absent = (0_u32..).zip(&present).filter(|(_, present)| !**present).map(|(i, _)| i).collect();
        Some(plan)
    }

    fn same_layout(&self, other: &Self) -> bool {
        self.leaves.len() == other.leaves.len() && self.leaves.iter().zip(&other.leaves).all(|(a, b)| a.0 == b.0)
    }

    /// True if `newer` reads all that this plan reads, as far as is known: it may replace this one.
    pub fn is_replaced_by(&self, newer: &Self) -> bool {
        let columns = |plan: &Self| -> Vec<u32> {
            plan.row.steps.iter().filter(|step| !matches!(step.slot, Slot::End)).map(|step| step.column).collect()
        };
        self.prefix == newer.prefix && self.same_layout(newer) && columns(self) == columns(newer)
    }

    /// Reads one record. `None`: it is not as expected; `rows` may hold part of a row.
    #[inline]
    pub fn read(&self, value: &[u8], rows: &mut Rows, scratch: &mut Scratch) -> Option<(Op, i64)> {
        let mut run = Run { value, rows, scratch, op: 0, micros: 0 };
        let rest = value.strip_prefix(self.prefix.as_slice())?;
        if let Some(marks) = &self.flat {
            return Self::read_flat(run.steps(&self.row, rest)?, &self.absent, run.rows, marks);
        }
        let rest = rest.strip_prefix(b"{\"before\":")?;
        let mut deleted = false;
        let rest = if let Some(rest) = rest.strip_prefix(b"null,\"after\":") {
            run.steps(&self.row, rest)?
        } else {
            let end = self.between.find(rest)?.checked_add(BETWEEN.len())?;
            let after = rest.get(end..)?;
            if after.first() == Some(&b'n') {
                deleted = true;
                run.steps(&self.row, rest)?.strip_prefix(b",\"after\":null")?
            } else {
                run.steps(&self.row, after)?
            }
        };
        let rest = run.steps(&self.tail, rest)?;
        let op = Op::from_letter(run.op)?;
        if !rest.is_empty() || deleted != (op == Op::Delete) {
            return None;
        }
        for &index in &self.absent {
            run.rows.columns.get_mut(index as usize)?.push_null(run.rows.count)?;
        }
        Some((op, run.micros))
    }
}

impl Plan {
    /// The end of a record without an envelope. `None` where the general path has to say what is wrong.
    fn read_flat(rest: &[u8], absent: &[u32], rows: &mut Rows, marks: &FlatMarks) -> Option<(Op, i64)> {
        for &index in absent {
            rows.columns.get_mut(index as usize)?.push_null(rows.count)?;
        }
        match marks.outcome(rows) {
            Ok(Outcome::Event { op, source_ts_us }) if rest.is_empty() => Some((op, source_ts_us)),
            _ => None,
        }
    }
}

/// The state of reading one record.
struct Run<'a, 'r> {
    value: &'a [u8],
    rows: &'r mut Rows,
    scratch: &'r mut Scratch,
    op: u8,
    micros: i64,
}

impl<'a> Run<'a, '_> {
    /// Reads `rest` by the steps of a section; gives what follows the last. Kept in one piece and out of line: inlined into its callers
    /// it is four times as long and a third slower.
    #[inline(never)]
    fn steps(&mut self, section: &Section, mut rest: &'a [u8]) -> Option<&'a [u8]> {
        let mut words = section.words.as_slice();
        for step in &section.steps {
            let (run, others) = words.split_at_checked(step.words as usize)?;
            words = others;
            rest = expect(run, step.length as usize, rest)?;
            if step.nullable && rest.first() == Some(&b'n') {
                self.rows.columns.get_mut(step.column as usize)?.push_null(self.rows.count)?;
                rest = rest.strip_prefix(b"null")?;
                continue;
            }
            rest = match &step.slot {
                Slot::Integer { min, max, into } => {
                    let (value, rest) = integer(rest)?;
                    if value < *min || value > *max {
                        return None;
                    }
                    match (into, self.rows.columns.get_mut(step.column as usize).map(|c| &mut c.data)) {
                        (Integer::Int32, Some(Data::Int32(values))) => values.push(value as i32),
                        (Integer::Int64, Some(Data::Int64(values))) => values.push(value),
                        (Integer::Millis, Some(Data::Int64(values))) => values.push(value.checked_mul(1000)?),
                        (Integer::WrappedU64, Some(Data::Decimal(values))) => values.push(i128::from(value.cast_unsigned())),
                        (Integer::SourceMicros, _) => self.micros = value,
                        (Integer::SourceMillis, _) => self.micros = value.checked_mul(1000)?,
                        _ => return None,
                    }
                    rest
                }
                Slot::String(holds) => {
                    let buffer = self.rows.columns.get_mut(step.column as usize)?;
                    match (string(rest)?, holds, &mut buffer.data) {
                        (Some((text, ascii, rest)), Holds::Text, Data::Text(values)) => {
                            if !ascii {
                                str::from_utf8(text).ok()?;
                            }
                            values.push(text)?;
                            rest
                        }
                        (Some((text, _, rest)), Holds::Decimal { precision }, Data::Decimal(values)) => {
                            let value = base64_text::decode_integer(text)?;
                            values.push(Some(value).filter(|&v| decimal::fits(v, *precision))?);
                            rest
                        }
                        (Some((text, _, rest)), Holds::ExactU64, Data::Decimal(values)) => {
                            let value = base64_text::decode_integer(text)?;
                            values.push(i128::from(u64::try_from(value).ok()?));
                            rest
                        }
                        (Some((text, _, rest)), Holds::Instant, Data::Int64(values)) => {
                            values.push(time_text::parse_instant(text)?);
                            rest
                        }
                        // With escapes.
                        (None, Holds::Text, _) => self.other(Wire::Text, step.column, rest)?,
                        _ => return None,
                    }
                }
                Slot::Boolean => {
                    let value = rest.starts_with(b"true");
                    let Data::Boolean(values) = &mut self.rows.columns.get_mut(step.column as usize)?.data else { return None };
                    values.append(value);
                    rest.strip_prefix(if value { &b"true"[..] } else { b"false" })?
                }
                Slot::Double => match short_double(rest) {
                    Some((value, rest)) => {
                        let Data::Double(values) = &mut self.rows.columns.get_mut(step.column as usize)?.data else {
                            return None;
                        };
                        values.push(value);
                        rest
                    }
                    None => self.other(Wire::Double, step.column, rest)?,
                },
                Slot::Other(wire) => self.other(*wire, step.column, rest)?,
                Slot::Op => {
                    let (&[open, letter, close], rest) = rest.split_first_chunk::<3>()?;
                    if open != b'"' || close != b'"' {
                        return None;
                    }
                    self.op = letter;
                    rest
                }
                Slot::Skip => skip(rest)?,
                Slot::End => return Some(rest),
            };
        }
        None
    }

    /// Reads a value that is not null as the general path does.
    #[inline(never)]
    fn other(&mut self, wire: Wire, column: u32, rest: &'a [u8]) -> Option<&'a [u8]> {
        let mut reader = Reader::new(self.value, self.value.len().checked_sub(rest.len())?);
        let buffer = self.rows.columns.get_mut(column as usize)?;
        let Scratch { text, bytes, .. } = &mut *self.scratch;
        read_value(&mut reader, wire, buffer, self.rows.count, text, bytes).ok()?;
        self.value.get(reader.pos()..)
    }
}

/// Compares a run of `length` bytes; gives what follows it.
#[inline(always)]
fn expect<'a>(words: &[[u128; 2]], length: usize, rest: &'a [u8]) -> Option<&'a [u8]> {
    let mut at = rest;
    for &[word, mask] in words {
        let Some((chunk, behind)) = at.split_first_chunk::<16>() else {
            return expect_at_end(words, length, rest);
        };
        if (u128::from_le_bytes(*chunk) ^ word) & mask != 0 {
            return None;
        }
        at = behind;
    }
    rest.get(length..)
}

/// The same where fewer than sixteen bytes are left of the record.
#[cold]
#[inline(never)]
fn expect_at_end<'a>(words: &[[u128; 2]], length: usize, rest: &'a [u8]) -> Option<&'a [u8]> {
    let (here, behind) = rest.split_at_checked(length)?;
    let mut expected = words.iter().flat_map(|[word, _]| word.to_le_bytes());
    here.iter().all(|&byte| expected.next() == Some(byte)).then_some(behind)
}

/// A string without escapes: its text, whether it is ASCII, what follows.
type Plain<'a> = (&'a [u8], bool, &'a [u8]);

/// Reads a string; `Some(None)` if it has escapes.
#[inline(always)]
fn string(rest: &[u8]) -> Option<Option<Plain<'_>>> {
    let body = rest.strip_prefix(b"\"")?;
    let (length, ascii) = plain_text(body);
    let (text, behind) = body.split_at_checked(length)?;
    match behind.split_first()? {
        (b'"', rest) => Some(Some((text, ascii, rest))),
        (b'\\', _) => Some(None),
        _ => None,
    }
}

/// A number with a fraction and no exponent whose digits and power of ten are exact in a `double`, so that one division rounds
/// correctly (Clinger's fast path). `None` for anything else.
#[inline(always)]
fn short_double(rest: &[u8]) -> Option<(f64, &[u8])> {
    let negative = rest.first() == Some(&b'-');
    let digits = if negative { rest.get(1..)? } else { rest };
    let (whole, whole_length) = unsigned(digits)?;
    if digits.first() == Some(&b'0') && whole_length > 1 {
        return None;
    }
    let fraction_text = digits.get(whole_length..)?.strip_prefix(b".")?;
    let (fraction, fraction_length) = unsigned(fraction_text)?;
    let rest = fraction_text.get(fraction_length..)?;
    if whole_length.checked_add(fraction_length)? > 15 || matches!(rest.first(), Some(b'e' | b'E')) {
        return None;
    }
    // Fifteen digits at most: digits and power are exact.
    let power = 10_u64.checked_pow(u32::try_from(fraction_length).ok()?)?;
    let value = whole.checked_mul(power)?.checked_add(fraction)? as f64 / power as f64;
    Some((if negative { -value } else { value }, rest))
}

/// Steps over one scalar. Escapes and text beyond ASCII are left to the general path, which checks them.
#[inline(always)]
fn skip(rest: &[u8]) -> Option<&[u8]> {
    match rest.first()? {
        b'"' => {
            let (_, ascii, rest) = string(rest)??;
            ascii.then_some(rest)
        }
        b'-' | b'0'..=b'9' => skip_integer(rest),
        b'n' => rest.strip_prefix(b"null"),
        b't' => rest.strip_prefix(b"true"),
        b'f' => rest.strip_prefix(b"false"),
        _ => None,
    }
}

/// True for values that differ from record to record in the events of any server; what else differs is learnt.
fn usually_varies(path: &str, text: &[u8]) -> bool {
    let scalar = matches!(text.first(), Some(b'"' | b'-' | b'0'..=b'9'));
    let (_, name) = path.rsplit_once('.').unwrap_or(("", path));
    scalar && matches!(name, "ts_ms" | "ts_us" | "ts_ns" | "pos" | "gtid" | "row")
}

/// The leaves of the envelope, in order. Values of columns are leaves, whatever they are. `None` if the same path comes twice.
fn collect(reader: &mut Reader<'_>, path: &str, leaves: &mut Vec<Leaf>) -> Option<()> {
    let mut scratch = Vec::new();
    reader.expect(b'{', "").ok()?;
    let mut first = true;
    while let Some(key) = reader.key(&mut first, &mut scratch).ok()? {
        let key = str::from_utf8(key).ok()?;
        let inner = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let open = reader.peek()? == b'{';
        let from = reader.pos();
        if open && matches!(inner.as_str(), "before" | "after" | "source" | "transaction") {
            collect(reader, &inner, leaves)?;
            continue;
        }
        reader.skip(&mut Vec::new()).ok()?;
        // A table has at most 4,096 columns; what has more leaves is no event to learn from.
        if leaves.len() > MAX_LEAVES || leaves.iter().any(|leaf| leaf.path == inner) {
            return None;
        }
        leaves.push(Leaf { path: inner, from, to: reader.pos() });
    }
    Some(())
}
