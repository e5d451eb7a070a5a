//! The control topic of a Kafka Connect Iceberg sink: whether its workers have written files that its coordinator has not committed.
//!
//! An event is two bytes of magic, the length and text of its Avro schema, and its fields by that schema (Iceberg's `AvroEncoderUtil`).
//! Only what comes before the lists of files is read: kind, group, and the table of a `DATA_WRITTEN`.

use crate::error::Result;
use change_log::ChangeLog;
use iceberg_writer::TableName;
use std::collections::BTreeMap;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;
/// The kind of the event with which a worker offers the files of one table (Iceberg's `PayloadType`).
const DATA_WRITTEN: i64 = 1;

/// An event that offers files of a table, or that may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfferedFiles {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// It is of a form that is not known here, so it cannot be told what it offers.
    pub(super) unknown: bool,
}

/// The first event of this group that offers files of the table, at or behind the offsets that the table has; of a partition that it has
/// no offset of, from the beginning.
///
/// Read to the end as it is when this is called; what is not decided there is waited for. What the topic has lost by retention says nothing,
/// nor does a topic that is gone.
///
/// # Errors
/// Those of reading the log.
pub(super) async fn offered(
    log: &dyn ChangeLog,
    topic: &str,
    behind: &BTreeMap<i32, i64>,
    group: &str,
    table: &TableName,
) -> Result<Option<OfferedFiles>> {
    let Some(info) = log.topic(topic).await? else { return Ok(None) };
    for partition in 0..info.partitions {
        let range = log.offsets(topic, partition).await?;
        // Behind the end: the topic was made anew.
        let known = behind.get(&partition).copied().filter(|next| *next <= range.next).unwrap_or(range.first);
        let mut at = known.max(range.first);
        while at < range.next {
            let fetched = log.read(topic, partition, at, READ_BYTES).await?;
            for record in fetched.records.iter() {
                let event = record.value.map(ControlEvent::parse);
                let unknown = match event {
                    None => continue,
                    Some(None) => true,
                    Some(Some(event)) if event.group != group || event.kind != DATA_WRITTEN => continue,
                    Some(Some(event)) => match event.table {
                        None => true,
                        Some(of) if of == format!("{}.{}", table.namespace, table.name) => false,
                        Some(_) => continue,
                    },
                };
                return Ok(Some(OfferedFiles { partition, offset: record.offset, unknown }));
            }
            if fetched.next_offset <= at {
                log.wait(topic, partition, at).await?;
            }
            at = at.max(fetched.next_offset);
        }
    }
    Ok(None)
}

/// What is read of an event.
#[derive(Debug, PartialEq, Eq)]
struct ControlEvent {
    kind: i64,
    group: String,
    /// Of a `DATA_WRITTEN` alone: the table, its name's parts joined by dots.
    table: Option<String>,
}

impl ControlEvent {
    /// `None` if its bytes are not those of an event that is known here.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(&[0xc2, 0x01])?;
        let (length, bytes) = bytes.split_first_chunk::<2>()?;
        let (schema, datum) = bytes.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let schema: serde_json::Value = serde_json::from_slice(schema).ok()?;
        begins_with(&schema, &["id", "type", "timestamp", "group_id", "payload"])?;
        let mut datum = Datum(datum);
        datum.uuid(&schema, 0)?;
        let kind = datum.number()?;
        datum.number()?;
        let group = datum.text()?;
        let table = if kind == DATA_WRITTEN { table_of(&schema, &mut datum) } else { None };
        Some(Self { kind, group, table })
    }
}

/// The table of a `DATA_WRITTEN`, whose payload comes next; `None` if that has another form.
fn table_of(schema: &serde_json::Value, datum: &mut Datum<'_>) -> Option<String> {
    let payload = field_type(schema, 4)?;
    begins_with(payload, &["commit_id", "table_reference"])?;
    let reference = field_type(payload, 1)?;
    begins_with(reference, &["catalog", "namespace", "name"])?;
    datum.uuid(payload, 0)?;
    datum.text()?;
    let mut name = datum.texts()?;
    name.push(datum.text()?);
    Some(name.join("."))
}

