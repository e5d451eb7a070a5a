use crate::block::{Block, Table};
use crate::codec::Reader;
use std::fmt;
use std::sync::Arc;

/// An immutable batch of records of one partition, in offset order. Cloning copies nothing.
///
/// The bytes of all records lie in few large buffers, which live as long as any batch that refers to them: a batch of a few
/// records may hold on to the buffer that they were read or written with.
///
/// Batches come from a [`RecordsBuilder`](crate::RecordsBuilder) (then offsets count from 0 and mean nothing yet) and from
/// [`ChangeLog::read`](crate::ChangeLog::read).
#[derive(Clone)]
pub struct Records {
    blocks: Arc<[Block]>,
}

/// One record of a [`Records`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordRef<'a> {
    /// Its place in the partition. Offsets rise, but not always by one.
    pub offset: i64,
    /// Milliseconds since the Unix epoch, as the producer said.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: Headers<'a>,
}

/// The headers of a record: names and bytes, in the order in which they were given. A name may occur twice.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    encoded: &'a [u8],
}

impl Default for Records {
    fn default() -> Self {
        Self { blocks: Arc::new([]) }
    }
}

impl Records {
    pub(crate) fn from_blocks(blocks: Vec<Block>) -> Self {
        Self { blocks: blocks.into() }
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|b| b.take as usize).sum()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.iter().all(|b| b.take == 0)
    }

    /// Bytes of memory that this batch keeps alive: keys, values, headers and the table of records of every buffer that it
    /// refers to.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(Block::encoded_len).sum()
    }

    /// The offset after the last record; `None` if there is none.
    pub fn end_offset(&self) -> Option<i64> {
        let last = self.blocks.iter().rfind(|block| block.take > 0)?;
        if last.skip + last.take == last.count {
            return Some(last.base + last.span);
        }
        let mut table = Table::new(&last.table);
        let entry = (0..last.skip + last.take).filter_map(|_| table.next()).last()?;
        Some(last.base + entry.relative + 1)
    }

    /// The records, in offset order.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter { blocks: self.blocks.iter(), current: None }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = RecordRef<'a>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("len", &self.len()).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// Iterator over a [`Records`].
#[derive(Debug, Clone)]
pub struct RecordsIter<'a> {
    blocks: std::slice::Iter<'a, Block>,
    current: Option<(&'a Block, Table<'a>, u32)>,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = RecordRef<'a>;

    fn next(&mut self) -> Option<RecordRef<'a>> {
        loop {
            if let Some((block, table, left)) = &mut self.current
                && *left > 0
                && let Some(e) = table.next()
            {
                *left -= 1;
                return Some(RecordRef {
                    offset: block.base + e.relative,
                    timestamp_ms: e.timestamp_ms,
                    key: e.key.and_then(|r| block.arena.get(r)),
                    value: e.value.and_then(|r| block.arena.get(r)),
                    headers: Headers { encoded: block.header_set(e.headers) },
                });
            }
            let block = self.blocks.next()?;
            let mut table = Table::new(&block.table);
            for _ in 0..block.skip {
                table.next();
            }
            self.current = Some((block, table, block.take));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let current = self.current.as_ref().map_or(0, |c| c.2 as usize);
        let n = current + self.blocks.clone().map(|b| b.take as usize).sum::<usize>();
        (n, Some(n))
    }
}

impl<'a> Headers<'a> {
    pub(crate) fn from_encoded(encoded: &'a [u8]) -> Self {
        Self { encoded }
    }

    pub(crate) fn encoded(self) -> &'a [u8] {
        self.encoded
    }

    /// Names and values, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut r = Reader::new(self.encoded);
        let n = r.varint().unwrap_or(0);
        (0..n).map_while(move |_| Some((std::str::from_utf8(r.bytes()?).ok()?, r.bytes()?)))
    }

    /// The value of the first header of that name.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// How many there are.
    pub fn len(self) -> usize {
        Reader::new(self.encoded).varint().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    /// True if there is none.
    pub fn is_empty(self) -> bool {
        self.encoded.is_empty()
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(n, v)| (n, v.escape_ascii().to_string()))).finish()
    }
}
