mod commit;
mod head;

use crate::checkpoint::{Checkpoint, check_sink_id};
use crate::environment::{Environment, backoff};
use crate::error::{Error, ErrorKind, Result};
use crate::lineage::ForeignWrites;
use crate::log_view::{GenerationStart, LogInspector};
use crate::planted::Planted;
use crate::refusal::Refusal;
use crate::start::FirstStart;
use crate::table::{Head, MirrorTable};
use crate::transport::{Answer, Delta, LocalTransport, Offer};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// What a [`Coordinator`] needs to know of its table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CoordinatorSettings {
    /// The sink's id: letters, digits, `-` and `_`.
    pub sink: String,
    /// The branch that is written.
    pub branch: String,
    /// The topics that feed the table.
    pub topics: Vec<String>,
    /// What to do when others change the table's rows.
    pub foreign_writes: ForeignWrites,
    /// What to do on the first start when the log has lost its beginning.
    pub first_start: FirstStart,
    /// A snapshot of the source table that is whole in the log, for such a start.
    pub generation: Option<GenerationStart>,
    /// The table's UUID, if it is known from elsewhere.
    pub table_uuid: Option<String>,
    /// How long a delta waits for what must come before it.
    pub hold: Duration,
    /// How often an idle coordinator looks at the table, so that one that was dropped, replaced or rolled back is noticed
    /// without a change of the source.
    pub head_check: Duration,
    /// How long a coordinator that was asked to stop goes on trying to learn the outcome of what it was offered.
    pub stop_grace: Duration,
}

impl CoordinatorSettings {
    /// The defaults for a table that is fed by one topic: branch `main`, others' rows stop it, 30 s of hold,
    /// a look each minute, 10 s of grace.
    pub fn new(sink: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            sink: sink.into(),
            branch: "main".to_owned(),
            topics: vec![topic.into()],
            foreign_writes: ForeignWrites::Stop,
            first_start: FirstStart::Complete,
            generation: None,
            table_uuid: None,
            hold: Duration::from_secs(30),
            head_check: Duration::from_secs(60),
            stop_grace: Duration::from_secs(10),
        }
    }
}

/// What a coordinator has done so far. Liveness is measured by commits, never by a state that somebody declares.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CoordinatorStatus {
    /// The newest checkpoint that is known to be in the table.
    pub checkpoint: Option<Arc<Checkpoint>>,
    /// Its snapshot.
    pub snapshot: Option<i64>,
    /// Commits by this coordinator.
    pub commits: u64,
    /// Swaps that met another commit.
    pub conflicts: u64,
    /// Swaps whose outcome was unknown at first.
    pub unknown: u64,
    /// When it last committed ([`Environment::now`]).
    pub last_commit: Option<Duration>,
    /// Since when it has held a delta that it has not answered.
    pub waiting_since: Option<Duration>,
}

struct Waiting<F> {
    id: u64,
    delta: Arc<Delta<F>>,
    reply: oneshot::Sender<Answer>,
    since: Duration,
}

/// A swap whose outcome is unknown.
struct Attempt<K> {
    base: K,
    checkpoint: Arc<Checkpoint>,
    members: Vec<u64>,
}

/// A head that passed [`assess`], with the checkpoint to build upon.
struct Known<K> {
    head: Head<K>,
    base: Arc<Checkpoint>,
    /// Others changed rows: nothing is committed upon it but a barrier that removes them all.
    foreign: Option<Refusal>,
}

/// Turns the deltas of one table into commits.
///
/// Any number of coordinators may run for one table at once: the commit rule and the swap keep the table exact, and a second
/// one only costs speed. A coordinator holds nothing that it could not read again from the table.
pub struct Coordinator<T: MirrorTable> {
    table: Arc<T>,
    log: Arc<dyn LogInspector>,
    environment: Arc<dyn Environment>,
    settings: CoordinatorSettings,
    name: Arc<str>,
    mailbox: mpsc::Receiver<Offer<T::Files>>,
    refusal: Arc<OnceLock<Refusal>>,
    queue: Vec<Waiting<T::Files>>,
    offers: u64,
    known: Option<Known<T::Token>>,
    last: Option<(Arc<Checkpoint>, i64)>,
    attempts: Vec<Attempt<T::Token>>,
    status: watch::Sender<CoordinatorStatus>,
    stop: watch::Receiver<bool>,
    bugs: Planted,
    #[cfg(feature = "planted-bugs")]
    forced: Vec<u64>,
    #[cfg(feature = "planted-bugs")]
    discard: Option<crate::planted::Discard<T::Files>>,
}

