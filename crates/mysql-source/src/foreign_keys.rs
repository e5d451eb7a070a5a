//! Foreign keys by which rows change that no statement names.

use crate::connection::{Connection, ServerKind, text};
use cdc_core::{Result, TableId};

/// A foreign key by which rows of its table change when others do.
pub(crate) struct CascadingKey {
    pub(crate) table: TableId,
    pub(crate) name: String,
    pub(crate) on_delete: String,
    pub(crate) on_update: String,
}

/// The foreign keys (of this table) with CASCADE, SET NULL or SET DEFAULT, in order of table and name.
pub(crate) async fn cascading_keys(conn: &mut Connection, of: Option<&TableId>) -> Result<Vec<CascadingKey>> {
    const DOING: &str = "listing foreign keys";
    const LIST: &str = "SELECT constraint_schema, table_name, constraint_name, delete_rule, update_rule \
                        FROM information_schema.referential_constraints";
    let rows = match of {
        None => conn.rows(DOING, &format!("{LIST} ORDER BY 1, 2, 3")).await?,
        Some(id) => {
            let of_table = format!("{LIST} WHERE constraint_schema = ? AND table_name = ?");
            conn.rows_with(DOING, &of_table, (id.database.as_str(), id.table.as_str())).await?
        }
    };
    let keys = rows.iter().map(|row| {
        let column = |i| text(row, i).unwrap_or_default();
        CascadingKey { table: TableId::new(column(0), column(1)), name: column(2), on_delete: column(3), on_update: column(4) }
    });
    let cascades = |rule: &str| matches!(rule, "CASCADE" | "SET NULL" | "SET DEFAULT");
    Ok(keys.filter(|k| cascades(&k.on_delete) || cascades(&k.on_update)).collect())
}

/// The rows that change by foreign keys are in the binary log. MySQL has the server change them since 9.6, unless it is told
/// otherwise; MariaDB and older versions leave it to the storage engine, below the log.
pub(crate) async fn cascades_are_logged(conn: &mut Connection) -> Result<bool> {
    if conn.server.kind != ServerKind::Mysql {
        return Ok(false);
    }
    Ok(conn.variable("innodb_native_foreign_keys").await?.is_some_and(|v| v.eq_ignore_ascii_case("OFF")))
}
