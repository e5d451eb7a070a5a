//! The source half: what a [`ChangeSource`] yields becomes Debezium events and progress records in the log, each batch in one
//! log transaction.

use crate::error::{Error, ErrorKind, Result};
use crate::event_records::EventRecords;
use crate::progress_topic::{ProgressState, progress_records};
use cdc_core::{
    Barrier, BarrierKind, ChangeSource, GenerationState, LogEnd, Mark, OffsetVector, Progress, ProgressKey, SchemaVersion,
    SourceBatch, SourceItem, SourcePosition, TableId, TableSchema, TableStop, TopicRouter,
};
use change_log::{Append, ChangeLog, Producer, RecordsBuilder, TopicSpec, Transaction};
use debezium_format::{Encoder, EncoderConfig};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

/// Transactions that may wait for the disk: one is encoded while the one before it is appended. With more, a slow flush would be waited
/// for several times over by what comes behind; so it is shared instead.
const APPENDS_WAITING: usize = 1;
/// And their bytes. A transaction that is larger than this goes alone.
const BYTES_IN_FLIGHT: u32 = 16 << 20;
/// Transactions that follow each other faster than this share an append and its flush; one that comes alone does not wait.
const APPEND_EVERY: Duration = Duration::from_millis(10);

/// The log holds everything up to here; published after each durable append.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Captured {
    /// The source's position.
    pub(crate) position: Option<SourcePosition>,
    /// The captured tables and their topics.
    pub(crate) topics: BTreeMap<TableId, String>,
    /// The offset after the last record, per topic.
    pub(crate) next_offsets: HashMap<String, i64>,
    /// The number of the last barrier, per table that has one.
    pub(crate) barriers: BTreeMap<TableId, u64>,
    /// Row events so far, since this process began.
    pub(crate) events: u64,
    /// Tables that the source stopped.
    pub(crate) stops: Vec<TableStop>,
    /// Where others write: when the newest look at the log's ends began.
    pub(crate) looked: Option<Instant>,
}

/// The writing side of one source. There is one per log and topic prefix: a second one fences the first.
pub(crate) struct Capture {
    log: Arc<dyn ChangeLog>,
    router: TopicRouter,
    encoder_config: EncoderConfig,
    producer: Option<Box<dyn Producer>>,
    tables: HashMap<TableId, CapturedTable>,
    topic_owner: HashMap<String, TableId>,
    progress_next: i64,
    captured: watch::Sender<Captured>,
    draft: Captured,
    /// The form of the events, as it is kept with each schema version.
    format: BTreeMap<String, String>,
}

struct CapturedTable {
    topic: String,
    schema: Arc<TableSchema>,
    encoder: Encoder,
    next: i64,
    history: History,
}

/// What stays the same when a table gets a new schema version.
#[derive(Debug, Clone, Default)]
struct History {
    last_barrier: u64,
    generation: u64,
    generation_began: OffsetVector,
}

/// One log transaction that is being put together.
#[derive(Default)]
struct Draft {
    events: Vec<(String, RecordsBuilder)>,
    /// In order: of records of one key the last counts, also where it takes back what an earlier one said.
    progress: Vec<(ProgressKey, Option<Progress>)>,
    /// Tables whose columns it tells: where their topics end is told as well, also if nothing goes there. Others may have written to them.
    adopted: Vec<TableId>,
    count: u64,
}

impl Draft {
    fn say(&mut self, progress: Progress) {
        self.progress.push((progress.key(), Some(progress)));
    }

    fn take_back(&mut self, key: ProgressKey) {
        self.progress.push((key, None));
    }

    fn builder(&mut self, topic: &str) -> &mut RecordsBuilder {
        let at = match self.events.iter().position(|(t, _)| t == topic) {
            Some(at) => at,
            None => {
                self.events.push((topic.to_owned(), RecordsBuilder::new()));
                self.events.len() - 1
            }
        };
        &mut self.events[at].1
    }
}

/// A transaction on its way to the log, and what will be true once it is there.
struct InFlight {
    transaction: Transaction,
    then: Captured,
    /// Its share of [`BYTES_IN_FLIGHT`], from when it was encoded until it is durable.
    bytes: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    /// Waits until there is room for its bytes.
    async fn admitted(mut self, room: &Arc<Semaphore>) -> Self {
        let bytes: usize = self.transaction.appends.iter().map(|a| a.records.bytes()).sum();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(BYTES_IN_FLIGHT);
        // The semaphore is never closed.
        self.bytes = Arc::clone(room).acquire_many_owned(bytes).await.ok();
        self
    }
}

