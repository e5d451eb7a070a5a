//! The connection that the server sends its binary log over.

use crate::config::MysqlSourceConfig;
use crate::connection::{ServerKind, connect};
use crate::error::{explain, problem};
use crate::event::{EventHeader, EventReader, event_type};
use crate::event_body::EventBody;
use cdc_core::{Error, ErrorKind, LogCoordinate, Result, TransactionSet};
use futures::{FutureExt, StreamExt};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Error as Driver, Sid};
use std::time::Duration;

/// Why no event came.
pub(crate) enum LogFailure {
    /// The connection is gone; a new one may go on.
    Lost(Error),
    /// The server refuses, or sends what cannot be right.
    Fatal(Error),
}

/// From where a dump is asked for.
pub(crate) enum DumpStart<'a> {
    /// MySQL: all transactions but these.
    After(&'a TransactionSet),
    /// MariaDB: what follows this place.
    At(&'a LogCoordinate),
}

/// One dump of the binary log, as raw events.
pub(crate) struct LogConnection {
    stream: BinlogStream,
    raw: Vec<u8>,
    config: MysqlSourceConfig,
    silence: Duration,
}

impl LogConnection {
    /// Asks the server for its log. The answer, also a refusal, comes with the first event.
    pub(crate) async fn open(config: &MysqlSourceConfig, kind: ServerKind, start: DumpStart<'_>) -> Result<Self> {
        let mut conn = connect(config).await?;
        let failed = |e| explain(config, "asking for the binary log", e);
        let period = config.heartbeat.as_nanos();
        let setup = match kind {
            ServerKind::Mysql => format!(
                "SET @source_heartbeat_period = {period}, @master_heartbeat_period = {period}, \
                 @source_binlog_checksum = @@GLOBAL.binlog_checksum, @master_binlog_checksum = @@GLOBAL.binlog_checksum, \
                 net_write_timeout = 600"
            ),
            // Capability 4: the server sends its GTID events as they are.
            ServerKind::Mariadb => format!(
                "SET @master_heartbeat_period = {period}, @mariadb_slave_capability = 4, \
                 @master_binlog_checksum = @@GLOBAL.binlog_checksum, net_write_timeout = 600"
            ),
        };
        conn.query_drop(setup).await.map_err(failed)?;
        let request = BinlogStreamRequest::new(config.server_id);
        let stream = match start {
            DumpStart::After(set) => {
                let request = request.with_gtid().with_gtid_set(sids(set)?);
                conn.get_binlog_stream(request).await.map_err(failed)?
            }
            DumpStart::At(place) => {
                if place.offset > u64::from(u32::MAX) {
                    return Err(problem(
                        ErrorKind::Unsafe,
                        format!("cannot ask {} for its log at {} {}", config.address(), place.file, place.offset),
                        &["the protocol cannot name offsets above 4 GiB in one file"],
                        &["read the tables again: lakehouse resnapshot"],
                    ));
                }
                let request = request.with_filename(place.file.as_bytes()).with_pos(place.offset);
                conn.get_binlog_stream(request).await.map_err(failed)?
            }
        };
        Ok(Self {
            stream,
            raw: Vec::new(),
            config: config.clone(),
            silence: config.heartbeat.saturating_mul(3) + Duration::from_secs(1),
        })
    }

    /// The bytes of the event that came last, with header and checksum.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub(crate) async fn wait(&mut self) -> Result<(), LogFailure> {
        match tokio::time::timeout(self.silence, self.stream.next()).await {
            Ok(event) => self.keep(event),
            Err(_) => Err(LogFailure::Lost(problem(
                ErrorKind::Unavailable,
                format!("{} has sent no heartbeat for {:?}", self.config.address(), self.silence),
                &["the connection looks alive, but nothing comes over it"],
                &[],
            ))),
        }
    }

    /// The next event if it is there already.
    pub(crate) fn poll(&mut self) -> Option<Result<(), LogFailure>> {
        let event = self.stream.next().now_or_never()?;
        Some(self.keep(event))
    }

    fn keep(&mut self, event: Option<Result<mysql_async::binlog::events::Event, Driver>>) -> Result<(), LogFailure> {
        let doing = "reading the binary log";
        let event = match event {
            Some(Ok(event)) => event,
            Some(Err(e)) => {
                let lost = crate::error::is_lost_connection(&e);
                let explained = explain(&self.config, doing, e);
                return Err(if lost { LogFailure::Lost(explained) } else { LogFailure::Fatal(explained) });
            }
            None => {
                let closed = Driver::Driver(mysql_async::DriverError::ConnectionClosed);
                return Err(LogFailure::Lost(explain(&self.config, doing, closed)));
            }
        };
        // The driver takes the checksum off without looking at it: put together again, the event is checked by our reader.
        let h = event.header();
        let header = EventHeader {
            timestamp: h.timestamp(),
            event_type: h.event_type_raw(),
            server_id: h.server_id(),
            size: h.event_size(),
            log_pos: h.log_pos(),
            flags: h.flags_raw(),
        };
        self.raw.clear();
        self.raw.extend_from_slice(&header.to_bytes());
        self.raw.extend_from_slice(event.data());
        let missing = (header.size as usize).saturating_sub(self.raw.len());
        if missing == 5 && header.event_type == event_type::FORMAT_DESCRIPTION {
            let algorithm = event.footer().get_checksum_alg().ok().flatten().map_or(0, |a| a as u8);
            self.raw.push(algorithm);
        }
        if (header.size as usize).saturating_sub(self.raw.len()) == 4 {
            self.raw.extend_from_slice(&event.checksum().unwrap_or_default());
        }
        Ok(())
    }
}

