//! A block: some records of one partition that were appended together, in the one form that memory and files share.
//!
//! ```text
//! count u32 | table length u32 | headers length u32 | table | headers | arena
//! ```
//! The arena holds the bytes of keys and values as the encoder wrote them. The table has for each record a byte of flags and
//! the numbers that they announce; offsets are relative to the base that the log gives the block when it is appended.
//! Header sets are written once and named by number.

use crate::codec::Reader;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

pub(crate) const PREFIX: usize = 12;

/// A key is there.
pub(crate) const KEY: u8 = 1;
/// A value is there.
pub(crate) const VALUE: u8 = 1 << 1;
/// The key does not begin where the last range ended: its start follows.
pub(crate) const KEY_AT: u8 = 1 << 2;
/// The value does not begin where the last range ended: its start follows.
pub(crate) const VALUE_AT: u8 = 1 << 3;
/// Another header set than the record before: its number follows.
pub(crate) const HEADERS: u8 = 1 << 4;
/// Another timestamp than the record before: the difference follows.
pub(crate) const TIMESTAMP: u8 = 1 << 5;
/// Offsets are left out before this record: how many follows.
pub(crate) const GAP: u8 = 1 << 6;

/// What one record of the table says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) relative: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Option<Range<usize>>,
    pub(crate) headers: u32,
}

/// Walks a table.
#[derive(Debug, Clone)]
pub(crate) struct Table<'a> {
    reader: Reader<'a>,
    next_relative: i64,
    timestamp_ms: i64,
    headers: u32,
    cursor: usize,
}

impl<'a> Table<'a> {
    pub(crate) fn new(table: &'a [u8]) -> Self {
        Self { reader: Reader::new(table), next_relative: 0, timestamp_ms: 0, headers: 0, cursor: 0 }
    }

    pub(crate) fn at_end(&self) -> bool {
        self.reader.is_empty()
    }

    /// The next record; `None` at the end and where the table makes no sense.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Entry> {
        let flags = self.reader.u8()?;
        if flags & 0x80 != 0 {
            return None;
        }
        if flags & GAP != 0 {
            let gap = i64::try_from(self.reader.varint()?).ok()?;
            self.next_relative = self.next_relative.checked_add(gap)?;
        }
        if flags & TIMESTAMP != 0 {
            self.timestamp_ms = self.timestamp_ms.wrapping_add(self.reader.zigzag()?);
        }
        if flags & HEADERS != 0 {
            self.headers = u32::try_from(self.reader.varint()?).ok()?;
        }
        let key = self.range(flags & KEY != 0, flags & KEY_AT != 0)?;
        let value = self.range(flags & VALUE != 0, flags & VALUE_AT != 0)?;
        let relative = self.next_relative;
        self.next_relative = relative.checked_add(1)?;
        Some(Entry { relative, timestamp_ms: self.timestamp_ms, key, value, headers: self.headers })
    }

    /// `Some(None)`: not there; `None`: makes no sense.
    #[inline]
    #[allow(clippy::option_option)]
    fn range(&mut self, there: bool, explicit: bool) -> Option<Option<Range<usize>>> {
        if !there {
            return Some(None);
        }
        let start = if explicit { usize::try_from(self.reader.varint()?).ok()? } else { self.cursor };
        let end = start.checked_add(usize::try_from(self.reader.varint()?).ok()?)?;
        self.cursor = self.cursor.max(end);
        Some(Some(start..end))
    }
}

/// A block in memory, with the offset that its first record got, and which of its records are meant.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) base: i64,
    /// Records in all.
    pub(crate) count: u32,
    /// The offset after the last record, relative to `base`.
    pub(crate) span: i64,
    /// Records before these are left out.
    pub(crate) skip: u32,
    /// Records meant, after those skipped.
    pub(crate) take: u32,
    pub(crate) table: Bytes,
    pub(crate) headers: Bytes,
    /// Where each header set lies in `headers`. Set 0 is the empty one and not stored.
    pub(crate) header_sets: Arc<[Range<u32>]>,
    pub(crate) arena: Bytes,
}

