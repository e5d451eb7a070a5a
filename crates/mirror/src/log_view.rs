//! Looking into the change log: its topics, and their records as readable JSON. One on disk belongs to a running mirror alone.

use crate::config::{LogKind, MirrorConfig};
use crate::error::{Error, ErrorKind, Result};
use change_log::{ChangeLog, LocalLog, RecordRef};
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;

/// Bytes read from the log at once.
const READ_BYTES: usize = 1 << 20;

/// A topic of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogTopic {
    /// Its name.
    pub topic: String,
    /// Its identity.
    pub id: String,
    /// True if only the newest record of each key is kept.
    pub compacted: bool,
    /// Its partitions, by number.
    pub partitions: Vec<LogPartition>,
}

/// A partition of a [`LogTopic`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogPartition {
    /// Its number.
    pub partition: i32,
    /// The offset of the first record that is kept.
    pub first: i64,
    /// The offset that the next record gets.
    pub next: i64,
}

/// Which records to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRange {
    /// The partition; 0 at first.
    pub partition: i32,
    /// The first offset; 0 at first, which stands for the first record that is kept.
    pub from: i64,
    /// At most so many records; no limit at first.
    pub limit: u64,
    /// With the headers.
    pub headers: bool,
}

impl Default for LogRange {
    fn default() -> Self {
        Self { partition: 0, from: 0, limit: u64::MAX, headers: false }
    }
}

/// The log of a mirror; if it is on disk, of one that is not running.
pub struct LogView {
    log: Arc<dyn ChangeLog>,
}

/// Opens a log that outlives its mirror. One on disk must be there, and no mirror may run on it; `way_on`: what to do if one does.
pub(crate) async fn open_at_rest(config: &MirrorConfig, way_on: &str) -> Result<Arc<dyn ChangeLog>> {
    let dir = match &config.log.kind {
        LogKind::Local(dir) => dir,
        LogKind::Memory => {
            return Err(Error::configuration(
                "this mirror keeps its log in memory: nothing of it is left when it does not run\n  → set [log] \"type\" = \"local\"",
            ));
        }
        #[cfg(feature = "kafka")]
        LogKind::Kafka { .. } => return crate::mirror::open_log(&config.log).await,
    };
    if !dir.is_dir() {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!("there is no log in {}\n  → lakehouse run makes it", dir.display()),
        ));
    }
    match LocalLog::open(dir, config.log.to_local()).await {
        Ok(log) => Ok(Arc::new(log)),
        Err(e) if e.kind() == change_log::ErrorKind::InUse => {
            Err(Error::new(ErrorKind::Unavailable, format!("{e}\n  → {way_on}")).with_source(e))
        }
        Err(e) => Err(e.into()),
    }
}

impl LogView {
    /// Opens the log of this configuration. One on disk is held until this is dropped: no mirror can start meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if the configuration has no log on disk; [`ErrorKind::Unavailable`] if there is none yet, if a
    /// running mirror holds it (the message names the process), or if it cannot be read; [`ErrorKind::Unsafe`] if it is damaged.
    pub async fn open(config: &MirrorConfig) -> Result<Self> {
        let log = open_at_rest(config, "stop the mirror to look into its log; while it runs: lakehouse status").await?;
        Ok(Self { log })
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn topics(&self) -> Result<Vec<LogTopic>> {
        let mut topics = Vec::new();
        for info in self.log.topics().await? {
            let mut partitions = Vec::new();
            for partition in 0..info.partitions {
                let range = self.log.offsets(&info.name, partition).await?;
                partitions.push(LogPartition { partition, first: range.first, next: range.next });
            }
            topics.push(LogTopic { topic: info.name, id: info.id, compacted: info.compacted, partitions });
        }
        Ok(topics)
    }

    /// Writes records of a topic as JSON lines, in the order of the log; returns how many.
    ///
    /// A line has `topic`, `partition`, `offset`, `timestamp_ms`, `key`, `value` and, if asked for, `headers`. A key or value that is
    /// JSON stands there byte by byte, so no number loses digits; other text as a string; other bytes as `{"hex": "..."}`; none as `null`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if there is no such topic or partition, [`ErrorKind::Unavailable`] if `out` cannot be written to
    /// (the cause is its [`io::Error`]), [`ErrorKind::Unsafe`] if the log is damaged.
    pub async fn print(&self, topic: &str, range: LogRange, out: &mut (dyn Write + Send)) -> Result<u64> {
        let Some(info) = self.log.topic(topic).await? else {
            let names: Vec<String> = self.log.topics().await?.into_iter().map(|t| t.name).collect();
            let known = if names.is_empty() { "it is empty".to_owned() } else { format!("there are {}", names.join(", ")) };
            return Err(Error::configuration(format!("no topic {topic} in the log\n  → {known}")));
        };
        if !(0..info.partitions).contains(&range.partition) {
            return Err(Error::configuration(format!(
                "the topic {topic} has no partition {}\n  → there are 0 to {}",
                range.partition,
                info.partitions.saturating_sub(1)
            )));
        }
        let kept = self.log.offsets(topic, range.partition).await?;
        let mut at = range.from.max(kept.first);
        let mut line = Vec::new();
        let mut printed = 0;
        while at < kept.next && printed < range.limit {
            let fetched = self.log.read(topic, range.partition, at, READ_BYTES).await?;
            if fetched.records.is_empty() && fetched.next_offset <= at {
                // In Kafka the last transaction may be undecided still.
                self.log.wait(topic, range.partition, at).await?;
                continue;
            }
            for record in fetched.records.iter() {
                if printed == range.limit {
                    break;
                }
                line.clear();
                let placed = Placed { topic, partition: range.partition, record, headers: range.headers };
                placed.write(&mut line).and_then(|()| out.write_all(&line)).map_err(|e| {
                    Error::new(ErrorKind::Unavailable, format!("the records cannot be written out: {e}")).with_source(e)
                })?;
                printed += 1;
            }
            at = fetched.next_offset;
        }
        Ok(printed)
    }
}

/// A record with its place in the log.
struct Placed<'a> {
    topic: &'a str,
    partition: i32,
    record: RecordRef<'a>,
    headers: bool,
}

