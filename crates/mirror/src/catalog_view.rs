//! What is in the catalog, for people and programs: tables, snapshots, and the status of a mirror that may not be running.

use crate::clock::now_ms;
use crate::config::MirrorConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::catalog_settings;
use crate::status::{MirrorStatus, StatusFile, TablePhase, TableStatus};
use cdc_core::SourcePosition;
use commit_coordinator::Checkpoint;
use iceberg::spec::SnapshotRef;
use iceberg_writer::{Catalog, Table, TableName};
use serde::Serialize;
use std::collections::BTreeMap;

/// A status that is older than this is that of a mirror which has ended or hangs.
const FRESH_MS: i64 = 5_000;

/// A table in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogTable {
    /// `namespace.table`.
    pub name: String,
    /// Rows in data files, those that delete files remove included.
    pub records: u64,
    /// Keys in delete files, those that remove nothing included.
    pub deletes: u64,
    /// Live data files.
    pub data_files: u64,
    /// Live delete files.
    pub delete_files: u64,
    /// Bytes of all live files.
    pub size_bytes: u64,
    /// Snapshots in the metadata.
    pub snapshots: u64,
    /// Columns.
    pub columns: usize,
    /// Where its files lie.
    pub location: String,
}

/// A snapshot of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogSnapshot {
    /// Its id.
    pub id: i64,
    /// When it was committed, `YYYY-MM-DD hh:mm:ss.sss` in UTC.
    pub committed: String,
    /// Milliseconds since the Unix epoch.
    pub committed_ms: i64,
    /// What it did, in Iceberg's words.
    pub operation: String,
    /// Rows that it added.
    pub added_records: u64,
    /// Keys that it deleted.
    pub added_deletes: u64,
    /// Rows in all data files, deleted ones included.
    pub total_records: Option<u64>,
    /// Branches and tags that name it.
    pub refs: Vec<String>,
    /// The source's position that it holds, `file offset`, if a mirror made it.
    pub source_position: Option<String>,
}

/// The status of a mirror.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// The process that runs it; `None` if none does.
    pub running: Option<u32>,
    /// Up to where the log is complete, if it is known.
    pub position: Option<SourcePosition>,
    /// The tables.
    pub tables: Vec<TableReport>,
}

/// One table of a [`StatusReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableReport {
    /// `database.table`.
    pub table: String,
    /// What the mirror says of it; of one that is not running, what the table says.
    pub status: TableStatus,
    /// How old the newest change in the table is while there are newer ones in the log, milliseconds; 0 if there are none.
    pub delay_ms: Option<u64>,
    /// Since the last commit, milliseconds.
    pub since_commit_ms: Option<u64>,
    /// Commits to the table since it was made, compactions among them (its last sequence number).
    pub commits: Option<u64>,
    /// The source's position that the table has, `file offset`.
    pub applied_position: Option<String>,
    /// As [`CatalogTable::records`].
    pub records: Option<u64>,
    /// As [`CatalogTable::deletes`].
    pub deletes: Option<u64>,
    /// Live data files.
    pub data_files: Option<u64>,
    /// Live delete files.
    pub delete_files: Option<u64>,
    /// Why the table in the catalog cannot be read, if that is so.
    pub unreadable: Option<String>,
}

/// The tables in the catalog, by name.
///
/// # Errors
/// Of opening the catalog and reading a table's metadata.
pub async fn catalog_tables(config: &MirrorConfig) -> Result<Vec<CatalogTable>> {
    let Some(catalog) = open_existing(config).await? else { return Ok(Vec::new()) };
    let mut tables = Vec::new();
    for name in catalog.tables().await? {
        if let Some(table) = catalog.load_table(&name).await? {
            tables.push(describe_table(&table));
        }
    }
    Ok(tables)
}

