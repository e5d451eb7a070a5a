//! Going on with a table that an Iceberg sink of Kafka Connect has written.
//!
//! Such a sink keeps in the table's snapshots how far it has read its *control topic*, over which its workers offer files to its coordinator. How
//! far it has read the topics themselves are the offsets of a consumer group, which a worker commits in the transaction that offers its
//! files. So the table has all events before these offsets once the sink is at rest and everything offered is committed; that
//! it has nothing else is compared, row by row, with what these events leave.

use super::control_events::offered;
use super::iceberg_table::{CONNECT_OFFSETS, TakenOver};
use super::left_rows::{Differences, Events, compare};
use super::progress_view::ProgressFollower;
use crate::config::{ConnectSinkConfig, EventFormat};
use crate::error::{Error, ErrorKind, Result};
use cdc_core::{TableId, TableSchema};
use change_log::{ChangeLog, ConsumerGroup, GroupState, KafkaLogConfig};
use commit_coordinator::ProgressView;
use iceberg_writer::{Table, iceberg_schema};
use std::collections::{BTreeMap, BTreeSet};

/// What is needed to look at a table and at who has written it.
pub(super) struct Predecessor<'a> {
    pub(super) sink: &'a ConnectSinkConfig,
    pub(super) cluster: &'a KafkaLogConfig,
    pub(super) log: &'a dyn ChangeLog,
    pub(super) topic: &'a str,
    pub(super) table: Table,
    pub(super) source_table: &'a TableId,
    pub(super) progress: &'a ProgressFollower,
    pub(super) events: EventFormat,
    /// Bytes that may be held to compare rows.
    pub(super) bytes: usize,
}

/// The way on from a table that is no mirror.
const ANEW: &str = "drop the table in the catalog, or rename it: the next start makes it anew from the events";

/// What the snapshots of a table say of the sinks of Kafka Connect that made them.
struct Traces {
    /// The newest one's control topic and group, joined by a dot.
    newest: String,
    /// Where that one's control topic goes on.
    control: BTreeMap<i32, i64>,
    /// Others, if there are any.
    others: BTreeSet<String>,
}

