//! The parts of the protocol with a seeded fault in front of each.

use async_trait::async_trait;
use commit_coordinator::memory::{MemoryFiles, MemoryProgress, MemoryRecord, MemorySpanLog, MemoryTable};
use commit_coordinator::{
    BarrierKind, BarrierLine, Change, Checkpoint, Covered, Delta, Environment, Error, ErrorKind, Facts, Fetch, Head,
    LocalTransport, LogInspector, LogView, MirrorTable, PendingAnswer, ProgressView, Receipt, Result, SpanLog, SwapError,
    Transport,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// One history: its dice, its clock, its diary. Single-threaded, so the order of all draws is that of the seed.
pub struct World {
    rng: Mutex<SmallRng>,
    started: Instant,
    commits: AtomicU64,
    /// No more faults.
    pub calm: AtomicBool,
    pub diary: Mutex<Vec<String>>,
}

impl World {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
            started: Instant::now(),
            commits: AtomicU64::new(0),
            calm: AtomicBool::new(false),
            diary: Mutex::default(),
        })
    }

    pub fn roll(&self, range: std::ops::Range<u64>) -> u64 {
        self.rng.lock().unwrap().random_range(range)
    }

    /// True once in so many; never when calm.
    pub fn one_in(&self, n: u64) -> bool {
        !self.calm.load(Ordering::Relaxed) && self.roll(0..n) == 0
    }

    pub async fn delay(&self, most_ms: u64) {
        let ms = self.roll(0..most_ms + 1);
        if ms > 0 {
            sleep(Duration::from_millis(ms)).await;
        }
    }

    pub fn note(&self, what: impl Into<String>) {
        let at = self.started.elapsed().as_millis();
        self.diary.lock().unwrap().push(format!("{at:>7} ms  {}", what.into()));
    }
}

#[async_trait]
impl Environment for World {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        sleep(time).await;
    }

    fn commit_id(&self) -> String {
        format!("commit-{}", self.commits.fetch_add(1, Ordering::Relaxed))
    }
}

fn unavailable(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{what} cannot be reached (simulated)"))
}

/// A table behind a network: slow, sometimes away, sometimes silent about what it did, sometimes late in doing it.
pub struct SimTable {
    pub inner: Arc<MemoryTable>,
    pub world: Arc<World>,
}

enum Owned {
    Delta(Vec<Arc<MemoryFiles>>),
    Barrier(BarrierKind),
    Rewrite(Arc<MemoryFiles>),
}

#[async_trait]
impl MirrorTable for SimTable {
    type Files = Arc<MemoryFiles>;
    type Token = u64;

    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn head(&self) -> Result<Option<Head<u64>>> {
        self.world.delay(10).await;
        if self.world.one_in(40) {
            return Err(unavailable("the catalog"));
        }
        let head = self.inner.head().await;
        self.world.delay(10).await;
        head
    }

    async fn swap(
        &self,
        base: &Head<u64>,
        change: Change<'_, Arc<MemoryFiles>>,
        checkpoint: &Checkpoint,
    ) -> Result<Head<u64>, SwapError> {
        let world = &self.world;
        world.delay(20).await;
        if world.one_in(30) {
            return Err(SwapError::Failed(unavailable("the catalog")));
        }
        if world.one_in(40) {
            world.note(format!("swap {} lost on its way", checkpoint.commit));
            return Err(SwapError::Unknown(unavailable("the answer")));
        }
        let late = if world.one_in(15) { 1_500 } else { 40 };
        let owned = match change {
            Change::Delta(files) => Owned::Delta(files.into_iter().map(Arc::clone).collect()),
            Change::Barrier(kind) => Owned::Barrier(kind),
            Change::Rewrite(files) => Owned::Rewrite(Arc::clone(files)),
        };
        let (tell, told) = oneshot::channel();
        let (inner, world2, base, checkpoint) = (Arc::clone(&self.inner), Arc::clone(world), base.clone(), checkpoint.clone());
        // The request goes on without its caller: it lands even if that one is dead by then.
        tokio::spawn(async move {
            world2.delay(late).await;
            let change = match &owned {
                Owned::Delta(files) => Change::Delta(files.iter().collect()),
                Owned::Barrier(kind) => Change::Barrier(*kind),
                Owned::Rewrite(files) => Change::Rewrite(files),
            };
            let what = if matches!(owned, Owned::Rewrite(_)) { " (rewrite)" } else { "" };
            let result = inner.swap(&base, change, &checkpoint).await;
            let next: Vec<_> = checkpoint.partitions().map(|(_, p, next)| format!("{p}:{next}")).collect();
            match &result {
                Ok(head) => world2.note(format!(
                    "swap {} LANDED{what} as snapshot {:?}: {} barrier {}",
                    checkpoint.commit,
                    head.snapshot,
                    next.join(" "),
                    checkpoint.barrier
                )),
                Err(SwapError::Rewrite(_)) => world2.note(format!("swap {} is OUTDATED{what}", checkpoint.commit)),
                Err(_) => world2.note(format!("swap {} conflicts", checkpoint.commit)),
            }
            let _ = tell.send(result);
        });
        if world.one_in(25) {
            world.delay(30).await;
            return Err(SwapError::Unknown(unavailable("the answer")));
        }
        match timeout(Duration::from_millis(100), told).await {
            Ok(Ok(result)) => result,
            _ => Err(SwapError::Unknown(unavailable("the answer"))),
        }
    }

    async fn find_commit(&self, commit: &str) -> Result<Option<i64>> {
        self.world.delay(10).await;
        if self.world.one_in(40) {
            return Err(unavailable("the catalog"));
        }
        self.inner.find_commit(commit).await
    }
}

