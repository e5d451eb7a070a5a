//! Single histories, written out: what the simulator cannot say as plainly.

use async_trait::async_trait;
use commit_coordinator::memory::{MemoryKind, MemoryProgress, MemorySpanLog, MemoryTable, MemoryWriter};
use commit_coordinator::{
    Answer, BarrierKind, Change, Checkpoint, Claim, Coordinator, CoordinatorSettings, CoordinatorStatus, Delta, Error, ErrorKind,
    Fetch, Finished, FirstStart, ForeignWrites, Head, LocalTransport, LogInspector, LogView, MirrorTable, PendingAnswer, Receipt,
    Result, Span, SpanLog, SwapError, SystemEnvironment, Transport, Worker, WorkerParts, WorkerSettings, run_table,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const TOPIC: &str = "shop.orders";

struct Shop {
    table: Arc<MemoryTable>,
    log: MemorySpanLog,
}

type Files = Arc<commit_coordinator::memory::MemoryFiles>;

impl Shop {
    fn new() -> Self {
        Self { table: Arc::new(MemoryTable::new("orders", "shop")), log: MemorySpanLog::new(TOPIC, 1) }
    }

    fn settings() -> (CoordinatorSettings, WorkerSettings) {
        (CoordinatorSettings::new("shop", TOPIC), WorkerSettings::new("shop"))
    }

    fn coordinator(
        &self,
        settings: CoordinatorSettings,
        stop: watch::Receiver<bool>,
    ) -> (Coordinator<MemoryTable>, LocalTransport<Files>) {
        let environment = Arc::new(SystemEnvironment::new());
        Coordinator::new(Arc::clone(&self.table), Arc::new(self.log.clone()), environment, settings, stop).unwrap()
    }

    fn worker(
        &self,
        transport: LocalTransport<Files>,
        settings: WorkerSettings,
    ) -> Worker<MemoryTable, MemorySpanLog, MemoryWriter, MemoryProgress> {
        let parts = WorkerParts {
            table: Arc::clone(&self.table),
            log: Arc::new(self.log.clone()),
            writer: MemoryWriter::new(),
            progress: self.log.progress(),
            transport: Arc::new(transport),
            environment: Arc::new(SystemEnvironment::new()),
        };
        Worker::new(parts, settings)
    }

    fn run(
        &self,
        (coordinator, worker): (CoordinatorSettings, WorkerSettings),
    ) -> (JoinHandle<Result<Finished>>, watch::Sender<bool>, watch::Receiver<CoordinatorStatus>) {
        let (stop, stopping) = watch::channel(false);
        let (coordinator, transport) = self.coordinator(coordinator, stopping.clone());
        let status = coordinator.status();
        let worker = self.worker(transport, worker);
        (tokio::spawn(run_table(coordinator, worker, stopping)), stop, status)
    }

    fn rows(&self) -> Vec<(String, String)> {
        self.table.scan(None).unwrap()
    }
}

/// Waits until the table has applied everything before this offset.
async fn applied(status: &mut watch::Receiver<CoordinatorStatus>, next: i64, barrier: u64) {
    let reached = status
        .wait_for(|s| s.checkpoint.as_ref().is_some_and(|c| c.next(TOPIC, 0).is_some_and(|n| n >= next) && c.barrier >= barrier));
    tokio::time::timeout(Duration::from_secs(3_000), reached).await.expect("too late").expect("the coordinator ended");
}

#[tokio::test(start_paused = true)]
async fn rows_arrive_and_a_graceful_stop_commits_what_was_read() {
    let shop = Shop::new();
    shop.log.append(0, MemoryKind::Create, "a", "1");
    let (running, stop, mut status) = shop.run(Shop::settings());
    applied(&mut status, 1, 0).await;
    shop.log.append(0, MemoryKind::Upsert, "a", "2");
    shop.log.append(0, MemoryKind::Create, "b", "3");
    applied(&mut status, 3, 0).await;
    stop.send(true).unwrap();
    let finished = running.await.unwrap().unwrap();
    assert!(finished.settled);
    assert_eq!(finished.checkpoint.unwrap().next(TOPIC, 0), Some(3));
    assert_eq!(shop.rows(), [("a".into(), "2@1".into()), ("b".into(), "3@1".into())]);
}

/// A log whose last records are there and not decided: they cannot be read before [`decide`](Self::decide).
#[derive(Clone)]
struct Undecided {
    log: MemorySpanLog,
    /// Reads end before this offset.
    stable: Arc<watch::Sender<i64>>,
}

impl Undecided {
    fn decide(&self, stable: i64) {
        self.stable.send_replace(stable);
    }
}

#[async_trait]
impl LogInspector for Undecided {
    async fn view(&self, topics: &[String]) -> Result<LogView> {
        self.log.view(topics).await
    }
}

#[async_trait]
impl SpanLog for Undecided {
    type Records = <MemorySpanLog as SpanLog>::Records;

    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        until: Option<i64>,
        max_bytes: usize,
    ) -> Result<Fetch<Self::Records>> {
        let stable = *self.stable.borrow();
        self.log.read(topic, partition, from, Some(until.unwrap_or(stable).min(stable)), max_bytes).await
    }

    async fn wait(&self, _: &str, _: i32, from: i64) -> Result<()> {
        self.stable.subscribe().wait_for(|stable| *stable > from).await.unwrap();
        Ok(())
    }

    async fn release(&self, _: &Receipt) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_position_is_covered_once_all_that_lay_before_it_is_read_and_not_before() {
    let shop = Shop::new();
    let log = Undecided { log: shop.log.clone(), stable: Arc::new(watch::Sender::new(2)) };
    shop.log.append(0, MemoryKind::Create, "a", "1");
    shop.log.append(0, MemoryKind::Create, "b", "2");
    shop.log.append(0, MemoryKind::Create, "c", "3");
    let (stop, stopping) = watch::channel(false);
    let (coordinator, transport) = shop.coordinator(Shop::settings().0, stopping.clone());
    let mut status = coordinator.status();
    let parts = WorkerParts {
        table: Arc::clone(&shop.table),
        log: Arc::new(log.clone()),
        writer: MemoryWriter::new(),
        progress: shop.log.progress(),
        transport: Arc::new(transport),
        environment: Arc::new(SystemEnvironment::new()),
    };
    let worker = Worker::new(parts, Shop::settings().1);
    let running = tokio::spawn(run_table(coordinator, worker, stopping));
    // The source's position of all three is known by then, and where they end; the third cannot be read yet.
    applied(&mut status, 2, 0).await;
    let covered =
        |status: &watch::Receiver<CoordinatorStatus>| status.borrow().checkpoint.as_ref().and_then(|c| c.covered.clone());
    assert_eq!(covered(&status), None);
    log.decide(3);
    applied(&mut status, 3, 0).await;
    assert_eq!(covered(&status).map(|c| c.position), Some("3".to_owned()));
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_record_counts_as_applied_long_before_it_is_committed() {
    let shop = Shop::new();
    shop.log.append(0, MemoryKind::Create, "a", "1");
    shop.log.append_marker(0);
    let (stop, stopping) = watch::channel(false);
    let (coordinator, transport) = shop.coordinator(Shop::settings().0, stopping.clone());
    let worker = shop.worker(transport, Shop::settings().1);
    let mut told = worker.applied();
    let status = coordinator.status();
    let running = tokio::spawn(run_table(coordinator, worker, stopping));
    let partition = (TOPIC.to_owned(), 0);
    let mut reached = async |next: i64| {
        let reached = told.wait_for(|applied| applied.get(&partition).is_some_and(|at| *at >= next));
        tokio::time::timeout(Duration::from_secs(60), reached).await.expect("too late").expect("the worker ended");
    };
    reached(2).await;
    assert_eq!(shop.rows(), [("a".into(), "1@1".into())], "the row was in before it was said");
    let commits = status.borrow().commits;
    shop.log.append_marker(0);
    reached(3).await;
    assert_eq!(status.borrow().commits, commits, "a marker is no reason to commit");
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

/// The clock stands still while anything can go on: what passes is what was waited for.
#[tokio::test(start_paused = true)]
async fn a_change_after_a_pause_does_not_wait_and_those_behind_it_wait_for_the_interval_at_most() {
    let shop = Shop::new();
    shop.log.append(0, MemoryKind::Create, "a", "1");
    let (running, stop, mut status) = shop.run(Shop::settings());
    applied(&mut status, 1, 0).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let lone = tokio::time::Instant::now();
    shop.log.append(0, MemoryKind::Upsert, "a", "2");
    applied(&mut status, 2, 0).await;
    assert!(lone.elapsed() < Duration::from_millis(10), "{:?}", lone.elapsed());
    for n in 0..100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        shop.log.append(0, MemoryKind::Upsert, "a", &n.to_string());
    }
    let commits = status.borrow().commits;
    applied(&mut status, 102, 0).await;
    let waited = lone.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_millis(1_050)).contains(&waited), "{waited:?}");
    assert_eq!(status.borrow().commits, commits + 1, "a hundred changes within the interval are one commit");
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(shop.rows(), [("a".into(), "99@1".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_truncate_of_an_idle_table_is_a_snapshot_of_its_own() {
    let shop = Shop::new();
    shop.log.append(0, MemoryKind::Create, "a", "1");
    let (running, stop, mut status) = shop.run(Shop::settings());
    applied(&mut status, 1, 0).await;
    shop.log.barrier(BarrierKind::Truncate);
    applied(&mut status, 1, 1).await;
    assert_eq!(shop.rows(), []);
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    let operations: Vec<_> = shop.table.history().unwrap().iter().map(|s| s.operation.as_str()).collect();
    assert_eq!(operations, ["append", "append", "delete"], "the first checkpoint, the row, the truncate");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_asked_to_stop_passes_the_barriers_that_are_there_and_what_lies_between() {
    let shop = Shop::new();
    shop.log.append(0, MemoryKind::Create, "a", "1");
    let (_never, goes_on) = watch::channel(false);
    let (stop, stopping) = watch::channel(false);
    let (coordinator, transport) = shop.coordinator(Shop::settings().0, goes_on);
    let mut status = coordinator.status();
    let worker = shop.worker(transport, Shop::settings().1);
    let running = tokio::spawn(run_table(coordinator, worker, stopping));
    applied(&mut status, 1, 0).await;
    shop.log.barrier(BarrierKind::Truncate);
    shop.log.append(0, MemoryKind::Create, "b", "2");
    shop.log.barrier(BarrierKind::Truncate);
    shop.log.append(0, MemoryKind::Create, "c", "3");
    stop.send(true).unwrap();
    let finished = running.await.unwrap().unwrap();
    let checkpoint = finished.checkpoint.unwrap();
    assert_eq!((checkpoint.barrier, checkpoint.next(TOPIC, 0)), (2, Some(3)));
    assert_eq!(shop.rows(), [("c".into(), "3@1".into())]);
}

#[tokio::test(start_paused = true)]
async fn progress_without_rows_is_committed_alone_after_a_while_and_before_retention_reaches_it() {
    let shop = Shop::new();
    let (running, stop, mut status) = shop.run(Shop::settings());
    applied(&mut status, 0, 0).await;
    let clock = tokio::time::Instant::now();
    shop.log.append_marker(0);
    applied(&mut status, 1, 0).await;
    assert!(clock.elapsed() >= Duration::from_secs(600), "{:?}", clock.elapsed());

    let clock = tokio::time::Instant::now();
    shop.log.append_marker(0);
    shop.log.expire_soon(0, 2);
    applied(&mut status, 2, 0).await;
    assert!(clock.elapsed() < Duration::from_secs(130), "{:?}", clock.elapsed());
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_change_of_schema_cuts_the_span() {
    let shop = Shop::new();
    shop.log.append(0, MemoryKind::Create, "a", "1");
    shop.log.new_schema();
    shop.log.append(0, MemoryKind::Create, "b", "2");
    let (running, stop, mut status) = shop.run(Shop::settings());
    applied(&mut status, 2, 0).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(shop.rows(), [("a".into(), "1@1".into()), ("b".into(), "2@2".into())]);
    assert_eq!(shop.table.history().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn records_without_a_row_do_not_keep_a_later_schema_version_waiting() {
    let shop = Shop { log: MemorySpanLog::new(TOPIC, 2), ..Shop::new() };
    shop.log.append(0, MemoryKind::Create, "a", "1");
    let (running, stop, mut status) = shop.run(Shop::settings());
    applied(&mut status, 1, 0).await;
    let clock = tokio::time::Instant::now();
    shop.log.append(0, MemoryKind::Tombstone, "a", "");
    shop.log.append(1, MemoryKind::Tombstone, "b", "");
    shop.log.new_schema();
    shop.log.append(0, MemoryKind::Create, "c", "2");
    applied(&mut status, 3, 0).await;
    assert!(clock.elapsed() < Duration::from_secs(5), "{:?}", clock.elapsed());
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(status.borrow().commits <= 4, "the first checkpoint, the row, the records without one, the row behind them");
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(shop.rows(), [("a".into(), "1@1".into()), ("c".into(), "2@2".into())]);
}

/// A table whose catalog somebody holds locked now and then.
struct Lockable {
    table: Arc<MemoryTable>,
    locked: AtomicBool,
}

impl Lockable {
    fn look(&self) -> Result<()> {
        match self.locked.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Unavailable, "the catalog is locked")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl MirrorTable for Lockable {
    type Files = Files;
    type Token = u64;

    fn name(&self) -> &str {
        self.table.name()
    }

    async fn head(&self) -> Result<Option<Head<u64>>> {
        self.look()?;
        self.table.head().await
    }

    async fn swap(&self, base: &Head<u64>, change: Change<'_, Files>, next: &Checkpoint) -> Result<Head<u64>, SwapError> {
        self.look().map_err(SwapError::Failed)?;
        self.table.swap(base, change, next).await
    }

    async fn find_commit(&self, commit: &str) -> Result<Option<i64>> {
        self.look()?;
        self.table.find_commit(commit).await
    }
}

/// Counts what goes through.
struct Counted {
    way: LocalTransport<Files>,
    offers: AtomicUsize,
}

#[async_trait]
impl Transport<Files> for Counted {
    async fn offer(&self, delta: Arc<Delta<Files>>) -> Result<PendingAnswer> {
        self.offers.fetch_add(1, Ordering::Relaxed);
        self.way.offer(delta).await
    }

    fn always_answers(&self) -> bool {
        self.way.always_answers()
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_catalog_is_locked_each_span_is_written_and_offered_once() {
    let shop = Shop::new();
    let table = Arc::new(Lockable { table: Arc::clone(&shop.table), locked: AtomicBool::new(false) });
    let ((coordinator, worker), (stop, stopping)) = (Shop::settings(), watch::channel(false));
    let environment = Arc::new(SystemEnvironment::new());
    let log = Arc::new(shop.log.clone());
    let (coordinator, way) =
        Coordinator::new(Arc::clone(&table), log.clone(), environment.clone(), coordinator, stopping.clone()).unwrap();
    let mut status = coordinator.status();
    let transport = Arc::new(Counted { way, offers: AtomicUsize::new(0) });
    let parts = WorkerParts {
        table: Arc::clone(&table),
        log,
        writer: MemoryWriter::new(),
        progress: shop.log.progress(),
        transport: Arc::clone(&transport) as Arc<dyn Transport<Files>>,
        environment,
    };
    let worker = Worker::new(parts, worker);
    tokio::spawn(coordinator.run());
    let running = tokio::spawn(worker.run(stopping));
    applied(&mut status, 0, 0).await;

    table.locked.store(true, Ordering::Relaxed);
    for n in 0..100 {
        shop.log.append(0, MemoryKind::Upsert, "a", &n.to_string());
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(transport.offers.load(Ordering::Relaxed), 1, "what is on its way is not offered again");
    table.locked.store(false, Ordering::Relaxed);
    applied(&mut status, 100, 0).await;
    assert_eq!((transport.offers.load(Ordering::Relaxed), shop.rows()), (2, vec![("a".into(), "99@1".into())]));

    table.locked.store(true, Ordering::Relaxed);
    shop.log.append(0, MemoryKind::Upsert, "a", "last");
    tokio::time::sleep(Duration::from_secs(60)).await;
    stop.send(true).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(120), running).await.expect("it goes on").unwrap();
    assert!(ended.is_ok_and(|finished| !finished.settled), "it says that it does not know");
}

/// Takes nothing: a coordinator that has long stopped looking.
struct Full;

#[async_trait]
impl Transport<Files> for Full {
    async fn offer(&self, _delta: Arc<Delta<Files>>) -> Result<PendingAnswer> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_offer_is_not_taken_still_stops() {
    let shop = Shop::new();
    let (running, stop, mut status) = shop.run(Shop::settings());
    applied(&mut status, 0, 0).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    shop.log.append(0, MemoryKind::Create, "a", "1");
    let parts = WorkerParts {
        table: Arc::clone(&shop.table),
        log: Arc::new(shop.log.clone()),
        writer: MemoryWriter::new(),
        progress: shop.log.progress(),
        transport: Arc::new(Full),
        environment: Arc::new(SystemEnvironment::new()),
    };
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(Worker::new(parts, Shop::settings().1).run(stopping));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    stop.send(true).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(120), running).await.expect("it goes on").unwrap();
    assert_eq!(ended.map_err(|e| e.kind()).err(), Some(ErrorKind::Interrupted));
}

/// What a table that cannot go on says.
async fn refusal(shop: &Shop, settings: (CoordinatorSettings, WorkerSettings)) -> (&'static str, String) {
    let (running, _stop, _) = shop.run(settings);
    let result = tokio::time::timeout(Duration::from_secs(3_000), running).await.expect("it goes on").unwrap();
    let error = result.expect_err("it ended well");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    (error.refusal().unwrap().code(), error.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_first_start_on_a_table_with_rows_is_refused_with_ways_on() {
    let shop = Shop::new();
    shop.table.foreign_write(vec![("x".into(), "1".into())], vec![]);
    let (code, message) = refusal(&shop, Shop::settings()).await;
    assert_eq!(code, "rows-without-checkpoint");
    assert!(message.contains("the table orders is stopped") && message.contains("\n  → use another table name"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_first_start_with_a_log_that_lost_its_beginning_is_refused_unless_earliest_is_wanted() {
    let shop = Shop::new();
    shop.log.append(0, MemoryKind::Create, "a", "1");
    shop.log.append(0, MemoryKind::Create, "b", "2");
    shop.log.remove_before(0, 1);
    assert_eq!(refusal(&shop, Shop::settings()).await.0, "beginning-missing");

    let (mut coordinator, worker) = Shop::settings();
    coordinator.first_start = FirstStart::Earliest;
    let (running, stop, mut status) = shop.run((coordinator, worker));
    applied(&mut status, 2, 0).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(shop.rows(), [("b".into(), "2@1".into())]);
}

/// Its barriers have the numbers of those that the table is behind, and mean something else.
#[tokio::test(start_paused = true)]
async fn an_older_copy_of_the_log_that_was_gone_on_with_is_refused() {
    let mut shop = Shop::new();
    let original = shop.log.clone();
    original.append(0, MemoryKind::Create, "a", "1");
    original.barrier(BarrierKind::Recreate);
    original.append(0, MemoryKind::Create, "b", "2");
    let (running, stop, mut status) = shop.run(Shop::settings());
    applied(&mut status, 2, 1).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();

    shop.log = MemorySpanLog::new(TOPIC, 1);
    for key in ["a", "c", "d", "e"] {
        shop.log.append(0, MemoryKind::Create, key, "1");
    }
    shop.log.barrier(BarrierKind::Recreate);
    shop.log.append(0, MemoryKind::Create, "b", "2");
    let (code, message) = refusal(&shop, Shop::settings()).await;
    assert_eq!(code, "log-rewound");
    assert!(message.contains("barrier 1 is committed and offset 2 of shop.orders-0 is next"), "{message}");
    assert_eq!(shop.rows(), [("b".into(), "2@1".into())], "the table is as it was");
}

#[tokio::test(start_paused = true)]
async fn an_idle_table_that_somebody_rolls_back_drops_or_takes_over_is_noticed() {
    type Deed = fn(&Shop);
    let deeds: [(Deed, &str); 4] = [
        (|shop| shop.table.foreign_rollback(), "not-descended"),
        (|shop| shop.table.foreign_drop(), "table-missing"),
        (|shop| shop.table.foreign_replacement(), "table-replaced"),
        (|shop| shop.table.foreign_tag("cdc-checkpoint.other.main", Some(1)), "other-sink"),
    ];
    for (deed, code) in deeds {
        let shop = Shop::new();
        shop.log.append(0, MemoryKind::Create, "a", "1");
        let (running, _stop, mut status) = shop.run(Shop::settings());
        applied(&mut status, 1, 0).await;
        deed(&shop);
        let error = running.await.unwrap().expect_err("it goes on");
        assert_eq!(error.refusal().map(|r| r.code()), Some(code), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_snapshot_between_the_head_and_the_last_commit_is_refused() {
    let shop = Shop::new();
    let (running, stop, mut status) = shop.run(Shop::settings());
    applied(&mut status, 0, 0).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    shop.table.foreign_compaction().unwrap();
    let middle = shop.table.head().await.unwrap().unwrap().snapshot.unwrap();
    shop.table.foreign_compaction().unwrap();
    shop.table.foreign_expiry(middle);
    assert_eq!(refusal(&shop, Shop::settings()).await.0, "lineage-broken");
}

#[tokio::test(start_paused = true)]
async fn rows_of_others_mark_the_table_and_from_then_on_every_insert_deletes_first() {
    let shop = Shop::new();
    let (mut coordinator, mut worker) = Shop::settings();
    (coordinator.foreign_writes, worker.foreign_writes) = (ForeignWrites::Warn, ForeignWrites::Warn);
    let (running, stop, mut status) = shop.run((coordinator, worker));
    applied(&mut status, 0, 0).await;
    shop.table.foreign_write(vec![("a".into(), "alien".into())], vec![]);
    shop.log.append(0, MemoryKind::Create, "a", "1");
    applied(&mut status, 1, 0).await;
    assert_eq!(shop.rows(), [("a".into(), "1@1".into())], "the insert that would have skipped its delete was written again");
    stop.send(true).unwrap();
    assert!(running.await.unwrap().unwrap().checkpoint.unwrap().touched);
}

#[tokio::test(start_paused = true)]
async fn deltas_of_different_partitions_share_a_snapshot_and_a_duplicate_is_stale() {
    let shop = Shop { log: MemorySpanLog::new(TOPIC, 2), ..Shop::new() };
    for partition in 0..2 {
        shop.log.append(partition, MemoryKind::Create, &format!("k{partition}"), "1");
    }
    let (_stop, stopping) = watch::channel(false);
    let (coordinator, transport) = shop.coordinator(Shop::settings().0, stopping);
    let delta = |partition: i32| {
        let files = commit_coordinator::memory::MemoryFiles::new(vec![(format!("k{partition}"), "1".into())], vec![]);
        Arc::new(Delta { claim: Claim::advance(vec![Span::new(TOPIC, partition, 0, 1)]), files: Some(files) })
    };
    let mut answers = Vec::new();
    for partition in [0, 1, 0] {
        answers.push(transport.offer(delta(partition)).await.unwrap());
    }
    tokio::spawn(coordinator.run());
    let mut told = Vec::new();
    for answer in answers {
        told.push(answer.await.unwrap());
    }
    let [Answer::Committed(one), Answer::Committed(two), Answer::Stale(checkpoint)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((one.snapshot(), one.table()), (two.snapshot(), "orders"));
    assert_eq!(checkpoint.partitions().collect::<Vec<_>>(), [(TOPIC, 0, 1), (TOPIC, 1, 1)]);
    assert_eq!(shop.rows().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_gap_waits_for_what_comes_before_it_and_in_the_end_is_sent_back() {
    let shop = Shop::new();
    for n in 0..3 {
        shop.log.append(0, MemoryKind::Create, &format!("k{n}"), "1");
    }
    let (_stop, stopping) = watch::channel(false);
    let (coordinator, transport) = shop.coordinator(Shop::settings().0, stopping);
    tokio::spawn(coordinator.run());
    let delta = |from, to| Arc::new(Delta::<Files> { claim: Claim::advance(vec![Span::new(TOPIC, 0, from, to)]), files: None });
    let late = transport.offer(delta(1, 2)).await.unwrap();
    let early = transport.offer(delta(0, 1)).await.unwrap();
    assert!(matches!(early.await.unwrap(), Answer::Committed(_)));
    assert!(matches!(late.await.unwrap(), Answer::Committed(_)));
    let never = transport.offer(delta(3, 3)).await.unwrap();
    assert!(matches!(never.await.unwrap(), Answer::Again));
}