/// The fields of a record's schema have these names first.
fn begins_with(record: &serde_json::Value, names: &[&str]) -> Option<()> {
    let fields = record.get("fields")?.as_array()?.iter().map(|field| field.get("name").and_then(|name| name.as_str()));
    names.iter().map(|name| Some(*name)).eq(fields.take(names.len())).then_some(())
}

fn field_type(record: &serde_json::Value, index: usize) -> Option<&serde_json::Value> {
    record.get("fields")?.get(index)?.get("type")
}

/// Avro's binary encoding, from the front.
struct Datum<'a>(&'a [u8]);

impl<'a> Datum<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// An int or long: zigzag, seven bits in a byte, the lowest first.
    fn number(&mut self) -> Option<i64> {
        let mut raw = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed());
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// An array of texts, in blocks that begin with their count; a negative one is followed by the block's length.
    fn texts(&mut self) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        loop {
            let count = self.number()?;
            if count == 0 {
                return Some(texts);
            }
            if count < 0 {
                self.number()?;
            }
            for _ in 0..count.unsigned_abs() {
                texts.push(self.text()?);
            }
        }
    }

    /// A field that is a UUID in sixteen bytes.
    fn uuid(&mut self, record: &serde_json::Value, index: usize) -> Option<()> {
        let size = field_type(record, index)?.get("size").and_then(serde_json::Value::as_u64);
        // The second time that a named type is used it is its name alone.
        let named = field_type(record, index)?.as_str() == Some("uuid_fixed");
        (size == Some(16) || named).then(|| self.take(16))?.map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// As Apache's sink 1.10.1 has written it, from its worker `orders-sink`: the files of `shop.orders`.
    const WRITTEN: &[u8] = include_bytes!("control_events/data_written.avro");
    /// The beginning of the same cycle, and its end.
    const START: &[u8] = include_bytes!("control_events/start_commit.avro");
    const COMPLETE: &[u8] = include_bytes!("control_events/data_complete.avro");

    #[test]
    fn the_events_of_a_cycle_are_told_apart_with_their_group_and_table() {
        let group = || "connect-orders-sink".to_owned();
        let written = ControlEvent { kind: DATA_WRITTEN, group: group(), table: Some("shop.orders".to_owned()) };
        assert_eq!(ControlEvent::parse(WRITTEN), Some(written));
        assert_eq!(ControlEvent::parse(START), Some(ControlEvent { kind: 0, group: group(), table: None }));
        assert_eq!(ControlEvent::parse(COMPLETE), Some(ControlEvent { kind: 2, group: group(), table: None }));
    }

    #[test]
    fn an_event_of_another_form_is_not_known_and_never_taken_for_another() {
        for length in 0..WRITTEN.len() {
            let cut = ControlEvent::parse(&WRITTEN[..length]);
            assert!(cut.is_none_or(|e| e.kind == DATA_WRITTEN && e.table.is_none_or(|t| t == "shop.orders")), "{length} bytes");
        }
        let text = |from: &str, to: &str| {
            let at = WRITTEN.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut changed = WRITTEN.to_vec();
            changed.splice(at..at + from.len(), to.bytes());
            changed
        };
        assert_eq!(ControlEvent::parse(&text("\"timestamp\"", "\"timestomp\"")), None);
        assert_eq!(ControlEvent::parse(&text("\"size\":16", "\"size\":17")), None);
        assert_eq!(
            ControlEvent::parse(&text("\"name\":\"namespace\"", "\"name\":\"namespick\"")).unwrap().table,
            None,
            "of which table is not known"
        );
        assert_eq!(ControlEvent::parse(b"\xc2\x02"), None);
    }
}