impl Placed<'_> {
    fn write(&self, line: &mut Vec<u8>) -> io::Result<()> {
        let record = &self.record;
        line.extend_from_slice(b"{\"topic\":");
        serde_json::to_writer(&mut *line, self.topic)?;
        write!(line, ",\"partition\":{},\"offset\":{}", self.partition, record.offset)?;
        write!(line, ",\"timestamp_ms\":{},\"key\":", record.timestamp_ms)?;
        write_bytes(line, record.key)?;
        line.extend_from_slice(b",\"value\":");
        write_bytes(line, record.value)?;
        if self.headers {
            line.extend_from_slice(b",\"headers\":[");
            for (n, (name, value)) in record.headers.iter().enumerate() {
                line.extend_from_slice(if n == 0 { b"{" } else { b",{" });
                serde_json::to_writer(&mut *line, name)?;
                line.push(b':');
                write_bytes(line, Some(value))?;
                line.push(b'}');
            }
            line.push(b']');
        }
        line.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// Bytes as one JSON value on one line.
pub(crate) fn write_bytes(line: &mut Vec<u8>, bytes: Option<&[u8]>) -> io::Result<()> {
    let Some(bytes) = bytes else {
        line.extend_from_slice(b"null");
        return Ok(());
    };
    let one_line = !bytes.contains(&b'\n') && !bytes.contains(&b'\r');
    if one_line && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() && std::str::from_utf8(bytes).is_ok() {
        line.extend_from_slice(bytes);
        return Ok(());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::to_writer(line, text)?,
        Err(_) => {
            line.extend_from_slice(b"{\"hex\":\"");
            for byte in bytes {
                write!(line, "{byte:02x}")?;
            }
            line.extend_from_slice(b"\"}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use change_log::{Append, LocalLogConfig, RecordsBuilder, TopicSpec, Transaction};

    fn text(bytes: Option<&[u8]>) -> String {
        let mut line = Vec::new();
        write_bytes(&mut line, bytes).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn json_stands_byte_by_byte_and_other_bytes_are_told_apart() {
        assert_eq!(text(None), "null");
        assert_eq!(text(Some(b"{\"n\":12345678901234567890.10}")), "{\"n\":12345678901234567890.10}");
        assert_eq!(text(Some(b"{\n}")), r#""{\n}""#);
        assert_eq!(text(Some("käse \"1\"".as_bytes())), r#""käse \"1\"""#);
        assert_eq!(text(Some(&[0xff, 0x00])), r#"{"hex":"ff00"}"#);
        assert_eq!(text(Some(b"")), r#""""#);
    }

    #[tokio::test]
    async fn records_are_printed_from_an_offset_up_to_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let log = LocalLog::open(dir.path(), LocalLogConfig::default()).await.unwrap();
        log.create_topic("t", TopicSpec::new()).await.unwrap();
        let mut builder = RecordsBuilder::new();
        let headers = builder.headers(&[("h", b"1")]).unwrap();
        for n in 0..5 {
            builder.push(Some(b"\"k\""), Some(format!("{{\"n\":{n}}}").as_bytes()), headers, 7).unwrap();
        }
        let appends = vec![Append::new("t", 0, builder.finish())];
        log.producer("p").await.unwrap().append(Transaction { appends }).await.unwrap();
        let view = LogView { log: Arc::new(log) };
        let mut out = Vec::new();
        let range = LogRange { from: 3, limit: 1, headers: true, ..LogRange::default() };
        assert_eq!(view.print("t", range, &mut out).await.unwrap(), 1);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"topic\":\"t\",\"partition\":0,\"offset\":3,\"timestamp_ms\":7,\"key\":\"k\",\"value\":{\"n\":3},\"headers\":[{\"h\":1}]}\n"
        );
        let mut out = Vec::new();
        assert_eq!(view.print("t", LogRange::default(), &mut out).await.unwrap(), 5);
        let missing = view.print("orders", LogRange::default(), &mut out).await.unwrap_err();
        assert_eq!(missing.to_string(), "no topic orders in the log\n  → there are t");
        let missing = view.print("t", LogRange { partition: 1, ..LogRange::default() }, &mut out).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Configuration);
        let topics = view.topics().await.unwrap();
        assert_eq!(topics[0].partitions, [LogPartition { partition: 0, first: 0, next: 5 }]);
    }
}
