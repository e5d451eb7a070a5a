//! Rows that were logged and then rolled back.
//!
//! A server leaves out what was rolled back, but for one case: MariaDB logs a whole transaction in which a temporary table was made or
//! dropped, and ends it with ROLLBACK; and it logs a ROLLBACK TO a savepoint after which a table without transactions was changed.

use crate::stream::Stream;
use crate::stream_table::{Captured, Phase};
use cdc_core::{Result, StopReason};

/// What an open transaction has added, so that it can be taken back.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    /// The captured tables that it has changed, by index, and how many unsent changes each had before.
    touched: Vec<(usize, usize)>,
    /// Names, and the unsent changes of the tables that were touched by then.
    savepoints: Vec<(String, Vec<(usize, usize)>)>,
    /// How many items there were before it.
    items: usize,
    /// A part of it is out of our hands.
    handed_on: bool,
}

impl Undo {
    /// Of a transaction that begins, or goes on behind what was handed on of it.
    pub(crate) fn new(items: usize, handed_on: bool) -> Self {
        Self { items, handed_on, ..Self::default() }
    }

    /// A table is about to be changed.
    pub(crate) fn touch(&mut self, index: usize, table: &Captured) {
        if !self.touched.iter().any(|&(touched, _)| touched == index) {
            self.touched.push((index, table.unsent_changes()));
        }
    }

    /// What there is of it was taken.
    pub(crate) fn hand_on(&mut self) {
        self.handed_on |= !self.touched.is_empty();
    }
}

impl Stream {
    /// The open transaction is rolled back.
    pub(crate) fn rolled_back(&mut self) -> Result<()> {
        if let Some(t) = &mut self.transaction {
            let undo = std::mem::take(&mut t.undo);
            let all = undo.touched.clone();
            self.take_back(&undo, &all)?;
        }
        self.commit()
    }

    /// The open transaction sets a savepoint; an older one of this name is gone.
    pub(crate) fn savepoint(&mut self, name: &str) {
        let Some(t) = &mut self.transaction else { return };
        let now = |&(index, before): &(usize, usize)| (index, self.tables.get(index).map_or(before, Captured::unsent_changes));
        let marks = t.undo.touched.iter().map(now).collect();
        t.undo.savepoints.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        t.undo.savepoints.push((name.to_owned(), marks));
    }

    /// The open transaction goes back to a savepoint, which stays.
    pub(crate) fn rolled_back_to(&mut self, name: &str) -> Result<()> {
        let Some(t) = &mut self.transaction else { return Ok(()) };
        let mut undo = std::mem::take(&mut t.undo);
        let mut targets = undo.touched.clone();
        match undo.savepoints.iter().rposition(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some(at) => {
                undo.savepoints.truncate(at + 1);
                let marks = undo.savepoints.get(at).map_or(&[][..], |(_, marks)| marks.as_slice());
                for (index, before) in &mut targets {
                    *before = marks.iter().find(|(marked, _)| marked == index).map_or(*before, |&(_, mark)| mark);
                }
            }
            // Set before anything was logged.
            None => undo.savepoints.clear(),
        }
        self.take_back(&undo, &targets)?;
        if let Some(t) = &mut self.transaction {
            t.undo = undo;
        }
        Ok(())
    }

    /// Removes the changes of the tables beyond these numbers.
    fn take_back(&mut self, undo: &Undo, targets: &[(usize, usize)]) -> Result<()> {
        let gone = undo.handed_on || self.out.items.len() != undo.items;
        for &(index, to) in targets {
            let Some(table) = self.tables.get_mut(index).filter(|t| t.phase == Phase::Live) else { continue };
            // Its chunk lacks rows for the sake of changes that never were.
            if let Some(window) = &mut table.window {
                window.spoiled = true;
            }
            if !gone {
                table.take_back(to, &mut self.out);
                continue;
            }
            self.stop(
                index,
                StopReason::UndecodableRow,
                "a transaction was rolled back after its rows were logged, and a part of it had been handed on by then",
                &["a greater transaction.max.bytes lets such a transaction be held as a whole"],
            )?;
        }
        Ok(())
    }
}
