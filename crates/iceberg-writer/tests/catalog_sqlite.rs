//! Everything that can be wrong with a catalog's SQLite file, or with a table's files.

use crate::support::*;
use iceberg_writer::{Catalog, CatalogConfig, CommitError, ErrorKind};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test]
async fn damaged_and_missing_files_are_named() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a")]).await;
    let path = t.metadata_location().strip_prefix("file://").unwrap().to_owned();
    let good = std::fs::read(&path).unwrap();
    for bad in [&good[..good.len() / 2], b"", b"{}", b"\x1f\x8bnot gzip"] {
        std::fs::write(&path, bad).unwrap();
        let e = lake.catalog.load_table(t.name()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
        assert!(e.to_string().contains("shop.orders") && e.to_string().contains(&path), "{e}");
    }
    std::fs::remove_file(&path).unwrap();
    let e = lake.catalog.load_table(t.name()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains("behind the catalog's back"), "{e}");
    std::fs::write(&path, &good).unwrap();

    let data = &lake.files("data.parquet")[0];
    let bytes = std::fs::read(data).unwrap();
    let read = async || t.scan().open().await?.next().await.map(|_| ());
    for bad in [&bytes[..bytes.len() - 9], &bytes[..3], b"PAR1PAR1"] {
        std::fs::write(data, bad).unwrap();
        let e = read().await.unwrap_err();
        assert!(e.kind() == ErrorKind::Corrupt && e.to_string().contains("-data.parquet"), "{e}");
    }
    std::fs::remove_file(data).unwrap();
    let e = read().await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.to_string().contains("no such file"), "{e}");
    let list = t.head().unwrap().manifest_list().strip_prefix("file://").unwrap();
    std::fs::write(list, b"nonsense").unwrap();
    let e = lake.catalog.load_table(t.name()).await.unwrap_err();
    assert!(e.to_string().contains("manifest list"), "{e}");
}

#[tokio::test]
async fn a_locked_a_damaged_and_a_missing_database_say_what_to_do() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    lake.table(&s).await;
    let quick = CatalogConfig { busy_timeout: Duration::from_millis(50), ..CatalogConfig::default() };
    let path = lake.dir.path().join("catalog.db");
    let warehouse = lake.dir.path().join("warehouse").to_string_lossy().into_owned();
    let catalog = Catalog::open_sqlite(&path, &warehouse, quick.clone()).await.unwrap();
    let t = catalog.load_table(&name(&s)).await.unwrap().unwrap();

    let mut holder: SqliteConnection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
    let files = lake.files(".avro").len();
    let Err(CommitError::Refused(e)) = t.truncate([], None).await else { panic!() };
    assert_eq!(e.kind(), ErrorKind::Busy);
    assert!(e.to_string().contains("another process holds it locked"), "{e}");
    assert_eq!(lake.files(".avro").len(), files, "the attempt left nothing");
    sqlx::query("ROLLBACK").execute(&mut holder).await.unwrap();
    t.truncate([], None).await.unwrap();

    let junk = lake.dir.path().join("junk.db");
    std::fs::write(&junk, "this is no database, and it is long enough to be looked at as one".repeat(40)).unwrap();
    let e = Catalog::open_sqlite(&junk, &warehouse, quick.clone()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert!(e.to_string().contains("junk.db"), "{e}");

    std::fs::write(lake.dir.path().join("file"), "").unwrap();
    let e = Catalog::open_sqlite(lake.dir.path().join("file/catalog.db"), &warehouse, quick.clone()).await.unwrap_err();
    assert!(e.to_string().contains("file"), "{e}");
    let e = Catalog::open_sqlite(&path, "s3://bucket/warehouse", quick).await.unwrap_err();
    assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains("s3://bucket"), "{e}");
}

#[tokio::test]
async fn a_catalog_that_is_opened_for_reading_is_not_changed_and_not_made() {
    use std::os::unix::fs::PermissionsExt;
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    lake.table(&s).await;
    lake.catalog.close().await;
    let folder = lake.dir.path();
    let (path, warehouse) = (folder.join("catalog.db"), folder.join("warehouse").to_string_lossy().into_owned());
    let beside = || std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>();
    let before = (std::fs::read(&path).unwrap(), beside());
    // Whom this binds (root it does not): SQLite can make no file beside the database then.
    for mode in [0o755, 0o555] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        let catalog = Catalog::open_sqlite_read_only(&path, &warehouse, CatalogConfig::default()).await.unwrap();
        let t = catalog.load_table(&name(&s)).await.unwrap().unwrap();
        assert_eq!(catalog.tables().await.unwrap(), [name(&s)]);
        assert_eq!(catalog.create_namespace("new").await.unwrap_err().kind(), ErrorKind::NotWritable);
        let Err(CommitError::Refused(e)) = t.truncate([], None).await else { panic!("it is changed") };
        assert_eq!(e.kind(), ErrorKind::NotWritable);
        catalog.close().await;
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(beside(), before.1, "files were made beside it");
    assert!(std::fs::read(&path).unwrap() == before.0, "the file was changed");

    let missing = folder.join("missing.db");
    let e = Catalog::open_sqlite_read_only(&missing, &warehouse, CatalogConfig::default()).await.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound && e.to_string().contains("missing.db"), "{e}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_warehouse_that_cannot_be_written_stops_the_commit_and_nothing_is_lost() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a")]).await;
    // A file where the folder was: not even root can write into it.
    let folder = lake.files("metadata.json")[0].parent().unwrap().to_path_buf();
    let aside = folder.with_extension("aside");
    let f = files(&t, &s, &[batch(&s, &[plus(2, "b")])], iceberg_writer::NewRows::Unknown).await;
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "").unwrap();
    let Err(CommitError::Refused(e)) = t.commit_delta(f.clone(), [], None).await else { panic!() };
    assert!(e.to_string().contains("writing a manifest of table shop.orders"), "{e}");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    let t = t.commit_delta(f, [], None).await.unwrap();
    assert_eq!(all(&t).await, ["1|a", "2|b"]);
}
