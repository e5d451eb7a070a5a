use crate::error::Result;
use crate::memory::log::{MemoryKind, MemoryRecord};
use crate::memory::table::MemoryFiles;
use crate::span::Span;
use crate::writer::{Place, SpanWriter, Written};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug)]
struct Slot {
    /// The first event decides the delete.
    delete: bool,
    /// The last event decides the row.
    row: Option<String>,
}

/// Collapses the records of a span by key: the first event decides whether a delete is needed, the last one the row.
#[derive(Debug, Default)]
pub struct MemoryWriter {
    slots: BTreeMap<String, Slot>,
    records: u64,
    bytes: usize,
    newest: i64,
    abandoned: usize,
}

impl MemoryWriter {
    /// A writer without an open span.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many spans were written and never offered.
    pub fn abandoned(&self) -> usize {
        self.abandoned
    }
}

#[async_trait]
impl SpanWriter for MemoryWriter {
    type Records = Vec<MemoryRecord>;
    type Files = Arc<MemoryFiles>;

    async fn restart(&mut self, _at: &[Span]) -> Result<()> {
        *self = Self { abandoned: self.abandoned, ..Self::default() };
        Ok(())
    }

    async fn write(&mut self, place: &Place<'_>, records: Vec<MemoryRecord>) -> Result<()> {
        for record in records.into_iter().filter(|record| record.kind != MemoryKind::Tombstone) {
            self.records = self.records.saturating_add(1);
            self.bytes = self.bytes.saturating_add(record.key.len()).saturating_add(record.value.len());
            self.newest = self.newest.max(record.offset);
            let row = match record.kind {
                MemoryKind::Delete => None,
                _ => Some(format!("{}@{}", record.value, place.facts.schema_version)),
            };
            let new = record.kind == MemoryKind::Create && !place.touched;
            let slot = self.slots.entry(record.key).or_insert_with(|| Slot { delete: !new, row: None });
            slot.row = row;
        }
        Ok(())
    }

    fn open(&self) -> (u64, usize) {
        (self.records, self.bytes)
    }

    async fn finish(&mut self) -> Result<Written<Arc<MemoryFiles>>> {
        let done = std::mem::replace(self, Self { abandoned: self.abandoned, ..Self::default() });
        let (mut rows, mut deletes) = (Vec::new(), Vec::new());
        let mut skips_deletes = false;
        for (key, slot) in done.slots {
            if slot.delete {
                deletes.push(key.clone());
            } else {
                skips_deletes = true;
            }
            if let Some(row) = slot.row {
                rows.push((key, row));
            }
        }
        let files = (done.records > 0).then(|| MemoryFiles::new(rows, deletes));
        Ok(Written { files, source_ts_us: done.newest, skips_deletes })
    }

    fn abandon(&mut self, _files: Arc<MemoryFiles>) {
        self.abandoned = self.abandoned.saturating_add(1);
    }
}
