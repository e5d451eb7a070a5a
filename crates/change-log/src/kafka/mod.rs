//! A change log on Apache Kafka.

mod certificates;
mod client;
mod clients;
mod config;
mod cursor;
mod group;
mod native;
mod producer;
mod token_endpoint;
mod tokens;
mod topics;

pub use config::KafkaLogConfig;
pub use group::{ConsumerGroup, GroupState};

use crate::error::{Error, ErrorKind, Result};
use crate::log::{ChangeLog, Fetched, LogIdentity, OffsetRange, Producer, TopicInfo, TopicSpec, check_transactional_id};
use crate::records::Records;
use async_trait::async_trait;
use clients::{Clients, lock};
use cursor::{Cursor, State, assign, unassign};
use producer::KafkaProducer;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use topics::Topic;

/// How long a runtime that ends waits until the consumer group has been told a last time.
const LAST_WORD: Duration = Duration::from_millis(500);
/// How soon a question is asked again that a broker could not answer.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long it is believed what retention comes close to: that is half of the retention away.
const EXPIRING_FOR: Duration = Duration::from_secs(30);
/// A wait whose cursor is elsewhere asks the cluster so often, and a read to which nothing comes.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// And one that has heard nothing for so long looks whether its topic is still there.
const STILL_THERE: Duration = Duration::from_secs(20);

/// A [`ChangeLog`] on Apache Kafka (the real one, 3.0 and newer): a transaction is Kafka's, reads are read-committed, a
/// topic's identity is its id, the log's the cluster's.
///
/// Its clients connect when it is opened and keep trying when brokers go. Appends wait as long as
/// [`transaction_timeout`](KafkaLogConfig::transaction_timeout), everything else [`request_timeout`](KafkaLogConfig::request_timeout).
///
/// A partition has one place to read from, which follows who reads it: two who read the same one at different places take turns
/// at seeking.
#[derive(Clone)]
pub struct KafkaLog {
    shared: Arc<Shared>,
}

struct Shared {
    config: KafkaLogConfig,
    identity: LogIdentity,
    topics: Mutex<HashMap<String, Topic>>,
    expiring: Mutex<HashMap<(String, i32), (Instant, i64)>>,
    clients: Arc<Clients>,
    /// Ends when the consumer group has been told a last time.
    told: Mutex<Option<Receiver<()>>>,
    /// As long as it is there the clients are served. The last field: once it goes, the serving thread alone has the clients, and ends them.
    _here: Sender<()>,
}

impl Shared {
    fn topics(&self) -> MutexGuard<'_, HashMap<String, Topic>> {
        lock(&self.topics)
    }

    fn remember(&self, topic: Topic) {
        let known = self.topics().insert(topic.info.name.clone(), topic.clone());
        // Of another topic of this name nothing holds any more.
        if known.is_some_and(|known| known.info.id != topic.info.id) {
            self.let_go(&topic.info.name);
        }
    }

    fn forget(&self, name: &str) {
        self.topics().remove(name);
        self.let_go(name);
    }

    /// Nothing that was known of the partitions of a topic of this name holds any more, and those who wait on them are told.
    fn let_go(&self, name: &str) {
        lock(&self.clients.released).retain(|(topic, _), _| topic != name);
        lock(&self.expiring).retain(|(topic, _), _| topic != name);
        let gone: Vec<Arc<Cursor>> =
            lock(&self.clients.cursors).values().filter(|cursor| cursor.topic == name).map(Arc::clone).collect();
        for cursor in gone {
            cursor.begin_generation();
            // Who holds it sees that its generation is over.
            if let Ok(mut state) = cursor.state.try_lock() {
                unassign(&self.clients.reader, &cursor, &mut state);
            }
        }
    }
}

