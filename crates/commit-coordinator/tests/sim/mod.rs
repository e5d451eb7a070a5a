//! The seeded simulator: the real worker and coordinator, every part of theirs behind faults, one seed one history.

mod maintainer;
mod parts;

use commit_coordinator::memory::{MemoryFiles, MemoryKind, MemorySpanLog, MemoryTable, MemoryWriter};
use commit_coordinator::{
    Answer, BarrierKind, Claim, Coordinator, CoordinatorSettings, Delta, Finished, ForeignWrites, MirrorTable, Place,
    ProgressView, Span, SpanLog, SpanWriter, Transport, Worker, WorkerParts, WorkerSettings,
};
use maintainer::Maintainer;
use parts::{Door, SimLog, SimProgress, SimTable, SimTransport, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

#[cfg(feature = "planted-bugs")]
pub type Planted = commit_coordinator::Planted;
#[cfg(not(feature = "planted-bugs"))]
#[derive(Clone, Copy, Default)]
pub struct Planted(());

/// What goes wrong for good in a history, and which refusals must follow.
const DISASTERS: &[(&str, &[&str])] = &[
    ("topic recreated", &["topic-replaced", "beyond-log-end"]),
    ("log expired", &["below-log-start"]),
    ("table dropped", &["table-missing"]),
    ("table replaced", &["table-replaced", "not-descended"]),
    ("branch rolled back", &["not-descended"]),
    ("tag removed", &["tag-missing"]),
    ("partition added silently", &["partitions-changed"]),
    ("foreign rows", &["foreign-rows"]),
    ("another sink", &["other-sink"]),
];

pub struct Report {
    pub diary: Vec<String>,
    pub snapshots: usize,
    pub rows: usize,
}

const TOPIC: &str = "shop.orders";
const SINK: &str = "sim";
const TAG: &str = "cdc-checkpoint.sim.main";

struct WorkerTask {
    name: String,
    partitions: Option<Vec<(String, i32)>>,
    handle: JoinHandle<commit_coordinator::Result<Finished>>,
    stop: watch::Sender<bool>,
}

struct CoordinatorTask {
    number: u64,
    handle: JoinHandle<commit_coordinator::Result<()>>,
    _stop: watch::Sender<bool>,
}

struct Sim {
    world: Arc<World>,
    table: Arc<MemoryTable>,
    log: MemorySpanLog,
    doors: Arc<Mutex<Vec<(u64, Door)>>>,
    coordinators: Vec<CoordinatorTask>,
    workers: Vec<WorkerTask>,
    maintainers: Vec<(u64, JoinHandle<()>)>,
    started: u64,
    foreign_writes: ForeignWrites,
    #[cfg_attr(not(feature = "planted-bugs"), allow(dead_code))]
    planted: Planted,
    live: BTreeMap<i32, BTreeSet<String>>,
    values: u64,
    aliens: Vec<(i32, String, i64)>,
}

/// Plays the history of a seed.
///
/// # Errors
/// What is wrong, with the whole diary.
pub fn play(seed: u64, planted: Planted) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(seed);
        let mut sim = Sim::new(&world, planted);
        let result = timeout(Duration::from_secs(3_600), sim.history()).await.unwrap_or_else(|_| Err("an hour passed".into()));
        let diary = world.diary.lock().unwrap().clone();
        match result {
            Ok((snapshots, rows)) => Ok(Report { diary, snapshots, rows }),
            Err(why) => Err(format!(
                "{}\n\nSEED={seed}: {why}\nreplay it with: SEED={seed} cargo test --release -p commit-coordinator a_seed",
                diary.join("\n")
            )),
        }
    })
}

impl Sim {
    fn new(world: &Arc<World>, planted: Planted) -> Self {
        let foreign_writes = if world.roll(0..6) == 0 { ForeignWrites::Warn } else { ForeignWrites::Stop };
        let partitions = i32::try_from(world.roll(1..4)).unwrap();
        let table = MemoryTable::new("orders", SINK);
        #[cfg(feature = "planted-bugs")]
        let table = table.with_bug(planted);
        Self {
            world: Arc::clone(world),
            table: Arc::new(table),
            log: MemorySpanLog::new(TOPIC, partitions),
            doors: Arc::default(),
            coordinators: Vec::new(),
            workers: Vec::new(),
            maintainers: Vec::new(),
            started: 0,
            foreign_writes,
            planted,
            live: BTreeMap::new(),
            values: 0,
            aliens: Vec::new(),
        }
    }

