//! A catalog's database on a server: a few connections, lost ones replaced, and transactions whose outcome is known or said not to be.

use super::address::ServerAddress;
use super::database::{Cell, Database, Outcome, Transaction, Value};
use super::making_tables::{Columns, Unmade, make_tables};
use super::sql::{Dialect, Text};
use super::{CatalogConfig, Opened, Reach};
use crate::error::{Error, ErrorKind, Result};
use async_trait::async_trait;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Connections of one catalog at most: tables commit side by side.
const CONNECTIONS: usize = 4;
/// Between two attempts, growing from the first to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// How much longer than the server's own limit an answer is waited for: then the connection is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Why a statement failed, as far as it matters to a transaction.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection is gone, or the server goes away. What was sent may have been done.
    Lost(Error),
    /// The server has undone the whole transaction so that others can go on: it can be made again.
    Undone(Error),
    /// There is a row with this key.
    Duplicate(Error),
    /// The COMMIT was sent, and what became of it is not known.
    Unknown(Error),
    /// Anything else. The statement was not done.
    Refused(Error),
}

impl Failure {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Lost(e) | Self::Undone(e) | Self::Duplicate(e) | Self::Unknown(e) | Self::Refused(e) => e,
        }
    }
}

/// One connection, in the words of its server. One on which something failed is not used again.
#[async_trait]
pub(super) trait Session: Sized + Send + 'static {
    const DIALECT: Dialect;
    /// The rights that making tables needs, as a statement.
    const GRANT: &'static str;
    /// Begins a transaction in which an update sees what others have committed meanwhile.
    const BEGIN: &'static str;

    /// A connection that is ready for statements of a catalog.
    async fn connect(use_of: &ServerUse) -> Result<Self, Failure>;

    async fn columns(&mut self) -> Result<Columns, Failure>;

    /// Makes what these statements make.
    async fn make(&mut self, statements: &[&str]) -> Result<(), Unmade>;

    /// Refuses tables with which a catalog would not be exact.
    async fn check(&mut self, use_of: &ServerUse) -> Result<()>;

    async fn rows(&mut self, text: &Text, values: &[Value<'_>]) -> Result<Vec<Vec<Cell>>, Failure>;

    /// The rows that it changed.
    async fn execute(&mut self, text: &Text, values: &[Value<'_>]) -> Result<u64, Failure>;

    /// Runs a text without values.
    async fn run(&mut self, sql: &str) -> Result<(), Failure>;

    /// Says goodbye.
    async fn end(self);
}

/// How a server is used.
#[derive(Debug)]
pub(super) struct ServerUse {
    pub address: ServerAddress,
    pub reach: Reach,
    /// How long a statement may wait for a lock, and how long it may take in all.
    pub patience: Duration,
    /// A commit must be on the disk when it is reported.
    pub durable: bool,
}

impl ServerUse {
    pub(super) fn new(address: ServerAddress, reach: Reach, config: &CatalogConfig) -> Self {
        let durable = config.durability == crate::Durability::Disk;
        Self { address, reach, patience: config.busy_timeout.max(Duration::from_millis(1)), durable }
    }
}

/// What is done on one connection.
#[derive(Clone, Copy)]
enum Job<'a> {
    Read(&'a Text, &'a [Value<'a>]),
    Write(&'a Transaction<'a>),
}

enum Done {
    Rows(Vec<Vec<Cell>>),
    /// False: a statement that had to change a row changed none.
    Written(bool),
}

pub(super) struct Server<S> {
    use_of: ServerUse,
    permits: Semaphore,
    idle: Mutex<Vec<S>>,
}

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.use_of.address).finish()
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<S: Session> Server<S> {
    /// Connects and, for writing, makes what is missing. Nothing is tried twice: a mistake in the address is told at once.
    pub(super) async fn open(use_of: ServerUse) -> Result<Opened> {
        let server = Self { use_of, permits: Semaphore::new(CONNECTIONS), idle: Mutex::new(Vec::new()) };
        let mut session = server.connection().await.map_err(Failure::into_error)?;
        let prepared = async { make_tables(&mut session, &server.use_of).await.map_err(Failure::Refused) };
        let has_type = server.in_time("prepare", prepared).await.map_err(Failure::into_error)?;
        server.give_back(session);
        Ok(Opened { database: Arc::new(server), dialect: S::DIALECT, has_type })
    }

    fn failed(&self, doing: &str, why: &str) -> Error {
        Error::new(ErrorKind::Unreachable, format!("cannot {doing} the catalog {}: {why}", self.use_of.address))
    }

    /// Nobody waits for ever for a server that has gone silent.
    async fn in_time<T>(&self, doing: &str, call: impl Future<Output = Result<T, Failure>> + Send) -> Result<T, Failure> {
        let limit = self.use_of.patience.saturating_add(GRACE);
        match tokio::time::timeout(limit, call).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Lost(self.failed(doing, &format!("the server has not answered in {limit:?}")))),
        }
    }

    async fn connection(&self) -> Result<S, Failure> {
        if let Some(session) = self.idle.lock().ok().and_then(|mut idle| idle.pop()) {
            return Ok(session);
        }
        self.in_time("reach", S::connect(&self.use_of)).await
    }

    fn give_back(&self, session: S) {
        if !self.permits.is_closed()
            && let Ok(mut idle) = self.idle.lock()
        {
            idle.push(session);
        }
    }

    /// After one connection was lost the others that were open beside it are not trusted.
    fn forget_idle(&self) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.clear();
        }
    }

    /// Does what may be done again as long as nothing of it is committed, until it is done or fails for another reason than a lost
    /// connection, for as long as others may keep the database busy.
    async fn until_done(&self, job: Job<'_>) -> Result<Done, Failure> {
        let deadline = Instant::now() + self.use_of.patience;
        let [mut pause, longest] = PAUSES;
        loop {
            let failure = match self.once(job).await {
                Err(failure @ (Failure::Lost(_) | Failure::Undone(_))) => failure,
                other => return other,
            };
            if matches!(failure, Failure::Lost(_)) {
                self.forget_idle();
            }
            if Instant::now() + pause >= deadline || self.permits.is_closed() {
                return Err(failure);
            }
            match &failure {
                // Servers end connections that were idle for hours.
                Failure::Lost(e) if pause == PAUSES[0] => {
                    tracing::debug!(catalog = %self.use_of.address, error = %e, "a connection was lost");
                }
                Failure::Lost(e) => {
                    tracing::warn!(catalog = %self.use_of.address, error = %e, "the catalog is asked again");
                }
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// A connection on which something failed is closed, and its transaction with it.
    async fn once(&self, job: Job<'_>) -> Result<Done, Failure> {
        let mut session = self.connection().await?;
        let done = match job {
            Job::Read(text, values) => self.in_time("read", session.rows(text, values)).await.map(Done::Rows),
            Job::Write(transaction) => self.attempt(&mut session, transaction).await.map(Done::Written),
        }?;
        self.give_back(session);
        Ok(done)
    }

    /// Everything up to the COMMIT. False: a statement that had to change a row changed none, and nothing happened.
    async fn prepare(&self, session: &mut S, transaction: &Transaction<'_>) -> Result<bool, Failure> {
        self.in_time("write", session.run(S::BEGIN)).await?;
        for statement in &transaction.statements {
            let rows = match self.in_time("write", session.execute(statement.text, &statement.values)).await {
                Err(Failure::Duplicate(_)) if statement.one_row => 0,
                other => other?,
            };
            if statement.one_row && rows != 1 {
                self.in_time("write", session.run("ROLLBACK")).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// False: as [`prepare`](Self::prepare).
    async fn attempt(&self, session: &mut S, transaction: &Transaction<'_>) -> Result<bool, Failure> {
        if !self.prepare(session, transaction).await? {
            return Ok(false);
        }
        if transaction.is_swap {
            cdc_failpoint::hit("catalog-before-commit");
        }
        let committed = self.in_time("write", session.run("COMMIT")).await;
        if transaction.is_swap {
            cdc_failpoint::hit("catalog-after-commit");
        }
        match committed {
            Ok(()) => Ok(true),
            Err(failure @ Failure::Undone(_)) => Err(failure),
            // Whatever the server says here, it may have been said after the commit: of a shutdown, or of a replica that was waited for.
            Err(other) => {
                self.forget_idle();
                Err(Failure::Unknown(other.into_error()))
            }
        }
    }
}

#[async_trait]
impl<S: Session> Database for Server<S> {
    async fn rows(&self, text: &Text, values: &[Value<'_>]) -> Result<Vec<Vec<Cell>>> {
        let Ok(_permit) = self.permits.acquire().await else { return Err(self.failed("read", "it is closed")) };
        match self.until_done(Job::Read(text, values)).await {
            Ok(Done::Rows(rows)) => Ok(rows),
            Ok(Done::Written(_)) => Ok(Vec::new()),
            Err(failure) => Err(failure.into_error()),
        }
    }

    async fn transact(&self, transaction: &Transaction<'_>) -> Outcome {
        let Ok(_permit) = self.permits.acquire().await else { return Outcome::Failed(self.failed("write", "it is closed")) };
        match self.until_done(Job::Write(transaction)).await {
            Ok(Done::Written(true)) => Outcome::Done,
            Ok(Done::Written(false) | Done::Rows(_)) => Outcome::Unmet,
            Err(Failure::Unknown(e)) => Outcome::Unknown(e),
            Err(failure) => Outcome::Failed(failure.into_error()),
        }
    }

    async fn close(&self) {
        // Who is at work ends first.
        let all = self.permits.acquire_many(u32::try_from(CONNECTIONS).unwrap_or(1)).await;
        self.permits.close();
        drop(all);
        let idle = self.idle.lock().map(|mut idle| std::mem::take(&mut *idle)).unwrap_or_default();
        for session in idle {
            session.end().await;
        }
    }
}
