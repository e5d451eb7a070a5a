//! Files that are damaged: what can be mended is mended, the rest is refused with the file's name.

use crate::support::{Fixture, both, failure, headline, poll, start, stop, stopped};
use mirror::{ErrorKind, Halves};
use std::path::{Path, PathBuf};

const TABLE: [&str; 2] = ["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)"];

/// All below a folder, with contents.
fn save(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(save(&path)),
            false => found.extend(std::fs::read(&path).ok().map(|bytes| (path.clone(), bytes))),
        }
    }
    found
}

/// Exactly what was saved, and nothing else.
fn restore(folder: &Path, saved: &[(PathBuf, Vec<u8>)]) {
    std::fs::remove_dir_all(folder).unwrap();
    for (path, bytes) in saved {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

async fn after_a_crash_with_uncommitted_changes(f: &mut Fixture) {
    f.sql(&TABLE).await;
    f.once().await;
    // Nothing commits: what is cut off the log below is in no table, as after a real crash.
    let mut config = f.config();
    config.halves = Halves::Source;
    let mirror = start(config).await;
    for i in 3..8 {
        f.sql(&[&format!("INSERT INTO t VALUES ({i}, {i})"), &format!("UPDATE t SET v = v + 100 WHERE id < {i}")]).await;
    }
    let captured = |s: &mirror::MirrorStatus| s.source.events >= 5 + 2 + 3 + 4 + 5 + 6;
    crate::support::within("all changes", mirror.watch().wait_for(captured)).await.unwrap();
    // Log and tables as a crash would leave them now: the log ahead of the tables.
    let crashed = save(f.folder.path());
    stop(mirror).await;
    restore(f.folder.path(), &crashed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_torn_at_its_end_is_mended_and_the_source_says_again_what_was_lost() {
    both("torn", async |mut f| {
        after_a_crash_with_uncommitted_changes(&mut f).await;
        let crashed = save(f.folder.path());
        for cut in [1, 40, 700, 2_000] {
            restore(f.folder.path(), &crashed);
            let segment = f.last_segment();
            let bytes = std::fs::read(&segment).unwrap();
            std::fs::write(&segment, &bytes[..bytes.len() - cut]).unwrap();
            f.once().await;
            f.assert_equal().await;
            let ops = f.events("t").await.ops;
            assert_eq!(ops, [('r', 2), ('c', 5), ('u', 20)].into(), "cut by {cut}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_what_the_tables_have_is_refused() {
    both("beyond", async |mut f| {
        f.sql(&TABLE).await;
        f.once().await;
        let log = save(&f.log_folder());
        f.sql(&["INSERT INTO t VALUES (3, 3), (4, 4)"]).await;
        f.once().await;
        restore(&f.log_folder(), &log);
        // The source has other things to say than before: offsets would mean something else.
        let mut config = f.config();
        config.source.table_include = Some(format!("{}\\.t", f.database));
        let mirror = start(config).await;
        let name = f.name("t");
        // Either the log is seen to end too early, or the source was faster and has said the same again.
        let mut status = mirror.watch();
        let decided = |s: &mirror::MirrorStatus| {
            s.tables.get(&name).is_some_and(|t| t.stopped.is_some() || (t.log_end == 4 && t.applied == 4))
        };
        let decided = crate::support::within("a decision", status.wait_for(decided)).await.unwrap().clone();
        if let Some(message) = &decided.tables[&name].stopped {
            assert!(message.contains("it has lost records that are in the table"), "{message}");
        }
        stop(mirror).await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_damaged_in_its_middle_is_refused_with_file_and_position() {
    both("damagedlog", async |mut f| {
        f.sql(&TABLE).await;
        f.once().await;
        let segment = f.last_segment();
        let whole = std::fs::read(&segment).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x10;
        std::fs::write(&segment, damaged).unwrap();
        let (kind, message) = failure(f.config()).await;
        assert_eq!(kind, ErrorKind::Unsafe, "{message}");
        assert!(message.contains(segment.file_name().unwrap().to_str().unwrap()), "{message}");
        std::fs::write(&segment, whole).unwrap();
        f.sql(&["INSERT INTO t VALUES (3, 3)"]).await;
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_no_database_is_refused_with_its_name() {
    both("badcatalog", async |mut f| {
        f.sql(&TABLE).await;
        f.once().await;
        let catalog = f.config().sink.catalog_address.sqlite_path().unwrap().to_owned();
        // What is closed last writes the log of the database into it, and deletes that log.
        let written_ahead = catalog.with_extension("db-wal");
        poll("the catalog to be closed", async || (!written_ahead.exists()).then_some(())).await;
        let whole = std::fs::read(&catalog).unwrap();
        std::fs::write(&catalog, b"this is not a database, and has never been one").unwrap();
        let (kind, message) = failure(f.config()).await;
        assert_eq!(kind, ErrorKind::Unsafe, "{message}");
        assert!(headline(&message).contains("catalog.db"), "{message}");
        std::fs::write(&catalog, whole).unwrap();
        f.sql(&["INSERT INTO t VALUES (3, 3)"]).await;
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_file_that_is_damaged_stops_its_table_alone() {
    both("badmetadata", async |mut f| {
        f.sql(&TABLE).await;
        f.sql(&["CREATE TABLE other (id INT PRIMARY KEY)", "INSERT INTO other VALUES (1)"]).await;
        f.once().await;
        let location = f.table("t").await.metadata_location().to_owned();
        let file = PathBuf::from(location.trim_start_matches("file://"));
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let mirror = start(f.config()).await;
        f.sql(&["INSERT INTO other VALUES (2)", "INSERT INTO t VALUES (3, 3)"]).await;
        let message = stopped(&mirror, &f.name("t")).await;
        assert!(message.contains(file.file_name().unwrap().to_str().unwrap()), "{message}");
        crate::support::caught_up(&mirror).await;
        let status = stop(mirror).await;
        assert_eq!(status.stopped().count(), 1);
        std::fs::write(&file, whole).unwrap();
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}
