//! Disks that are full or cannot be written to. The tests that need a small disk mount one, which takes root; where that is not
//! allowed they say so and prove the rest.

use crate::support::{Fixture, both, caught_up, failure, headline, start, stop};
use mirror::{ErrorKind, MirrorConfig};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// `None` where mounting is not allowed.
    fn new(at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        let mounted = done.is_ok_and(|o| o.status.success());
        if !mounted {
            eprintln!("NOT TESTED HERE: a file system in memory cannot be mounted (not root)");
        }
        mounted.then(|| Self(at.to_owned()))
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,{size}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Fills the database until the mirror has ended by itself.
async fn write_until_it_ends(f: &mut Fixture, config: MirrorConfig) -> (ErrorKind, String) {
    let mirror = start(config).await;
    caught_up(&mirror).await;
    for i in 0..40_u32 {
        // What does not compress: a full disk must come soon.
        let id = i * 100 + 10;
        let values: Vec<String> =
            (0..50).map(|j| format!("({}, HEX(CONCAT({})))", id + j, ["RANDOM_BYTES(500)"; 4].join(", "))).collect();
        f.sql(&[&format!("INSERT INTO t VALUES {}", values.join(","))]).await;
    }
    let e = crate::support::within("the end", mirror.ended()).await.expect_err("it ended well on a full disk");
    drop(mirror.stop().await);
    (e.kind(), e.to_string())
}

async fn full_disk(f: &mut Fixture, folder: PathBuf, size: &str, config: MirrorConfig) {
    f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'x')"]).await;
    let Some(mount) = Mount::new(&folder, &format!("size={size}")) else { return };
    let (kind, message) = write_until_it_ends(f, config).await;
    assert_eq!(kind, ErrorKind::Unavailable, "{message}");
    assert!(message.to_lowercase().contains("no space left") || message.contains("full"), "{message}");
    mount.resize("size=200m");
    f.once().await;
    f.assert_equal().await;
    assert_eq!(f.events("t").await.ops, [('r', 1), ('c', 2_000)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_log_ends_the_mirror_and_space_lets_it_go_on() {
    both("fulllog", async |mut f| {
        let (folder, config) = (f.log_folder(), f.config());
        full_disk(&mut f, folder, "3m", config).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_warehouse_ends_the_mirror_and_space_lets_it_go_on() {
    both("fullwarehouse", async |mut f| {
        let (folder, config) = (f.warehouse(), f.config());
        full_disk(&mut f, folder, "1500k", config).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_cannot_be_written_to_is_named() {
    both("readonly", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        let there = f.folder.path().join("a file");
        std::fs::write(&there, "in the way").unwrap();
        let mut config = f.config();
        config.sink.warehouse = there.clone();
        config.sink.catalog_address = iceberg_writer::CatalogAddress::sqlite(f.folder.path().join("catalog.db"));
        let (kind, message) = failure(config).await;
        assert_eq!(kind, ErrorKind::Unavailable, "{message}");
        assert!(message.contains("a file"), "{message}");

        if let Some(_mount) = Mount::new(&f.warehouse(), "ro") {
            let (kind, message) = failure(f.config()).await;
            assert_eq!(kind, ErrorKind::Unavailable, "{message}");
            assert!(headline(&message).contains("warehouse"), "{message}");
        }
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_folder_that_cannot_be_made_is_named() {
    both("nolog", async |f| {
        std::fs::write(f.log_folder(), "in the way").unwrap();
        let (kind, message) = failure(f.config()).await;
        assert_eq!(kind, ErrorKind::Unavailable, "{message}");
        assert!(headline(&message).contains("log"), "{message}");
        let mirror = {
            std::fs::remove_file(f.log_folder()).unwrap();
            start(f.config()).await
        };
        stop(mirror).await;
    })
    .await;
}
