//! Reading tables' columns and keys from the server.

use crate::connection::{Connection, ServerKind, quoted, text};
use crate::ddl::{DefaultClause, Dialect};
use crate::decode_error::{DecodeError, DecodeResult};
use crate::error::{code, code_of};
use crate::types::{charset_of_collation, parse_column_type};
use crate::value::Literal;
use cdc_core::{Column, Generated, LogicalType, Result, TableId, TableSchema, Value};

/// What the server says of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TableRead {
    /// Its columns; version 1, field ids from 1.
    Schema(TableSchema),
    /// It is there, but has columns that are not supported, or is of a kind that is not.
    Unsupported(Unsupported),
    /// There is no such table (or it is a view, or may not be seen).
    Missing,
}

/// Why a table cannot be mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsupported {
    /// A line for each column, or one.
    pub(crate) why: Vec<String>,
    /// What makes it one that can be.
    pub(crate) way: String,
}

impl Unsupported {
    /// What to do about it.
    pub(crate) fn ways(&self) -> String {
        format!("{}, or leave the table out: table.exclude.list", self.way)
    }
}

/// One row of `information_schema.columns`, as [`COLUMNS`] selects it.
#[derive(Debug, Clone, Default)]
struct ColumnRow {
    name: String,
    declaration: String,
    nullable: bool,
    default: Option<String>,
    extra: String,
    charset: Option<String>,
    collation: Option<String>,
    comment: String,
}

/// One column of an index.
#[derive(Debug, Clone)]
pub(crate) struct IndexRow {
    pub(crate) unique: bool,
    pub(crate) index: String,
    /// `None` for an expression.
    pub(crate) column: Option<String>,
    pub(crate) nullable: bool,
    /// Only the beginning of the column is in the index.
    pub(crate) prefix: bool,
}

const TABLE: &str = "SELECT table_collation, table_comment, table_type FROM information_schema.tables \
                     WHERE table_schema = ? AND table_name = ? AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')";
const COLUMNS: &str = "SELECT column_name, column_type, is_nullable, column_default, extra, character_set_name, collation_name, \
                       column_comment FROM information_schema.columns WHERE table_schema = ? AND table_name = ? \
                       ORDER BY ordinal_position";

/// Reads one table. The three queries do not see one moment: check what comes against the next table map event, or read twice.
pub(crate) async fn read_table(conn: &mut Connection, table: &TableId) -> Result<TableRead> {
    let doing = format!("reading the columns of {table}");
    let names = || (table.database.clone(), table.table.clone());
    let rows = conn.rows_with(&doing, TABLE, names()).await?;
    let Some(row) = rows.first() else { return Ok(TableRead::Missing) };
    if text(row, 2).is_some_and(|kind| kind == "SYSTEM VERSIONED") {
        // Its log has rows of the past as well, and a delete as an update of the row's end.
        let way = format!("ALTER TABLE {}.{} DROP SYSTEM VERSIONING", quoted(&table.database), quoted(&table.table));
        let why = "it is system-versioned, and its history cannot be told from its rows".to_owned();
        return Ok(TableRead::Unsupported(Unsupported { why: vec![why], way }));
    }
    let (collation, comment) = (text(row, 0), text(row, 1).unwrap_or_default());
    let columns: Vec<ColumnRow> = conn
        .rows_with(&doing, COLUMNS, names())
        .await?
        .iter()
        .map(|row| ColumnRow {
            name: text(row, 0).unwrap_or_default(),
            declaration: text(row, 1).unwrap_or_default(),
            nullable: text(row, 2).is_some_and(|n| n.eq_ignore_ascii_case("YES")),
            default: text(row, 3),
            extra: text(row, 4).unwrap_or_default(),
            charset: text(row, 5),
            collation: text(row, 6),
            comment: text(row, 7).unwrap_or_default(),
        })
        .collect();
    let indexes = match read_indexes(conn, table).await {
        Ok(indexes) => indexes,
        // It went away since its columns were read.
        Err(e) if code_of(&e) == Some(code::NO_SUCH_TABLE) => return Ok(TableRead::Missing),
        Err(e) => return Err(e),
    };
    if columns.is_empty() {
        return Ok(TableRead::Missing);
    }
    let dialect = Dialect { mariadb: conn.server.kind == ServerKind::Mariadb, ..Dialect::default() };
    Ok(assemble(table, &columns, &indexes, collation.as_deref(), &comment, dialect))
}

