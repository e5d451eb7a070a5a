//! Where the blocks of a sealed segment lie: a file beside it, of which only the table of contents stays in memory.
//!
//! ```text
//! magic u32 | segment length u64 | first sequence u64 | next sequence u64 | newest u64 | partitions u32 | crc u32
//! for each partition: topic u32 | partition u32 | first u64 | next u64 | position in this file u64 | blocks u32 | crc u32
//! for each block: base u64 | count u32 | length u32 | position in the segment u64 | crc u32
//! ```
//! An index is derived: one that is missing or broken is made again from the segment.

use super::directory::{corrupt, io_error, replace};
use super::scan::{End, Scan};
use super::state::PartitionId;
use crate::codec::Reader;
use crate::error::Result;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: u32 = 0x3149_4c43; // "CLI1"
const FIXED: usize = 44;
const SLICE: usize = 40;
const BLOCK: usize = 28;

/// A block in a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockRef {
    pub(super) base: i64,
    pub(super) count: u32,
    pub(super) len: u32,
    pub(super) position: u64,
    pub(super) crc: u32,
}

impl BlockRef {
    pub(super) fn next(&self) -> i64 {
        self.base.saturating_add(i64::from(self.count))
    }
}

/// A segment that is complete.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) path: PathBuf,
    pub(super) len: u64,
    pub(super) next_sequence: u64,
    /// When the newest of its frames was written, milliseconds since the Unix epoch.
    pub(super) newest_ms: i64,
    pub(super) slices: HashMap<PartitionId, Slice>,
    pub(super) seed: u32,
    /// The blocks themselves, where the index could not be written.
    resident: Option<HashMap<PartitionId, Vec<BlockRef>>>,
}

/// The blocks of one partition in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) first: i64,
    pub(super) next: i64,
    at: u64,
    blocks: u32,
    crc: u32,
}

/// What an index is made of.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) path: PathBuf,
    pub(super) len: u64,
    pub(super) first_sequence: u64,
    pub(super) next_sequence: u64,
    pub(super) newest_ms: i64,
    pub(super) blocks: HashMap<PartitionId, Vec<BlockRef>>,
    pub(super) seed: u32,
}

fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("index")
}

fn crc(bytes: &[u8], seed: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

impl Contents {
    /// Writes the index. A failure to write (a full disk) is told and does no harm: the blocks stay in memory, and the index is made again
    /// when the log is opened.
    pub(super) fn seal(self) -> Sealed {
        let sorted: BTreeMap<_, _> = self.blocks.iter().filter(|(_, blocks)| !blocks.is_empty()).collect();
        let mut slices = HashMap::with_capacity(sorted.len());
        let mut body = Vec::new();
        let mut contents = Vec::new();
        for (id, blocks) in &sorted {
            let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { continue };
            let start = body.len();
            for b in blocks.iter() {
                body.extend_from_slice(&b.base.to_le_bytes());
                body.extend_from_slice(&b.count.to_le_bytes());
                body.extend_from_slice(&b.len.to_le_bytes());
                body.extend_from_slice(&b.position.to_le_bytes());
                body.extend_from_slice(&b.crc.to_le_bytes());
            }
            let at = (FIXED + sorted.len() * SLICE + start) as u64;
            let crc = crc(body.get(start..).unwrap_or_default(), self.seed);
            let slice = Slice { first: first.base, next: last.next(), at, blocks: blocks.len() as u32, crc };
            contents.extend_from_slice(&id.0.to_le_bytes());
            contents.extend_from_slice(&id.1.to_le_bytes());
            contents.extend_from_slice(&slice.first.to_le_bytes());
            contents.extend_from_slice(&slice.next.to_le_bytes());
            contents.extend_from_slice(&slice.at.to_le_bytes());
            contents.extend_from_slice(&slice.blocks.to_le_bytes());
            contents.extend_from_slice(&slice.crc.to_le_bytes());
            slices.insert(**id, slice);
        }
        let mut out = Vec::with_capacity(FIXED + contents.len() + body.len());
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.next_sequence.to_le_bytes());
        out.extend_from_slice(&self.newest_ms.to_le_bytes());
        out.extend_from_slice(&(slices.len() as u32).to_le_bytes());
        let mut hasher = crc32fast::Hasher::new_with_initial(self.seed);
        hasher.update(&out);
        hasher.update(&contents);
        out.extend_from_slice(&hasher.finalize().to_le_bytes());
        out.extend_from_slice(&contents);
        out.extend_from_slice(&body);
        let written = replace(&index_path(&self.path), &out);
        if let Err(error) = &written {
            tracing::warn!(segment = %self.path.display(), %error, "cannot write the index of a segment; it stays in memory");
        }
        Sealed {
            path: self.path,
            len: self.len,
            next_sequence: self.next_sequence,
            newest_ms: self.newest_ms,
            slices,
            seed: self.seed,
            resident: written.is_err().then_some(self.blocks),
        }
    }
}