impl KafkaLog {
    /// Connects to the cluster.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a property of the client is not one; [`ErrorKind::Unavailable`] if no broker answers in time, or no token
    /// endpoint; [`ErrorKind::Denied`] if they do not let this client in.
    pub async fn open(config: KafkaLogConfig) -> Result<Self> {
        config.check()?;
        let connected = tokio::task::spawn_blocking(move || Clients::connect(&config).map(|(clients, id)| (clients, id, config)));
        let (clients, identity, config) = connected.await.map_err(ended)??;
        let ((here, log), (tell, told)) = (mpsc::channel(), mpsc::channel());
        let serving = Arc::clone(&clients);
        std::thread::Builder::new().name("kafka-log".to_owned()).spawn(move || serving.serve(&log, tell)).map_err(|e| {
            Error::new(ErrorKind::Io, format!("a thread for the Kafka client cannot be started: {e}")).with_source(e)
        })?;
        let shared = Shared {
            config,
            identity,
            topics: Mutex::default(),
            expiring: Mutex::default(),
            clients,
            told: Mutex::new(Some(told)),
            _here: here,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Bytes that were fetched and that nobody has read yet, as far as they can be reckoned: at most
    /// [`read_ahead_bytes`](KafkaLogConfig::read_ahead_bytes), and for a moment more.
    pub fn bytes_ahead(&self) -> usize {
        self.shared.clients.held()
    }

    /// Runs what blocks where it may.
    async fn blocking<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        tokio::task::spawn_blocking(call).await.map_err(ended)
    }

    /// First and next offset, as the cluster says now; `committed`: up to what is decided.
    async fn watermarks(&self, topic: &str, partition: i32, committed: bool) -> Result<OffsetRange> {
        if partition < 0 {
            let partitions = self.known_topic(topic).await?.info.partitions;
            return Err(Error::unknown_partition(topic, partition, partitions));
        }
        let timeout = self.shared.config.request_timeout;
        let deadline = Instant::now() + timeout;
        loop {
            let (shared, name) = (self.shared.clone(), topic.to_owned());
            let answer = self.blocking(move || match committed {
                true => shared.clients.reader.fetch_watermarks(&name, partition, timeout),
                false => shared.clients.admin.inner().fetch_watermarks(&name, partition, timeout),
            });
            let e = match answer.await? {
                Ok((first, next)) => return Ok(OffsetRange { first, next }),
                Err(e) => e,
            };
            let error = self
                .shared
                .clients
                .admin
                .inner()
                .context()
                .wrap(&format!("cannot ask for the offsets of {topic}/{partition}"), e);
            if error.kind() == ErrorKind::UnknownTopic {
                let partitions = self.find_topic(topic).await?.ok_or_else(|| Error::unknown_topic(topic))?.info.partitions;
                if partition >= partitions {
                    return Err(Error::unknown_partition(topic, partition, partitions));
                }
            }
            // Its leader is elsewhere now, or not known yet: the brokers hear of it one after the other.
            if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::UnknownTopic) || Instant::now() >= deadline {
                return Err(error.at_partition(topic, partition));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Brings a cursor to this offset, if it is not there.
    async fn place(&self, cursor: &Cursor, state: &mut State, from: i64) -> Result<()> {
        if cursor.is_at(state, from) {
            return Ok(());
        }
        let (topic, partition) = (cursor.topic.as_str(), cursor.partition);
        // A topic of that name that was made anew has offsets of its own.
        self.find_topic(topic).await?.ok_or_else(|| Error::unknown_topic(topic))?;
        let generation = cursor.generation();
        let range = self.watermarks(topic, partition, false).await?;
        if from < range.first || from > range.next {
            return Err(Error::out_of_range(topic, partition, from, range.first, range.next));
        }
        assign(&self.shared.clients.reader, cursor, state, generation, from, self.shared.config.read_headers)
    }

    /// The first record that is younger than half of the retention.
    async fn ask_expiring(&self, topic: &str, partition: i32) -> Result<i64> {
        let settings = self.known_topic(topic).await?;
        let range = self.watermarks(topic, partition, false).await?;
        if settings.goes_by_size {
            return Ok(range.next);
        }
        let Some(retention) = settings.retention_ms else { return Ok(range.first) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let before = now.saturating_sub(retention / 2);
        let (shared, name) = (self.shared.clone(), topic.to_owned());
        let timeout = shared.config.request_timeout;
        let answer = self.blocking(move || {
            let mut times = TopicPartitionList::with_capacity(1);
            times.add_partition_offset(&name, partition, Offset::Offset(before))?;
            shared.clients.reader.offsets_for_times(times, timeout)
        });
        let doing = format!("cannot ask for the old records of {topic}/{partition}");
        let found =
            answer.await?.map_err(|e| self.shared.clients.reader.context().wrap(&doing, e).at_partition(topic, partition))?;
        match found.elements().first().map(|e| e.offset()) {
            Some(Offset::Offset(offset)) => Ok(offset.max(range.first)),
            _ => Ok(range.next),
        }
    }
}

fn ended(e: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Other, "a task of the Kafka client has ended without an answer: a fault of ours; start again")
        .with_source(e)
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Blocks nobody: whoever ends the runtime gives the consumer group a moment to be told.
        if let (Ok(runtime), Some(told)) = (tokio::runtime::Handle::try_current(), lock(&self.told).take()) {
            runtime.spawn_blocking(move || told.recv_timeout(LAST_WORD).ok());
        }
    }
}

#[async_trait]
impl ChangeLog for KafkaLog {
    fn identity(&self) -> &LogIdentity {
        &self.shared.identity
    }

    async fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<TopicInfo> {
        self.make_topic(name, spec).await
    }

    async fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        Ok(self.find_topic(name).await?.map(|t| t.info))
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        Ok(self.all_topics().await?.into_iter().map(|t| t.info).collect())
    }

    async fn delete_topic(&self, name: &str) -> Result<()> {
        self.remove_topic(name).await
    }

    async fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        check_transactional_id(transactional_id)?;
        Ok(Box::new(KafkaProducer::open(self.clone(), transactional_id).await?))
    }

