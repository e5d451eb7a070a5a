//! The catalog's database, shared with others, and everything that can be wrong with it or with a table's files.

use crate::support::*;
use iceberg_writer::{Catalog, CatalogConfig, CommitError, ErrorKind, TableName, TableOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeSet;
use std::time::Duration;

async fn sql(lake: &Lake, text: &str) -> u64 {
    let mut c = SqliteConnectOptions::new().filename(lake.dir.path().join("catalog.db")).connect().await.unwrap();
    let done = sqlx::query(text).execute(&mut c).await.unwrap().rows_affected();
    c.close().await.unwrap();
    done
}

#[tokio::test]
async fn tables_are_listed_loaded_and_dropped() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    assert!(lake.catalog.load_table(&name(&s)).await.unwrap().is_none());
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a")]).await;
    lake.catalog.create_namespace("empty").await.unwrap();
    lake.catalog.create_namespace("empty").await.unwrap();
    assert_eq!(lake.catalog.namespaces().await.unwrap(), ["empty", "shop"]);
    assert_eq!(lake.catalog.tables().await.unwrap(), [name(&s)]);
    let again = lake.reopened().await.load_table(&name(&s)).await.unwrap().unwrap();
    assert_eq!((all(&again).await, again.uuid()), (vec!["1|a".to_owned()], t.uuid()));
    assert!(lake.catalog.drop_table(&name(&s)).await.unwrap());
    assert!(!lake.catalog.drop_table(&name(&s)).await.unwrap());
    assert_eq!(lake.catalog.tables().await.unwrap(), []);
}

#[tokio::test]
async fn a_table_is_made_once() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    lake.table(&s).await;
    let e = lake.catalog.create_table(&name(&s), &s, TableOptions::default()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AlreadyExists);
    assert_eq!(lake.files("metadata.json").len(), 1, "the second one's metadata is gone");
}

#[tokio::test]
async fn odd_names_stay_inside_the_warehouse() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let odd = TableName::new("../up", "a/b 'ü%\"");
    let t = lake.catalog.create_table(&odd, &s, TableOptions::default()).await.unwrap();
    let t = span(&t, &s, &[plus(1, "a")]).await;
    assert!(t.metadata().location().starts_with(lake.catalog.warehouse()) && !t.metadata().location().contains(".."));
    assert_eq!(lake.files(".parquet").len(), 2);
    assert_eq!(all(&lake.catalog.load_table(&odd).await.unwrap().unwrap()).await, ["1|a"]);
}

#[tokio::test]
async fn the_tables_are_those_of_javas_catalog_and_one_without_a_type_column_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let mut c = SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    sqlx::query(
        "CREATE TABLE iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL,
         table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000),
         PRIMARY KEY (catalog_name, table_namespace, table_name))",
    )
    .execute(&mut c)
    .await
    .unwrap();
    sqlx::query("INSERT INTO iceberg_tables VALUES ('lake', 'old', 'one', 'file:///x', NULL), ('other', 'o', 't', '', '')")
        .execute(&mut c)
        .await
        .unwrap();
    let catalog = Catalog::open_sqlite(&path, dir.path().to_string_lossy(), CatalogConfig::default()).await.unwrap();
    assert_eq!(catalog.tables().await.unwrap(), [TableName::new("old", "one")]);
    assert_eq!(catalog.namespaces().await.unwrap(), ["old"]);
    let s = id_data(&[0]);
    let t = catalog.create_table(&name(&s), &s, TableOptions::default()).await.unwrap();
    let row: (String, String, Option<String>, String) = sqlx::query_as(
        "SELECT metadata_location, table_namespace, previous_metadata_location, iceberg_type FROM iceberg_tables WHERE table_name = 'orders'",
    )
    .fetch_one(&mut c)
    .await
    .unwrap();
    assert_eq!(row, (t.metadata_location().to_owned(), "shop".to_owned(), None, "TABLE".to_owned()));
    sqlx::query("UPDATE iceberg_tables SET iceberg_type = 'VIEW' WHERE table_name = 'orders'").execute(&mut c).await.unwrap();
    assert!(catalog.load_table(&name(&s)).await.unwrap().is_none(), "a view is no table");
}

#[tokio::test]
async fn a_dropped_table_refuses_commits_and_a_table_made_anew_is_another() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a")]).await;
    lake.catalog.drop_table(t.name()).await.unwrap();
    let Err(CommitError::Refused(e)) = t.truncate([], None).await else { panic!() };
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains("table shop.orders is no longer in the catalog"), "{e}");
    assert_eq!(t.refresh().await.unwrap_err().kind(), ErrorKind::NotFound);
    lake.table(&s).await;
    assert!(matches!(t.truncate([], None).await, Err(CommitError::Conflict)));
    let e = t.refresh().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ForeignTable);
    assert!(e.to_string().contains(&t.uuid().to_string()), "{e}");
}

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

#[tokio::test]
async fn other_catalogs_in_the_same_database_are_left_alone() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await;
    assert_eq!(
        sql(&lake, "INSERT INTO iceberg_tables VALUES ('other', 'shop', 'orders', 'file:///nowhere', NULL, 'TABLE')").await,
        1
    );
    span(&t, &s, &[plus(1, "a")]).await;
    lake.catalog.drop_table(t.name()).await.unwrap();
    assert_eq!(sql(&lake, "DELETE FROM iceberg_tables WHERE metadata_location = 'file:///nowhere'").await, 1);
}
