//! Which changes of a column's type leave the values of old rows alone. What is expected was seen on MySQL 9.7 and MariaDB
//! 10.11; `tests/ddl.rs` looks at it again on the servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
use super::tests::{alter, strict, table};
use super::*;
use cdc_core::Generated;

const STAYS: AlterClass = AlterClass::MetadataOnly;
const CHANGES: AlterClass = AlterClass::RowsChanged;

fn class(old: &str, new: &str, dialect: Dialect) -> AlterClass {
    let columns = [("id", "int", false), ("c", old, true)];
    alter(&format!("ALTER TABLE products MODIFY c {new}"), &table(&columns, &[0]), dialect).class
}

fn mariadb() -> Dialect {
    Dialect { mariadb: true, ..strict() }
}

#[test]
fn blanks_at_the_end_are_part_of_a_text_unless_it_is_a_char() {
    for (old, new, expected) in [
        ("varchar(4)", "CHAR(4)", CHANGES),
        ("tinytext", "CHAR(255)", CHANGES),
        ("char(4)", "CHAR(5) CHARACTER SET utf16", STAYS),
        ("char(4)", "VARCHAR(4)", STAYS),
        ("char(4)", "TEXT", STAYS),
        ("varbinary(4)", "BINARY(4)", CHANGES),
        ("binary(4)", "VARBINARY(4)", STAYS),
        ("binary(4)", "BLOB", STAYS),
    ] {
        assert_eq!(class(old, new, strict()), expected, "{old} to {new}");
    }
    let padded = Dialect { padded_char: true, ..strict() };
    assert_eq!(class("char(4)", "VARCHAR(4)", padded), CHANGES);
    assert_eq!(class("char(4)", "CHAR(5)", padded), STAYS);
}

#[test]
fn numbers_that_are_rounded_or_cut_change() {
    for (old, new, expected) in [
        ("float(7,3)", "DOUBLE(7,3)", CHANGES),
        ("float(7,3)", "DOUBLE", STAYS),
        ("float(7,3)", "FLOAT", STAYS),
        ("double", "DOUBLE(7,3)", CHANGES),
        ("decimal(10,2)", "DECIMAL(12,2) UNSIGNED", CHANGES),
        ("decimal(10,2)", "DECIMAL(12,2)", STAYS),
        ("int", "INT(8) ZEROFILL", CHANGES),
        ("int unsigned", "INT(8) ZEROFILL", STAYS),
        ("vector(3)", "VECTOR(2)", CHANGES),
        ("vector(3)", "VECTOR", STAYS),
        ("json", "LONGTEXT", CHANGES),
    ] {
        assert_eq!(class(old, new, strict()), expected, "{old} to {new}");
    }
    let year = |old: &str, new: &str| {
        let mut schema = table(&[("id", "int", false), ("c", "year", true)], &[0]);
        schema.columns[1].native = crate::types::parse_column_type(old, None, None, mariadb()).unwrap().native;
        alter(&format!("ALTER TABLE products MODIFY c {new}"), &schema, mariadb()).class
    };
    assert_eq!(year("year(4)", "YEAR"), STAYS);
    assert_eq!(year("year(4)", "YEAR(2)"), CHANGES);
    assert_eq!(year("year(2)", "YEAR(4)"), CHANGES);
}

#[test]
fn a_timestamp_depends_on_the_server_that_changes_it() {
    // 01:30 UTC of 2024-10-27 is 00:30 after an ALTER in a session of Berlin.
    assert_eq!(class("timestamp", "TIMESTAMP(3) NULL", strict()), CHANGES);
    assert_eq!(class("timestamp", "TIMESTAMP(3) NULL", mariadb()), STAYS);
    // NULL becomes the current time, strict or not; MySQL refuses.
    assert_eq!(class("timestamp", "TIMESTAMP NOT NULL", mariadb()), CHANGES);
    assert_eq!(class("timestamp", "TIMESTAMP NOT NULL", strict()), STAYS);
}

#[test]
fn enum_values_that_a_new_collation_takes_for_one_change_outside_of_strict_mode() {
    let loose = Dialect { mariadb: true, ..Dialect::default() };
    for (old, new, expected) in [
        ("enum('a','A')", "ENUM('a','A','b') COLLATE utf8mb4_general_ci", CHANGES),
        ("enum('e','é')", "ENUM('e','é','b')", CHANGES),
        ("set('a','A')", "SET('a','A','b')", CHANGES),
        ("enum('new','paid')", "ENUM('new','paid','sent')", STAYS),
    ] {
        assert_eq!(class(old, new, loose), expected, "{old} to {new}");
        assert_eq!(class(old, new, mariadb()), STAYS, "{old} to {new}: refused if two are one");
    }
}

#[test]
fn what_is_computed_from_a_column_may_change_with_it() {
    let columns = [("id", "int", false), ("a", "int", true), ("d", "datetime", true), ("g", "int", true)];
    let mut schema = table(&columns, &[0]);
    schema.columns[3].generated = Some(Generated::Stored);
    for (clause, expected) in [
        // The expression of before is not known.
        ("MODIFY g INT AS (a + 2) STORED", CHANGES),
        ("MODIFY g INT", CHANGES),
        // AS (LENGTH(d)), say.
        ("MODIFY d DATETIME(3)", CHANGES),
        ("MODIFY a BIGINT", STAYS),
        ("MODIFY a INT NOT NULL", STAYS),
        ("RENAME COLUMN a TO b", STAYS),
    ] {
        let a = alter(&format!("ALTER TABLE products {clause}"), &schema, strict());
        assert_eq!(a.class, expected, "{clause}: {:?}", a.reasons);
    }
}
