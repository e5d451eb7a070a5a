//! What there is to know of the captured tables before a mirror begins.

use crate::config::MysqlSourceConfig;
use crate::connection::{Connection, ServerKind, quoted, text};
use crate::discover::{DiscoveredTable, list_databases, list_tables};
use crate::preflight::CheckResult;
use crate::schema_read::{TableRead, read_table};
use cdc_core::{Result, TableId, TableSchema};

/// Adds what the server says of databases, tables, their columns and keys.
pub(crate) async fn look(conn: &mut Connection, config: &MysqlSourceConfig, results: &mut Vec<CheckResult>) -> Result<()> {
    let databases = list_databases(conn).await?;
    let tables = list_tables(conn, config).await?;
    captured_tables(&databases, &tables, config, results);
    results.extend(remarks_on(conn, &tables).await?.into_iter().map(|remark| {
        let name = format!("{} of {}", remark.about, remark.table);
        CheckResult::warning(&name, remark.found, remark.fix)
    }));
    cascades(conn, &tables, results).await
}

fn captured_tables(databases: &[String], tables: &[DiscoveredTable], config: &MysqlSourceConfig, results: &mut Vec<CheckResult>) {
    let user = &config.user;
    for expression in config.tables.unmatched_databases(databases.iter().map(String::as_str)) {
        results.push(CheckResult::warning(
            &format!("database {expression}"),
            "database.include.list names it, and there is none of that name that the user may see",
            format!(
                "check the name against SHOW DATABASES; GRANT SELECT ON *.* TO {user}; if it is made later, it is followed then"
            ),
        ));
    }
    for expression in config.tables.unmatched_tables(tables.iter().map(|t| &t.table)) {
        results.push(CheckResult::warning(
            &format!("table {expression}"),
            "table.include.list names it, and no table of that name is there",
            "check the name: it is database.table, with \\. for the dot; if it is made later, it is followed then",
        ));
    }
    const NAME: &str = "captured tables";
    let found = format!("{} on the server match the include and exclude lists", tables.len());
    let has_database = databases.iter().any(|name| config.tables.matches_database(name));
    results.push(match (tables.is_empty(), has_database) {
        (false, _) => CheckResult::new(NAME, true, found, ""),
        (true, true) => {
            CheckResult::warning(NAME, found, "tables that are made later are followed; is there one already, check the lists")
        }
        (true, false) => CheckResult::new(
            NAME,
            false,
            "no database on the server matches the include and exclude lists",
            format!("check database.include.list, and SHOW GRANTS: {user} sees only what it may read"),
        ),
    });
}

/// Something that keeps a captured table from being mirrored in full.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableRemark {
    /// The table.
    pub table: TableId,
    /// Its `columns`, or its `key`.
    pub about: &'static str,
    /// What it is, and what becomes of the table.
    pub found: String,
    /// What helps.
    pub fix: String,
}

/// What keeps captured tables from being mirrored in full: columns that are not supported, and keys by which rows cannot be told apart.
///
/// # Errors
/// [`Unavailable`](cdc_core::ErrorKind::Unavailable) if the server cannot be reached or refuses.
pub async fn table_remarks(config: &MysqlSourceConfig) -> Result<Vec<TableRemark>> {
    let mut conn = Connection::open(config).await?;
    let tables = list_tables(&mut conn, config).await?;
    remarks_on(&mut conn, &tables).await
}

async fn remarks_on(conn: &mut Connection, tables: &[DiscoveredTable]) -> Result<Vec<TableRemark>> {
    let mut remarks = Vec::new();
    for table in tables {
        remarks.extend(match read_table(conn, &table.table).await? {
            TableRead::Schema(schema) => key(&schema),
            TableRead::Unsupported(columns) => Some(unsupported(&table.table, &columns)),
            TableRead::Missing => None, // dropped a moment ago
        });
    }
    Ok(remarks)
}

fn unsupported(table: &TableId, columns: &[String]) -> TableRemark {
    TableRemark {
        table: table.clone(),
        about: "columns",
        found: format!("{}; the table is not mirrored: it stops at once, the others go on", columns.join("; ")),
        fix: "change the column's type, or leave the table out with table.exclude.list".to_owned(),
    }
}

