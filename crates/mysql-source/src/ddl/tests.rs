#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
use super::*;
use crate::types::parse_column_type;
use cdc_core::{Column, TableId, TableSchema, Value};

pub(super) fn table(columns: &[(&str, &str, bool)], key: &[usize]) -> TableSchema {
    let columns: Vec<Column> = columns
        .iter()
        .zip(1..)
        .map(|(&(name, declaration, nullable), field_id)| {
            let t = parse_column_type(declaration, Some("utf8mb4"), None, Dialect::default()).unwrap();
            Column {
                field_id,
                name: name.into(),
                logical_type: t.logical,
                nullable,
                default: nullable.then_some(Value::Null),
                default_expression: None,
                auto_increment: false,
                generated: None,
                comment: None,
                native: t.native,
            }
        })
        .collect();
    let last_field_id = columns.len() as i32;
    let table = TableId::new("inventory", "products");
    TableSchema { table, version: 7, columns, key: key.to_vec(), last_field_id, comment: None, charset: Some("utf8mb4".into()) }
}

pub(super) fn products() -> TableSchema {
    let columns = [
        ("id", "int", false),
        ("name", "varchar(255)", false),
        ("description", "varchar(512)", true),
        ("weight", "float", true),
        ("price", "decimal(10,2)", false),
        ("status", "enum('new','paid')", false),
        ("made", "datetime(3)", true),
        ("code", "binary(4)", true),
        ("n", "bigint unsigned", true),
    ];
    table(&columns, &[0])
}

pub(super) fn alter(sql: &str, schema: &TableSchema, dialect: Dialect) -> Alteration {
    match parse_statement(sql, "inventory", dialect) {
        Statement::AlterTable(alter) => {
            assert_eq!(alter.table, schema.table, "{sql}");
            alter.classify(schema)
        }
        other => panic!("{sql}: {other:?}"),
    }
}

pub(super) fn strict() -> Dialect {
    Dialect { strict: true, ..Dialect::default() }
}

/// The columns as `name:field id`.
fn names(schema: &TableSchema) -> String {
    schema.columns.iter().map(|c| format!("{}:{}", c.name, c.field_id)).collect::<Vec<_>>().join(" ")
}

const BEFORE: &str = "id:1 name:2 description:3 weight:4 price:5 status:6 made:7 code:8 n:9";