/// The log's writing side before the source is connected: the predecessor is fenced, and what it left is read.
///
/// In this order, so that nothing is written after it was read.
pub(crate) struct Fenced {
    log: Arc<dyn ChangeLog>,
    router: TopicRouter,
    pub(crate) producer: Box<dyn Producer>,
    /// What the predecessor left.
    pub(crate) state: ProgressState,
    format: BTreeMap<String, String>,
    renewed: Vec<TableId>,
}

impl Fenced {
    /// Fences the predecessor, then reads the progress topic to its end.
    pub(crate) async fn open(log: Arc<dyn ChangeLog>, router: TopicRouter) -> Result<Self> {
        let topic = router.progress_topic();
        let producer = log.producer(&format!("cdc-source-{}", router.prefix())).await?;
        log.create_topic(&topic, TopicSpec { partitions: 1, compacted: true }).await?;
        let mut state = ProgressState::default();
        state.advance(log.as_ref(), &topic).await?;
        Ok(Self { log, router, producer, state, format: BTreeMap::new(), renewed: Vec::new() })
    }

    /// The form of the events to come, as it is recorded. Tables whose events had another one get a new schema version.
    pub(crate) fn with_format(mut self, format: BTreeMap<String, String>) -> Self {
        self.renewed = self.state.renew(&format);
        self.format = format;
        self
    }

    /// Goes on where the predecessor stopped; returns also what it was followed by.
    ///
    /// The first thing that it writes is `run`, this process's name for itself: a predecessor that wakes up finds that it has been
    /// succeeded, and what does not let us write is known before the source is read.
    pub(crate) async fn begin(
        mut self,
        encoder_config: EncoderConfig,
        run: &str,
        captured: watch::Sender<Captured>,
    ) -> Result<(Capture, ProgressState)> {
        let topic = self.router.progress_topic();
        let run = Progress::Run(run.to_owned());
        let records = progress_records(&[(run.key(), Some(run))])?;
        let appended = self.producer.append(Transaction { appends: vec![Append::new(&topic, 0, records)] }).await?;
        let mut progress_next = 0;
        for (_, _, next) in appended.next_offsets {
            progress_next = next;
        }
        let events = captured.borrow().events;
        let mut capture = Capture {
            progress_next,
            router: self.router,
            encoder_config,
            producer: Some(self.producer),
            tables: HashMap::new(),
            topic_owner: HashMap::new(),
            captured,
            format: self.format,
            draft: Captured { position: self.state.position.clone(), events, ..Captured::default() },
            log: self.log,
        };
        for (table, progress) in self.state.tables.iter() {
            capture.draft.stops.extend(progress.stop.clone());
            if let Some(version) = progress.schemas.values().next_back() {
                let history = History {
                    last_barrier: progress.barriers.keys().next_back().copied().unwrap_or(0),
                    generation: progress.generation.as_ref().map_or(0, |g| g.number),
                    generation_began: progress.generation.as_ref().map(|g| g.began_at.clone()).unwrap_or_default(),
                };
                capture.adopt(table, Arc::new(version.schema.clone()), history).await?;
            }
        }
        capture.say_beginning(&self.renewed, &mut self.state).await?;
        capture.note_offsets();
        capture.captured.send_replace(capture.draft.clone());
        Ok((capture, self.state))
    }
}

