//! The clients of librdkafka that a log has, and the thread that serves them.

use super::KafkaLogConfig;
use super::client::{Context, Reader, not_made};
use super::cursor::{Cursor, unassign};
use super::native::{Heard, hear, set_token, take_events};
use super::producer;
use super::token_endpoint::Token;
use super::tokens::{LogIn, Tokens};
use crate::error::{Error, ErrorKind, Result};
use crate::log::LogIdentity;
use rdkafka::admin::AdminClient;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How often releases go to the consumer group, and the clients are looked after.
const TICK: Duration = Duration::from_secs(1);

/// Locks it, also after a panic of who had it: what is behind these locks is never half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clients, and what the thread that serves them needs to know.
pub(super) struct Clients {
    pub(super) admin: AdminClient<Context>,
    pub(super) reader: Arc<Reader>,
    /// Tells the consumer group: while a commit is under way, a client assigns itself to nothing new.
    committer: Option<Reader>,
    pub(super) cursors: Mutex<HashMap<(String, i32), Arc<Cursor>>>,
    pub(super) released: Mutex<HashMap<(String, i32), i64>>,
    /// Bytes that may be held and not read, by all partitions, and bytes that are taken from the queue of each.
    limit: usize,
    room: usize,
    /// Who begins to fetch waits for one, so that not all begin at once.
    beginning: Semaphore,
    idle_after: Duration,
    producers: Mutex<Vec<Arc<Mutex<producer::Inner>>>>,
    /// A record came where none should: reads would miss it.
    stray: AtomicBool,
    /// What the clients log in with, where that is a token of an endpoint.
    tokens: Option<Tokens>,
}

impl LogIn for Reader {
    fn log_in(&self, token: &Token) -> std::result::Result<(), RDKafkaErrorCode> {
        set_token(self.client(), token)
    }
}

impl LogIn for Clients {
    fn log_in(&self, token: &Token) -> std::result::Result<(), RDKafkaErrorCode> {
        set_token(self.admin.inner(), token)?;
        self.reader.log_in(token)?;
        self.committer.as_ref().map_or(Ok(()), |committer| committer.log_in(token))
    }
}

impl Clients {
    /// Connects, and asks which cluster it is. Blocks.
    pub(super) fn connect(config: &KafkaLogConfig) -> Result<(Arc<Self>, LogIdentity)> {
        let tokens = config.tokens()?;
        let context = Context::new(tokens.as_ref());
        let reader = || Reader::from_config_and_context(&config.reader(), context.clone()).map_err(not_made);
        let ahead = config.read_ahead();
        let clients = Arc::new(Self {
            admin: AdminClient::from_config_and_context(&config.admin(), context.clone()).map_err(not_made)?,
            reader: Arc::new(reader()?),
            committer: config.group_id.is_some().then(reader).transpose()?,
            cursors: Mutex::default(),
            released: Mutex::default(),
            limit: ahead.limit,
            room: ahead.room,
            beginning: Semaphore::new(ahead.beginners),
            idle_after: config.idle_partition_timeout,
            producers: Mutex::default(),
            stray: AtomicBool::new(false),
            tokens,
        });
        let timeout = config.request_timeout;
        clients.log_in_with(&clients, timeout)?;
        let client = clients.admin.inner();
        let answer = client.fetch_metadata(Some("__consumer_offsets"), timeout).map(|_| client.fetch_cluster_id(timeout));
        if !matches!(&answer, Ok(Some(_))) {
            // The reader met the same trouble, and tells of it when it is asked.
            let until = Instant::now() + Duration::from_millis(200);
            while Instant::now() < until {
                clients.serve_reader(until.saturating_duration_since(Instant::now()));
            }
        }
        let doing = format!("cannot reach the Kafka cluster at {}", config.bootstrap_servers());
        let identity = answer.map_err(|e| context.wrap(&doing, e))?;
        let identity = identity.ok_or_else(|| context.failure(&doing, rdkafka::error::RDKafkaErrorCode::OperationTimedOut))?;
        Ok((clients, LogIdentity::new(identity)))
    }

    /// How errors of another client of this log are told.
    pub(super) fn context(&self) -> Context {
        Context::new(self.tokens.as_ref())
    }

    /// Gives another client the token that it logs in with, now and whenever there is a new one; nothing where none is needed. Blocks
    /// until there is one.
    pub(super) fn log_in_with(&self, client: &Arc<impl LogIn + 'static>, timeout: Duration) -> Result<()> {
        self.tokens.as_ref().map_or(Ok(()), |tokens| tokens.log_in(client, timeout))
    }

    pub(super) fn cursor(&self, topic: &str, partition: i32) -> Arc<Cursor> {
        let mut cursors = lock(&self.cursors);
        Arc::clone(
            cursors.entry((topic.to_owned(), partition)).or_insert_with(|| Arc::new(Cursor::new(topic, partition, self.room))),
        )
    }

