//! Tables without a key: no window can tell which of their rows an event has touched. They are read in one view of which the
//! place in the log is known exactly, while the stream stands still at that place (snapshot protocol, "The trap").

use crate::chunk::{Watermark, at_or_after};
use crate::connection::Connection;
use crate::engine::Engine;
use crate::retry::Failing;
use crate::snapshot::{Job, KeylessRows, Resume, read_keyless};
use crate::stream_table::Phase;
use cdc_core::{Error, ErrorKind, GenerationState, LogCoordinate, Result, SourceItem, StopReason};
use std::collections::BTreeMap;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

/// How often a place is looked for on a server that never rests.
const TRIES: u32 = 2_000;
/// How often a table is read at least before the source gives up.
const TRIES_OF_A_READ: u32 = 3;

/// The keyless table that is being read.
pub(crate) struct Keyless {
    table: usize,
    tries: u32,
    step: Step,
    held: Option<KeylessRows>,
}

enum Step {
    /// The server is asked for a place.
    Asking,
    /// The stream goes to that place. MariaDB: where a view is open.
    Approaching { at: LogCoordinate, view: Option<Box<Connection>> },
    /// The stream stands there; a view is opened, if the log does not go on meanwhile.
    Opening,
    /// The view is read.
    Reading(Receiver<KeylessRows>),
}

impl Keyless {
    /// The next rows; waits for ever unless a view is read.
    pub(crate) async fn next(keyless: Option<&mut Self>) -> Option<KeylessRows> {
        match keyless.map(|k| &mut k.step) {
            Some(Step::Reading(rows)) => rows.recv().await,
            _ => std::future::pending().await,
        }
    }
}

