//! Every supported type, by the snapshot and by the stream, with NULLs and the ends of its range.

use crate::support::{Fixture, both, caught_up, start, stop, stopped};

/// Declarations and values. `NOW` never appears: what a test writes is what it must find.
const COLUMNS: &[(&str, &[&str])] = &[
    ("TINYINT", &["-128", "0", "127"]),
    ("TINYINT(1)", &["0", "1", "127"]),
    ("TINYINT UNSIGNED", &["0", "128", "255"]),
    ("SMALLINT", &["-32768", "-1", "32767"]),
    ("SMALLINT UNSIGNED", &["0", "32768", "65535"]),
    ("MEDIUMINT", &["-8388608", "-1", "8388607"]),
    ("MEDIUMINT UNSIGNED", &["0", "8388608", "16777215"]),
    ("INT", &["-2147483648", "-1", "2147483647"]),
    ("INT UNSIGNED", &["0", "2147483648", "4294967295"]),
    ("BIGINT", &["-9223372036854775808", "-1", "9223372036854775807"]),
    ("BIGINT UNSIGNED", &["0", "9223372036854775808", "18446744073709551615"]),
    ("DECIMAL(5,2)", &["-999.99", "0", "0.01"]),
    ("DECIMAL(38,10)", &["-9999999999999999999999999999.9999999999", "0.0000000001", "1"]),
    ("DECIMAL(65,30)", &["-99999999999999999999999999999999999.999999999999999999999999999999", "1.5", "0"]),
    ("DECIMAL(10)", &["-9999999999", "7", "0"]),
    ("FLOAT", &["-3.402e38", "1.1", "1.17549e-38"]),
    ("DOUBLE", &["-1.7976931348623157e308", "0.1", "2.2250738585072014e-308"]),
    ("BIT(1)", &["b'0'", "b'1'", "b'0'"]),
    ("BIT(11)", &["b'0'", "b'10000000001'", "b'11111111111'"]),
    ("BIT(64)", &["b'1'", "18446744073709551615", "9223372036854775808"]),
    ("DATE", &["'1000-01-01'", "'1969-12-31'", "'9999-12-31'"]),
    ("TIME", &["'-838:59:59'", "'00:00:00'", "'838:59:59'"]),
    ("TIME(3)", &["'-00:00:00.001'", "'12:34:56.789'", "'-12:34:56.789'"]),
    ("TIME(6)", &["'-838:59:58.999999'", "'00:00:00.000001'", "'23:59:59.999999'"]),
    ("DATETIME", &["'1000-01-01 00:00:00'", "'1969-12-31 23:59:59'", "'9999-12-31 23:59:59'"]),
    ("DATETIME(3)", &["'1000-01-01 00:00:00.001'", "'2024-02-29 12:00:00.5'", "'9999-12-31 23:59:59.999'"]),
    ("DATETIME(6)", &["'1000-01-01 00:00:00.000001'", "'1969-12-31 23:59:59.999999'", "'9999-12-31 23:59:59.999999'"]),
    ("TIMESTAMP", &["'1970-01-01 00:00:01'", "'2024-03-31 02:30:00'", "'2038-01-19 03:14:07'"]),
    ("TIMESTAMP(6)", &["'1970-01-01 00:00:01.000001'", "'2024-10-27 02:30:00.5'", "'2038-01-19 03:14:07.499999'"]),
    ("YEAR", &["1901", "0", "2155"]),
    ("CHAR(10)", &["''", "'  lead'", "'trail  '"]),
    ("VARCHAR(50)", &["''", "'trail  '", "'\\0\\n\\\\\\'\"🦀é'"]),
    ("VARCHAR(50) CHARACTER SET latin1", &["''", "'Äpfel €'", "'ß'"]),
    ("VARCHAR(50) CHARACTER SET utf16", &["''", "'🦀'", "'ä'"]),
    ("TINYTEXT", &["''", "'x'", "'NULL'"]),
    ("MEDIUMTEXT", &["''", "REPEAT('lang ', 20000)", "'x'"]),
    ("LONGTEXT", &["''", "'[1, {}]'", "'x'"]),
    ("BINARY(4)", &["'a'", "x'00'", "x'00ff00ff'"]),
    ("VARBINARY(20)", &["''", "x'00'", "x'ff00c328'"]),
    ("BLOB", &["''", "x'0000'", "REPEAT(x'ff', 5000)"]),
    ("LONGBLOB", &["''", "x'0a0d'", "REPEAT(x'00', 70000)"]),
    ("ENUM('a','b,c','d''e','')", &["'a'", "'b,c'", "''"]),
    ("SET('x','y z','ü')", &["''", "'x,ü'", "'x,y z,ü'"]),
    ("JSON", &["'{}'", "'[1, 2.5, \"ä\", null, {\"b\": 1, \"a\": [true]}]'", "'\"text\"'"]),
    (
        "GEOMETRY",
        &["ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('LINESTRING(2 1, 6 6)')", "ST_GeomFromText('POINT(1 6)', 4326)"],
    ),
    ("POINT", &["ST_GeomFromText('POINT(-1.5 2.25)')", "ST_GeomFromText('POINT(0 0)')", "ST_GeomFromText('POINT(3 4)')"]),
    (
        "POLYGON",
        &[
            "ST_GeomFromText('POLYGON((0 5, 2 5, 2 7, 0 7, 0 5))')",
            "ST_GeomFromText('POLYGON((0 0, 1 0, 1 1, 0 0))')",
            "ST_GeomFromText('POLYGON((0 0, 1 0, 1 1, 0 0))')",
        ],
    ),
];
const MYSQL: &[(&str, &[&str])] =
    &[("VECTOR(3)", &["TO_VECTOR('[1,2,3]')", "TO_VECTOR('[-0.5,1e10,0]')", "TO_VECTOR('[0,0,0]')"])];