    fn sim_table(&self) -> Arc<SimTable> {
        Arc::new(SimTable { inner: Arc::clone(&self.table), world: Arc::clone(&self.world) })
    }

    fn sim_log(&self) -> Arc<SimLog> {
        Arc::new(SimLog { inner: self.log.clone(), world: Arc::clone(&self.world) })
    }

    fn start_coordinator(&mut self) {
        self.started += 1;
        let number = self.started;
        let (stop, stopping) = watch::channel(false);
        let mut settings = CoordinatorSettings::new(SINK, TOPIC);
        settings.foreign_writes = self.foreign_writes;
        settings.hold = Duration::from_secs(2);
        settings.head_check = Duration::from_secs(10);
        settings.table_uuid = Some("table-1".to_owned());
        let environment: Arc<World> = Arc::clone(&self.world);
        let (coordinator, door) = Coordinator::new(self.sim_table(), self.sim_log(), environment, settings, stopping).unwrap();
        #[cfg(feature = "planted-bugs")]
        let coordinator = {
            let table = Arc::clone(&self.table);
            coordinator.with_bug(self.planted, Box::new(move |files| table.lose(files)))
        };
        self.doors.lock().unwrap().push((number, door));
        self.world.note(format!("coordinator {number} starts"));
        self.coordinators.push(CoordinatorTask { number, handle: tokio::spawn(coordinator.run()), _stop: stop });
    }

    fn crash_coordinator(&mut self, index: usize) {
        let task = self.coordinators.remove(index);
        self.world.note(format!("coordinator {} CRASHES", task.number));
        task.handle.abort();
        self.doors.lock().unwrap().retain(|(n, _)| *n != task.number);
    }

    fn start_worker(&mut self, partitions: Option<Vec<(String, i32)>>) {
        self.started += 1;
        let name = format!("worker {}", self.started);
        let (stop, stopping) = watch::channel(false);
        let mut settings = WorkerSettings::new(SINK);
        settings.foreign_writes = self.foreign_writes;
        settings.partitions.clone_from(&partitions);
        settings.commit_interval = Duration::from_millis(self.world.roll(0..600));
        settings.max_span_bytes = usize::try_from(self.world.roll(20..400)).unwrap();
        settings.fetch_bytes = usize::try_from(self.world.roll(1..100)).unwrap();
        settings.answer_timeout = Duration::from_secs(3);
        settings.progress_interval = Duration::from_secs(20);
        settings.retention_check = Duration::from_secs(2);
        let parts = WorkerParts {
            table: self.sim_table(),
            log: self.sim_log(),
            writer: MemoryWriter::new(),
            progress: SimProgress { inner: self.log.progress(), world: Arc::clone(&self.world) },
            transport: Arc::new(SimTransport { doors: Arc::clone(&self.doors), world: Arc::clone(&self.world) }),
            environment: Arc::<World>::clone(&self.world),
        };
        let worker = Worker::new(parts, settings);
        #[cfg(feature = "planted-bugs")]
        let worker = worker.with_bug(self.planted);
        self.world.note(format!(
            "{name} starts on {}",
            partitions
                .as_ref()
                .map_or("all".to_owned(), |p| { p.iter().map(|(_, p)| p.to_string()).collect::<Vec<_>>().join(",") })
        ));
        let handle = tokio::spawn(worker.run(stopping));
        self.workers.push(WorkerTask { name, partitions, handle, stop });
    }

    fn crash_worker(&mut self, index: usize) -> Option<Vec<(String, i32)>> {
        let task = self.workers.remove(index);
        self.world.note(format!("{} CRASHES", task.name));
        task.handle.abort();
        task.partitions
    }

    fn start_maintainer(&mut self) {
        self.started += 1;
        let doors = self.doors.lock().unwrap().iter().map(|(number, door)| (*number, door.downgrade())).collect();
        let (table, world) = (Arc::clone(&self.table), Arc::clone(&self.world));
        let maintainer = Maintainer { number: self.started, table, doors, world };
        self.maintainers.push((self.started, tokio::spawn(maintainer.run())));
    }

