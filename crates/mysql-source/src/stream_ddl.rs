//! What statements of the log do to the captured tables.

use crate::connection::ServerKind;
use crate::ddl::{AlterClass, AlterTable, Dialect, PartitionMove, Statement, parse_statement};
use crate::discover::is_system_database;
use crate::enum_lists::is_same_type;
use crate::event_body::Query;
use crate::stream::Stream;
use crate::stream_table::{Accumulator, Captured, Phase};
use cdc_core::{BarrierKind, Result, SourceItem, StopReason, TableId, TableSchema, TableStop};
use std::collections::BTreeSet;
use std::slice::from_ref;
use std::sync::Arc;

/// The way on where a session has logged its statements.
const LOG_ROWS: &str = "set binlog_format = 'ROW' on the server and in all sessions";

impl Stream {
    /// Takes in a statement of the open transaction.
    pub(crate) fn statement(&mut self, query: &Query<'_>) -> Result<()> {
        let mariadb = self.kind == ServerKind::Mariadb;
        if self.transaction.as_ref().is_some_and(|t| t.without_effect) {
            return self.statement_done();
        }
        let text = query.text();
        match self.name_case.as_stored(parse_statement(&text, query.database, Dialect::of(query, mariadb))) {
            Statement::Begin => {
                self.begun();
                return Ok(());
            }
            Statement::Commit => return self.commit(),
            Statement::Rollback => return self.rolled_back(),
            Statement::Savepoint(name) => {
                self.savepoint(&name);
                return Ok(());
            }
            Statement::RollbackTo(name) => return self.rolled_back_to(&name),
            Statement::ReleaseSavepoint => return Ok(()),
            Statement::Xa => return self.xa(&text),
            Statement::CreateTable { table, if_not_exists, or_replace } => {
                if or_replace {
                    self.gone(from_ref(&table), from_ref(&table), "it was replaced")?;
                }
                self.created(&table, if_not_exists && !or_replace, &text)?;
                // CREATE TABLE ... SELECT: its rows and its commit follow.
                let tail = text.trim_end();
                if !mariadb
                    && tail.len() >= 17
                    && tail.is_char_boundary(tail.len() - 17)
                    && tail[tail.len() - 17..].eq_ignore_ascii_case("START TRANSACTION")
                {
                    self.begun();
                }
            }
            Statement::AlterTable(alter) => self.altered(&alter, &text)?,
            Statement::DropTables(tables) => self.gone(&tables, &[], "it was dropped")?,
            Statement::RenameTables(pairs) => {
                let (from, to): (Vec<TableId>, Vec<TableId>) = pairs.into_iter().unzip();
                // Of a chain only the ends count: a name that something was moved to holds a table again.
                self.gone(&from, &to, "it was renamed")?;
                for table in to.iter().filter(|t| !is_moved_on(t, &from, &to)) {
                    self.created(table, false, &text)?;
                }
            }
            Statement::Truncate(table) => self.truncated(&table)?,
            Statement::DropDatabase(database) => {
                let tables: Vec<TableId> = self
                    .tables
                    .iter()
                    .filter(|t| self.name_case.is_same_database(&t.id.database, &database))
                    .map(|t| t.id.clone())
                    .collect();
                self.gone(&tables, &[], "its database was dropped")?;
            }
            Statement::Data => self.unseen(
                &text,
                StopReason::RowsChangedByDdl,
                "rows were changed by a statement that was logged as text",
                &[LOG_ROWS],
            )?,
            Statement::Function => self.unseen_anywhere(&text)?,
            Statement::Unreadable { reason } => {
                self.unseen(&text, StopReason::UnknownDdl, &format!("a statement could not be understood: {reason}"), &[])?
            }
            Statement::CreateDatabase(_) | Statement::AlterDatabase(_) | Statement::Irrelevant => {}
        }
        self.statement_done()
    }