/// When a file of the server's log was made: the time of its first event, seconds since the Unix epoch.
pub(crate) async fn file_created(config: &MysqlSourceConfig, kind: ServerKind, file: &str) -> Result<u32> {
    let beginning = LogCoordinate { file: file.to_owned(), offset: 4, row: 0 };
    let mut log = LogConnection::open(config, kind, DumpStart::At(&beginning)).await?;
    let mut reader = EventReader::new();
    loop {
        log.wait().await.map_err(|(LogFailure::Lost(e) | LogFailure::Fatal(e))| e)?;
        // An artificial Rotate comes before it.
        let event = reader.read(log.raw())?;
        if let EventBody::FormatDescription(_) = event.body {
            return Ok(event.header.timestamp);
        }
    }
}

fn sids(set: &TransactionSet) -> Result<Vec<Sid<'static>>> {
    let mut sids = Vec::new();
    for (origin, intervals) in set.0.iter().filter(|(_, i)| !i.is_empty()) {
        let one = TransactionSet([(origin.clone(), intervals.clone())].into());
        let text = crate::position::format_gtid_set(&one);
        let sid: Sid<'_> = text.parse().map_err(|e: std::io::Error| {
            Error::new(ErrorKind::Invalid, format!("{text:?} is not a GTID set that the protocol can carry")).with_source(e)
        })?;
        sids.push(sid);
    }
    Ok(sids)
}

/// Widens the 32 bits of an event's end position: files can be longer, positions only grow.
pub(crate) fn widen(previous: u64, low: u32) -> u64 {
    let candidate = (previous & !u64::from(u32::MAX)) | u64::from(low);
    if candidate < previous { candidate.saturating_add(1 << 32) } else { candidate }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn positions_beyond_four_gigabytes_go_on_growing() {
        assert_eq!(widen(4, 158), 158);
        assert_eq!(widen(u64::from(u32::MAX) - 10, 5), (1 << 32) + 5);
        assert_eq!(widen((1 << 32) + 5, 5), (1 << 32) + 5);
    }

    #[test]
    fn a_set_with_gaps_and_tags_is_carried_whole() {
        let set = crate::position::parse_gtid_set(
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,3e11fa47-71ca-11e1-9e33-c80aa9429562:backup:3",
        )
        .unwrap();
        let texts: Vec<String> = sids(&set).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7", "3e11fa47-71ca-11e1-9e33-c80aa9429562:backup:3"]);
    }
}
