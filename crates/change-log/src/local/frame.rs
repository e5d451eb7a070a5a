//! What a segment file is made of: frames, each one act on the log.
//!
//! ```text
//! magic u32 | header length u32 | body length u64 | sequence u64 | durable u64 | written u64 | kind u8, 3 zeros | crc u32
//! payload (header length - 48 bytes)
//! body
//! ```
//! - The check sum covers the 44 bytes before it and the payload, and is seeded with the log's identity, so that neither a frame of another log nor
//!   one that is part of somebody's data is taken for a frame.
//! - The body holds blocks of records one after the other; the payload lists them, each with its own check sum. So every byte is
//!   covered exactly once, a header can be trusted without its body, and one block can be read without the others.
//! - `sequence` counts the frames of the whole log: one that is missing is noticed.
//! - `durable` is the length of the segment up to which it had been flushed when the frame was written. A broken frame followed by one that
//!   says it had been flushed is damage; a broken one without is the torn tail of a crash, which nobody was promised.

use crate::codec::Reader;

pub(super) const MAGIC: u32 = 0x3147_4c43; // "CLG1"
pub(super) const FIXED: usize = 48;
pub(super) const ENTRY: usize = 28;
/// More than any header has: 65,536 topics of 1,000 partitions would need it.
pub(super) const MAX_HEADER: usize = 1 << 30;

/// What a frame does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The first of a segment: all topics, offsets, producers, and the records of compacted topics.
    Head = 1,
    /// Records.
    Transaction = 2,
    /// A new topic.
    TopicCreated = 3,
    /// A topic that is no more.
    TopicDeleted = 4,
    /// A producer that fences its predecessors.
    Producer = 5,
    /// Nothing but its `durable`: written when the log is opened and closed.
    Marker = 6,
}

impl Kind {
    fn from_u8(v: u8) -> Option<Self> {
        Some(match v {
            1 => Self::Head,
            2 => Self::Transaction,
            3 => Self::TopicCreated,
            4 => Self::TopicDeleted,
            5 => Self::Producer,
            6 => Self::Marker,
            _ => return None,
        })
    }
}

/// The fixed part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) header_len: usize,
    pub(super) body_len: u64,
    pub(super) sequence: u64,
    pub(super) durable: u64,
    pub(super) written_ms: i64,
}

/// A block in the body of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockEntry {
    pub(super) topic: u32,
    pub(super) partition: i32,
    pub(super) base: i64,
    pub(super) count: u32,
    pub(super) len: u32,
    pub(super) crc: u32,
}

/// The bytes of a frame before its body.
pub(super) fn encode(
    kind: Kind,
    sequence: u64,
    durable: u64,
    written_ms: i64,
    payload: &[u8],
    body_len: u64,
    seed: u32,
) -> Vec<u8> {
    let header_len = FIXED + payload.len();
    let mut out = Vec::with_capacity(header_len);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&(header_len as u32).to_le_bytes());
    out.extend_from_slice(&body_len.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(&written_ms.to_le_bytes());
    out.extend_from_slice(&[kind as u8, 0, 0, 0]);
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&out);
    hasher.update(payload);
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// Reads the fixed part; `None` if it cannot be one. Nothing is certain before [`is_intact`].
pub(super) fn parse(fixed: &[u8]) -> Option<Header> {
    let mut r = Reader::new(fixed.get(..FIXED)?);
    if r.u32()? != MAGIC {
        return None;
    }
    let header_len = r.u32()? as usize;
    if !(FIXED..=MAX_HEADER).contains(&header_len) {
        return None;
    }
    let (body_len, sequence, durable, written_ms) = (r.u64()?, r.u64()?, r.u64()?, r.i64()?);
    let kind = Kind::from_u8(r.u8()?)?;
    Some(Header { kind, header_len, body_len, sequence, durable, written_ms })
}

/// True if the check sum of a whole header is right.
pub(super) fn is_intact(header: &[u8], seed: u32) -> bool {
    let (Some(before), Some(sum), Some(payload)) = (header.get(..FIXED - 4), header.get(FIXED - 4..FIXED), header.get(FIXED..))
    else {
        return false;
    };
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(before);
    hasher.update(payload);
    hasher.finalize().to_le_bytes() == sum
}

impl BlockEntry {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.topic.to_le_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// The entries of a payload's rest; `None` if it is no whole number of them, or their lengths are not those of the body.
    pub(super) fn read_all(bytes: &[u8], body_len: u64) -> Option<Vec<Self>> {
        let mut r = Reader::new(bytes);
        let mut out = Vec::with_capacity(bytes.len() / ENTRY);
        let mut total = 0_u64;
        while !r.is_empty() {
            let e = Self { topic: r.u32()?, partition: r.i32()?, base: r.i64()?, count: r.u32()?, len: r.u32()?, crc: r.u32()? };
            total = total.checked_add(u64::from(e.len))?;
            out.push(e);
        }
        (total == body_len).then_some(out)
    }
}

/// A head's payload is its state, with the length before it, and the entries.
pub(super) fn split_head(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut r = Reader::new(payload);
    let n = r.u32()? as usize;
    let state = r.take(n)?;
    Some((state, r.take(r.remaining())?))
}
