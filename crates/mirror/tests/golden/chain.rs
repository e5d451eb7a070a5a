//! Two ways from a server to Debezium records: the libraries put together by hand, and the source half of a mirror with its log.

use super::Golden;
use crate::support::{self, DEADLINE, Server};
use cdc_core::{ChangeSource, GenerationState, SourceItem, SourcePosition, TableFilter, TableId};
use change_log::{ChangeLog, LocalLog, LocalLogConfig};
use debezium_format::{Connector, Converter, Encoder, EncoderConfig, RecordList};
use mirror::{Halves, Mirror, MirrorConfig, Secret};
use mysql_source::{MysqlSource, MysqlSourceConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What was recorded under this prefix.
const PREFIX: &str = "dbserver1";

/// What came out.
#[derive(Debug, Default)]
pub struct Played {
    /// All records, those of a topic in order.
    pub records: Vec<Golden>,
    /// Why a table has none from some place on.
    pub stops: BTreeMap<String, String>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The source and the encoder, with Debezium's own defaults.
pub struct ByHand {
    config: MysqlSourceConfig,
    source: MysqlSource,
    encoder_config: EncoderConfig,
    encoders: BTreeMap<TableId, (String, Encoder)>,
    /// Tables whose rows are being read.
    running: BTreeSet<TableId>,
    position: SourcePosition,
    played: Played,
}

impl ByHand {
    /// Starts, and reads the rows that are there. `schemas`: each key and value has its schema with it.
    pub async fn start(server: &Server, schemas: bool) -> Self {
        let config = MysqlSourceConfig::builder("127.0.0.1")
            .port(server.port)
            .user("mirror")
            .password("mirror")
            .tables(TableFilter::new(Some("inventory"), None, None, None).unwrap())
            .build()
            .unwrap();
        let source = MysqlSource::start(config.clone(), Default::default()).await.unwrap();
        let connector = if server.is_mysql() { Connector::Mysql } else { Connector::Mariadb };
        let encoder_config = EncoderConfig::new(PREFIX, connector, Converter::Json { schemas }, "a run");
        let mut this = Self {
            config,
            source,
            encoder_config,
            encoders: BTreeMap::new(),
            running: BTreeSet::new(),
            position: SourcePosition::default(),
            played: Played::default(),
        };
        this.catch_up().await;
        this
    }

    async fn catch_up(&mut self) {
        let goal = mysql_source::current_position(&self.config).await.unwrap();
        let began = Instant::now();
        while self.position < goal || self.position.server.is_empty() || !self.running.is_empty() {
            assert!(began.elapsed() < DEADLINE, "waited {DEADLINE:?} for {goal:?}");
            let batch = support::within("a batch", self.source.next()).await.unwrap().expect("the source has ended");
            for item in batch.items {
                self.item(item);
            }
            self.position = batch.position;
        }
    }

    fn item(&mut self, item: SourceItem) {
        match item {
            SourceItem::Schema { schema, .. } => {
                let topic = format!("{PREFIX}.{}", schema.table);
                let encoder = Encoder::new(&self.encoder_config, schema.clone(), &topic).unwrap();
                self.encoders.insert(schema.table.clone(), (topic, encoder));
            }
            SourceItem::Changes(batch) => {
                let (topic, encoder) = self.encoders.get_mut(&batch.schema.table).expect("changes before their schema");
                let mut list = RecordList::default();
                encoder.encode(&batch, &mut list).unwrap();
                self.played.records.extend(list.records().iter().map(|record| Golden {
                    topic: topic.clone(),
                    key: record.key.as_deref().map(text),
                    value: record.value.as_deref().map(text),
                    headers: record.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
                }));
            }
            SourceItem::Generation(generation) => {
                match generation.state {
                    GenerationState::Running => self.running.insert(generation.table),
                    GenerationState::Complete { .. } => self.running.remove(&generation.table),
                };
            }
            SourceItem::Stop(stop) => {
                self.running.remove(&stop.table);
                self.played.stops.insert(stop.table.table.clone(), stop.message);
            }
            SourceItem::Barrier { .. } | SourceItem::CreatesAreNew { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    /// Everything up to now.
    pub async fn end(mut self) -> Played {
        self.catch_up().await;
        self.played
    }
}

/// A [`Mirror`] that only writes its log: without schemas, and unsigned 64-bit numbers as decimals.
pub struct SourceHalf {
    mirror: Mirror,
    folder: tempfile::TempDir,
}

impl SourceHalf {
    /// Starts, and reads the rows that are there.
    pub async fn start(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = MirrorConfig::new("127.0.0.1", server.port, "mirror", Secret::new("mirror"), folder.path());
        config.source.database_include = Some("inventory".to_owned());
        config.source.topic_prefix = PREFIX.to_owned();
        config.halves = Halves::Source;
        let mirror = support::start(config).await;
        support::caught_up(&mirror).await;
        Self { mirror, folder }
    }

    /// Everything up to now.
    pub async fn end(self) -> Played {
        support::caught_up(&self.mirror).await;
        let status = support::stop(self.mirror).await;
        let mut played = Played::default();
        for (table, status) in &status.tables {
            if let Some(message) = &status.stopped {
                played.stops.insert(table.trim_start_matches("inventory.").to_owned(), message.clone());
            }
        }
        let log = LocalLog::open(self.folder.path().join("log"), LocalLogConfig::default()).await.unwrap();
        for topic in log.topics().await.unwrap().into_iter().filter(|t| !t.compacted) {
            let range = log.offsets(&topic.name, 0).await.unwrap();
            let mut at = range.first;
            while at < range.next {
                let fetched = log.read(&topic.name, 0, at, 1 << 20).await.unwrap();
                played.records.extend(fetched.records.iter().map(|record| Golden {
                    topic: topic.name.clone(),
                    key: record.key.map(text),
                    value: record.value.map(text),
                    headers: record.headers.iter().map(|(name, value)| (name.to_owned(), text(value))).collect(),
                }));
                at = fetched.next_offset;
            }
        }
        played
    }
}
