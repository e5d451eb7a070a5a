//! What there is to know of the captured tables before a mirror begins.

use crate::config::MysqlSourceConfig;
use crate::connection::{Connection, quoted};
use crate::discover::{DiscoveredTable, list_databases, list_tables};
use crate::error::account;
use crate::foreign_keys::{cascades_are_logged, cascading_keys};
use crate::preflight::CheckResult;
use crate::schema_read::{TableRead, Unsupported, read_table};
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
    let user = account(&config.user);
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
            TableRead::Schema(schema) => key(&schema, table),
            TableRead::Unsupported(why) => Some(unsupported(&table.table, &why)),
            TableRead::Missing => None, // dropped a moment ago
        });
    }
    Ok(remarks)
}

fn unsupported(table: &TableId, unsupported: &Unsupported) -> TableRemark {
    TableRemark {
        table: table.clone(),
        about: "columns",
        found: format!("{}; the table is not mirrored: it stops at once, the others go on", unsupported.why.join("; ")),
        fix: unsupported.ways(),
    }
}

/// The statement that gives a table a key. One on the beginning of a column counts for nothing, and stands in the way of another primary
/// key.
pub(crate) fn add_a_key(table: &TableId) -> String {
    let (database, table) = (quoted(&table.database), quoted(&table.table));
    format!("ALTER TABLE {database}.{table} ADD PRIMARY KEY (...), or ADD UNIQUE KEY (...) of whole columns that cannot be NULL")
}

/// Rows are told apart by the key: without one nothing but inserts can be followed.
fn key(schema: &TableSchema, discovered: &DiscoveredTable) -> Option<TableRemark> {
    const WHAT_THEN: &str = "inserts are followed, an update or delete stops the table";
    const NO_KEY: &str = "no primary or unique key of whole columns without NULLs";
    let table = &schema.table;
    let (found, fix) = if schema.key.is_empty() {
        let found = match discovered.has_transactions {
            true => format!("{NO_KEY}: {WHAT_THEN}"),
            false => {
                format!("{NO_KEY}, and {} has no transactions: its rows cannot be read, it stops at once", discovered.engine)
            }
        };
        (found, add_a_key(table))
    } else {
        let column = schema.key_columns().find(|c| !c.logical_type.can_be_identifier())?;
        let found =
            format!("{} is of the type {}, by which Iceberg cannot delete: {WHAT_THEN}", column.name, column.native.declaration);
        (found, "make it a DECIMAL, or another column the key; or leave the table out with table.exclude.list".to_owned())
    };
    Some(TableRemark { table: table.clone(), about: "key", found, fix })
}

/// What becomes of rows that change by foreign keys.
async fn cascades(conn: &mut Connection, tables: &[DiscoveredTable], results: &mut Vec<CheckResult>) -> Result<()> {
    let are_logged = cascades_are_logged(conn).await?;
    for table in tables.iter().map(|t| &t.table) {
        // One that is gone meanwhile has no keys to warn of.
        for key in cascading_keys(conn, table).await.unwrap_or_default() {
            let (name, rules) = (format!("foreign key {} of {table}", key.name), key.rules);
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