    fn crash_maintainer(&mut self) {
        let index = usize::try_from(self.world.roll(0..self.maintainers.len() as u64)).unwrap();
        let (number, task) = self.maintainers.swap_remove(index);
        self.world.note(format!("maintainer {number} CRASHES"));
        task.abort();
    }

    fn assign(&mut self) {
        let two = self.world.roll(0..2) == 1;
        let half = |odd: i32| Some((0..8).filter(|p| p % 2 == odd).map(|p| (TOPIC.to_owned(), p)).collect());
        match two {
            true => (0..2).for_each(|odd| self.start_worker(half(odd))),
            false => self.start_worker(None),
        }
    }

    fn partition_count(&self) -> u64 {
        self.log.end().0.len() as u64
    }

    fn change_rows(&mut self) {
        for _ in 0..self.world.roll(1..7) {
            let partition = i32::try_from(self.world.roll(0..self.partition_count())).unwrap();
            let key = format!("p{partition}k{}", self.world.roll(0..6));
            let live = self.live.entry(partition).or_default();
            let dice = self.world.roll(0..4);
            let kind = match (live.contains(&key), dice) {
                (false, 0..=2) => MemoryKind::Create,
                (true, 0) => MemoryKind::Delete,
                _ => MemoryKind::Upsert,
            };
            match kind {
                MemoryKind::Delete => live.remove(&key),
                _ => live.insert(key.clone()),
            };
            self.values += 1;
            let value = format!("v{}", self.values);
            let offset = self.log.append(partition, kind, &key, if kind == MemoryKind::Delete { "" } else { &value });
            self.world.note(format!("log {partition}@{offset}: {kind:?} {key}={value}"));
        }
    }

    fn barrier(&mut self, kind: BarrierKind) {
        let number = self.log.barrier(kind);
        if kind.removes_rows() {
            self.live.clear();
        }
        self.world.note(format!("log barrier {number} {kind:?} at {:?}", self.log.end().0));
    }

    async fn applied(&self) -> (BTreeMap<i32, i64>, u64) {
        let checkpoint = self.table.head().await.unwrap().and_then(|h| h.checkpoint);
        checkpoint.map_or_else(Default::default, |c| (c.partitions().map(|(_, p, next)| (p, next)).collect(), c.barrier))
    }

    /// One thing happens.
    async fn happen(&mut self) -> Result<(), String> {
        match self.world.roll(0..110) {
            0..=54 => self.change_rows(),
            55..=58 => {
                let partition = i32::try_from(self.world.roll(0..self.partition_count())).unwrap();
                self.log.append_marker(partition);
            }
            59..=62 => {
                let version = self.log.new_schema();
                self.world.note(format!("log schema {version} at {:?}", self.log.end().0));
            }
            63..=64 => self.barrier(BarrierKind::Truncate),
            65..=66 => self.barrier(BarrierKind::KeyChange),
            67 if self.partition_count() < 5 => {
                let partition = self.log.add_partition();
                self.world.note(format!("log partition {partition} added behind barrier {}", self.log.end().1));
            }
            68..=75 if !self.workers.is_empty() => {
                let index = usize::try_from(self.world.roll(0..self.workers.len() as u64)).unwrap();
                let partitions = self.crash_worker(index);
                self.start_worker(partitions);
            }
            76..=79 if self.workers.len() < 4 && !self.workers.is_empty() => {
                let index = usize::try_from(self.world.roll(0..self.workers.len() as u64)).unwrap();
                self.world.note("a zombie: the next worker takes over from one that lives on");
                let partitions = self.workers[index].partitions.clone();
                self.start_worker(partitions);
            }
            80..=86 if !self.coordinators.is_empty() => {
                let index = usize::try_from(self.world.roll(0..self.coordinators.len() as u64)).unwrap();
                self.crash_coordinator(index);
            }
            87..=91 if self.coordinators.len() < 3 => self.start_coordinator(),
            92..=94 => {
                self.world.note("foreign compaction");
                self.table.foreign_compaction().map_err(|e| e.to_string())?;
            }
            95..=96 if self.foreign_writes == ForeignWrites::Warn => {
                let partition = i32::try_from(self.world.roll(0..self.partition_count())).unwrap();
                let key = format!("p{partition}k{}", self.world.roll(0..6));
                let applied = self.applied().await;
                if let Some(next) = applied.0.get(&partition) {
                    self.world.note(format!("foreign row {key}, {next} is next"));
                    self.table.foreign_write(vec![(key.clone(), "alien".to_owned())], Vec::new());
                    self.aliens.push((partition, key, *next));
                }
            }
            97..=98 => self.offer_ahead().await,
            99 => {
                let partition = i32::try_from(self.world.roll(0..self.partition_count())).unwrap();
                self.log.expire_soon(partition, self.log.end().0[&partition]);
            }
            100 => self.long_absence().await,
            101..=107 => self.start_maintainer(),
            108 if !self.maintainers.is_empty() => self.crash_maintainer(),
            _ => {}
        }
        Ok(())
    }

