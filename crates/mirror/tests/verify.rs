//! `verify` finds what is not the same, whoever did it, and nothing else.

use crate::support::other_writer::{self, INT, TEXT, row};
use crate::support::{Fixture, both, caught_up, run, seed, start, stop, stopped, within};
use cdc_core::Op;
use mirror::{DifferenceKind, ErrorKind, ForeignWrites, MirrorConfig, TableVerdict, VerifyOptions, VerifyReport, verify};
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub const TABLES: [&str; 8] = [
    "CREATE TABLE plain (id INT PRIMARY KEY, v VARCHAR(20), w INT)",
    "INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, NULL, NULL), (5, '', 5)",
    "CREATE TABLE pair (a INT, v INT, b VARCHAR(10), PRIMARY KEY (b, a))",
    "INSERT INTO pair VALUES (1, 11, 'x'), (2, 12, 'x'), (1, 21, 'y'), (2, NULL, 'y')",
    // A unique key that can be NULL tells no rows apart.
    "CREATE TABLE nokey (a INT, b VARCHAR(10), UNIQUE KEY (a))",
    "INSERT INTO nokey VALUES (1, 'one'), (2, NULL), (NULL, 'same'), (NULL, 'same'), (NULL, NULL), (NULL, NULL)",
    "CREATE TABLE same (id INT PRIMARY KEY, f FLOAT, d DATETIME(6), z DATE NOT NULL)",
    "INSERT IGNORE INTO same VALUES (1, 0.1, '2024-01-01 00:00:00.000001', '0000-00-00'), (2, NULL, NULL, '2024-02-29')",
];

/// What is done to the tables, and must be found.
pub async fn damage(f: &Fixture) {
    let plain = other_writer::schema(f, "plain", &[("id", INT), ("v", TEXT), ("w", INT)], &[0]);
    let changes = [
        (Op::Update, row(&["1", "a ", "1"])),
        (Op::Delete, row(&["2", "b", "2"])),
        (Op::Create, row(&["3", "c", "3"])),
        (Op::Update, row(&["5", "NULL", "6"])),
        (Op::Create, row(&["9", "new", "NULL"])),
    ];
    other_writer::write(&f.table("plain").await, &plain, &changes).await;
    let pair = other_writer::schema(f, "pair", &[("a", INT), ("v", INT), ("b", TEXT)], &[2, 0]);
    let changes = [(Op::Update, row(&["2", "0", "x"])), (Op::Delete, row(&["1", "21", "y"]))];
    other_writer::write(&f.table("pair").await, &pair, &changes).await;
    let nokey = |key| other_writer::schema(f, "nokey", &[("a", INT), ("b", TEXT)], key);
    other_writer::write(&f.table("nokey").await, &nokey(&[0]), &[(Op::Update, row(&["1", "ONE"]))]).await;
    let more = [(Op::Create, row(&["NULL", "same"])), (Op::Create, row(&["2", "NULL"]))];
    other_writer::write(&f.table("nokey").await, &nokey(&[]), &more).await;
}

/// Every difference as it is shown, in the order of the texts.
fn found(report: &VerifyReport, f: &Fixture, table: &str) -> Vec<String> {
    let verdict = verdict(report, f, table);
    let mut found: Vec<String> = verdict.differences.iter().map(ToString::to_string).collect();
    found.sort();
    assert_eq!(verdict.different, found.len() as u64, "{verdict:?}");
    assert_eq!((verdict.unsettled, &verdict.not_compared), (0, &None), "{verdict:?}");
    found
}

pub fn verdict<'a>(report: &'a VerifyReport, f: &Fixture, table: &str) -> &'a TableVerdict {
    report.tables.iter().find(|t| t.table == f.name(table)).unwrap_or_else(|| panic!("no {table} in {report:?}"))
}

pub fn assert_damage_is_found(report: &VerifyReport, f: &Fixture) {
    assert!(!report.equal());
    assert_eq!(
        found(report, f, "plain"),
        [
            "id=1\n  v: source a, mirror \"a \"",
            "id=2\n  only in the source",
            "id=3\n  the source has it 1×, the mirror 2×",
            "id=5\n  v: source \"\", mirror NULL\n  w: source 5, mirror 6",
            "id=9\n  only in the mirror",
        ]
    );
    assert_eq!(found(report, f, "pair"), ["b=x, a=2\n  v: source 12, mirror 0", "b=y, a=1\n  only in the source"]);
    assert_eq!(
        found(report, f, "nokey"),
        [
            "a=1, b=ONE\n  only in the mirror",
            "a=1, b=one\n  only in the source",
            "a=2, b=NULL\n  the source has it 1×, the mirror 2×",
            "a=NULL, b=same\n  the source has it 2×, the mirror 3×",
        ]
    );
    assert_eq!(found(report, f, "same"), Vec::<String>::new());
    assert!(verdict(report, f, "same").equal());
    let zero_dates = BTreeMap::from([("z".to_owned(), 1)]);
    assert_eq!(verdict(report, f, "same").mapped, zero_dates, "zero dates are counted");
}

