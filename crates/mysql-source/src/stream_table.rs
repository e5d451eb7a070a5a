//! One captured table as the stream sees it: what its events mean now, and the changes that were not handed on yet.

use crate::chunk::Watermark;
use crate::decode::RowPlan;
use crate::decode_buffers::RowBuffers;
use crate::decode_error::{DecodeErrorKind, DecodeResult};
use crate::rows_event::{RowsEvent, RowsKind};
use crate::snapshot::as_last_row;
use cdc_core::{
    Change, ChangeBatch, Generation, LogCoordinate, NO_IMAGE, Op, Origin, SnapshotMarker, SourceItem, TableId, TableSchema,
};
use std::collections::HashSet;
use std::sync::Arc;

/// What a table's events mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its columns are being read from the server; events before that are of no use.
    Unread,
    /// Its columns are known as of some moment before `until`: events up to there are part of what the snapshot reads.
    Pending {
        /// The end of the log after the columns were read.
        until: LogCoordinate,
    },
    /// Its events are changes.
    Live,
    /// It has no key and its snapshot waits for its read view: events before the view are part of what the snapshot reads.
    Keyless,
    /// It is not on the server.
    Absent,
    /// It cannot be followed.
    Stopped,
}

/// What was touched while a chunk is read (snapshot protocol, step 1).
#[derive(Debug, Default)]
pub(crate) struct Window {
    touched: HashSet<Box<[u8]>>,
    /// DDL or a truncate came: the chunk is to be read again.
    pub(crate) spoiled: bool,
}

#[derive(Debug)]
struct Unsent {
    buffers: RowBuffers,
    changes: Vec<Change>,
    origins: Vec<Origin>,
}

/// A captured table.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) id: TableId,
    pub(crate) phase: Phase,
    /// The columns of its next event; `None` until they were read.
    pub(crate) schema: Option<Arc<TableSchema>>,
    /// Its newest snapshot.
    pub(crate) generation: Option<Generation>,
    /// Open while a chunk is read.
    pub(crate) window: Option<Window>,
    /// Creates are new once the stream has passed this place.
    pub(crate) new_creates_after: Option<LogCoordinate>,
    /// It was known before and is made anew: what is there goes before its first row comes.
    pub(crate) recreated: bool,
    /// Its rows are to be read, now or from where the reading stopped.
    pub(crate) rows_wanted: bool,
    /// Its rows were read, and from where creates are new is not said yet.
    pub(crate) mark_wanted: bool,
    /// The log has a stop of it, until its next snapshot begins.
    pub(crate) was_stopped: bool,
    /// Which reading of its columns counts: one that was begun earlier is of a table that is not this one any more.
    pub(crate) reading: u32,
    /// It was found when the source began, and may have been made after the place from which the log is read.
    pub(crate) perhaps_new: bool,
    /// It was dropped, renamed away or replaced.
    pub(crate) gone: bool,
    /// The statement that made its columns, if they are not handed on yet.
    pub(crate) ddl: Option<String>,
    pub(crate) estimated_rows: Option<u64>,
    unsent: Option<Unsent>,
}

/// The items of the next batch.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    pub(crate) items: Vec<SourceItem>,
    /// Bytes of decoded rows, in items and in tables.
    pub(crate) bytes: usize,
    /// Row changes, in items and in tables.
    pub(crate) rows: usize,
    /// Tables with unsent changes, by index.
    pub(crate) dirty: Vec<usize>,
}

impl Accumulator {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.dirty.is_empty()
    }
}

impl Captured {
    pub(crate) fn new(id: TableId, phase: Phase) -> Self {
        Self {
            id,
            phase,
            schema: None,
            generation: None,
            window: None,
            new_creates_after: None,
            recreated: false,
            rows_wanted: false,
            mark_wanted: false,
            was_stopped: false,
            reading: 0,
            perhaps_new: false,
            gone: false,
            ddl: None,
            estimated_rows: None,
            unsent: None,
        }
    }

