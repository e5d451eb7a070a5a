//! Recently appended blocks, so that a reader right behind the writer reads from memory; and blocks that were read in part.

use super::index::{BlockRef, Sealed};
use super::state::PartitionId;
use crate::block::Block;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::Arc;

/// What a block takes beside its bytes.
const OVERHEAD: usize = 256;

fn weight(block: &Block) -> usize {
    block.encoded_len() + OVERHEAD
}

/// The newest blocks of all partitions, within a number of bytes; the oldest go first.
#[derive(Debug)]
pub(super) struct Cache {
    limit: usize,
    bytes: usize,
    order: VecDeque<PartitionId>,
    blocks: HashMap<PartitionId, VecDeque<Block>>,
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, order: VecDeque::new(), blocks: HashMap::new() }
    }

    pub(super) fn push(&mut self, id: PartitionId, block: Block) {
        self.bytes += weight(&block);
        self.order.push_back(id);
        self.blocks.entry(id).or_default().push_back(block);
        while self.bytes > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            // A topic that was removed has left its entries in the order.
            let Some(blocks) = self.blocks.get_mut(&oldest) else { continue };
            if let Some(block) = blocks.pop_front() {
                self.bytes = self.bytes.saturating_sub(weight(&block));
            }
            if blocks.is_empty() {
                self.blocks.remove(&oldest);
            }
        }
    }

    /// The blocks from the one that holds `from` on, if it is here: they are the newest, without a gap.
    pub(super) fn from(&self, id: PartitionId, from: i64) -> Option<impl Iterator<Item = &Block>> {
        let blocks = self.blocks.get(&id)?;
        if from < blocks.front()?.base {
            return None;
        }
        let start = blocks.partition_point(|b| b.next_offset() <= from);
        Some(blocks.range(start..))
    }

    pub(super) fn remove_topic(&mut self, number: u32) {
        let bytes = &mut self.bytes;
        self.blocks.retain(|id, blocks| {
            let keep = id.0 != number;
            if !keep {
                *bytes = bytes.saturating_sub(blocks.iter().map(weight).sum());
            }
            keep
        });
    }
}

/// For each partition the block that its reader has read in part, so that a block much larger than the reader's limit is not read from the file again and again.
#[derive(Debug)]
pub(super) struct Rereads {
    limit: usize,
    bytes: usize,
    blocks: HashMap<PartitionId, Block>,
}

impl Rereads {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, blocks: HashMap::new() }
    }

    pub(super) fn set(&mut self, id: PartitionId, block: Option<Block>) {
        if let Some(old) = self.blocks.remove(&id) {
            self.bytes = self.bytes.saturating_sub(weight(&old));
        }
        let Some(block) = block else { return };
        let weight = weight(&block);
        if weight > self.limit {
            return;
        }
        if self.bytes + weight > self.limit {
            self.blocks.clear();
            self.bytes = 0;
        }
        self.bytes += weight;
        self.blocks.insert(id, block);
    }

    pub(super) fn get(&self, id: PartitionId, from: i64) -> Option<&Block> {
        self.blocks.get(&id).filter(|b| b.base <= from && from < b.next_offset())
    }

    pub(super) fn remove_topic(&mut self, number: u32) {
        let ids: Vec<_> = self.blocks.keys().copied().filter(|id| id.0 == number).collect();
        for id in ids {
            self.set(id, None);
        }
    }
}

/// A partition's blocks in a sealed segment, and the open file.
#[derive(Debug)]
pub(super) struct LoadedSlice {
    pub(super) segment: Arc<Sealed>,
    pub(super) file: File,
    pub(super) blocks: Vec<BlockRef>,
}

/// For each partition the slice that its reader is in, so that the index is read once for each segment and not for each read.
#[derive(Debug, Default)]
pub(super) struct LoadedSlices {
    blocks: usize,
    slices: HashMap<PartitionId, Arc<LoadedSlice>>,
}

impl LoadedSlices {
    /// 32 MiB of them.
    const MAX_BLOCKS: usize = 1 << 20;
    /// And this many open files.
    const MAX_FILES: usize = 64;

    pub(super) fn get(&self, id: PartitionId, from: i64) -> Option<Arc<LoadedSlice>> {
        let slice = self.slices.get(&id)?;
        let range = slice.segment.slices.get(&id)?;
        (range.first <= from && from < range.next).then(|| Arc::clone(slice))
    }

    pub(super) fn set(&mut self, id: PartitionId, slice: Option<Arc<LoadedSlice>>) {
        if let Some(old) = self.slices.remove(&id) {
            self.blocks = self.blocks.saturating_sub(old.blocks.len());
        }
        let Some(slice) = slice else { return };
        if self.slices.len() >= Self::MAX_FILES || self.blocks + slice.blocks.len() > Self::MAX_BLOCKS {
            self.clear();
        }
        self.blocks += slice.blocks.len();
        self.slices.insert(id, slice);
    }

    pub(super) fn clear(&mut self) {
        self.slices.clear();
        self.blocks = 0;
    }
}