    /// A table of this name is there now.
    fn created(&mut self, id: &TableId, if_not_exists: bool, ddl: &str) -> Result<()> {
        if is_system_database(&id.database) || !self.config.tables.matches(id) {
            return Ok(());
        }
        let index = match self.index_of(id) {
            Some(index) => index,
            None => self.add(Captured::new(id.clone(), Phase::Absent)),
        };
        let Some(table) = self.tables.get_mut(index) else { return Ok(()) };
        let new_at_the_start =
            table.perhaps_new && !table.rows_wanted && matches!(table.phase, Phase::Unread | Phase::Pending { .. });
        if if_not_exists && !table.gone && !matches!(table.phase, Phase::Absent) && !new_at_the_start {
            return Ok(());
        }
        table.rows_wanted = true;
        table.ddl = Some(ddl.to_owned());
        // Of a table that was stopped for its columns the log has nothing that could go.
        table.recreated |= table.in_log() && table.schema.is_some();
        table.gone = false;
        self.reread(index, "it was made anew")
    }

    /// Its columns and rows are to be read from the server; its events are of no use until then.
    fn reread(&mut self, index: usize, why: &str) -> Result<()> {
        let position = self.position_now();
        let Some(table) = self.tables.get_mut(index) else { return Ok(()) };
        table.flush(&mut self.out)?;
        if table.in_log() {
            // The position may go on before the table does: whoever starts from there has to know.
            let (id, reason) = (table.id.clone(), StopReason::ReadAgain);
            let message = format!("{id} is to be read again: {why}");
            table.was_stopped = true;
            self.out.items.push(SourceItem::Stop(TableStop { table: id, reason, message, position }));
        }
        table.phase = Phase::Unread;
        table.reading = table.reading.wrapping_add(1);
        table.window = None;
        table.new_creates_after = None;
        table.mark_wanted = false;
        self.unread.push(index);
        Ok(())
    }

    /// Tables are not there any more, except those that the same statement makes anew.
    fn gone(&mut self, tables: &[TableId], anew: &[TableId], how: &str) -> Result<()> {
        for id in tables {
            let Some(index) = self.index_of(id) else { continue };
            let comes_back = anew.iter().any(|a| self.index_of(a) == Some(index));
            let Some(table) = self.tables.get_mut(index) else { continue };
            match table.phase {
                Phase::Unread | Phase::Pending { .. } if table.known() && !comes_back => self.dropped(index, how)?,
                Phase::Unread | Phase::Pending { .. } | Phase::Absent => table.phase = Phase::Absent,
                Phase::Stopped => table.gone = true,
                Phase::Live | Phase::Keyless if comes_back => {
                    table.flush(&mut self.out)?;
                    table.gone = true;
                }
                Phase::Live | Phase::Keyless => self.dropped(index, how)?,
            }
        }
        Ok(())
    }

    /// A table is not there any more.
    pub(crate) fn dropped(&mut self, index: usize, how: &str) -> Result<()> {
        if let Some(table) = self.tables.get_mut(index) {
            table.gone = true;
        }
        self.stop(
            index,
            StopReason::Dropped,
            how,
            &["nothing is to be done if that was meant: the mirror keeps its last rows", "made anew, it is followed again"],
        )
    }

    fn truncated(&mut self, id: &TableId) -> Result<()> {
        let Some(index) = self.index_of(id) else { return Ok(()) };
        let Some(table) = self.tables.get_mut(index).filter(|t| t.phase == Phase::Live) else { return Ok(()) };
        table.flush(&mut self.out)?;
        if let Some(window) = &mut table.window {
            window.spoiled = true;
        }
        self.out.items.push(SourceItem::Barrier { table: table.id.clone(), kind: BarrierKind::Truncate });
        Ok(())
    }

    /// A table that is followed, and its columns. One that waits to be read is read anew, as a statement has changed it.
    fn live_or_reread(&mut self, id: &TableId) -> Result<Option<(usize, Arc<TableSchema>)>> {
        let Some(index) = self.index_of(id) else { return Ok(None) };
        let Some(table) = self.tables.get_mut(index) else { return Ok(None) };
        match (&table.phase, &table.schema) {
            (Phase::Stopped | Phase::Absent, _) => return Ok(None),
            (Phase::Live, Some(schema)) => return Ok(Some((index, Arc::clone(schema)))),
            (Phase::Keyless, _) => {
                table.recreated = true;
                table.rows_wanted = true;
            }
            _ => {}
        }
        self.reread(index, "it was altered before its rows were read")?;
        Ok(None)
    }

