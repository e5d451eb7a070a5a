//! Names that need quotes, keys of many columns, and names that are one in the catalog.

use crate::support::{Fixture, both, caught_up, headline, run, start, stop, stopped};

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
async fn names_that_differ_by_case_alone_stop_before_one_overwrites_the_other() {
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
        let mirror = start(config.clone()).await;
        let tables = ["mt_collide.t", "MT_COLLIDE.t"];
        for table in tables {
            let message = stopped(&mirror, table).await;
            assert!(tables.iter().all(|t| headline(&message).contains(t)), "{message}");
            assert!(headline(&message).contains(" would be one table, mt_collide.t, in the catalog"), "{message}");
            let ways =
                ["mt_collide", "MT_COLLIDE"].map(|d| format!("leave out all but one: \"table.exclude.list\" = '(?-i){d}\\.t'"));
            assert!(ways.iter().any(|way| message.contains(way)), "{message}");
        }
        stop(mirror).await;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_name_another_has_in_other_letters_stops_alone_until_it_is_renamed() {
    both("clash", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&["CREATE TABLE T (id INT PRIMARY KEY)", "INSERT INTO T VALUES (100)", "INSERT INTO t VALUES (2)"]).await;
        let message = stopped(&mirror, &f.name("T")).await;
        assert!(message.contains("→ rename all but one of them on the server"), "{message}");
        f.sql(&["INSERT INTO t VALUES (3)", "CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO u VALUES (1)"]).await;
        caught_up(&mirror).await;
        f.assert_equal_except(&["T"]).await;
        stop(mirror).await;
        // The one that was there first goes on also after a start that finds both.
        let mirror = start(f.config()).await;
        stopped(&mirror, &f.name("T")).await;
        f.sql(&["INSERT INTO t VALUES (5)"]).await;
        caught_up(&mirror).await;
        f.assert_equal_except(&["T"]).await;
        f.sql(&["RENAME TABLE T TO t2", "INSERT INTO t2 VALUES (200)", "INSERT INTO t VALUES (4)"]).await;
        caught_up(&mirror).await;
        stop(mirror).await;
        f.sql(&["DELETE FROM t WHERE id = 1", "DELETE FROM t2 WHERE id = 100"]).await;
        let status = f.once().await;
        assert_eq!(status.stopped().map(|(table, _)| table.to_owned()).collect::<Vec<_>>(), [f.name("T")], "it is gone");
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_every_length_are_mirrored() {
    both("longnames", async |mut f| {
        // The server's own file names do not allow 64 of every letter.
        let longest = ["表".repeat(48), "é".repeat(48) + "a", "é".repeat(48) + "b", "x".repeat(64)];
        for (i, name) in longest.iter().enumerate() {
            f.sql(&[&format!("CREATE TABLE `{name}` (id INT PRIMARY KEY)"), &format!("INSERT INTO `{name}` VALUES ({i})")]).await;
        }
        let mirror = f.caught_up_mirror().await;
        for name in &longest {
            f.sql(&[&format!("UPDATE `{name}` SET id = id + 10")]).await;
        }
        caught_up(&mirror).await;
        assert_eq!(stop(mirror).await.stopped().count(), 0);
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_renamed_to_other_letters_says_what_is_in_its_way() {
    both("letters", async |mut f| {
        f.sql(&["CREATE TABLE Orders (id INT PRIMARY KEY)", "INSERT INTO Orders VALUES (1)"]).await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&["RENAME TABLE Orders TO moved, moved TO orders", "INSERT INTO orders VALUES (2)"]).await;
        let message = stopped(&mirror, &f.name("orders")).await;
        let name = f.name("orders");
        assert!(
            message.contains(&format!("the table {name} in the catalog holds the rows of another source table")),
            "{message}"
        );
        assert!(message.contains(&format!("→ if that one is gone, drop {name} in the catalog")), "{message}");
        stop(mirror).await;
        assert!(f.catalog().await.drop_table(&iceberg_writer::TableName::new(&f.database, "orders")).await.unwrap());
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}