    /// The log says that it is followed, or was.
    pub(crate) fn in_log(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Keyless | Phase::Stopped)
    }

    /// The log has something of it, though it is not followed yet.
    pub(crate) fn known(&self) -> bool {
        self.recreated || self.was_stopped
    }

    /// Appends the changes of a row event, but not its first `skip` rows; returns how many rows the event has.
    pub(crate) fn append(
        &mut self,
        index: usize,
        plan: &RowPlan,
        event: &RowsEvent<'_>,
        skip: u64,
        origin: Origin,
        out: &mut Accumulator,
    ) -> DecodeResult<u64> {
        if self.unsent.as_ref().is_some_and(|u| !Arc::ptr_eq(u.buffers.schema(), plan.schema())) {
            self.flush(out)?;
        }
        match self.append_once(index, plan, event, skip, &origin, out) {
            // A column of the batch is full: begin another one.
            Err(e) if e.kind() == DecodeErrorKind::TooLarge => {
                self.flush(out)?;
                self.append_once(index, plan, event, skip, &origin, out)
            }
            done => done,
        }
    }

    fn append_once(
        &mut self,
        index: usize,
        plan: &RowPlan,
        event: &RowsEvent<'_>,
        skip: u64,
        origin: &Origin,
        out: &mut Accumulator,
    ) -> DecodeResult<u64> {
        let unsent = match &mut self.unsent {
            Some(unsent) => unsent,
            none => none.insert(Unsent {
                buffers: RowBuffers::new(Arc::clone(plan.schema()))?,
                changes: Vec::new(),
                origins: Vec::new(),
            }),
        };
        let (first, bytes) = (unsent.buffers.rows(), unsent.buffers.bytes());
        let rows = plan.decode(event, &mut unsent.buffers)?;
        let image = |row: usize| u32::try_from(row).unwrap_or(NO_IMAGE);
        let origin_index = image(unsent.origins.len());
        unsent.origins.push(origin.clone());
        let images = event.kind.images_per_row();
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(rows);
        if unsent.changes.is_empty() && !out.dirty.contains(&index) {
            out.dirty.push(index);
        }
        unsent.changes.reserve(rows - skip);
        for row in skip..rows {
            let at = first + row * images;
            let (op, before, after) = match event.kind {
                RowsKind::Insert => (Op::Create, NO_IMAGE, image(at)),
                RowsKind::Update => (Op::Update, image(at), image(at + 1)),
                RowsKind::Delete => (Op::Delete, image(at), NO_IMAGE),
            };
            unsent.changes.push(Change {
                op,
                before,
                after,
                origin: origin_index,
                row: image(row),
                marker: SnapshotMarker::False,
            });
        }
        if let Some(window) = &mut self.window {
            let mut key = Vec::new();
            for row in first..unsent.buffers.rows() {
                key.clear();
                unsent.buffers.append_key(row, &plan.schema().key, &mut key);
                if !window.touched.contains(key.as_slice()) {
                    window.touched.insert(key.as_slice().into());
                }
            }
        }
        out.bytes += unsent.buffers.bytes().saturating_sub(bytes) + rows * size_of::<Change>();
        out.rows += rows - skip;
        Ok(rows as u64)
    }

    /// How many changes wait for the next item.
    pub(crate) fn unsent_changes(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.changes.len())
    }

    /// Removes the last of the changes that wait, until so many are left.
    pub(crate) fn take_back(&mut self, left: usize, out: &mut Accumulator) {
        if let Some(unsent) = &mut self.unsent {
            out.rows = out.rows.saturating_sub(unsent.changes.len().saturating_sub(left));
            unsent.changes.truncate(left);
        }
    }

    /// Makes an item of the changes that were not handed on yet, so that what follows comes after them.
    pub(crate) fn flush(&mut self, out: &mut Accumulator) -> DecodeResult<()> {
        if let Some(mut unsent) = self.unsent.take()
            && !unsent.changes.is_empty()
        {
            let schema = Arc::clone(unsent.buffers.schema());
            let images = unsent.buffers.finish()?;
            out.items.push(SourceItem::Changes(ChangeBatch { schema, images, changes: unsent.changes, origins: unsent.origins }));
        }
        Ok(())
    }

    /// Appends the rows of a chunk, less those whose key an event has touched since the window was opened: whatever the chunk
    /// shows of them, the log has it from the event, or will. Returns how many were appended.
    ///
    /// `first` and `last` mark the first row and, if the table ends here, the last.
    pub(crate) fn append_snapshot(
        &mut self,
        mut rows: RowBuffers,
        origin: Origin,
        first: Option<SnapshotMarker>,
        last: Option<SnapshotMarker>,
        out: &mut Accumulator,
    ) -> DecodeResult<u64> {
        self.flush(out)?;
        let schema = Arc::clone(rows.schema());
        let touched = self.window.take().map(|w| w.touched).unwrap_or_default();
        let mut changes = Vec::with_capacity(rows.rows());
        let mut key = Vec::new();
        for row in 0..rows.rows() {
            if !touched.is_empty() {
                key.clear();
                rows.append_key(row, &schema.key, &mut key);
                if touched.contains(key.as_slice()) {
                    continue;
                }
            }
            let after = u32::try_from(row).unwrap_or(NO_IMAGE);
            changes.push(Change { op: Op::Read, before: NO_IMAGE, after, origin: 0, row: 0, marker: SnapshotMarker::True });
        }
        if let (Some(change), Some(marker)) = (changes.first_mut(), first) {
            change.marker = marker;
        }
        if let (Some(change), Some(last)) = (changes.last_mut(), last) {
            change.marker = as_last_row(change.marker, last);
        }
        let appended = changes.len();
        if appended > 0 {
            out.bytes += rows.bytes() + appended * size_of::<Change>();
            out.rows += appended;
            let images = rows.finish()?;
            out.items.push(SourceItem::Changes(ChangeBatch { schema, images, changes, origins: vec![origin] }));
        }
        Ok(appended as u64)
    }
}

/// A chunk that was read, and waits for the stream.
pub(crate) struct Waiting<T> {
    pub(crate) table: usize,
    pub(crate) generation: u64,
    pub(crate) until: Watermark,
    pub(crate) what: T,
}
