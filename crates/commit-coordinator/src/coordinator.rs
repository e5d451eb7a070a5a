use crate::checkpoint::{Checkpoint, check_sink_id};
use crate::environment::{Environment, backoff};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::lineage::{ForeignWrites, assess};
use crate::log_view::{CompleteGeneration, LogInspector, LogView};
use crate::planted::{Planted, planted};
use crate::refusal::Refusal;
use crate::rule::{Admission, Round, Verdict, check_log};
use crate::span::Act;
use crate::start::{FirstStart, first_checkpoint};
use crate::table::{Change, Head, MirrorTable, SwapError};
use crate::transport::{Answer, Delta, LocalTransport, Offer, Receipt};
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
    pub generation: Option<CompleteGeneration>,
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

struct Formed {
    checkpoint: Arc<Checkpoint>,
    members: Vec<u64>,
    waiting: bool,
    answered: bool,
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
                        continue;
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

    /// Reads the head and checks everything that must hold before a commit upon it.
    async fn read_head(&mut self) -> Result<Head<T::Token>> {
        let (mut tries, mut deadline) = (0, None);
        let mut head = loop {
            match self.table.head().await {
                Ok(Some(head)) => break head,
                Ok(None) => return Err(self.refuse(Refusal::TableMissing)),
                Err(e) if e.kind() == ErrorKind::Unavailable => self.pause(&mut tries, &mut deadline, &e).await?,
                Err(e) => return Err(e),
            }
        };
        match &self.settings.table_uuid {
            None => self.settings.table_uuid = Some(head.table_uuid.clone()),
            Some(expected) if *expected == head.table_uuid => {}
            Some(expected) => {
                let refusal = Refusal::TableReplaced { expected: expected.clone(), found: head.table_uuid };
                return Err(self.refuse(refusal));
            }
        }
        let CoordinatorSettings { sink, branch, foreign_writes, .. } = &self.settings;
        let touched =
            assess(sink, branch, head.snapshot, &head.lineage, *foreign_writes).map_err(|refusal| self.refuse(refusal))?;
        if let Some(checkpoint) = &mut head.checkpoint {
            if touched && !checkpoint.touched {
                tracing::warn!(table = %self.name, "others have changed rows: it is no exact mirror any more, and its inserts are written as upserts");
            }
            checkpoint.touched |= touched;
        }
        if let Some((last, snapshot)) = &self.last
            && !head.checkpoint.as_ref().is_some_and(|c| follows(c, last))
        {
            return Err(self.refuse(Refusal::NotDescended { head: head.snapshot, last: *snapshot }));
        }
        Ok(head)
    }

    async fn find(&self, commit: &str) -> Result<Option<i64>> {
        let (mut tries, mut deadline) = (0, None);
        loop {
            match self.table.find_commit(commit).await {
                Err(e) if e.kind() == ErrorKind::Unavailable => self.pause(&mut tries, &mut deadline, &e).await?,
                result => return result,
            }
        }
    }

    async fn view(&self) -> Result<LogView> {
        let (mut tries, mut deadline) = (0, None);
        loop {
            match self.log.view(&self.settings.topics).await {
                Err(e) if e.kind() == ErrorKind::Unavailable => self.pause(&mut tries, &mut deadline, &e).await?,
                result => return result,
            }
        }
    }

    /// Makes sure that the table has a checkpoint: on the first start that is a commit of its own.
    async fn adopt(&mut self) -> Result<()> {
        let (mut tries, mut deadline) = (0, None);
        loop {
            let head = self.read_head().await?;
            let view = self.view().await?;
            if let Some(base) = head.checkpoint.clone() {
                let checked = check_log(&base, &view).map_err(|refusal| self.refuse(refusal));
                self.keep(head, Arc::new(base), false);
                match checked {
                    Ok(()) => return Ok(()),
                    Err(e) => self.confirm(e).await?,
                }
                continue;
            }
            let s = &self.settings;
            let first =
                first_checkpoint(&s.sink, &s.branch, &s.topics, &head.lineage, &view, s.generation.as_ref(), s.first_start)
                    .map_err(|refusal| self.refuse(refusal))?;
            let first = Checkpoint { commit: self.environment.commit_id(), ..first };
            match self.table.swap(&head, Change::Delta(Vec::new()), &first).await {
                Ok(head) => {
                    self.keep(head, Arc::new(first), true);
                    return Ok(());
                }
                Err(SwapError::Failed(e)) if e.kind() != ErrorKind::Unavailable => return Err(e),
                // Whether or not it happened, the next look at the head tells.
                Err(e) => self.pause(&mut tries, &mut deadline, &e).await?,
            }
        }
    }

