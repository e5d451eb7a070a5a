//! Reading: from memory where the blocks are there, else from the segment files.

use super::Shared;
use super::cache::LoadedSlice;
use super::directory::{corrupt, io_error};
use super::index::{BlockRef, Sealed};
use super::state::{PartitionId, State};
use crate::block::{Block, Picked, pick};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Fetched;
use crate::records::Records;
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Blocks that are no further apart than this are read at once.
const GAP: u64 = 4 << 10;

/// What a read has to do once it no longer holds the state.
enum Plan {
    /// Nothing more.
    Ready(Fetched),
    /// These blocks, from the oldest needed on.
    Memory { id: PartitionId, blocks: Vec<Block>, next: i64 },
    /// The segment that is appended to.
    Active { id: PartitionId, file: Arc<File>, path: Arc<PathBuf>, refs: Vec<BlockRef>, next: i64 },
    /// A sealed one whose index is loaded.
    Loaded { id: PartitionId, slice: Arc<LoadedSlice>, next: i64 },
    /// A sealed one.
    Sealed { id: PartitionId, segment: Arc<Sealed>, next: i64 },
}

pub(super) async fn read(shared: &Arc<Shared>, topic: &str, partition: i32, from: i64, max_bytes: usize) -> Result<Fetched> {
    let about = |e: Error| e.at_partition(topic, partition).at_offset(from);
    let plan = plan(&mut shared.state(), topic, partition, from, max_bytes)?;
    let (id, next, picked) = match plan {
        Plan::Ready(fetched) => return Ok(fetched),
        Plan::Memory { id, blocks, next } => (id, next, pick(blocks.iter(), from, max_bytes)),
        on_disk => {
            let for_task = Arc::clone(shared);
            let read = tokio::task::spawn_blocking(move || read_from_disk(&for_task, on_disk, from, max_bytes)).await;
            let read = read.map_err(|e| Error::new(ErrorKind::Other, "the task that reads the log has ended").with_source(e));
            match read.and_then(|r| r) {
                Ok(found) => found,
                // Its segment may have gone while it was read.
                Err(e) => {
                    let state = shared.state();
                    let (_, p) = state.partition(topic, partition)?;
                    return Err(if from < p.first {
                        Error::out_of_range(topic, partition, from, p.first, p.next())
                    } else {
                        about(e)
                    });
                }
            }
        }
    };
    shared.state().rereads.set(id, picked.partial);
    Ok(Fetched { records: Records::from_blocks(picked.blocks), next_offset: picked.next, at_end: picked.next == next })
}

fn plan(state: &mut State, topic: &str, partition: i32, from: i64, max_bytes: usize) -> Result<Plan> {
    let (id, p) = state.partition(topic, partition)?;
    let next = p.next();
    if from < p.first || from > next {
        return Err(Error::out_of_range(topic, partition, from, p.first, next));
    }
    if let Some(compacted) = &p.compacted {
        let (records, next_offset) = compacted.read(from, next, max_bytes)?;
        return Ok(Plan::Ready(Fetched { records, next_offset, at_end: next_offset == next }));
    }
    if from == next {
        return Ok(Plan::Ready(Fetched { records: Records::default(), next_offset: next, at_end: true }));
    }
    if let Some(cached) = state.cache.from(id, from) {
        // One block more than the limit: the first may be needed from its middle on.
        let mut bytes = 0;
        let mut blocks = Vec::new();
        for block in cached {
            blocks.push(block.clone());
            if blocks.len() > 1 {
                bytes += block.arena.len();
            }
            if bytes > max_bytes {
                break;
            }
        }
        state.loaded.set(id, None);
        return Ok(Plan::Memory { id, blocks, next });
    }
    if let Some(block) = state.rereads.get(id, from) {
        return Ok(Plan::Memory { id, blocks: vec![block.clone()], next });
    }
    if let Some(slice) = state.loaded.get(id, from) {
        return Ok(Plan::Loaded { id, slice, next });
    }
    let holds = |s: &&Arc<Sealed>| s.slices.get(&id).is_some_and(|slice| slice.first <= from && from < slice.next);
    if let Some(segment) = state.sealed.iter().find(holds) {
        return Ok(Plan::Sealed { id, segment: Arc::clone(segment), next });
    }
    let all = state.active.blocks.get(&id).map(Vec::as_slice).unwrap_or_default();
    let needed = all.get(all.partition_point(|b| b.next() <= from)..).unwrap_or_default();
    let mut refs = Vec::new();
    let mut bytes = 0_usize;
    for &block in needed {
        refs.push(block);
        bytes = bytes.saturating_add(block.len as usize);
        if bytes > max_bytes {
            break;
        }
    }
    if refs.first().is_none_or(|b| b.base > from) {
        let what = format!("no block holds offset {from} of {topic}/{partition}");
        return Err(corrupt(&state.active.path, 0, &what).at_partition(topic, partition).at_offset(from));
    }
    let (file, path) = (Arc::clone(&state.active.file), Arc::clone(&state.active.path));
    state.loaded.set(id, None);
    Ok(Plan::Active { id, file, path, refs, next })
}

