//! Names that need quotes, keys of many columns, and names that are one in the catalog.

use crate::support::{Fixture, both, caught_up, failure, headline, run, start, stop};
use mirror::ErrorKind;

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_and_composite_keys_are_mirrored() {
    both("Odd names-ß", async |mut f| {
        f.sql(&[
            "CREATE TABLE `Order Lines` (`select` INT, `ä ö` VARCHAR(9), `Q\"t` INT, `x``y` INT, PRIMARY KEY (`ä ö`, `select`))",
            "CREATE TABLE `it's` (`a.b` BIGINT UNSIGNED, `c-d` DATE, `e` DECIMAL(5,2), `日本` TEXT, PRIMARY KEY (`a.b`, `c-d`, `e`))",
            "CREATE TABLE `ÄÖ_$1` (`ID` INT PRIMARY KEY, `Value` VARBINARY(5))",
            "CREATE TABLE `a.b` (u VARCHAR(20) CHARACTER SET latin1 NOT NULL, n INT, UNIQUE KEY (u))",
            "INSERT INTO `Order Lines` VALUES (1, 'a', 1, NULL), (1, 'b', NULL, 2), (2, 'a', 3, 3), (2, '', 0, 0)",
            "INSERT INTO `it's` VALUES (18446744073709551615, '2024-02-29', 1.5, '語'), (0, '1000-01-01', -999.99, NULL)",
            "INSERT INTO `ÄÖ_$1` VALUES (1, x'00ff'), (2, NULL)",
            "INSERT INTO `a.b` VALUES ('ß', 1), ('Zebra', 2)",
        ])
        .await;
        let mirror = f.caught_up_mirror().await;
        f.assert_equal().await;
        f.sql(&[
            "UPDATE `Order Lines` SET `x``y` = 9 WHERE `ä ö` = 'a'",
            "UPDATE `Order Lines` SET `ä ö` = 'A' WHERE `ä ö` = 'a' AND `select` = 2",
            "DELETE FROM `Order Lines` WHERE `ä ö` = 'b'",
            "INSERT INTO `it's` VALUES (1, '2024-02-29', 1.50, '''\"\\\\')",
            "UPDATE `it's` SET `日本` = NULL WHERE `a.b` = 18446744073709551615",
            "UPDATE `ÄÖ_$1` SET `Value` = x'' WHERE ID = 2",
            "UPDATE `a.b` SET u = 'ZEBRA' WHERE n = 2",
        ])
        .await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        assert_eq!(stop(mirror).await.stopped().count(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_differ_by_case_alone_are_refused_before_one_overwrites_the_other() {
    both("collide", async |mut f| {
        let upper = "MT_COLLIDE";
        let mut admin = f.server.admin("").await;
        run(&mut admin, &[&format!("DROP DATABASE IF EXISTS {upper}"), &format!("CREATE DATABASE {upper}")]).await;
        f.sql(&[
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "INSERT INTO t VALUES (1)",
            &format!("CREATE TABLE {upper}.t (id INT PRIMARY KEY)"),
            &format!("INSERT INTO {upper}.t VALUES (2)"),
        ])
        .await;
        let mut config = f.config();
        config.source.database_include = Some(format!("{},{upper}", f.database));
        let (kind, message) = failure(config.clone()).await;
        assert_eq!(kind, ErrorKind::Unsafe, "{message}");
        let tables = ["mt_collide.t", "MT_COLLIDE.t"];
        assert!(tables.iter().all(|t| headline(&message).contains(t)), "{message}");
        assert!(headline(&message).contains(" would both be mt_collide.t in the catalog"), "{message}");
        let ways =
            ["mt_collide", "MT_COLLIDE"].map(|d| format!("→ leave out all but one: \"table.exclude.list\" = '(?-i){d}\\.t'"));
        assert!(ways.iter().any(|way| message.contains(way)), "{message}");

        // That way works, for either of them.
        let other = Fixture { folder: tempfile::tempdir().unwrap(), ..f };
        let mut config = other.config();
        config.source.database_include = Some(format!("mt_collide,{upper}"));
        config.source.table_exclude = Some(format!("(?-i){upper}\\.t"));
        let mirror = start(config).await;
        caught_up(&mirror).await;
        stop(mirror).await;
        let mut other = other;
        other.assert_equal().await;
        other.sql(&[&format!("DROP DATABASE {upper}")]).await;
    })
    .await;
}