/// The indexes of a table in the server's own order, which information_schema.statistics does not tell.
pub(crate) async fn read_indexes(conn: &mut Connection, table: &TableId) -> Result<Vec<IndexRow>> {
    let doing = format!("reading the indexes of {table}");
    let show = format!("SHOW INDEX FROM {}.{}", quoted(&table.database), quoted(&table.table));
    let rows = conn.rows(&doing, &show).await?;
    let of_row = |row: &mysql_async::Row| IndexRow {
        unique: text(row, 1).is_some_and(|n| n == "0"),
        index: text(row, 2).unwrap_or_default(),
        column: text(row, 4),
        prefix: text(row, 7).is_some(),
        nullable: text(row, 9).is_some_and(|n| n.eq_ignore_ascii_case("YES")),
    };
    Ok(rows.iter().map(of_row).collect())
}

fn assemble(
    table: &TableId,
    columns: &[ColumnRow],
    indexes: &[IndexRow],
    collation: Option<&str>,
    comment: &str,
    dialect: Dialect,
) -> TableRead {
    let mut out = Vec::with_capacity(columns.len());
    let mut unsupported = Vec::new();
    for (row, field_id) in columns.iter().zip(1..) {
        match column(row, field_id, dialect) {
            Ok(column) => out.push(column),
            Err(e) => unsupported.push(format!("{table}.{} {}: {}", row.name, row.declaration, e.message())),
        }
    }
    if !unsupported.is_empty() {
        return TableRead::Unsupported(Unsupported { why: unsupported, way: "change the column's type".to_owned() });
    }
    TableRead::Schema(TableSchema {
        table: table.clone(),
        version: 1,
        key: key(&out, indexes),
        last_field_id: out.last().map_or(0, |c| c.field_id),
        columns: out,
        comment: Some(comment.to_owned()).filter(|c| !c.is_empty()),
        charset: collation.map(charset_of_collation),
    })
}

fn column(row: &ColumnRow, field_id: i32, dialect: Dialect) -> DecodeResult<Column> {
    let column_type = parse_column_type(&row.declaration, row.charset.as_deref(), row.collation.as_deref(), dialect)?;
    let extra = row.extra.to_ascii_uppercase();
    let generated = match () {
        () if extra.contains("VIRTUAL GENERATED") || extra == "VIRTUAL" => Some(Generated::Virtual),
        () if extra.contains("STORED GENERATED") || extra == "PERSISTENT" => Some(Generated::Stored),
        () => None,
    };
    let mut column = Column {
        field_id,
        name: row.name.clone(),
        logical_type: column_type.logical,
        nullable: row.nullable,
        default: None,
        default_expression: None,
        auto_increment: extra.contains("AUTO_INCREMENT"),
        generated,
        comment: Some(row.comment.clone()).filter(|c| !c.is_empty()),
        native: column_type.native,
    };
    if generated.is_none() && !column.auto_increment {
        set_default(&mut column, row, &extra, dialect)?;
    }
    Ok(column)
}

fn set_default(column: &mut Column, row: &ColumnRow, extra: &str, dialect: Dialect) -> DecodeResult<()> {
    let clause = match &row.default {
        None => DefaultClause::Constant(Literal::Null),
        Some(text) if dialect.mariadb => DefaultClause::parse_text(text, dialect),
        Some(text) => mysql_default(text, extra, &column.logical_type),
    };
    match clause {
        DefaultClause::Absent | DefaultClause::Constant(Literal::Null) => {
            column.default = column.nullable.then_some(Value::Null);
        }
        DefaultClause::Constant(literal) => {
            let value = literal.value(&column.logical_type, &column.native);
            column.default = Some(value.ok_or_else(|| {
                DecodeError::invalid(format!("its default {} is not understood", row.default.as_deref().unwrap_or_default()))
            })?);
        }
        DefaultClause::Expression(text) => column.default_expression = Some(text),
    }
    Ok(())
}