impl Block {
    /// Reads a block and checks that every range lies within it; `None` where it makes no sense.
    pub(crate) fn parse(bytes: &Bytes, base: i64) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let count = r.u32()?;
        let table_len = r.u32()? as usize;
        let headers_len = r.u32()? as usize;
        let headers_at = PREFIX.checked_add(table_len)?;
        let arena_at = headers_at.checked_add(headers_len)?;
        if arena_at > bytes.len() {
            return None;
        }
        let table = bytes.slice(PREFIX..headers_at);
        let headers = bytes.slice(headers_at..arena_at);
        let arena = bytes.slice(arena_at..);
        let header_sets: Arc<[Range<u32>]> = if headers.is_empty() { Arc::new([]) } else { header_sets(&headers)?.into() };
        let mut walk = Table::new(&table);
        let mut span = 0;
        for _ in 0..count {
            let e = walk.next()?;
            let end = e.key.as_ref().map_or(0, |r| r.end).max(e.value.as_ref().map_or(0, |r| r.end));
            if end > arena.len() || e.headers as usize > header_sets.len() {
                return None;
            }
            span = e.relative + 1;
        }
        if !walk.at_end() || base.checked_add(span).is_none() {
            return None;
        }
        Some(Self { base, count, span, skip: 0, take: count, table, headers, header_sets, arena })
    }

    /// The 12 bytes before the table. Lengths fit: the builder bounds them.
    pub(crate) fn prefix(&self) -> [u8; PREFIX] {
        let mut out = [0; PREFIX];
        let numbers = [self.count, self.table.len() as u32, self.headers.len() as u32];
        for (slot, n) in out.chunks_exact_mut(4).zip(numbers) {
            slot.copy_from_slice(&n.to_le_bytes());
        }
        out
    }

    pub(crate) fn encoded_len(&self) -> usize {
        PREFIX + self.table.len() + self.headers.len() + self.arena.len()
    }

    /// The offset after the last record of the whole block.
    pub(crate) fn next_offset(&self) -> i64 {
        self.base + self.span
    }

    /// True if no record is left out at either end or within.
    pub(crate) fn is_whole(&self) -> bool {
        self.skip == 0 && self.take == self.count && self.span == i64::from(self.count)
    }

    /// The records at or after `from`, until their bytes reach `max_bytes`, but at least one. `None`: there is none.
    /// The second is the offset after the last one, the third the bytes that they take.
    pub(crate) fn select(&self, from: i64, max_bytes: usize) -> Option<(Self, i64, usize)> {
        if from <= self.base && self.arena.len() <= max_bytes && self.skip == 0 && self.take == self.count && self.count > 0 {
            return Some((self.clone(), self.next_offset(), self.arena.len()));
        }
        let mut walk = Table::new(&self.table);
        let (mut skip, mut take, mut bytes, mut next) = (0_u32, 0_u32, 0_usize, from);
        while let Some(e) = walk.next() {
            let offset = self.base + e.relative;
            if offset < from {
                skip += 1;
                continue;
            }
            let len = e.key.map_or(0, |r| r.len()) + e.value.map_or(0, |r| r.len());
            if take > 0 && bytes + len > max_bytes {
                break;
            }
            take += 1;
            bytes += len;
            next = offset + 1;
        }
        if take == 0 {
            return None;
        }
        if skip + take == self.count {
            next = self.next_offset();
        }
        Some((Self { skip, take, ..self.clone() }, next, bytes))
    }

    pub(crate) fn has_keyless(&self) -> bool {
        let mut walk = Table::new(&self.table);
        std::iter::from_fn(|| walk.next()).any(|e| e.key.is_none())
    }

    pub(crate) fn header_set(&self, number: u32) -> &[u8] {
        let range = (number as usize).checked_sub(1).and_then(|i| self.header_sets.get(i));
        range.and_then(|r| self.headers.get(r.start as usize..r.end as usize)).unwrap_or_default()
    }
}

/// What [`pick`] took.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) blocks: Vec<Block>,
    /// From where to read on.
    pub(crate) next: i64,
    /// The block of which only a part was taken.
    pub(crate) partial: Option<Block>,
}

/// The records at or after `from` of blocks that follow one another, until their bytes reach `max_bytes`, at least one if there is one.
pub(crate) fn pick<'a>(blocks: impl Iterator<Item = &'a Block>, from: i64, max_bytes: usize) -> Picked {
    let mut out = Picked { blocks: Vec::new(), next: from, partial: None };
    let mut left = max_bytes;
    for block in blocks {
        if !out.blocks.is_empty() && left == 0 {
            break;
        }
        let Some((part, next, bytes)) = block.select(out.next, left) else { continue };
        if !out.blocks.is_empty() && bytes > left {
            break;
        }
        left = left.saturating_sub(bytes);
        out.next = next;
        out.blocks.push(part);
        if next != block.next_offset() {
            out.partial = Some(block.clone());
            break;
        }
    }
    out
}

/// Where each header set lies: a set is the number of headers, then name and value of each.
pub(crate) fn header_sets(bytes: &[u8]) -> Option<Vec<Range<u32>>> {
    let mut r = Reader::new(bytes);
    let mut out = Vec::new();
    let at = |r: &Reader<'_>| u32::try_from(bytes.len() - r.remaining()).ok();
    while !r.is_empty() {
        let start = at(&r)?;
        for _ in 0..r.varint()? {
            std::str::from_utf8(r.bytes()?).ok()?;
            r.bytes()?;
        }
        out.push(start..at(&r)?);
    }
    Some(out)
}