impl Capture {
    /// Runs until the source ends or fails, or it is asked to stop. Everything that was taken from the source is durable when this
    /// returns `Ok`.
    pub(crate) async fn run(mut self, mut source: impl ChangeSource, mut stop: watch::Receiver<bool>) -> Result<()> {
        let Some(mut producer) = self.producer.take() else { return Ok(()) };
        let (send, mut receive) = mpsc::channel::<InFlight>(APPENDS_WAITING);
        let captured = self.captured.clone();
        let appender = async move {
            while let Some(in_flight) = receive.recv().await {
                cdc_failpoint::hit("capture-before-append");
                let appended = producer.append(in_flight.transaction).await?;
                drop(in_flight.bytes);
                cdc_failpoint::hit("capture-after-append");
                for (topic, partition, next) in &appended.next_offsets {
                    let expected = in_flight.then.next_offsets.get(topic);
                    if expected.is_some_and(|expected| expected != next) {
                        return Err(Error::new(
                            ErrorKind::Unsafe,
                            format!(
                                "{topic}, partition {partition}, ends at offset {next} where {expected:?} was expected: someone else writes to this log\n  → stop the other writer; this one has stopped"
                            ),
                        ));
                    }
                }
                captured.send_replace(in_flight.then);
            }
            Ok(())
        };
        let room = Arc::new(Semaphore::new(BYTES_IN_FLIGHT as usize));
        let encoder = async move {
            let mut not_before = Instant::now();
            loop {
                // What the source has meanwhile it puts into one batch.
                tokio::time::sleep_until(not_before).await;
                let Ok(place) = send.reserve().await else { break }; // the appender failed, and says why
                let batch = tokio::select! {
                    batch = source.next() => batch?,
                    _ = stop.wait_for(|stop| *stop) => None,
                    // The appender failed: that is not to be known at the next change only, which may be long in coming.
                    () = send.closed() => None,
                };
                let Some(batch) = batch else { break };
                not_before = Instant::now() + APPEND_EVERY;
                place.send(self.encode(batch).await?.admitted(&room).await);
            }
            Ok::<(), Error>(())
        };
        let (appended, encoded) = tokio::join!(appender, encoder);
        appended.and(encoded)
    }

    /// The events of these tables have another form from here on; and topics in which a transaction was aborted end elsewhere than was
    /// said.
    async fn say_beginning(&mut self, renewed: &[TableId], state: &mut ProgressState) -> Result<()> {
        let mut said = Vec::with_capacity(renewed.len());
        for table in renewed {
            let (Some(known), Some(version)) = (self.tables.get(table), state.newest_schema(table)) else { continue };
            version.starts_at = known.here();
            let progress = Progress::Schema(version.clone());
            said.push((progress.key(), Some(progress)));
        }
        for known in self.tables.values().filter(|known| state.log_end(&known.topic, 0) != Some(known.next)) {
            let progress = known.log_end();
            said.push((progress.key(), Some(progress)));
        }
        let Some(producer) = self.producer.as_mut().filter(|_| !said.is_empty()) else { return Ok(()) };
        let append = Append::new(self.router.progress_topic(), 0, progress_records(&said)?).at(self.progress_next);
        for (_, _, next) in producer.append(Transaction { appends: vec![append] }).await?.next_offsets {
            self.progress_next = next;
        }
        Ok(())
    }

    async fn encode(&mut self, batch: SourceBatch) -> Result<InFlight> {
        let mut draft = Draft::default();
        for item in batch.items {
            self.item(item, &mut draft).await?;
        }
        // The progress names offsets of this very transaction: it is kept only if its records are there.
        let marker = self.log.marker_offsets();
        let mut appends = Vec::with_capacity(draft.events.len() + 1);
        for (topic, builder) in std::mem::take(&mut draft.events).into_iter().filter(|(_, builder)| !builder.is_empty()) {
            let known = self.topic_owner.get(&topic).and_then(|owner| self.tables.get_mut(owner));
            let Some(known) = known else {
                return Err(Error::new(
                    ErrorKind::Other,
                    format!("there are events for {topic}, which belongs to no table: a fault of ours"),
                ));
            };
            let first = known.next - builder.len() as i64;
            known.next += marker;
            draft.say(known.log_end());
            appends.push(Append::new(topic, 0, builder.finish()).at(first));
        }
        for adopted in std::mem::take(&mut draft.adopted) {
            if let Some(known) = self.tables.get(&adopted) {
                draft.say(known.log_end());
            }
        }
        draft.say(Progress::Position(batch.position.clone()));
        let progress = progress_records(&draft.progress)?;
        appends.push(Append::new(self.router.progress_topic(), 0, progress).at(self.progress_next));
        self.progress_next += draft.progress.len() as i64 + marker;
        self.draft.position = Some(batch.position);
        self.draft.events += draft.count;
        self.note_offsets();
        Ok(InFlight { transaction: Transaction { appends }, then: self.draft.clone(), bytes: None })
    }

    fn note_offsets(&mut self) {
        for (id, table) in &self.tables {
            if !self.draft.topics.contains_key(id) {
                self.draft.topics.insert(id.clone(), table.topic.clone());
            }
            self.draft.next_offsets.insert(table.topic.clone(), table.next);
            if table.history.last_barrier > 0 {
                self.draft.barriers.insert(id.clone(), table.history.last_barrier);
            }
        }
        self.draft.next_offsets.insert(self.router.progress_topic(), self.progress_next);
    }