#[test]
fn changes_of_metadata_alone_give_the_next_schema() {
    for (clauses, expected) in [
        ("ADD COLUMN x TEXT DEFAULT NULL", &format!("{BEFORE} x:10")[..]),
        (
            "ADD x VARCHAR(16) CHARACTER SET latin1 NULL AFTER name",
            "id:1 name:2 x:10 description:3 weight:4 price:5 status:6 made:7 code:8 n:9",
        ),
        ("ADD COLUMN (x BOOLEAN, y DATETIME(6) DEFAULT NULL)", &format!("{BEFORE} x:10 y:11")),
        (
            "ADD x INT FIRST, ADD y JSON AFTER x",
            "x:10 y:11 id:1 name:2 description:3 weight:4 price:5 status:6 made:7 code:8 n:9",
        ),
        ("ADD COLUMN `odd ``name` DECIMAL(10,2) COMMENT 'it''s; a, \"comment\"'", &format!("{BEFORE} odd `name:10")),
        ("ADD COLUMN x INT UNIQUE CHECK (x > 0), ALGORITHM=INSTANT, LOCK=NONE", &format!("{BEFORE} x:10")),
        ("ADD COLUMN x INT REFERENCES other (id) ON DELETE SET NULL ON UPDATE CASCADE", &format!("{BEFORE} x:10")),
        ("DROP COLUMN description", "id:1 name:2 weight:4 price:5 status:6 made:7 code:8 n:9"),
        ("DROP description, DROP weight", "id:1 name:2 price:5 status:6 made:7 code:8 n:9"),
        ("DROP COLUMN weight, ADD COLUMN weight INT", "id:1 name:2 description:3 price:5 status:6 made:7 code:8 n:9 weight:10"),
        ("RENAME COLUMN description TO descr", "id:1 name:2 descr:3 weight:4 price:5 status:6 made:7 code:8 n:9"),
        (
            "CHANGE COLUMN weight weight_kg DOUBLE NULL",
            "id:1 name:2 description:3 weight_kg:4 price:5 status:6 made:7 code:8 n:9",
        ),
        ("MODIFY name VARCHAR(300) NOT NULL FIRST", "name:2 id:1 description:3 weight:4 price:5 status:6 made:7 code:8 n:9"),
        ("MODIFY id BIGINT NOT NULL AFTER name", "name:2 id:1 description:3 weight:4 price:5 status:6 made:7 code:8 n:9"),
        ("MODIFY description TEXT", BEFORE),
        ("MODIFY price DECIMAL(14,2) NOT NULL", BEFORE),
        ("MODIFY status ENUM('new','paid','shipped') NOT NULL DEFAULT 'new'", BEFORE),
        ("MODIFY made DATETIME(6)", BEFORE),
        ("MODIFY COLUMN name VARCHAR(255) NULL", BEFORE),
        ("ALTER COLUMN name SET DEFAULT 'x'", BEFORE),
        ("COMMENT='x'", BEFORE),
    ] {
        let sql = format!("ALTER TABLE products {clauses}");
        let a = alter(&sql, &products(), strict());
        assert_eq!((a.class, &a.reasons[..]), (AlterClass::MetadataOnly, &[][..]), "{sql}");
        let schema = a.schema.unwrap_or_else(|| panic!("{sql}: no schema"));
        assert_eq!(names(&schema), expected, "{sql}");
        assert_eq!(schema.version, 8);
        assert_eq!(schema.key_columns().map(|c| c.field_id).collect::<Vec<_>>(), [1], "{sql}");
        assert_eq!(schema.last_field_id, schema.columns.iter().map(|c| c.field_id).max().unwrap().max(9), "{sql}");
    }
}

#[test]
fn a_new_column_is_all_that_its_definition_says() {
    let sql = "ALTER TABLE products ADD COLUMN x VARCHAR(16) CHARACTER SET latin1 COLLATE latin1_bin NULL DEFAULT NULL COMMENT 'c' AFTER id";
    let schema = alter(sql, &products(), strict()).schema.unwrap();
    let x = &schema.columns[1];
    assert_eq!((x.native.declaration.as_str(), x.native.charset.as_deref()), ("varchar(16)", Some("latin1")));
    assert_eq!((x.native.collation.as_deref(), x.comment.as_deref()), (Some("latin1_bin"), Some("c")));
    assert_eq!((x.nullable, &x.default), (true, &Some(Value::Null)));
}

#[test]
fn statements_without_effect_on_columns_give_no_schema() {
    for clauses in [
        "ADD INDEX i (name)",
        "ADD UNIQUE KEY u (name)",
        "ADD FULLTEXT KEY (description) WITH PARSER ngram",
        "ADD CONSTRAINT fk FOREIGN KEY (n) REFERENCES other.t (id) ON DELETE CASCADE",
        "ADD CONSTRAINT c CHECK (price > 0) NOT ENFORCED",
        "DROP FOREIGN KEY fk",
        "RENAME INDEX a TO b",
        "ALTER INDEX i INVISIBLE",
        "AUTO_INCREMENT = 101",
        "ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
        "ENGINE InnoDB, FORCE",
        "ENGINE = 'Aria'",
        "DISABLE KEYS",
        "ORDER BY name, id DESC",
        "ADD PARTITION (PARTITION p3 VALUES LESS THAN (2030))",
        "PARTITION BY HASH (id) PARTITIONS 4",
        "REORGANIZE PARTITION p1 INTO (PARTITION a VALUES LESS THAN (5))",
        "DROP PRIMARY KEY, ADD PRIMARY KEY (id)",
        "ADD COLUMN IF NOT EXISTS name INT",
        "DROP COLUMN IF EXISTS nothing",
        "RENAME TO other.products2",
    ] {
        let sql = format!("ALTER TABLE inventory.products {clauses}");
        let a = alter(&sql, &products(), strict());
        assert_eq!((a.class, a.schema), (AlterClass::MetadataOnly, None), "{sql} {:?}", a.reasons);
    }
}