/// The snapshots of a table, the newest first.
///
/// # Errors
/// [`ErrorKind::Configuration`] if there is no such table; those of reading.
pub async fn catalog_snapshots(config: &MirrorConfig, table: &str) -> Result<Vec<CatalogSnapshot>> {
    let Some(catalog) = open_existing(config).await? else { return Err(no_table(table, &config.sink.catalog, &[])) };
    let table = find_table(&catalog, table).await?;
    let mut refs: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for name in table.references() {
        if let Some(snapshot) = table.reference(name) {
            refs.entry(snapshot.snapshot_id()).or_default().push(name.to_owned());
        }
    }
    let mut snapshots: Vec<&SnapshotRef> = table.metadata().snapshots().collect();
    snapshots.sort_by_key(|s| std::cmp::Reverse((s.sequence_number(), s.timestamp_ms())));
    Ok(snapshots.into_iter().map(|s| describe_snapshot(s, refs.remove(&s.snapshot_id()).unwrap_or_default())).collect())
}

/// The status of the mirror of this configuration, running or not.
///
/// # Errors
/// Of reading the status file and the catalog.
pub async fn status(config: &MirrorConfig) -> Result<StatusReport> {
    let written = match StatusFile::of(&config.log.kind) {
        Some(file) => file.read()?,
        None => None,
    };
    let running = written.as_ref().filter(|s| is_running(s)).map(|s| s.pid);
    let catalog = open_existing(config).await?;
    let names = match &catalog {
        Some(catalog) => catalog.tables().await?,
        None => Vec::new(),
    };
    let mut tables = Vec::new();
    for (table, status) in written.as_ref().map(|s| s.tables.clone()).unwrap_or_default() {
        // Either part of a name may have dots.
        let found = match (&catalog, names.iter().find(|n| n.to_string() == table.to_lowercase())) {
            (Some(catalog), Some(name)) => catalog.load_table(name).await,
            _ => Ok(None),
        };
        let unreadable = found.as_ref().err().map(ToString::to_string);
        let found = found.ok().flatten();
        tables.push(TableReport { unreadable, ..report(table, status, found.as_ref()) });
    }
    if let Some(catalog) = catalog {
        catalog.close().await;
    }
    Ok(StatusReport { running, position: written.and_then(|s| s.source.position), tables })
}

/// True if the process that wrote this status still keeps it up to date.
pub(crate) fn is_running(status: &MirrorStatus) -> bool {
    !status.ended
        && now_ms() - status.updated_ms < FRESH_MS
        && std::path::Path::new("/proc").join(status.pid.to_string()).exists()
}

fn report(table: String, status: TableStatus, found: Option<&Table>) -> TableReport {
    let head = found.and_then(Table::head).map(|s| describe_snapshot(s, Vec::new()));
    let commits = found.and_then(|t| u64::try_from(t.metadata().last_sequence_number()).ok());
    let last_commit_ms = head.as_ref().map_or(0, |s| s.committed_ms).max(status.last_commit_ms);
    let found = found.map(describe_table);
    let age = |since_ms: i64| u64::try_from(now_ms().saturating_sub(since_ms)).ok();
    let behind = !status.is_current();
    TableReport {
        delay_ms: match (behind, status.applied_ts_us) {
            _ if status.phase == TablePhase::Waiting => None,
            (false, _) => Some(0),
            (true, 0) => None,
            (true, ts_us) => age(ts_us / 1000),
        },
        since_commit_ms: (last_commit_ms > 0).then(|| age(last_commit_ms)).flatten(),
        commits,
        applied_position: head.and_then(|s| s.source_position),
        records: found.as_ref().map(|t| t.records),
        deletes: found.as_ref().map(|t| t.deletes),
        data_files: found.as_ref().map(|t| t.data_files),
        delete_files: found.as_ref().map(|t| t.delete_files),
        unreadable: None,
        table,
        status,
    }
}

/// The table of a name as people write it, in any case.
pub(crate) async fn find_table(catalog: &Catalog, table: &str) -> Result<Table> {
    let wanted = table.to_lowercase();
    let names = catalog.tables().await?;
    if let Some(name) = names.iter().find(|n| n.to_string() == wanted)
        && let Some(table) = catalog.load_table(name).await?
    {
        return Ok(table);
    }
    Err(no_table(table, catalog.name(), &names))
}

