//! What was rolled back is not a change, also where the server has logged it.

use crate::support::{Follower, both, run};

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_rolled_back_are_not_yielded_though_mariadb_logs_some() {
    both("rollback", async |server, database, mut admin| {
        run(
            &mut admin,
            &[
                "CREATE TABLE i (id INT PRIMARY KEY, v VARCHAR(200))",
                "CREATE TABLE other (id INT PRIMARY KEY)",
                "CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM",
                "INSERT INTO i VALUES (1, 'one'), (2, 'two'), (3, 'three')",
            ],
        )
        .await;
        let mut follower = Follower::start(&server, database, |c| c.max_transaction_bytes(20_000)).await;
        follower.catch_up().await;

        run(
            &mut admin,
            &[
                "BEGIN",
                "INSERT INTO i VALUES (9, 'committed before')",
                "COMMIT",
                "BEGIN",
                "INSERT INTO i VALUES (10, 'x')",
                "CREATE TEMPORARY TABLE scratch (a INT)",
                "UPDATE i SET v = 'x' WHERE id = 1",
                "INSERT INTO other VALUES (10)",
                "DELETE FROM i WHERE id = 2",
                "ROLLBACK",
                "BEGIN",
                "UPDATE i SET id = 30 WHERE id = 3",
                "DROP TEMPORARY TABLE scratch",
                "ROLLBACK",
                "INSERT INTO i VALUES (11, 'committed after')",
            ],
        )
        .await;
        follower.catch_up().await;
        follower.assert_equals().await;
        assert_eq!(follower.table("i").ops, [('c', 2), ('r', 3)].into());

        if !server.is_mysql() {
            // MySQL refuses a statement on a table without transactions in the middle of one.
            run(
                &mut admin,
                &[
                    "BEGIN",
                    "INSERT INTO i VALUES (20, 'stays')",
                    "SAVEPOINT `a b`",
                    "INSERT INTO m VALUES (1)",
                    "INSERT INTO i VALUES (21, 'goes')",
                    "INSERT INTO other VALUES (21)",
                    "SAVEPOINT b",
                    "UPDATE i SET v = 'goes' WHERE id = 20",
                    "ROLLBACK TO b",
                    "UPDATE i SET v = 'goes, too' WHERE id = 20",
                    "ROLLBACK TO `A B`",
                    "INSERT INTO i VALUES (22, 'stays')",
                    "COMMIT",
                ],
            )
            .await;
            follower.catch_up().await;
            follower.assert_equals().await;
            assert_eq!(follower.table("i").ops, [('c', 4), ('r', 3)].into());
        }

        // More than is held of one transaction: a part is handed on before the server's change of mind is known.
        run(
            &mut admin,
            &[
                "BEGIN",
                "CREATE TEMPORARY TABLE scratch (a INT)",
                "INSERT INTO i SELECT 1000 + s.n, REPEAT('x', 150) FROM (WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 800) SELECT n FROM s) s",
                "ROLLBACK",
                "INSERT INTO other VALUES (40)",
            ],
        )
        .await;
        follower.catch_up().await;
        let stop = follower.table("i").stop.clone();
        match server.is_mysql() {
            true => assert_eq!(stop, None),
            false => assert!(stop.as_ref().is_some_and(|s| s.contains("was rolled back") && s.contains("resnapshot")), "{stop:?}"),
        }
        follower.assert_equals().await;
    })
    .await;
}