impl Predecessor<'_> {
    /// Where the table goes on; `None` if no sink of Kafka Connect has written it.
    ///
    /// The order is what makes it right: the sink is at rest, then its offsets are read, then the control topic to its end, so that
    /// files whose offsets are among these are seen there; and it is at rest still when all is compared. If it begins again later, its next
    /// commit is one of somebody else.
    ///
    /// # Errors
    /// [`ErrorKind::Unsafe`]: it cannot be gone on with exactly, why, and the ways on. Those of asking the cluster and of reading table and log.
    pub(super) async fn examine(mut self) -> Result<Option<TakenOver>> {
        let Some(traces) = self.traces()? else { return Ok(None) };
        let group = self.group_of(&traces)?.to_owned();
        tracing::info!(table = %self.table.name(), group, "the table has been written by a Kafka Connect sink: looking whether it can be gone on with");
        self.check_columns()?;
        let cluster = self.cluster;
        let named = |name: &str| ConsumerGroup::new(cluster, name);
        let groups = [named(&self.sink.group), named(&format!("{group}-coord"))];
        self.check_at_rest(&groups).await?;
        // It may have committed until now.
        self.table = self.table.refresh().await?;
        let control = self.traces()?.map(|traces| traces.control).unwrap_or_default();
        let ends = self.ends(&named(&group)).await?;
        self.check_control_topic(&control, &group).await?;
        self.check_rows(&ends).await?;
        self.check_at_rest(&groups).await?;
        tracing::info!(table = %self.table.name(), offsets = ?ends, "the table has just what the events before these offsets leave: going on behind them");
        Ok(Some(TakenOver {
            snapshot: self.table.head().map(|s| s.snapshot_id()),
            offsets: BTreeMap::from([(self.topic.to_owned(), ends)]),
        }))
    }

    fn refused(&self, what: &str, ways_on: &[&str]) -> Error {
        let ways: String = ways_on.iter().map(|way| format!("\n  → {way}")).collect();
        let table = self.table.name();
        Error::new(
            ErrorKind::Unsafe,
            format!("the table {table} has been written by a Kafka Connect sink and cannot be gone on with: {what}{ways}"),
        )
    }

    fn traces(&self) -> Result<Option<Traces>> {
        let mut found: Option<Traces> = None;
        for snapshot in self.table.ancestry() {
            for (key, value) in &snapshot.summary().additional_properties {
                let Some(sink) = key.strip_prefix(CONNECT_OFFSETS) else { continue };
                match &mut found {
                    Some(traces) if traces.newest == *sink => {}
                    Some(traces) => drop(traces.others.insert(sink.to_owned())),
                    None => {
                        let control = serde_json::from_str(value).map_err(|e| {
                            let what = format!("\"{key}\" of its snapshot {} cannot be read: {e}", snapshot.snapshot_id());
                            self.refused(&what, &[ANEW]).with_source(e)
                        })?;
                        found = Some(Traces { newest: sink.to_owned(), control, others: BTreeSet::new() });
                    }
                }
            }
        }
        Ok(found)
    }

    /// The group that has the sink's offsets, if the configuration names the sink.
    fn group_of(&self, traces: &Traces) -> Result<&str> {
        if let Some(other) = traces.others.first() {
            let what = format!("two have done so, \"{}\" and \"{other}\" (control topic and group)", traces.newest);
            return Err(self.refused(&what, &[ANEW]));
        }
        let ConnectSinkConfig { control_topic, group, control_group } = self.sink;
        let is = |group: &&String| traces.newest == format!("{control_topic}.{group}");
        [group, control_group].into_iter().find(is).map(String::as_str).ok_or_else(|| {
            self.refused(
                &format!("its control topic and group are \"{}\", and \"{control_topic}.{group}\" is configured", traces.newest),
                &["set \"name\", \"iceberg.control.topic\" and \"iceberg.connect.group-id\" as the connector has them", ANEW],
            )
        })
    }

    /// The table has the columns that it would have here.
    fn check_columns(&self) -> Result<()> {
        let schema = self.schema()?;
        let has = self.table.schema().as_struct();
        let wanted = iceberg_schema(&schema)?;
        let mut wrong = Vec::new();
        for field in wanted.as_struct().fields() {
            match has.field_by_name(&field.name) {
                None => wrong.push(format!("{} is missing", field.name)),
                Some(it) if it.field_type != field.field_type => {
                    wrong.push(format!("{} is {}, not {}", field.name, it.field_type, field.field_type));
                }
                Some(it) if it.id != field.id => {
                    wrong.push(format!("{} has the field id {}, not {}", field.name, it.id, field.id))
                }
                Some(_) => {}
            }
        }
        if has.field_by_name("_cdc").is_some() {
            return Err(self.refused(
                "with the column _cdc it is a log of changes, which has a row for each of them",
                &[ANEW, "to keep the log of changes, let the connector go on under another table's name"],
            ));
        }
        let surplus = has.fields().iter().filter(|f| wanted.as_struct().field_by_name(&f.name).is_none());
        wrong.extend(surplus.map(|field| format!("{} is not in the events", field.name)));
        if !wrong.is_empty() {
            return Err(self.refused(&format!("it has other columns than the events: {}", wrong.join("; ")), &[ANEW]));
        }
        if !self.table.metadata().default_partition_spec().is_unpartitioned() {
            return Err(self.refused("it is partitioned, and tables are not partitioned here", &[ANEW]));
        }
        if schema.key.is_empty() {
            return Err(self.refused("its rows have no key by which they could be compared with the events", &[ANEW]));
        }
        Ok(())
    }

    /// The columns of the oldest events.
    fn schema(&self) -> Result<TableSchema> {
        let progress = self.progress.now();
        let table = progress.tables.get(self.source_table);
        let oldest = table.and_then(|t| t.schemas.values().next()).map(|v| v.schema.clone());
        oldest.ok_or_else(|| self.unknown())
    }

    fn unknown(&self) -> Error {
        Error::new(ErrorKind::Other, format!("nothing tells the columns of {}: a fault of ours", self.source_table))
    }

    async fn check_at_rest(&self, groups: &[ConsumerGroup]) -> Result<()> {
        for group in groups {
            let GroupState::Active { state, members } = group.state().await? else { continue };
            let (name, group) = (self.connector(), group.name());
            let what = match members.is_empty() {
                true => format!("the consumer group {group} is in the state {state}, so that the sink may still run"),
                false => format!("the sink still runs: the consumer group {group} has members ({})", members.join(", ")),
            };
            return Err(self.refused(
                &what,
                &[
                    &format!(
                        "stop the connector {name} first (PUT /connectors/{name}/stop on its worker), and start this sink again"
                    ),
                    "a member that was killed counts until its session has ended, after 45 s unless it is set otherwise",
                ],
            ));
        }
        Ok(())
    }

    fn connector(&self) -> &str {
        self.sink.group.strip_prefix("connect-").unwrap_or(&self.sink.group)
    }

    /// The offsets before which the table has all events: for each partition of the topic.
    async fn ends(&self, group: &ConsumerGroup) -> Result<BTreeMap<i32, i64>> {
        let partitions = self.log.topic(self.topic).await?.map_or(0, |info| info.partitions);
        let mut ends = group.committed(self.topic, partitions).await?;
        for partition in 0..partitions {
            let range = self.log.offsets(self.topic, partition).await?;
            if let std::collections::btree_map::Entry::Vacant(none) = ends.entry(partition) {
                // Nothing was ever in it.
                if range.next > 0 {
                    let what = format!(
                        "it has left no offset of {}, partition {partition}: the consumer group {} has none, or none any more",
                        self.topic,
                        group.name()
                    );
                    return Err(self.refused(&what, &[ANEW]));
                }
                none.insert(0);
            }
            let end = ends.get(&partition).copied().unwrap_or(0);
            let (topic, what) = (self.topic, "so that its rows cannot be compared with the events");
            if range.first > 0 {
                let what = format!("{topic}, partition {partition}, begins at offset {} by now, {what}", range.first);
                return Err(self.refused(
                    &what,
                    &["drop the table in the catalog, and have the source write all rows again (a new snapshot)"],
                ));
            }
            if end > range.next {
                let what = format!(
                    "it has come to offset {end} of {topic}, partition {partition}, which ends at {}: another topic has its name",
                    range.next
                );
                return Err(self.refused(&what, &[ANEW]));
            }
        }
        Ok(ends)
    }

    async fn check_control_topic(&self, control: &BTreeMap<i32, i64>, group: &str) -> Result<()> {
        let topic = &self.sink.control_topic;
        let Some(found) = offered(self.log, topic, control, group, self.table.name()).await? else { return Ok(()) };
        let at = format!("at offset {} of its control topic {topic}, partition {}", found.offset, found.partition);
        let what = match found.unknown {
            true => {
                format!("the event {at} is of a form that is not known here, so that it may offer files that are not committed")
            }
            false => format!("files are offered {at} that are not in the table"),
        };
        let name = self.connector();
        Err(self.refused(
            &what,
            &[
                &format!(
                    "start the connector {name} again, wait for its next commit (iceberg.control.commit.interval-ms), and stop it"
                ),
                ANEW,
            ],
        ))
    }

    async fn check_rows(&self, ends: &BTreeMap<i32, i64>) -> Result<()> {
        let mut view = self.progress.view(self.source_table);
        view.catch_up().await.map_err(|e| Error::new(ErrorKind::Unavailable, e.to_string()).with_source(e))?;
        let now = self.progress.now();
        let progress = now.tables.get(self.source_table).ok_or_else(|| self.unknown())?;
        let mut version = None;
        for (&partition, &end) in ends.iter().filter(|(_, end)| **end > 0) {
            let facts = view.facts(self.topic, partition, 0);
            let changed = facts.until.filter(|until| *until < end);
            if let Some(at) = changed {
                let what =
                    format!("its columns changed, or it was read again, at offset {at} of {}, partition {partition}", self.topic);
                return Err(self.refused(&what, &[ANEW]));
            }
            version = version.or(Some(facts.schema_version));
        }
        if progress.last_barrier_before(ends) > 0 {
            return Err(self.refused(
                "its source table was emptied or made anew meanwhile, which a Kafka Connect sink does not follow",
                &[ANEW],
            ));
        }
        let events =
            Events { log: self.log, topic: self.topic, ends, progress, version: version.unwrap_or(1), format: self.events };
        let differences = compare(&events, &self.table, self.bytes).await.map_err(|e| match e.kind() {
            ErrorKind::Unsafe => self.refused(&e.to_string(), &[ANEW]).with_source(e),
            _ => e,
        })?;
        if differences.none() {
            return Ok(());
        }
        Err(self.refused(&told(differences), &[ANEW]))
    }
}

fn told(found: Differences) -> String {
    let Differences { doubled, surplus, different, missing } = found;
    let counts = [
        (doubled, "have the key of another row"),
        (surplus, "are left by no event"),
        (different, "have other values"),
        (missing, "are missing"),
    ];
    let counts: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let why = match doubled > 0 || surplus > 0 {
        true => "; a sink that appends each change leaves old rows behind",
        false => "",
    };
    format!("its rows are not those that the events leave: {}{why}", counts.join(", "))
}