pub async fn verified(config: &MirrorConfig, options: &VerifyOptions) -> VerifyReport {
    within("verify", verify(config, options, &|_, _| {})).await.unwrap_or_else(|e| panic!("{e}"))
}

pub fn all() -> VerifyOptions {
    VerifyOptions { differences_kept: 100, ..VerifyOptions::default() }
}

pub fn rows(report: &VerifyReport) -> Vec<(u64, u64)> {
    report.tables.iter().map(|t| (t.source_rows, t.mirror_rows)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_behind_the_back_of_a_running_mirror_is_found_row_by_row() {
    both("verify_live", async |mut f| {
        f.sql(&["SET sql_mode = ''"]).await;
        f.sql(&TABLES).await;
        let mut config = f.config();
        config.sink.foreign_writes = ForeignWrites::Warn;
        let mirror = start(config.clone()).await;
        caught_up(&mirror).await;
        let report = verified(&config, &all()).await;
        assert!(report.equal(), "{report:?}");
        assert_eq!(rows(&report), [(6, 6), (4, 4), (5, 5), (2, 2)]);

        damage(&f).await;
        assert_damage_is_found(&verified(&config, &all()).await, &f);

        // The ways to ask for less.
        let options = VerifyOptions { tables: vec![f.name("SAME")], ..all() };
        let report = verified(&config, &options).await;
        assert_eq!((report.tables.len(), report.equal()), (1, true));
        let options = VerifyOptions { differences_kept: 2, ..all() };
        let report = verified(&config, &options).await;
        let plain = verdict(&report, &f, "plain");
        assert_eq!((plain.different, plain.differences.len()), (5, 2));
        let options = VerifyOptions { tables: vec![f.name("nothing")], ..all() };
        let e = verify(&config, &options, &|_, _| {}).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Configuration);
        assert!(e.to_string().contains(&f.name("nothing")), "{e}");

        // What the source says of a row from now on is right again, whatever was done to it.
        f.sql(&["UPDATE plain SET v = 'z' WHERE id IN (1, 3, 5)", "DELETE FROM plain WHERE id = 2"]).await;
        let report = verified(&config, &all()).await;
        assert_eq!(found(&report, &f, "plain"), ["id=9\n  only in the mirror"]);
        stop(mirror).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_while_no_mirror_runs_is_found_and_the_report_says_that_the_tables_are_not_followed() {
    both("verify_rest", async |mut f| {
        f.sql(&["SET sql_mode = ''"]).await;
        f.sql(&TABLES).await;
        f.once().await;
        // Without a mirror, `verify` first brings the tables up to date.
        f.sql(&["INSERT INTO plain VALUES (6, 'late', 6)"]).await;
        let report = verified(&f.config(), &all()).await;
        assert!(report.equal(), "{report:?}");
        assert_eq!(rows(&report), [(6, 6), (4, 4), (6, 6), (2, 2)]);
        damage(&f).await;
        let report = verified(&f.config(), &all()).await;
        assert_damage_is_found(&report, &f);
        for table in ["plain", "pair", "nokey"] {
            let why = verdict(&report, &f, table).stopped.clone().unwrap_or_default();
            assert!(why.contains("changed its rows, and is not from this sink"), "{table}: {why}");
        }
        assert_eq!(verdict(&report, &f, "same").stopped, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_whose_only_table_has_stopped_is_compared_all_the_same() {
    both("verify_one", async |mut f| {
        f.sql(&TABLES[..2]).await;
        f.once().await;
        let plain = other_writer::schema(&f, "plain", &[("id", INT), ("v", TEXT), ("w", INT)], &[0]);
        other_writer::write(&f.table("plain").await, &plain, &[(Op::Delete, row(&["4", "NULL", "NULL"]))]).await;
        f.sql(&["INSERT INTO plain VALUES (6, 'late', 6)"]).await;
        let report = verified(&f.config(), &all()).await;
        assert_eq!(found(&report, &f, "plain"), ["id=4\n  only in the source", "id=6\n  only in the source"]);
        assert!(verdict(&report, &f, "plain").stopped.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_compared_is_not_called_equal_and_the_others_are_compared() {
    both("verify_not", async |mut f| {
        f.sql(&TABLES[..2]).await;
        f.sql(&[
            "CREATE TABLE odd (id INT PRIMARY KEY, v VARCHAR(5) CHARACTER SET swe7)",
            "CREATE TABLE gone (id INT PRIMARY KEY)",
            "CREATE TABLE broken (id INT PRIMARY KEY)",
            "INSERT INTO broken VALUES (1)",
        ])
        .await;
        let mirror = start(f.config()).await;
        stopped(&mirror, &f.name("odd")).await;
        caught_up(&mirror).await;
        let name = iceberg_writer::TableName::new(&f.database, "gone");
        assert!(f.catalog().await.drop_table(&name).await.unwrap());
        std::fs::remove_dir_all(f.warehouse().join(&f.database).join("broken/data")).unwrap();
        let report = verified(&f.config(), &all()).await;
        assert!(!report.equal());
        assert_eq!(found(&report, &f, "plain"), Vec::<String>::new());
        for (table, why) in [("odd", "swe7"), ("gone", "there is no table "), ("broken", ".parquet")] {
            let verdict = verdict(&report, &f, table);
            let said = verdict.not_compared.clone().unwrap_or_default();
            assert!(!verdict.equal() && said.contains(why) && said.contains(table), "{verdict:?}");
        }
        stop(mirror).await;
    })
    .await;
}

/// Changes rows back and forth, so that a row is often what it was before.
async fn toggle(f: &Fixture, until: Arc<AtomicBool>, done: Arc<AtomicU64>, seed: u64) {
    let mut conn = f.server.admin(&f.database).await;
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    while !until.load(Ordering::Relaxed) {
        let id = random.random_range(0..300);
        let statement = match random.random_range(0..6) {
            0 => format!("DELETE FROM plain WHERE id = {id}"),
            1 => format!("REPLACE INTO plain VALUES ({id}, 'a', {id})"),
            2 => format!("UPDATE pair SET v = 1 - v WHERE a = {id}"),
            3 => format!("UPDATE plain SET w = -w WHERE id BETWEEN {id} AND {id} + 20"),
            4 => format!("INSERT INTO nokey VALUES (NULL, '{id}')"),
            _ => format!("UPDATE plain SET v = IF(v = 'a', 'b', 'a') WHERE id = {id}"),
        };
        run(&mut conn, &[&statement]).await;
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_change_meanwhile_are_no_differences_and_real_ones_are_still_found() {
    let seed = seed();
    both("verify_load", async |mut f| {
        f.sql(&[TABLES[0], TABLES[2], "CREATE TABLE nokey (a INT, b VARCHAR(10))"]).await;
        let pairs: Vec<String> = (0..300).map(|i| format!("({i}, {}, 'x')", i % 2)).collect();
        f.sql(&[&format!("INSERT INTO pair VALUES {}", pairs.join(", "))]).await;
        f.sql(&["INSERT INTO plain VALUES (1000, 'still', 0)"]).await;
        let mut config = f.config();
        config.sink.foreign_writes = ForeignWrites::Warn;
        let mirror = start(config.clone()).await;
        caught_up(&mirror).await;
        let (until, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writing = async {
            toggle(&f, Arc::clone(&until), Arc::clone(&done), seed).await;
        };
        let comparing = async {
            for _ in 0..2 {
                let before = done.load(Ordering::Relaxed);
                let report = verified(&config, &all()).await;
                for table in &report.tables {
                    assert!(table.different == 0 && table.differences.is_empty(), "a false difference: {table:?}");
                }
                assert!(done.load(Ordering::Relaxed) > before + 20, "nothing was written meanwhile");
            }
            let plain = other_writer::schema(&f, "plain", &[("id", INT), ("v", TEXT), ("w", INT)], &[0]);
            other_writer::write(&f.table("plain").await, &plain, &[(Op::Update, row(&["1000", "moved", "0"]))]).await;
            let report = verified(&config, &all()).await;
            let plain = verdict(&report, &f, "plain");
            let shown: Vec<String> = plain.differences.iter().map(ToString::to_string).collect();
            assert_eq!(shown, ["id=1000\n  v: source still, mirror moved"]);
            assert_eq!(plain.differences[0].kind, DifferenceKind::Values);
            until.store(true, Ordering::Relaxed);
        };
        tokio::join!(writing, comparing);
        f.sql(&["UPDATE plain SET v = 'again' WHERE id = 1000"]).await;
        tokio::time::timeout(Duration::from_secs(60), mirror.caught_up()).await.unwrap().unwrap();
        let report = verified(&config, &all()).await;
        assert!(report.equal(), "at rest: {report:?}");
        stop(mirror).await;
    })
    .await;
}