impl Engine {
    /// Between transactions: begins with the next table, or stops the stream where a view is or can be.
    pub(crate) fn keyless_step(&mut self) -> Result<()> {
        let Some(keyless) = &mut self.keyless else {
            if let Some(table) = self.keyless_queue.pop_front()
                && let Some(captured) = self.stream.tables.get(table).filter(|t| t.phase == Phase::Keyless)
            {
                self.keyless = Some(Keyless { table, tries: 0, step: Step::Asking, held: None });
                match self.keyless_failing.get(&(table, captured.reading)) {
                    Some(failing) => self.jobs.spawn_after(*failing, Job::KeylessPlace),
                    None => self.jobs.spawn(Job::KeylessPlace),
                }
            }
            return Ok(());
        };
        let here = &self.stream.position.log;
        match &mut keyless.step {
            Step::Approaching { at, view } if at_or_after(here, at) => {
                let exactly = at_or_after(at, here);
                match view.take() {
                    Some(view) if exactly => self.read_view(*view),
                    // The stream was ahead of the view: what it has sent is not in there.
                    Some(view) => {
                        self.close(*view);
                        self.look_again();
                        Ok(())
                    }
                    None => {
                        keyless.step = Step::Opening;
                        self.paused = true;
                        let emitted = Watermark::of(self.stream.kind, &self.stream.position);
                        self.jobs.spawn(Job::KeylessView { emitted });
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    /// The server has said where a view is, or where its log ended.
    pub(crate) fn keyless_place(&mut self, at: LogCoordinate, view: Option<Connection>) -> Result<()> {
        if let Some(keyless) = &mut self.keyless {
            keyless.step = Step::Approaching { at, view: view.map(Box::new) };
        }
        Ok(())
    }

    /// MySQL: a view was opened; it is where the stream stands if the log still ends there.
    pub(crate) fn keyless_view(&mut self, view: Connection, end: &LogCoordinate) -> Result<()> {
        let here = &self.stream.position.log;
        if at_or_after(here, end) && at_or_after(end, here) {
            return self.read_view(view);
        }
        self.close(view);
        self.paused = false;
        if let Some(keyless) = &mut self.keyless {
            keyless.tries = keyless.tries.saturating_add(1);
            keyless.step = Step::Approaching { at: end.clone(), view: None };
            if keyless.tries > TRIES {
                let table = keyless.table;
                self.keyless = None;
                return self.stream.stop(
                    table,
                    StopReason::NoKey,
                    "it has no key, and the server never stood still for the moment that reading it exactly takes",
                    &["give it a primary key, or wait for a quieter time"],
                );
            }
        }
        Ok(())
    }

    fn look_again(&mut self) {
        self.paused = false;
        if let Some(keyless) = &mut self.keyless {
            keyless.step = Step::Asking;
            self.jobs.spawn(Job::KeylessPlace);
        }
    }

    /// A connection whose view is of no use; its transaction ends with it.
    fn close(&mut self, view: Connection) {
        drop(view);
    }

    fn read_view(&mut self, view: Connection) -> Result<()> {
        self.paused = true;
        let Some(keyless) = &mut self.keyless else { return Ok(()) };
        let schema = self.stream.tables.get(keyless.table).filter(|t| t.phase == Phase::Keyless).and_then(|t| t.schema.clone());
        match schema {
            Some(schema) => keyless.step = Step::Reading(read_keyless(view, schema, self.config.memory_bytes / 8)),
            // It was changed, dropped or stopped on the way here.
            None => {
                self.keyless = None;
                self.paused = false;
            }
        }
        Ok(())
    }

    /// Rows came, or the end. One batch is held back: the last row of the table carries a mark.
    pub(crate) fn keyless_rows(&mut self, rows: Option<KeylessRows>) -> Result<()> {
        let Some(keyless) = &mut self.keyless else { return Ok(()) };
        let index = keyless.table;
        match rows {
            Some(KeylessRows::Rows(rows)) => match keyless.held.replace(KeylessRows::Rows(rows)) {
                Some(KeylessRows::Rows(before)) => self.append_keyless(index, Some(before), false),
                _ => Ok(()),
            },
            Some(KeylessRows::End(Ok(()))) => {
                let held = keyless.held.take();
                let rows = match held {
                    Some(KeylessRows::Rows(rows)) => Some(rows),
                    _ => None,
                };
                self.append_keyless(index, rows, true)?;
                self.keyless_failing.retain(|(table, _), _| *table != index);
                self.keyless = None;
                self.paused = false;
                Ok(())
            }
            Some(KeylessRows::End(Err(e))) if e.kind() != ErrorKind::Unavailable => {
                self.keyless = None;
                self.paused = false;
                let why = format!("its rows cannot be read: {e}");
                self.stream.stop(index, StopReason::UndecodableRow, &why, &[])
            }
            // The connection was lost: what was read of the view goes, and the table is read from its beginning.
            Some(KeylessRows::End(Err(e))) => {
                self.keyless = None;
                self.paused = false;
                let reading = self.stream.tables.get(index).map_or(0, |t| t.reading);
                let before = self.keyless_failing.get(&(index, reading)).copied();
                // A long read that is cut off twice is no reason to give up.
                let Some(failing) = Failing::once_more(before, Instant::now(), self.config.reconnect_limit, TRIES_OF_A_READ)
                else {
                    return Err(e);
                };
                failing.tell("reading a table without a key", &e);
                self.keyless_failing.insert((index, reading), failing);
                if let Some(table) = self.stream.tables.get_mut(index) {
                    table.recreated = true;
                    self.begin_generation(index);
                }
                Ok(())
            }
            None => Err(Error::new(ErrorKind::Other, "reading a table ended in a defect of this program")),
        }
    }

    fn append_keyless(&mut self, index: usize, rows: Option<crate::decode_buffers::RowBuffers>, ends: bool) -> Result<()> {
        let origin = self.snapshot_origin();
        let Some(table) = self.stream.tables.get_mut(index) else { return Ok(()) };
        let Some(mut generation) = table.generation.clone() else { return Ok(()) };
        let first = (generation.rows == 0).then(|| self.markers.first_row(&table.id));
        let last = ends.then(|| self.markers.last_row(&table.id));
        if let Some(rows) = rows {
            let appended = table.append_snapshot(rows, origin, first, last, &mut self.stream.out)?;
            generation.rows = generation.rows.saturating_add(appended);
        }
        if ends {
            generation.state = GenerationState::Complete { ended_at: BTreeMap::new() };
            generation.resume = Resume::default().text();
            table.phase = Phase::Live;
            table.rows_wanted = false;
            table.mark_wanted = true;
            self.jobs.spawn(Job::End { table: index, id: table.id.clone(), generation: generation.number });
        }
        table.generation = Some(generation.clone());
        self.stream.out.items.push(SourceItem::Generation(generation));
        Ok(())
    }
}
