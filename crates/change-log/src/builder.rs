use crate::block::{self, Block};
use crate::codec::{put_bytes, put_varint, put_zigzag};
use crate::error::{Error, ErrorKind, Result};
use crate::records::{Headers, Records};
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;

/// The most bytes of keys and values (and of headers, and of the table) that one [`RecordsBuilder`] holds: 1 GiB.
pub const MAX_BATCH_BYTES: usize = 1 << 30;

/// A block ends once it holds so many bytes: what is read, checked and kept in memory at least is one block.
const BLOCK_BYTES: usize = 1 << 20;

/// A set of headers of one [`RecordsBuilder`], stored once however many records carry it.
///
/// A set belongs to the builder that made it; another builder refuses it or takes its own set of that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HeaderSet(u32);

impl HeaderSet {
    /// No headers; of every builder.
    pub const NONE: Self = Self(0);
}

/// Builds a [`Records`].
///
/// Two ways in: [`push`](Self::push) copies key and value; an encoder that can write into a `Vec` writes into
/// [`arena`](Self::arena) and then says with [`commit`](Self::commit) which ranges are key and value, without a copy. A range may be
/// used by several records (an event and its tombstone share the key), and bytes that no record uses do no harm. Whoever writes in
/// place says with [`may_break`](Self::may_break) where a large batch may be cut into blocks.
///
/// ```
/// # fn main() -> change_log::Result<()> {
/// use change_log::{HeaderSet, RecordsBuilder};
/// let mut b = RecordsBuilder::new();
/// b.push(Some(b"1"), Some(b"copied"), HeaderSet::NONE, 1_700_000_000_000)?;
/// let arena = b.arena();
/// let start = arena.len();
/// arena.extend_from_slice(b"2");
/// let middle = arena.len();
/// arena.extend_from_slice(b"in place");
/// let end = arena.len();
/// b.commit(Some(start..middle), Some(middle..end), HeaderSet::NONE, 1_700_000_000_000)?;
/// b.commit(Some(start..middle), None, HeaderSet::NONE, 1_700_000_000_000)?;
/// let records = b.finish();
/// assert_eq!(records.iter().filter_map(|r| r.value).collect::<Vec<_>>(), [&b"copied"[..], b"in place"]);
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct RecordsBuilder {
    /// Blocks that are complete, and what they hold.
    blocks: Vec<Block>,
    bytes: usize,
    count: usize,
    next_relative: i64,
    /// All header sets.
    sets: Vec<Range<u32>>,
    set_bytes: Vec<u8>,
    interned: HashMap<Box<[u8]>, u32>,
    scratch: Vec<u8>,
    open: OpenBlock,
}

/// The block that is being written.
#[derive(Debug, Default)]
struct OpenBlock {
    arena: Vec<u8>,
    table: Vec<u8>,
    headers: Vec<u8>,
    header_sets: Vec<Range<u32>>,
    /// The number that a header set of the batch has in this block; 0: none yet.
    numbers: Vec<u32>,
    count: u32,
    cursor: usize,
    next_relative: i64,
    last_timestamp_ms: i64,
    last_headers: u32,
}

