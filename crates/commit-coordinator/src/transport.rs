use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::refusal::Refusal;
use crate::span::Claim;
use async_trait::async_trait;
use futures::future::BoxFuture;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};

/// What a worker offers: spans of the log, and the files that hold their rows. Or a rewrite, of whoever keeps the table tidy.
#[derive(Debug)]
pub struct Delta<F> {
    /// What it covers.
    pub claim: Claim,
    /// What it adds; `None` if the spans held no rows, and in barriers. A rewrite has some.
    pub files: Option<F>,
}

/// Proof that a delta is in the table, durably. Only the coordinator can make one, and it cannot be cloned: what moves
/// progress (release of the log, advisory offsets) asks for it, so that "acknowledge before durable" does not compile.
///
/// ```compile_fail
/// fn twice(receipt: commit_coordinator::Receipt) {
///     let again = receipt.clone();
/// }
/// ```
/// ```compile_fail
/// let forged = commit_coordinator::Receipt { snapshot: 1, ..todo!() };
/// ```
#[derive(Debug)]
pub struct Receipt {
    table: Arc<str>,
    snapshot: i64,
    checkpoint: Arc<Checkpoint>,
}

impl Receipt {
    pub(crate) fn new(table: Arc<str>, snapshot: i64, checkpoint: Arc<Checkpoint>) -> Self {
        Self { table, snapshot, checkpoint }
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The snapshot that holds the delta.
    pub fn snapshot(&self) -> i64 {
        self.snapshot
    }

    /// The checkpoint of that snapshot: everything before its offsets is in the table.
    pub fn checkpoint(&self) -> &Arc<Checkpoint> {
        &self.checkpoint
    }
}

/// What a coordinator says to a delta.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// It is in the table.
    Committed(Receipt),
    /// It was not committed and never will be, since this is the checkpoint: seek there and go on.
    Stale(Arc<Checkpoint>),
    /// It was not committed, because what must come before it did not come for long, or because it must be written anew.
    /// Read the checkpoint and go on from there; after a rewrite, read which files there are. (What was offered twice may have been
    /// committed by the other offer.)
    Again,
    /// The table stops.
    Refused(Refusal),
}

/// The answer to an offer, once it comes. Dropping it withdraws nothing.
pub type PendingAnswer = BoxFuture<'static, Result<Answer>>;

/// How deltas come to the coordinator: a channel in one process, a control topic between processes.
///
/// # Contract
/// Nothing is promised but this: a delta that arrives is whole, and an answer belongs to the delta that it is given for. Deltas
/// may be lost, doubled, late (long after the worker is gone) and out of order, and so may answers: the commit rule makes all
/// of that harmless.
#[async_trait]
pub trait Transport<F: Send + Sync + 'static>: Send + Sync + 'static {
    /// Sends a delta; returns once it is sent. From here on its files must be kept, whatever happens.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it could not be sent, or may have been.
    async fn offer(&self, delta: Arc<Delta<F>>) -> Result<PendingAnswer>;

    /// True if an answer, or an error, is certain to come as long as this process lives: then a worker waits for it, however long the
    /// coordinator has to wait for its table, rather than write and offer the same span again.
    fn always_answers(&self) -> bool {
        false
    }
}

/// A delta in a coordinator's hands, with the way back to its worker.
#[derive(Debug)]
pub(crate) struct Offer<F> {
    pub delta: Arc<Delta<F>>,
    pub reply: oneshot::Sender<Answer>,
}

/// The way to a coordinator in the same process. Cheap to clone; the coordinator ends when the last one is dropped. Who must not
/// keep it from ending holds a [`WeakTransport`].
#[derive(Debug)]
pub struct LocalTransport<F> {
    offers: mpsc::Sender<Offer<F>>,
    refusal: Arc<OnceLock<Refusal>>,
}

impl<F> Clone for LocalTransport<F> {
    fn clone(&self) -> Self {
        Self { offers: self.offers.clone(), refusal: Arc::clone(&self.refusal) }
    }
}

impl<F> LocalTransport<F> {
    /// Deltas that may lie in the channel before a worker waits: workers have one on its way each, so few.
    const CAPACITY: usize = 16;

    pub(crate) fn channel() -> (Self, mpsc::Receiver<Offer<F>>, Arc<OnceLock<Refusal>>) {
        let (offers, receiver) = mpsc::channel(Self::CAPACITY);
        let refusal = Arc::new(OnceLock::new());
        (Self { offers, refusal: Arc::clone(&refusal) }, receiver, refusal)
    }

    /// A way to the same coordinator that does not keep it alive.
    pub fn downgrade(&self) -> WeakTransport<F> {
        WeakTransport { offers: self.offers.downgrade(), refusal: Arc::clone(&self.refusal) }
    }
}

/// A way to a coordinator that does not keep it alive: for maintenance, which has something to offer now and then, but must not
/// keep a table open whose worker has gone.
#[derive(Debug)]
pub struct WeakTransport<F> {
    offers: mpsc::WeakSender<Offer<F>>,
    refusal: Arc<OnceLock<Refusal>>,
}

impl<F> Clone for WeakTransport<F> {
    fn clone(&self) -> Self {
        Self { offers: self.offers.clone(), refusal: Arc::clone(&self.refusal) }
    }
}

impl<F> WeakTransport<F> {
    /// A way to offer something; `None` if the last [`LocalTransport`] is gone, and the coordinator with it or about to be.
    ///
    /// It keeps the coordinator alive: drop it once the offer is sent. The answer comes without it.
    pub fn upgrade(&self) -> Option<LocalTransport<F>> {
        Some(LocalTransport { offers: self.offers.upgrade()?, refusal: Arc::clone(&self.refusal) })
    }
}

#[async_trait]
impl<F: Send + Sync + 'static> Transport<F> for LocalTransport<F> {
    async fn offer(&self, delta: Arc<Delta<F>>) -> Result<PendingAnswer> {
        let (reply, answer) = oneshot::channel();
        let gone = |refusal: &OnceLock<Refusal>| match refusal.get() {
            Some(refusal) => Ok(Answer::Refused(refusal.clone())),
            None => Err(Error::new(
                ErrorKind::Unavailable,
                "the coordinator of the table has ended; what it was offered may or may not be committed",
            )),
        };
        if self.offers.send(Offer { delta, reply }).await.is_err() {
            let answer = gone(&self.refusal)?;
            return Ok(Box::pin(async move { Ok(answer) }));
        }
        let refusal = Arc::clone(&self.refusal);
        Ok(Box::pin(async move {
            match answer.await {
                Ok(answer) => Ok(answer),
                Err(_) => gone(&refusal),
            }
        }))
    }

    fn always_answers(&self) -> bool {
        true
    }
}
