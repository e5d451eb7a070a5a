//! The fast path. Events of one table under one schema version have the same bytes between their values: a plan holds those bytes
//! once, and a record is read by comparing a run of them, reading the value behind it in place, comparing the next run, and so on.
//!
//! A plan never decides that a record is wrong. Whatever it does not expect ends it, and the general path reads the record again
//! from the start. One thing only is left unchecked: the bytes of a `before` image that nobody reads (of an update) are stepped over.

use crate::base64_text;
use crate::columns::{ColumnBuffer, Data};
use crate::decimal;
use crate::general::{ColumnPlan, Rows, Scratch, read_value};
use crate::reader::Reader;
use crate::scan::{integer, plain_text, unsigned};
use crate::time_text;
use crate::wire::Wire;
use cdc_core::{Op, TableSchema};
use memchr::memmem::Finder;
use std::collections::BTreeSet;

/// What comes between the two images when both are there. A bare quote cannot be inside a JSON string, so it is structure.
const BETWEEN: &[u8] = b"},\"after\":";

/// One run of expected bytes, then one value.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// The run: its place in [`Plan::words`], in 16-byte words, and its length in bytes.
    from: u32,
    words: u32,
    length: u32,
    slot: Slot,
}

/// What to do with a value.
#[derive(Debug, Clone, Copy)]
enum Slot {
    /// Into a column of the row.
    Column { index: u32, wire: Wire, nullable: bool },
    /// `source.ts_us`.
    SourceMicros,
    /// `source.ts_ms`, where there are no microseconds.
    SourceMillis,
    /// `op`.
    Op,
    /// Nobody's.
    Skip,
    /// No value: the run is the last.
    End,
}

