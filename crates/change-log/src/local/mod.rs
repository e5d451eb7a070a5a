//! The log in a directory: one journal of segment files.

mod cache;
mod directory;
mod frame;
mod index;
mod read;
mod recover;
mod retention;
mod scan;
mod state;
mod vectored;
mod writer;

pub use retention::{Holder, OverRetention};

use crate::error::{Error, ErrorKind, Result};
use crate::log::{
    Appended, ChangeLog, Fetched, LogIdentity, OffsetRange, Producer, TopicInfo, TopicSpec, Transaction, check_topic,
    check_transactional_id,
};
use crate::prepare::prepare;
use async_trait::async_trait;
use directory::Directory;
use state::State;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use writer::{AppendRequest, Command, Reply, Writer};

/// How a [`LocalLog`] keeps its records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalLogConfig {
    /// A segment file begins anew beyond this (Kafka's `segment.bytes`); 64 MiB.
    pub segment_bytes: u64,
    /// Applied records are kept at least so long, milliseconds (`log.retention.ms`); 24 hours. Tombstones of compacted topics are as well.
    pub retention_ms: u64,
    /// Beyond so many bytes applied records go whatever their age, and [`LocalLog::over_retention`] tells who holds the others
    /// (`log.retention.bytes`); 0 is no limit, and the default.
    pub retention_bytes: u64,
    /// Memory for recently appended records, from which a reader right behind the writer is served; 32 MiB. Half as much again is used for
    /// blocks that are larger than what their reader takes at once.
    pub cache_bytes: usize,
}

impl Default for LocalLogConfig {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, retention_ms: 24 * 60 * 60 * 1000, retention_bytes: 0, cache_bytes: 32 << 20 }
    }
}

/// A change log in a directory of this machine, durable through flushes that several transactions share.
///
/// All topics share one journal of segment files, so that a transaction over many topics is one frame in one file and one flush
/// makes it durable. One process has the log at a time; clones and producers are the same log, which is closed when the last of them is dropped
/// (that waits for the writer to end).
///
/// On disk full an append fails with [`ErrorKind::DiskFull`], nothing of it is kept, and the log goes on when there is room. After a crash the end of the
/// newest segment may be half-written: that was never acknowledged, it is cut off and told in the log (`tracing`, with its bytes). Damage anywhere
/// else is [`ErrorKind::Corrupt`] with the file and the position.
#[derive(Debug, Clone)]
pub struct LocalLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer and the readers share.
#[derive(Debug)]
struct Shared {
    identity: LogIdentity,
    path: PathBuf,
    seed: u32,
    config: LocalLogConfig,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LocalLog {
    /// Opens the log in a directory; makes both if they are not there.
    ///
    /// Opening reads the newest segment whole and of the others a small index.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] names the process that has it open; [`ErrorKind::Corrupt`] names file and position of damage;
    /// [`ErrorKind::DiskFull`] and [`ErrorKind::Io`].
    pub async fn open(directory: impl Into<PathBuf>, config: LocalLogConfig) -> Result<Self> {
        let path = directory.into();
        let opened = tokio::task::spawn_blocking(move || Self::open_now(&path, config)).await;
        opened.map_err(|e| Error::new(ErrorKind::Other, "the task that opens the log has ended").with_source(e))?
    }

    fn open_now(path: &Path, config: LocalLogConfig) -> Result<Self> {
        let directory = Directory::open(path)?;
        let found = recover::recover(&directory, config.cache_bytes, writer::now_ms())?;
        let shared = Arc::new(Shared {
            identity: LogIdentity::new(directory.id().to_string()),
            path: path.to_owned(),
            seed: directory.seed(),
            config,
            state: Mutex::new(found.state),
        });
        let (commands, receiver) = channel();
        let writer = Writer {
            directory,
            shared: Arc::clone(&shared),
            commands: receiver,
            deferred: VecDeque::new(),
            first_sequence: found.first_sequence,
            next_sequence: found.next_sequence,
            newest_ms: found.newest_ms,
            marked: found.marked,
            failed: None,
        };
        let spawned = std::thread::Builder::new().name("change-log".to_owned()).spawn(move || writer.run());
        let thread =
            spawned.map_err(|e| Error::new(ErrorKind::Other, "cannot start the thread that writes the log").with_source(e))?;
        Ok(Self { inner: Arc::new(Inner { shared, commands, thread: Mutex::new(Some(thread)) }) })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.inner.shared.path
    }

    /// Bytes of all segment files.
    pub fn bytes(&self) -> u64 {
        retention::total_bytes(&self.inner.shared.state())
    }

    /// Who holds more bytes than `retention_bytes` allows, if anybody does. What is applied has gone by itself before.
    pub fn over_retention(&self) -> Option<OverRetention> {
        retention::over_retention(&self.inner.shared.state(), self.inner.shared.config.retention_bytes)
    }
}

impl Inner {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        let ended = || {
            Error::new(
                ErrorKind::Io,
                format!("the writer of the log in {} has ended: open the log again", self.shared.path.display()),
            )
        };
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Neither can fail in a way that could be told here: the writer that has ended already has told why.
        let _ = self.commands.send(Command::Stop);
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl ChangeLog for LocalLog {
    fn identity(&self) -> &LogIdentity {
        &self.inner.shared.identity
    }

    async fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<TopicInfo> {
        check_topic(name, spec)?;
        let name = name.to_owned();
        self.inner.ask(|reply| Command::CreateTopic { name, spec, reply }).await
    }

    async fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        Ok(self.inner.shared.state().topics.get(name).map(|t| t.info.clone()))
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        Ok(self.inner.shared.state().topics.values().map(|t| t.info.clone()).collect())
    }

