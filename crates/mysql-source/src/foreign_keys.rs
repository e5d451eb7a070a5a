//! Foreign keys by which rows change that no statement names.

use crate::connection::{Connection, ServerKind, quoted, text};
use cdc_core::{Result, TableId};

/// A foreign key by which rows of its table change when others do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CascadingKey {
    pub(crate) name: String,
    /// `ON DELETE CASCADE`, and the like.
    pub(crate) rules: String,
}

/// The foreign keys of the table with CASCADE, SET NULL or SET DEFAULT.
///
/// From the table's own statement: the information schema has no foreign keys for a user who may only read.
pub(crate) async fn cascading_keys(conn: &mut Connection, table: &TableId) -> Result<Vec<CascadingKey>> {
    let sql = format!("SHOW CREATE TABLE {}.{}", quoted(&table.database), quoted(&table.table));
    let rows = conn.rows("looking for foreign keys", &sql).await?;
    Ok(keys_of(&rows.first().and_then(|r| text(r, 1)).unwrap_or_default()))
}

/// The server prints a constraint on a line of its own, its rules behind the last parenthesis.
fn keys_of(create_table: &str) -> Vec<CascadingKey> {
    let keys = create_table.lines().filter_map(|line| {
        let (name, definition) = line.trim_start().strip_prefix("CONSTRAINT `")?.split_once("` FOREIGN KEY (")?;
        let rules = definition.rsplit_once(')')?.1.trim_end_matches(',').trim();
        let changes = [" CASCADE", " SET NULL", " SET DEFAULT"].iter().any(|rule| rules.contains(rule));
        changes.then(|| CascadingKey { name: name.replace("``", "`"), rules: rules.to_owned() })
    });
    keys.collect()
}

/// The rows that change by foreign keys are in the binary log. MySQL has the server change them since 9.6, unless it is told
/// otherwise; MariaDB and older versions leave it to the storage engine, below the log.
pub(crate) async fn cascades_are_logged(conn: &mut Connection) -> Result<bool> {
    if conn.server.kind != ServerKind::Mysql {
        return Ok(false);
    }
    Ok(conn.variable("innodb_native_foreign_keys").await?.is_some_and(|v| v.eq_ignore_ascii_case("OFF")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_that_change_rows_are_told_from_those_that_only_forbid() {
        let statement = "CREATE TABLE `c` (\n  `a` int COMMENT 'CONSTRAINT `x` FOREIGN KEY (a) ON DELETE CASCADE',\n  \
            CONSTRAINT `positive` CHECK ((`a` > 0)),\n  \
            CONSTRAINT `o``ne` FOREIGN KEY (`a`) REFERENCES `p` (`i)d`) ON DELETE CASCADE ON UPDATE NO ACTION,\n  \
            CONSTRAINT `two` FOREIGN KEY (`b`) REFERENCES `p` (`id`) ON UPDATE SET NULL,\n  \
            CONSTRAINT `three` FOREIGN KEY (`c`) REFERENCES `p` (`id`)\n) ENGINE=InnoDB";
        let key = |name: &str, rules: &str| CascadingKey { name: name.to_owned(), rules: rules.to_owned() };
        assert_eq!(keys_of(statement), [key("o`ne", "ON DELETE CASCADE ON UPDATE NO ACTION"), key("two", "ON UPDATE SET NULL")]);
    }
}
