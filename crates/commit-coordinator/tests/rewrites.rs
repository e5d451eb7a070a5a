//! Files in the place of others: single histories, written out.

use async_trait::async_trait;
use commit_coordinator::memory::{MemoryFiles, MemoryKind, MemorySpanLog, MemoryTable};
use commit_coordinator::{
    Answer, BarrierKind, Change, Checkpoint, Claim, Coordinator, CoordinatorSettings, CoordinatorStatus, Delta, Error, ErrorKind,
    Head, LocalTransport, MirrorTable, Result, Span, SwapError, SystemEnvironment, Transport,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const TOPIC: &str = "shop.orders";

type Files = Arc<MemoryFiles>;
type Deed = fn(&MemoryTable);

/// What becomes of the next rewrite that the table is asked for.
enum Fault {
    /// It is done, and the answer is lost.
    Unheard,
    /// It is lost on its way.
    Lost,
    /// It is lost on its way, it seems, and done just before the next request comes.
    Late,
    /// Somebody does this first.
    Meanwhile(Deed),
}

/// A table with one fault.
struct Awkward {
    table: MemoryTable,
    fault: Mutex<Option<Fault>>,
    late: Mutex<Option<(Head<u64>, Files, Checkpoint)>>,
}

#[async_trait]
impl MirrorTable for Awkward {
    type Files = Files;
    type Token = u64;

    fn name(&self) -> &str {
        self.table.name()
    }

    async fn head(&self) -> Result<Option<Head<u64>>> {
        self.table.head().await
    }

    async fn swap(&self, base: &Head<u64>, change: Change<'_, Files>, next: &Checkpoint) -> Result<Head<u64>, SwapError> {
        let late = self.late.lock().unwrap().take();
        if let Some((base, files, next)) = late {
            self.table.swap(&base, Change::Rewrite(&files), &next).await?;
        }
        let Change::Rewrite(files) = change else { return self.table.swap(base, change, next).await };
        let unknown = || Err(SwapError::Unknown(Error::new(ErrorKind::Unavailable, "no answer")));
        let fault = self.fault.lock().unwrap().take();
        match fault {
            None => {}
            Some(Fault::Unheard) => {
                self.table.swap(base, Change::Rewrite(files), next).await?;
                return unknown();
            }
            Some(Fault::Lost) => return unknown(),
            Some(Fault::Late) => {
                *self.late.lock().unwrap() = Some((base.clone(), Arc::clone(files), next.clone()));
                return unknown();
            }
            Some(Fault::Meanwhile(deed)) => deed(&self.table),
        }
        self.table.swap(base, Change::Rewrite(files), next).await
    }

    async fn find_commit(&self, commit: &str) -> Result<Option<i64>> {
        self.table.find_commit(commit).await
    }
}

struct Shop {
    table: Arc<Awkward>,
    log: MemorySpanLog,
    way: LocalTransport<Files>,
    status: watch::Receiver<CoordinatorStatus>,
    running: JoinHandle<Result<()>>,
    _stop: watch::Sender<bool>,
}

impl Shop {
    /// A table with the rows `a=1` and `b=1` of two commits, fed by a log of more records than that.
    async fn open() -> Self {
        let table = MemoryTable::new("orders", "shop");
        let table = Arc::new(Awkward { table, fault: Mutex::default(), late: Mutex::default() });
        let log = MemorySpanLog::new(TOPIC, 1);
        for _ in 0..9 {
            log.append(0, MemoryKind::Upsert, "a", "1");
        }
        let (stop, stopping) = watch::channel(false);
        let (environment, settings) = (Arc::new(SystemEnvironment::new()), CoordinatorSettings::new("shop", TOPIC));
        let (coordinator, way) =
            Coordinator::new(Arc::clone(&table), Arc::new(log.clone()), environment, settings, stopping).unwrap();
        let status = coordinator.status();
        let shop = Self { table, log, way, status, running: tokio::spawn(coordinator.run()), _stop: stop };
        shop.commit(0, files(&[("a", "1")], &[])).await;
        shop.commit(1, files(&[("b", "1")], &[])).await;
        shop
    }

    async fn offer(&self, claim: Claim, files: Option<Files>) -> Answer {
        let answer = self.way.offer(Arc::new(Delta { claim, files })).await.unwrap();
        timeout(Duration::from_secs(600), answer).await.expect("no answer").unwrap()
    }

    /// Commits the record at this offset as these files.
    async fn commit(&self, offset: i64, files: Files) {
        let after_barrier = self.status.borrow().checkpoint.as_ref().map_or(0, |c| c.barrier);
        let claim = Claim { after_barrier, ..Claim::advance(vec![Span::new(TOPIC, 0, offset, offset + 1)]) };
        let answer = self.offer(claim, Some(files)).await;
        assert!(matches!(answer, Answer::Committed(_)), "{answer:?}");
    }

    /// All live files in one.
    fn everything(&self) -> Files {
        MemoryFiles::rewrite(&self.table.table.live(), 0..=i64::MAX).expect("there are no files")
    }

    async fn rewrite(&self, files: &Files) -> Answer {
        self.offer(Claim::rewrite(), Some(Arc::clone(files))).await
    }

    fn fault(&self, fault: Fault) {
        *self.table.fault.lock().unwrap() = Some(fault);
    }

    fn rows(&self) -> Vec<String> {
        self.table.table.scan(None).unwrap().into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// What the snapshots did; those of others in brackets.
    fn history(&self) -> Vec<String> {
        let history = self.table.table.history().unwrap().into_iter();
        history
            .map(|s| match s.checkpoint {
                Some(_) => s.operation.as_str().to_owned(),
                None => format!("({})", s.operation.as_str()),
            })
            .collect()
    }
}

fn files(rows: &[(&str, &str)], deletes: &[&str]) -> Files {
    let rows = rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    MemoryFiles::new(rows, deletes.iter().map(|key| (*key).to_owned()).collect())
}

fn snapshot(answer: &Answer) -> i64 {
    match answer {
        Answer::Committed(receipt) => receipt.snapshot(),
        other => panic!("not committed: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_leaves_the_checkpoint_and_deletes_from_before_its_commit_and_after_reach_its_rows() {
    let shop = Shop::open().await;
    let rewritten = shop.everything();
    shop.commit(2, files(&[("a", "2")], &["a"])).await;
    snapshot(&shop.rewrite(&rewritten).await);
    assert_eq!(shop.rows(), ["a=2", "b=1"], "the delete of a=1 came while it was rewritten");
    assert_eq!(shop.history(), ["append", "append", "append", "overwrite", "replace"]);
    assert_eq!(shop.table.table.live().len(), 2, "two files are one now, the third was not rewritten");
    let [.., before, after] = &shop.table.table.history().unwrap()[..] else { panic!("no history") };
    let (before, after) = (before.checkpoint.clone().unwrap(), after.checkpoint.clone().unwrap());
    assert_ne!(before.commit, after.commit);
    assert_eq!(Checkpoint { commit: before.commit.clone(), ..after }, before);
    shop.commit(3, files(&[], &["b"])).await;
    assert_eq!(shop.rows(), ["a=2"]);
}

#[tokio::test(start_paused = true)]
async fn deletes_are_kept_while_there_are_older_files_and_go_with_the_oldest() {
    let shop = Shop::open().await;
    shop.commit(2, files(&[("c", "1")], &["a"])).await;
    shop.commit(3, files(&[], &["c"])).await;
    let newest = shop.table.table.live()[1].0..=i64::MAX;
    let rewritten = MemoryFiles::rewrite(&shop.table.table.live(), newest).unwrap();
    assert_eq!((rewritten.rows.len(), &rewritten.deletes[..]), (1, &["a".to_owned(), "c".to_owned()][..]));
    snapshot(&shop.rewrite(&rewritten).await);
    assert_eq!(shop.rows(), ["b=1"], "a=1 is in the file that was not rewritten");
    let rewritten = shop.everything();
    assert_eq!(rewritten.deletes.len(), 0);
    snapshot(&shop.rewrite(&rewritten).await);
    assert_eq!(shop.rows(), ["b=1"]);
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_whose_answer_was_lost_is_found_and_one_that_was_lost_itself_is_committed_again() {
    for fault in [Fault::Unheard, Fault::Lost, Fault::Late] {
        let shop = Shop::open().await;
        shop.fault(fault);
        let answer = shop.rewrite(&shop.everything()).await;
        assert_eq!(Some(snapshot(&answer)), shop.table.head().await.unwrap().unwrap().snapshot);
        assert_eq!(shop.history(), ["append", "append", "append", "replace"], "one rewrite, not two");
        assert_eq!((shop.rows(), shop.status.borrow().unknown), (vec!["a=1".to_owned(), "b=1".to_owned()], 1));
        shop.commit(2, files(&[], &["a"])).await;
        assert_eq!(shop.rows(), ["b=1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_that_meets_another_commit_lands_upon_it_unless_its_files_have_gone() {
    let shop = Shop::open().await;
    shop.fault(Fault::Meanwhile(|table| table.foreign_tag("somebody", Some(1))));
    snapshot(&shop.rewrite(&shop.everything()).await);
    assert_eq!((shop.history().len(), shop.status.borrow().conflicts), (4, 1));

    let shop = Shop::open().await;
    shop.fault(Fault::Meanwhile(|table| table.foreign_compaction().unwrap()));
    let answer = shop.rewrite(&shop.everything()).await;
    assert!(matches!(answer, Answer::Again), "{answer:?}");
    assert_eq!(shop.history(), ["append", "append", "append", "(replace)"]);
    assert_eq!(shop.rows(), ["a=1", "b=1"]);
    snapshot(&shop.rewrite(&shop.everything()).await);
    assert_eq!(shop.rows(), ["a=1", "b=1"]);
}

#[tokio::test(start_paused = true)]
async fn files_that_a_truncate_or_a_rewrite_has_removed_do_not_come_back() {
    let shop = Shop::open().await;
    let (first, second) = (shop.everything(), shop.everything());
    snapshot(&shop.rewrite(&first).await);
    for outdated in [&second, &first] {
        let answer = shop.rewrite(outdated).await;
        assert!(matches!(answer, Answer::Again), "{answer:?}");
    }
    assert_eq!(shop.rows(), ["a=1", "b=1"], "each row once");

    let before = shop.everything();
    shop.log.barrier(BarrierKind::Truncate);
    let truncate = Claim::barrier(1, BarrierKind::Truncate, vec![Span::at(TOPIC, 0, 2)]);
    snapshot(&shop.offer(truncate, None).await);
    let answer = shop.rewrite(&before).await;
    assert!(matches!(answer, Answer::Again), "{answer:?}");
    assert_eq!(shop.rows(), [""; 0]);
    shop.commit(2, files(&[("c", "1")], &[])).await;
    assert_eq!(shop.rows(), ["c=1"]);
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_without_files_stops_the_table() {
    let shop = Shop::open().await;
    match shop.offer(Claim::rewrite(), None).await {
        Answer::Refused(refusal) => assert_eq!(refusal.code(), "malformed"),
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(shop.history().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_holds_a_weak_way_can_offer_and_does_not_keep_the_coordinator_from_ending() {
    let shop = Shop::open().await;
    let weak = shop.way.downgrade();
    let delta = Arc::new(Delta { claim: Claim::rewrite(), files: Some(shop.everything()) });
    let way = weak.upgrade().expect("the coordinator is up");
    let answer = way.offer(delta).await.unwrap();
    drop((way, shop.way));
    snapshot(&answer.await.unwrap());
    timeout(Duration::from_secs(600), shop.running).await.expect("it goes on").unwrap().unwrap();
    assert!(weak.upgrade().is_none());
    assert!(weak.clone().upgrade().is_none());
}