    fn keep(&mut self, head: Head<T::Token>, base: Arc<Checkpoint>, own: bool) {
        if let Some(snapshot) = head.snapshot {
            self.last = Some((Arc::clone(&base), snapshot));
        }
        let now = self.environment.now();
        self.status.send_modify(|s| {
            s.checkpoint = Some(Arc::clone(&base));
            s.snapshot = head.snapshot;
            if own {
                s.commits = s.commits.wrapping_add(1);
                s.last_commit = Some(now);
            }
        });
        self.known = Some(Known { head, base });
    }

    /// Commits what of the queue can be committed now, in one snapshot. True if anything was committed or answered.
    async fn round(&mut self) -> Result<bool> {
        let (mut tries, mut deadline) = (0, None);
        loop {
            let fresh = self.known.is_none();
            if fresh {
                self.look().await?;
                self.resolve().await?;
                if self.queue.is_empty() {
                    return Ok(true);
                }
            }
            let view = self.view().await?;
            let formed = match self.form(&view) {
                Ok(formed) => formed,
                Err(e) => {
                    self.confirm(e).await?;
                    continue;
                }
            };
            if formed.members.is_empty() {
                if formed.waiting && !fresh {
                    self.known = None;
                    continue;
                }
                return Ok(formed.answered);
            }
            match self.swap(&formed).await? {
                None => return Ok(true),
                Some(why) => {
                    self.known = None;
                    self.pause(&mut tries, &mut deadline, &why).await?;
                }
            }
        }
    }

    /// Reads the head, checks it and builds upon it from here on.
    async fn look(&mut self) -> Result<()> {
        let head = self.read_head().await?;
        let Some(base) = head.checkpoint.clone() else {
            return Err(Error::new(ErrorKind::Other, format!("the table {} has lost its checkpoint", self.name)));
        };
        self.keep(head, Arc::new(base), false);
        Ok(())
    }

    /// Looks for attempts with an unknown outcome in the ancestry of the head that was just read.
    async fn resolve(&mut self) -> Result<()> {
        for attempt in std::mem::take(&mut self.attempts) {
            // The head was read before the look: if the late request lands between the two, the next swap meets a conflict.
            if let Some(snapshot) = self.find(&attempt.checkpoint.commit).await? {
                let now = self.environment.now();
                self.status.send_modify(|s| {
                    s.commits = s.commits.wrapping_add(1);
                    s.last_commit = Some(now);
                });
                self.acknowledge(&attempt.members, snapshot, &attempt.checkpoint);
            } else if self.known.as_ref().is_some_and(|k| k.head.token == attempt.base) {
                // The branch has not moved: the request may still land.
                self.attempts.push(attempt);
            }
        }
        Ok(())
    }

    /// A refusal holds only if the table is still what it was decided upon: otherwise another coordinator may have committed
    /// since, and the log may have let go of just that.
    async fn confirm(&mut self, refusal: Error) -> Result<()> {
        let head = self.read_head().await?;
        match self.known.take() {
            Some(known) if known.head.token != head.token => Ok(()),
            _ => Err(refusal),
        }
    }

    fn form(&mut self, view: &LogView) -> Result<Formed> {
        let Some(base) = self.known.as_ref().map(|k| Arc::clone(&k.base)) else {
            return Err(Error::new(ErrorKind::Other, "a round began without a head"));
        };
        let mut round = Round::new(&base).with_planted(self.bugs);
        #[cfg(feature = "planted-bugs")]
        if !self.forced.is_empty() {
            round = round.with_planted(Planted(Some(crate::planted::Bug::StaleCheckSkipped)));
        }
        let (mut members, mut waiting, mut answered) = (Vec::new(), false, false);
        let now = self.environment.now();
        let mut offers = std::mem::take(&mut self.queue).into_iter();
        while let Some(offer) = offers.next() {
            let answer = match round.admit(&offer.delta.claim, view) {
                Admission::Admitted => {
                    members.push(offer.id);
                    self.queue.push(offer);
                    continue;
                }
                Admission::NextRound => {
                    self.queue.push(offer);
                    continue;
                }
                Admission::No(Verdict::Gap(_) | Verdict::BarrierNotReached { .. })
                    if now.saturating_sub(offer.since) < self.settings.hold =>
                {
                    waiting = true;
                    self.queue.push(offer);
                    continue;
                }
                Admission::No(Verdict::Refused(refusal)) => {
                    self.queue.push(offer);
                    self.queue.extend(offers);
                    return Err(self.refuse(refusal));
                }
                Admission::No(Verdict::Stale(_)) => Answer::Stale(Arc::clone(&base)),
                Admission::No(_) => Answer::Again,
            };
            answered = true;
            tracing::info!(table = %self.name, ?answer, claim = ?offer.delta.claim.spans, "a delta was not committed");
            // Nobody may be listening any more: then it was a zombie's.
            let _ = offer.reply.send(answer);
        }
        self.publish_waiting();
        let checkpoint = Arc::new(round.checkpoint(&self.environment.commit_id()));
        Ok(Formed { checkpoint, members, waiting, answered })
    }

