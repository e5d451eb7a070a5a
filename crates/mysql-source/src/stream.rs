//! What the events of the log do to the captured tables: transactions, row changes, positions.

use crate::config::MysqlSourceConfig;
use crate::connection::ServerKind;
use crate::decode::RowPlan;
use crate::decode_error::DecodeError;
use crate::event::{Event, EventHeader};
use crate::event_body::EventBody;
use crate::names::NameCase;
use crate::position::uuid_text;
use crate::preflight_tables::add_a_key;
use crate::rows_event::{RowsEvent, RowsKind};
use crate::stream_log::widen;
use crate::stream_row_count::count_rows;
use crate::stream_table::{Accumulator, Captured, Phase};
use crate::stream_undo::Undo;
use crate::stream_xa::{Half, Prepared};
use crate::table_map::{ColumnLayout, TableMapEvent};
use cdc_core::{IntervalSet, LogCoordinate, Origin, Result, SourceItem, SourcePosition, StopReason, TableId, TransactionInfo};
use std::collections::HashMap;
use std::sync::Arc;

/// The state of the stream: up to where it is, and what it found.
pub(crate) struct Stream {
    pub(crate) config: MysqlSourceConfig,
    pub(crate) kind: ServerKind,
    /// Up to where it is, between transactions.
    pub(crate) position: SourcePosition,
    pub(crate) tables: Vec<Captured>,
    names: HashMap<TableId, usize>,
    pub(crate) name_case: NameCase,
    maps: HashMap<u64, Mapped>,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) prepared: Prepared,
    /// Row changes of the next transaction that were handed on before.
    skip: u64,
    /// The file and its end as far as it was read.
    pub(crate) file: Arc<str>,
    pub(crate) end: u64,
    /// When the file was made, as its first event says; 0 before that came.
    file_created: u32,
    /// What a stream that goes on in this file must find as the file's time of creation.
    expected_creation: Option<(String, u32)>,
    /// Before which place the first transaction of a stream that goes on cannot be.
    not_before: Option<LogCoordinate>,
    pub(crate) out: Accumulator,
    /// The position has moved since the last batch.
    pub(crate) moved: bool,
    /// The columns of these tables are to be read from the server.
    pub(crate) unread: Vec<usize>,
    /// An index of these tables was dropped: it may have been the key.
    pub(crate) keys_to_check: Vec<usize>,
    /// How many tables wait for the stream to come to a certain place; an upper bound.
    pub(crate) watched: usize,
}

/// What a table number of the log means.
struct Mapped {
    table: TableId,
    fingerprint: [Box<[u8]>; 4],
    layouts: Option<Vec<ColumnLayout>>,
    target: Option<usize>,
    plan: Option<RowPlan>,
}

pub(crate) struct Transaction {
    pub(crate) info: TransactionInfo,
    /// Where it goes in the set: MySQL uuid and tag, MariaDB domain.
    origin: String,
    number: u64,
    start: LogCoordinate,
    thread: Option<u64>,
    /// Row changes read so far, those to be skipped included.
    rows: u64,
    skip: u64,
    bytes_before: usize,
    pub(crate) undo: Undo,
    /// A commit ends it, not its first statement.
    begun: bool,
    /// It is (half of) an XA transaction.
    xa: Option<Half>,
    /// Its statement has changed nothing, or not yet.
    pub(crate) without_effect: bool,
}

impl Transaction {
    /// Row changes that are taken in now or were handed on before: those that are skipped count before they are read again.
    fn handed_on(&self) -> u64 {
        self.rows.max(self.skip)
    }
}

impl Stream {
    pub(crate) fn new(config: MysqlSourceConfig, kind: ServerKind, position: SourcePosition, name_case: NameCase) -> Self {
        let mut position = position;
        let skip = std::mem::take(&mut position.log.row);
        let (expected_creation, not_before) = expected_log(&position);
        Self {
            file: position.log.file.as_str().into(),
            end: position.log.offset,
            file_created: position.log_created,
            config,
            kind,
            position,
            tables: Vec::new(),
            names: HashMap::new(),
            name_case,
            maps: HashMap::new(),
            transaction: None,
            prepared: Prepared::default(),
            skip,
            expected_creation,
            not_before,
            out: Accumulator::default(),
            moved: false,
            unread: Vec::new(),
            keys_to_check: Vec::new(),
            watched: 0,
        }
    }

