//! XA transactions: logged when they are prepared, part of their tables when they are committed.
//!
//! A table that is followed stops at such rows. Of one that is not yet, the rows are in no snapshot that is read before the commit,
//! and the commit has none.

use crate::config::{MysqlSourceConfig, random_server_id};
use crate::connection::{Connection, ServerKind, text};
use crate::event::EventReader;
use crate::event_body::EventBody;
use crate::position::file_number;
use crate::stream::Stream;
use crate::stream_log::{DumpStart, LogConnection, LogFailure, widen};
use crate::stream_table::Phase;
use cdc_core::{ErrorKind, LogCoordinate, Result, StopReason, TableId};
use std::collections::{BTreeSet, HashMap};

/// What is known of XA transactions.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The tables of those that are prepared and not ended, by the name that statements of the log have for them.
    tables: HashMap<String, BTreeSet<TableId>>,
    /// One that was prepared before this stream began, and is committed here: the stream stands until its tables are known.
    sought: Option<Sought>,
}

#[derive(Debug)]
struct Sought {
    name: String,
    asked: bool,
}

/// An open transaction that is (half of) an XA transaction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    name: Option<String>,
    tables: BTreeSet<TableId>,
}

impl Half {
    pub(crate) fn changes(&mut self, table: &TableId) {
        if !self.tables.contains(table) {
            self.tables.insert(table.clone());
        }
    }
}

impl Prepared {
    /// The stream stands.
    pub(crate) fn is_sought(&self) -> bool {
        self.sought.is_some()
    }

    pub(crate) fn seeks(&self, name: &str) -> bool {
        self.sought.as_ref().is_some_and(|s| s.name == name)
    }

    /// Whose tables are to be looked for, once.
    pub(crate) fn next_to_seek(&mut self) -> Option<String> {
        let sought = self.sought.as_mut().filter(|s| !s.asked)?;
        sought.asked = true;
        Some(sought.name.clone())
    }

    /// The stream goes back: it will come to the commit again.
    pub(crate) fn forget_sought(&mut self) {
        self.sought = None;
    }
}

/// What an XA statement does, and to which transaction.
fn parts(statement: &str) -> Option<(String, &str)> {
    let mut words = statement.trim_start().splitn(3, |c: char| c.is_ascii_whitespace());
    let verb = words.nth(1)?.to_ascii_uppercase();
    Some((verb, words.next()?.trim()))
}

impl Stream {
    /// Takes in an XA statement of the open transaction.
    pub(crate) fn xa(&mut self, statement: &str) -> Result<()> {
        let Some((verb, name)) = parts(statement) else { return self.commit() };
        match verb.as_str() {
            "START" | "BEGIN" => {
                self.begun();
                self.xa_half();
                Ok(())
            }
            "END" => {
                self.begun();
                if let Some(half) = self.xa_half() {
                    half.name = Some(name.to_owned());
                }
                Ok(())
            }
            "COMMIT" => match self.prepared.tables.remove(name) {
                Some(tables) => self.prepared_committed(Some(&tables)),
                None if self.tables.iter().any(|t| t.phase == Phase::Live) => {
                    self.prepared.sought = Some(Sought { name: name.to_owned(), asked: false });
                    Ok(())
                }
                None => self.commit(),
            },
            "ROLLBACK" => {
                self.prepared.tables.remove(name);
                self.commit()
            }
            _ => self.commit(),
        }
    }

    /// The first phase ends; with `one_phase` it is all.
    pub(crate) fn xa_prepared(&mut self, one_phase: bool) -> Result<()> {
        if let Some(half) = self.xa_half().filter(|_| !one_phase).map(std::mem::take)
            && let Some(name) = half.name
        {
            self.prepared.tables.insert(name, half.tables);
        }
        self.commit()
    }

    /// The tables of the transaction that was sought; `None` if the log has it no more.
    pub(crate) fn prepared_found(&mut self, tables: Option<&BTreeSet<TableId>>) -> Result<()> {
        self.prepared.sought = None;
        self.prepared_committed(tables)
    }