/// A log behind a network.
pub struct SimLog {
    pub inner: MemorySpanLog,
    pub world: Arc<World>,
}

#[async_trait]
impl LogInspector for SimLog {
    async fn view(&self, topics: &[String]) -> Result<LogView> {
        self.world.delay(3).await;
        if self.world.one_in(80) {
            return Err(unavailable("the log"));
        }
        self.inner.view(topics).await
    }
}

#[async_trait]
impl SpanLog for SimLog {
    type Records = Vec<MemoryRecord>;

    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        until: Option<i64>,
        max_bytes: usize,
    ) -> Result<Fetch<Self::Records>> {
        self.world.delay(3).await;
        if self.world.one_in(80) {
            return Err(unavailable("the log"));
        }
        let fetch = self.inner.read(topic, partition, from, until, max_bytes).await;
        self.world.delay(3).await;
        fetch
    }

    async fn wait(&self, topic: &str, partition: i32, from: i64) -> Result<()> {
        self.inner.wait(topic, partition, from).await
    }

    async fn release(&self, receipt: &Receipt) -> Result<()> {
        for (_, partition, next) in receipt.checkpoint().partitions() {
            if self.world.roll(0..8) == 0 {
                self.inner.remove_before(partition, next);
            }
        }
        Ok(())
    }
}

/// Progress records behind a network.
pub struct SimProgress {
    pub inner: MemoryProgress,
    pub world: Arc<World>,
}

#[async_trait]
impl ProgressView for SimProgress {
    async fn catch_up(&mut self) -> Result<()> {
        self.world.delay(3).await;
        if self.world.one_in(100) {
            return Err(unavailable("the progress topic"));
        }
        self.inner.catch_up().await
    }

    async fn catch_up_to(&mut self, topic: &str, partition: i32, next: i64) -> Result<()> {
        while self.inner.log_end(topic, partition).is_none_or(|end| end < next) {
            // A broker that was deposed and does not know it: nothing new.
            match self.world.one_in(4) {
                true => self.world.delay(30).await,
                false => self.catch_up().await?,
            }
        }
        Ok(())
    }

    fn log_end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.inner.log_end(topic, partition)
    }

    async fn wait(&mut self) -> Result<()> {
        self.inner.wait().await
    }

    fn barrier(&self, number: u64) -> Option<BarrierLine> {
        self.inner.barrier(number)
    }

    fn newest_removal(&self) -> Option<BarrierLine> {
        self.inner.newest_removal()
    }

    fn facts(&self, topic: &str, partition: i32, at: i64) -> Facts {
        self.inner.facts(topic, partition, at)
    }

    fn position(&self) -> Option<Covered> {
        self.inner.position()
    }
}

pub type Door = LocalTransport<Arc<MemoryFiles>>;

/// A network between workers and coordinators that loses, doubles, delays and misroutes.
pub struct SimTransport {
    /// The coordinators that are up.
    pub doors: Arc<Mutex<Vec<(u64, Door)>>>,
    pub world: Arc<World>,
}

impl SimTransport {
    fn door(&self) -> Option<(u64, Door)> {
        let doors = self.doors.lock().unwrap();
        match doors.len() {
            0 => None,
            n => doors.get(usize::try_from(self.world.roll(0..n as u64)).unwrap()).cloned(),
        }
    }
}

#[async_trait]
impl Transport<Arc<MemoryFiles>> for SimTransport {
    async fn offer(&self, delta: Arc<Delta<Arc<MemoryFiles>>>) -> Result<PendingAnswer> {
        let world = &self.world;
        let spans: Vec<_> = delta.claim.spans.iter().map(|s| format!("{}[{},{})", s.partition, s.from, s.to)).collect();
        let what = format!("{} {:?}", spans.join(" "), delta.claim.act);
        world.delay(3).await;
        if world.one_in(30) {
            world.note(format!("offer lost: {what}"));
            return Ok(Box::pin(std::future::pending()));
        }
        let Some((coordinator, door)) = self.door() else { return Err(unavailable("a coordinator")) };
        world.note(format!("offer to coordinator {coordinator}: {what}"));
        if world.one_in(20)
            && let Some((coordinator, door)) = self.door()
        {
            let (world, delta) = (Arc::clone(world), Arc::clone(&delta));
            tokio::spawn(async move {
                world.delay(4_000).await;
                world.note(format!("its double arrives at coordinator {coordinator}"));
                if let Ok(answer) = door.offer(delta).await {
                    drop(door);
                    let _ = answer.await;
                }
            });
        }
        let late = if world.one_in(20) { 4_000 } else { 0 };
        let (tell, told) = oneshot::channel();
        let world2 = Arc::clone(world);
        tokio::spawn(async move {
            world2.delay(late).await;
            let Ok(answer) = door.offer(delta).await else { return };
            drop(door);
            let answer = answer.await;
            world2.note(format!(
                "answer: {}",
                match &answer {
                    Ok(commit_coordinator::Answer::Committed(r)) => format!("committed in {}", r.snapshot()),
                    Ok(commit_coordinator::Answer::Stale(_)) => "stale".to_owned(),
                    Ok(commit_coordinator::Answer::Again) => "again".to_owned(),
                    other => format!("{other:?}"),
                }
            ));
            if world2.one_in(25) {
                world2.note("answer lost");
                std::future::pending::<()>().await;
            }
            let _ = tell.send(answer);
        });
        Ok(Box::pin(async move { told.await.unwrap_or_else(|_| Err(unavailable("a coordinator"))) }))
    }
}
