//! What opening refuses, and says.

use crate::support::{open, segments};
use change_log::{ChangeLog, ErrorKind, LocalLog, LocalLogConfig};

#[tokio::test]
async fn a_log_that_is_open_is_refused_and_names_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let config = LocalLogConfig::default();
    let log = open(dir.path(), &config).await;
    let producer = log.producer("p").await.unwrap();
    let error = LocalLog::open(dir.path(), config.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.to_string().contains(&format!("in use by process {}:", std::process::id())), "{error}");
    let clone = log.clone();
    drop(log);
    assert_eq!(LocalLog::open(dir.path(), config.clone()).await.unwrap_err().kind(), ErrorKind::InUse);
    drop(clone);
    assert_eq!(LocalLog::open(dir.path(), config.clone()).await.unwrap_err().kind(), ErrorKind::InUse, "a producer has it open");
    drop(producer);
    open(dir.path(), &config).await;
}

#[tokio::test]
async fn an_identity_that_is_missing_damaged_or_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = LocalLogConfig::default();
    let identity = open(dir.path(), &config).await.identity().clone();
    assert_eq!(*open(dir.path(), &config).await.identity(), identity);
    let meta = dir.path().join("meta.json");
    let text = std::fs::read_to_string(&meta).unwrap();
    std::fs::write(&meta, text.replace("\"format\":1", "\"format\":2")).unwrap();
    let error = LocalLog::open(dir.path(), config.clone()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Other && error.to_string().contains("of format 2"), "{error}");
    std::fs::write(&meta, &text[..10]).unwrap();
    assert_eq!(LocalLog::open(dir.path(), config.clone()).await.unwrap_err().kind(), ErrorKind::Corrupt);
    std::fs::remove_file(&meta).unwrap();
    let error = LocalLog::open(dir.path(), config.clone()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("meta.json is missing"), "{error}");
    // The files of one log under the identity of another.
    let other = tempfile::tempdir().unwrap();
    open(other.path(), &config).await;
    std::fs::copy(other.path().join("meta.json"), &meta).unwrap();
    assert_eq!(LocalLog::open(dir.path(), config).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = LocalLog::open(file.join("log"), LocalLogConfig::default()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("file/log"), "{error}");
}

#[tokio::test]
async fn what_an_interrupted_write_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let config = LocalLogConfig::default();
    drop(open(dir.path(), &config).await);
    let leftovers = ["00000000000000000009.tmp", "00000000000000000007.index", "meta.tmp"].map(|n| dir.path().join(n));
    for path in &leftovers {
        std::fs::write(path, "half").unwrap();
    }
    let foreign = dir.path().join("notes.txt");
    std::fs::write(&foreign, "mine").unwrap();
    drop(open(dir.path(), &config).await);
    assert!(leftovers.iter().all(|p| !p.exists()));
    assert!(foreign.exists());
    assert_eq!(segments(dir.path()).len(), 1);
}

#[tokio::test]
async fn opening_and_closing_again_does_not_let_the_log_grow() {
    let dir = tempfile::tempdir().unwrap();
    let config = LocalLogConfig::default();
    drop(open(dir.path(), &config).await);
    let len = std::fs::metadata(&segments(dir.path())[0]).unwrap().len();
    for _ in 0..5 {
        drop(open(dir.path(), &config).await);
    }
    assert_eq!(std::fs::metadata(&segments(dir.path())[0]).unwrap().len(), len);
}
