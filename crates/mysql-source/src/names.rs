//! How a server takes upper and lower case in the names of databases and tables.

use crate::ddl::{PartitionMove, Statement};
use cdc_core::TableId;

/// A server's `lower_case_table_names`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NameCase {
    /// 0: names that differ by case are different names.
    #[default]
    Told,
    /// 1: tables are stored in lower case. Their statements are logged as they were written.
    Lowered,
    /// 2: tables are stored as their statement was written, and found in any case.
    Ignored,
}

impl NameCase {
    pub(crate) fn of_variable(lower_case_table_names: Option<&str>) -> Self {
        match lower_case_table_names {
            None | Some("0") => Self::Told,
            Some("2") => Self::Ignored,
            Some(_) => Self::Lowered,
        }
    }

    /// Equal for two names exactly if the server has one table for both.
    pub(crate) fn folded(self, id: &TableId) -> TableId {
        match self {
            Self::Told => id.clone(),
            Self::Lowered | Self::Ignored => lower(id),
        }
    }

    pub(crate) fn is_same_database(self, a: &str, b: &str) -> bool {
        a == b || (self != Self::Told && a.to_lowercase() == b.to_lowercase())
    }

    /// A statement with the names under which the server stores its tables.
    pub(crate) fn as_stored(self, statement: Statement) -> Statement {
        if self != Self::Lowered {
            return statement;
        }
        match statement {
            Statement::CreateTable { table, if_not_exists, or_replace } => {
                Statement::CreateTable { table: lower(&table), if_not_exists, or_replace }
            }
            Statement::AlterTable(mut alter) => {
                alter.table = lower(&alter.table);
                alter.renamed_to = alter.renamed_to.as_ref().map(lower);
                alter.partition = alter.partition.as_ref().map(|moved| match moved {
                    PartitionMove::Exchange(table) => PartitionMove::Exchange(lower(table)),
                    PartitionMove::FromTable(table) => PartitionMove::FromTable(lower(table)),
                    PartitionMove::ToTable(table) => PartitionMove::ToTable(lower(table)),
                });
                Statement::AlterTable(alter)
            }
            Statement::DropTables(tables) => Statement::DropTables(tables.iter().map(lower).collect()),
            Statement::RenameTables(pairs) => {
                Statement::RenameTables(pairs.iter().map(|(from, to)| (lower(from), lower(to))).collect())
            }
            Statement::Truncate(table) => Statement::Truncate(lower(&table)),
            other => other,
        }
    }
}

fn lower(id: &TableId) -> TableId {
    TableId::new(id.database.to_lowercase(), id.table.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddl::{Dialect, parse_statement};

    #[test]
    fn every_table_of_a_statement_has_the_name_under_which_it_is_stored() {
        let stored =
            |case: NameCase, sql: &str| format!("{:?}", case.as_stored(parse_statement(sql, "Shop", Dialect::default())));
        for sql in [
            "CREATE TABLE IF NOT EXISTS ORDERS (Id INT)",
            "RENAME TABLE ORDERS TO Old.ORDERS, `NEW` TO ORDERS",
            "DROP TABLE ORDERS, S.ORDERS",
            "TRUNCATE ORDERS",
            "ALTER TABLE ORDERS RENAME TO OLD.ORDERS",
            "ALTER TABLE ORDERS EXCHANGE PARTITION p WITH TABLE ORDERS2",
        ] {
            let names = stored(NameCase::Lowered, sql);
            let told = |text: &str| text.matches("\"ORDERS").count();
            assert!(names.contains("\"orders\"") && told(&names) == 0, "{names}");
            assert!(told(&stored(NameCase::Told, sql)) > 0, "{sql}");
            assert_eq!(stored(NameCase::Told, sql), stored(NameCase::Ignored, sql));
        }
    }

    #[test]
    fn names_are_one_where_the_server_has_one_table_for_both() {
        let (a, b) = (TableId::new("Shop", "ORDERS"), TableId::new("shop", "orders"));
        for (value, same) in [(None, false), (Some("0"), false), (Some("1"), true), (Some("2"), true)] {
            let case = NameCase::of_variable(value);
            assert_eq!(case.folded(&a) == case.folded(&b), same, "{value:?}");
            assert_eq!(case.is_same_database("Shop", "shop"), same, "{value:?}");
        }
    }
}