/// One layout of records.
#[derive(Debug)]
pub(crate) struct Plan {
    /// All bytes before the envelope: the embedded schema.
    prefix: Vec<u8>,
    /// Expected bytes and mask, 16 at a time.
    words: Vec<[u128; 2]>,
    row: Vec<Step>,
    tail: Vec<Step>,
    /// Columns that the layout lacks: null.
    absent: Vec<u32>,
    between: Finder<'static>,
    /// The leaves of the record that the plan was learnt from, by path, and those found to vary.
    leaves: Vec<(String, Vec<u8>)>,
    varying: BTreeSet<String>,
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
            words: Vec::new(),
            row: Vec::new(),
            tail: Vec::new(),
            absent: Vec::new(),
            between: Finder::new(BETWEEN),
            leaves: leaves
                .iter()
                .filter(|leaf| !leaf.path.starts_with("before") && !leaf.path.starts_with("after"))
                .map(|leaf| (leaf.path.clone(), value.get(leaf.from..leaf.to).unwrap_or_default().to_vec()))
                .collect(),
            varying: BTreeSet::new(),
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
            let slot = Slot::Column { index: u32::try_from(index).ok()?, wire: column.wire, nullable: column.nullable };
            let step = plan.step(value.get(at..leaf.from)?, slot)?;
            plan.row.push(step);
            at = leaf.to;
        }
        let close = at.checked_add(1)?;
        let step = plan.step(value.get(at..close).filter(|b| *b == b"}")?, Slot::End)?;
        plan.row.push(step);
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
                "source.ts_us" if micros => Slot::SourceMicros,
                "source.ts_ms" if !micros => Slot::SourceMillis,
                "op" => Slot::Op,
                path if plan.varying.contains(path) || usually_varies(path, text) => Slot::Skip,
                _ => continue,
            };
            let step = plan.step(value.get(at..leaf.from)?, slot)?;
            plan.tail.push(step);
            at = leaf.to;
        }
        let step = plan.step(value.get(at..)?, Slot::End)?;
        plan.tail.push(step);
        Some(plan)
    }

    fn same_layout(&self, other: &Self) -> bool {
        self.leaves.len() == other.leaves.len() && self.leaves.iter().zip(&other.leaves).all(|(a, b)| a.0 == b.0)
    }

    /// True if `newer` reads all that this plan reads, as far as is known: it may replace this one.
    pub fn is_replaced_by(&self, newer: &Self) -> bool {
        let columns = |plan: &Self| -> Vec<u32> {
            plan.row.iter().filter_map(|s| if let Slot::Column { index, .. } = s.slot { Some(index) } else { None }).collect()
        };
        self.prefix == newer.prefix && self.same_layout(newer) && columns(self) == columns(newer)
    }

    fn step(&mut self, run: &[u8], slot: Slot) -> Option<Step> {
        let from = u32::try_from(self.words.len()).ok()?;
        for chunk in run.chunks(16) {
            let (mut word, mut mask) = ([0; 16], [0; 16]);
            word.get_mut(..chunk.len())?.copy_from_slice(chunk);
            mask.get_mut(..chunk.len())?.fill(0xff);
            self.words.push([u128::from_le_bytes(word), u128::from_le_bytes(mask)]);
        }
        let words = u32::try_from(self.words.len()).ok()?.checked_sub(from)?;
        Some(Step { from, words, length: u32::try_from(run.len()).ok()?, slot })
    }

    /// Reads one record. `None`: it is not as expected; `rows` may hold part of a row.
    #[inline]
    pub fn read(&self, value: &[u8], rows: &mut Rows, scratch: &mut Scratch) -> Option<(Op, i64)> {
        let mut run = Run { value, rows, scratch, op: 0, micros: 0 };
        let rest = value.strip_prefix(self.prefix.as_slice())?.strip_prefix(b"{\"before\":")?;
        let mut deleted = false;
        let rest = if let Some(rest) = rest.strip_prefix(b"null,\"after\":") {
            self.steps(&self.row, rest, &mut run)?
        } else {
            let end = self.between.find(rest)?.checked_add(BETWEEN.len())?;
            let after = rest.get(end..)?;
            if after.first() == Some(&b'n') {
                deleted = true;
                self.steps(&self.row, rest, &mut run)?.strip_prefix(b",\"after\":null")?
            } else {
                self.steps(&self.row, after, &mut run)?
            }
        };
        let rest = self.steps(&self.tail, rest, &mut run)?;
        let op = Op::from_letter(run.op)?;
        if !rest.is_empty() || deleted != (op == Op::Delete) {
            return None;
        }
        for &index in &self.absent {
            run.rows.columns.get_mut(index as usize)?.push_null(run.rows.count)?;
        }
        Some((op, run.micros))
    }

    #[inline(always)]
    fn steps<'a>(&self, steps: &[Step], mut rest: &'a [u8], run: &mut Run<'a, '_>) -> Option<&'a [u8]> {
        for step in steps {
            rest = self.expect(step, rest)?;
            rest = match step.slot {
                Slot::Column { index, wire, nullable } => {
                    let buffer = run.rows.columns.get_mut(index as usize)?;
                    let row = run.rows.count;
                    if rest.first() == Some(&b'n') {
                        if !nullable {
                            return None;
                        }
                        buffer.push_null(row)?;
                        rest.strip_prefix(b"null")?
                    } else {
                        match column(wire, rest, buffer)? {
                            Read::Done(rest) => rest,
                            Read::Other => {
                                let mut reader = Reader::new(run.value, run.value.len().checked_sub(rest.len())?);
                                let Scratch { text, bytes, .. } = &mut *run.scratch;
                                read_value(&mut reader, wire, buffer, row, text, bytes).ok()?;
                                run.value.get(reader.pos()..)?
                            }
                        }
                    }
                }
                Slot::SourceMicros => {
                    let (value, rest) = integer(rest)?;
                    run.micros = value;
                    rest
                }
                Slot::SourceMillis => {
                    let (value, rest) = integer(rest)?;
                    run.micros = value.checked_mul(1000)?;
                    rest
                }
                Slot::Op => {
                    let (&[open, letter, close], rest) = rest.split_first_chunk::<3>()?;
                    if open != b'"' || close != b'"' {
                        return None;
                    }
                    run.op = letter;
                    rest
                }
                Slot::Skip => skip(rest)?,
                Slot::End => return Some(rest),
            };
        }
        None
    }

    /// Compares a step's run of bytes; gives what follows it.
    #[inline(always)]
    fn expect<'a>(&self, step: &Step, rest: &'a [u8]) -> Option<&'a [u8]> {
        let words = self.words.get(step.from as usize..)?.get(..step.words as usize)?;
        let mut at = rest;
        for &[word, mask] in words {
            let here = match at.split_first_chunk::<16>() {
                Some((chunk, behind)) => {
                    at = behind;
                    u128::from_le_bytes(*chunk)
                }
                None => {
                    let mut padded = [0; 16];
                    padded.get_mut(..at.len())?.copy_from_slice(at);
                    at = &[];
                    u128::from_le_bytes(padded)
                }
            };
            if (here ^ word) & mask != 0 {
                return None;
            }
        }
        rest.get(step.length as usize..)
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

/// How far the fast form of a column's value got.
enum Read<'a> {
    Done(&'a [u8]),
    /// Not a value of the fast form; nothing was appended.
    Other,
}