    async fn offsets(&self, topic: &str, partition: i32) -> Result<OffsetRange> {
        self.watermarks(topic, partition, false).await
    }

    async fn read(&self, topic: &str, partition: i32, from: i64, max_bytes: usize) -> Result<Fetched> {
        let cursor = self.shared.clients.cursor(topic, partition);
        cursor.touch();
        let mut state = cursor.state.lock().await;
        let clients = &self.shared.clients;
        let deadline = Instant::now() + self.shared.config.request_timeout;
        let mut beginning = None;
        loop {
            let filled = cursor.filled.notify.notified();
            tokio::pin!(filled);
            filled.as_mut().enable();
            if beginning.is_none() && !cursor.is_at(&state, from) {
                beginning = clients.begin_to_fetch(deadline).await;
            }
            self.place(&cursor, &mut state, from).await?;
            state.pass(from);
            if cursor.fill(&mut state)? {
                clients.make_room();
            }
            clients.check_stray()?;
            if let Some(fetched) = state.read(from, max_bytes) {
                return Ok(fetched);
            }
            // What is there is on its way, or the word that there is nothing.
            if tokio::time::timeout(ASK_EVERY, filled).await.is_ok() {
                continue;
            }
            beginning = None;
            // That word does not come to who is beyond an undecided transaction.
            if state.is_read_up_to(from) {
                let decided = self.watermarks(topic, partition, true).await.inspect_err(|_| state.displace())?;
                if decided.next <= from {
                    return Ok(Fetched { records: Records::default(), next_offset: from, at_end: true });
                }
            }
            if Instant::now() >= deadline {
                state.displace();
                let context = self.shared.clients.reader.context();
                let doing = format!("cannot read {topic}/{partition} at offset {from}");
                return Err(context
                    .failure(&doing, rdkafka::error::RDKafkaErrorCode::OperationTimedOut)
                    .at_partition(topic, partition));
            }
        }
    }

    async fn wait(&self, topic: &str, partition: i32, beyond: i64) -> Result<()> {
        let cursor = self.shared.clients.cursor(topic, partition);
        cursor.touch();
        let mut known = cursor.known.subscribe();
        let generation = known.borrow().generation;
        let mut asked = Instant::now();
        loop {
            let now = *known.borrow_and_update();
            if now.generation != generation {
                return Err(Error::unknown_topic(topic).at_partition(topic, partition));
            }
            if now.readable > beyond {
                cursor.touch();
                return Ok(());
            }
            let filled = cursor.filled.notify.notified();
            tokio::pin!(filled);
            filled.as_mut().enable();
            let elsewhere = {
                let mut state = cursor.state.lock().await;
                if !cursor.is_placed(&state) {
                    let range = self.watermarks(topic, partition, false).await?;
                    self.place(&cursor, &mut state, beyond.clamp(range.first, range.next)).await?;
                }
                if cursor.fill(&mut state)? {
                    self.shared.clients.make_room();
                    continue;
                }
                // Only at its very place does the cursor hear of what comes next: there is no room for more than what it has ahead.
                !state.is_read_up_to(beyond)
            };
            let pause = if elsewhere { ASK_EVERY } else { STILL_THERE };
            tokio::select! {
                () = filled => {}
                changed = known.changed() => drop(changed),
                () = tokio::time::sleep(pause) => {}
            }
            if asked.elapsed() >= pause {
                asked = Instant::now();
                if elsewhere && self.watermarks(topic, partition, true).await?.next > beyond {
                    return Ok(());
                }
                if !elsewhere {
                    self.find_topic(topic).await?.ok_or_else(|| Error::unknown_topic(topic))?;
                }
            }
        }
    }

    async fn release(&self, topic: &str, partition: i32, applied: i64) -> Result<()> {
        let partitions = self.known_topic(topic).await?.info.partitions;
        if !(0..partitions).contains(&partition) {
            return Err(Error::unknown_partition(topic, partition, partitions));
        }
        if self.shared.clients.cursor(topic, partition).known.borrow().readable < applied {
            let range = self.watermarks(topic, partition, false).await?;
            if applied > range.next {
                return Err(Error::out_of_range(topic, partition, applied, range.first, range.next));
            }
        }
        let mut released = lock(&self.shared.clients.released);
        let newest = released.entry((topic.to_owned(), partition)).or_insert(applied);
        *newest = (*newest).max(applied);
        Ok(())
    }

    async fn expiring(&self, topic: &str, partition: i32) -> Result<i64> {
        let key = (topic.to_owned(), partition);
        let known = lock(&self.shared.expiring).get(&key).copied().filter(|(asked, _)| asked.elapsed() < EXPIRING_FOR);
        if let Some((_, offset)) = known {
            return Ok(offset);
        }
        let offset = self.ask_expiring(topic, partition).await?;
        lock(&self.shared.expiring).insert(key, (Instant::now(), offset));
        Ok(offset)
    }

    fn marker_offsets(&self) -> i64 {
        1
    }
}
