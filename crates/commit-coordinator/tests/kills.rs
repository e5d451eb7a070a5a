//! Every failpoint of this crate is reached, and kills.

use commit_coordinator::memory::{MemoryKind, MemorySpanLog, MemoryTable, MemoryWriter};
use commit_coordinator::{Coordinator, CoordinatorSettings, SystemEnvironment, Worker, WorkerParts, WorkerSettings, run_table};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use tokio::sync::watch;

const POINTS: [&str; 7] = [
    "worker-before-finish",
    "worker-before-offer",
    "worker-after-offer",
    "worker-after-receipt",
    "coordinator-before-swap",
    "coordinator-after-swap",
    "coordinator-after-answer",
];

/// What the child process does: rows go through worker and coordinator until something kills it.
#[test]
fn child_process() {
    if std::env::var("CDC_FAILPOINTS_HITS").is_err() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (table, log) = (Arc::new(MemoryTable::new("orders", "shop")), MemorySpanLog::new("t", 1));
        let (_stop, stopping) = watch::channel(false);
        let environment = Arc::new(SystemEnvironment::new());
        let settings = CoordinatorSettings::new("shop", "t");
        let (coordinator, transport) =
            Coordinator::new(Arc::clone(&table), Arc::new(log.clone()), environment.clone(), settings, stopping.clone()).unwrap();
        let mut status = coordinator.status();
        let parts = WorkerParts {
            table,
            log: Arc::new(log.clone()),
            writer: MemoryWriter::new(),
            progress: log.progress(),
            transport: Arc::new(transport),
            environment,
        };
        let mut settings = WorkerSettings::new("shop");
        settings.commit_interval = std::time::Duration::ZERO;
        tokio::spawn(run_table(coordinator, Worker::new(parts, settings), stopping));
        for n in 1..10 {
            log.append(0, MemoryKind::Create, &format!("k{n}"), "1");
            status.wait_for(|s| s.checkpoint.as_ref().is_some_and(|c| c.next("t", 0) == Some(n))).await.unwrap();
        }
    });
}

#[test]
fn every_named_point_is_reached_and_ends_the_process_there() {
    for point in POINTS {
        let hits = std::env::temp_dir().join(format!("failpoint-hits-{}-{point}", std::process::id()));
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::child_process"])
            .env("CDC_FAILPOINTS", format!("{point}=kill@3"))
            .env("CDC_FAILPOINTS_HITS", &hits)
            .output()
            .unwrap();
        let lines = std::fs::read_to_string(&hits).unwrap_or_default();
        std::fs::remove_file(&hits).ok();
        assert_eq!(output.status.signal(), Some(9), "{point}: {output:?}");
        assert!(lines.lines().any(|line| line == format!("{point} hit")), "{point}: {lines}");
        assert_eq!(lines.lines().last(), Some(&*format!("{point} kill")), "{point}: {lines}");
    }
}

#[test]
fn a_specification_that_cannot_be_understood_ends_the_process() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::child_process"])
        .env("CDC_FAILPOINTS", "coordinator-before-swap=explode")
        .env("CDC_FAILPOINTS_HITS", "/dev/null")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
