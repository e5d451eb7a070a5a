//! The task behind a source: it reads the log, merges what is read from tables into it, and hands on batches.

use crate::chunk::{Chunk, ChunkFailure, ChunkRange, Watermark, at_or_after};
use crate::config::{MysqlSourceConfig, SnapshotMode};
use crate::connection::Connection;
use crate::event::EventReader;
use crate::retry::{Failing, LogHealth};
use crate::snapshot::{Described, Done, Found, Job, Jobs, Markers, Resume, ToDescribe, new_generation};
use crate::snapshot_keyless::Keyless;
use crate::stream::Stream;
use crate::stream_log::{LogConnection, LogFailure};
use crate::stream_table::{Phase, Waiting, Window};
use cdc_core::{
    BarrierKind, Error, ErrorKind, GenerationState, LogCoordinate, Origin, Result, SourceBatch, SourceItem, StopReason, TableId,
    TransactionInfo,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

/// Events that are taken in before the consumer is looked at again.
const EVENTS_AT_ONCE: usize = 256;

pub(crate) struct Engine {
    pub(crate) config: MysqlSourceConfig,
    pub(crate) stream: Stream,
    pub(crate) jobs: Jobs,
    reader: EventReader,
    log: Option<LogConnection>,
    /// Chunks that were read, and wait until the stream has passed what they show.
    waiting: Vec<Waiting<Result<Chunk, ChunkFailure>>>,
    /// Tables whose rows are to be read.
    queue: VecDeque<usize>,
    pub(crate) keyless_queue: VecDeque<usize>,
    /// Tables with a key that are being read.
    reading: usize,
    pub(crate) keyless: Option<Keyless>,
    /// The stream stands still, at a place where a keyless table is read.
    pub(crate) paused: bool,
    /// The bytes of a row: as the server estimates them, then as the last chunk had them.
    sizes: BTreeMap<TableId, u64>,
    pub(crate) markers: Markers,
    last_batch: Instant,
    pub(crate) log_health: LogHealth,
    /// Keyless tables whose reading was cut off, by index and by which reading of their columns it was.
    pub(crate) keyless_failing: BTreeMap<(usize, u32), Failing>,
    started: bool,
}

enum Woken {
    Consumer,
    Job(Option<Box<Done>>),
    Keyless(Option<crate::snapshot::KeylessRows>),
    Event(Result<(), LogFailure>),
    Tick,
}

impl Engine {
    pub(crate) fn new(config: MysqlSourceConfig, stream: Stream, log: LogConnection, connection: Connection) -> Self {
        Self {
            jobs: Jobs::new(config.clone(), connection),
            config,
            stream,
            reader: EventReader::new(),
            log: Some(log),
            waiting: Vec::new(),
            queue: VecDeque::new(),
            keyless_queue: VecDeque::new(),
            reading: 0,
            keyless: None,
            paused: false,
            sizes: BTreeMap::new(),
            markers: Markers::default(),
            last_batch: Instant::now(),
            log_health: LogHealth::new(),
            keyless_failing: BTreeMap::new(),
            started: false,
        }
    }

    /// Runs until the source is dropped, has ended, or fails.
    pub(crate) async fn run(mut self, batches: &Sender<Result<SourceBatch>>) -> Result<()> {
        loop {
            if self.stream.settled() {
                self.at_boundary()?;
            }
            // What was read of a transaction before the connection was lost waits for the rest of it.
            let between = self.stream.settled();
            if between && self.is_finished() {
                let batch = self.take_batch()?;
                // The consumer is gone: there is nobody to tell.
                let _ = batches.send(Ok(batch)).await;
                return Ok(());
            }
            let split = self.stream.must_split();
            let held = &self.stream.out;
            let full = split || (between && self.is_full());
            let idle_due = self.last_batch + self.config.idle_position_interval;
            // A new table is said before any position that is past its making: who waits for a position sees it.
            let whole =
                between && (full || !self.stream.tables.iter().any(|t| matches!(t.phase, Phase::Unread | Phase::Pending { .. })));
            let due = split || (whole && (!held.is_empty() || (self.stream.moved && Instant::now() >= idle_due)));
            if let Some(name) = self.stream.prepared.next_to_seek()
                && let Some(before) = self.stream.transaction_start().cloned()
            {
                self.jobs.spawn(Job::Prepared { name, before });
            }
            let read = !full && !self.paused && !self.stream.prepared.is_sought();
            let tick = if self.stream.moved && whole && !due { idle_due } else { Instant::now() + Duration::from_secs(3600) };
            let Self { log, jobs, keyless, .. } = &mut self;
            let woken = tokio::select! {
                biased;
                permit = batches.reserve(), if due => match permit {
                    Ok(_) => Woken::Consumer,
                    Err(_) => return Ok(()),
                },
                done = jobs.next(), if !jobs.is_empty() => Woken::Job(done.map(Box::new)),
                rows = Keyless::next(keyless.as_mut()), if !full => Woken::Keyless(rows),
                event = wait_for_event(log), if read => Woken::Event(event),
                () = tokio::time::sleep_until(tick) => Woken::Tick,
                () = batches.closed() => return Ok(()),
            };
            match woken {
                Woken::Consumer => {
                    let batch = self.take_batch()?;
                    if batches.send(Ok(batch)).await.is_err() {
                        return Ok(());
                    }
                }
                Woken::Job(Some(done)) => self.job_done(*done)?,
                Woken::Job(None) => {
                    return Err(Error::new(ErrorKind::Other, "reading a table ended in a defect of this program"));
                }
                Woken::Keyless(rows) => self.keyless_rows(rows)?,
                Woken::Event(arrived) => self.events(arrived)?,
                Woken::Tick => {}
            }
        }
    }

    fn take_batch(&mut self) -> Result<SourceBatch> {
        self.last_batch = Instant::now();
        let items = self.stream.take_items()?;
        Ok(SourceBatch { items, position: self.stream.position_now() })
    }

    /// Takes in the event that arrived and those that are there already.
    fn events(&mut self, arrived: Result<(), LogFailure>) -> Result<()> {
        if let Err(failure) = arrived {
            return self.log_failed(failure);
        }
        for n in 1..=EVENTS_AT_ONCE {
            let Some(log) = &mut self.log else { return Ok(()) };
            let event = self.reader.read(log.raw())?;
            self.stream.event(&event)?;
            let full = self.is_full() || self.stream.must_split();
            let stop_here = self.stream.settled() && (full || self.has_business());
            // What is polled must be taken in: an event stays with the driver only as long as it was not asked for.
            if stop_here || self.stream.must_split() || self.stream.prepared.is_sought() || n == EVENTS_AT_ONCE {
                return Ok(());
            }
            let Some(log) = &mut self.log else { return Ok(()) };
            match log.poll() {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(failure)) => return self.log_failed(failure),
            }
        }
        Ok(())
    }

    /// As much is held as is handed on at once: the consumer is to take it first.
    fn is_full(&self) -> bool {
        let held = &self.stream.out;
        held.bytes >= self.config.memory_bytes / 2 || held.rows >= self.config.batch_rows
    }

    /// Something waits for the stream to come to a certain place.
    fn has_business(&self) -> bool {
        !self.waiting.is_empty() || self.keyless.is_some() || self.stream.watched > 0 || !self.stream.unread.is_empty()
    }

    fn log_failed(&mut self, failure: LogFailure) -> Result<()> {
        match failure {
            LogFailure::Fatal(e) => Err(e),
            LogFailure::Lost(e) => {
                self.log = None;
                self.reader = EventReader::new();
                self.log_lost(e)
            }
        }
    }

    fn job_done(&mut self, mut done: Done) -> Result<()> {
        self.jobs.keep(done.connection.take());
        let found = match std::mem::replace(&mut done.found, Ok(Found::Nothing)) {
            Ok(found) => found,
            Err(e) => return self.job_failed(done, e),
        };
        match found {
            Found::Nothing => Ok(()),
            Found::Log(log) => {
                tracing::info!("the binary log is read again");
                self.log_health.connected(Instant::now(), done.failing, self.stream.position_now().log);
                self.log = Some(*log);
                Ok(())
            }
            Found::Schemas { tables, schemas, until } => self.described(&tables, schemas, &until),
            Found::Keys { tables, mut schemas } => {
                for ToDescribe { table, id, .. } in tables {
                    if self.stream.tables.get(table).is_some_and(|t| t.phase == Phase::Live) {
                        self.check_key(table, schemas.remove(&id))?;
                    }
                }
                Ok(())
            }
            Found::Chunk { table, generation, read } => self.chunk_read(table, generation, read, done.job, done.failing),
            Found::End { table, generation, at } => {
                if self.mark_is_wanted(table, generation)
                    && let Some(t) = self.stream.tables.get_mut(table)
                {
                    t.mark_wanted = at.is_some();
                    self.stream.watched += usize::from(at.is_some());
                    t.new_creates_after = at;
                }
                Ok(())
            }
            Found::Prepared { name, tables } if self.stream.prepared.seeks(&name) => self.stream.prepared_found(tables.as_ref()),
            Found::Prepared { .. } => Ok(()),
            Found::KeylessPlace { at, view } => self.keyless_place(at, view),
            Found::KeylessView { view, end } => self.keyless_view(view, &end),
        }
    }

    fn described(
        &mut self,
        tables: &[ToDescribe],
        mut schemas: BTreeMap<TableId, Described>,
        until: &LogCoordinate,
    ) -> Result<()> {
        let with_rows: BTreeSet<TableId> = schemas.iter().filter(|(_, d)| d.has_rows).map(|(id, _)| id.clone()).collect();
        if self.reading == 0 && self.queue.is_empty() && self.keyless.is_none() && self.keyless_queue.is_empty() {
            self.markers = Markers::of(&with_rows);
        }
        for ToDescribe { table: index, id, reading } in tables {
            let Some(table) = self.stream.tables.get_mut(*index) else { continue };
            if table.phase != Phase::Unread || table.reading != *reading {
                continue;
            }
            let Some(described) = schemas.remove(id) else {
                // It is gone: the stream will say so, or say that it is there again; unless that was while nobody followed it.
                table.phase = Phase::Absent;
                if table.known() {
                    self.stream.dropped(*index, "it is not on the server")?;
                }
                continue;
            };
            self.sizes.insert(id.clone(), described.row_bytes);
            match described.schema {
                Ok(schema) => {
                    let schema = match &table.schema {
                        Some(old) => crate::stream_ddl::renumbered(old, schema),
                        None => schema,
                    };
                    table.schema = Some(Arc::new(schema));
                    table.estimated_rows = Some(described.estimated_rows);
                    table.phase = Phase::Pending { until: until.clone() };
                    self.stream.watched += 1;
                }
                Err(unsupported) => {
                    let why = unsupported.why.join("; ");
                    self.stream.stop(*index, StopReason::UnsupportedType, &why, &[&unsupported.ways()])?;
                }
            }
        }
        Ok(())
    }

    /// An index of the table was dropped: its key must still be the key.
    fn check_key(&mut self, index: usize, described: Option<Described>) -> Result<()> {
        let Some(Ok(now)) = described.map(|d| d.schema) else { return Ok(()) };
        let Some(known) = self.stream.tables.get(index).and_then(|t| t.schema.clone()) else { return Ok(()) };
        let names = |s: &cdc_core::TableSchema| s.key_columns().map(|c| c.name.clone()).collect::<Vec<_>>();
        if names(&now) == names(&known) {
            return Ok(());
        }
        let what = format!("its key was ({}), and is ({}) now", names(&known).join(", "), names(&now).join(", "));
        self.stream.stop(index, StopReason::RowsChangedByDdl, &what, &[])
    }

    /// What can be done now that no transaction is open.
    fn at_boundary(&mut self) -> Result<()> {
        if !self.started {
            self.started = true;
            self.go_on_with_recovered();
        }
        if !self.stream.unread.is_empty() {
            let unread = std::mem::take(&mut self.stream.unread);
            self.jobs.spawn(Job::Schemas(self.to_describe(&unread)));
        }
        let keys = std::mem::take(&mut self.stream.keys_to_check);
        if !keys.is_empty() {
            self.jobs.spawn(Job::Keys(self.to_describe(&keys)));
        }
        if self.stream.watched > 0 {
            self.watched_tables()?;
        }
        self.place_chunks()?;
        while self.reading < self.config.snapshot_threads
            && let Some(table) = self.queue.pop_front()
        {
            // It may have been stopped meanwhile, or be in the queue twice since it was made anew.
            if self.stream.tables.get(table).is_some_and(|t| t.phase == Phase::Live && t.window.is_none()) {
                self.reading += 1;
                self.start_chunk(table)?;
            }
        }
        self.keyless_step()
    }

    fn to_describe(&self, tables: &[usize]) -> Vec<ToDescribe> {
        let described =
            |&table: &usize| self.stream.tables.get(table).map(|t| ToDescribe { table, id: t.id.clone(), reading: t.reading });
        tables.iter().filter_map(described).collect()
    }

    fn go_on_with_recovered(&mut self) {
        let mut with_rows = BTreeSet::new();
        for (index, table) in self.stream.tables.iter().enumerate() {
            let Some(generation) = &table.generation else { continue };
            if table.mark_wanted {
                self.jobs.spawn(Job::End { table: index, id: table.id.clone(), generation: generation.number });
            }
            if table.rows_wanted && table.phase == Phase::Live {
                with_rows.insert(table.id.clone());
                self.queue.push_back(index);
            }
        }
        self.markers = Markers::of(&with_rows);
        let cut: Vec<usize> = (0..self.stream.tables.len())
            .filter(|&i| self.stream.tables.get(i).is_some_and(|t| t.phase == Phase::Keyless))
            .collect();
        for index in cut {
            self.begin_generation(index);
        }
    }

    /// Tables whose columns are known as of a place that the stream has passed now; creates that are new now.
    fn watched_tables(&mut self) -> Result<()> {
        self.stream.watched = 0;
        for index in 0..self.stream.tables.len() {
            let here = self.stream.position.log.clone();
            let Some(table) = self.stream.tables.get_mut(index) else { continue };
            if matches!(&table.phase, Phase::Pending { until } if at_or_after(&here, until)) {
                self.activate(index)?;
                continue;
            }
            if table.new_creates_after.as_ref().is_some_and(|at| at_or_after(&here, at)) {
                table.new_creates_after = None;
                table.mark_wanted = false;
                table.flush(&mut self.stream.out)?;
                let generation = table.generation.as_ref().map_or(0, |g| g.number);
                self.stream.out.items.push(SourceItem::CreatesAreNew { table: table.id.clone(), generation });
            }
            let waits = table.new_creates_after.is_some() || matches!(table.phase, Phase::Pending { .. });
            self.stream.watched += usize::from(waits);
        }
        Ok(())
    }

    /// From here on the table's events are changes.
    fn activate(&mut self, index: usize) -> Result<()> {
        let Some(table) = self.stream.tables.get_mut(index) else { return Ok(()) };
        let Some(schema) = table.schema.clone() else { return Ok(()) };
        if table.recreated {
            self.stream.out.items.push(SourceItem::Barrier { table: table.id.clone(), kind: BarrierKind::Recreate });
            table.recreated = false;
        }
        table.phase = Phase::Live;
        let ddl = table.ddl.take();
        self.stream.out.items.push(SourceItem::Schema { schema, ddl });
        if table.rows_wanted {
            self.begin_generation(index);
        }
        Ok(())
    }

    /// A snapshot of the table begins, behind a barrier if there may be rows of an earlier one.
    pub(crate) fn begin_generation(&mut self, index: usize) {
        let Some(table) = self.stream.tables.get_mut(index) else { return };
        let keyless = table.schema.as_ref().is_some_and(|s| s.key.is_empty());
        if table.recreated {
            self.stream.out.items.push(SourceItem::Barrier { table: table.id.clone(), kind: BarrierKind::Recreate });
            table.recreated = false;
        }
        table.was_stopped = false;
        let number = table.generation.as_ref().map_or(1, |g| g.number.saturating_add(1));
        let generation = new_generation(&table.id, number, table.estimated_rows);
        self.stream.out.items.push(SourceItem::Generation(generation.clone()));
        table.generation = Some(generation);
        table.window = None;
        if keyless {
            table.phase = Phase::Keyless;
            self.keyless_queue.push_back(index);
        } else {
            self.queue.push_back(index);
        }
    }

    fn start_chunk(&mut self, index: usize) -> Result<()> {
        let emitted = Watermark::of(self.stream.kind, &self.stream.position);
        let Some(table) = self.stream.tables.get_mut(index) else { return Ok(()) };
        let (Some(schema), Some(generation)) = (table.schema.clone(), &table.generation) else { return Ok(()) };
        table.window = Some(Window::default());
        let bytes = (self.config.memory_bytes / 4 / self.config.snapshot_threads.max(1)).max(64 << 10);
        let row_bytes = usize::try_from(self.sizes.get(&table.id).copied().unwrap_or(1)).unwrap_or(usize::MAX).max(1);
        let rows = self.config.chunk_rows.min((bytes / row_bytes).max(1));
        let range = ChunkRange { schema, last: Resume::of(generation).last, rows, bytes };
        let generation = generation.number;
        self.jobs.spawn(Job::Chunk { table: index, generation, range, emitted });
        Ok(())
    }

    pub(crate) fn chunk_read(
        &mut self,
        index: usize,
        generation: u64,
        read: Result<Chunk, ChunkFailure>,
        job: Job,
        failing: Option<Failing>,
    ) -> Result<()> {
        let wanted = self.stream.tables.get(index).is_some_and(|t| {
            t.phase == Phase::Live && t.window.is_some() && t.generation.as_ref().is_some_and(|g| g.number == generation)
        });
        if !wanted {
            self.reading = self.reading.saturating_sub(1);
            return Ok(());
        }
        match read {
            Ok(chunk) => {
                self.waiting.push(Waiting { table: index, generation, until: chunk.high.clone(), what: Ok(chunk) });
                Ok(())
            }
            Err(ChunkFailure { error, altered_before: Some(until) }) => {
                let what = Err(ChunkFailure { error, altered_before: None });
                self.waiting.push(Waiting { table: index, generation, until, what });
                Ok(())
            }
            // The window stays open: what it collected until the chunk is read again is still in the log.
            Err(failure) => self.retry(job, failure.error, failing),
        }
    }

    /// Appends the chunks that the stream has passed, as long as there is room for them.
    fn place_chunks(&mut self) -> Result<()> {
        let mut at = 0;
        while let Some(waiting) = self.waiting.get(at) {
            if self.is_full() || !waiting.until.is_passed_by(&self.stream.position) {
                at += 1;
                continue;
            }
            let waiting = self.waiting.swap_remove(at);
            self.place_chunk(waiting)?;
        }
        Ok(())
    }

    fn place_chunk(&mut self, waiting: Waiting<Result<Chunk, ChunkFailure>>) -> Result<()> {
        let index = waiting.table;
        let origin = self.snapshot_origin();
        let Some(table) = self.stream.tables.get_mut(index) else { return Ok(()) };
        let current = table.phase == Phase::Live && table.generation.as_ref().is_some_and(|g| g.number == waiting.generation);
        let Some(window) = table.window.as_ref().filter(|_| current) else {
            self.reading = self.reading.saturating_sub(1);
            return Ok(());
        };
        if window.spoiled {
            return self.start_chunk(index);
        }
        let chunk = match waiting.what {
            Ok(chunk) => chunk,
            Err(failure) => {
                self.reading = self.reading.saturating_sub(1);
                let why = format!("its rows cannot be read: {}", failure.error);
                return self.stream.stop(index, StopReason::UndecodableRow, &why, &[]);
            }
        };
        if let Some(bytes) = chunk.bytes.checked_div(chunk.rows.rows()) {
            self.sizes.insert(table.id.clone(), u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        let Some(mut generation) = table.generation.clone() else { return Ok(()) };
        let mut resume = Resume::of(&generation);
        let first = resume.last.is_none().then(|| self.markers.first_row(&table.id));
        let last = (!chunk.more).then(|| self.markers.last_row(&table.id));
        let appended = table.append_snapshot(chunk.rows, origin, first, last, &mut self.stream.out)?;
        generation.rows = generation.rows.saturating_add(appended);
        if let Some(key) = chunk.last {
            resume.last = Some(key);
        }
        generation.resume = resume.text();
        if !chunk.more {
            generation.state = GenerationState::Complete { ended_at: BTreeMap::new() };
        }
        table.generation = Some(generation.clone());
        let number = generation.number;
        self.stream.out.items.push(SourceItem::Generation(generation));
        if chunk.more {
            return self.start_chunk(index);
        }
        table.rows_wanted = false;
        table.mark_wanted = true;
        tracing::info!(table = %table.id, "all rows were read");
        self.reading = self.reading.saturating_sub(1);
        self.jobs.spawn(Job::End { table: index, id: table.id.clone(), generation: number });
        Ok(())
    }

    /// Where rows of a snapshot come from: no transaction, whole seconds, the place of the stream.
    pub(crate) fn snapshot_origin(&self) -> Origin {
        let now = (self.config.clock)();
        Origin {
            transaction: TransactionInfo {
                gtid: None,
                file: self.stream.position.log.file.as_str().into(),
                server_id: 0,
                ts_us: i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000_000),
            },
            pos: self.stream.position.log.offset,
            thread: None,
            query: None,
            processed_ns: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    /// `initial_only`: all rows were read.
    fn is_finished(&self) -> bool {
        self.config.snapshot_mode == SnapshotMode::InitialOnly
            && self.started
            && self.stream.unread.is_empty()
            && self.reading == 0
            && self.queue.is_empty()
            && self.keyless_queue.is_empty()
            && self.keyless.is_none()
            && !self.stream.tables.iter().any(|t| matches!(t.phase, Phase::Unread | Phase::Pending { .. }) || t.mark_wanted)
    }
}

/// Waits for an event; for ever while there is no connection.
async fn wait_for_event(log: &mut Option<LogConnection>) -> Result<(), LogFailure> {
    match log {
        Some(log) => log.wait().await,
        None => std::future::pending().await,
    }
}
