//! Every SQL text of the catalog, in one place. Values are always bound.
//!
//! The first two tables are those of Iceberg Java's `JdbcCatalog`, schema V1, so that Java, Trino, Spark and PyIceberg share the
//! database. The third is ours: files that no snapshot in the metadata names any more, and when they may be deleted. It
//! lies in the same database so that a row is written in the transaction that swaps the pointer: neither a crash nor a lost
//! race can forget a file, or list one that is still in use.
//!
//! Names compare byte by byte. SQLite and PostgreSQL do so by themselves; MySQL compares by the collation of the column, which in
//! tables that others made takes `Orders` for `orders`, and in ours still a name for the same with a space behind it. There every
//! comparison is made twice: as the column has it, which finds the row by its key, and of the bytes.

/// A database's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    #[cfg(feature = "postgres-catalog")]
    Postgres,
    #[cfg(feature = "mysql-catalog")]
    Mysql,
}

/// A statement as its database reads it.
#[derive(Debug)]
pub(super) struct Text {
    pub sql: String,
    /// Which value goes into each placeholder, where they have no numbers of their own; from 0.
    #[cfg_attr(not(feature = "mysql-catalog"), allow(dead_code, reason = "numbered placeholders need no order"))]
    pub order: Vec<usize>,
}

impl Text {
    /// Translates a statement whose placeholders are `?1`, `?2`, ...
    pub(super) fn new(dialect: Dialect, numbered: &str) -> Self {
        let (mut sql, mut order) = (String::with_capacity(numbered.len()), Vec::new());
        let mut parts = numbered.split('?');
        sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = part.split_at(digits);
            match dialect {
                Dialect::Sqlite => sql.push('?'),
                #[cfg(feature = "postgres-catalog")]
                Dialect::Postgres => sql.push('$'),
                #[cfg(feature = "mysql-catalog")]
                Dialect::Mysql => sql.push('?'),
            }
            if !dialect.is_mysql() {
                sql.push_str(number);
            }
            order.push(number.parse::<usize>().unwrap_or(1).saturating_sub(1));
            sql.push_str(rest);
        }
        Self { sql, order }
    }
}

impl Dialect {
    fn is_mysql(self) -> bool {
        #[cfg(feature = "mysql-catalog")]
        return self == Self::Mysql;
        #[cfg(not(feature = "mysql-catalog"))]
        return false;
    }

    /// `column` is the text number `n`, byte by byte.
    fn is(self, column: &str, n: usize) -> String {
        if self.is_mysql() {
            format!("{column} = ?{n} AND CAST(CONVERT({column} USING utf8mb4) AS BINARY) = CAST(?{n} AS BINARY)")
        } else {
            format!("{column} = ?{n}")
        }
    }

    /// What makes the tables, each with its name. Nothing happens to one that is there.
    pub(super) fn create(self) -> Vec<(&'static str, String)> {
        // Java's own text has no more than the columns: InnoDB's keys hold these three names, 3060 bytes of 3072.
        let (end, path_key, path_column) = if self.is_mysql() {
            (
                " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                "path_sha256",
                "path_sha256 BINARY(32) NOT NULL, INDEX cdc_expired_files_due (catalog_name, table_uuid, kind, due_ms), ",
            )
        } else {
            ("", "path", "")
        };
        let mut create = vec![
            (
                "iceberg_tables",
                format!(
                    "CREATE TABLE IF NOT EXISTS iceberg_tables (
        catalog_name VARCHAR(255) NOT NULL,
        table_namespace VARCHAR(255) NOT NULL,
        table_name VARCHAR(255) NOT NULL,
        metadata_location VARCHAR(1000),
        previous_metadata_location VARCHAR(1000),
        iceberg_type VARCHAR(5),
        PRIMARY KEY (catalog_name, table_namespace, table_name)){end}"
                ),
            ),
            (
                "iceberg_namespace_properties",
                format!(
                    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
        catalog_name VARCHAR(255) NOT NULL,
        namespace VARCHAR(255) NOT NULL,
        property_key VARCHAR(255) NOT NULL,
        property_value VARCHAR(1000),
        PRIMARY KEY (catalog_name, namespace, property_key)){end}"
                ),
            ),
            (
                "cdc_expired_files",
                format!(
                    "CREATE TABLE IF NOT EXISTS cdc_expired_files (
        catalog_name VARCHAR(255) NOT NULL,
        table_uuid VARCHAR(36) NOT NULL,
        due_ms BIGINT NOT NULL,
        path VARCHAR(1000) NOT NULL,
        kind VARCHAR(20) NOT NULL,
        sequence BIGINT,
        {path_column}PRIMARY KEY (catalog_name, table_uuid, {path_key})){end}"
                ),
            ),
        ];
        if !self.is_mysql() {
            create.push((
                "cdc_expired_files",
                "CREATE INDEX IF NOT EXISTS cdc_expired_files_due ON cdc_expired_files (catalog_name, table_uuid, kind, due_ms)"
                    .to_owned(),
            ));
        }
        create
    }
}

/// Columns that came later: table, column, and what adds it. Catalogs of schema V0 (PyIceberg makes such) lack the one that tells tables
/// from views, those of our first version the order of snapshots.
pub(super) const LATER_COLUMNS: &[(&str, &str, &str)] = &[
    ("iceberg_tables", "iceberg_type", "ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)"),
    ("cdc_expired_files", "sequence", "ALTER TABLE cdc_expired_files ADD COLUMN sequence BIGINT"),
];

/// Rows that one statement puts into the list of expired files: SQLite binds 32,766 values, the others 65,535.
pub(super) const ROWS_AT_ONCE: usize = 1_000;