    async fn delete_topic(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.inner.ask(|reply| Command::DeleteTopic { name, reply }).await
    }

    async fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        check_transactional_id(transactional_id)?;
        let id = transactional_id.to_owned();
        let epoch = self.inner.ask(|reply| Command::Producer { id, reply }).await?;
        Ok(Box::new(LocalProducer { inner: Arc::clone(&self.inner), id: transactional_id.into(), epoch }))
    }

    async fn offsets(&self, topic: &str, partition: i32) -> Result<OffsetRange> {
        let state = self.inner.shared.state();
        let (_, p) = state.partition(topic, partition)?;
        Ok(OffsetRange { first: p.first, next: p.next() })
    }

    async fn read(&self, topic: &str, partition: i32, from: i64, max_bytes: usize) -> Result<Fetched> {
        read::read(&self.inner.shared, topic, partition, from, max_bytes).await
    }

    async fn wait(&self, topic: &str, partition: i32, beyond: i64) -> Result<()> {
        let mut next = self.inner.shared.state().partition(topic, partition)?.1.next.subscribe();
        next.wait_for(|&n| n > beyond).await.map(drop).map_err(|_| Error::unknown_topic(topic))
    }

    async fn release(&self, topic: &str, partition: i32, applied: i64) -> Result<()> {
        let shared = &self.inner.shared;
        {
            let mut state = shared.state();
            let p = state.partition_mut(topic, partition)?;
            let (first, next) = (p.first, p.next());
            if applied > next {
                return Err(Error::out_of_range(topic, partition, applied, first, next));
            }
            p.applied = p.applied.max(applied);
            if !retention::may_go(&state, &shared.config, writer::now_ms()) {
                return Ok(());
            }
        }
        // That is rare: one release in a segment's worth of records waits for the writer. If it has ended, the next append tells it.
        let _ = self.inner.ask(|reply| Command::Retain { reply: Some(reply) }).await;
        Ok(())
    }
}

#[derive(Debug)]
struct LocalProducer {
    inner: Arc<Inner>,
    id: Arc<str>,
    epoch: u64,
}

#[async_trait]
impl Producer for LocalProducer {
    async fn append(&mut self, transaction: Transaction) -> Result<Appended> {
        let appends = prepare(transaction, Some(self.inner.shared.seed))?;
        let (id, epoch) = (Arc::clone(&self.id), self.epoch);
        self.inner.ask(|reply| Command::Append(AppendRequest { id, epoch, appends, reply })).await
    }
}