    async fn item(&mut self, item: SourceItem, draft: &mut Draft) -> Result<()> {
        match item {
            SourceItem::Schema { schema, .. } => {
                let table = schema.table.clone();
                if self.tables.get(&table).is_some_and(|known| key_ids(&known.schema) != key_ids(&schema)) {
                    self.barrier(&table, BarrierKind::KeyChange, draft)?;
                }
                let (pending, history) = match self.tables.get(&table) {
                    Some(known) => (Some(known.next), known.history.clone()),
                    None => (None, History::default()),
                };
                self.adopt(&table, schema.clone(), history).await?;
                let known = self.known(&table)?;
                if let Some(pending) = pending {
                    cdc_failpoint::hit("capture-at-schema-change");
                    known.next = pending; // records of this very draft are counted already
                }
                draft.say(Progress::Schema(SchemaVersion {
                    schema: schema.as_ref().clone(),
                    topic: known.topic.clone(),
                    starts_at: known.here(),
                    format: self.format.clone(),
                }));
                draft.adopted.push(table);
            }
            SourceItem::Changes(batch) => {
                let known = self.known(&batch.schema.table)?;
                let topic = known.topic.clone();
                let mut sink = EventRecords::new(draft.builder(&topic));
                let events = known.encoder.encode(&batch, &mut sink)?;
                sink.finish()?;
                known.next += events as i64;
                draft.count += batch.changes.len() as u64;
            }
            SourceItem::Barrier { table, kind } => self.barrier(&table, kind, draft)?,
            SourceItem::Generation(mut generation) => {
                let known = self.known(&generation.table)?;
                if generation.number != known.history.generation {
                    known.history.generation = generation.number;
                    known.history.generation_began = known.here();
                    // A table that begins anew is no longer stopped.
                    if self.draft.stops.iter().any(|s| s.table == generation.table) {
                        self.draft.stops.retain(|s| s.table != generation.table);
                        draft.take_back(ProgressKey::Stop { table: generation.table.clone() });
                    }
                }
                let known = self.known(&generation.table)?;
                generation.began_at = known.history.generation_began.clone();
                match &mut generation.state {
                    GenerationState::Complete { ended_at } => {
                        cdc_failpoint::hit("capture-at-snapshot-end");
                        *ended_at = known.here();
                    }
                    _ => cdc_failpoint::hit("capture-at-snapshot-chunk"),
                }
                draft.say(Progress::Generation(generation));
            }
            SourceItem::CreatesAreNew { table, generation } => {
                let here = self.known(&table)?.here();
                draft.say(Progress::Mark(Mark { table, generation, creates_are_new_from: here }));
            }
            SourceItem::Stop(stop) => {
                self.draft.stops.retain(|s| s.table != stop.table);
                self.draft.stops.push(stop.clone());
                draft.say(Progress::Stop(stop));
            }
            other => {
                return Err(Error::new(
                    ErrorKind::Other,
                    format!("the source yielded something that this version cannot keep: {other:?}"),
                ));
            }
        }
        Ok(())
    }

    fn barrier(&mut self, table: &TableId, kind: BarrierKind, draft: &mut Draft) -> Result<()> {
        cdc_failpoint::hit("capture-at-barrier");
        let known = self.known(table)?;
        known.history.last_barrier += 1;
        let barrier = Barrier { table: table.clone(), number: known.history.last_barrier, kind, at: known.here() };
        draft.say(Progress::Barrier(barrier));
        Ok(())
    }

    /// Makes the table's topic if it is new, and compiles its encoder.
    async fn adopt(&mut self, table: &TableId, schema: Arc<TableSchema>, history: History) -> Result<()> {
        let topic = self.router.data_topic(table);
        if let Some(other) = self.topic_owner.get(&topic).filter(|other| *other != table) {
            return Err(Error::new(
                ErrorKind::Unsafe,
                format!(
                    "the tables {other} and {table} would share the topic {topic}: characters that a topic cannot have become _\n  → leave one of them out with table.exclude.list"
                ),
            ));
        }
        self.topic_owner.insert(topic.clone(), table.clone());
        self.log.create_topic(&topic, TopicSpec { partitions: 1, compacted: false }).await?;
        let next = self.log.offsets(&topic, 0).await?.next;
        let encoder = Encoder::new(&self.encoder_config, schema.clone(), &topic)?;
        self.tables.insert(table.clone(), CapturedTable { topic, schema, encoder, next, history });
        Ok(())
    }