    /// The other table of an ALTER TABLE that moves a partition of `partitioned`, which need not be captured.
    fn partition_moved(&mut self, moved: &PartitionMove, partitioned: &TableId, ddl: &str) -> Result<()> {
        match moved {
            PartitionMove::FromTable(table) => {
                self.gone(from_ref(table), &[], &format!("it became a partition of {partitioned}"))
            }
            PartitionMove::ToTable(table) => self.created(table, false, ddl),
            PartitionMove::Exchange(table) => {
                let Some((index, _)) = self.live_or_reread(table)? else { return Ok(()) };
                let what = format!(
                    "it exchanged its rows with a partition of {partitioned} without any row event. The statement was: {}",
                    shortened(ddl)
                );
                self.stop(index, StopReason::RowsChangedByDdl, &what, &[])
            }
        }
    }

    fn altered(&mut self, alter: &AlterTable, ddl: &str) -> Result<()> {
        if let Some(to) = alter.renamed_to.as_ref().filter(|to| **to != alter.table) {
            self.gone(from_ref(&alter.table), from_ref(to), "it was renamed")?;
            return self.created(to, false, ddl);
        }
        if let Some(moved) = &alter.partition {
            self.partition_moved(moved, &alter.table, ddl)?;
        }
        let Some((index, schema)) = self.live_or_reread(&alter.table)? else { return Ok(()) };
        let Some(table) = self.tables.get_mut(index) else { return Ok(()) };
        if self.kind == ServerKind::Mariadb && mentions_cascade(ddl) {
            creates_may_be_old(table, &mut self.out)?;
        }
        let alteration = alter.classify(&schema);
        let reasons = alteration.reasons.join("; ");
        let statement = format!("the statement was: {}", shortened(ddl));
        match alteration.class {
            AlterClass::MetadataOnly => {
                if !alteration.dropped_indexes.is_empty() {
                    self.keys_to_check.push(index);
                }
                let Some(new) = alteration.schema else { return Ok(()) };
                if new.key.is_empty() != schema.key.is_empty() {
                    return self.stop(index, StopReason::RowsChangedByDdl, &format!("its key was changed. {statement}"), &[]);
                }
                // Under another collation or type the key's order is another one: what is beyond the last chunk's last key is not
                // what was beyond it.
                let reading = table.rows_wanted && table.generation.is_some();
                if reading && !same_order(&schema, &new) {
                    table.recreated = true;
                    return self.reread(index, "its key was altered before all its rows were read");
                }
                table.flush(&mut self.out)?;
                if let Some(window) = &mut table.window {
                    window.spoiled = true;
                }
                let new = Arc::new(new);
                table.schema = Some(Arc::clone(&new));
                self.out.items.push(SourceItem::Schema { schema: new, ddl: Some(ddl.to_owned()) });
                Ok(())
            }
            AlterClass::ConstantDefault => self.stop(
                index,
                StopReason::RowsChangedByDdl,
                &format!("old rows show a new default without any row event ({reasons}). {statement}"),
                &[],
            ),
            AlterClass::RowsChanged => self.stop(
                index,
                StopReason::RowsChangedByDdl,
                &format!("a statement changed its rows without any row event ({reasons}). {statement}"),
                &[],
            ),
            AlterClass::Unknown => self.stop(
                index,
                StopReason::UnknownDdl,
                &format!("a statement could not be understood ({reasons}). {statement}"),
                &[],
            ),
        }
    }

    /// A stored function has changed rows of tables that no event names.
    fn unseen_anywhere(&mut self, statement: &str) -> Result<()> {
        for index in 0..self.tables.len() {
            if self.tables.get(index).is_some_and(|t| t.phase == Phase::Live) {
                let what = format!(
                    "a stored function that was logged as text changed rows, and no one tells of which table. The statement was: {}",
                    shortened(statement)
                );
                self.stop(index, StopReason::RowsChangedByDdl, &what, &[LOG_ROWS])?;
            }
        }
        Ok(())
    }