impl<T: MirrorTable> Coordinator<T> {
    /// A coordinator of a table, and the way to it for workers of the same process. `stop` asks it to end; it also ends
    /// when the last [`LocalTransport`] is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a sink id, branch or list of topics that cannot be used.
    pub fn new(
        table: Arc<T>,
        log: Arc<dyn LogInspector>,
        environment: Arc<dyn Environment>,
        settings: CoordinatorSettings,
        stop: watch::Receiver<bool>,
    ) -> Result<(Self, LocalTransport<T::Files>)> {
        check_sink_id(&settings.sink)?;
        if settings.branch.is_empty() || settings.topics.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, format!("the table {} has no branch or no topic", table.name())));
        }
        let (transport, mailbox, refusal) = LocalTransport::channel();
        let coordinator = Self {
            name: table.name().into(),
            table,
            log,
            environment,
            settings,
            mailbox,
            refusal,
            queue: Vec::new(),
            offers: 0,
            known: None,
            last: None,
            attempts: Vec::new(),
            status: watch::Sender::new(CoordinatorStatus::default()),
            stop,
            bugs: Planted::default(),
            #[cfg(feature = "planted-bugs")]
            forced: Vec::new(),
            #[cfg(feature = "planted-bugs")]
            discard: None,
        };
        Ok((coordinator, transport))
    }

    #[cfg(feature = "planted-bugs")]
    /// The same coordinator with a bug; `discard` deletes files.
    #[must_use]
    pub fn with_bug(mut self, bugs: Planted, discard: crate::planted::Discard<T::Files>) -> Self {
        self.bugs = bugs;
        self.discard = Some(discard);
        self
    }

    /// What it has done so far, as it goes on.
    pub fn status(&self) -> watch::Receiver<CoordinatorStatus> {
        self.status.subscribe()
    }

    /// Commits what it is offered until it is asked to stop or nobody is left to offer anything.
    ///
    /// # Errors
    /// A refusal ([`Error::refusal`]): the table is stopped, and every worker is told. [`ErrorKind::Interrupted`]: asked to stop
    /// while the outcome of a commit was unknown; the next start reads it from the table.
    pub async fn run(mut self) -> Result<()> {
        let result = self.serve().await;
        if let Err(error) = &result
            && let Some(refusal) = error.refusal()
        {
            // First the word, then the closed doors: whoever finds them closed finds the reason too.
            let _ = self.refusal.set(refusal.clone());
            for waiting in self.queue.drain(..) {
                let _ = waiting.reply.send(Answer::Refused(refusal.clone()));
            }
        }
        result
    }

    async fn serve(&mut self) -> Result<()> {
        self.adopt().await?;
        loop {
            let stopping = *self.stop.borrow();
            if stopping {
                self.mailbox.close();
            }
            if self.queue.is_empty() {
                tokio::select! {
                    biased;
                    offer = self.mailbox.recv() => match offer {
                        Some(offer) => self.take(offer),
                        None => return Ok(()),
                    },
                    () = stopped(&mut self.stop), if !stopping => continue,
                    () = self.environment.sleep(self.settings.head_check) => {
                        self.look().await?;
                        match self.known.as_ref().and_then(|k| k.foreign.clone()) {
                            Some(refusal) => return Err(self.refuse(refusal)),
                            None => continue,
                        }
                    }
                }
            }
            while let Ok(offer) = self.mailbox.try_recv() {
                self.take(offer);
            }
            if self.round().await? || self.queue.is_empty() {
                continue;
            }
            if stopping {
                // What they wait for can no longer come through here.
                for waiting in self.queue.drain(..) {
                    let _ = waiting.reply.send(Answer::Again);
                }
                continue;
            }
            tokio::select! {
                biased;
                offer = self.mailbox.recv(), if !self.mailbox.is_closed() => {
                    if let Some(offer) = offer {
                        self.take(offer);
                    }
                }
                () = stopped(&mut self.stop) => {}
                // Another coordinator may have committed what they wait for.
                () = self.environment.sleep(self.settings.hold / 8) => self.known = None,
            }
        }
    }

    fn take(&mut self, offer: Offer<T::Files>) {
        self.offers = self.offers.wrapping_add(1);
        let since = self.environment.now();
        self.queue.push(Waiting { id: self.offers, delta: offer.delta, reply: offer.reply, since });
        self.publish_waiting();
    }

    fn publish_waiting(&self) {
        let waiting_since = self.queue.iter().map(|w| w.since).min();
        self.status.send_if_modified(|s| std::mem::replace(&mut s.waiting_since, waiting_since) != waiting_since);
    }

    fn refuse(&self, refusal: Refusal) -> Error {
        Error::refused(&self.name, refusal)
    }

    /// Waits before the next try; gives up if it was asked to stop and has tried long enough.
    async fn pause(
        &self,
        tries: &mut u32,
        stop_deadline: &mut Option<Duration>,
        why: &(dyn std::fmt::Display + Sync),
    ) -> Result<()> {
        if *self.stop.borrow() {
            let now = self.environment.now();
            let deadline = *stop_deadline.get_or_insert(now.saturating_add(self.settings.stop_grace));
            if now >= deadline {
                return Err(Error::new(
                    ErrorKind::Interrupted,
                    format!(
                        "stopped before the table {} could be committed ({why}); the next start goes on from its checkpoint",
                        self.name
                    ),
                ));
            }
        }
        tracing::warn!(table = %self.name, tries = *tries, %why, "commit not done yet, trying again");
        self.environment.sleep(backoff(*tries)).await;
        *tries = tries.saturating_add(1);
        Ok(())
    }
}

/// Returns once the flag is set; never, if nobody is left to set it.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
