//! Topics that the JVM Debezium or another writer of its events has written: no progress records tell of them, so their tables are found
//! by their names and their events.

use crate::capture::Captured;
use crate::config::{EventFormat, Topics};
use crate::error::{ErrorKind, Result};
use crate::sink::{EventSchemas, ProgressFollower, mirrored_name, newest_checkpoint};
use cdc_core::{SourcePosition, StopReason, TableId, TableStop};
use change_log::{ChangeLog, TopicInfo};
use iceberg_writer::Catalog;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often it is looked where the topics end.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often new topics are looked for.
const TOPICS_EVERY: Duration = Duration::from_secs(5);

/// Finds the tables of such topics, and follows where the topics end.
pub(crate) struct ForeignTopics {
    log: Arc<dyn ChangeLog>,
    catalog: Catalog,
    prefix: String,
    /// Those whose tables are written; `None` is all of the prefix.
    topics: Option<Topics>,
    events: EventFormat,
    /// The sink's id.
    sink: String,
    follower: ProgressFollower,
    captured: watch::Sender<Captured>,
    /// Topics of tables that are followed or were refused, and their partitions, of which the protocol lets none be added.
    begun: BTreeMap<String, i32>,
    look_now: Arc<Notify>,
}

/// True if there are such topics with records in them. A source of ours makes its progress topic before any other.
pub(crate) async fn are_there(log: &dyn ChangeLog, prefix: &str, topics: Option<&Topics>) -> Result<bool> {
    for info in log.topics().await?.into_iter().filter(|info| table_of(info, prefix, topics).is_some()) {
        for partition in 0..info.partitions {
            let range = log.offsets(&info.name, partition).await?;
            if range.next > range.first {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The table of a topic's events: `<prefix>.<database>.<table>`.
fn table_of(info: &TopicInfo, prefix: &str, topics: Option<&Topics>) -> Option<TableId> {
    let (database, table) = info.name.strip_prefix(prefix)?.strip_prefix('.')?.split_once('.')?;
    let wanted = !info.compacted && topics.is_none_or(|topics| topics.contains(&info.name));
    (wanted && !database.is_empty() && !table.is_empty()).then(|| TableId::new(database, table))
}

impl ForeignTopics {
    /// Looks for the first time; returns also who is told of the tables, and what the topics' ends are followed by.
    pub(crate) async fn open(
        log: Arc<dyn ChangeLog>,
        catalog: Catalog,
        (prefix, topics): (&str, Option<Topics>),
        events: EventFormat,
        sink: &str,
        look_now: Arc<Notify>,
    ) -> Result<(Self, ProgressFollower, watch::Receiver<Captured>)> {
        let follower = ProgressFollower::told();
        let mut this = Self {
            log,
            catalog,
            prefix: prefix.to_owned(),
            topics,
            events,
            sink: sink.to_owned(),
            follower: follower.clone(),
            captured: watch::Sender::default(),
            begun: BTreeMap::new(),
            look_now,
        };
        tracing::warn!(
            prefix,
            "the topics have no progress records: another than cdc-source writes them, so a change may come twice, and columns and TRUNCATE are known as far as the events tell"
        );
        this.find_tables().await?;
        this.look().await?;
        let captured = this.captured.subscribe();
        Ok((this, follower, captured))
    }

    /// Runs until it is asked to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut searched = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.look_now.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
            let search = searched.elapsed() >= TOPICS_EVERY;
            let more = async {
                if search {
                    self.find_tables().await?;
                }
                self.look().await
            };
            let looked = tokio::select! {
                looked = more => looked,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            match looked {
                Ok(()) if search => searched = Instant::now(),
                Ok(()) => {}
                Err(e) if e.is_log_away() => tracing::warn!(error = %e, "the log cannot be read; trying again"),
                Err(e) => return Err(e),
            }
        }
    }

    /// Begins with the tables of topics that are new, or have their first event.
    async fn find_tables(&mut self) -> Result<()> {
        for info in self.log.topics().await? {
            let Some(table) = table_of(&info, &self.prefix, self.topics.as_ref()) else { continue };
            if self.begun.contains_key(&info.name) {
                continue;
            }
            match self.find(&info.name, &table).await {
                Ok(false) => continue,
                Ok(true) => {
                    self.captured.send_modify(|captured| drop(captured.topics.insert(table, info.name.clone())));
                }
                Err(e) if e.is_log_away() => return Err(e),
                Err(e) if e.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(%table, error = %e, "the table cannot be looked at yet, trying again");
                    continue;
                }
                Err(e) => {
                    tracing::error!(%table, error = %e, "table stopped");
                    let stop = TableStop {
                        table,
                        reason: StopReason::UnsupportedType,
                        message: e.to_string(),
                        position: SourcePosition::default(),
                    };
                    self.captured.send_modify(|captured| captured.stops.push(stop));
                }
            }
            self.begun.insert(info.name, info.partitions);
        }
        Ok(())
    }

    async fn find(&self, topic: &str, table: &TableId) -> Result<bool> {
        let in_catalog = self.catalog.load_table(&mirrored_name(table)).await?;
        let checkpoint = match &in_catalog {
            Some(in_catalog) => newest_checkpoint(&self.catalog, in_catalog, &self.sink).await?,
            None => None,
        };
        let found = (in_catalog.as_ref(), checkpoint.as_ref());
        EventSchemas::find(self.log.as_ref(), topic, table, self.events, &self.follower, found).await
    }

    /// Where the topics end now.
    async fn look(&self) -> Result<()> {
        let looked = Some(Instant::now());
        let topics = self.captured.borrow().topics.clone();
        let mut ends = Vec::with_capacity(topics.len());
        'topics: for topic in topics.into_values() {
            let mut next = 0;
            for partition in 0..self.begun.get(&topic).copied().unwrap_or(0) {
                match self.log.offsets(&topic, partition).await {
                    Ok(range) => next += range.next,
                    // Its table stops, and says why; the others go on.
                    Err(e) if e.kind() == change_log::ErrorKind::UnknownTopic => continue 'topics,
                    Err(e) => return Err(e.into()),
                }
            }
            ends.push((topic, next));
        }
        self.captured.send_modify(|captured| {
            captured.next_offsets.extend(ends);
            captured.looked = looked;
        });
        Ok(())
    }
}
