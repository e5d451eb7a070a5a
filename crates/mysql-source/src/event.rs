//! The framing of binary log events: header, checksum, and a view of what the event says that borrows its bytes.
//!
//! Sources of the rules: the MySQL internals manual ("Binary Log Event"), the server's `binlog_event.h` and
//! `control_events.h`, MariaDB's "Replication protocol" pages.

use crate::cursor::Cursor;
use crate::decode_error::{DecodeError, DecodeErrorKind, DecodeResult};
use crate::event_body::{self, EventBody};

/// The types of events, as in the header.
pub mod event_type {
    #![allow(missing_docs, reason = "the names are the server's own")]
    pub const UNKNOWN: u8 = 0;
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const SLAVE: u8 = 7;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const EXECUTE_LOAD_QUERY: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    pub const MARIADB_ANNOTATE_ROWS: u8 = 160;
    pub const MARIADB_BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
    pub const MARIADB_START_ENCRYPTION: u8 = 164;
    pub const MARIADB_QUERY_COMPRESSED: u8 = 165;
    pub const MARIADB_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const MARIADB_DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const MARIADB_WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const MARIADB_DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// The 19 bytes before every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// When the statement began, seconds since the Unix epoch; 0 in events made for the stream alone.
    pub timestamp: u32,
    /// One of [`event_type`].
    pub event_type: u8,
    /// The server that wrote it first.
    pub server_id: u32,
    /// Bytes of the event with header and checksum.
    pub size: u32,
    /// Where the next event begins in the log file (modulo 2^32); 0 in events made for the stream alone.
    pub log_pos: u32,
    /// Flags.
    pub flags: u16,
}

impl EventHeader {
    /// Bytes of a header.
    pub const LEN: usize = 19;
    const IN_USE: u16 = 0x01;
    const ARTIFICIAL: u16 = 0x20;
    const IGNORABLE: u16 = 0x80;

    /// Reads a header. Fails if there are fewer than 19 bytes.
    pub fn parse(bytes: &[u8]) -> DecodeResult<Self> {
        let mut c = Cursor::new(bytes);
        Ok(Self {
            timestamp: c.u32()?,
            event_type: c.u8()?,
            server_id: c.u32()?,
            size: c.u32()?,
            log_pos: c.u32()?,
            flags: c.u16()?,
        })
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let fields = self.timestamp.to_le_bytes().into_iter().chain([self.event_type]).chain(self.server_id.to_le_bytes());
        let fields = fields.chain(self.size.to_le_bytes()).chain(self.log_pos.to_le_bytes()).chain(self.flags.to_le_bytes());
        out.iter_mut().zip(fields).for_each(|(o, b)| *o = b);
        out
    }

    /// Made by the server for this stream; not in the log file.
    pub fn is_artificial(&self) -> bool {
        self.flags & Self::ARTIFICIAL != 0
    }

    /// May be skipped by who does not know its type.
    pub fn is_ignorable(&self) -> bool {
        self.flags & Self::IGNORABLE != 0
    }
}

/// One event: its header and a view of what it says.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// The header.
    pub header: EventHeader,
    /// What it says.
    pub body: EventBody<'a>,
}

impl<'a> Event<'a> {
    /// An event of which somebody else has split off the header and, if there was one, the checksum.
    ///
    /// Fails on bytes that end too early, on an unknown type that may not be ignored, and on features that are not supported.
    pub fn from_parts(header: EventHeader, body: &'a [u8]) -> DecodeResult<Self> {
        let body = event_body::parse(&header, body).map_err(|e| e.within(format_args!("event type {}", header.event_type)))?;
        Ok(Self { header, body })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checksums {
    /// No format description event was seen yet.
    NotKnown,
    Off,
    Crc32,
}

/// Splits a stream of raw events into headers and bodies; verifies their checksums as the stream's own format description
/// event says.
#[derive(Debug, Clone)]
pub struct EventReader {
    checksums: Checksums,
}

impl Default for EventReader {
    fn default() -> Self {
        Self::new()
    }
}

impl EventReader {
    /// Bytes of a checksum.
    pub const CHECKSUM_LEN: usize = 4;

    /// A reader for the events of one connection, from the first on.
    pub fn new() -> Self {
        Self { checksums: Checksums::NotKnown }
    }

    /// Reads one whole event: the packet of the replication stream without its first byte.
    ///
    /// Fails as [`Event::from_parts`], and with [`DecodeErrorKind::Checksum`] if the bytes were changed on their way.
    pub fn read<'a>(&mut self, raw: &'a [u8]) -> DecodeResult<Event<'a>> {
        let header = EventHeader::parse(raw)?;
        if usize::try_from(header.size).ok() != Some(raw.len()) {
            let message = format!("an event of {} bytes says that it has {}", raw.len(), header.size);
            return Err(DecodeError::new(DecodeErrorKind::Truncated, message));
        }
        if header.event_type == event_type::FORMAT_DESCRIPTION {
            self.checksums = match raw.len().checked_sub(Self::CHECKSUM_LEN + 1).and_then(|at| raw.get(at)) {
                Some(1) => Checksums::Crc32,
                _ => Checksums::Off,
            };
        }
        let checked_len = raw.len().saturating_sub(Self::CHECKSUM_LEN).max(EventHeader::LEN);
        let (checked, checksum) = raw.split_at_checked(checked_len).unwrap_or((raw, &[]));
        let end = match self.checksums {
            Checksums::Off if header.event_type == event_type::FORMAT_DESCRIPTION => checked.len(),
            Checksums::Off => raw.len(),
            // The first event, an artificial Rotate, comes before the one that says whether there are checksums.
            Checksums::NotKnown if verify(&header, checked, checksum) => checked.len(),
            Checksums::NotKnown => raw.len(),
            Checksums::Crc32 if verify(&header, checked, checksum) => checked.len(),
            Checksums::Crc32 => {
                let message = format!(
                    "the checksum of a binary log event (type {}, {} bytes, ends at {}) does not fit its bytes: \
                     read it again; if it fails again, the server's log file is damaged",
                    header.event_type, header.size, header.log_pos
                );
                return Err(DecodeError::new(DecodeErrorKind::Checksum, message));
            }
        };
        Event::from_parts(header, raw.get(EventHeader::LEN..end).unwrap_or(&[]))
    }
}

fn verify(header: &EventHeader, checked: &[u8], checksum: &[u8]) -> bool {
    let mut hasher = crc32fast::Hasher::new();
    if header.event_type == event_type::FORMAT_DESCRIPTION && header.flags & EventHeader::IN_USE != 0 {
        // The server sets this flag after it has computed the checksum.
        let written = EventHeader { flags: header.flags & !EventHeader::IN_USE, ..*header };
        hasher.update(&written.to_bytes());
        hasher.update(checked.get(EventHeader::LEN..).unwrap_or(&[]));
    } else {
        hasher.update(checked);
    }
    checksum == hasher.finalize().to_le_bytes()
}