    /// Waits until another partition may be fetched, which is for as long as the permit is held or until something has come.
    pub(super) async fn begin_to_fetch(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout_at(deadline.into(), self.beginning.acquire()).await.ok()?.ok()
    }

    /// Bytes that were fetched and that nobody has read.
    pub(super) fn held(&self) -> usize {
        lock(&self.cursors).values().map(|cursor| cursor.held()).sum()
    }

    /// Where partitions hold more than they may, those that were not read for longest let go of it.
    pub(super) fn make_room(&self) {
        let mut held = self.held();
        if held <= self.limit {
            return;
        }
        let mut holding: Vec<(usize, Arc<Cursor>)> = lock(&self.cursors)
            .values()
            .map(|cursor| (cursor.held(), Arc::clone(cursor)))
            .filter(|(held, _)| *held > 0)
            .collect();
        holding.sort_by_cached_key(|(_, cursor)| cursor.used());
        for (bytes, cursor) in holding {
            if held <= self.limit {
                break;
            }
            // One that is being read keeps it.
            if let Ok(mut state) = cursor.state.try_lock() {
                unassign(&self.reader, &cursor, &mut state);
                held = held.saturating_sub(bytes);
            }
        }
    }

    /// What nobody has read for a while is fetched no more, and what nobody ever will is forgotten.
    fn look_after_cursors(&self) {
        let idle: Vec<Arc<Cursor>> =
            lock(&self.cursors).values().filter(|cursor| cursor.is_idle(self.idle_after)).map(Arc::clone).collect();
        for cursor in &idle {
            if let Ok(mut state) = cursor.state.try_lock()
                && state.is_assigned()
            {
                unassign(&self.reader, cursor, &mut state);
            }
        }
        drop(idle);
        lock(&self.cursors).retain(|_, cursor| {
            let forgotten = Arc::strong_count(cursor) == 1 && cursor.state.try_lock().is_ok_and(|state| !state.is_assigned());
            !(forgotten && cursor.is_idle(self.idle_after))
        });
        self.make_room();
    }

    /// Has a producer served while nothing is appended, and ended when nobody has it any more.
    pub(super) fn add_producer(&self, producer: Arc<Mutex<producer::Inner>>) {
        lock(&self.producers).push(producer);
    }

    pub(super) fn check_stray(&self) -> Result<()> {
        match self.stray.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Other, "the Kafka client lost track of a partition: a fault of ours; start again")),
            false => Ok(()),
        }
    }

    /// Serves the clients until the log is gone, tells the consumer group a last time, and ends them: all of that blocks, which
    /// a thread of tasks must not.
    pub(super) fn serve(self: Arc<Self>, log: &Receiver<()>, told: Sender<()>) {
        let mut ticked = Instant::now();
        while !matches!(log.try_recv(), Err(TryRecvError::Disconnected)) {
            self.serve_reader(Duration::from_millis(100));
            if let Some(committer) = &self.committer {
                take_events(committer.client(), Duration::ZERO, |heard| {
                    if let Heard::NotCommitted(code) = heard {
                        tracing::debug!(%code, "the consumer group was not told how far the tables are");
                    }
                });
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.commit_released(CommitMode::Async);
                hear(self.admin.inner());
                self.look_after_producers();
                self.look_after_cursors();
            }
        }
        self.commit_released(CommitMode::Sync);
        drop(told);
    }

    /// Waits so long for what the reader has to say beside the partitions' queues, and takes it.
    fn serve_reader(&self, wait: Duration) {
        take_events(self.reader.client(), wait, |heard| {
            if let Heard::Stray = heard {
                self.stray.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Tells the consumer group what was released since the last time.
    fn commit_released(&self, mode: CommitMode) {
        let released = std::mem::take(&mut *lock(&self.released));
        let Some(committer) = self.committer.as_ref().filter(|_| !released.is_empty()) else { return };
        let mut list = TopicPartitionList::with_capacity(released.len());
        for ((topic, partition), offset) in &released {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).ok();
        }
        if let Err(e) = committer.commit(&list, mode) {
            tracing::warn!(error = %e, "the consumer group does not know how far the tables are: tools show more lag than there is");
        }
    }

    fn look_after_producers(&self) {
        let (kept, gone): (Vec<_>, Vec<_>) = lock(&self.producers).drain(..).partition(|p| Arc::strong_count(p) > 1);
        for producer in &kept {
            // One that appends serves itself.
            if let Ok(idle) = producer.try_lock() {
                idle.serve();
            }
        }
        lock(&self.producers).extend(kept);
        if !gone.is_empty() {
            // Takes a while, above all where the brokers are away. If there is no thread to be had, it is done here.
            std::thread::Builder::new().name("kafka-producer-end".to_owned()).spawn(move || drop(gone)).ok();
        }
    }
}
