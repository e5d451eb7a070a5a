//! What Kafka Connect itself reads: keys that every connector can have, and those of its workers (Kafka 4).

use super::Section::{Sink, Source};
use super::Treatment::{Event, Ignored, Only, Refused, Used};
use super::{Key, Section, Treatment};

const fn source(name: &'static str, default: &'static str, treatment: Treatment, why: &'static str) -> Key {
    Key::new(Source, name, default, treatment, why)
}

const fn sink(name: &'static str, default: &'static str, treatment: Treatment, why: &'static str) -> Key {
    Key::new(Sink, name, default, treatment, why)
}

const fn worker(name: &'static str, default: &'static str, treatment: Treatment, why: &'static str) -> Key {
    Key::new(Section::Log, name, default, treatment, why)
}

pub(in crate::config) const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

const ONE: &str = "one process owns all";
const TOLERANT: &str = "nothing is skipped: a table stops at a record that cannot be applied";
const TRIES: &str = "servers that are away are waited for";
const LOGS: &str = "errors are always logged, without values";
const OFFSETS: &str = "progress is kept with the data";
const ALWAYS: &str = "data and position are always written in one transaction";
const CONVERTERS: &str = "events are JSON";
const HEADERS: &str = "headers are JSON with their schema, as JsonConverter writes them";
const WORKERS: &str = "there are no workers";
const GROUPS: &str = "topics are made alike; give one its settings before it is first written to";

pub(super) const CONNECTOR_KEYS: &[Key] = &[
    source("name", "", Ignored, "the mirror is named by topic.prefix"),
    source("connector.class", "", Used, "MySqlConnector or MariaDbConnector; the kind of server is detected"),
    source("tasks.max", "1", Ignored, ONE),
    source("tasks.max.enforce", "true", Ignored, ONE),
    source("key.converter", JSON, Event { mirror: &[JSON], halves: &[JSON] }, CONVERTERS),
    source("value.converter", JSON, Event { mirror: &[JSON], halves: &[JSON] }, CONVERTERS),
    source(
        "key.converter.schemas.enable",
        "true",
        Event { mirror: &["false"], halves: &["true", "false"] },
        "must be what value.converter.schemas.enable is",
    ),
    source(
        "value.converter.schemas.enable",
        "true",
        Event { mirror: &["false"], halves: &["true", "false"] },
        "each event with its schema, or without",
    ),
    source("key.converter.schemas.cache.size", "1000", Ignored, "there is no such cache"),
    source("value.converter.schemas.cache.size", "1000", Ignored, "there is no such cache"),
    source("key.converter.decimal.format", "BASE64", Only(&["BASE64"]), "see decimal.handling.mode"),
    source("value.converter.decimal.format", "BASE64", Only(&["BASE64"]), "see decimal.handling.mode"),
    source(
        "value.converter.replace.null.with.default",
        "true",
        Only(&["false"]),
        "a null stays a null, also in a column with a default",
    ),
    source("key.converter.*", "", Refused, CONVERTERS),
    source("value.converter.*", "", Refused, CONVERTERS),
    source("header.converter", JSON, Only(&[JSON]), HEADERS),
    source("header.converter.schemas.enable", "true", Only(&["true"]), HEADERS),
    source("header.converter.*", "", Refused, HEADERS),
    source("transforms", "", Refused, "events are written as Debezium writes them, before any transform"),
    source("transforms.*", "", Refused, "events are written as Debezium writes them, before any transform"),
    source("predicates", "", Ignored, "there are no transforms"),
    source("predicates.*", "", Ignored, "there are no transforms"),
    source("config.action.reload", "restart", Ignored, "a secret that changes is read at the next start"),
    source("errors.tolerance", "none", Only(&["none"]), TOLERANT),
    source("errors.log.enable", "false", Ignored, LOGS),
    source("errors.log.include.messages", "false", Ignored, LOGS),
    source("errors.retry.timeout", "0", Ignored, TRIES),
    source("errors.retry.delay.max.ms", "60000", Ignored, TRIES),
    source("exactly.once.support", "requested", Only(&["requested", "required"]), ALWAYS),
    source("exactly.once.source.support", "disabled", Ignored, ALWAYS),
    source("transaction.boundary", "poll", Ignored, "a transaction of the source is one of the log"),
    source("transaction.boundary.interval.ms", "", Ignored, "a transaction of the source is one of the log"),
    source("offsets.storage.topic", "", Ignored, OFFSETS),
    source("topic.creation.groups", "", Refused, GROUPS),
    sink("connector.class", "", Used, "Apache's IcebergSinkConnector, or Tabular's"),
    sink("tasks.max", "1", Ignored, ONE),
    sink("tasks.max.enforce", "true", Ignored, ONE),
    sink("key.converter", JSON, Ignored, "an event has its whole row: keys are not read"),
    sink("key.converter.*", "", Ignored, "an event has its whole row: keys are not read"),
    sink("value.converter", JSON, Event { mirror: &[JSON], halves: &[JSON] }, CONVERTERS),
    sink(
        "value.converter.schemas.enable",
        "true",
        Event { mirror: &["false"], halves: &["true", "false"] },
        "whether each event has its schema with it",
    ),
    sink("value.converter.schemas.cache.size", "1000", Ignored, "there is no such cache"),
    sink("value.converter.replace.null.with.default", "true", Ignored, "nulls stay nulls"),
    sink("value.converter.decimal.format", "BASE64", Ignored, "it is for writing"),
    sink("value.converter.*", "", Refused, CONVERTERS),
    sink("header.converter", "", Ignored, "headers are not read"),
    sink("header.converter.*", "", Ignored, "headers are not read"),
    sink(
        "transforms",
        "",
        Used,
        "DebeziumTransform alone: events are read as Debezium writes them, and no _cdc column is written",
    ),
    sink("transforms.*", "", Used, "see transforms"),
    sink("predicates", "", Refused, "transforms are not applied"),
    sink("predicates.*", "", Refused, "transforms are not applied"),
    sink("config.action.reload", "restart", Ignored, "a secret that changes is read at the next start"),
    sink("errors.tolerance", "none", Only(&["none"]), TOLERANT),
    sink("errors.log.enable", "false", Ignored, LOGS),
    sink("errors.log.include.messages", "false", Ignored, LOGS),
    sink("errors.retry.timeout", "0", Ignored, TRIES),
    sink("errors.retry.delay.max.ms", "60000", Ignored, TRIES),
    sink("errors.deadletterqueue.topic.name", "", Refused, TOLERANT),
    sink("errors.deadletterqueue.*", "", Ignored, "it is of errors.deadletterqueue.topic.name"),
];

