//! The source without a log, for `dev/bench/run source`: reads a table or the changes of it, makes Debezium's events of them and
//! drops each batch of events. What it counts is what `EncodeAndDrop.java` counts of the real Debezium.
//!
//! encode-and-drop PORT snapshot|stream SCHEMAS TABLE ROWS
//!
//! `snapshot` reads the first ROWS rows of `TABLE`; `stream` notes the server's position, says `ready`, waits for a line on standard
//! input, and reads the changes behind that position until there were ROWS. SCHEMAS is `true` or `false`: each event with its
//! schema, or without. Prints one JSON object with rows, records, bytes, and what the process has used since it began.

use cdc_core::{ChangeSource, RecoveredState, SourceBatch, SourceItem, SourcePosition, TableFilter, TableSchema, TopicRouter};
use debezium_format::{Connector, Converter, EncodedEvent, Encoder, EncoderConfig, EventSink};
use harness::Result;
use harness::process::Usage;
use mysql_source::{MysqlSource, MysqlSourceConfig, SnapshotMode};
use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The schema of the table is there when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(1);

/// Takes events and forgets them with each batch, as the consumer of Debezium's engine does.
#[derive(Default)]
struct Dropped {
    arena: Vec<u8>,
    rows: u64,
    records: u64,
    bytes: u64,
}

impl EventSink for Dropped {
    fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    fn commit(&mut self, event: EncodedEvent<'_>) {
        self.records += 1;
        self.rows += u64::from(event.value.is_some());
        self.bytes += [event.key, event.value].into_iter().flatten().map(|range| range.len() as u64).sum::<u64>();
    }
}

/// What a source said of itself so far, from which another goes on.
#[derive(Default)]
struct Known {
    schemas: Vec<TableSchema>,
    state: RecoveredState,
}

impl Known {
    fn note(&mut self, batch: &SourceBatch) {
        for item in &batch.items {
            match item {
                SourceItem::Schema { schema, .. } => self.schemas.push(schema.as_ref().clone()),
                SourceItem::Generation(generation) => {
                    self.state.generations.retain(|g| g.table != generation.table);
                    self.state.generations.push(generation.clone());
                }
                SourceItem::CreatesAreNew { table, generation } => self.state.marks.push((table.clone(), *generation)),
                _ => {}
            }
        }
        self.position(batch.position.clone());
    }

    fn position(&mut self, position: SourcePosition) {
        self.state.position = Some(position);
    }
}

struct Run {
    config: MysqlSourceConfig,
    encoder: EncoderConfig,
    rows: u64,
}

impl Run {
    /// Encodes what comes until there were enough rows.
    async fn drop_rows(&self, known: Known) -> Result<Dropped> {
        let router = TopicRouter::new("bench");
        let encoder_of = |schema: Arc<TableSchema>| {
            let topic = router.data_topic(&schema.table);
            Encoder::new(&self.encoder, schema, &topic)
        };
        let mut encoder = match known.schemas.last() {
            Some(schema) => Some(encoder_of(Arc::new(schema.clone()))?),
            None => None,
        };
        let mut dropped = Dropped::default();
        let mut source =
            MysqlSource::start(self.config.clone(), RecoveredState { schemas: known.schemas, ..known.state }).await?;
        while dropped.rows < self.rows {
            let Some(batch) = source.next().await? else {
                return Err(format!("the source ended after {} of {} rows", dropped.rows, self.rows).into());
            };
            for item in batch.items {
                match item {
                    SourceItem::Schema { schema, .. } => encoder = Some(encoder_of(schema)?),
                    SourceItem::Changes(changes) => {
                        let encoder = encoder.as_mut().ok_or("changes came before their schema")?;
                        encoder.encode(&changes, &mut dropped)?;
                    }
                    SourceItem::Stop(stop) => return Err(stop.message.into()),
                    _ => {}
                }
            }
            dropped.arena.clear();
        }
        Ok(dropped)
    }

    /// The server's position and the table's schema, as they are now.
    async fn look(&self) -> Result<Known> {
        let mut source = MysqlSource::start(self.config.clone(), RecoveredState::default()).await?;
        let mut known = Known::default();
        loop {
            match tokio::time::timeout(QUIET, source.next()).await {
                Ok(batch) => known.note(&batch?.ok_or("the source ended at once")?),
                Err(_) if known.schemas.is_empty() => {}
                Err(_) => return Ok(known),
            }
        }
    }
}

async fn run(arguments: &[String]) -> Result<()> {
    let [port, what, schemas, table, rows] = arguments else {
        return Err("usage: encode-and-drop PORT snapshot|stream true|false TABLE ROWS".into());
    };
    let stream = match what.as_str() {
        "snapshot" => false,
        "stream" => true,
        other => return Err(format!("{other} is neither snapshot nor stream").into()),
    };
    // The sizes that `mirror` gives the source.
    let config = MysqlSourceConfig::builder("127.0.0.1")
        .port(port.parse()?)
        .user("mirror")
        .password("mirror")
        .tables(TableFilter::new(Some("bench"), None, Some(&format!("bench\\.{table}")), None)?)
        .snapshot_mode(if stream { SnapshotMode::NoData } else { SnapshotMode::Initial })
        .chunk_rows(10_000)
        .memory_bytes(96 << 20)
        .batch_rows(8_192)
        .max_transaction_bytes(32 << 20)
        .build()?;
    let converter = Converter::Json { schemas: schemas.parse()? };
    let encoder = EncoderConfig::new("bench", Connector::Mysql, converter, "bench");
    let run = Run { config, encoder, rows: rows.parse()? };
    let known = if stream {
        let known = run.look().await?;
        println!("ready");
        std::io::stdin().lock().read_line(&mut String::new())?;
        known
    } else {
        Known::default()
    };
    let began = Instant::now();
    let dropped = run.drop_rows(known).await?;
    let seconds = began.elapsed().as_secs_f64();
    let usage = Usage::of(std::process::id())?;
    let outcome = serde_json::json!({
        "rows": dropped.rows, "records": dropped.records, "bytes": dropped.bytes, "seconds": seconds,
        "cpu_seconds": usage.cpu.as_secs_f64(), "peak_rss_mib": usage.peak_rss_kib as f64 / 1024.0,
    });
    println!("{outcome}");
    Ok(())
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&arguments)));
    match ended {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            std::process::ExitCode::from(3)
        }
    }
}
