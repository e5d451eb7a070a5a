use super::edit_distance::nearest;

/// The part of the configuration that a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Source,
    Log,
    Sink,
    Trino,
}

impl Section {
    pub(super) const ALL: [Self; 4] = [Self::Source, Self::Log, Self::Sink, Self::Trino];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Log => "log",
            Self::Sink => "sink",
            Self::Trino => "trino",
        }
    }
}

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It is read.
    Used,
    /// It has one meaning here; this value is accepted, any other refused.
    Fixed(&'static str),
    /// Another name of a key.
    Alias(&'static str),
    /// Accepted, named once and ignored, for this reason.
    Unneeded(&'static str),
    /// Known, and refused, since leaving it out would change what is written.
    NotYet,
}

use Section::{Log, Sink, Source, Trino};
use Treatment::{Alias, Fixed, NotYet, Unneeded, Used};

/// A known key.
pub(super) struct Key {
    pub(super) section: Section,
    pub(super) name: &'static str,
    pub(super) treatment: Treatment,
}

const fn key(section: Section, name: &'static str, treatment: Treatment) -> Key {
    Key { section, name, treatment }
}

/// Every key that is known: Debezium's MySQL connector's, the Iceberg sink's, and our own.
pub(super) const KEYS: &[Key] = &[
    key(Source, "database.hostname", Used),
    key(Source, "database.port", Used),
    key(Source, "database.user", Used),
    key(Source, "database.password", Used),
    key(Source, "database.server.id", Used),
    key(Source, "database.include.list", Used),
    key(Source, "database.exclude.list", Used),
    key(Source, "table.include.list", Used),
    key(Source, "table.exclude.list", Used),
    key(Source, "topic.prefix", Used),
    key(Source, "database.ssl.mode", Used),
    key(Source, "database.ssl.truststore", Used),
    key(Source, "snapshot.mode", Used),
    key(Source, "snapshot.fetch.size", Used),
    key(Source, "snapshot.max.threads", Used),
    key(Source, "connect.timeout.ms", Used),
    key(Source, "column.include.list", NotYet),
    key(Source, "column.exclude.list", NotYet),
    key(Source, "memory.budget.bytes", Used),
    key(Source, "transaction.max.bytes", Used),
    key(Source, "reconnect.max.wait.ms", Used),
    key(Source, "bigint.unsigned.handling.mode", Fixed("precise")),
    key(Source, "decimal.handling.mode", Fixed("precise")),
    key(Source, "time.precision.mode", Fixed("adaptive_time_microseconds")),
    key(Source, "binary.handling.mode", Fixed("bytes")),
    key(Source, "tombstones.on.delete", Fixed("true")),
    key(Source, "skipped.operations", Fixed("none")),
    key(Source, "include.schema.changes", Fixed("true")),
    key(Source, "schema.name.adjustment.mode", Fixed("none")),
    key(Source, "field.name.adjustment.mode", Fixed("none")),
    key(Source, "provide.transaction.metadata", Fixed("false")),
    key(Source, "include.query", Fixed("false")),
    key(Source, "extended.headers.enabled", Fixed("true")),
    key(Source, "event.processing.failure.handling.mode", Fixed("fail")),
    key(Source, "event.deserialization.failure.handling.mode", Fixed("fail")),
    key(Source, "inconsistent.schema.handling.mode", Fixed("fail")),
    key(Source, "snapshot.query.mode", Fixed("select_all")),
    key(Source, "topic.naming.strategy", Fixed("io.debezium.schema.SchemaTopicNamingStrategy")),
    key(Source, "heartbeat.interval.ms", Fixed("0")),
    key(Source, "name", Unneeded("the mirror is named by topic.prefix")),
    key(Source, "tasks.max", Unneeded("one process owns all")),
    key(Source, "connector.class", Unneeded("the kind of server is detected")),
    key(Source, "offset.flush.interval.ms", Unneeded("progress is kept with the data")),
    key(Source, "binlog.buffer.size", Unneeded("there is no look-ahead buffer")),
    key(Source, "binlog.net.read.timeout", NotYet),
    key(Source, "binlog.net.write.timeout", NotYet),
    key(Source, "column.propagate.source.type", NotYet),
    key(Source, "connect.keep.alive", Unneeded("always on")),
    key(Source, "connect.keep.alive.interval.ms", Unneeded("always on")),
    key(Source, "connection.validation.timeout.ms", Unneeded("see connect.timeout.ms")),
    key(Source, "converters", NotYet),
    key(Source, "custom.metric.tags", NotYet),
    key(Source, "custom.sanitize.pattern", Unneeded("secrets are never printed")),
    key(Source, "database.initial.statements", NotYet),
    key(Source, "database.jdbc.driver", Unneeded("there is no JDBC")),
    key(Source, "database.protocol", Unneeded("there is no JDBC")),
    key(Source, "database.query.timeout.ms", Unneeded("chunks are short")),
    key(Source, "database.server.id.offset", Unneeded("one connection streams")),
    key(Source, "database.ssl.keystore", NotYet),
    key(Source, "database.ssl.keystore.password", NotYet),
    key(Source, "database.ssl.truststore.password", NotYet),
    key(Source, "datatype.propagate.source.type", NotYet),
    key(Source, "ddl.parser.type", Unneeded("there is one parser")),
    key(Source, "enable.time.adjuster", Unneeded("MySQL adjusts two-digit years itself")),
    key(Source, "errors.max.retries", Unneeded("lost connections are retried for ever")),
    key(Source, "executor.shutdown.timeout.ms", Unneeded("a stop takes a second")),
    key(Source, "gtid.ignore.on.recovery", NotYet),
    key(Source, "gtid.source.excludes", NotYet),
    key(Source, "gtid.source.filter.dml.events", NotYet),
    key(Source, "gtid.source.includes", NotYet),
    key(Source, "guardrail.collections.limit.action", NotYet),
    key(Source, "guardrail.collections.max", NotYet),
    key(Source, "heartbeat.action.query", NotYet),
    key(Source, "heartbeat.topics.prefix", NotYet),
    key(Source, "include.schema.comments", NotYet),
    key(Source, "incremental.snapshot.allow.schema.changes", NotYet),
    key(Source, "incremental.snapshot.chunk.size", NotYet),
    key(Source, "incremental.snapshot.watermarking.strategy", NotYet),
    key(Source, "internal.advanced.metrics.enable", Unneeded("internal")),
    key(Source, "internal.legacy.snapshot.max.threads", Unneeded("internal")),
    key(Source, "internal.log.position.check.enable", Unneeded("always checked")),
    key(Source, "internal.snapshot.scan.all.columns.force", Unneeded("internal")),
    key(Source, "legacy.snapshot.max.threads", Unneeded("internal")),
    key(Source, "max.batch.size", Unneeded("batches are bounded in bytes")),
    key(Source, "max.queue.size", Unneeded("queues are bounded in bytes")),
    key(Source, "max.queue.size.in.bytes", Unneeded("see memory.budget.bytes")),
    key(Source, "memory.management.schemas.class", Unneeded("there is no JVM")),
    key(Source, "memory.management.tables.class", Unneeded("there is no JVM")),
    key(Source, "message.key.columns", NotYet),
    key(Source, "min.row.count.to.stream.results", Unneeded("rows are always streamed")),
    key(Source, "notification.enabled.channels", NotYet),
    key(Source, "notification.sink.topic.name", NotYet),
    key(Source, "openlineage.integration.config.file.path", NotYet),
    key(Source, "openlineage.integration.dataset.kafka.bootstrap.servers", NotYet),
    key(Source, "openlineage.integration.enabled", NotYet),
    key(Source, "openlineage.integration.job.description", NotYet),
    key(Source, "openlineage.integration.job.namespace", NotYet),
    key(Source, "openlineage.integration.job.owners", NotYet),
    key(Source, "openlineage.integration.job.tags", NotYet),
    key(Source, "poll.interval.ms", Unneeded("changes are taken as they come")),
    key(Source, "post.processors", NotYet),
    key(Source, "query.fetch.size", Unneeded("rows are always streamed")),
    key(Source, "retriable.restart.connector.wait.ms", Unneeded("lost connections are retried with a growing pause")),
    key(Source, "schema.history.internal", Unneeded("schemas are kept in the progress topic")),
    key(Source, "schema.history.internal.skip.unparseable.ddl", Unneeded("schemas are kept in the progress topic")),
    key(Source, "schema.history.internal.store.only.captured.databases.ddl", Unneeded("schemas are kept in the progress topic")),
    key(Source, "schema.history.internal.store.only.captured.tables.ddl", Unneeded("schemas are kept in the progress topic")),
    key(Source, "signal.data.collection", NotYet),
    key(Source, "signal.enabled.channels", NotYet),
    key(Source, "signal.poll.interval.ms", NotYet),
    key(Source, "snapshot.delay.ms", Unneeded("0")),
    key(Source, "snapshot.include.collection.list", NotYet),
    key(Source, "snapshot.lock.timeout.ms", Unneeded("snapshots take no lock")),
    key(Source, "snapshot.locking.mode", Unneeded("snapshots take no lock")),
    key(Source, "snapshot.max.threads.multiplier", Unneeded("chunks are small")),
    key(Source, "snapshot.mode.configuration.based.snapshot.data", NotYet),
    key(Source, "snapshot.mode.configuration.based.snapshot.on.data.error", NotYet),
    key(Source, "snapshot.mode.configuration.based.snapshot.on.schema.error", NotYet),
    key(Source, "snapshot.mode.configuration.based.snapshot.schema", NotYet),
    key(Source, "snapshot.mode.configuration.based.start.stream", NotYet),
    key(Source, "snapshot.mode.custom.name", NotYet),
    key(Source, "snapshot.query.mode.custom.name", NotYet),
    key(Source, "snapshot.select.statement.overrides", NotYet),
    key(Source, "snapshot.tables.order.by.row.count", NotYet),
    key(Source, "sourceinfo.struct.maker", Unneeded("there is one")),
    key(Source, "statistics.metrics.enabled", Unneeded("metrics are always on")),
    key(Source, "streaming.delay.ms", NotYet),
    key(Source, "table.ignore.builtin", Unneeded("system tables are never captured")),
    key(Source, "transaction.metadata.factory", Unneeded("there is one")),
    key(Source, "use.nongraceful.disconnect", Unneeded("always closed")),
    key(Log, "type", Used),
    key(Log, "dir", Used),
    key(Log, "log.retention.ms", Used),
    key(Log, "log.retention.bytes", Used),
    key(Log, "log.segment.bytes", Used),
    key(Log, "bootstrap.servers", Used),
    key(Log, "security.protocol", Used),
    key(Log, "group.id", Used),
    key(Log, "client.id", Used),
    key(Log, "compression.type", Used),
    key(Log, "request.timeout.ms", Used),
    key(Log, "transaction.timeout.ms", Used),
    key(Log, "topic.creation.default.replication.factor", Used),
    key(Log, "sasl.mechanism", NotYet),
    key(Log, "sasl.jaas.config", NotYet),
    key(Log, "ssl.ca.location", NotYet),
    key(Sink, "name", Used),
    key(Sink, "iceberg.catalog", Used),
    key(Sink, "iceberg.catalog.type", Used),
    key(Sink, "iceberg.catalog.uri", Used),
    key(Sink, "iceberg.catalog.jdbc.user", Used),
    key(Sink, "iceberg.catalog.jdbc.password", Used),
    key(Sink, "iceberg.catalog.jdbc.schema-version", Unneeded("both versions of the tables are read and written")),
    key(Sink, "iceberg.catalog.jdbc.init-catalog-tables", Fixed("true")),
    key(Sink, "iceberg.catalog.jdbc.useSSL", NotYet),
    key(Sink, "iceberg.catalog.jdbc.verifyServerCertificate", NotYet),
    key(Sink, "iceberg.catalog.warehouse", Used),
    key(Sink, "iceberg.control.commit.interval-ms", Used),
    key(Sink, "iceberg.tables.mode", Used),
    key(Sink, "iceberg.tables.auto-create-enabled", Used),
    key(Sink, "iceberg.tables.compaction-enabled", Used),
    key(Sink, "iceberg.tables.evolve-schema-enabled", Fixed("true")),
    key(Sink, "iceberg.foreign.writes", Used),
    key(Sink, "iceberg.memory.budget.bytes", Used),
    key(Sink, "iceberg.tables.upsert-mode-enabled", Fixed("true")),
    key(Sink, "iceberg.tables.default-commit-branch", Fixed("main")),
    key(Sink, "iceberg.tables.schema-case-insensitive", Fixed("false")),
    key(Sink, "iceberg.tables.schema-force-optional", Fixed("false")),
    key(Sink, "iceberg.control.topic", Unneeded("one process needs no control topic")),
    key(Sink, "iceberg.control.group-id-prefix", Unneeded("one process needs no control topic")),
    key(Sink, "iceberg.control.commit.timeout-ms", Unneeded("no commit waits for another worker")),
    key(Sink, "iceberg.control.commit.threads", Unneeded("tables commit side by side")),
    key(Sink, "iceberg.connect.group-id", Unneeded("progress lives in the tables")),
    key(Sink, "iceberg.tables", NotYet),
    key(Sink, "iceberg.tables.dynamic-enabled", NotYet),
    key(Sink, "iceberg.tables.route-field", NotYet),
    key(Sink, "iceberg.tables.cdc-field", NotYet),
    key(Sink, "iceberg.tables.default-id-columns", NotYet),
    key(Sink, "iceberg.tables.default-partition-by", NotYet),
    key(Sink, "iceberg.hadoop-conf-dir", NotYet),
    key(Sink, "transforms", NotYet),
    key(Trino, "url", Used),
    key(Trino, "user", Used),
    key(Trino, "password", Used),
    key(Trino, "catalog", Used),
    key(Trino, "ssl.truststore", Used),
    key(Sink, "catalog.type", Alias("iceberg.catalog.type")),
    key(Sink, "catalog.uri", Alias("iceberg.catalog.uri")),
    key(Sink, "warehouse", Alias("iceberg.catalog.warehouse")),
    key(Sink, "commit.interval.ms", Alias("iceberg.control.commit.interval-ms")),
];

/// The key of that name, in a section or in any; one that is read comes before one that is not. Trino's are only found in their section: `user`
/// and `password` alone would be mistaken for the database's.
pub(super) fn find(section: Option<Section>, name: &str) -> Option<&'static Key> {
    let of_that_name = || KEYS.iter().filter(|k| k.name == name && section.map_or(k.section != Trino, |s| s == k.section));
    of_that_name().find(|k| k.treatment == Used).or_else(|| of_that_name().next())
}

/// `log.type` as the section and its key, whether there is such a key or not.
pub(super) fn with_section(name: &str) -> Option<(Section, &str)> {
    Section::ALL.into_iter().find_map(|s| Some((s, name.strip_prefix(s.name())?.strip_prefix('.')?)))
}

/// The known name that was probably meant.
pub(super) fn probably_meant(section: Option<Section>, name: &str) -> Option<&'static Key> {
    let names = KEYS.iter().filter(|k| section.is_none_or(|s| s == k.section));
    nearest(name, names, |k| k.name)
}

/// The section that was probably meant.
pub(super) fn section_probably_meant(name: &str) -> Option<&'static Section> {
    const SECTIONS: &[Section] = &Section::ALL;
    nearest(name, SECTIONS.iter(), |s| s.name())
}