    /// Adds a table; its index stays.
    pub(crate) fn add(&mut self, table: Captured) -> usize {
        let index = self.tables.len();
        self.names.insert(self.name_case.folded(&table.id), index);
        self.tables.push(table);
        index
    }

    /// The captured table of that name.
    pub(crate) fn index_of(&self, id: &TableId) -> Option<usize> {
        match self.name_case {
            NameCase::Told => self.names.get(id).copied(),
            case => self.names.get(&case.folded(id)).copied(),
        }
    }

    /// No transaction is open, and none was handed on in part.
    pub(crate) fn settled(&self) -> bool {
        self.transaction.is_none() && self.skip == 0
    }

    /// The open transaction has more rows than are held at once.
    pub(crate) fn must_split(&self) -> bool {
        let held = |t: &Transaction| self.out.bytes.saturating_sub(t.bytes_before);
        self.transaction.as_ref().is_some_and(|t| t.rows > t.skip && held(t) >= self.config.max_transaction_bytes)
    }

    /// Up to where what was accumulated is complete, row changes of an open transaction included.
    pub(crate) fn position_now(&self) -> SourcePosition {
        let mut position = self.position.clone();
        if let Some(t) = &self.transaction {
            position.log = LogCoordinate { row: t.handed_on(), ..t.start.clone() };
            position.log_created = self.file_created;
        } else if self.skip > 0 {
            position.log.row = self.skip;
        }
        position
    }

    /// All changes that were read become items; the batch's items are taken.
    pub(crate) fn take_items(&mut self) -> Result<Vec<SourceItem>> {
        for index in std::mem::take(&mut self.out.dirty) {
            if let Some(table) = self.tables.get_mut(index) {
                table.flush(&mut self.out)?;
            }
        }
        self.out.bytes = 0;
        self.out.rows = 0;
        if let Some(t) = &mut self.transaction {
            t.bytes_before = 0;
            t.undo.hand_on();
        }
        self.moved = false;
        Ok(std::mem::take(&mut self.out.items))
    }

    /// The connection was lost: the open transaction will be read again, and what was read of it skipped.
    pub(crate) fn rewind(&mut self) -> SourcePosition {
        self.maps.clear();
        self.prepared.forget_sought();
        let position = self.position_now();
        if let Some(t) = self.transaction.take() {
            self.skip = t.handed_on();
            self.position.log = t.start;
            self.position.log_created = self.file_created;
        }
        self.file = self.position.log.file.as_str().into();
        self.end = self.position.log.offset;
        self.file_created = self.position.log_created;
        (self.expected_creation, self.not_before) = expected_log(&self.position);
        position
    }

