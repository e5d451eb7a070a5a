//! What the events say, apart from tables and rows.

use crate::charset;
use crate::cursor::Cursor;
use crate::decode_error::{DecodeError, DecodeErrorKind, DecodeResult};
use crate::event::{EventHeader, event_type as t};
use crate::rows_event::{RowsEvent, RowsKind};
use crate::table_map::TableMapEvent;
use std::borrow::Cow;

/// What an event says; borrows from its bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventBody<'a> {
    /// The first event of a log file.
    FormatDescription(FormatDescription<'a>),
    /// The stream goes on in another file; artificial at the beginning of a stream.
    Rotate {
        /// The offset in it.
        position: u64,
        /// The file.
        file: Cow<'a, str>,
    },
    /// A MySQL transaction begins (also the anonymous one of a server without GTIDs).
    Gtid(Gtid<'a>),
    /// A MariaDB transaction begins.
    MariadbGtid(MariadbGtid),
    /// All transactions in earlier files, in the server's own form.
    PreviousGtids(&'a [u8]),
    /// MariaDB: the newest transactions in earlier files, per domain and server: domain, server, number.
    MariadbGtidList(Vec<(u32, u32, u64)>),
    /// A statement: DDL, or BEGIN, COMMIT and the like.
    Query(Query<'a>),
    /// A transaction's commit.
    Xid(u64),
    /// The end of an XA transaction's first phase (`one_phase`: it is committed at once).
    XaPrepare {
        /// Committed by this event.
        one_phase: bool,
    },
    /// What the following row events call by number.
    TableMap(TableMapEvent<'a>),
    /// Rows.
    Rows(RowsEvent<'a>),
    /// Rows in a form that is not supported. A table that nobody follows may have them.
    UnreadableRows {
        /// The table, as the last table map event with this number says.
        table_id: u64,
        /// The form, and the setting by which the server writes another one.
        why: &'static str,
    },
    /// The statement that made the following row events (`binlog_rows_query_log_events`, MariaDB `binlog_annotate_row_events`).
    RowsQuery(&'a [u8]),
    /// The server is alive and has sent everything up to here.
    Heartbeat {
        /// The log file.
        file: Cow<'a, str>,
        /// The offset in it.
        position: u64,
    },
    /// The server stopped; the next file follows.
    Stop,
    /// The server's log may lack changes.
    Incident {
        /// The server's number for what happened.
        number: u16,
        /// Its words.
        message: Cow<'a, str>,
    },
    /// Of no meaning for rows (statement context, group replication, checkpoints, ignorable).
    Ignored,
}

/// What a log file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatDescription<'a> {
    /// The server's version string.
    pub server_version: &'a str,
    /// When the file was made, seconds since the Unix epoch; 0 in the copy sent at the beginning of a stream in mid-file, and
    /// in files that a running server rotated to.
    pub created: u32,
}

/// The beginning of a MySQL transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gtid<'a> {
    /// The server's UUID; `None` for an anonymous transaction.
    pub uuid: Option<[u8; 16]>,
    /// The transaction's tag; empty without.
    pub tag: &'a str,
    /// Its number.
    pub number: u64,
    /// When it was committed on the server that wrote this log, microseconds since the Unix epoch; 0 before MySQL 8.0.1.
    pub immediate_commit_us: u64,
    /// When it was committed on the server where it began.
    pub original_commit_us: u64,
    /// The bytes of the transaction in the log, this event included; 0 if not told.
    pub transaction_length: u64,
}

/// The beginning of a MariaDB transaction; its server is the header's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariadbGtid {
    /// The domain.
    pub domain: u32,
    /// The number.
    pub number: u64,
    /// Flags.
    pub flags: u8,
    /// More flags (MariaDB 10.8 and newer); 0 if there are none.
    pub more_flags: u8,
}

impl MariadbGtid {
    /// A group of one event without BEGIN and COMMIT: DDL.
    pub fn is_standalone(&self) -> bool {
        self.flags & 1 != 0
    }

    /// DDL.
    pub fn is_ddl(&self) -> bool {
        self.flags & 32 != 0
    }

    /// An ALTER TABLE that only begins here, or that was given up: the table is as it was (`binlog_alter_two_phase`).
    pub fn is_unfinished_alter(&self) -> bool {
        self.more_flags & (2 | 8) != 0
    }

    /// The first or second phase of an XA transaction.
    pub fn is_xa(&self) -> bool {
        self.flags & (64 | 128) != 0
    }
}

/// A statement as it was executed, with what of its session decides how to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// The session's id.
    pub thread: u32,
    /// How long it took, seconds.
    pub execution_s: u32,
    /// The server's error number, 0 for none.
    pub error: u16,
    /// The session's default database; empty for none.
    pub database: &'a str,
    /// The statement, in the client's character set.
    pub statement: &'a [u8],
    /// The session's `sql_mode` bits, if told.
    pub sql_mode: Option<u64>,
    /// The collation id of the session's `character_set_client`, if told.
    pub client_collation: Option<u16>,
    /// The session's `explicit_defaults_for_timestamp`, if told.
    pub explicit_defaults_for_timestamp: Option<bool>,
}

impl<'a> Query<'a> {
    /// The statement as text. Bytes that are not text of the client's character set become U+FFFD.
    pub fn text(&self) -> Cow<'a, str> {
        if let Ok(text) = std::str::from_utf8(self.statement) {
            return Cow::Borrowed(text);
        }
        let charset = self.client_collation.and_then(charset::name_of_collation_id).and_then(charset::Charset::by_name);
        let mut out = String::new();
        match charset {
            Some(charset) if charset.decode_into(self.statement, &mut out).is_ok() => Cow::Owned(out),
            _ => String::from_utf8_lossy(self.statement),
        }
    }

    /// Double quotes enclose names (`ANSI_QUOTES`).
    pub fn ansi_quotes(&self) -> bool {
        self.sql_mode.is_some_and(|m| m & 0x4 != 0)
    }

    /// A backslash in a string is a backslash (`NO_BACKSLASH_ESCAPES`).
    pub fn no_backslash_escapes(&self) -> bool {
        self.sql_mode.is_some_and(|m| m & 0x10_0000 != 0)
    }
}

pub(crate) fn parse<'a>(header: &EventHeader, body: &'a [u8]) -> DecodeResult<EventBody<'a>> {
    let mut c = Cursor::new(body);
    Ok(match header.event_type {
        t::FORMAT_DESCRIPTION => EventBody::FormatDescription(format_description(c)?),
        t::ROTATE => EventBody::Rotate { position: c.u64()?, file: String::from_utf8_lossy(c.take_rest()) },
        t::GTID | t::ANONYMOUS_GTID => EventBody::Gtid(gtid(c, header.event_type == t::GTID)?),
        t::GTID_TAGGED => EventBody::Gtid(tagged_gtid(c)?),
        t::PREVIOUS_GTIDS => EventBody::PreviousGtids(body),
        t::QUERY => EventBody::Query(query(c)?),
        t::XID => EventBody::Xid(c.u64()?),
        t::XA_PREPARE => EventBody::XaPrepare { one_phase: c.u8()? != 0 },
        t::TABLE_MAP => EventBody::TableMap(TableMapEvent::parse(body)?),
        t::WRITE_ROWS | t::WRITE_ROWS_V1 => rows(header, RowsKind::Insert, body)?,
        t::UPDATE_ROWS | t::UPDATE_ROWS_V1 => rows(header, RowsKind::Update, body)?,
        t::DELETE_ROWS | t::DELETE_ROWS_V1 => rows(header, RowsKind::Delete, body)?,
        t::ROWS_QUERY => {
            c.u8()?; // a length that wraps at 256: the rest is the statement
            EventBody::RowsQuery(c.take_rest())
        }
        t::MARIADB_ANNOTATE_ROWS => EventBody::RowsQuery(body),
        t::HEARTBEAT => EventBody::Heartbeat { file: String::from_utf8_lossy(body), position: u64::from(header.log_pos) },
        t::HEARTBEAT_V2 => heartbeat_v2(c)?,
        t::STOP => EventBody::Stop,
        t::INCIDENT => {
            let number = c.u16()?;
            let length = usize::from(c.u8()?);
            EventBody::Incident { number, message: String::from_utf8_lossy(c.take(length)?) }
        }
        t::MARIADB_GTID => EventBody::MariadbGtid(mariadb_gtid(c)?),
        t::MARIADB_GTID_LIST => {
            let count = c.u32()? & 0x0fff_ffff;
            let mut list = Vec::new();
            for _ in 0..count {
                list.push((c.u32()?, c.u32()?, c.u64()?));
            }
            EventBody::MariadbGtidList(list)
        }
        t::INTVAR
        | t::RAND
        | t::USER_VAR
        | t::IGNORABLE
        | t::TRANSACTION_CONTEXT
        | t::VIEW_CHANGE
        | t::MARIADB_BINLOG_CHECKPOINT => EventBody::Ignored,
        t::PARTIAL_UPDATE_ROWS => EventBody::UnreadableRows {
            table_id: c.u48()?,
            why: "an update was logged as JSON differences, which is not supported: set binlog_row_value_options = '' on the server and in all sessions",
        },
        t::MARIADB_WRITE_ROWS_COMPRESSED_V1..=t::MARIADB_DELETE_ROWS_COMPRESSED => EventBody::UnreadableRows {
            table_id: c.u48()?,
            why: "rows were logged compressed, which is not supported: set log_bin_compress = OFF on the server",
        },
        t::TRANSACTION_PAYLOAD => {
            return unsupported("a transaction was logged compressed", "set binlog_transaction_compression=OFF on the server");
        }
        t::MARIADB_START_ENCRYPTION => {
            return unsupported("the binary log reached us encrypted", "the server should decrypt it for replicas");
        }
        t::MARIADB_QUERY_COMPRESSED => {
            return unsupported("a statement was logged compressed", "set log_bin_compress=OFF on the server");
        }
        t::BEGIN_LOAD_QUERY | t::EXECUTE_LOAD_QUERY => {
            return unsupported("LOAD DATA was logged as a statement", "set binlog_format=ROW on the server");
        }
        _ if header.is_ignorable() => EventBody::Ignored,
        other => {
            let message = format!("binary log event type {other} is not known, and it may not be ignored");
            return Err(DecodeError::new(DecodeErrorKind::UnknownEvent, message));
        }
    })
}