/// The statements of one catalog, whose first value is always the catalog's name.
#[derive(Debug)]
pub(super) struct Texts {
    dialect: Dialect,
    /// namespace
    pub namespace_exists: Text,
    /// namespace
    pub insert_namespace: Text,
    /// Those with properties, and those of tables: names may be there twice.
    pub list_namespaces: Text,
    /// namespace, name
    pub list_tables: Text,
    /// namespace, name
    pub pointer: Text,
    /// namespace, name, location
    pub insert_table: Text,
    /// namespace, name, new location, expected location
    pub swap: Text,
    /// namespace, name
    pub drop_table: Text,
    /// uuid, kind, due, limit
    pub due: Text,
    /// uuid, kind
    pub all_of_kind: Text,
    /// uuid, path
    pub delete_expired: Text,
}

impl Texts {
    /// `has_type`: whether `iceberg_tables` has the column that tells tables from views. In a catalog without it there are no views.
    pub(super) fn new(dialect: Dialect, has_type: bool) -> Self {
        let text = |numbered: &str| Text::new(dialect, numbered);
        let is = |column, n| dialect.is(column, n);
        let is_table = if has_type { " AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)" } else { "" };
        let this_catalog = is("catalog_name", 1);
        let this_table = format!("{this_catalog} AND {} AND {}{is_table}", is("table_namespace", 2), is("table_name", 3));
        let path = if dialect.is_mysql() { "path_sha256 = UNHEX(SHA2(?3, 256))" } else { "path = ?3" };
        // MySQL's INSERT IGNORE would cut what is too long as well.
        let unless_there = |column: &str| match dialect.is_mysql() {
            true => format!("ON DUPLICATE KEY UPDATE {column} = {column}"),
            false => "ON CONFLICT DO NOTHING".to_owned(),
        };
        Self {
            dialect,
            namespace_exists: text(&format!(
                "SELECT 1 FROM iceberg_namespace_properties WHERE {this_catalog} AND {}
     UNION ALL SELECT 1 FROM iceberg_tables WHERE {this_catalog} AND {} LIMIT 1",
                is("namespace", 2),
                is("table_namespace", 2)
            )),
            // Java marks a namespace without properties by `exists` = `true`.
            insert_namespace: text(&format!(
                "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
     VALUES (?1, ?2, 'exists', 'true') {}",
                unless_there("property_value")
            )),
            list_namespaces: text(&format!(
                "SELECT namespace FROM iceberg_namespace_properties WHERE {this_catalog}
     UNION ALL SELECT table_namespace FROM iceberg_tables WHERE {this_catalog}"
            )),
            list_tables: text(&format!("SELECT table_namespace, table_name FROM iceberg_tables WHERE {this_catalog}{is_table}")),
            pointer: text(&format!("SELECT metadata_location FROM iceberg_tables WHERE {this_table}")),
            insert_table: text(&format!(
                "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location{})
     VALUES (?1, ?2, ?3, ?4, NULL{}){}",
                if has_type { ", iceberg_type" } else { "" },
                if has_type { ", 'TABLE'" } else { "" },
                // MySQL says that the key is there.
                if dialect.is_mysql() { "" } else { " ON CONFLICT DO NOTHING" }
            )),
            swap: text(&format!(
                "UPDATE iceberg_tables SET metadata_location = ?4, previous_metadata_location = ?5 WHERE {this_table} AND {}",
                is("metadata_location", 5)
            )),
            drop_table: text(&format!("DELETE FROM iceberg_tables WHERE {this_table}")),
            due: text(&format!(
                "SELECT path FROM cdc_expired_files WHERE {this_catalog} AND table_uuid = ?2 AND kind = ?3 AND due_ms <= ?4
     ORDER BY due_ms LIMIT ?5"
            )),
            all_of_kind: text(&format!(
                "SELECT path, due_ms, sequence FROM cdc_expired_files WHERE {this_catalog} AND table_uuid = ?2 AND kind = ?3"
            )),
            delete_expired: text(&format!("DELETE FROM cdc_expired_files WHERE {this_catalog} AND table_uuid = ?2 AND {path}")),
        }
    }

    /// Puts so many rows into the list of expired files. Values: catalog and uuid once, then due, path, kind and sequence of each.
    pub(super) fn insert_expired(&self, rows: usize) -> Text {
        let mysql = self.dialect.is_mysql();
        let row = |i: usize| {
            let n = 3 + 4 * i;
            let hash = if mysql { format!(", UNHEX(SHA2(?{}, 256))", n + 1) } else { String::new() };
            format!("(?1, ?2, ?{n}, ?{}, ?{}, ?{}{hash})", n + 1, n + 2, n + 3)
        };
        let values = (0..rows).map(row).collect::<Vec<_>>().join(", ");
        let (hash, end) = match mysql {
            true => (", path_sha256", "ON DUPLICATE KEY UPDATE kind = kind"),
            false => ("", "ON CONFLICT DO NOTHING"),
        };
        let insert = "INSERT INTO cdc_expired_files (catalog_name, table_uuid, due_ms, path, kind, sequence";
        Text::new(self.dialect, &format!("{insert}{hash}) VALUES {values} {end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_gets_its_own_placeholders_in_the_right_order() {
        let numbered = "a = ?2 AND b = ?1 AND c = ?2";
        assert_eq!(Text::new(Dialect::Sqlite, numbered).sql, numbered);
        #[cfg(feature = "postgres-catalog")]
        assert_eq!(Text::new(Dialect::Postgres, numbered).sql, "a = $2 AND b = $1 AND c = $2");
        #[cfg(feature = "mysql-catalog")]
        {
            let text = Text::new(Dialect::Mysql, numbered);
            assert_eq!((text.sql.as_str(), text.order), ("a = ? AND b = ? AND c = ?", vec![1, 0, 1]));
        }
    }
}