const MARIADB: &[(&str, &[&str])] = &[
    (
        "UUID",
        &[
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'00000000-0000-0000-0000-000000000001'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        ],
    ),
    ("INET6", &["'::'", "'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.1'"]),
    ("INET4", &["'0.0.0.0'", "'192.0.2.1'", "'255.255.255.255'"]),
];

fn columns(f: &Fixture) -> Vec<(&'static str, &'static [&'static str])> {
    COLUMNS.iter().chain(if f.server.is_mysql() { MYSQL } else { MARIADB }).copied().collect()
}

/// Statements that make a table with a column of every type and fill it: the values, and a row of NULLs.
pub fn every_type(f: &Fixture, table: &str) -> Vec<String> {
    let columns = columns(f);
    let list: Vec<String> = columns.iter().enumerate().map(|(i, (t, _))| format!("c{i} {t} NULL")).collect();
    let mut statements = vec![format!("CREATE TABLE {table} (id INT PRIMARY KEY, {})", list.join(", "))];
    for nth in 0..3 {
        let values: Vec<&str> = columns.iter().map(|(_, values)| values[nth]).collect();
        statements.push(format!("INSERT INTO {table} VALUES ({}, {})", nth + 1, values.join(", ")));
    }
    statements.push(format!("INSERT INTO {table} (id) VALUES (4)"));
    statements
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_equal_whether_the_snapshot_or_the_stream_brings_it() {
    both("types", async |mut f| {
        let columns = columns(&f);
        for sql in [every_type(&f, "by_snapshot"), every_type(&f, "moved")].concat() {
            f.sql(&[&sql]).await;
        }
        let mirror = f.caught_up_mirror().await;
        f.assert_equal().await;
        for sql in every_type(&f, "by_stream") {
            f.sql(&[&sql]).await;
        }
        // Before and after images, from values to NULL and back.
        f.sql(&["UPDATE moved SET id = id + 10", "DELETE FROM moved WHERE id = 11"]).await;
        let nulls: Vec<String> = (0..columns.len()).map(|i| format!("c{i} = NULL")).collect();
        f.sql(&[&format!("UPDATE moved SET {} WHERE id = 12", nulls.join(", "))]).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        let status = stop(mirror).await;
        assert_eq!(status.stopped().count(), 0, "{status:#?}");
        assert_eq!(f.mirrored("by_snapshot").await, f.mirrored("by_stream").await);
        let empty = &f.mirrored("moved").await[0];
        assert!(empty[0].as_deref() == Some("12") && empty[1..].iter().all(Option::is_none), "{empty:?}");
        f.assert_equal_by_oracle(&[]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_behind_shapes_have_their_own_character_sets() {
    both("shapes", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, p POINT, a VARCHAR(9) CHARACTER SET sjis, g GEOMETRY, b CHAR(9) CHARACTER SET latin1, c TEXT)"])
            .await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&["INSERT INTO t VALUES (1, ST_GeomFromText('POINT(1 2)'), '日本', NULL, 'é', '🦀'), (2, NULL, 'a', NULL, 'b', 'c')"]).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        assert_eq!(stop(mirror).await.stopped().count(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_each_type_as_its_key_is_updated_and_deleted_by_it() {
    both("keys", async |mut f| {
        let usable = |declaration: &str| {
            let not = ["FLOAT", "DOUBLE", "TEXT", "BLOB", "JSON", "GEOMETRY", "POINT", "POLYGON", "VECTOR"];
            !not.iter().any(|n| declaration.contains(n))
        };
        let columns: Vec<_> = columns(&f).into_iter().filter(|(d, values)| usable(d) && values[0] != values[2]).collect();
        for (i, (declaration, values)) in columns.iter().enumerate() {
            f.sql(&[
                &format!("CREATE TABLE k{i} (k {declaration} NOT NULL PRIMARY KEY, v INT)"),
                &format!("INSERT INTO k{i} VALUES ({}, 1), ({}, 2)", values[0], values[1]),
            ])
            .await;
        }
        let mirror = f.caught_up_mirror().await;
        for (i, (_, values)) in columns.iter().enumerate() {
            f.sql(&[
                &format!("UPDATE k{i} SET v = 20 WHERE v = 2"),
                &format!("DELETE FROM k{i} WHERE v = 1"),
                &format!("INSERT INTO k{i} VALUES ({}, 3)", values[2]),
            ])
            .await;
        }
        caught_up(&mirror).await;
        f.assert_equal().await;
        let status = stop(mirror).await;
        assert_eq!(status.stopped().count(), 0, "{status:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_that_no_calendar_has_are_null_or_the_epoch() {
    both("zerodates", async |mut f| {
        f.sql(&[
            "SET sql_mode = ''",
            "CREATE TABLE t (id INT PRIMARY KEY, a DATE NULL, b DATE NOT NULL, c DATETIME NULL, d DATETIME(3) NOT NULL)",
        ])
        .await;
        let row = |id: u32| {
            format!("INSERT INTO t VALUES ({id}, '0000-00-00', '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00')")
        };
        f.sql(&[&row(1)]).await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&[&row(2), "INSERT INTO t VALUES (3, '2024-00-00', '2024-05-00', '2024-00-01 00:00:00', '2024-01-00 12:00:00')"])
            .await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        let rows = f.mirrored("t").await;
        let expected = ["1970-01-01", "1970-01-01 00:00:00.000000"];
        for row in rows {
            assert_eq!(
                (row[1].as_deref(), row[2].as_deref(), row[3].as_deref(), row[4].as_deref()),
                (None, Some(expected[0]), None, Some(expected[1]))
            );
        }
        stop(mirror).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_date_that_no_calendar_has_stops_its_table_before_two_rows_become_one() {
    both("zerokeys", async |mut f| {
        f.sql(&[
            "SET sql_mode = ''",
            "CREATE TABLE there (d DATETIME, n INT, PRIMARY KEY (d, n))",
            "INSERT INTO there VALUES ('0000-00-00 00:00:00', 1), ('1970-01-01 00:00:00', 1)",
            "CREATE TABLE later (d DATE PRIMARY KEY, v INT)",
            "INSERT INTO later VALUES ('1970-01-01', 1)",
            "CREATE TABLE fine (id INT PRIMARY KEY)",
        ])
        .await;
        let mirror = start(f.config()).await;
        let message = stopped(&mirror, &f.name("there")).await;
        assert!(message.contains("the key holds a date that no calendar has"), "{message}");
        f.sql(&["INSERT INTO fine VALUES (1)", "INSERT INTO later VALUES ('2024-00-00', 2)"]).await;
        let message = stopped(&mirror, &f.name("later")).await;
        assert!(message.contains("the key holds a date that no calendar has"), "{message}");
        caught_up(&mirror).await;
        f.assert_equal_except(&["there", "later"]).await;
        assert_eq!(f.mirrored("later").await.len(), 1, "what came before is there");
        stop(mirror).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_cannot_be_had_stops_its_table_alone() {
    let mut f = Fixture::new("mariadb", "notype").await;
    f.sql(&[
        "CREATE TABLE good (id INT PRIMARY KEY)",
        "CREATE TABLE squeezed (id INT PRIMARY KEY, v TEXT COMPRESSED)",
        "INSERT INTO good VALUES (1)",
        "INSERT INTO squeezed VALUES (1, 'x')",
    ])
    .await;
    let mirror = crate::support::start(f.config()).await;
    caught_up(&mirror).await;
    f.sql(&["UPDATE squeezed SET v = REPEAT('y', 1000)", "INSERT INTO good VALUES (2)"]).await;
    caught_up(&mirror).await;
    f.assert_equal_except(&["squeezed"]).await;
    let name = f.name("squeezed");
    let message = crate::support::stopped(&mirror, &name).await;
    assert!(message.contains(&name) && message.contains("COMPRESSED"), "{message}");
    stop(mirror).await;
}