#[cold]
fn unsupported<T>(what: &str, way: &str) -> DecodeResult<T> {
    Err(DecodeError::new(DecodeErrorKind::UnsupportedFeature, format!("{what}, which is not supported: {way}")))
}

fn rows<'a>(header: &EventHeader, kind: RowsKind, body: &'a [u8]) -> DecodeResult<EventBody<'a>> {
    let v2 = matches!(header.event_type, t::WRITE_ROWS | t::UPDATE_ROWS | t::DELETE_ROWS);
    Ok(EventBody::Rows(RowsEvent::parse(kind, v2, body)?))
}

fn format_description(mut c: Cursor<'_>) -> DecodeResult<FormatDescription<'_>> {
    let version = c.u16()?;
    if version != 4 {
        return unsupported(&format!("the binary log has format {version}"), "format 4 is MySQL 5.0 and newer");
    }
    let name = c.take(50)?;
    let name = name.split(|&b| b == 0).next().unwrap_or(&[]);
    let server_version = std::str::from_utf8(name).map_err(|_| DecodeError::invalid("the server's version is not text").at(2))?;
    Ok(FormatDescription { server_version, created: c.u32()? })
}

fn gtid(mut c: Cursor<'_>, named: bool) -> DecodeResult<Gtid<'_>> {
    const HAS_ORIGINAL: u64 = 1 << 55;
    c.u8()?;
    let uuid = c.array::<16>()?;
    let mut gtid = Gtid {
        uuid: named.then_some(uuid),
        tag: "",
        number: c.u64()?,
        immediate_commit_us: 0,
        original_commit_us: 0,
        transaction_length: 0,
    };
    // MySQL 5.6 ends here, 5.7 after the logical clock.
    if c.is_empty() || c.u8()? != 2 {
        return Ok(gtid);
    }
    c.take(16)?;
    if c.remaining() >= 7 {
        let immediate = c.u56()?;
        gtid.immediate_commit_us = immediate & !HAS_ORIGINAL;
        gtid.original_commit_us = if immediate & HAS_ORIGINAL != 0 { c.u56()? } else { gtid.immediate_commit_us };
    }
    if !c.is_empty() {
        gtid.transaction_length = c.length_encoded()?;
    }
    Ok(gtid)
}

fn mariadb_gtid(mut c: Cursor<'_>) -> DecodeResult<MariadbGtid> {
    const HAS_GROUP_COMMIT_ID: u8 = 2;
    let (number, domain, flags) = (c.u64()?, c.u32()?, c.u8()?);
    let mut gtid = MariadbGtid { domain, number, flags, more_flags: 0 };
    if flags & HAS_GROUP_COMMIT_ID != 0 {
        c.u64()?;
    }
    if gtid.is_xa() {
        // Its format and the lengths of its two parts.
        c.u32()?;
        let length = usize::from(c.u8()?) + usize::from(c.u8()?);
        c.take(length)?;
    }
    // Older servers end here, or pad with zeros.
    if !c.is_empty() {
        gtid.more_flags = c.u8()?;
    }
    Ok(gtid)
}

/// The serialization library's form (MySQL 8.3 and newer): version, size, last field that may not be ignored, fields.
fn tagged_gtid(mut c: Cursor<'_>) -> DecodeResult<Gtid<'_>> {
    if c.u8()? != 2 {
        return unsupported("a tagged GTID has a form newer than MySQL 9", "please report the server's version");
    }
    variable(&mut c)?;
    let last_needed = variable(&mut c)?;
    let mut gtid = Gtid { uuid: None, tag: "", number: 0, immediate_commit_us: 0, original_commit_us: 0, transaction_length: 0 };
    while !c.is_empty() {
        match variable(&mut c)? {
            0 | 9 | 10 => {
                variable(&mut c)?;
            }
            1 => {
                let mut uuid = [0; 16];
                for byte in &mut uuid {
                    *byte = u8::try_from(variable(&mut c)?)
                        .map_err(|_| DecodeError::invalid("a UUID's byte is above 255").at(c.offset()))?;
                }
                gtid.uuid = Some(uuid);
            }
            2 => gtid.number = signed_variable(&mut c)?,
            3 => {
                let length = usize::try_from(variable(&mut c)?).unwrap_or(usize::MAX);
                let offset = c.offset();
                gtid.tag = std::str::from_utf8(c.take(length)?)
                    .map_err(|_| DecodeError::invalid("a GTID's tag is not text").at(offset))?;
            }
            4 | 5 => {
                variable(&mut c)?;
            }
            6 => gtid.immediate_commit_us = variable(&mut c)?,
            7 => gtid.original_commit_us = variable(&mut c)?,
            8 => gtid.transaction_length = variable(&mut c)?,
            other if other > last_needed => break,
            other => {
                return unsupported(&format!("a tagged GTID has the field {other}"), "please report the server's version");
            }
        }
    }
    if gtid.original_commit_us == 0 {
        gtid.original_commit_us = gtid.immediate_commit_us;
    }
    Ok(gtid)
}

/// A number of 1 to 9 bytes: as many ones at the low end of the first byte as bytes follow it.
fn variable(c: &mut Cursor<'_>) -> DecodeResult<u64> {
    let first = c.u8()?;
    let more = first.trailing_ones() as usize;
    if more >= 8 {
        return c.u64();
    }
    let high = c.little_endian(more)?;
    // The first byte holds 7 - more bits of the value.
    Ok(u64::from(first) >> (more + 1) | high.checked_shl(7u32.saturating_sub(more as u32)).unwrap_or(0))
}

/// A number that is never negative here, in the form of those that can be.
fn signed_variable(c: &mut Cursor<'_>) -> DecodeResult<u64> {
    let n = variable(c)?;
    if n & 1 != 0 {
        return Err(DecodeError::invalid("a transaction has a negative number").at(c.offset()));
    }
    Ok(n >> 1)
}

/// A list of fields: type, length, value.
fn heartbeat_v2(mut c: Cursor<'_>) -> DecodeResult<EventBody<'_>> {
    let (mut file, mut position) = (Cow::Borrowed(""), 0);
    loop {
        match c.length_encoded()? {
            0 => break,
            kind => {
                let length = c.length()?;
                let mut field = Cursor::new(c.take(length)?);
                match kind {
                    1 => file = String::from_utf8_lossy(field.take_rest()),
                    2 => position = field.length_encoded()?,
                    _ => {}
                }
            }
        }
        if c.is_empty() {
            break;
        }
    }
    Ok(EventBody::Heartbeat { file, position })
}

fn query(mut c: Cursor<'_>) -> DecodeResult<Query<'_>> {
    let (thread, execution_s, database_len, error) = (c.u32()?, c.u32()?, usize::from(c.u8()?), c.u16()?);
    let variables_len = usize::from(c.u16()?);
    let variables = c.take(variables_len)?;
    let offset = c.offset();
    let database = std::str::from_utf8(c.take(database_len)?)
        .map_err(|_| DecodeError::invalid("the default database of a statement is not UTF-8").at(offset))?;
    c.u8()?;
    let mut query = Query {
        thread,
        execution_s,
        error,
        database,
        statement: c.take_rest(),
        sql_mode: None,
        client_collation: None,
        explicit_defaults_for_timestamp: None,
    };
    status_variables(Cursor::new(variables), &mut query)?;
    Ok(query)
}

/// Reads the status variables up to the first one that is not known: they have no lengths.
fn status_variables(mut c: Cursor<'_>, query: &mut Query<'_>) -> DecodeResult<()> {
    while !c.is_empty() {
        match c.u8()? {
            1 => query.sql_mode = Some(c.u64()?),
            4 => {
                query.client_collation = Some(c.u16()?);
                c.u32()?;
            }
            // flags2, auto_increment, master_data_written
            0 | 3 | 10 => drop(c.take(4)?),
            // catalog with a zero after it
            2 => {
                let n = usize::from(c.u8()?);
                c.take(n.saturating_add(1))?;
            }
            // time zone, catalog
            5 | 6 => {
                let n = usize::from(c.u8()?);
                c.take(n)?;
            }
            // locale, database's collation, default collation of utf8mb4
            7 | 8 | 18 => drop(c.take(2)?),
            // tables of a multi-table update, xid of a DDL
            9 | 17 => drop(c.take(8)?),
            // invoker: user and host
            11 => {
                for _ in 0..2 {
                    let n = usize::from(c.u8()?);
                    c.take(n)?;
                }
            }
            // updated databases; 254: too many to list
            12 => {
                let count = c.u8()?;
                for _ in 0..if count == 254 { 0 } else { count } {
                    while c.u8()? != 0 {}
                }
            }
            // microseconds
            13 => drop(c.take(3)?),
            16 => query.explicit_defaults_for_timestamp = Some(c.u8()? != 0),
            // sql_require_primary_key, default_table_encryption
            19 | 20 => drop(c.u8()?),
            _ => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn header(event_type: u8) -> EventHeader {
        EventHeader { timestamp: 1, event_type, server_id: 2, size: 0, log_pos: 3, flags: 0 }
    }

    #[test]
    fn numbers_of_the_serialization_library_have_as_many_bytes_as_their_first_one_says() {
        for (bytes, n) in [
            (&[0b0000_0110][..], 3),
            (&[0xfe], 127),
            (&[0b0000_0001, 0b0000_0010], 128),
            (&[0b1111_1101, 0xff], 0x3fff),
            (&[0xff, 1, 2, 3, 4, 5, 6, 7, 8], 0x0807_0605_0403_0201),
            (&[0x7f, 1, 0, 0, 0, 0, 0, 0], 1),
        ] {
            assert_eq!(variable(&mut Cursor::new(bytes)).unwrap(), n, "{bytes:x?}");
        }
    }

    #[test]
    fn an_unknown_event_stops_unless_it_may_be_ignored() {
        let e = parse(&header(99), &[]).unwrap_err();
        assert_eq!(e.kind(), DecodeErrorKind::UnknownEvent);
        let ignorable = EventHeader { flags: 0x80, ..header(99) };
        assert!(matches!(parse(&ignorable, &[]).unwrap(), EventBody::Ignored));
    }

    #[test]
    fn features_that_are_not_supported_name_the_setting_to_change() {
        for (event_type, setting) in
            [(t::TRANSACTION_PAYLOAD, "binlog_transaction_compression"), (t::MARIADB_QUERY_COMPRESSED, "log_bin_compress")]
        {
            let e = parse(&header(event_type), &[0; 40]).unwrap_err();
            assert_eq!(e.kind(), DecodeErrorKind::UnsupportedFeature);
            assert!(e.to_string().contains(setting), "{e}");
        }
        for (event_type, setting) in [
            (t::PARTIAL_UPDATE_ROWS, "binlog_row_value_options"),
            (t::MARIADB_WRITE_ROWS_COMPRESSED_V1, "log_bin_compress"),
            (t::MARIADB_DELETE_ROWS_COMPRESSED, "log_bin_compress"),
        ] {
            let EventBody::UnreadableRows { table_id, why } = parse(&header(event_type), &[7, 0, 0, 0, 0, 0, 1, 0]).unwrap()
            else {
                panic!("event type {event_type} is read");
            };
            assert_eq!(table_id, 7);
            assert!(why.contains(setting), "{why}");
        }
    }

    #[test]
    fn a_gtid_event_of_an_old_server_has_no_commit_time() {
        let mut body = vec![1];
        body.extend([7; 16]);
        body.extend(42u64.to_le_bytes());
        let EventBody::Gtid(gtid) = parse(&header(t::GTID), &body).unwrap() else { panic!("not a GTID") };
        assert_eq!((gtid.uuid, gtid.number, gtid.immediate_commit_us), (Some([7; 16]), 42, 0));
    }

    #[test]
    fn a_mariadb_gtid_tells_an_alter_that_is_not_done_yet() {
        let gtid = |flags: u8, rest: &[u8]| {
            let mut body = 44u64.to_le_bytes().to_vec();
            body.extend(7u32.to_le_bytes());
            body.push(flags);
            body.extend(rest);
            let EventBody::MariadbGtid(gtid) = parse(&header(t::MARIADB_GTID), &body).unwrap() else { panic!("not a GTID") };
            assert_eq!((gtid.number, gtid.domain), (44, 7));
            gtid.is_unfinished_alter()
        };
        assert!(!gtid(1, &[]));
        assert!(!gtid(1 | 32, &[0; 6]));
        assert!(gtid(1 | 32, &[2, 0, 0, 0, 0, 0]), "it begins");
        assert!(!gtid(1 | 32, &[4, 44, 0, 0, 0, 0, 0, 0, 0]), "it is done");
        assert!(gtid(1 | 32, &[8, 44, 0, 0, 0, 0, 0, 0, 0]), "it is given up");
        assert!(gtid(2 | 32, &[1, 2, 3, 4, 5, 6, 7, 8, 2]), "behind a group commit's number");
        assert!(!gtid(64, &[1, 0, 0, 0, 1, 1, b'x', b'y', 0]), "behind the name of an XA transaction");
    }

    #[test]
    fn the_original_commit_time_follows_only_if_it_differs() {
        let mut body = vec![1];
        body.extend([7; 16]);
        body.extend(42u64.to_le_bytes());
        body.push(2);
        body.extend([0; 16]);
        let with = |immediate: u64, original: Option<u64>| {
            let mut b = body.clone();
            b.extend(&immediate.to_le_bytes()[..7]);
            b.extend(original.map(u64::to_le_bytes).iter().flat_map(|o| &o[..7]));
            b.push(0xfa);
            let EventBody::Gtid(gtid) = parse(&header(t::GTID), &b).unwrap() else { panic!("not a GTID") };
            (gtid.immediate_commit_us, gtid.original_commit_us, gtid.transaction_length)
        };
        assert_eq!(with(5, None), (5, 5, 0xfa));
        assert_eq!(with(5 | 1 << 55, Some(4)), (5, 4, 0xfa));
    }
}