#[test]
fn constants_in_old_rows_are_told() {
    for (definition, expected) in [
        ("INT NOT NULL DEFAULT 5", Value::Int(5)),
        ("INT DEFAULT 3", Value::Int(3)),
        ("INT NOT NULL", Value::Int(0)),
        ("VARCHAR(16) NOT NULL DEFAULT 'it''s' AFTER name", Value::String("it's".into())),
        ("VARCHAR(16) NOT NULL", Value::String(String::new())),
        ("BOOLEAN DEFAULT TRUE", Value::Int(1)),
        ("ENUM('a','b') NOT NULL", Value::String("a".into())),
        ("DECIMAL(5,2) DEFAULT -1.5", Value::Decimal("-1.50".into())),
        ("DATETIME DEFAULT '2020-01-02'", Value::Int(18_263 * 86_400_000_000)),
        ("BIT(3) DEFAULT b'101'", Value::Bytes(vec![5])),
    ] {
        let a = alter(&format!("ALTER TABLE products ADD COLUMN x {definition}"), &products(), strict());
        assert_eq!((a.class, a.constants), (AlterClass::ConstantDefault, vec![(10, expected)]), "{definition}");
        assert!(a.schema.is_some() && a.reasons.len() == 1);
    }
}

#[test]
fn what_changes_rows_behind_the_log_is_told_with_its_reason() {
    for (clauses, reason) in [
        ("MODIFY description VARCHAR(10)", "varchar(512) to varchar(10)"),
        ("MODIFY price DECIMAL(14,4) NOT NULL", "decimal(10,2) to decimal(14,4)"),
        ("MODIFY price DOUBLE NOT NULL", "to double"),
        ("MODIFY id INT UNSIGNED NOT NULL", "to int unsigned"),
        ("MODIFY weight FLOAT(7,3)", "float(7,3)"),
        ("MODIFY status ENUM('paid','new') NOT NULL", "enum"),
        ("MODIFY made DATE", "to date"),
        ("MODIFY made DATETIME", "datetime(3) to datetime"),
        ("MODIFY code BINARY(5)", "binary(4) to binary(5)"),
        ("MODIFY description VARCHAR(512) CHARACTER SET latin1", "varchar(512)"),
        ("MODIFY description TINYTEXT", "tinytext"),
        ("ADD x CHAR(36) DEFAULT (UUID())", "(UUID())"),
        ("ADD x DATETIME DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
        ("ADD x TIMESTAMP(6) NOT NULL DEFAULT now(6)", "now(6)"),
        ("ADD x TIMESTAMP DEFAULT '2020-01-01'", "x"),
        ("ADD x DATE NOT NULL", "x"),
        ("ADD x INT GENERATED ALWAYS AS (id + 1) STORED", "computed"),
        ("ADD x INT AS (id + 1)", "computed"),
        ("ADD x SERIAL", "numbers"),
        ("ADD COLUMN x INT PRIMARY KEY", "primary key"),
        ("DROP PARTITION p0", "partition"),
        ("TRUNCATE PARTITION ALL", "partition"),
        ("EXCHANGE PARTITION p WITH TABLE t", "partition"),
        ("ALGORITHM=INPLACE, EXCHANGE PARTITION p WITH TABLE t WITHOUT VALIDATION", "partition"),
        ("REORGANIZE PARTITION p INTO (PARTITION p VALUES IN (1), PARTITION q VALUES IN (2))", "no partition"),
        ("ENGINE=BLACKHOLE", "engine"),
        ("UNION=(a, b)", "elsewhere"),
        ("CONVERT TO CHARACTER SET latin1 COLLATE latin1_bin", "latin1"),
        ("DROP PRIMARY KEY", "primary key"),
        ("DROP PRIMARY KEY, ADD PRIMARY KEY (id, name)", "primary key"),
        ("DROP COLUMN id", "part of the key"),
        ("IMPORT TABLESPACE", "file"),
        ("ADD COLUMN y TEXT, MODIFY made DATE", "to date"),
    ] {
        let sql = format!("ALTER TABLE products {clauses}");
        let a = alter(&sql, &products(), strict());
        assert_eq!((a.class, &a.schema), (AlterClass::RowsChanged, &None), "{sql}");
        assert!(a.reasons.iter().any(|r| r.contains(reason)), "{sql}: {:?}", a.reasons);
    }
}

#[test]
fn not_null_outside_of_strict_mode_changes_rows() {
    let sql = "ALTER TABLE products MODIFY description VARCHAR(512) NOT NULL";
    assert_eq!(alter(sql, &products(), strict()).class, AlterClass::MetadataOnly);
    assert_eq!(alter(sql, &products(), Dialect::default()).class, AlterClass::RowsChanged);
}

#[test]
fn a_timestamp_is_not_null_with_the_current_time_where_defaults_are_not_explicit() {
    let sql = "ALTER TABLE products ADD x TIMESTAMP";
    assert_eq!(alter(sql, &products(), strict()).class, AlterClass::MetadataOnly);
    let implicit = Dialect { explicit_timestamps: false, ..strict() };
    assert_eq!(alter(sql, &products(), implicit).class, AlterClass::RowsChanged);
}

#[test]
fn what_is_not_understood_is_said_not_guessed() {
    for clauses in [
        "FROBNICATE",
        "ADD COLUMN x HOLOGRAM",
        "ADD COLUMN x VARCHAR(5) CHARACTER SET swe7",
        "ADD COLUMN",
        "MODIFY nothing INT",
        "DROP COLUMN nothing",
        "ADD COLUMN name INT",
        "RENAME COLUMN name TO price",
        "ADD COLUMN x INT AFTER nothing",
        "ADD SYSTEM VERSIONING",
        "ADD COLUMN x INT (",
    ] {
        let sql = format!("ALTER TABLE products {clauses}");
        let a = alter(&sql, &products(), strict());
        assert_eq!((a.class, &a.schema), (AlterClass::Unknown, &None), "{sql}");
        assert!(!a.reasons.is_empty());
    }
}

#[test]
fn indexes_count_where_they_are_or_may_be_the_key() {
    let keyless = table(&[("a", "int", false), ("b", "int", true)], &[]);
    let class = |sql: &str| {
        let a = alter(sql, &keyless, strict());
        (a.class, a.dropped_indexes)
    };
    assert_eq!(class("ALTER TABLE products ADD UNIQUE (b)").0, AlterClass::MetadataOnly);
    assert_eq!(class("ALTER TABLE products ADD UNIQUE (a)").0, AlterClass::RowsChanged);
    assert_eq!(class("CREATE UNIQUE INDEX u ON products (a)").0, AlterClass::RowsChanged);
    assert_eq!(class("CREATE UNIQUE INDEX u USING BTREE ON products (a(3))").0, AlterClass::MetadataOnly);
    assert_eq!(class("CREATE INDEX i ON inventory.products (a DESC, (b + 1))").0, AlterClass::MetadataOnly);
    assert_eq!(class("ALTER TABLE products ADD PRIMARY KEY (a)").0, AlterClass::RowsChanged);
    assert_eq!(class("DROP INDEX u ON products"), (AlterClass::MetadataOnly, vec!["u".to_owned()]));
    let replaced = class("CREATE OR REPLACE UNIQUE INDEX u ON products (b)");
    assert_eq!(replaced, (AlterClass::MetadataOnly, vec!["u".to_owned()]), "it may have been the key");
    assert_eq!(class("ALTER TABLE products MODIFY a INT NOT NULL UNIQUE").0, AlterClass::RowsChanged);
    let keyed = alter("DROP INDEX `PRIMARY` ON products", &products(), strict());
    assert_eq!(keyed.class, AlterClass::RowsChanged);
}

#[test]
fn statements_are_told_apart() {
    let t = |table: &str| TableId::new("inventory", table);
    let other = |table: &str| TableId::new("other", table);
    for (sql, expected) in [
        ("BEGIN", Statement::Begin),
        ("START TRANSACTION", Statement::Begin),
        ("COMMIT", Statement::Commit),
        ("ROLLBACK", Statement::Rollback),
        ("ROLLBACK TO `s1`", Statement::RollbackTo("s1".into())),
        ("ROLLBACK WORK TO SAVEPOINT s", Statement::RollbackTo("s".into())),
        ("SAVEPOINT `s 1`", Statement::Savepoint("s 1".into())),
        ("RELEASE SAVEPOINT s", Statement::ReleaseSavepoint),
        ("XA END X'31'", Statement::Xa),
        ("TRUNCATE TABLE no_pk", Statement::Truncate(t("no_pk"))),
        ("truncate other.`no pk`", Statement::Truncate(other("no pk"))),
        ("DROP TABLE `a`,`other`.`b` /* generated by server */", Statement::DropTables(vec![t("a"), other("b")])),
        ("DROP TABLE IF EXISTS `a` /* generated by server */", Statement::DropTables(vec![t("a")])),
        ("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `tmp`", Statement::Irrelevant),
        ("DROP TEMPORARY TABLE tmp", Statement::Irrelevant),
        ("CREATE TEMPORARY TABLE tmp (id INT)", Statement::Irrelevant),
        (
            "RENAME TABLE a TO tmp, b TO a, tmp TO other.b",
            Statement::RenameTables(vec![(t("a"), t("tmp")), (t("b"), t("a")), (t("tmp"), other("b"))]),
        ),
        ("CREATE TABLE `t-1` (id INT)", Statement::CreateTable { table: t("t-1"), if_not_exists: false, or_replace: false }),
        (
            "create table if not exists other.t LIKE x",
            Statement::CreateTable { table: other("t"), if_not_exists: true, or_replace: false },
        ),
        ("CREATE OR REPLACE TABLE t (id INT)", Statement::CreateTable { table: t("t"), if_not_exists: false, or_replace: true }),
        ("CREATE DATABASE otherdb", Statement::CreateDatabase("otherdb".into())),
        ("DROP DATABASE IF EXISTS otherdb", Statement::DropDatabase("otherdb".into())),
        ("ALTER DATABASE inventory CHARACTER SET utf8mb4", Statement::AlterDatabase("inventory".into())),
        ("ALTER DATABASE CHARACTER SET utf8mb4", Statement::AlterDatabase("inventory".into())),
        ("FLUSH TABLES", Statement::Irrelevant),
        ("CREATE VIEW v AS SELECT 'ALTER TABLE x'", Statement::Irrelevant),
        ("CREATE OR REPLACE VIEW v2 AS SELECT * FROM a", Statement::Irrelevant),
        ("CREATE DEFINER=`root`@`localhost` PROCEDURE p1() SELECT 1", Statement::Irrelevant),
        ("CREATE TRIGGER trg BEFORE INSERT ON a FOR EACH ROW SET NEW.v=1", Statement::Irrelevant),
        ("ALTER USER u IDENTIFIED BY 'x'", Statement::Irrelevant),
        ("GRANT SELECT ON *.* TO u", Statement::Irrelevant),
        ("ANALYZE TABLE a", Statement::Irrelevant),
        ("SET PASSWORD FOR u = 'x'", Statement::Irrelevant),
        ("# Dummy event replacing event type 163 that slave cannot handle.", Statement::Irrelevant),
        ("OPTIMIZE TABLE a", Statement::Irrelevant),
        ("REPAIR TABLE a", Statement::Irrelevant),
        ("", Statement::Irrelevant),
        ("INSERT INTO a VALUES (1)", Statement::Data),
        ("REPLACE INTO a VALUES (1)", Statement::Data),
        ("WITH x AS (SELECT 1 AS i) UPDATE a, x SET v = 5 WHERE id = x.i", Statement::Data),
        ("WITH x AS (SELECT 1 AS i) DELETE a FROM a, x WHERE id = x.i", Statement::Data),
        ("SELECT `inventory`.`f`(79)", Statement::Function),
        ("TRUNCATE TABLE inventory.2024_orders", Statement::Truncate(t("2024_orders"))),
        ("TRUNCATE TABLE inventory . 2024_orders", Statement::Truncate(t("2024_orders"))),
        ("TRUNCATE a WAIT 5;", Statement::Truncate(t("a"))),
        ("TRUNCATE TABLE .a DROP STORAGE", Statement::Truncate(t("a"))),
        ("DROP TABLE other.1e5, 2e RESTRICT", Statement::DropTables(vec![other("1e5"), t("2e")])),
        (
            "SET STATEMENT lock_wait_timeout = LENGTH(SUBSTRING('x' FROM 1 FOR 1)) FOR TRUNCATE other.a",
            Statement::Truncate(other("a")),
        ),
        ("RENAME TABLE a WAIT 4 TO 1a, 1a NOWAIT TO b", Statement::RenameTables(vec![(t("a"), t("1a")), (t("1a"), t("b"))])),
        ("/* hint */ UPDATE a SET b = 1", Statement::Data),
    ] {
        assert_eq!(parse_statement(sql, "inventory", Dialect::default()), expected, "{sql}");
    }
    for unreadable in ["DROP TABLE", "DROP TABLE a b", "TRUNCATE TABLE a.b.c", "RENAME TABLE a TO b c"] {
        let statement = parse_statement(unreadable, "inventory", Dialect::default());
        assert!(matches!(statement, Statement::Unreadable { .. }), "{unreadable}: {statement:?}");
    }
    let quoted = Dialect { ansi_quotes: true, ..Dialect::default() };
    assert_eq!(parse_statement("TRUNCATE \"a\"", "inventory", quoted), Statement::Truncate(t("a")));
}

#[test]
fn a_rename_is_seen_whatever_else_the_statement_holds() {
    let maria = Dialect { mariadb: true, ..Dialect::default() };
    for (sql, dialect) in [
        ("ALTER TABLE a RENAME TO b", Dialect::default()),
        ("ALTER TABLE a ADD COLUMN x INT, RENAME b", Dialect::default()),
        ("ALTER TABLE a FROBNICATE, RENAME AS inventory.b", Dialect::default()),
        ("ALTER TABLE inventory.a RENAME TO inventory.b", Dialect::default()),
        ("ALTER TABLE a RENAME COLUMN b TO c, FROBNICATE, RENAME = b", Dialect::default()),
        ("SET STATEMENT max_statement_time=60 FOR ALTER ONLINE TABLE IF EXISTS a WAIT 5 RENAME TO b", maria),
    ] {
        let Statement::AlterTable(alter) = parse_statement(sql, "inventory", dialect) else { panic!("{sql}") };
        assert_eq!(
            (alter.table, alter.renamed_to),
            (TableId::new("inventory", "a"), Some(TableId::new("inventory", "b"))),
            "{sql}"
        );
    }
}

#[test]
fn the_other_table_of_a_partition_that_moves_is_named() {
    let maria = Dialect { mariadb: true, ..strict() };
    // Without a database it is in the session's, not in the partitioned table's.
    let t = |table: &str| TableId::new("elsewhere", table);
    for (clauses, expected) in [
        ("EXCHANGE PARTITION p0 WITH TABLE t2", PartitionMove::Exchange(t("t2"))),
        ("EXCHANGE PARTITION `p 0` WITH TABLE other.2t WITHOUT VALIDATION", PartitionMove::Exchange(TableId::new("other", "2t"))),
        ("CONVERT PARTITION p1 TO TABLE n", PartitionMove::ToTable(t("n"))),
        ("CONVERT TABLE n TO PARTITION p1 VALUES LESS THAN (20) WITH VALIDATION", PartitionMove::FromTable(t("n"))),
    ] {
        let sql = format!("ALTER TABLE inventory.products {clauses}");
        let Statement::AlterTable(alter) = parse_statement(&sql, "elsewhere", maria) else { panic!("{sql}") };
        assert_eq!(
            (&alter.table, alter.partition.as_ref(), &alter.renamed_to),
            (&products().table, Some(&expected), &None),
            "{sql}"
        );
        assert_eq!(alter.classify(&products()).class, AlterClass::RowsChanged, "{sql}");
    }
    // The other table may be any that is named.
    for clauses in ["EXCHANGE PARTITION p0, p1 WITH TABLE t2", "CONVERT PARTITION p0 INTO n", "FROBNICATE, EXCHANGE PARTITION p"]
    {
        let statement = parse_statement(&format!("ALTER TABLE products {clauses}"), "inventory", maria);
        assert!(matches!(statement, Statement::Unreadable { .. }), "{clauses}: {statement:?}");
    }
}

#[test]
fn alter_ignore_may_leave_rows_out() {
    let maria = Dialect { mariadb: true, ..strict() };
    for words in ["IGNORE", "ONLINE IGNORE", "IGNORE ONLINE"] {
        for clause in ["ADD UNIQUE (name)", "ADD CHECK (n > 2)", "PARTITION BY HASH (id)", "MODIFY name VARCHAR(300) NOT NULL"] {
            let a = alter(&format!("ALTER {words} TABLE products {clause}"), &products(), maria);
            assert_eq!(a.class, AlterClass::RowsChanged, "{words} {clause}");
        }
    }
    for words in ["ALTER ONLINE TABLE", "ALTER TABLE IF EXISTS", "SET STATEMENT max_statement_time=5 FOR ALTER TABLE"] {
        let a = alter(&format!("{words} products ADD UNIQUE (description)"), &products(), maria);
        assert_eq!(a.class, AlterClass::MetadataOnly, "{words}");
    }
}

#[test]
fn a_new_name_without_a_database_is_in_that_of_the_session() {
    for clauses in ["RENAME TO b", "FROBNICATE, RENAME b"] {
        let sql = format!("ALTER TABLE inventory.a {clauses}");
        let Statement::AlterTable(alter) = parse_statement(&sql, "session", Dialect::default()) else { panic!("{sql}") };
        assert_eq!(alter.renamed_to, Some(TableId::new("session", "b")), "{sql}");
    }
}

/// Every ALTER of the recorded scenarios, as the goldens play them, one after the other.
#[test]
fn the_recorded_alters_of_products_are_followed_until_one_changes_rows() {
    let mut schema = table(
        &[
            ("id", "int", false),
            ("name", "varchar(255)", false),
            ("description", "varchar(512)", true),
            ("weight", "float", true),
            ("price", "decimal(10,2)", false),
        ],
        &[0],
    );
    for (sql, class) in [
        (
            "ALTER TABLE products ADD COLUMN color VARCHAR(16) NOT NULL DEFAULT 'none' AFTER name, ADD COLUMN tags JSON NULL",
            AlterClass::ConstantDefault,
        ),
        ("ALTER TABLE products DROP COLUMN tags", AlterClass::MetadataOnly),
        ("ALTER TABLE products RENAME COLUMN description TO descr", AlterClass::MetadataOnly),
        ("ALTER TABLE products CHANGE COLUMN weight weight_kg DOUBLE NULL", AlterClass::MetadataOnly),
        ("ALTER TABLE products MODIFY COLUMN color VARCHAR(32) NULL FIRST", AlterClass::MetadataOnly),
        ("ALTER TABLE products MODIFY COLUMN price DECIMAL(14,4) NOT NULL", AlterClass::RowsChanged),
    ] {
        let a = alter(sql, &schema, Dialect::default());
        assert_eq!(a.class, class, "{sql}: {:?}", a.reasons);
        if let Some(next) = a.schema {
            schema = next;
        }
    }
    assert_eq!(names(&schema), "color:6 id:1 name:2 descr:3 weight_kg:4 price:5");
    assert_eq!((schema.version, schema.last_field_id, &schema.key[..]), (12, 7, &[1][..]));
}
