use crate::block::Block;
use crate::builder::RecordsBuilder;
use crate::error::Result;
use crate::records::{Headers, Records};
use std::collections::{BTreeMap, HashMap};

/// The newest record of each key of one partition, with its original offset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compacted {
    offset_of: HashMap<Box<[u8]>, i64>,
    records: BTreeMap<i64, Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    key: Box<[u8]>,
    value: Option<Box<[u8]>>,
    headers: Box<[u8]>,
    timestamp_ms: i64,
}

impl Compacted {
    /// Takes in newer records. Records without a key were refused before.
    pub(crate) fn apply(&mut self, block: &Block) {
        for r in &Records::from_blocks(vec![block.clone()]) {
            let key: Box<[u8]> = r.key.unwrap_or_default().into();
            if let Some(old) = self.offset_of.insert(key.clone(), r.offset) {
                self.records.remove(&old);
            }
            let kept =
                Kept { key, value: r.value.map(Into::into), headers: r.headers.encoded().into(), timestamp_ms: r.timestamp_ms };
            self.records.insert(r.offset, kept);
        }
    }

    /// Forgets keys whose newest record is a tombstone from before that time.
    pub(crate) fn forget_tombstones(&mut self, before_ms: i64) {
        let offset_of = &mut self.offset_of;
        self.records.retain(|_, kept| {
            let keep = kept.value.is_some() || kept.timestamp_ms >= before_ms;
            if !keep {
                offset_of.remove(&kept.key);
            }
            keep
        });
    }

    /// The records at or after `from` until their bytes reach `max_bytes`, at least one if there is one, and the offset from
    /// which to read on, given the partition's next offset.
    pub(crate) fn read(&self, from: i64, next: i64, max_bytes: usize) -> Result<(Records, i64)> {
        let mut builder = RecordsBuilder::new();
        let mut expected = from;
        let mut read_on = next;
        let mut bytes = 0_usize;
        for (&offset, kept) in self.records.range(from..) {
            let len = kept.key.len() + kept.value.as_ref().map_or(0, |v| v.len());
            if !builder.is_empty() && bytes.saturating_add(len) > max_bytes {
                read_on = offset;
                break;
            }
            bytes = bytes.saturating_add(len);
            builder.copy_after_gap(
                offset - expected,
                Some(&kept.key),
                kept.value.as_deref(),
                Headers::from_encoded(&kept.headers),
                kept.timestamp_ms,
            )?;
            expected = offset + 1;
        }
        let records = if builder.is_empty() { Records::default() } else { Records::from_blocks(vec![builder.into_block(from)?]) };
        Ok((records, read_on))
    }

    /// All records as blocks of bounded size, to be carried over.
    pub(crate) fn blocks(&self, next: i64) -> Result<Vec<Block>> {
        let mut out = Vec::new();
        let mut from = 0;
        while from < next {
            let (records, read_on) = self.read(from, next, 8 << 20)?;
            out.extend(records.blocks().iter().cloned());
            from = read_on;
        }
        Ok(out)
    }
}
