//! `verify` with Trino as the reader: the same verdicts, by code that shares nothing with ours.

use crate::support::trino::TrinoCatalog;
use crate::support::{both, caught_up, start, stop};
use crate::types::every_type;
use crate::verify::{TABLES, all, assert_damage_is_found, damage, rows, verdict, verified};
use mirror::{ErrorKind, ForeignWrites, VerifyEngine, VerifyOptions, verify};

fn by_trino() -> VerifyOptions {
    VerifyOptions { engine: VerifyEngine::Trino, ..all() }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_by_trino_as_by_our_own_reader() {
    both("trino_damage", async |mut f| {
        f.sql(&["SET sql_mode = ''"]).await;
        f.sql(&TABLES).await;
        let catalog = TrinoCatalog::of(&f).await;
        let mut config = catalog.named_in(f.config());
        config.sink.foreign_writes = ForeignWrites::Warn;
        let mirror = start(config.clone()).await;
        caught_up(&mirror).await;
        let report = verified(&config, &by_trino()).await;
        assert!(report.equal(), "{report:?}");
        assert_eq!(rows(&report), [(6, 6), (4, 4), (5, 5), (2, 2)]);
        damage(&f).await;
        assert_damage_is_found(&verified(&config, &by_trino()).await, &f);
        stop(mirror).await;
        catalog.drop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_type_and_columns_of_other_times_are_read_by_trino() {
    both("trino_types", async |mut f| {
        for sql in every_type(&f, "every") {
            f.sql(&[&sql]).await;
        }
        f.sql(&[
            "CREATE TABLE `we\"ird` (`Id` INT PRIMARY KEY, `a \"b\"` INT, `SELECT` VARCHAR(5))",
            "CREATE TABLE bare (id INT PRIMARY KEY)",
        ])
        .await;
        f.sql(&["INSERT INTO `we\"ird` VALUES (1, 2, 'x')"]).await;
        let catalog = TrinoCatalog::of(&f).await;
        let config = catalog.named_in(f.config());
        let mirror = start(config.clone()).await;
        caught_up(&mirror).await;
        let report = verified(&config, &by_trino()).await;
        assert!(report.equal(), "{report:?}");
        assert_eq!(rows(&report), [(0, 0), (4, 4), (1, 1)]);
        // Updates, deletes and a column that some files do not have.
        f.sql(&[
            "UPDATE every SET id = id + 10 WHERE id < 3",
            "DELETE FROM every WHERE id = 11",
            "ALTER TABLE every ADD COLUMN late INT",
        ])
        .await;
        f.sql(&["UPDATE every SET late = 5 WHERE id = 12", "INSERT INTO bare VALUES (1)"]).await;
        caught_up(&mirror).await;
        let report = verified(&config, &by_trino()).await;
        assert!(report.equal(), "{report:?}");
        assert_eq!(rows(&report), [(1, 1), (3, 3), (1, 1)]);
        stop(mirror).await;
        catalog.drop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trino_that_is_not_there_or_reads_something_else_is_told() {
    both("trino_wrong", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        f.once().await;
        let options = by_trino();
        let refused = async |config: &mirror::MirrorConfig| verify(config, &options, &|_, _| {}).await.unwrap_err();
        let error = refused(&f.config()).await;
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(
            error.to_string().starts_with(
                "no Trino server is named, and --engine trino needs one\n  → write into the configuration: [trino] url"
            ),
            "{error}"
        );

        let catalog = TrinoCatalog::of(&f).await;
        let named = catalog.named_in(f.config());
        let with = |change: &dyn Fn(&mut mirror::TrinoConfig)| {
            let mut config = named.clone();
            change(config.trino.as_mut().unwrap());
            config
        };
        let error = refused(&with(&|trino| trino.catalog = "nope".to_owned())).await;
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(
            error.to_string().contains(" has no catalog nope; it has ")
                && error.to_string().contains("→ name the one that reads "),
            "{error}"
        );
        let error = refused(&with(&|trino| trino.password = mirror::Secret::new("hush"))).await;
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().starts_with("[trino] \"password\" would be sent over http"), "{error}");
        let error = refused(&with(&|trino| trino.url = "http://127.0.0.1:1".to_owned())).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            error
                .to_string()
                .starts_with("Trino cannot read its own list of catalogs\n  no answer from Trino at http://127.0.0.1:1\n"),
            "{error}"
        );

        // A catalog that reads other tables.
        let report = verified(&with(&|trino| trino.catalog = "memory".to_owned()), &options).await;
        let said = verdict(&report, &f, "t").not_compared.clone().unwrap();
        assert!(said.contains("\n  → does its catalog memory read "), "{said}");
        catalog.drop().await;
    })
    .await;
}