pub(super) const WORKER_KEYS: &[Key] = &[
    worker("config.providers", "", Used, "names for env, file and directory in ${name:...}"),
    worker("config.providers.*", "", Used, "see config.providers"),
    worker("offset.flush.interval.ms", "60000", Ignored, OFFSETS),
    worker("offset.flush.timeout.ms", "5000", Ignored, OFFSETS),
    worker("offset.storage.*", "", Ignored, OFFSETS),
    worker("offset.storage", "", Ignored, OFFSETS),
    worker("config.storage.*", "", Ignored, WORKERS),
    worker("status.storage.*", "", Ignored, WORKERS),
    worker("exactly.once.source.support", "disabled", Ignored, ALWAYS),
    worker("plugin.path", "", Ignored, "there are no plugins"),
    worker("plugin.discovery", "hybrid_warn", Ignored, "there are no plugins"),
    worker("connector.client.config.override.policy", "All", Ignored, "overrides are taken as they are"),
    worker("topic.creation.enable", "true", Ignored, "topics that are missing are made"),
    worker("topic.tracking.enable", "true", Ignored, WORKERS),
    worker("topic.tracking.allow.reset", "true", Ignored, WORKERS),
    worker("key.converter", JSON, Used, "for connectors that say nothing of their own"),
    worker("key.converter.*", "", Used, "for connectors that say nothing of their own"),
    worker("value.converter", JSON, Used, "for connectors that say nothing of their own"),
    worker("value.converter.*", "", Used, "for connectors that say nothing of their own"),
    worker("header.converter", "", Ignored, HEADERS),
    worker("header.converter.*", "", Ignored, HEADERS),
    worker("internal.key.converter*", "", Ignored, WORKERS),
    worker("internal.value.converter*", "", Ignored, WORKERS),
    worker("listeners", "", Ignored, WORKERS),
    worker("listeners.*", "", Ignored, WORKERS),
    worker("admin.listeners", "", Ignored, WORKERS),
    worker("admin.listeners.*", "", Ignored, WORKERS),
    worker("rest.*", "", Ignored, WORKERS),
    worker("response.http.headers.config", "", Ignored, WORKERS),
    worker("access.control.*", "", Ignored, WORKERS),
    worker("inter.worker.*", "", Ignored, WORKERS),
    worker("connect.protocol", "sessioned", Ignored, WORKERS),
    worker("scheduled.rebalance.max.delay.ms", "300000", Ignored, WORKERS),
    worker("rebalance.timeout.ms", "60000", Ignored, WORKERS),
    worker("worker.sync.timeout.ms", "3000", Ignored, WORKERS),
    worker("worker.unsync.backoff.ms", "300000", Ignored, WORKERS),
    worker("task.shutdown.graceful.timeout.ms", "5000", Ignored, "a stop takes a second"),
    worker("client.dns.lookup", "use_all_dns_ips", Only(&["use_all_dns_ips"]), "all addresses of a name are tried"),
];