    /// Nobody is there for longer than the log keeps records; what it lost lies before a barrier that removes all rows.
    async fn long_absence(&mut self) {
        if self.applied().await.0.is_empty() {
            return; // a first start needs what the log has lost
        }
        self.world.note("nobody is there for long");
        while !self.workers.is_empty() {
            self.crash_worker(0);
        }
        while !self.coordinators.is_empty() {
            self.crash_coordinator(0);
        }
        // What is still on its way arrives nowhere.
        sleep(Duration::from_secs(5)).await;
        if self.world.roll(0..2) == 0 {
            // Whatever is said of others' rows, the barrier removes them.
            self.table.foreign_write(vec![("absent".to_owned(), "alien".to_owned())], Vec::new());
            self.world.note("foreign row before a barrier");
        }
        for _ in 0..self.world.roll(1..4) {
            self.change_rows();
            match self.world.roll(0..4) {
                0 => self.barrier(BarrierKind::KeyChange),
                1 if self.partition_count() < 5 => drop(self.log.add_partition()),
                2 => drop(self.log.new_schema()),
                _ => {}
            }
        }
        self.change_rows();
        self.barrier(BarrierKind::Recreate);
        for (partition, end) in self.log.end().0 {
            if self.world.roll(0..2) == 0 {
                self.world.note(format!("the log lets go of {partition} up to {end}"));
                self.log.remove_before(partition, end);
            }
        }
        if self.world.roll(0..2) == 0 {
            self.change_rows();
        }
        self.start_coordinator();
        self.assign();
    }

    /// A worker of another make offers two spans of one log partition at once, without waiting for the first one's answer.
    async fn offer_ahead(&self) {
        let Some((number, door)) = self.doors.lock().unwrap().first().cloned() else { return };
        let (next, barrier) = self.applied().await;
        let mut progress = self.log.progress();
        progress.catch_up().await.unwrap();
        for (partition, from) in next {
            let facts = progress.facts(TOPIC, partition, from);
            let Ok(fetch) = self.log.read(TOPIC, partition, from, None, 1_000).await else { continue };
            if progress.barrier(barrier + 1).is_some() || facts.until.is_some() || fetch.count < 2 {
                continue;
            }
            let mut first = fetch.records;
            let second = first.split_off(first.len() / 2);
            let middle = second[0].offset;
            self.world
                .note(format!("two spans of {partition} at once to coordinator {number}: {from}, {middle}, {}", fetch.next));
            for (from, to, records) in [(from, middle, first), (middle, fetch.next, second)] {
                let place = Place { topic: TOPIC, partition, from, to, facts, after_barrier: barrier, touched: true };
                let mut writer = MemoryWriter::new();
                writer.write(&place, records).await.unwrap();
                let written = writer.finish().await.unwrap();
                let claim = Claim { after_barrier: barrier, ..Claim::advance(vec![Span::new(TOPIC, partition, from, to)]) };
                let answer = door.offer(Arc::new(Delta { claim, files: written.files })).await;
                drop(answer);
            }
        }
    }

