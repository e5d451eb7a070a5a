//! A table follows a log: rows arrive, the table is truncated at the source, rows arrive again.

use commit_coordinator::memory::{MemoryKind, MemorySpanLog, MemoryTable, MemoryWriter};
use commit_coordinator::{
    BarrierKind, Coordinator, CoordinatorSettings, Result, SystemEnvironment, Worker, WorkerParts, WorkerSettings, run_table,
};
use std::io::Write;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let table = Arc::new(MemoryTable::new("orders", "shop"));
    let log = MemorySpanLog::new("shop.orders", 2);
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let environment = Arc::new(SystemEnvironment::new());

    let settings = CoordinatorSettings::new("shop", "shop.orders");
    let (coordinator, transport) =
        Coordinator::new(Arc::clone(&table), Arc::new(log.clone()), environment.clone(), settings, stopping.clone())?;
    let mut status = coordinator.status();
    let parts = WorkerParts {
        table: Arc::clone(&table),
        log: Arc::new(log.clone()),
        writer: MemoryWriter::new(),
        progress: log.progress(),
        transport: Arc::new(transport),
        environment,
    };
    let running = tokio::spawn(run_table(coordinator, Worker::new(parts, WorkerSettings::new("shop")), stopping));

    log.append(0, MemoryKind::Create, "10001", "1 scooter");
    log.append(1, MemoryKind::Create, "10002", "2 hammers");
    log.barrier(BarrierKind::Truncate);
    log.append(1, MemoryKind::Create, "10003", "3 jackets");
    let end = |s: &commit_coordinator::CoordinatorStatus| {
        s.checkpoint.as_ref().is_some_and(|c| c.barrier == 1 && c.next("shop.orders", 1) == Some(2))
    };
    let _ = status.wait_for(end).await;
    let _ = stop.send(true);
    let _ = running.await;

    let mut out = std::io::stdout();
    for snapshot in table.history()? {
        let _ = writeln!(out, "snapshot {}: {:?}", snapshot.id, table.scan(Some(snapshot.id))?);
    }
    Ok(())
}