    fn known(&mut self, table: &TableId) -> Result<&mut CapturedTable> {
        self.tables.get_mut(table).ok_or_else(|| {
            Error::new(
                ErrorKind::Other,
                format!("the source yielded changes of {table} before its schema: a fault of the source"),
            )
        })
    }
}

impl CapturedTable {
    /// The place after all records of the table so far, those of the current draft included.
    fn here(&self) -> OffsetVector {
        OffsetVector::from([(0, self.next)])
    }

    fn log_end(&self) -> Progress {
        Progress::LogEnd(LogEnd { topic: self.topic.clone(), next: self.here() })
    }
}

fn key_ids(schema: &TableSchema) -> Vec<i32> {
    schema.key_columns().map(|c| c.field_id).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
    use super::*;
    use change_log::MemoryLog;
    use debezium_format::{Connector, Converter, Profile};

    /// One batch, and then nothing for ever.
    struct ThenQuiet(Option<SourceBatch>);

    #[async_trait::async_trait]
    impl ChangeSource for ThenQuiet {
        async fn next(&mut self) -> cdc_core::Result<Option<SourceBatch>> {
            match self.0.take() {
                Some(batch) => Ok(Some(batch)),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test]
    async fn a_log_that_takes_no_more_ends_the_capture_also_if_no_change_follows() {
        let log: Arc<dyn ChangeLog> = Arc::new(MemoryLog::new());
        let fenced = Fenced::open(Arc::clone(&log), TopicRouter::new("shop")).await.unwrap();
        let encoder = EncoderConfig::new("shop", Connector::Mysql, Converter::Json { schemas: false }, "run".to_owned());
        let captured = watch::Sender::new(Captured::default());
        let (capture, _) = fenced.begin(encoder.with_profile(Profile::exact()), "run", captured).await.unwrap();
        let _successor = log.producer("cdc-source-shop").await.unwrap();
        let (_running, stop) = watch::channel(false);
        let batch = SourceBatch { items: Vec::new(), position: SourcePosition::default() };
        let running = capture.run(ThenQuiet(Some(batch)), stop);
        let ended = tokio::time::timeout(Duration::from_secs(30), running).await.expect("it waits for the next change");
        let e = ended.expect_err("it ended well");
        assert!(e.to_string().contains("cdc-source-shop"), "{e}");
    }

    /// A source that is asked at these moments; it has its first `busy` batches at once, then one a second.
    struct Asked {
        busy: usize,
        at: mpsc::UnboundedSender<Instant>,
    }

    #[async_trait::async_trait]
    impl ChangeSource for Asked {
        async fn next(&mut self) -> cdc_core::Result<Option<SourceBatch>> {
            match self.busy.checked_sub(1) {
                Some(left) => self.busy = left,
                None => tokio::time::sleep(Duration::from_secs(1)).await,
            }
            self.at.send(Instant::now()).ok();
            Ok(Some(SourceBatch { items: Vec::new(), position: SourcePosition::default() }))
        }
    }

    /// The clock stands still while anything can go on, so the times are exact, up to the timer's millisecond.
    #[tokio::test(start_paused = true)]
    async fn batches_that_follow_each_other_wait_to_be_joined_and_a_lone_one_does_not() {
        let log: Arc<dyn ChangeLog> = Arc::new(MemoryLog::new());
        let config = EncoderConfig::new("p".to_owned(), Connector::Mysql, Converter::Json { schemas: false }, "run".to_owned())
            .with_profile(Profile::exact());
        let fenced = Fenced::open(Arc::clone(&log), TopicRouter::new("p")).await.unwrap();
        let published = watch::Sender::new(Captured::default());
        let mut captured = published.subscribe();
        let (capture, _) = fenced.begin(config, "run", published).await.unwrap();
        let (at, mut asked) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn(capture.run(Asked { busy: 20, at }, stopping));
        let mut last = asked.recv().await.unwrap();
        for n in 1..20 {
            let this = asked.recv().await.unwrap();
            let pause = this - last;
            assert!((APPEND_EVERY..=APPEND_EVERY + Duration::from_millis(1)).contains(&pause), "{pause:?} before batch {n}");
            last = this;
        }
        captured.mark_unchanged();
        let lone = asked.recv().await.unwrap();
        assert!(lone - last >= Duration::from_secs(1));
        captured.changed().await.unwrap();
        assert_eq!(Instant::now(), lone, "the log has it at once");
        stop.send_replace(true);
        running.await.unwrap().unwrap();
    }
}