/// Rows are told apart by the key: without one nothing but inserts can be followed.
fn key(schema: &TableSchema) -> Option<TableRemark> {
    const WHAT_THEN: &str = "inserts are followed, an update or delete stops the table";
    let table = &schema.table;
    let (found, fix) = if schema.key.is_empty() {
        let found = format!("no primary key and no unique key without NULLs: {WHAT_THEN}");
        (found, format!("ALTER TABLE {table} ADD PRIMARY KEY (...)"))
    } else {
        let column = schema.key_columns().find(|c| !c.logical_type.can_be_identifier())?;
        let found =
            format!("{} is of the type {}, by which Iceberg cannot delete: {WHAT_THEN}", column.name, column.native.declaration);
        (found, "make it a DECIMAL, or another column the key; or leave the table out with table.exclude.list".to_owned())
    };
    Some(TableRemark { table: table.clone(), about: "key", found, fix })
}

/// Where the storage engine runs ON DELETE CASCADE by itself, it does so below the binary log: the rows that go are not in it.
async fn cascades(conn: &mut Connection, tables: &[DiscoveredTable], results: &mut Vec<CheckResult>) -> Result<()> {
    // MySQL has the server do it since 9.6, unless it is told otherwise; MariaDB and older versions leave it to the engine.
    let are_logged = conn.server.kind == ServerKind::Mysql
        && conn.variable("innodb_native_foreign_keys").await?.is_some_and(|v| v.eq_ignore_ascii_case("OFF"));
    for table in tables.iter().map(|t| &t.table) {
        // Of the ways to ask for foreign keys, only this one needs no more than SELECT on either server.
        let sql = format!("SHOW CREATE TABLE {}.{}", quoted(&table.database), quoted(&table.table));
        let Ok(rows) = conn.rows("reading foreign keys", &sql).await else { continue }; // dropped a moment ago
        let statement = rows.first().and_then(|r| text(r, 1)).unwrap_or_default();
        for (name, rules) in statement.lines().filter_map(foreign_key).filter(|(_, rules)| changes_rows(rules)) {
            let name = format!("foreign key {name} of {table}");
            results.push(match are_logged {
                true => CheckResult::new(&name, true, format!("{rules}: this server logs the rows that it changes by it"), ""),
                false => CheckResult::warning(
                    &name,
                    format!("{rules}: this server does not log the rows that it changes by it, so that the mirror misses them"),
                    "let the application delete and update these rows itself (MySQL 9.6 and newer log them); lakehouse verify finds what was missed",
                ),
            });
        }
    }
    Ok(())
}

/// Name and rules (`ON DELETE CASCADE`) of the foreign key that a line of SHOW CREATE TABLE declares.
fn foreign_key(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.trim_start().strip_prefix("CONSTRAINT `")?.split_once("` FOREIGN KEY (")?;
    let (_, rules) = rest.rsplit_once(')')?;
    Some((name.replace("``", "`"), rules.trim_end_matches(',').trim().to_owned()))
}

fn changes_rows(rules: &str) -> bool {
    ["CASCADE", "SET NULL", "SET DEFAULT"].iter().any(|rule| rules.contains(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_are_found_with_their_rules() {
        let key = |line: &str| foreign_key(line).map(|(name, rules)| (name, changes_rows(&rules), rules));
        let line = "  CONSTRAINT `a``b` FOREIGN KEY (`p`) REFERENCES `x (y)` (`id`) ON DELETE CASCADE ON UPDATE SET NULL,";
        assert_eq!(key(line), Some(("a`b".to_owned(), true, "ON DELETE CASCADE ON UPDATE SET NULL".to_owned())));
        let line = "  CONSTRAINT `c` FOREIGN KEY (`p`) REFERENCES `x` (`id`)";
        assert_eq!(key(line), Some(("c".to_owned(), false, String::new())));
        assert_eq!(key("  `v` int DEFAULT NULL COMMENT 'CONSTRAINT `c` FOREIGN KEY (`p`) ON DELETE CASCADE',"), None);
        assert_eq!(key("  CONSTRAINT `positive` CHECK ((`v` > 0))"), None);
    }
}
