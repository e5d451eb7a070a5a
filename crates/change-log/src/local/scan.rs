//! Walks the frames of a segment file.

use super::directory::{corrupt, io_error};
use super::frame::{self, BlockEntry, FIXED, Header, Kind};
use super::index::BlockRef;
use super::state::PartitionId;
use crate::error::Result;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const WINDOW: usize = 256 << 10;

/// A frame whose header is intact.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) position: u64,
    pub(super) header: Header,
    pub(super) payload: &'a [u8],
    pub(super) entries: Vec<BlockEntry>,
    /// Where the body begins.
    pub(super) body: u64,
}

impl Frame<'_> {
    /// Where its blocks lie.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (PartitionId, BlockRef)> + '_ {
        let mut position = self.body;
        self.entries.iter().map(move |e| {
            let block = BlockRef { base: e.base, count: e.count, len: e.len, position, crc: e.crc };
            position += u64::from(e.len);
            ((e.topic, e.partition), block)
        })
    }
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the last byte of a frame.
    Whole,
    /// At a frame that is not intact.
    Broken { position: u64, why: &'static str },
}

/// What to walk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) file: &'a File,
    pub(super) path: &'a Path,
    pub(super) len: u64,
    pub(super) seed: u32,
    pub(super) first_sequence: u64,
    /// Also read the bodies and check their sums.
    pub(super) bodies: bool,
}

/// A part of the file in memory.
struct Window<'a> {
    scan: Scan<'a>,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The bytes at a position; `None` if the file ends before.
    fn get(&mut self, position: u64, n: usize) -> Result<Option<&[u8]>> {
        let Some(end) = position.checked_add(n as u64).filter(|&end| end <= self.scan.len) else { return Ok(None) };
        if position < self.start || end > self.start + self.bytes.len() as u64 {
            let size = (self.scan.len - position).min(n.max(WINDOW) as u64) as usize;
            self.bytes.resize(size, 0);
            self.start = position;
            self.scan.file.read_exact_at(&mut self.bytes, position).map_err(|e| io_error("cannot read", self.scan.path, e))?;
        }
        let at = (position - self.start) as usize;
        Ok(self.bytes.get(at..at + n))
    }
}

impl Scan<'_> {
    /// Calls `each` for the intact frames from the beginning up to the end or the first that is not intact.
    pub(super) fn frames(self, mut each: impl FnMut(&Frame<'_>) -> Result<()>) -> Result<End> {
        let mut window = Window { scan: self, start: 0, bytes: Vec::new() };
        let mut position = 0;
        let mut sequence = self.first_sequence;
        while position < self.len {
            let broken = |why| Ok(End::Broken { position, why });
            let Some(fixed) = window.get(position, FIXED)? else { return broken("the file ends in a frame") };
            let Some(header) = frame::parse(fixed) else { return broken("there is no frame") };
            let Some(whole) = window.get(position, header.header_len)? else { return broken("the file ends in a frame") };
            if !frame::is_intact(whole, self.seed) {
                return broken("the check sum of a frame is wrong");
            }
            if header.sequence != sequence {
                return broken("a frame is not the one that follows");
            }
            let payload = whole.get(FIXED..).unwrap_or_default().to_vec();
            let listed = match header.kind {
                Kind::Head => frame::split_head(&payload).map(|(_, entries)| entries),
                Kind::Transaction => Some(payload.as_slice()),
                _ => Some(&[][..]),
            };
            let Some(entries) = listed.and_then(|bytes| BlockEntry::read_all(bytes, header.body_len)) else {
                return broken("a frame does not describe its body");
            };
            let body = position + header.header_len as u64;
            let Some(end) = body.checked_add(header.body_len).filter(|&end| end <= self.len) else {
                return broken("the file ends in a frame");
            };
            if self.bodies && !self.bodies_are_intact(&mut window, body, &entries)? {
                return broken("the check sum of records is wrong");
            }
            each(&Frame { position, header, payload: &payload, entries, body })?;
            position = end;
            sequence += 1;
        }
        Ok(End::Whole)
    }

    fn bodies_are_intact(&self, window: &mut Window<'_>, body: u64, entries: &[BlockEntry]) -> Result<bool> {
        let mut at = body;
        for e in entries {
            let mut hasher = crc32fast::Hasher::new_with_initial(self.seed);
            let mut left = e.len as usize;
            while left > 0 {
                let n = left.min(WINDOW);
                let Some(bytes) = window.get(at, n)? else { return Ok(false) };
                hasher.update(bytes);
                at += n as u64;
                left -= n;
            }
            if hasher.finalize() != e.crc {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells the torn tail of a crash from damage, for a frame that is broken at `position`: if a later frame knows that the file had
    /// been flushed beyond, it is damage.
    pub(super) fn refuse_damage(self, position: u64, why: &str) -> Result<()> {
        let mut window = Window { scan: self, start: 0, bytes: Vec::new() };
        let magic = frame::MAGIC.to_le_bytes();
        let mut at = position + 1;
        while at + FIXED as u64 <= self.len {
            let n = ((self.len - at) as usize).min(WINDOW);
            let found = match window.get(at, n)? {
                Some(bytes) => bytes.windows(magic.len()).position(|w| w == magic),
                None => None,
            };
            let Some(found) = found else {
                at += (n - (magic.len() - 1)) as u64;
                continue;
            };
            at += found as u64;
            if let Some(fixed) = window.get(at, FIXED)?
                && let Some(header) = frame::parse(fixed)
                && header.durable > position
                && let Some(whole) = window.get(at, header.header_len)?
                && frame::is_intact(whole, self.seed)
            {
                return Err(corrupt(self.path, position, why));
            }
            at += 1;
        }
        Ok(())
    }
}
