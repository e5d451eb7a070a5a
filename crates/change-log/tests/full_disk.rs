//! No room: nothing is lost, and the log goes on when there is room.

use crate::support::{one, open, read_everything, read_from, segments, tiny, values};
use change_log::{ChangeLog, ErrorKind, LocalLogConfig, TopicSpec};
use std::path::Path;
use std::process::Command;

const CHILD: &str = "CHANGE_LOG_FULL_DIRECTORY";

/// A file system of one megabyte, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` if this user may not mount.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).output();
        status.is_ok_and(|o| o.status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// Appends until there is no room, makes room, goes on; all that was acknowledged is there.
async fn fill(dir: &Path, config: &LocalLogConfig, mut make_room: impl AsyncFnMut(&change_log::LocalLog)) {
    let log = open(dir, config).await;
    log.create_topic("a", TopicSpec::new()).await.unwrap();
    let mut producer = log.producer("p").await.unwrap();
    let value = |n: i64| format!("{n:020000}").into_bytes();
    let mut kept = 0;
    for round in 0..2 {
        let error = loop {
            match producer.append(one("a", 0, values([value(kept)]))).await {
                Ok(_) => kept += 1,
                Err(e) => break e,
            }
        };
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        assert!(error.to_string().contains("make room, then try again"), "{error}");
        assert_eq!(log.offsets("a", 0).await.unwrap().next, kept);
        assert_eq!(producer.append(one("a", 0, values([value(kept)]))).await.unwrap_err().kind(), ErrorKind::DiskFull);
        if round == 0 {
            make_room(&log).await;
            producer.append(one("a", 0, values([value(kept)]))).await.expect("there is room again");
            kept += 1;
        }
    }
    let first = log.offsets("a", 0).await.unwrap().first;
    let check = |read: Vec<crate::support::Record>| {
        assert_eq!(read.len() as i64, kept - first);
        for (n, r) in (first..).zip(read) {
            assert!(r.0 == n && r.2 == Some(value(n)), "record {n} is another one");
        }
    };
    check(read_from(&log, "a", 0, first).await.unwrap());
    assert!(kept > 10, "{kept}");
    drop((producer, log));
    let log = open(dir, config).await;
    check(read_from(&log, "a", 0, first).await.unwrap());
    read_everything(&log).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_the_log_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        println!("this user may not mount a small disk: the limit on the size of files stands for it");
        return run_with_small_files();
    };
    for segment_bytes in [64 << 20, 100_000] {
        let dir = disk.0.path().join(segment_bytes.to_string());
        std::fs::create_dir(&dir).unwrap();
        let filler = dir.join("filler");
        std::fs::write(&filler, vec![0; 200_000]).unwrap();
        fill(&dir, &tiny(segment_bytes), async |_| std::fs::remove_file(&filler).unwrap()).await;
        std::fs::remove_dir_all(&dir).unwrap();
    }
    // Releasing what is applied makes room as well.
    let dir = disk.0.path().join("released");
    let all = |dir: &Path| segments(dir).len();
    fill(&dir, &tiny(100_000), async |log| {
        let before = all(log.path());
        let next = log.offsets("a", 0).await.unwrap().next;
        log.release("a", 0, next).await.unwrap();
        assert!(all(log.path()) < before, "released segments are gone");
    })
    .await;
}

/// Runs the test below in a process whose files may have 512 KiB, with the signal that would end it ignored.
fn run_with_small_files() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 512; exec \"$0\" --exact full_disk::a_file_that_may_not_grow_is_a_full_disk"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let full = std::fs::metadata(&segments(dir.path())[0]).unwrap().len();
    assert!((100_000..=1 << 20).contains(&full), "the limit was reached: {full}");
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_a_full_disk() {
    let Some(dir) = std::env::var_os(CHILD) else { return run_with_small_files() };
    let log = open(Path::new(&dir), &LocalLogConfig::default()).await;
    log.create_topic("a", TopicSpec::new()).await.unwrap();
    let mut producer = log.producer("p").await.unwrap();
    let mut kept = 0;
    let error = loop {
        match producer.append(one("a", 0, values([vec![b'x'; 50_000]]))).await {
            Ok(_) => kept += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert_eq!(read_from(&log, "a", 0, 0).await.unwrap().len(), kept);
    producer.append(one("a", 0, values(["small"]))).await.expect("what fits is taken");
    drop((producer, log));
    let log = open(Path::new(&dir), &LocalLogConfig::default()).await;
    assert_eq!(read_from(&log, "a", 0, 0).await.unwrap().len(), kept + 1);
}