fn read_from_disk(shared: &Shared, plan: Plan, from: i64, max_bytes: usize) -> Result<(PartitionId, i64, Picked)> {
    let (id, next, blocks) = match plan {
        Plan::Active { id, file, path, refs, next } => (id, next, read_blocks(&file, &path, &refs, max_bytes, shared.seed)?),
        Plan::Loaded { id, slice, next } => (id, next, read_slice(&slice, from, max_bytes, shared.seed)?),
        Plan::Sealed { id, segment, next } => {
            let file = File::open(&segment.path).map_err(|e| io_error("cannot open", &segment.path, e))?;
            let blocks = segment.load(id)?;
            let slice = Arc::new(LoadedSlice { segment, file, blocks });
            shared.state().loaded.set(id, Some(Arc::clone(&slice)));
            (id, next, read_slice(&slice, from, max_bytes, shared.seed)?)
        }
        Plan::Ready(_) | Plan::Memory { .. } => {
            return Err(Error::new(ErrorKind::Other, "a read from memory was sent to the disk"));
        }
    };
    Ok((id, next, pick(blocks.iter(), from, max_bytes)))
}

fn read_slice(slice: &LoadedSlice, from: i64, max_bytes: usize, seed: u32) -> Result<Vec<Block>> {
    let start = slice.blocks.partition_point(|b| b.next() <= from);
    read_blocks(&slice.file, &slice.segment.path, slice.blocks.get(start..).unwrap_or_default(), max_bytes, seed)
}

/// Reads blocks from the first on until the bytes read reach `max_bytes`, at least one. Near ones are read at once.
fn read_blocks(file: &File, path: &Path, refs: &[BlockRef], max_bytes: usize, seed: u32) -> Result<Vec<Block>> {
    let mut out = Vec::new();
    let mut left = max_bytes as u64;
    let mut rest = refs;
    while let Some(first) = rest.first() {
        let start = first.position;
        let mut end = start + u64::from(first.len);
        if !out.is_empty() && end - start > left {
            break;
        }
        let mut n = 1;
        for b in rest.iter().skip(1) {
            let block_end = b.position + u64::from(b.len);
            if b.position.saturating_sub(end) > GAP || block_end - start > left {
                break;
            }
            end = block_end;
            n += 1;
        }
        let bytes = read_exact(file, path, start, (end - start) as usize)?;
        let (window, after) = rest.split_at_checked(n).unwrap_or((rest, &[]));
        for b in window {
            let at = (b.position - start) as usize;
            out.push(checked(bytes.slice(at..at + b.len as usize), path, *b, seed)?);
        }
        rest = after;
        left = left.saturating_sub(end - start);
        if left == 0 {
            break;
        }
    }
    Ok(out)
}

/// Reads one block.
pub(super) fn read_block(file: &File, path: &Path, block: BlockRef, seed: u32) -> Result<Block> {
    checked(read_exact(file, path, block.position, block.len as usize)?, path, block, seed)
}

/// Reads so many bytes into a buffer that is not zeroed before.
fn read_exact(file: &File, path: &Path, position: u64, len: usize) -> Result<Bytes> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = position.saturating_add(bytes.len() as u64);
        match pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(corrupt(path, position, "the file has become shorter")),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(io_error("cannot read", path, e.into())),
        }
    }
    // The allocator may have given more room than was asked for, and the file may go on.
    bytes.truncate(len);
    Ok(Bytes::from(bytes))
}

fn checked(bytes: Bytes, path: &Path, block: BlockRef, seed: u32) -> Result<Block> {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&bytes);
    if hasher.finalize() != block.crc {
        return Err(corrupt(path, block.position, "the check sum of records is wrong"));
    }
    let parsed = Block::parse(&bytes, block.base).filter(|b| b.count == block.count);
    parsed.ok_or_else(|| corrupt(path, block.position, "records do not make sense"))
}