fn no_table(table: &str, catalog: &str, names: &[TableName]) -> Error {
    let known: Vec<String> = names.iter().map(TableName::to_string).collect();
    let known = if known.is_empty() { "it is empty".to_owned() } else { format!("there are {}", known.join(", ")) };
    Error::new(ErrorKind::Configuration, format!("no table {table} in the catalog {catalog}\n  → {known}"))
}

/// The catalog for reading, if there is one: to look makes nothing.
pub(crate) async fn open_existing(config: &MirrorConfig) -> Result<Option<Catalog>> {
    let (warehouse, settings) = catalog_settings(config);
    match Catalog::open_read_only(&config.sink.catalog()?, warehouse, settings).await {
        Ok(catalog) => Ok(Some(catalog)),
        Err(e) if e.kind() == iceberg_writer::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn total(table: &Table, property: &str) -> Option<u64> {
    table.head()?.summary().additional_properties.get(property)?.parse().ok()
}

/// The rows of its data files.
pub(crate) fn records(table: &Table) -> u64 {
    total(table, "total-records").unwrap_or(0)
}

fn describe_table(table: &Table) -> CatalogTable {
    CatalogTable {
        name: table.name().to_string(),
        records: records(table),
        deletes: total(table, "total-equality-deletes").unwrap_or(0),
        data_files: total(table, "total-data-files").unwrap_or(0),
        delete_files: total(table, "total-delete-files").unwrap_or(0),
        size_bytes: total(table, "total-files-size").unwrap_or(0),
        snapshots: table.metadata().snapshots().len() as u64,
        columns: table.schema().as_struct().fields().len(),
        location: table.metadata().location().to_owned(),
    }
}

fn describe_snapshot(snapshot: &SnapshotRef, refs: Vec<String>) -> CatalogSnapshot {
    let summary = &snapshot.summary().additional_properties;
    let number = |name: &str| summary.get(name).and_then(|v| v.parse::<u64>().ok());
    let position = Checkpoint::from_properties(summary).ok().flatten().and_then(|c| c.covered);
    let position = position.and_then(|covered| serde_json::from_str::<SourcePosition>(&covered.position).ok());
    CatalogSnapshot {
        id: snapshot.snapshot_id(),
        committed: utc(snapshot.timestamp_ms()),
        committed_ms: snapshot.timestamp_ms(),
        operation: snapshot.summary().operation.as_str().to_owned(),
        added_records: number("added-records").unwrap_or(0),
        added_deletes: number("added-equality-deletes").unwrap_or(0),
        total_records: number("total-records"),
        refs,
        source_position: position.map(|p| format!("{} {}", p.log.file, p.log.offset)),
    }
}

/// `2026-01-31 12:34:56.789` of milliseconds since the Unix epoch (proleptic Gregorian calendar, years 1 to 9999).
fn utc(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Days since 0000-03-01: eras of 400 years, years that begin in March, so that a leap day is a year's last.
    let z = days + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (s, milli) = (of_day / 1000, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{milli:03}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_printed_in_utc() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000");
        assert_eq!(utc(1_709_210_096_789), "2024-02-29 12:34:56.789");
        assert_eq!(utc(-1), "1969-12-31 23:59:59.999");
        assert_eq!(utc(253_402_300_799_999), "9999-12-31 23:59:59.999");
    }

    #[test]
    fn a_table_with_nothing_left_in_the_log_has_no_delay() {
        let status =
            TableStatus { phase: TablePhase::Streaming, log_end: 5, applied: 5, applied_ts_us: 1, ..TableStatus::default() };
        assert_eq!(report("d.t".into(), status.clone(), None).delay_ms, Some(0));
        let behind = TableStatus { log_end: 6, ..status };
        assert!(report("d.t".into(), behind, None).delay_ms > Some(1_000_000));
    }
}