    async fn history(&mut self) -> Result<(usize, usize), String> {
        for _ in 0..self.world.roll(1..3) {
            self.start_coordinator();
        }
        self.assign();
        let disaster = (self.world.roll(0..6) == 0 && self.foreign_writes == ForeignWrites::Stop)
            .then(|| DISASTERS[usize::try_from(self.world.roll(0..DISASTERS.len() as u64)).unwrap()]);
        for _ in 0..self.world.roll(30..120) {
            self.happen().await?;
            let pause = self.world.roll(0..300);
            sleep(Duration::from_millis(pause)).await;
            self.check_tasks().await?;
        }
        // Peace: the network heals, zombies end, somebody owns each part.
        self.world.calm.store(true, Ordering::Relaxed);
        self.world.note("calm");
        while self.workers.len() > 1 {
            self.crash_worker(0);
        }
        while self.coordinators.len() > 1 {
            self.crash_coordinator(0);
        }
        if self.coordinators.is_empty() {
            self.start_coordinator();
        }
        self.crash_worker(0);
        self.start_worker(None);
        if let Some((name, codes)) = disaster {
            self.settle().await?;
            self.strike(name).await;
            return self.refused(codes).await.map(|()| (0, 0));
        }
        self.settle().await?;
        self.tidy_up().await?;
        let task = self.workers.remove(0);
        let _ = task.stop.send(true);
        let finished = timeout(Duration::from_secs(60), task.handle).await.map_err(|_| "the worker does not stop")?;
        let finished = finished.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        if !finished.settled {
            return Err("the worker stopped without the answer to its last offer".into());
        }
        self.doors.lock().unwrap().clear();
        let task = self.coordinators.remove(0);
        timeout(Duration::from_secs(60), task.handle)
            .await
            .map_err(|_| "the coordinator does not end when the last worker has gone")?
            .map_err(|e| e.to_string())?
            .map_err(|e| e.to_string())?;
        self.check_rows().await
    }

    /// Nobody may stop before the end.
    async fn check_tasks(&mut self) -> Result<(), String> {
        let coordinator = self.coordinators.iter().position(|c| c.handle.is_finished());
        if let Some(index) = coordinator {
            let task = self.coordinators.remove(index);
            return Err(format!("coordinator {} ended: {:?}", task.number, task.handle.await));
        }
        if let Some(index) = self.workers.iter().position(|w| w.handle.is_finished()) {
            let task = self.workers.remove(index);
            return Err(format!("{} ended: {:?}", task.name, task.handle.await));
        }
        while let Some(index) = self.maintainers.iter().position(|(_, task)| task.is_finished()) {
            let (number, task) = self.maintainers.swap_remove(index);
            task.await.map_err(|e| format!("maintainer {number} ended abnormally: {e}"))?;
        }
        Ok(())
    }

    /// In peace a rewrite of everything lands, whatever maintainers before have left on its way.
    async fn tidy_up(&mut self) -> Result<(), String> {
        let door = self.doors.lock().unwrap()[0].1.downgrade();
        for _ in 0..10 {
            // A truncate may have left none.
            let Some(files) = MemoryFiles::rewrite(&self.table.live(), 0..=i64::MAX) else { return Ok(()) };
            let delta = Arc::new(Delta { claim: Claim::rewrite(), files: Some(files) });
            let door = door.upgrade().ok_or("the coordinator has ended")?;
            let answer = door.offer(delta).await.map_err(|e| e.to_string())?;
            drop(door);
            match timeout(Duration::from_secs(60), answer).await.map_err(|_| "a rewrite is not answered")? {
                Ok(Answer::Committed(_)) => return Ok(()),
                Ok(Answer::Again) => {}
                other => return Err(format!("a rewrite in peace was answered with {other:?}")),
            }
        }
        Err("a rewrite in peace was outdated ten times".to_owned())
    }