impl Sealed {
    /// Loads a sealed segment's table of contents; without a usable index, makes one from the segment.
    pub(super) fn open(path: &Path, first_sequence: u64, seed: u32, compacted: impl Fn(u32) -> bool) -> Result<Self> {
        let len = fs::metadata(path).map_err(|e| io_error("cannot read", path, e))?.len();
        if let Some(sealed) = read_index(path, first_sequence, seed) {
            if sealed.len != len {
                return Err(corrupt(path, len.min(sealed.len), &format!("it had {} bytes and has {len}", sealed.len)));
            }
            return Ok(sealed);
        }
        tracing::info!(segment = %path.display(), bytes = len, "making the index of a segment again");
        let file = File::open(path).map_err(|e| io_error("cannot open", path, e))?;
        let mut contents = Contents {
            path: path.to_owned(),
            len,
            first_sequence,
            next_sequence: first_sequence,
            newest_ms: 0,
            blocks: HashMap::new(),
            seed,
        };
        let end = Scan { file: &file, path, len, seed, first_sequence, bodies: false }.frames(|frame| {
            contents.next_sequence = frame.header.sequence + 1;
            contents.newest_ms = contents.newest_ms.max(frame.header.written_ms);
            if frame.header.kind == super::frame::Kind::Transaction {
                for (id, block) in frame.blocks() {
                    if !compacted(id.0) {
                        contents.blocks.entry(id).or_default().push(block);
                    }
                }
            }
            Ok(())
        })?;
        if let End::Broken { position, why } = end {
            return Err(corrupt(path, position, why));
        }
        Ok(contents.seal())
    }

    pub(super) fn index_path(&self) -> PathBuf {
        index_path(&self.path)
    }

    /// Reads where the blocks of a partition lie.
    pub(super) fn load(&self, id: PartitionId) -> Result<Vec<BlockRef>> {
        if let Some(resident) = &self.resident {
            return Ok(resident.get(&id).cloned().unwrap_or_default());
        }
        let Some(slice) = self.slices.get(&id) else { return Ok(Vec::new()) };
        let path = self.index_path();
        let mut bytes = vec![0; slice.blocks as usize * BLOCK];
        let read = File::open(&path).and_then(|f| f.read_exact_at(&mut bytes, slice.at));
        read.map_err(|e| io_error("cannot read", &path, e))?;
        let damaged =
            || corrupt(&path, slice.at, "the check sum is wrong (remove this index, it is made again at the next start)");
        if crc(&bytes, self.seed) != slice.crc {
            return Err(damaged());
        }
        let mut r = Reader::new(&bytes);
        let blocks = (0..slice.blocks).map(|_| read_block(&mut r)).collect::<Option<_>>();
        blocks.ok_or_else(damaged)
    }
}

fn read_block(r: &mut Reader<'_>) -> Option<BlockRef> {
    Some(BlockRef { base: r.i64()?, count: r.u32()?, len: r.u32()?, position: r.u64()?, crc: r.u32()? })
}

/// The table of contents; `None` if the file is missing, cut or broken.
fn read_index(path: &Path, first_sequence: u64, seed: u32) -> Option<Sealed> {
    let file = File::open(index_path(path)).ok()?;
    let file_len = file.metadata().ok()?.len();
    let mut fixed = [0; FIXED];
    file.read_exact_at(&mut fixed, 0).ok()?;
    let mut r = Reader::new(&fixed);
    if r.u32()? != MAGIC {
        return None;
    }
    let (len, first, next_sequence, newest_ms) = (r.u64()?, r.u64()?, r.u64()?, r.i64()?);
    let (n, sum) = (r.u32()? as usize, r.u32()?);
    if first != first_sequence || (FIXED + n.checked_mul(SLICE)?) as u64 > file_len {
        return None;
    }
    let mut contents = vec![0; n * SLICE];
    file.read_exact_at(&mut contents, FIXED as u64).ok()?;
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(fixed.get(..FIXED - 4)?);
    hasher.update(&contents);
    if hasher.finalize() != sum {
        return None;
    }
    let mut r = Reader::new(&contents);
    let mut slices = HashMap::with_capacity(n);
    for _ in 0..n {
        let id = (r.u32()?, r.i32()?);
        let slice = Slice { first: r.i64()?, next: r.i64()?, at: r.u64()?, blocks: r.u32()?, crc: r.u32()? };
        if slice.at.checked_add(u64::from(slice.blocks) * BLOCK as u64)? > file_len {
            return None;
        }
        slices.insert(id, slice);
    }
    Some(Sealed { path: path.to_owned(), len, next_sequence, newest_ms, slices, seed, resident: None })
}
