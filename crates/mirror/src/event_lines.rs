//! The source half for who wants its events and no log: each record as a line of JSON.

use crate::capture::Captured;
use crate::config::MirrorConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::log_view::write_bytes;
use crate::source_half::SourceHalf;
use cdc_core::{TableStop, TopicRouter};
use change_log::{ChangeLog, MemoryLog, RecordRef};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes of events that may wait for who takes the lines; then the source waits.
const WAITING_BYTES: usize = 16 << 20;
/// Bytes read from the log at once.
const READ_BYTES: usize = 1 << 20;

/// Captures a source from its first row on, and hands out its events as lines, in the form that Kafka Connect's converters give them.
///
/// A line is a JSON object: `topic`; `key` and `value`, each the JSON that would be in Kafka, byte by byte, a tombstone's value `null`;
/// `headers`, each with `name` and `value`; `timestamp` in milliseconds since 1970. The lines of one topic are in its order. Nothing is kept:
/// the next start begins anew.
///
/// Dropping it without [`stop`](Self::stop) ends it as a crash would.
pub struct EventLines {
    log: Arc<MemoryLog>,
    progress_topic: String,
    captured: watch::Receiver<Captured>,
    /// By topic: records before this offset were handed out.
    read: BTreeMap<String, i64>,
    stop: watch::Sender<bool>,
    /// `None` once its end was told.
    running: Option<JoinHandle<Result<()>>>,
}

impl EventLines {
    /// Connects to the source; the configuration's log is not used.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] and [`ErrorKind::Unavailable`], as for [`Mirror::start`](crate::Mirror::start).
    pub async fn start(config: &MirrorConfig) -> Result<Self> {
        let log = Arc::new(MemoryLog::bounded(WAITING_BYTES));
        let router = TopicRouter::new(&config.source.topic_prefix);
        let progress_topic = router.progress_topic();
        let as_log: Arc<dyn ChangeLog> = Arc::clone(&log) as _;
        let mut half = SourceHalf::new(config.source.to_mysql()?, router, config.events, as_log);
        let captured = half.captured();
        let (begun, _) = half.begin().await?;
        let stop = watch::Sender::new(false);
        let running = Some(tokio::spawn(half.run(begun, stop.subscribe())));
        Ok(Self { log, progress_topic, captured, read: BTreeMap::new(), stop, running })
    }

    /// Appends the lines of what was captured since the last call, waiting until there is something; returns how many. 0: the
    /// source has ended, and everything was handed out.
    ///
    /// Cancel safe: dropped while it waits, it has handed out nothing.
    ///
    /// # Errors
    /// What ended the source.
    pub async fn next(&mut self, out: &mut Vec<u8>) -> Result<u64> {
        loop {
            let lines = self.lines(out).await?;
            if lines > 0 {
                return Ok(lines);
            }
            if self.captured.changed().await.is_err() {
                // It is gone; its last words may have come in between.
                let lines = self.lines(out).await?;
                return if lines > 0 { Ok(lines) } else { self.ended().await.map(|()| 0) };
            }
        }
    }

    /// Tables that the source could not go on with, so far.
    pub fn stops(&self) -> Vec<TableStop> {
        self.captured.borrow().stops.clone()
    }

    /// Asks the source to end; what it has captured by then [`next`](Self::next) still hands out.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    async fn ended(&mut self) -> Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let ended = running.await;
        self.running = None;
        ended.unwrap_or_else(|e| {
            Err(Error::new(ErrorKind::Other, format!("the source ended without an answer: {e}")).with_source(e))
        })
    }

    async fn lines(&mut self, out: &mut Vec<u8>) -> Result<u64> {
        let ends = self.captured.borrow_and_update().next_offsets.clone();
        let mut lines = 0;
        for (topic, end) in ends.into_iter().filter(|(topic, _)| *topic != self.progress_topic).collect::<BTreeMap<_, _>>() {
            let mut at = self.read.get(&topic).copied().unwrap_or(0);
            while at < end {
                let fetched = self.log.read(&topic, 0, at, READ_BYTES).await?;
                for record in fetched.records.iter() {
                    write_line(out, &topic, &record)
                        .map_err(|e| Error::new(ErrorKind::Other, format!("an event cannot be written: {e}")).with_source(e))?;
                    lines += 1;
                }
                at = fetched.next_offset;
                self.log.release(&topic, 0, at).await?;
                self.read.insert(topic.clone(), at);
            }
        }
        Ok(lines)
    }
}

impl Drop for EventLines {
    /// The source may be waiting for room that nobody will make any more.
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

fn write_line(out: &mut Vec<u8>, topic: &str, record: &RecordRef<'_>) -> io::Result<()> {
    out.extend_from_slice(b"{\"topic\":");
    serde_json::to_writer(&mut *out, topic)?;
    out.extend_from_slice(b",\"key\":");
    write_bytes(out, record.key)?;
    out.extend_from_slice(b",\"value\":");
    write_bytes(out, record.value)?;
    out.extend_from_slice(b",\"headers\":[");
    for (n, (name, value)) in record.headers.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"{\"name\":" } else { b",{\"name\":" });
        serde_json::to_writer(&mut *out, name)?;
        out.extend_from_slice(b",\"value\":");
        write_bytes(out, Some(value))?;
        out.push(b'}');
    }
    writeln!(out, "],\"timestamp\":{}}}", record.timestamp_ms)
}
