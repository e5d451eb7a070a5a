//! Statements that change tables: read as the servers mean them, and followed only where no row changes unseen.

use crate::support::{Follower, Server, both, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_looks_like_a_number_is_the_name_of_its_table() {
    both("numbers", async |server, database, mut admin| {
        let tables = ["2024_orders", "1e5", "0x1F", "5", "1é2", "$1"];
        for table in tables {
            run(
                &mut admin,
                &[&format!("CREATE TABLE `{table}` (id INT PRIMARY KEY)"), &format!("INSERT INTO `{table}` VALUES (1)")],
            )
            .await;
        }
        let mut follower = Follower::caught_up(&server, database).await;
        for table in tables {
            run(&mut admin, &[&format!("TRUNCATE TABLE {database}.{table}"), &format!("INSERT INTO `{table}` VALUES (2)")]).await;
        }
        run(&mut admin, &[&format!("ALTER TABLE {database} . 2024_orders ADD COLUMN v INT")]).await;
        follower.catch_up().await;
        for table in tables {
            assert_eq!(follower.table(table).stop, None);
        }
        follower.assert_equals().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_tables_that_exchange_a_partition_stop_also_if_one_is_not_captured() {
    both("exchange", async |server, database, mut admin| {
        let ranges = "PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))";
        run(
            &mut admin,
            &[
                "DROP DATABASE IF EXISTS t_exchange_elsewhere",
                "CREATE DATABASE t_exchange_elsewhere",
                &format!("CREATE TABLE t_exchange_elsewhere.far (id INT PRIMARY KEY, v INT) {ranges}"),
                &format!("CREATE TABLE t (id INT PRIMARY KEY, v INT) {ranges}"),
                "CREATE TABLE swapped (id INT PRIMARY KEY, v INT)",
                "CREATE TABLE near (id INT PRIMARY KEY, v INT)",
                "CREATE TABLE other (id INT PRIMARY KEY, v INT)",
                "INSERT INTO t VALUES (1, 1), (11, 1)",
                "INSERT INTO swapped VALUES (2, 2)",
                "INSERT INTO t_exchange_elsewhere.far VALUES (3, 3)",
            ],
        )
        .await;
        let mut follower = Follower::caught_up(&server, database).await;
        run(
            &mut admin,
            &[
                "ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE swapped",
                &format!("ALTER TABLE t_exchange_elsewhere.far EXCHANGE PARTITION p0 WITH TABLE {database}.near"),
                "INSERT INTO other VALUES (1, 1)",
            ],
        )
        .await;
        follower.catch_up().await;
        for table in ["t", "swapped", "near"] {
            let stop = follower.table(table).stop.clone().unwrap_or_else(|| panic!("{table} goes on"));
            assert!(stop.contains("partition") && stop.contains(&format!("lakehouse resnapshot {database}.{table}")), "{stop}");
        }
        assert_eq!(follower.table("other").stop, None);
        follower.assert_equals().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_becomes_a_table_is_read_and_a_table_that_becomes_one_is_gone() {
    let server = Server::start("mariadb", "source", &[]);
    let database = "t_convert";
    let mut admin = server.admin("").await;
    let ranges = "PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))";
    run(
        &mut admin,
        &[
            "DROP DATABASE IF EXISTS t_convert",
            "CREATE DATABASE t_convert",
            "USE t_convert",
            &format!("CREATE TABLE giving (id INT PRIMARY KEY, v INT) {ranges}"),
            &format!("CREATE TABLE taking (id INT PRIMARY KEY, v INT) {ranges}"),
            "CREATE TABLE taken (id INT PRIMARY KEY, v INT)",
            "INSERT INTO giving VALUES (1, 1), (11, 1)",
            "INSERT INTO taken VALUES (21, 2)",
        ],
    )
    .await;
    let mut follower = Follower::caught_up(&server, database).await;
    run(
        &mut admin,
        &[
            "ALTER TABLE giving CONVERT PARTITION p1 TO TABLE made",
            "INSERT INTO made VALUES (12, 2)",
            "ALTER TABLE taking CONVERT TABLE taken TO PARTITION p2 VALUES LESS THAN (30)",
        ],
    )
    .await;
    follower.catch_up().await;
    for (table, what) in
        [("giving", "becomes the table"), ("taking", "becomes a partition"), ("taken", "it became a partition of")]
    {
        let stop = follower.table(table).stop.clone().unwrap_or_else(|| panic!("{table} goes on"));
        assert!(stop.contains(what), "{stop}");
    }
    assert_eq!(follower.table("made").stop, None);
    follower.assert_equals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_type_is_followed_only_if_old_rows_show_what_they_showed() {
    both("conversions", async |server, database, mut admin| {
        const PADDED: &str = "SET SESSION sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'";
        const STRICT: &str = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES'";
        const LOOSE: &str = "SET SESSION sql_mode = ''";
        let mut cases = vec![
            (STRICT, "VARCHAR(10)", "'a  '", "CHAR(10)", true),
            (STRICT, "CHAR(10)", "'a  '", "VARCHAR(20)", false),
            (PADDED, "CHAR(10)", "'a'", "VARCHAR(20)", true),
            (PADDED, "CHAR(10)", "'a'", "CHAR(20)", false),
            (STRICT, "TINYTEXT", "'a  '", "TEXT", false),
            (STRICT, "BINARY(4)", "x'6100'", "VARBINARY(10)", false),
            (STRICT, "VARBINARY(4)", "x'6100'", "BINARY(4)", true),
            (STRICT, "ENUM('a','b')", "'b'", "ENUM('a','b','c')", false),
            (LOOSE, "ENUM('a','A') COLLATE utf8mb4_bin", "'A'", "ENUM('a','A','b') COLLATE utf8mb4_general_ci", true),
            (STRICT, "SET('a','b')", "'a,b'", "SET('a','b','c')", false),
            (STRICT, "VARCHAR(9) CHARACTER SET latin1", "'é€'", "VARCHAR(9) CHARACTER SET utf8mb4", false),
            (STRICT, "DATETIME", "'2020-02-29 01:02:03'", "DATETIME(6)", false),
            (STRICT, "INT UNSIGNED", "4294967295", "BIGINT", false),
            (STRICT, "DECIMAL(10,2)", "-1.5", "DECIMAL(20,2)", false),
            (LOOSE, "DECIMAL(10,2)", "-1.5", "DECIMAL(20,2) UNSIGNED", true),
            (LOOSE, "INT", "NULL", "INT NOT NULL", true),
            (STRICT, "INT AS (id + 1) STORED", "DEFAULT", "INT AS (id + 2) STORED", true),
        ];
        if !server.is_mysql() {
            cases.push((STRICT, "TIMESTAMP NULL", "NULL", "TIMESTAMP NOT NULL", true));
            cases.push((STRICT, "YEAR", "1901", "YEAR(2)", true));
        }
        run(&mut admin, &[LOOSE]).await;
        for (i, (_, old, value, _, _)) in cases.iter().enumerate() {
            run(
                &mut admin,
                &[
                    &format!("CREATE TABLE c{i} (id INT PRIMARY KEY, c {old})"),
                    &format!("INSERT INTO c{i} (id, c) VALUES (1, {value})"),
                ],
            )
            .await;
        }
        let mut follower = Follower::caught_up(&server, database).await;
        for (i, (mode, _, _, new, _)) in cases.iter().enumerate() {
            run(&mut admin, &[mode, &format!("ALTER TABLE c{i} MODIFY c {new}")]).await;
        }
        follower.catch_up().await;
        follower.assert_equals().await;
        for (i, (_, old, _, new, stops)) in cases.iter().enumerate() {
            let stop = &follower.table(&format!("c{i}")).stop;
            assert_eq!(stop.is_some(), *stops, "{old} to {new}: {stop:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_alter_ignore_and_a_smaller_list_partition_leave_out_is_not_kept() {
    both("left_out", async |server, database, mut admin| {
        run(
            &mut admin,
            &[
                "CREATE TABLE list (id INT PRIMARY KEY) PARTITION BY LIST (id) (PARTITION p0 VALUES IN (1, 2), PARTITION p1 VALUES IN (3))",
                "INSERT INTO list VALUES (1), (2), (3)",
                "CREATE TABLE twice (id INT PRIMARY KEY, v INT)",
                "INSERT INTO twice VALUES (1, 1), (2, 1)",
            ],
        )
        .await;
        let mut follower = Follower::caught_up(&server, database).await;
        run(&mut admin, &["ALTER TABLE list REORGANIZE PARTITION p0 INTO (PARTITION p0 VALUES IN (1))"]).await;
        if !server.is_mysql() {
            run(&mut admin, &["ALTER IGNORE TABLE twice ADD UNIQUE (v)"]).await;
        }
        follower.catch_up().await;
        follower.assert_equals().await;
        assert!(follower.table("list").stop.is_some());
        assert_eq!(follower.table("twice").stop.is_some(), !server.is_mysql());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_change_by_text_alone_stop_their_table_and_a_function_stops_all() {
    // A server of its own: the function stops the tables of other tests, too.
    for kind in ["mysql", "mariadb"] {
        let server = Server::start(kind, "text", &[]);
        let database = "t_text";
        let mut admin = server.admin("").await;
        run(
            &mut admin,
            &[
                "SET GLOBAL log_bin_trust_function_creators = 1",
                "DROP DATABASE IF EXISTS t_text",
                "CREATE DATABASE t_text",
                "USE t_text",
                "CREATE TABLE a (id INT PRIMARY KEY, v INT)",
                "CREATE TABLE b (id INT PRIMARY KEY, v INT)",
                "INSERT INTO a VALUES (1, 1)",
                "CREATE FUNCTION f(x INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA \
                 BEGIN INSERT INTO b VALUES (x, 7); RETURN 1; END",
            ],
        )
        .await;
        let mut follower = Follower::caught_up(&server, database).await;
        let update = match server.is_mysql() {
            true => "WITH x AS (SELECT 1 AS i) UPDATE a, x SET v = 5 WHERE id = x.i",
            false => "UPDATE a SET v = 5",
        };
        run(&mut admin, &["INSERT INTO b VALUES (1, 1)", "SET SESSION binlog_format = 'STATEMENT'", update]).await;
        follower.catch_up().await;
        let stop = follower.table("a").stop.clone().expect("a goes on");
        assert!(stop.contains("logged as text"), "{stop}");
        assert_eq!(follower.table("b").stop, None);
        follower.assert_equals().await;

        run(&mut admin, &["DO f(2)"]).await;
        follower.catch_up().await;
        let stop = follower.table("b").stop.clone().expect("b goes on");
        assert!(stop.contains("a stored function"), "{stop}");
    }
}