/// MySQL prints constants as their bare text, bits as `b'1'`, bytes as `0x61`; expressions are told by `extra` (since 8.0).
fn mysql_default(text: &str, extra: &str, logical: &LogicalType) -> DefaultClause {
    let is_temporal = matches!(logical, LogicalType::Timestamp { .. } | LogicalType::TimestampTz { .. });
    let is_now = is_temporal && text.to_ascii_uppercase().starts_with("CURRENT_TIMESTAMP");
    if extra.contains("DEFAULT_GENERATED") || is_now {
        return DefaultClause::Expression(text.replace("\\'", "'"));
    }
    let literal = match logical {
        LogicalType::Boolean | LogicalType::Bits { .. } => {
            text.strip_prefix("b'").and_then(|t| t.strip_suffix('\'')).and_then(Literal::bits)
        }
        LogicalType::Binary => text.strip_prefix("0x").and_then(Literal::hex),
        _ => None,
    };
    DefaultClause::Constant(literal.unwrap_or_else(|| Literal::Text(text.to_owned())))
}

/// The key's columns as indices into the columns.
fn key(columns: &[Column], indexes: &[IndexRow]) -> Vec<usize> {
    let position = |name: &&str| columns.iter().position(|c| c.name == *name);
    let key: Option<Vec<usize>> =
        key_candidates(indexes).first().map(|key| key.iter().map(position).collect()).unwrap_or_default();
    key.unwrap_or_default()
}