/// Reads a value that is not null in the form that events nearly always have.
#[inline(always)]
fn column<'a>(wire: Wire, rest: &'a [u8], buffer: &mut ColumnBuffer) -> Option<Read<'a>> {
    let rest = match (wire, &mut buffer.data) {
        (Wire::Int32 { min, max }, Data::Int32(values)) => {
            let (value, rest) = integer(rest)?;
            values.push(i32::try_from(value).ok().filter(|v| (min..=max).contains(v))?);
            rest
        }
        (Wire::Days, Data::Int32(values)) => {
            let (value, rest) = integer(rest)?;
            values.push(i32::try_from(value).ok()?);
            rest
        }
        (Wire::Int64 { min, max }, Data::Int64(values)) => {
            let (value, rest) = integer(rest)?;
            values.push(Some(value).filter(|v| (min..=max).contains(v))?);
            rest
        }
        (Wire::Micros, Data::Int64(values)) => {
            let (value, rest) = integer(rest)?;
            values.push(value);
            rest
        }
        (Wire::Millis, Data::Int64(values)) => {
            let (value, rest) = integer(rest)?;
            values.push(value.checked_mul(1000)?);
            rest
        }
        (Wire::Text, Data::Text(values)) => {
            let Some((text, ascii, rest)) = string(rest)? else { return Some(Read::Other) };
            if !ascii {
                std::str::from_utf8(text).ok()?;
            }
            values.push(text)?;
            rest
        }
        (Wire::Decimal { precision, .. }, Data::Decimal(values)) => {
            let Some((text, _, rest)) = string(rest)? else { return Some(Read::Other) };
            let value = base64_text::decode_integer(text)?;
            values.push(Some(value).filter(|&v| decimal::fits(v, precision))?);
            rest
        }
        (Wire::WrappedU64, Data::Decimal(values)) => {
            let (value, rest) = integer(rest)?;
            values.push(i128::from(value.cast_unsigned()));
            rest
        }
        (Wire::Instant, Data::Int64(values)) => {
            let Some((text, _, rest)) = string(rest)? else { return Some(Read::Other) };
            values.push(time_text::parse_instant(text)?);
            rest
        }
        (Wire::Boolean, Data::Boolean(values)) => {
            if let Some(rest) = rest.strip_prefix(b"true") {
                values.append(true);
                rest
            } else {
                let rest = rest.strip_prefix(b"false")?;
                values.append(false);
                rest
            }
        }
        (Wire::Double, Data::Double(values)) => {
            let Some((value, rest)) = short_double(rest) else { return Some(Read::Other) };
            values.push(value);
            rest
        }
        _ => return Some(Read::Other),
    };
    Some(Read::Done(rest))
}

/// A string without escapes: its text, whether it is ASCII, what follows. `Some(None)` if it has escapes.
#[inline(always)]
fn string(rest: &[u8]) -> Option<Option<(&[u8], bool, &[u8])>> {
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
        b'-' | b'0'..=b'9' => integer(rest).map(|(_, rest)| rest),
        b'n' => rest.strip_prefix(b"null"),
        b't' => rest.strip_prefix(b"true"),
        b'f' => rest.strip_prefix(b"false"),
        _ => None,
    }
}

/// True for values that differ from record to record in any event of Debezium; others are learnt.
fn usually_varies(path: &str, text: &[u8]) -> bool {
    if matches!(text.first(), None | Some(b'n' | b'[' | b'{')) {
        return false;
    }
    !matches!(path, "source.version" | "source.connector" | "source.name" | "source.db" | "source.schema" | "source.table")
}

/// The leaves of the envelope, in order. Values of columns are leaves, whatever they are. `None` if the same path comes twice.
fn collect(reader: &mut Reader<'_>, path: &str, leaves: &mut Vec<Leaf>) -> Option<()> {
    let mut scratch = Vec::new();
    reader.expect(b'{', "").ok()?;
    let mut first = true;
    while let Some(key) = reader.key(&mut first, &mut scratch).ok()? {
        let key = std::str::from_utf8(key).ok()?;
        let inner = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let open = reader.peek()? == b'{';
        let from = reader.pos();
        if open && matches!(inner.as_str(), "before" | "after" | "source" | "transaction") {
            collect(reader, &inner, leaves)?;
            continue;
        }
        reader.skip(&mut Vec::new()).ok()?;
        if leaves.iter().any(|leaf| leaf.path == inner) {
            return None;
        }
        leaves.push(Leaf { path: inner, from, to: reader.pos() });
    }
    Some(())
}
