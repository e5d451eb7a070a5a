use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::log_view::{ProgressView, SpanLog};
use crate::table::MirrorTable;
#[cfg(doc)]
use crate::transport::LocalTransport;
use crate::worker::{Finished, Worker};
use crate::writer::SpanWriter;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Ends a task when it is dropped: to the protocol that is a crash, which it survives.
struct Task<R>(JoinHandle<R>);

impl<R> Drop for Task<R> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long the coordinator may take to end once nobody has anything to offer: it has only something to do if it still waits for a
/// table that does not answer, and that it goes on with at the next start.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Runs one table's coordinator (as a task of its own, so that a span is written while the last one is committed) and its one
/// worker, until asked to stop or until one of them cannot go on.
///
/// The worker's transport must be that of the coordinator, and nobody else may hold a clone of it: the coordinator ends when the
/// worker is gone. Maintenance of the table, which offers rewrites, holds a weak one ([`LocalTransport::downgrade`]). Dropping the
/// future ends both at once; nothing is lost by it.
///
/// # Errors
/// Those of [`Worker::run`] and [`Coordinator::run`], whichever comes first.
///
/// # Panics
/// Only outside of a tokio runtime.
pub async fn run_table<T, L, W, P>(
    coordinator: Coordinator<T>,
    worker: Worker<T, L, W, P>,
    stop: watch::Receiver<bool>,
) -> Result<Finished>
where
    T: MirrorTable,
    L: SpanLog,
    W: SpanWriter<Records = L::Records, Files = T::Files>,
    P: ProgressView,
{
    let mut committing = Task(tokio::spawn(coordinator.run()));
    let joined = |result: std::result::Result<Result<()>, tokio::task::JoinError>| match result {
        Ok(result) => result,
        Err(e) if e.is_cancelled() => {
            let message = "the coordinator's task was cancelled: the runtime is ending; the next start goes on from the table";
            Err(crate::Error::new(crate::ErrorKind::Interrupted, message).with_source(e))
        }
        Err(e) => Err(crate::Error::new(crate::ErrorKind::Other, "the coordinator's task ended abnormally").with_source(e)),
    };
    let worker = worker.run(stop);
    let finished = {
        let mut worker = std::pin::pin!(worker);
        tokio::select! {
            biased;
            finished = &mut worker => finished?,
            ended = &mut committing.0 => {
                // Asked to stop, it answers what it holds first: the worker hears that, or finds the door closed.
                joined(ended)?;
                return worker.await;
            }
        }
    };
    match tokio::time::timeout(LAST_MOMENT, &mut committing.0).await {
        Ok(ended) => joined(ended)?,
        Err(_) => tracing::warn!("the coordinator still waited for its table; the next start reads there what was committed"),
    }
    Ok(finished)
}
