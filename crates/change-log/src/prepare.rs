use crate::block::Block;
use crate::builder::RecordsBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Append, Transaction};
use crate::records::Records;

/// The records of one append as dense blocks, checked as far as that is possible without the log.
#[derive(Debug)]
pub(crate) struct PreparedAppend {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) first_offset: Option<i64>,
    pub(crate) blocks: Vec<PreparedBlock>,
}

/// A block and what goes before and with it in a file.
#[derive(Debug)]
pub(crate) struct PreparedBlock {
    pub(crate) block: Block,
    pub(crate) crc: u32,
}

/// Makes the blocks of a transaction; with a seed, also their check sums. This is the work that needs neither order nor lock, so
/// that it runs in the appending task.
pub(crate) fn prepare(transaction: Transaction, seed: Option<u32>) -> Result<Vec<PreparedAppend>> {
    let mut out = Vec::with_capacity(transaction.appends.len());
    for append in transaction.appends {
        let mut blocks = Vec::with_capacity(append.records.blocks().len());
        for block in append.records.blocks().iter().filter(|b| b.take > 0) {
            let block = if block.is_whole() { block.clone() } else { dense(block)? };
            let crc = seed.map_or(0, |seed| block_crc(&block, seed));
            blocks.push(PreparedBlock { block, crc });
        }
        let Append { topic, partition, first_offset, .. } = append;
        out.push(PreparedAppend { topic, partition, first_offset, blocks });
    }
    Ok(out)
}

impl PreparedAppend {
    /// Checks what only the log knows; `next` is where the partition is before the transaction.
    pub(crate) fn check(&self, compacted: bool, next: i64) -> Result<()> {
        if let Some(expected) = self.first_offset.filter(|expected| *expected != next) {
            return Err(Error::unexpected_offset(&self.topic, self.partition, expected, next));
        }
        if compacted && self.blocks.iter().any(|b| b.block.has_keyless()) {
            return Err(Error::keyless(&self.topic).at_partition(&self.topic, self.partition));
        }
        if next.checked_add(self.records()).is_none() {
            return Err(Error::new(ErrorKind::Invalid, format!("{}/{} has no offsets left", self.topic, self.partition))
                .at_partition(&self.topic, self.partition));
        }
        Ok(())
    }

    pub(crate) fn records(&self) -> i64 {
        self.blocks.iter().map(|b| i64::from(b.block.count)).sum()
    }
}

/// The check sum of a block as it lies in a file. The seed differs from log to log, so that bytes of another log are not taken for this one's.
pub(crate) fn block_crc(block: &Block, seed: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&block.prefix());
    hasher.update(&block.table);
    hasher.update(&block.headers);
    hasher.update(&block.arena);
    hasher.finalize()
}

/// Copies a part of a block, or one with gaps, into a block of its own.
fn dense(block: &Block) -> Result<Block> {
    let mut builder = RecordsBuilder::new();
    for r in &Records::from_blocks(vec![block.clone()]) {
        builder.copy_after_gap(0, r.key, r.value, r.headers, r.timestamp_ms)?;
    }
    builder.into_block(0)
}
