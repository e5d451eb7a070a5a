//! What every catalog does, on each kind of database.

use crate::servers::*;
use crate::support::*;
use iceberg_writer::{Catalog, CatalogConfig, Commit, CommitError, ErrorKind, NewRows, Table, TableName, TableOptions, Upkeep};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn tables_are_listed_loaded_and_dropped() {
    on_each("listed", async |lake, _| {
        let s = id_data(&[0]);
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
    })
    .await;
}

#[tokio::test]
async fn a_table_is_made_once() {
    on_each("made_once", async |lake, _| {
        let s = id_data(&[0]);
        lake.table(&s).await;
        let e = lake.catalog.create_table(&name(&s), &s, TableOptions::default()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AlreadyExists);
        assert!(e.to_string().contains("table shop.orders exists already"), "{e}");
        assert_eq!(lake.files("metadata.json").len(), 1, "the second one's metadata is gone");
    })
    .await;
}

#[tokio::test]
async fn of_many_that_make_the_same_table_at_once_one_does() {
    on_each("same_table", async |lake, _| {
        let s = id_data(&[0]);
        let creators: Vec<_> = (0..6)
            .map(|_| {
                let (catalog, s) = (lake.catalog.clone(), Arc::clone(&s));
                tokio::spawn(async move { catalog.create_table(&name(&s), &s, TableOptions::default()).await })
            })
            .collect();
        let mut made = 0;
        for creator in creators {
            match creator.await.unwrap() {
                Ok(_) => made += 1,
                Err(e) => assert_eq!(e.kind(), ErrorKind::AlreadyExists, "{e}"),
            }
        }
        assert_eq!(made, 1);
        assert_eq!(lake.files("metadata.json").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn names_are_kept_byte_by_byte() {
    on_each("names", async |lake, database| {
        let s = id_data(&[0]);
        // MySQL's own keys leave spaces at the end out of account: see the test of tables that others made.
        let mut odd = vec![
            "../up",
            "a/b 'ü%\"",
            "Orders",
            "orders",
            "ORDERS",
            "größe",
            "grösse",
            "表",
            "🦆",
            "a\\b",
            "semi;--",
            "ß",
            "ss",
            "İ",
        ];
        if !matches!(database.kind, Kind::Mysql | Kind::Mariadb) {
            odd.push("orders ");
        }
        let name = |odd: &str| TableName::new(format!("in {odd}"), odd);
        for (i, n) in odd.iter().enumerate() {
            let t = lake.catalog.create_table(&name(n), &s, TableOptions::default()).await.unwrap();
            span(&t, &s, &[plus(i as i32, n)]).await;
            assert!(t.metadata().location().starts_with(lake.catalog.warehouse()) && !t.metadata().location().contains("/.."));
        }
        let mut expected: Vec<TableName> = odd.iter().map(|n| name(n)).collect();
        expected.sort();
        assert_eq!(lake.catalog.tables().await.unwrap(), expected);
        assert_eq!(lake.catalog.namespaces().await.unwrap(), expected.iter().map(|n| n.namespace.clone()).collect::<Vec<_>>());
        for (i, n) in odd.iter().enumerate() {
            let t = lake.catalog.load_table(&name(n)).await.unwrap().unwrap();
            assert_eq!(all(&t).await, [format!("{i}|{n}")]);
        }
        assert!(lake.catalog.load_table(&TableName::new("in Orders", "orders")).await.unwrap().is_none());
        assert!(lake.catalog.drop_table(&name("ORDERS")).await.unwrap());
        assert!(lake.catalog.load_table(&name("orders")).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_name_or_a_location_that_is_too_long_is_refused_and_not_cut() {
    on_each("too_long", async |lake, database| {
        let s = id_data(&[0]);
        let fits = TableName::new("n".repeat(255), "ü".repeat(255));
        lake.catalog.create_table(&fits, &s, TableOptions::default()).await.unwrap();
        assert!(lake.catalog.load_table(&fits).await.unwrap().is_some());
        // SQLite takes any length.
        if database.kind != Kind::Sqlite {
            let e =
                lake.catalog.create_table(&TableName::new("d", "n".repeat(256)), &s, TableOptions::default()).await.unwrap_err();
            assert!(e.kind() == ErrorKind::Invalid && e.to_string().contains("names have up to 255 letters"), "{e}");
            let deep = format!("{}/{}", lake.catalog.warehouse(), "deep/".repeat(200));
            let options = TableOptions { location: Some(deep), ..TableOptions::default() };
            let e = lake.catalog.create_table(&TableName::new("d", "deep"), &s, options).await.unwrap_err();
            assert!(e.kind() == ErrorKind::Invalid && e.to_string().contains("locations of files 1000"), "{e}");
            assert_eq!(lake.catalog.tables().await.unwrap(), [fits]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_table_refuses_commits_and_a_table_made_anew_is_another() {
    on_each("dropped", async |lake, _| {
        let s = id_data(&[0]);
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
    })
    .await;
}

#[tokio::test]
async fn other_catalogs_in_the_same_database_are_left_alone() {
    on_each("others", async |lake, database| {
        let s = id_data(&[0]);
        let t = lake.table(&s).await;
        database.sql("INSERT INTO iceberg_tables VALUES ('other', 'shop', 'orders', 'file:///nowhere', NULL, 'TABLE')").await;
        span(&t, &s, &[plus(1, "a")]).await;
        lake.catalog.drop_table(t.name()).await.unwrap();
        assert_eq!(database.sql("SELECT catalog_name, metadata_location FROM iceberg_tables").await, ["other|file:///nowhere"]);
    })
    .await;
}

#[tokio::test]
async fn the_second_of_two_commits_on_one_version_conflicts_and_leaves_no_manifests() {
    on_each("conflict", async |lake, _| {
        let s = id_data(&[0]);
        let t = lake.table(&s).await;
        let mine = files(&t, &s, &[batch(&s, &[plus(1, "mine")])], NewRows::Unknown).await;
        span(&t, &s, &[plus(2, "theirs")]).await;
        let before = (lake.files(".avro"), lake.files(".json"));
        assert!(matches!(t.commit_delta(mine.clone(), [], None).await, Err(CommitError::Conflict)));
        assert_eq!((lake.files(".avro"), lake.files(".json")), before);
        let t = t.refresh().await.unwrap().commit_delta(mine, [], None).await.unwrap();
        assert_eq!(all(&t).await, ["1|mine", "2|theirs"]);
    })
    .await;
}

async fn committer(mut t: Table, s: Arc<cdc_core::TableSchema>, who: i32, commits: i32) {
    for i in 0..commits {
        let f = files(&t, &s, &[batch(&s, &[plus(who * 1_000 + i, "x")])], NewRows::All).await;
        loop {
            let commit = Commit::new().with_delta(f.clone()).with_property("id", format!("{who}-{i}"));
            match t.commit(&commit).await {
                Ok(next) => {
                    t = next;
                    break;
                }
                Err(CommitError::Conflict) => t = t.refresh().await.unwrap(),
                Err(e) => panic!("{e}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_committers_lose_no_commit_and_double_none() {
    on_each("racing", async |lake, _| {
        let s = id_data(&[0]);
        let t = lake.table(&s).await;
        // The second has a catalog of its own, as another process would.
        let other = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
        let a = tokio::spawn(committer(t.clone(), Arc::clone(&s), 1, 25));
        let b = tokio::spawn(committer(other, Arc::clone(&s), 2, 25));
        a.await.unwrap();
        b.await.unwrap();
        let t = t.refresh().await.unwrap();
        let rows = all(&t).await;
        assert_eq!((rows.len(), rows.iter().collect::<BTreeSet<_>>().len()), (50, 50));
        let ids: Vec<_> = t.ancestry().map(|s| s.summary().additional_properties["id"].clone()).collect();
        assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (50, 50));
        let sequences: Vec<i64> = t.ancestry().map(|s| s.sequence_number()).collect();
        assert_eq!(sequences, (1..=50).rev().collect::<Vec<i64>>());
    })
    .await;
}

#[tokio::test]
async fn files_of_expired_snapshots_are_listed_with_the_swap_and_deleted_when_they_are_due() {
    on_each_empty("expired", async |folder, database| {
        let hour = Duration::from_secs(3600);
        let upkeep = Upkeep { keep_snapshots: 2, metadata_versions: 3, sweep_every: 100 * hour, ..Upkeep::default() };
        let lake = Lake::at(folder, database.address(), upkeep).await;
        let s = id_data(&[0]);
        let mut t = lake.table(&s).await;
        for i in 0..8 {
            lake.clock.advance(hour);
            t = span(&t, &s, &[plus(i, "a")]).await;
        }
        let listed = "SELECT kind, COUNT(*) FROM cdc_expired_files GROUP BY kind ORDER BY kind";
        let due = database.sql(listed).await;
        assert!(due.len() == 2 && due[0].starts_with("metadata|") && due[1].starts_with("snapshot|"), "{due:?}");
        let before = lake.files(".avro").len();
        lake.clock.advance(2 * hour);
        let deleted = t.sweep().await.unwrap();
        assert!(deleted > 5 && lake.files(".avro").len() < before, "{deleted}");
        assert_eq!(database.sql(listed).await, [""; 0]);
        assert_eq!(t.sweep().await.unwrap(), 0);
        assert_eq!(all(&t.refresh().await.unwrap()).await.len(), 8);
    })
    .await;
}

#[tokio::test]
async fn a_row_that_somebody_holds_locked_is_waited_for_and_then_named_as_busy() {
    on_each("locked", async |lake, database| {
        if database.kind == Kind::Sqlite {
            return; // See the tests of SQLite files.
        }
        let s = id_data(&[0]);
        lake.table(&s).await;
        let config = CatalogConfig { busy_timeout: Duration::from_secs(1), ..config(&lake.clock, Upkeep::default()) };
        let catalog = open(lake.dir.path(), &lake.address, config).await;
        let mut t = catalog.load_table(&name(&s)).await.unwrap().unwrap();
        let mut holder = database.hold_rows_locked();
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let e = loop {
            assert!(std::time::Instant::now() < deadline, "it is never busy");
            match t.commit(&Commit::new()).await {
                Ok(next) => t = next, // Nobody holds it yet.
                Err(CommitError::Refused(e)) => break e,
                Err(e) => panic!("{e}"),
            }
        };
        assert!(e.kind() == ErrorKind::Busy && e.to_string().contains("somebody holds a lock on it"), "{e}");
        assert!(catalog.load_table(&name(&s)).await.unwrap().is_some(), "reading goes on");
        holder.kill().unwrap();
        holder.wait().unwrap();
        database.cut_connections().await;
        t.commit(&Commit::new()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_catalog_that_is_opened_for_reading_changes_and_makes_nothing() {
    on_each_empty("reading", async |folder, database| {
        let warehouse = folder.path().join("warehouse").to_string_lossy().into_owned();
        let config = CatalogConfig::default();
        let e = Catalog::open_read_only(&database.address(), &warehouse, config.clone()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
        if database.kind != Kind::Sqlite {
            let made = "SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE '%iceberg%' AND table_schema NOT LIKE 'i_%'";
            let here = match database.kind {
                Kind::Postgres => made.replace("table_schema NOT LIKE 'i_%'", "table_schema = 'public'"),
                _ => made.replace("table_schema NOT LIKE 'i_%'", "table_schema = DATABASE()"),
            };
            assert_eq!(database.sql(&here).await, ["0"]);
        }
        let s = id_data(&[0]);
        let lake = Lake::at(folder, database.address(), Upkeep::default()).await;
        lake.table(&s).await;
        lake.catalog.close().await;
        let catalog = Catalog::open_read_only(&database.address(), &warehouse, config).await.unwrap();
        assert_eq!(catalog.tables().await.unwrap(), [name(&s)]);
        let t = catalog.load_table(&name(&s)).await.unwrap().unwrap();
        assert_eq!(catalog.create_namespace("new").await.unwrap_err().kind(), ErrorKind::NotWritable);
        assert_eq!(catalog.drop_table(&name(&s)).await.unwrap_err().kind(), ErrorKind::NotWritable);
        let Err(CommitError::Refused(e)) = t.truncate([], None).await else { panic!("it is changed") };
        assert_eq!(e.kind(), ErrorKind::NotWritable);
        assert!(e.to_string().contains("read"), "{e}");
        assert_eq!(catalog.namespaces().await.unwrap(), ["shop"]);
        catalog.close().await;
        assert!(catalog.tables().await.is_err());
    })
    .await;
}