/// The indexes by which rows can be told apart, best first: the primary key, then the unique keys all of whose columns are whole and
/// NOT NULL, in the order of `indexes`.
pub(crate) fn key_candidates(indexes: &[IndexRow]) -> Vec<Vec<&str>> {
    let mut keys: Vec<(&str, Option<Vec<&str>>)> = Vec::new();
    for row in indexes {
        if !keys.iter().any(|(index, _)| *index == row.index) {
            keys.push((&row.index, Some(Vec::new())));
        }
        if let Some((_, key)) = keys.iter_mut().find(|(index, _)| *index == row.index) {
            match &row.column {
                Some(column) if row.unique && !row.prefix && !row.nullable => key.iter_mut().for_each(|key| key.push(column)),
                _ => *key = None,
            }
        }
    }
    keys.sort_by_key(|(index, _)| *index != "PRIMARY");
    keys.into_iter().filter_map(|(_, key)| key).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn row(name: &str, declaration: &str, nullable: bool, default: Option<&str>, extra: &str) -> ColumnRow {
        let charset = (declaration.contains("char") || declaration.contains("enum")).then(|| "utf8mb4".to_owned());
        ColumnRow {
            name: name.into(),
            declaration: declaration.into(),
            nullable,
            default: default.map(str::to_owned),
            extra: extra.into(),
            collation: charset.as_ref().map(|c| format!("{c}_bin")),
            charset,
            comment: String::new(),
        }
    }

    fn index(index: &str, column: Option<&str>, nullable: bool, prefix: bool) -> IndexRow {
        IndexRow { unique: true, index: index.into(), column: column.map(str::to_owned), nullable, prefix }
    }

    fn read(columns: &[ColumnRow], indexes: &[IndexRow], mariadb: bool) -> TableSchema {
        let dialect = Dialect { mariadb, ..Dialect::default() };
        match assemble(&TableId::new("d", "t"), columns, indexes, Some("latin1_swedish_ci"), "", dialect) {
            TableRead::Schema(schema) => schema,
            other => panic!("{other:?}"),
        }
    }

    /// A schema from name, type, nullable, default, extra, character set, collation of each column.
    pub(crate) fn schema_of_rows(table: &TableId, rows: &[[Option<String>; 7]], key: &str, dialect: Dialect) -> TableSchema {
        let columns: Vec<ColumnRow> = rows
            .iter()
            .map(|[name, declaration, nullable, default, extra, charset, collation]| ColumnRow {
                name: name.clone().unwrap(),
                declaration: declaration.clone().unwrap(),
                nullable: nullable.as_deref() == Some("YES"),
                default: default.clone(),
                extra: extra.clone().unwrap(),
                charset: charset.clone(),
                collation: collation.clone(),
                comment: String::new(),
            })
            .collect();
        match assemble(table, &columns, &[index("PRIMARY", Some(key), false, false)], None, "", dialect) {
            TableRead::Schema(schema) => schema,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_key_is_the_primary_key_else_the_first_whole_unique_key_without_nulls() {
        let columns = ["a", "b", "c"].map(|n| row(n, "int", n == "c", None, ""));
        let unique_c = index("u0", Some("c"), true, false);
        let prefix_a = index("u1", Some("a"), false, true);
        let expression = index("u2", None, false, false);
        let unique_ba = [index("u3", Some("b"), false, false), index("u3", Some("a"), false, false)];
        let primary = index("PRIMARY", Some("a"), false, false);
        let none = [unique_c.clone(), prefix_a.clone(), expression.clone()];
        assert_eq!(read(&columns, &none, false).key, Vec::<usize>::new());
        assert_eq!(read(&columns, &[&none[..], &unique_ba[..]].concat(), false).key, vec![1, 0]);
        assert_eq!(read(&columns, &[&unique_ba[..], &[primary]].concat(), false).key, vec![0]);
        assert_eq!(read(&columns, &none, false).charset.as_deref(), Some("latin1"));
    }

    #[test]
    fn defaults_are_values_whichever_way_the_server_prints_them() {
        let of = |declaration: &str, nullable: bool, default: Option<&str>, extra: &str, mariadb: bool| {
            let schema = read(&[row("x", declaration, nullable, default, extra)], &[], mariadb);
            (schema.columns[0].default.clone(), schema.columns[0].default_expression.clone())
        };
        let string = |s: &str| (Some(Value::String(s.into())), None);
        let expression = |s: &str| (None, Some(s.to_owned()));
        for (declaration, mysql, mariadb, expected) in [
            ("varchar(20)", "it's", "'it''s'", string("it's")),
            ("varchar(20)", "", "''", string("")),
            ("int", "-5", "-5", (Some(Value::Int(-5)), None)),
            ("bigint unsigned", "18446744073709551615", "18446744073709551615", (Some(Value::UInt(u64::MAX)), None)),
            ("bit(8)", "b'10000001'", "b'10000001'", (Some(Value::Bytes(vec![0x81])), None)),
            ("binary(4)", "0x6162", r"'ab\0\0'", (Some(Value::Bytes(b"ab\0\0".to_vec())), None)),
            ("decimal(10,3)", "1.500", "1.500", (Some(Value::Decimal("1.500".into())), None)),
            ("date", "2020-01-02", "'2020-01-02'", (Some(Value::Int(18_263)), None)),
            ("enum('a','b')", "b", "'b'", string("b")),
        ] {
            assert_eq!(of(declaration, true, Some(mysql), "", false), expected, "MySQL {declaration}");
            assert_eq!(of(declaration, true, Some(mariadb), "", true), expected, "MariaDB {declaration}");
        }
        assert_eq!(of("int", true, None, "", false), (Some(Value::Null), None));
        assert_eq!(of("int", true, Some("NULL"), "", true), (Some(Value::Null), None));
        assert_eq!(of("int", false, None, "", true), (None, None));
        assert_eq!(of("int", true, Some("(1 + 1)"), "DEFAULT_GENERATED", false), expression("(1 + 1)"));
        assert_eq!(of("int", true, Some("(1 + 1)"), "", true), expression("(1 + 1)"));
        assert_eq!(of("datetime", true, Some("current_timestamp()"), "", true), expression("current_timestamp()"));
        let now = "DEFAULT_GENERATED on update CURRENT_TIMESTAMP";
        assert_eq!(of("timestamp", false, Some("CURRENT_TIMESTAMP"), now, false), expression("CURRENT_TIMESTAMP"));
        assert_eq!(of("int", false, None, "auto_increment", false), (None, None));
    }

    #[test]
    fn columns_that_are_not_supported_are_all_listed() {
        let columns =
            [row("a", "int", true, None, ""), row("b", "hologram", true, None, ""), row("c", "cube(3)", true, None, "")];
        let TableRead::Unsupported(Unsupported { why: lines, .. }) =
            assemble(&TableId::new("d", "t"), &columns, &[], None, "", Dialect::default())
        else {
            panic!("supported");
        };
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("d.t.b hologram") && lines[1].contains("d.t.c cube(3)"), "{lines:?}");
    }

    #[test]
    fn generated_columns_are_told_apart() {
        let columns = [
            row("s", "int", true, None, "STORED GENERATED"),
            row("v", "int", true, None, "VIRTUAL GENERATED"),
            row("i", "int", true, Some("5"), "INVISIBLE"),
        ];
        let schema = read(&columns, &[], false);
        let generated: Vec<_> = schema.columns.iter().map(|c| c.generated).collect();
        assert_eq!(generated, [Some(Generated::Stored), Some(Generated::Virtual), None]);
        assert_eq!(schema.columns[2].default, Some(Value::Int(5)));
    }
}
