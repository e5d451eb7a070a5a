//! Whether a table that others have written holds just the rows that the events before some offsets leave.

use super::event_decoder::EventDecoder;
use crate::config::EventFormat;
use crate::error::{Error, ErrorKind, Result};
use crate::progress_topic::TableProgress;
use crate::verify::fingerprint::{Columns, Fingerprints};
use cdc_core::Op;
use change_log::{ChangeLog, RecordRef};
use debezium_format::Decoded;
use iceberg_writer::Table;
use std::collections::{BTreeMap, HashMap};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;
/// Events are decoded into batches of so many rows.
const BATCH_ROWS: usize = 16_384;
/// What a row takes that is held: its two fingerprints and its share of a table that is not full.
const BYTES_OF_A_ROW: usize = 96;

/// The events of a topic from its beginning up to these offsets, all under one schema version.
pub(super) struct Events<'a> {
    pub(super) log: &'a dyn ChangeLog,
    pub(super) topic: &'a str,
    /// By partition: the offset behind the last event.
    pub(super) ends: &'a BTreeMap<i32, i64>,
    pub(super) progress: &'a TableProgress,
    pub(super) version: u32,
    pub(super) format: EventFormat,
}

/// What a table holds otherwise than the events say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// Rows with the key of another row.
    pub(super) doubled: u64,
    /// Rows that no event has left: deleted ones, or those of others.
    pub(super) surplus: u64,
    /// Rows that an event has left otherwise.
    pub(super) different: u64,
    /// Rows that an event has left and that are not there.
    pub(super) missing: u64,
}

impl Differences {
    pub(super) fn none(self) -> bool {
        self == Self::default()
    }
}

/// A row that the events have left.
struct Left {
    row: u128,
    in_table: bool,
}

type LeftRows = HashMap<u128, Left, foldhash::fast::RandomState>;

/// Compares the table's rows with those that the events leave, by 128-bit fingerprints. Both are read in as many passes as it takes to hold no more
/// than so many bytes.
///
/// # Errors
/// [`ErrorKind::Unsafe`]: an event that no row follows from. Those of reading the log or the table.
pub(super) async fn compare(events: &Events<'_>, table: &Table, bytes: usize) -> Result<Differences> {
    let decoder = events.decoder().await?;
    let schema = decoder.decoder.schema();
    let columns = Columns { schema: schema.arrow_schema(), key: schema.key.clone() };
    let most = (bytes / BYTES_OF_A_ROW).max(BATCH_ROWS);
    let total = table.head().and_then(|s| s.summary().additional_properties.get("total-records")?.parse::<usize>().ok());
    let mut passes = total.unwrap_or(0).div_ceil(most).max(1) as u64;
    let (mut found, mut pass) = (Differences::default(), 0);
    while pass < passes {
        let chosen = move |key: u128| key as u64 % passes == pass;
        let Some(left) = events.left(&columns, chosen, most.saturating_mul(2)).await? else {
            // The events have left more rows than the table says that it has.
            (found, pass, passes) = (Differences::default(), 0, passes.saturating_mul(2));
            continue;
        };
        in_table(table, &columns, chosen, left, &mut found).await?;
        pass += 1;
    }
    Ok(found)
}

/// Counts how the table's rows differ from these.
async fn in_table(
    table: &Table,
    columns: &Columns,
    chosen: impl Fn(u128) -> bool,
    mut left: LeftRows,
    found: &mut Differences,
) -> Result<()> {
    let mut scan = table.scan().open().await?;
    while let Some(batch) = scan.next().await? {
        let Fingerprints { keys, rows } = columns.fingerprints(&columns.align(&batch)?)?;
        for (key, row) in keys.into_iter().zip(rows).filter(|(key, _)| chosen(*key)) {
            match left.get_mut(&key) {
                None => found.surplus += 1,
                Some(known) if known.in_table => found.doubled += 1,
                Some(known) => {
                    known.in_table = true;
                    found.different += u64::from(known.row != row);
                }
            }
        }
    }
    found.missing += left.values().filter(|known| !known.in_table).count() as u64;
    Ok(())
}

impl Events<'_> {
    async fn decoder(&self) -> Result<EventDecoder> {
        let decoder = EventDecoder::of_version(self.progress, self.version, self.format).await;
        decoder.map_err(|e| Error::new(ErrorKind::Unsafe, e.to_string()).with_source(e))
    }

    /// The last row of each chosen key; `None` if they are more than `most` at any time.
    async fn left(&self, columns: &Columns, chosen: impl Fn(u128) -> bool, most: usize) -> Result<Option<LeftRows>> {
        let mut left = LeftRows::default();
        for (&partition, &end) in self.ends {
            let mut decoder = self.decoder().await?;
            let mut at = self.log.offsets(self.topic, partition).await?.first;
            while at < end {
                let fetched = self.log.read(self.topic, partition, at, READ_BYTES).await?;
                for record in fetched.records.iter().take_while(|r| r.offset < end) {
                    self.decode(&mut decoder, partition, &record)?;
                    if decoder.decoder.rows() >= BATCH_ROWS {
                        take_in(&mut decoder, columns, &chosen, &mut left)?;
                    }
                }
                take_in(&mut decoder, columns, &chosen, &mut left)?;
                if left.len() > most {
                    return Ok(None);
                }
                if fetched.next_offset <= at {
                    self.log.wait(self.topic, partition, at).await?;
                }
                at = at.max(fetched.next_offset);
            }
        }
        Ok(Some(left))
    }

    fn decode(&self, events: &mut EventDecoder, partition: i32, record: &RecordRef<'_>) -> Result<()> {
        let refused = |what: &str| {
            let (topic, offset) = (self.topic, record.offset);
            Error::new(ErrorKind::Unsafe, format!("the event at offset {offset} of {topic}, partition {partition}, {what}"))
        };
        if let (Some(carried), Some(value)) = (&events.carried, record.value)
            && !carried.is_of(record.key, value)
        {
            return Err(refused("has other columns than the first one: what the rows before it have in them is not known"));
        }
        match events.decoder.decode(record.value) {
            Ok(Decoded::Event(_)) => Ok(()),
            Ok(Decoded::Tombstone) if events.tombstones_delete => Err(refused("deletes a row by its key alone")),
            Ok(Decoded::Tombstone) => Ok(()),
            Ok(Decoded::Truncate) => Err(refused("empties the table, which a Kafka Connect sink does not do")),
            Ok(_) => Err(refused("is of a kind that this version does not know")),
            Err(e) => Err(refused(&format!("cannot be read: {e}")).with_source(e)),
        }
    }
}

/// Does with the rows what the decoded events did.
fn take_in(decoder: &mut EventDecoder, columns: &Columns, chosen: impl Fn(u128) -> bool, left: &mut LeftRows) -> Result<()> {
    if decoder.decoder.rows() == 0 {
        return Ok(());
    }
    let batch = decoder.decoder.finish().map_err(|e| Error::new(ErrorKind::Other, e.to_string()).with_source(e))?;
    let Fingerprints { keys, rows } = columns.fingerprints(&columns.align(&batch.rows)?)?;
    for ((op, key), row) in batch.ops.into_iter().zip(keys).zip(rows).filter(|((_, key), _)| chosen(*key)) {
        match op {
            Op::Delete => drop(left.remove(&key)),
            Op::Read | Op::Create | Op::Update => drop(left.insert(key, Left { row, in_table: false })),
        }
    }
    Ok(())
}