    /// Waits until all that is in the log is in the table.
    async fn settle(&mut self) -> Result<(), String> {
        for _ in 0..6_000 {
            if self.applied().await == self.log.end() {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
            self.check_tasks().await?;
        }
        Err(format!("after ten minutes of calm {:?} is applied, the log ends at {:?}", self.applied().await, self.log.end()))
    }

    /// Each snapshot of the sink holds exactly what its checkpoint says.
    async fn check_rows(&self) -> Result<(usize, usize), String> {
        let history = self.table.history().map_err(|e| e.to_string())?;
        let mut rows = 0;
        for snapshot in &history {
            let Some(checkpoint) = &snapshot.checkpoint else { continue };
            let next = checkpoint.partitions().map(|(_, p, next)| (p, next)).collect();
            let mut found = self.table.scan(Some(snapshot.id)).map_err(|e| e.to_string())?;
            found.retain(|(_, value)| value != "alien");
            let expected = self.log.expected(&next, checkpoint.barrier);
            rows = expected.len();
            if found != expected {
                return Err(format!(
                    "snapshot {} says {next:?} barrier {}, so it should hold\n  {expected:?}\nbut it holds\n  {found:?}",
                    snapshot.id, checkpoint.barrier
                ));
            }
        }
        // A row of others goes with the next change of its key.
        let left = self.table.scan(None).map_err(|e| e.to_string())?;
        if left.iter().any(|(key, _)| key == "absent") {
            return Err("a foreign row is still there behind a barrier that removes all rows".to_owned());
        }
        let (next, barrier) = self.log.end();
        let before = |partition: i32, offset: i64| {
            let cut: BTreeMap<i32, i64> = BTreeMap::from([(partition, offset)]);
            self.log.expected(&cut, barrier)
        };
        // Of several for one key the newest counts.
        let newest: BTreeMap<_, _> = self.aliens.iter().map(|(partition, key, at)| (key, (partition, at))).collect();
        for (key, (partition, at)) in newest {
            let value = |rows: Vec<(String, String)>| rows.into_iter().find(|(k, _)| k == key);
            let changed = value(before(*partition, *at)) != value(before(*partition, next[partition]));
            if changed && left.iter().any(|(k, v)| k == key && v == "alien") {
                return Err(format!("the foreign row {key} is still there although the key changed after offset {at}"));
            }
        }
        Ok((history.len(), rows))
    }

    async fn strike(&mut self, disaster: &str) {
        self.world.note(format!("DISASTER: {disaster}"));
        match disaster {
            "topic recreated" => self.log.recreate_topic(),
            "log expired" => {
                // Longer away than the log keeps records.
                self.crash_worker(0);
                for _ in 0..3 {
                    self.log.append(0, MemoryKind::Upsert, "p0k0", "lost");
                }
                self.log.remove_before(0, self.log.end().0[&0]);
                self.start_worker(None);
            }
            "table dropped" => self.table.foreign_drop(),
            "table replaced" => self.table.foreign_replacement(),
            "branch rolled back" => {
                // A commit of the sink goes with it, not only what others did since.
                while self.table.history().unwrap().last().is_some_and(|s| s.checkpoint.is_none()) {
                    self.table.foreign_rollback();
                }
                self.table.foreign_rollback();
            }
            "tag removed" => self.table.foreign_tag(TAG, None),
            "partition added silently" => self.log.add_partition_silently(),
            "foreign rows" => self.table.foreign_write(vec![("x".into(), "alien".into())], Vec::new()),
            "another sink" => self.table.foreign_tag("cdc-checkpoint.other.main", Some(1)),
            other => panic!("no such disaster: {other}"),
        }
        self.log.append(0, MemoryKind::Upsert, "p0k1", "after");
    }

    /// The table must be stopped with one of these refusals, by whoever finds out first.
    async fn refused(&mut self, codes: &[&str]) -> Result<(), String> {
        let worker = self.workers.remove(0).handle;
        let coordinator = self.coordinators.remove(0).handle;
        let ended = async {
            tokio::select! {
                biased;
                worker = worker => worker.map(|r| r.map(|finished| format!("{finished:?}"))),
                coordinator = coordinator => coordinator.map(|r| r.map(|()| "the coordinator ended".to_owned())),
            }
        };
        let ended = timeout(Duration::from_secs(120), ended).await.map_err(|_| "worker and coordinator go on")?;
        match ended.map_err(|e| e.to_string())? {
            Err(e) if e.refusal().is_some_and(|r| codes.contains(&r.code())) => {
                self.world.note(e.to_string());
                Ok(())
            }
            other => Err(format!("the table should have been stopped with one of {codes:?}, but: {other:?}")),
        }
    }
}