impl RecordsBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty builder with room for so many bytes of keys and values, as far as they share a block.
    pub fn with_capacity(bytes: usize) -> Self {
        let arena = Vec::with_capacity(bytes.min(BLOCK_BYTES));
        Self { open: OpenBlock { arena, ..OpenBlock::default() }, ..Self::default() }
    }

    /// The set of these headers; the same set for the same headers.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if all header sets together exceed [`MAX_BATCH_BYTES`].
    pub fn headers(&mut self, headers: &[(&str, &[u8])]) -> Result<HeaderSet> {
        if headers.is_empty() {
            return Ok(HeaderSet::NONE);
        }
        let mut encoded = std::mem::take(&mut self.scratch);
        encoded.clear();
        put_varint(&mut encoded, headers.len() as u64);
        for (name, value) in headers {
            put_bytes(&mut encoded, name.as_bytes());
            put_bytes(&mut encoded, value);
        }
        let set = self.intern(&encoded);
        self.scratch = encoded;
        set
    }

    fn intern(&mut self, encoded: &[u8]) -> Result<HeaderSet> {
        if encoded.is_empty() {
            return Ok(HeaderSet::NONE);
        }
        if let Some(&n) = self.interned.get(encoded) {
            return Ok(HeaderSet(n));
        }
        let end = self.set_bytes.len().saturating_add(encoded.len());
        if end > MAX_BATCH_BYTES {
            return Err(Error::too_large("the headers of a batch", MAX_BATCH_BYTES));
        }
        let start = self.set_bytes.len() as u32;
        self.set_bytes.extend_from_slice(encoded);
        self.sets.push(start..end as u32);
        let number = self.sets.len() as u32;
        self.interned.insert(encoded.into(), number);
        Ok(HeaderSet(number))
    }

    /// Adds a record, copying key and value. Like [`may_break`](Self::may_break) it may begin a new arena: commit before what was
    /// written in place.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the batch would exceed [`MAX_BATCH_BYTES`], or the header set is of another builder. The record is
    /// not added.
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, headers: HeaderSet, timestamp_ms: i64) -> Result<()> {
        self.may_break();
        self.push_after_gap(0, key, value, headers, timestamp_ms)
    }

    /// The buffer that keys and values are written into, for [`commit`](Self::commit). Only append to it: what is there is of
    /// records that are committed.
    pub fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.open.arena
    }

    /// Says that no range of the [`arena`](Self::arena) so far is going to be used any more. A block that is large enough ends here, and the
    /// arena is empty then: readers and caches deal in whole blocks, so large batches should have such places.
    pub fn may_break(&mut self) {
        if self.open.bytes() >= BLOCK_BYTES && self.open.count > 0 {
            // A block ends with the record that makes it large enough: most are a little larger than the one before.
            let room = self.open.arena.len() + self.open.arena.len() / 16;
            let next = OpenBlock { arena: Vec::with_capacity(room), ..OpenBlock::default() };
            self.end_block(next);
        }
    }

    fn end_block(&mut self, next: OpenBlock) {
        let block = std::mem::replace(&mut self.open, next).into_block(self.next_relative);
        self.bytes += block.encoded_len();
        self.count += block.count as usize;
        self.next_relative = block.next_offset();
        self.blocks.push(block);
    }

    /// Adds a record whose key and value are these ranges of [`arena`](Self::arena).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a range is not within the arena, the batch exceeds [`MAX_BATCH_BYTES`], or the header set is of
    /// another builder. The record is not added.
    pub fn commit(
        &mut self,
        key: Option<Range<usize>>,
        value: Option<Range<usize>>,
        headers: HeaderSet,
        timestamp_ms: i64,
    ) -> Result<()> {
        self.entry(0, key, value, headers, timestamp_ms)
    }

    /// Adds a record of another batch, with the offsets that are left out before it.
    pub(crate) fn copy_after_gap(
        &mut self,
        gap: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
        timestamp_ms: i64,
    ) -> Result<()> {
        let set = self.intern(headers.encoded())?;
        self.push_after_gap(gap, key, value, set, timestamp_ms)
    }

    /// Adds a record, copying key and value, with the offsets that are left out before it.
    pub(crate) fn push_after_gap(
        &mut self,
        gap: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: HeaderSet,
        timestamp_ms: i64,
    ) -> Result<()> {
        let arena = &mut self.open.arena;
        let start = arena.len();
        let len = key.map_or(0, <[u8]>::len).saturating_add(value.map_or(0, <[u8]>::len));
        if len > MAX_BATCH_BYTES.saturating_sub(self.bytes.saturating_add(start)) {
            return Err(Error::too_large("a batch of records", MAX_BATCH_BYTES));
        }
        arena.extend_from_slice(key.unwrap_or_default());
        let middle = arena.len();
        arena.extend_from_slice(value.unwrap_or_default());
        let end = arena.len();
        let added = self.entry(gap, key.map(|_| start..middle), value.map(|_| middle..end), headers, timestamp_ms);
        if added.is_err() {
            self.open.arena.truncate(start);
        }
        added
    }

    fn entry(
        &mut self,
        gap: i64,
        key: Option<Range<usize>>,
        value: Option<Range<usize>>,
        headers: HeaderSet,
        timestamp_ms: i64,
    ) -> Result<()> {
        if self.bytes() > MAX_BATCH_BYTES || self.open.count == u32::MAX {
            return Err(Error::too_large("a batch of records", MAX_BATCH_BYTES));
        }
        let headers = self.number(headers)?;
        self.open.entry(gap, key, value, headers, timestamp_ms)
    }

    /// The number that a header set has in the open block.
    fn number(&mut self, set: HeaderSet) -> Result<u32> {
        let Some(index) = (set.0 as usize).checked_sub(1) else { return Ok(0) };
        match self.open.numbers.get(index) {
            Some(&number) if number > 0 => return Ok(number),
            _ => {}
        }
        let bytes = self.sets.get(index).and_then(|r| self.set_bytes.get(r.start as usize..r.end as usize));
        let bytes =
            bytes.ok_or_else(|| Error::new(ErrorKind::Invalid, "the header set is of another builder: ask this one for it"))?;
        Ok(self.open.add_headers(index, bytes))
    }

    /// Records added so far.
    pub fn len(&self) -> usize {
        self.count + self.open.count as usize
    }

    /// True if no record was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held so far: keys, values, headers and the table of records.
    pub fn bytes(&self) -> usize {
        self.bytes + self.open.bytes()
    }

    /// The batch. A buffer that is much larger than its content is cut to size, so that the batch holds what
    /// [`Records::bytes`] says.
    pub fn finish(mut self) -> Records {
        if self.open.count > 0 {
            self.end_block(OpenBlock::default());
        }
        match self.blocks.is_empty() {
            true => Records::default(),
            false => Records::from_blocks(self.blocks),
        }
    }

    /// The batch as one block; only for those who never came to a [`may_break`](Self::may_break): what it ended would be lost.
    pub(crate) fn into_block(self, base: i64) -> Result<Block> {
        match self.blocks.len() {
            0 => Ok(self.open.into_block(base)),
            n => Err(Error::new(
                ErrorKind::Invalid,
                format!("a batch of {n} blocks and more was asked for as one: a fault of ours"),
            )),
        }
    }
}

