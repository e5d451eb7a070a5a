//! Every SQL text of the catalog, in one place. Values are always bound.
//!
//! The first two tables are those of Iceberg Java's `JdbcCatalog`, schema V1, so that Java, Trino, Spark and PyIceberg share the
//! database. The third is ours: files that no snapshot in the metadata names any more, and when they may be deleted. It
//! lies in the same database so that a row is written in the transaction that swaps the pointer: neither a crash nor a lost
//! race can forget a file, or list one that is still in use.

pub(super) const CREATE: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS iceberg_tables (
        catalog_name VARCHAR(255) NOT NULL,
        table_namespace VARCHAR(255) NOT NULL,
        table_name VARCHAR(255) NOT NULL,
        metadata_location VARCHAR(1000),
        previous_metadata_location VARCHAR(1000),
        iceberg_type VARCHAR(5),
        PRIMARY KEY (catalog_name, table_namespace, table_name))",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
        catalog_name VARCHAR(255) NOT NULL,
        namespace VARCHAR(255) NOT NULL,
        property_key VARCHAR(255) NOT NULL,
        property_value VARCHAR(1000),
        PRIMARY KEY (catalog_name, namespace, property_key))",
    "CREATE TABLE IF NOT EXISTS cdc_expired_files (
        catalog_name VARCHAR(255) NOT NULL,
        table_uuid VARCHAR(36) NOT NULL,
        due_ms BIGINT NOT NULL,
        path VARCHAR(1000) NOT NULL,
        kind VARCHAR(20) NOT NULL,
        sequence BIGINT,
        PRIMARY KEY (catalog_name, table_uuid, path))",
    "CREATE INDEX IF NOT EXISTS cdc_expired_files_due ON cdc_expired_files (catalog_name, table_uuid, kind, due_ms)",
];

/// Columns that came later: whether a column is there, and what adds it. Catalogs of schema V0 (PyIceberg makes such) lack the one
/// that tells tables from views, those of our first version the order of snapshots.
pub(super) const LATER_COLUMNS: &[(&str, &str)] = &[
    (
        "SELECT COUNT(*) FROM pragma_table_info('iceberg_tables') WHERE name = 'iceberg_type'",
        "ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)",
    ),
    (
        "SELECT COUNT(*) FROM pragma_table_info('cdc_expired_files') WHERE name = 'sequence'",
        "ALTER TABLE cdc_expired_files ADD COLUMN sequence BIGINT",
    ),
];

pub(super) const NAMESPACE_EXISTS: &str = "SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ? AND namespace = ?
     UNION ALL SELECT 1 FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? LIMIT 1";
/// Java marks a namespace without properties by `exists` = `true`.
pub(super) const INSERT_NAMESPACE: &str = "INSERT OR IGNORE INTO iceberg_namespace_properties
     (catalog_name, namespace, property_key, property_value) VALUES (?, ?, 'exists', 'true')";
pub(super) const LIST_NAMESPACES: &str = "SELECT DISTINCT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?
     UNION SELECT DISTINCT table_namespace FROM iceberg_tables WHERE catalog_name = ? ORDER BY 1";

pub(super) const LIST_TABLES: &str = "SELECT table_namespace, table_name FROM iceberg_tables
     WHERE catalog_name = ? AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL) ORDER BY 1, 2";
pub(super) const POINTER: &str = "SELECT metadata_location FROM iceberg_tables
     WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";
pub(super) const INSERT_TABLE: &str = "INSERT INTO iceberg_tables
     (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
     VALUES (?, ?, ?, ?, NULL, 'TABLE') ON CONFLICT DO NOTHING";
pub(super) const SWAP: &str = "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
     WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?
       AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";
pub(super) const DROP_TABLE: &str = "DELETE FROM iceberg_tables
     WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";

/// Puts so many rows into the list of expired files.
pub(super) fn insert_expired(rows: usize) -> String {
    let values = vec!["(?, ?, ?, ?, ?, ?)"; rows].join(", ");
    format!("INSERT OR IGNORE INTO cdc_expired_files (catalog_name, table_uuid, due_ms, path, kind, sequence) VALUES {values}")
}
/// SQLite binds 32,766 values in one statement.
pub(super) const ROWS_AT_ONCE: usize = 1_000;
pub(super) const DUE: &str = "SELECT path FROM cdc_expired_files
     WHERE catalog_name = ? AND table_uuid = ? AND kind = ? AND due_ms <= ? ORDER BY due_ms LIMIT ?";
pub(super) const ALL_OF_KIND: &str = "SELECT path, due_ms, sequence FROM cdc_expired_files
     WHERE catalog_name = ? AND table_uuid = ? AND kind = ?";
pub(super) const DELETE_EXPIRED: &str = "DELETE FROM cdc_expired_files WHERE catalog_name = ? AND table_uuid = ? AND path = ?";