    /// Something happened that no row event tells: every captured table that the statement names stops.
    fn unseen(&mut self, statement: &str, reason: StopReason, what: &str, ways: &[&str]) -> Result<()> {
        let words: BTreeSet<String> =
            statement.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).map(str::to_lowercase).collect();
        let lower = statement.to_lowercase();
        let named: Vec<usize> = (0..self.tables.len())
            .filter(|&i| {
                self.tables.get(i).is_some_and(|t| {
                    let name = t.id.table.to_lowercase();
                    t.phase == Phase::Live && (words.contains(&name) || lower.contains(&format!("`{name}`")))
                })
            })
            .collect();
        if named.is_empty() {
            tracing::warn!(statement = %shortened(statement), "{what}; it names no captured table");
        }
        for index in named {
            self.stop(index, reason, &format!("{what}. The statement was: {}", shortened(statement)), ways)?;
        }
        Ok(())
    }
}

/// The statement may add a foreign key by which rows change that the server does not log.
fn mentions_cascade(ddl: &str) -> bool {
    let words: Vec<String> =
        ddl.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_ascii_uppercase).collect();
    let after_set = |word: &str| words.windows(2).any(|w| w[0] == "SET" && w[1] == word);
    let says = |word: &str| words.iter().any(|w| w == word);
    says("REFERENCES") && (says("CASCADE") || after_set("NULL") || after_set("DEFAULT"))
}

/// From here on a row that is created may be one that the log still has: the mark that said otherwise is taken back.
fn creates_may_be_old(table: &mut Captured, out: &mut Accumulator) -> Result<()> {
    table.flush(out)?;
    table.new_creates_after = None;
    table.mark_wanted = false;
    out.items.push(SourceItem::CreatesAreNew { table: table.id.clone(), generation: 0 });
    Ok(())
}

/// The key's columns are declared as before.
fn same_order(old: &TableSchema, new: &TableSchema) -> bool {
    let declared =
        |s: &TableSchema| s.key_columns().map(|c| (c.field_id, c.logical_type.clone(), c.native.clone())).collect::<Vec<_>>();
    declared(old) == declared(new)
}

fn is_moved_on(table: &TableId, from: &[TableId], to: &[TableId]) -> bool {
    let arrived = to.iter().rposition(|t| t == table);
    let left = from.iter().rposition(|t| t == table);
    left.is_some() && left > arrived
}

/// The beginning of a statement, on one line.
fn shortened(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((at, _)) => format!("{} ...", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// The columns of a table that was made anew, or was changed unseen: one version on, and field ids that never were of another
/// column. Columns of the same name and meaning keep theirs.
pub(crate) fn renumbered(old: &TableSchema, mut new: TableSchema) -> TableSchema {
    new.version = old.version.saturating_add(1);
    let mut last = old.last_field_id;
    for column in &mut new.columns {
        let same = old.columns.iter().find(|o| o.name == column.name && is_same_type(&o.logical_type, &column.logical_type));
        column.field_id = match same {
            Some(same) => same.field_id,
            None => {
                last = last.saturating_add(1);
                last
            }
        };
    }
    new.last_field_id = last;
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_chain_of_renames_only_the_ends_count() {
        let t = |n: &str| TableId::new("d", n);
        // t -> old, new -> t: t is there again.
        assert!(!is_moved_on(&t("t"), &[t("t"), t("new")], &[t("old"), t("t")]));
        // new -> t, t -> final: t is gone again.
        assert!(is_moved_on(&t("t"), &[t("new"), t("t")], &[t("t"), t("final")]));
    }

    #[test]
    fn long_statements_are_shortened_between_characters() {
        assert_eq!(shortened("ALTER\n  TABLE t"), "ALTER TABLE t");
        assert!(shortened(&"é".repeat(300)).ends_with(" ..."));
    }
}