    /// Takes one event in.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> Result<()> {
        let header = &event.header;
        let in_file = header.log_pos != 0 && !header.is_artificial();
        let before = self.end;
        if in_file && !matches!(event.body, EventBody::Rotate { .. } | EventBody::Heartbeat { .. }) {
            self.end = widen(self.end, header.log_pos);
        }
        match &event.body {
            EventBody::Rotate { position, file } => {
                if *self.file != **file {
                    self.file_created = 0;
                }
                self.file = file.as_ref().into();
                self.end = *position;
                self.maps.clear();
                self.advance();
            }
            EventBody::FormatDescription(_) => {
                self.maps.clear();
                self.check_creation(header)?;
                self.advance();
            }
            EventBody::Gtid(gtid) => {
                let Some(uuid) = gtid.uuid else {
                    return Err(self.refuse(
                        "a transaction has no GTID",
                        &["set gtid_mode = ON on the server; then start anew: lakehouse resnapshot"],
                    ));
                };
                let mut origin = uuid_text(&uuid);
                if !gtid.tag.is_empty() {
                    origin.push(':');
                    origin.push_str(gtid.tag);
                }
                let text = format!("{origin}:{}", gtid.number);
                let ts_us = match gtid.original_commit_us {
                    0 => seconds(header),
                    us => i64::try_from(us).unwrap_or(i64::MAX),
                };
                self.begin(header, before, origin, gtid.number, text, ts_us, false)?;
            }
            EventBody::MariadbGtid(gtid) => {
                let origin = gtid.domain.to_string();
                let text = format!("{}-{}-{}", gtid.domain, header.server_id, gtid.number);
                self.begin(header, before, origin, gtid.number, text, seconds(header), !gtid.is_standalone())?;
                if let Some(t) = &mut self.transaction {
                    t.xa = gtid.is_xa().then(Half::default);
                    t.without_effect = gtid.is_unfinished_alter();
                }
            }
            EventBody::Query(query) => {
                let mysql = self.kind == ServerKind::Mysql;
                if let Some(t) = &mut self.transaction
                    && mysql
                {
                    t.thread = Some(u64::from(query.thread));
                }
                if self.transaction.is_none() {
                    return Err(self.refuse("a statement stands outside of any transaction", &[]));
                }
                self.statement(query)?;
            }
            EventBody::Xid(_) => self.commit()?,
            EventBody::XaPrepare { one_phase } => self.xa_prepared(*one_phase)?,
            EventBody::TableMap(map) => self.table_map(map)?,
            EventBody::Rows(rows) => self.rows(rows, before)?,
            EventBody::UnreadableRows { table_id, why } => self.unreadable_rows(*table_id, why)?,
            EventBody::Heartbeat { file, position } => {
                if **file == *self.file && *position > self.end {
                    self.end = *position;
                }
                self.advance();
            }
            EventBody::Incident { number, message } => {
                return Err(self.refuse(
                    &format!("the server says that its log may lack changes (incident {number}: {message})"),
                    &["read the tables again: lakehouse resnapshot"],
                ));
            }
            EventBody::RowsQuery(_) | EventBody::PreviousGtids(_) | EventBody::MariadbGtidList(_) | EventBody::Stop => {
                self.advance()
            }
            EventBody::Ignored => self.advance(),
        }
        Ok(())
    }

    /// Between transactions the position follows what was read, forward only.
    fn advance(&mut self) {
        if self.transaction.is_some() || self.skip > 0 {
            return;
        }
        let here = LogCoordinate { file: self.file.to_string(), offset: self.end, row: 0 };
        if crate::chunk::at_or_after(&here, &self.position.log) {
            self.moved |= here != self.position.log;
            self.position.log = here;
            self.position.log_created = self.file_created;
        }
    }

    fn check_creation(&mut self, header: &EventHeader) -> Result<()> {
        if let Some((file, created)) = self.expected_creation.take()
            && *self.file == *file
            && header.timestamp != 0
            && header.timestamp != created
        {
            return Err(self.refuse(
                &format!("{file} is another file than the one that this mirror has read: the server's logs were reset"),
                &["read the tables again: lakehouse resnapshot"],
            ));
        }
        if header.timestamp != 0 {
            self.file_created = header.timestamp;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "one call for each family of servers, next to each other")]
    fn begin(
        &mut self,
        header: &EventHeader,
        before: u64,
        origin: String,
        number: u64,
        gtid: String,
        ts_us: i64,
        begun: bool,
    ) -> Result<()> {
        if self.transaction.is_some() {
            return Err(self.refuse("a transaction begins before the one before it has ended", &[]));
        }
        let offset = self.end.checked_sub(u64::from(header.size)).unwrap_or(before);
        let start = LogCoordinate { file: self.file.to_string(), offset, row: 0 };
        // The numbers of transactions begin anew when a server's logs are reset, and may have passed those that we have.
        if let Some(place) = self.not_before.take()
            && !crate::chunk::at_or_after(&start, &place)
        {
            return Err(self.refuse(
                &format!(
                    "its next transaction is at {} {}, and this mirror has read to {} {}: the server's logs were reset",
                    start.file, start.offset, place.file, place.offset
                ),
                &["read the tables again: lakehouse resnapshot"],
            ));
        }
        let skip = std::mem::take(&mut self.skip);
        if skip > 0 && (start.file != self.position.log.file || start.offset != self.position.log.offset) {
            return Err(self.refuse(
                &format!(
                    "the mirror stopped in the middle of the transaction at {} {}, and the server goes on with another one",
                    self.position.log.file, self.position.log.offset
                ),
                &["read the tables again: lakehouse resnapshot"],
            ));
        }
        self.transaction = Some(Transaction {
            info: TransactionInfo { gtid: Some(gtid.into()), file: Arc::clone(&self.file), server_id: header.server_id, ts_us },
            origin,
            number,
            start,
            thread: None,
            rows: 0,
            skip,
            bytes_before: self.out.bytes,
            undo: Undo::new(self.out.items.len(), skip > 0),
            begun,
            xa: None,
            without_effect: false,
        });
        Ok(())
    }

    /// The open transaction will end with a commit.
    pub(crate) fn begun(&mut self) {
        if let Some(t) = &mut self.transaction {
            t.begun = true;
        }
    }

    /// The open transaction is (half of) an XA transaction.
    pub(crate) fn xa_half(&mut self) -> Option<&mut Half> {
        self.transaction.as_mut().map(|t| t.xa.get_or_insert_default())
    }

    /// Where the open transaction begins.
    pub(crate) fn transaction_start(&self) -> Option<&LogCoordinate> {
        self.transaction.as_ref().map(|t| &t.start)
    }

    /// The open transaction ends with this statement, unless a commit is to follow.
    pub(crate) fn statement_done(&mut self) -> Result<()> {
        if self.transaction.as_ref().is_some_and(|t| !t.begun) { self.commit() } else { Ok(()) }
    }

    /// The open transaction ends.
    pub(crate) fn commit(&mut self) -> Result<()> {
        let Some(t) = self.transaction.take() else {
            return Err(self.refuse("a commit stands outside of any transaction", &[]));
        };
        if t.rows < t.skip {
            return Err(self.refuse(
                &format!("{} row changes of a transaction were read before, now it has {}", t.skip, t.rows),
                &["read the tables again: lakehouse resnapshot"],
            ));
        }
        match self.kind {
            ServerKind::Mysql => self.position.transactions.insert(&t.origin, t.number),
            // A domain's numbers are in order, and may leave some out.
            ServerKind::Mariadb => {
                let all = IntervalSet::range(1, t.number.saturating_add(1));
                for &(start, end) in all.intervals() {
                    self.position.transactions.0.entry(t.origin.clone()).or_default().insert(start, end);
                }
            }
        }
        self.position.ts_us = t.info.ts_us;
        self.moved = true;
        self.position.log = LogCoordinate { file: self.file.to_string(), offset: self.end, row: 0 };
        self.position.log_created = self.file_created;
        Ok(())
    }

    fn table_map(&mut self, map: &TableMapEvent<'_>) -> Result<()> {
        let fingerprint = map.fingerprint();
        if let Some(known) = self.maps.get(&map.table_id)
            && known.table.database == map.database
            && known.table.table == map.table
            && known.fingerprint.iter().zip(fingerprint).all(|(a, b)| **a == *b)
            && self.is_current(known)
        {
            return Ok(());
        }
        let table = TableId::new(map.database, map.table);
        let target = self.index_of(&table);
        if let Some(index) = target {
            self.take_lists(index, map)?;
        }
        let mut mapped =
            Mapped { target, table, fingerprint: fingerprint.map(Into::into), layouts: map.columns().ok(), plan: None };
        if let Some(index) = target
            && let Some(captured) = self.tables.get(index).filter(|t| t.phase == Phase::Live)
            && let Some(schema) = &captured.schema
        {
            match RowPlan::new(map, Arc::clone(schema)) {
                Ok(plan) => mapped.plan = Some(plan),
                Err(e) => self.stop_undecodable(index, &e)?,
            }
        }
        self.maps.insert(map.table_id, mapped);
        Ok(())
    }

    /// Its plan is still the one that its table needs.
    fn is_current(&self, mapped: &Mapped) -> bool {
        let Some(captured) = mapped.target.and_then(|i| self.tables.get(i)) else {
            return self.index_of(&mapped.table).is_none();
        };
        match (&captured.schema, &mapped.plan) {
            _ if captured.phase != Phase::Live => true,
            (Some(schema), Some(plan)) => Arc::ptr_eq(schema, plan.schema()),
            _ => false,
        }
    }

    fn rows(&mut self, event: &RowsEvent<'_>, start: u64) -> Result<()> {
        let Some(mut mapped) = self.maps.remove(&event.table_id) else {
            // The server ends a statement over tables that it does not send with a row event of a number of no table.
            if event.rows.is_empty() {
                return Ok(());
            }
            return Err(self.refuse(&format!("rows belong to the table number {}, which was not explained", event.table_id), &[]));
        };
        let done = self.rows_of(&mut mapped, event, start);
        self.maps.insert(event.table_id, mapped);
        let rows = done?;
        if let Some(t) = &mut self.transaction {
            t.rows = t.rows.saturating_add(rows);
        }
        Ok(())
    }

    /// Rows of which nothing but their table can be told: it stops, if it is captured.
    fn unreadable_rows(&mut self, table_id: u64, why: &str) -> Result<()> {
        let Some(mapped) = self.maps.get(&table_id) else {
            return Err(self.refuse(&format!("rows belong to the table number {table_id}, which was not explained"), &[]));
        };
        let target = mapped.target.filter(|&i| self.tables.get(i).is_some_and(|t| t.phase == Phase::Live));
        let Some(t) = &mut self.transaction else {
            return Err(self.refuse("rows stand outside of any transaction", &[]));
        };
        // How many they are is not told: one, whenever they are read.
        t.rows = t.rows.saturating_add(1);
        if let Some(half) = &mut t.xa {
            half.changes(&mapped.table);
        }
        match target {
            Some(index) if t.rows > t.skip => self.stop(index, StopReason::UndecodableRow, why, &[]),
            _ => Ok(()),
        }
    }

    fn rows_of(&mut self, mapped: &mut Mapped, event: &RowsEvent<'_>, start: u64) -> Result<u64> {
        let counted = |mapped: &Mapped| mapped.layouts.as_ref().and_then(|l| count_rows(l, event).ok()).unwrap_or(1);
        let live = mapped.target.filter(|&i| self.tables.get(i).is_some_and(|t| t.phase == Phase::Live));
        let Some(t) = &mut self.transaction else {
            return Err(self.refuse("rows stand outside of any transaction", &[]));
        };
        if let Some(index) = live
            && let Some(table) = self.tables.get(index)
        {
            t.undo.touch(index, table);
        }
        if let Some(half) = &mut t.xa {
            half.changes(&mapped.table);
        }
        let to_skip = t.skip.saturating_sub(t.rows);
        if to_skip > 0 {
            let rows = counted(mapped);
            if rows <= to_skip {
                return Ok(rows);
            }
        }
        let Some(index) = live else { return Ok(counted(mapped)) };
        if t.xa.is_some() {
            self.stop(
                index,
                StopReason::UndecodableRow,
                "it was changed in an XA transaction, which this version does not follow",
                &["end the use of XA on this table"],
            )?;
            return Ok(counted(mapped));
        }
        let origin = Origin {
            transaction: t.info.clone(),
            pos: start,
            thread: t.thread,
            query: None,
            processed_ns: i64::try_from((self.config.clock)().as_nanos()).unwrap_or(i64::MAX),
        };
        let Some(captured) = self.tables.get_mut(index) else { return Ok(counted(mapped)) };
        if event.kind != RowsKind::Insert && captured.schema.as_ref().is_some_and(|s| s.key.is_empty()) {
            let what = if event.kind == RowsKind::Update { "updated" } else { "deleted" };
            let add = add_a_key(&captured.id);
            self.stop(
                index,
                StopReason::NoKey,
                &format!("a row was {what}, and the table has no key by which to find it"),
                &[&add],
            )?;
            return Ok(counted(mapped));
        }
        let done = match &mapped.plan {
            Some(plan) => captured.append(index, plan, event, to_skip, origin, &mut self.out),
            None => Err(DecodeError::invalid("the table became known in the middle of a statement")),
        };
        match done {
            Ok(rows) => Ok(rows),
            Err(e) => {
                self.stop_undecodable(index, &e)?;
                Ok(counted(mapped))
            }
        }
    }
}

/// What must be true of the log if this position, where it was read, is still a place of it. Another server's says nothing.
fn expected_log(position: &SourcePosition) -> (Option<(String, u32)>, Option<LogCoordinate>) {
    let read = position.log_created != 0;
    (read.then(|| (position.log.file.clone(), position.log_created)), read.then(|| position.log.clone()))
}

fn seconds(header: &EventHeader) -> i64 {
    i64::from(header.timestamp).saturating_mul(1_000_000)
}

#[cfg(test)]
#[path = "stream_resume_tests.rs"]
mod resume_tests;