impl OpenBlock {
    fn bytes(&self) -> usize {
        self.arena.len() + self.table.len() + self.headers.len()
    }

    fn add_headers(&mut self, index: usize, encoded: &[u8]) -> u32 {
        let start = self.headers.len() as u32;
        self.headers.extend_from_slice(encoded);
        self.header_sets.push(start..self.headers.len() as u32);
        let number = self.header_sets.len() as u32;
        if self.numbers.len() <= index {
            self.numbers.resize(index + 1, 0);
        }
        if let Some(slot) = self.numbers.get_mut(index) {
            *slot = number;
        }
        number
    }

    fn entry(
        &mut self,
        gap: i64,
        key: Option<Range<usize>>,
        value: Option<Range<usize>>,
        headers: u32,
        timestamp_ms: i64,
    ) -> Result<()> {
        for r in [&key, &value].into_iter().flatten() {
            if r.start > r.end || r.end > self.arena.len() {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "the range {}..{} is not within the {} bytes of the arena: commit what was appended to it",
                        r.start,
                        r.end,
                        self.arena.len()
                    ),
                ));
            }
        }
        let mut flags = 0;
        let mut cursor = self.cursor;
        if let Some(r) = &key {
            flags |= block::KEY | if r.start == cursor { 0 } else { block::KEY_AT };
            cursor = cursor.max(r.end);
        }
        if let Some(r) = &value {
            flags |= block::VALUE | if r.start == cursor { 0 } else { block::VALUE_AT };
            cursor = cursor.max(r.end);
        }
        let delta = timestamp_ms.wrapping_sub(self.last_timestamp_ms);
        if delta != 0 {
            flags |= block::TIMESTAMP;
        }
        if headers != self.last_headers {
            flags |= block::HEADERS;
        }
        if gap != 0 {
            flags |= block::GAP;
        }
        let table = &mut self.table;
        table.push(flags);
        if gap != 0 {
            put_varint(table, gap as u64);
        }
        if delta != 0 {
            put_zigzag(table, delta);
        }
        if headers != self.last_headers {
            put_varint(table, u64::from(headers));
        }
        for (r, explicit) in [(key, block::KEY_AT), (value, block::VALUE_AT)] {
            if let Some(r) = r {
                if flags & explicit != 0 {
                    put_varint(table, r.start as u64);
                }
                put_varint(table, r.len() as u64);
            }
        }
        self.cursor = cursor;
        self.next_relative = self.next_relative.saturating_add(gap).saturating_add(1);
        self.last_timestamp_ms = timestamp_ms;
        self.last_headers = headers;
        self.count += 1;
        Ok(())
    }

    fn into_block(self, base: i64) -> Block {
        Block {
            base,
            count: self.count,
            span: self.next_relative,
            skip: 0,
            take: self.count,
            table: frozen(self.table),
            headers: frozen(self.headers),
            header_sets: self.header_sets.into(),
            arena: frozen(self.arena),
        }
    }
}

fn frozen(mut buffer: Vec<u8>) -> Bytes {
    if buffer.capacity() / 2 > buffer.len() {
        buffer.shrink_to_fit();
    }
    Bytes::from(buffer)
}