    /// Rows of before become part of their tables.
    fn prepared_committed(&mut self, tables: Option<&BTreeSet<TableId>>) -> Result<()> {
        let changed: Vec<usize> = match tables {
            Some(tables) => tables.iter().filter_map(|id| self.index_of(id)).collect(),
            None => (0..self.tables.len()).collect(),
        };
        let what = match tables {
            Some(_) => {
                "an XA transaction that has changed it was committed, which this version does not follow: its rows were logged before"
            }
            None => {
                "an XA transaction was committed that may have changed it: its rows were logged in a file that the server does not have any more"
            }
        };
        for index in changed {
            // What is read later shows them.
            if self.tables.get(index).is_some_and(|t| t.phase == Phase::Live) {
                self.stop(index, StopReason::UndecodableRow, what, &["end the use of XA on this table"])?;
            }
        }
        self.commit()
    }
}

/// The tables that an XA transaction has changed which was prepared before a place of the log; `None` if the log does not have it.
pub(crate) async fn tables_of_prepared(
    connection: &mut Connection,
    config: &MysqlSourceConfig,
    name: &str,
    before: &LogCoordinate,
) -> Result<Option<BTreeSet<TableId>>> {
    let rows = connection.rows("listing binary logs", "SHOW BINARY LOGS").await?;
    let mut files: Vec<String> = rows.iter().filter_map(|r| text(r, 0)).collect();
    files.retain(|file| file_number(file) <= file_number(&before.file));
    // The server ends a dump when another one of the same number begins.
    let config = MysqlSourceConfig { server_id: random_server_id(), ..config.clone() };
    for file in files.iter().rev() {
        tracing::info!(file, name, "looking for an XA transaction that was prepared before the log was read");
        let end = (*file == before.file).then_some(before.offset);
        match prepared_in_file(&config, connection.server.kind, file, end, name).await {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            // It was purged meanwhile, and those before it.
            Err(e) if e.kind() == ErrorKind::Unsafe => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// As [`tables_of_prepared`], in one file up to its `end`.
async fn prepared_in_file(
    config: &MysqlSourceConfig,
    kind: ServerKind,
    file: &str,
    end: Option<u64>,
    name: &str,
) -> Result<Option<BTreeSet<TableId>>> {
    let beginning = LogCoordinate { file: file.to_owned(), offset: 4, row: 0 };
    let mut log = LogConnection::open(config, kind, DumpStart::At(&beginning)).await?;
    let mut reader = EventReader::new();
    let mut numbers: HashMap<u64, TableId> = HashMap::new();
    let mut half = Half::default();
    let mut found = None;
    let mut at = 0;
    while end.is_none_or(|end| at < end) {
        log.wait().await.map_err(|(LogFailure::Lost(e) | LogFailure::Fatal(e))| e)?;
        let event = reader.read(log.raw())?;
        if event.header.log_pos != 0 && !event.header.is_artificial() {
            at = widen(at, event.header.log_pos);
        }
        match &event.body {
            EventBody::Rotate { file: next, .. } if **next != *file => break,
            EventBody::Gtid(_) | EventBody::MariadbGtid(_) => half = Half::default(),
            EventBody::TableMap(map) => drop(numbers.insert(map.table_id, TableId::new(map.database, map.table))),
            EventBody::Rows(rows) => numbers.get(&rows.table_id).into_iter().for_each(|table| half.changes(table)),
            EventBody::UnreadableRows { table_id, .. } => {
                numbers.get(table_id).into_iter().for_each(|table| half.changes(table));
            }
            EventBody::Query(query) => match parts(&query.text()) {
                Some((verb, of)) if verb == "END" && of == name => half.name = Some(of.to_owned()),
                // The name was used before.
                Some((verb, of)) if (verb == "COMMIT" || verb == "ROLLBACK") && of == name => found = None,
                _ => {}
            },
            EventBody::XaPrepare { one_phase: false } if half.name.is_some() => found = Some(std::mem::take(&mut half.tables)),
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_transaction_is_the_same_in_each_of_its_statements() {
        let of = |statement| parts(statement).map(|(verb, name)| (verb, name.to_owned()));
        assert_eq!(of("XA END X'61',X'62 63',7"), Some(("END".to_owned(), "X'61',X'62 63',7".to_owned())));
        assert_eq!(of("xa commit X'61',X'',1 "), Some(("COMMIT".to_owned(), "X'61',X'',1".to_owned())));
        assert_eq!(of("XA RECOVER"), None);
    }
}