    /// One swap. `Some`: not (surely) done, the head must be read again.
    async fn swap(&mut self, formed: &Formed) -> Result<Option<SwapError>> {
        let Some(known) = self.known.as_ref() else { return Ok(Some(SwapError::Conflict)) };
        let deltas: Vec<&Delta<T::Files>> =
            self.queue.iter().filter(|w| formed.members.contains(&w.id)).map(|w| &*w.delta).collect();
        let change = match deltas.first().map(|d| d.claim.act) {
            Some(Act::Barrier { kind, .. }) => Change::Barrier(kind),
            _ => Change::Delta(deltas.iter().filter_map(|d| d.files.as_ref()).collect()),
        };
        failpoint::hit("coordinator-before-swap");
        let result = self.table.swap(&known.head, change, &formed.checkpoint).await;
        failpoint::hit("coordinator-after-swap");
        match result {
            Ok(head) => {
                let snapshot = head.snapshot.unwrap_or_default();
                self.keep(head, Arc::clone(&formed.checkpoint), true);
                self.attempts.clear();
                self.acknowledge(&formed.members, snapshot, &formed.checkpoint);
                failpoint::hit("coordinator-after-answer");
                Ok(None)
            }
            Err(SwapError::Failed(e)) if e.kind() != ErrorKind::Unavailable => Err(e),
            Err(SwapError::Rewrite(why)) => {
                tracing::info!(table = %self.name, %why, "files must be written again");
                for offer in self.remove(&formed.members) {
                    let _ = offer.reply.send(Answer::Again);
                }
                Ok(None)
            }
            Err(error) => {
                if let SwapError::Unknown(_) = &error {
                    self.status.send_modify(|s| s.unknown = s.unknown.wrapping_add(1));
                    let attempt = Attempt {
                        base: known.head.token.clone(),
                        checkpoint: Arc::clone(&formed.checkpoint),
                        members: formed.members.clone(),
                    };
                    if !self.mishandle_unknown(&attempt) {
                        self.attempts.push(attempt);
                    }
                }
                if let SwapError::Conflict = &error {
                    self.status.send_modify(|s| s.conflicts = s.conflicts.wrapping_add(1));
                    self.mishandle_conflict(&formed.members);
                }
                Ok(Some(error))
            }
        }
    }

    /// A planted bug's way with an unknown outcome; without one, nothing.
    fn mishandle_unknown(&mut self, attempt: &Attempt<T::Token>) -> bool {
        if planted!(self.bugs, UnknownTakenForFailure) {
            self.mishandle(&attempt.members);
            return true;
        }
        #[cfg(feature = "planted-bugs")]
        if planted!(self.bugs, FilesDeletedAfterUnknown) {
            for offer in self.remove(&attempt.members) {
                if let (Some(discard), Some(files)) = (&self.discard, &offer.delta.files) {
                    discard(files);
                }
                let _ = offer.reply.send(Answer::Again);
            }
            return true;
        }
        false
    }

    fn mishandle_conflict(&mut self, members: &[u64]) {
        if planted!(self.bugs, RetryWithoutRecheck) {
            self.mishandle(members);
        }
    }

    fn mishandle(&mut self, members: &[u64]) {
        #[cfg(feature = "planted-bugs")]
        self.forced.extend_from_slice(members);
        #[cfg(not(feature = "planted-bugs"))]
        let _ = members;
    }

    fn remove(&mut self, members: &[u64]) -> Vec<Waiting<T::Files>> {
        let (gone, rest) = std::mem::take(&mut self.queue).into_iter().partition(|w| members.contains(&w.id));
        self.queue = rest;
        #[cfg(feature = "planted-bugs")]
        self.forced.retain(|id| !members.contains(id));
        gone
    }

    fn acknowledge(&mut self, members: &[u64], snapshot: i64, checkpoint: &Arc<Checkpoint>) {
        for offer in self.remove(members) {
            let receipt = Receipt::new(Arc::clone(&self.name), snapshot, Arc::clone(checkpoint));
            let _ = offer.reply.send(Answer::Committed(receipt));
        }
        self.publish_waiting();
    }
}

/// True if a checkpoint is the other one or a later one: a branch and its tag that were both moved back show here.
fn follows(checkpoint: &Checkpoint, earlier: &Checkpoint) -> bool {
    checkpoint.barrier >= earlier.barrier
        && earlier.partitions().all(|(topic, partition, next)| checkpoint.next(topic, partition).is_some_and(|n| n >= next))
}

/// Returns once the flag is set; never, if nobody is left to set it.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
